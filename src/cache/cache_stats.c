/*
 * cache_stats.c -- figures of the stack, and those who listen to its requests.
 *
 * A tap is called between two steps of its counter `inside`.  Dropping takes the function away and
 * waits until the counter is 0: who counted before saw the function or will see NULL, and both are
 * over when the counter is.  Only where a tap is set is anything written on a get.
 *
 * Threads: any.  tap_lock is a leaf.
 */
#include <sched.h>

#include "base/assert.h"
#include "cache/cache_parts.h"

void cache_tell(brisk_cache *cache, const brisk_request *request)
{
    for (uint32_t i = 0; i < BRISK_TAPS_MAX; i++) {
        cache_tap *tap = &cache->taps[i];
        /* The count before the function: pairs with the order in drop. */
        (void)atomic_fetch_add_explicit(&tap->inside, 1, memory_order_seq_cst);
        brisk_tap_fn fn = atomic_load_explicit(&tap->fn, memory_order_seq_cst);
        if (fn != NULL) {
            fn(tap->ctx, request);
        }
        (void)atomic_fetch_sub_explicit(&tap->inside, 1, memory_order_release);
    }
}

void brisk_cache_note(brisk_cache *cache, const brisk_request *request)
{
    if (cache_has_tap(cache)) {
        cache_tell(cache, request);
    }
}

brisk_err brisk_cache_add_tap(brisk_cache *cache, brisk_tap_fn fn, void *ctx)
{
    BRISK_ASSERT(fn != NULL);
    brisk_err err = BRISK_ERR_LIMIT;
    (void)pthread_mutex_lock(&cache->tap_lock);
    for (uint32_t i = 0; i < BRISK_TAPS_MAX && err != BRISK_OK; i++) {
        cache_tap *tap = &cache->taps[i];
        if (atomic_load_explicit(&tap->fn, memory_order_relaxed) == NULL) {
            tap->ctx = ctx;
            /* Sequentially consistent: who sees the function sees its context. */
            atomic_store_explicit(&tap->fn, fn, memory_order_seq_cst);
            (void)atomic_fetch_add_explicit(&cache->tap_count, 1, memory_order_relaxed);
            err = BRISK_OK;
        }
    }
    (void)pthread_mutex_unlock(&cache->tap_lock);
    return err;
}

void brisk_cache_drop_tap(brisk_cache *cache, brisk_tap_fn fn, void *ctx)
{
    (void)pthread_mutex_lock(&cache->tap_lock);
    for (uint32_t i = 0; i < BRISK_TAPS_MAX; i++) {
        cache_tap *tap = &cache->taps[i];
        if (atomic_load_explicit(&tap->fn, memory_order_relaxed) != fn || tap->ctx != ctx) {
            continue;
        }
        atomic_store_explicit(&tap->fn, NULL, memory_order_seq_cst);
        (void)atomic_fetch_sub_explicit(&cache->tap_count, 1, memory_order_relaxed);
        /* Acquire: what the last call did is done. */
        while (atomic_load_explicit(&tap->inside, memory_order_seq_cst) != 0) {
            (void)sched_yield();
        }
        break;
    }
    (void)pthread_mutex_unlock(&cache->tap_lock);
}

/* --- figures -------------------------------------------------------------------------------- */

static uint64_t count_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void brisk_cache_read_totals(const brisk_cache *cache, brisk_cache_stats *ret)
{
    *ret = (brisk_cache_stats){
        .invalidated_tags = count_of(&cache->invalidated_tags),
        .invalidated_prefixes = count_of(&cache->invalidated_prefixes),
        .outdated_puts = count_of(&cache->outdated_puts),
    };
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
    stats.errors += count_of(&slot->errors);
    stats.stale = count_of(&slot->stale);
    stats.off = cache_is_off(slot);
    *ret = stats;
}
