/*
 * brisk/stats.h -- statistics for measurements: is it different, when did it change, is it normal
 * now, where is it going.
 *
 * Measurements are not normal: they have outliers, two modes, and neighbours that resemble each
 * other.  Everything here works on ranks, medians and resampling; where a figure is uncertain its
 * interval stands beside it, and where the data do not suffice the answer is a refusal.
 *
 * Threads: functions keep nothing; an object belongs to one thread at a time.
 * Values that are not finite are refused with BRISK_ERR_INVALID.
 */
#ifndef BRISK_STATS_H
#define BRISK_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

/* ------------------------------------------------------------------------------------------------
 * Part 1: comparing samples (compare*.c).
 * --------------------------------------------------------------------------------------------- */

/*
 * Estimates are medians and Hodges-Lehmann shifts; intervals come from ranks (exact for up to 50
 * values) or from a bootstrap.  No value is ever thrown away as an outlier.  Functions that say so
 * sort the caller's array.  `alloc` NULL means libc.
 *
 * Sources: M. Hollander, D. A. Wolfe, Nonparametric Statistical Methods (ranks, Hodges-Lehmann);
 *          B. Efron, Better Bootstrap Confidence Intervals, 1987 (BCa);
 *          S. Holm 1979; Y. Benjamini, Y. Hochberg 1995 (many tests).
 */

enum {
    BRISK_STATS_VALUES_MAX = 1000000, /**< Of one sample. */
    BRISK_STATS_EXACT_MAX = 50,       /**< Up to here the signed-rank interval is exact. */
};

/** What is known of one sample.  All in the unit of the values. */
typedef struct brisk_sample_figures {
    uint32_t count;
    double min;
    double mean;
    double median;
    double p95;
    double max;
    double sd;               /**< Standard deviation, of n - 1; 0 for one value. */
    double mad;              /**< Median absolute deviation from the median, unscaled. */
    uint32_t outliers_high;  /**< Farther than 3.5 scaled MADs above the median. */
    uint32_t outliers_low;   /**< Likewise below. */
    double autocorrelation1; /**< Lag 1, in the order given; 0 for fewer than 4 values. */
} brisk_sample_figures;

/** An estimate with an interval that holds the truth with the confidence that was asked for. */
typedef struct brisk_interval {
    double estimate;
    double low;  /**< -INFINITY when there are too few values to say. */
    double high; /**< INFINITY likewise. */
    double p;    /**< Two-sided probability of as much by chance, were there no shift. */
} brisk_interval;

/** Sorts `values`, ascending. */
BRISK_API void brisk_sample_sort(double *values, uint32_t count);
/** Of sorted values, count > 0. */
BRISK_API double brisk_sample_median(const double *sorted, uint32_t count);
/** 0 <= q <= 1, linear between neighbours (type 7); sorted values, count > 0. */
BRISK_API double brisk_sample_quantile(const double *sorted, uint32_t count, double q);
/** `values` in the order of measurement, left as they are.  Errors: INVALID, LIMIT, NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_sample_describe(const double *values, uint32_t count,
                                                          const brisk_alloc *alloc,
                                                          brisk_sample_figures *ret);

/**
 * Paired shift: the median of all pairwise means of `differences` (Hodges-Lehmann), the interval
 * and p of the Wilcoxon signed-rank test that belongs to it.  Exact distribution for up to
 * BRISK_STATS_EXACT_MAX values (p also only without ties and zeros), else normal with correction
 * for ties.  `confidence` is in 0.5 .. 0.9999.  Errors: INVALID, LIMIT, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_compare_paired(const double *differences, uint32_t count,
                                                         double confidence,
                                                         const brisk_alloc *alloc,
                                                         brisk_interval *ret);

/** Two samples that have nothing to do with each other. */
typedef struct brisk_two_samples {
    const double *a;
    const double *b;
    uint32_t a_count;
    uint32_t b_count;
} brisk_two_samples;

/**
 * How much larger b is than a: the median of all differences (Hodges-Lehmann), interval and p of
 * the Mann-Whitney test, normal with corrections for ties and continuity.
 * Errors: INVALID, LIMIT, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_compare_unpaired(const brisk_two_samples *samples,
                                                           double confidence,
                                                           const brisk_alloc *alloc,
                                                           brisk_interval *ret);

typedef struct brisk_bootstrap_opts {
    double confidence;  /**< 0 means 0.95. */
    uint32_t resamples; /**< 0 means 10,000; at most 1,000,000. */
    uint32_t block;     /**< Neighbours drawn together; 0: 1, or by autocorrelation. */
    bool paired;        /**< a[i] and b[i] were measured side by side: drawn together. */
    uint64_t seed;      /**< Any; the same seed gives the same interval. */
    const brisk_alloc *alloc;
} brisk_bootstrap_opts;

/**
 * median(b) / median(a) with a BCa bootstrap interval; values > 0, in the order of measurement.
 * With block 0 and a lag-1 autocorrelation above 0.2 blocks of neighbours are drawn, so that the
 * interval does not shrink by values that repeat each other.  p is NaN.
 * Errors: INVALID, LIMIT, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_compare_medians(const brisk_two_samples *samples,
                                                          const brisk_bootstrap_opts *opts,
                                                          brisk_interval *ret);

/**
 * Adjust `count` p values in place for having looked at all of them: Holm keeps the probability of
 * any false alarm, Benjamini-Hochberg the share of false ones among the alarms.
 * Errors: NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_adjust_holm(double *p, uint32_t count,
                                                      const brisk_alloc *alloc);
BRISK_API BRISK_NODISCARD brisk_err brisk_adjust_bh(double *p, uint32_t count,
                                                    const brisk_alloc *alloc);

/** Standard normal distribution: P(Z <= z), and its inverse for 0 < p < 1. */
BRISK_API double brisk_normal_cdf(double z);
BRISK_API double brisk_normal_quantile(double p);

/* ------------------------------------------------------------------------------------------------
 * Part 2: series in the order of time (series*.c).
 * --------------------------------------------------------------------------------------------- */

enum { BRISK_SERIES_COUNT_MAX = 1 << 24 };

/* Change points ------------------------------------------------------------------------------- */

/** A zeroed struct asks for every default. */
typedef struct brisk_change_opts {
    double significance;      /**< Chance of any false alarm in a steady series; 0 means 0.025. */
    double min_effect;        /**< Smaller relative changes of the median are left out; 0: none. */
    double penalty;           /**< Of the search, in log(count); 0 means 9. */
    uint32_t min_segment;     /**< Fewest values between two changes; 0 means 5. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_change_opts;

typedef struct brisk_change_point {
    size_t at;      /**< Index of the first value after the change. */
    double before;  /**< Median of the values since the previous change. */
    double after;   /**< Median up to the next one. */
    double p_value; /**< Chance of so large a step anywhere in a steady stretch. */
} brisk_change_point;

typedef struct brisk_change_points {
    brisk_change_point *items; /**< In the order of time. */
    size_t count;
    double autocorrelation; /**< Of neighbours, 0..1, around the changes found. */
    size_t capacity_;
    const brisk_alloc *alloc_;
} brisk_change_points;

/**
 * Where the level of a series changed for good (one outlier is no change).  Candidates come from
 * ED-PELT; each must then be a significant step against the noise and the autocorrelation of its
 * neighbourhood.  Near O(count log count).  *ret is the caller's, see brisk_change_points_deinit.
 * Errors: INVALID (a value that is not finite, options), LIMIT (count), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_change_points_find(const double *values, size_t count,
                                                             const brisk_change_opts *opts,
                                                             brisk_change_points *ret);
/** Free the items.  A zeroed struct is accepted. */
BRISK_API void brisk_change_points_deinit(brisk_change_points *changes);

/* Trends and forecasts ------------------------------------------------------------------------- */

enum { BRISK_TREND_COUNT_MIN = 20 /**< Fewer values are refused. */ };

typedef struct brisk_series {
    const double *values;
    const double *times; /**< Not decreasing, any unit; NULL: 0, 1, 2 ... */
    size_t count;
    double confidence; /**< Of the intervals; 0 means 0.95. */
} brisk_series;

typedef struct brisk_trend {
    brisk_interval slope; /**< A unit of time; p: chance of as much order by chance. */
    double tau;           /**< Kendall's: share of pairs that rise less those that fall. */
    double level;         /**< On the line, at the last time. */
    double correction;    /**< >= 1: how much the variance grew for autocorrelation. */
    size_t count;
} brisk_trend;

/**
 * Theil-Sen slope with its interval, and the Mann-Kendall test.
 * Errors: INVALID (not finite, times that decrease), DECLINED (too few values), LIMIT, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_trend_find(const brisk_series *series,
                                                     const brisk_alloc *alloc, brisk_trend *ret);
/**
 * Time from the last value until the line reaches `limit`: "in 9 days, 7 to 12"; high is INFINITY
 * when the slope's interval contains standing still.
 * Errors: INVALID, DECLINED (no significant trend, or one that leads away).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_trend_reaches(const brisk_trend *trend, double limit,
                                                        brisk_interval *ret);

/** Where a forecast goes: items[0] is the next value; p is 0. */
typedef struct brisk_forecast_range {
    brisk_interval *items;
    size_t count;
} brisk_forecast_range;

/**
 * Damped Holt-Winters with a season of `period` values (0: none); the intervals come from the errors
 * that it made on this series.  `times` are not looked at: values are equally far apart.
 * Errors: INVALID, DECLINED (fewer than 20 values or 2 periods), LIMIT, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_forecast(const brisk_series *series, size_t period,
                                                   const brisk_alloc *alloc,
                                                   const brisk_forecast_range *range);

/* Anomalies, online ---------------------------------------------------------------------------- */

typedef struct brisk_detector brisk_detector;

/** A zeroed struct asks for every default.  Sizes up to 65,536 values. */
typedef struct brisk_detector_opts {
    uint32_t window;       /**< Values that say what is usual; 0 means 800. */
    uint32_t history;      /**< Distances a new one is ranked among; 0 means 4096. */
    uint32_t period;       /**< Values in a season (a day of minutes: 1440), above 12; 0: none. */
    uint32_t min_duration; /**< Values in a row until it is an anomaly; 0 means 1. */
    uint32_t voices;       /**< Measures that must agree, 0..4; 0: the loudest decides. */
    double threshold;      /**< Of the score; 0 means 2.7: one value in 500. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_detector_opts;

typedef struct brisk_verdict {
    double score;    /**< -log10 of how often a value was as odd; 0 for the first 130. */
    double expected; /**< Median of the window. */
    double z;        /**< Distance from it in robust standard deviations, signed. */
    double drift;    /**< CUSUM, signed: above 8 or below -8 the level has moved. */
    uint32_t voices; /**< Measures that find it odd (score >= 2), 0..4. */
    bool anomalous;  /**< Score, duration and voices suffice. */
    bool fresh;      /**< Odder than the last 100 values: where an event begins or grows. */
} brisk_verdict;

/**
 * An untrained detector of odd values for one series; see series_detector.c.  About 0.4 MiB, and 80
 * bytes for each value of a period.  Errors: INVALID, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_detector_create(const brisk_detector_opts *opts,
                                                          brisk_detector **ret);
/** Free it.  NULL is accepted. */
BRISK_API void brisk_detector_destroy(brisk_detector *detector);
/** The next value.  Allocates nothing.  Errors: INVALID (not finite; it is not counted). */
BRISK_API BRISK_NODISCARD brisk_err brisk_detector_push(brisk_detector *detector, double value,
                                                        brisk_verdict *ret);

BRISK_END_DECLS

#endif /* BRISK_STATS_H */
