/*
 * ideal.h -- the tree that npm would build for a project.
 *
 * From a lock that still fits, or from nothing, each dependency that nothing satisfies is chosen
 * from its package and placed as high as it may go; shallow folders come first, then by path.  The
 * source is asked in one fixed order, so that the answer does not depend on when it answers;
 * `want` tells it what will be asked for as soon as that is known.
 *
 * Threads: one at a time.  Ownership: the tree lives in the arena, and points into the project, the
 * lock and the source.
 * Source: npm 11's behaviour, watched; its documentation of install, peerDependencies, overrides.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_IDEAL_H
#define BRISK_SRC_WORKLOAD_PKG_IDEAL_H

#include "workload/pkg/package.h"
#include "workload/pkg/project.h"
#include "workload/pkg/tree.h"

enum {
    PKG_PEER_SET_MAX = 4096,     /* packages that come along with one another */
    PKG_PEER_DEPTH_MAX = 512,    /* peers of peers */
    PKG_PEER_TRIES_MAX = 200000, /* candidates looked at for one dependency's peers */
    /* Nodes evaluated, again and again: npm goes round for ever in some trees. */
    PKG_IDEAL_STEPS_MAX = 4000,
    PKG_IDEAL_STEPS_PER_CHOICE = 32, /* of a version for a name and a range */
};

/* What could not be had, and why: pkg_node.extra of a failed node. */
typedef struct pkg_failure {
    brisk_err code;
    const char *text; /* a sentence that names the package and says what to do */
    const pkg_edge *edge;
} pkg_failure;

typedef struct pkg_ideal_opts {
    pkg_pick_opts pick;
    bool legacy_peer_deps;
    bool strict_peer_deps;
    bool prefer_dedupe;
    /*
     * Packages from git, URLs and local tarballs: NULL, and they are refused with a word that says
     * what to do.  Of a FILE `wanted` is seen from the project.  What is on this machine (FILE,
     * git+file:) is asked for only where the project or a folder of it names it.  Errors with `info` as a
     * source's; the manifest lives as long as the source, its `tarball` is what a lock has as "resolved".
     */
    brisk_err (*remote)(void *ctx, pkg_text name, const pkg_spec *spec, const pkg_manifest **ret,
                        brisk_errinfo *info);
    /* The package.json of a folder (relative to the project), for file: and link:; may be NULL. */
    brisk_err (*folder)(void *ctx, pkg_text path, const pkg_manifest **ret, brisk_errinfo *info);
    bool (*cancelled)(void *ctx); /* may be NULL */
    void (*progress)(void *ctx, uint32_t placed, uint32_t queued);
    /* Version `skipped` would have been taken but for pick.before_ms; `taken` may be none. */
    void (*too_young)(void *ctx, const pkg_package *package, uint32_t skipped, uint32_t taken);
    void *ctx; /* of all five */
} pkg_ideal_opts;

/*
 * Why there is no tree (ERESOLVE).  Nodes and edges are as they were when it was found.  With NOT_FOUND
 * the chain leads to the dependency that nothing meets (`edge`, its last); the rest is NULL.
 */
typedef struct pkg_conflict {
    const pkg_edge *edge;         /* what cannot be met; edge->from may be a candidate */
    const pkg_node *candidate;    /* what was to be placed for it, or NULL */
    const pkg_node *current;      /* what is in its place, or NULL */
    const pkg_edge *current_edge; /* who needs the current one so, or NULL */
    const pkg_edge *peer;         /* a peer of the candidate that meets `current`, or NULL */
    const pkg_edge *const *chain; /* from the root (first) to the edge that led to edge->from */
    uint32_t chain_count;
} pkg_conflict;

/*
 * `lock` is NULL or a tree that was read; it is not changed.  *ret_conflict is written with
 * CONFLICT, and with NOT_FOUND where a chain is known.  Errors with `info`: CONFLICT (peers), NOT_FOUND (no such package, or no version
 * that fits), UNSUPPORTED (git, URL), INVALID (spec, override), LIMIT, CANCELLED, NOMEM, and those
 * of the source.
 */
brisk_err pkg_ideal_build(const pkg_project *project, const pkg_tree *lock,
                          const pkg_source *source, const pkg_ideal_opts *opts, brisk_arena *arena,
                          pkg_tree *ret, pkg_conflict *ret_conflict, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_IDEAL_H */
