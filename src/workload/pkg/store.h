/*
 * store.h -- the packages that were fetched once, in one mapped file.
 *
 * A package is found by registry and name and read where it lies: nothing is copied or parsed.
 * Records are appended; an index in front of them says where the newest of each package is.  The
 * file is a cache: one of another format, another machine or one that is damaged is begun anew, and
 * a record whose checksum is wrong is an error of that record only.
 *
 * Processes: any number reads without locks; one writes at a time (a lock file beside the store).
 * A process that dies leaves what it had published; bytes behind that are cut by the next writer.
 * A full disk leaves what was there; a store that has reached its limit of bytes drops the packages
 * that were confirmed longest ago, about half of them.  When more than half of the file is dead it is written anew,
 * synced and renamed; readers of the old file keep it until they look again.
 *
 * Limits: the file must not be cut by others while it is open: the kernel answers with SIGBUS where
 * pages are gone, as for every mapping (its size is looked at when it is opened, and by each writer).
 * After a power failure records may be missing or fail their checksum.
 *
 * Threads: any, on one store.  Ownership: packages and texts live until the store is closed.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_STORE_H
#define BRISK_SRC_WORKLOAD_PKG_STORE_H

#include <brisk/alloc.h>

#include "workload/pkg/package.h"

#define PKG_STORE_BYTES_MAX UINT64_C(2147483648) /* default limit of the file */

typedef struct pkg_store pkg_store;

typedef struct pkg_store_opts {
    const brisk_alloc *alloc; /* borrowed; NULL means libc */
    uint64_t bytes_max;       /* 0 means PKG_STORE_BYTES_MAX; at least 1 MiB */
    uint32_t lock_wait_ms;    /* for another writer; 0 means 2000 */
    bool read_only;           /* nothing is made or changed */
} pkg_store_opts;

/*
 * Opens the store at `path`, or makes it (with its folder).  `opts` may be NULL.
 * Errors with `info`: IO, PERMISSION, FULL, NOMEM, CONFLICT (another process holds the lock),
 * NOT_FOUND and CORRUPT (read_only: there is none, or none of this format).
 */
brisk_err pkg_store_open(const char *path, const pkg_store_opts *opts, pkg_store **ret,
                         brisk_errinfo *info);
/* NULL is accepted. */
void pkg_store_close(pkg_store *store);

typedef struct pkg_stored {
    const pkg_package *package;
    pkg_text etag;
    pkg_text last_modified;
    uint64_t registry;      /* a hash of the registry's address, the caller's */
    uint64_t generation;    /* the store's when this was put */
    int64_t fetched_ms;     /* since 1970; when the registry last confirmed it */
    int64_t fresh_until_ms; /* need not be asked for before */
} pkg_stored;

/*
 * The newest of the package.  Errors: NOT_FOUND, CORRUPT (damaged: fetch it again, a put replaces
 * it).
 */
brisk_err pkg_store_get(pkg_store *store, uint64_t registry, pkg_text name, pkg_stored *ret);
/*
 * Keep `stored->package` (copied); `generation` is not read.
 * Errors with `info`: FULL, LIMIT (it or a text of it is too large), IO, CONFLICT (the lock), PERMISSION,
 * NOMEM.  What was there stays.
 */
brisk_err pkg_store_put(pkg_store *store, const pkg_stored *stored, brisk_errinfo *info);
/* The registry said that nothing changed.  Errors: NOT_FOUND, PERMISSION. */
brisk_err pkg_store_touch(pkg_store *store, uint64_t registry, pkg_text name, int64_t fetched_ms,
                          int64_t fresh_until_ms);
/* Changes with every put, and is never what it was before, also when the store is begun anew. */
uint64_t pkg_store_generation(pkg_store *store);

typedef struct pkg_store_stats {
    uint64_t packages;
    uint64_t bytes_used; /* of the file */
    uint64_t bytes_dead; /* of replaced records */
    uint64_t generation;
} pkg_store_stats;

void pkg_store_stats_of(pkg_store *store, pkg_store_stats *ret);
/* Write the live records anew.  Errors: as put. */
brisk_err pkg_store_compact(pkg_store *store, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_STORE_H */
