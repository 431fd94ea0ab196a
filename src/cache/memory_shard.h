/*
 * memory_shard.h -- a part of the memory tier with a lock, a table, chunks and an order.
 *
 * Reading an entry that lies in its cell takes no lock and, while nothing can be evicted, writes no
 * shared memory: the value's bytes are copied.  Larger values are passed by reference, under the
 * lock.  Everything else holds the lock.
 *
 *     memory_peek.h     the hit without a lock
 *     memory_shard.c    life, search, dropping, the hit with the lock
 *     memory_order.c    what the policy is told, and when it sleeps
 *     memory_room.c     charging, making room, growing the table
 *     memory_put.c      put, remove, clear
 *     memory_update.c   changing in place
 *     memory_walk.c     looking at entries: info, expire, scan, random
 *     memory_tend.c     what has expired, what is cold
 */
#ifndef BRISK_SRC_CACHE_MEMORY_SHARD_H
#define BRISK_SRC_CACHE_MEMORY_SHARD_H

#include <pthread.h>

#include <brisk/memory.h>

#include "cache/memory_cell.h"
#include "cache/memory_space.h"
#include "cache/memory_table.h"
#include "cache/policy.h"
#include "wire/codec.h"

enum {
    SHARD_BYTES_MIN = 32768,
    SHARD_CHUNKS_MIN = 8,
    SHARD_VALUE_SHARE = 8,     /* a value may be an eighth of a shard */
    SHARD_REF_OVERHEAD = 128,  /* charged for a value by reference: its header, malloc's */
    SHARD_BLOCK_OVERHEAD = 32, /* charged for a block of key and meta: malloc's */
    SHARD_SLEEP_ENTRIES = 131072,
    HITS_RING = 32,
    GARBAGE_MAX = 32,
};

/* Whom hits concern. */
enum {
    SHARD_NOTES = 1, /* they are noted in rings */
    /* The other bits: the tier's tap, if the hash without its last bit is not above them. */
};

/* A hit that the policy does not know yet. */
typedef struct hit_note {
    uint32_t line;
    uint32_t hash;
} hit_note;

/* Hits of one thread in one shard.  The thread adds, whoever holds the shard's lock takes. */
typedef struct hits_ring {
    _Alignas(64) _Atomic uint32_t tail; /* written by the thread */
    _Atomic uint32_t head;              /* written under the shard's lock */
    hit_note notes[HITS_RING];
} hits_ring;

/* References to values, given up after the lock was released. */
typedef struct garbage {
    brisk_value *values[GARBAGE_MAX + 1]; /* one to spare: see shard_trim */
    uint32_t count;
    bool closed;           /* the lock stays closed: what is done is one step for everybody */
    struct garbage *older; /* what did not fit; from the shard's allocator */
    const brisk_alloc *alloc;
} garbage;

typedef enum order_state {
    ORDER_ASLEEP, /* nothing can be evicted: the policy knows no entry */
    ORDER_WAKING, /* it learns them, chunk by chunk */
    ORDER_AWAKE,
} order_state;

/* The policy at work. */
typedef struct shard_order {
    const policy_ops *ops;
    cache_policy *self;
    void *storage;
    size_t bytes;
    uint32_t id_count;
    uint32_t id_bytes; /* charged for each cell that the policy may know */
    order_state state;
    uint32_t feed_at; /* the chunk (by local number) that it learns next */
    bool sleeps;      /* may sleep: the shard is large */
    uint64_t capacity_told;
} shard_order;

typedef struct memory_shard {
    /* For readers without the lock. */
    _Alignas(64) memory_table table;
    uint32_t lines_end;         /* lines below are in the region; never changes */
    bool recycles;              /* copies may be made of the thread's kept blocks; never changes */
    _Atomic uint32_t watch;     /* whom hits concern */
    _Atomic uint64_t value_max; /* largest value that is kept: a share of bytes_budget */
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    /* Under the lock. */
    _Alignas(64) pthread_mutex_t lock;
    shard_order order;
    hits_ring *rings; /* of thread t: rings[t * ring_stride] */
    uint32_t ring_stride;
    uint32_t ring_count;
    void *books; /* locals and directory */
    size_t books_bytes;
    uint64_t chunk_charge; /* of a chunk and what is kept about it, without the policy's */
    uint64_t bytes_budget;
    uint64_t bytes_used;
    uint64_t entries_max; /* UINT64_MAX: no limit */
    uint32_t evict_turn;
    bool track_use;
    brisk_cold_codec cold_codec;
    codec_kit *kit; /* made with the first cold value */
    uint64_t cold_after_ns;
    void (*on_drop)(void *ctx, const void *key, size_t key_size, brisk_drop_reason reason);
    void *on_drop_ctx;
    uint64_t entries, puts, removes, evictions, expired, rejects, raw_bytes, stored_bytes;
    memory_space space;
} memory_shard;

typedef struct shard_opts {
    uint64_t bytes;
    uint64_t entries_max; /* 0: no limit */
    space_region *region;
    const space_classes *classes;
    uint32_t chunks_max;
    const policy_ops *policy_ops;
    const brisk_memory_tier_opts *tier;
    const brisk_alloc *alloc;
    hits_ring *rings;
    uint32_t ring_stride;
    uint32_t ring_count;
    uint32_t number; /* of the shard in its tier */
} shard_opts;

/* Errors: NOMEM. */
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

/* What the policies know of a key's hash. */
static inline uint32_t shard_policy_hash(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* Whether the tap may want the key: it says so for certain. */
static inline bool shard_is_tapped(const memory_shard *shard, uint64_t hash)
{
    uint32_t below = atomic_load_explicit(&shard->watch, memory_order_relaxed) & ~1U;
    return below != 0 && (shard_policy_hash(hash) & ~1U) <= below;
}

/* A hit of the ring's thread. */
static inline void shard_note_hit(memory_shard *shard, hits_ring *ring, hit_note note)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    ring->notes[tail % HITS_RING] = note;
    /* Release: pairs with the acquire in shard_drain, for notes[]. */
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    /* Acquire: whoever took the old ones has read them. */
    if (tail + 1 - atomic_load_explicit(&ring->head, memory_order_acquire) == HITS_RING) {
        shard_take_hits(shard);
    }
}

/* What is stored: `value`, or when that is NULL the `size` bytes at `data`. */
typedef struct shard_item {
    const brisk_key *key;
    brisk_value *value;
    const void *data;
    uint64_t size;
    const brisk_entry_opts *opts;
} shard_item;

/* Errors: DECLINED (a file, too large), FULL, NOMEM, INVALID (options); `key` is then a miss. */
brisk_err shard_put(memory_shard *shard, const shard_item *item);
void shard_remove(memory_shard *shard, const brisk_key *key);
void shard_clear(memory_shard *shard);

typedef brisk_err (*shard_edit)(void *ctx, brisk_memory_edit *edit);
typedef void (*shard_visit)(void *ctx, const brisk_memory_visit *entry);

bool shard_info(memory_shard *shard, const brisk_key *key, brisk_entry_info *ret);
/* Errors: NOT_FOUND, FULL. */
brisk_err shard_expire(memory_shard *shard, const brisk_key *key, uint64_t expires_at_ns);
brisk_err shard_update(memory_shard *shard, const brisk_key *key, shard_edit edit, void *ctx);

/* Where a walk is: buckets of one number, in all segments, by the spread hash. */
typedef struct shard_cursor {
    uint32_t bucket;
    uint32_t spread;
    bool done;
} shard_cursor;

/* Visit about `count` entries; returns how many were looked at. */
uint32_t shard_scan(memory_shard *shard, shard_cursor *at, uint32_t count, shard_visit visit,
                    void *ctx);
/* Visit an entry near a place chosen by `number`.  False: there was none. */
bool shard_random(memory_shard *shard, uint64_t number, shard_visit visit, void *ctx);

/* Errors: INVALID. */
brisk_err shard_resize(memory_shard *shard, uint64_t bytes, uint64_t entries_max);
/* Errors: NOMEM. */
brisk_err shard_set_policy(memory_shard *shard, const policy_ops *ops);
/* The policy's name and, if it has chosen another one, that one's. */
const char *shard_policy(memory_shard *shard, const char **ret_chosen);
/* Look through one chunk at or after number *chunk; false when all were seen. */
bool shard_tend(memory_shard *shard, uint32_t *chunk, uint64_t *dropped);

/* Add the shard's figures to *stats. */
void shard_read_stats(memory_shard *shard, brisk_tier_stats *stats);
/* Whole-structure proof; takes the lock. */
bool shard_is_valid(memory_shard *shard);

/* --- between the files of a shard, all under the lock ---------------------------------------- */

void shard_lock(memory_shard *shard);
void shard_unlock(memory_shard *shard);
/* Tell the policy every hit it does not know yet. */
void shard_drain(memory_shard *shard);

uint64_t shard_hash_of(const void *shard, uint32_t line);
/* The key's bytes: in the cell or its block. */
const void *shard_key_of(const memory_shard *shard, uint32_t line, const cell_shape *shape);
bool shard_find(const memory_shard *shard, const brisk_key *key, table_place *ret);
table_place shard_place_of(const memory_shard *shard, uint32_t line, uint64_t hash);
bool shard_is_due(const memory_shard *shard, uint64_t expires_at_ns);

/* What an entry of this shape is charged besides its cell; `value` when it has one. */
uint64_t shard_outside(const cell_shape *shape, const brisk_value *value);
/* What an entry holds outside of its cell is given back; its value to `trash`. */
void shard_release_outside(memory_shard *shard, uint32_t line, garbage *trash);

typedef enum drop_reason { DROP_REMOVED, DROP_EVICTED, DROP_EXPIRED } drop_reason;

/* Drop the entry at `place`, whose key has `hash`.  `trash` must have room for one more. */
void shard_drop(memory_shard *shard, table_place place, uint64_t hash, drop_reason reason,
                garbage *trash);
/*
 * Keep room for two more values; opens the lock for a moment when there was not, unless the trash
 * is `closed` and there is memory for more of it.  Never while a cell is taken that is not an entry
 * yet: emptying a chunk would trip over it.
 */
void shard_trim(memory_shard *shard, garbage *trash);
void shard_free_garbage(garbage *trash);
shard_answer shard_read_entry(const memory_shard *shard, uint32_t line, brisk_hit *ret);
bool shard_is_valid_locked(const memory_shard *shard);
/* Small shards only, since this looks at every entry. */
bool shard_looks_valid(const memory_shard *shard);

/* order */
brisk_err order_init(memory_shard *shard, const policy_ops *ops, uint32_t id_count, bool sleeps);
void order_deinit(memory_shard *shard);
void order_begin_chunk(memory_shard *shard, uint32_t chunk);
void order_end_chunk(memory_shard *shard, uint32_t chunk);
void order_miss(memory_shard *shard, uint64_t hash);
void order_insert(memory_shard *shard, uint32_t line, uint64_t hash);
void order_hit(memory_shard *shard, uint32_t line, uint64_t hash);
void order_notes(memory_shard *shard, const hit_note *notes, uint32_t count);
void order_remove(memory_shard *shard, uint32_t line, bool evicted);
void order_move(memory_shard *shard, uint32_t from, uint32_t to);
void order_expiry(memory_shard *shard, uint32_t line);
/* The line of the entry to drop next, or SPACE_NONE. */
uint32_t order_victim(memory_shard *shard);
/* Before an insert: wake the policy when it is time, let it learn some entries. */
void order_step(memory_shard *shard);
/* Sleep again: there are no entries. */
void order_forget(memory_shard *shard);
void order_tell_capacity(memory_shard *shard);

/* room */
bool room_collect(memory_shard *shard, bool release);
bool room_evict(memory_shard *shard, garbage *trash);
/* Charge `bytes` outside of cells, dropping entries if it must (`evict`). */
bool room_charge(memory_shard *shard, uint64_t bytes, bool evict, garbage *trash);
/* A cell, dropping entries if it must (`evict`); SPACE_NONE when there is no way. */
uint32_t room_take_cell(memory_shard *shard, uint32_t cell_class, bool evict, garbage *trash);
/* See to it that the table has a slot for `hash`. */
void room_for_slot(memory_shard *shard, uint64_t hash, garbage *trash);
/* Give the table back: there are no entries. */
void room_reset_table(memory_shard *shard);
/* Let the table shrink where the entry of `hash` was. */
void room_shrink_table(memory_shard *shard, uint64_t hash);

/* put */
bool put_drop_key(memory_shard *shard, const brisk_key *key, drop_reason reason, garbage *trash);
/* Store or replace; on an error the key is a miss.  Errors: FULL, NOMEM, DECLINED, INVALID. */
brisk_err put_store(memory_shard *shard, const shard_item *item, garbage *trash);
/* Largest value that is kept. */
uint64_t put_value_max(const memory_shard *shard);

/* walk */
/* False when the entry has expired. */
bool walk_read_info(const memory_shard *shard, uint32_t line, brisk_entry_info *ret);

/* tend */
/* The value of a cold cell, as it was.  Errors: NOMEM, CORRUPT. */
brisk_err tend_thaw(const memory_shard *shard, uint32_t line, const brisk_alloc *alloc,
                    brisk_value **ret);
/* A chunk gets an entry that expires then. */
static inline void tend_note_expiry(memory_shard *shard, uint32_t line, uint64_t expires_at_ns)
{
    space_chunk *chunk = &shard->space.chunks[space_chunk_of(&shard->space, line)];
    uint64_t seconds = expires_at_ns / UINT64_C(1000000000);
    if (expires_at_ns != 0 && seconds < chunk->expires_s) {
        chunk->expires_s = (uint32_t)seconds;
        chunk->next_sweep = 0;
        chunk->pause = 0;
    }
}

#endif /* BRISK_SRC_CACHE_MEMORY_SHARD_H */
