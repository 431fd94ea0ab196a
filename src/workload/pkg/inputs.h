/*
 * inputs.h -- what a resolution starts from: the project, its configuration and the lock that is
 * there.
 *
 * Threads: one at a time.  Ownership: one owner; everything goes with pkg_inputs_release.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_INPUTS_H
#define BRISK_SRC_WORKLOAD_PKG_INPUTS_H

#include <brisk/hash.h>

#include "workload/pkg/lock.h"
#include "workload/pkg/project.h"

typedef struct pkg_inputs {
    brisk_arena *arena;
    pkg_project project;
    pkg_config config;
    const char *lock_path; /* where the lock is, or will be */
    pkg_text lock_text;    /* as it is in the file; data NULL: there is none */
    pkg_tree lock;         /* of it; root NULL: none, or it is not wanted */
    pkg_lock_format format;
} pkg_inputs;

/*
 * `anew`: the lock is not taken as a beginning, only its format.
 * Errors with `info` (which names the file): those of pkg_project_read, pkg_config_read and
 * pkg_lock_read.
 */
brisk_err pkg_inputs_read(const char *folder, bool anew, pkg_inputs *ret, brisk_errinfo *info);
/* A zeroed one is accepted. */
void pkg_inputs_release(pkg_inputs *inputs);
/*
 * Is the lock all that a resolution would give?  True only if it says of the project what
 * package.json says and every dependency in it is satisfied.
 */
bool pkg_inputs_are_resolved(const pkg_inputs *inputs);
/* Everything in them that can change the answer.  Errors: DECLINED (something else is read, too), NOMEM. */
brisk_err pkg_inputs_key(const pkg_inputs *inputs, brisk_key_builder *builder);

#endif /* BRISK_SRC_WORKLOAD_PKG_INPUTS_H */
