/*
 * hash_wide.c -- xxHash once more, compiled for AVX2; see hash_wide.h.
 *
 * The library is built for any x86-64, so the compiler may use AVX2 in this file alone, and nobody
 * comes here before the processor was asked.
 */
#include "base/hash_wide.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

#    pragma GCC target("avx2")

#    define XXH_INLINE_ALL
#    define XXH_NO_STDLIB
#    include <xxhash.h>

#    if XXH_VECTOR != XXH_AVX2
#        error "xxHash does not see that it may use AVX2"
#    endif

uint64_t hash_wide_64(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

brisk_hash128 hash_wide_128(const void *data, size_t size, uint64_t seed)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(data, size, seed);
    return (brisk_hash128){.lo = hash.low64, .hi = hash.high64};
}

#endif
