/*
 * collate.h -- the two orders of npm's files.
 *
 * pkg_collate is what JavaScript's a.localeCompare(b, "en") says: punctuation before digits before
 * letters, case only where all else is equal (small letters first).  Exact for ASCII; characters
 * above it come after all letters, in the order of their code points (the full collation needs
 * tables of a megabyte; names in a registry are ASCII).
 *
 * pkg_member_compare is the order in which npm writes the members of any object whose values are
 * of one kind (it writes objects after everything else): whole numbers first, as JavaScript keeps
 * them, then a few favourites, then pkg_collate.
 *
 * Threads: pure.  Sources: Unicode Technical Standard 10 and CLDR's root order (facts), compared
 * with node's Intl.Collator.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_COLLATE_H
#define BRISK_SRC_WORKLOAD_PKG_COLLATE_H

#include "workload/pkg/text.h"

/* < 0, 0, > 0.  0 also for texts that differ in control characters only. */
int pkg_collate(pkg_text a, pkg_text b);

/* Never 0 for different texts. */
int pkg_member_compare(pkg_text a, pkg_text b);
/* Is `key` a whole number as JavaScript writes it, so that it comes first of all? */
bool pkg_member_is_index(pkg_text key);

/* The first eight primary weights after `skip` bytes: a <  b when its key is smaller; equal keys
 * say nothing.  For sorting many. */
uint64_t pkg_collate_key(pkg_text text, size_t skip);

#endif /* BRISK_SRC_WORKLOAD_PKG_COLLATE_H */
