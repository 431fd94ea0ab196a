/*
 * graph_run.c -- one run of a frozen graph.
 *
 * left[n] counts the predecessors of n that are not done.  Whoever brings it to 0 owns n: of the
 * nodes that it makes ready it keeps one and goes on with it in the same loop, so a chain neither
 * recurses nor meets the executor; the others become tasks of one group.  The caller does the same,
 * beginning with one source, and then waits for the group, helping.  A node with one predecessor
 * needs no count.
 *
 * A graph that leaves one order only, or no executor, is run in that order without any of this.
 *
 * The first error is kept in `err`.  After it nobody makes further nodes ready, so the run ends when
 * the tasks that were handed out have looked at `err`.
 *
 * Threads: the run lives on the caller's stack until the group is done; the graph is only read.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "exec/graph.h"

enum { SMALL_NODES = 64 /* whose counts and tasks fit the stack */ };

#define NONE UINT32_MAX

typedef struct graph_run {
    const brisk_graph *graph;
    brisk_cancel *cancel;
    brisk_graph_fn fn;
    void *ctx;
    _Atomic uint32_t *left;
    brisk_task *tasks; /* tasks[n] is that of node n */
    brisk_group group;
    _Atomic int err;
} graph_run;

static void fail(graph_run *run, brisk_err err)
{
    int none = BRISK_OK;
    /* Relaxed: read in the loop as a hint and, finally, after the group's wait. */
    (void)atomic_compare_exchange_strong_explicit(&run->err, &none, (int)err, memory_order_relaxed,
                                                  memory_order_relaxed);
    if ((int)err < 0) {
        brisk_cancel_request(run->cancel, err);
    }
}

static bool run_node(graph_run *run, uint32_t node)
{
    if (atomic_load_explicit(&run->err, memory_order_relaxed) != BRISK_OK) {
        return false;
    }
    brisk_err err = brisk_cancel_check(run->cancel);
    if (err == BRISK_OK) {
        err = run->fn(run->ctx, node);
    }
    if (err != BRISK_OK) {
        fail(run, err);
        return false;
    }
    return true;
}

static void run_from_task(brisk_task *task);

static void offer(graph_run *run, uint32_t node)
{
    run->tasks[node] = (brisk_task){.run = run_from_task, .ctx = run};
    brisk_group_run(&run->group, &run->tasks[node]);
}

/* Count `node` off at its successors; one that is ready now is returned, others are handed out. */
static uint32_t release_after(graph_run *run, uint32_t node)
{
    const brisk_graph *graph = run->graph;
    uint32_t mine = NONE;
    for (uint32_t i = graph->after_begin[node]; i < graph->after_begin[node + 1]; i++) {
        uint32_t later = graph->after[i];
        /* acq_rel: the last predecessor sees, and passes on, what the others wrote. */
        bool ready = graph->before_count[later] == 1 ||
                     atomic_fetch_sub_explicit(&run->left[later], 1, memory_order_acq_rel) == 1;
        if (ready && mine == NONE) {
            mine = later;
        } else if (ready) {
            offer(run, later);
        }
    }
    return mine;
}

static void run_from(graph_run *run, uint32_t node)
{
    while (node != NONE && run_node(run, node)) {
        node = release_after(run, node);
    }
}

static void run_from_task(brisk_task *task)
{
    graph_run *run = task->ctx;
    run_from(run, (uint32_t)(task - run->tasks));
}

static brisk_err run_in_order(graph_run *run)
{
    for (uint32_t i = 0; i < run->graph->count; i++) {
        if (!run_node(run, run->graph->order[i])) {
            break;
        }
    }
    return (brisk_err)atomic_load_explicit(&run->err, memory_order_relaxed);
}

static brisk_err run_parallel(graph_run *run)
{
    const brisk_graph *graph = run->graph;
    for (uint32_t node = 0; node < graph->count; node++) {
        /* Relaxed: handing out the first task publishes it. */
        atomic_init(&run->left[node], graph->before_count[node]);
    }
    for (uint32_t i = 1; i < graph->source_count; i++) {
        offer(run, graph->order[i]);
    }
    run_from(run, graph->order[0]);
    brisk_group_wait(&run->group);
    return (brisk_err)atomic_load_explicit(&run->err, memory_order_relaxed);
}

static brisk_err run_small(graph_run *run)
{
    _Atomic uint32_t left[SMALL_NODES];
    brisk_task tasks[SMALL_NODES];
    run->left = left;
    run->tasks = tasks;
    return run_parallel(run);
}

static brisk_err run_large(graph_run *run)
{
    const brisk_alloc *alloc = run->graph->alloc;
    size_t left_bytes = run->graph->count * sizeof *run->left;
    size_t tasks_bytes = run->graph->count * sizeof *run->tasks;
    brisk_err err = BRISK_ERR_NOMEM;
    run->left = alloc->acquire(alloc->ctx, left_bytes, _Alignof(max_align_t));
    run->tasks = alloc->acquire(alloc->ctx, tasks_bytes, _Alignof(brisk_task));
    if (run->left != NULL && run->tasks != NULL) {
        err = run_parallel(run);
    }
    if (run->left != NULL) {
        alloc->release(alloc->ctx, run->left, left_bytes, _Alignof(max_align_t));
    }
    if (run->tasks != NULL) {
        alloc->release(alloc->ctx, run->tasks, tasks_bytes, _Alignof(brisk_task));
    }
    return err;
}

brisk_err brisk_graph_run(const brisk_graph *graph, brisk_executor *executor, brisk_cancel *cancel,
                          brisk_graph_fn fn, void *run_ctx)
{
    if (!graph->frozen || fn == NULL) {
        return BRISK_ERR_INVALID;
    }
    graph_run run = {.graph = graph, .cancel = cancel, .fn = fn, .ctx = run_ctx};
    if (executor == NULL || graph->is_sequence || graph->count == 0) {
        return run_in_order(&run);
    }
    brisk_group_init(&run.group, executor);
    return graph->count <= SMALL_NODES ? run_small(&run) : run_large(&run);
}
