/*
 * memory_peek.h -- the hit without a lock: two cache misses, no locked instruction.
 *
 * The bucket's line, then the cell's lines; the value's bytes are copied into a value of the
 * caller's own, so no line is written that another processor reads or writes.
 *
 * What decides the time is how many instructions lie between one get's miss and the next one's:
 * the processor looks some 500 instructions ahead, so a hit of 200 instructions overlaps its
 * misses with those of the hits after it, and one of 800 waits for each.  Hence everything here
 * is inline, copies are plain (cell_copy_out) and no branch depends on which slot matched.
 *
 * What was copied counts only if the bucket's sequence number did not change meanwhile; otherwise,
 * and for everything unusual, the answer is SHARD_BUSY and the caller takes the lock.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_PEEK_H
#define BRISK_SRC_CACHE_MEMORY_PEEK_H

#include "cache/memory_cell.h"
#include "cache/memory_shard.h"
#include "cache/value_blocks.h"

static_assert(sizeof(brisk_value) + CELL_BYTES_MAX <= VALUE_BLOCKS_MAX, "a class for every copy");

enum { PEEK_PROBES_MAX = 16 };

/* Copy the entry out of the cell if it is key's; sizes are not trusted. */
static inline __attribute__((always_inline)) shard_answer peek_cell(const memory_shard *shard,
                                                                    const cell_word *cell,
                                                                    const brisk_key *key,
                                                                    brisk_hit *ret)
{
    cell_shape shape = cell_unpack(cell_load(&cell[1]));
    if (shape.key_size != key->size) {
        return SHARD_MISS;
    }
    if (shape.kind != CELL_INLINE) {
        return SHARD_BUSY;
    }
    if (cell_words(shape) > CELL_WORDS_MAX || shape.meta_size > BRISK_TIER_META_MAX) {
        return SHARD_BUSY;
    }
    const cell_word *at = cell + CELL_HEAD_WORDS;
    if (!cell_equals(at, key->bytes, key->size)) {
        return SHARD_MISS;
    }
    brisk_value *value = shard->recycles ? value_take_kept(shape.value_size) : NULL;
    void *data = value != NULL ? value->bytes : NULL;
    if (value == NULL &&
        brisk_value_reserve(shape.value_size, shard->alloc, &data, &value) != BRISK_OK) {
        return SHARD_NOMEM;
    }
    ret->value = value;
    at += cell_words_of(shape.key_size);
    ret->meta_size = shape.meta_size;
    if (shape.meta_size != 0) {
        cell_copy_out(ret->meta, at, shape.meta_size);
    }
    cell_copy_out(data, at + cell_words_of(shape.meta_size), shape.value_size);
    ret->flags = shape.flags;
    uint64_t cost = cell_load(&cell[2]);
    ret->cost_ns = cell_cost(cost);
    ret->era = cell_era(cost);
    ret->expires_at_ns = cell_load(&cell[3]);
    return SHARD_HIT;
}

/* Nothing in the bucket changed since the first look; see memory_table.h for the order. */
static inline bool peek_unchanged(const memory_bucket *bucket, uint32_t sequence)
{
    return atomic_load_explicit(&bucket->sequence, memory_order_relaxed) == sequence;
}

static inline __attribute__((always_inline)) shard_answer peek_settle(const memory_shard *shard,
                                                                      const memory_bucket *bucket,
                                                                      uint32_t sequence,
                                                                      brisk_hit *ret)
{
    if (peek_unchanged(bucket, sequence) &&
        (ret->expires_at_ns == 0 || ret->expires_at_ns > brisk_clock_wall_ns(shard->clock))) {
        return SHARD_HIT;
    }
    brisk_value_unref(ret->value);
    return SHARD_BUSY;
}

/* Look into one bucket. */
static inline __attribute__((always_inline)) shard_answer peek_bucket(const memory_shard *shard,
                                                                      const memory_bucket *bucket,
                                                                      const brisk_key *key,
                                                                      brisk_hit *ret,
                                                                      uint32_t *ret_id)
{
    uint64_t tag = table_tag(key->hash.lo);
    uint32_t sequence = atomic_load_explicit(&bucket->sequence, memory_order_acquire);
    if ((sequence & 1) != 0) {
        return SHARD_BUSY;
    }
    uint64_t low = atomic_load_explicit(&bucket->tags[0], memory_order_acquire);
    uint64_t high = atomic_load_explicit(&bucket->tags[1], memory_order_acquire);
    /* One mask of both halves: which half it is would be a branch that cannot be foretold. */
    uint64_t lanes = table_match(low, tag) >> 1 | table_match(high, tag);
    for (; lanes != 0; lanes &= lanes - 1) {
        uint32_t bit = (uint32_t)__builtin_ctzll(lanes);
        uint32_t slot = bit / 16 + (bit & 1) * 4;
        uint32_t line = atomic_load_explicit(&bucket->lines[slot], memory_order_acquire);
        const void *cell = shard->region + (size_t)line * LINE_BYTES;
        __builtin_prefetch((const char *)cell + LINE_BYTES);
        __builtin_prefetch((const char *)cell + 2 * LINE_BYTES);
        shard_answer answer = peek_cell(shard, cell, key, ret);
        if (answer == SHARD_HIT) {
            *ret_id = line / CELL_LINES_MIN;
            return peek_settle(shard, bucket, sequence, ret);
        }
        if (answer != SHARD_MISS) {
            return answer;
        }
    }
    uint32_t overflow = atomic_load_explicit(&bucket->overflow, memory_order_acquire);
    if (!peek_unchanged(bucket, sequence)) {
        return SHARD_BUSY;
    }
    *ret_id = overflow != 0 ? 1 : 0;
    return SHARD_MISS;
}

/* Without the lock.  On a hit *ret_id is what the policy calls the entry. */
static inline __attribute__((always_inline)) shard_answer shard_peek(const memory_shard *shard,
                                                                     const brisk_key *key,
                                                                     brisk_hit *ret,
                                                                     uint32_t *ret_id)
{
    uint32_t at = table_home(&shard->table, key->hash.lo);
    for (uint32_t probes = 0; probes < PEEK_PROBES_MAX; probes++) {
        if (!table_is_ready(&shard->table, at)) {
            return SHARD_MISS;
        }
        uint32_t id = 0;
        shard_answer answer = peek_bucket(shard, &shard->table.buckets[at], key, ret, &id);
        if (answer != SHARD_MISS || id == 0) {
            *ret_id = id;
            return answer;
        }
        at = table_next(&shard->table, at);
    }
    return SHARD_BUSY;
}

#endif /* BRISK_SRC_CACHE_MEMORY_PEEK_H */
