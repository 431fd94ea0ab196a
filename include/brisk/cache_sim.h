/*
 * brisk/cache_sim.h -- what a cache would have hit: a policy, a number of entries, and requests.
 *
 * A simulation keeps hashes only, some 20 to 120 bytes an entry.  It decides exactly as the memory
 * tier with entries_max does under the same policy.
 *
 * Threads: one at a time for each simulation.
 */
#ifndef BRISK_CACHE_SIM_H
#define BRISK_CACHE_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

enum { BRISK_CACHE_SIM_ENTRIES_MAX = 1 << 28 };

/** The name of policy 0, 1, ... ("lru", ...), "auto" last; NULL beyond. */
BRISK_API const char *brisk_policy_name(uint32_t index);

typedef struct brisk_cache_sim brisk_cache_sim;

/** Errors: INVALID (policy, 0 entries), LIMIT, NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_cache_sim_create(const char *policy, uint64_t entries,
                                                           const brisk_alloc *alloc,
                                                           brisk_cache_sim **ret);
BRISK_API void brisk_cache_sim_destroy(brisk_cache_sim *sim); /**< NULL is accepted. */
/** A get, and a put when it was a miss.  True on a hit.  `key` is a hash of which the upper half counts. */
BRISK_API bool brisk_cache_sim_request(brisk_cache_sim *sim, uint64_t key);
/** Did the last request evict, and whom: the upper half of its hash. */
BRISK_API bool brisk_cache_sim_evicted(const brisk_cache_sim *sim, uint32_t *ret);

BRISK_END_DECLS

#endif /* BRISK_CACHE_SIM_H */
