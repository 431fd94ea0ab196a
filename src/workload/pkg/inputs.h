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
    bool resolved;     /* it is known that the lock needs nothing; `lock` was not read */
    uint32_t packages; /* likewise: in it */
    bool has_hash;
    brisk_hash128 manifests; /* hash of them */
    brisk_hash128 hash;      /* and of the lock */
} pkg_inputs;

typedef struct pkg_inputs_opts {
    bool anew;  /* the lock is not taken as a beginning, only its format */
    bool whole; /* it is read even where it is known that it needs nothing */
} pkg_inputs_opts;

/*
 * Errors with `info` (which names the file): those of pkg_project_read, pkg_config_read and
 * pkg_lock_read.
 */
brisk_err pkg_inputs_read(const char *folder, const pkg_inputs_opts *opts, pkg_inputs *ret,
                          brisk_errinfo *info);
/*
 * Of texts that come from a stranger: package.json, and a lock to begin with (data NULL: none).  No
 * folder is looked into; registries are those of the user, the environment and this machine.
 */
brisk_err pkg_inputs_read_texts(pkg_text manifest, pkg_text lock, const pkg_inputs_opts *opts,
                                pkg_inputs *ret, brisk_errinfo *info);
/* A zeroed one is accepted. */
void pkg_inputs_release(pkg_inputs *inputs);
/*
 * Is the lock all that a resolution would give?  True only if it says of the project what
 * package.json says and every dependency in it is satisfied.
 */
bool pkg_inputs_are_resolved(pkg_inputs *inputs);
/* `text`, which was written, is the lock of `tree`, which these inputs gave: remember it if it needs nothing. */
void pkg_inputs_remember(pkg_inputs *inputs, const pkg_tree *tree, pkg_text text);
/* Everything in them that can change the answer.  Errors: DECLINED (something else is read, too), NOMEM. */
brisk_err pkg_inputs_key(const pkg_inputs *inputs, brisk_key_builder *builder);

#endif /* BRISK_SRC_WORKLOAD_PKG_INPUTS_H */
