/*
 * predict_ring.c -- the ring behind predict_ring.h.
 *
 * Release of `tail` pairs with the reader's acquire: the note's bytes are there.  Release of `head`
 * pairs with the writer's acquire: the reader is done with the bytes that are written over.
 */
#include <assert.h>
#include <string.h>

#include "base/assert.h"
#include "cache/predict_ring.h"

enum { SPINS_MAX = 64 };

static_assert((RING_BYTES & (RING_BYTES - 1)) == 0, "ring: a power of two");
static_assert(sizeof(predict_note) % 8 == 0, "notes stay aligned");

static void copy_in(predict_ring *ring, uint64_t at, const void *data, size_t size)
{
    size_t place = at & (RING_BYTES - 1);
    size_t first = size < RING_BYTES - place ? size : RING_BYTES - place;
    memcpy(ring->bytes + place, data, first);
    memcpy(ring->bytes, (const char *)data + first, size - first);
}

static void copy_out(const predict_ring *ring, uint64_t at, void *data, size_t size)
{
    size_t place = at & (RING_BYTES - 1);
    size_t first = size < RING_BYTES - place ? size : RING_BYTES - place;
    memcpy(data, ring->bytes + place, first);
    memcpy((char *)data + first, ring->bytes, size - first);
}

static uint64_t padded(uint64_t size)
{
    return (size + 7) & ~UINT64_C(7);
}

static bool take(predict_ring *ring)
{
    for (uint32_t i = 0; i < SPINS_MAX; i++) {
        /* Acquire pairs with the clear below: the other writer's fields are seen. */
        if (!atomic_flag_test_and_set_explicit(&ring->writing, memory_order_acquire)) {
            return true;
        }
    }
    return false;
}

bool predict_ring_push(predict_ring *ring, uint64_t stream, const brisk_key *key, bool hit)
{
    predict_note note = {
        .hash_hi = key->hash.hi,
        .stream = stream,
        .size = key->size <= RING_KEY_MAX ? (uint32_t)key->size : 0,
        .hit = hit ? 1 : 0,
    };
    uint64_t bytes = sizeof note + padded(note.size);
    if (!take(ring)) {
        return false;
    }
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail + bytes - ring->head_seen > RING_BYTES) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    }
    bool room = tail + bytes - ring->head_seen <= RING_BYTES;
    if (room) {
        copy_in(ring, tail, &note, sizeof note);
        copy_in(ring, tail + sizeof note, key->bytes, note.size);
        atomic_store_explicit(&ring->tail, tail + bytes, memory_order_release);
    }
    atomic_flag_clear_explicit(&ring->writing, memory_order_release);
    return room;
}

bool predict_ring_pop(predict_ring *ring, predict_note *note, unsigned char key[RING_KEY_MAX])
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire)) {
        return false;
    }
    copy_out(ring, head, note, sizeof *note);
    BRISK_ASSERT(note->size <= RING_KEY_MAX);
    copy_out(ring, head + sizeof *note, key, note->size);
    atomic_store_explicit(&ring->head, head + sizeof *note + padded(note->size),
                          memory_order_release);
    return true;
}

bool predict_ring_is_empty(predict_ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire) ==
           atomic_load_explicit(&ring->tail, memory_order_acquire);
}
