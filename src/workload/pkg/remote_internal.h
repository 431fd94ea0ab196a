/*
 * remote_internal.h -- what the parts of remote.h share: remote.c (the table, what is common),
 * remote_git.c, remote_tarball.c.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_REMOTE_INTERNAL_H
#define BRISK_SRC_WORKLOAD_PKG_REMOTE_INTERNAL_H

#include "workload/pkg/gitspec.h"
#include "workload/pkg/remote.h"

typedef struct remote_refs remote_refs;
struct remote_refs { /* what `git ls-remote` said of an address */
    remote_refs *next;
    pkg_text url;
    pkg_text lines;
};

struct pkg_remote {
    pkg_remote_opts opts;
    brisk_arena *arena;
    remote_refs *refs;
    char **environment; /* of git; NULL: not made yet */
    pkg_remote_stats stats;
    pkg_text *notes;
    uint32_t note_count;
};

/* A package.json that was found, and what else is known of it. */
typedef struct remote_found {
    pkg_text manifest;
    pkg_text resolved;
    pkg_text integrity; /* "" of git */
    bool has_shrinkwrap;
    bool has_gyp;
} remote_found;

brisk_err remote_git(pkg_remote *remote, pkg_text spec, remote_found *ret, brisk_errinfo *info);
brisk_err remote_tarball(pkg_remote *remote, const pkg_spec *spec, remote_found *ret,
                         brisk_errinfo *info);
/* "CACHE/WHAT/hash of key", its folder made; NULL: no cache, or out of memory. */
char *remote_place(pkg_remote *remote, const char *what, pkg_text key);

#endif /* BRISK_SRC_WORKLOAD_PKG_REMOTE_INTERNAL_H */
