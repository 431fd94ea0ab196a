/*
 * memory_more.c -- what only the memory tier can: <brisk/memory.h> beyond a tier's operations.
 *
 * A cursor of a walk is shard << 32 | bucket: entries stay in their bucket while they live.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/memory_tier.h"

brisk_err brisk_memory_read(brisk_tier *tier, const brisk_key *key, void *buffer, size_t capacity,
                            brisk_entry_info *ret)
{
    brisk_hit hit;
    brisk_err err = tier->ops->get(tier, key, &hit);
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t size = brisk_value_size(hit.value);
    if (size > capacity) {
        err = BRISK_ERR_LIMIT;
    } else if (size != 0) {
        memcpy(buffer, brisk_value_data(hit.value), (size_t)size);
    }
    brisk_value_unref(hit.value);
    if (ret != NULL) {
        *ret = (brisk_entry_info){
            .size = size,
            .expires_at_ns = hit.expires_at_ns,
            .cost_ns = hit.cost_ns,
            .flags = hit.flags,
            .meta_size = hit.meta_size,
            .era = hit.era,
        };
    }
    return err;
}

void brisk_memory_prefetch(const brisk_tier *tier, const brisk_key *keys, uint32_t count)
{
    const memory_tier *memory = (const memory_tier *)tier;
    for (uint32_t i = 0; i < count; i++) {
        const memory_table *table = &shard_of(memory, &keys[i])->table;
        __builtin_prefetch(&table->buckets[table_home(table, keys[i].hash.lo)]);
    }
}

uint32_t brisk_memory_get_batch(brisk_tier *tier, const brisk_key *keys, uint32_t count,
                                brisk_hit *hits, brisk_err *errs)
{
    BRISK_ASSERT(count <= BRISK_MEMORY_BATCH_MAX);
    brisk_memory_prefetch(tier, keys, count);
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        errs[i] = tier->ops->get(tier, &keys[i], &hits[i]);
        found += errs[i] == BRISK_OK;
    }
    return found;
}

brisk_err brisk_memory_put_bytes(brisk_tier *tier, const brisk_key *key, const void *data,
                                 size_t size, const brisk_entry_opts *opts)
{
    brisk_value *value = NULL;
    brisk_err err = brisk_value_copy(data, size, memory_of(tier)->alloc, &value);
    if (err != BRISK_OK) {
        (void)tier->ops->remove(tier, key);
        return err;
    }
    err = tier->ops->put(tier, key, value, opts);
    brisk_value_unref(value);
    return err;
}

brisk_err brisk_memory_info(brisk_tier *tier, const brisk_key *key, brisk_entry_info *ret)
{
    return shard_info(shard_of(memory_of(tier), key), key, ret) ? BRISK_OK : BRISK_ERR_NOT_FOUND;
}

brisk_err brisk_memory_expire(brisk_tier *tier, const brisk_key *key, uint64_t expires_at_ns)
{
    return shard_expire(shard_of(memory_of(tier), key), key, expires_at_ns) ? BRISK_OK
                                                                            : BRISK_ERR_NOT_FOUND;
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
    uint64_t shard = cursor >> 32;
    uint32_t bucket = (uint32_t)cursor;
    uint32_t seen = 0;
    count = count != 0 ? count : 1;
    while (shard < memory->shard_count) {
        seen += shard_scan(&memory->shards[shard], &bucket, count - seen, visit, ctx);
        if (bucket >= memory->shards[shard].table.bucket_count) {
            shard++;
            bucket = 0;
        }
        if (seen >= count) {
            break;
        }
    }
    return shard < memory->shard_count ? shard << 32 | bucket : 0;
}

bool brisk_memory_random(brisk_tier *tier, brisk_rng *rng,
                         void (*visit)(void *ctx, const brisk_memory_visit *entry), void *ctx)
{
    memory_tier *memory = memory_of(tier);
    random_visit r = {.visit = visit, .ctx = ctx};
    uint64_t first = brisk_rng_below(rng, memory->shard_count);
    for (uint32_t i = 0; i < memory->shard_count && !r.done; i++) {
        uint64_t at = (first + i) % memory->shard_count;
        (void)shard_random(&memory->shards[at], brisk_rng_next(rng), &r);
    }
    return r.done;
}

brisk_err memory_resize(memory_tier *memory, uint64_t bytes_max, uint64_t entries_max)
{
    uint64_t fixed = memory->block_bytes + MEMORY_HIST_BYTES;
    if (bytes_max > memory->bytes_reserve || bytes_max <= fixed) {
        return BRISK_ERR_INVALID;
    }
    uint64_t bytes = (bytes_max - fixed) / memory->shard_count;
    uint64_t entries = (entries_max + memory->shard_count - 1) / memory->shard_count;
    for (uint32_t i = 0; i < memory->shard_count; i++) {
        brisk_err err = shard_resize(&memory->shards[i], bytes, entries);
        if (err != BRISK_OK) {
            return err;
        }
    }
    atomic_store_explicit(&memory->bytes_max, bytes_max, memory_order_relaxed);
    return BRISK_OK;
}

brisk_err brisk_memory_resize(brisk_tier *tier, uint64_t bytes_max, uint64_t entries_max)
{
    return memory_resize(memory_of(tier), bytes_max, entries_max);
}

brisk_err brisk_memory_set_policy(brisk_tier *tier, const char *policy)
{
    (void)tier;
    return policy_find(policy) != NULL ? BRISK_OK : BRISK_ERR_INVALID; /* there is one only */
}

const char *brisk_memory_policy(const brisk_tier *tier)
{
    return ((const memory_tier *)tier)->policy_name;
}

uint64_t brisk_memory_tend(brisk_tier *tier, uint64_t budget_ns)
{
    memory_tier *memory = memory_of(tier);
    uint64_t begin = brisk_clock_now_ns(memory->clock);
    uint64_t at = atomic_load_explicit(&memory->tend_at, memory_order_relaxed);
    uint64_t dropped = 0;
    for (uint32_t shards = 0; shards < memory->shard_count;) {
        uint64_t shard = (at >> 32) % memory->shard_count;
        uint32_t bucket = (uint32_t)at;
        if (!shard_tend(&memory->shards[shard], &bucket, &dropped)) {
            bucket = 0;
            shard++;
            shards++;
        }
        at = shard << 32 | bucket;
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
    memory_tap *old = atomic_load_explicit(&memory->tap, memory_order_relaxed);
    memory_tap *made =
        memory->alloc->acquire(memory->alloc->ctx, sizeof *made, _Alignof(memory_tap));
    if (made == NULL) {
        return; /* sampling is a luxury */
    }
    *made = (memory_tap){.fn = tap, .ctx = ctx, .one_in = tap != NULL ? one_in : 0, .older = old};
    /* Release: pairs with the acquire of the readers.  Several callers: the last one wins. */
    while (!atomic_compare_exchange_weak_explicit(&memory->tap, &made->older, made,
                                                  memory_order_release, memory_order_relaxed)) {
    }
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
