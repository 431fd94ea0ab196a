/*
 * profile.c -- runs of one job, copied and checked.
 *
 * Runs come from a job of this process, a file or a database, and are believed only here: names that fit, stages
 * within the limit, edges between stages that exist and without a cycle, and times whose sums fit 64 bits.
 *
 * Invariant: the runs of a profile name one workload; a kept run passed check().
 */
#include "observe/stage/profile.h"

#include <string.h>

#include "base/assert.h"

enum { FIRST_CAPACITY = 16 };

static const uint64_t TIME_NS_MAX = UINT64_C(1) << 56; /* two years; sums of 128 fit 64 bits */

brisk_err brisk_stage_profile_create(const brisk_alloc *alloc, brisk_stage_profile **ret)
{
    BRISK_ASSERT(ret != NULL);
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_stage_profile *profile =
        alloc->acquire(alloc->ctx, sizeof *profile, _Alignof(brisk_stage_profile));
    if (profile == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *profile = (brisk_stage_profile){.alloc = alloc};
    *ret = profile;
    return BRISK_OK;
}

void brisk_stage_profile_destroy(brisk_stage_profile *profile)
{
    if (profile == NULL) {
        return;
    }
    const brisk_alloc *alloc = profile->alloc;
    for (uint32_t i = 0; i < profile->count; i++) {
        alloc->release(alloc->ctx, profile->runs[i], profile->runs[i]->bytes, _Alignof(stage_kept));
    }
    if (profile->runs != NULL) {
        alloc->release(alloc->ctx, profile->runs, profile->capacity * sizeof(stage_kept *),
                       _Alignof(stage_kept *));
    }
    alloc->release(alloc->ctx, profile, sizeof *profile, _Alignof(brisk_stage_profile));
}

/* --- checks ------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    return name != NULL && name[0] != '\0' &&
           strnlen(name, BRISK_WHATIF_NAME_MAX) < BRISK_WHATIF_NAME_MAX;
}

static bool are_times(const brisk_stage_times *s)
{
    return s->ready_ns <= TIME_NS_MAX && s->start_ns <= TIME_NS_MAX && s->ns <= TIME_NS_MAX &&
           s->loops_ns <= s->ns && s->items_ns <= TIME_NS_MAX && s->cpu_ns <= TIME_NS_MAX &&
           s->delay_ns <= TIME_NS_MAX;
}

static brisk_err check_stage(const brisk_stage_run *run, uint32_t index, brisk_errinfo *info)
{
    const brisk_stage_times *stage = &run->stages[index];
    if (!is_name(stage->name)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "stage %u of %s has no name of at most %d bytes", index,
                                 run->workload, BRISK_WHATIF_NAME_MAX - 1);
    }
    if (!are_times(stage)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "stage %s: impossible times",
                                 stage->name);
    }
    for (uint32_t i = run->stage_count; i < BRISK_WHATIF_STAGES_MAX; i++) {
        if (stage_is_after(stage, i)) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "stage %s comes after stage %u, which does not exist",
                                     stage->name, i);
        }
    }
    if (stage_find(run, stage->name) != index) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "two stages are called %s", stage->name);
    }
    return BRISK_OK;
}

/* Take away, again and again, what waits for nothing that is left. */
static brisk_err check_cycle(const brisk_stage_run *run, brisk_errinfo *info)
{
    bool gone[BRISK_WHATIF_STAGES_MAX] = {false};
    uint32_t left = run->stage_count;
    for (bool moved = true; moved && left > 0;) {
        moved = false;
        for (uint32_t i = 0; i < run->stage_count; i++) {
            bool waits = gone[i];
            for (uint32_t before = 0; before < run->stage_count && !waits; before++) {
                waits = !gone[before] && stage_is_after(&run->stages[i], before);
            }
            if (!waits) {
                gone[i] = true;
                moved = true;
                left--;
            }
        }
    }
    for (uint32_t i = 0; left > 0 && i < run->stage_count; i++) {
        if (!gone[i]) {
            return brisk_errinfo_set(info, BRISK_ERR_CYCLE, "stage %s waits for itself",
                                     run->stages[i].name);
        }
    }
    return BRISK_OK;
}

static brisk_err check(const brisk_stage_profile *profile, const brisk_stage_run *run,
                       brisk_errinfo *info)
{
    if (!is_name(run->workload)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "a run without a workload's name");
    }
    if (profile->count > 0 && strcmp(profile->runs[0]->run.workload, run->workload) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "a run of %s in a profile of %s: profiles have one workload",
                                 run->workload, profile->runs[0]->run.workload);
    }
    if (run->stage_count > BRISK_WHATIF_STAGES_MAX || profile->count >= BRISK_WHATIF_RUNS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "a profile has at most %d stages, %d runs",
                                 BRISK_WHATIF_STAGES_MAX, BRISK_WHATIF_RUNS_MAX);
    }
    if (run->elapsed_ns > TIME_NS_MAX || run->threads > BRISK_WHATIF_THREADS_MAX ||
        run->workers > run->threads || run->cores > BRISK_WHATIF_THREADS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: impossible time, threads or cores",
                                 run->workload);
    }
    for (uint32_t i = 0; i < run->stage_count; i++) {
        brisk_err err = check_stage(run, i, info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return check_cycle(run, info);
}

/* --- adding ------------------------------------------------------------------------------- */

static bool reserve(brisk_stage_profile *profile)
{
    if (profile->count < profile->capacity) {
        return true;
    }
    const brisk_alloc *alloc = profile->alloc;
    uint32_t capacity = profile->capacity == 0 ? FIRST_CAPACITY : profile->capacity * 2;
    stage_kept **runs =
        alloc->acquire(alloc->ctx, capacity * sizeof(stage_kept *), _Alignof(stage_kept *));
    if (runs == NULL) {
        return false;
    }
    if (profile->runs != NULL) {
        memcpy(runs, profile->runs, profile->count * sizeof(stage_kept *));
        alloc->release(alloc->ctx, profile->runs, profile->capacity * sizeof(stage_kept *),
                       _Alignof(stage_kept *));
    }
    profile->runs = runs;
    profile->capacity = capacity;
    return true;
}

static const char *answered_by(const brisk_stage_run *run)
{
    return run->answered_by != NULL ? run->answered_by : "";
}

static size_t text_bytes(const brisk_stage_run *run)
{
    size_t bytes = strlen(run->workload) + 1 + strlen(answered_by(run)) + 1;
    for (uint32_t i = 0; i < run->stage_count; i++) {
        bytes += strlen(run->stages[i].name) + 1;
    }
    return bytes;
}

/* Copy `text` to *at, which moves behind it. */
static const char *put_text(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    const char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

brisk_err brisk_stage_profile_add(brisk_stage_profile *profile, const brisk_stage_run *run,
                                  brisk_errinfo *info)
{
    brisk_err err = check(profile, run, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_alloc *alloc = profile->alloc;
    size_t bytes =
        sizeof(stage_kept) + run->stage_count * sizeof(brisk_stage_times) + text_bytes(run);
    stage_kept *kept =
        reserve(profile) ? alloc->acquire(alloc->ctx, bytes, _Alignof(stage_kept)) : NULL;
    if (kept == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "no memory for a run of %s", run->workload);
    }
    kept->run = *run;
    kept->bytes = bytes;
    kept->run.threads = run->threads != 0 ? run->threads : 1;
    kept->run.stages = kept->stages;
    char *at = (char *)&kept->stages[run->stage_count];
    kept->run.workload = put_text(&at, run->workload);
    kept->run.answered_by = put_text(&at, answered_by(run));
    for (uint32_t i = 0; i < run->stage_count; i++) {
        kept->stages[i] = run->stages[i];
        kept->stages[i].name = put_text(&at, run->stages[i].name);
    }
    profile->runs[profile->count++] = kept;
    return BRISK_OK;
}

brisk_err brisk_stage_profile_add_job(brisk_stage_profile *profile, const brisk_job *job,
                                      brisk_errinfo *info)
{
    brisk_stage_times stages[BRISK_WHATIF_STAGES_MAX];
    uint32_t count = brisk_job_report_count(job);
    _Static_assert(BRISK_STAGES_MAX + 1 <= BRISK_WHATIF_STAGES_MAX, "a job's rows fit");
    for (uint32_t i = 0; i < count; i++) {
        brisk_stage_report row = brisk_job_report(job, i);
        stages[i] = (brisk_stage_times){
            .name = row.name,
            .ready_ns = row.ready_ns,
            .start_ns = row.start_ns,
            .ns = row.ns,
            .loops_ns = row.loops_ns < row.ns ? row.loops_ns : row.ns,
            .items_ns = row.items_ns,
            .cpu_ns = row.cpu_ns,
            .delay_ns = row.delay_ns,
            .bytes = row.bytes,
            .tier_ns = row.tier_ns,
            .items = row.items,
            .worker = row.worker,
            .how = row.how,
            .blocking = row.blocking,
            .critical = row.critical,
            .computes = row.computes,
        };
        for (uint32_t before = 0; before < count; before++) {
            if (brisk_job_report_is_after(job, i, before)) {
                stage_set_after(&stages[i], before);
            }
        }
    }
    brisk_job_room room = brisk_job_read_room(job);
    brisk_stage_run run = {
        .workload = brisk_job_workload(job)->name,
        .answered_by = brisk_job_answered_by(job),
        .elapsed_ns = brisk_job_elapsed_ns(job),
        .threads = room.threads,
        .workers = room.workers,
        .cores = room.cores,
        .profiled = room.profiled,
        .stage_count = count,
        .stages = stages,
    };
    return brisk_stage_profile_add(profile, &run, info);
}

/* --- asking ------------------------------------------------------------------------------- */

uint32_t brisk_stage_profile_count(const brisk_stage_profile *profile)
{
    return profile->count;
}

const brisk_stage_run *brisk_stage_profile_at(const brisk_stage_profile *profile, uint32_t index)
{
    BRISK_ASSERT(index < profile->count);
    return &profile->runs[index]->run;
}

/* How many of the runs that count come before run `index` in the order of time, then of number. */
static uint32_t rank_of(const brisk_stage_profile *profile, uint32_t index, bool all)
{
    uint32_t rank = 0;
    uint64_t own = profile->runs[index]->run.elapsed_ns;
    for (uint32_t i = 0; i < profile->count; i++) {
        const brisk_stage_run *run = &profile->runs[i]->run;
        bool before = run->elapsed_ns < own || (run->elapsed_ns == own && i < index);
        rank += before && (all || stage_run_is_computed(run)) ? 1 : 0;
    }
    return rank;
}

uint32_t brisk_stage_profile_typical(const brisk_stage_profile *profile)
{
    uint32_t computed = 0;
    for (uint32_t i = 0; i < profile->count; i++) {
        computed += stage_run_is_computed(&profile->runs[i]->run) ? 1 : 0;
    }
    bool all = computed == 0;
    uint32_t middle = ((all ? profile->count : computed) - 1) / 2;
    for (uint32_t i = 0; i < profile->count; i++) {
        bool counts = all || stage_run_is_computed(&profile->runs[i]->run);
        if (counts && rank_of(profile, i, all) == middle) {
            return i;
        }
    }
    return UINT32_MAX;
}

uint32_t stage_find(const brisk_stage_run *run, const char *name)
{
    for (uint32_t i = 0; i < run->stage_count; i++) {
        if (run->stages[i].name != NULL && strcmp(run->stages[i].name, name) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

uint64_t stage_before_end(const brisk_stage_run *run, uint32_t index)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < run->stage_count; i++) {
        uint64_t own = run->stages[i].start_ns + run->stages[i].ns;
        if (stage_is_after(&run->stages[index], i) && own > end) {
            end = own;
        }
    }
    return end;
}

uint64_t stage_ready(const brisk_stage_run *run, uint32_t index)
{
    const brisk_stage_times *stage = &run->stages[index];
    uint64_t ready = stage->ready_ns != 0 ? stage->ready_ns : stage_before_end(run, index);
    return ready < stage->start_ns ? ready : stage->start_ns;
}

bool stage_run_is_computed(const brisk_stage_run *run)
{
    for (uint32_t i = 0; i < run->stage_count; i++) {
        if (run->stages[i].how != BRISK_HOW_COMPUTED) {
            return false;
        }
    }
    return run->stage_count > 0;
}
