/*
 * predict_model.h -- what followed what: contexts with their likeliest successors.
 *
 * A context is a 64-bit hash (of the last key, or of the last two), a successor a 32-bit tag of a
 * key.  Contexts live in buckets of one cache line, four each; a new one takes the place of the one
 * that was confirmed least and longest ago.  The two likeliest successors are named, the others
 * only counted: above a probability of one half there is just one anyway.
 *
 * Counts are halved when they reach MODEL_COUNT_MAX together, so that the last few dozen
 * occurrences decide.
 *
 * Threads: the caller's lock.
 * Source:  J. Misra and D. Gries, "Finding repeated elements", 1982 (the candidate that is
 *          counted down by others until it is replaced).
 */
#ifndef BRISK_SRC_CACHE_PREDICT_MODEL_H
#define BRISK_SRC_CACHE_PREDICT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { MODEL_SLOTS = 4, MODEL_NAMED = 2, MODEL_COUNT_MAX = 64, MODEL_BUCKET_BYTES = 64 };

typedef struct model_slot {
    uint32_t check; /* of the context; 0: free */
    uint32_t next[MODEL_NAMED];
    uint8_t count[MODEL_NAMED]; /* count[0] >= count[1] */
    uint8_t other;
    uint8_t age; /* epoch of its last occurrence */
} model_slot;

typedef struct model_bucket {
    _Alignas(MODEL_BUCKET_BYTES) model_slot slots[MODEL_SLOTS];
} model_bucket;

typedef struct predict_model {
    model_bucket *buckets; /* the owner's storage, zeroed */
    uint32_t bucket_count;
    uint64_t learned; /* since the epoch began */
    uint8_t epoch;
} predict_model;

typedef struct model_guess {
    uint32_t tag;
    uint32_t count; /* how often it followed ... */
    uint32_t total; /* ... of how many occurrences of the context */
} model_guess;

/* `tag` followed `context`.  How often it is known to have, 1 or more. */
uint32_t predict_model_learn(predict_model *model, uint64_t context, uint32_t tag);
/* The likeliest successor; false when the context is not known. */
bool predict_model_guess(const predict_model *model, uint64_t context, model_guess *ret);

static inline uint64_t predict_mix(uint64_t x)
{
    /* Source: P. Evensen, "rrxmrrxmsx" family; constant of Pelle Evensen's nasam. */
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

static inline uint64_t predict_context1(uint32_t last)
{
    return predict_mix(last + UINT64_C(0x1234567890));
}

static inline uint64_t predict_context2(uint32_t before, uint32_t last)
{
    return predict_mix(((uint64_t)before << 32 | last) * UINT64_C(0x9e3779b97f4a7c15));
}

#endif /* BRISK_SRC_CACHE_PREDICT_MODEL_H */
