/*
 * policy_sim.h -- a cache of hashes under some policy: what would have been hit.
 *
 * It stores nothing but 32-bit hashes and what the policy knows of them, in one block of memory
 * that is zero at first.  Requests of a key are a get, and a put when it was a miss.
 *
 * Invariant: the table finds exactly the ids 0 .. used - 1 that are no free ones.
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_CACHE_POLICY_SIM_H
#define BRISK_SRC_CACHE_POLICY_SIM_H

#include "cache/policy.h"

typedef struct policy_sim {
    const policy_ops *ops;
    cache_policy *policy;
    uint32_t *hashes; /* by id */
    uint32_t *table;  /* id + 1, or 0; probed from a hash's home on */
    uint32_t *free;   /* a stack of ids that were used */
    uint32_t mask;
    uint32_t id_count;
    uint32_t capacity;
    uint32_t entries;
    uint32_t used; /* ids that were used ever */
    uint32_t free_count;
} policy_sim;

/* Memory for `id_count` entries at most; a multiple of 64. */
size_t sim_bytes(const policy_ops *ops, uint32_t id_count);
/* `storage`: sim_bytes zero bytes, aligned to 64, that stay where they are. */
void sim_init(policy_sim *sim, const policy_ops *ops, void *storage, uint32_t id_count);
/* 1 .. id_count; drops what is too much. */
void sim_set_capacity(policy_sim *sim, uint32_t entries);
bool sim_has(const policy_sim *sim, uint32_t hash);
/* True on a hit.  *ret_evicted is the hash that left and true is in *ret_any, when there was one. */
bool sim_request(policy_sim *sim, uint32_t hash, uint32_t expires_s, uint32_t *ret_evicted,
                 bool *ret_any);
/* The key was removed, or expired. */
void sim_remove(policy_sim *sim, uint32_t hash);
/* The key, if it is there, expires at another time. */
void sim_expiry(policy_sim *sim, uint32_t hash, uint32_t expires_s);
/* Drop one, and say which; false when empty. */
bool sim_evict(policy_sim *sim, uint32_t *ret_hash);
bool sim_is_valid(const policy_sim *sim);

#endif /* BRISK_SRC_CACHE_POLICY_SIM_H */
