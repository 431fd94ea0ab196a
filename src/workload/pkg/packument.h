/*
 * packument.h -- what a registry says of a package, as a record (package.h).
 *
 * The abbreviated form and the full one are read alike: what is not needed is stepped over.  As
 * npm reads it: of duplicate keys the last counts, a field of the wrong type counts as not there,
 * lone surrogates and bytes that are no UTF-8 become U+FFFD.  A version whose key is no semantic
 * version, even loosely, or whose value is no object, is left out and counted; a tag that names no
 * version is dropped.
 *
 * What is refused: another package's document, text that breaks off or is no JSON where it is read.
 * What is stepped over is only known to be balanced (scan.h).
 *
 * Threads: a reader belongs to one thread at a time.
 * Sources: npm's documentation of package metadata (docs/responses/package-metadata.md in
 * npm/registry), behaviour of npm 11.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_PACKUMENT_H
#define BRISK_SRC_WORKLOAD_PKG_PACKUMENT_H

#include <brisk/alloc.h>

#include "workload/pkg/package.h"
#include "workload/pkg/scan.h"

enum { PKG_PACKUMENT_BYTES_MAX = 256 << 20 };

/* Memory that is used again from one document to the next. */
typedef struct pkg_packument_reader pkg_packument_reader;

typedef struct pkg_packument_opts {
    const brisk_alloc *alloc; /* borrowed; NULL means libc */
    scan_path path;           /* must exist; SCAN_BEST */
} pkg_packument_opts;

/* `opts` may be NULL.  Errors: NOMEM, UNSUPPORTED (the path does not exist here). */
brisk_err pkg_packument_reader_create(const pkg_packument_opts *opts, pkg_packument_reader **ret);
void pkg_packument_reader_destroy(pkg_packument_reader *reader);

/*
 * `name` is what was asked for.  *ret lives until the next call or destroy; copy
 * pkg_package_bytes(*ret) bytes to keep it.
 * Errors with `info` (package, byte): CORRUPT, LIMIT, NOMEM.
 */
brisk_err pkg_packument_read(pkg_packument_reader *reader, pkg_text name, pkg_text json,
                             const pkg_package **ret, brisk_errinfo *info);
/* One document, into the arena.  Errors: likewise. */
brisk_err pkg_packument_parse(pkg_text name, pkg_text json, brisk_arena *arena,
                              const pkg_package **ret, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_PACKUMENT_H */
