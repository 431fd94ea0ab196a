/*
 * memory_cell.h -- what a cell of an entry holds, byte by byte.
 *
 *     0      live 1 | long 1 | cold 1 | entry flags 3 | dense 1
 *     1      key size, 0 when the word `wide` has it
 *     2-3    bytes of the value in this cell
 *     4-5    era
 *     6 ...  key, value                                    a short cell: 6 bytes of head
 *
 * A long cell goes on with
 *
 *     6      which words follow, and the top bit of the meta size
 *     7      meta size
 *     8 ...  words, in this order, only those that the entry has:
 *              use      last use, pause between uses, hits (memory_use.h)
 *              expiry   nanoseconds of the wall clock
 *              cost     nanoseconds
 *              wide     key size 32 | size of the value before compression 32
 *              value    pointer to a brisk_value: the value is not in the cell
 *              block    pointer to key and meta data: they are not in the cell
 *     then   key, meta data, value
 *
 * So an entry pays for what it has: 14 + 100 bytes are a cell of 120.  Words are aligned, so that
 * expiry and use change by one store.
 *
 * Readers take no lock and may see a mixture of two entries, or what was never a cell.  So nothing
 * they find leads outside of the region and its slack (CELL_SLACK_BYTES): a value has at most 64
 * KiB here and pointers are followed under the lock only.  What they read is atomic words, or on
 * x86 loads by assembler: the language has no atomic copy of bytes, but the processor keeps loads
 * in order whatever their width, and each aligned word whole.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_CELL_H
#define BRISK_SRC_CACHE_MEMORY_CELL_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <brisk/cache.h>

#if defined(__SANITIZE_THREAD__)
#    define CELL_THREADS_ARE_WATCHED 1
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define CELL_THREADS_ARE_WATCHED 1
#    endif
#endif
#if defined(__x86_64__) && !defined(CELL_THREADS_ARE_WATCHED)
#    define CELL_ATOMIC_WORDS 0
#    include <emmintrin.h>
#else
#    define CELL_ATOMIC_WORDS 1
#endif

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "cells are laid out for little ends");

enum {
    CELL_LIVE = 1,
    CELL_LONG = 2,
    CELL_COLD = 4, /* the value is compressed */
    CELL_ENTRY_SHIFT = 3,
    CELL_DENSE = 64, /* compressing it was tried in vain */
    CELL_ENTRY_FLAGS = BRISK_ENTRY_LOCAL | BRISK_ENTRY_TAGGED | BRISK_ENTRY_NEGATIVE,
};

enum {
    CELL_USE = 1,
    CELL_EXPIRY = 2,
    CELL_COST = 4,
    CELL_WIDE = 8,
    CELL_VALUE = 16,
    CELL_BLOCK = 32,
    CELL_WORDS = 63,
    CELL_META_TOP = 64,
};

enum {
    CELL_SHORT_HEAD = 6,
    CELL_LONG_HEAD = 8,
    CELL_VALUE_MAX = 65535,
    CELL_BYTES_MAX = 4096,
    CELL_SLACK_BYTES = 256 * 1024, /* head, key, meta and value of any sizes, from the last byte */
};

static_assert(CELL_ENTRY_FLAGS < 8, "entry flags have three bits");
static_assert(BRISK_TIER_META_MAX < 512, "meta sizes have nine bits");

/* What the first eight bytes say. */
typedef struct cell_shape {
    uint32_t flags;  /* CELL_LIVE ... */
    uint32_t fields; /* CELL_USE ... */
    uint32_t key_size;
    uint32_t meta_size;
    uint32_t value_size; /* bytes in the cell: compressed ones when cold, none with CELL_VALUE */
    uint32_t payload_at; /* where the key begins */
    uint16_t era;
} cell_shape;

/* Words chosen by `fields`. */
static inline uint32_t cell_count_words(uint32_t fields)
{
    const uint64_t ones = UINT64_C(0x4332322132212110); /* how many bits has each nibble */
    return (uint32_t)((ones >> (fields & 15) * 4 & 15) + (ones >> (fields >> 4 & 3) * 4 & 15));
}

static inline uint32_t cell_payload_at(uint32_t fields)
{
    return CELL_LONG_HEAD + cell_count_words(fields) * 8;
}

/* Where the word `field` (one bit) is, if there. */
static inline uint32_t cell_field_at(uint32_t fields, uint32_t field)
{
    return CELL_LONG_HEAD + cell_count_words(fields & (field - 1)) * 8;
}

static inline uint64_t cell_word(const unsigned char *cell, size_t at)
{
    const void *word = cell + at;
    return atomic_load_explicit((const _Atomic uint64_t *)word, memory_order_acquire);
}

static inline void cell_set_word(unsigned char *cell, size_t at, uint64_t value)
{
    void *word = cell + at;
    atomic_store_explicit((_Atomic uint64_t *)word, value, memory_order_release);
}

static inline uint64_t cell_head(const unsigned char *cell)
{
    return cell_word(cell, 0);
}

static inline bool cell_is_live(const unsigned char *cell)
{
    return (cell_head(cell) & CELL_LIVE) != 0;
}

/* The shape of a cell with the word `head`; key sizes from the word `wide` are the caller's. */
static inline __attribute__((always_inline)) cell_shape cell_shape_of(uint64_t head)
{
    cell_shape shape = {
        .flags = (uint32_t)head & 255,
        .key_size = (uint32_t)(head >> 8) & 255,
        .value_size = (uint32_t)(head >> 16) & 65535,
        .era = (uint16_t)(head >> 32),
        .payload_at = CELL_SHORT_HEAD,
    };
    if ((shape.flags & CELL_LONG) != 0) {
        shape.fields = (uint32_t)(head >> 48) & 127;
        shape.meta_size = (uint32_t)(head >> 56) | (shape.fields & CELL_META_TOP) << 2;
        shape.payload_at = cell_payload_at(shape.fields);
    }
    return shape;
}

static inline cell_shape cell_read_shape(const unsigned char *cell)
{
    cell_shape shape = cell_shape_of(cell_head(cell));
    if ((shape.fields & CELL_WIDE) != 0) {
        uint32_t size = (uint32_t)cell_word(cell, cell_field_at(shape.fields, CELL_WIDE));
        shape.key_size = size != 0 ? size : shape.key_size;
    }
    return shape;
}

/* The word `field`, or 0 when the entry has none. */
static inline uint64_t cell_field(const unsigned char *cell, const cell_shape *shape,
                                  uint32_t field)
{
    return (shape->fields & field) != 0 ? cell_word(cell, cell_field_at(shape->fields, field)) : 0;
}

static inline void *cell_pointer(const unsigned char *cell, const cell_shape *shape, uint32_t field)
{
    return (void *)(uintptr_t)cell_field(cell, shape, field); /* stored by who wrote the cell */
}

/* Bytes of a cell of this shape. */
static inline size_t cell_bytes(const cell_shape *shape)
{
    size_t bytes = shape->payload_at;
    if ((shape->fields & CELL_BLOCK) == 0) {
        bytes += (size_t)shape->key_size + shape->meta_size;
    }
    return bytes + shape->value_size;
}

/* Where the value begins in a cell without CELL_BLOCK. */
static inline size_t cell_value_at(const cell_shape *shape)
{
    return (size_t)shape->payload_at + shape->key_size + shape->meta_size;
}

/* --- reading without the lock --------------------------------------------------------------- */

#if CELL_ATOMIC_WORDS

/* Eight bytes from anywhere. */
static inline uint64_t cell_read8(const unsigned char *from)
{
    size_t off = (uintptr_t)from % 8;
    uint64_t low = cell_word(from - off, 0);
    return off == 0 ? low : low >> off * 8 | cell_word(from - off, 8) << (64 - off * 8);
}

static inline void cell_copy_out(void *to, const unsigned char *from, size_t size)
{
    unsigned char *out = to;
    for (; size >= 8; size -= 8, out += 8, from += 8) {
        uint64_t word = cell_read8(from);
        memcpy(out, &word, 8);
    }
    if (size != 0) {
        uint64_t word = cell_read8(from);
        memcpy(out, &word, size);
    }
}

#else

typedef struct cell_8 {
    unsigned char bytes[8];
} cell_8;

typedef struct cell_16 {
    unsigned char bytes[16];
} cell_16;

static inline uint64_t cell_read8(const unsigned char *from)
{
    const void *at = from;
    uint64_t word;
    __asm__ volatile("movq %1, %0" : "=r"(word) : "m"(*(const cell_8 *)at));
    return word;
}

static inline void cell_copy16(unsigned char *to, const unsigned char *from)
{
    const void *at = from;
    __m128i word;
    __asm__ volatile("movdqu %1, %0" : "=x"(word) : "m"(*(const cell_16 *)at));
    void *out = to;
    _mm_storeu_si128(out, word);
}

/* Reads up to 7 bytes more than `size`. */
static inline __attribute__((always_inline)) void cell_copy_out(void *to, const unsigned char *from,
                                                                size_t size)
{
    unsigned char *out = to;
    if (size >= 16) {
        size_t at = 0;
        for (; at + 32 <= size; at += 32) {
            cell_copy16(out + at, from + at);
            cell_copy16(out + at + 16, from + at + 16);
        }
        if (at + 16 <= size) {
            cell_copy16(out + at, from + at);
        }
        cell_copy16(out + size - 16, from + size - 16);
        return;
    }
    uint64_t word = cell_read8(from);
    if (size >= 8) {
        uint64_t last = cell_read8(from + size - 8);
        memcpy(out, &word, 8);
        memcpy(out + size - 8, &last, 8);
        return;
    }
    for (size_t i = 0; i < size; i++, word >>= 8) {
        out[i] = (unsigned char)word;
    }
}

#endif

/* Are the `size` bytes at `cell` those at `with`? */
static inline __attribute__((always_inline)) bool cell_equals(const unsigned char *cell,
                                                              const void *with, size_t size)
{
    const unsigned char *bytes = with;
    uint64_t word = 0;
    if (size < 8) {
        for (size_t i = size; i-- > 0;) {
            word = word << 8 | bytes[i];
        }
        uint64_t mask = (UINT64_C(1) << size * 8) - 1;
        return ((cell_read8(cell) ^ word) & mask) == 0;
    }
    for (size_t at = 0; at + 8 < size; at += 8) {
        memcpy(&word, bytes + at, 8);
        if (cell_read8(cell + at) != word) {
            return false;
        }
    }
    memcpy(&word, bytes + size - 8, 8);
    return cell_read8(cell + size - 8) == word;
}

#endif /* BRISK_SRC_CACHE_MEMORY_CELL_H */
