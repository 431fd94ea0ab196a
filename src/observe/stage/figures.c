/*
 * figures.c -- one run as a whole: how parallel it was, what it waited for, and what holds it up, in words.
 *
 * Time is cut at every start and end of a stage; between two cuts a constant number of stages runs, the level.
 *
 * A bottleneck is named when it is a tenth of the elapsed time or more:
 *
 *     stage       the stage with most time on the critical path
 *     alone       time in which one stage ran and threads stood idle, by the stage that was most of it
 *     threads     stages of the critical path that were ready and waited for a thread
 *     processors  threads that could have run, but the processors were taken
 *     outside     stages of the critical path neither running nor runnable: disk, network, a lock, sleep
 *     between     no stage ran: keys, lookups, waking threads
 */
#include <math.h>
#include <string.h>

#include "observe/stage/profile.h"

static const double NAMED = 0.10;

static uint64_t end_of(const brisk_stage_times *s)
{
    return s->start_ns + s->ns;
}

/* Work of all threads that took part. */
static uint64_t work_of(const brisk_stage_times *s)
{
    return s->items > 0 ? s->ns - s->loops_ns + s->items_ns : s->ns;
}

/* Neither running nor runnable, of all its threads. */
static uint64_t outside_of(const brisk_stage_run *run, const brisk_stage_times *s)
{
    uint64_t used = s->cpu_ns + s->delay_ns;
    return run->profiled && work_of(s) > used ? work_of(s) - used : 0;
}

/* The next cut after `at`, or `limit`. */
static uint64_t next_cut(const brisk_stage_run *run, uint64_t at, uint64_t limit)
{
    for (uint32_t i = 0; i < run->stage_count; i++) {
        uint64_t start = run->stages[i].start_ns;
        uint64_t end = end_of(&run->stages[i]);
        limit = start > at && start < limit ? start : limit;
        limit = end > at && end < limit ? end : limit;
    }
    return limit;
}

/* Stages that run at `at`; one of them in *stage. */
static uint32_t level_at(const brisk_stage_run *run, uint64_t at, uint32_t *stage)
{
    uint32_t level = 0;
    for (uint32_t i = 0; i < run->stage_count; i++) {
        if (run->stages[i].start_ns <= at && at < end_of(&run->stages[i])) {
            level++;
            *stage = i;
        }
    }
    return level;
}

static uint32_t at_once(const brisk_stage_run *run)
{
    uint32_t threads = run->threads != 0 ? run->threads : 1;
    return run->cores != 0 && run->cores < threads ? run->cores : threads;
}

void brisk_stage_run_figures(const brisk_stage_run *run, brisk_stage_figures *ret)
{
    brisk_stage_figures f = {.elapsed_ns = run->elapsed_ns};
    for (uint32_t i = 0; i < run->stage_count; i++) {
        const brisk_stage_times *s = &run->stages[i];
        f.work_ns += work_of(s);
        f.critical_ns += s->critical ? s->ns : 0;
        f.wait_ns += s->start_ns - stage_ready(run, i);
        f.cpu_ns += s->cpu_ns;
        f.delay_ns += s->delay_ns;
        f.outside_ns += outside_of(run, s);
    }
    for (uint64_t at = 0; at < run->elapsed_ns;) {
        uint32_t stage;
        uint64_t next = next_cut(run, at, run->elapsed_ns);
        uint32_t level = level_at(run, at, &stage);
        f.level_ns[level < BRISK_STAGE_LEVELS ? level : BRISK_STAGE_LEVELS - 1] += next - at;
        at = next;
    }
    f.idle_ns = f.level_ns[0];
    if (run->elapsed_ns > 0) {
        f.busy = (double)f.work_ns / (double)run->elapsed_ns;
        f.efficiency = fmin(1.0, f.busy / at_once(run));
    }
    *ret = f;
}

/* --- bottlenecks -------------------------------------------------------------------------- */

typedef struct naming {
    const brisk_stage_run *run;
    brisk_bottleneck *best;
    uint32_t max;
    uint32_t count;
} naming;

/* Into its place, when it is worth a name; the sentence is written by the caller. */
static brisk_bottleneck *name(naming *n, const char *kind, uint32_t stage, uint64_t ns)
{
    double share = n->run->elapsed_ns > 0 ? (double)ns / (double)n->run->elapsed_ns : 0;
    uint32_t at = n->count;
    while (at > 0 && n->best[at - 1].share < share) {
        at--;
    }
    if (share < NAMED || at >= n->max) {
        return NULL;
    }
    n->count += n->count < n->max ? 1 : 0;
    memmove(&n->best[at + 1], &n->best[at], (n->count - 1 - at) * sizeof *n->best);
    n->best[at] = (brisk_bottleneck){.kind = kind, .stage = stage, .share = share};
    return &n->best[at];
}

static const char *stage_name(const naming *n, uint32_t stage)
{
    return stage < n->run->stage_count ? n->run->stages[stage].name : "?";
}

/* The stage for which `of` is largest, and the sum over all in *sum. */
static uint32_t largest(const brisk_stage_run *run,
                        uint64_t (*of)(const brisk_stage_run *run, uint32_t index), uint64_t *sum)
{
    uint32_t best = 0;
    *sum = 0;
    for (uint32_t i = 0; i < run->stage_count; i++) {
        *sum += of(run, i);
        best = of(run, i) > of(run, best) ? i : best;
    }
    return best;
}

static uint64_t critical_ns(const brisk_stage_run *run, uint32_t i)
{
    return run->stages[i].critical ? run->stages[i].ns : 0;
}

static uint64_t critical_wait_ns(const brisk_stage_run *run, uint32_t i)
{
    return run->stages[i].critical ? run->stages[i].start_ns - stage_ready(run, i) : 0;
}

static uint64_t delay_ns(const brisk_stage_run *run, uint32_t i)
{
    return run->stages[i].critical ? run->stages[i].delay_ns : 0;
}

static uint64_t outside_ns(const brisk_stage_run *run, uint32_t i)
{
    uint64_t ns = outside_of(run, &run->stages[i]);
    return !run->stages[i].critical ? 0 : ns < run->stages[i].ns ? ns : run->stages[i].ns;
}

static void name_stage(naming *n)
{
    uint64_t sum;
    uint32_t stage = largest(n->run, critical_ns, &sum);
    brisk_bottleneck *b = name(n, "stage", stage, critical_ns(n->run, stage));
    if (b != NULL) {
        (void)snprintf(b->text, sizeof b->text,
                       "%s is %.0f %% of the time and on the critical path: what makes it faster "
                       "makes the job faster",
                       stage_name(n, stage), b->share * 100);
    }
}

static void name_alone(naming *n)
{
    uint64_t alone[BRISK_WHATIF_STAGES_MAX] = {0};
    uint64_t sum = 0;
    uint32_t most = 0;
    if (at_once(n->run) < 2) {
        return;
    }
    for (uint64_t at = 0; at < n->run->elapsed_ns;) {
        uint32_t stage = 0;
        uint64_t next = next_cut(n->run, at, n->run->elapsed_ns);
        if (level_at(n->run, at, &stage) == 1 && n->run->stages[stage].items < 2) {
            alone[stage] += next - at;
            sum += next - at;
            most = alone[stage] > alone[most] ? stage : most;
        }
        at = next;
    }
    brisk_bottleneck *b = name(n, "alone", most, sum);
    if (b != NULL) {
        (void)snprintf(b->text, sizeof b->text,
                       "one stage ran alone for %.0f %% of the time, with %u of %u threads idle; "
                       "most of it was %s",
                       b->share * 100, at_once(n->run) - 1, at_once(n->run), stage_name(n, most));
    }
}

static void name_waits(naming *n)
{
    uint64_t sum;
    uint32_t stage = largest(n->run, critical_wait_ns, &sum);
    brisk_bottleneck *b = name(n, "threads", stage, sum);
    if (b != NULL) {
        (void)snprintf(b->text, sizeof b->text,
                       "stages of the critical path were ready and waited for a thread for %.0f %% "
                       "of the time, %s the longest",
                       b->share * 100, stage_name(n, stage));
    }
    stage = largest(n->run, delay_ns, &sum);
    b = name(n, "processors", stage, sum);
    if (b != NULL) {
        (void)snprintf(b->text, sizeof b->text,
                       "threads of the critical path could have run but had no processor for %.0f "
                       "%% of the time, in %s the longest: too many threads, or other programs",
                       b->share * 100, stage_name(n, stage));
    }
    stage = largest(n->run, outside_ns, &sum);
    b = name(n, "outside", stage, sum);
    if (b != NULL) {
        (void)snprintf(b->text, sizeof b->text,
                       "%.0f %% of the time was waiting for a disk, the network, a lock or a "
                       "clock, in %s the longest: more processors do not help",
                       b->share * 100, stage_name(n, stage));
    }
}

uint32_t brisk_stage_run_bottlenecks(const brisk_stage_run *run, brisk_bottleneck *ret,
                                     uint32_t max)
{
    naming n = {.run = run, .best = ret, .max = max};
    if (run->stage_count == 0 || max == 0) {
        return 0;
    }
    name_stage(&n);
    name_alone(&n);
    name_waits(&n);
    brisk_stage_figures figures;
    brisk_stage_run_figures(run, &figures);
    brisk_bottleneck *b = name(&n, "between", UINT32_MAX, figures.idle_ns);
    if (b != NULL) {
        (void)snprintf(b->text, sizeof b->text,
                       "no stage ran for %.0f %% of the time: keys, cache lookups, waking threads",
                       b->share * 100);
    }
    return n.count;
}
