/*
 * expose.c -- Prometheus text and OpenMetrics behind <brisk/expose.h>.
 *
 * Series of one name stand together, because snapshots are sorted by name: the head (HELP, TYPE, UNIT) is written
 * at the first of them.  Lines are built piece by piece straight into the output; the first error of the
 * output ends everything.
 *
 * Bounds of histograms are floating point in the exported unit, counts go by the metric's own integers: a
 * bucket counts under a bound when its smallest value does.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <brisk/expose.h>

#include "base/assert.h"

typedef struct writer {
    brisk_out out;
    brisk_err err;
    brisk_expose_format format;
} writer;

static void put_bytes(writer *w, const char *data, size_t size)
{
    if (w->err == BRISK_OK && size > 0) {
        w->err = w->out.write(w->out.ctx, data, size);
    }
}

static void put(writer *w, const char *text)
{
    put_bytes(w, text, strlen(text));
}

/* ---- pieces -------------------------------------------------------------------------------- */

/* The shortest that reads back the same, with a point whatever the locale. */
static void put_number(writer *w, double value)
{
    char text[48];
    if (isnan(value)) {
        put(w, "NaN");
        return;
    }
    if (isinf(value)) {
        put(w, value > 0 ? "+Inf" : "-Inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    char *comma = strchr(text, ',');
    if (comma != NULL) {
        *comma = '.';
    }
    put(w, text);
}

static void put_u64(writer *w, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    put(w, text);
}

/* Bytes of the character at `text`, or 0 when it is no UTF-8. */
static size_t character(const unsigned char *text)
{
    size_t size = text[0] < 0x80             ? 1
                  : (text[0] & 0xe0) == 0xc0 ? 2
                  : (text[0] & 0xf0) == 0xe0 ? 3
                  : (text[0] & 0xf8) == 0xf0 ? 4
                                             : 0;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool too_long = (size == 2 && text[0] < 0xc2) ||
                    (size == 3 && text[0] == 0xe0 && text[1] < 0xa0) ||
                    (size == 4 && text[0] == 0xf0 && text[1] < 0x90);
    bool surrogate = size == 3 && text[0] == 0xed && text[1] >= 0xa0;
    bool beyond = size == 4 && (text[0] > 0xf4 || (text[0] == 0xf4 && text[1] >= 0x90));
    return too_long || surrogate || beyond ? 0 : size;
}

/* A help text or a label's value; only the latter escapes quotes. */
static void put_escaped(writer *w, const char *text, bool quotes)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        size_t size = character(at);
        if (*at == '\n') {
            put(w, "\\n");
        } else if (*at == '\\') {
            put(w, "\\\\");
        } else if (*at == '"' && quotes) {
            put(w, "\\\"");
        } else if (size == 0 || *at == '\r') {
            put(w, "?");
        } else {
            put_bytes(w, (const char *)at, size);
        }
        at += size != 0 ? size : 1;
    }
}

static bool ends_with(const char *text, const char *tail)
{
    size_t length = strlen(text);
    size_t size = strlen(tail);
    return length >= size && strcmp(text + length - size, tail) == 0;
}

static const char *unit_of(const brisk_metric_value *value)
{
    switch (value->unit) {
    case BRISK_UNIT_NS: return "seconds";
    case BRISK_UNIT_BYTES: return "bytes";
    case BRISK_UNIT_RATIO: return "ratio";
    case BRISK_UNIT_CELSIUS: return "celsius";
    case BRISK_UNIT_HERTZ: return "hertz";
    case BRISK_UNIT_NONE:
    default: return "";
    }
}

static double scale_of(const brisk_metric_value *value)
{
    return value->unit == BRISK_UNIT_NS ? 1e-9 : 1.0;
}

/* The name of the family, for a counter without "_total". */
static void put_family(writer *w, const brisk_metric_value *value)
{
    char name[BRISK_METRIC_NAME_MAX + 16];
    size_t length = strlen(value->name);
    BRISK_ASSERT(length < BRISK_METRIC_NAME_MAX);
    for (size_t i = 0; i <= length; i++) {
        name[i] = (char)(value->name[i] == '.' ? '_' : value->name[i]);
    }
    if (value->kind == BRISK_METRIC_COUNTER && ends_with(name, "_total")) {
        length -= strlen("_total");
        name[length] = '\0';
    }
    char tail[16];
    (void)snprintf(tail, sizeof tail, "_%s", unit_of(value));
    if (tail[1] != '\0' && !ends_with(name, tail)) {
        (void)snprintf(name + length, sizeof name - length, "%s", tail);
    }
    put(w, name);
}

static void put_label(writer *w, const char *before, const char *name, const char *text)
{
    put(w, before);
    put(w, name);
    put(w, "=\"");
    put_escaped(w, text, true);
    put(w, "\"");
}

/* {a="b",le="..."}; `bound` NULL: without le. */
static void put_labels(writer *w, const brisk_metric_value *value, const char *bound)
{
    const char *before = "{";
    for (uint32_t i = 0; i < value->label_count; i++) {
        bool taken = value->kind == BRISK_METRIC_HISTOGRAM && !strcmp(value->labels[i].name, "le");
        put_label(w, before, taken ? "label_le" : value->labels[i].name, value->labels[i].value);
        before = ",";
    }
    if (bound != NULL) {
        put_label(w, before, "le", bound);
        before = ",";
    }
    put(w, before[0] == ',' ? "} " : " ");
}

static void put_head(writer *w, const brisk_metric_value *value)
{
    bool open = w->format == BRISK_EXPOSE_OPENMETRICS;
    const char *tail = value->kind == BRISK_METRIC_COUNTER && !open ? "_total" : "";
    put(w, "# HELP ");
    put_family(w, value);
    put(w, tail);
    put(w, " ");
    put_escaped(w, value->help[0] != '\0' ? value->help : value->name, open);
    put(w, "\n# TYPE ");
    put_family(w, value);
    put(w, tail);
    put(w, " ");
    put(w, brisk_metric_kind_name(value->kind));
    put(w, "\n");
    if (open && unit_of(value)[0] != '\0') {
        put(w, "# UNIT ");
        put_family(w, value);
        put(w, " ");
        put(w, unit_of(value));
        put(w, "\n");
    }
}

/* ---- histograms ---------------------------------------------------------------------------- */

/* Bound number `index` in the metric's own unit, or 0 after the last. */
static uint64_t bound_of(const brisk_metric_value *value, uint32_t index)
{
    enum { TIME_BOUNDS = 25, OTHER_BOUNDS = 21 };
    if (value->unit != BRISK_UNIT_NS) {
        return index < OTHER_BOUNDS ? UINT64_C(1) << (2 * index) : 0;
    }
    static const uint64_t steps[] = {1000, 2500, 5000};
    uint64_t bound = index < TIME_BOUNDS ? steps[index % 3] : 0;
    for (uint32_t i = 0; i < index / 3; i++) {
        bound *= 10;
    }
    return bound;
}

static void put_bucket(writer *w, const brisk_metric_value *value, const char *bound,
                       uint64_t count)
{
    put_family(w, value);
    put(w, "_bucket");
    put_labels(w, value, bound);
    put_u64(w, count);
    put(w, "\n");
}

static void put_histogram(writer *w, const brisk_metric_value *value)
{
    uint64_t below = 0;
    uint32_t at = 0;
    uint64_t bound;
    for (uint32_t i = 0; (bound = bound_of(value, i)) != 0; i++) {
        while (at < value->bucket_count && value->buckets[at].low <= bound) {
            below += value->buckets[at++].count;
        }
        char text[48];
        (void)snprintf(text, sizeof text, "%.15g", (double)bound * scale_of(value));
        char *comma = strchr(text, ',');
        if (comma != NULL) {
            *comma = '.';
        }
        if (w->format == BRISK_EXPOSE_OPENMETRICS && strpbrk(text, ".e") == NULL) {
            size_t used = strlen(text); /* canonical numbers of OpenMetrics: 1.0, not 1 */
            (void)snprintf(text + used, sizeof text - used, ".0");
        }
        put_bucket(w, value, text, below);
    }
    put_bucket(w, value, "+Inf", value->count);
    put_family(w, value);
    put(w, "_sum");
    put_labels(w, value, NULL);
    put_number(w, value->sum * scale_of(value));
    put(w, "\n");
    put_family(w, value);
    put(w, "_count");
    put_labels(w, value, NULL);
    put_u64(w, value->count);
    put(w, "\n");
}

static void put_series(writer *w, const brisk_metric_value *value)
{
    if (value->kind == BRISK_METRIC_HISTOGRAM) {
        put_histogram(w, value);
        return;
    }
    put_family(w, value);
    if (value->kind == BRISK_METRIC_COUNTER) {
        put(w, "_total");
    }
    put_labels(w, value, NULL);
    if (value->kind == BRISK_METRIC_COUNTER && value->unit != BRISK_UNIT_NS) {
        put_u64(w, value->count);
    } else {
        put_number(w, value->value * scale_of(value));
    }
    put(w, "\n");
}

const char *brisk_expose_content_type(brisk_expose_format format)
{
    return format == BRISK_EXPOSE_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

brisk_err brisk_expose_text(const brisk_snapshot *snapshot, brisk_expose_format format,
                            brisk_out out)
{
    writer w = {.out = out, .format = format};
    const char *last = "";
    for (uint32_t i = 0; i < brisk_snapshot_count(snapshot); i++) {
        const brisk_metric_value *value = brisk_snapshot_at(snapshot, i);
        if (strcmp(value->name, last) != 0) {
            put_head(&w, value);
            last = value->name;
        }
        put_series(&w, value);
    }
    if (format == BRISK_EXPOSE_OPENMETRICS) {
        put(&w, "# EOF\n");
    }
    return w.err;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void json_histogram(brisk_json *json, const brisk_metric_value *value)
{
    brisk_json_u64(json, "min", value->min);
    brisk_json_u64(json, "p50", value->p50);
    brisk_json_u64(json, "p95", value->p95);
    brisk_json_u64(json, "p99", value->p99);
    brisk_json_u64(json, "p999", value->p999);
    brisk_json_u64(json, "max", value->max);
    brisk_json_double(json, "mean", value->mean);
    brisk_json_double(json, "stddev", value->stddev);
    brisk_json_double(json, "sum", value->sum);
    if (value->lost != 0) {
        brisk_json_u64(json, "lost", value->lost);
    }
    brisk_json_array_begin(json, "buckets");
    for (uint32_t i = 0; i < value->bucket_count; i++) {
        brisk_json_u64(json, NULL, value->buckets[i].low);
        brisk_json_u64(json, NULL, value->buckets[i].count);
    }
    brisk_json_array_end(json);
}

static void json_value(brisk_json *json, const brisk_metric_value *value)
{
    static const char *const windows[BRISK_METRIC_WINDOWS] = {"1s", "10s", "60s"};
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", value->name);
    brisk_json_str(json, "kind", brisk_metric_kind_name(value->kind));
    brisk_json_str(json, "unit", brisk_unit_name(value->unit));
    if (value->help[0] != '\0') {
        brisk_json_str(json, "help", value->help);
    }
    brisk_json_object_begin(json, "labels");
    for (uint32_t i = 0; i < value->label_count; i++) {
        brisk_json_str(json, value->labels[i].name, value->labels[i].value);
    }
    brisk_json_object_end(json);
    if (value->kind == BRISK_METRIC_GAUGE) {
        brisk_json_double(json, "value", value->value);
    } else {
        brisk_json_u64(json, "count", value->count);
        brisk_json_object_begin(json, "rates");
        for (uint32_t i = 0; i < BRISK_METRIC_WINDOWS; i++) {
            brisk_json_double(json, windows[i], value->rates[i]);
        }
        brisk_json_object_end(json);
    }
    if (value->kind == BRISK_METRIC_HISTOGRAM) {
        json_histogram(json, value);
    }
    brisk_json_object_end(json);
}

void brisk_expose_json_array(const brisk_snapshot *snapshot, const char *key, brisk_json *json)
{
    brisk_json_array_begin(json, key);
    for (uint32_t i = 0; i < brisk_snapshot_count(snapshot); i++) {
        json_value(json, brisk_snapshot_at(snapshot, i));
    }
    brisk_json_array_end(json);
}

brisk_err brisk_expose_json(const brisk_snapshot *snapshot, brisk_out out)
{
    brisk_json json;
    brisk_json_init(&json, out, 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "wall_ns", brisk_snapshot_wall_ns(snapshot));
    brisk_expose_json_array(snapshot, "metrics", &json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}
