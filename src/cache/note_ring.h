/*
 * note_ring.h -- notes of requests on their way to a worker: bytes in a ring.
 *
 * Several threads may share a ring: a flag of one byte keeps their writes apart, and who finds it
 * taken for longer than a moment drops the note instead of waiting.  The reader is one thread and
 * takes no part in that.
 *
 *     note: head bytes (4) | key bytes (4) | head, padded to 8 | key, padded to 8
 *
 * Invariant: tail - head <= capacity; what lies between is whole notes.
 * Threads: any may push; one may pop.
 */
#ifndef BRISK_SRC_CACHE_NOTE_RING_H
#define BRISK_SRC_CACHE_NOTE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NOTE_KEY_MAX = 1024, NOTE_RING_MIN = 8192 };

typedef struct note_ring {
    unsigned char *bytes; /* the owner's storage */
    uint32_t capacity;    /* power of two, NOTE_RING_MIN or more */
    _Alignas(64) atomic_flag writing;
    _Atomic uint64_t tail;              /* written by whoever holds `writing` */
    uint64_t head_seen;                 /* likewise: no need to read the reader's line each time */
    _Alignas(64) _Atomic uint64_t head; /* written by the reader */
} note_ring;

/* A note: a head of a fixed size, 8-aligned, and a key of at most NOTE_KEY_MAX bytes. */
typedef struct note_parts {
    const void *head;
    uint32_t head_size;
    const void *key;
    uint32_t key_size;
} note_parts;

void note_ring_init(note_ring *ring, void *bytes, uint32_t capacity);
/* False: no room, the note is lost. */
bool note_ring_push(note_ring *ring, const note_parts *note);
/* The oldest note: `head_size` bytes of head, and its key; false: empty. */
bool note_ring_pop(note_ring *ring, void *head, uint32_t head_size, unsigned char key[NOTE_KEY_MAX],
                   uint32_t *ret_key_size);
bool note_ring_is_empty(note_ring *ring);
/* Is more than half of it in use?  For the writer's side; a guess. */
bool note_ring_is_half_full(note_ring *ring);

#endif /* BRISK_SRC_CACHE_NOTE_RING_H */
