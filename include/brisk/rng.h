/*
 * brisk/rng.h -- random numbers with an explicit seed, so that every random test can be replayed.
 *
 * Not for secrets.  One thread at a time per state.
 * Source:  D. Blackman and S. Vigna, xoshiro256**, https://prng.di.unimi.it (algorithm).
 */
#ifndef BRISK_RNG_H
#define BRISK_RNG_H

#include <stdint.h>

#include <brisk/base.h>

BRISK_BEGIN_DECLS

typedef struct brisk_rng {
    uint64_t s[4];
} brisk_rng;

BRISK_API void brisk_rng_init(brisk_rng *rng, uint64_t seed);
BRISK_API uint64_t brisk_rng_next(brisk_rng *rng);
/** Uniform in 0 .. bound - 1; bound 0 gives 0. */
BRISK_API uint64_t brisk_rng_below(brisk_rng *rng, uint64_t bound);

BRISK_END_DECLS

#endif /* BRISK_RNG_H */
