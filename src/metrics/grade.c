/*
 * grade.c -- scales, points and overall scores behind <brisk/grade.h>.
 *
 * A scale on which more is better is turned round by taking the inverse of figure and limits, so that one
 * arithmetic serves both; a figure of 0 or less is then as bad as can be.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <brisk/grade.h>

#include "base/assert.h"

enum { LIMITS = 4, MILLI = 1000 };

static const double points_at[LIMITS] = {90, 75, 60, 40};

#define MS(n)     (UINT64_C(1000000) * (n))
#define DAY_NS    (UINT64_C(86400) * 1000000000)
#define MILLI_MAX 1000000

#define TIME_KNOB(which, ms)                                                                       \
    {                                                                                              \
        .name = "grade.response." #which, .summary = "response time that is " #which " at most",   \
        .type = BRISK_KNOB_DURATION, .min = 1, .max = DAY_NS, .def = MS(ms)                        \
    }
#define MILLI_KNOB(kind, which, what, n)                                                           \
    {                                                                                              \
        .name = "grade." #kind "." #which, .summary = what " that is " #which ", in thousandths",  \
        .type = BRISK_KNOB_U64, .max = MILLI_MAX, .def = (n)                                       \
    }
#define MILLI_KNOBS(kind, what, a, b, c, d)                                                        \
    MILLI_KNOB(kind, excellent, what, a), MILLI_KNOB(kind, good, what, b),                         \
        MILLI_KNOB(kind, acceptable, what, c), MILLI_KNOB(kind, poor, what, d)

const brisk_knob brisk_grade_knobs[BRISK_GRADE_KNOBS] = {
    TIME_KNOB(excellent, 100),
    TIME_KNOB(good, 300),
    TIME_KNOB(acceptable, 1000),
    TIME_KNOB(poor, 3000),
    MILLI_KNOBS(throughput, "part of the wanted throughput", 1000, 900, 750, 500),
    MILLI_KNOBS(resources, "used part of a resource", 500, 700, 850, 950),
    MILLI_KNOBS(errors, "part of requests with errors", 1, 10, 30, 100),
};

const char *brisk_grade_name(brisk_grade grade)
{
    static const char *const names[] = {"unknown",    "unacceptable", "poor",
                                        "acceptable", "good",         "excellent"};
    return (size_t)grade < sizeof names / sizeof names[0] ? names[grade] : names[0];
}

brisk_scale brisk_grade_scale(const brisk_knobs *knobs, brisk_graded kind)
{
    BRISK_ASSERT((unsigned)kind < BRISK_GRADED_KINDS);
    double limits[LIMITS];
    bool more = kind == BRISK_GRADED_THROUGHPUT;
    for (uint32_t i = 0; i < LIMITS; i++) {
        const brisk_knob *knob = &brisk_grade_knobs[(uint32_t)kind * LIMITS + i];
        bool known = knobs != NULL && brisk_knobs_find(knobs, knob->name) != NULL;
        double limit = (double)(known ? brisk_knobs_u64(knobs, knob->name) : knob->def);
        limits[i] = knob->type == BRISK_KNOB_DURATION ? limit : limit / MILLI;
        if (i > 0) {
            limits[i] = more ? fmin(limits[i], limits[i - 1]) : fmax(limits[i], limits[i - 1]);
        }
    }
    return (brisk_scale){limits[0], limits[1], limits[2], limits[3], more};
}

/* The scale with less as better. */
static double turn(const brisk_scale *scale, double value, double limits[LIMITS])
{
    const double as_given[LIMITS] = {scale->excellent, scale->good, scale->acceptable, scale->poor};
    for (uint32_t i = 0; i < LIMITS; i++) {
        double limit = as_given[i];
        limits[i] = !scale->more_is_better ? limit : limit > 0 ? 1 / limit : (double)INFINITY;
    }
    return !scale->more_is_better ? value : value > 0 ? 1 / value : (double)INFINITY;
}

brisk_grade brisk_grade_of(const brisk_scale *scale, double value)
{
    static const brisk_grade grades[LIMITS] = {BRISK_GRADE_EXCELLENT, BRISK_GRADE_GOOD,
                                               BRISK_GRADE_ACCEPTABLE, BRISK_GRADE_POOR};
    double limits[LIMITS];
    if (isnan(value)) {
        return BRISK_GRADE_UNKNOWN;
    }
    double turned = turn(scale, value, limits);
    for (uint32_t i = 0; i < LIMITS; i++) {
        if (turned <= limits[i]) {
            return grades[i];
        }
    }
    return BRISK_GRADE_UNACCEPTABLE;
}

static double between(double value, double from, double to, double points_from, double points_to)
{
    if (!(to > from) || isinf(to)) {
        return points_from;
    }
    return points_from + (points_to - points_from) * (value - from) / (to - from);
}

double brisk_grade_points(const brisk_scale *scale, double value)
{
    double limits[LIMITS];
    if (isnan(value)) {
        return (double)NAN;
    }
    double turned = turn(scale, value, limits);
    if (turned <= limits[0] / 2) {
        return 100;
    }
    if (turned <= limits[0]) {
        return between(turned, limits[0] / 2, limits[0], 100, points_at[0]);
    }
    for (uint32_t i = 1; i < LIMITS; i++) {
        if (turned <= limits[i]) {
            return between(turned, limits[i - 1], limits[i], points_at[i - 1], points_at[i]);
        }
    }
    /* Worse than poor: 0 at three times that. */
    double end = limits[LIMITS - 1] * 3;
    return turned < end ? between(turned, limits[LIMITS - 1], end, points_at[LIMITS - 1], 0) : 0;
}

static brisk_grade grade_of_points(double points)
{
    static const brisk_grade grades[LIMITS] = {BRISK_GRADE_EXCELLENT, BRISK_GRADE_GOOD,
                                               BRISK_GRADE_ACCEPTABLE, BRISK_GRADE_POOR};
    for (uint32_t i = 0; i < LIMITS; i++) {
        if (points >= points_at[i]) {
            return grades[i];
        }
    }
    return BRISK_GRADE_UNACCEPTABLE;
}

/* Append what fits. */
static void say(brisk_grade_score *score, const char *format, ...) BRISK_PRINTF(2, 3);

static void say(brisk_grade_score *score, const char *format, ...)
{
    size_t used = strlen(score->text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(score->text + used, sizeof score->text - used, format, args);
    va_end(args);
}

static void say_parts(const brisk_grade_part *parts, uint32_t count, double weights,
                      brisk_grade_score *score)
{
    const char *before = ": ";
    for (uint32_t i = 0; i < count; i++) {
        if (!isnan(parts[i].value)) {
            say(score, "%s%s %.0f x %.2f", before, parts[i].name,
                brisk_grade_points(&parts[i].scale, parts[i].value), parts[i].weight / weights);
            before = ", ";
        }
    }
    before = "; unknown: ";
    for (uint32_t i = 0; i < count; i++) {
        if (isnan(parts[i].value)) {
            say(score, "%s%s", before, parts[i].name);
            before = ", ";
        }
    }
}

brisk_err brisk_grade_overall(const brisk_grade_part *parts, uint32_t count, brisk_grade_score *ret)
{
    double sum = 0;
    double weights = 0;
    brisk_grade worst = BRISK_GRADE_EXCELLENT;
    if (count == 0 || count > BRISK_GRADE_PARTS_MAX) {
        return BRISK_ERR_INVALID;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!(parts[i].weight > 0) || isinf(parts[i].weight)) {
            return BRISK_ERR_INVALID;
        }
        if (!isnan(parts[i].value)) {
            brisk_grade grade = brisk_grade_of(&parts[i].scale, parts[i].value);
            sum += parts[i].weight * brisk_grade_points(&parts[i].scale, parts[i].value);
            weights += parts[i].weight;
            worst = grade < worst ? grade : worst;
        }
    }
    *ret = (brisk_grade_score){.points = (double)NAN, .grade = BRISK_GRADE_UNKNOWN};
    if (weights == 0) {
        say(ret, "unknown");
        say_parts(parts, count, 1, ret);
        return BRISK_OK;
    }
    ret->points = sum / weights;
    /* UNACCEPTABLE is 1: its best overall is POOR, below points_at[2] (ACCEPTABLE). */
    bool capped = false;
    if (worst < BRISK_GRADE_GOOD && ret->points >= points_at[BRISK_GRADE_GOOD - worst - 1]) {
        ret->points = points_at[BRISK_GRADE_GOOD - worst - 1] - 0.1;
        capped = true;
    }
    ret->grade = grade_of_points(ret->points);
    say(ret, "%.0f %s", floor(ret->points), brisk_grade_name(ret->grade));
    say_parts(parts, count, weights, ret);
    if (capped) {
        say(ret, "; no better than one grade above the worst");
    }
    return BRISK_OK;
}
