/*
 * resolve.h -- one resolution: the request, the state its stages share.
 *
 *     manifest_reading ──► metadata_fetching ──► graph_building ──► conflict_resolution
 *     (PREPARE)            (BLOCKING)            (BLOCKING)                 │
 *                lock_writing ◄── order_optimization ◄─────────────────────┘
 *                (DELIVER)
 *
 * metadata_fetching opens the store and begins to fetch what the project and its lock name;
 * fetching goes on behind the source while the graph is built.
 *
 * Threads: stages run one after the other.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_RESOLVE_H
#define BRISK_SRC_WORKLOAD_PKG_RESOLVE_H

#include <stdatomic.h>

#include <brisk/workload.h>

#include "workload/pkg/fetch.h"
#include "workload/pkg/ideal.h"
#include "workload/pkg/inputs.h"
#include "workload/pkg/order.h"
#include "workload/pkg/problem.h"
#include "workload/pkg/remote.h"

enum {
    PKG_WORKLOAD_VERSION = 1, /* part of every key */
    PKG_SKIPPED_MAX = 100000,
};

/* What the user asked for; outlives the job. */
typedef struct pkg_resolve_request {
    const char *folder;
    pkg_inputs *inputs;     /* already read, or NULL */
    const char *store_path; /* NULL: nothing is remembered */
    uint64_t store_bytes;   /* 0: the default */
    pkg_fetch_mode mode;
    int64_t before_ms; /* INT64_MAX: none */
    semver node;       /* zero: engines do not count */
    bool highest;
    bool prereleases;
    bool legacy_peer_deps;
    bool strict_peer_deps;
    bool prefer_dedupe;
    bool whole_documents;
    bool allow_remote; /* git repositories and tarballs are fetched */
    bool flat;         /* one version of each name */
    bool anew;         /* without regard to the lock */
    bool dry_run;
    bool sync; /* wait for the disk */
    bool no_guess;
} pkg_resolve_request;

/* A version that was not taken because it is too young. */
typedef struct pkg_skipped {
    pkg_text name;
    pkg_text version;
    pkg_text taken; /* "" : none fits that is old enough */
    int64_t published_ms;
} pkg_skipped;

/* What is told of an answer; kept with it. */
typedef struct pkg_resolve_facts {
    int64_t fresh_until_ms;
    uint32_t packages;
    uint32_t groups;
    uint32_t critical; /* packages on the longest way */
} pkg_resolve_facts;

typedef struct pkg_resolve_job {
    const pkg_resolve_request *request;
    _Atomic(const char *) stage; /* for progress */
    _Atomic uint32_t placed;
    brisk_arena *arena; /* of the graph */
    pkg_inputs own;     /* when the request brings none */
    pkg_inputs *inputs;
    pkg_store *store;
    uint64_t generation; /* of the store, before anything was asked */
    pkg_fetch *fetch;
    pkg_remote *remote; /* with the first package of one */
    pkg_tree tree;      /* root NULL: none was built */
    pkg_conflict conflict;
    brisk_errinfo conflict_info; /* code CONFLICT or NOT_FOUND when there is one */
    pkg_advice advice;           /* likewise: the proof, and what would help */
    pkg_skipped *skipped;
    uint32_t skipped_count;
    uint32_t skipped_capacity;
    pkg_order order;
    pkg_resolve_facts facts;
    pkg_text text; /* of the lock */
    size_t text_capacity;
    bool unchanged;
    bool written;
    brisk_stage_ctx *running; /* while the graph is built */
} pkg_resolve_job;

extern const brisk_workload pkg_workload;
extern const struct brisk_form pkg_form;

brisk_err resolve_stage_read(brisk_stage_ctx *ctx, void *state);
brisk_err resolve_stage_fetch(brisk_stage_ctx *ctx, void *state);
brisk_err resolve_stage_build(brisk_stage_ctx *ctx, void *state);
brisk_err resolve_stage_conflict(brisk_stage_ctx *ctx, void *state);
brisk_err resolve_stage_order(brisk_stage_ctx *ctx, void *state);
brisk_err resolve_stage_write(brisk_stage_ctx *ctx, void *state);

#endif /* BRISK_SRC_WORKLOAD_PKG_RESOLVE_H */
