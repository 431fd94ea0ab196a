/*
 * tar.h -- the package.json of a package's tarball, without unpacking it.
 *
 * A small strict reader of ustar, pax and GNU tar: each header's checksum, each size against what is
 * there.  Paths that are absolute or have ".." in them are passed over, as are links and devices.
 *
 * Threads: no state.  Source: POSIX.1-2017, pax; the GNU tar manual; npm strips one folder, whatever
 * its name.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_TAR_H
#define BRISK_SRC_WORKLOAD_PKG_TAR_H

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "workload/pkg/text.h"

enum { PKG_TAR_ENTRIES_MAX = 1 << 20, PKG_TAR_MANIFEST_MAX = 16 << 20 };

typedef struct pkg_tar {
    pkg_text manifest; /* package.json: in the given bytes; of several the last, as when unpacked */
    bool has_shrinkwrap; /* npm-shrinkwrap.json beside it */
    bool has_gyp;        /* binding.gyp */
} pkg_tar;

/* `tar` is not compressed.  Errors with `info`: CORRUPT, LIMIT, NOT_FOUND (no package.json). */
brisk_err pkg_tar_read(pkg_text tar, pkg_tar *ret, brisk_errinfo *info);
/*
 * Expand a gzip file (of several members, as gzip does), or take a plain tar as it is: then *ret is
 * `packed` and *ret_held is NULL.  Else *ret_held is `capacity` bytes of `alloc`, to be released.
 * Errors with `info`: CORRUPT, LIMIT (more than `most`), NOMEM.
 */
brisk_err pkg_tar_expand(pkg_text packed, size_t most, const brisk_alloc *alloc, pkg_text *ret,
                         void **ret_held, size_t *ret_capacity, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_TAR_H */
