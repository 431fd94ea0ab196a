/*
 * history.c -- the line of a benchmark over time, in the history of brisk (brisk/history.h).
 *
 * A record of one command is a benchmark of the record's name; of several, each is "NAME/COMMAND".
 * A point is the median of the runs, its interval their quartiles, keyed by the machine.
 */
#include <string.h>

#include <brisk/hash.h>
#include <brisk/history.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "observe/bench/bench.h"

BRISK_DEFINE_CLEANUP(brisk_history, brisk_history_close)

enum { DETAILS_BYTES_MAX = 65536 };

brisk_err bench_machine(brisk_arena *arena, const char **ret_text, const char **ret_fingerprint)
{
    const char *text = brisk_history_machine();
    uint64_t hash = brisk_hash64(text, strlen(text), 0);
    const char *fingerprint = brisk_arena_printf(arena, "%016llx", (unsigned long long)hash);
    if (fingerprint == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *ret_text = text;
    *ret_fingerprint = fingerprint;
    return BRISK_OK;
}

static brisk_err put_details(const bench_record *record, const bench_subject *s, brisk_str *out)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(out), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "command", s->text);
    brisk_json_str(&json, "version", record->version);
    brisk_json_str(&json, "interval", "quartiles");
    brisk_json_object_end(&json);
    brisk_err err = brisk_json_finish(&json);
    return err == BRISK_OK ? brisk_str_err(out) : err;
}

static brisk_err put_point(brisk_arena *arena, brisk_history *history, const bench_record *record,
                           const bench_subject *s, brisk_errinfo *info)
{
    double *sorted = brisk_arena_alloc(arena, s->run_count * sizeof *sorted);
    const char *name = record->subject_count == 1
                           ? record->name
                           : brisk_arena_printf(arena, "%s/%s", record->name, s->name);
    brisk_str details;
    brisk_str_init(&details, NULL, DETAILS_BYTES_MAX);
    if (sorted == NULL || name == NULL || put_details(record, s, &details) != BRISK_OK) {
        brisk_str_deinit(&details);
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    memcpy(sorted, s->wall_ns, s->run_count * sizeof *sorted);
    brisk_sample_sort(sorted, s->run_count);
    brisk_history_benchmark row = {.wall_ns = record->when_s * UINT64_C(1000000000),
                                   .name = name,
                                   .metric = "wall",
                                   .unit = "ns",
                                   .value = brisk_sample_median(sorted, s->run_count),
                                   .low = brisk_sample_quantile(sorted, s->run_count, 0.25),
                                   .high = brisk_sample_quantile(sorted, s->run_count, 0.75),
                                   .samples = s->run_count,
                                   .label = record->version,
                                   .details = brisk_str_text(&details)};
    brisk_err err = brisk_history_put_benchmark(history, &row, NULL, info);
    if (err == BRISK_OK && s->instructions > 0) {
        row.metric = "instructions";
        row.unit = "";
        row.value = row.low = row.high = (double)s->instructions;
        row.samples = 1;
        err = brisk_history_put_benchmark(history, &row, NULL, info);
    }
    brisk_str_deinit(&details);
    return err;
}

brisk_err bench_history_append(brisk_arena *arena, const bench_record *record, brisk_errinfo *info)
{
    BRISK_CLEANUP(brisk_history_close) brisk_history *history = NULL;
    brisk_err err = brisk_history_open(&(brisk_history_opts){0}, &history, info);
    for (uint32_t i = 0; i < record->subject_count && err == BRISK_OK; i++) {
        if (record->subjects[i].run_count > 0) {
            err = put_point(arena, history, record, &record->subjects[i], info);
        }
    }
    return err;
}

/* --- reading -------------------------------------------------------------------------------- */

typedef struct collector {
    brisk_arena *arena;
    const char *name;
    bench_point *points;
    uint32_t count;
    brisk_err err;
} collector;

/** Is it this benchmark, or one of its commands? */
static bool is_of(const char *name, const char *wanted)
{
    size_t length = strlen(wanted);
    return strncmp(name, wanted, length) == 0 && (name[length] == '\0' || name[length] == '/');
}

static bool collect(void *ctx, const brisk_history_benchmark *row)
{
    collector *c = ctx;
    if (!is_of(row->name, c->name) || !(row->value > 0.0)) {
        return true;
    }
    if (c->count == BENCH_HISTORY_MAX) {
        c->err = BRISK_ERR_LIMIT;
        return false;
    }
    bench_point *p = &c->points[c->count];
    *p = (bench_point){.when_s = row->wall_ns / UINT64_C(1000000000),
                       .label = brisk_arena_copy(c->arena, row->label, strlen(row->label)),
                       .machine = brisk_arena_copy(c->arena, row->machine, strlen(row->machine)),
                       .name = brisk_arena_copy(c->arena, row->name, strlen(row->name)),
                       .value = row->value,
                       .low = row->low,
                       .high = row->high,
                       .runs = row->samples};
    bool copied = p->label != NULL && p->machine != NULL && p->name != NULL;
    c->err = copied ? BRISK_OK : BRISK_ERR_NOMEM;
    c->count += copied ? 1 : 0;
    return copied;
}

brisk_err bench_history_load(brisk_arena *arena, const bench_history_query *query,
                             bench_point **ret, uint32_t *ret_count, brisk_errinfo *info)
{
    collector c = {.arena = arena, .name = query->name};
    c.points = brisk_arena_alloc(arena, BENCH_HISTORY_MAX * sizeof *c.points);
    if (c.points == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    BRISK_CLEANUP(brisk_history_close) brisk_history *history = NULL;
    brisk_err err = brisk_history_open(&(brisk_history_opts){.read_only = true}, &history, info);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_history_filter filter = {.metric = query->metric,
                                   .machine = query->all_machines ? NULL : brisk_history_machine()};
    err = brisk_history_benchmarks(history, &filter, collect, &c, info);
    if (err == BRISK_OK && c.err != BRISK_OK) {
        err = brisk_errinfo_set(info, c.err, "%s: %s", query->name, brisk_err_message(c.err));
    }
    if (err == BRISK_OK) {
        *ret = c.points;
        *ret_count = c.count;
    }
    return err;
}
