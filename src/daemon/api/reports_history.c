/*
 * reports_history.c -- what was measured before: runs of jobs, benchmarks with their change points, opportunities.
 *
 * The database is opened for each question, which brings in the runs that commands left in its spool; where that may
 * not be, it is only read.  Where there is none, lists are empty.
 *
 * An applied opportunity has a measured gain when its subject, a workload, ran often enough before and after: the
 * medians of the RUNS_COMPARED runs on either side are compared, of commands that ran on both.  Runs that a cache
 * answered count for what is about caches, whose gain they are, and for nothing else.  What was not measured is null.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/hash.h>
#include <brisk/history.h>
#include <brisk/json.h>
#include <brisk/stats.h>

#include "base/vec.h"
#include "daemon/api/api.h"
#include "daemon/api/reports.h"
#include "daemon/server.h"

enum { LIMIT_DEFAULT = 500, POINTS_MAX = 5000, RUNS_COMPARED = 50, RUNS_MIN = 5 };

/* *ret NULL: there is none, which is no error. */
static brisk_err open_history(const report_query *q, brisk_history **ret, report_result *result)
{
    brisk_history_opts opts = {.no_create = true, .alloc = library_alloc(q->server->alloc)};
    *ret = NULL;
    brisk_err err = brisk_history_open(&opts, ret, &result->info);
    if (err == BRISK_ERR_PERMISSION || err == BRISK_ERR_IO || err == BRISK_ERR_DEADLINE ||
        err == BRISK_ERR_FULL) {
        opts.read_only = true;
        err = brisk_history_open(&opts, ret, &result->info);
    }
    return err == BRISK_ERR_NOT_FOUND || err == BRISK_ERR_UNSUPPORTED || err == BRISK_ERR_INVALID
               ? BRISK_OK
               : err;
}

static brisk_history_filter filter_of(const report_query *q)
{
    return (brisk_history_filter){.name = q->name[0] != '\0' ? q->name : NULL,
                                  .metric = q->metric[0] != '\0' ? q->metric : NULL,
                                  .state = q->state[0] != '\0' ? q->state : NULL,
                                  .since_ns = q->since_ns,
                                  .until_ns = q->until_ns,
                                  .limit = q->limit != 0 ? q->limit : LIMIT_DEFAULT,
                                  .newest_first = true};
}

static void begin_list(brisk_json *json, brisk_str *text, const brisk_history *history,
                       const char *key)
{
    brisk_json_init(json, brisk_str_out(text), 0);
    brisk_json_object_begin(json, NULL);
    brisk_json_u64(json, "schema", 1);
    brisk_json_bool(json, "kept", history != NULL);
    brisk_json_array_begin(json, key);
}

static brisk_err end_list(brisk_json *json, brisk_history *history, brisk_err err)
{
    brisk_json_array_end(json);
    brisk_json_object_end(json);
    brisk_history_close(history);
    brisk_err written = brisk_json_finish(json);
    return err != BRISK_OK ? err : written;
}

static void put_raw(brisk_json *json, const char *key, const char *text)
{
    if (text[0] != '\0') {
        brisk_json_raw(json, key, text, strlen(text));
    } else {
        brisk_json_null(json, key);
    }
}

static void put_time(brisk_json *json, const char *key, uint64_t ns)
{
    brisk_json_double(json, key, (double)(ns / 1000000) / 1000);
}

/* --- runs --------------------------------------------------------------------------------- */

static bool put_run(void *ctx, const brisk_history_run *run)
{
    brisk_json *json = ctx;
    brisk_json_object_begin(json, NULL);
    brisk_json_u64(json, "id", run->id);
    put_time(json, "time_s", run->wall_ns);
    brisk_json_u64(json, "duration_ns", run->duration_ns);
    brisk_json_str(json, "workload", run->workload);
    brisk_json_str(json, "outcome", run->outcome);
    brisk_json_str(json, "answered_by", run->answered_by);
    brisk_json_u64(json, "bytes", run->bytes);
    brisk_json_object_end(json);
    return true;
}

static bool put_stage(void *ctx, const brisk_history_stage *stage)
{
    brisk_json *json = ctx;
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", stage->name);
    brisk_json_str(json, "after", stage->after);
    brisk_json_u64(json, "start_ns", stage->start_ns);
    brisk_json_u64(json, "duration_ns", stage->duration_ns);
    brisk_json_u64(json, "wait_ns", stage->wait_ns);
    brisk_json_u64(json, "bytes", stage->bytes);
    brisk_json_i64(json, "worker", stage->worker);
    brisk_json_bool(json, "critical", stage->critical != 0);
    brisk_json_str(json, "outcome", stage->outcome);
    brisk_json_object_end(json);
    return true;
}

static bool note_found(void *ctx, const brisk_history_run *run)
{
    (void)run;
    *(bool *)ctx = true;
    return false;
}

static brisk_err write_run(const report_query *q, brisk_str *text, report_result *ret)
{
    brisk_history *history;
    brisk_json json;
    bool found = false;
    bool number = strspn(q->rest, "0123456789") == strlen(q->rest);
    brisk_history_filter filter = {.id = number ? strtoull(q->rest, NULL, 10) : 0};
    brisk_err err = open_history(q, &history, ret);
    if (err == BRISK_OK && history != NULL && filter.id != 0) {
        err = brisk_history_runs(history, &filter, note_found, &found, &ret->info);
    }
    if (err != BRISK_OK || !found) {
        brisk_history_close(history);
        return err != BRISK_OK
                   ? err
                   : brisk_errinfo_set(&ret->info, BRISK_ERR_NOT_FOUND, "there is no such run");
    }
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "id", filter.id);
    brisk_json_array_begin(&json, "stages");
    err = brisk_history_stages(history, &filter, put_stage, &json, &ret->info);
    return end_list(&json, history, err);
}

brisk_err report_runs(const report_query *q, brisk_str *text, report_result *ret)
{
    if (q->rest[0] != '\0') {
        return write_run(q, text, ret);
    }
    brisk_history *history;
    brisk_json json;
    brisk_history_filter filter = filter_of(q);
    brisk_err err = open_history(q, &history, ret);
    if (err != BRISK_OK) {
        return err;
    }
    begin_list(&json, text, history, "runs");
    if (history != NULL) {
        err = brisk_history_runs(history, &filter, put_run, &json, &ret->info);
    }
    return end_list(&json, history, err);
}

/* --- benchmarks --------------------------------------------------------------------------- */

typedef struct point {
    uint64_t wall_ns;
    double value;
    double low;
    double high;
    char label[64];
} point;

typedef struct line {
    char name[REPORT_NAME_MAX];
    char metric[REPORT_WORD_MAX];
    char unit[16];
    char machine[96];
    BRISK_VEC(point) points;
} line;

typedef struct lines {
    const brisk_alloc *alloc;
    BRISK_VEC(line) items;
    uint64_t points;
    bool full; /* no memory */
} lines;

static line *line_of(lines *all, const brisk_history_benchmark *b)
{
    for (size_t i = 0; i < all->items.count; i++) {
        line *l = &all->items.items[i];
        if (strcmp(l->name, b->name) == 0 && strcmp(l->metric, b->metric) == 0 &&
            strcmp(l->machine, b->machine) == 0) {
            return l;
        }
    }
    line fresh = {.points = {.alloc = all->alloc}};
    if (strlen(b->name) >= sizeof fresh.name || strlen(b->metric) >= sizeof fresh.metric ||
        strlen(b->machine) >= sizeof fresh.machine || strlen(b->unit) >= sizeof fresh.unit) {
        return NULL; /* no benchmark is called that */
    }
    memcpy(fresh.name, b->name, strlen(b->name) + 1);
    memcpy(fresh.metric, b->metric, strlen(b->metric) + 1);
    memcpy(fresh.machine, b->machine, strlen(b->machine) + 1);
    memcpy(fresh.unit, b->unit, strlen(b->unit) + 1);
    if (!BRISK_VEC_PUSH(&all->items, fresh)) {
        all->full = true;
        return NULL;
    }
    return &all->items.items[all->items.count - 1];
}

static bool note_benchmark(void *ctx, const brisk_history_benchmark *b)
{
    lines *all = ctx;
    line *l = isfinite(b->value) ? line_of(all, b) : NULL;
    if (l != NULL) {
        point p = {.wall_ns = b->wall_ns, .value = b->value, .low = b->low, .high = b->high};
        (void)snprintf(p.label, sizeof p.label, "%s", b->label);
        all->full = all->full || !BRISK_VEC_PUSH(&l->points, p);
    }
    return !all->full && ++all->points < POINTS_MAX;
}

static void put_changes(brisk_json *json, const line *l, const brisk_alloc *alloc)
{
    brisk_change_points changes = {0};
    size_t count = l->points.count;
    double *values = count > 0 ? alloc->acquire(alloc->ctx, count * sizeof *values, 8) : NULL;
    brisk_json_array_begin(json, "changes");
    for (size_t i = 0; values != NULL && i < count; i++) {
        values[i] = l->points.items[i].value;
    }
    brisk_change_opts opts = {.alloc = library_alloc(alloc)};
    if (values != NULL && brisk_change_points_find(values, count, &opts, &changes) == BRISK_OK) {
        for (size_t i = 0; i < changes.count; i++) {
            const brisk_change_point *c = &changes.items[i];
            brisk_json_object_begin(json, NULL);
            brisk_json_u64(json, "at", c->at);
            put_time(json, "time_s", l->points.items[c->at].wall_ns);
            brisk_json_double(json, "before", c->before);
            brisk_json_double(json, "after", c->after);
            brisk_json_double(json, "p_value", c->p_value);
            brisk_json_object_end(json);
        }
    }
    brisk_json_array_end(json);
    brisk_change_points_deinit(&changes);
    if (values != NULL) {
        alloc->release(alloc->ctx, values, count * sizeof *values, 8);
    }
}

static void put_line(brisk_json *json, const line *l, const brisk_alloc *alloc)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", l->name);
    brisk_json_str(json, "metric", l->metric);
    brisk_json_str(json, "unit", l->unit);
    brisk_json_str(json, "machine", l->machine);
    brisk_json_array_begin(json, "points");
    for (size_t i = 0; i < l->points.count; i++) {
        const point *p = &l->points.items[i];
        brisk_json_object_begin(json, NULL);
        put_time(json, "time_s", p->wall_ns);
        brisk_json_double(json, "value", p->value);
        brisk_json_double(json, "low", p->low);
        brisk_json_double(json, "high", p->high);
        brisk_json_str(json, "label", p->label);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    put_changes(json, l, alloc);
    brisk_json_object_end(json);
}

brisk_err report_benchmarks(const report_query *q, brisk_str *text, report_result *ret)
{
    const brisk_alloc *alloc = q->server->alloc;
    brisk_history *history;
    brisk_json json;
    brisk_history_filter filter = filter_of(q);
    lines all = {.alloc = alloc, .items = {.alloc = alloc}};
    brisk_err err = open_history(q, &history, ret);
    if (err != BRISK_OK) {
        return err;
    }
    filter.limit = POINTS_MAX;
    filter.newest_first = false; /* changes are found in the order of time */
    if (history != NULL) {
        err = brisk_history_benchmarks(history, &filter, note_benchmark, &all, &ret->info);
    }
    begin_list(&json, text, history, "benchmarks");
    for (size_t i = 0; i < all.items.count; i++) {
        put_line(&json, &all.items.items[i], alloc);
        BRISK_VEC_DEINIT(&all.items.items[i].points);
    }
    BRISK_VEC_DEINIT(&all.items);
    err = end_list(&json, history, err);
    return err == BRISK_OK && all.full ? BRISK_ERR_NOMEM : err;
}

/* --- opportunities ------------------------------------------------------------------------ */

typedef struct durations {
    double ns[RUNS_COMPARED];
    uint64_t commands[RUNS_COMPARED]; /* their hashes */
    uint32_t count;
    bool of_cache;
    const struct durations *like; /* commands of these only; NULL: any */
} durations;

static bool has_command(const durations *d, uint64_t hash)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->commands[i] == hash) {
            return true;
        }
    }
    return false;
}

static bool note_duration(void *ctx, const brisk_history_run *run)
{
    durations *d = ctx;
    uint64_t hash = brisk_hash64(run->command, strlen(run->command), 0);
    if (strcmp(run->outcome, "ok") == 0 && (d->of_cache || run->answered_by[0] == '\0') &&
        (d->like == NULL || has_command(d->like, hash))) {
        d->commands[d->count] = hash;
        d->ns[d->count++] = (double)run->duration_ns;
    }
    return d->count < RUNS_COMPARED;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(durations *d)
{
    if (d->count < RUNS_MIN) {
        return (double)NAN;
    }
    qsort(d->ns, d->count, sizeof d->ns[0], compare);
    return d->ns[d->count / 2];
}

/* What is asked about afterwards: a row's callback must not use the database. */
typedef struct kept {
    char *text; /* JSON, without its last brace */
    size_t size;
    char subject[REPORT_NAME_MAX];
    uint64_t applied_ns; /* 0: it is not */
    bool of_cache;
} kept;

/* NaN: not enough was measured. */
static double measured_gain(brisk_history *history, const kept *k)
{
    durations before = {.of_cache = k->of_cache};
    durations after = {.of_cache = k->of_cache, .like = &before};
    brisk_errinfo info;
    brisk_history_filter filter = {
        .name = k->subject, .until_ns = k->applied_ns, .newest_first = true};
    if (brisk_history_runs(history, &filter, note_duration, &before, &info) != BRISK_OK) {
        return (double)NAN;
    }
    filter = (brisk_history_filter){.name = k->subject, .since_ns = k->applied_ns};
    if (brisk_history_runs(history, &filter, note_duration, &after, &info) != BRISK_OK) {
        return (double)NAN;
    }
    return 1 - median(&after) / median(&before);
}

typedef struct kept_list {
    const brisk_alloc *alloc;
    BRISK_VEC(kept) items;
    bool full;
} kept_list;

static void put_opportunity(brisk_json *json, const brisk_history_opportunity *o)
{
    brisk_json_str(json, "key", o->key);
    put_time(json, "created_s", o->created_ns);
    put_time(json, "updated_s", o->updated_ns);
    brisk_json_str(json, "category", o->category);
    brisk_json_str(json, "priority", o->priority);
    brisk_json_double(json, "estimated_gain", o->gain);
    brisk_json_double(json, "estimated_low", o->gain_low);
    brisk_json_double(json, "estimated_high", o->gain_high);
    brisk_json_double(json, "confidence", o->confidence);
    brisk_json_str(json, "complexity", o->complexity);
    brisk_json_str(json, "description", o->description);
    put_raw(json, "evidence", o->evidence);
    brisk_json_str(json, "source", o->source);
    brisk_json_str(json, "subject", o->subject);
    brisk_json_str(json, "state", o->state);
}

static bool keep_opportunity(void *ctx, const brisk_history_opportunity *o)
{
    kept_list *all = ctx;
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, all->alloc, 1 << 20);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    put_opportunity(&json, o);
    brisk_json_object_end(&json);
    kept k = {.applied_ns = strcmp(o->state, "applied") == 0 ? o->updated_ns : 0,
              .of_cache = strcmp(o->category, "cache") == 0};
    (void)snprintf(k.subject, sizeof k.subject, "%s", o->subject);
    if (brisk_json_finish(&json) == BRISK_OK) {
        k.size = brisk_str_size(&text) - 2; /* "}\n" */
        k.text = all->alloc->acquire(all->alloc->ctx, k.size, 1);
    }
    if (k.text != NULL) {
        memcpy(k.text, brisk_str_text(&text), k.size);
    }
    brisk_str_deinit(&text);
    if (k.text == NULL || !BRISK_VEC_PUSH(&all->items, k)) {
        if (k.text != NULL) {
            all->alloc->release(all->alloc->ctx, k.text, k.size, 1);
        }
        all->full = true;
    }
    return !all->full;
}

static void put_kept(brisk_json *json, brisk_history *history, const kept_list *all)
{
    for (size_t i = 0; i < all->items.count; i++) {
        const kept *k = &all->items.items[i];
        brisk_str text;
        brisk_json gain;
        double measured =
            k->applied_ns != 0 && history != NULL ? measured_gain(history, k) : (double)NAN;
        brisk_str_init(&text, all->alloc, 2 << 20);
        brisk_str_append(&text, k->text, k->size);
        brisk_str_add(&text, ",\"measured_gain\":");
        brisk_json_init(&gain, brisk_str_out(&text), 0);
        brisk_json_double(&gain, NULL, measured);
        brisk_str_add(&text, "}");
        if (brisk_str_err(&text) == BRISK_OK) {
            brisk_json_raw(json, NULL, brisk_str_text(&text), brisk_str_size(&text));
        }
        brisk_str_deinit(&text);
        all->alloc->release(all->alloc->ctx, k->text, k->size, 1);
    }
}

brisk_err report_opportunities(const report_query *q, brisk_str *text, report_result *ret)
{
    const brisk_alloc *alloc = q->server->alloc;
    brisk_history *history;
    brisk_json json;
    brisk_history_filter filter = filter_of(q);
    kept_list all = {.alloc = alloc, .items = {.alloc = alloc}};
    brisk_err err = open_history(q, &history, ret);
    if (err != BRISK_OK) {
        return err;
    }
    if (history != NULL) {
        err = brisk_history_opportunities(history, &filter, keep_opportunity, &all, &ret->info);
    }
    begin_list(&json, text, history, "opportunities");
    put_kept(&json, history, &all);
    BRISK_VEC_DEINIT(&all.items);
    err = end_list(&json, history, err);
    return err == BRISK_OK && all.full ? BRISK_ERR_NOMEM : err;
}
