/*
 * series_shift.c -- one step in a stretch of noise that may resemble its own past: where, and how sure.
 *
 * The stretch is u_t = level + size * [t >= at] + e_t with e_t = phi e_{t-1} + w_t.  The filter
 * (1, -phi) leaves the independent w_t and turns the step into: nothing before its place, 1 at it,
 * 1 - phi after it.  For phi = 0 that is the comparison of two means; for larger phi the first value
 * after the step counts most, up to a random walk, where only a jump counts.
 *
 * phi is not known, and a step looks like correlation.  Both hypotheses, with and without a step, may
 * therefore choose the phi that suits them best, on a grid; z^2 is the ratio of their likelihoods (times
 * two, logarithm, small samples allowed for).  The largest z over all places of a steady stretch is
 * distributed as a standardised Brownian bridge's away from its ends (Miller and Siegmund).
 *
 * Place: not the single likeliest, which in wandering noise is often a spike, but the middle of the
 * likeliest 2 * NEAR + 1 neighbours.  Where the place is clear the two are the same.
 *
 * The caller cuts outliers off: least squares would follow them.
 *
 * Sources: S. Chakar, E. Lebarbier, C. Levy-Leduc, S. Robin, A robust approach for estimating
 *          change-points in the mean of an AR(1) process, Bernoulli 23, 2017 (the filter,
 *          and the correlation from differences, here with squares of scores for medians);
 *          R. Miller, D. Siegmund, Maximally selected chi square statistics, Biometrics 38, 1982.
 */
#include <math.h>

#include "base/assert.h"
#include "observe/stats/series.h"

enum { NEAR = 5, PHI_STEPS = 21, PARAMETERS = 3 /* level, size, phi */ };

static const double tiny = 1e-12; /* of the noise, whose unit is 1 */

static double phi_of(int step)
{
    return step + 1 < PHI_STEPS ? step * 0.05 : 0.99;
}

/*
 * One level change is one large difference of neighbours and two of second ones; they say nothing about
 * what is usual, so the largest few of both are left out.
 */
static double sum_but_largest(const double *scores, size_t count, size_t lag)
{
    enum { LEFT_OUT = 2 };
    double largest[2 * LEFT_OUT] = {0};
    size_t keep = LEFT_OUT * lag; /* lag is 1 or 2 */
    double sum = 0;
    for (size_t i = 2; i < count; i++) {
        double square = (scores[i] - scores[i - lag]) * (scores[i] - scores[i - lag]);
        sum += square;
        for (size_t k = 0; k < keep; k++) {
            if (square > largest[k]) {
                double other = largest[k];
                largest[k] = square;
                square = other;
            }
        }
    }
    for (size_t k = 0; k < keep; k++) {
        sum -= largest[k];
    }
    return fmax(sum, 0);
}

double series_autocorrelation(const double *scores, size_t count)
{
    double one = sum_but_largest(scores, count, 1);
    double two = sum_but_largest(scores, count, 2);
    double phi = one > 0 ? two / one - 1 : 0;
    return fmin(fmax(phi, 0), phi_of(PHI_STEPS - 1));
}

/* P(largest |z| >= z) over a stretch of `count`, places `edge` from its ends left out. */
static double p_of_largest(double z, double count, double edge)
{
    if (z < 1.5) {
        return 1;
    }
    double density = series_normal_density(z);
    double odds = (count - edge) / edge;
    double p = 4 * density / z + density * (z - 1 / z) * 2 * log(odds > 1 ? odds : 1);
    return p < 1 ? p : 1;
}

/* What least squares needs of the filtered stretch without a step. */
typedef struct level_fit {
    double weight; /* intercept . intercept */
    double level;  /* intercept . values */
    double rest;   /* squares left over */
} level_fit;

static double filtered(const double *values, double phi, size_t t)
{
    return t == 0 ? values[0] * sqrt(1 - phi * phi) : values[t] - phi * values[t - 1];
}

static level_fit level_fit_make(const double *values, size_t count, double phi)
{
    double first = sqrt(1 - phi * phi);
    double square = 0;
    level_fit fit = {.weight = first * first + (double)(count - 1) * (1 - phi) * (1 - phi)};
    for (size_t t = 0; t < count; t++) {
        double y = filtered(values, phi, t);
        fit.level += y * (t == 0 ? first : 1 - phi);
        square += y * y;
    }
    fit.rest = square - fit.level * fit.level / fit.weight;
    return fit;
}

/* The best fits so far, over several phi; "rest" is scaled so that different phi compare. */
typedef struct profile {
    double none;  /* rest without a step */
    double least; /* rest with the best step */
    double phi;   /* of the best step */
    size_t at;    /* of the best step */
} profile;

/* With a step at each place: the rest, the least so far kept in stretch->rest[place]. */
static void fit_steps(const series_stretch *stretch, double phi, profile *best)
{
    const double *values = stretch->values;
    size_t count = stretch->count;
    level_fit fit = level_fit_make(values, count, phi);
    double scale = pow(1 - phi * phi, -1.0 / (double)count);
    double after = 0; /* step . values behind the place */
    for (size_t at = count - stretch->edge + 1; at < count; at++) {
        after += filtered(values, phi, at) * (1 - phi);
    }
    best->none = fmin(best->none, fit.rest * scale);
    for (size_t at = count - stretch->edge; at >= stretch->edge; at--) {
        double y = filtered(values, phi, at);
        double behind = (double)(count - 1 - at) * (1 - phi);
        double cross = (1 - phi) + behind * (1 - phi); /* step . intercept */
        double own = 1 + behind * (1 - phi) - cross * cross / fit.weight;
        double size = own > tiny ? (y + after - cross * fit.level / fit.weight) / own : 0;
        double rest = fmax((fit.rest - size * size * own) * scale, tiny);
        stretch->rest[at] = fmin(stretch->rest[at], rest);
        if (rest < best->least) {
            best->least = rest;
            best->phi = phi;
            best->at = at;
        }
        after += y * (1 - phi);
    }
}

/* Middle of the likeliest neighbours, by the weights exp(z^2 / 2). */
static size_t likeliest_place(const series_stretch *stretch, double least)
{
    size_t low = stretch->edge;
    size_t high = stretch->count - stretch->edge;
    double freedom = (double)stretch->count / 2;
    double best = -1;
    double place = (double)low;
    for (size_t middle = low; middle <= high; middle++) {
        double sum = 0;
        double moment = 0;
        size_t last = middle + NEAR < high ? middle + NEAR : high;
        for (size_t at = middle > low + NEAR ? middle - NEAR : low; at <= last; at++) {
            double weight = exp(freedom * log(least / stretch->rest[at]));
            sum += weight;
            moment += weight * (double)at;
        }
        if (sum > best) {
            best = sum;
            place = moment / sum;
        }
    }
    return (size_t)(place + 0.5);
}

series_shift series_shift_best(const series_stretch *stretch)
{
    size_t count = stretch->count;
    BRISK_ASSERT(stretch->edge > 0 && count >= 2 * stretch->edge);
    for (size_t at = 0; at < count; at++) {
        stretch->rest[at] = (double)INFINITY;
    }
    profile best = {.none = (double)INFINITY, .least = (double)INFINITY};
    for (int step = 0; step < PHI_STEPS; step++) {
        fit_steps(stretch, phi_of(step), &best);
    }
    double square = ((double)count - PARAMETERS) * log(fmax(best.none, tiny) / best.least);
    series_shift shift = {.phi = best.phi, .z = square > 0 ? sqrt(square) : 0};
    shift.peak = best.at;
    shift.at = likeliest_place(stretch, best.least);
    shift.p_value = p_of_largest(shift.z, (double)count, (double)stretch->edge);
    return shift;
}
