/*
 * memory.c -- the memory tier: shards behind <brisk/cache.h>.
 *
 *     tier | shards | readers | rings of thread 0 (one a shard) | rings of thread 1 | ...
 *
 * A hit of a small entry runs without a lock: shard_peek copies it, the thread's ring for the
 * shard remembers it for the policy, the thread's counters count it.  Threads beyond the number
 * of rings, and everything shard_peek finds unusual, take the shard's lock.
 *
 * Order: what one thread does is ordered exactly, since rings are emptied before every insert,
 * remove and eviction.  Hits of different threads between two such points are taken thread by
 * thread, at most HITS_RING each.
 *
 * Time: reading the clock twice costs a third of a hit, so one get in SAMPLE_EVERY is timed.
 *
 * Threads: any, until destroy.  Locks: one shard's at a time; the histogram's last, alone.
 */
#include <unistd.h>

#include "base/assert.h"
#include "cache/memory_peek.h"
#include "cache/memory_shard.h"
#include "cache/memory_thread.h"
#include "cache/memory_tier.h"

enum {
    SHARDS_MAX = 1024,
    SAMPLE_EVERY = 64,
    HIST_PRECISION_BITS = 4,
    THREADS_PER_CPU = 4,
    SMALL_TIER_BYTES = 4194304, /* below: rings for few threads only */
    SMALL_TIER_THREADS = 2,
};

static const uint64_t bytes_max_default = UINT64_C(64) << 20;

static bool is_key(const brisk_key *key)
{
    return key->size != 0 && key->size <= BRISK_KEY_BYTES_MAX;
}

/* Ask the key's shard, without its lock when the thread has rings. */
static inline __attribute__((always_inline)) shard_answer ask(const memory_tier *memory,
                                                              uint32_t thread, const brisk_key *key,
                                                              brisk_hit *ret)
{
    uint64_t index = key->hash.lo & (memory->shard_count - 1);
    memory_shard *shard = &memory->shards[index];
    if (thread < memory->thread_count) {
        uint32_t id;
        shard_answer answer = shard_peek(shard, key, ret, &id);
        if (answer == SHARD_HIT) {
            shard_note_hit(shard, &memory->rings[thread * memory->shard_count + index], id,
                           key->hash.lo);
        }
        if (answer != SHARD_BUSY) {
            return answer;
        }
    }
    return shard_get(shard, key, ret);
}

__attribute__((noinline)) static shard_answer ask_timed(memory_tier *memory, uint32_t thread,
                                                        const brisk_key *key, brisk_hit *ret)
{
    uint64_t begin = brisk_clock_now_ns(memory->clock);
    shard_answer answer = ask(memory, thread, key, ret);
    uint64_t elapsed = brisk_clock_now_ns(memory->clock) - begin;
    if (pthread_mutex_trylock(&memory->hist_lock) == 0) {
        brisk_hist_record(memory->hist, elapsed);
        (void)pthread_mutex_unlock(&memory->hist_lock);
    }
    return answer;
}

/* What is not a hit; counted for a thread that has a reader (`own`) and for others. */
__attribute__((noinline)) static brisk_err answer_otherwise(memory_reader *reader, bool own,
                                                            shard_answer answer)
{
    if (own) {
        count_own(&reader->misses);
    } else {
        count_shared(&reader->misses);
    }
    if (answer == SHARD_NOMEM) {
        count_shared(&reader->errors);
        return BRISK_ERR_NOMEM;
    }
    return BRISK_ERR_NOT_FOUND;
}

__attribute__((noinline)) static void tell_tap(const memory_tier *memory, const brisk_key *key,
                                               bool hit)
{
    const memory_tap *tap = atomic_load_explicit(&memory->tap, memory_order_acquire);
    if (tap != NULL && memory_tap_wants(tap, memory_policy_hash(key))) {
        tap->fn(tap->ctx, memory_policy_hash(key), hit);
    }
}

static brisk_err memory_get(brisk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    BRISK_ASSERT(is_key(key));
    memory_tier *memory = memory_of(tier);
    uint32_t thread = memory_thread_number();
    bool own = thread < memory->thread_count;
    memory_reader *reader = &memory->readers[own ? thread : memory->thread_count];
    uint64_t asked = atomic_load_explicit(&reader->hits, memory_order_relaxed) +
                     atomic_load_explicit(&reader->misses, memory_order_relaxed);
    shard_answer answer = __builtin_expect(asked % SAMPLE_EVERY == 0, 0)
                              ? ask_timed(memory, thread, key, ret)
                              : ask(memory, thread, key, ret);
    if (__builtin_expect(atomic_load_explicit(&memory->tap, memory_order_relaxed) != NULL, 0)) {
        tell_tap(memory, key, answer == SHARD_HIT);
    }
    if (answer != SHARD_HIT) {
        return answer_otherwise(reader, own, answer);
    }
    if (own) {
        count_own(&reader->hits);
    } else {
        count_shared(&reader->hits);
    }
    ret->tier = 0;
    ret->tier_name = tier->name;
    ret->elapsed_ns = 0;
    ret->store_ns = 0;
    ret->has_content = false;
    return BRISK_OK;
}

static brisk_err memory_put(brisk_tier *tier, const brisk_key *key, brisk_value *value,
                            const brisk_entry_opts *opts)
{
    BRISK_ASSERT(is_key(key));
    static const brisk_entry_opts none = {0};
    return shard_put(shard_of(memory_of(tier), key), key, value, opts != NULL ? opts : &none);
}

static brisk_err memory_remove(brisk_tier *tier, const brisk_key *key)
{
    BRISK_ASSERT(is_key(key));
    shard_remove(shard_of(memory_of(tier), key), key);
    return BRISK_OK;
}

static brisk_err memory_clear(brisk_tier *tier)
{
    memory_tier *memory = memory_of(tier);
    for (uint32_t i = 0; i < memory->shard_count; i++) {
        shard_clear(&memory->shards[i]);
    }
    return BRISK_OK;
}

static void memory_read_stats(brisk_tier *tier, brisk_tier_stats *ret)
{
    memory_tier *memory = memory_of(tier);
    brisk_tier_stats stats = {
        .bytes = memory->block_bytes + MEMORY_HIST_BYTES,
        .bytes_max = memory->bytes_max,
    };
    for (uint32_t i = 0; i <= memory->thread_count; i++) {
        memory_reader *reader = &memory->readers[i];
        stats.hits += atomic_load_explicit(&reader->hits, memory_order_relaxed);
        stats.misses += atomic_load_explicit(&reader->misses, memory_order_relaxed);
        stats.errors += atomic_load_explicit(&reader->errors, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < memory->shard_count; i++) {
        shard_read_stats(&memory->shards[i], &stats);
    }
    (void)pthread_mutex_lock(&memory->hist_lock);
    stats.get_p50_ns = brisk_hist_quantile(memory->hist, 0.5);
    stats.get_p99_ns = brisk_hist_quantile(memory->hist, 0.99);
    (void)pthread_mutex_unlock(&memory->hist_lock);
    *ret = stats;
}

static void free_tier(memory_tier *memory, uint32_t shards)
{
    for (uint32_t i = 0; i < shards; i++) {
        shard_deinit(&memory->shards[i]);
    }
    brisk_hist_destroy(memory->hist);
    (void)pthread_mutex_destroy(&memory->hist_lock);
    memory_taps_free(memory);
    memory->alloc->release(memory->alloc->ctx, memory, memory->block_bytes, _Alignof(memory_shard));
}

static void memory_destroy(brisk_tier *tier)
{
    memory_tier *memory = memory_of(tier);
    free_tier(memory, memory->shard_count);
}

static const brisk_tier_ops memory_ops = {
    .get = memory_get,
    .put = memory_put,
    .remove = memory_remove,
    .clear = memory_clear,
    .read_stats = memory_read_stats,
    .destroy = memory_destroy,
};

static uint32_t cpu_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > SHARDS_MAX ? SHARDS_MAX : (uint32_t)count;
}

/* A few for each processor, but none smaller than what large pages are asked for. */
static uint32_t default_shards(uint64_t bytes_max)
{
    uint32_t shards = 1;
    while (shards < cpu_count() * 4 && bytes_max / (shards * 2) > SHARD_HUGE_BYTES) {
        shards *= 2;
    }
    return shards;
}

/* One block: the tier, its shards, readers and rings. */
static memory_tier *new_tier(const brisk_alloc *alloc, uint32_t shards, uint32_t threads)
{
    size_t shards_at = (sizeof(memory_tier) + 63) & ~(size_t)63;
    size_t readers_at = shards_at + shards * sizeof(memory_shard);
    size_t rings_at = readers_at + (threads + 1) * sizeof(memory_reader);
    size_t bytes = rings_at + (size_t)threads * shards * sizeof(hits_ring);
    unsigned char *block = alloc->acquire(alloc->ctx, bytes, _Alignof(memory_shard));
    if (block == NULL) {
        return NULL;
    }
    memset(block, 0, bytes);
    void *parts[] = {block, block + shards_at, block + readers_at, block + rings_at};
    memory_tier *memory = parts[0];
    memory->shards = parts[1];
    memory->readers = parts[2];
    memory->rings = parts[3];
    memory->shard_count = shards;
    memory->thread_count = threads;
    memory->alloc = alloc;
    memory->block_bytes = bytes;
    return memory;
}

/* Everything but the shards. */
static brisk_err make_tier(const brisk_memory_tier_opts *opts, memory_tier **ret)
{
    uint64_t bytes_max = opts->bytes_max != 0 ? opts->bytes_max : bytes_max_default;
    uint64_t reserve = opts->bytes_reserve > bytes_max ? opts->bytes_reserve : bytes_max;
    uint32_t shards = opts->shards != 0 ? opts->shards : default_shards(bytes_max);
    if ((shards & (shards - 1)) != 0 || shards > SHARDS_MAX) {
        return BRISK_ERR_INVALID;
    }
    uint32_t threads =
        bytes_max / shards < SMALL_TIER_BYTES ? SMALL_TIER_THREADS : cpu_count() * THREADS_PER_CPU;
    threads = threads < MEMORY_THREADS_MAX ? threads : MEMORY_THREADS_MAX;
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    memory_tier *memory = new_tier(alloc, shards, threads);
    if (memory == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_hist_opts hist = {.precision_bits = HIST_PRECISION_BITS, .alloc = alloc};
    brisk_err err = brisk_hist_create(&hist, &memory->hist);
    if (err == BRISK_OK && pthread_mutex_init(&memory->hist_lock, NULL) != 0) {
        err = BRISK_ERR_NOMEM;
    }
    if (err != BRISK_OK) {
        brisk_hist_destroy(memory->hist);
        alloc->release(alloc->ctx, memory, memory->block_bytes, _Alignof(memory_shard));
        return err;
    }
    memory->bytes_max = bytes_max;
    memory->bytes_reserve = reserve;
    memory->policy_name = opts->policy != NULL ? policy_find(opts->policy)->name : "lru";
    memory->clock = opts->clock;
    *ret = memory;
    return BRISK_OK;
}

brisk_err brisk_memory_tier_create(const brisk_memory_tier_opts *opts, brisk_tier **ret)
{
    BRISK_ASSERT(ret != NULL);
    static const brisk_memory_tier_opts defaults = {0};
    opts = opts != NULL ? opts : &defaults;
    const policy_ops *policy = policy_find(opts->policy != NULL ? opts->policy : "lru");
    memory_tier *memory = NULL;
    brisk_err err = policy != NULL ? make_tier(opts, &memory) : BRISK_ERR_INVALID;
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t fixed = memory->block_bytes + MEMORY_HIST_BYTES;
    uint64_t rest = memory->bytes_reserve > fixed ? memory->bytes_reserve - fixed : 0;
    uint64_t entries_max =
        (opts->entries_max + memory->shard_count - 1) / memory->shard_count; /* 0 stays 0 */
    for (uint32_t i = 0; i < memory->shard_count; i++) {
        shard_opts shard = {
            .bytes = rest / memory->shard_count,
            .entries_max = entries_max,
            .on_drop = opts->on_drop,
            .on_drop_ctx = opts->on_drop_ctx,
            .policy_ops = policy,
            .clock = opts->clock,
            .alloc = memory->alloc,
            .rings = &memory->rings[i],
            .ring_stride = memory->shard_count,
            .ring_count = memory->thread_count,
        };
        err = shard_init(&memory->shards[i], &shard);
        if (err != BRISK_OK) {
            free_tier(memory, i);
            return err;
        }
    }
    if (memory->bytes_reserve != memory->bytes_max) {
        err = memory_resize(memory, memory->bytes_max, opts->entries_max);
        if (err != BRISK_OK) {
            free_tier(memory, memory->shard_count);
            return err;
        }
    }
    memory->base = (brisk_tier){.ops = &memory_ops, .name = "memory", .flags = BRISK_TIER_FAST};
    *ret = &memory->base;
    return BRISK_OK;
}
