/*
 * lock.h -- package-lock.json, version 3 (2 is read as well): to a tree and from one.
 *
 * Written as npm writes it: `packages` sorted by path as npm sorts (localeCompare "en"), two spaces
 * of indent or those of the file that was there, the members of a package in npm's order, a newline
 * at the end.  The same tree gives the same bytes.
 *
 * Source: npm's documentation of package-lock.json; the locks of npm 11.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_LOCK_H
#define BRISK_SRC_WORKLOAD_PKG_LOCK_H

#include <brisk/json.h>

#include "workload/pkg/tree.h"

enum { PKG_LOCK_BYTES_MAX = 256 << 20 };

typedef struct pkg_lock_opts {
    bool omit_resolved; /* npm's omit-lockfile-registry-resolved */
    uint32_t indent;    /* spaces; 0 means 2 */
} pkg_lock_opts;

/*
 * `text` must live as long as the tree.  Edges are loaded, so that each is judged.
 * Errors with `info` (line and column): CORRUPT, UNSUPPORTED (version 1), LIMIT, NOMEM.
 */
brisk_err pkg_lock_read(pkg_text text, brisk_arena *arena, pkg_tree *ret, brisk_errinfo *info);
brisk_err pkg_lock_write(const pkg_tree *tree, const pkg_lock_opts *opts, brisk_out out);

#endif /* BRISK_SRC_WORKLOAD_PKG_LOCK_H */
