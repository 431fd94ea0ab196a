/*
 * brisk/grade.h -- words and points for figures: excellent, good, acceptable, poor, unacceptable.
 *
 * A scale has four limits; a figure is as good as the best limit it keeps.  Points go from 100 (twice as
 * good as "excellent" asks, or better) over 90, 75, 60 and 40 at the limits to 0, linearly in between, so that
 * a small change of the figure is a small change of the points.  Limits are knobs (brisk_grade_knobs); what
 * they are by default is a convention, no truth about your users.
 *
 * An overall score is the weighted mean of the parts that are known, and never more than one grade above the
 * worst of them: a fast service that fails is no good service.  It says what it is made of.
 */
#ifndef BRISK_GRADE_H
#define BRISK_GRADE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/json.h>
#include <brisk/knob.h>

BRISK_BEGIN_DECLS

typedef enum brisk_grade {
    BRISK_GRADE_UNKNOWN = 0,
    BRISK_GRADE_UNACCEPTABLE,
    BRISK_GRADE_POOR,
    BRISK_GRADE_ACCEPTABLE,
    BRISK_GRADE_GOOD,
    BRISK_GRADE_EXCELLENT,
} brisk_grade;

/** "excellent" ...; static storage. */
BRISK_API const char *brisk_grade_name(brisk_grade grade);

/** Limits from best to worst: falling when `more_is_better`, else rising. */
typedef struct brisk_scale {
    double excellent;
    double good;
    double acceptable;
    double poor;
    bool more_is_better;
} brisk_scale;

typedef enum brisk_graded {
    BRISK_GRADED_RESPONSE = 0, /**< Nanoseconds: below 100 ms, 300 ms, 1 s, 3 s. */
    BRISK_GRADED_THROUGHPUT,   /**< Part of what was asked for: 1, 0.9, 0.75, 0.5 of it. */
    BRISK_GRADED_RESOURCES,    /**< Part used of what there is: below 0.5, 0.7, 0.85, 0.95. */
    BRISK_GRADED_ERRORS,       /**< Part of the requests: below 0.001, 0.01, 0.03, 0.1. */
} brisk_graded;
enum { BRISK_GRADED_KINDS = 4, BRISK_GRADE_KNOBS = 16 };

/** grade.response.excellent (a duration) ... grade.errors.poor (thousandths). */
BRISK_API extern const brisk_knob brisk_grade_knobs[BRISK_GRADE_KNOBS];

/** The scale as its knobs say; `knobs` NULL, or without grade's knobs: the defaults.  Limits that are not in
 *  order are put in order. */
BRISK_API brisk_scale brisk_grade_scale(const brisk_knobs *knobs, brisk_graded kind);

/** UNKNOWN for NaN. */
BRISK_API brisk_grade brisk_grade_of(const brisk_scale *scale, double value);
/** 0 .. 100; NaN for NaN. */
BRISK_API double brisk_grade_points(const brisk_scale *scale, double value);

typedef struct brisk_grade_part {
    const char *name; /**< "response time p95" */
    double value;     /**< NaN: not known. */
    brisk_scale scale;
    double weight; /**< Above 0. */
} brisk_grade_part;

enum { BRISK_GRADE_PARTS_MAX = 16, BRISK_GRADE_TEXT_MAX = 512 };

typedef struct brisk_grade_score {
    double points; /**< NaN when no part is known. */
    brisk_grade grade;
    /** "82 good: response time p95 95 x 0.5, resources 69 x 0.5; unknown: throughput". */
    char text[BRISK_GRADE_TEXT_MAX];
} brisk_grade_score;

/** Errors: INVALID (no parts, more than BRISK_GRADE_PARTS_MAX, a weight not above 0). */
BRISK_API BRISK_NODISCARD brisk_err brisk_grade_overall(const brisk_grade_part *parts,
                                                        uint32_t count, brisk_grade_score *ret);

BRISK_END_DECLS

#endif /* BRISK_GRADE_H */
