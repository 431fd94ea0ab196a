/*
 * cache_write.c -- putting, removing, invalidating in a stack of tiers.
 *
 * Order: from the farthest tier to the nearest.  Meanwhile a reader sees the old value until the
 * nearest tier has changed, or, if that tier loses the entry just then, the new one: never new and
 * then old again.  All of it under the key's stripe, between the beginning and the end of a change
 * in the generations.
 *
 * A tier whose put failed might still hold an older value, so the key is removed from it.  If that
 * fails too, or the tier is not asked since its breaker is open, then
 *
 *     of this machine   the key is invalidated as a prefix is: what the tier has is outdated for
 *                       good.  The new value takes the era that begins, unless another prefix of
 *                       the key was invalidated meanwhile: then it is not stored in what is left.
 *     shared            the key is remembered, and the tier not believed before it was told.
 *
 * Threads: any.  Locks: see cache.c.
 */
#include <string.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/cache_parts.h"

enum {
    SKIP_TRIES = 3,
    HOUR_EVERY = 1024, /* puts of a thread */
};

void cache_stripe_lock(cache_stripe *stripe)
{
    int failed = pthread_mutex_lock(&stripe->lock);
    BRISK_ASSERT(failed == 0);
}

void cache_stripe_unlock(cache_stripe *stripe)
{
    int failed = pthread_mutex_unlock(&stripe->lock);
    BRISK_ASSERT(failed == 0);
}

void cache_stripe_change(cache_stripe *stripe)
{
    uint64_t version = atomic_load_explicit(&stripe->version, memory_order_relaxed);
    atomic_store_explicit(&stripe->version, version + 1, memory_order_release);
}

void cache_warn_power(brisk_err err)
{
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "cache",
                  "the generations cannot be marked (%s): a power loss now could bring outdated "
                  "entries back",
                  brisk_err_message(err));
    }
}

void cache_purge_if(brisk_cache *cache, generation_era era)
{
    if (era.purge_due && cache_purge(cache, era.overdue)) {
        generations_purged(cache->table);
    }
}

/* --- one tier ------------------------------------------------------------------------------- */

/* What the tier has of the key is outdated from now on. */
static void lose(brisk_cache *cache, cache_slot *slot, cache_write *write)
{
    uint16_t era;
    cache_lose_key(cache, slot, write->key, &era);
    if (write->value == NULL || era == 0) {
        return;
    }
    if (generations_real_prefix_newer(cache->table, write->key, write->sealed->opts.era)) {
        write->value = NULL;
    } else {
        write->sealed->opts.era = era;
    }
}

/* The breaker is open.  False: not any more. */
static bool skip(brisk_cache *cache, cache_slot *slot, cache_write *write)
{
    if ((slot->tier->flags & BRISK_TIER_SHARED) == 0) {
        lose(cache, slot, write);
        return true;
    }
    bool skipped = cache_miss_skipped(cache, slot, write->key);
    write->err = skipped ? BRISK_ERR_IO : write->err;
    return skipped;
}

/* The key as the tier knows it: `bytes` is taken for it from the cache's allocator, or NULL. */
static bool name_for(brisk_cache *cache, const cache_slot *slot, const cache_write *write,
                     brisk_key *ret, void **bytes)
{
    *ret = *write->key;
    *bytes = NULL;
    if ((slot->tier->flags & BRISK_TIER_KEYED) == 0) {
        return true;
    }
    const brisk_entry_opts *opts = write->opts;
    *bytes = cache->alloc->acquire(cache->alloc->ctx, write->key->size + CACHE_KEYED_EXTRA, 1);
    return *bytes != NULL && cache_keyed(cache, write->key, opts != NULL ? opts->tags : NULL,
                                         opts != NULL ? opts->tag_count : 0, *bytes, ret);
}

/* NOT_FOUND: the tier does not keep such an entry. */
static brisk_err store(brisk_cache *cache, cache_slot *slot, cache_write *write,
                       const brisk_key *key)
{
    uint32_t flags = slot->tier->flags;
    if ((flags & (BRISK_TIER_SHARED | BRISK_TIER_KEYED)) == 0) {
        return slot->tier->ops->put(slot->tier, key, write->value, &write->sealed->opts);
    }
    brisk_sealed sealed;
    if ((flags & BRISK_TIER_KEYED) != 0 && (flags & BRISK_TIER_SHARED) != 0 &&
        slot->view.table == NULL) {
        /* The generation is in the key: nothing is to be checked. */
        cache_sources none = {.token = 0};
        if (write->opts->depends_count != 0) {
            return BRISK_ERR_NOT_FOUND;
        }
        cache_seal_with(write->opts, &none, 0, &sealed);
    } else if (!cache_seal_shared(cache, slot, write, &sealed)) {
        return BRISK_ERR_NOT_FOUND;
    }
    return slot->tier->ops->put(slot->tier, key, write->value, &sealed.opts);
}

/* Put or remove; the error is that of the removal: OK means that nothing older is there. */
static brisk_err call(brisk_cache *cache, cache_slot *slot, cache_write *write, bool keep,
                      const brisk_key *key)
{
    bool guarded = cache_is_guarded(cache, slot);
    uint64_t begin = guarded ? brisk_clock_now_ns(cache->clock) : 0;
    brisk_err put = keep ? store(cache, slot, write, key) : BRISK_ERR_NOT_FOUND;
    brisk_err err = put;
    if (put != BRISK_OK) {
        if (put != BRISK_ERR_DECLINED && put != BRISK_ERR_NOT_FOUND) {
            cache_note_fault(slot, "put", put);
        }
        err = slot->tier->ops->remove(slot->tier, key);
        if (err != BRISK_OK) {
            cache_note_fault(slot, "remove", err);
        }
    }
    brisk_err worse = err != BRISK_OK ? err : put == BRISK_ERR_NOT_FOUND ? BRISK_OK : put;
    cache_outcome(cache, slot, worse, guarded ? brisk_clock_now_ns(cache->clock) - begin : 0,
                  false);
    return err;
}

void cache_write_tier(brisk_cache *cache, uint32_t index, cache_write *write)
{
    cache_slot *slot = &cache->slots[index];
    uint32_t flags = write->opts != NULL ? write->opts->flags : 0;
    if (cache_is_off(slot) || cache_must_not_see(slot, flags)) {
        return;
    }
    for (uint32_t tries = 0; !cache_admit(cache, slot, false); tries++) {
        if (tries < SKIP_TRIES && skip(cache, slot, write)) {
            return;
        }
    }
    bool keep = write->value != NULL && !write->leave && cache_is_asked(write->opts->tiers, index);
    brisk_key key;
    void *bytes;
    brisk_err err = BRISK_ERR_NOMEM;
    if (name_for(cache, slot, write, &key, &bytes)) {
        err = call(cache, slot, write, keep, &key);
    }
    if (bytes != NULL) {
        cache->alloc->release(cache->alloc->ctx, bytes, write->key->size + CACHE_KEYED_EXTRA, 1);
    }
    bool shared = (slot->tier->flags & BRISK_TIER_SHARED) != 0;
    if (err != BRISK_OK && shared) {
        cache_miss_failed(cache, slot, write->key);
        write->err = err;
    } else if (err != BRISK_OK) {
        lose(cache, slot, write);
    }
}

/* --- all tiers ------------------------------------------------------------------------------ */

/* Another process changed the key since the token: what we have put may be older. */
static void undo(brisk_cache *cache, cache_write *write)
{
    write->value = NULL;
    cache_forget_later(cache, write->key);
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_write_tier(cache, i, write);
    }
}

/* Under the stripe's lock. */
static void write_tiers(brisk_cache *cache, cache_write *write, bool overtakable)
{
    generation_change change = generations_change_begin(cache->table, write->key);
    if (!cache_write_later(cache, write)) {
        cache_forget_later(cache, write->key);
        for (uint32_t i = cache->tier_count; i-- > 0;) {
            cache_write_tier(cache, i, write);
        }
    }
    if (overtakable && write->value != NULL &&
        generations_key_overtaken(cache->table, write->key,
                                  generation_token_epoch(write->sources->token))) {
        undo(cache, write);
    }
    /* Also of a LOCAL key, and in a tier that is not asked now: others may depend on it. */
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        cache_bump_key(cache, &cache->slots[i], write->key);
    }
    cache_stripe_change(cache_stripe_of(cache, write->key));
    generations_ring_tell(cache->table, write->key);
    generations_change_end(cache->table, write->key, change);
}

/* Under the stripe's lock: what waits for the store. */
static brisk_err write_queue(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                             behind_queue *to_store)
{
    if (to_store != NULL) {
        return behind_push(to_store, &(behind_write){.key = *key, .value = value});
    }
    if (cache->to_store != NULL) {
        behind_hide(cache->to_store, key); /* it is older */
    }
    return BRISK_OK;
}

brisk_err cache_put(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                    const brisk_entry_opts *opts, behind_queue *to_store)
{
    brisk_sealed sealed;
    cache_sources sources;
    bool known = cache_sources_collect(cache, opts, &sources);
    cache_seal_local(cache, opts, &sources, &sealed);
    cache_write write = {
        .key = key, .value = value, .opts = opts, .sources = &sources, .sealed = &sealed};
    cache_stripe *stripe = cache_stripe_of(cache, key);
    cache_stripe_lock(stripe);
    brisk_err err = write_queue(cache, key, value, to_store);
    if (err != BRISK_OK) {
        cache_stripe_unlock(stripe);
        return err;
    }
    if (!known || !cache_sources_current(cache, key, &sources)) {
        cache_count(&cache->outdated_puts);
        write.value = NULL;
    }
    bool overtakable = sources.given;
    sources.given = false; /* from here on the key's latest change is ours */
    write_tiers(cache, &write, overtakable);
    cache_stripe_unlock(stripe);
    static _Thread_local uint32_t puts;
    if (++puts % HOUR_EVERY == 0) {
        cache_look_at_hours(cache);
    }
    return value == NULL ? write.err : BRISK_OK;
}

void brisk_cache_put(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                     const brisk_entry_opts *opts)
{
    static const brisk_entry_opts none = {0};
    BRISK_ASSERT(value != NULL);
    (void)cache_put(cache, key, value, opts != NULL ? opts : &none, NULL);
}

/* Tiers that cannot forget are given another key from now on. */
static void change_keyed(brisk_cache *cache, const brisk_key *key)
{
    bool keyed = false;
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        keyed = keyed || (cache->slots[i].tier->flags & BRISK_TIER_KEYED) != 0;
    }
    if (keyed) {
        brisk_bump bump = {.kind = BRISK_BUMP_SLOT, .slot = generation_slot_of_key(key)};
        cache_warn_power(generations_mark(cache->table));
        generations_bump(cache->table, bump.slot);
        (void)cache_bump_shared(cache, &bump);
    }
}

brisk_err brisk_cache_remove(brisk_cache *cache, const brisk_key *key)
{
    cache_write write = {.key = key};
    cache_stripe *stripe = cache_stripe_of(cache, key);
    cache_stripe_lock(stripe);
    (void)write_queue(cache, key, NULL, NULL);
    write_tiers(cache, &write, false);
    change_keyed(cache, key);
    cache_stripe_unlock(stripe);
    return write.err;
}

/* Under all stripes' locks. */
static brisk_err clear_tiers(brisk_cache *cache)
{
    brisk_err first = BRISK_OK;
    bool emptied = true;
    if (cache->to_tiers != NULL) {
        behind_drop_all(cache->to_tiers);
    }
    if (cache->to_store != NULL) {
        behind_hide_all(cache->to_store);
    }
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        brisk_err err = slot->tier->ops->clear(slot->tier);
        if (err == BRISK_OK) {
            continue;
        }
        first = err;
        cache_note_fault(slot, "clear", err);
        if ((slot->tier->flags & BRISK_TIER_SHARED) != 0) {
            cache_miss_failed(cache, slot, NULL);
        } else {
            emptied = false;
        }
    }
    /* Other processes' memory, and what is being computed, is outdated too. */
    generation_era era;
    brisk_err err = generations_invalidate(cache->table, (generation_name){.size = 0}, &era);
    if (emptied) {
        generations_purged(cache->table);
    }
    brisk_err far = cache_bump_shared(cache, &(brisk_bump){.kind = BRISK_BUMP_ALL});
    first = first != BRISK_OK ? first : err;
    return first != BRISK_OK ? first : far;
}

brisk_err brisk_cache_clear(brisk_cache *cache)
{
    for (uint32_t i = 0; i < CACHE_STRIPES; i++) {
        cache_stripe_lock(&cache->stripes[i]);
    }
    brisk_err err = clear_tiers(cache);
    for (uint32_t i = CACHE_STRIPES; i-- > 0;) {
        cache_stripe_change(&cache->stripes[i]);
        cache_stripe_unlock(&cache->stripes[i]);
    }
    return err;
}

/* --- invalidation --------------------------------------------------------------------------- */

brisk_err brisk_cache_invalidate_tag(brisk_cache *cache, const void *tag, size_t size)
{
    if (tag == NULL || size == 0 || size > BRISK_KEY_BYTES_MAX) {
        return BRISK_ERR_INVALID;
    }
    brisk_bump bump = {.kind = BRISK_BUMP_SLOT, .slot = generation_slot_of_tag(tag, size)};
    brisk_err err = generations_mark(cache->table);
    generations_bump(cache->table, bump.slot);
    cache_count(&cache->invalidated_tags);
    brisk_err far = cache_bump_shared(cache, &bump);
    return err != BRISK_OK ? err : far;
}

brisk_err brisk_cache_invalidate_prefix(brisk_cache *cache, const void *prefix, size_t size)
{
    if ((prefix == NULL && size != 0) || size > BRISK_KEY_BYTES_MAX) {
        return BRISK_ERR_INVALID;
    }
    generation_era era;
    generation_name name = generation_name_of_prefix(prefix, size);
    brisk_err err = generations_invalidate(cache->table, name, &era);
    cache_count(&cache->invalidated_prefixes);
    cache_purge_if(cache, era);
    brisk_bump bump = {.kind = BRISK_BUMP_ALL};
    if (size != 0) {
        /* What depends on such keys, first: then nobody finds the keys gone and these not. */
        brisk_bump level = {.kind = BRISK_BUMP_SLOT,
                            .slot = generation_level_of_prefix(prefix, size)};
        generations_bump(cache->table, level.slot);
        brisk_err far = cache_bump_shared(cache, &level);
        err = err != BRISK_OK ? err : far;
        bump = (brisk_bump){
            .kind = BRISK_BUMP_PREFIX, .prefix_size = name.size, .prefix_hash = name.hash};
    }
    brisk_err far = cache_bump_shared(cache, &bump);
    err = err != BRISK_OK ? err : far;
    far = cache_clear_blind(cache);
    return err != BRISK_OK ? err : far;
}

brisk_err brisk_cache_invalidate_key(brisk_cache *cache, const brisk_key *key)
{
    return brisk_cache_remove(cache, key);
}
