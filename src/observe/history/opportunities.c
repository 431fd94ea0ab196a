/*
 * opportunities.c -- what the stages of the runs that were kept say could be faster.
 *
 *     the newest RUNS_MAX runs ──► one observation for each stage of each ──► groups by workload and stage ──► rules
 *
 * Rules, each over at least RUNS_MIN observations of a stage, on shares of the run's time on the critical path
 * (a stage beside it gains nothing):
 *   cache     the same command computed the stage again and again, in the same time: what a cache would save
 *   workers   the stage was ready, but waited for a worker
 *   split     one stage on one worker is most of the run: what two workers would save
 *
 * Gains are the median over the runs, their interval the quartiles, the lower one halved: a cache has misses and
 * a split stage has an overhead that nobody has measured yet.  What no longer holds becomes "gone".
 *
 * Threads: none of its own.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brisk/arena.h>
#include <brisk/hash.h>
#include <brisk/stats.h>

#include "base/str.h"
#include "observe/history/command.h"

enum { RUNS_MAX = 500, RUNS_MIN = 5, OBSERVATIONS_MAX = 65536, EVIDENCE_MAX = 4096 };

static const double gain_min = 0.05;           /* of a run; less is not worth anybody's time */
static const double steady_max = 0.10;         /* spread (MAD) of a time that is "the same" */
static const double split_share_min = 0.40;    /* of the run in one stage */
static const double split_ns_min = 1e6;        /* below it, handing out parts costs as much */
static const double confidence_of_cache = 0.8; /* with many runs */
static const double confidence_of_workers = 0.6;
static const double confidence_of_split = 0.3;
static const char source[] = "stage profile";

typedef struct seen_run {
    uint64_t id;
    const char *workload;
    uint64_t command; /* hash */
    double duration_ns;
    bool answered;
} seen_run;

typedef struct observation {
    const char *workload;
    const char *stage;
    uint64_t command;
    double duration_ns;
    double share; /* of the run, 0 beside the critical path */
    double wait_share;
    bool computed;     /* false: answered by a cache */
    bool run_answered; /* by a cache */
} observation;

typedef struct collecting {
    brisk_arena *arena;
    seen_run *runs;
    uint32_t run_count;
    observation *items;
    uint32_t count;
    const seen_run *run; /* whose stages are being read */
    bool no_memory;
} collecting;

/* --- collecting ----------------------------------------------------------------------------- */

static bool on_run(void *ctx, const brisk_history_run *row)
{
    collecting *c = ctx;
    if (strcmp(row->outcome, "ok") != 0 || row->duration_ns == 0) {
        return true;
    }
    const char *workload = brisk_arena_copy(c->arena, row->workload, strlen(row->workload));
    c->no_memory = workload == NULL;
    c->runs[c->run_count] = (seen_run){
        .id = row->id,
        .workload = workload,
        .command = brisk_hash64(row->command, strlen(row->command), 0),
        .duration_ns = (double)row->duration_ns,
        .answered = row->answered_by[0] != '\0',
    };
    c->run_count += c->no_memory ? 0 : 1;
    return !c->no_memory && c->run_count < RUNS_MAX;
}

static bool on_stage(void *ctx, const brisk_history_stage *row)
{
    collecting *c = ctx;
    bool computed = strcmp(row->outcome, "computed") == 0;
    if (!computed && strcmp(row->outcome, "answered") != 0) {
        return true;
    }
    const char *name = brisk_arena_copy(c->arena, row->name, strlen(row->name));
    c->no_memory = name == NULL;
    bool critical = computed && row->critical != 0;
    double share = critical ? (double)row->duration_ns / c->run->duration_ns : 0.0;
    double wait = critical ? (double)row->wait_ns / c->run->duration_ns : 0.0;
    c->items[c->count] = (observation){
        .workload = c->run->workload,
        .stage = name,
        .command = c->run->command,
        .duration_ns = (double)row->duration_ns,
        .share = share < 1.0 ? share : 1.0,
        .wait_share = wait < 1.0 ? wait : 1.0,
        .computed = computed,
        .run_answered = c->run->answered,
    };
    c->count += c->no_memory ? 0 : 1;
    return !c->no_memory && c->count < OBSERVATIONS_MAX;
}

static brisk_err collect(collecting *c, brisk_history *history, brisk_errinfo *info)
{
    c->runs = brisk_arena_calloc(c->arena, RUNS_MAX, sizeof *c->runs);
    c->items = brisk_arena_calloc(c->arena, OBSERVATIONS_MAX, sizeof *c->items);
    c->no_memory = c->runs == NULL || c->items == NULL;
    brisk_history_filter filter = {
        .machine = brisk_history_machine(), .newest_first = true, .limit = 2 * RUNS_MAX};
    brisk_err err = c->no_memory ? BRISK_OK : brisk_history_runs(history, &filter, on_run, c, info);
    for (uint32_t i = 0;
         i < c->run_count && err == BRISK_OK && !c->no_memory && c->count < OBSERVATIONS_MAX; i++) {
        c->run = &c->runs[i];
        filter = (brisk_history_filter){.id = c->runs[i].id};
        err = brisk_history_stages(history, &filter, on_stage, c, info);
    }
    return c->no_memory && err == BRISK_OK ? brisk_errinfo_set(info, BRISK_ERR_NOMEM, "history: %s",
                                                               brisk_err_message(BRISK_ERR_NOMEM))
                                           : err;
}

static int by_stage(const void *a, const void *b)
{
    const observation *x = a;
    const observation *y = b;
    int order = strcmp(x->workload, y->workload);
    order = order != 0 ? order : strcmp(x->stage, y->stage);
    if (order != 0) {
        return order;
    }
    return x->command < y->command ? -1 : x->command > y->command ? 1 : 0;
}

/* --- one stage ------------------------------------------------------------------------------ */

/* All observations of one stage, by command. */
typedef struct group {
    const observation *items;
    uint32_t count;
    uint32_t computed;
    uint32_t answered;  /* the stage itself was, by a cache */
    bool never_cached;  /* it ran where the run was answered: it prepares or delivers */
    uint32_t repeats;   /* computed for a command that had computed it before, in the same time */
    double *values;     /* scratch, `count` of them */
    double duration_ns; /* median */
    double low;         /* quartiles and median of what was asked last */
    double middle;
    double high;
} group;

typedef enum figure { FIGURE_SHARE, FIGURE_WAIT, FIGURE_DURATION } figure;

static double figure_of(const observation *o, figure which)
{
    return which == FIGURE_SHARE ? o->share : which == FIGURE_WAIT ? o->wait_share : o->duration_ns;
}

/* Quartiles over the computed ones of `items`; false when there are none. */
static bool read_quartiles(group *g, const observation *items, uint32_t count, figure which)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].computed) {
            g->values[n++] = figure_of(&items[i], which);
        }
    }
    if (n == 0) {
        return false;
    }
    brisk_sample_sort(g->values, n);
    g->low = brisk_sample_quantile(g->values, n, 0.25);
    g->middle = brisk_sample_median(g->values, n);
    g->high = brisk_sample_quantile(g->values, n, 0.75);
    return true;
}

/* Of one command's observations: all but the first were done before, if they took the same time. */
static uint32_t repeats_of(group *g, const observation *items, uint32_t count)
{
    uint32_t computed = 0;
    for (uint32_t i = 0; i < count; i++) {
        computed += items[i].computed ? 1 : 0;
    }
    if (computed < 3 || !read_quartiles(g, items, count, FIGURE_DURATION)) {
        return 0;
    }
    double median = g->middle;
    for (uint32_t i = 0; i < computed; i++) {
        g->values[i] = fabs(g->values[i] - median);
    }
    brisk_sample_sort(g->values, computed);
    return brisk_sample_median(g->values, computed) <= steady_max * median ? computed - 1 : 0;
}

static void describe_group(group *g)
{
    for (uint32_t i = 0; i < g->count; i++) {
        g->computed += g->items[i].computed ? 1 : 0;
        g->answered += g->items[i].computed ? 0 : 1;
        g->never_cached = g->never_cached || (g->items[i].computed && g->items[i].run_answered);
    }
    for (uint32_t i = 0; i < g->count;) {
        uint32_t end = i + 1;
        while (end < g->count && g->items[end].command == g->items[i].command) {
            end++;
        }
        g->repeats += repeats_of(g, &g->items[i], end - i);
        i = end;
    }
    g->duration_ns = read_quartiles(g, g->items, g->count, FIGURE_DURATION) ? g->middle : 0.0;
}

/* --- rules ---------------------------------------------------------------------------------- */

typedef struct finding {
    const char *rule; /* last word of the key */
    const char *category;
    const char *complexity;
    double scale; /* of the quartiles' share that would be saved */
    double confidence;
    char words[512];
} finding;

static brisk_err put(brisk_history *history, const group *g, const finding *f, brisk_errinfo *info)
{
    char key[256];
    const observation *first = g->items;
    (void)snprintf(key, sizeof key, "stage:%.80s:%.120s:%s", first->workload, first->stage,
                   f->rule);
    brisk_str evidence;
    brisk_json json;
    brisk_str_init(&evidence, NULL, EVIDENCE_MAX);
    brisk_json_init(&json, brisk_str_out(&evidence), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "workload", first->workload);
    brisk_json_str(&json, "stage", first->stage);
    brisk_json_u64(&json, "runs", g->count);
    brisk_json_u64(&json, "computed", g->computed);
    brisk_json_u64(&json, "answered", g->answered);
    brisk_json_u64(&json, "repeats", g->repeats);
    brisk_json_double(&json, "median_ns", g->duration_ns);
    brisk_json_double(&json, "share_low", g->low);
    brisk_json_double(&json, "share_median", g->middle);
    brisk_json_double(&json, "share_high", g->high);
    brisk_json_object_end(&json);
    brisk_err err = brisk_json_finish(&json);
    double gain = g->middle * f->scale;
    brisk_history_opportunity opportunity = {
        .key = key,
        .category = f->category,
        .priority = gain >= 0.3    ? "high"
                    : gain >= 0.15 ? "medium"
                                   : "low",
        .gain = gain,
        .gain_low = g->low * f->scale / 2,
        .gain_high = g->high * f->scale,
        .confidence = f->confidence * (1.0 - 1.0 / sqrt((double)g->computed)),
        .complexity = f->complexity,
        .description = f->words,
        .evidence = brisk_str_text(&evidence),
        .source = source,
        .subject = first->workload,
    };
    err = err == BRISK_OK ? brisk_history_put_opportunity(history, &opportunity, NULL, info)
                          : brisk_errinfo_set(info, err, "history: %s", brisk_err_message(err));
    brisk_str_deinit(&evidence);
    return err;
}

static bool find_cache(group *g, finding *ret)
{
    if (g->never_cached || g->repeats < 2 || g->answered > g->repeats ||
        !read_quartiles(g, g->items, g->count, FIGURE_SHARE)) {
        return false;
    }
    *ret = (finding){.rule = "cache",
                     .category = g->answered > 0 ? "configuration" : "cache",
                     .complexity = g->answered > 0 ? "low" : "medium",
                     .scale = (double)g->repeats / g->count,
                     .confidence = confidence_of_cache};
    (void)snprintf(ret->words, sizeof ret->words,
                   "%.80s computed stage %.80s %" PRIu32 " of %" PRIu32
                   " times for a command that had computed it before, in the same time: %s.",
                   g->items->workload, g->items->stage, g->repeats, g->count,
                   g->answered > 0 ? "it is cached, but the cache is too small, was cleared or "
                                     "was left out (--no-cache)"
                                   : "remember its result (a key, or a memo)");
    return g->middle * ret->scale >= gain_min;
}

static bool find_workers(group *g, finding *ret)
{
    if (!read_quartiles(g, g->items, g->count, FIGURE_WAIT)) {
        return false;
    }
    *ret = (finding){.rule = "workers",
                     .category = "parallelism",
                     .complexity = "low",
                     .scale = 1.0,
                     .confidence = confidence_of_workers};
    (void)snprintf(ret->words, sizeof ret->words,
                   "Stage %.80s of %.80s was ready, but waited for a worker for %.0f %% of the "
                   "run: more workers (engine.workers), or less beside it.",
                   g->items->stage, g->items->workload, g->middle * 100);
    return g->middle >= gain_min;
}

static bool find_split(group *g, finding *ret)
{
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || g->duration_ns < split_ns_min ||
        !read_quartiles(g, g->items, g->count, FIGURE_SHARE)) {
        return false;
    }
    *ret = (finding){.rule = "split",
                     .category = "parallelism",
                     .complexity = "high",
                     .scale = 0.5,
                     .confidence = confidence_of_split};
    (void)snprintf(ret->words, sizeof ret->words,
                   "Stage %.80s is %.0f %% of %.80s and runs on one worker: in two parts "
                   "(brisk_stage_for) it would take half as long, if its work can be divided.",
                   g->items->stage, g->middle * 100, g->items->workload);
    return g->middle >= split_share_min;
}

static bool (*const rules[])(group *g, finding *ret) = {find_cache, find_workers, find_split};
static const char *const rule_names[] = {"cache", "workers", "split"};

/* What was open and no longer holds. */
static brisk_err end_rule(brisk_history *history, const group *g, const char *rule,
                          brisk_errinfo *info);

static brisk_err look_at(brisk_history *history, group *g, brisk_errinfo *info)
{
    describe_group(g);
    brisk_err err = BRISK_OK;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0] && err == BRISK_OK; i++) {
        finding f;
        err =
            rules[i](g, &f) ? put(history, g, &f, info) : end_rule(history, g, rule_names[i], info);
    }
    return err;
}

static bool is_open(void *ctx, const brisk_history_opportunity *row)
{
    *(bool *)ctx = true;
    (void)row;
    return false;
}

static brisk_err end_rule(brisk_history *history, const group *g, const char *rule,
                          brisk_errinfo *info)
{
    char key[256];
    bool open = false;
    (void)snprintf(key, sizeof key, "stage:%.80s:%.120s:%s", g->items->workload, g->items->stage,
                   rule);
    brisk_history_filter filter = {
        .name = key, .state = "open", .machine = brisk_history_machine()};
    brisk_err err = brisk_history_opportunities(history, &filter, is_open, &open, info);
    return err == BRISK_OK && open ? brisk_history_set_opportunity(history, key, NULL, "gone", info)
                                   : err;
}

static brisk_err look_at_all(collecting *c, brisk_history *history, brisk_errinfo *info)
{
    double *values = brisk_arena_calloc(c->arena, c->count, sizeof *values);
    if (values == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "history: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    qsort(c->items, c->count, sizeof *c->items, by_stage);
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < c->count && err == BRISK_OK;) {
        uint32_t end = i + 1;
        while (end < c->count && strcmp(c->items[end].workload, c->items[i].workload) == 0 &&
               strcmp(c->items[end].stage, c->items[i].stage) == 0) {
            end++;
        }
        group g = {.items = &c->items[i], .count = end - i, .values = values};
        err = g.count >= RUNS_MIN ? look_at(history, &g, info) : BRISK_OK;
        i = end;
    }
    return err;
}

brisk_err history_renew_opportunities(brisk_history *history, brisk_errinfo *info)
{
    collecting c = {0};
    brisk_err err = brisk_arena_create(NULL, &c.arena);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "history: %s", brisk_err_message(err));
    }
    err = collect(&c, history, info);
    err = err == BRISK_OK && c.count > 0 ? look_at_all(&c, history, info) : err;
    brisk_arena_destroy(c.arena);
    return err;
}
