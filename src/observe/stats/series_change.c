/*
 * series_change.c -- change points behind <brisk/stats.h>: candidates, then confirmation.
 *
 * ED-PELT (series_edpelt.c) proposes a segmentation with a penalty low enough to miss little.  It takes
 * values for independent, so where neighbours resemble each other it proposes too much.  Each proposal
 * is therefore confirmed: in the stretch between its neighbours the best single step must be
 * significant, given the autocorrelation of the series (series_shift.c).  The least significant
 * proposal is struck out, its neighbours' stretches grow, and so on until all are significant; then
 * every one moves to the best place in its stretch.
 *
 * Invariant: positions are increasing, and each has min_segment values on both sides.
 */
#include <math.h>
#include <string.h>

#include <brisk/stats.h>

#include "base/vec.h"
#include "observe/stats/series.h"

enum { MIN_SEGMENT = 5, ROUNDS_MAX = 4, SEARCHES_MAX = 8 };

static const double penalty_default = 9;
static const double significance_default = 0.025;
static const double phi_notable = 0.25; /* below, the search's places are the better ones */

static const double clip_at = 3;     /* units of noise: beyond, a value is as good as an outlier */
static const double step_max = 1000; /* likewise: larger steps are no more certain */

typedef struct point {
    size_t at;
    double p_value; /* below 0: to be computed */
} point;

typedef BRISK_VEC(point) point_vec;

typedef struct stretch {
    size_t begin;
    size_t at;
    size_t end;
} stretch;

typedef struct confirm {
    const double *values;
    size_t count;
    brisk_change_opts opts;
    double phi;      /* largest of the confirmed */
    double *clipped; /* count; first the scores of the whole */
    double *rest;    /* count */
    point_vec points;
} confirm;

/* From the position before to the one behind. */
static stretch stretch_of(const confirm *c, size_t i)
{
    const point *p = &c->points.items[i];
    return (stretch){.begin = i == 0 ? 0 : p[-1].at,
                     .at = p->at,
                     .end = i + 1 < c->points.count ? p[1].at : c->count};
}

/*
 * The stretch in units of its noise, with every value's distance from its side's median cut to a few
 * units: the step keeps its size (up to a bound for the arithmetic's sake), an outlier does not.
 */
static void clip_stretch(confirm *c, const stretch *s)
{
    const double *values = c->values + s->begin;
    size_t length = s->end - s->begin;
    size_t at = s->at - s->begin;
    double before = series_median(values, at, c->clipped);
    double after = series_median(values + at, length - at, c->clipped);
    double sum = 0;
    for (size_t i = 0; i < length; i++) {
        c->clipped[i] = fabs(values[i] - (i < at ? before : after));
        sum += c->clipped[i];
    }
    double unit = 1.4826 * series_median(c->clipped, length, c->rest);
    unit = unit > 0 ? unit : sum / (double)length;            /* more than half are equal */
    unit = unit > 0 ? unit : fabs(after - before) / step_max; /* all are */
    unit = unit > 0 ? unit : 1;
    double step = fmin(fmax((after - before) / unit, -step_max), step_max);
    for (size_t i = 0; i < length; i++) {
        double off = (values[i] - (i < at ? before : after)) / unit;
        c->clipped[i] = fmin(fmax(off, -clip_at), clip_at) + (i < at ? 0 : step);
    }
}

/* The best single step in a stretch; its chance is that of any stretch of this length. */
static series_shift judge(confirm *c, const stretch *s)
{
    size_t length = s->end - s->begin;
    clip_stretch(c, s);
    series_shift shift =
        series_shift_best(&(series_stretch){c->clipped, length, c->opts.min_segment, c->rest});
    shift.at += s->begin;
    shift.peak += s->begin;
    shift.p_value = fmin(1, shift.p_value * (double)c->count / (double)length);
    return shift;
}

static void strike_out(confirm *c, size_t i)
{
    point *points = c->points.items;
    memmove(points + i, points + i + 1, (c->points.count - i - 1) * sizeof *points);
    c->points.count--;
    if (i > 0) {
        points[i - 1].p_value = -1;
    }
    if (i < c->points.count) {
        points[i].p_value = -1;
    }
}

/* Judge what is not judged yet; strike out the least significant until all are significant. */
static void eliminate(confirm *c)
{
    for (;;) {
        size_t worst = 0;
        for (size_t i = 0; i < c->points.count; i++) {
            if (c->points.items[i].p_value < 0) {
                stretch s = stretch_of(c, i);
                c->points.items[i].p_value = judge(c, &s).p_value;
            }
            worst = c->points.items[i].p_value > c->points.items[worst].p_value ? i : worst;
        }
        if (c->points.count == 0 || c->points.items[worst].p_value <= c->opts.significance) {
            return;
        }
        strike_out(c, worst);
    }
}

/* Move every position to the best place in its stretch; true when any moved. */
static bool refine(confirm *c)
{
    bool moved = false;
    for (size_t i = 0; i < c->points.count; i++) {
        stretch s = stretch_of(c, i);
        series_shift shift = judge(c, &s);
        c->points.items[i].p_value = shift.p_value;
        if (shift.phi >= phi_notable && shift.peak != s.at) {
            c->points.items[i].at = shift.peak;
            c->points.items[i].p_value = -1;
            moved = true;
            if (i > 0) {
                c->points.items[i - 1].p_value = -1;
            }
        }
    }
    return moved;
}

/*
 * Last, where neighbours correlate: to the middle of the likely places, each in the stretch that was
 * confirmed; one that would come too near to another stays.
 */
static void settle(confirm *c)
{
    size_t before = 0; /* the place of position i - 1 while its neighbours were judged */
    for (size_t i = 0; i < c->points.count; i++) {
        stretch s = stretch_of(c, i);
        size_t settled = s.begin;
        s.begin = before;
        series_shift shift = judge(c, &s);
        if (shift.phi >= phi_notable && shift.at >= settled + c->opts.min_segment) {
            c->points.items[i].at = shift.at;
        }
        c->phi = fmax(c->phi, shift.phi);
        before = s.at;
    }
}

static void confirm_run(confirm *c)
{
    eliminate(c);
    for (int round = 0; round < ROUNDS_MAX && refine(c); round++) {
        eliminate(c);
    }
}

static brisk_err report(confirm *c, brisk_change_points *ret)
{
    size_t count = c->points.count;
    brisk_change_points out = {
        .autocorrelation = c->phi, .alloc_ = c->opts.alloc, .capacity_ = count};
    if (count > 0) {
        out.items = series_take(out.alloc_, count, sizeof *out.items);
        if (out.items == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    for (size_t i = 0; i < count; i++) {
        stretch s = stretch_of(c, i);
        double before = series_median(c->values + s.begin, s.at - s.begin, c->clipped);
        double after = series_median(c->values + s.at, s.end - s.at, c->clipped);
        if (fabs(after - before) >= c->opts.min_effect * fabs(before)) {
            out.items[out.count++] =
                (brisk_change_point){s.at, before, after, c->points.items[i].p_value};
        }
    }
    *ret = out;
    return BRISK_OK;
}

static brisk_err push(point_vec *points, size_t at)
{
    return BRISK_VEC_PUSH(points, (point){at, -1}) ? BRISK_OK : BRISK_ERR_NOMEM;
}

/* The confirmed positions and what a search within each of their segments proposes. */
static brisk_err propose(confirm *c, double penalty, point_vec *ret)
{
    series_edpelt_opts search = {
        .penalty = penalty, .min_segment = c->opts.min_segment, .alloc = c->opts.alloc};
    size_t begin = 0;
    brisk_err err = BRISK_OK;
    for (size_t i = 0; i <= c->points.count && err == BRISK_OK; i++) {
        size_t end = i < c->points.count ? c->points.items[i].at : c->count;
        series_positions found = {.alloc = c->opts.alloc};
        err = series_edpelt(c->values + begin, end - begin, &search, &found);
        for (size_t k = 0; k < found.count && err == BRISK_OK; k++) {
            err = push(ret, begin + found.items[k]);
        }
        if (err == BRISK_OK && end < c->count) {
            err = push(ret, end);
        }
        series_positions_deinit(&found);
        begin = end;
    }
    return err;
}

/* One round: proposals, confirmed; true in *more when there are more of them than before. */
static brisk_err find_more(confirm *c, double penalty, bool *more)
{
    size_t before = c->points.count;
    point_vec next = BRISK_VEC_INIT(c->opts.alloc);
    brisk_err err = propose(c, penalty, &next);
    *more = err == BRISK_OK && next.count > before;
    if (!*more) {
        BRISK_VEC_DEINIT(&next);
        return err;
    }
    BRISK_VEC_DEINIT(&c->points);
    c->points = next;
    confirm_run(c);
    *more = c->points.count > before;
    return BRISK_OK;
}

/*
 * Scores of the whole series give the autocorrelation, which raises the penalty: correlated noise makes
 * excursions that look like changes, and each candidate less is one chance less to be wrong in
 * confirming.  Then rounds of candidates and confirmation: the first search's quantiles are those of
 * the whole, which three far levels share out between them; a segment's own see it as finely again.
 */
static brisk_err find(confirm *c)
{
    brisk_err err = series_scores(c->values, c->count, c->opts.alloc, c->clipped);
    double phi = err == BRISK_OK ? series_autocorrelation(c->clipped, c->count) : 0;
    double penalty = c->opts.penalty * (1 + phi) * log((double)(c->count > 1 ? c->count : 2));
    bool more = true;
    for (int round = 0; round < SEARCHES_MAX && more && err == BRISK_OK; round++) {
        err = find_more(c, penalty, &more);
    }
    return err;
}

brisk_err brisk_change_points_find(const double *values, size_t count,
                                   const brisk_change_opts *opts, brisk_change_points *ret)
{
    confirm c = {.values = values, .count = count};
    c.opts = opts != NULL ? *opts : (brisk_change_opts){0};
    c.opts.alloc = c.opts.alloc != NULL ? c.opts.alloc : brisk_alloc_libc();
    c.points.alloc = c.opts.alloc;
    c.opts.significance = c.opts.significance > 0 ? c.opts.significance : significance_default;
    c.opts.penalty = c.opts.penalty > 0 ? c.opts.penalty : penalty_default;
    c.opts.min_segment = c.opts.min_segment != 0 ? c.opts.min_segment : MIN_SEGMENT;
    if (!series_is_finite(values, count) || !(c.opts.significance < 1) ||
        !isfinite(c.opts.penalty) || !(c.opts.min_effect >= 0)) {
        return BRISK_ERR_INVALID;
    }
    if (count > BRISK_SERIES_COUNT_MAX) {
        return BRISK_ERR_LIMIT;
    }
    c.clipped = series_take(c.opts.alloc, count, sizeof *c.clipped);
    c.rest = series_take(c.opts.alloc, count, sizeof *c.rest);
    brisk_err err = c.clipped != NULL && c.rest != NULL ? find(&c) : BRISK_ERR_NOMEM;
    if (err == BRISK_OK) {
        settle(&c);
        err = report(&c, ret);
    }
    BRISK_VEC_DEINIT(&c.points);
    series_give(c.opts.alloc, c.rest, count, sizeof *c.rest);
    series_give(c.opts.alloc, c.clipped, count, sizeof *c.clipped);
    return err;
}

void brisk_change_points_deinit(brisk_change_points *changes)
{
    if (changes->items != NULL) {
        series_give(changes->alloc_, changes->items, changes->capacity_, sizeof *changes->items);
    }
    *changes = (brisk_change_points){0};
}
