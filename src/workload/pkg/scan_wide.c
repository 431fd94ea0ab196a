/*
 * scan_wide.c -- the paths for x86-64 with AVX2 or AVX-512, beside carry-less multiplication.
 *
 * A bit of `in_string` is the parity of the quotes up to it: the prefix-xor of the quotes, which is
 * their carry-less product with all ones.  A byte below 0x20 and one above 0x7f are both below 0x20
 * as signed numbers; '{' and '[', '}' and ']' differ in the bit 0x20 only.
 *
 * Source: scan.h.
 */
#include "workload/pkg/scan.h"

#if defined(__x86_64__)

#    include <immintrin.h>

/* The masks of 64 bytes, as one path finds them. */
typedef struct masks {
    uint64_t quotes;
    uint64_t backslashes;
    uint64_t opens;
    uint64_t closes;
    uint64_t odd; /* control characters and above 0x7f */
} masks;

__attribute__((target("pclmul,sse4.1"), always_inline)) static inline uint64_t parity(uint64_t bits)
{
    __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)bits), _mm_set1_epi8(-1), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* From masks of a block to its bits. */
__attribute__((target("pclmul,sse4.1"), always_inline)) static inline scan_block block_of(
    masks m, scan_carry *carry)
{
    uint64_t quotes = m.quotes & ~scan_escaped(m.backslashes, carry);
    uint64_t in_string = parity(quotes) ^ carry->in_string;
    carry->in_string = (uint64_t)((int64_t)in_string >> 63);
    return (scan_block){
        .quotes = quotes,
        .opens = m.opens & ~in_string,
        .closes = m.closes & ~in_string,
        .special = m.odd | m.backslashes,
    };
}

/* --- AVX2 ------------------------------------------------------------------------------------- */

__attribute__((target("avx2"), always_inline)) static inline uint64_t join(__m256i low,
                                                                           __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high)
                                                     << 32;
}

__attribute__((target("avx2"), always_inline)) static inline uint64_t equal(__m256i low,
                                                                            __m256i high, char c)
{
    __m256i wanted = _mm256_set1_epi8(c);
    return join(_mm256_cmpeq_epi8(low, wanted), _mm256_cmpeq_epi8(high, wanted));
}

__attribute__((target("avx2,pclmul"))) void scan_blocks_avx2(const char *text, size_t count,
                                                             scan_carry *carry, scan_block *ret)
{
    const __m256i bit = _mm256_set1_epi8(0x20);
    for (size_t i = 0; i < count; i++) {
        const __m256i *at = (const void *)(text + i * SCAN_BLOCK_BYTES);
        __m256i low = _mm256_loadu_si256(at);
        __m256i high = _mm256_loadu_si256(at + 1);
        __m256i low_same = _mm256_or_si256(low, bit);
        __m256i high_same = _mm256_or_si256(high, bit);
        masks m = {
            .quotes = equal(low, high, '"'),
            .backslashes = equal(low, high, '\\'),
            .opens = equal(low_same, high_same, '{'),
            .closes = equal(low_same, high_same, '}'),
            .odd = join(_mm256_cmpgt_epi8(bit, low), _mm256_cmpgt_epi8(bit, high)),
        };
        ret[i] = block_of(m, carry);
    }
}

/* --- AVX-512 ---------------------------------------------------------------------------------- */

__attribute__((target("avx512bw,pclmul"))) void scan_blocks_avx512(const char *text, size_t count,
                                                                   scan_carry *carry,
                                                                   scan_block *ret)
{
    const __m512i bit = _mm512_set1_epi8(0x20);
    for (size_t i = 0; i < count; i++) {
        __m512i bytes = _mm512_loadu_si512((const void *)(text + i * SCAN_BLOCK_BYTES));
        __m512i same = _mm512_or_si512(bytes, bit);
        masks m = {
            .quotes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"')),
            .backslashes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\')),
            .opens = _mm512_cmpeq_epi8_mask(same, _mm512_set1_epi8('{')),
            .closes = _mm512_cmpeq_epi8_mask(same, _mm512_set1_epi8('}')),
            .odd = _mm512_cmplt_epi8_mask(bytes, bit),
        };
        ret[i] = block_of(m, carry);
    }
}

bool scan_wide_exists(scan_path path)
{
    bool multiplies = __builtin_cpu_supports("pclmul") != 0;
    return path == SCAN_AVX2     ? multiplies && __builtin_cpu_supports("avx2") != 0
           : path == SCAN_AVX512 ? multiplies && __builtin_cpu_supports("avx512bw") != 0
                                 : false;
}

#else

bool scan_wide_exists(scan_path path)
{
    (void)path;
    return false;
}

void scan_blocks_avx2(const char *text, size_t count, scan_carry *carry, scan_block *ret)
{
    scan_blocks_scalar(text, count, carry, ret);
}

void scan_blocks_avx512(const char *text, size_t count, scan_carry *carry, scan_block *ret)
{
    scan_blocks_scalar(text, count, carry, ret);
}

#endif
