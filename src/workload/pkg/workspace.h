/*
 * workspace.h -- which folders "workspaces" of a package.json means.
 *
 * Threads: pure.  Source: npm's documentation of workspaces; the common rules of globs.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_WORKSPACE_H
#define BRISK_SRC_WORKLOAD_PKG_WORKSPACE_H

#include "workload/pkg/text.h"

enum {
    PKG_GLOB_STEPS_MAX = 100000
}; /* of one comparison; a pattern that needs more fits nothing */

/* "packages/" and a star, a double star, "?": of whole paths with "/" between; a star stays inside
 * its part.  Braces and classes are taken as they stand. */
bool pkg_glob_matches(pkg_text pattern, pkg_text path);
/* `raw` is the JSON of "workspaces", a list or an object with "packages"; the last pattern that
 * fits counts, and "!" before it says no.  `*left` are bytes and steps that may still be looked at,
 * for all questions together; 0: too many, and the answer means nothing. */
bool pkg_workspaces_has(pkg_text raw, pkg_text path, uint64_t *left);

#endif /* BRISK_SRC_WORKLOAD_PKG_WORKSPACE_H */
