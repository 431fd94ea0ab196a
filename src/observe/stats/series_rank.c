/*
 * series_rank.c -- order statistics: medians, MAD, ranks, normal scores.
 *
 * Ranks make everything above them indifferent to outliers and to the shape of the noise; normal
 * scores (ranks stretched to a bell) lose next to nothing where the noise is a bell.
 *
 * Source:  G. Blom, Statistical Estimates and Transformed Beta-Variables, 1958 (3/8 and 1/4).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/stats.h>

#include "base/assert.h"
#include "observe/stats/series.h"

void *series_take(const brisk_alloc *alloc, size_t count, size_t size)
{
    if (count > SIZE_MAX / 2 / size) {
        return NULL;
    }
    return alloc->acquire(alloc->ctx, (count != 0 ? count : 1) * size, 64);
}

void series_give(const brisk_alloc *alloc, void *items, size_t count, size_t size)
{
    if (items != NULL) {
        alloc->release(alloc->ctx, items, (count != 0 ? count : 1) * size, 64);
    }
}

bool series_is_finite(const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

void series_sort(double *values, size_t count)
{
    if (count > 1) {
        qsort(values, count, sizeof *values, compare_doubles);
    }
}

double series_quantile_sorted(const double *sorted, size_t count, double q)
{
    BRISK_ASSERT(count > 0);
    double at = q * (double)(count - 1);
    size_t low = (size_t)at;
    if (low + 1 >= count) {
        return sorted[count - 1];
    }
    double share = at - (double)low;
    return sorted[low] * (1 - share) + sorted[low + 1] * share;
}

double series_median(const double *values, size_t count, double *scratch)
{
    memcpy(scratch, values, count * sizeof *values);
    series_sort(scratch, count);
    return series_quantile_sorted(scratch, count, 0.5);
}

double series_mad(const double *values, size_t count, double centre, double *scratch)
{
    for (size_t i = 0; i < count; i++) {
        scratch[i] = fabs(values[i] - centre);
    }
    series_sort(scratch, count);
    return 1.4826 * series_quantile_sorted(scratch, count, 0.5);
}

typedef struct ranked {
    double value;
    size_t at;
} ranked;

static int compare_ranked(const void *a, const void *b)
{
    return compare_doubles(&((const ranked *)a)->value, &((const ranked *)b)->value);
}

brisk_err series_rank(const double *values, size_t count, const brisk_alloc *alloc, double *ranks)
{
    ranked *order = series_take(alloc, count, sizeof *order);
    if (order == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        order[i] = (ranked){values[i], i};
    }
    if (count > 1) {
        qsort(order, count, sizeof *order, compare_ranked);
    }
    for (size_t first = 0, last; first < count; first = last) {
        for (last = first + 1; last < count && order[last].value <= order[first].value;) {
            last++;
        }
        for (size_t i = first; i < last; i++) {
            ranks[order[i].at] = ((double)first + 1 + (double)last) / 2;
        }
    }
    series_give(alloc, order, count, sizeof *order);
    return BRISK_OK;
}

brisk_err series_scores(const double *values, size_t count, const brisk_alloc *alloc,
                        double *scores)
{
    brisk_err err = series_rank(values, count, alloc, scores);
    for (size_t i = 0; i < count && err == BRISK_OK; i++) {
        scores[i] = brisk_normal_quantile((scores[i] - 0.375) / ((double)count + 0.25));
    }
    return err;
}

double series_normal_density(double z)
{
    return exp(-z * z / 2) * 0.39894228040143267794;
}
