/*
 * rng.c -- xoshiro256** behind <brisk/rng.h>, seeded by splitmix64.
 *
 * splitmix64 fills the state because it never gives four zeros in a row, the one state from which
 * xoshiro does not move, and because near seeds must not give near sequences.
 */
#include <brisk/rng.h>

__extension__ typedef unsigned __int128 u128;

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

void brisk_rng_init(brisk_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        rng->s[i] = splitmix(&seed);
    }
}

uint64_t brisk_rng_next(brisk_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/*
 * The high half of next * bound is in range; it is biased only where the low half falls below
 * 2^64 mod bound, and those draws are thrown away.  The division runs only when it might matter.
 * Source: D. Lemire, Fast random integer generation in an interval, 2019.
 */
uint64_t brisk_rng_below(brisk_rng *rng, uint64_t bound)
{
    u128 product = (u128)brisk_rng_next(rng) * bound;
    if ((uint64_t)product < bound) {
        uint64_t biased = (0 - bound) % bound;
        while ((uint64_t)product < biased) {
            product = (u128)brisk_rng_next(rng) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}
