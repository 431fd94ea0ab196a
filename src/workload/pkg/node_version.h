/*
 * node_version.h -- which node is installed: "engines" of packages are judged by it.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_NODE_VERSION_H
#define BRISK_SRC_WORKLOAD_PKG_NODE_VERSION_H

#include "workload/pkg/semver.h"

/* Of the first `node` on the PATH, as its headers say; false (and zero): not known.  Nothing is run. */
bool pkg_node_version(brisk_arena *arena, semver *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_NODE_VERSION_H */
