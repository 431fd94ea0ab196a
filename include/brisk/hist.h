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

/** Add all counts of `src` to `dst`.  Errors: BRISK_ERR_MISMATCH (precisions differ). */
BRISK_API BRISK_NODISCARD brisk_err brisk_hist_merge(brisk_hist *dst, const brisk_hist *src);

BRISK_END_DECLS

#endif /* BRISK_HIST_H */
