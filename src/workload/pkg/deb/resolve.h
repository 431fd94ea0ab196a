/*
 * resolve.h -- a resolution at work: resolve.c (the problem and its answer), request.c (what was
 * asked for, and how things are called in a proof).
 *
 * Threads: one.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_DEB_RESOLVE_H
#define BRISK_SRC_WORKLOAD_PKG_DEB_RESOLVE_H

#include "workload/pkg/array.h"
#include "workload/pkg/deb/deb.h"

typedef struct deb_resolver {
    const deb_index *index;
    brisk_arena *arena;
    bool recommends;
    pkg_array root_needs; /* solve_need */
    pkg_array root_texts; /* const char *: "asks for postfix", one per need */
} deb_resolver;

/* The group of a version's relation number `at`, over all kinds. */
const deb_group *deb_ref(const deb_index *index, const deb_version *version, uint32_t at);
solve_provider deb_resolver_provider(deb_resolver *r);
solve_words_of deb_resolver_words(deb_resolver *r);
/* One more need of the root.  Errors: NOMEM. */
brisk_err deb_resolver_ask(deb_resolver *r, const solve_term *terms, uint32_t count,
                           const char *text);
/* "name[:arch][=version]".  Errors with `info`: INVALID, NOT_FOUND, NOMEM. */
brisk_err deb_resolver_request(deb_resolver *r, const char *text, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_DEB_RESOLVE_H */
