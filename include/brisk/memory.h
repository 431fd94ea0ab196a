/*
 * brisk/memory.h -- the memory tier: what every tier does, and what only memory can.
 *
 * Batches that prefetch, reads into the caller's buffer, changes in place, walks, limits and a
 * policy that change at run time.  Functions here take a tier that brisk_memory_tier_create gave,
 * and nothing else.
 *
 * Callbacks (on_drop, edit, visit, tap) must be short and must not come back into the tier: all
 * but `tap` run under a lock.
 *
 * Threads: any, for every function.
 */
#ifndef BRISK_MEMORY_H
#define BRISK_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/rng.h>
#include <brisk/value.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_MEMORY_BATCH_MAX = 64, /**< Keys of one prefetch or get_batch. */
};

/** Why an entry left by itself. */
typedef enum brisk_drop_reason { BRISK_DROP_EVICTED, BRISK_DROP_EXPIRED } brisk_drop_reason;

/** How cold values are kept. */
typedef enum brisk_cold_codec { BRISK_COLD_NONE, BRISK_COLD_LZ4, BRISK_COLD_ZSTD } brisk_cold_codec;

typedef struct brisk_memory_tier_opts {
    uint64_t bytes_max;          /**< Keys, values, slack, bookkeeping; 0 means 64 MiB. */
    uint64_t bytes_reserve;      /**< How far brisk_memory_resize may go; 0 means bytes_max. */
    uint64_t entries_max;        /**< 0 means no limit of their number.  Exact with one shard. */
    uint32_t shards;             /**< Power of two up to 1024; 0: by size and cores. */
    const char *policy;          /**< "lru" or another of the known ones; NULL means the default. */
    bool track_use;              /**< Keep hit count and last use of every entry: 8 bytes each. */
    brisk_cold_codec cold_codec; /**< brisk_memory_tend compresses what was not used for long. */
    uint64_t cold_after_ns;      /**< How long that is; 0 means a minute. */
    /** Told of each entry that leaves by itself. */
    void (*on_drop)(void *ctx, const void *key, size_t key_size, brisk_drop_reason reason);
    void *on_drop_ctx;
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_memory_tier_opts;

/**
 * A tier in memory.  Values that are files, and values larger than an eighth of a shard, are not
 * kept (DECLINED).
 *
 * Address space for `bytes_reserve` is taken at once (small entries live there, and all
 * bookkeeping); memory is used as it fills.  Larger values are kept by reference and charged with
 * an overhead for their headers.  A hit of a small entry is a copy of the caller's own, taken from
 * `alloc`; a value that somebody still holds when its entry goes is the holder's and no longer
 * charged.  Values may outlive the tier, not `alloc`.
 *
 * get_p50_ns and get_p99_ns come from one get in 1,024 of each thread.
 * Errors: INVALID (unknown policy, bad shard count, less than about 32 KiB a shard), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_memory_tier_create(const brisk_memory_tier_opts *opts,
                                                             brisk_tier **ret);

/** What is known of an entry besides its value. */
typedef struct brisk_entry_info {
    uint64_t size;          /**< Of the value, bytes. */
    uint64_t held;          /**< Bytes charged for the entry. */
    uint64_t expires_at_ns; /**< Wall clock; 0: never. */
    uint64_t cost_ns;
    uint64_t last_used_ns; /**< Wall clock, in steps of a second; 0 without track_use. */
    uint64_t next_use_ns;  /**< Predicted: last use and the mean of the pauses; 0 when unknown. */
    uint32_t hits;         /**< About; 0 without track_use. */
    uint32_t flags;
    uint32_t meta_size;
    uint16_t era; /**< As stored, see brisk_entry_opts. */
} brisk_entry_info;

/**
 * A hit, counted as one: copies the value into `buffer` of `capacity` bytes; `ret` may be NULL.
 * Errors: NOT_FOUND; LIMIT (larger than `capacity`: ret->size says how large, nothing is copied).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_memory_read(brisk_tier *tier, const brisk_key *key,
                                                      void *buffer, size_t capacity,
                                                      brisk_entry_info *ret);

/**
 * Ask for the cache lines that the lookups of `count` keys (at most BRISK_MEMORY_BATCH_MAX) will
 * need, so that their misses overlap; then work on them one by one.
 */
BRISK_API void brisk_memory_prefetch(const brisk_tier *tier, const brisk_key *keys, uint32_t count);

/**
 * get of many (at most BRISK_MEMORY_BATCH_MAX), misses overlapped.  errs[i] is OK and hits[i] set,
 * or NOT_FOUND or NOMEM.  Returns the number of hits.
 */
BRISK_API uint32_t brisk_memory_get_batch(brisk_tier *tier, const brisk_key *keys, uint32_t count,
                                          brisk_hit *hits, brisk_err *errs);

/** put of plain bytes, without a brisk_value around them.  Errors: as put of a tier. */
BRISK_API BRISK_NODISCARD brisk_err brisk_memory_put_bytes(brisk_tier *tier, const brisk_key *key,
                                                           const void *data, size_t size,
                                                           const brisk_entry_opts *opts);

/** No hit: neither counted nor told to the policy.  Errors: NOT_FOUND. */
BRISK_API BRISK_NODISCARD brisk_err brisk_memory_info(brisk_tier *tier, const brisk_key *key,
                                                      brisk_entry_info *ret);

/** Change when the entry expires; 0: never.  No hit.  Errors: NOT_FOUND, FULL (no room for it). */
BRISK_API BRISK_NODISCARD brisk_err brisk_memory_expire(brisk_tier *tier, const brisk_key *key,
                                                        uint64_t expires_at_ns);

/** An entry while it is changed. */
typedef struct brisk_memory_edit {
    bool present;           /**< There is an entry; resize makes one where there is none. */
    bool remove;            /**< Set it: the entry goes. */
    unsigned char *data;    /**< `size` bytes that may be written. */
    size_t size;            /**< Changed by resize only. */
    uint64_t expires_at_ns; /**< May be changed. */
    uint16_t era;           /**< May be changed; 0 where there was no entry. */
    /** Make the value `size` bytes; new ones are zero; data may move.  False: too large, or no
     *  memory; nothing has changed then. */
    bool (*resize)(struct brisk_memory_edit *edit, size_t size);
    void *private_;
} brisk_memory_edit;

/**
 * Change a value in place, in one step for everybody else.  `edit` sees the bytes as they are and
 * writes them; flags, meta data and cost stay (a new entry has none).  Growing by little many
 * times costs amortised constant time a byte.  A change counts as a hit, not as a put.
 *
 * Errors: what `edit` returned, and then it must not have written; FULL, DECLINED, NOMEM: the key is
 * a miss then.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_memory_update(brisk_tier *tier, const brisk_key *key,
                                                        brisk_err (*edit)(void *ctx,
                                                                          brisk_memory_edit *edit),
                                                        void *ctx);

/** An entry seen by a walk; the key's bytes are borrowed for the call. */
typedef struct brisk_memory_visit {
    const void *key;
    size_t key_size;
    brisk_entry_info info;
} brisk_memory_visit;

/**
 * One step of a walk: begin with cursor 0, go on with what comes back until that is 0 again.
 * About `count` entries are looked at, at least one place of them.
 *
 * What is there during the whole walk is visited at least once, whatever is inserted, removed or
 * replaced meanwhile; what comes or goes may be visited or not.  What has expired is not visited.
 */
BRISK_API uint64_t brisk_memory_scan(brisk_tier *tier, uint64_t cursor, uint32_t count,
                                     void (*visit)(void *ctx, const brisk_memory_visit *entry),
                                     void *ctx);

/** Some entry, about uniformly.  False: none. */
BRISK_API bool brisk_memory_random(brisk_tier *tier, brisk_rng *rng,
                                   void (*visit)(void *ctx, const brisk_memory_visit *entry),
                                   void *ctx);

/**
 * New limits, at once: entries go until they are kept.  `entries_max` 0: none.
 * Errors: INVALID (less than 32 KiB a shard, or more than bytes_reserve).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_memory_resize(brisk_tier *tier, uint64_t bytes_max,
                                                        uint64_t entries_max);

/** Another policy, which takes over the entries in their order.  Errors: INVALID, NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_memory_set_policy(brisk_tier *tier, const char *policy);
/** The policy at work; of one that chooses, its choice too ("auto:s3fifo").  Static. */
BRISK_API const char *brisk_memory_policy(const brisk_tier *tier);

/**
 * Drop what has expired, compress what is cold, for at most about `budget_ns`.  To be called now
 * and then (every 100 ms, say).  Returns how many entries were dropped.
 */
BRISK_API uint64_t brisk_memory_tend(brisk_tier *tier, uint64_t budget_ns);

/**
 * Tap for miss-ratio curves: from now on `tap` is called, in the asking thread and under no lock,
 * for the gets of one in `one_in` keys with the key's 32-bit policy hash.  0: none any more; the
 * old tap may still be running in other threads when this returns.
 */
BRISK_API void brisk_memory_set_tap(brisk_tier *tier, uint32_t one_in,
                                    void (*tap)(void *ctx, uint32_t hash, bool hit), void *ctx);

BRISK_END_DECLS

#endif /* BRISK_MEMORY_H */
