/*
 * memory_shard.h -- a part of the memory tier with a lock, a table, a region and an order.
 *
 * Reading a small entry takes no lock and writes no shared memory: the value's bytes are copied
 * into a value of the caller's own.  Larger values are passed by reference, under the lock.
 * Everything else holds the lock.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_SHARD_H
#define BRISK_SRC_CACHE_MEMORY_SHARD_H

#include <pthread.h>

#include <brisk/memory.h>

#include "cache/memory_space.h"
#include "cache/memory_table.h"
#include "cache/policy.h"

enum {
    SHARD_BYTES_MIN = 32768,
    SHARD_HUGE_BYTES = 33554432, /* from here on 2 MiB pages are asked for */
    SHARD_HUGE_PAGE = 2097152,
    SHARD_VALUE_SHARE = 8,     /* a value may be an eighth of a shard */
    SHARD_REF_OVERHEAD = 128,  /* charged for a value by reference: its header, malloc's */
    SHARD_BLOCK_OVERHEAD = 32, /* charged for a block of key and meta: malloc's */
    HITS_RING = 32,
    GARBAGE_MAX = 32,
};

/*
 * Hits of one thread in one shard that the policy does not know yet.  The thread adds, whoever
 * holds the shard's lock takes.
 */
typedef struct hits_ring {
    _Alignas(64) _Atomic uint32_t tail; /* written by the thread */
    _Atomic uint32_t head;              /* written under the shard's lock */
    policy_hit hits[HITS_RING];
} hits_ring;

typedef struct memory_shard {
    /* For readers without the lock; never changes after init. */
    _Alignas(64) memory_table table;
    const unsigned char *region;
    const unsigned char *policy_ids; /* see policy_ops.ids_at */
    size_t policy_id_bytes;
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    bool recycles; /* copies may be made of the thread's kept blocks */
    /* Under the lock. */
    _Alignas(64) pthread_mutex_t lock;
    memory_space space;
    const policy_ops *policy_ops;
    cache_policy *policy;
    hits_ring *rings; /* of thread t: rings[t * ring_stride] */
    uint32_t ring_stride;
    uint32_t ring_count;
    void *block;
    size_t block_bytes;
    size_t block_align;
    bool wants_huge; /* large pages were not asked for yet */
    uint64_t chunks_begun;
    uint64_t capacity_told; /* what the policy believes to fit */
    uint64_t bytes_fixed;   /* bookkeeping, charged always */
    uint64_t bytes_budget;  /* for chunks, values by reference and blocks together */
    uint64_t bytes_used;
    uint64_t bytes_top;   /* what resize may go up to */
    uint64_t entries_max; /* UINT64_MAX: none */
    void (*on_drop)(void *ctx, const void *key, size_t key_size, brisk_drop_reason reason);
    void *on_drop_ctx;
    uint64_t entries, puts, removes, evictions, expired, rejects, raw_bytes;
} memory_shard;

typedef struct shard_opts {
    uint64_t bytes;
    uint64_t entries_max; /* 0: none */
    void (*on_drop)(void *ctx, const void *key, size_t key_size, brisk_drop_reason reason);
    void *on_drop_ctx;
    const policy_ops *policy_ops;
    const brisk_clock *clock;
    const brisk_alloc *alloc;
    hits_ring *rings;
    uint32_t ring_stride;
    uint32_t ring_count;
} shard_opts;

/* Errors: INVALID (fewer than SHARD_BYTES_MIN bytes), NOMEM. */
brisk_err shard_init(memory_shard *shard, const shard_opts *opts);
void shard_deinit(memory_shard *shard);

typedef enum shard_answer {
    SHARD_HIT,
    SHARD_MISS,
    SHARD_NOMEM,
    SHARD_BUSY, /* shard_peek only: ask shard_get */
} shard_answer;

/* Under the lock; tells the policy itself. */
shard_answer shard_get(memory_shard *shard, const brisk_key *key, brisk_hit *ret);
/* Tell the policy what the rings hold; takes the lock. */
void shard_take_hits(memory_shard *shard);

/* What the policy knows of a key's hash. */
static inline uint32_t shard_policy_hash(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* A hit of the ring's thread. */
static inline void shard_note_hit(memory_shard *shard, hits_ring *ring, uint32_t id, uint64_t hash)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    ring->hits[tail % HITS_RING] = (policy_hit){.id = id, .hash = shard_policy_hash(hash)};
    __builtin_prefetch(shard->policy_ids + id * shard->policy_id_bytes, 1);
    /* Release: pairs with the acquire in drain_hits, for hits[]. */
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    /* Acquire: whoever took the old ones has read them. */
    if (tail + 1 - atomic_load_explicit(&ring->head, memory_order_acquire) == HITS_RING) {
        shard_take_hits(shard);
    }
}

/*
 * Errors: DECLINED (a file, too large), FULL, NOMEM, INVALID (options); `key` is then a miss.
 */
brisk_err shard_put(memory_shard *shard, const brisk_key *key, brisk_value *value,
                    const brisk_entry_opts *opts);
void shard_remove(memory_shard *shard, const brisk_key *key);
void shard_clear(memory_shard *shard);
/* Add the shard's figures to *stats. */
void shard_read_stats(memory_shard *shard, brisk_tier_stats *stats);
typedef brisk_err (*shard_edit)(void *ctx, brisk_memory_edit *edit);
typedef void (*shard_visit)(void *ctx, const brisk_memory_visit *entry);

bool shard_info(memory_shard *shard, const brisk_key *key, brisk_entry_info *ret);
bool shard_expire(memory_shard *shard, const brisk_key *key, uint64_t expires_at_ns);
brisk_err shard_update(memory_shard *shard, const brisk_key *key, shard_edit fn, void *ctx);
/* Walk from bucket *at on, about `count` entries; returns how many that were. */
uint32_t shard_scan(memory_shard *shard, uint32_t *at, uint32_t count, shard_visit visit,
                    void *ctx);

typedef struct random_visit {
    void (*visit)(void *ctx, const brisk_memory_visit *entry);
    void *ctx;
    uint64_t skip;
    bool done;
} random_visit;

bool shard_random(memory_shard *shard, uint64_t number, random_visit *r);
brisk_err shard_resize(memory_shard *shard, uint64_t bytes, uint64_t entries_max);
bool shard_tend(memory_shard *shard, uint32_t *at, uint64_t *dropped);
/* Whole-structure proof; takes the lock. */
bool shard_is_valid(memory_shard *shard);

#endif /* BRISK_SRC_CACHE_MEMORY_SHARD_H */
