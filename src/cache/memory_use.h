/*
 * memory_use.h -- hits, last use and the pause between uses of an entry, in one word.
 *
 *     last use, seconds 32 | pause, milliseconds as 5 bits of exponent and 11 of mantissa | hits 16
 *
 * The pause is an average that moves a quarter of the way to each new one.  It predicts the next
 * use: last use + pause.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_USE_H
#define BRISK_SRC_CACHE_MEMORY_USE_H

#include <stdint.h>

enum { USE_MANTISSA_BITS = 11, USE_HITS_MAX = 65535 };

static inline uint64_t use_pack(uint32_t last_s, uint32_t pause, uint32_t hits)
{
    return (uint64_t)last_s << 32 | (uint64_t)pause << 16 | hits;
}

static inline uint32_t use_last_s(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline uint32_t use_hits(uint64_t word)
{
    return (uint32_t)word & USE_HITS_MAX;
}

static inline uint64_t use_pause_ms(uint64_t word)
{
    uint32_t pause = (uint32_t)(word >> 16) & 65535;
    return (uint64_t)(pause & ((1u << USE_MANTISSA_BITS) - 1)) << (pause >> USE_MANTISSA_BITS);
}

static inline uint32_t use_pack_pause(uint64_t ms)
{
    uint32_t exponent = 0;
    while (ms >> exponent >= 1u << USE_MANTISSA_BITS && exponent < 31) {
        exponent++;
    }
    uint64_t mantissa = ms >> exponent;
    uint64_t most = (1u << USE_MANTISSA_BITS) - 1;
    return exponent << USE_MANTISSA_BITS | (uint32_t)(mantissa < most ? mantissa : most);
}

/* The word after a use at `now_s`; a clock that jumped back makes no pause. */
static inline uint64_t use_again(uint64_t word, uint32_t now_s)
{
    uint32_t last = use_last_s(word);
    uint64_t pause = now_s > last ? (uint64_t)(now_s - last) * 1000 : 0;
    uint32_t hits = use_hits(word);
    uint64_t old = use_pause_ms(word);
    uint64_t mean = hits == 0 ? pause : (old * 3 + pause + 2) / 4;
    return use_pack(now_s, use_pack_pause(mean), hits < USE_HITS_MAX ? hits + 1 : hits);
}

#endif /* BRISK_SRC_CACHE_MEMORY_USE_H */
