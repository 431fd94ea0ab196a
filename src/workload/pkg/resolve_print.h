/*
 * resolve_print.h -- what `brisk pkg resolve` tells.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_RESOLVE_PRINT_H
#define BRISK_SRC_WORKLOAD_PKG_RESOLVE_PRINT_H

#include <brisk/command.h>

#include "workload/pkg/resolve.h"

typedef struct resolve_told {
    const brisk_invocation *in;
    bool json;
    bool profile;
} resolve_told;

/* The job is done with `err`. */
brisk_exit resolve_print(const resolve_told *told, brisk_job *job, brisk_err err);
/* There was nothing to do. */
brisk_exit resolve_print_resolved(const resolve_told *told, const pkg_inputs *inputs);
/* brisk_job_run; on `out` a line that is renewed, with counts, when it takes longer than a second. */
brisk_err resolve_run_with_progress(brisk_job *job, FILE *out);

/* Members of the object that is open: what was found, or why not; and what was fetched for it. */
void resolve_json_result(brisk_json *json, const pkg_resolve_job *state, brisk_err err);
void resolve_json_fetched(brisk_json *json, const pkg_resolve_job *state);

#endif /* BRISK_SRC_WORKLOAD_PKG_RESOLVE_PRINT_H */
