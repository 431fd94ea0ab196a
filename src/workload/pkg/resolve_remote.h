/*
 * resolve_remote.h -- `brisk pkg resolve --node URL`: the resolution as a job of a node.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_RESOLVE_REMOTE_H
#define BRISK_SRC_WORKLOAD_PKG_RESOLVE_REMOTE_H

#include <brisk/node.h>

#include "workload/pkg/resolve.h"

typedef struct resolve_remote {
    const brisk_invocation *in;
    const pkg_resolve_request *request;
    const char *before; /* as given; NULL: not */
    const char *min_age;
    const char *node_version;
    bool json;
} resolve_remote;

/* Send package.json and the lock that is there, write the lock that comes, and tell of it. */
brisk_exit resolve_at_node(const resolve_remote *remote, const brisk_node_opts *where);

#endif /* BRISK_SRC_WORKLOAD_PKG_RESOLVE_REMOTE_H */
