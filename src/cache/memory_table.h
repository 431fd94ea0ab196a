/*
 * memory_table.h -- from hash to cell: a directory of segments, buckets of one cache line.
 *
 *     directory   one 64-bit word for each prefix of `depth` bits of the spread hash:
 *                 depth of the segment 32 | its first bucket in the region 32
 *     segment     8 .. 128 buckets; full buckets send newcomers to the next one, in a ring
 *     bucket      twelve 8-bit tags | number 24, passed 8 | twelve 32-bit lines
 *
 * Growth.  A segment that is full splits in two by the next bit of the spread hash; two that are
 * nearly empty become one.  So the table follows the number of entries in small steps, and memory
 * for it comes from the same chunks as cells.  Were hashes spread evenly, all segments would be
 * full at the same time, and a table just grown half empty.  Hence the spread: a quadratic that
 * makes hashes at the right end of the range three times as rare as at the left one.  Then
 * segments of all loads between full and half full exist at any time, and the table is about two
 * thirds full at any number of entries: 8 bytes for each.
 *
 * Readers take no lock.  They read `view`, the directory, a bucket's number (even), slots and
 * cells, and then look whether both are still the same.  A writer makes the number odd, changes the
 * bucket (or the cell of one of its slots), makes it even again; segments are filled before the
 * directory shows them, and after it has changed its changes are counted up, before the old segment's
 * memory is used for something else.  So two unchanged values prove every word read between.  All
 * words that readers see are atomic: written with release and read with acquire, which costs
 * nothing on x86 and makes "new word seen" imply "new number seen" without fences.
 *
 * Directories of all depths have places of their own (that of depth d begins at word 2^d), so an
 * old one can still be read; `view` then tells that it was old.
 *
 * The hash is not stored: it is computed from the key when a segment splits, once for each
 * doubling of an entry's segment.  A key's hash must therefore be what brisk_key_of says.
 *
 * Threads: find, insert, remove, repoint, split, merge under the shard's lock; the rest anywhere.
 *
 * Sources: R. Fagin et al., Extendible Hashing (1979); G. N. N. Martin, Spiral Storage (1979), for
 * uneven spreading.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_TABLE_H
#define BRISK_SRC_CACHE_MEMORY_TABLE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__)
#    include <emmintrin.h>
#endif

enum {
    BUCKET_SLOTS = 12,
    BUCKET_BYTES = 64,
    TABLE_DEPTH_MAX = 26,
    TABLE_PASSED_MAX = 255, /* stays there: how many passed is not known any more */
};

#define TABLE_EMPTY UINT32_MAX

typedef struct memory_bucket {
    _Alignas(BUCKET_BYTES) _Atomic uint64_t tags; /* of slots 0 .. 7 */
    /* Tags of slots 8 .. 11 | number, odd while being changed | entries that went past. */
    _Atomic uint64_t more;
    _Atomic uint32_t lines[BUCKET_SLOTS];
} memory_bucket;

static_assert(sizeof(memory_bucket) == BUCKET_BYTES, "a bucket is a cache line");

typedef struct memory_table {
    unsigned char *base;         /* the region: bucket n of all is at n * BUCKET_BYTES */
    _Atomic uint64_t *directory; /* words 2^d .. 2^(d + 1) - 1 are that of depth d */
    _Atomic uint64_t view;       /* changes of the directory 32, 0: there is none | 33 - depth 32 */
    uint32_t bucket_mask;        /* buckets of a segment - 1 */
    uint32_t depth_max;
    uint16_t *counts; /* entries of each segment */
    uint32_t segment_shift;
    uint32_t full; /* entries from which on a segment should split */
} memory_table;

/* Where an entry is. */
typedef struct table_place {
    memory_bucket *bucket;
    uint32_t slot;
    uint32_t line;
} table_place;

/* The bits of a hash: shard 0-9, bucket 10-16, tag 17-24, spread 32-63. */
static inline uint32_t table_bucket_bits(uint64_t hash)
{
    return (uint32_t)(hash >> 10);
}

/* Empty slots have tag 0 and line TABLE_EMPTY. */
static inline uint8_t table_tag(uint64_t hash)
{
    return (uint8_t)(hash >> 17);
}

/* x + x x, of 2^33 */
static inline uint64_t table_twice_spread(uint64_t hash)
{
    uint64_t x = hash >> 32;
    return x + (x * x >> 32);
}

static inline uint32_t table_spread(uint64_t hash)
{
    return (uint32_t)(table_twice_spread(hash) >> 1);
}

/* The depth of the directory when it is seen as `view`. */
static inline uint32_t table_view_depth(uint64_t view)
{
    return 33 - (uint32_t)view;
}

static inline uint32_t table_view_changes(uint64_t view)
{
    return (uint32_t)(view >> 32);
}

static inline uint64_t table_view_of(uint32_t changes, uint32_t depth)
{
    return (uint64_t)changes << 32 | (33 - depth);
}

/* The word for `hash` in the directory seen as `view`: table_word_index in fewer steps. */
static inline size_t table_view_index(uint64_t view, uint64_t hash)
{
    return (size_t)((table_twice_spread(hash) | UINT64_C(1) << 33) >> (view & 63));
}

/* The word for a spread hash, in the directory whose depth is 32 - `shift`. */
static inline size_t table_word_index(uint32_t spread, uint32_t shift)
{
    return (size_t)((UINT64_C(1) << 32 | spread) >> shift);
}

static inline memory_bucket *table_segment(const memory_table *table, uint64_t word)
{
    void *bucket = table->base + (size_t)(uint32_t)word * BUCKET_BYTES;
    return bucket;
}

static inline uint32_t table_word_depth(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* Which slots have `tag`: bit s is slot s. */
static inline uint32_t table_match(uint64_t tags, uint64_t more, uint8_t tag)
{
#if defined(__SSE2__)
    __m128i all = _mm_set_epi64x((int64_t)more, (int64_t)tags);
    __m128i same = _mm_cmpeq_epi8(all, _mm_set1_epi8((char)tag));
    return (uint32_t)_mm_movemask_epi8(same) & ((1u << BUCKET_SLOTS) - 1);
#else
    uint32_t found = 0;
    for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
        uint64_t word = slot < 8 ? tags >> slot * 8 : more >> (slot - 8) * 8;
        found |= (uint32_t)((uint8_t)word == tag) << slot;
    }
    return found;
#endif
}

static inline uint32_t table_passed(uint64_t more)
{
    return (uint32_t)(more >> 56);
}

static inline bool table_is_changing(uint64_t more)
{
    return (more >> 32 & 1) != 0;
}

/* The directory's size in words for `depth_max`. */
static inline size_t table_directory_words(uint32_t depth_max)
{
    return (size_t)2 << depth_max;
}

/* --- under the lock ------------------------------------------------------------------------- */

typedef uint64_t table_hash_fn(const void *ctx, uint32_t line);

/* `first` is an empty segment (see table_clear_segment) that serves all hashes. */
void table_begin(memory_table *table, uint32_t first);
void table_clear_segment(memory_table *table, uint32_t first);

/* Call same(ctx, line) for entries that may have `hash` until it is true.  False: none. */
bool table_find(const memory_table *table, uint64_t hash, bool (*same)(void *ctx, uint32_t line),
                void *ctx, table_place *ret);
/* The segment of `hash` has as many entries as it should have at most. */
bool table_is_full(const memory_table *table, uint64_t hash);
/* It has hardly a slot left. */
bool table_is_packed(const memory_table *table, uint64_t hash);
/* Splitting it needs a directory of the next depth. */
bool table_needs_depth(const memory_table *table, uint64_t hash);
/* Some entry of the segment, near the home of `hash`; false when it is empty. */
bool table_neighbour(const memory_table *table, uint64_t hash, table_place *ret);
/* Add an entry.  False: the segment has no slot left. */
bool table_insert(memory_table *table, uint64_t hash, uint32_t line);
void table_remove(memory_table *table, uint64_t hash, table_place place);
/* The entry at `place` is now in the cell `line`. */
void table_repoint(memory_table *table, table_place place, uint32_t line);
/* Between these the cell at `place` may be written. */
void table_begin_change(table_place place);
void table_end_change(table_place place);

/*
 * Split the segment of `hash` into two that are given, with their first buckets.  Returns the first
 * bucket of the old one, which is free then; UINT32_MAX when it cannot be split any more.
 */
uint32_t table_split(memory_table *table, uint64_t hash, const uint32_t given[2],
                     table_hash_fn *hash_of, const void *ctx);
/* Unite the segment of `hash` with its other half if both are nearly empty.  Returns the first
 *  bucket of a segment that is free then, or UINT32_MAX. */
uint32_t table_merge(memory_table *table, uint64_t hash, table_hash_fn *hash_of, const void *ctx);

/* How many segments there are and entries in them; every segment's count is right.  For audits. */
bool table_is_valid(const memory_table *table, uint64_t *segments, uint64_t *entries);

#endif /* BRISK_SRC_CACHE_MEMORY_TABLE_H */
