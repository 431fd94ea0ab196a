/*
 * otlp_write.c -- OTLP's JSON: what protobuf's JSON mapping makes of ExportMetricsServiceRequest and
 * ExportTraceServiceRequest.  64-bit integers are strings there, ids hexadecimal.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "observe/export/otlp_write.h"

enum { CUMULATIVE = 2, KIND_INTERNAL = 1, STATUS_OK = 1, STATUS_ERROR = 2 };

/* ---- pieces -------------------------------------------------------------------------------- */

static void put_u64(brisk_json *json, const char *key, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    brisk_json_str(json, key, text);
}

static void put_attribute(brisk_json *json, const char *key, const char *value)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "key", key);
    brisk_json_object_begin(json, "value");
    brisk_json_str(json, "stringValue", value);
    brisk_json_object_end(json);
    brisk_json_object_end(json);
}

static void put_number_attribute(brisk_json *json, const char *key, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "key", key);
    brisk_json_object_begin(json, "value");
    brisk_json_str(json, "intValue", text);
    brisk_json_object_end(json);
    brisk_json_object_end(json);
}

/* Everything around the list `what` of scope `scopes` of `resources`. */
static void begin(brisk_json *json, const otlp_identity *who, const char *resources,
                  const char *scopes, const char *what)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_array_begin(json, resources);
    brisk_json_object_begin(json, NULL);
    brisk_json_object_begin(json, "resource");
    brisk_json_array_begin(json, "attributes");
    put_attribute(json, "service.name", who->service);
    put_attribute(json, "telemetry.sdk.name", "brisk");
    put_attribute(json, "telemetry.sdk.language", "c");
    put_attribute(json, "telemetry.sdk.version", BRISK_VERSION);
    brisk_json_array_end(json);
    brisk_json_object_end(json);
    brisk_json_array_begin(json, scopes);
    brisk_json_object_begin(json, NULL);
    brisk_json_object_begin(json, "scope");
    brisk_json_str(json, "name", "brisk");
    brisk_json_str(json, "version", BRISK_VERSION);
    brisk_json_object_end(json);
    brisk_json_array_begin(json, what);
}

static brisk_err end(brisk_json *json)
{
    brisk_json_array_end(json);
    brisk_json_object_end(json);
    brisk_json_array_end(json);
    brisk_json_object_end(json);
    brisk_json_array_end(json);
    brisk_json_object_end(json);
    return brisk_json_finish(json);
}

/* ---- metrics ------------------------------------------------------------------------------- */

static double scale_of(const brisk_metric_value *value)
{
    return value->unit == BRISK_UNIT_NS ? 1e-9 : 1.0;
}

/* UCUM, as the specification wants it. */
static const char *unit_of(const brisk_metric_value *value)
{
    static const char *const units[] = {"1", "s", "By", "1", "Cel", "Hz"};
    return (size_t)value->unit < sizeof units / sizeof units[0] ? units[value->unit] : "1";
}

static int32_t index_of(double value, int32_t scale)
{
    return (int32_t)ceil(log2(value) * ldexp(1.0, scale)) - 1;
}

static double middle_of(const brisk_metric_value *value, const brisk_hist_bucket *bucket)
{
    double low = (double)(bucket->low > value->min ? bucket->low : value->min);
    double top = (double)(bucket->top < value->max ? bucket->top : value->max);
    return (low + (top > low ? top - low : 0) / 2) * scale_of(value);
}

void otlp_rebucket(const brisk_metric_value *value, otlp_exponential *ret)
{
    *ret = (otlp_exponential){.scale = OTLP_SCALE_MAX};
    uint32_t first = 0;
    if (value->bucket_count > 0 && value->buckets[0].top == 0) {
        ret->zero = value->buckets[0].count;
        first = 1;
    }
    if (first >= value->bucket_count) {
        return;
    }
    double least = middle_of(value, &value->buckets[first]);
    double most = middle_of(value, &value->buckets[value->bucket_count - 1]);
    /* Ends: 64 doublings need 64 buckets at scale 0. */
    while (index_of(most, ret->scale) - index_of(least, ret->scale) >= OTLP_BUCKETS_MAX) {
        ret->scale--;
    }
    ret->offset = index_of(least, ret->scale);
    for (uint32_t i = first; i < value->bucket_count; i++) {
        int32_t at = index_of(middle_of(value, &value->buckets[i]), ret->scale) - ret->offset;
        BRISK_ASSERT(at >= 0 && at < OTLP_BUCKETS_MAX);
        ret->counts[at] += value->buckets[i].count;
        ret->count = (uint32_t)at >= ret->count ? (uint32_t)at + 1 : ret->count;
    }
}

static void put_labels(brisk_json *json, const brisk_metric_value *value)
{
    brisk_json_array_begin(json, "attributes");
    for (uint32_t i = 0; i < value->label_count; i++) {
        put_attribute(json, value->labels[i].name, value->labels[i].value);
    }
    brisk_json_array_end(json);
}

static void put_exponential(brisk_json *json, const brisk_metric_value *value)
{
    otlp_exponential buckets;
    otlp_rebucket(value, &buckets);
    put_u64(json, "count", value->count);
    brisk_json_double(json, "sum", value->sum * scale_of(value));
    if (value->count > 0) {
        brisk_json_double(json, "min", (double)value->min * scale_of(value));
        brisk_json_double(json, "max", (double)value->max * scale_of(value));
    }
    brisk_json_i64(json, "scale", buckets.scale);
    put_u64(json, "zeroCount", buckets.zero);
    brisk_json_object_begin(json, "positive");
    brisk_json_i64(json, "offset", buckets.offset);
    brisk_json_array_begin(json, "bucketCounts");
    for (uint32_t i = 0; i < buckets.count; i++) {
        put_u64(json, NULL, buckets.counts[i]);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static void put_point(brisk_json *json, const otlp_identity *who, const brisk_metric_value *value,
                      uint64_t wall_ns)
{
    brisk_json_object_begin(json, NULL);
    put_labels(json, value);
    if (value->kind != BRISK_METRIC_GAUGE) {
        put_u64(json, "startTimeUnixNano", who->start_wall_ns);
    }
    put_u64(json, "timeUnixNano", wall_ns);
    if (value->kind == BRISK_METRIC_HISTOGRAM) {
        put_exponential(json, value);
    } else if (value->kind == BRISK_METRIC_COUNTER && value->unit != BRISK_UNIT_NS) {
        put_u64(json, "asInt", value->count);
    } else {
        brisk_json_double(json, "asDouble", value->value * scale_of(value));
    }
    brisk_json_object_end(json);
}

/* One metric: the series from `first` on that have its name.  The index behind them. */
static uint32_t put_metric(brisk_json *json, const otlp_identity *who,
                           const brisk_snapshot *snapshot, uint32_t first)
{
    static const char *const kinds[] = {"sum", "gauge", "exponentialHistogram"};
    const brisk_metric_value *head = brisk_snapshot_at(snapshot, first);
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", head->name);
    brisk_json_str(json, "description", head->help);
    brisk_json_str(json, "unit", unit_of(head));
    brisk_json_object_begin(json, kinds[head->kind]);
    if (head->kind != BRISK_METRIC_GAUGE) {
        brisk_json_u64(json, "aggregationTemporality", CUMULATIVE);
    }
    if (head->kind == BRISK_METRIC_COUNTER) {
        brisk_json_bool(json, "isMonotonic", true);
    }
    brisk_json_array_begin(json, "dataPoints");
    uint32_t at = first;
    for (; at < brisk_snapshot_count(snapshot); at++) {
        const brisk_metric_value *value = brisk_snapshot_at(snapshot, at);
        if (strcmp(value->name, head->name) != 0) {
            break;
        }
        if (value->kind != BRISK_METRIC_GAUGE || isfinite(value->value)) {
            put_point(json, who, value, brisk_snapshot_wall_ns(snapshot));
        }
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
    brisk_json_object_end(json);
    return at;
}

brisk_err otlp_write_metrics(const otlp_identity *who, const brisk_snapshot *snapshot,
                             brisk_out out)
{
    brisk_json json;
    brisk_json_init(&json, out, 0);
    begin(&json, who, "resourceMetrics", "scopeMetrics", "metrics");
    uint32_t at = 0;
    while (at < brisk_snapshot_count(snapshot)) {
        at = put_metric(&json, who, snapshot, at);
    }
    return end(&json);
}

/* ---- spans --------------------------------------------------------------------------------- */

/* The ids of one span: its trace's low half, its own, its parent's (0: none). */
typedef struct span_ids {
    uint64_t trace;
    uint64_t span;
    uint64_t parent;
} span_ids;

/* An id is never all zeroes: that means "invalid". */
static uint64_t mix(uint64_t random, uint64_t id)
{
    uint64_t mixed = random ^ (id * UINT64_C(0x9e3779b97f4a7c15));
    return mixed != 0 ? mixed : random | 1;
}

static void put_ids(brisk_json *json, const otlp_identity *who, span_ids ids)
{
    char text[40];
    (void)snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, who->trace_high | 1,
                   mix(who->trace_low, ids.trace));
    brisk_json_str(json, "traceId", text);
    (void)snprintf(text, sizeof text, "%016" PRIx64, mix(who->span, ids.span));
    brisk_json_str(json, "spanId", text);
    if (ids.parent != 0) {
        (void)snprintf(text, sizeof text, "%016" PRIx64, mix(who->span, ids.parent));
        brisk_json_str(json, "parentSpanId", text);
    }
}

static void put_span(brisk_json *json, const otlp_identity *who, const otlp_span *span)
{
    const brisk_track_record *record = &span->record;
    brisk_json_object_begin(json, NULL);
    put_ids(json, who, (span_ids){record->root, record->id, record->parent});
    brisk_json_str(json, "name", span->name);
    brisk_json_u64(json, "kind", KIND_INTERNAL);
    put_u64(json, "startTimeUnixNano", record->start_wall_ns);
    put_u64(json, "endTimeUnixNano", record->start_wall_ns + record->time_ns);
    brisk_json_array_begin(json, "attributes");
    put_number_attribute(json, "thread.id", record->thread);
    if ((record->flags & BRISK_TRACK_CPU) != 0) {
        put_number_attribute(json, "brisk.cpu_ns", (int64_t)record->cpu_ns);
    }
    if ((record->flags & BRISK_TRACK_MEMORY) != 0) {
        put_number_attribute(json, "brisk.memory_bytes", record->memory_bytes);
    }
    for (uint32_t i = 0; i < record->context_count; i++) {
        put_attribute(json, span->context[i].key, span->context[i].value);
    }
    brisk_json_array_end(json);
    brisk_json_array_begin(json, "events");
    for (uint32_t i = 0; i < record->marker_count; i++) {
        brisk_json_object_begin(json, NULL);
        put_u64(json, "timeUnixNano", record->start_wall_ns + span->markers[i].at_ns);
        brisk_json_str(json, "name", span->markers[i].name);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_object_begin(json, "status");
    brisk_json_u64(json, "code", record->outcome == BRISK_OUTCOME_OK ? STATUS_OK : STATUS_ERROR);
    if (record->outcome == BRISK_OUTCOME_TIMEOUT) {
        brisk_json_str(json, "message", "timeout");
    }
    brisk_json_object_end(json);
    brisk_json_object_end(json);
}

brisk_err otlp_write_spans(const otlp_identity *who, const otlp_span *spans, uint32_t count,
                           brisk_out out)
{
    brisk_json json;
    brisk_json_init(&json, out, 0);
    begin(&json, who, "resourceSpans", "scopeSpans", "spans");
    for (uint32_t i = 0; i < count; i++) {
        put_span(&json, who, &spans[i]);
    }
    return end(&json);
}

brisk_err otlp_write_trace(const otlp_identity *who, const brisk_trace *trace, uint64_t now_ns,
                           uint64_t wall_ns, brisk_out out)
{
    brisk_json json;
    brisk_json_init(&json, out, 0);
    begin(&json, who, "resourceSpans", "scopeSpans", "spans");
    for (uint32_t i = 0; i < brisk_trace_count(trace); i++) {
        brisk_span span = brisk_trace_at(trace, i);
        if (span.end_ns == 0) {
            continue; /* it still runs */
        }
        uint64_t start = wall_ns - (now_ns - span.start_ns);
        brisk_json_object_begin(&json, NULL);
        put_ids(&json, who,
                (span_ids){wall_ns, wall_ns + span.id,
                           span.parent != BRISK_TRACE_NONE ? wall_ns + span.parent : 0});
        brisk_json_str(&json, "name", span.name);
        brisk_json_u64(&json, "kind", KIND_INTERNAL);
        put_u64(&json, "startTimeUnixNano", start);
        put_u64(&json, "endTimeUnixNano", start + (span.end_ns - span.start_ns));
        brisk_json_array_begin(&json, "attributes");
        put_number_attribute(&json, "thread.id", span.thread);
        put_number_attribute(&json, "brisk.worker", span.worker);
        put_number_attribute(&json, "brisk.bytes", (int64_t)span.bytes);
        brisk_json_array_end(&json);
        brisk_json_object_end(&json);
    }
    return end(&json);
}
