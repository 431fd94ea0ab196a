/*
 * whatif.c -- questions, and their answers from every run that was measured.
 *
 *     run r ──► base[r] = replay as it was        new[r] = replay with the changes
 *     gain = 1 - median(new) / median(base)       bootstrap over runs, base and new drawn together
 *
 * A change that is CACHED with hit rate p is two graphs, with the stage and without: their times, not the stage's,
 * are averaged, for half of a stage that hides another one is not half of the gain.  Several such changes
 * are independent of each other.
 *
 * The interval has two parts: how the runs differ, from the bootstrap, and how far the replay of a run, unchanged, is
 * from what was measured (median over the runs), by which it is widened on both sides.
 *
 * Source: the list schedule of the measured graph instead of Amdahl's law, as in causal profiling (C. Curtsinger,
 * E. Berger, Coz, SOSP 2015), of which virtual.c is the live counterpart.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/stats.h>

#include "base/assert.h"
#include "observe/stage/question.h"

enum { RUNS_FOR_INTERVAL = 5, RESAMPLES_DEFAULT = 2000 };

/* --- words -------------------------------------------------------------------------------- */

/* A number from 0 on that ends the text, or ends in `unit`; negative when it is none. */
static double number_of(const char *text, const char *unit)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return -1;
    }
    errno = 0;
    double value = strtod(text, &end);
    bool ok = errno == 0 && isfinite(value) && strcmp(end, unit) == 0;
    return ok && strpbrk(text, "xX") == (*unit != '\0' ? end : NULL) ? value : -1; /* no 0x10 */
}

static bool is_whole(double value, double max)
{
    return value >= 1 && value <= max && value <= floor(value);
}

static bool set_change(brisk_whatif_change *change, brisk_whatif_kind kind, double amount)
{
    change->kind = kind;
    change->amount = amount;
    switch (kind) {
    case BRISK_WHATIF_FASTER: return amount > 0 && amount <= 1e9;
    case BRISK_WHATIF_CACHED: return amount >= 0 && amount <= 1;
    case BRISK_WHATIF_SPLIT: return is_whole(amount, SIM_UNITS_MAX);
    case BRISK_WHATIF_WORKERS:
    case BRISK_WHATIF_CORES: return is_whole(amount, BRISK_EXECUTOR_WORKERS_MAX);
    }
    return false;
}

/* What stands behind "STAGE:". */
static bool parse_of_stage(const char *what, brisk_whatif_change *change)
{
    if (strcmp(what, "cached") == 0) {
        return set_change(change, BRISK_WHATIF_CACHED, 1.0);
    }
    if (strncmp(what, "cached=", 7) == 0) {
        return set_change(change, BRISK_WHATIF_CACHED, number_of(what + 7, ""));
    }
    if (strncmp(what, "split=", 6) == 0) {
        return set_change(change, BRISK_WHATIF_SPLIT, number_of(what + 6, ""));
    }
    return set_change(change, BRISK_WHATIF_FASTER, number_of(what, "x"));
}

static bool parse_of_job(const char *what, brisk_whatif_change *change)
{
    if (strcmp(what, "cached") == 0 || strncmp(what, "cached=", 7) == 0) {
        return parse_of_stage(what, change);
    }
    if (strncmp(what, "workers=", 8) == 0) {
        return set_change(change, BRISK_WHATIF_WORKERS, number_of(what + 8, ""));
    }
    return strncmp(what, "cores=", 6) == 0 &&
           set_change(change, BRISK_WHATIF_CORES, number_of(what + 6, ""));
}

brisk_err brisk_whatif_parse(const char *text, brisk_whatif_change *ret, brisk_errinfo *info)
{
    brisk_whatif_change change = {.stage = ""};
    const char *colon = strrchr(text, ':');
    size_t size = colon != NULL ? (size_t)(colon - text) : 0;
    bool ok = size < sizeof change.stage && (colon == NULL || size > 0);
    if (ok) {
        memcpy(change.stage, text, size);
        change.stage[size] = '\0';
        ok = colon != NULL ? parse_of_stage(colon + 1, &change) : parse_of_job(text, &change);
    }
    if (!ok) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "'%.60s' is no change: STAGE:2x, STAGE:cached=0.8, STAGE:split=4, "
                                 "cached=0.8, workers=4, cores=4",
                                 text);
    }
    *ret = change;
    return BRISK_OK;
}

void brisk_whatif_format(const brisk_whatif_change *change, char *buffer, size_t size)
{
    const char *colon = change->stage[0] != '\0' ? ":" : "";
    switch (change->kind) {
    case BRISK_WHATIF_FASTER:
        (void)snprintf(buffer, size, "%s%s%gx", change->stage, colon, change->amount);
        break;
    case BRISK_WHATIF_CACHED:
        if (change->amount >= 1) {
            (void)snprintf(buffer, size, "%s%scached", change->stage, colon);
        } else {
            (void)snprintf(buffer, size, "%s%scached=%g", change->stage, colon, change->amount);
        }
        break;
    case BRISK_WHATIF_SPLIT:
        (void)snprintf(buffer, size, "%s%ssplit=%g", change->stage, colon, change->amount);
        break;
    case BRISK_WHATIF_WORKERS: (void)snprintf(buffer, size, "workers=%g", change->amount); break;
    case BRISK_WHATIF_CORES: (void)snprintf(buffer, size, "cores=%g", change->amount); break;
    }
}

/* --- changing a graph --------------------------------------------------------------------- */

/* Its own and the pieces' work gone, and the wait for a thread with it. */
static void drop_work(sim_node *node)
{
    node->serial = 0;
    node->unit = 0;
    node->units = 0;
    node->lag = 0;
}

static void split(sim_node *node, uint32_t parts)
{
    double work = node->serial + node->unit * node->units;
    node->units = node->units > parts ? node->units : parts;
    node->unit = work / node->units;
    node->serial = 0;
}

static void set_workers(sim_graph *graph, uint32_t workers)
{
    graph->threads = graph->threads - graph->workers + workers;
    graph->threads = graph->threads > 0 ? graph->threads : 1;
    graph->workers = workers;
}

/* Stages that a hit of the job's cache saves: all that compute, and the storing. */
static bool is_saved_by_cache(const question *q, uint32_t index)
{
    return q->saved[index];
}

static void apply(const question *q, const asked *a, bool hit, sim_graph *graph)
{
    switch (a->change->kind) {
    case BRISK_WHATIF_FASTER:
        graph->nodes[a->stage].serial /= a->change->amount;
        graph->nodes[a->stage].unit /= a->change->amount;
        break;
    case BRISK_WHATIF_CACHED:
        for (uint32_t i = 0; hit && i < graph->count; i++) {
            if (a->stage == i || (a->stage == UINT32_MAX && is_saved_by_cache(q, i))) {
                drop_work(&graph->nodes[i]);
            }
        }
        break;
    case BRISK_WHATIF_SPLIT: split(&graph->nodes[a->stage], (uint32_t)a->change->amount); break;
    case BRISK_WHATIF_WORKERS: set_workers(graph, (uint32_t)a->change->amount); break;
    case BRISK_WHATIF_CORES:
        graph->cores = (uint32_t)a->change->amount;
        if (graph->workers < graph->cores) {
            set_workers(graph, graph->cores);
        }
        break;
    }
}

/* The run's time with all changes: the mean over what may be cached and what not. */
static double replay_changed(const question *q, const sim_graph *base)
{
    double mean = 0;
    for (uint32_t hits = 0; hits < UINT32_C(1) << q->cached_count; hits++) {
        sim_graph graph = *base;
        double weight = 1;
        uint32_t cached = 0;
        for (uint32_t i = 0; i < q->count; i++) {
            bool hit = false;
            if (q->asked[i].change->kind == BRISK_WHATIF_CACHED) {
                hit = (hits >> cached++ & 1) != 0;
                weight *= hit ? q->asked[i].change->amount : 1 - q->asked[i].change->amount;
            }
            apply(q, &q->asked[i], hit, &graph);
        }
        mean += weight > 0 ? weight * sim_run(&graph, NULL) : 0;
    }
    return mean;
}

/* --- asking ------------------------------------------------------------------------------- */

static bool has_same_stages(const brisk_stage_run *a, const brisk_stage_run *b)
{
    bool same = a->stage_count == b->stage_count;
    for (uint32_t i = 0; same && i < a->stage_count; i++) {
        same = strcmp(a->stages[i].name, b->stages[i].name) == 0;
    }
    return same;
}

/* What CACHED without a stage saves: what says so itself, or was saved in one of the runs. */
static void find_saved(question *q)
{
    for (uint32_t i = 0; i < q->typical->stage_count; i++) {
        q->saved[i] = q->typical->stages[i].computes;
        for (uint32_t r = 0; r < brisk_stage_profile_count(q->profile); r++) {
            const brisk_stage_run *run = brisk_stage_profile_at(q->profile, r);
            uint32_t same = stage_find(run, q->typical->stages[i].name);
            q->saved[i] |= same != UINT32_MAX && run->stages[same].how == BRISK_HOW_ANSWERED;
        }
    }
}

brisk_err question_init(question *q, const brisk_stage_profile *profile,
                        const brisk_whatif_opts *opts, brisk_errinfo *info)
{
    *q = (question){.profile = profile};
    q->opts = opts != NULL ? *opts : (brisk_whatif_opts){0};
    q->opts.alloc = q->opts.alloc != NULL ? q->opts.alloc : brisk_alloc_libc();
    q->opts.confidence = q->opts.confidence > 0 ? q->opts.confidence : 0.95;
    q->opts.resamples = q->opts.resamples != 0 ? q->opts.resamples : RESAMPLES_DEFAULT;
    uint32_t typical = brisk_stage_profile_typical(profile);
    const brisk_stage_run *run =
        typical != UINT32_MAX ? brisk_stage_profile_at(profile, typical) : NULL;
    if (run == NULL || !stage_run_is_computed(run)) {
        return brisk_errinfo_set(
            info, BRISK_ERR_NOT_FOUND,
            "no run in which every stage was computed: ask again with --no-cache");
    }
    q->typical = run;
    find_saved(q);
    size_t bytes = brisk_stage_profile_count(profile) * 3 * sizeof(double);
    q->base = q->opts.alloc->acquire(q->opts.alloc->ctx, bytes, _Alignof(double));
    if (q->base == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "no memory to replay %u runs",
                                 brisk_stage_profile_count(profile));
    }
    q->changed = q->base + brisk_stage_profile_count(profile);
    q->scratch = q->changed + brisk_stage_profile_count(profile);
    return BRISK_OK;
}

void question_deinit(question *q)
{
    if (q->base != NULL) {
        size_t bytes = brisk_stage_profile_count(q->profile) * 3 * sizeof(double);
        q->opts.alloc->release(q->opts.alloc->ctx, q->base, bytes, _Alignof(double));
    }
}

/* The changes, checked, and each with its stage's index. */
static brisk_err take_changes(question *q, const brisk_whatif_change *changes, uint32_t count,
                              brisk_errinfo *info)
{
    if (count > BRISK_WHATIF_CHANGES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%u changes, at most %d", count,
                                 BRISK_WHATIF_CHANGES_MAX);
    }
    q->count = count;
    q->cached_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        brisk_whatif_change copy = changes[i];
        bool of_job = changes[i].kind == BRISK_WHATIF_WORKERS ||
                      changes[i].kind == BRISK_WHATIF_CORES ||
                      (changes[i].kind == BRISK_WHATIF_CACHED && changes[i].stage[0] == '\0');
        q->asked[i] = (asked){.change = &changes[i], .stage = UINT32_MAX};
        if (!set_change(&copy, copy.kind, copy.amount)) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID, "change %u: impossible amount", i);
        }
        if (!of_job) {
            q->asked[i].stage = stage_find(q->typical, changes[i].stage);
        }
        if (!of_job && q->asked[i].stage == UINT32_MAX) {
            return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s has no stage '%.40s'",
                                     q->typical->workload, changes[i].stage);
        }
        q->cached_count += changes[i].kind == BRISK_WHATIF_CACHED ? 1 : 0;
    }
    if (q->cached_count > BRISK_WHATIF_CACHED_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "at most %d of the changes may be cached",
                                 BRISK_WHATIF_CACHED_MAX);
    }
    return BRISK_OK;
}

static bool counts(const question *q, const brisk_stage_run *run)
{
    return stage_run_is_computed(run) && has_same_stages(run, q->typical);
}

void question_replay_base(question *q)
{
    double *elapsed = q->changed; /* not needed yet */
    uint32_t runs = 0;
    for (uint32_t i = 0; i < brisk_stage_profile_count(q->profile); i++) {
        const brisk_stage_run *run = brisk_stage_profile_at(q->profile, i);
        if (!counts(q, run)) {
            continue;
        }
        sim_graph graph;
        sim_from_run(run, true, &graph);
        double pure = sim_run(&graph, NULL);
        elapsed[runs] = (double)run->elapsed_ns;
        q->scratch[runs] = run->elapsed_ns > 0 ? fabs(pure / elapsed[runs] - 1) : 0;
        sim_from_run(run, false, &graph);
        q->base[runs] = fmax(1.0, sim_run(&graph, NULL));
        runs++;
    }
    BRISK_ASSERT(runs > 0); /* the typical run counts */
    brisk_sample_sort(q->scratch, runs);
    q->replay_error = brisk_sample_median(q->scratch, runs);
    brisk_sample_sort(elapsed, runs);
    q->before_ns = brisk_sample_median(elapsed, runs);
    q->runs = runs;
}

static double median_of(question *q, const double *values)
{
    memcpy(q->scratch, values, q->runs * sizeof *values);
    brisk_sample_sort(q->scratch, q->runs);
    return brisk_sample_median(q->scratch, q->runs);
}

/* Whether anything differs: when nothing does there is nothing to resample. */
static bool differs(const question *q)
{
    for (uint32_t i = 0; i < q->runs; i++) {
        if (fabs(q->changed[i] - q->base[i]) > q->base[i] * 1e-9) {
            return true;
        }
    }
    return false;
}

brisk_err question_answer(question *q, const brisk_whatif_change *changes, uint32_t count,
                          brisk_whatif_answer *ret, brisk_errinfo *info)
{
    brisk_err err = take_changes(q, changes, count, info);
    if (err != BRISK_OK) {
        return err;
    }
    uint32_t runs = 0;
    for (uint32_t i = 0; i < brisk_stage_profile_count(q->profile); i++) {
        const brisk_stage_run *run = brisk_stage_profile_at(q->profile, i);
        if (counts(q, run)) {
            sim_graph graph;
            sim_from_run(run, false, &graph);
            q->changed[runs++] = fmax(1.0, replay_changed(q, &graph));
        }
    }
    double gain = differs(q) ? 1 - median_of(q, q->changed) / median_of(q, q->base) : 0;
    brisk_whatif_answer answer = {
        .gain = gain,
        .low = (double)NAN,
        .high = (double)NAN,
        .before_ns = q->before_ns,
        .after_ns = q->before_ns * (1 - gain),
        .replay_error = q->replay_error,
        .runs = runs,
    };
    if (count > 0) {
        answer.change = changes[0];
    }
    if (runs >= RUNS_FOR_INTERVAL) {
        brisk_interval ratio = {.low = 1, .high = 1};
        brisk_bootstrap_opts bootstrap = {.confidence = q->opts.confidence,
                                          .resamples = q->opts.resamples,
                                          .paired = true,
                                          .seed = q->opts.seed,
                                          .alloc = q->opts.alloc};
        if (differs(q)) {
            brisk_two_samples two = {q->base, q->changed, runs, runs};
            err = brisk_compare_medians(&two, &bootstrap, &ratio);
        }
        answer.low = fmin(gain, 1 - ratio.high) - q->replay_error;
        answer.high = fmin(1.0, fmax(gain, 1 - ratio.low) + q->replay_error);
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "what if: %s", brisk_err_message(err));
    }
    *ret = answer;
    return BRISK_OK;
}

brisk_err brisk_whatif_ask(const brisk_stage_profile *profile, const brisk_whatif_change *changes,
                           uint32_t count, const brisk_whatif_opts *opts, brisk_whatif_answer *ret,
                           brisk_errinfo *info)
{
    question q;
    brisk_err err = question_init(&q, profile, opts, info);
    if (err == BRISK_OK) {
        question_replay_base(&q);
        err = question_answer(&q, changes, count, ret, info);
    }
    question_deinit(&q);
    return err;
}
