/*
 * brisk/graph.h -- named nodes with `after` edges, built once, frozen, run many times.
 *
 * Freezing sorts the nodes (Kahn), refuses cycles and prints one, and lays the successors out in
 * one array.  Running counts down predecessors; a node whose last predecessor is done is ready.
 * The calling thread takes part: of the nodes that become ready together it keeps one and offers
 * the others to the executor, so a chain never wakes a worker.  The first error wins, cancels the
 * run, and nodes that have not begun are skipped.
 *
 * Threads: building from one thread; a frozen graph may be run from several threads at once.
 */
#ifndef BRISK_GRAPH_H
#define BRISK_GRAPH_H

#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/executor.h>

BRISK_BEGIN_DECLS

enum { BRISK_GRAPH_NODES_MAX = 1048576, BRISK_GRAPH_EDGES_MAX = 16777216 };

typedef struct brisk_graph brisk_graph;

/** Called for each node of a run; `node` is the number that brisk_graph_add gave. */
typedef brisk_err (*brisk_graph_fn)(void *run_ctx, uint32_t node);

/** Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_graph_create(const brisk_alloc *alloc, brisk_graph **ret);
BRISK_API void brisk_graph_destroy(brisk_graph *graph);
/** Add a node; names are copied and need not be unique by themselves, but freeze checks it.
 *  Errors: NOMEM, LIMIT, INVALID (frozen, no name). */
BRISK_API BRISK_NODISCARD brisk_err brisk_graph_add(brisk_graph *graph, const char *name,
                                                    uint32_t *ret);
/** `later` starts only when `earlier` is done.  Twice is fine.  Errors: NOMEM, LIMIT, INVALID. */
BRISK_API BRISK_NODISCARD brisk_err brisk_graph_after(brisk_graph *graph, uint32_t later,
                                                      uint32_t earlier);
/**
 * Check the graph and make it ready to run; nothing can be added afterwards.  A graph that failed
 * is as it was; one that is frozen already stays so.
 * Errors: CYCLE (`info`: "a after b after c after a"), INVALID (two nodes of one name), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_graph_freeze(brisk_graph *graph, brisk_errinfo *info);
BRISK_API uint32_t brisk_graph_count(const brisk_graph *graph);
BRISK_API const char *brisk_graph_name(const brisk_graph *graph, uint32_t node);
/** Nodes in an order that respects every edge; `index` < count.  Frozen graphs only. */
BRISK_API uint32_t brisk_graph_order(const brisk_graph *graph, uint32_t index);
/** Does `later` come directly after `earlier`? */
BRISK_API int brisk_graph_is_after(const brisk_graph *graph, uint32_t later, uint32_t earlier);
/**
 * Call `fn(run_ctx, node)` for every node, respecting the edges, and wait for all of them.
 * `executor` NULL runs everything in the caller.  `cancel` may be NULL; it is checked before each
 * node, and the error of a node is requested of it, so that running nodes can see it.
 * What a node wrote is visible to the nodes after it, and to the caller afterwards.
 * Returns BRISK_OK when every node ran and succeeded; otherwise the first error, or what
 * brisk_cancel_check said.  Errors of its own: NOMEM, INVALID (not frozen).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_graph_run(const brisk_graph *graph,
                                                    brisk_executor *executor, brisk_cancel *cancel,
                                                    brisk_graph_fn fn, void *run_ctx);

BRISK_END_DECLS

#endif /* BRISK_GRAPH_H */
