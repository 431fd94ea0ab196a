/*
 * memory_hit_wide.c -- the usual hit for processors with 64-byte instructions (AVX-512).
 *
 * Compiled for them, called only when memory_create.c finds them.
 */
#include "cache/memory_hit.h"

brisk_err memory_get_wide(brisk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    return hit_get(tier, key, ret);
}

brisk_err memory_read_wide(memory_tier *memory, const brisk_key *key, void *buffer, size_t capacity,
                           brisk_entry_info *ret)
{
    return hit_read(memory, key, buffer, capacity, ret);
}

void memory_prefetch_wide(const memory_tier *memory, const brisk_key *keys, uint32_t count)
{
    hit_prefetch(memory, keys, count);
}

uint32_t memory_batch_wide(brisk_tier *tier, const brisk_key *keys, uint32_t count, brisk_hit *hits,
                           brisk_err *errs)
{
    return hit_batch(tier, keys, count, hits, errs);
}
