/*
 * cache_parts.h -- what the files of the stack share.
 *
 *     cache.c        life, get, promotion, put, remove, clear
 *     cache_tags.c   tags, dependencies, prefixes: sealing entries and judging them
 *     cache_stats.c  figures, taps
 */
#ifndef BRISK_SRC_CACHE_CACHE_PARTS_H
#define BRISK_SRC_CACHE_CACHE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/cache.h>

#include "cache/generation.h"

enum {
    CACHE_STRIPES =
        32, /* power of two; clear holds all, and the thread sanitizer follows 64 locks */
    CACHE_SLOTS_MAX = 80, /* of one entry: three bytes each in its trailer */
    CACHE_TRAILER_MAX = BRISK_TIER_META_MAX - BRISK_ENTRY_META_MAX,
};

typedef struct cache_stripe {
    _Alignas(64) pthread_mutex_t lock;
    _Atomic uint64_t version; /* changed under the lock */
} cache_stripe;

typedef struct cache_slot {
    brisk_tier *tier;
    _Atomic bool off;
    _Atomic uint64_t errors;
    _Atomic uint64_t stale;
    _Atomic uint64_t last_ns; /* latest timed get of a FAST tier */
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
    cache_slot slots[BRISK_CACHE_TIERS_MAX];
    _Atomic uint32_t tap_count;
    cache_tap taps[BRISK_TAPS_MAX];
    pthread_mutex_t tap_lock; /* adding and dropping */
    _Atomic uint64_t invalidated_tags;
    _Atomic uint64_t invalidated_prefixes;
    _Atomic uint64_t outdated_puts;
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
/* Empty every tier that is this machine's; one that cannot is switched off. */
void cache_purge(brisk_cache *cache);

/* --- cache_tags.c -------------------------------------------------------------------------- */

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

/* --- cache_stats.c ------------------------------------------------------------------------- */

void cache_tell(brisk_cache *cache, const brisk_request *request);

static inline bool cache_has_tap(const brisk_cache *cache)
{
    return atomic_load_explicit(&cache->tap_count, memory_order_relaxed) != 0;
}

#endif /* BRISK_SRC_CACHE_CACHE_PARTS_H */
