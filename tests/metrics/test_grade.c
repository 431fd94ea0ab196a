/*
 * test_grade.c -- proves <brisk/grade.h>: grades at and around every limit, points that never jump or rise for
 * the worse, limits from knobs, an overall score that a bad part caps and that names its parts.
 */
#include <math.h>
#include <string.h>

#include <brisk/grade.h>

#include "base/cleanup.h"
#include "support/check.h"

BRISK_DEFINE_CLEANUP(brisk_knobs, brisk_knobs_destroy)

static void test_response_times(void **state)
{
    (void)state;
    brisk_scale s = brisk_grade_scale(NULL, BRISK_GRADED_RESPONSE);
    const struct {
        double ms;
        brisk_grade grade;
    } cases[] = {{0, BRISK_GRADE_EXCELLENT},       {99.9, BRISK_GRADE_EXCELLENT},
                 {101, BRISK_GRADE_GOOD},          {299, BRISK_GRADE_GOOD},
                 {301, BRISK_GRADE_ACCEPTABLE},    {999, BRISK_GRADE_ACCEPTABLE},
                 {1001, BRISK_GRADE_POOR},         {2999, BRISK_GRADE_POOR},
                 {3001, BRISK_GRADE_UNACCEPTABLE}, {1e9, BRISK_GRADE_UNACCEPTABLE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(brisk_grade_of(&s, cases[i].ms * 1e6) == cases[i].grade);
    }
    CHECK(brisk_grade_of(&s, (double)NAN) == BRISK_GRADE_UNKNOWN);
    CHECK(isnan(brisk_grade_points(&s, (double)NAN)));
    CHECK(brisk_grade_points(&s, 0) == 100);
    CHECK(brisk_grade_points(&s, 100e6) == 90);
    CHECK(brisk_grade_points(&s, 200e6) == 82.5);
    CHECK(brisk_grade_points(&s, 3000e6) == 40);
    CHECK(brisk_grade_points(&s, 9000e6) == 0);
}

static void test_points_fall_with_the_figure_and_agree_with_the_grade(void **state)
{
    (void)state;
    for (int kind = 0; kind < BRISK_GRADED_KINDS; kind++) {
        brisk_scale s = brisk_grade_scale(NULL, (brisk_graded)kind);
        double worst = s.more_is_better ? s.excellent * 3 : s.poor * 4;
        double last = s.more_is_better ? 0 : 100;
        for (int i = 0; i <= 4000; i++) {
            double value = worst * i / 4000;
            double points = brisk_grade_points(&s, value);
            CHECK(points >= 0 && points <= 100);
            CHECK(s.more_is_better ? points >= last : points <= last);
            /* No jumps: scales narrow fast where nothing is left of a throughput. */
            CHECK(fabs(points - last) < 3 || (s.more_is_better && value < s.poor));
            last = points;
            brisk_grade grade = brisk_grade_of(&s, value);
            CHECK((points >= 90) == (grade == BRISK_GRADE_EXCELLENT));
            CHECK((points < 40) == (grade == BRISK_GRADE_UNACCEPTABLE));
        }
    }
}

static void test_throughput(void **state)
{
    (void)state;
    brisk_scale s = brisk_grade_scale(NULL, BRISK_GRADED_THROUGHPUT);
    CHECK(brisk_grade_of(&s, 1.0) == BRISK_GRADE_EXCELLENT);
    CHECK(brisk_grade_of(&s, 0.91) == BRISK_GRADE_GOOD);
    CHECK(brisk_grade_of(&s, 0.8) == BRISK_GRADE_ACCEPTABLE);
    CHECK(brisk_grade_of(&s, 0.6) == BRISK_GRADE_POOR);
    CHECK(brisk_grade_of(&s, 0.4) == BRISK_GRADE_UNACCEPTABLE);
    CHECK(brisk_grade_of(&s, 0.0) == BRISK_GRADE_UNACCEPTABLE);
    CHECK(brisk_grade_points(&s, 0.0) == 0);
    CHECK(brisk_grade_points(&s, 2.0) == 100);
}

static void test_limits_are_knobs(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = NULL;
    CHECK_OK(brisk_knobs_create(NULL, &knobs));
    CHECK(brisk_grade_scale(knobs, BRISK_GRADED_RESPONSE).good == 300e6); /* not registered yet */
    CHECK_OK(brisk_knobs_register(knobs, brisk_grade_knobs, BRISK_GRADE_KNOBS, NULL));
    CHECK_OK(brisk_knobs_set(knobs, "grade.response.good", "5s", BRISK_KNOB_FLAG, NULL));
    brisk_scale s = brisk_grade_scale(knobs, BRISK_GRADED_RESPONSE);
    CHECK(s.excellent == 100e6 && s.good == 5e9);
    CHECK(s.acceptable == 5e9 && s.poor == 5e9); /* put in order */
    CHECK(brisk_grade_of(&s, 4.9e9) == BRISK_GRADE_GOOD);
    CHECK(brisk_grade_of(&s, 5.1e9) == BRISK_GRADE_UNACCEPTABLE);
    CHECK(brisk_grade_scale(knobs, BRISK_GRADED_RESOURCES).poor == 0.95);
}

static void test_overall(void **state)
{
    (void)state;
    brisk_grade_part parts[] = {
        {"response", 100e6, brisk_grade_scale(NULL, BRISK_GRADED_RESPONSE), 3},
        {"throughput", (double)NAN, brisk_grade_scale(NULL, BRISK_GRADED_THROUGHPUT), 2},
        {"errors", 0.01, brisk_grade_scale(NULL, BRISK_GRADED_ERRORS), 1},
    };
    brisk_grade_score score;
    CHECK_OK(brisk_grade_overall(parts, 3, &score));
    CHECK(fabs(score.points - (90 * 3 + 75) / 4.0) < 1e-9);
    CHECK(score.grade == BRISK_GRADE_GOOD);
    CHECK(strcmp(score.text,
                 "86 good: response 90 x 0.75, errors 75 x 0.25; unknown: throughput") == 0);
    parts[2].value = 0.5; /* half of all fail */
    CHECK_OK(brisk_grade_overall(parts, 3, &score));
    CHECK(score.grade == BRISK_GRADE_POOR);
    CHECK(strstr(score.text, "no better than one grade above the worst") != NULL);
    parts[0].value = (double)NAN;
    parts[2].value = (double)NAN;
    CHECK_OK(brisk_grade_overall(parts, 3, &score));
    CHECK(score.grade == BRISK_GRADE_UNKNOWN && isnan(score.points));
    CHECK(brisk_grade_overall(parts, 0, &score) == BRISK_ERR_INVALID);
    parts[1].weight = 0;
    CHECK(brisk_grade_overall(parts, 3, &score) == BRISK_ERR_INVALID);
    char name[300];
    memset(name, 'n', sizeof name);
    name[299] = '\0';
    brisk_grade_part many[BRISK_GRADE_PARTS_MAX];
    for (int i = 0; i < BRISK_GRADE_PARTS_MAX; i++) {
        many[i] = (brisk_grade_part){name, 1, parts[0].scale, 1};
    }
    CHECK_OK(brisk_grade_overall(many, BRISK_GRADE_PARTS_MAX, &score)); /* cut, terminated */
    CHECK(score.grade == BRISK_GRADE_EXCELLENT);
    CHECK_U64(strlen(score.text), ==, BRISK_GRADE_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_response_times),
        cmocka_unit_test(test_points_fall_with_the_figure_and_agree_with_the_grade),
        cmocka_unit_test(test_throughput),
        cmocka_unit_test(test_limits_are_knobs),
        cmocka_unit_test(test_overall),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
