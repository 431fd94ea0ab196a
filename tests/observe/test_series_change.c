/*
 * Change points: planted steps are found where they are, steady noise of five kinds is left alone,
 * hostile input is refused, and any allocation may fail.
 */
#include <math.h>
#include <string.h>

#include <brisk/stats.h>

#include "observe/stats/series.h"
#include "series_noise.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { COUNT = 120, STEP_AT = 80, ROUNDS = 100, LONG = 24000 };

static size_t distance(size_t a, size_t b)
{
    return a > b ? a - b : b - a;
}

static bool found_near(const brisk_change_points *changes, size_t at, size_t margin)
{
    for (size_t i = 0; i < changes->count; i++) {
        if (distance(changes->items[i].at, at) <= margin) {
            return true;
        }
    }
    return false;
}

static void check_items(const brisk_change_points *changes, size_t count)
{
    size_t before = 0;
    for (size_t i = 0; i < changes->count; i++) {
        const brisk_change_point *item = &changes->items[i];
        CHECK_U64(item->at, >=, before + 5);
        CHECK_U64(item->at, <=, count - 5);
        CHECK(item->p_value >= 0 && item->p_value <= 0.03);
        before = item->at;
    }
}

/* A history begins short: one large step is not taken for a memory of the noise. */
static void test_short(void **state)
{
    (void)state;
    static const double wild[] = {7.694, 10.04, 25.72, 7.181, 5.800, 16.87, 21.33,
                                  11.73, 18.65, 13.60, 22.79, 12.73, 7.159, 11.00,
                                  100.2, 104.5, 104.6, 97.25, 93.14, 106.5, 100.8,
                                  105.1, 91.37, 101.3, 96.99, 91.85, 99.78, 107.4};
    brisk_change_points changes;
    CHECK_OK(brisk_change_points_find(wild, sizeof wild / sizeof *wild, NULL, &changes));
    CHECK(changes.count == 1 && changes.items[0].at == 14);
    brisk_change_points_deinit(&changes);
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    for (size_t half = 10; half <= 40; half++) {
        double values[80];
        noise_make(&rng, 0, values, 2 * half, 2 * half, 0);
        for (size_t i = half; i < 2 * half; i++) {
            values[i] *= 2;
        }
        CHECK_OK(brisk_change_points_find(values, 2 * half, NULL, &changes));
        CHECK(found_near(&changes, half, 1));
        brisk_change_points_deinit(&changes);
    }
}

/* The asks of the issue, with room for chance: 100 series a kind. */
static void test_noise(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int kind = 0; kind < NOISE_KINDS; kind++) {
        brisk_rng rng;
        brisk_rng_init(&rng, seed + (uint64_t)kind);
        size_t alarms = 0;
        size_t hits = 0;
        for (int round = 0; round < ROUNDS; round++) {
            double values[COUNT];
            brisk_change_points changes;
            noise_make(&rng, kind, values, COUNT, COUNT, 0);
            CHECK_OK(brisk_change_points_find(values, COUNT, NULL, &changes));
            check_items(&changes, COUNT);
            alarms += changes.count;
            brisk_change_points_deinit(&changes);
            noise_make(&rng, kind, values, COUNT, STEP_AT, 0.05);
            CHECK_OK(brisk_change_points_find(values, COUNT, NULL, &changes));
            check_items(&changes, COUNT);
            hits += found_near(&changes, STEP_AT, 5) ? 1 : 0;
            brisk_change_points_deinit(&changes);
        }
        print_message("%s: %zu false alarms, %zu of %d steps\n", noise_name(kind), alarms, hits,
                      ROUNDS);
        CHECK_U64(alarms, <=, kind == NOISE_CORRELATED ? 5 : 2);
        CHECK_U64(hits, >=, kind == NOISE_CORRELATED ? 50 : 90);
    }
}

static void test_levels(void **state)
{
    (void)state;
    double values[60];
    brisk_change_points changes;
    for (int i = 0; i < 60; i++) {
        values[i] = (i < 20 ? 10 : i < 40 ? 20 : 5) + 0.01 * (i * 7 % 11);
    }
    CHECK_OK(brisk_change_points_find(values, 60, NULL, &changes));
    CHECK_U64(changes.count, ==, 2);
    CHECK_U64(changes.items[0].at, ==, 20);
    CHECK_U64(changes.items[1].at, ==, 40);
    CHECK(fabs(changes.items[0].before - 10.05) < 0.02);
    CHECK(fabs(changes.items[0].after - 20.05) < 0.02);
    CHECK(fabs(changes.items[1].after - 5.05) < 0.02);
    brisk_change_points_deinit(&changes);
    brisk_change_opts opts = {.min_effect = 0.8}; /* 10 to 20 is 1.0, 20 to 5 is 0.75 */
    CHECK_OK(brisk_change_points_find(values, 60, &opts, &changes));
    CHECK_U64(changes.count, ==, 1);
    CHECK_U64(changes.items[0].at, ==, 20);
    brisk_change_points_deinit(&changes);
}

/* One wild value, a constant series, an alternating one: no change of level. */
static void test_steady(void **state)
{
    (void)state;
    double values[100];
    brisk_change_points changes;
    for (int way = 0; way < 3; way++) {
        for (int i = 0; i < 100; i++) {
            values[i] = way == 0 ? 7 : way == 1 ? i % 2 : i == 50 ? 1e6 : i % 3;
        }
        CHECK_OK(brisk_change_points_find(values, 100, NULL, &changes));
        CHECK_U64(changes.count, ==, 0);
        brisk_change_points_deinit(&changes);
    }
}

/* Wild values on both sides of a step, in no order: it is found where it is. */
static void test_wild(void **state)
{
    (void)state;
    double values[COUNT];
    brisk_rng rng;
    brisk_change_points changes;
    brisk_rng_init(&rng, check_seed());
    noise_make(&rng, NOISE_NORMAL, values, COUNT, STEP_AT, 0.1);
    values[10] = 1e7;
    values[50] = -1e7;
    values[77] = -1e8;
    values[84] = 1e6;
    CHECK_OK(brisk_change_points_find(values, COUNT, NULL, &changes));
    CHECK_U64(changes.count, ==, 1);
    CHECK(found_near(&changes, STEP_AT, 3));
    CHECK(fabs(changes.items[0].before - 100) < 2 && fabs(changes.items[0].after - 110) < 2);
    brisk_change_points_deinit(&changes);
}

/* Longer than a block: steps in several places, one of them small and slow to show. */
static void test_long(void **state)
{
    (void)state;
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    double *values = malloc(LONG * sizeof *values);
    CHECK(values != NULL);
    brisk_change_points changes;
    for (int i = 0; i < LONG; i++) {
        double level = i < 10000 ? 100 : i < 10040 ? 115 : i < 15000 ? 100 : 101.5;
        values[i] = level + 3 * noise_normal(&rng);
    }
    CHECK_OK(brisk_change_points_find(values, LONG, NULL, &changes));
    CHECK_U64(changes.count, ==, 3);
    CHECK(found_near(&changes, 10000, 2) && found_near(&changes, 10040, 2));
    CHECK(found_near(&changes, 15000, 100));
    brisk_change_points_deinit(&changes);
    free(values);
}

static void test_edpelt_places(void **state)
{
    (void)state;
    double values[200];
    for (int i = 0; i < 200; i++) {
        values[i] = (i / 50) % 2 * 10 + i * 13 % 7;
    }
    series_edpelt_opts opts = {.penalty = 20, .min_segment = 5, .alloc = brisk_alloc_libc()};
    series_positions found;
    CHECK_OK(series_edpelt(values, 200, &opts, &found));
    CHECK_U64(found.count, ==, 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_U64(found.items[i], ==, 50 * (i + 1));
    }
    series_positions_deinit(&found);
}

static void test_refusals(void **state)
{
    (void)state;
    double values[] = {1, 2, (double)NAN, 4};
    brisk_change_points changes = {.count = 77};
    CHECK(brisk_change_points_find(values, 4, NULL, &changes) == BRISK_ERR_INVALID);
    values[2] = (double)INFINITY;
    CHECK(brisk_change_points_find(values, 4, NULL, &changes) == BRISK_ERR_INVALID);
    brisk_change_opts opts = {.significance = 1};
    CHECK(brisk_change_points_find(values, 2, &opts, &changes) == BRISK_ERR_INVALID);
    opts = (brisk_change_opts){.min_effect = (double)NAN};
    CHECK(brisk_change_points_find(values, 2, &opts, &changes) == BRISK_ERR_INVALID);
    CHECK_U64(changes.count, ==, 77);
    for (size_t count = 0; count <= 2; count++) {
        CHECK_OK(brisk_change_points_find(values, count, NULL, &changes));
        CHECK_U64(changes.count, ==, 0);
        brisk_change_points_deinit(&changes);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    double values[600];
    for (int i = 0; i < 600; i++) {
        values[i] = (i < 300 ? 1 : 2) + 0.1 * (i * 31 % 17);
    }
    for (size_t count = 60; count <= 600; count += 540) {
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            brisk_change_opts opts = {.alloc = &fault.base};
            brisk_change_points changes = {0};
            err = brisk_change_points_find(values, count, &opts, &changes);
            CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
            CHECK_U64(changes.count, ==, err == BRISK_OK && count == 600 ? 1 : 0);
            brisk_change_points_deinit(&changes);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
    }
}

static void test_ranks(void **state)
{
    (void)state;
    double values[] = {3, 1, 1, 2};
    double ranks[4];
    CHECK_OK(series_rank(values, 4, brisk_alloc_libc(), ranks));
    CHECK(ranks[0] == 4 && ranks[1] == 1.5 && ranks[2] == 1.5 && ranks[3] == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short),    cmocka_unit_test(test_noise),
        cmocka_unit_test(test_levels),   cmocka_unit_test(test_wild),
        cmocka_unit_test(test_steady),   cmocka_unit_test(test_long),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_edpelt_places),
        cmocka_unit_test(test_ranks),    cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
