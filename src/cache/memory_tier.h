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

#define MEMORY_COLD_AFTER_NS  UINT64_C(60000000000)
#define MEMORY_POLICY_DEFAULT "auto"

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
    uint32_t shard_mask;
    uint32_t thread_count; /* threads with a reader and rings; one more reader for the rest */
    bool recycles;         /* copies may be made of the thread's kept blocks */
    memory_shard *shards;
    memory_reader *readers; /* one more before them is nobody's, all zero */
    hits_ring *rings;
    brisk_err (*read)(struct memory_tier *memory, const brisk_key *key, void *buffer,
                      size_t capacity, brisk_entry_info *ret);
    void (*prefetch)(const struct memory_tier *memory, const brisk_key *keys, uint32_t count);
    uint32_t (*batch)(brisk_tier *tier, const brisk_key *keys, uint32_t count, brisk_hit *hits,
                      brisk_err *errs);
    _Atomic(memory_tap *) tap; /* the head of all there ever were; they end with the tier */
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    /* Rarely used. */
    space_classes classes;
    space_region *regions;
    uint32_t region_count;
    brisk_hist *hist;
    pthread_mutex_t hist_lock;
    size_t block_bytes;
    _Atomic uint64_t bytes_max;
    uint64_t bytes_reserve;
    _Atomic uint64_t tend_at; /* shard << 32 | chunk where the next tend goes on */
} memory_tier;

static inline memory_tier *memory_of(brisk_tier *tier)
{
    return (memory_tier *)tier; /* base comes first */
}

static inline memory_shard *shard_of(const memory_tier *memory, const brisk_key *key)
{
    return &memory->shards[key->hash.lo & (memory->shard_count - 1)];
}

static inline bool memory_tap_wants(const memory_tap *tap, uint32_t hash)
{
    return tap->one_in != 0 && (uint64_t)hash * tap->one_in >> 32 == 0;
}

extern const brisk_tier_ops memory_ops_slow; /* values from an allocator that is not libc's */
extern const brisk_tier_ops memory_ops_plain;
extern const brisk_tier_ops memory_ops_wide;

void memory_taps_free(memory_tier *memory);
/* End the tier and its first `shards` shards. */
void memory_free(memory_tier *memory, uint32_t shards);
/* A shard's part of the limits. */
uint64_t memory_shard_bytes(const memory_tier *memory, uint64_t bytes_max);
uint64_t memory_shard_entries(const memory_tier *memory, uint64_t entries_max);

/* Where the calling thread counts. */
typedef struct memory_count {
    memory_reader *reader;
    uint32_t thread;
    bool own; /* nobody else writes there */
} memory_count;

/* The hit, and the hit into a buffer: the usual ones, and all others (memory.c). */
brisk_err memory_get_plain(brisk_tier *tier, const brisk_key *key, brisk_hit *ret);
brisk_err memory_get_wide(brisk_tier *tier, const brisk_key *key, brisk_hit *ret);
brisk_err memory_get_slow(brisk_tier *tier, const brisk_key *key, brisk_hit *ret);
/* The same after a usual hit that proved wrong: *ret holds a value that is none. */
brisk_err memory_get_again(brisk_tier *tier, const brisk_key *key, brisk_hit *ret);
brisk_err memory_read_plain(memory_tier *memory, const brisk_key *key, void *buffer,
                            size_t capacity, brisk_entry_info *ret);
brisk_err memory_read_wide(memory_tier *memory, const brisk_key *key, void *buffer, size_t capacity,
                           brisk_entry_info *ret);
brisk_err memory_read_slow(memory_tier *memory, const brisk_key *key, void *buffer, size_t capacity,
                           brisk_entry_info *ret);
void memory_prefetch_plain(const memory_tier *memory, const brisk_key *keys, uint32_t count);
void memory_prefetch_wide(const memory_tier *memory, const brisk_key *keys, uint32_t count);
uint32_t memory_batch_plain(brisk_tier *tier, const brisk_key *keys, uint32_t count,
                            brisk_hit *hits, brisk_err *errs);
uint32_t memory_batch_wide(brisk_tier *tier, const brisk_key *keys, uint32_t count, brisk_hit *hits,
                           brisk_err *errs);
uint32_t memory_batch_slow(brisk_tier *tier, const brisk_key *keys, uint32_t count, brisk_hit *hits,
                           brisk_err *errs);
/* A usual hit, counted, of the thread's own: tell whom it may concern.  Always OK. */
brisk_err memory_hit_watched(brisk_tier *tier, const brisk_key *key, uint32_t line);

#endif /* BRISK_SRC_CACHE_MEMORY_TIER_H */
