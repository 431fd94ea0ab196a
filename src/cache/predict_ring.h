/*
 * predict_ring.h -- notes of requests on their way to the worker: bytes in a ring.
 *
 * Several threads may share a ring: a flag of one byte keeps their writes apart, and who finds it
 * taken for longer than a moment drops the note instead of waiting.  The reader is one thread and
 * takes no part in that.
 *
 *     note: hash.hi (8) | stream (8) | size (4) | hit (4) | key bytes, padded to 8
 *
 * Invariant: tail - head <= RING_BYTES; what lies between is whole notes.
 * Threads: any may push; one may pop.
 */
#ifndef BRISK_SRC_CACHE_PREDICT_RING_H
#define BRISK_SRC_CACHE_PREDICT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/hash.h>

enum { RING_BYTES = 65536, RING_KEY_MAX = 1024 };

typedef struct predict_note {
    uint64_t hash_hi;
    uint64_t stream;
    uint32_t size; /* of the key; 0: longer than RING_KEY_MAX, only the hash is known */
    uint32_t hit;
} predict_note;

typedef struct predict_ring {
    _Alignas(64) atomic_flag writing;
    _Atomic uint64_t tail;              /* written by whoever holds `writing` */
    uint64_t head_seen;                 /* likewise: no need to read the reader's line each time */
    _Alignas(64) _Atomic uint64_t head; /* written by the reader */
    _Alignas(64) unsigned char bytes[RING_BYTES];
} predict_ring;

/* False: no room, the note is lost. */
bool predict_ring_push(predict_ring *ring, uint64_t stream, const brisk_key *key, bool hit);
/* The oldest note and its key; false: empty. */
bool predict_ring_pop(predict_ring *ring, predict_note *note, unsigned char key[RING_KEY_MAX]);
bool predict_ring_is_empty(predict_ring *ring);

#endif /* BRISK_SRC_CACHE_PREDICT_RING_H */
