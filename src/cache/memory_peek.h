/*
 * memory_peek.h -- the hit without a lock: two chains of cache misses, no locked instruction.
 *
 * The bucket's line, then the cell's lines; the value's bytes are copied, so no line is written
 * that another processor reads or writes.
 *
 * What decides the time is how many instructions lie between one get's miss and the next one's:
 * the processor looks some 450 instructions ahead, so hits of 150 instructions overlap their
 * misses with those of the hits after them, and one of 800 waits for each.  Hence everything here
 * is inline, copies are short and no branch depends on which slot matched.
 *
 * A peek finds the cell and says where in it what is; the caller copies, and only when
 * peek_is_good then holds has it read one entry, whole.  For everything unusual the answer is
 * SHARD_BUSY and the caller takes the lock.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_PEEK_H
#define BRISK_SRC_CACHE_MEMORY_PEEK_H

#include "cache/memory_cell.h"
#include "cache/memory_shard.h"

#define PEEK_INLINE static inline __attribute__((always_inline))

enum { PEEK_PROBES_MAX = 8 };

/* Where a peek is, and by which values its reads are proved. */
typedef struct peek {
    const memory_shard *shard;
    const memory_bucket *segment;
    const memory_bucket *bucket;
    uint64_t more; /* of the bucket */
    uint64_t view; /* of the directory */
    uint32_t line;
    const unsigned char *cell;
    cell_shape shape;
    size_t value_at; /* offset in the cell */
} peek;

/* Nothing that was read so far has changed meanwhile. */
PEEK_INLINE bool peek_is_good(const peek *p)
{
    __asm__ volatile("" ::: "memory");
    return atomic_load_explicit(&p->bucket->more, memory_order_relaxed) == p->more &&
           atomic_load_explicit(&p->shard->table.view, memory_order_relaxed) == p->view;
}

/* What is known of the directory; acquire: what was published before it is seen after it. */
PEEK_INLINE uint64_t peek_view(const memory_table *table)
{
    return atomic_load_explicit(&table->view, memory_order_acquire);
}

/* The segment of `hash`. */
PEEK_INLINE const memory_bucket *peek_segment(const memory_table *table, uint64_t view,
                                              uint64_t hash)
{
    const _Atomic uint64_t *word = &table->directory[table_view_index(view, hash)];
    /* Acquire: as for the view. */
    return table_segment(table, atomic_load_explicit(word, memory_order_acquire));
}

/* Does the cell hold `key` and its value, in the usual form? */
PEEK_INLINE shard_answer peek_cell(peek *p, const brisk_key *key)
{
    uint64_t head = cell_head(p->cell);
    p->shape = cell_shape_of(head);
    if (__builtin_expect((p->shape.flags & CELL_LONG) != 0, 0)) {
        if ((p->shape.fields & (CELL_VALUE | CELL_BLOCK)) != 0 ||
            (p->shape.flags & CELL_COLD) != 0) {
            return SHARD_BUSY;
        }
        if ((p->shape.fields & CELL_WIDE) != 0) {
            p->shape.key_size = (uint32_t)cell_field(p->cell, &p->shape, CELL_WIDE);
        }
    }
    if (p->shape.key_size != key->size ||
        !cell_equals(p->cell + p->shape.payload_at, key->bytes, key->size)) {
        return SHARD_MISS;
    }
    p->value_at = p->shape.payload_at + key->size + p->shape.meta_size;
    return SHARD_HIT;
}

/* Look into one bucket; a miss is proved. */
PEEK_INLINE shard_answer peek_bucket(peek *p, const brisk_key *key)
{
    const memory_bucket *bucket = p->bucket;
    uint64_t more = atomic_load_explicit(&bucket->more, memory_order_acquire);
    uint64_t tags = atomic_load_explicit(&bucket->tags, memory_order_acquire);
    p->more = more;
    if (__builtin_expect(table_is_changing(more), 0)) {
        return SHARD_BUSY;
    }
    uint32_t slots = table_match(tags, more, table_tag(key->hash.lo));
    for (; slots != 0; slots &= slots - 1) {
        uint32_t slot = (uint32_t)__builtin_ctz(slots);
        uint32_t line = atomic_load_explicit(&bucket->lines[slot], memory_order_acquire);
        if (__builtin_expect(line >= p->shard->lines_end, 0)) {
            continue; /* an empty slot, or no bucket any more */
        }
        p->line = line;
        p->cell = p->shard->table.base + (size_t)line * WORD_BYTES;
        __builtin_prefetch(p->cell + BUCKET_BYTES);
        shard_answer answer = peek_cell(p, key);
        if (answer != SHARD_MISS) {
            return answer;
        }
    }
    return peek_is_good(p) ? SHARD_MISS : SHARD_BUSY;
}

/* Without the lock.  On a hit p->shape and p->value_at are set, not yet proved. */
PEEK_INLINE shard_answer shard_peek(const memory_shard *shard, const brisk_key *key, peek *p)
{
    p->shard = shard;
    p->line = 0;
    p->view = peek_view(&shard->table);
    p->segment = peek_segment(&shard->table, p->view, key->hash.lo);
    p->bucket = p->segment + (table_bucket_bits(key->hash.lo) & shard->table.bucket_mask);
    shard_answer answer = peek_bucket(p, key);
    for (uint32_t probes = 1; __builtin_expect(answer == SHARD_MISS, 0); probes++) {
        if (table_passed(p->more) == 0) {
            return SHARD_MISS;
        }
        if (probes == PEEK_PROBES_MAX) {
            return SHARD_BUSY;
        }
        uint32_t at = (uint32_t)(p->bucket - p->segment);
        p->bucket = p->segment + ((at + 1) & shard->table.bucket_mask);
        answer = peek_bucket(p, key);
    }
    return answer;
}

/* The expiry of what was found, or 0. */
PEEK_INLINE uint64_t peek_expiry(const peek *p)
{
    return cell_field(p->cell, &p->shape, CELL_EXPIRY);
}

#endif /* BRISK_SRC_CACHE_MEMORY_PEEK_H */
