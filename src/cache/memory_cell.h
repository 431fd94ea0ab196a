/*
 * memory_cell.h -- what a cell of an entry holds.
 *
 *     word 0   hash
 *     word 1   live 1 | kind 2 | flags 4 | meta size 9 | key size - 1  16 | value size 32
 *     word 2   era 16 | cost in nanoseconds 48
 *     word 3   when it expires
 *     then     CELL_INLINE     key, meta, value, each padded to a word
 *              CELL_VALUE_REF  key, meta, pointer to the brisk_value
 *              CELL_BOTH_REF   pointer to the brisk_value, pointer to a block of key and meta
 *
 * A reader without a lock may see a mixture of two entries.  So every size is checked against the
 * cell before it is used, and pointers are followed only under the lock.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_CELL_H
#define BRISK_SRC_CACHE_MEMORY_CELL_H

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include <brisk/memory.h>

#include "cache/memory_space.h"

enum cell_kind { CELL_INLINE, CELL_VALUE_REF, CELL_BOTH_REF };

enum {
    CELL_HEAD_WORDS = 4,
    CELL_WORDS_MAX = CELL_BYTES_MAX / 8,
    CELL_FLAGS_ALL = BRISK_ENTRY_LOCAL | BRISK_ENTRY_TAGGED | BRISK_ENTRY_NEGATIVE,
};

static_assert(CELL_FLAGS_ALL < 16, "entry flags have four bits");
static_assert(BRISK_TIER_META_MAX < 512, "meta sizes have nine bits");
static_assert(BRISK_KEY_BYTES_MAX <= 65536, "key sizes have sixteen bits");

typedef struct cell_shape {
    enum cell_kind kind;
    uint32_t flags;
    uint32_t meta_size;
    uint32_t key_size;
    uint32_t value_size;
} cell_shape;

static inline size_t cell_words_of(size_t bytes)
{
    return (bytes + 7) / 8;
}

static inline uint64_t cell_pack(cell_shape shape)
{
    return CELL_LIVE | (uint64_t)shape.kind << 61 | (uint64_t)shape.flags << 57 |
           (uint64_t)shape.meta_size << 48 | (uint64_t)(shape.key_size - 1) << 32 |
           shape.value_size;
}

static inline cell_shape cell_unpack(uint64_t info)
{
    return (cell_shape){
        .kind = (enum cell_kind)(info >> 61 & 3),
        .flags = (uint32_t)(info >> 57 & 15),
        .meta_size = (uint32_t)(info >> 48 & 511),
        .key_size = (uint32_t)(info >> 32 & 65535) + 1,
        .value_size = (uint32_t)info,
    };
}

static inline uint64_t cell_pack_cost(uint64_t cost_ns, uint16_t era)
{
    const uint64_t most = (UINT64_C(1) << 48) - 1; /* three days */
    return (uint64_t)era << 48 | (cost_ns < most ? cost_ns : most);
}

static inline uint64_t cell_cost(uint64_t word)
{
    return word & ((UINT64_C(1) << 48) - 1);
}

static inline uint16_t cell_era(uint64_t word)
{
    return (uint16_t)(word >> 48);
}

/* Words of a cell of this shape. */
static inline size_t cell_words(cell_shape shape)
{
    if (shape.kind == CELL_BOTH_REF) {
        return CELL_HEAD_WORDS + 2;
    }
    size_t value = shape.kind == CELL_INLINE ? cell_words_of(shape.value_size) : 1;
    return CELL_HEAD_WORDS + cell_words_of(shape.key_size) + cell_words_of(shape.meta_size) + value;
}

static inline uint64_t cell_load(const cell_word *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void cell_store(cell_word *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static inline void cell_store_bytes(cell_word *to, const void *from, size_t size)
{
    const unsigned char *bytes = from;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        cell_store(to++, word);
    }
    if (i < size) {
        uint64_t word = 0;
        memcpy(&word, bytes + i, size - i);
        cell_store(to, word);
    }
}

static inline void cell_load_bytes(void *to, const cell_word *from, size_t size)
{
    unsigned char *bytes = to;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word = cell_load(from++);
        memcpy(bytes + i, &word, 8);
    }
    if (i < size) {
        uint64_t word = cell_load(from);
        memcpy(bytes + i, &word, size - i);
    }
}

#if defined(__SANITIZE_THREAD__)
#    define CELL_COPY_WORDS 1
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define CELL_COPY_WORDS 1
#    endif
#endif

/*
 * cell_load_bytes in a tenth of the instructions.  The language has no atomic copy of many bytes;
 * on x86 every load is ordered with the loads after it, whatever its width, so a plain copy
 * between two barriers of the compiler keeps the order that the sequence number relies on.
 * Elsewhere, and where the thread sanitizer looks on, it is the loop.
 */
static inline void cell_copy_out(void *to, const cell_word *from, size_t size)
{
#if defined(__x86_64__) && !defined(CELL_COPY_WORDS)
    const void *bytes = from;
    __asm__ volatile("" ::: "memory");
    memcpy(to, bytes, size);
    __asm__ volatile("" ::: "memory");
#else
    cell_load_bytes(to, from, size);
#endif
}

static inline bool cell_equals(const cell_word *cell, const void *with, size_t size)
{
    const unsigned char *bytes = with;
    uint64_t word = 0;
    for (; size >= 8; size -= 8) {
        memcpy(&word, bytes, 8);
        if (cell_load(cell++) != word) {
            return false;
        }
        bytes += 8;
    }
    if (size == 0) {
        return true;
    }
    word = 0;
    memcpy(&word, bytes, size);
    return cell_load(cell) == word;
}

#endif /* BRISK_SRC_CACHE_MEMORY_CELL_H */
