/*
 * cache_foreign.c -- changes by other processes on the same folder, before a get looks into memory.
 *
 * The memory tiers are this process's own.  What others changed on the disk that they share is told
 * through a ring (generation_ring.c); every get first sees to it that nothing told is left in memory.
 * Keys leave under their stripe's lock and change its version, so a put of ours that is under way is
 * over before, and a promotion that read the disk earlier does not happen.
 *
 * A promotion must not happen either when something was told and is not yet done: it compares tail
 * and cursor under the stripe's lock.  What is told after that is done after it, under the same lock.
 *
 * Threads: any.  Locks: foreign_lock, then a stripe's.  Nobody asks while holding a stripe.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/cache_parts.h"

static bool is_own(const cache_slot *slot)
{
    return (slot->tier->flags & (BRISK_TIER_SHARED | BRISK_TIER_KEYED)) == 0 &&
           slot->tier->ops->folder == NULL;
}

static void forget(brisk_cache *cache, const brisk_key *key)
{
    cache_stripe *stripe = cache_stripe_of(cache, key);
    cache_write write = {.key = key};
    cache_stripe_lock(stripe);
    cache_forget_later(cache, key);
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        if (is_own(&cache->slots[i])) {
            cache_write_tier(cache, i, &write);
        }
    }
    cache_stripe_change(stripe);
    cache_stripe_unlock(stripe);
}

static void forget_all(brisk_cache *cache)
{
    for (uint32_t i = 0; i < CACHE_STRIPES; i++) {
        cache_stripe_lock(&cache->stripes[i]);
    }
    if (cache->to_tiers != NULL) {
        behind_drop_all(cache->to_tiers);
    }
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        if (is_own(slot)) {
            brisk_err err = slot->tier->ops->clear(slot->tier);
            if (err != BRISK_OK) {
                cache_note_fault(slot, "clear", err);
                cache_switch_off(slot);
            }
        }
    }
    for (uint32_t i = CACHE_STRIPES; i-- > 0;) {
        cache_stripe_change(&cache->stripes[i]);
        cache_stripe_unlock(&cache->stripes[i]);
    }
}

void cache_foreign_read(brisk_cache *cache)
{
    unsigned char bytes[GENERATION_RING_KEY_MAX];
    (void)pthread_mutex_lock(&cache->foreign_lock);
    uint64_t cursor = atomic_load_explicit(&cache->foreign_cursor, memory_order_relaxed);
    uint64_t end = generations_ring_tail(cache->table); /* what comes later is the next one's */
    while ((int64_t)(end - cursor) > 0) {
        uint32_t size;
        generation_told told = generations_ring_next(cache->table, &cursor, bytes, &size);
        if (told == GENERATION_TOLD_KEY) {
            brisk_key key = brisk_key_of(bytes, size);
            forget(cache, &key);
            cache_count(&cache->foreign_changes);
        } else if (told == GENERATION_TOLD_LOST) {
            forget_all(cache);
            cache_count(&cache->foreign_changes);
        }
    }
    /* Release: who sees the cursor sees the tiers without what was told before it. */
    atomic_store_explicit(&cache->foreign_cursor, cursor, memory_order_release);
    (void)pthread_mutex_unlock(&cache->foreign_lock);
}

bool cache_foreign_changed(brisk_cache *cache, const brisk_key *key, uint64_t since)
{
    unsigned char bytes[GENERATION_RING_KEY_MAX];
    for (;;) {
        uint32_t size;
        switch (generations_ring_next(cache->table, &since, bytes, &size)) {
        case GENERATION_TOLD_ALL: return false;
        case GENERATION_TOLD_LOST: return true;
        case GENERATION_TOLD_KEY:
            if (size == key->size && memcmp(bytes, key->bytes, size) == 0) {
                return true;
            }
            break;
        case GENERATION_TOLD_OWN:
        default: break;
        }
    }
}
