/*
 * hash_wide.h -- XXH3 over many bytes, in registers of 256 bits where the processor has them.
 *
 * The hash is the same everywhere, whatever computes it: keys on disk and ETags stay what they are.
 *
 * Threads: any.
 */
#ifndef BRISK_SRC_BASE_HASH_WIDE_H
#define BRISK_SRC_BASE_HASH_WIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/hash.h>

/* From so many bytes on XXH3 works in stripes, which is what wide registers are for. */
enum { HASH_WIDE_MIN = 241 };

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

static inline bool hash_wide_exists(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

/* Only where it exists, `size` not below HASH_WIDE_MIN. */
uint64_t hash_wide_64(const void *data, size_t size, uint64_t seed);
brisk_hash128 hash_wide_128(const void *data, size_t size, uint64_t seed);

#else

static inline bool hash_wide_exists(void)
{
    return false;
}

static inline uint64_t hash_wide_64(const void *data, size_t size, uint64_t seed)
{
    (void)data;
    (void)size;
    return seed;
}

static inline brisk_hash128 hash_wide_128(const void *data, size_t size, uint64_t seed)
{
    (void)data;
    (void)size;
    return (brisk_hash128){.lo = seed};
}

#endif

#endif /* BRISK_SRC_BASE_HASH_WIDE_H */
