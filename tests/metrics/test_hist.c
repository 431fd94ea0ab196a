/*
 * test_hist.c -- proves <brisk/hist.h>: exact small values, the error bound against a sorted
 * oracle, the mean, clean failure at every allocation, and merge.
 */
#include <math.h>
#include <string.h>

#include <brisk/hist.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_hist, brisk_hist_destroy)

static void test_extremes_stay_in_range(void **state)
{
    (void)state;
    for (uint32_t s = 1; s <= 14; s++) {
        BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
        CHECK_OK(brisk_hist_create(&(brisk_hist_opts){.precision_bits = s}, &hist));
        CHECK_U64(brisk_hist_quantile(hist, 0.5), ==, 0);
        CHECK_U64(brisk_hist_min(hist), ==, 0);
        CHECK_U64(brisk_hist_max(hist), ==, 0);
        brisk_hist_record(hist, 0);
        CHECK_U64(brisk_hist_quantile(hist, 1.0), ==, 0);
        brisk_hist_record(hist, UINT64_MAX);
        CHECK_U64(brisk_hist_quantile(hist, 1.0), ==, UINT64_MAX);
        CHECK_U64(brisk_hist_min(hist), ==, 0);
        CHECK_U64(brisk_hist_max(hist), ==, UINT64_MAX);
    }
}

static void test_zero_quantile_is_the_minimum(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
    CHECK_OK(brisk_hist_create(NULL, &hist));
    brisk_hist_record(hist, 9);
    brisk_hist_record(hist, 5);
    CHECK_U64(brisk_hist_quantile(hist, 0.0), ==, 5);
    CHECK_U64(brisk_hist_min(hist), ==, 5);
    CHECK_U64(brisk_hist_max(hist), ==, 9);
}

static void test_mean_is_exact_beyond_64_bits(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *other = NULL;
    CHECK_OK(brisk_hist_create(NULL, &hist));
    CHECK_OK(brisk_hist_create(NULL, &other));
    CHECK(brisk_hist_mean(hist) == 0.0);
    brisk_hist_record(hist, 1000003); /* no bucket's top: the mean must not come from buckets */
    brisk_hist_record(hist, 1000006);
    CHECK(brisk_hist_mean(hist) == 1000004.5);
    const uint64_t big = UINT64_C(1) << 63;
    for (int i = 0; i < 5; i++) {
        brisk_hist_record(other, big);
    }
    CHECK(brisk_hist_mean(other) == (double)big);
    CHECK_OK(brisk_hist_merge(other, other)); /* 10 * 2^63: the carry of the merge counts too */
    CHECK(brisk_hist_mean(other) == (double)big);
    CHECK_OK(brisk_hist_merge(hist, other));
    double expected = (10.0 * (double)big + 2000009.0) / 12.0;
    CHECK(fabs(brisk_hist_mean(hist) - expected) <= expected * 1e-15);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Oracle: the value of rank ceil(q * n), at least 1, in sorted data. */
static uint64_t exact_quantile(const uint64_t *sorted, size_t n, double q)
{
    size_t rank = (size_t)ceil(q * (double)n);
    return sorted[rank == 0 ? 0 : rank - 1];
}

/* Property: for any data, exact <= reported <= exact * (1 + 2^-s). */
static void test_quantile_error_is_bounded(void **state)
{
    (void)state;
    enum { N = 997 /* prime, so that q * N is rarely whole */, PRECISION_BITS = 5 };
    uint64_t random = check_seed();
    for (int round = 0; round < 200; round++) {
        BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
        brisk_hist_opts opts = {.precision_bits = PRECISION_BITS};
        CHECK_OK(brisk_hist_create(&opts, &hist));
        uint64_t values[N];
        for (int i = 0; i < N; i++) {
            values[i] = check_random(&random) >> (check_random(&random) % 64); /* all magnitudes */
            brisk_hist_record(hist, values[i]);
        }
        qsort(values, N, sizeof values[0], compare_u64);
        for (int step = 0; step <= 64; step++) {
            double q = step / 64.0;
            uint64_t exact = exact_quantile(values, N, q);
            uint64_t reported = brisk_hist_quantile(hist, q);
            CHECK_U64(reported, >=, exact);
            CHECK_U64(reported - exact, <=, exact >> PRECISION_BITS);
        }
    }
}

static void test_buckets_in_order_and_what_lies_below(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
    CHECK_OK(brisk_hist_create(&(brisk_hist_opts){.precision_bits = 1}, &hist));
    static const uint64_t values[] = {0, 1, 4, 5, 23, 24, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        brisk_hist_record(hist, values[i]);
    }
    static const brisk_hist_bucket expected[] = {{0, 0, 1},   {1, 1, 1},
                                                 {4, 5, 2},   {16, 23, 1},
                                                 {24, 31, 1}, {UINT64_C(3) << 62, UINT64_MAX, 1}};
    uint32_t cursor = 0;
    brisk_hist_bucket bucket;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        CHECK(brisk_hist_next(hist, &cursor, &bucket));
        CHECK_U64(bucket.low, ==, expected[i].low);
        CHECK_U64(bucket.top, ==, expected[i].top);
        CHECK_U64(bucket.count, ==, expected[i].count);
    }
    CHECK(!brisk_hist_next(hist, &cursor, &bucket));
    CHECK(!brisk_hist_next(hist, &cursor, &bucket));
    CHECK_U64(brisk_hist_count_to(hist, 0), ==, 1);
    CHECK_U64(brisk_hist_count_to(hist, 3), ==, 2);
    CHECK_U64(brisk_hist_count_to(hist, 4), ==, 4); /* 5 shares its bucket */
    CHECK_U64(brisk_hist_count_to(hist, UINT64_MAX), ==, 7);
}

static void test_stddev(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
    CHECK_OK(brisk_hist_create(NULL, &hist));
    CHECK(brisk_hist_stddev(hist) == 0.0);
    for (uint64_t i = 0; i < 100; i++) {
        brisk_hist_record(hist, i); /* below 2^7: exact */
    }
    CHECK(fabs(brisk_hist_stddev(hist) - sqrt(833.25)) < 1e-9);
    for (uint64_t i = 0; i < 100; i++) {
        brisk_hist_record(hist, 1000000);
    }
    CHECK(fabs(brisk_hist_stddev(hist) - 499975.25) < 499975.25 * 0.004);
}

static void test_subtract_and_reset(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *earlier = NULL;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *coarse = NULL;
    CHECK_OK(brisk_hist_create(NULL, &hist));
    CHECK_OK(brisk_hist_create(NULL, &earlier));
    CHECK_OK(brisk_hist_create(&(brisk_hist_opts){.precision_bits = 3}, &coarse));
    brisk_hist_record(earlier, UINT64_MAX);
    brisk_hist_record(earlier, 7);
    CHECK_OK(brisk_hist_merge(hist, earlier));
    brisk_hist_record(hist, 100);
    brisk_hist_record(hist, UINT64_MAX); /* carries */
    CHECK(brisk_hist_subtract(hist, coarse) == BRISK_ERR_MISMATCH);
    CHECK(brisk_hist_subtract(earlier, hist) == BRISK_ERR_MISMATCH);
    CHECK_U64(brisk_hist_count(earlier), ==, 2);
    CHECK_OK(brisk_hist_subtract(hist, earlier));
    CHECK_U64(brisk_hist_count(hist), ==, 2);
    CHECK(brisk_hist_mean(hist) == (100.0 + 0x1p64) / 2);
    CHECK_U64(brisk_hist_quantile(hist, 0.5), ==, 100);
    brisk_hist_reset(hist);
    CHECK_U64(brisk_hist_count(hist), ==, 0);
    CHECK(brisk_hist_mean(hist) == 0.0);
    CHECK_OK(brisk_hist_subtract(earlier, earlier));
    CHECK_U64(brisk_hist_count(earlier), ==, 0);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_hist *hist = NULL;
        err = brisk_hist_create(&(brisk_hist_opts){.alloc = &fault.base}, &hist);
        CHECK((hist != NULL) == (err == BRISK_OK));
        brisk_hist_destroy(hist);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK(err == BRISK_OK);
}

static void test_merge_needs_equal_precision(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *coarse = NULL;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *fine = NULL;
    CHECK_OK(brisk_hist_create(&(brisk_hist_opts){.precision_bits = 2}, &coarse));
    CHECK_OK(brisk_hist_create(&(brisk_hist_opts){.precision_bits = 3}, &fine));
    brisk_hist_record(fine, 42);
    CHECK(brisk_hist_merge(coarse, fine) == BRISK_ERR_MISMATCH);
    CHECK_U64(brisk_hist_count(coarse), ==, 0);
    CHECK_OK(brisk_hist_merge(fine, fine));
    CHECK_U64(brisk_hist_count(fine), ==, 2);
}

static void test_precision_has_a_limit(void **state)
{
    (void)state;
    brisk_hist *hist = NULL;
    CHECK(brisk_hist_create(&(brisk_hist_opts){.precision_bits = 15}, &hist) == BRISK_ERR_INVALID);
    CHECK(hist == NULL);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_extremes_stay_in_range),
        cmocka_unit_test(test_zero_quantile_is_the_minimum),
        cmocka_unit_test(test_mean_is_exact_beyond_64_bits),
        cmocka_unit_test(test_quantile_error_is_bounded),
        cmocka_unit_test(test_buckets_in_order_and_what_lies_below),
        cmocka_unit_test(test_stddev),
        cmocka_unit_test(test_subtract_and_reset),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_merge_needs_equal_precision),
        cmocka_unit_test(test_precision_has_a_limit),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
