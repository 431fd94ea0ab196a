/*
 * import.c -- behind <brisk/import.h>: what is this, and the collection that its reader fills.
 *
 * A format is recognised by what only it has; where two claim the same bytes, or none does, the answer
 * is UNSUPPORTED.  Readers append values to series found by (name, statistic, unit) in a hash table;
 * at the end all goes into one arena, which is the result.
 *
 * Invariant: of every series with times, there are as many times as values.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/hash.h>

#include "base/assert.h"
#include "observe/import/import.h"
#include "observe/import/json_read.h"

enum { SLOTS_FIRST = 256, SNIFF_BYTES = 4096 };

struct brisk_import {
    brisk_arena *arena; /* holds this, too */
    brisk_import_format format;
    brisk_import_series *series;
    size_t count;
};

static const struct {
    const char *name;
    brisk_err (*read)(import_builder *b);
} formats[] = {
    [BRISK_IMPORT_AUTO] = {"auto", NULL},
    [BRISK_IMPORT_HYPERFINE] = {"hyperfine", import_hyperfine},
    [BRISK_IMPORT_GOOGLE_BENCHMARK] = {"google-benchmark", import_google_benchmark},
    [BRISK_IMPORT_JUNIT] = {"junit", import_junit},
    [BRISK_IMPORT_K6] = {"k6", import_k6},
    [BRISK_IMPORT_WRK] = {"wrk", import_wrk},
    [BRISK_IMPORT_HLOG] = {"hlog", import_hlog},
};

const char *brisk_import_format_name(brisk_import_format format)
{
    bool known = (unsigned)format < sizeof formats / sizeof *formats;
    return known ? formats[format].name : "?";
}

brisk_err import_fail(import_builder *b, brisk_err code, size_t at, const char *what)
{
    size_t line = 1;
    for (size_t i = 0; i < at && i < b->size; i++) {
        line += b->data[i] == '\n' ? 1 : 0;
    }
    return brisk_errinfo_set(b->info, code, "%s:%zu: %s", b->name, line, what);
}

bool import_number(const char *text, size_t size, double *ret)
{
    char copy[64];
    if (size == 0 || size >= sizeof copy || strchr("+-.0123456789", text[0]) == NULL) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *end = NULL;
    double value = strtod(copy, &end);
    if (end != copy + size || strpbrk(copy, "xXpP") != NULL || !isfinite(value)) {
        return false;
    }
    *ret = value;
    return true;
}

static uint64_t key_hash(const import_key *key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const char *parts[] = {key->name, key->statistic, key->unit};
    for (int i = 0; i < 3; i++) {
        for (const char *c = parts[i]; *c != '\0'; c++) {
            hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
        }
        hash = (hash ^ 0xff) * UINT64_C(0x100000001b3);
    }
    return hash ^ hash >> 32;
}

/* The slot of `key`: its own, or the empty one where it belongs. */
static uint32_t *slot_of(import_builder *b, const import_key *key)
{
    size_t mask = b->slots.capacity - 1;
    for (uint64_t at = key_hash(key);; at++) {
        uint32_t *slot = &b->slots.items[at & mask];
        if (*slot == 0) {
            return slot;
        }
        const import_series *s = &b->series.items[*slot - 1];
        if (strcmp(s->name, key->name) == 0 && strcmp(s->statistic, key->statistic) == 0 &&
            strcmp(s->unit, key->unit) == 0) {
            return slot;
        }
    }
}

/* A table of twice the size; the capacity is a power of two. */
static brisk_err grow_slots(import_builder *b)
{
    size_t capacity = b->slots.capacity > 0 ? b->slots.capacity * 2 : SLOTS_FIRST;
    uint32_t *items =
        b->alloc->acquire(b->alloc->ctx, capacity * sizeof *items, _Alignof(uint32_t));
    if (items == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(items, 0, capacity * sizeof *items);
    BRISK_VEC_DEINIT(&b->slots);
    b->slots.items = items;
    b->slots.capacity = capacity;
    for (size_t i = 0; i < b->series.count; i++) {
        const import_series *s = &b->series.items[i];
        *slot_of(b, &(import_key){s->name, s->statistic, s->unit}) = (uint32_t)i + 1;
    }
    return BRISK_OK;
}

static bool push_series(import_builder *b, const import_series *made)
{
    return BRISK_VEC_PUSH(&b->series, *made);
}

static brisk_err series_of(import_builder *b, const import_key *key, import_series **ret)
{
    if (b->series.count * 2 >= b->slots.capacity && grow_slots(b) != BRISK_OK) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t *slot = slot_of(b, key);
    if (*slot == 0) {
        if (b->series.count == IMPORT_SERIES_MAX) {
            return BRISK_ERR_LIMIT;
        }
        import_series made = {
            .name = brisk_arena_copy(b->arena, key->name, strlen(key->name)),
            .statistic = brisk_arena_copy(b->arena, key->statistic, strlen(key->statistic)),
            .unit = brisk_arena_copy(b->arena, key->unit, strlen(key->unit)),
            .values = BRISK_VEC_INIT(b->alloc),
            .times = BRISK_VEC_INIT(b->alloc),
        };
        if (made.name == NULL || made.statistic == NULL || made.unit == NULL ||
            !push_series(b, &made)) {
            return BRISK_ERR_NOMEM;
        }
        *slot = (uint32_t)b->series.count;
    }
    *ret = &b->series.items[*slot - 1];
    return BRISK_OK;
}

brisk_err import_add(import_builder *b, const import_key *key, double value, const double *time)
{
    import_series *s = NULL;
    if (!isfinite(value) || (time != NULL && !isfinite(*time))) {
        return brisk_errinfo_set(b->info, BRISK_ERR_CORRUPT, "%s: a value is not finite", b->name);
    }
    brisk_err err = series_of(b, key, &s);
    if (err == BRISK_ERR_LIMIT || b->value_count == IMPORT_VALUES_MAX) {
        return brisk_errinfo_set(b->info, BRISK_ERR_LIMIT, "%s: more than %d series or %d values",
                                 b->name, (int)IMPORT_SERIES_MAX, (int)IMPORT_VALUES_MAX);
    }
    if (err != BRISK_OK || !BRISK_VEC_PUSH(&s->values, value) ||
        (time != NULL && !BRISK_VEC_PUSH(&s->times, *time))) {
        return brisk_errinfo_set(b->info, BRISK_ERR_NOMEM, "%s: out of memory", b->name);
    }
    b->value_count++;
    return BRISK_OK;
}

/* What the members of a JSON document say about its origin: bits of formats. */
static uint32_t sniff_json(import_builder *b)
{
    json_reader r;
    json_reader_init(&r, b->data, b->size);
    bool results = false;
    bool commands = false;
    bool benchmarks = false;
    bool context = false;
    bool metrics = false;
    char top[JSON_TEXT_MAX] = "";
    for (json_event event; (event = json_next(&r)) > JSON_END;) {
        bool opens = event == JSON_OBJECT || event == JSON_ARRAY;
        if (r.depth == 2 && opens) {
            memcpy(top, r.key, sizeof top);
            results = results || (event == JSON_ARRAY && strcmp(top, "results") == 0);
            benchmarks = benchmarks || (event == JSON_ARRAY && strcmp(top, "benchmarks") == 0);
            context = context || (event == JSON_OBJECT && strcmp(top, "context") == 0);
            metrics = metrics || (event == JSON_OBJECT && strcmp(top, "metrics") == 0);
        }
        if (r.depth == 3 && event == JSON_STRING && strcmp(top, "results") == 0) {
            commands = commands || strcmp(r.key, "command") == 0;
        }
        if (opens && r.depth >= 4 && !json_skip(&r, event)) {
            break;
        }
    }
    return (results && commands ? 1U << BRISK_IMPORT_HYPERFINE : 0) |
           (benchmarks && context ? 1U << BRISK_IMPORT_GOOGLE_BENCHMARK : 0) |
           (metrics && !results && !benchmarks ? 1U << BRISK_IMPORT_K6 : 0);
}

static bool contains(const import_builder *b, size_t limit, const char *word)
{
    size_t size = b->size < limit ? b->size : limit;
    return memmem(b->data, size, word, strlen(word)) != NULL;
}

brisk_import_format import_sniff(import_builder *b)
{
    size_t at = b->size >= 3 && memcmp(b->data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < b->size && b->data[at] != '\0' && strchr(" \t\r\n", b->data[at]) != NULL) {
        at++;
    }
    char c = at < b->size ? b->data[at] : '\0';
    uint32_t fits = c == '{' && at < 3 ? sniff_json(b) : 0;
    if (c == '<' &&
        (contains(b, SNIFF_BYTES, "<testsuite>") || contains(b, SNIFF_BYTES, "<testsuite ") ||
         contains(b, SNIFF_BYTES, "<testsuites"))) {
        fits |= 1U << BRISK_IMPORT_JUNIT;
    }
    if (c == 'R' && b->size - at > 8 && memcmp(b->data + at, "Running ", 8) == 0 &&
        contains(b, b->size, "Requests/sec:") && contains(b, b->size, "threads and")) {
        fits |= 1U << BRISK_IMPORT_WRK;
    }
    if ((c == '#' || c == '"') && contains(b, SNIFF_BYTES, "\"StartTimestamp\"") &&
        contains(b, SNIFF_BYTES, "Interval_Compressed_Histogram")) {
        fits |= 1U << BRISK_IMPORT_HLOG;
    }
    bool one = fits != 0 && (fits & (fits - 1)) == 0;
    return one ? (brisk_import_format)__builtin_ctz(fits) : BRISK_IMPORT_AUTO;
}

/* Everything into the arena. */
static brisk_import *finish(import_builder *b, brisk_import_format format)
{
    brisk_import *out = brisk_arena_calloc(b->arena, 1, sizeof *out);
    brisk_import_series *series = brisk_arena_calloc(b->arena, b->series.count, sizeof *series);
    for (size_t i = 0; i < b->series.count && out != NULL && series != NULL; i++) {
        const import_series *s = &b->series.items[i];
        size_t bytes = s->values.count * sizeof(double);
        double *values = brisk_arena_alloc(b->arena, bytes);
        double *times = s->times.count > 0 ? brisk_arena_alloc(b->arena, bytes) : NULL;
        if (values == NULL || (s->times.count > 0 && times == NULL)) {
            return NULL;
        }
        BRISK_ASSERT(s->times.count == 0 || s->times.count == s->values.count);
        memcpy(values, s->values.items, bytes);
        if (times != NULL) {
            memcpy(times, s->times.items, bytes);
        }
        series[i] =
            (brisk_import_series){s->name, s->statistic, s->unit, values, times, s->values.count};
    }
    if (out == NULL || series == NULL) {
        return NULL;
    }
    *out = (brisk_import){b->arena, format, series, b->series.count};
    return out;
}

static void builder_free(import_builder *b)
{
    for (size_t i = 0; i < b->series.count; i++) {
        BRISK_VEC_DEINIT(&b->series.items[i].values);
        BRISK_VEC_DEINIT(&b->series.items[i].times);
    }
    BRISK_VEC_DEINIT(&b->series);
    BRISK_VEC_DEINIT(&b->slots);
}

static brisk_err read_all(import_builder *b, brisk_import_format format, brisk_import **ret)
{
    format = format == BRISK_IMPORT_AUTO ? import_sniff(b) : format;
    if (format == BRISK_IMPORT_AUTO) {
        return brisk_errinfo_set(b->info, BRISK_ERR_UNSUPPORTED,
                                 "%s: not recognised as a result of hyperfine, Google Benchmark, "
                                 "JUnit, k6, wrk or HdrHistogram",
                                 b->name);
    }
    brisk_err err = formats[format].read(b);
    if (err == BRISK_OK && b->series.count == 0) {
        err = brisk_errinfo_set(b->info, BRISK_ERR_CORRUPT, "%s: no measurement in it", b->name);
    }
    if (err == BRISK_OK) {
        brisk_import *out = finish(b, format);
        err = out != NULL
                  ? BRISK_OK
                  : brisk_errinfo_set(b->info, BRISK_ERR_NOMEM, "%s: out of memory", b->name);
        *ret = out != NULL ? out : *ret;
    }
    return err;
}

brisk_err brisk_import_bytes(const void *data, size_t size, const brisk_import_opts *opts,
                             brisk_import **ret, brisk_errinfo *info)
{
    brisk_import_opts o = opts != NULL ? *opts : (brisk_import_opts){0};
    import_builder b = {.alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc(),
                        .data = data,
                        .size = size,
                        .name = o.name != NULL ? o.name : "input",
                        .info = info};
    if ((unsigned)o.format >= sizeof formats / sizeof *formats) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: no such format", b.name);
    }
    if (size > IMPORT_SIZE_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: larger than %d bytes", b.name,
                                 (int)IMPORT_SIZE_MAX);
    }
    b.series.alloc = b.alloc;
    b.slots.alloc = b.alloc;
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.alloc = b.alloc}, &b.arena);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s: out of memory", b.name);
    }
    err = read_all(&b, o.format, ret);
    builder_free(&b);
    if (err != BRISK_OK) {
        brisk_arena_destroy(b.arena);
    }
    return err;
}

brisk_err brisk_import_file(const char *path, const brisk_import_opts *opts, brisk_import **ret,
                            brisk_errinfo *info)
{
    brisk_file_view view;
    brisk_import_opts o = opts != NULL ? *opts : (brisk_import_opts){0};
    o.name = o.name != NULL ? o.name : path;
    brisk_err err = brisk_file_view_open(path, IMPORT_SIZE_MAX, &view, info);
    if (err == BRISK_OK) {
        err = brisk_import_bytes(view.data, view.size, &o, ret, info);
        brisk_file_view_close(&view);
    }
    return err;
}

void brisk_import_destroy(brisk_import *import)
{
    if (import != NULL) {
        brisk_arena_destroy(import->arena);
    }
}

brisk_import_format brisk_import_format_of(const brisk_import *import)
{
    return import->format;
}

const brisk_import_series *brisk_import_series_of(const brisk_import *import, size_t *ret_count)
{
    *ret_count = import->count;
    return import->series;
}
