/*
 * rank.c -- which single change saves the most, and keeping that as opportunities.
 *
 * Asked for every stage: twice as fast, remembered, and, where it runs on one thread, cut in as many parts as there
 * are processors; for the job: its answer remembered, twice the workers, twice the processors.  "Remembered" is
 * the most that any change of a stage can save, so it is asked first, and what cannot save anything is
 * asked no further.
 *
 * An opportunity's key is "whatif:WORKLOAD:CHANGE", so that the next profile renews it.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "observe/stage/question.h"

enum { TEXT_MAX = 512, EVIDENCE_MAX = 2048, KEY_MAX = 256 };

static const double WORTH = 0.02; /* share of the time from which an opportunity is one */
static const char *const SOURCE = "stage profile";

/* --- ranking ------------------------------------------------------------------------------ */

typedef struct ranking {
    question *q;
    brisk_whatif_answer *best;
    uint32_t max;
    uint32_t count;
    brisk_errinfo *info;
} ranking;

/* Into its place; what falls off the end is forgotten. */
static void keep(ranking *r, const brisk_whatif_answer *answer)
{
    uint32_t at = r->count;
    while (at > 0 && r->best[at - 1].gain < answer->gain) {
        at--;
    }
    if (at >= r->max) {
        return;
    }
    r->count += r->count < r->max ? 1 : 0;
    memmove(&r->best[at + 1], &r->best[at], (r->count - 1 - at) * sizeof *answer);
    r->best[at] = *answer;
}

static brisk_err try(ranking *r, brisk_whatif_kind kind, const char *stage, double amount)
{
    brisk_whatif_change change = {.kind = kind, .amount = amount};
    (void)snprintf(change.stage, sizeof change.stage, "%s", stage);
    brisk_whatif_answer answer;
    brisk_err err = question_answer(r->q, &change, 1, &answer, r->info);
    if (err == BRISK_OK) {
        keep(r, &answer);
    }
    return err;
}

static brisk_err try_stage(ranking *r, uint32_t index)
{
    const brisk_stage_run *run = r->q->typical;
    const brisk_stage_times *stage = &run->stages[index];
    uint32_t at_once = run->cores > 0 && run->cores < run->threads ? run->cores : run->threads;
    brisk_err err = try(r, BRISK_WHATIF_FASTER, stage->name, 2);
    if (err == BRISK_OK && stage->computes && strcmp(stage->name, "cache_store") != 0) {
        err = try(r, BRISK_WHATIF_CACHED, stage->name, 1);
    }
    /* What waits outside for most of its time may wait as long in parts. */
    bool waits = run->profiled && stage->cpu_ns + stage->delay_ns < stage->ns / 2;
    bool whole = stage->items < at_once && !waits;
    if (err == BRISK_OK && at_once > 1 && at_once <= SIM_UNITS_MAX && whole) {
        err = try(r, BRISK_WHATIF_SPLIT, stage->name, at_once);
    }
    return err;
}

static brisk_err try_job(ranking *r)
{
    const brisk_stage_run *run = r->q->typical;
    bool saves = false;
    for (uint32_t i = 0; i < run->stage_count; i++) {
        saves |= r->q->saved[i];
    }
    brisk_err err = saves ? try(r, BRISK_WHATIF_CACHED, "", 1) : BRISK_OK;
    if (err == BRISK_OK && run->workers > 0 && run->workers * 2 <= BRISK_EXECUTOR_WORKERS_MAX) {
        err = try(r, BRISK_WHATIF_WORKERS, "", run->workers * 2);
    }
    if (err == BRISK_OK && run->cores > 0 && run->cores * 2 <= BRISK_EXECUTOR_WORKERS_MAX) {
        err = try(r, BRISK_WHATIF_CORES, "", run->cores * 2);
    }
    return err;
}

brisk_err brisk_whatif_rank(const brisk_stage_profile *profile, const brisk_whatif_opts *opts,
                            brisk_whatif_answer *ret, uint32_t max, uint32_t *ret_count,
                            brisk_errinfo *info)
{
    question q;
    ranking r = {.q = &q, .best = ret, .max = max, .info = info};
    brisk_err err = question_init(&q, profile, opts, info);
    if (err == BRISK_OK) {
        question_replay_base(&q);
        err = try_job(&r);
    }
    for (uint32_t i = 0; err == BRISK_OK && i < q.typical->stage_count; i++) {
        err = try_stage(&r, i);
    }
    question_deinit(&q);
    if (err == BRISK_OK) {
        *ret_count = r.count;
    }
    return err;
}

/* --- remembering -------------------------------------------------------------------------- */

typedef struct buffer {
    char text[EVIDENCE_MAX];
    size_t size;
} buffer;

static brisk_err buffer_write(void *ctx, const char *data, size_t size)
{
    buffer *b = ctx;
    if (size >= sizeof b->text - b->size) {
        return BRISK_ERR_FULL;
    }
    memcpy(b->text + b->size, data, size);
    b->size += size;
    b->text[b->size] = '\0';
    return BRISK_OK;
}

static void describe(const brisk_whatif_answer *answer, const char *workload, char *text,
                     size_t size)
{
    const brisk_whatif_change *c = &answer->change;
    double percent = answer->gain * 100;
    switch (c->kind) {
    case BRISK_WHATIF_FASTER:
        (void)snprintf(text, size,
                       "%s: were %s %g times as fast, the job would take %.1f %% less time.",
                       workload, c->stage, c->amount, percent);
        break;
    case BRISK_WHATIF_CACHED:
        (void)snprintf(text, size,
                       "%s: were %s remembered instead of computed, the job would take %.1f %% "
                       "less time.",
                       workload, c->stage[0] != '\0' ? c->stage : "its answer", percent);
        break;
    case BRISK_WHATIF_SPLIT:
        (void)snprintf(text, size,
                       "%s: were %s cut into %g parts that run side by side, the job would take "
                       "%.1f %% less time.",
                       workload, c->stage, c->amount, percent);
        break;
    case BRISK_WHATIF_WORKERS:
    case BRISK_WHATIF_CORES:
        (void)snprintf(text, size, "%s: with %g %s the job would take %.1f %% less time.", workload,
                       c->amount, c->kind == BRISK_WHATIF_CORES ? "processors" : "worker threads",
                       percent);
        break;
    }
}

static brisk_err write_evidence(const brisk_whatif_answer *answer, const char *change, buffer *ret)
{
    brisk_json json;
    brisk_json_init(&json, (brisk_out){buffer_write, ret}, 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "change", change);
    brisk_json_str(&json, "method", "replay of the measured stage graph");
    brisk_json_double(&json, "before_ns", answer->before_ns);
    brisk_json_double(&json, "after_ns", answer->after_ns);
    brisk_json_double(&json, "replay_error", answer->replay_error);
    brisk_json_u64(&json, "runs", answer->runs);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static const char *category_of(brisk_whatif_kind kind)
{
    switch (kind) {
    case BRISK_WHATIF_FASTER: return "hotspot";
    case BRISK_WHATIF_CACHED: return "cache";
    case BRISK_WHATIF_SPLIT: return "parallelism";
    case BRISK_WHATIF_WORKERS:
    case BRISK_WHATIF_CORES: return "configuration";
    }
    return "hotspot";
}

static const char *complexity_of(brisk_whatif_kind kind)
{
    switch (kind) {
    case BRISK_WHATIF_FASTER: return "high";
    case BRISK_WHATIF_CACHED:
    case BRISK_WHATIF_SPLIT: return "medium";
    case BRISK_WHATIF_WORKERS:
    case BRISK_WHATIF_CORES: return "low";
    }
    return "high";
}

/* The lower bound is what can be counted on; without one the estimate is. */
static double sure_gain(const brisk_whatif_answer *answer)
{
    return isnan(answer->low) ? answer->gain : answer->low;
}

/* From a wide interval, or few runs, little follows. */
static double confidence_of(const brisk_whatif_answer *answer)
{
    if (isnan(answer->low) || answer->gain <= 0) {
        return 0.3;
    }
    double width = (answer->high - answer->low) / answer->gain;
    return fmax(0.3, fmin(0.95, 1.0 - width / 2));
}

static void make_key(const char *workload, const char *change, char key[KEY_MAX])
{
    (void)snprintf(key, KEY_MAX, "whatif:%s:%s", workload, change);
}

static brisk_err put(brisk_history *history, const char *workload,
                     const brisk_whatif_answer *answer, brisk_errinfo *info)
{
    char change[BRISK_WHATIF_NAME_MAX + 32];
    char key[KEY_MAX];
    char description[TEXT_MAX];
    buffer evidence = {.size = 0};
    brisk_whatif_format(&answer->change, change, sizeof change);
    make_key(workload, change, key);
    describe(answer, workload, description, sizeof description);
    brisk_err err = write_evidence(answer, change, &evidence);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "an opportunity's evidence: %s",
                                 brisk_err_message(err));
    }
    double sure = sure_gain(answer);
    brisk_history_opportunity row = {
        .key = key,
        .category = category_of(answer->change.kind),
        .priority = sure >= 0.4    ? "critical"
                    : sure >= 0.2  ? "high"
                    : sure >= 0.08 ? "medium"
                                   : "low",
        .gain = answer->gain,
        .gain_low = answer->low,
        .gain_high = answer->high,
        .confidence = confidence_of(answer),
        .complexity = complexity_of(answer->change.kind),
        .description = description,
        .evidence = evidence.text,
        .source = SOURCE,
        .subject = workload,
    };
    return brisk_history_put_opportunity(history, &row, NULL, info);
}

/* What the history has of this workload and nobody renewed. */
typedef struct stale {
    const char *workload;
    const brisk_whatif_answer *answers;
    uint32_t count;
    char key[KEY_MAX]; /* one at a time: a row's callback must not use the handle */
} stale;

static bool is_renewed(const stale *s, const char *key)
{
    for (uint32_t i = 0; i < s->count; i++) {
        char change[BRISK_WHATIF_NAME_MAX + 32];
        char own[KEY_MAX];
        brisk_whatif_format(&s->answers[i].change, change, sizeof change);
        make_key(s->workload, change, own);
        if (strcmp(own, key) == 0 && sure_gain(&s->answers[i]) >= WORTH) {
            return true;
        }
    }
    return false;
}

static bool find_stale(void *ctx, const brisk_history_opportunity *row)
{
    stale *s = ctx;
    if (strncmp(row->key, "whatif:", 7) == 0 && strcmp(row->subject, s->workload) == 0 &&
        strlen(row->key) < sizeof s->key && !is_renewed(s, row->key)) {
        (void)snprintf(s->key, sizeof s->key, "%s", row->key);
        return false;
    }
    return true;
}

/* Those that were put before and are no longer so: at most as many as could be ranked. */
static brisk_err drop_stale(brisk_history *history, stale *s, brisk_errinfo *info)
{
    for (uint32_t round = 0; round < BRISK_WHATIF_STAGES_MAX * 4; round++) {
        s->key[0] = '\0';
        brisk_history_filter open = {.state = "open", .machine = brisk_history_machine()};
        brisk_err err = brisk_history_opportunities(history, &open, find_stale, s, info);
        if (err != BRISK_OK || s->key[0] == '\0') {
            return err;
        }
        err = brisk_history_set_opportunity(history, s->key, NULL, "gone", info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return BRISK_OK;
}

brisk_err brisk_whatif_remember(const brisk_stage_profile *profile,
                                const brisk_whatif_answer *answers, uint32_t count,
                                brisk_history *history, uint32_t *ret, brisk_errinfo *info)
{
    uint32_t put_count = 0;
    if (brisk_stage_profile_count(profile) == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "a profile without runs");
    }
    const char *workload = brisk_stage_profile_at(profile, 0)->workload;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < count && err == BRISK_OK; i++) {
        if (sure_gain(&answers[i]) >= WORTH) {
            err = put(history, workload, &answers[i], info);
            put_count++;
        }
    }
    if (err == BRISK_OK) {
        stale s = {.workload = workload, .answers = answers, .count = count};
        err = drop_stale(history, &s, info);
    }
    if (err == BRISK_OK && ret != NULL) {
        *ret = put_count;
    }
    return err;
}
