/*
 * predict_keys.h -- the bytes of keys that may be guessed, found by their 32-bit tag.
 *
 * A log that goes round in a fixed piece of memory, and an index of buckets of eight.  A key that is
 * stored again after the log has gone most of a round is written again, so that what is in use
 * stays and the rest is overwritten in the end.
 *
 * Two keys with one tag take each other's place: then the wrong one of them is guessed now and
 * then, which costs a load.
 *
 * Threads: the caller's lock.
 */
#ifndef BRISK_SRC_CACHE_PREDICT_KEYS_H
#define BRISK_SRC_CACHE_PREDICT_KEYS_H

#include <stddef.h>
#include <stdint.h>

enum { KEYS_UNIT = 8, KEYS_WAYS = 8 };

typedef struct keys_bucket {
    _Alignas(64) uint32_t tags[KEYS_WAYS]; /* 0: free */
    uint32_t at[KEYS_WAYS];                /* unit of the log, counted from the beginning of time */
} keys_bucket;

typedef struct predict_keys {
    keys_bucket *buckets; /* the owner's storage, zeroed */
    unsigned char *log;   /* likewise, 8-aligned */
    uint32_t bucket_count;
    uint32_t log_units; /* below 2^30 */
    uint64_t head;      /* unit that is written next */
} predict_keys;

/* Keep `size` bytes (1 .. 64 KiB - 1) under `tag`; too large for the log: not kept. */
void predict_keys_store(predict_keys *keys, uint32_t tag, const void *bytes, size_t size);
/* The bytes, valid until the next store, or NULL. */
const unsigned char *predict_keys_find(const predict_keys *keys, uint32_t tag, size_t *ret_size);

#endif /* BRISK_SRC_CACHE_PREDICT_KEYS_H */
