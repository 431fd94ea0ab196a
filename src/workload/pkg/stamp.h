/*
 * stamp.h -- which locks were found to need nothing: to see it again costs a look, not a reading.
 *
 * A table in a file of fixed size: a slot has the hash of everything that was looked at.  Another
 * entry in its slot, a torn or missing file: then it is not known, nothing worse.
 *
 * Threads: any; processes, too.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_STAMP_H
#define BRISK_SRC_WORKLOAD_PKG_STAMP_H

#include <stdbool.h>

#include <brisk/hash.h>

enum { PKG_STAMP_SLOTS = 4096 };

/* Is it known?  Then *ret_packages is what was put with it. */
bool pkg_stamp_get(brisk_hash128 what, uint32_t *ret_packages);
void pkg_stamp_put(brisk_hash128 what, uint32_t packages);

#endif /* BRISK_SRC_WORKLOAD_PKG_STAMP_H */
