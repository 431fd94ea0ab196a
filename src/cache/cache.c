/*
 * cache.c -- the stack of tiers behind <brisk/cache.h>.
 *
 * Order of writes: put and remove go from the farthest tier to the nearest.  Meanwhile a reader
 * sees the old value until the nearest tier has changed, or, if that tier loses the entry just
 * then, the new one: never new and then old again.
 *
 * Promotion copies what a far tier answered into the nearer ones, and must not bring back what
 * was replaced or removed meanwhile.  So every key belongs to a stripe with a lock and a version:
 * put and remove hold the lock and add to the version; a promotion holds the lock and happens only
 * if the version is what it was before the far tier was asked.  A hit in the first tier asked
 * touches neither.
 *
 * A tier whose put failed might still hold an older value, so the key is removed from it; a tier
 * that cannot remove either is switched off.
 *
 * Threads: any.  Locks: a stripe's (clear: all, in order), then whatever the tiers take.
 */
#include <pthread.h>
#include <stdatomic.h>

#include <brisk/cache.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "cache/stack.h"

enum {
    STRIPES = 32, /* power of two; clear holds all, and the thread sanitizer follows 64 locks */
    SAMPLE_EVERY = 64,
};

typedef struct cache_stripe {
    _Alignas(64) pthread_mutex_t lock;
    _Atomic uint64_t version; /* changed under the lock */
} cache_stripe;

typedef struct cache_slot {
    brisk_tier *tier;
    _Atomic bool off;
    _Atomic uint64_t errors;
    _Atomic uint64_t last_ns; /* latest timed get of a FAST tier */
} cache_slot;

struct brisk_cache {
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    uint32_t tier_count;
    cache_slot slots[BRISK_CACHE_TIERS_MAX];
    cache_stripe stripes[STRIPES];
};

static _Thread_local uint32_t sample_tick;

static cache_stripe *stripe_of(brisk_cache *cache, const brisk_key *key)
{
    return &cache->stripes[key->hash.hi & (STRIPES - 1)];
}

static void stripe_lock(cache_stripe *stripe)
{
    int failed = pthread_mutex_lock(&stripe->lock);
    BRISK_ASSERT(failed == 0);
}

static void stripe_unlock(cache_stripe *stripe)
{
    int failed = pthread_mutex_unlock(&stripe->lock);
    BRISK_ASSERT(failed == 0);
}

/*
 * Called under the lock, when all tiers have changed: whoever asked a tier before now, even in the
 * middle of the change, must not promote any more.
 */
static void stripe_change(cache_stripe *stripe)
{
    uint64_t version = atomic_load_explicit(&stripe->version, memory_order_relaxed);
    atomic_store_explicit(&stripe->version, version + 1, memory_order_release);
}

static bool is_off(cache_slot *slot)
{
    return atomic_load_explicit(&slot->off, memory_order_relaxed);
}

static void note_fault(cache_slot *slot, const char *what, brisk_err err)
{
    atomic_fetch_add_explicit(&slot->errors, 1, memory_order_relaxed);
    brisk_log(BRISK_LOG_WARNING, "cache", "tier %s: %s failed: %s", slot->tier->name, what,
              brisk_err_message(err));
}

static bool is_asked(uint32_t tiers, uint32_t index)
{
    return tiers == 0 || (tiers >> index & 1) != 0;
}

/* Nothing of a LOCAL entry, not even its key, reaches a tier that leaves the machine. */
static bool must_not_see(const cache_slot *slot, uint32_t entry_flags)
{
    return (entry_flags & BRISK_ENTRY_LOCAL) != 0 && (slot->tier->flags & BRISK_TIER_SHARED) != 0;
}

/* The key leaves the tier, or the tier leaves the stack. */
static void forget_in(cache_slot *slot, const brisk_key *key)
{
    brisk_err err = slot->tier->ops->remove(slot->tier, key);
    if (err == BRISK_OK) {
        return;
    }
    note_fault(slot, "remove", err);
    atomic_store_explicit(&slot->off, true, memory_order_relaxed);
    brisk_log(BRISK_LOG_ERROR, "cache",
              "tier %s: switched off, since it could answer an outdated value", slot->tier->name);
}

static void store_in(cache_slot *slot, const brisk_key *key, brisk_value *value,
                     const brisk_entry_opts *opts)
{
    brisk_err err = slot->tier->ops->put(slot->tier, key, value, opts);
    if (err == BRISK_OK) {
        return;
    }
    if (err != BRISK_ERR_DECLINED) {
        note_fault(slot, "put", err);
    }
    forget_in(slot, key);
}

/* --- life -------------------------------------------------------------------------------- */

static void free_cache(brisk_cache *cache, uint32_t stripes)
{
    for (uint32_t i = 0; i < stripes; i++) {
        (void)pthread_mutex_destroy(&cache->stripes[i].lock);
    }
    cache->alloc->release(cache->alloc->ctx, cache, sizeof *cache, _Alignof(brisk_cache));
}

brisk_err brisk_cache_create(const brisk_cache_opts *opts, brisk_cache **ret)
{
    BRISK_ASSERT(ret != NULL);
    static const brisk_cache_opts defaults = {0};
    opts = opts != NULL ? opts : &defaults;
    if (opts->tier_count > BRISK_CACHE_TIERS_MAX) {
        return BRISK_ERR_INVALID;
    }
    for (uint32_t i = 0; i < opts->tier_count; i++) {
        if (opts->tiers[i] == NULL) {
            return BRISK_ERR_INVALID;
        }
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_cache *cache = alloc->acquire(alloc->ctx, sizeof *cache, _Alignof(brisk_cache));
    if (cache == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *cache = (brisk_cache){
        .alloc = alloc,
        .clock = opts->clock,
        .tier_count = opts->tier_count,
    };
    for (uint32_t i = 0; i < opts->tier_count; i++) {
        cache->slots[i].tier = opts->tiers[i];
    }
    for (uint32_t i = 0; i < STRIPES; i++) {
        if (pthread_mutex_init(&cache->stripes[i].lock, NULL) != 0) {
            free_cache(cache, i);
            return BRISK_ERR_NOMEM;
        }
    }
    *ret = cache;
    return BRISK_OK;
}

void cache_append(brisk_cache *cache, brisk_tier *tier)
{
    BRISK_ASSERT(tier != NULL && cache->tier_count < BRISK_CACHE_TIERS_MAX);
    cache->slots[cache->tier_count++].tier = tier;
}

void brisk_tier_destroy(brisk_tier *tier)
{
    if (tier != NULL) {
        tier->ops->destroy(tier);
    }
}

void brisk_cache_destroy(brisk_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        brisk_tier_destroy(cache->slots[i].tier);
    }
    free_cache(cache, STRIPES);
}

/* --- get --------------------------------------------------------------------------------- */

/* Copy a hit of tier `from` into the tiers above it, unless the key was written to meanwhile. */
static void promote(brisk_cache *cache, const brisk_key *key, uint32_t tiers, uint64_t version,
                    const brisk_hit *hit)
{
    brisk_entry_opts opts = {
        .flags = hit->flags,
        .meta_size = hit->meta_size,
        .meta = hit->meta,
        .cost_ns = hit->cost_ns,
        .expires_at_ns = hit->expires_at_ns,
    };
    bool is_file = brisk_value_fd(hit->value) >= 0;
    cache_stripe *stripe = stripe_of(cache, key);
    stripe_lock(stripe);
    if (atomic_load_explicit(&stripe->version, memory_order_relaxed) == version) {
        for (uint32_t i = hit->tier; i-- > 0;) {
            cache_slot *slot = &cache->slots[i];
            bool in_memory = (slot->tier->flags & BRISK_TIER_FAST) != 0;
            if (is_asked(tiers, i) && !is_off(slot) && !must_not_see(slot, hit->flags) &&
                !(is_file && in_memory)) {
                store_in(slot, key, hit->value, &opts);
            }
        }
    }
    stripe_unlock(stripe);
}

/* Ask a FAST tier; most of the time without reading the clock. */
static brisk_err get_fast(const brisk_cache *cache, cache_slot *slot, const brisk_key *key,
                          brisk_hit *ret)
{
    uint64_t last = atomic_load_explicit(&slot->last_ns, memory_order_relaxed);
    if (sample_tick++ % SAMPLE_EVERY != 0 && last != 0) {
        brisk_err err = slot->tier->ops->get(slot->tier, key, ret);
        if (err == BRISK_OK) {
            ret->elapsed_ns = last;
        }
        return err;
    }
    uint64_t begin = brisk_clock_now_ns(cache->clock);
    brisk_err err = slot->tier->ops->get(slot->tier, key, ret);
    uint64_t elapsed = brisk_clock_now_ns(cache->clock) - begin;
    if (err == BRISK_OK) {
        atomic_store_explicit(&slot->last_ns, elapsed, memory_order_relaxed);
        ret->elapsed_ns = elapsed;
    }
    return err;
}

bool brisk_cache_get(brisk_cache *cache, const brisk_key *key, uint32_t tiers, brisk_hit *ret)
{
    uint64_t begin = 0;
    uint64_t version = 0;
    bool missed = false;
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        cache_slot *slot = &cache->slots[i];
        if (!is_asked(tiers, i) || is_off(slot)) {
            continue;
        }
        if (missed) {
            /* Before the tier is asked, so that later writes show.  The first one counts. */
            version = version != 0 ? version
                                   : 1 + atomic_load_explicit(&stripe_of(cache, key)->version,
                                                              memory_order_acquire);
        }
        bool fast = (slot->tier->flags & BRISK_TIER_FAST) != 0;
        begin = fast || begin != 0 ? begin : brisk_clock_now_ns(cache->clock);
        brisk_err err =
            fast ? get_fast(cache, slot, key, ret) : slot->tier->ops->get(slot->tier, key, ret);
        if (err == BRISK_OK) {
            ret->tier = i;
            ret->tier_name = slot->tier->name;
            if (!fast) {
                ret->elapsed_ns = brisk_clock_now_ns(cache->clock) - begin;
            }
            if (missed) {
                promote(cache, key, tiers, version - 1, ret);
            }
            return true;
        }
        if (err != BRISK_ERR_NOT_FOUND) {
            note_fault(slot, "get", err);
        }
        missed = true;
    }
    return false;
}

/* --- writing ----------------------------------------------------------------------------- */

void brisk_cache_put(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                     const brisk_entry_opts *opts)
{
    static const brisk_entry_opts none = {0};
    opts = opts != NULL ? opts : &none;
    cache_stripe *stripe = stripe_of(cache, key);
    stripe_lock(stripe);
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        if (is_off(slot) || must_not_see(slot, opts->flags)) {
            continue;
        }
        if (is_asked(opts->tiers, i)) {
            store_in(slot, key, value, opts);
        } else {
            forget_in(slot, key);
        }
    }
    stripe_change(stripe);
    stripe_unlock(stripe);
}

brisk_err brisk_cache_remove(brisk_cache *cache, const brisk_key *key)
{
    brisk_err first = BRISK_OK;
    cache_stripe *stripe = stripe_of(cache, key);
    stripe_lock(stripe);
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        brisk_err err = slot->tier->ops->remove(slot->tier, key);
        if (err != BRISK_OK) {
            note_fault(slot, "remove", err);
            first = err; /* the nearest tier's is the one that stays */
        }
    }
    stripe_change(stripe);
    stripe_unlock(stripe);
    return first;
}

brisk_err brisk_cache_clear(brisk_cache *cache)
{
    brisk_err first = BRISK_OK;
    for (uint32_t i = 0; i < STRIPES; i++) {
        stripe_lock(&cache->stripes[i]);
    }
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        brisk_err err = slot->tier->ops->clear(slot->tier);
        if (err != BRISK_OK) {
            note_fault(slot, "clear", err);
            first = err;
        }
    }
    for (uint32_t i = STRIPES; i-- > 0;) {
        stripe_change(&cache->stripes[i]);
        stripe_unlock(&cache->stripes[i]);
    }
    return first;
}

uint32_t brisk_cache_tier_count(const brisk_cache *cache)
{
    return cache->tier_count;
}

brisk_tier *brisk_cache_tier(const brisk_cache *cache, uint32_t index)
{
    return index < cache->tier_count ? cache->slots[index].tier : NULL;
}

void brisk_cache_read_stats(const brisk_cache *cache, uint32_t index, brisk_tier_stats *ret)
{
    BRISK_ASSERT(index < cache->tier_count);
    const cache_slot *slot = &cache->slots[index];
    brisk_tier_stats stats = {0};
    slot->tier->ops->read_stats(slot->tier, &stats);
    stats.errors += atomic_load_explicit(&slot->errors, memory_order_relaxed);
    *ret = stats;
}
