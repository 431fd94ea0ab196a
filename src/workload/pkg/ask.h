/*
 * ask.h -- "NAME" or "NAME@RANGE" on a command line, and the nodes it means.
 *
 * Threads: one at a time.  Ownership: the arena.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_ASK_H
#define BRISK_SRC_WORKLOAD_PKG_ASK_H

#include "workload/pkg/tree.h"

typedef struct pkg_ask {
    pkg_text name;
    pkg_text spec; /* "" when there was no '@' */
    const semver_range *range;
} pkg_ask;

typedef struct pkg_found {
    const pkg_node **nodes; /* by version, the newest first, then by path; no links */
    uint32_t count;
} pkg_found;

/* Errors with `info`: INVALID (no name, or no range behind the '@'), NOMEM. */
brisk_err pkg_ask_parse(const char *word, brisk_arena *arena, pkg_ask *ret, brisk_errinfo *info);
/* Packages of that name (their own, or that of their folder) and in that range.  Errors: NOMEM. */
brisk_err pkg_ask_find(const pkg_tree *tree, const pkg_ask *ask, brisk_arena *arena,
                       pkg_found *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_ASK_H */
