/*
 * bootstrap.c -- the ratio of two medians with a BCa bootstrap interval.
 *
 * A resample is drawn as counts over the ranks of the sample, so its median is found by walking
 * the counts: O(n) a resample, no sorting.  Blocks of neighbours, taken round the end, keep what
 * correlates together; pairs are drawn with the same index in both samples.
 *
 * BCa moves the percentiles by z0 (how far the resamples' median is off the estimate) and a (how
 * the spread changes with the value, from leaving out each value in turn).
 *
 * Sources: B. Efron, Better Bootstrap Confidence Intervals, 1987;
 *          H. Kuensch 1989, D. Politis and J. Romano 1992 (circular blocks).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/rng.h>
#include <brisk/stats.h>

#include "base/assert.h"
#include "observe/stats/internal.h"

enum {
    RESAMPLES_DEFAULT = 10000,
    RESAMPLES_MAX = 1000000,
    RESAMPLES_LEAST = 1000,
    DRAWS_MAX = 40000000, /* of the default: large samples need fewer resamples */
    COUNT_MIN = 5,        /* fewer values say nothing of their spread */
};

static const double autocorrelation_limit = 0.2;

/** One sample, ready to be drawn from. */
typedef struct drawn {
    const double *values;
    uint32_t count;
    double *sorted;
    uint32_t *rank;   /* of value i */
    uint32_t *counts; /* of the resample, by rank */
} drawn;

typedef struct value_at {
    double value;
    uint32_t index;
} value_at;

static int compare_value_at(const void *a, const void *b)
{
    const value_at *x = a;
    const value_at *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static void *take(const brisk_alloc *alloc, uint32_t count, size_t size)
{
    return alloc->acquire(alloc->ctx, count * size, _Alignof(max_align_t));
}

static void give(const brisk_alloc *alloc, void *memory, uint32_t count, size_t size)
{
    if (memory != NULL) {
        alloc->release(alloc->ctx, memory, count * size, _Alignof(max_align_t));
    }
}

static void drawn_deinit(drawn *d, const brisk_alloc *alloc)
{
    give(alloc, d->sorted, d->count, sizeof *d->sorted);
    give(alloc, d->rank, d->count, sizeof *d->rank);
    give(alloc, d->counts, d->count, sizeof *d->counts);
}

static brisk_err drawn_init(drawn *d, const double *values, uint32_t count,
                            const brisk_alloc *alloc)
{
    value_at *order = take(alloc, count, sizeof *order);
    *d = (drawn){.values = values, .count = count};
    d->sorted = take(alloc, count, sizeof *d->sorted);
    d->rank = take(alloc, count, sizeof *d->rank);
    d->counts = take(alloc, count, sizeof *d->counts);
    bool done = order != NULL && d->sorted != NULL && d->rank != NULL && d->counts != NULL;
    if (done) {
        for (uint32_t i = 0; i < count; i++) {
            order[i] = (value_at){.value = values[i], .index = i};
        }
        qsort(order, count, sizeof *order, compare_value_at);
        for (uint32_t i = 0; i < count; i++) {
            d->sorted[i] = order[i].value;
            d->rank[order[i].index] = i;
        }
    }
    give(alloc, order, count, sizeof *order);
    return done ? BRISK_OK : BRISK_ERR_NOMEM;
}

/** The value with `skipped` smaller ones in the resample. */
static double median_of_counts(const drawn *d)
{
    uint32_t upper = d->count / 2;
    uint32_t seen = 0;
    double below = d->sorted[0];
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->counts[i] == 0) {
            continue;
        }
        bool has_lower = seen <= upper - (d->count % 2 == 0 ? 1 : 0) &&
                         seen + d->counts[i] > upper - (d->count % 2 == 0 ? 1 : 0);
        below = has_lower ? d->sorted[i] : below;
        seen += d->counts[i];
        if (seen > upper) {
            return d->count % 2 == 1 ? d->sorted[i] : (below + d->sorted[i]) / 2.0;
        }
    }
    return d->sorted[d->count - 1];
}

static double median_without(const drawn *d, uint32_t index)
{
    uint32_t left_out = d->rank[index];
    uint32_t n = d->count - 1;
    uint32_t upper = n / 2;
    double high = d->sorted[upper < left_out ? upper : upper + 1];
    if (n % 2 == 1) {
        return high;
    }
    return (d->sorted[upper - 1 < left_out ? upper - 1 : upper] + high) / 2.0;
}

typedef struct bootstrap {
    drawn a;
    drawn b;
    brisk_rng rng;
    uint32_t block;
    bool paired;
    uint32_t resamples;
    double *ratios;
} bootstrap;

static void draw(bootstrap *s, drawn *d, drawn *partner)
{
    memset(d->counts, 0, d->count * sizeof *d->counts);
    if (partner != NULL) {
        memset(partner->counts, 0, partner->count * sizeof *partner->counts);
    }
    for (uint32_t drawn_count = 0; drawn_count < d->count;) {
        uint32_t at = (uint32_t)brisk_rng_below(&s->rng, d->count);
        for (uint32_t i = 0; i < s->block && drawn_count < d->count; i++, drawn_count++) {
            d->counts[d->rank[at]]++;
            if (partner != NULL) {
                partner->counts[partner->rank[at]]++;
            }
            at = at + 1 < d->count ? at + 1 : 0;
        }
    }
}

static void draw_all(bootstrap *s)
{
    for (uint32_t r = 0; r < s->resamples; r++) {
        draw(s, &s->a, s->paired ? &s->b : NULL);
        if (!s->paired) {
            draw(s, &s->b, NULL);
        }
        s->ratios[r] = median_of_counts(&s->b) / median_of_counts(&s->a);
    }
    brisk_sample_sort(s->ratios, s->resamples);
}

/** Sums of squares and cubes of the influence that each value of one sample has. */
static void add_influence(const bootstrap *s, bool of_a, double *squares, double *cubes)
{
    const drawn *d = of_a ? &s->a : &s->b;
    double other_a = brisk_sample_median(s->a.sorted, s->a.count);
    double other_b = brisk_sample_median(s->b.sorted, s->b.count);
    double mean = 0.0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < d->count; i++) {
            double a = of_a ? median_without(&s->a, i) : other_a;
            double b = !of_a || s->paired ? median_without(&s->b, i) : other_b;
            double ratio = b / a;
            if (pass == 0) {
                mean += (ratio - mean) / (i + 1);
                continue;
            }
            double influence = (mean - ratio) * (d->count - 1) / d->count;
            *squares += influence * influence;
            *cubes += influence * influence * influence;
        }
    }
}

static double acceleration(const bootstrap *s)
{
    double squares = 0.0;
    double cubes = 0.0;
    add_influence(s, true, &squares, &cubes);
    if (!s->paired) {
        add_influence(s, false, &squares, &cubes);
    }
    return squares > 0.0 ? cubes / (6.0 * squares * sqrt(squares)) : 0.0;
}

static double bca_quantile(const bootstrap *s, double z0, double a, double tail)
{
    double z = z0 + brisk_normal_quantile(tail);
    double scale = 1.0 - a * z;
    double p = scale > 0.0 ? brisk_normal_cdf(z0 + z / scale) : tail;
    return brisk_sample_quantile(s->ratios, s->resamples, fmin(1.0, fmax(0.0, p)));
}

static void bca(const bootstrap *s, double confidence, brisk_interval *ret)
{
    double below = 0.0; /* resamples below the estimate; those on it count half */
    for (uint32_t r = 0; r < s->resamples; r++) {
        below += s->ratios[r] < ret->estimate ? 1.0 : s->ratios[r] > ret->estimate ? 0.0 : 0.5;
    }
    double share = fmin(1.0 - 0.5 / s->resamples, fmax(0.5, below) / s->resamples);
    double z0 = brisk_normal_quantile(share);
    double a = acceleration(s);
    double tail = (1.0 - confidence) / 2.0;
    ret->low = fmin(ret->estimate, bca_quantile(s, z0, a, tail));
    ret->high = fmax(ret->estimate, bca_quantile(s, z0, a, 1.0 - tail));
}

/** As long as needed for what repeats itself: n^(1/3) is the known rate, more when it is strong. */
static uint32_t choose_block(const brisk_two_samples *samples)
{
    double most = fmax(stats_autocorrelation(samples->a, samples->a_count),
                       stats_autocorrelation(samples->b, samples->b_count));
    uint32_t least = samples->a_count < samples->b_count ? samples->a_count : samples->b_count;
    if (most <= autocorrelation_limit) {
        return 1;
    }
    double r = fmin(most, 0.95);
    double wanted = pow(least, 1.0 / 3.0) * pow(2.0 * r / (1.0 - r * r), 2.0 / 3.0);
    uint32_t block = (uint32_t)ceil(fmax(2.0, wanted));
    return block < least / 4 + 1 ? block : least / 4 + 1;
}

static bool are_positive(const double *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!(values[i] > 0.0) || !isfinite(values[i])) {
            return false;
        }
    }
    return count > 0;
}

static brisk_err check(const brisk_two_samples *samples, const brisk_bootstrap_opts *o)
{
    if (samples->a_count > BRISK_STATS_VALUES_MAX || samples->b_count > BRISK_STATS_VALUES_MAX ||
        o->resamples > RESAMPLES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    bool good = are_positive(samples->a, samples->a_count) &&
                are_positive(samples->b, samples->b_count) &&
                (!o->paired || samples->a_count == samples->b_count) && o->confidence >= 0.5 &&
                o->confidence <= 0.9999;
    return good ? BRISK_OK : BRISK_ERR_INVALID;
}

static brisk_err run(bootstrap *s, const brisk_two_samples *samples, const brisk_bootstrap_opts *o,
                     brisk_interval *interval)
{
    brisk_err err = drawn_init(&s->a, samples->a, samples->a_count, o->alloc);
    if (err == BRISK_OK) {
        err = drawn_init(&s->b, samples->b, samples->b_count, o->alloc);
    }
    s->ratios = stats_doubles(o->alloc, s->resamples);
    if (err != BRISK_OK || s->ratios == NULL) {
        return BRISK_ERR_NOMEM;
    }
    interval->estimate =
        brisk_sample_median(s->b.sorted, s->b.count) / brisk_sample_median(s->a.sorted, s->a.count);
    if (s->a.count >= COUNT_MIN && s->b.count >= COUNT_MIN) {
        draw_all(s);
        bca(s, o->confidence, interval);
    }
    return BRISK_OK;
}

brisk_err brisk_compare_medians(const brisk_two_samples *samples, const brisk_bootstrap_opts *opts,
                                brisk_interval *ret)
{
    brisk_bootstrap_opts o = opts != NULL ? *opts : (brisk_bootstrap_opts){0};
    o.confidence = o.confidence > 0.0 ? o.confidence : 0.95;
    o.alloc = stats_alloc(o.alloc);
    brisk_err err = check(samples, &o);
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t values = (uint64_t)samples->a_count + samples->b_count;
    if (o.resamples == 0) {
        uint64_t affordable = DRAWS_MAX / values;
        o.resamples = affordable < RESAMPLES_LEAST     ? RESAMPLES_LEAST
                      : affordable < RESAMPLES_DEFAULT ? (uint32_t)affordable
                                                       : RESAMPLES_DEFAULT;
    }
    bootstrap s = {.block = o.block > 0 ? o.block : choose_block(samples),
                   .paired = o.paired,
                   .resamples = o.resamples};
    brisk_rng_init(&s.rng, o.seed);
    brisk_interval interval = {.low = -HUGE_VAL, .high = HUGE_VAL, .p = (double)NAN};
    err = run(&s, samples, &o, &interval);
    drawn_deinit(&s.a, o.alloc);
    drawn_deinit(&s.b, o.alloc);
    stats_free_doubles(o.alloc, s.ratios, s.resamples);
    if (err == BRISK_OK) {
        *ret = interval;
    }
    return err;
}
