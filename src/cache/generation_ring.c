/*
 * generation_ring.c -- keys that a process changed, told to the others of its folder.
 *
 * A disk tier is shared, a memory tier is not: what one process put or removed must leave the memory
 * of the others.  The keys go through a ring in the table's file, in cells of 64 bytes:
 *
 *     mark 8 | sum 8 | owner 4 | size 4 | key ...      mark: absolute number of the cell + 1
 *
 *     tell    reserve cells by adding to ring_tail; write; then the mark.  After the tiers changed,
 *             before the change is acknowledged, and only when there are others.
 *     listen  a get compares ring_tail with its cache's cursor (one load); if they differ, the
 *             cache removes what it is told from its memory and then moves the cursor.
 *
 * So whoever begins a get after a change was acknowledged sees the tail, and waits until the key
 * has left his memory.  A process that opens the folder later counts itself among the users before it
 * reads anything, and a writer looks at the users after it has changed the tiers: it either tells,
 * or the newcomer reads the change.
 *
 * What cannot be read is LOST, and then the whole memory goes: cells that were overwritten since
 * (the reader was slow), a mark that does not come (its writer was killed), a sum that does not
 * fit (a writer was so slow that others have come round), a key that is too long.
 *
 * Threads: any, any process.  Words are atomic, since a slow reader may read what is written again.
 */
#include <poll.h>
#include <string.h>

#include "base/assert.h"
#include "cache/generation.h"

enum {
    CELL_BYTES = 64,
    CELLS = GENERATION_RING_BYTES / CELL_BYTES,
    HEAD_BYTES = 24,
    WORDS = CELL_BYTES / 8,
    CELLS_MAX = (HEAD_BYTES + GENERATION_RING_KEY_MAX + CELL_BYTES - 1) / CELL_BYTES,
    WAIT_TRIES = 4, /* milliseconds */
};

static_assert((CELLS & (CELLS - 1)) == 0, "cells are numbered modulo a power of two");

static _Atomic uint64_t *word_at(const generations *table, uint64_t cell, uint32_t word)
{
    _Atomic uint64_t *words = (void *)table->ring;
    return &words[((cell + word / WORDS) & (CELLS - 1)) * WORDS + word % WORDS];
}

static uint32_t cells_of(uint32_t size)
{
    return (HEAD_BYTES + size + CELL_BYTES - 1) / CELL_BYTES;
}

static uint64_t sum_of(uint64_t cell, uint64_t what, const void *key, uint32_t size)
{
    return brisk_hash64(key, size, cell * UINT64_C(0x9e3779b97f4a7c15) ^ what);
}

uint64_t generations_ring_tail(const generations *table)
{
    /* Acquire: pairs with the adding in tell, after the tiers changed. */
    return atomic_load_explicit(&table->head->ring_tail, memory_order_acquire);
}

void generations_ring_tell(generations *table, const brisk_key *key)
{
    generation_head *head = table->head;
    /* What changed is there before the users are counted: see above. */
    atomic_thread_fence(memory_order_seq_cst);
    if (table->fd < 0 || atomic_load_explicit(&head->users, memory_order_seq_cst) < 2) {
        return;
    }
    uint32_t size = key->size <= GENERATION_RING_KEY_MAX ? (uint32_t)key->size : 0;
    uint32_t cells = cells_of(size);
    uint64_t cell = atomic_fetch_add_explicit(&head->ring_tail, cells, memory_order_acq_rel);
    uint64_t what = (uint64_t)table->user << 32 | size;
    atomic_store_explicit(word_at(table, cell, 1), sum_of(cell, what, key->bytes, size),
                          memory_order_relaxed);
    atomic_store_explicit(word_at(table, cell, 2), what, memory_order_relaxed);
    for (uint32_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, (const char *)key->bytes + at, size - at < 8 ? size - at : 8);
        atomic_store_explicit(word_at(table, cell, (HEAD_BYTES + at) / 8), word,
                              memory_order_relaxed);
    }
    /* Release: who sees the mark sees the record. */
    atomic_store_explicit(word_at(table, cell, 0), cell + 1, memory_order_release);
}

/* Wait for the mark of a record that is reserved. */
static bool is_there(const generations *table, uint64_t cell)
{
    for (int tries = 0; tries < WAIT_TRIES; tries++) {
        if (atomic_load_explicit(word_at(table, cell, 0), memory_order_acquire) == cell + 1) {
            return true;
        }
        (void)poll(NULL, 0, tries > 0 ? 1 : 0);
    }
    return false;
}

generation_told generations_ring_next(const generations *table, uint64_t *cursor,
                                      unsigned char key[GENERATION_RING_KEY_MAX],
                                      uint32_t *ret_size)
{
    uint64_t cell = *cursor;
    uint64_t tail = generations_ring_tail(table);
    if (cell == tail) {
        return GENERATION_TOLD_ALL;
    }
    *cursor = tail; /* where to go on when this is lost */
    if (tail - cell > CELLS - CELLS_MAX || !is_there(table, cell)) {
        return GENERATION_TOLD_LOST;
    }
    uint64_t sum = atomic_load_explicit(word_at(table, cell, 1), memory_order_relaxed);
    uint64_t what = atomic_load_explicit(word_at(table, cell, 2), memory_order_relaxed);
    uint32_t size = (uint32_t)what;
    if (size == 0 || size > GENERATION_RING_KEY_MAX) {
        return GENERATION_TOLD_LOST;
    }
    for (uint32_t at = 0; at < size; at += 8) {
        uint64_t word =
            atomic_load_explicit(word_at(table, cell, (HEAD_BYTES + at) / 8), memory_order_relaxed);
        memcpy(key + at, &word, size - at < 8 ? size - at : 8);
    }
    if (sum != sum_of(cell, what, key, size)) {
        return GENERATION_TOLD_LOST;
    }
    *cursor = cell + cells_of(size);
    *ret_size = size;
    return what >> 32 == table->user ? GENERATION_TOLD_OWN : GENERATION_TOLD_KEY;
}
