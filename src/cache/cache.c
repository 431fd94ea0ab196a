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
#include "cache/cache_parts.h"

#include <string.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/stack.h"

enum { SAMPLE_EVERY = 64 };

static _Thread_local uint32_t sample_tick;

static cache_stripe *stripe_of(brisk_cache *cache, const brisk_key *key)
{
    return &cache->stripes[key->hash.hi & (CACHE_STRIPES - 1)];
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

void cache_note_fault(cache_slot *slot, const char *what, brisk_err err)
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

static void switch_off(cache_slot *slot)
{
    atomic_store_explicit(&slot->off, true, memory_order_relaxed);
    brisk_log(BRISK_LOG_ERROR, "cache",
              "tier %s: switched off, since it could answer an outdated value", slot->tier->name);
}

/* The key leaves the tier, or the tier leaves the stack. */
static void forget_in(cache_slot *slot, const brisk_key *key)
{
    brisk_err err = slot->tier->ops->remove(slot->tier, key);
    if (err == BRISK_OK) {
        return;
    }
    cache_note_fault(slot, "remove", err);
    switch_off(slot);
}

static void store_in(cache_slot *slot, const brisk_key *key, brisk_value *value,
                     const brisk_entry_opts *opts)
{
    brisk_err err = slot->tier->ops->put(slot->tier, key, value, opts);
    if (err == BRISK_OK) {
        return;
    }
    if (err != BRISK_ERR_DECLINED) {
        cache_note_fault(slot, "put", err);
    }
    forget_in(slot, key);
}

/* --- life -------------------------------------------------------------------------------- */

static void free_cache(brisk_cache *cache)
{
    for (uint32_t i = 0; i < CACHE_STRIPES; i++) {
        (void)pthread_mutex_destroy(&cache->stripes[i].lock);
    }
    (void)pthread_mutex_destroy(&cache->tap_lock);
    generations_close(cache->table);
    cache->alloc->release(cache->alloc->ctx, cache, sizeof *cache, _Alignof(brisk_cache));
}

static bool opts_ok(const brisk_cache_opts *opts)
{
    for (uint32_t i = 0; i < opts->tier_count && i < BRISK_CACHE_TIERS_MAX; i++) {
        if (opts->tiers[i] == NULL) {
            return false;
        }
    }
    return opts->tier_count <= BRISK_CACHE_TIERS_MAX;
}

void cache_purge(brisk_cache *cache)
{
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        if ((slot->tier->flags & BRISK_TIER_SHARED) != 0) {
            continue;
        }
        brisk_err err = slot->tier->ops->clear(slot->tier);
        if (err != BRISK_OK) {
            cache_note_fault(slot, "clear", err);
            switch_off(slot);
        }
    }
}

/* Take the folder's table in place of the one in memory. */
static brisk_err use_folder(brisk_cache *cache, const char *folder)
{
    generations *table;
    bool lost = false;
    brisk_errinfo info = {.text = ""};
    brisk_err err = generations_open(cache->alloc, folder, &table, &lost, &info);
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "cache", "no invalidation for the disk: %s",
                  info.text[0] != '\0' ? info.text : brisk_err_message(err));
        return err;
    }
    generations_close(cache->table);
    cache->table = table;
    if (lost) {
        cache_purge(cache);
        generations_commit(table);
    }
    return BRISK_OK;
}

static const char *folder_of(const brisk_cache *cache)
{
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        const brisk_tier *tier = cache->slots[i].tier;
        if (tier->ops->folder != NULL) {
            return tier->ops->folder(tier);
        }
    }
    return NULL;
}

static brisk_err set_up(brisk_cache *cache, const brisk_cache_opts *opts)
{
    brisk_err err = generations_create(cache->alloc, &cache->table);
    const char *folder = opts->folder != NULL ? opts->folder : folder_of(cache);
    if (err == BRISK_OK && folder != NULL) {
        err = use_folder(cache, folder);
    }
    return err;
}

brisk_err brisk_cache_create(const brisk_cache_opts *opts, brisk_cache **ret)
{
    BRISK_ASSERT(ret != NULL);
    static const brisk_cache_opts defaults = {0};
    opts = opts != NULL ? opts : &defaults;
    if (!opts_ok(opts)) {
        return BRISK_ERR_INVALID;
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
    for (uint32_t i = 0; i < CACHE_STRIPES; i++) {
        int bad = pthread_mutex_init(&cache->stripes[i].lock, NULL);
        BRISK_ASSERT(bad == 0); /* cannot fail for a plain mutex on Linux */
    }
    int failed = pthread_mutex_init(&cache->tap_lock, NULL);
    BRISK_ASSERT(failed == 0);
    brisk_err err = set_up(cache, opts);
    if (err != BRISK_OK) {
        free_cache(cache);
        return err;
    }
    *ret = cache;
    return BRISK_OK;
}

brisk_err cache_append(brisk_cache *cache, brisk_tier *tier)
{
    BRISK_ASSERT(tier != NULL && cache->tier_count < BRISK_CACHE_TIERS_MAX);
    cache->slots[cache->tier_count++].tier = tier;
    if (cache->table->fd >= 0 || tier->ops->folder == NULL) {
        return BRISK_OK;
    }
    brisk_err err = use_folder(cache, tier->ops->folder(tier));
    if (err != BRISK_OK) {
        cache->slots[--cache->tier_count].tier = NULL;
    }
    return err;
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
    free_cache(cache);
}

/* --- get --------------------------------------------------------------------------------- */

/* A hit to be copied into the tiers above, unless the key was written to meanwhile. */
typedef struct cache_lookup {
    uint32_t tiers;   /* that were asked */
    uint64_t version; /* of the key's stripe before the first far tier was asked */
    uint64_t begin_ns;
    bool far; /* `version` is set */
} cache_lookup;

static void promote(brisk_cache *cache, const brisk_key *key, const cache_lookup *lookup,
                    const brisk_hit *hit)
{
    brisk_entry_opts opts = {
        .flags = hit->flags,
        .meta_size = hit->meta_size,
        .meta = hit->meta,
        .cost_ns = hit->cost_ns,
        .expires_at_ns = hit->expires_at_ns,
        .era = hit->era,
    };
    bool is_file = brisk_value_fd(hit->value) >= 0;
    cache_stripe *stripe = stripe_of(cache, key);
    stripe_lock(stripe);
    if (atomic_load_explicit(&stripe->version, memory_order_relaxed) == lookup->version) {
        for (uint32_t i = hit->tier; i-- > 0;) {
            cache_slot *slot = &cache->slots[i];
            bool in_memory = (slot->tier->flags & BRISK_TIER_FAST) != 0;
            if (is_asked(lookup->tiers, i) && !cache_is_off(slot) &&
                !must_not_see(slot, hit->flags) && !(is_file && in_memory)) {
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

/* Ask tier `index`; errors other than NOT_FOUND are counted. */
static bool ask_tier(brisk_cache *cache, uint32_t index, const brisk_key *key, cache_lookup *lookup,
                     brisk_hit *ret)
{
    cache_slot *slot = &cache->slots[index];
    bool fast = (slot->tier->flags & BRISK_TIER_FAST) != 0;
    if (!fast && lookup->begin_ns == 0) {
        lookup->begin_ns = brisk_clock_now_ns(cache->clock);
    }
    ret->era = 0; /* of tiers that know no eras */
    brisk_err err =
        fast ? get_fast(cache, slot, key, ret) : slot->tier->ops->get(slot->tier, key, ret);
    if (err == BRISK_OK) {
        ret->tier = index;
        ret->tier_name = slot->tier->name;
        if (!fast) {
            ret->elapsed_ns = brisk_clock_now_ns(cache->clock) - lookup->begin_ns;
        }
        return true;
    }
    if (err != BRISK_ERR_NOT_FOUND) {
        cache_note_fault(slot, "get", err);
    }
    return false;
}

static brisk_entry_mark mark_of(const brisk_hit *hit)
{
    return (brisk_entry_mark){
        .flags = hit->flags, .meta_size = hit->meta_size, .meta = hit->meta, .era = hit->era};
}

/* What the caller sees of a hit: no trailer. */
static void show(brisk_hit *hit, bool stale)
{
    hit->stale = stale;
    if ((hit->flags & BRISK_ENTRY_TAGGED) != 0) {
        brisk_entry_mark mark = mark_of(hit);
        hit->meta_size = brisk_entry_meta_size(&mark);
        hit->flags &= ~(uint32_t)BRISK_ENTRY_TAGGED;
    }
}

/* The nearest outdated answer of a lookup, for those who want one. */
typedef struct cache_spare {
    bool found;
    brisk_hit hit;
} cache_spare;

static void keep_spare(cache_spare *spare, brisk_hit *hit)
{
    if (spare == NULL || spare->found) {
        brisk_value_unref(hit->value);
        return;
    }
    spare->found = true;
    spare->hit = *hit;
}

static bool look_up(brisk_cache *cache, const brisk_key *key, cache_lookup *lookup,
                    cache_spare *spare, brisk_hit *ret)
{
    bool missed = false;
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        cache_slot *slot = &cache->slots[i];
        if (!is_asked(lookup->tiers, i) || cache_is_off(slot)) {
            continue;
        }
        if (missed && !lookup->far) {
            /* Before the tier is asked, so that later writes show.  The first one counts. */
            lookup->far = true;
            lookup->version =
                atomic_load_explicit(&stripe_of(cache, key)->version, memory_order_acquire);
        }
        missed = true;
        if (!ask_tier(cache, i, key, lookup, ret)) {
            continue;
        }
        brisk_entry_mark mark = mark_of(ret);
        if (cache_is_current(cache, key, &mark)) {
            if (lookup->far) {
                promote(cache, key, lookup, ret);
            }
            show(ret, false);
            return true;
        }
        cache_count(&slot->stale);
        keep_spare(spare, ret);
    }
    return false;
}

static __attribute__((noinline)) void tell(brisk_cache *cache, const brisk_key *key,
                                           const brisk_hit *hit)
{
    brisk_request request = {.key = key, .tier = UINT32_MAX};
    if (hit != NULL) {
        request.size = brisk_value_size(hit->value);
        request.tier = hit->tier;
        request.hit = true;
    }
    cache_tell(cache, &request);
}

bool brisk_cache_get(brisk_cache *cache, const brisk_key *key, uint32_t tiers, brisk_hit *ret)
{
    cache_lookup lookup = {.tiers = tiers};
    bool found = look_up(cache, key, &lookup, NULL, ret);
    if (cache_has_tap(cache)) {
        tell(cache, key, found ? ret : NULL);
    }
    return found;
}

bool brisk_cache_get_with(brisk_cache *cache, const brisk_key *key, const brisk_get_opts *opts,
                          brisk_hit *ret)
{
    static const brisk_get_opts none = {0};
    opts = opts != NULL ? opts : &none;
    cache_lookup lookup = {.tiers = opts->tiers};
    cache_spare spare;
    spare.found = false;
    bool found = look_up(cache, key, &lookup, opts->stale ? &spare : NULL, ret);
    if (cache_has_tap(cache)) {
        tell(cache, key, found ? ret : NULL);
    }
    if (spare.found && !found) {
        *ret = spare.hit;
        show(ret, true);
    } else if (spare.found) {
        brisk_value_unref(spare.hit.value);
    }
    return found || spare.found;
}

/* --- writing ----------------------------------------------------------------------------- */

/* Under the stripe's lock. */
static void put_in_tiers(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                         const brisk_entry_opts *opts)
{
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        if (cache_is_off(slot) || must_not_see(slot, opts->flags)) {
            continue;
        }
        if (value != NULL && is_asked(opts->tiers, i)) {
            store_in(slot, key, value, opts);
        } else {
            forget_in(slot, key);
        }
    }
}

void brisk_cache_put(brisk_cache *cache, const brisk_key *key, brisk_value *value,
                     const brisk_entry_opts *opts)
{
    static const brisk_entry_opts none = {0};
    opts = opts != NULL ? opts : &none;
    brisk_sealed sealed;
    cache_sources sources;
    bool known = cache_sources_collect(cache, opts, &sources);
    cache_seal_local(cache, opts, &sources, &sealed);
    cache_stripe *stripe = stripe_of(cache, key);
    stripe_lock(stripe);
    if (!known || !cache_sources_current(cache, key, &sources)) {
        cache_count(&cache->outdated_puts);
        value = NULL;
    }
    generation_change change = generations_change_begin(cache->table, key);
    put_in_tiers(cache, key, value, &sealed.opts);
    stripe_change(stripe);
    generations_change_end(cache->table, key, change);
    stripe_unlock(stripe);
}

brisk_err brisk_cache_remove(brisk_cache *cache, const brisk_key *key)
{
    brisk_err first = BRISK_OK;
    cache_stripe *stripe = stripe_of(cache, key);
    stripe_lock(stripe);
    generation_change change = generations_change_begin(cache->table, key);
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        brisk_err err = slot->tier->ops->remove(slot->tier, key);
        if (err != BRISK_OK) {
            cache_note_fault(slot, "remove", err);
            first = err; /* the nearest tier's is the one that stays */
        }
    }
    stripe_change(stripe);
    generations_change_end(cache->table, key, change);
    stripe_unlock(stripe);
    return first;
}

/* Under all stripes' locks. */
static brisk_err clear_tiers(brisk_cache *cache)
{
    brisk_err first = BRISK_OK;
    bool purge;
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        brisk_err err = slot->tier->ops->clear(slot->tier);
        if (err != BRISK_OK) {
            cache_note_fault(slot, "clear", err);
            first = err;
        }
    }
    /* Other processes' memory, and what is being computed, is outdated too. */
    brisk_err err = generations_invalidate(cache->table, NULL, 0, &purge);
    if (first == BRISK_OK) {
        generations_purged(cache->table);
    }
    return first != BRISK_OK ? first : err;
}

brisk_err brisk_cache_clear(brisk_cache *cache)
{
    for (uint32_t i = 0; i < CACHE_STRIPES; i++) {
        stripe_lock(&cache->stripes[i]);
    }
    brisk_err err = clear_tiers(cache);
    for (uint32_t i = CACHE_STRIPES; i-- > 0;) {
        stripe_change(&cache->stripes[i]);
        stripe_unlock(&cache->stripes[i]);
    }
    return err;
}
