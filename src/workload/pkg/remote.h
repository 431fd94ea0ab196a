/*
 * remote.h -- packages that are in no registry: git repositories, tarballs at an URL, tarball files.
 *
 *     git      ls-remote ──► commit ──► fetched alone into a bare folder of ours ──► package.json of it
 *     tarball  fetched (or read) ──► integrity ──► package.json in it
 *
 * Only with --allow-remote.  What was had once is had again without asking: a commit for ever, a
 * tarball as long as its answer is fresh, or the lock names its integrity; a branch's commit is
 * remembered for --offline and --prefer-offline.  Nothing is unpacked and no script is run: what
 * `prepare` would build is the installer's.
 *
 * Secrets: what .npmrc has for a tarball's host goes there; an address with a password in it is in
 * no message.
 *
 * Threads: one at a time.  Ownership: manifests live as long as the remote.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_REMOTE_H
#define BRISK_SRC_WORKLOAD_PKG_REMOTE_H

#include "workload/pkg/fetch.h"
#include "workload/pkg/project.h"
#include "workload/pkg/tree.h"

enum { PKG_REMOTE_NOTES_MAX = 1000 };

#define PKG_REMOTE_TARBALL_MAX  (UINT64_C(256) << 20) /* as sent */
#define PKG_REMOTE_EXPANDED_MAX (UINT64_C(512) << 20)
#define PKG_REMOTE_GIT_MAX      (UINT64_C(1) << 30) /* of a file that git writes */
#define PKG_REMOTE_TIME_NS      (UINT64_C(120) * 1000000000)

typedef struct pkg_remote pkg_remote;

typedef struct pkg_remote_opts {
    const pkg_config *config; /* lives as long */
    pkg_text project;         /* its folder */
    const char *cache;        /* folder; NULL: nothing is kept, and git cannot be used */
    const pkg_tree *lock;     /* whose integrity counts; NULL or without root: none */
    pkg_fetch_mode mode;
    bool (*cancelled)(void *ctx); /* may be NULL */
    void *ctx;
} pkg_remote_opts;

/* Errors: NOMEM. */
brisk_err pkg_remote_create(const pkg_remote_opts *opts, pkg_remote **ret);
/* NULL is accepted. */
void pkg_remote_destroy(pkg_remote *remote);
/*
 * What `spec` (GIT, TARBALL or FILE) is.  Its `tarball` is what a lock has as "resolved".
 * Errors with `info`: INVALID (an address that is not taken), NOT_FOUND, PERMISSION, CORRUPT, LIMIT,
 * DEADLINE, IO, CANCELLED, NOMEM.
 */
brisk_err pkg_remote_get(pkg_remote *remote, pkg_text name, const pkg_spec *spec,
                         const pkg_manifest **ret, brisk_errinfo *info);

typedef struct pkg_remote_stats {
    uint32_t asked;   /* packages */
    uint32_t fetched; /* of them: over the network, or from another repository */
} pkg_remote_stats;

pkg_remote_stats pkg_remote_read_stats(const pkg_remote *remote);
/* Packages with scripts that build them when installed from git, which were not run; sorted by call. */
uint32_t pkg_remote_note_count(const pkg_remote *remote);
pkg_text pkg_remote_note(const pkg_remote *remote, uint32_t index);

#endif /* BRISK_SRC_WORKLOAD_PKG_REMOTE_H */
