/*
 * simulate.c -- list scheduling of a measured graph, as the engine's executor would do it.
 *
 *     waits ── last predecessor done ──► lags ── lag over ──► ready ── thread ──► serial ──► pieces ──► done
 *
 * Who ends a stage goes on with the first stage that this makes ready, or with the one that has been ready longest.
 * A thread that had nothing to do needs its time to wake, as it was measured.  A thread without a ready stage helps
 * with pieces of one that runs, of which as many run at once as there are workers (brisk_stage_for).  Stages that
 * wait for the network have threads of their own.
 *
 * Processors are shared evenly: while the running threads want D processors of C < D, the part of their work that
 * computes takes D / C times as long, and the part that waits (a disk, a server, a lock) as long as ever.
 *
 * Time goes from event to event: the least of what is left of the running pieces and of the lags.
 *
 * Invariant: used threads + free threads == threads, and every running piece holds one, or its stage's own.
 */
#include "observe/stage/simulate.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"

/* --- from what was measured --------------------------------------------------------------- */

static uint32_t threads_of(const brisk_stage_run *run, const brisk_stage_times *stage)
{
    return stage->items > 1 && stage->items_ns > stage->loops_ns && run->workers > 1
               ? (stage->items < run->workers ? stage->items : run->workers)
               : 1;
}

/* Threads of the pool that were in stages at `at`. */
static uint32_t busy_at(const brisk_stage_run *run, uint64_t at)
{
    uint32_t busy = 0;
    for (uint32_t i = 0; i < run->stage_count; i++) {
        const brisk_stage_times *s = &run->stages[i];
        bool runs = s->start_ns <= at && at < s->start_ns + s->ns;
        busy += runs ? threads_of(run, s) - (s->blocking ? 1 : 0) : 0;
    }
    return busy;
}

/* The next moment after `at` when a stage begins or ends, at most `limit`. */
static uint64_t next_change(const brisk_stage_run *run, uint64_t at, uint64_t limit)
{
    for (uint32_t i = 0; i < run->stage_count; i++) {
        uint64_t start = run->stages[i].start_ns;
        uint64_t end = start + run->stages[i].ns;
        limit = start > at && start < limit ? start : limit;
        limit = end > at && end < limit ? end : limit;
    }
    return limit;
}

/* Of the time that a stage waited: how long a thread was free, and only had to wake and find it. */
static double wake_ns(const brisk_stage_run *run, uint32_t index)
{
    const brisk_stage_times *stage = &run->stages[index];
    uint64_t at = stage_ready(run, index);
    if (stage->blocking) {
        return (double)(stage->start_ns - at);
    }
    double free_ns = 0;
    while (at < stage->start_ns) {
        uint64_t next = next_change(run, at, stage->start_ns);
        free_ns += busy_at(run, at) < run->threads ? (double)(next - at) : 0;
        at = next;
    }
    return free_ns;
}

static uint32_t rank_of(const brisk_stage_run *run, uint32_t index)
{
    uint32_t rank = 0;
    uint64_t own = run->stages[index].start_ns;
    for (uint32_t i = 0; i < run->stage_count; i++) {
        uint64_t start = run->stages[i].start_ns;
        rank += start < own || (start == own && i < index) ? 1 : 0;
    }
    return rank;
}

/* The work of a stage, without `taken_out` of its time. */
static void set_work(const brisk_stage_times *s, bool computes, double taken_out, sim_node *node)
{
    double items = s->items > 0 ? (double)s->items_ns : 0;
    double serial = s->items > 0 ? (double)(s->ns - s->loops_ns) : (double)s->ns;
    double all = serial + items;
    double kept = all > taken_out ? all - taken_out : 0;
    node->cpu = computes && kept > 0 ? fmin(1.0, (double)s->cpu_ns / kept) : 0;
    double scale = all > 0 ? kept / all : 0;
    node->units = s->items < SIM_UNITS_MAX ? s->items : SIM_UNITS_MAX;
    node->unit = node->units > 0 ? items * scale / node->units : 0;
    node->serial = serial * scale;
}

void sim_from_run(const brisk_stage_run *run, bool pure, sim_graph *ret)
{
    *ret = (sim_graph){
        .count = run->stage_count,
        .threads = run->threads,
        .workers = run->workers,
        .cores = run->cores,
    };
    uint64_t last = 0;
    for (uint32_t i = 0; i < run->stage_count; i++) {
        const brisk_stage_times *s = &run->stages[i];
        sim_node *node = &ret->nodes[i];
        memcpy(node->after, s->after, sizeof node->after);
        uint64_t before = stage_before_end(run, i);
        uint64_t ready = stage_ready(run, i);
        node->lag = ready > before ? (double)(ready - before) : 0;
        node->wake = wake_ns(run, i);
        node->rank = rank_of(run, i);
        node->own_thread = s->blocking;
        set_work(s, run->profiled && !pure, pure ? 0 : (double)s->delay_ns, node);
        last = s->start_ns + s->ns > last ? s->start_ns + s->ns : last;
    }
    ret->tail = run->elapsed_ns > last ? (double)(run->elapsed_ns - last) : 0;
    if (run->profiled && !pure && run->cores > 0) {
        sim_ends ends;
        (void)sim_run(ret, &ends); /* how much delay is our own threads' doing? */
        for (uint32_t i = 0; i < run->stage_count; i++) {
            double own = fmin((double)run->stages[i].delay_ns, ends.delay[i]);
            set_work(&run->stages[i], true, own, &ret->nodes[i]);
        }
    }
}

/* --- the simulation ----------------------------------------------------------------------- */

enum { RUNNING_MAX = BRISK_WHATIF_STAGES_MAX + BRISK_WHATIF_THREADS_MAX };

typedef enum sim_state { SIM_WAITS = 0, SIM_LAGS, SIM_READY, SIM_RUNS, SIM_DONE } sim_state;

typedef struct sim_running {
    uint32_t node;
    double left;
    bool pooled; /* holds one of the threads */
} sim_running;

typedef struct sim {
    const sim_graph *graph;
    sim_ends *ends;
    double now;
    double at[BRISK_WHATIF_STAGES_MAX]; /* LAGS: until; READY: since */
    sim_state state[BRISK_WHATIF_STAGES_MAX];
    uint32_t drawn[BRISK_WHATIF_STAGES_MAX]; /* pieces */
    uint32_t open[BRISK_WHATIF_STAGES_MAX];  /* running parts */
    sim_running running[RUNNING_MAX];
    uint32_t running_count;
    uint32_t free;
    uint32_t done;
} sim;

static bool predecessors_done(const sim *s, uint32_t node)
{
    for (uint32_t i = 0; i < s->graph->count; i++) {
        bool after = (s->graph->nodes[node].after[i / 64] >> (i % 64) & 1) != 0;
        if (after && s->state[i] != SIM_DONE) {
            return false;
        }
    }
    return true;
}

/* Let time pass over those that wait for nothing any more. */
static void wake(sim *s)
{
    for (uint32_t i = 0; i < s->graph->count; i++) {
        if (s->state[i] == SIM_WAITS && predecessors_done(s, i)) {
            s->state[i] = SIM_LAGS;
            s->at[i] = s->now + s->graph->nodes[i].lag;
        }
        if (s->state[i] == SIM_LAGS && s->at[i] <= s->now + 1e-6) {
            s->state[i] = SIM_READY;
        }
    }
}

/* Which of two ready ones goes first? */
static bool goes_before(const sim *s, uint32_t a, uint32_t b)
{
    if (s->at[a] < s->at[b] || s->at[a] > s->at[b]) {
        return s->at[a] < s->at[b];
    }
    return s->graph->nodes[a].rank < s->graph->nodes[b].rank;
}

/* Has somebody who had nothing to do found it? */
static bool is_found(const sim *s, uint32_t node)
{
    return s->at[node] + s->graph->nodes[node].wake <= s->now + 1e-6;
}

/* The next ready one, of those that come after `done` when that is a stage; or UINT32_MAX.  A thread that had nothing
 * to do (`cold`) sees those only that it had the time to wake for. */
static uint32_t next_ready(const sim *s, uint32_t done, bool cold)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < s->graph->count; i++) {
        const sim_node *node = &s->graph->nodes[i];
        bool wanted = s->state[i] == SIM_READY && !node->own_thread && (!cold || is_found(s, i)) &&
                      (done == UINT32_MAX || (node->after[done / 64] >> (done % 64) & 1) != 0);
        if (wanted && (best == UINT32_MAX || goes_before(s, i, best))) {
            best = i;
        }
    }
    return best;
}

static void run_part(sim *s, uint32_t node, double work, bool pooled)
{
    BRISK_ASSERT(s->running_count < RUNNING_MAX);
    s->running[s->running_count++] = (sim_running){.node = node, .left = work, .pooled = pooled};
    s->open[node]++;
    s->free -= pooled ? 1 : 0;
}

static void begin(sim *s, uint32_t node, bool pooled)
{
    s->state[node] = SIM_RUNS;
    run_part(s, node, s->graph->nodes[node].serial, pooled);
}

/* A piece for one more thread? */
static bool has_pieces(const sim *s, uint32_t node)
{
    uint32_t most = s->graph->workers > 1 ? s->graph->workers : 1;
    return s->state[node] == SIM_RUNS && s->drawn[node] < s->graph->nodes[node].units &&
           s->open[node] < most;
}

static void draw(sim *s, uint32_t node, bool pooled)
{
    s->drawn[node]++;
    run_part(s, node, s->graph->nodes[node].unit, pooled);
}

/* Is a stage still in its serial part, before its pieces? */
static bool is_serial(const sim *s, uint32_t node)
{
    return s->drawn[node] == 0 && s->open[node] > 0;
}

/* Give every free thread something to do. */
static void assign(sim *s)
{
    for (uint32_t i = 0; i < s->graph->count; i++) {
        if (s->state[i] == SIM_READY && s->graph->nodes[i].own_thread && is_found(s, i)) {
            begin(s, i, false);
        }
    }
    while (s->free > 0) {
        uint32_t node = next_ready(s, UINT32_MAX, true);
        if (node != UINT32_MAX) {
            begin(s, node, true);
            continue;
        }
        for (uint32_t i = 0; i < s->graph->count && node == UINT32_MAX; i++) {
            node = has_pieces(s, i) && !is_serial(s, i) ? i : node;
        }
        if (node == UINT32_MAX) {
            return;
        }
        draw(s, node, true);
    }
}

/* How fast a part goes: 1, or less where processors are short. */
static double speed(const sim *s, uint32_t node, double stretch)
{
    double cpu = s->graph->nodes[node].cpu;
    return 1.0 / (cpu * stretch + 1.0 - cpu);
}

static double stretch_of(const sim *s)
{
    double wanted = 0;
    for (uint32_t i = 0; i < s->running_count; i++) {
        wanted += s->graph->nodes[s->running[i].node].cpu;
    }
    double cores = s->graph->cores;
    return cores > 0 && wanted > cores ? wanted / cores : 1.0;
}

/* A part is over: its thread goes on in its stage, with what comes after it, or is free. */
static void end_part(sim *s, uint32_t index)
{
    sim_running part = s->running[index];
    s->running[index] = s->running[--s->running_count];
    s->open[part.node]--;
    s->free += part.pooled ? 1 : 0;
    if (has_pieces(s, part.node)) {
        draw(s, part.node, part.pooled);
        return;
    }
    if (s->open[part.node] > 0) {
        return;
    }
    s->state[part.node] = SIM_DONE;
    s->done++;
    if (s->ends != NULL) {
        s->ends->end[part.node] = s->now;
    }
    wake(s);
    uint32_t next = part.pooled ? next_ready(s, part.node, false) : UINT32_MAX;
    if (part.pooled && next == UINT32_MAX) {
        next = next_ready(s, UINT32_MAX, false);
    }
    if (next != UINT32_MAX) {
        begin(s, next, true);
    }
}

/* Until the next event; false when nothing happens any more. */
static bool step(sim *s)
{
    double stretch = stretch_of(s);
    double dt = HUGE_VAL;
    for (uint32_t i = 0; i < s->running_count; i++) {
        dt = fmin(dt, s->running[i].left / speed(s, s->running[i].node, stretch));
    }
    for (uint32_t i = 0; i < s->graph->count; i++) {
        bool waits = s->state[i] == SIM_READY &&
                     (s->free > 0 || s->graph->nodes[i].own_thread); /* for a thread to wake */
        dt = s->state[i] == SIM_LAGS ? fmin(dt, s->at[i] - s->now) : dt;
        dt = waits ? fmin(dt, s->at[i] + s->graph->nodes[i].wake - s->now) : dt;
    }
    if (dt >= HUGE_VAL) {
        return false;
    }
    s->now += fmax(0, dt);
    double nothing = s->now * 1e-12 + 1e-3; /* rounding; times are nanoseconds */
    for (uint32_t i = 0; i < s->running_count; i++) {
        double pace = speed(s, s->running[i].node, stretch);
        s->running[i].left -= dt * pace;
        if (s->ends != NULL) {
            s->ends->delay[s->running[i].node] += dt * (1 - pace);
        }
    }
    for (uint32_t i = s->running_count; i > 0; i--) { /* what ends puts others at the end */
        if (i <= s->running_count && s->running[i - 1].left <= nothing) {
            end_part(s, i - 1);
        }
    }
    return true;
}

double sim_run(const sim_graph *graph, sim_ends *ends)
{
    sim s = {.graph = graph, .ends = ends, .free = graph->threads};
    if (ends != NULL) {
        *ends = (sim_ends){{0}, {0}};
    }
    wake(&s);
    assign(&s);
    while (s.done < graph->count && step(&s)) {
        wake(&s);
        assign(&s);
    }
    BRISK_ASSERT(s.done == graph->count); /* a kept run has no cycle */
    return s.now + graph->tail;
}
