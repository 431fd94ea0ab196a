/*
 * brisk/hist.h -- fixed-memory histogram with a bounded relative error.
 *
 * Values are uint64_t in one unit chosen by the caller (nanoseconds by convention).  Each
 * power of two is cut into 2^precision_bits equal buckets, so a quantile is never more than
 * 2^-precision_bits above the truth, whatever the range, and recording is a shift and an add.
 *
 * Threads: no locks inside, one thread at a time.  Give every worker its own; merge at rest.
 * Source:  G. Tene, HdrHistogram, http://hdrhistogram.org (bucket idea; arithmetic is ours).
 */
#ifndef BRISK_HIST_H
#define BRISK_HIST_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

typedef struct brisk_hist brisk_hist;

/** A zeroed struct asks for every default, so new fields never break old callers' source. */
typedef struct brisk_hist_opts {
    uint32_t precision_bits;  /**< 1..14; 0 means 7: error below 0.8 %, 58 KiB. */
    const brisk_alloc *alloc; /**< Borrowed, must outlive the histogram; NULL means libc. */
} brisk_hist_opts;

/**
 * Create an empty histogram and store it in *ret; the caller owns it.
 * `opts` may be NULL for all defaults.
 * Errors: BRISK_ERR_INVALID (precision_bits > 14), BRISK_ERR_NOMEM; *ret is then untouched.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_hist_create(const brisk_hist_opts *opts,
                                                      brisk_hist **ret);

/** Free `hist`.  NULL is accepted. */
BRISK_API void brisk_hist_destroy(brisk_hist *hist);

/** Count one value.  Never fails, allocates or blocks. */
BRISK_API void brisk_hist_record(brisk_hist *hist, uint64_t value);

/** Number of values recorded, merges included. */
BRISK_API uint64_t brisk_hist_count(const brisk_hist *hist);

/**
 * Value v such that at least ceil(q * count) recorded values are <= v, for 0 <= q <= 1.
 * Exact or at most 2^-precision_bits too high; 0 when nothing was recorded.  O(buckets).
 */
BRISK_API uint64_t brisk_hist_quantile(const brisk_hist *hist, double q);

/** Smallest and largest recorded value's bucket tops, and the mean; 0 when nothing was recorded. */
BRISK_API uint64_t brisk_hist_min(const brisk_hist *hist);
BRISK_API uint64_t brisk_hist_max(const brisk_hist *hist);
BRISK_API double brisk_hist_mean(const brisk_hist *hist);

/**
 * Standard deviation of all that was recorded, from the buckets' middles; each value is at most
 * half a bucket off.  0 when nothing was recorded.
 */
BRISK_API double brisk_hist_stddev(const brisk_hist *hist);

/** Recorded values <= `value`, those in its bucket included: at most one bucket too many. */
BRISK_API uint64_t brisk_hist_count_to(const brisk_hist *hist, uint64_t value);

/** `count` values between `low` and `top`, both included. */
typedef struct brisk_hist_bucket {
    uint64_t low;
    uint64_t top;
    uint64_t count;
} brisk_hist_bucket;

/**
 * The first bucket at or after *cursor (0 begins) that holds something; false after the last.
 * Buckets come in order of their values.
 */
BRISK_API bool brisk_hist_next(const brisk_hist *hist, uint32_t *cursor, brisk_hist_bucket *ret);

/** Add all counts of `src` to `dst`.  Errors: BRISK_ERR_MISMATCH (precisions differ). */
BRISK_API BRISK_NODISCARD brisk_err brisk_hist_merge(brisk_hist *dst, const brisk_hist *src);

/**
 * Take an earlier state of the same histogram away: what is left was recorded since.
 * Errors: MISMATCH (precisions differ, or `earlier` has more in a bucket; `hist` is untouched).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_hist_subtract(brisk_hist *hist,
                                                        const brisk_hist *earlier);

/** Forget everything recorded. */
BRISK_API void brisk_hist_reset(brisk_hist *hist);

/** Number of the bucket of `value`; the one arithmetic of all histograms here. */
static inline uint32_t brisk_hist_index(uint32_t precision_bits, uint64_t value)
{
    uint32_t shift = 0;
#if defined(__GNUC__)
    if (value >> precision_bits != 0) {
        shift = 63 - (uint32_t)__builtin_clzll(value) - precision_bits;
    }
#else
    while (value >> precision_bits >> shift > 1) {
        shift++;
    }
#endif
    return (shift << precision_bits) + (uint32_t)(value >> shift);
}

BRISK_END_DECLS

#endif /* BRISK_HIST_H */
