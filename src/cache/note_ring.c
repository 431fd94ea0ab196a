/*
 * note_ring.c -- the ring behind note_ring.h.
 *
 * Release of `tail` pairs with the reader's acquire: the note's bytes are there.  Release of `head`
 * pairs with the writer's acquire: the reader is done with the bytes that are written over.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/note_ring.h"

enum { SPINS_MAX = 64 };

typedef struct note_sizes {
    uint32_t head;
    uint32_t key;
} note_sizes;

void note_ring_init(note_ring *ring, void *bytes, uint32_t capacity)
{
    BRISK_ASSERT(capacity >= NOTE_RING_MIN && (capacity & (capacity - 1)) == 0);
    ring->bytes = bytes;
    ring->capacity = capacity;
    ring->head_seen = 0;
    atomic_flag_clear(&ring->writing);
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
}

static void copy_in(note_ring *ring, uint64_t at, const void *data, size_t size)
{
    size_t place = at & (ring->capacity - 1);
    size_t first = size < ring->capacity - place ? size : ring->capacity - place;
    if (size > 0) {
        memcpy(ring->bytes + place, data, first);
        memcpy(ring->bytes, (const char *)data + first, size - first);
    }
}

static void copy_out(const note_ring *ring, uint64_t at, void *data, size_t size)
{
    size_t place = at & (ring->capacity - 1);
    size_t first = size < ring->capacity - place ? size : ring->capacity - place;
    memcpy(data, ring->bytes + place, first);
    memcpy((char *)data + first, ring->bytes, size - first);
}

static uint64_t padded(uint64_t size)
{
    return (size + 7) & ~UINT64_C(7);
}

static bool take(note_ring *ring)
{
    for (uint32_t i = 0; i < SPINS_MAX; i++) {
        /* Acquire pairs with the clear below: the other writer's fields are seen. */
        if (!atomic_flag_test_and_set_explicit(&ring->writing, memory_order_acquire)) {
            return true;
        }
    }
    return false;
}

bool note_ring_push(note_ring *ring, const note_parts *note)
{
    BRISK_ASSERT(note->key_size <= NOTE_KEY_MAX);
    note_sizes sizes = {.head = note->head_size, .key = note->key_size};
    uint64_t key_at = sizeof sizes + padded(sizes.head);
    uint64_t bytes = key_at + padded(sizes.key);
    if (!take(ring)) {
        return false;
    }
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail + bytes - ring->head_seen > ring->capacity) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    }
    bool room = tail + bytes - ring->head_seen <= ring->capacity;
    if (room) {
        copy_in(ring, tail, &sizes, sizeof sizes);
        copy_in(ring, tail + sizeof sizes, note->head, sizes.head);
        copy_in(ring, tail + key_at, note->key, sizes.key);
        atomic_store_explicit(&ring->tail, tail + bytes, memory_order_release);
    }
    atomic_flag_clear_explicit(&ring->writing, memory_order_release);
    return room;
}

bool note_ring_pop(note_ring *ring, void *head, uint32_t head_size, unsigned char key[NOTE_KEY_MAX],
                   uint32_t *ret_key_size)
{
    uint64_t at = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (at == atomic_load_explicit(&ring->tail, memory_order_acquire)) {
        return false;
    }
    note_sizes sizes;
    copy_out(ring, at, &sizes, sizeof sizes);
    BRISK_ASSERT(sizes.head == head_size && sizes.key <= NOTE_KEY_MAX);
    uint64_t key_at = sizeof sizes + padded(sizes.head);
    copy_out(ring, at + sizeof sizes, head, head_size);
    copy_out(ring, at + key_at, key, sizes.key);
    atomic_store_explicit(&ring->head, at + key_at + padded(sizes.key), memory_order_release);
    *ret_key_size = sizes.key;
    return true;
}

bool note_ring_is_empty(note_ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire) ==
           atomic_load_explicit(&ring->tail, memory_order_acquire);
}

bool note_ring_is_half_full(note_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    return tail - head > ring->capacity / 2;
}
