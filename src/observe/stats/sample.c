/*
 * sample.c -- figures of one sample, the normal distribution, and p values looked at together.
 *
 * Outliers are told by the modified z score, |x - median| > 3.5 * 1.4826 * MAD: mean and standard
 * deviation are what outliers bend first.  They are counted, never removed.
 *
 * Sources: B. Iglewicz, D. Hoaglin, How to Detect and Handle Outliers, 1993 (3.5);
 *          R. Hyndman, Y. Fan, Sample Quantiles in Statistical Packages, 1996 (type 7).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/stats.h>

#include "base/assert.h"
#include "observe/stats/internal.h"

static const double outlier_mads = 3.5 * 1.4826;

const brisk_alloc *stats_alloc(const brisk_alloc *alloc)
{
    return alloc != NULL ? alloc : brisk_alloc_libc();
}

double *stats_doubles(const brisk_alloc *alloc, uint32_t count)
{
    return alloc->acquire(alloc->ctx, (size_t)count * sizeof(double), _Alignof(double));
}

void stats_free_doubles(const brisk_alloc *alloc, double *values, uint32_t count)
{
    if (values != NULL) {
        alloc->release(alloc->ctx, values, (size_t)count * sizeof(double), _Alignof(double));
    }
}

bool stats_are_finite(const double *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

void brisk_sample_sort(double *values, uint32_t count)
{
    if (count > 1) {
        qsort(values, count, sizeof *values, compare_double);
    }
}

double brisk_sample_median(const double *sorted, uint32_t count)
{
    BRISK_ASSERT(count > 0);
    uint32_t middle = count / 2;
    return count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2.0;
}

double brisk_sample_quantile(const double *sorted, uint32_t count, double q)
{
    BRISK_ASSERT(count > 0 && q >= 0.0 && q <= 1.0);
    double at = q * (count - 1);
    uint32_t below = (uint32_t)at;
    if (below + 1 >= count) {
        return sorted[count - 1];
    }
    return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}

double stats_autocorrelation(const double *values, uint32_t count)
{
    if (count < 4) {
        return 0.0;
    }
    double mean = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        mean += (values[i] - mean) / (i + 1);
    }
    double variance = 0.0;
    double covariance = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        variance += (values[i] - mean) * (values[i] - mean);
        covariance += i > 0 ? (values[i] - mean) * (values[i - 1] - mean) : 0.0;
    }
    return variance > 0.0 ? covariance / variance : 0.0;
}

/** `sorted` holds the values and afterwards their distances from the median. */
static void describe_sorted(double *sorted, uint32_t count, brisk_sample_figures *f)
{
    f->min = sorted[0];
    f->max = sorted[count - 1];
    f->median = brisk_sample_median(sorted, count);
    f->p95 = brisk_sample_quantile(sorted, count, 0.95);
    double mean = 0.0;
    double squares = 0.0; /* Welford: no large sums to subtract from each other */
    for (uint32_t i = 0; i < count; i++) {
        double from_old = sorted[i] - mean;
        mean += from_old / (i + 1);
        squares += from_old * (sorted[i] - mean);
    }
    f->mean = mean;
    f->sd = count > 1 ? sqrt(squares / (count - 1)) : 0.0;
    for (uint32_t i = 0; i < count; i++) {
        sorted[i] = fabs(sorted[i] - f->median);
    }
    brisk_sample_sort(sorted, count);
    f->mad = brisk_sample_median(sorted, count);
}

brisk_err brisk_sample_describe(const double *values, uint32_t count, const brisk_alloc *alloc,
                                brisk_sample_figures *ret)
{
    if (count == 0 || !stats_are_finite(values, count)) {
        return BRISK_ERR_INVALID;
    }
    if (count > BRISK_STATS_VALUES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    alloc = stats_alloc(alloc);
    double *sorted = stats_doubles(alloc, count);
    if (sorted == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(sorted, values, count * sizeof *sorted);
    brisk_sample_sort(sorted, count);
    brisk_sample_figures f = {.count = count};
    describe_sorted(sorted, count, &f);
    stats_free_doubles(alloc, sorted, count);
    f.autocorrelation1 = stats_autocorrelation(values, count);
    for (uint32_t i = 0; i < count && f.mad > 0.0; i++) {
        f.outliers_high += values[i] - f.median > outlier_mads * f.mad ? 1 : 0;
        f.outliers_low += f.median - values[i] > outlier_mads * f.mad ? 1 : 0;
    }
    *ret = f;
    return BRISK_OK;
}

/* --- the normal distribution --------------------------------------------------------------- */

double brisk_normal_cdf(double z)
{
    return erfc(-z / sqrt(2.0)) / 2.0;
}

double brisk_normal_quantile(double p)
{
    if (!(p > 0.0 && p < 1.0)) {
        return p <= 0.0 ? -HUGE_VAL : p >= 1.0 ? HUGE_VAL : (double)NAN;
    }
    /* By halving, in the lower tail, where the distribution function keeps its precision. */
    double tail = p < 0.5 ? p : 1.0 - p;
    double low = -40.0;
    double high = 0.0;
    for (int i = 0; i < 100 && low < high; i++) {
        double middle = (low + high) / 2.0;
        if (brisk_normal_cdf(middle) < tail) {
            low = middle;
        } else {
            high = middle;
        }
    }
    double z = (low + high) / 2.0;
    return p < 0.5 ? z : -z;
}

/* --- many p values ------------------------------------------------------------------------- */

typedef struct ranked {
    double p;
    uint32_t index;
} ranked;

static int compare_ranked(const void *a, const void *b)
{
    const ranked *x = a;
    const ranked *y = b;
    return (x->p > y->p) - (x->p < y->p);
}

static brisk_err adjust(double *p, uint32_t count, const brisk_alloc *alloc, bool holm)
{
    if (count == 0) {
        return BRISK_OK;
    }
    alloc = stats_alloc(alloc);
    ranked *order = alloc->acquire(alloc->ctx, count * sizeof *order, _Alignof(ranked));
    if (order == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        order[i] = (ranked){.p = p[i], .index = i};
    }
    qsort(order, count, sizeof *order, compare_ranked);
    double bound = holm ? 0.0 : 1.0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = holm ? i : count - 1 - i;
        double factor = holm ? (double)(count - at) : (double)count / (at + 1);
        double adjusted = fmin(1.0, order[at].p * factor);
        bound = holm ? fmax(bound, adjusted) : fmin(bound, adjusted);
        p[order[at].index] = bound;
    }
    alloc->release(alloc->ctx, order, count * sizeof *order, _Alignof(ranked));
    return BRISK_OK;
}

brisk_err brisk_adjust_holm(double *p, uint32_t count, const brisk_alloc *alloc)
{
    return adjust(p, count, alloc, true);
}

brisk_err brisk_adjust_bh(double *p, uint32_t count, const brisk_alloc *alloc)
{
    return adjust(p, count, alloc, false);
}
