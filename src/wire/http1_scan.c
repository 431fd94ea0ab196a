/*
 * http1_scan.c -- the three paths behind http1_scan.h.
 *
 * A byte is a control character when it is at most 0x1f as an unsigned number, which is what the minimum of both says
 * (there is no unsigned comparison before AVX-512).  Ends of less than a vector are read with a mask where the processor
 * has one, else in halves and bytes: nothing behind `size` is touched.
 */
#include "wire/http1_scan.h"

#include <stdatomic.h>
#include <stdint.h>

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool is_no_target(unsigned char c)
{
    return c <= 0x20 || c >= 0x7f || c == '#';
}

static size_t find_control(const unsigned char *data, size_t at, size_t size)
{
    while (at < size && !is_control(data[at])) {
        at++;
    }
    return at;
}

static size_t find_no_target(const unsigned char *data, size_t at, size_t size)
{
    while (at < size && !is_no_target(data[at])) {
        at++;
    }
    return at;
}

#if defined(__x86_64__)

#    include <immintrin.h>

/* --- AVX2 --------------------------------------------------------------------------------- */

__attribute__((target("avx2"), always_inline)) static inline uint32_t controls_32(__m256i bytes)
{
    __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
    __m256i tab = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\t'));
    __m256i del = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f));
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_andnot_si256(tab, low), del));
}

__attribute__((target("avx2"), always_inline)) static inline uint32_t controls_16(__m128i bytes)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

__attribute__((target("avx2"))) static size_t find_control_avx2(const unsigned char *data,
                                                                size_t size)
{
    size_t at = 0;
    for (; size - at >= 32; at += 32) {
        uint32_t found = controls_32(_mm256_loadu_si256((const void *)(data + at)));
        if (found != 0) {
            return at + (size_t)__builtin_ctz(found);
        }
    }
    if (size - at >= 16) {
        uint32_t found = controls_16(_mm_loadu_si128((const void *)(data + at)));
        if (found != 0) {
            return at + (size_t)__builtin_ctz(found);
        }
        at += 16;
    }
    return find_control(data, at, size);
}

__attribute__((target("avx2"))) static size_t find_no_target_avx2(const unsigned char *data,
                                                                  size_t size)
{
    size_t at = 0;
    for (; size - at >= 32; at += 32) {
        __m256i bytes = _mm256_loadu_si256((const void *)(data + at));
        __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x20)), bytes);
        __m256i high = _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, _mm256_set1_epi8(0x7f)), bytes);
        __m256i mark = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('#'));
        uint32_t found =
            (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(low, high), mark));
        if (found != 0) {
            return at + (size_t)__builtin_ctz(found);
        }
    }
    return find_no_target(data, at, size);
}

/* --- AVX-512 ------------------------------------------------------------------------------ */

/* As many of the 64 bytes at `at` as there are; the others are blanks, or what `fill` is. */
#    define LOAD_REST(data, at, size, there, fill)                                                 \
        __mmask64 there =                                                                          \
            (size) - (at) >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << ((size) - (at))) - 1;             \
        __m512i bytes =                                                                            \
            _mm512_mask_loadu_epi8(_mm512_set1_epi8(fill), there, (const void *)((data) + (at)))

__attribute__((target("avx512bw"))) static size_t find_control_avx512(const unsigned char *data,
                                                                      size_t size)
{
    for (size_t at = 0; at < size; at += 64) {
        LOAD_REST(data, at, size, there, ' ');
        uint64_t found = (_mm512_cmple_epu8_mask(bytes, _mm512_set1_epi8(0x1f)) &
                          ~_mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\t'))) |
                         _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(0x7f));
        if (found != 0) {
            return at + (size_t)__builtin_ctzll(found);
        }
    }
    return size;
}

__attribute__((target("avx512bw"))) static size_t find_no_target_avx512(const unsigned char *data,
                                                                        size_t size)
{
    for (size_t at = 0; at < size; at += 64) {
        LOAD_REST(data, at, size, there, 'a');
        uint64_t found = _mm512_cmple_epu8_mask(bytes, _mm512_set1_epi8(0x20)) |
                         _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(0x7f)) |
                         _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('#'));
        if (found != 0) {
            return at + (size_t)__builtin_ctzll(found);
        }
    }
    return size;
}

bool http1_path_exists(http1_path path)
{
    return path == HTTP1_AVX2     ? __builtin_cpu_supports("avx2") != 0
           : path == HTTP1_AVX512 ? __builtin_cpu_supports("avx512bw") != 0
                                  : path != HTTP1_PATH_COUNT;
}

#else

bool http1_path_exists(http1_path path)
{
    return path == HTTP1_BEST || path == HTTP1_SCALAR;
}

static size_t find_control_avx2(const unsigned char *data, size_t size)
{
    return find_control(data, 0, size);
}

static size_t find_control_avx512(const unsigned char *data, size_t size)
{
    return find_control(data, 0, size);
}

static size_t find_no_target_avx2(const unsigned char *data, size_t size)
{
    return find_no_target(data, 0, size);
}

static size_t find_no_target_avx512(const unsigned char *data, size_t size)
{
    return find_no_target(data, 0, size);
}

#endif

http1_path http1_path_best(void)
{
    static _Atomic int best; /* relaxed: whoever looks first writes what all would */
    int path = atomic_load_explicit(&best, memory_order_relaxed);
    if (path == HTTP1_BEST) {
        path = http1_path_exists(HTTP1_AVX512) ? HTTP1_AVX512
               : http1_path_exists(HTTP1_AVX2) ? HTTP1_AVX2
                                               : HTTP1_SCALAR;
        atomic_store_explicit(&best, path, memory_order_relaxed);
    }
    return (http1_path)path;
}

size_t http1_find_control(http1_path path, const unsigned char *data, size_t size)
{
    path = path == HTTP1_BEST ? http1_path_best() : path;
    return path == HTTP1_AVX512 ? find_control_avx512(data, size)
           : path == HTTP1_AVX2 ? find_control_avx2(data, size)
                                : find_control(data, 0, size);
}

size_t http1_find_no_target(http1_path path, const unsigned char *data, size_t size)
{
    path = path == HTTP1_BEST ? http1_path_best() : path;
    return path == HTTP1_AVX512 ? find_no_target_avx512(data, size)
           : path == HTTP1_AVX2 ? find_no_target_avx2(data, size)
                                : find_no_target(data, 0, size);
}
