/*
 * lockdiff.h -- what differs between two locks, by place.
 *
 * Threads: one at a time.  Ownership: the arena; nodes stay with their trees.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_LOCKDIFF_H
#define BRISK_SRC_WORKLOAD_PKG_LOCKDIFF_H

#include "workload/pkg/tree.h"

typedef enum pkg_change_type {
    PKG_CHANGE_VERSION, /* another version, or another package, at the same path */
    PKG_CHANGE_CONTENT, /* the same version, and other bytes: integrity or source differ */
    PKG_CHANGE_ADDED,
    PKG_CHANGE_REMOVED,
    PKG_CHANGE_MOVED, /* the same package and version at another path */
    PKG_CHANGE_FLAGS, /* dev, optional, devOptional, peer, inBundle */
    PKG_CHANGE_TYPES,
} pkg_change_type;

enum {
    PKG_CHANGED_INTEGRITY = 1 << 0,
    PKG_CHANGED_RESOLVED = 1 << 1,
};

typedef struct pkg_change {
    pkg_change_type type;
    const pkg_node *before; /* NULL when added */
    const pkg_node *after;  /* NULL when removed */
    uint32_t what;          /* PKG_CHANGED_..., of CONTENT */
} pkg_change;

typedef struct pkg_changes {
    pkg_change *items; /* by type, then by path */
    uint32_t count;
    uint32_t counts[PKG_CHANGE_TYPES];
} pkg_changes;

/* Errors: NOMEM. */
brisk_err pkg_lockdiff(const pkg_tree *before, const pkg_tree *after, brisk_arena *arena,
                       pkg_changes *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_LOCKDIFF_H */
