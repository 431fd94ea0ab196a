/*
 * memory_tier.h -- the memory tier as its files see it: shards, readers, rings.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_TIER_H
#define BRISK_SRC_CACHE_MEMORY_TIER_H

#include <pthread.h>

#include <brisk/hist.h>
#include <brisk/memory.h>

#include "cache/memory_shard.h"

enum { MEMORY_HIST_BYTES = 8192 }; /* charged for the histogram */

/* Written by one thread, read by read_stats. */
typedef struct memory_reader {
    _Alignas(64) _Atomic uint64_t hits;
    _Atomic uint64_t misses;
    _Atomic uint64_t errors;
} memory_reader;

/* Never changed once it can be seen. */
typedef struct memory_tap {
    void (*fn)(void *ctx, uint32_t hash, bool hit);
    void *ctx;
    uint32_t one_in;
    struct memory_tap *older;
} memory_tap;

typedef struct memory_tier {
    brisk_tier base; /* first: what the caller holds */
    uint32_t shard_count;
    uint32_t thread_count; /* threads with a reader and rings; one more reader for the rest */
    memory_shard *shards;
    memory_reader *readers;
    hits_ring *rings;
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    brisk_hist *hist;
    pthread_mutex_t hist_lock;
    size_t block_bytes;
    _Atomic uint64_t bytes_max;
    uint64_t bytes_reserve;
    const char *policy_name;
    _Atomic(memory_tap *) tap; /* the head of all there ever were; they end with the tier */
    _Atomic uint64_t tend_at;  /* shard << 32 | bucket where the next tend goes on */
} memory_tier;

static inline memory_tier *memory_of(brisk_tier *tier)
{
    return (memory_tier *)tier; /* base comes first */
}

static inline memory_shard *shard_of(const memory_tier *memory, const brisk_key *key)
{
    return &memory->shards[key->hash.lo & (memory->shard_count - 1)];
}

/* For counters that only this thread writes. */
static inline void count_own(_Atomic uint64_t *counter)
{
    uint64_t count = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, count + 1, memory_order_relaxed);
}

static inline void count_shared(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* What the policies call an entry: the half of the hash that chooses neither shard nor bucket. */
static inline uint32_t memory_policy_hash(const brisk_key *key)
{
    return (uint32_t)(key->hash.lo >> 32);
}

static inline bool memory_tap_wants(const memory_tap *tap, uint32_t hash)
{
    return tap->one_in != 0 && (uint64_t)hash * tap->one_in >> 32 == 0;
}

void memory_taps_free(memory_tier *memory);
brisk_err memory_resize(memory_tier *memory, uint64_t bytes_max, uint64_t entries_max);

#endif /* BRISK_SRC_CACHE_MEMORY_TIER_H */
