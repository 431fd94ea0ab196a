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
        .background_dropped = count_of(&cache->background_dropped),
        .foreign_changes = count_of(&cache->foreign_changes),
    };
    behind_queue *const queues[] = {cache->to_store, cache->to_tiers};
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
        if (queues[i] != NULL) {
            behind_stats behind;
            behind_read_stats(queues[i], &behind);
            ret->behind_entries += behind.entries;
            ret->behind_bytes += behind.bytes;
            ret->behind_coalesced += behind.coalesced;
            ret->behind_done += behind.done;
            ret->behind_retries += behind.retries;
            ret->behind_lost += behind.lost;
            ret->behind_full += behind.full;
        }
    }
}

uint32_t brisk_cache_tier_count(const brisk_cache *cache)
{
    return cache->tier_count;
}

brisk_tier *brisk_cache_tier(const brisk_cache *cache, uint32_t index)
{
    return index < cache->tier_count ? cache->slots[index].tier : NULL;
}

void cache_record(cache_slot *slot, uint64_t elapsed_ns)
{
    (void)pthread_mutex_lock(&slot->hist_lock);
    brisk_hist_record(slot->hist, elapsed_ns);
    (void)pthread_mutex_unlock(&slot->hist_lock);
}

static const uint64_t hour_ns = UINT64_C(3600000000000);

/* What was counted since the last look.  Who read the counters before another and looks after him has
 * older ones: those count for nothing, here and in the next difference. */
static uint64_t grown(uint64_t *last, uint64_t now)
{
    uint64_t more = now > *last ? now - *last : 0;
    *last += more;
    return more;
}

/* The hours between two looks at the tier's counters are as many empty ones: what was counted since
 * the last look belongs to the hour of that look. */
static void hours_look(cache_slot *slot, uint64_t wall_ns, const brisk_tier_stats *now)
{
    struct cache_hours *hours = &slot->hours;
    uint64_t hour = wall_ns / hour_ns;
    if (hours->hour == 0) {
        hours->hour = hour;
    }
    uint32_t at = (uint32_t)(hours->hour % BRISK_STATS_HOURS);
    hours->evicted_by[at] += grown(&hours->evictions, now->evictions);
    hours->expired_by[at] += grown(&hours->expired, now->expired);
    uint64_t passed = hour > hours->hour ? hour - hours->hour : 0; /* the clock may jump back */
    for (uint64_t i = 1; i <= passed && i <= BRISK_STATS_HOURS; i++) {
        at = (uint32_t)((hours->hour + i) % BRISK_STATS_HOURS);
        hours->evicted_by[at] = 0;
        hours->expired_by[at] = 0;
    }
    hours->hour = hour;
}

static void add_breaker(const cache_slot *slot, brisk_tier_stats *stats)
{
    const cache_breaker *breaker = &slot->breaker;
    stats->skipped = count_of(&breaker->skipped);
    stats->trips = count_of(&breaker->trips);
    stats->replayed = count_of(&breaker->replayed);
    stats->breaker =
        (brisk_breaker_state)atomic_load_explicit(&breaker->state, memory_order_relaxed);
}

static void add_times(brisk_cache *cache, cache_slot *slot, brisk_tier_stats *stats)
{
    uint64_t wall_ns = brisk_clock_wall_ns(cache->clock);
    (void)pthread_mutex_lock(&slot->hist_lock);
    if (brisk_hist_count(slot->hist) != 0) {
        stats->get_p50_ns = brisk_hist_quantile(slot->hist, 0.5);
        stats->get_p99_ns = brisk_hist_quantile(slot->hist, 0.99);
        stats->get_p999_ns = brisk_hist_quantile(slot->hist, 0.999);
    }
    hours_look(slot, wall_ns, stats);
    stats->hour = (uint32_t)(slot->hours.hour % BRISK_STATS_HOURS);
    for (uint32_t i = 0; i < BRISK_STATS_HOURS; i++) {
        stats->evicted_by[i] = slot->hours.evicted_by[i];
        stats->expired_by[i] = slot->hours.expired_by[i];
    }
    (void)pthread_mutex_unlock(&slot->hist_lock);
}

void cache_look_at_hours(brisk_cache *cache)
{
    uint64_t hour = brisk_clock_wall_ns(cache->clock) / hour_ns;
    if (atomic_exchange_explicit(&cache->hour, hour, memory_order_relaxed) == hour) {
        return;
    }
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        brisk_tier_stats stats;
        brisk_cache_read_stats(cache, i, &stats);
    }
}

void brisk_cache_read_stats(brisk_cache *cache, uint32_t index, brisk_tier_stats *ret)
{
    BRISK_ASSERT(index < cache->tier_count);
    cache_slot *slot = &cache->slots[index];
    brisk_tier_stats stats = {0};
    slot->tier->ops->read_stats(slot->tier, &stats);
    stats.errors += count_of(&slot->errors);
    stats.stale = count_of(&slot->stale);
    stats.promotions = count_of(&slot->promotions);
    stats.promotions_dropped = count_of(&slot->promotions_dropped);
    stats.off = cache_is_off(slot);
    add_breaker(slot, &stats);
    add_times(cache, slot, &stats);
    *ret = stats;
}
