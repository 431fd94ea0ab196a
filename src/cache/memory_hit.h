/*
 * memory_hit.h -- the usual hit, as short as it can be.
 *
 * The usual hit is of a short cell (no expiry, cost, meta data), with a key of 8 to 64 bytes and a
 * value of 16 to 512, found in the first slot that has its tag, by a thread with counters of its
 * own.  One in twenty is in another slot or bucket (hit_get_other); everything else is left to
 * memory_get_slow.
 *
 * Why short: a get waits for main memory twice, bucket then cell, some 460 ns here.  Gets of
 * different keys do not depend on each other, so the processor works on as many as its window of
 * about 450 instructions holds: with 300 instructions each it waits 300 ns for each, with 110 about
 * 100.  Measured: two instructions here cost one nanosecond or two.  So there are no calls but tail
 * calls, no loops, few branches, and where the processor has them the 64-byte instructions (this
 * file is compiled twice; memory_create.c chooses).
 *
 * Correctness is that of memory_peek.h: what was read counts only if `more` of the bucket and
 * `view` of the table are the same afterwards.  Loads of shared memory are by assembler, in
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
    HIT_KEY_WORDS = 16, /* up to here a key is compared as two words */
    HIT_KEY_MAX = 64,
    HIT_VALUE_MIN = 16,
    HIT_VALUE_MAX = 512,
    HIT_LINE_BYTES = 64, /* a value of more, up to two lines, is copied as two */
    HIT_SAMPLE_EVERY = 1024,
    HIT_PROBES_MAX = 8,
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

/* The key of the cell, at its byte 6, is the one of `size` bytes, at most 64. */
PEEK_INLINE bool hit_same_bytes(const unsigned char *cell, const void *key, size_t size)
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

/* More than one line, at most two. */
PEEK_INLINE void hit_copy_lines(unsigned char *to, const unsigned char *from, size_t size)
{
    hit_copy64(to, from);
    hit_copy64(to + size - 64, from + size - 64);
}

/* All zero but the first word. */
PEEK_INLINE void hit_clear(void *to, uint64_t first)
{
    __asm__ volatile("vmovq %[first], %%xmm16\n\t"
                     "vmovdqu64 %%zmm16, %[to]"
                     : [to] "=m"(*hit_to(to))
                     : [first] "r"(first)
                     : "xmm16");
}

/* Four words of zeros. */
PEEK_INLINE void hit_clear_half(uint64_t *to)
{
    __asm__ volatile("vpxord %%xmm16, %%xmm16, %%xmm16\n\t"
                     "vmovdqu64 %%ymm16, %[to]"
                     : [to] "=m"(*(uint64_t(*)[4])to)
                     :
                     : "xmm16");
}

/*
 * The line in the first slot with the hash's tag; false: there is none.  tzcnt carries when it finds
 * no bit; what is then read is some other bucket's, or the region's slack.
 */
PEEK_INLINE bool hit_slot_line(const memory_bucket *bucket, uint64_t hash, size_t *ret)
{
    uint64_t slot;
    bool none;
    __asm__ volatile(
        "vpbroadcastb %[tag], %%xmm16\n\t"
        "vpcmpeqb (%[bucket]), %%xmm16, %%k1\n\t"
        "kmovd %%k1, %k[slot]\n\t"
        "andl %[all], %k[slot]\n\t"
        "tzcntl %k[slot], %k[slot]\n\t"
        "movl %c[lines](%[bucket],%[slot],4), %k[slot]"
        : [slot] "=&r"(slot), "=@ccc"(none)
        : [tag] "r"((uint32_t)(hash >> 17)), [bucket] "r"(bucket),
          [all] "i"((1 << BUCKET_SLOTS) - 1), [lines] "i"(offsetof(memory_bucket, lines)),
          "m"(*bucket)
        : "k1", "xmm16");
    *ret = slot;
    return !none;
}

#else

PEEK_INLINE bool hit_same_bytes(const unsigned char *cell, const void *key, size_t size)
{
    return cell_equals(cell + CELL_SHORT_HEAD, key, size);
}

PEEK_INLINE void hit_copy(unsigned char *to, const unsigned char *from, size_t size)
{
    cell_copy_out(to, from, size);
}

PEEK_INLINE void hit_copy_lines(unsigned char *to, const unsigned char *from, size_t size)
{
#    if CELL_ATOMIC_WORDS
    cell_copy_out(to, from, size);
#    else
    for (size_t at = 0; at < HIT_LINE_BYTES; at += 16) {
        cell_copy16(to + at, from + at);
    }
    for (size_t at = size - HIT_LINE_BYTES; at < size; at += 16) {
        cell_copy16(to + at, from + at);
    }
#    endif
}

PEEK_INLINE void hit_clear(void *to, uint64_t first)
{
    memset(to, 0, HIT_LINE_BYTES);
    memcpy(to, &first, sizeof first);
}

PEEK_INLINE void hit_clear_half(uint64_t *to)
{
    memset(to, 0, 4 * sizeof *to);
}

PEEK_INLINE bool hit_slot_line(const memory_bucket *bucket, uint64_t hash, size_t *ret)
{
    uint64_t more = atomic_load_explicit(&bucket->more, memory_order_acquire);
    uint64_t tags = atomic_load_explicit(&bucket->tags, memory_order_acquire);
    uint32_t slots = table_match(tags, more, table_tag(hash));
    if (__builtin_expect(slots == 0, 0)) {
        return false;
    }
    *ret = atomic_load_explicit(&bucket->lines[__builtin_ctz(slots)], memory_order_acquire);
    return true;
}

#endif

/* Where to look for a key. */
typedef struct hit_spot {
    const memory_shard *shard;
    const memory_bucket *bucket;
    uint64_t view;
} hit_spot;

/* What is there. */
typedef struct hit_found {
    const unsigned char *cell;
    uint64_t more; /* of the bucket, made even: was it odd, then it changes or is not this */
    uint64_t head;
} hit_found;

PEEK_INLINE hit_spot hit_home(const memory_tier *memory, uint64_t hash)
{
    const memory_shard *shard = &memory->shards[hash & memory->shard_mask];
    uint64_t view = peek_view(&shard->table);
    const memory_bucket *bucket = peek_segment(&shard->table, view, hash) +
                                  (table_bucket_bits(hash) & shard->table.bucket_mask);
    return (hit_spot){.shard = shard, .bucket = bucket, .view = view};
}

/* The cell of the first slot with the tag; false: there is none. */
PEEK_INLINE bool hit_cell(const hit_spot *spot, uint64_t hash, hit_found *f)
{
    const memory_bucket *bucket = spot->bucket;
    f->more = atomic_load_explicit(&bucket->more, memory_order_acquire) & ~(UINT64_C(1) << 32);
    size_t line;
    if (__builtin_expect(!hit_slot_line(bucket, hash, &line), 0) ||
        __builtin_expect((uint32_t)line >= spot->shard->lines_end, 0)) {
        return false;
    }
    f->cell = spot->shard->table.base + line * WORD_BYTES;
    return true;
}

/* Is `word` at `at`?  By assembler for the order of loads, and compared where it lies. */
PEEK_INLINE bool hit_is_word(const void *at, uint64_t word)
{
#if CELL_ATOMIC_WORDS
    return cell_read8(at) == word;
#else
    bool differs;
    __asm__ volatile("cmpq %[at], %[word]"
                     : "=@ccne"(differs)
                     : [word] "r"(word), [at] "m"(*(const cell_8 *)at));
    return __builtin_expect(!differs, 1);
#endif
}

PEEK_INLINE bool hit_same_word(const unsigned char *cell, const unsigned char *key)
{
    uint64_t word;
    memcpy(&word, key, sizeof word);
    return hit_is_word(cell, word);
}

/* The key of the cell, at its byte 6, is `key`, and that is a usual one. */
PEEK_INLINE bool hit_same_key(const unsigned char *cell, const brisk_key *key)
{
    const unsigned char *bytes = key->bytes;
    size_t size = key->size;
    const unsigned char *at = cell + CELL_SHORT_HEAD;
    if (__builtin_expect(size - HIT_KEY_MIN <= HIT_KEY_WORDS - HIT_KEY_MIN, 1)) {
        return hit_same_word(at, bytes) && hit_same_word(at + size - 8, bytes + size - 8);
    }
    return size - HIT_KEY_MIN <= HIT_KEY_MAX - HIT_KEY_MIN && hit_same_bytes(cell, bytes, size);
}

/* It is a short cell with this key. */
PEEK_INLINE bool hit_matches(hit_found *f, const brisk_key *key)
{
    f->head = cell_head(f->cell);
    return __builtin_expect((uint8_t)(f->head >> 8) == (uint8_t)key->size, 1) &&
           __builtin_expect((f->head & CELL_LONG) == 0, 1) &&
           __builtin_expect(hit_same_key(f->cell, key), 1);
}

PEEK_INLINE bool hit_is_good(const hit_spot *spot, const hit_found *f)
{
    __asm__ volatile("" ::: "memory");
    return hit_is_word(&spot->bucket->more, f->more) &&
           hit_is_word(&spot->shard->table.view, spot->view);
}

/*
 * The thread has counters of its own, *ret, and none of the next `count` gets is to be timed.
 * Number 0, of threads that were not asked yet, has counters that stay 0.
 */
PEEK_INLINE bool hit_begin(const memory_tier *memory, uint32_t count, memory_reader **ret)
{
    uint32_t own = memory_thread_own;
    if (__builtin_expect(own > memory->thread_count, 0)) {
        return false;
    }
    *ret = memory->readers + own - 1;
    uint64_t hits = atomic_load_explicit(&(*ret)->hits, memory_order_relaxed);
    return __builtin_expect((hits + count - 1) % HIT_SAMPLE_EVERY >= count, 1);
}

/* Only this thread writes there. */
PEEK_INLINE void hit_count(memory_reader *reader, uint32_t count)
{
#if CELL_ATOMIC_WORDS
    uint64_t now = atomic_load_explicit(&reader->hits, memory_order_relaxed);
    atomic_store_explicit(&reader->hits, now + count, memory_order_relaxed);
#else
    __asm__ volatile("addq %[count], %[hits]"
                     : [hits] "+m"(reader->hits)
                     : [count] "er"((uint64_t)count)
                     : "cc");
#endif
}

PEEK_INLINE uint32_t hit_value_size(const hit_found *f)
{
    return (uint32_t)f->head >> 16;
}

/* The most usual size: two copies of a line. */
PEEK_INLINE bool hit_is_two_lines(uint32_t size)
{
    return __builtin_expect(size - HIT_LINE_BYTES - 1 < HIT_LINE_BYTES, 1);
}

PEEK_INLINE bool hit_is_usual_size(uint32_t size)
{
    return size - HIT_VALUE_MIN <= HIT_VALUE_MAX - HIT_VALUE_MIN;
}

PEEK_INLINE const unsigned char *hit_value_at(const hit_found *f, const brisk_key *key)
{
    return f->cell + CELL_SHORT_HEAD + key->size;
}

static_assert(offsetof(brisk_hit, tier) == offsetof(brisk_hit, flags) + 4, "one word");
static_assert(offsetof(brisk_hit, expires_at_ns) == offsetof(brisk_hit, elapsed_ns) + 24, "four");
static_assert(offsetof(brisk_hit, era) == offsetof(brisk_hit, has_content) + 2 &&
                  offsetof(brisk_hit, meta_size) == offsetof(brisk_hit, has_content) + 4,
              "one word");

PEEK_INLINE void hit_fill(const brisk_tier *tier, const hit_found *f, brisk_value *value,
                          brisk_hit *ret)
{
    /* By words: flags and tier; the times; has_content, stale, era, meta_size. */
    uint64_t flags = f->head >> CELL_ENTRY_SHIFT & CELL_ENTRY_FLAGS;
    uint64_t rest = f->head >> 16 & UINT64_C(0xffff0000);
    ret->value = value;
    memcpy(&ret->flags, &flags, sizeof flags);
    ret->tier_name = tier->name;
    hit_clear_half(&ret->elapsed_ns);
    memcpy(&ret->has_content, &rest, sizeof rest);
}

static_assert(sizeof(brisk_entry_info) == HIT_LINE_BYTES && offsetof(brisk_entry_info, size) == 0,
              "cleared at once");

PEEK_INLINE void hit_fill_info(const hit_found *f, uint32_t size, brisk_entry_info *ret)
{
    hit_clear(ret, size);
    ret->flags = (uint32_t)f->head >> CELL_ENTRY_SHIFT & CELL_ENTRY_FLAGS;
    ret->era = (uint16_t)(f->head >> 32);
}

/* A tap is for few keys: what it does not want ends here. */
PEEK_INLINE bool hit_is_watched(const hit_spot *spot, const brisk_key *key)
{
    uint32_t watch = atomic_load_explicit(&spot->shard->watch, memory_order_relaxed);
    return __builtin_expect(watch != 0, 0) &&
           ((watch & SHARD_NOTES) != 0 || (shard_policy_hash(key->hash.lo) & ~1U) <= watch);
}

PEEK_INLINE uint32_t hit_line(const hit_spot *spot, const hit_found *f)
{
    return (uint32_t)((size_t)(f->cell - spot->shard->table.base) / WORD_BYTES);
}

/*
 * Fill *ret with what was found, to be proved; false: there is no block for the value.  The answer
 * is written before the bytes are copied, since fewer registers are needed so.
 */
PEEK_INLINE bool hit_take(const brisk_tier *tier, const hit_found *f, const brisk_key *key,
                          bool two_lines, brisk_hit *ret)
{
    uint32_t size = hit_value_size(f);
    brisk_value *value = value_take_kept(size);
    if (__builtin_expect(value == NULL, 0)) {
        return false;
    }
    hit_fill(tier, f, value, ret);
    if (two_lines) {
        hit_copy_lines(value->bytes, hit_value_at(f, key), size);
    } else {
        hit_copy(value->bytes, hit_value_at(f, key), size);
    }
    return true;
}

/* The same if the value has a usual size. */
PEEK_INLINE bool hit_take_usual(const brisk_tier *tier, const hit_found *f, const brisk_key *key,
                                brisk_hit *ret)
{
    uint32_t size = hit_value_size(f);
    /* One after the other: as one condition both would be asked. */
    if (hit_is_two_lines(size)) {
        return hit_take(tier, f, key, true, ret);
    }
    return hit_is_usual_size(size) && hit_take(tier, f, key, false, ret);
}

/* What was found, and where the thread counts it. */
typedef struct hit_proof {
    hit_spot spot;
    hit_found f;
    memory_reader *reader;
} hit_proof;

PEEK_INLINE brisk_err hit_end(brisk_tier *tier, const brisk_key *key, const hit_proof *p)
{
    hit_count(p->reader, 1);
    return hit_is_watched(&p->spot, key) ? memory_hit_watched(tier, key, hit_line(&p->spot, &p->f))
                                         : BRISK_OK;
}

/*
 * The key in any slot with its tag, of the bucket or those that took its newcomers; spot->bucket is
 * then where it was.  False: it is not there, or there is something unusual.
 */
PEEK_INLINE bool hit_search(hit_spot *spot, const brisk_key *key, hit_found *f)
{
    uint64_t hash = key->hash.lo;
    const memory_shard *shard = spot->shard;
    uint32_t mask = shard->table.bucket_mask;
    uint32_t at = table_bucket_bits(hash) & mask;
    const memory_bucket *segment = spot->bucket - at;
    for (uint32_t probes = 0; probes < HIT_PROBES_MAX; probes++) {
        const memory_bucket *bucket = segment + ((at + probes) & mask);
        uint64_t more = atomic_load_explicit(&bucket->more, memory_order_acquire);
        uint64_t tags = atomic_load_explicit(&bucket->tags, memory_order_acquire);
        uint32_t slots = table_match(tags, more, table_tag(hash));
        for (; slots != 0; slots &= slots - 1) {
            uint32_t line =
                atomic_load_explicit(&bucket->lines[__builtin_ctz(slots)], memory_order_acquire);
            f->cell = shard->table.base + (size_t)line * WORD_BYTES;
            if (line < shard->lines_end && hit_matches(f, key)) {
                f->more = more & ~(UINT64_C(1) << 32);
                spot->bucket = bucket;
                return true;
            }
        }
        if (table_passed(more) == 0) {
            return false;
        }
    }
    return false;
}

PEEK_INLINE bool hit_find_first(const memory_tier *memory, const brisk_key *key, hit_proof *p)
{
    p->spot = hit_home(memory, key->hash.lo);
    return __builtin_expect(hit_cell(&p->spot, key->hash.lo, &p->f), 1) &&
           __builtin_expect(hit_matches(&p->f, key), 1);
}

PEEK_INLINE bool hit_find_other(const memory_tier *memory, const brisk_key *key, hit_proof *p)
{
    if (!hit_begin(memory, 1, &p->reader)) {
        return false;
    }
    p->spot = hit_home(memory, key->hash.lo);
    return hit_search(&p->spot, key, &p->f);
}

PEEK_INLINE brisk_err hit_get_found(brisk_tier *tier, const brisk_key *key, const hit_proof *p,
                                    brisk_hit *ret)
{
    if (__builtin_expect(!hit_take_usual(tier, &p->f, key, ret), 0)) {
        return memory_get_slow(tier, key, ret);
    }
    if (__builtin_expect(!hit_is_good(&p->spot, &p->f), 0)) {
        return memory_get_again(tier, key, ret);
    }
    return hit_end(tier, key, p);
}

/* Not in the first slot with the tag: one hit in twenty. */
__attribute__((noinline)) static brisk_err hit_get_other(brisk_tier *tier, const brisk_key *key,
                                                         brisk_hit *ret)
{
    hit_proof p;
    return hit_find_other((const memory_tier *)tier, key, &p) ? hit_get_found(tier, key, &p, ret)
                                                              : memory_get_slow(tier, key, ret);
}

PEEK_INLINE brisk_err hit_get(brisk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    const memory_tier *memory = (const memory_tier *)tier;
    hit_proof p;
    if (__builtin_expect(!hit_begin(memory, 1, &p.reader), 0)) {
        return memory_get_slow(tier, key, ret);
    }
    if (__builtin_expect(!hit_find_first(memory, key, &p), 0)) {
        return hit_get_other(tier, key, ret);
    }
    return hit_get_found(tier, key, &p, ret);
}

/* Where a value goes that is copied out. */
typedef struct hit_buffer {
    void *bytes;
    size_t capacity;
    brisk_entry_info *info;
} hit_buffer;

PEEK_INLINE brisk_err hit_read_found(memory_tier *memory, const brisk_key *key, const hit_proof *p,
                                     hit_buffer to)
{
    uint32_t size = hit_value_size(&p->f);
    if (__builtin_expect(size > to.capacity, 0)) {
        return memory_read_slow(memory, key, to.bytes, to.capacity, to.info);
    }
    if (hit_is_two_lines(size)) {
        hit_copy_lines(to.bytes, hit_value_at(&p->f, key), size);
    } else if (hit_is_usual_size(size)) {
        hit_copy(to.bytes, hit_value_at(&p->f, key), size);
    } else {
        return memory_read_slow(memory, key, to.bytes, to.capacity, to.info);
    }
    if (__builtin_expect(!hit_is_good(&p->spot, &p->f), 0)) {
        return memory_read_slow(memory, key, to.bytes, to.capacity, to.info);
    }
    if (__builtin_expect(to.info != NULL, 1)) {
        hit_fill_info(&p->f, size, to.info);
    }
    return hit_end(&memory->base, key, p);
}

__attribute__((noinline)) static brisk_err hit_read_other(memory_tier *memory, const brisk_key *key,
                                                          void *buffer, size_t capacity,
                                                          brisk_entry_info *ret)
{
    hit_proof p;
    hit_buffer to = {.bytes = buffer, .capacity = capacity, .info = ret};
    return hit_find_other(memory, key, &p) ? hit_read_found(memory, key, &p, to)
                                           : memory_read_slow(memory, key, buffer, capacity, ret);
}

PEEK_INLINE brisk_err hit_read(memory_tier *memory, const brisk_key *key, void *buffer,
                               size_t capacity, brisk_entry_info *ret)
{
    hit_proof p;
    if (__builtin_expect(!hit_begin(memory, 1, &p.reader), 0)) {
        return memory_read_slow(memory, key, buffer, capacity, ret);
    }
    if (__builtin_expect(!hit_find_first(memory, key, &p), 0)) {
        return hit_read_other(memory, key, buffer, capacity, ret);
    }
    hit_buffer to = {.bytes = buffer, .capacity = capacity, .info = ret};
    return hit_read_found(memory, key, &p, to);
}

/* --- many ----------------------------------------------------------------------------------- */

PEEK_INLINE void hit_prefetch_homes(const memory_tier *memory, const brisk_key *keys,
                                    uint32_t count, hit_spot *spots)
{
    for (uint32_t i = 0; i < count; i++) {
        spots[i] = hit_home(memory, keys[i].hash.lo);
        __builtin_prefetch(spots[i].bucket);
    }
}

/* The line the cell may go on into, and that of its end if it is one of 120 bytes. */
PEEK_INLINE void hit_prefetch_cell(const unsigned char *cell)
{
    __builtin_prefetch(cell); /* of whatever: a prefetch cannot fail */
    __builtin_prefetch(cell + BUCKET_BYTES);
    __builtin_prefetch(cell + BUCKET_BYTES + BUCKET_BYTES - WORD_BYTES);
}

/* Buckets first, then what their tags say: two rounds of misses instead of two for each key. */
PEEK_INLINE void hit_prefetch(const memory_tier *memory, const brisk_key *keys, uint32_t count)
{
    hit_spot spots[BRISK_MEMORY_BATCH_MAX];
    hit_prefetch_homes(memory, keys, count, spots);
    for (uint32_t i = 0; i < count; i++) {
        hit_found f;
        if (hit_cell(&spots[i], keys[i].hash.lo, &f)) {
            hit_prefetch_cell(f.cell);
        }
    }
}

/* As hit_get for each key, which waits for all of them at once. */
PEEK_INLINE uint32_t hit_batch(brisk_tier *tier, const brisk_key *keys, uint32_t count,
                               brisk_hit *hits, brisk_err *errs)
{
    const memory_tier *memory = (const memory_tier *)tier;
    hit_spot spots[BRISK_MEMORY_BATCH_MAX];
    hit_found found[BRISK_MEMORY_BATCH_MAX];
    hit_prefetch_homes(memory, keys, count, spots);
    for (uint32_t i = 0; i < count; i++) {
        if (__builtin_expect(hit_cell(&spots[i], keys[i].hash.lo, &found[i]), 1)) {
            hit_prefetch_cell(found[i].cell);
        } else {
            found[i].cell = NULL;
        }
    }
    memory_reader *reader = NULL;
    bool begun = hit_begin(memory, count, &reader);
    uint32_t usual = 0;
    uint32_t all = 0;
    for (uint32_t i = 0; i < count; i++) {
        hit_found *f = &found[i];
        bool taken = begun && f->cell != NULL && hit_matches(f, &keys[i]) &&
                     hit_take_usual(tier, f, &keys[i], &hits[i]);
        if (__builtin_expect(!taken || !hit_is_good(&spots[i], f), 0)) {
            errs[i] = taken ? memory_get_again(tier, &keys[i], &hits[i])
                            : hit_get_other(tier, &keys[i], &hits[i]);
            all += errs[i] == BRISK_OK;
            continue;
        }
        errs[i] = BRISK_OK;
        usual++;
        if (hit_is_watched(&spots[i], &keys[i])) {
            (void)memory_hit_watched(tier, &keys[i], hit_line(&spots[i], f));
        }
    }
    if (begun) {
        hit_count(reader, usual);
    }
    return usual + all;
}

#endif /* BRISK_SRC_CACHE_MEMORY_HIT_H */
