/*
 * cache.c -- the stack of tiers behind <brisk/cache.h>: its life, reading, promotion.
 *
 * Promotion copies what a far tier answered into the nearer ones, and must not bring back what
 * was replaced or removed meanwhile.  So every key belongs to a stripe with a lock and a version:
 * put and remove hold the lock and add to the version; a promotion holds the lock and happens only
 * if the version is what it was before the far tier was asked.  A hit in the first tier asked
 * touches neither.
 *
 * Into FAST tiers a hit is promoted at once; the others get it in the background, when there is
 * one, under the same condition: the later, the likelier it is dropped, and never wrong.
 *
 * Threads: any.  Locks: a stripe's (clear: all, in order), then a breaker's, then the generations',
 * or whatever the tiers take.
 */
#include "cache/cache_parts.h"

#include <sched.h>
#include <string.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/stack.h"

enum {
    SAMPLE_EVERY = 64,
    TASKS_MAX = 1024, /* promotions waiting in the background */
};

static _Thread_local uint32_t sample_tick;

void cache_note_fault(cache_slot *slot, const char *what, brisk_err err)
{
    atomic_fetch_add_explicit(&slot->errors, 1, memory_order_relaxed);
    brisk_log(BRISK_LOG_WARNING, "cache", "tier %s: %s failed: %s", slot->tier->name, what,
              brisk_err_message(err));
}

void cache_switch_off(cache_slot *slot)
{
    atomic_store_explicit(&slot->off, true, memory_order_relaxed);
    brisk_log(BRISK_LOG_ERROR, "cache",
              "tier %s: switched off, since it could answer an outdated value", slot->tier->name);
}

/* --- life -------------------------------------------------------------------------------- */

/* What the cache has of its first `slots` tiers; the tiers stay. */
static void free_cache(brisk_cache *cache, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++) {
        cache_slot_deinit(cache, &cache->slots[i]);
    }
    for (uint32_t i = 0; i < CACHE_STRIPES; i++) {
        (void)pthread_mutex_destroy(&cache->stripes[i].lock);
    }
    (void)pthread_mutex_destroy(&cache->tap_lock);
    (void)pthread_mutex_destroy(&cache->foreign_lock);
    generations_close(cache->table);
    cache->alloc->release(cache->alloc->ctx, cache, sizeof *cache, _Alignof(brisk_cache));
}

/* Nobody tells us anything any more. */
static void close_views(brisk_cache *cache)
{
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        cache_view_close(&cache->slots[i]);
    }
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

bool cache_purge(brisk_cache *cache, bool last)
{
    bool done = true;
    for (uint32_t i = cache->tier_count; i-- > 0;) {
        cache_slot *slot = &cache->slots[i];
        if ((slot->tier->flags & BRISK_TIER_SHARED) != 0 || cache_is_off(slot)) {
            continue;
        }
        brisk_err err = slot->tier->ops->clear(slot->tier);
        if (err != BRISK_OK) {
            cache_note_fault(slot, "clear", err);
            done = false;
            if (last) {
                cache_switch_off(slot);
            }
        }
    }
    return done;
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
    atomic_init(&cache->foreign_cursor, generations_ring_tail(table));
    if (lost) {
        (void)cache_purge(cache, true);
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

static brisk_err set_up(brisk_cache *cache, const brisk_cache_opts *opts, uint32_t *ret_slots)
{
    brisk_err err = generations_create(cache->alloc, &cache->table);
    for (uint32_t i = 0; i < opts->tier_count && err == BRISK_OK; i++) {
        err = cache_slot_init(cache, &cache->slots[i], opts->tiers[i]);
        *ret_slots += err == BRISK_OK;
    }
    const char *folder = opts->folder;
    if (err == BRISK_OK) {
        cache->tier_count = opts->tier_count;
        folder = folder != NULL ? folder : folder_of(cache);
    }
    if (err == BRISK_OK && folder != NULL) {
        err = use_folder(cache, folder);
    }
    for (uint32_t i = 0; i < cache->tier_count && err == BRISK_OK; i++) {
        err = cache_view_open(cache, i);
    }
    return err == BRISK_OK ? cache_queues_open(cache, opts) : err;
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
    *cache = (brisk_cache){.alloc = alloc, .clock = opts->clock, .breaker = opts->breaker};
    if (opts->background != NULL) {
        cache->background = *opts->background;
        cache->has_background = true;
    }
    for (uint32_t i = 0; i < CACHE_STRIPES; i++) {
        int bad = pthread_mutex_init(&cache->stripes[i].lock, NULL);
        BRISK_ASSERT(bad == 0); /* cannot fail for a plain mutex on Linux */
    }
    int failed = pthread_mutex_init(&cache->foreign_lock, NULL);
    BRISK_ASSERT(failed == 0);
    failed = pthread_mutex_init(&cache->tap_lock, NULL);
    BRISK_ASSERT(failed == 0);
    uint32_t slots = 0;
    brisk_err err = set_up(cache, opts, &slots);
    if (err != BRISK_OK) {
        cache_queues_close(cache);
        close_views(cache);
        free_cache(cache, slots);
        return err;
    }
    *ret = cache;
    return BRISK_OK;
}

brisk_err cache_append(brisk_cache *cache, brisk_tier *tier)
{
    BRISK_ASSERT(tier != NULL && cache->tier_count < BRISK_CACHE_TIERS_MAX);
    cache_slot *slot = &cache->slots[cache->tier_count];
    brisk_err err = cache_slot_init(cache, slot, tier);
    if (err != BRISK_OK) {
        return err;
    }
    uint32_t index = cache->tier_count++;
    if (cache->table->fd < 0 && tier->ops->folder != NULL) {
        err = use_folder(cache, tier->ops->folder(tier));
    }
    if (err == BRISK_OK) {
        err = cache_view_open(cache, index);
    }
    if (err != BRISK_OK) {
        cache->tier_count--;
        cache_slot_deinit(cache, slot);
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
    cache_queues_close(cache);
    close_views(cache);
    /* Acquire: what the tasks did is done. */
    while (atomic_load_explicit(&cache->tasks, memory_order_acquire) != 0) {
        (void)sched_yield();
    }
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        brisk_tier_destroy(cache->slots[i].tier);
    }
    free_cache(cache, cache->tier_count);
}

/* --- promotion ---------------------------------------------------------------------------- */

/* What a lookup knows. */
typedef struct cache_lookup {
    const brisk_get_opts *opts;
    uint64_t version; /* of the key's stripe before the first far tier was asked */
    uint64_t token;   /* before the first shared tier was asked; 0: none was */
    uint64_t begin_ns;
    uint64_t now_ns;
    bool far; /* `version` is set */
} cache_lookup;

/* A hit to be copied into the tiers above. */
typedef struct cache_promotion {
    brisk_cache *cache;
    brisk_key key;
    uint64_t version;
    uint32_t tiers; /* that were asked */
    size_t size;    /* of this and the key's bytes, in the background */
    brisk_hit hit;
    cache_sources sources;
} cache_promotion;

static bool wants(brisk_cache *cache, const cache_promotion *what, uint32_t index, bool fast)
{
    cache_slot *slot = &cache->slots[index];
    bool is_fast = (slot->tier->flags & BRISK_TIER_FAST) != 0;
    bool is_file = brisk_value_fd(what->hit.value) >= 0;
    return is_fast == fast && cache_is_asked(what->tiers, index) && !cache_is_off(slot) &&
           !cache_must_not_see(slot, what->hit.flags) && !(is_file && is_fast) &&
           (slot->tier->flags & BRISK_TIER_KEYED) == 0 &&
           atomic_load_explicit(&slot->breaker.state, memory_order_acquire) == BRISK_BREAKER_CLOSED;
}

/* Into the FAST tiers or the others; not if the key was written to since the far tier was asked. */
static void promote(brisk_cache *cache, const cache_promotion *what, bool fast)
{
    const brisk_hit *hit = &what->hit;
    brisk_entry_mark mark = {
        .flags = hit->flags, .meta_size = hit->meta_size, .meta = hit->meta, .era = hit->era};
    brisk_entry_opts opts = {
        .flags = hit->flags & ~(uint32_t)BRISK_ENTRY_TAGGED,
        .meta_size = brisk_entry_meta_size(&mark),
        .meta = hit->meta,
        .cost_ns = hit->cost_ns,
        .expires_at_ns = hit->expires_at_ns,
        .tiers = what->tiers,
    };
    brisk_sealed sealed;
    cache_sources sources = what->sources;
    cache_seal_local(cache, &opts, &sources, &sealed);
    cache_write write = {.key = &what->key,
                         .value = hit->value,
                         .opts = &opts,
                         .sources = &sources,
                         .sealed = &sealed};
    cache_stripe *stripe = cache_stripe_of(cache, &what->key);
    cache_stripe_lock(stripe);
    bool same = atomic_load_explicit(&stripe->version, memory_order_relaxed) == what->version &&
                !cache_foreign_due(cache);
    for (uint32_t i = hit->tier; i-- > 0;) {
        if (wants(cache, what, i, fast)) {
            cache_slot *slot = &cache->slots[i];
            cache_count(same ? &slot->promotions : &slot->promotions_dropped);
            if (same) {
                cache_write_tier(cache, i, &write);
            }
        }
    }
    cache_stripe_unlock(stripe);
}

static void free_promotion(cache_promotion *what)
{
    brisk_cache *cache = what->cache;
    brisk_value_unref(what->hit.value);
    cache->alloc->release(cache->alloc->ctx, what, what->size, _Alignof(cache_promotion));
    /* Release: see destroy.  The cache may be gone after it. */
    (void)atomic_fetch_sub_explicit(&cache->tasks, 1, memory_order_release);
}

static void promote_later(void *arg)
{
    cache_promotion *what = arg;
    promote(what->cache, what, false);
    free_promotion(what);
}

/* Give it to the background; false: it does not take it. */
static bool hand_over(brisk_cache *cache, const cache_promotion *what)
{
    if (atomic_fetch_add_explicit(&cache->tasks, 1, memory_order_relaxed) >= TASKS_MAX) {
        (void)atomic_fetch_sub_explicit(&cache->tasks, 1, memory_order_relaxed);
        return false;
    }
    size_t size = sizeof *what + what->key.size;
    cache_promotion *copy =
        cache->alloc->acquire(cache->alloc->ctx, size, _Alignof(cache_promotion));
    if (copy == NULL) {
        (void)atomic_fetch_sub_explicit(&cache->tasks, 1, memory_order_relaxed);
        return false;
    }
    *copy = *what;
    copy->size = size;
    copy->cache = cache;
    copy->key.bytes = memcpy(copy + 1, what->key.bytes, what->key.size);
    (void)brisk_value_ref(copy->hit.value);
    if (!cache->background.run(cache->background.ctx, promote_later, copy)) {
        free_promotion(copy);
        return false;
    }
    return true;
}

/* Not inlined: it has a kilobyte of locals that a hit in the first tier need not pay for. */
static __attribute__((noinline)) void promote_hit(brisk_cache *cache, const brisk_key *key,
                                                  const cache_lookup *lookup, const brisk_hit *hit,
                                                  const cache_sources *sources)
{
    cache_promotion what;
    what.key = *key;
    what.version = lookup->version;
    what.tiers = lookup->opts->tiers;
    what.hit = *hit;
    what.sources = *sources;
    bool others = false;
    for (uint32_t i = hit->tier; i-- > 0;) {
        others = others || wants(cache, &what, i, false);
    }
    promote(cache, &what, true);
    if (!others) {
        return;
    }
    if (!cache->has_background) {
        promote(cache, &what, false);
    } else if (!hand_over(cache, &what)) {
        cache_count(&cache->background_dropped);
    }
}

/* --- get ---------------------------------------------------------------------------------- */

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
    cache_record(slot, elapsed);
    if (err == BRISK_OK) {
        atomic_store_explicit(&slot->last_ns, elapsed, memory_order_relaxed);
        ret->elapsed_ns = elapsed;
    }
    return err;
}

/* With the key that a KEYED tier has the entry under. */
static brisk_err get_keyed(brisk_cache *cache, cache_slot *slot, const brisk_key *key,
                           const brisk_get_opts *opts, brisk_hit *ret)
{
    const brisk_alloc *alloc = cache->alloc;
    size_t size = key->size + CACHE_KEYED_EXTRA;
    void *bytes = alloc->acquire(alloc->ctx, size, 1);
    if (bytes == NULL) {
        return BRISK_ERR_NOT_FOUND;
    }
    brisk_key keyed;
    brisk_err err = BRISK_ERR_NOT_FOUND;
    if (cache_keyed(cache, key, opts->tags, opts->tag_count, bytes, &keyed)) {
        err = slot->tier->ops->get(slot->tier, &keyed, ret);
    }
    alloc->release(alloc->ctx, bytes, size, 1);
    return err;
}

/* Ask a tier that is not FAST. */
static brisk_err get_timed(brisk_cache *cache, cache_slot *slot, const brisk_key *key,
                           cache_lookup *lookup, brisk_hit *ret)
{
    if (lookup->begin_ns == 0) {
        lookup->begin_ns = lookup->now_ns = brisk_clock_now_ns(cache->clock);
    }
    if (lookup->token == 0 && (slot->tier->flags & BRISK_TIER_SHARED) != 0) {
        lookup->token = generations_token(cache->table);
    }
    brisk_err err = (slot->tier->flags & BRISK_TIER_KEYED) != 0
                        ? get_keyed(cache, slot, key, lookup->opts, ret)
                        : slot->tier->ops->get(slot->tier, key, ret);
    uint64_t now = brisk_clock_now_ns(cache->clock);
    cache_outcome(cache, slot, err, now - lookup->now_ns, true);
    cache_record(slot, now - lookup->now_ns);
    lookup->now_ns = now;
    ret->elapsed_ns = now - lookup->begin_ns;
    return err;
}

/* Ask tier `index`; errors other than NOT_FOUND are counted. */
static bool ask_tier(brisk_cache *cache, uint32_t index, const brisk_key *key, cache_lookup *lookup,
                     brisk_hit *ret)
{
    cache_slot *slot = &cache->slots[index];
    ret->era = 0; /* of tiers that know no eras */
    brisk_err err = (slot->tier->flags & BRISK_TIER_FAST) != 0
                        ? get_fast(cache, slot, key, ret)
                        : get_timed(cache, slot, key, lookup, ret);
    if (err == BRISK_OK) {
        ret->tier = index;
        ret->tier_name = slot->tier->name;
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

/* Whether a hit is current; if it may be promoted, *ret is what it comes from. */
static bool judge(brisk_cache *cache, const brisk_key *key, const cache_lookup *lookup,
                  const brisk_hit *hit, cache_sources *ret)
{
    cache_slot *slot = &cache->slots[hit->tier];
    ret->count = 0;
    ret->given = false;
    if ((slot->tier->flags & BRISK_TIER_SHARED) != 0) {
        ret->token = lookup->token;
        return cache_shared_current(slot, key, hit, ret);
    }
    ret->token = hit->era;
    brisk_entry_mark mark = mark_of(hit);
    return cache_is_current(cache, key, &mark) &&
           (!lookup->far || (hit->flags & BRISK_ENTRY_TAGGED) == 0 ||
            cache_sources_of_hit(hit, ret));
}

/* Before a tier is asked, so that later writes show.  The first one counts. */
static void remember_version(brisk_cache *cache, const brisk_key *key, cache_lookup *lookup)
{
    if (!lookup->far) {
        lookup->far = true;
        lookup->version =
            atomic_load_explicit(&cache_stripe_of(cache, key)->version, memory_order_acquire);
    }
}

/* What waits for tier `index` and those behind it. */
static behind_found look_up_later(brisk_cache *cache, uint32_t index, const brisk_key *key,
                                  cache_lookup *lookup, brisk_hit *ret)
{
    cache_sources sources;
    remember_version(cache, key, lookup);
    behind_found found = cache_find_later(cache, key, ret, &sources);
    if (found == BEHIND_VALUE) {
        ret->tier = index;
        ret->stale = false;
        promote_hit(cache, key, lookup, ret, &sources);
    }
    return found;
}

static bool look_up(brisk_cache *cache, const brisk_key *key, cache_lookup *lookup,
                    cache_spare *spare, brisk_hit *ret)
{
    bool missed = false;
    bool later = cache->to_tiers == NULL; /* has been looked at */
    if (cache_foreign_due(cache)) {
        cache_foreign_read(cache);
    }
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        cache_slot *slot = &cache->slots[i];
        if (!cache_is_asked(lookup->opts->tiers, i)) {
            continue;
        }
        if (!later && (slot->tier->flags & BRISK_TIER_FAST) == 0) {
            later = true;
            behind_found found = look_up_later(cache, i, key, lookup, ret);
            if (found != BEHIND_NONE) {
                return found == BEHIND_VALUE;
            }
        }
        /* Who may, must: a probe that never ends keeps the others out. */
        if (!cache_may_ask(cache, slot)) {
            continue;
        }
        if (missed) {
            remember_version(cache, key, lookup);
        }
        missed = true;
        if (!ask_tier(cache, i, key, lookup, ret)) {
            continue;
        }
        cache_sources sources;
        if (judge(cache, key, lookup, ret, &sources)) {
            if (lookup->far) {
                promote_hit(cache, key, lookup, ret, &sources);
            }
            show(ret, false);
            return true;
        }
        cache_count(&slot->stale);
        keep_spare(spare, ret);
    }
    return cache->to_store != NULL && cache_find_unsaved(cache, key, ret);
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
    brisk_get_opts opts = {.tiers = tiers};
    cache_lookup lookup = {.opts = &opts};
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
    cache_lookup lookup = {.opts = opts};
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
