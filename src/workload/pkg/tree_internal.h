/*
 * tree_internal.h -- what tree.c and edge.c share.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_TREE_INTERNAL_H
#define BRISK_SRC_WORKLOAD_PKG_TREE_INTERNAL_H

#include "workload/pkg/tree.h"

struct pkg_tree_index {
    pkg_name **names; /* open addressing */
    pkg_node **children;
    uint32_t name_count;
    uint32_t name_capacity;
    uint32_t child_count;
    uint32_t child_capacity;
    uint32_t serial;
    pkg_node *rules_pending; /* of override.c */
    bool rules_running;
};

/* The edge points nowhere. */
void tree_edge_unlink(pkg_tree *tree, pkg_edge *edge);
/* Out of the list of its name. */
void tree_edge_delist(pkg_edge *edge);

#endif /* BRISK_SRC_WORKLOAD_PKG_TREE_INTERNAL_H */
