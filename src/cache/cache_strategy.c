/*
 * cache_strategy.c -- where writes go besides the cache, and when.
 *
 *     ASIDE     put in the cache: the caller has its own store
 *     THROUGH   token; save in the store; put in the cache under the token
 *     BEHIND    into the queue and the cache in one step; the queue saves later
 *     FETCH     get, or the queue, or: token; load from the store; put under the token
 *
 * The token is what keeps cache and store alike without a lock around the store's call: a put of a
 * key that was changed since its token stores nothing (cache_tags.c).  Of two writes THROUGH of one
 * key at the same time, whichever order the store saw, the one that comes second to the cache finds
 * the first one's change and leaves a miss; a load that was overtaken by a write does too.
 *
 * Reads see what waits in the queue, also when all tiers have lost it.  What was given up by the
 * queue is removed from the cache, so that reads see what the store has.
 *
 * With tiers_behind a second queue brings entries to the tiers behind the FAST ones.  The older entry
 * leaves a tier of this machine before the put returns, so that a kill costs the entry and never
 * brings the older one back; a shared tier has its older entry until the queue gets there.
 *
 * Threads: any.  The store is called without a lock.  Locks: a stripe's, then a queue's.
 */
#include <string.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/cache_parts.h"

/* --- the queue to the store ----------------------------------------------------------------- */

static brisk_err apply_store(void *ctx, const behind_write *write, behind_item *item)
{
    brisk_cache *cache = ctx;
    const brisk_store *store = &cache->store;
    (void)item;
    if (write->value == NULL) {
        brisk_err err = store->remove(store->ctx, &write->key);
        return err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
    }
    return store->save(store->ctx, &write->key, write->value);
}

static void give_up_store(void *ctx, const behind_write *write, brisk_err err)
{
    brisk_cache *cache = ctx;
    brisk_log(BRISK_LOG_ERROR, "cache", "a write is lost, the store does not take it: %s",
              brisk_err_message(err));
    (void)!brisk_cache_remove(cache, &write->key);
}

/* --- the queue to the tiers ----------------------------------------------------------------- */

/* An entry without what its caller has borrowed us. */
typedef struct cache_later {
    brisk_entry_opts opts;
    cache_sources sources;
    unsigned char meta[BRISK_ENTRY_META_MAX];
} cache_later;

static bool is_fast(const cache_slot *slot)
{
    return (slot->tier->flags & BRISK_TIER_FAST) != 0;
}

/* What of `write` was left to the queue. */
static brisk_err apply_tiers(void *ctx, const behind_write *queued, behind_item *item)
{
    brisk_cache *cache = ctx;
    cache_later later;
    memcpy(&later, queued->payload, sizeof later);
    later.opts.meta = later.meta;
    brisk_sealed sealed;
    cache_seal_local(cache, &later.opts, &later.sources, &sealed);
    cache_write write = {.key = &queued->key,
                         .value = queued->value,
                         .opts = &later.opts,
                         .sources = &later.sources,
                         .sealed = &sealed};
    if (cache_foreign_due(cache)) {
        cache_foreign_read(cache);
    }
    cache_stripe *stripe = cache_stripe_of(cache, &queued->key);
    cache_stripe_lock(stripe);
    uint64_t told = atomic_load_explicit(&cache->foreign_cursor, memory_order_acquire);
    /* Under the stripe's lock, where writes come from: nothing newer is written before we are done. */
    bool superseded = behind_is_superseded(cache->to_tiers, item);
    for (uint32_t i = cache->tier_count; !superseded && i-- > 0;) {
        if (!is_fast(&cache->slots[i]) && cache_is_asked(later.opts.tiers, i)) {
            cache_write_tier(cache, i, &write);
        }
    }
    if (!superseded && cache_foreign_changed(cache, &queued->key, told)) {
        /* Another process wrote the key just now, and we have perhaps written over it. */
        write.value = NULL;
        for (uint32_t i = cache->tier_count; i-- > 0;) {
            cache_write_tier(cache, i, &write);
        }
    }
    cache_stripe_unlock(stripe);
    return BRISK_OK;
}

static bool may_wait(const brisk_cache *cache, const cache_write *write)
{
    if (cache->to_tiers == NULL || write->value == NULL || write->opts->depends_count != 0) {
        return false;
    }
    bool fast = false;
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        const cache_slot *slot = &cache->slots[i];
        if ((slot->tier->flags & BRISK_TIER_KEYED) != 0) {
            return false; /* needs the names of the tags */
        }
        fast = fast || (is_fast(slot) && cache_is_asked(write->opts->tiers, i));
    }
    return fast;
}

bool cache_write_later(brisk_cache *cache, cache_write *write)
{
    if (!may_wait(cache, write)) {
        return false;
    }
    cache_later later;
    later.sources = *write->sources;
    later.opts = *write->opts;
    later.opts.tags = NULL;
    later.opts.tag_count = 0;
    if (later.opts.meta_size != 0) {
        memcpy(later.meta, later.opts.meta, later.opts.meta_size);
    }
    behind_write queued = {
        .key = *write->key, .value = write->value, .payload = &later, .payload_size = sizeof later};
    if (behind_push(cache->to_tiers, &queued) != BRISK_OK) {
        return false;
    }
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        const cache_slot *slot = &cache->slots[i];
        bool waits = !is_fast(slot) && cache_is_asked(write->opts->tiers, i);
        write->leave = !is_fast(slot);
        if (!waits || (slot->tier->flags & BRISK_TIER_SHARED) == 0) {
            cache_write_tier(cache, i, write);
        }
    }
    write->leave = false;
    return true;
}

void cache_forget_later(brisk_cache *cache, const brisk_key *key)
{
    if (cache->to_tiers != NULL) {
        behind_drop(cache->to_tiers, key, false);
    }
}

behind_found cache_find_later(brisk_cache *cache, const brisk_key *key, brisk_hit *ret,
                              cache_sources *ret_sources)
{
    cache_later later;
    behind_read read = {.payload = &later, .payload_size = sizeof later};
    behind_found found = behind_find(cache->to_tiers, key, &read);
    if (found != BEHIND_VALUE) {
        return found;
    }
    if (!cache_sources_current(cache, key, &later.sources)) {
        brisk_value_unref(read.value);
        return BEHIND_REMOVED;
    }
    ret->value = read.value;
    ret->flags = later.opts.flags;
    ret->tier_name = "queue";
    ret->cost_ns = later.opts.cost_ns;
    ret->store_ns = 0;
    ret->elapsed_ns = 0;
    ret->expires_at_ns = later.opts.expires_at_ns;
    ret->has_content = false;
    ret->era = generation_token_era(later.sources.token);
    ret->meta_size = later.opts.meta_size;
    memcpy(ret->meta, later.meta, later.opts.meta_size);
    *ret_sources = later.sources;
    return BEHIND_VALUE;
}

/* --- life ----------------------------------------------------------------------------------- */

brisk_err cache_queues_open(brisk_cache *cache, const brisk_cache_opts *opts)
{
    behind_queue_opts queue = {
        .limits = opts->behind, .ctx = cache, .clock = cache->clock, .alloc = cache->alloc};
    brisk_err err = BRISK_OK;
    cache->write = opts->write;
    if (opts->store != NULL) {
        cache->store = *opts->store;
        cache->has_store = true;
        cache->full_wait_ns = opts->behind.full_wait_ns;
        queue.name = "brisk-store";
        queue.apply = apply_store;
        queue.give_up = give_up_store;
        err = behind_create(&queue, &cache->to_store);
    }
    if (err == BRISK_OK && opts->tiers_behind) {
        queue.name = "brisk-tiers";
        queue.apply = apply_tiers;
        queue.give_up = NULL;
        err = behind_create(&queue, &cache->to_tiers);
    }
    return err;
}

void cache_queues_close(brisk_cache *cache)
{
    behind_destroy(cache->to_store);
    behind_destroy(cache->to_tiers);
    cache->to_store = NULL;
    cache->to_tiers = NULL;
}

/* --- writing -------------------------------------------------------------------------------- */

static brisk_write strategy_of(const brisk_cache *cache, brisk_write asked)
{
    brisk_write strategy = asked != BRISK_WRITE_DEFAULT ? asked : cache->write;
    return cache->has_store && strategy != BRISK_WRITE_DEFAULT ? strategy : BRISK_WRITE_ASIDE;
}

/* First the store; nothing that waits for the key may come after it. */
static brisk_err store_now(brisk_cache *cache, const brisk_key *key, brisk_value *value)
{
    behind_drop(cache->to_store, key, true);
    behind_write write = {.key = *key, .value = value};
    brisk_err err = apply_store(cache, &write, NULL);
    if (err != BRISK_OK) {
        (void)!brisk_cache_remove(cache, key);
    }
    return err;
}

static brisk_err write_through(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                               const brisk_entry_opts *opts)
{
    brisk_entry_opts under = *opts;
    if (under.as_of == 0) {
        under.as_of = brisk_cache_epoch(cache);
    }
    brisk_err err = store_now(cache, key, value);
    return err == BRISK_OK ? cache_put(cache, key, value, &under, NULL) : err;
}

/* It has no thread, or this is a forked child: write at once. */
static bool is_no_queue(brisk_err err)
{
    return err == BRISK_ERR_UNSUPPORTED || err == BRISK_ERR_LIMIT;
}

/* Until there is room in the queue, or the time is over. */
static brisk_err push_waiting(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                              const brisk_entry_opts *opts)
{
    for (;;) {
        behind_write write = {.key = *key, .value = value};
        brisk_err err = cache_put(cache, key, value, opts, cache->to_store);
        if (err != BRISK_ERR_FULL || cache->full_wait_ns == 0 ||
            !behind_wait_room(cache->to_store, &write, cache->full_wait_ns)) {
            return err;
        }
    }
}

brisk_err brisk_cache_write(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                            const brisk_entry_opts *opts)
{
    static const brisk_entry_opts none = {0};
    opts = opts != NULL ? opts : &none;
    brisk_write strategy = strategy_of(cache, opts->write);
    if (strategy == BRISK_WRITE_BEHIND) {
        brisk_err err = push_waiting(cache, key, value, opts);
        if (!is_no_queue(err)) {
            return err;
        }
        strategy = BRISK_WRITE_THROUGH;
    }
    return strategy == BRISK_WRITE_THROUGH ? write_through(cache, key, value, opts)
                                           : cache_put(cache, key, value, opts, NULL);
}

brisk_err brisk_cache_erase(brisk_cache *cache, const brisk_key *key, brisk_write write)
{
    static const brisk_entry_opts none = {0};
    brisk_write strategy = strategy_of(cache, write);
    if (strategy == BRISK_WRITE_BEHIND) {
        brisk_err err = push_waiting(cache, key, NULL, &none);
        if (!is_no_queue(err)) {
            return err;
        }
        strategy = BRISK_WRITE_THROUGH;
    }
    if (strategy == BRISK_WRITE_THROUGH) {
        brisk_err err = store_now(cache, key, NULL);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return brisk_cache_remove(cache, key);
}

/* --- reading -------------------------------------------------------------------------------- */

static void hit_of_value(brisk_cache *cache, brisk_value *value, const char *from, brisk_hit *ret)
{
    *ret = (brisk_hit){.value = value, .tier = cache->tier_count, .tier_name = from};
}

bool cache_find_unsaved(brisk_cache *cache, const brisk_key *key, brisk_hit *ret)
{
    behind_read read = {.value = NULL};
    if (behind_find(cache->to_store, key, &read) != BEHIND_VALUE) {
        return false;
    }
    hit_of_value(cache, read.value, "queue", ret);
    return true;
}

brisk_err brisk_cache_fetch(brisk_cache *cache, const brisk_key *key, const brisk_entry_opts *opts,
                            brisk_hit *ret)
{
    static const brisk_entry_opts none = {0};
    brisk_entry_opts under = opts != NULL ? *opts : none;
    if (brisk_cache_get(cache, key, under.tiers, ret)) {
        return BRISK_OK;
    }
    if (!cache->has_store) {
        return BRISK_ERR_NOT_FOUND;
    }
    under.as_of = brisk_cache_epoch(cache); /* before the queue and the store are asked */
    brisk_value *value = NULL;
    behind_read read = {.hidden = true};
    behind_found found = behind_find(cache->to_store, key, &read);
    if (found == BEHIND_REMOVED) {
        return BRISK_ERR_NOT_FOUND;
    }
    brisk_err err = BRISK_OK;
    if (found == BEHIND_VALUE) {
        value = read.value;
    } else {
        err = cache->store.load(cache->store.ctx, key, &value);
    }
    if (err == BRISK_OK) {
        err = cache_put(cache, key, value, &under, NULL);
        hit_of_value(cache, value, "store", ret);
    }
    return err;
}

brisk_err brisk_cache_flush(brisk_cache *cache, uint64_t wait_ns)
{
    uint64_t begin = brisk_clock_now_ns(cache->clock);
    brisk_err err = BRISK_OK;
    if (cache->to_store != NULL) {
        err = behind_flush(cache->to_store, wait_ns);
    }
    uint64_t passed = brisk_clock_now_ns(cache->clock) - begin;
    if (err == BRISK_OK && cache->to_tiers != NULL) {
        err = behind_flush(cache->to_tiers, passed < wait_ns ? wait_ns - passed : 0);
    }
    return err;
}
