/*
 * The detector: a spike, a step and a missing peak of a daily season are told; what happens every day
 * is not; the sorted windows hold what a plain computation says; any allocation may fail.
 */
#include <math.h>
#include <string.h>

#include <brisk/stats.h>

#include "series_noise.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { DAY = 96, DAYS = 14, COUNT = DAY * DAYS };

/* Each day: 20, and 80 for a quarter of it. */
static void days_make(brisk_rng *rng, double *values)
{
    for (int i = 0; i < COUNT; i++) {
        bool busy = i % DAY >= 40 && i % DAY < 64;
        values[i] = (busy ? 80 : 20) + noise_normal(rng);
    }
}

/* Alarms among values from..to - 1; counts the fresh ones. */
static int alarms_of(const double *values, uint32_t period, int from, int to)
{
    brisk_detector *detector = NULL;
    brisk_detector_opts opts = {.period = period};
    CHECK_OK(brisk_detector_create(&opts, &detector));
    int alarms = 0;
    for (int i = 0; i < COUNT; i++) {
        brisk_verdict v;
        CHECK_OK(brisk_detector_push(detector, values[i], &v));
        CHECK(v.score >= 0 && v.voices <= 4 && isfinite(v.z) && isfinite(v.drift));
        alarms += v.anomalous && v.fresh && i >= from && i < to ? 1 : 0;
    }
    brisk_detector_destroy(detector);
    return alarms;
}

static void test_season(void **state)
{
    (void)state;
    static double values[COUNT];
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    days_make(&rng, values);
    int begin = 10 * DAY + 40;
    CHECK(alarms_of(values, DAY, 5 * DAY, COUNT) <= 6);
    for (int i = begin; i < begin + 24; i++) {
        values[i] -= 60; /* the peak is missing: 20 as at any other time */
    }
    CHECK(alarms_of(values, DAY, begin, begin + 24) >= 1);
    days_make(&rng, values);
    values[begin - 20] += 30;
    CHECK(alarms_of(values, DAY, begin - 20, begin - 19) == 1);
}

/* A spike each day at about the same time, every one a record by a little: news only without season. */
static void test_daily_spike(void **state)
{
    (void)state;
    static double values[COUNT];
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    for (int i = 0; i < COUNT; i++) {
        values[i] = 20 + noise_normal(&rng);
    }
    for (int day = 0; day < DAYS; day++) {
        values[day * DAY + 50 + day % 4] += 100 + 6 * day;
    }
    CHECK(alarms_of(values, 0, 5 * DAY, COUNT) >= 7);
    int seasonal = 0;
    for (int day = 5; day < DAYS; day++) {
        int at = day * DAY + 50 + day % 4;
        seasonal += alarms_of(values, DAY, at, at + 1);
    }
    CHECK(seasonal == 0);
}

static void test_spike_and_step(void **state)
{
    (void)state;
    static double values[COUNT];
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    for (int i = 0; i < COUNT; i++) {
        values[i] = 100 + noise_normal(&rng) + (i == 900 ? 12 : i >= 1100 ? 6 : 0);
    }
    CHECK(alarms_of(values, 0, 900, 901) == 1);
    CHECK(alarms_of(values, 0, 1100, 1110) >= 1);
    CHECK(alarms_of(values, 0, 200, 900) <= 10);
}

/* Median, z and drift against plain computations; the window smaller than the series. */
static void test_figures(void **state)
{
    (void)state;
    enum { WINDOW = 40, VALUES = 400 };
    uint64_t random = check_seed();
    brisk_detector *detector = NULL;
    brisk_detector_opts opts = {.window = WINDOW, .history = 100};
    CHECK_OK(brisk_detector_create(&opts, &detector));
    double values[VALUES];
    double up = 0;
    double down = 0;
    for (int i = 0; i < VALUES; i++) {
        values[i] = (double)(check_random(&random) % 50); /* many equal ones */
        brisk_verdict v;
        CHECK_OK(brisk_detector_push(detector, values[i], &v));
        if (i < WINDOW) {
            up = i >= 30 ? fmax(0, up + fmin(fmax(v.z, -3), 3) - 0.5) : 0;
            down = i >= 30 ? fmax(0, down - fmin(fmax(v.z, -3), 3) - 0.5) : 0;
            continue;
        }
        double sorted[WINDOW];
        memcpy(sorted, values + i - WINDOW, sizeof sorted);
        brisk_sample_sort(sorted, WINDOW);
        double median = brisk_sample_median(sorted, WINDOW);
        CHECK(fabs(v.expected - median) < 1e-9);
        double distances[WINDOW];
        for (int k = 0; k < WINDOW; k++) {
            distances[k] = fabs(sorted[k] - median);
        }
        brisk_sample_sort(distances, WINDOW);
        double low = (values[i] - median) / (1.4826 * distances[WINDOW / 2] + 0.06);
        double high = (values[i] - median) / (1.4826 * distances[WINDOW / 2]);
        CHECK(v.z >= fmin(low, high) - 1e-9 && v.z <= fmax(low, high) + 1e-9);
        up = fmax(0, up + fmin(fmax(v.z, -3), 3) - 0.5);
        down = fmax(0, down - fmin(fmax(v.z, -3), 3) - 0.5);
        CHECK(fabs(v.drift - (up >= down ? up : -down)) < 1e-9);
    }
    brisk_detector_destroy(detector);
}

static void test_duration(void **state)
{
    (void)state;
    brisk_detector *detector = NULL;
    brisk_detector_opts opts = {.min_duration = 3, .threshold = 2};
    CHECK_OK(brisk_detector_create(&opts, &detector));
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    int lasting = 0;
    for (int i = 0; i < 505; i++) {
        brisk_verdict v;
        double value = noise_normal(&rng) + (i >= 500 ? 50 + 10 * i : 0);
        CHECK_OK(brisk_detector_push(detector, value, &v));
        lasting = v.score >= 2 ? lasting + 1 : 0;
        CHECK(v.anomalous == (lasting >= 3));
        CHECK(i < 500 || v.score >= 2);
    }
    brisk_detector_destroy(detector);
}

static void test_refusals(void **state)
{
    (void)state;
    brisk_detector *detector = NULL;
    CHECK(brisk_detector_create(&(brisk_detector_opts){.window = 5}, &detector) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_detector_create(&(brisk_detector_opts){.period = 7}, &detector) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_detector_create(&(brisk_detector_opts){.history = 1 << 20}, &detector) ==
          BRISK_ERR_INVALID);
    CHECK(detector == NULL);
    CHECK_OK(brisk_detector_create(NULL, &detector));
    brisk_verdict v = {.score = 42};
    CHECK(brisk_detector_push(detector, (double)NAN, &v) == BRISK_ERR_INVALID);
    CHECK(v.score == 42);
    for (int i = 0; i < 2000; i++) { /* constant, then enormous: figures stay finite */
        CHECK_OK(brisk_detector_push(detector, i < 1990 ? 5 : 1e300, &v));
        CHECK(isfinite(v.score) && isfinite(v.z) && (i >= 1990 || v.score == 0 || i < 130));
    }
    brisk_detector_destroy(detector);
    brisk_detector_destroy(NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_detector *detector = NULL;
        brisk_detector_opts opts = {.period = 24, .alloc = &fault.base};
        err = brisk_detector_create(&opts, &detector);
        CHECK((detector != NULL) == (err == BRISK_OK));
        brisk_detector_destroy(detector);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_season),
        cmocka_unit_test(test_spike_and_step),
        cmocka_unit_test(test_daily_spike),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
