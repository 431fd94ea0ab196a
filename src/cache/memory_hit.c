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
