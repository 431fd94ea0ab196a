/*
 * chains.h -- the ways from the project to a package: who needs whom until somebody needs it.
 *
 * A chain is a row of edges, from the root or a folder of the project down to the target, that
 * visits no node twice.  There may be very many; they are found one by one, the shortest first,
 * of equal ones in the order of paths, until the caller has enough.
 *
 * Threads: one at a time.  Ownership: everything lives in the arena.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_CHAINS_H
#define BRISK_SRC_WORKLOAD_PKG_CHAINS_H

#include "workload/pkg/tree.h"

enum { PKG_CHAIN_STEPS_MAX = 200000 }; /* partial chains looked at for one target */

#define PKG_CHAIN_FAR UINT32_MAX /* nothing of the project leads there */

typedef struct pkg_chain {
    const pkg_edge *const *edges; /* the first one's `from` is of the project */
    uint32_t length;
} pkg_chain;

typedef struct pkg_chains {
    brisk_arena *arena; /* set by the caller, as is limit */
    uint32_t limit;
    pkg_chain *items;
    uint32_t count;
    bool more; /* there are others, or the steps ran out */
} pkg_chains;

/* Edges from the project to each node, by index; PKG_CHAIN_FAR where there is no way. */
brisk_err pkg_chain_distances(const pkg_tree *tree, brisk_arena *arena, uint32_t **ret);
/* At most ret->limit chains to `target`; `distances` are those of the tree.  Errors: NOMEM. */
brisk_err pkg_chains_find(const pkg_tree *tree, const pkg_node *target, const uint32_t *distances,
                          pkg_chains *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_CHAINS_H */
