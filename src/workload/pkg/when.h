/*
 * when.h -- until when a version must have been published to be taken.
 *
 * Threads: no state.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_WHEN_H
#define BRISK_SRC_WORKLOAD_PKG_WHEN_H

#include <stdint.h>

#include "workload/pkg/project.h"

/*
 * Milliseconds since 1970 into *ret, INT64_MAX for any time: the earlier of a date (`before`, else
 * .npmrc's) and an age (`min_age`, else .npmrc's).  NULL for those that were not given.
 * Returns NULL, or what is wrong: static text.
 */
const char *pkg_before_of(const char *before, const char *min_age, const pkg_config *config,
                          int64_t *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_WHEN_H */
