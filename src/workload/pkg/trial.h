/*
 * trial.h -- many small resolutions, one for each of many packages, and what they cost.
 *
 * Threads: pkg_trial_run starts its own.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_TRIAL_H
#define BRISK_SRC_WORKLOAD_PKG_TRIAL_H

#include "workload/pkg/fetch.h"

enum { PKG_TRIAL_THREADS_MAX = 16, PKG_TRIAL_PACKAGES_MAX = 100000 };

typedef struct pkg_trial_item {
    pkg_text name;
    pkg_text spec;
} pkg_trial_item;

typedef struct pkg_trial {
    const pkg_trial_item *items;
    uint32_t count;
    uint32_t threads;
    pkg_fetch_opts fetch; /* of each resolution */
} pkg_trial;

typedef struct pkg_trial_result {
    double *ms; /* of each, in no order; the arena's */
    uint64_t total_ns;
    uint32_t solved;
    uint32_t proved; /* impossible, with a proof that was verified */
    uint32_t failed;
    const char *first_failure; /* or NULL */
    pkg_fetch_stats fetch;     /* sums; rounds: the most */
} pkg_trial_result;

/* Errors: NOMEM. */
brisk_err pkg_trial_run(const pkg_trial *trial, brisk_arena *arena, pkg_trial_result *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_TRIAL_H */
