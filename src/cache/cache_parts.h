/*
 * cache_parts.h -- what the files of the stack share.
 *
 *     cache.c          life, get, promotion
 *     cache_write.c    put, remove, clear, invalidate
 *     cache_breaker.c  tiers that fail or are slow, and what they miss
 *     cache_tags.c     tags, dependencies, prefixes: sealing entries and judging them
 *     cache_foreign.c  changes by other processes on the same folder
 *     cache_shared.c   the same in tiers that other machines share
 *     cache_strategy.c write-through, write-behind, read-through
 *     cache_behind.c   the queue of writes that wait
 *     cache_stats.c    figures, taps
 */
#ifndef BRISK_SRC_CACHE_CACHE_PARTS_H
#define BRISK_SRC_CACHE_CACHE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/cache.h>
#include <brisk/hist.h>

#include "cache/cache_behind.h"
#include "cache/generation.h"

enum {
    CACHE_STRIPES =
        32, /* power of two; clear holds all, and the thread sanitizer follows 64 locks */
    CACHE_SLOTS_MAX = 80,  /* of one entry: three bytes each in its trailer */
    CACHE_BUMPS_MAX = 256, /* that a tier missed */
    CACHE_TRAILER_MAX = BRISK_TIER_META_MAX - BRISK_ENTRY_META_MAX,
};

typedef struct cache_stripe {
    _Alignas(64) pthread_mutex_t lock;
    _Atomic uint64_t version; /* changed under the lock */
} cache_stripe;

/* Keys that a tier missed changes of. */
typedef struct cache_missed {
    struct cache_missed_key {
        void *bytes;
        size_t size;
        brisk_hash128 hash;
    } * keys;
    uint32_t *index; /* twice as many as keys: position + 1, by hash */
    uint32_t count;
    uint32_t capacity;
    bool all; /* more than that: everything */
    uint32_t bump_count;
    brisk_bump bumps[CACHE_BUMPS_MAX]; /* of slots and prefixes, that it was not told */
} cache_missed;

/* See cache_breaker.c. */
typedef struct cache_breaker {
    _Atomic uint32_t state;    /* brisk_breaker_state; changed under the lock */
    _Atomic uint64_t retry_ns; /* while open: when to try again */
    _Atomic uint64_t window;   /* the last 64 calls, the latest in bit 0; set: failed or slow */
    _Atomic uint32_t calls;    /* of these, up to 64 */
    _Atomic uint32_t errors;   /* in a row */
    _Atomic bool probing;      /* half open: one read is under way */
    _Atomic uint64_t trips;
    _Atomic uint64_t skipped;
    _Atomic uint64_t replayed;
    pthread_mutex_t lock; /* the rest */
    uint64_t open_ns;
    uint32_t lost;          /* tier of this machine: keys outdated one by one while open */
    bool outdated;          /* likewise: everything it has is */
    uint64_t outdated_tail; /* of the ring then: later changes by others may be current there */
    uint32_t good;          /* half open: calls in a row */
    bool replaying;
    cache_missed missed;
} cache_breaker;

/* What a shared tier has of invalidations; NULL table: nothing. */
typedef struct cache_view {
    generations *table; /* its prefixes and eras */
    brisk_cache *cache;
    uint32_t index; /* of the slot */
    uint64_t since; /* the latest token known before this process listened */
    pthread_mutex_t lock;
    _Atomic uint32_t era; /* up to here all prefixes have been followed here; changed under lock */
} cache_view;

typedef struct cache_slot {
    brisk_tier *tier;
    cache_view view;
    _Atomic bool off;
    _Atomic uint64_t errors;
    _Atomic uint64_t stale;
    _Atomic uint64_t last_ns; /* latest timed get of a FAST tier */
    _Atomic uint64_t promotions;
    _Atomic uint64_t promotions_dropped;
    cache_breaker breaker;
    pthread_mutex_t hist_lock; /* a leaf: the next three */
    brisk_hist *hist;          /* of gets */
    struct cache_hours {
        uint64_t hour; /* of the wall clock, since 1970; 0: not yet */
        uint64_t evictions;
        uint64_t expired; /* what the tier said last */
        uint64_t evicted_by[BRISK_STATS_HOURS];
        uint64_t expired_by[BRISK_STATS_HOURS];
    } hours;
} cache_slot;

typedef struct cache_tap {
    brisk_tap_fn _Atomic fn;
    void *ctx;
    _Atomic uint32_t inside; /* calls under way, or about to look */
} cache_tap;

struct brisk_cache {
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    uint32_t tier_count;
    generations *table;
    brisk_breaker_opts breaker;
    brisk_background background;
    bool has_background;
    brisk_store store;
    brisk_write write;
    bool has_store;
    uint64_t full_wait_ns;
    behind_queue *to_store; /* NULL without a store */
    behind_queue *to_tiers; /* NULL without tiers_behind */
    _Atomic uint32_t tasks; /* given to the background and not over */
    _Atomic uint64_t background_dropped;
    cache_slot slots[BRISK_CACHE_TIERS_MAX];
    _Atomic uint64_t foreign_cursor; /* in the ring: what others changed before is done */
    pthread_mutex_t foreign_lock;    /* reading the ring */
    _Atomic uint32_t tap_count;
    cache_tap taps[BRISK_TAPS_MAX];
    pthread_mutex_t tap_lock; /* adding and dropping */
    _Atomic uint64_t invalidated_tags;
    _Atomic uint64_t invalidated_prefixes;
    _Atomic uint64_t outdated_puts;
    _Atomic uint64_t hour; /* of the last look at what tiers dropped */
    _Atomic uint64_t foreign_changes;
    cache_stripe stripes[CACHE_STRIPES];
};

static inline bool cache_is_off(const cache_slot *slot)
{
    return atomic_load_explicit(&slot->off, memory_order_relaxed);
}

static inline void cache_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void cache_note_fault(cache_slot *slot, const char *what, brisk_err err);
/* It could answer what is outdated, and nothing can be done about it. */
void cache_switch_off(cache_slot *slot);
/* Empty every tier that is this machine's.  False: one cannot; `last`: it is switched off. */
bool cache_purge(brisk_cache *cache, bool last);

/* --- cache_breaker.c ----------------------------------------------------------------------- */

BRISK_NODISCARD brisk_err cache_slot_init(brisk_cache *cache, cache_slot *slot, brisk_tier *tier);
void cache_slot_deinit(brisk_cache *cache, cache_slot *slot);
/* Whether the tier may be called now; a read that may must be followed by cache_outcome. */
bool cache_admit(brisk_cache *cache, cache_slot *slot, bool is_read);
static inline bool cache_may_ask(brisk_cache *cache, cache_slot *slot)
{
    /* Acquire: who sees it closed sees the tier after what it missed was made good. */
    return (atomic_load_explicit(&slot->breaker.state, memory_order_acquire) ==
                BRISK_BREAKER_CLOSED &&
            !cache_is_off(slot)) ||
           cache_admit(cache, slot, true);
}
/* How a call went. */
void cache_outcome(brisk_cache *cache, cache_slot *slot, brisk_err err, uint64_t elapsed_ns,
                   bool is_read);
static inline bool cache_is_guarded(const brisk_cache *cache, const cache_slot *slot)
{
    return !cache->breaker.disabled && (slot->tier->flags & BRISK_TIER_FAST) == 0;
}
/* A shared tier is not called for a change of `key`: remember it.  False: it may be called by now. */
bool cache_miss_skipped(brisk_cache *cache, cache_slot *slot, const brisk_key *key);
/* A shared tier could not follow a change of `key`, or (NULL) of everything: not to be believed. */
void cache_miss_failed(brisk_cache *cache, cache_slot *slot, const brisk_key *key);
/* Likewise what it could not be told. */
void cache_miss_bump(brisk_cache *cache, cache_slot *slot, const brisk_bump *bump);
/*
 * A tier of this machine missed a change of `key`: what it has of it is outdated from now on.
 * *ret: the era that began; entries of it are younger.
 */
void cache_lose_key(brisk_cache *cache, cache_slot *slot, const brisk_key *key, uint16_t *ret);

/* --- cache_write.c ------------------------------------------------------------------------- */

static inline cache_stripe *cache_stripe_of(brisk_cache *cache, const brisk_key *key)
{
    return &cache->stripes[key->hash.hi & (CACHE_STRIPES - 1)];
}
void cache_stripe_lock(cache_stripe *stripe);
void cache_stripe_unlock(cache_stripe *stripe);
/*
 * Under the lock, when all tiers have changed: whoever asked a tier before now, even in the middle
 * of the change, must not promote any more.
 */
void cache_stripe_change(cache_stripe *stripe);
/* Log that an invalidation would not outlive a power loss, if so. */
void cache_warn_power(brisk_err err);
/* Empty the tiers if it is due. */
void cache_purge_if(brisk_cache *cache, generation_era era);

/* What a tier is to be told of a key. */
typedef struct cache_write {
    const brisk_key *key;
    brisk_value *value;           /* NULL: it goes */
    const brisk_entry_opts *opts; /* the user's */
    struct cache_sources *sources;
    brisk_sealed *sealed; /* as local tiers keep it */
    bool leave;           /* what a tier has goes now, whatever comes later */
    brisk_err err;        /* the nearest tier's that could not promise it */
} cache_write;

/* Under the stripe's lock: tier `index` gets the value, or loses the key. */
void cache_write_tier(brisk_cache *cache, uint32_t index, cache_write *write);

static inline bool cache_is_asked(uint32_t tiers, uint32_t index)
{
    return tiers == 0 || (tiers >> index & 1) != 0;
}

/* Nothing of a LOCAL entry, not even its key, reaches a tier that leaves the machine. */
static inline bool cache_must_not_see(const cache_slot *slot, uint32_t entry_flags)
{
    return (entry_flags & BRISK_ENTRY_LOCAL) != 0 && (slot->tier->flags & BRISK_TIER_SHARED) != 0;
}

/* --- cache_foreign.c ----------------------------------------------------------------------- */

/* See to it that what other processes changed is not in memory any more. */
void cache_foreign_read(brisk_cache *cache);
/* Whether another process told of a change of the key since the ring stood at `since`. */
bool cache_foreign_changed(brisk_cache *cache, const brisk_key *key, uint64_t since);
static inline bool cache_foreign_due(brisk_cache *cache)
{
    return generations_ring_tail(cache->table) !=
           atomic_load_explicit(&cache->foreign_cursor, memory_order_acquire);
}

/* --- cache_shared.c ------------------------------------------------------------------------ */

/* Listen to the tier, if it can be listened to. */
BRISK_NODISCARD brisk_err cache_view_open(brisk_cache *cache, uint32_t index);
void cache_view_close(cache_slot *slot);
/* The entry as the shared tier of `slot` keeps it.  False: it does not keep such entries. */
bool cache_seal_shared(brisk_cache *cache, cache_slot *slot, cache_write *write, brisk_sealed *ret);
/* Whether a hit of it is current; if so *ret is what it comes from, with `token` for its age. */
bool cache_shared_current(const cache_slot *slot, const brisk_key *key, const brisk_hit *hit,
                          struct cache_sources *ret);
/* Tell the tier of `slot`, and follow what its view shows afterwards. */
brisk_err cache_call_bump(brisk_cache *cache, cache_slot *slot, const brisk_bump *bump);
/* Tell all shared tiers; the first error. */
brisk_err cache_bump_shared(brisk_cache *cache, const brisk_bump *bump);
/* Empty the shared tiers that cannot be told of a prefix; the first error. */
brisk_err cache_clear_blind(brisk_cache *cache);
/* Something about `key` changed: bump its slot where entries depend on it. */
void cache_bump_key(brisk_cache *cache, cache_slot *slot, const brisk_key *key);

enum { CACHE_KEYED_EXTRA = 17 };
/* The key under which a KEYED tier has an entry with these tags; `bytes` is room for it. */
bool cache_keyed(brisk_cache *cache, const brisk_key *key, const brisk_tag *tags,
                 uint32_t tag_count, void *bytes, brisk_key *ret);

/* --- cache_tags.c -------------------------------------------------------------------------- */

/* A slot without what is said of it. */
static inline uint32_t cache_slot_index(uint32_t slot)
{
    return slot & ~(uint32_t)GENERATION_KEY;
}

/* A trailer, where it stands. */
typedef struct cache_trailer {
    const unsigned char *slots;
    uint64_t sum; /* local: epoch; shared: of the generations */
    uint32_t id;  /* of the table; 0 of a shared one */
    uint32_t count;
    bool shared;
} cache_trailer;

/* From a tier, so not believed: false when it is none. */
bool cache_trailer_read(const unsigned char *meta, uint32_t meta_size, cache_trailer *ret);
/* With the flag GENERATION_KEY where it is a key's; UINT32_MAX is none. */
uint32_t cache_trailer_slot(const cache_trailer *from, uint32_t index);

/* What an entry comes from. */
typedef struct cache_sources {
    uint64_t token;
    uint32_t count;
    bool given; /* as_of was */
    uint32_t slots[CACHE_SLOTS_MAX];
} cache_sources;

/* Tags, dependencies and what those depend on; keys are armed.  False: it cannot be known, or the
 * mark could not be made: do not store the entry. */
bool cache_sources_collect(brisk_cache *cache, const brisk_entry_opts *opts, cache_sources *ret);
/* Whether nothing that the entry comes from has changed since, nor `key` itself. */
bool cache_sources_current(const brisk_cache *cache, const brisk_key *key,
                           const cache_sources *sources);
/* The entry as a local tier keeps it. */
void cache_seal_local(const brisk_cache *cache, const brisk_entry_opts *opts,
                      const cache_sources *sources, brisk_sealed *ret);
/* Likewise in a shared tier: `sum` over its generations of the slots. */
void cache_seal_with(const brisk_entry_opts *opts, const cache_sources *sources, uint64_t sum,
                     brisk_sealed *ret);
/* What an entry with the flag TAGGED in a local tier comes from; false: unknown. */
bool cache_sources_of_hit(const brisk_hit *hit, cache_sources *ret);
bool cache_tagged_current(const brisk_cache *cache, const brisk_entry_mark *mark);

/* Whether an entry of a local tier is current. */
static inline bool cache_is_current(const brisk_cache *cache, const brisk_key *key,
                                    const brisk_entry_mark *mark)
{
    bool tagged = (mark->flags & BRISK_ENTRY_TAGGED) != 0;
    if (!tagged && mark->era == (uint16_t)generations_eras(cache->table)) {
        return true;
    }
    return !generations_prefix_newer(cache->table, key, mark->era) &&
           (!tagged || cache_tagged_current(cache, mark));
}

/* --- cache_strategy.c ---------------------------------------------------------------------- */

BRISK_NODISCARD brisk_err cache_queues_open(brisk_cache *cache, const brisk_cache_opts *opts);
/* What waits is tried for a while. */
void cache_queues_close(brisk_cache *cache);
/* Under the stripe's lock: FAST tiers now, the others later.  False: nothing was done. */
bool cache_write_later(brisk_cache *cache, cache_write *write);
/* Under the stripe's lock: nothing of the key is to come to the tiers any more. */
void cache_forget_later(brisk_cache *cache, const brisk_key *key);
/*
 * What waits for the tiers.  VALUE: and is current; *ret is filled but for `tier`.  REMOVED: it is
 * outdated, and so is whatever the tiers have.
 */
behind_found cache_find_later(brisk_cache *cache, const brisk_key *key, brisk_hit *ret,
                              cache_sources *ret_sources);
/* What waits for the store. */
bool cache_find_unsaved(brisk_cache *cache, const brisk_key *key, brisk_hit *ret);
/*
 * Put (value NULL: remove); with `to_store` also into that queue, in one step.
 * Errors: the queue's, and nothing has changed then; of a removal also a tier's.
 */
brisk_err cache_put(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                    const brisk_entry_opts *opts, behind_queue *to_store);

/* --- cache_stats.c ------------------------------------------------------------------------- */

/* A get of the tier took that long. */
void cache_record(cache_slot *slot, uint64_t elapsed_ns);
/* Now and then: at the end of an hour what was dropped in it is noted. */
void cache_look_at_hours(brisk_cache *cache);
void cache_tell(brisk_cache *cache, const brisk_request *request);

static inline bool cache_has_tap(const brisk_cache *cache)
{
    return atomic_load_explicit(&cache->tap_count, memory_order_relaxed) != 0;
}

#endif /* BRISK_SRC_CACHE_CACHE_PARTS_H */
