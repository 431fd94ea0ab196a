/*
 * series_trend.c -- is it rising, how fast, and when does it reach a limit.
 *
 * Theil-Sen: the median of the slopes of all pairs of points; an outlier moves it little.  Mann-Kendall
 * counts the pairs that rise and those that fall: S is their difference, its variance is that of random
 * order, corrected for ties; the interval of the slope are the order statistics of the same slopes that
 * belong to it.  Both hold for any noise that is independent; for neighbours that resemble each other
 * the variance is raised by what their correlation leaves of the number of points.
 *
 * More than PAIR_POINTS points are taken in groups of equal size, each by the median of its values and
 * the mean of its times: all pairs would be quadratic, and medians of groups know the slope as well.
 *
 * Sources: P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, JASA 63, 1968;
 *          M. G. Kendall, Rank Correlation Methods; K. H. Hamed, A. R. Rao, A modified Mann-Kendall
 *          trend test for autocorrelated data, Journal of Hydrology 204, 1998 (the idea).
 */
#include <math.h>
#include <string.h>

#include <brisk/stats.h>

#include "base/assert.h"
#include "observe/stats/series.h"

enum { PAIR_POINTS = 1000 };

typedef struct points {
    const brisk_alloc *alloc;
    double *times;
    double *values;
    size_t count;
    double *slopes; /* of pairs, count * (count - 1) / 2 */
    size_t slope_count;
    size_t slope_capacity;
} points;

static void points_free(points *p, size_t capacity)
{
    series_give(p->alloc, p->times, capacity, sizeof *p->times);
    series_give(p->alloc, p->values, capacity, sizeof *p->values);
    series_give(p->alloc, p->slopes, p->slope_capacity, sizeof *p->slopes);
}

/* Groups of neighbours, so that there are at most PAIR_POINTS. */
static void points_group(points *p, const double *times, const double *values, size_t count)
{
    size_t group = (count + PAIR_POINTS - 1) / PAIR_POINTS;
    for (size_t at = 0; at < count; at += group) {
        size_t length = count - at < group ? count - at : group;
        double sum = 0;
        for (size_t i = 0; i < length; i++) {
            sum += times != NULL ? times[at + i] - times[0] : (double)(at + i);
        }
        p->times[p->count] = sum / (double)length;
        p->values[p->count++] = series_median(values + at, length, p->slopes);
    }
}

/* Fills the slopes; returns Mann-Kendall's S. */
static double pairs_walk(points *p)
{
    double s = 0;
    for (size_t i = 0; i < p->count; i++) {
        for (size_t j = i + 1; j < p->count; j++) {
            double rise = p->values[j] - p->values[i];
            double run = p->times[j] - p->times[i];
            s += (rise > 0) - (rise < 0);
            if (run > 0) {
                p->slopes[p->slope_count++] = rise / run;
            }
        }
    }
    return s;
}

/* Variance of S in random order; `sorted` values, for the ties. */
static double variance_of_s(const double *sorted, size_t count)
{
    double n = (double)count;
    double variance = n * (n - 1) * (2 * n + 5);
    for (size_t first = 0, last; first < count; first = last) {
        for (last = first + 1; last < count && sorted[last] <= sorted[first];) {
            last++;
        }
        double ties = (double)(last - first);
        variance -= ties * (ties - 1) * (2 * ties + 5);
    }
    return variance / 18;
}

/* Correlation of the neighbours of what the trend leaves over, -> how much less the points say. */
static double correlation_factor(points *p, double slope, double level)
{
    double one = 0;
    double all = 0;
    double last = 0;
    for (size_t i = 0; i < p->count; i++) {
        double rest = p->values[i] - level - slope * p->times[i];
        one += i > 0 ? rest * last : 0;
        all += rest * rest;
        last = rest;
    }
    double phi = all > 0 ? one / all : 0;
    bool notable = phi > 2 / sqrt((double)p->count);
    return notable ? (1 + fmin(phi, 0.99)) / (1 - fmin(phi, 0.99)) : 1;
}

static void estimate(points *p, double confidence, brisk_trend *ret)
{
    double s = pairs_walk(p);
    size_t m = p->slope_count;
    series_sort(p->slopes, m);
    double slope = m > 0 ? series_quantile_sorted(p->slopes, m, 0.5) : 0;
    double n = (double)p->count;
    double *slopes = p->slopes;
    double rests[PAIR_POINTS];
    for (size_t i = 0; i < p->count; i++) {
        rests[i] = p->values[i] - slope * p->times[i];
    }
    series_sort(rests, p->count);
    double level = series_quantile_sorted(rests, p->count, 0.5);
    ret->correction = correlation_factor(p, slope, level);
    memcpy(rests, p->values, p->count * sizeof *rests);
    series_sort(rests, p->count);
    double sigma = sqrt(variance_of_s(rests, p->count) * ret->correction);
    double z = sigma > 0 ? fmax(fabs(s) - 1, 0) / sigma : 0;
    double half = brisk_normal_quantile(0.5 + confidence / 2) * sigma;
    double low = ((double)m - half) / 2;
    double high = ((double)m + half) / 2 + 1;
    ret->slope.estimate = slope;
    ret->slope.low = low >= 1 ? slopes[(size_t)low - 1] : -HUGE_VAL;
    ret->slope.high = high <= (double)m ? slopes[(size_t)ceil(high) - 1] : HUGE_VAL;
    ret->slope.p = 2 * brisk_normal_cdf(-z);
    ret->tau = s / (n * (n - 1) / 2);
    ret->level = level + slope * p->times[p->count - 1];
}

brisk_err brisk_trend_find(const brisk_series *series, const brisk_alloc *alloc, brisk_trend *ret)
{
    size_t count = series->count;
    if (!series_is_finite(series->values, count) ||
        (series->times != NULL && !series_is_finite(series->times, count))) {
        return BRISK_ERR_INVALID;
    }
    if (count < BRISK_TREND_COUNT_MIN) {
        return BRISK_ERR_DECLINED;
    }
    for (size_t i = 1; series->times != NULL && i < count; i++) {
        if (series->times[i] < series->times[i - 1]) {
            return BRISK_ERR_INVALID;
        }
    }
    if (count > BRISK_SERIES_COUNT_MAX) {
        return BRISK_ERR_LIMIT;
    }
    size_t group = (count + PAIR_POINTS - 1) / PAIR_POINTS;
    size_t room = (count + group - 1) / group;
    points p = {.alloc = alloc != NULL ? alloc : brisk_alloc_libc()};
    p.slope_capacity = room * (room - 1) / 2 > group ? room * (room - 1) / 2 : group;
    p.times = series_take(p.alloc, room, sizeof *p.times);
    p.values = series_take(p.alloc, room, sizeof *p.values);
    p.slopes = series_take(p.alloc, p.slope_capacity, sizeof *p.slopes);
    brisk_err err = BRISK_ERR_NOMEM;
    if (p.times != NULL && p.values != NULL && p.slopes != NULL) {
        points_group(&p, series->times, series->values, count);
        brisk_trend out = {.count = count};
        estimate(&p, series->confidence > 0 ? series->confidence : 0.95, &out);
        double span = series->times != NULL ? series->times[count - 1] - series->times[0]
                                            : (double)(count - 1);
        out.level += out.slope.estimate * (span - p.times[p.count - 1]);
        *ret = out;
        err = BRISK_OK;
    }
    points_free(&p, room);
    return err;
}

brisk_err brisk_trend_reaches(const brisk_trend *trend, double limit, brisk_interval *ret)
{
    double way = limit - trend->level;
    double toward = way < 0 ? -1 : 1;
    double fast = toward > 0 ? trend->slope.high : -trend->slope.low;
    double slow = toward > 0 ? trend->slope.low : -trend->slope.high;
    double slope = toward * trend->slope.estimate;
    if (!isfinite(limit)) {
        return BRISK_ERR_INVALID;
    }
    if (!(slope > 0) || !(trend->slope.p <= 0.05)) {
        return BRISK_ERR_DECLINED;
    }
    *ret = (brisk_interval){.estimate = fabs(way) / slope,
                            .low = isfinite(fast) ? fabs(way) / fast : 0,
                            .high = slow > 0 ? fabs(way) / slow : HUGE_VAL,
                            .p = trend->slope.p};
    return BRISK_OK;
}
