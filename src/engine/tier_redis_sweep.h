/*
 * tier_redis_sweep.h -- dropping all keys with a prefix, on every node.
 */
#ifndef BRISK_SRC_ENGINE_TIER_REDIS_SWEEP_H
#define BRISK_SRC_ENGINE_TIER_REDIS_SWEEP_H

#include "engine/tier_redis_route.h"

enum { REDIS_SWEEP_PREFIX_MAX = 80 };

/*
 * SCAN for keys that begin with `prefix` and UNLINK them.  Keys that come meanwhile may stay.
 * Errors: the first that a node gave, DEADLINE (`until_ns` has passed), NOMEM.
 */
BRISK_NODISCARD brisk_err redis_sweep(redis_router *router, const char *prefix, uint64_t timeout_ns,
                                      uint64_t until_ns);

#endif /* BRISK_SRC_ENGINE_TIER_REDIS_SWEEP_H */
