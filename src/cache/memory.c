/*
 * memory.c -- the memory tier: shards behind <brisk/cache.h>.
 *
 *     tier | shards | readers | rings of thread 0 (one a shard) | rings of thread 1 | ... | regions
 *
 * A hit of an entry in its cell runs without a lock: shard_peek finds it, its bytes are copied, the
 * thread's ring for the shard remembers it for the policy (once the policy is awake), the thread's
 * counters count it.  Threads beyond the number of rings, and everything shard_peek finds unusual,
 * take the shard's lock.  The most usual of these hits have a shorter way, memory_hit.h, and come
 * here only when it does not fit.
 *
 * Order: what one thread does is ordered exactly, since rings are emptied before every insert,
 * remove and eviction.  Hits of different threads between two such points are taken thread by
 * thread, at most HITS_RING each.
 *
 * Time: reading the clock twice costs half of a hit, so one get in SAMPLE_EVERY is timed.
 *
 * Threads: any, until destroy.  Locks: one shard's, then the region's; the histogram's last, alone.
 */
#include "base/assert.h"
#include "cache/memory_peek.h"
#include "cache/memory_thread.h"
#include "cache/memory_tier.h"
#include "cache/value_blocks.h"

enum { SAMPLE_EVERY = 1024 };

static bool is_key(const brisk_key *key)
{
    return key->size != 0 && key->size <= BRISK_KEY_BYTES_MAX;
}

/* --- counting ------------------------------------------------------------------------------- */

PEEK_INLINE memory_count count_begin(const memory_tier *memory)
{
    uint32_t thread = memory_thread_number();
    bool own = thread < memory->thread_count;
    return (memory_count){
        .reader = &memory->readers[own ? thread : memory->thread_count],
        .thread = thread,
        .own = own,
    };
}

PEEK_INLINE void count_one(const memory_count *count, _Atomic uint64_t *counter)
{
    if (__builtin_expect(count->own, 1)) { /* only this thread writes it */
        uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
        atomic_store_explicit(counter, now + 1, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    }
}

PEEK_INLINE bool count_samples(const memory_count *count)
{
    uint64_t asked = atomic_load_explicit(&count->reader->hits, memory_order_relaxed) +
                     atomic_load_explicit(&count->reader->misses, memory_order_relaxed);
    return __builtin_expect(asked % SAMPLE_EVERY == 0, 0);
}

__attribute__((noinline)) static void tell_tap(const memory_tier *memory, const brisk_key *key,
                                               bool hit)
{
    const memory_tap *tap = atomic_load_explicit(&memory->tap, memory_order_acquire);
    uint32_t hash = shard_policy_hash(key->hash.lo);
    if (tap != NULL && memory_tap_wants(tap, hash)) {
        tap->fn(tap->ctx, hash, hit);
    }
}

__attribute__((noinline)) static void record_time(memory_tier *memory, uint64_t begin_ns)
{
    uint64_t elapsed = brisk_clock_now_ns(memory->clock) - begin_ns;
    if (pthread_mutex_trylock(&memory->hist_lock) == 0) {
        brisk_hist_record(memory->hist, elapsed);
        (void)pthread_mutex_unlock(&memory->hist_lock);
    }
}

/* What is not a hit. */
__attribute__((noinline)) static brisk_err answer_otherwise(const memory_count *count,
                                                            shard_answer answer)
{
    count_one(count, &count->reader->misses);
    if (answer == SHARD_NOMEM) {
        atomic_fetch_add_explicit(&count->reader->errors, 1, memory_order_relaxed);
        return BRISK_ERR_NOMEM;
    }
    return BRISK_ERR_NOT_FOUND;
}

/* --- the hit -------------------------------------------------------------------------------- */

/* The hit was proved: tell whom it may concern. */
PEEK_INLINE void note_hit(const memory_tier *memory, memory_shard *shard, uint32_t thread,
                          uint32_t line, const brisk_key *key)
{
    uint32_t watch = atomic_load_explicit(&shard->watch, memory_order_relaxed);
    if (__builtin_expect((watch & SHARD_NOTES) != 0, 0)) {
        size_t index = (size_t)(shard - memory->shards);
        hits_ring *ring = &memory->rings[thread * memory->shard_count + index];
        hit_note note = {.line = line, .hash = shard_policy_hash(key->hash.lo)};
        shard_note_hit(shard, ring, note);
    }
}

PEEK_INLINE bool is_over(const memory_shard *shard, uint64_t expires_at_ns)
{
    return __builtin_expect(expires_at_ns != 0, 0) && shard_is_due(shard, expires_at_ns);
}

/* Copy what the peek found into a value and prove it. */
PEEK_INLINE shard_answer take_value(const memory_shard *shard, const peek *p, brisk_hit *ret)
{
    uint32_t size = p->shape.value_size;
    brisk_value *value = shard->recycles && size <= VALUE_BLOCKS_MAX - sizeof(brisk_value)
                             ? value_take_kept(size)
                             : NULL;
    void *data = value != NULL ? value->bytes : NULL;
    if (__builtin_expect(value == NULL, 0) &&
        brisk_value_reserve(size, shard->alloc, &data, &value) != BRISK_OK) {
        return SHARD_NOMEM;
    }
    cell_copy_out(data, p->cell + p->value_at, size);
    uint64_t expires = peek_expiry(p);
    ret->value = value;
    ret->expires_at_ns = expires;
    ret->cost_ns = cell_field(p->cell, &p->shape, CELL_COST);
    ret->flags = p->shape.flags >> CELL_ENTRY_SHIFT & CELL_ENTRY_FLAGS;
    ret->era = p->shape.era;
    ret->meta_size = p->shape.meta_size;
    if (__builtin_expect(p->shape.meta_size != 0, 0)) {
        cell_copy_out(ret->meta, p->cell + p->value_at - p->shape.meta_size, p->shape.meta_size);
    }
    if (__builtin_expect(!peek_is_good(p), 0) || is_over(shard, expires)) {
        brisk_value_unref(value);
        return SHARD_BUSY;
    }
    return SHARD_HIT;
}

/* Ask the key's shard, without its lock when the thread has rings. */
PEEK_INLINE shard_answer ask(const memory_tier *memory, const memory_count *count,
                             const brisk_key *key, brisk_hit *ret)
{
    memory_shard *shard = shard_of(memory, key);
    if (__builtin_expect(count->own, 1)) {
        peek p;
        shard_answer answer = shard_peek(shard, key, &p);
        if (answer == SHARD_HIT) {
            answer = take_value(shard, &p, ret);
        }
        if (answer == SHARD_HIT) {
            note_hit(memory, shard, count->thread, p.line, key);
        }
        if (answer != SHARD_BUSY) {
            return answer;
        }
    }
    return shard_get(shard, key, ret);
}

__attribute__((noinline)) static shard_answer ask_timed(memory_tier *memory,
                                                        const memory_count *count,
                                                        const brisk_key *key, brisk_hit *ret)
{
    uint64_t begin = brisk_clock_now_ns(memory->clock);
    shard_answer answer = ask(memory, count, key, ret);
    record_time(memory, begin);
    return answer;
}

brisk_err memory_hit_watched(brisk_tier *tier, const brisk_key *key, uint32_t line)
{
    memory_tier *memory = memory_of(tier);
    memory_shard *shard = shard_of(memory, key);
    if (shard_is_tapped(shard, key->hash.lo)) {
        tell_tap(memory, key, true);
    }
    note_hit(memory, shard, memory_thread_number(), line, key);
    return BRISK_OK;
}

brisk_err memory_get_slow(brisk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    BRISK_ASSERT(is_key(key));
    memory_tier *memory = memory_of(tier);
    memory_count count = count_begin(memory);
    shard_answer answer =
        count_samples(&count) ? ask_timed(memory, &count, key, ret) : ask(memory, &count, key, ret);
    if (__builtin_expect(shard_is_tapped(shard_of(memory, key), key->hash.lo), 0)) {
        tell_tap(memory, key, answer == SHARD_HIT);
    }
    if (answer != SHARD_HIT) {
        return answer_otherwise(&count, answer);
    }
    count_one(&count, &count.reader->hits);
    ret->tier = 0;
    ret->tier_name = tier->name;
    ret->elapsed_ns = 0;
    ret->store_ns = 0;
    ret->has_content = false;
    return BRISK_OK;
}

brisk_err memory_get_again(brisk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    brisk_value_unref(ret->value);
    return memory_get_slow(tier, key, ret);
}

/* --- the hit into a buffer ------------------------------------------------------------------ */

static void fill_info(const peek *p, brisk_entry_info *ret)
{
    *ret = (brisk_entry_info){
        .size = p->shape.value_size,
        .expires_at_ns = peek_expiry(p),
        .cost_ns = cell_field(p->cell, &p->shape, CELL_COST),
        .flags = p->shape.flags >> CELL_ENTRY_SHIFT & CELL_ENTRY_FLAGS,
        .meta_size = p->shape.meta_size,
        .era = p->shape.era,
    };
}

/* SHARD_HIT and what fits is copied, or what shard_peek says. */
PEEK_INLINE shard_answer take_bytes(const memory_shard *shard, const peek *p, void *buffer,
                                    size_t capacity, brisk_entry_info *ret)
{
    uint32_t size = p->shape.value_size;
    if (__builtin_expect(size <= capacity, 1)) {
        cell_copy_out(buffer, p->cell + p->value_at, size);
    }
    fill_info(p, ret);
    bool good = peek_is_good(p) && !is_over(shard, ret->expires_at_ns);
    return good ? SHARD_HIT : SHARD_BUSY;
}

static shard_answer read_slowly(memory_shard *shard, const brisk_key *key, void *buffer,
                                size_t capacity, brisk_entry_info *ret)
{
    brisk_hit hit;
    shard_answer answer = shard_get(shard, key, &hit);
    if (answer != SHARD_HIT) {
        return answer;
    }
    uint64_t size = brisk_value_size(hit.value);
    if (size != 0 && size <= capacity) {
        memcpy(buffer, brisk_value_data(hit.value), (size_t)size);
    }
    *ret = (brisk_entry_info){
        .size = size,
        .expires_at_ns = hit.expires_at_ns,
        .cost_ns = hit.cost_ns,
        .flags = hit.flags,
        .meta_size = hit.meta_size,
        .era = hit.era,
    };
    brisk_value_unref(hit.value);
    return SHARD_HIT;
}

brisk_err memory_read_slow(memory_tier *memory, const brisk_key *key, void *buffer, size_t capacity,
                           brisk_entry_info *ret)
{
    BRISK_ASSERT(is_key(key));
    brisk_entry_info unwanted;
    ret = ret != NULL ? ret : &unwanted;
    memory_count count = count_begin(memory);
    uint64_t begin = count_samples(&count) ? brisk_clock_now_ns(memory->clock) | 1 : 0;
    memory_shard *shard = shard_of(memory, key);
    shard_answer answer = SHARD_BUSY;
    if (__builtin_expect(count.own, 1)) {
        peek p;
        answer = shard_peek(shard, key, &p);
        if (answer == SHARD_HIT) {
            answer = take_bytes(shard, &p, buffer, capacity, ret);
        }
        if (answer == SHARD_HIT) {
            note_hit(memory, shard, count.thread, p.line, key);
        }
    }
    if (answer == SHARD_BUSY) {
        answer = read_slowly(shard, key, buffer, capacity, ret);
    }
    if (begin != 0) {
        record_time(memory, begin);
    }
    if (__builtin_expect(shard_is_tapped(shard_of(memory, key), key->hash.lo), 0)) {
        tell_tap(memory, key, answer == SHARD_HIT);
    }
    if (answer != SHARD_HIT) {
        return answer_otherwise(&count, answer);
    }
    count_one(&count, &count.reader->hits);
    return ret->size <= capacity ? BRISK_OK : BRISK_ERR_LIMIT;
}

/* --- many ----------------------------------------------------------------------------------- */

uint32_t memory_batch_slow(brisk_tier *tier, const brisk_key *keys, uint32_t count, brisk_hit *hits,
                           brisk_err *errs)
{
    brisk_memory_prefetch(tier, keys, count);
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        errs[i] = memory_get_slow(tier, &keys[i], &hits[i]);
        found += errs[i] == BRISK_OK;
    }
    return found;
}

/* --- the other operations of a tier --------------------------------------------------------- */

static brisk_err memory_put(brisk_tier *tier, const brisk_key *key, brisk_value *value,
                            const brisk_entry_opts *opts)
{
    BRISK_ASSERT(is_key(key));
    static const brisk_entry_opts none = {0};
    shard_item item = {
        .key = key,
        .value = value,
        .size = brisk_value_size(value),
        .opts = opts != NULL ? opts : &none,
    };
    return shard_put(shard_of(memory_of(tier), key), &item);
}

brisk_err brisk_memory_put_bytes(brisk_tier *tier, const brisk_key *key, const void *data,
                                 size_t size, const brisk_entry_opts *opts)
{
    BRISK_ASSERT(is_key(key));
    static const brisk_entry_opts none = {0};
    shard_item item = {
        .key = key,
        .data = data,
        .size = size,
        .opts = opts != NULL ? opts : &none,
    };
    return shard_put(shard_of(memory_of(tier), key), &item);
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
        .bytes_max = atomic_load_explicit(&memory->bytes_max, memory_order_relaxed),
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

static void memory_destroy(brisk_tier *tier)
{
    memory_free(memory_of(tier), memory_of(tier)->shard_count);
}

const brisk_tier_ops memory_ops_slow = {
    .get = memory_get_slow,
    .put = memory_put,
    .remove = memory_remove,
    .clear = memory_clear,
    .read_stats = memory_read_stats,
    .destroy = memory_destroy,
};

const brisk_tier_ops memory_ops_plain = {
    .get = memory_get_plain,
    .put = memory_put,
    .remove = memory_remove,
    .clear = memory_clear,
    .read_stats = memory_read_stats,
    .destroy = memory_destroy,
};

#if MEMORY_HAS_WIDE
const brisk_tier_ops memory_ops_wide = {
    .get = memory_get_wide,
    .put = memory_put,
    .remove = memory_remove,
    .clear = memory_clear,
    .read_stats = memory_read_stats,
    .destroy = memory_destroy,
};
#endif
