/*
 * series.h -- what the files about series share: arrays, ranks, quantiles, the normal distribution,
 * and the steps of the search for change points.
 */
#ifndef BRISK_SRC_OBSERVE_STATS_SERIES_H
#define BRISK_SRC_OBSERVE_STATS_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

/* `count` items of `size` bytes, or NULL; both sides are told the same numbers. */
void *series_take(const brisk_alloc *alloc, size_t count, size_t size);
/* NULL is accepted. */
void series_give(const brisk_alloc *alloc, void *items, size_t count, size_t size);

bool series_is_finite(const double *values, size_t count);
void series_sort(double *values, size_t count);
/* Quantile of sorted values with linear interpolation (type 7); count > 0. */
double series_quantile_sorted(const double *sorted, size_t count, double q);
/* Median of `values`; `scratch` has room for as many.  count > 0. */
double series_median(const double *values, size_t count, double *scratch);
/* Median of |value - centre|, times 1.4826: the standard deviation of normal values. */
double series_mad(const double *values, size_t count, double centre, double *scratch);

/* Ranks 1..count, the mean rank for equal values.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err series_rank(const double *values, size_t count, const brisk_alloc *alloc,
                                      double *ranks);
/* Normal scores: the quantile of the normal distribution at (rank - 3/8) / (count + 1/4). */
BRISK_NODISCARD brisk_err series_scores(const double *values, size_t count,
                                        const brisk_alloc *alloc, double *scores);
/* Density of the standard normal distribution. */
double series_normal_density(double z);

/* ED-PELT ------------------------------------------------------------------------------------- */

typedef struct series_edpelt_opts {
    double penalty; /* of one change */
    size_t min_segment;
    const brisk_alloc *alloc;
} series_edpelt_opts;

/* Positions where a segment begins, 0 not among them, in increasing order. */
typedef struct series_positions {
    size_t *items;
    size_t count;
    size_t capacity;
    const brisk_alloc *alloc;
} series_positions;

void series_positions_deinit(series_positions *positions);

/* The segmentation of least cost.  Errors: NOMEM; *ret is then untouched. */
BRISK_NODISCARD brisk_err series_edpelt(const double *values, size_t count,
                                        const series_edpelt_opts *opts, series_positions *ret);

/* One step in a stretch ------------------------------------------------------------------------ */

typedef struct series_stretch {
    const double *values; /* without outliers, the noise near 1 */
    size_t count;
    size_t edge;  /* fewest values on either side of a step; 2 * edge <= count */
    double *rest; /* scratch, count */
} series_stretch;

typedef struct series_shift {
    size_t at;      /* likely place: index of the first value of the new level */
    size_t peak;    /* the single likeliest place */
    double z;       /* size of the largest step in its standard errors */
    double phi;     /* correlation of neighbours around it, 0..0.99 */
    double p_value; /* chance of as large a step anywhere in a steady stretch */
} series_shift;

/*
 * Correlation of neighbours, 0..0.99, from differences over one and two places, which a few steps do
 * not disturb.  `scores` of the whole series.
 */
double series_autocorrelation(const double *scores, size_t count);

series_shift series_shift_best(const series_stretch *stretch);

#endif /* BRISK_SRC_OBSERVE_STATS_SERIES_H */
