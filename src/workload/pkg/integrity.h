/*
 * integrity.h -- "sha512-...": what a lock says of a tarball's bytes.
 *
 * Threads: no state.  Source: W3C Subresource Integrity.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_INTEGRITY_H
#define BRISK_SRC_WORKLOAD_PKG_INTEGRITY_H

#include <stdbool.h>

#include "workload/pkg/text.h"

enum { PKG_INTEGRITY_SIZE = 96 }; /* "sha512-", 88 characters, NUL */

void pkg_integrity_of(pkg_text data, char ret[PKG_INTEGRITY_SIZE]);
/*
 * Is one of the hashes in `integrity` (sha512, sha384, sha256, sha1, between blanks) that of `data`?
 * Only those of the strongest kind count.  False as well where none is known.
 */
bool pkg_integrity_has(pkg_text integrity, pkg_text data);

#endif /* BRISK_SRC_WORKLOAD_PKG_INTEGRITY_H */
