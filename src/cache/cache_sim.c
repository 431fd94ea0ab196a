/*
 * cache_sim.c -- policy_sim behind <brisk/cache_sim.h>.
 */
#include <string.h>

#include <brisk/cache_sim.h>

#include "base/assert.h"
#include "cache/policy_sim.h"

enum {
    ALIGN = 64,
    AUTO_IDS = 262144, /* auto sizes its panel by ids: as in a tier of some 32 MiB at least */
};

struct brisk_cache_sim {
    policy_sim sim;
    const brisk_alloc *alloc;
    void *storage;
    size_t storage_bytes;
    uint32_t gone;
    bool any_gone;
};

const char *brisk_policy_name(uint32_t index)
{
    static const char *const names[] = {"lru",    "lfu",      "fifo", "ttl",  "sieve",
                                        "s3fifo", "wtinylfu", "arc",  "lirs", "auto"};
    return index < sizeof names / sizeof names[0] ? names[index] : NULL;
}

brisk_err brisk_cache_sim_create(const char *policy, uint64_t entries, const brisk_alloc *alloc,
                                 brisk_cache_sim **ret)
{
    BRISK_ASSERT(ret != NULL);
    const policy_ops *ops = policy_find(policy);
    if (ops == NULL || entries == 0) {
        return BRISK_ERR_INVALID;
    }
    if (entries > BRISK_CACHE_SIM_ENTRIES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    uint32_t ids = (uint32_t)entries;
    if (ops == &policy_auto && ids < AUTO_IDS) {
        ids = AUTO_IDS;
    }
    size_t bytes = sim_bytes(ops, ids);
    brisk_cache_sim *sim = alloc->acquire(alloc->ctx, sizeof *sim, _Alignof(brisk_cache_sim));
    void *storage = sim != NULL ? alloc->acquire(alloc->ctx, bytes, ALIGN) : NULL;
    if (storage == NULL) {
        if (sim != NULL) {
            alloc->release(alloc->ctx, sim, sizeof *sim, _Alignof(brisk_cache_sim));
        }
        return BRISK_ERR_NOMEM;
    }
    memset(storage, 0, bytes);
    *sim = (brisk_cache_sim){.alloc = alloc, .storage = storage, .storage_bytes = bytes};
    sim_init(&sim->sim, ops, storage, ids);
    if (ids != entries) {
        sim_set_capacity(&sim->sim, (uint32_t)entries);
    }
    *ret = sim;
    return BRISK_OK;
}

void brisk_cache_sim_destroy(brisk_cache_sim *sim)
{
    if (sim != NULL) {
        const brisk_alloc *alloc = sim->alloc;
        alloc->release(alloc->ctx, sim->storage, sim->storage_bytes, ALIGN);
        alloc->release(alloc->ctx, sim, sizeof *sim, _Alignof(brisk_cache_sim));
    }
}

bool brisk_cache_sim_request(brisk_cache_sim *sim, uint64_t key)
{
    return sim_request(&sim->sim, (uint32_t)(key >> 32), 0, &sim->gone, &sim->any_gone);
}

bool brisk_cache_sim_evicted(const brisk_cache_sim *sim, uint32_t *ret)
{
    if (sim->any_gone) {
        *ret = sim->gone;
    }
    return sim->any_gone;
}
