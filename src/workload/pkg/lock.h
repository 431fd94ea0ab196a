/*
 * lock.h -- package-lock.json, version 3 (2 is read as well): to a tree and from one.
 *
 * Written as npm 11 writes it: `packages` sorted by path (collate.h), the indent and line ends of
 * the file that was there, of every object first the members that are no objects, then those that
 * are, each in pkg_member_compare's order.  The same tree gives the same bytes.
 *
 * Read strictly: what a path says must be a place that can be, each once, below one that is there.
 *
 * Threads: one at a time.  Source: npm's documentation of package-lock.json; the locks of npm 11.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_LOCK_H
#define BRISK_SRC_WORKLOAD_PKG_LOCK_H

#include <brisk/json.h>

#include "workload/pkg/tree.h"

enum {
    PKG_LOCK_BYTES_MAX = 256 << 20,
    PKG_LOCK_PACKAGES_MAX = 1 << 20,
    PKG_LOCK_FOLDERS_MAX = 10000, /* outside of node_modules */
    PKG_LOCK_PATH_MAX = 4096,     /* bytes of a path */
};

/* How a lock looks, besides what it says. */
typedef struct pkg_lock_format {
    pkg_text name;    /* of the whole; the folder's where the root has no name */
    pkg_text indent;  /* of one level; "" means two spaces */
    pkg_text newline; /* "" means "\n" */
    uint32_t version; /* 2 or 3, as read; what is written is always 3 */
} pkg_lock_format;

typedef struct pkg_lock_opts {
    bool omit_resolved;     /* npm's omit-lockfile-registry-resolved */
    pkg_lock_format format; /* zero: defaults; else that of the lock that was there */
} pkg_lock_opts;

/*
 * `text` must live as long as the tree, which `ret` becomes.  Flags are the lock's.  Edges are
 * loaded, so that each is judged.  `format` may be NULL.
 * Errors with `info` (line and column): CORRUPT, UNSUPPORTED (version 1), LIMIT, NOMEM.
 */
brisk_err pkg_lock_read(pkg_text text, brisk_arena *arena, pkg_tree *ret, pkg_lock_format *format,
                        brisk_errinfo *info);
/* Errors: those of `out`, NOMEM. */
brisk_err pkg_lock_write(const pkg_tree *tree, const pkg_lock_opts *opts, brisk_out out);

/*
 * Make `path` that lock: a file beside it, synced and renamed.  Mode and owner stay, a symbolic
 * link is followed; the old lock is whole until the new one is.
 * Errors with `info`: as brisk_file_replace_open, FULL, NOMEM.
 */
brisk_err pkg_lock_save(const pkg_tree *tree, const pkg_lock_opts *opts, const char *path,
                        brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_LOCK_H */
