/*
 * memory_hit.c -- the usual hit for any processor.
 */
#include "cache/memory_hit.h"

brisk_err memory_get_plain(brisk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    return hit_get(tier, key, ret);
}

brisk_err memory_read_plain(memory_tier *memory, const brisk_key *key, void *buffer,
                            size_t capacity, brisk_entry_info *ret)
{
    return hit_read(memory, key, buffer, capacity, ret);
}

void memory_prefetch_plain(const memory_tier *memory, const brisk_key *keys, uint32_t count)
{
    hit_prefetch(memory, keys, count);
}

uint32_t memory_batch_plain(brisk_tier *tier, const brisk_key *keys, uint32_t count,
                            brisk_hit *hits, brisk_err *errs)
{
    return hit_batch(tier, keys, count, hits, errs);
}

/* What is chosen for the processor; here, since a call that only goes on needs no frame. */
brisk_err brisk_memory_read(brisk_tier *tier, const brisk_key *key, void *buffer, size_t capacity,
                            brisk_entry_info *ret)
{
    memory_tier *memory = memory_of(tier);
    return memory->read(memory, key, buffer, capacity, ret);
}

void brisk_memory_prefetch(const brisk_tier *tier, const brisk_key *keys, uint32_t count)
{
    BRISK_ASSERT(count <= BRISK_MEMORY_BATCH_MAX);
    const memory_tier *memory = (const memory_tier *)tier;
    memory->prefetch(memory, keys, count);
}

uint32_t brisk_memory_get_batch(brisk_tier *tier, const brisk_key *keys, uint32_t count,
                                brisk_hit *hits, brisk_err *errs)
{
    BRISK_ASSERT(count <= BRISK_MEMORY_BATCH_MAX);
    return memory_of(tier)->batch(tier, keys, count, hits, errs);
}
