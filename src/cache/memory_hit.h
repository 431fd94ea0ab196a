/*
 * memory_hit.h -- the usual hit, as short as it can be.
 *
 * The usual hit is of a short cell (no expiry, cost, meta data), with a key of 8 to 64 bytes and a
 * value of 16 to 512, found in the first slot that has its tag, by a thread with counters of its
 * own.  Everything else is left to memory_get_slow.
 *
 * Why short: a get waits for main memory twice, bucket then cell, some 460 ns here.  Gets of
 * different keys do not depend on each other, so the processor works on as many as its window of
 * about 450 instructions holds: with 300 instructions each it waits 300 ns for each, with 100 less
 * than 110.  Measured: every instruction here costs a nanosecond.  So there are no calls but tail
 * calls, no loops, few branches, and where the processor has them the 64-byte instructions (this
 * file is compiled twice; memory_create.c chooses).
 *
 * Correctness is that of memory_peek.h: what was read counts only if `more` of the bucket and
 * `changes` of the table are the same afterwards.  Loads of shared memory are by assembler, in
 * order.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_HIT_H
#define BRISK_SRC_CACHE_MEMORY_HIT_H

#include "base/assert.h"
#include "cache/memory_peek.h"
#include "cache/memory_thread.h"
#include "cache/memory_tier.h"
#include "cache/value_blocks.h"

#if defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__BMI2__)
#    include <immintrin.h>
#    define HIT_WIDE 1
#else
#    define HIT_WIDE 0
#endif

enum {
    HIT_KEY_MIN = 8,
    HIT_KEY_MAX = 64,
    HIT_VALUE_MIN = 16,
    HIT_VALUE_MAX = 512,
    HIT_SAMPLE_EVERY = 1024,
};

static_assert(HIT_VALUE_MAX + sizeof(brisk_value) <= VALUE_BLOCKS_MAX, "a class for every copy");

#if HIT_WIDE

/*
 * By assembler for the order of loads; with registers above 15, so that nobody has to clean up the
 * wide halves of the lower ones.
 */
typedef struct hit_64 {
    unsigned char bytes[64];
} hit_64;

static inline const hit_64 *hit_at(const void *from)
{
    return from;
}

static inline hit_64 *hit_to(void *to)
{
    return to;
}

/* The key of the cell, at its byte 6, is the one of `size` bytes. */
PEEK_INLINE bool hit_same_key(const unsigned char *cell, const void *key, size_t size)
{
    uint64_t mask = _bzhi_u64(UINT64_MAX, (uint32_t)size); /* what is beyond is not touched */
    bool differs;
    __asm__ volatile(
        "kmovq %[mask], %%k1\n\t"
        "vmovdqu8 %[key], %%zmm16%{%%k1%}%{z%}\n\t"
        "vpcmpneqb %[cell], %%zmm16, %%k1%{%%k1%}\n\t"
        "kortestq %%k1, %%k1"
        : "=@ccnz"(differs)
        : [mask] "r"(mask), [key] "m"(*hit_at(key)), [cell] "m"(*hit_at(cell + CELL_SHORT_HEAD))
        : "k1", "xmm16");
    return !differs;
}

PEEK_INLINE void hit_copy64(unsigned char *to, const unsigned char *from)
{
    __asm__ volatile("vmovdqu64 %[from], %%zmm16\n\t"
                     "vmovdqu64 %%zmm16, %[to]"
                     : [to] "=m"(*hit_to(to))
                     : [from] "m"(*hit_at(from))
                     : "xmm16");
}

PEEK_INLINE void hit_copy_some(unsigned char *to, const unsigned char *from, size_t size)
{
    uint64_t mask = _bzhi_u64(UINT64_MAX, (uint32_t)size);
    __asm__ volatile("kmovq %[mask], %%k1\n\t"
                     "vmovdqu64 %[from], %%zmm16\n\t"
                     "vmovdqu8 %%zmm16, %[to]%{%%k1%}"
                     : [to] "+m"(*hit_to(to))
                     : [mask] "r"(mask), [from] "m"(*hit_at(from))
                     : "k1", "xmm16");
}

PEEK_INLINE void hit_copy(unsigned char *to, const unsigned char *from, size_t size)
{
    if (__builtin_expect(size <= 64, 0)) {
        hit_copy_some(to, from, size);
        return;
    }
    for (size_t at = 64; __builtin_expect(at + 64 < size, 0); at += 64) {
        hit_copy64(to + at, from + at);
    }
    hit_copy64(to, from);
    hit_copy64(to + size - 64, from + size - 64);
}

PEEK_INLINE uint32_t hit_slots(const memory_bucket *bucket, uint64_t hash)
{
    const void *at = bucket;
    uint32_t slots;
    __asm__ volatile("vpbroadcastb %[tag], %%xmm16\n\t"
                     "vpcmpeqb %[tags], %%xmm16, %%k1\n\t"
                     "kmovd %%k1, %[slots]"
                     : [slots] "=r"(slots)
                     : [tag] "r"((uint32_t)(hash >> 17)), [tags] "m"(*(const cell_16 *)at)
                     : "k1", "xmm16");
    return slots & ((1u << BUCKET_SLOTS) - 1);
}

#else

PEEK_INLINE bool hit_same_key(const unsigned char *cell, const void *key, size_t size)
{
    return cell_equals(cell + CELL_SHORT_HEAD, key, size);
}

PEEK_INLINE void hit_copy(unsigned char *to, const unsigned char *from, size_t size)
{
    cell_copy_out(to, from, size);
}

PEEK_INLINE uint32_t hit_slots(const memory_bucket *bucket, uint64_t hash)
{
    uint64_t more = atomic_load_explicit(&bucket->more, memory_order_acquire);
    uint64_t tags = atomic_load_explicit(&bucket->tags, memory_order_acquire);
    return table_match(tags, more, table_tag(hash));
}

#endif

/* What the usual hit found. */
typedef struct hit_found {
    const memory_shard *shard;
    const memory_bucket *bucket;
    uint64_t more;
    uint32_t changes;
    uint32_t line;
    const unsigned char *cell;
    uint64_t head;
} hit_found;

/* False: not a usual hit. */
PEEK_INLINE bool hit_find(const memory_tier *memory, const brisk_key *key, hit_found *f)
{
    uint64_t hash = key->hash.lo;
    const memory_shard *shard = &memory->shards[hash & memory->shard_mask];
    const memory_table *table = &shard->table;
    uint32_t changes = atomic_load_explicit(&table->changes, memory_order_acquire);
    const memory_bucket *bucket =
        peek_segment(table, hash) + (table_bucket_bits(hash) & table->bucket_mask);
    uint64_t more = atomic_load_explicit(&bucket->more, memory_order_acquire);
    uint32_t slots = hit_slots(bucket, hash);
    if (__builtin_expect(slots == 0, 0)) {
        return false;
    }
    uint32_t line =
        atomic_load_explicit(&bucket->lines[__builtin_ctz(slots)], memory_order_acquire);
    if (__builtin_expect(line >= shard->lines_end, 0)) {
        return false;
    }
    const unsigned char *cell = table->base + (size_t)line * WORD_BYTES;
    uint64_t head = cell_head(cell);
    __builtin_prefetch(cell + BUCKET_BYTES);
    /* A short cell with a key of this size; the size fits, so the shift loses nothing. */
    if (__builtin_expect((head & (0xff00 | CELL_LONG)) != key->size << 8, 0) ||
        __builtin_expect(!hit_same_key(cell, key->bytes, key->size), 0)) {
        return false;
    }
    *f = (hit_found){
        .shard = shard,
        .bucket = bucket,
        .more = more & ~(UINT64_C(1) << 32), /* odd: then it changes, or is not this */
        .changes = changes,
        .line = line,
        .cell = cell,
        .head = head,
    };
    return true;
}

PEEK_INLINE bool hit_is_good(const hit_found *f)
{
    __asm__ volatile("" ::: "memory");
    return atomic_load_explicit(&f->bucket->more, memory_order_relaxed) == f->more &&
           atomic_load_explicit(&f->shard->table.changes, memory_order_relaxed) == f->changes;
}

/* The thread has counters of its own, the key is usual, and this get is not to be timed. */
PEEK_INLINE bool hit_begin(const memory_tier *memory, const brisk_key *key, uint32_t thread)
{
    return __builtin_expect(thread < memory->thread_count, 1) &&
           __builtin_expect(key->size - HIT_KEY_MIN <= HIT_KEY_MAX - HIT_KEY_MIN, 1) &&
           __builtin_expect(
               atomic_load_explicit(&memory->readers[thread].hits, memory_order_relaxed) %
                       HIT_SAMPLE_EVERY !=
                   0,
               1);
}

PEEK_INLINE void hit_count(const memory_tier *memory, uint32_t thread)
{
    _Atomic uint64_t *hits = &memory->readers[thread].hits;
    uint64_t now = atomic_load_explicit(hits, memory_order_relaxed);
    atomic_store_explicit(hits, now + 1, memory_order_relaxed);
}

PEEK_INLINE uint32_t hit_value_size(uint64_t head)
{
    return (uint32_t)(head >> 16) & 65535;
}

PEEK_INLINE void hit_fill(const brisk_tier *tier, const hit_found *f, brisk_value *value,
                          brisk_hit *ret)
{
    ret->value = value;
    ret->flags = (uint32_t)f->head >> CELL_ENTRY_SHIFT & CELL_ENTRY_FLAGS;
    ret->tier = 0;
    ret->tier_name = tier->name;
    ret->elapsed_ns = 0;
    ret->cost_ns = 0;
    ret->store_ns = 0;
    ret->expires_at_ns = 0;
    ret->has_content = false;
    ret->era = (uint16_t)(f->head >> 32);
    ret->meta_size = 0;
}

/* A tap is for few keys: what it does not want ends here. */
PEEK_INLINE bool hit_is_watched(const hit_found *f, const brisk_key *key)
{
    uint32_t watch = atomic_load_explicit(&f->shard->watch, memory_order_relaxed);
    return __builtin_expect(watch != 0, 0) &&
           ((watch & SHARD_NOTES) != 0 || (shard_policy_hash(key->hash.lo) & ~1U) <= watch);
}

PEEK_INLINE bool hit_is_usual_value(uint64_t head)
{
    return __builtin_expect(hit_value_size(head) - HIT_VALUE_MIN <= HIT_VALUE_MAX - HIT_VALUE_MIN,
                            1);
}

PEEK_INLINE brisk_err hit_get(brisk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    const memory_tier *memory = (const memory_tier *)tier;
    uint32_t thread = memory_thread_own - 1; /* one that was not asked yet is very large */
    hit_found f;
    if (!hit_begin(memory, key, thread) || !hit_find(memory, key, &f) ||
        !hit_is_usual_value(f.head)) {
        return memory_get_slow(tier, key, ret);
    }
    uint32_t size = hit_value_size(f.head);
    brisk_value *value = value_peek_kept(size);
    if (__builtin_expect(value == NULL, 0)) {
        return memory_get_slow(tier, key, ret);
    }
    hit_copy(value->bytes, f.cell + CELL_SHORT_HEAD + key->size, size);
    if (__builtin_expect(!hit_is_good(&f), 0)) {
        return memory_get_slow(tier, key, ret);
    }
    value_take_peeked(value, size);
    hit_fill(tier, &f, value, ret);
    hit_count(memory, thread);
    return hit_is_watched(&f, key) ? memory_hit_watched(tier, key, f.line) : BRISK_OK;
}

PEEK_INLINE brisk_err hit_read(memory_tier *memory, const brisk_key *key, void *buffer,
                               size_t capacity, brisk_entry_info *ret)
{
    uint32_t thread = memory_thread_own - 1;
    hit_found f;
    if (!hit_begin(memory, key, thread) || !hit_find(memory, key, &f) ||
        !hit_is_usual_value(f.head) || __builtin_expect(hit_value_size(f.head) > capacity, 0)) {
        return memory_read_slow(memory, key, buffer, capacity, ret);
    }
    uint32_t size = hit_value_size(f.head);
    hit_copy(buffer, f.cell + CELL_SHORT_HEAD + key->size, size);
    if (__builtin_expect(!hit_is_good(&f), 0)) {
        return memory_read_slow(memory, key, buffer, capacity, ret);
    }
    *ret = (brisk_entry_info){
        .size = size,
        .flags = (uint32_t)f.head >> CELL_ENTRY_SHIFT & CELL_ENTRY_FLAGS,
        .era = (uint16_t)(f.head >> 32),
    };
    hit_count(memory, thread);
    return hit_is_watched(&f, key) ? memory_hit_watched(&memory->base, key, f.line) : BRISK_OK;
}

#endif /* BRISK_SRC_CACHE_MEMORY_HIT_H */
