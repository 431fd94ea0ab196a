/*
 * cache_breaker.c -- tiers that fail or are slow are left alone for a while.
 *
 *     CLOSED ── errors in a row, or too many bad calls of the last 64 ──► OPEN
 *     OPEN ── its time is over, and what it missed is made good ────────► HALF_OPEN
 *     HALF_OPEN ── some good calls in a row ──► CLOSED, a bad one ──► OPEN, for twice as long
 *
 * Bad is a call that failed for the tier's own fault (not: no room, too large, no memory), or took
 * longer than slow_ns.  FAST tiers are never guarded: to look at the clock would cost more.
 *
 * An open tier misses changes, and must not answer what it had before them:
 *
 *  - A tier of this machine: every change that it misses, by being skipped or by failing to remove,
 *    is noted in the generations as if its key had been invalidated as a prefix is (cache.c).  What
 *    the tier has of that key is outdated from then on, for every process and after a restart, so
 *    the tier can be believed as soon as it answers.
 *  - A shared tier: the keys are kept here, without repeats, up to a limit, and removed from the
 *    tier before it is asked again; beyond the limit the tier is told that everything is outdated.
 *    If the process ends before that, other machines go on with what the tier has.
 *
 * Invariant: a shared tier is CLOSED or HALF_OPEN only while `missed` is empty.  A change that was
 * to be skipped is noted under the lock and only while the state is OPEN; otherwise the tier is
 * called after all.
 *
 * Threads: any.  `lock` is a leaf; no tier is called under it.
 */
#include <string.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/cache_parts.h"

enum {
    ERRORS_DEFAULT = 5,
    RATE_DEFAULT = 50,
    PROBES_DEFAULT = 3,
    MISSED_DEFAULT = 4096,
    MISSED_MAX = 1 << 20,
    WINDOW_MIN = 16, /* calls, before a share means anything */
    OPEN_TIMES_MAX = 32,
    REPLAY_ROUNDS = 16,
    HIST_BITS = 5, /* error below 3.2 %, 16 KiB */
};

static const uint64_t slow_default_ns = 100000000;
static const uint64_t open_default_ns = 1000000000;

static uint32_t state_of(const cache_breaker *breaker)
{
    /* Acquire: who sees HALF_OPEN sees the tier after its replay. */
    return atomic_load_explicit(&breaker->state, memory_order_acquire);
}

static void set_state(cache_breaker *breaker, brisk_breaker_state state)
{
    atomic_store_explicit(&breaker->state, (uint32_t)state, memory_order_release);
}

static uint64_t or_default(uint64_t value, uint64_t by_default)
{
    return value != 0 ? value : by_default;
}

static uint32_t missed_max(const brisk_cache *cache)
{
    uint32_t count = (uint32_t)or_default(cache->breaker.missed_keys, MISSED_DEFAULT);
    return count < MISSED_MAX ? count : MISSED_MAX;
}

/* --- keys that were missed ------------------------------------------------------------------ */

static void missed_free_keys(const brisk_cache *cache, cache_missed *missed)
{
    for (uint32_t i = 0; i < missed->count; i++) {
        cache->alloc->release(cache->alloc->ctx, missed->keys[i].bytes, missed->keys[i].size, 1);
    }
    missed->count = 0;
}

static void missed_deinit(const brisk_cache *cache, cache_missed *missed)
{
    const brisk_alloc *alloc = cache->alloc;
    missed_free_keys(cache, missed);
    if (missed->keys != NULL) {
        alloc->release(alloc->ctx, missed->keys, missed->capacity * sizeof *missed->keys,
                       _Alignof(struct cache_missed_key));
    }
    if (missed->index != NULL) {
        alloc->release(alloc->ctx, missed->index, missed->capacity * 2 * sizeof *missed->index,
                       _Alignof(uint32_t));
    }
    *missed = (cache_missed){.keys = NULL};
}

/* Room for as many keys as are remembered at all, at the first one. */
static bool missed_reserve(const brisk_cache *cache, cache_missed *missed)
{
    if (missed->capacity != 0) {
        return true;
    }
    const brisk_alloc *alloc = cache->alloc;
    uint32_t capacity = missed_max(cache);
    missed->keys = alloc->acquire(alloc->ctx, capacity * sizeof *missed->keys,
                                  _Alignof(struct cache_missed_key));
    missed->index =
        alloc->acquire(alloc->ctx, capacity * 2 * sizeof *missed->index, _Alignof(uint32_t));
    missed->capacity = capacity;
    if (missed->keys == NULL || missed->index == NULL) {
        missed_deinit(cache, missed);
        return false;
    }
    memset(missed->index, 0, capacity * 2 * sizeof *missed->index);
    return true;
}

/* The place of the key in the index, or the free one where it belongs. */
static uint32_t *missed_find(const cache_missed *missed, const brisk_key *key)
{
    uint32_t cells = missed->capacity * 2;
    uint32_t at = (uint32_t)(key->hash.lo % cells);
    while (missed->index[at] != 0) {
        const struct cache_missed_key *found = &missed->keys[missed->index[at] - 1];
        if (found->hash.lo == key->hash.lo && found->hash.hi == key->hash.hi &&
            found->size == key->size && memcmp(found->bytes, key->bytes, key->size) == 0) {
            break;
        }
        at = at + 1 < cells ? at + 1 : 0;
    }
    return &missed->index[at];
}

static void missed_add(const brisk_cache *cache, cache_missed *missed, const brisk_key *key)
{
    if (missed->all || key == NULL || !missed_reserve(cache, missed)) {
        missed->all = true;
        return;
    }
    uint32_t *place = missed_find(missed, key);
    if (*place != 0) {
        return;
    }
    void *bytes = missed->count < missed->capacity
                      ? cache->alloc->acquire(cache->alloc->ctx, key->size, 1)
                      : NULL;
    if (bytes == NULL) {
        missed->all = true;
        return;
    }
    memcpy(bytes, key->bytes, key->size);
    missed->keys[missed->count++] =
        (struct cache_missed_key){.bytes = bytes, .size = key->size, .hash = key->hash};
    *place = missed->count;
}

static bool missed_is_empty(const cache_missed *missed)
{
    return missed->count == 0 && missed->bump_count == 0 && !missed->all;
}

static void missed_add_bump(cache_missed *missed, const brisk_bump *bump)
{
    for (uint32_t i = 0; i < missed->bump_count; i++) {
        const brisk_bump *other = &missed->bumps[i];
        if (other->kind == bump->kind && other->slot == bump->slot &&
            other->prefix_size == bump->prefix_size && other->prefix_hash == bump->prefix_hash) {
            return;
        }
    }
    if (bump->kind == BRISK_BUMP_ALL || missed->bump_count == CACHE_BUMPS_MAX) {
        missed->all = true;
        return;
    }
    missed->bumps[missed->bump_count++] = *bump;
}

/* --- opening and closing -------------------------------------------------------------------- */

static void lock(cache_breaker *breaker)
{
    int failed = pthread_mutex_lock(&breaker->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(cache_breaker *breaker)
{
    int failed = pthread_mutex_unlock(&breaker->lock);
    BRISK_ASSERT(failed == 0);
}

/* Under the lock.  `at_once`: it is not ill, but must be told something before it is asked. */
static void open_breaker(const brisk_cache *cache, cache_slot *slot, bool at_once)
{
    cache_breaker *breaker = &slot->breaker;
    uint64_t first = or_default(cache->breaker.open_ns, open_default_ns);
    uint64_t longer = breaker->open_ns * 2;
    uint64_t most = first * OPEN_TIMES_MAX;
    uint64_t wait = breaker->open_ns == 0 ? first : longer < most ? longer : most;
    wait = at_once ? 0 : wait;
    breaker->open_ns = wait;
    breaker->good = 0;
    atomic_store_explicit(&breaker->retry_ns, brisk_clock_now_ns(cache->clock) + wait,
                          memory_order_relaxed);
    set_state(breaker, BRISK_BREAKER_OPEN);
    (void)atomic_fetch_add_explicit(&breaker->trips, 1, memory_order_relaxed);
    if (!at_once) {
        brisk_log(wait == first ? BRISK_LOG_WARNING : BRISK_LOG_INFO, "cache",
                  "tier %s: left alone for %u ms, it fails or is slow", slot->tier->name,
                  (unsigned)(wait / 1000000));
    }
}

/* Under the lock. */
static void close_breaker(cache_slot *slot)
{
    cache_breaker *breaker = &slot->breaker;
    breaker->open_ns = 0;
    atomic_store_explicit(&breaker->window, 0, memory_order_relaxed);
    atomic_store_explicit(&breaker->calls, 0, memory_order_relaxed);
    atomic_store_explicit(&breaker->errors, 0, memory_order_relaxed);
    set_state(breaker, BRISK_BREAKER_CLOSED);
    brisk_log(BRISK_LOG_INFO, "cache", "tier %s: is well again", slot->tier->name);
}

static void note_good(const brisk_cache *cache, cache_slot *slot)
{
    cache_breaker *breaker = &slot->breaker;
    lock(breaker);
    if (state_of(breaker) == BRISK_BREAKER_HALF_OPEN &&
        ++breaker->good >= or_default(cache->breaker.probes, PROBES_DEFAULT)) {
        close_breaker(slot);
    }
    unlock(breaker);
}

static void note_bad(const brisk_cache *cache, cache_slot *slot)
{
    cache_breaker *breaker = &slot->breaker;
    lock(breaker);
    if (state_of(breaker) != BRISK_BREAKER_OPEN) {
        open_breaker(cache, slot, false);
    }
    unlock(breaker);
}

/* The tier's own fault. */
static bool is_ill(brisk_err err)
{
    return err == BRISK_ERR_IO || err == BRISK_ERR_DEADLINE || err == BRISK_ERR_PERMISSION ||
           err == BRISK_ERR_CANCELLED || err == BRISK_ERR_UNSUPPORTED;
}

/* The window's oldest call leaves; two that come together may lose one, which matters little. */
static bool is_too_bad(const brisk_cache *cache, cache_breaker *breaker, bool bad, bool failed)
{
    uint64_t window = atomic_load_explicit(&breaker->window, memory_order_relaxed) << 1 | bad;
    uint32_t calls = atomic_load_explicit(&breaker->calls, memory_order_relaxed);
    uint32_t errors = atomic_load_explicit(&breaker->errors, memory_order_relaxed);
    atomic_store_explicit(&breaker->window, window, memory_order_relaxed);
    if (calls < 64) {
        atomic_store_explicit(&breaker->calls, ++calls, memory_order_relaxed);
    }
    if (failed || errors != 0) {
        errors = failed ? errors + 1 : 0;
        atomic_store_explicit(&breaker->errors, errors, memory_order_relaxed);
    }
    uint32_t rate = (uint32_t)or_default(cache->breaker.rate_pct, RATE_DEFAULT);
    uint32_t share = (uint32_t)__builtin_popcountll(window) * 100;
    return bad && (errors >= or_default(cache->breaker.errors, ERRORS_DEFAULT) ||
                   (calls >= WINDOW_MIN && share >= rate * calls));
}

void cache_outcome(brisk_cache *cache, cache_slot *slot, brisk_err err, uint64_t elapsed_ns,
                   bool is_read)
{
    cache_breaker *breaker = &slot->breaker;
    uint32_t state = state_of(breaker);
    if (!cache_is_guarded(cache, slot) && state == BRISK_BREAKER_CLOSED) {
        return;
    }
    bool failed = is_ill(err);
    bool bad = failed || elapsed_ns > or_default(cache->breaker.slow_ns, slow_default_ns);
    switch (state) {
    case BRISK_BREAKER_CLOSED:
        if (is_too_bad(cache, breaker, bad, failed)) {
            note_bad(cache, slot);
        }
        break;
    case BRISK_BREAKER_HALF_OPEN:
        if (bad) {
            note_bad(cache, slot);
        } else {
            note_good(cache, slot);
        }
        break;
    default: break;
    }
    if (is_read) {
        atomic_store_explicit(&breaker->probing, false, memory_order_relaxed);
    }
}

/* --- what it missed ------------------------------------------------------------------------- */

/* Tell the tier; the first error. */
static brisk_err make_good(brisk_cache *cache, cache_slot *slot, const cache_missed *missed,
                           uint32_t *ret_done)
{
    brisk_tier *tier = slot->tier;
    brisk_err err = BRISK_OK;
    if (missed->all) {
        return tier->ops->bump != NULL
                   ? cache_call_bump(cache, slot, &(brisk_bump){.kind = BRISK_BUMP_ALL})
                   : tier->ops->clear(tier);
    }
    for (uint32_t i = 0; i < missed->bump_count && err == BRISK_OK; i++) {
        err = cache_call_bump(cache, slot, &missed->bumps[i]);
        *ret_done += err == BRISK_OK;
    }
    for (uint32_t i = 0; i < missed->count && err == BRISK_OK; i++) {
        const struct cache_missed_key *key = &missed->keys[i];
        brisk_key name = {.bytes = key->bytes, .size = key->size, .hash = key->hash};
        err = tier->ops->remove(tier, &name);
        *ret_done += err == BRISK_OK;
    }
    return err;
}

/* What could not be made good, back to what came meanwhile. */
static void put_back(const brisk_cache *cache, cache_breaker *breaker, cache_missed *missed)
{
    breaker->missed.all = breaker->missed.all || missed->all;
    for (uint32_t i = 0; i < missed->bump_count; i++) {
        missed_add_bump(&breaker->missed, &missed->bumps[i]);
    }
    for (uint32_t i = 0; i < missed->count; i++) {
        const struct cache_missed_key *key = &missed->keys[i];
        brisk_key name = {.bytes = key->bytes, .size = key->size, .hash = key->hash};
        missed_add(cache, &breaker->missed, &name);
    }
}

/* Under the lock, which is given up in between.  True: nothing is missed any more. */
static bool replay(brisk_cache *cache, cache_slot *slot)
{
    cache_breaker *breaker = &slot->breaker;
    for (uint32_t round = 0; round < REPLAY_ROUNDS; round++) {
        if (missed_is_empty(&breaker->missed)) {
            return true;
        }
        cache_missed missed = breaker->missed;
        breaker->missed = (cache_missed){.keys = NULL};
        unlock(breaker);
        uint32_t done = 0;
        brisk_err err = make_good(cache, slot, &missed, &done);
        lock(breaker);
        (void)atomic_fetch_add_explicit(&breaker->replayed, done, memory_order_relaxed);
        if (err != BRISK_OK) {
            put_back(cache, breaker, &missed);
        }
        missed_deinit(cache, &missed);
        if (err != BRISK_OK) {
            return false;
        }
    }
    return false;
}

/* The time is over: half open, if what was missed can be made good. */
static void try_again(brisk_cache *cache, cache_slot *slot)
{
    cache_breaker *breaker = &slot->breaker;
    lock(breaker);
    if (state_of(breaker) == BRISK_BREAKER_OPEN && !breaker->replaying &&
        brisk_clock_now_ns(cache->clock) >=
            atomic_load_explicit(&breaker->retry_ns, memory_order_relaxed)) {
        breaker->replaying = true;
        bool good = replay(cache, slot);
        breaker->replaying = false;
        if (good) {
            atomic_store_explicit(&breaker->probing, false, memory_order_relaxed);
            breaker->lost = 0;
            breaker->outdated = false;
            set_state(breaker, BRISK_BREAKER_HALF_OPEN);
        } else {
            open_breaker(cache, slot, false);
        }
    }
    unlock(breaker);
}

bool cache_admit(brisk_cache *cache, cache_slot *slot, bool is_read)
{
    cache_breaker *breaker = &slot->breaker;
    if (cache_is_off(slot)) {
        return false;
    }
    uint32_t state = state_of(breaker);
    if (state == BRISK_BREAKER_CLOSED) {
        return true;
    }
    if (state == BRISK_BREAKER_OPEN &&
        brisk_clock_now_ns(cache->clock) >=
            atomic_load_explicit(&breaker->retry_ns, memory_order_relaxed)) {
        try_again(cache, slot);
        state = state_of(breaker);
    }
    bool may =
        state == BRISK_BREAKER_CLOSED ||
        (state == BRISK_BREAKER_HALF_OPEN &&
         (!is_read || !atomic_exchange_explicit(&breaker->probing, true, memory_order_relaxed)));
    if (!may) {
        cache_count(&breaker->skipped);
    }
    return may;
}

bool cache_miss_skipped(brisk_cache *cache, cache_slot *slot, const brisk_key *key)
{
    cache_breaker *breaker = &slot->breaker;
    lock(breaker);
    bool open = state_of(breaker) == BRISK_BREAKER_OPEN;
    if (open) {
        missed_add(cache, &breaker->missed, key);
    }
    unlock(breaker);
    return open;
}

void cache_miss_failed(brisk_cache *cache, cache_slot *slot, const brisk_key *key)
{
    cache_breaker *breaker = &slot->breaker;
    lock(breaker);
    missed_add(cache, &breaker->missed, key);
    if (state_of(breaker) != BRISK_BREAKER_OPEN) {
        open_breaker(cache, slot, true);
    }
    unlock(breaker);
}

void cache_miss_bump(brisk_cache *cache, cache_slot *slot, const brisk_bump *bump)
{
    cache_breaker *breaker = &slot->breaker;
    lock(breaker);
    missed_add_bump(&breaker->missed, bump);
    if (state_of(breaker) != BRISK_BREAKER_OPEN) {
        open_breaker(cache, slot, true);
    }
    unlock(breaker);
}

void cache_lose_key(brisk_cache *cache, cache_slot *slot, const brisk_key *key, uint16_t *ret)
{
    cache_breaker *breaker = &slot->breaker;
    generation_name name = generation_name_of_key(key);
    generation_era era = {.era = 0};
    lock(breaker);
    if (state_of(breaker) == BRISK_BREAKER_OPEN) {
        uint64_t tail = generations_ring_tail(cache->table);
        if (breaker->outdated && tail != breaker->outdated_tail) {
            breaker->outdated = false; /* another process may have put the key there since */
            breaker->lost = 0;
        }
        if (!breaker->outdated && ++breaker->lost > missed_max(cache)) {
            breaker->outdated = true;
            breaker->outdated_tail = tail;
            name.size = 0;
        } else if (breaker->outdated) {
            name.hash = 0;
        }
    }
    if (name.hash != 0) {
        cache_warn_power(generations_invalidate(cache->table, name, &era));
    }
    unlock(breaker);
    cache_purge_if(cache, era);
    *ret = era.era;
}

/* --- life ----------------------------------------------------------------------------------- */

brisk_err cache_slot_init(brisk_cache *cache, cache_slot *slot, brisk_tier *tier)
{
    brisk_hist *hist;
    brisk_hist_opts opts = {.precision_bits = HIST_BITS, .alloc = cache->alloc};
    brisk_err err = brisk_hist_create(&opts, &hist);
    if (err != BRISK_OK) {
        return err;
    }
    *slot = (cache_slot){.tier = tier, .hist = hist};
    int failed = pthread_mutex_init(&slot->breaker.lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    failed = pthread_mutex_init(&slot->hist_lock, NULL);
    BRISK_ASSERT(failed == 0);
    return BRISK_OK;
}

void cache_slot_deinit(brisk_cache *cache, cache_slot *slot)
{
    missed_deinit(cache, &slot->breaker.missed);
    (void)pthread_mutex_destroy(&slot->breaker.lock);
    (void)pthread_mutex_destroy(&slot->hist_lock);
    brisk_hist_destroy(slot->hist);
}
