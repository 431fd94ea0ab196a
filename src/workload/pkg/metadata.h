/*
 * metadata.h -- what is known of packages from earlier resolutions, for commands that explain: the
 * store, opened to be read, and the configuration that says which registry a name belongs to.
 *
 * Nothing is asked of a network.  A store that is not there is none: every package is unknown.
 *
 * Threads: one at a time.  Ownership: packages live until it is closed.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_METADATA_H
#define BRISK_SRC_WORKLOAD_PKG_METADATA_H

#include <brisk/command.h>

#include "workload/pkg/project.h"
#include "workload/pkg/store.h"

typedef struct pkg_metadata {
    pkg_store *store; /* NULL: there is none */
    pkg_config config;
    const char *path;  /* of the store; NULL: there is no folder for one */
    int64_t oldest_ms; /* of what was given: since 1970; INT64_MAX: nothing was */
    uint32_t known;
    uint32_t unknown;
} pkg_metadata;

/*
 * `store` is the user's path or NULL: the one beside the cache, where `brisk pkg resolve` has it.
 * `lock` is the path of the lock: .npmrc is looked for beside it.
 * Errors with `info`: those of pkg_config_read; NOMEM; CORRUPT (a store of the user's that is none).
 */
brisk_err pkg_metadata_open(const brisk_invocation *in, const char *store, const char *lock,
                            brisk_arena *arena, pkg_metadata *ret, brisk_errinfo *info);
/* A zeroed one is accepted. */
void pkg_metadata_close(pkg_metadata *metadata);
/* The package, or NULL: nothing (whole) is known of it. */
const pkg_package *pkg_metadata_get(pkg_metadata *metadata, pkg_text name);

/* Under which number a registry's packages are stored; `whole` documents apart from abbreviated. */
static inline uint64_t pkg_registry_key(pkg_text url, bool whole)
{
    uint64_t hash = pkg_text_hash(url);
    return whole ? hash * UINT64_C(0x9e3779b97f4a7c15) + 1 : hash;
}

#endif /* BRISK_SRC_WORKLOAD_PKG_METADATA_H */
