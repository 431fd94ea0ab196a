/*
 * order.h -- in which order packages can be installed: what is needed before what needs it.
 *
 * Packages that need each other in a circle are one step, a strongly connected component.  A step
 * belongs to the first group in which everything it needs lies in earlier groups; the steps of a
 * group need nothing of each other and can be installed at the same time.  Each package weighs the
 * same: what an installation costs is not in a lock.
 *
 * Threads: one at a time.  Ownership: the arena.
 * Source: R. Tarjan, "Depth-first search and linear graph algorithms", 1972.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_ORDER_H
#define BRISK_SRC_WORKLOAD_PKG_ORDER_H

#include "workload/pkg/tree.h"

typedef struct pkg_order_step {
    const pkg_node **nodes; /* sorted by path; more than one: a circle */
    uint32_t count;
    uint32_t group;  /* from 0 */
    uint32_t weight; /* packages on the heaviest way that ends here */
    uint32_t before; /* the step before it on that way; UINT32_MAX: none */
} pkg_order_step;

typedef struct pkg_order {
    pkg_order_step *steps; /* by group, then by path */
    uint32_t count;
    uint32_t group_count;
    uint32_t widest;   /* steps of the largest group */
    uint32_t packages; /* in all steps */
    uint32_t circles;  /* steps of more than one package */
    uint32_t critical; /* the step where the heaviest way ends; UINT32_MAX: no steps */
} pkg_order;

/* Everything in node_modules and every folder but the root.  Errors: NOMEM. */
brisk_err pkg_order_make(const pkg_tree *tree, brisk_arena *arena, pkg_order *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_ORDER_H */
