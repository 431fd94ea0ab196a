/*
 * series_forecast.c -- damped exponential smoothing with an optional season, and honest intervals.
 *
 * Level, slope and the season's offsets follow the values (Holt-Winters, additive); the slope fades by
 * `damping` a step, since few things grow for ever.  The weights are those of a small grid that predict
 * the next value best over the second half of the series.
 *
 * Intervals: after learning, the errors that the same model made on this series `ahead` steps before
 * are sorted, and their quantile is added on both sides (split conformal prediction).  Errors of few
 * horizons are measured, those between are interpolated, those beyond grow as the square root.  No
 * shape of the noise is assumed.
 *
 * Sources: E. S. Gardner, E. McKenzie, Forecasting trends in time series, Management Science 31, 1985;
 *          J. Lei et al., Distribution-free predictive inference for regression, JASA 113, 2018.
 */
#include <math.h>

#include <brisk/stats.h>

#include "observe/stats/series.h"

typedef struct model {
    double alpha; /* weight of the level */
    double beta;  /* of the slope */
    double gamma; /* of the season */
    double damping;
    double level;
    double slope;
    double *season; /* `period` offsets, or NULL */
    size_t period;  /* 0: none */
    size_t at;      /* values seen */
} model;

static double season_of(const model *m, size_t at)
{
    return m->period > 0 ? m->season[at % m->period] : 0;
}

/* First level and season: the means of the first periods. */
static void model_begin(model *m, const double *values, size_t count)
{
    size_t first = m->period > 0 ? m->period * (count / m->period >= 3 ? 2 : 1) : 4;
    first = first < count ? first : count;
    double sum = 0;
    for (size_t i = 0; i < first; i++) {
        sum += values[i];
    }
    m->level = sum / (double)first;
    m->slope = 0;
    m->at = 0;
    for (size_t s = 0; s < m->period; s++) {
        double offset = 0;
        size_t seen = 0;
        for (size_t i = s; i < first; i += m->period) {
            offset += values[i] - m->level;
            seen++;
        }
        m->season[s] = seen > 0 ? offset / (double)seen : 0;
    }
}

static double model_ahead(const model *m, size_t ahead)
{
    double fade = m->damping < 1
                      ? m->damping * (1 - pow(m->damping, (double)ahead)) / (1 - m->damping)
                      : (double)ahead;
    return m->level + m->slope * fade + season_of(m, m->at + ahead - 1);
}

static void model_see(model *m, double value)
{
    double before = m->level;
    double expected = m->level + m->damping * m->slope;
    double season = season_of(m, m->at);
    m->level = m->alpha * (value - season) + (1 - m->alpha) * expected;
    m->slope = m->beta * (m->level - before) + (1 - m->beta) * m->damping * m->slope;
    if (m->period > 0) {
        m->season[m->at % m->period] = m->gamma * (value - m->level) + (1 - m->gamma) * season;
    }
    m->at++;
}

/* Errors `ahead` steps on, over the second half, absolute, into errors[]; how many. */
static size_t model_errors(model *m, const brisk_series *series, size_t ahead, double *errors)
{
    size_t count = 0;
    model_begin(m, series->values, series->count);
    for (size_t i = 0; i + ahead <= series->count; i++) {
        if (i >= series->count / 2) {
            errors[count++] = fabs(series->values[i + ahead - 1] - model_ahead(m, ahead));
        }
        model_see(m, series->values[i]);
    }
    return count;
}

static double mean_error(model *m, const brisk_series *series, double *errors)
{
    size_t count = model_errors(m, series, 1, errors);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += errors[i];
    }
    return sum / (double)(count > 0 ? count : 1);
}

static void choose_weights(model *m, const brisk_series *series, double *errors)
{
    static const double alphas[] = {0.05, 0.1, 0.2, 0.4, 0.7, 0.95};
    static const double betas[] = {0, 0.02, 0.1, 0.3};
    static const double gammas[] = {0.05, 0.3};
    static const double dampings[] = {0.9, 0.98, 1};
    size_t gamma_count = m->period > 0 ? 2 : 1;
    model best = *m;
    double least = HUGE_VAL;
    for (size_t i = 0; i < sizeof alphas / sizeof *alphas * 4 * 3 * gamma_count; i++) {
        m->alpha = alphas[i % 6];
        m->beta = betas[i / 6 % 4];
        m->damping = dampings[i / 24 % 3];
        m->gamma = gammas[i / 72];
        double error = mean_error(m, series, errors);
        if (error < least) {
            least = error;
            best = *m;
        }
    }
    *m = best;
}

/* Half width of the interval `ahead` steps on: the quantile of the errors measured there. */
static double half_width(model *m, const brisk_series *series, size_t ahead, double *errors)
{
    double confidence = series->confidence > 0 ? series->confidence : 0.95;
    size_t measured = ahead < series->count / 4 ? ahead : series->count / 4;
    size_t count = model_errors(m, series, measured, errors);
    series_sort(errors, count);
    double rank = ceil(confidence * ((double)count + 1));
    double width = rank <= (double)count ? errors[(size_t)rank - 1] : errors[count - 1] * 1.5;
    return width * sqrt((double)ahead / (double)measured);
}

static void fill(model *m, const brisk_series *series, double *errors,
                 const brisk_forecast_range *range)
{
    size_t left = 0; /* horizons 1, 2, 4, 8 ... are measured, those between interpolated */
    double left_width = 0;
    for (size_t right = 1; left < range->count; right = right * 2) {
        right = right < range->count ? right : range->count;
        double right_width = half_width(m, series, right, errors);
        right_width = fmax(right_width, left_width); /* knowing more of later is chance */
        for (size_t ahead = left + 1; ahead <= right; ahead++) {
            double share = (double)(ahead - left) / (double)(right - left);
            double width =
                left == 0 ? right_width : left_width + (right_width - left_width) * share;
            range->items[ahead - 1].p = width;
        }
        left = right;
        left_width = right_width;
    }
    model_begin(m, series->values, series->count);
    for (size_t i = 0; i < series->count; i++) {
        model_see(m, series->values[i]);
    }
    for (size_t i = 0; i < range->count; i++) {
        double estimate = model_ahead(m, i + 1);
        double width = range->items[i].p;
        range->items[i] = (brisk_interval){estimate, estimate - width, estimate + width, 0};
    }
}

brisk_err brisk_forecast(const brisk_series *series, size_t period, const brisk_alloc *alloc,
                         const brisk_forecast_range *range)
{
    const brisk_alloc *a = alloc != NULL ? alloc : brisk_alloc_libc();
    size_t count = series->count;
    if (!series_is_finite(series->values, count) || range->count == 0) {
        return BRISK_ERR_INVALID;
    }
    if (count < BRISK_TREND_COUNT_MIN || (period > 0 && count < 2 * period)) {
        return BRISK_ERR_DECLINED;
    }
    if (count > BRISK_SERIES_COUNT_MAX || range->count > BRISK_SERIES_COUNT_MAX) {
        return BRISK_ERR_LIMIT;
    }
    model m = {.period = period > 1 ? period : 0};
    double *errors = series_take(a, count, sizeof *errors);
    m.season = series_take(a, m.period, sizeof *m.season);
    brisk_err err = BRISK_ERR_NOMEM;
    if (errors != NULL && m.season != NULL) {
        choose_weights(&m, series, errors);
        fill(&m, series, errors, range);
        err = BRISK_OK;
    }
    series_give(a, m.season, m.period, sizeof *m.season);
    series_give(a, errors, count, sizeof *errors);
    return err;
}
