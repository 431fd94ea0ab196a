/*
 * memory_table.h -- from hash to cell: buckets of one cache line with eight slots.
 *
 *     bucket   eight 16-bit tags | eight lines | sequence number | overflow
 *
 * A tag of 0 means an empty slot.  A bucket that is full sends newcomers to the next one and
 * counts them in `overflow`, so that a search ends at the first bucket nobody went past.
 *
 * Readers take no lock: they remember the even sequence number, read slots and cells, and look
 * whether the number is still the same.  A writer makes it odd, changes the bucket, makes it even
 * again.  Cells are written only while no bucket points at them, so an unchanged number proves
 * the cell's words too.  All words that readers see are atomic: written with release and read
 * with acquire, which costs nothing on x86 and makes "new word seen" imply "new number seen"
 * without fences.
 *
 * Buckets begin to exist in groups of 64 when first written to; creating a table is O(1) in
 * memory touched.
 *
 * Threads: find_locked, insert, remove, repoint under the shard's lock; the rest anywhere.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_TABLE_H
#define BRISK_SRC_CACHE_MEMORY_TABLE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BUCKET_SLOTS = 8, BUCKET_GROUP = 64 };

typedef struct memory_bucket {
    _Alignas(64) _Atomic uint64_t tags[2]; /* four 16-bit lanes each */
    _Atomic uint32_t lines[BUCKET_SLOTS];
    _Atomic uint32_t sequence; /* odd while being changed */
    _Atomic uint32_t overflow; /* entries that went past this bucket */
} memory_bucket;

static_assert(sizeof(memory_bucket) == 64, "a bucket is a cache line");

typedef struct memory_table {
    memory_bucket *buckets;
    _Atomic uint64_t *ready; /* bit g: buckets of group g exist */
    uint32_t bucket_count;
} memory_table;

/* Where an entry is. */
typedef struct table_place {
    uint32_t bucket;
    uint32_t slot;
    uint32_t line;
} table_place;

static inline uint32_t table_home(const memory_table *table, uint64_t hash)
{
    return (uint32_t)(((hash >> 16 & UINT32_MAX) * table->bucket_count) >> 32);
}

static inline uint64_t table_tag(uint64_t hash)
{
    uint64_t tag = hash >> 48;
    return tag != 0 ? tag : 1;
}

static inline uint32_t table_next(const memory_table *table, uint32_t bucket)
{
    return bucket + 1 < table->bucket_count ? bucket + 1 : 0;
}

static inline bool table_is_ready(const memory_table *table, uint32_t bucket)
{
    uint32_t group = bucket / BUCKET_GROUP;
    /* Acquire: pairs with the release after the group's buckets were zeroed. */
    uint64_t word = atomic_load_explicit(&table->ready[group / 64], memory_order_acquire);
    return (word >> (group % 64) & 1) != 0;
}

/*
 * Lanes of `tags` that equal `tag`, as their top bits.  Exact: a false lane could name an empty slot,
 * whose line may by now be the cell of an entry that another bucket's sequence number guards.
 */
static inline uint64_t table_match(uint64_t tags, uint64_t tag)
{
    const uint64_t ones = UINT64_C(0x0001000100010001);
    const uint64_t low = UINT64_C(0x7fff7fff7fff7fff);
    uint64_t x = tags ^ tag * ones;
    return ~(((x & low) + low) | x | low); /* no carry leaves a lane */
}

size_t table_ready_words(uint32_t bucket_count);
/* `ready` must be zeroed, `buckets` may hold anything. */
void table_init(memory_table *table, memory_bucket *buckets, _Atomic uint64_t *ready,
                uint32_t bucket_count);
/*
 * The entry of `hash` for which same(ctx, line) holds.  False when there is none.
 */
bool table_find(const memory_table *table, uint64_t hash, bool (*same)(void *ctx, uint32_t line),
                void *ctx, table_place *ret);
/* Add an entry; there must be an empty slot somewhere. */
void table_insert(memory_table *table, uint64_t hash, uint32_t line);
void table_remove(memory_table *table, uint64_t hash, table_place place);
/* The entry at `place` is now in the cell `line`. */
void table_repoint(memory_table *table, table_place place, uint32_t line);
/* The sum of all `overflow`: how many buckets entries went past, together.  For audits. */
uint64_t table_overflows(const memory_table *table);

#endif /* BRISK_SRC_CACHE_MEMORY_TABLE_H */
