/*
 * leak.c -- trend of a floor, and ages of survivors.
 *
 * Live bytes of a busy place are a saw: minima of blocks of time leave its floor, and take most of the likeness of
 * neighbours away that would make any walk look like a trend (brisk_trend_find corrects for what is left; a
 * smooth rise is all likeness, so steps are tested as well).
 */
#include "observe/heap/leak.h"

#include <math.h>

#include <brisk/stats.h>

enum { SAMPLES_MIN = 8, WHOLE_MIN = 12, LATE_MIN_POINTS = 6 };

static const double WARM_UP = 0.2; /* of the time */
static const double P_MAX = 0.01;
static const double OLD_MIN = 0.2;  /* half is what a steady leak has */
static const double LATE_MIN = 0.3; /* slope of the last half, of the whole's */

typedef struct trend {
    double t[HEAP_TREND_POINTS];
    double y[HEAP_TREND_POINTS];
    uint32_t count;
} trend;

/* Minima of equal pieces of time, from `from` on. */
static trend floor_of(const heap_growth *g, double from)
{
    trend floor = {.count = 0};
    double end = g->times[g->count - 1];
    double piece = (end - from) / HEAP_TREND_POINTS;
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; i < g->count && piece > 0; i++) {
        if (g->times[i] < from) {
            continue;
        }
        double at = (g->times[i] - from) / piece;
        uint32_t which = at < HEAP_TREND_POINTS ? (uint32_t)at : HEAP_TREND_POINTS - 1;
        if (which != last) {
            last = which;
            floor.t[floor.count] = g->times[i];
            floor.y[floor.count++] = g->live[i];
        } else if (g->live[i] < floor.y[floor.count - 1]) {
            floor.t[floor.count - 1] = g->times[i];
            floor.y[floor.count - 1] = g->live[i];
        }
    }
    return floor;
}

/* The one-sided p of the steps from piece to piece being as often up as down: right for walks, too. */
static double steps_up(const trend *x)
{
    double steps[HEAP_TREND_POINTS];
    brisk_interval found;
    uint32_t count = 0;
    for (uint32_t i = 1; i < x->count; i++) {
        steps[count++] = x->y[i] - x->y[i - 1];
    }
    if (brisk_compare_paired(steps, count, 0.95, NULL, &found) != BRISK_OK || !isfinite(found.p)) {
        return 1;
    }
    return found.estimate > 0 ? found.p / 2 : 1;
}

/*
 * Slope with its interval, and the p of a rise: the better of a trend against noise (Mann-Kendall, corrected for
 * autocorrelation) and of steps against a walk (Wilcoxon), twice, because there are two.  False when there is too
 * little to say.
 */
static bool measure(const trend *x, heap_verdict *v)
{
    brisk_trend found;
    brisk_series series = {.values = x->y, .times = x->t, .count = x->count};
    v->p = 1;
    if (brisk_trend_find(&series, NULL, &found) != BRISK_OK) {
        return false;
    }
    double trend_p = found.tau > 0 ? found.slope.p / 2 : 1;
    double step_p = steps_up(x);
    double least = trend_p < step_p ? trend_p : step_p;
    v->slope = found.slope.estimate;
    v->slope_low = found.slope.low;
    v->slope_high = found.slope.high;
    v->p = least < 0.5 ? 2 * least : 1;
    return true;
}

/* Of the weight born after `from`: the part of its older half. */
static double old_share(const heap_growth *g, double from)
{
    double middle = from + (g->times[g->count - 1] - from) / 2;
    double old = 0;
    double all = 0;
    for (uint32_t i = 0; i < g->survivor_count; i++) {
        const heap_survivor *s = &g->survivors[i];
        if (s->born >= from) {
            all += s->weight;
            old += s->born < middle ? s->weight : 0;
        }
    }
    return all > 0 ? old / all : 0;
}

/* Each piece of evidence by how far it is beyond what is asked; they do not make up for each other. */
static double confidence_of(const heap_verdict *v, double grown)
{
    double steady = 1 - v->p;
    double samples = 1 - 1 / sqrt(grown);
    double late = v->late_slope >= v->slope ? 1 : v->late_slope / v->slope;
    double old = v->old_share >= 0.5 ? 1 : v->old_share / 0.5;
    double least = late < old ? late : old;
    return steady * samples * (0.5 + 0.5 * least);
}

heap_verdict heap_leak_judge(const heap_growth *g)
{
    heap_verdict v = {.p = 1};
    if (g->count < HEAP_LEAK_POINTS_MIN || g->times[g->count - 1] <= g->times[0]) {
        return v;
    }
    double length = g->times[g->count - 1] - g->times[0];
    double from = g->times[0] + WARM_UP * length;
    trend whole = floor_of(g, from);
    trend late = floor_of(g, g->times[0] + length * (1 + WARM_UP) / 2);
    heap_verdict last = {.p = 1};
    v.enough = whole.count >= WHOLE_MIN && late.count >= LATE_MIN_POINTS && measure(&whole, &v) &&
               measure(&late, &last);
    if (!v.enough) {
        return v;
    }
    v.late_slope = last.slope;
    v.old_share = old_share(g, from);
    double grown = v.slope * length * (1 - WARM_UP) / (g->sample_bytes > 0 ? g->sample_bytes : 1);
    v.suspected = v.p < P_MAX && v.slope > 0 && last.slope > LATE_MIN * v.slope && last.p < 0.05 &&
                  grown >= SAMPLES_MIN && v.old_share >= OLD_MIN;
    v.confidence = v.suspected ? confidence_of(&v, grown) : 0;
    return v;
}
