/*
 * Trends, time to a limit, forecasts: known lines and seasons, intervals that hold what they promise,
 * refusals, and any allocation may fail.
 */
#include <math.h>
#include <string.h>

#include <brisk/stats.h>

#include "series_noise.h"
#include "support/check.h"
#include "support/fault_alloc.h"

static void test_line(void **state)
{
    (void)state;
    double values[100];
    double times[100];
    for (int i = 0; i < 100; i++) {
        times[i] = 1000 + i * 2;
        values[i] = i == 40 || i == 70 ? 1e6 : 5 + 1.5 * i + (i % 3) * 0.1;
    }
    brisk_trend trend;
    brisk_series series = {.values = values, .times = times, .count = 100};
    CHECK_OK(brisk_trend_find(&series, NULL, &trend));
    CHECK(fabs(trend.slope.estimate - 0.75) < 0.002);
    CHECK(trend.slope.low > 0.74 && trend.slope.low <= trend.slope.estimate);
    CHECK(trend.slope.high < 0.76 && trend.slope.high >= trend.slope.estimate);
    CHECK(trend.slope.p < 1e-6 && trend.tau > 0.9 && trend.tau < 1);
    CHECK(fabs(trend.level - 153.6) < 0.3);
    brisk_interval when;
    CHECK_OK(brisk_trend_reaches(&trend, trend.level + 7.5, &when));
    CHECK(fabs(when.estimate - 10) < 0.1 && when.low <= 10 && when.high >= 9.99);
    CHECK(brisk_trend_reaches(&trend, trend.level - 7.5, &when) == BRISK_ERR_DECLINED);
    series.times = NULL;
    CHECK_OK(brisk_trend_find(&series, NULL, &trend));
    CHECK(fabs(trend.slope.estimate - 1.5) < 0.004);
}

/* More points than pairs are made of. */
static void test_many_points(void **state)
{
    (void)state;
    enum { COUNT = 25001 };
    double *values = malloc(COUNT * sizeof *values);
    CHECK(values != NULL);
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    for (int i = 0; i < COUNT; i++) {
        values[i] = 100 - 0.001 * i + noise_normal(&rng);
    }
    brisk_trend trend;
    CHECK_OK(brisk_trend_find(&(brisk_series){.values = values, .count = COUNT}, NULL, &trend));
    CHECK(fabs(trend.slope.estimate + 0.001) < 2e-5);
    CHECK(fabs(trend.level - 75) < 0.3);
    free(values);
}

/* 95 % intervals hold the truth, and p <= 0.05 is rare where nothing rises, correlated or not. */
static void test_promises(void **state)
{
    (void)state;
    enum { ROUNDS = 300, COUNT = 60 };
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    static const int kinds[] = {NOISE_NORMAL, NOISE_SKEWED, NOISE_OUTLIERS, NOISE_CORRELATED};
    for (int k = 0; k < 4; k++) {
        int held = 0;
        int alarms = 0;
        for (int round = 0; round < ROUNDS; round++) {
            double values[COUNT];
            brisk_trend trend;
            noise_make(&rng, kinds[k], values, COUNT, COUNT, 0);
            brisk_series series = {.values = values, .count = COUNT};
            CHECK_OK(brisk_trend_find(&series, NULL, &trend));
            alarms += trend.slope.p <= 0.05 ? 1 : 0;
            for (int i = 0; i < COUNT; i++) {
                values[i] += 0.25 * i;
            }
            CHECK_OK(brisk_trend_find(&series, NULL, &trend));
            held += trend.slope.low <= 0.25 && trend.slope.high >= 0.25 ? 1 : 0;
        }
        print_message("%s: %d of %d held, %d alarms\n", noise_name(kinds[k]), held, ROUNDS, alarms);
        bool correlated = kinds[k] == NOISE_CORRELATED;
        CHECK(held >= ROUNDS * (correlated ? 85 : 92) / 100);
        CHECK(alarms <= ROUNDS * (correlated ? 14 : 8) / 100);
    }
}

static void test_forecast(void **state)
{
    (void)state;
    enum { COUNT = 240, AHEAD = 24 };
    double values[COUNT + AHEAD];
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    int held = 0;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < COUNT + AHEAD; i++) {
            values[i] = 50 + 10 * sin(i * 6.283185307179586 / 24) + 0.05 * i + noise_normal(&rng);
        }
        brisk_interval items[AHEAD];
        brisk_forecast_range range = {items, AHEAD};
        CHECK_OK(
            brisk_forecast(&(brisk_series){.values = values, .count = COUNT}, 24, NULL, &range));
        for (int i = 0; i < AHEAD; i++) {
            CHECK(items[i].low < items[i].estimate && items[i].estimate < items[i].high);
            CHECK(items[i].high - items[i].low < 20); /* the season is known, not feared */
            held += values[COUNT + i] >= items[i].low && values[COUNT + i] <= items[i].high;
        }
    }
    print_message("%d of %d held\n", held, 40 * AHEAD);
    CHECK(held >= 40 * AHEAD * 88 / 100);
}

static void test_refusals(void **state)
{
    (void)state;
    double values[40];
    double times[40];
    for (int i = 0; i < 40; i++) {
        values[i] = i % 2;
        times[i] = i;
    }
    brisk_trend trend;
    brisk_interval items[2];
    brisk_forecast_range range = {items, 2};
    brisk_series series = {.values = values, .times = times, .count = 19};
    CHECK(brisk_trend_find(&series, NULL, &trend) == BRISK_ERR_DECLINED);
    CHECK(brisk_forecast(&series, 0, NULL, &range) == BRISK_ERR_DECLINED);
    series.count = 40;
    CHECK(brisk_forecast(&series, 21, NULL, &range) == BRISK_ERR_DECLINED);
    CHECK_OK(brisk_trend_find(&series, NULL, &trend));
    CHECK(brisk_trend_reaches(&trend, 100, &items[0]) == BRISK_ERR_DECLINED);
    CHECK(brisk_trend_reaches(&trend, (double)NAN, &items[0]) == BRISK_ERR_INVALID);
    times[7] = 3;
    CHECK(brisk_trend_find(&series, NULL, &trend) == BRISK_ERR_INVALID);
    times[7] = (double)NAN;
    CHECK(brisk_trend_find(&series, NULL, &trend) == BRISK_ERR_INVALID);
    values[3] = (double)INFINITY;
    CHECK(brisk_forecast(&series, 0, NULL, &range) == BRISK_ERR_INVALID);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    double values[60];
    for (int i = 0; i < 60; i++) {
        values[i] = i * 7 % 11;
    }
    brisk_series series = {.values = values, .count = 60};
    for (int way = 0; way < 2; way++) {
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            brisk_trend trend;
            brisk_interval items[3];
            err = way == 0
                      ? brisk_trend_find(&series, &fault.base, &trend)
                      : brisk_forecast(&series, 7, &fault.base, &(brisk_forecast_range){items, 3});
            CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),     cmocka_unit_test(test_many_points),
        cmocka_unit_test(test_promises), cmocka_unit_test(test_forecast),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
