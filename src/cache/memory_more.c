/*
 * memory_more.c -- what only the memory tier can: <brisk/memory.h> beyond a tier's operations.
 *
 * A cursor of a walk is shard 24 | bucket 8 | spread hash 32; see memory_walk.c.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/memory_tier.h"

enum { CURSOR_SHARD_SHIFT = 40, CURSOR_BUCKET_SHIFT = 32, CURSOR_BUCKETS = 255 };

brisk_err brisk_memory_info(brisk_tier *tier, const brisk_key *key, brisk_entry_info *ret)
{
    return shard_info(shard_of(memory_of(tier), key), key, ret) ? BRISK_OK : BRISK_ERR_NOT_FOUND;
}

brisk_err brisk_memory_expire(brisk_tier *tier, const brisk_key *key, uint64_t expires_at_ns)
{
    return shard_expire(shard_of(memory_of(tier), key), key, expires_at_ns);
}

brisk_err brisk_memory_update(brisk_tier *tier, const brisk_key *key,
                              brisk_err (*edit)(void *ctx, brisk_memory_edit *edit), void *ctx)
{
    return shard_update(shard_of(memory_of(tier), key), key, edit, ctx);
}

uint64_t brisk_memory_scan(brisk_tier *tier, uint64_t cursor, uint32_t count,
                           void (*visit)(void *ctx, const brisk_memory_visit *entry), void *ctx)
{
    memory_tier *memory = memory_of(tier);
    uint64_t number = cursor >> CURSOR_SHARD_SHIFT;
    shard_cursor at = {
        .bucket = (uint32_t)(cursor >> CURSOR_BUCKET_SHIFT) & CURSOR_BUCKETS,
        .spread = (uint32_t)cursor,
    };
    uint32_t seen = 0;
    count = count != 0 ? count : 1;
    while (number < memory->shard_count && seen < count) {
        seen += shard_scan(&memory->shards[number], &at, count - seen, visit, ctx);
        if (at.done) {
            at = (shard_cursor){.bucket = 0};
            number++;
        }
    }
    return number < memory->shard_count ? number << CURSOR_SHARD_SHIFT |
                                              (uint64_t)at.bucket << CURSOR_BUCKET_SHIFT | at.spread
                                        : 0;
}

bool brisk_memory_random(brisk_tier *tier, brisk_rng *rng,
                         void (*visit)(void *ctx, const brisk_memory_visit *entry), void *ctx)
{
    memory_tier *memory = memory_of(tier);
    bool found = false;
    uint64_t first = brisk_rng_below(rng, memory->shard_count);
    for (uint32_t i = 0; i < memory->shard_count && !found; i++) {
        uint64_t at = (first + i) % memory->shard_count;
        found = shard_random(&memory->shards[at], brisk_rng_next(rng), visit, ctx);
    }
    return found;
}

uint64_t memory_shard_bytes(const memory_tier *memory, uint64_t bytes_max)
{
    uint64_t fixed = memory->block_bytes + MEMORY_HIST_BYTES;
    return bytes_max > fixed ? (bytes_max - fixed) / memory->shard_count : 0;
}

uint64_t memory_shard_entries(const memory_tier *memory, uint64_t entries_max)
{
    return entries_max / memory->shard_count + (entries_max % memory->shard_count != 0);
}

brisk_err brisk_memory_resize(brisk_tier *tier, uint64_t bytes_max, uint64_t entries_max)
{
    memory_tier *memory = memory_of(tier);
    if (bytes_max > memory->bytes_reserve) {
        return BRISK_ERR_INVALID;
    }
    uint64_t bytes = memory_shard_bytes(memory, bytes_max);
    uint64_t entries = memory_shard_entries(memory, entries_max);
    for (uint32_t i = 0; i < memory->shard_count; i++) {
        brisk_err err = shard_resize(&memory->shards[i], bytes, entries);
        if (err != BRISK_OK) {
            return err; /* the first one's: all have the same limits */
        }
    }
    atomic_store_explicit(&memory->bytes_max, bytes_max, memory_order_relaxed);
    return BRISK_OK;
}

brisk_err brisk_memory_set_policy(brisk_tier *tier, const char *policy)
{
    memory_tier *memory = memory_of(tier);
    const policy_ops *ops = policy_find(policy);
    if (ops == NULL) {
        return BRISK_ERR_INVALID;
    }
    for (uint32_t i = 0; i < memory->shard_count; i++) {
        brisk_err err = shard_set_policy(&memory->shards[i], ops);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return BRISK_OK;
}

/* "auto" and what it has chosen, as one static text. */
static const char *choice_name(const char *chosen)
{
    static const char *const names[] = {"auto:lru", "auto:lfu",   "auto:fifo",
                                        "auto:ttl", "auto:sieve", "auto:s3fifo",
                                        "auto:arc", "auto:lirs",  "auto:wtinylfu"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i] + strlen("auto:"), chosen) == 0) {
            return names[i];
        }
    }
    return "auto";
}

const char *brisk_memory_policy(const brisk_tier *tier)
{
    const memory_tier *memory = (const memory_tier *)tier;
    const char *chosen = NULL;
    const char *name = shard_policy(&memory->shards[0], &chosen);
    return chosen != NULL ? choice_name(chosen) : name;
}

uint64_t brisk_memory_tend(brisk_tier *tier, uint64_t budget_ns)
{
    memory_tier *memory = memory_of(tier);
    uint64_t begin = brisk_clock_now_ns(memory->clock);
    uint64_t at = atomic_load_explicit(&memory->tend_at, memory_order_relaxed);
    uint64_t dropped = 0;
    for (uint32_t shards = 0; shards < memory->shard_count;) {
        uint64_t shard = (at >> 32) % memory->shard_count;
        uint32_t chunk = (uint32_t)at;
        if (!shard_tend(&memory->shards[shard], &chunk, &dropped)) {
            chunk = 0;
            shard++;
            shards++;
        }
        at = shard << 32 | chunk;
        if (brisk_clock_now_ns(memory->clock) - begin >= budget_ns) {
            break;
        }
    }
    atomic_store_explicit(&memory->tend_at, at, memory_order_relaxed);
    return dropped;
}

void brisk_memory_set_tap(brisk_tier *tier, uint32_t one_in,
                          void (*tap)(void *ctx, uint32_t hash, bool hit), void *ctx)
{
    memory_tier *memory = memory_of(tier);
    uint32_t below =
        tap == NULL || one_in == 0 ? 0 : (UINT32_MAX / one_in) & ~(uint32_t)SHARD_NOTES;
    memory_tap *old = atomic_load_explicit(&memory->tap, memory_order_relaxed);
    memory_tap *made =
        memory->alloc->acquire(memory->alloc->ctx, sizeof *made, _Alignof(memory_tap));
    if (made == NULL) {
        return; /* sampling is a luxury */
    }
    *made = (memory_tap){.fn = tap, .ctx = ctx, .one_in = tap != NULL ? one_in : 0, .older = old};
    pthread_mutex_lock(&memory->hist_lock); /* several callers: bounds and tap are of one of them */
    /* Release: pairs with the acquire of the readers. */
    while (!atomic_compare_exchange_weak_explicit(&memory->tap, &made->older, made,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    for (uint32_t i = 0; i < memory->shard_count; i++) {
        _Atomic uint32_t *watch = &memory->shards[i].watch;
        uint32_t seen = atomic_load_explicit(watch, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(watch, &seen, (seen & SHARD_NOTES) | below,
                                                      memory_order_relaxed, memory_order_relaxed)) {
        }
    }
    pthread_mutex_unlock(&memory->hist_lock);
}

void memory_taps_free(memory_tier *memory)
{
    memory_tap *tap = atomic_load_explicit(&memory->tap, memory_order_relaxed);
    while (tap != NULL) {
        memory_tap *older = tap->older;
        memory->alloc->release(memory->alloc->ctx, tap, sizeof *tap, _Alignof(memory_tap));
        tap = older;
    }
}
