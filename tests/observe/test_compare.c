/*
 * test_compare.c -- shifts and their intervals, against published values and against sets that are
 * written out in full.
 */
#include "observe/near.h"
#include "support/fault_alloc.h"

#include <string.h>

#include <brisk/stats.h>

/*
 * Hollander and Wolfe, example 3.1 (depression scores under tranquilizer): differences y - x.
 * W+ = 5 of 45: two-sided p = 2 * 20 / 1024 = 0.0390625; shift -0.46; the interval for 96.1 % is
 * [-0.786, -0.010] (k = 6).
 */
static const double hamilton[] = {0.878 - 1.83, 0.647 - 0.50, 0.598 - 1.62,
                                  2.05 - 2.48,  1.06 - 1.68,  1.29 - 1.88,
                                  1.06 - 1.55,  3.14 - 3.06,  1.29 - 1.30};

static void test_paired_published(void **state)
{
    (void)state;
    brisk_interval i;
    CHECK_OK(brisk_compare_paired(hamilton, 9, 0.96, NULL, &i));
    CHECK_NEAR(i.estimate, -0.46, 1e-12);
    CHECK_NEAR(i.p, 0.0390625, 1e-15);
    CHECK_NEAR(i.low, -0.786, 1e-12);
    CHECK_NEAR(i.high, -0.010, 1e-12);
}

/*
 * Hollander and Wolfe, table 4.1 (permeability at term and at 12 to 26 weeks): W = 30, U = 15 of
 * the second sample over the first, shift -0.305.
 */
static void test_unpaired_published(void **state)
{
    (void)state;
    static const double a[] = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46};
    static const double b[] = {1.15, 0.88, 0.90, 0.74, 1.21};
    brisk_interval i;
    CHECK_OK(brisk_compare_unpaired(&(brisk_two_samples){a, b, 10, 5}, 0.95, NULL, &i));
    CHECK_NEAR(i.estimate, -0.305, 1e-12);
    CHECK_NEAR(i.p, erfc((10.0 - 0.5) / sqrt(10.0 * 5.0 * 16.0 / 12.0) / sqrt(2.0)), 1e-12);
    CHECK(i.low < -0.7 && i.high > 0.1);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { SMALL = 24 };

/* Every Walsh average written out; the tail counted over all 2^n signs. */
static void check_paired(const double *d, uint32_t n, double confidence)
{
    double all[SMALL * (SMALL + 1) / 2];
    uint32_t size = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = i; j < n; j++) {
            all[size++] = (d[i] + d[j]) / 2.0;
        }
    }
    qsort(all, size, sizeof *all, compare_double);
    uint32_t counts[SMALL * (SMALL + 1) / 2 + 1] = {0};
    for (uint32_t signs = 0; signs < 1u << n; signs++) {
        uint32_t w = 0;
        for (uint32_t r = 0; r < n; r++) {
            w += (signs >> r & 1u) != 0 ? r + 1 : 0;
        }
        counts[w]++;
    }
    double sum = 0;
    uint32_t k = 0;
    while (sum + counts[k] <= (1.0 - confidence) / 2.0 * (double)(1u << n)) {
        sum += counts[k++];
    }
    brisk_interval i;
    CHECK_OK(brisk_compare_paired(d, n, confidence, NULL, &i));
    double median = size % 2 == 1 ? all[size / 2] : (all[size / 2 - 1] + all[size / 2]) / 2.0;
    CHECK_NEAR(i.estimate, median, 1e-15);
    if (k == 0) {
        CHECK(isinf(i.low) && i.low < 0 && isinf(i.high) && i.high > 0);
    } else {
        CHECK_NEAR(i.low, all[k - 1], 0);
        CHECK_NEAR(i.high, all[size - k], 0);
    }
}

static void test_paired_by_counting(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    static const double confidences[] = {0.5, 0.9, 0.95, 0.99, 0.999};
    for (int round = 0; round < 300; round++) {
        uint32_t n = (uint32_t)(check_random(&random) % 12) + 1;
        double d[SMALL];
        bool ties = round % 3 == 0;
        for (uint32_t i = 0; i < n; i++) {
            d[i] = ties ? (double)(check_random(&random) % 7) - 3.0 : near_normal(&random);
        }
        check_paired(d, n, confidences[round % 5]);
    }
}

static void test_unpaired_by_counting(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 300; round++) {
        double a[20];
        double b[20];
        double all[400];
        uint32_t n = (uint32_t)(check_random(&random) % 20) + 1;
        uint32_t m = (uint32_t)(check_random(&random) % 20) + 1;
        for (uint32_t i = 0; i < 20; i++) {
            a[i] = round % 2 == 0 ? near_normal(&random) : (double)(check_random(&random) % 5);
            b[i] = round % 2 == 0 ? near_normal(&random) + 1 : (double)(check_random(&random) % 5);
        }
        uint32_t size = 0;
        for (uint32_t i = 0; i < n; i++) {
            for (uint32_t j = 0; j < m; j++) {
                all[size++] = b[j] - a[i];
            }
        }
        qsort(all, size, sizeof *all, compare_double);
        double nm = (double)n * m;
        double k = floor(nm / 2 + brisk_normal_quantile(0.025) * sqrt(nm * (n + m + 1.0) / 12));
        brisk_interval i;
        CHECK_OK(brisk_compare_unpaired(&(brisk_two_samples){a, b, n, m}, 0.95, NULL, &i));
        double median = size % 2 == 1 ? all[size / 2] : (all[size / 2 - 1] + all[size / 2]) / 2.0;
        CHECK_NEAR(i.estimate, median, 1e-15);
        CHECK(k > 0 ? i.low == all[(uint32_t)k - 1] : isinf(i.low));
        CHECK(k > 0 ? i.high == all[size - (uint32_t)k] : isinf(i.high));
        brisk_interval reverse;
        CHECK_OK(brisk_compare_unpaired(&(brisk_two_samples){b, a, m, n}, 0.95, NULL, &reverse));
        CHECK_NEAR(reverse.estimate, -i.estimate, 1e-15);
        CHECK_NEAR(reverse.p, i.p, 1e-12);
    }
}

/* p by all signs of the ranks; with ties and zeros the normal form from its definition. */
static void test_paired_p(void **state)
{
    (void)state;
    const double all_up[] = {1, 2, 3, 4, 5, 6, 7, 8};
    brisk_interval i;
    CHECK_OK(brisk_compare_paired(all_up, 8, 0.95, NULL, &i));
    CHECK_NEAR(i.p, 2.0 / 256.0, 1e-15);
    const double balanced[] = {1, -2, -3, 4}; /* W+ = 5 of 10 */
    CHECK_OK(brisk_compare_paired(balanced, 4, 0.9, NULL, &i));
    CHECK_NEAR(i.p, 1, 0);
    const double zeros[] = {0, 0, 0};
    CHECK_OK(brisk_compare_paired(zeros, 3, 0.9, NULL, &i));
    CHECK_NEAR(i.p, 1, 0);
    CHECK_NEAR(i.estimate, 0, 0);
    /* |d|: 1 1 2 3 after one zero: ranks 1.5 1.5 3 4, W+ = 8.5, ties 6. */
    const double tied[] = {0, 1, -1, 3, 2};
    CHECK_OK(brisk_compare_paired(tied, 5, 0.9, NULL, &i));
    double variance = 4.0 * 5.0 * 9.0 / 24.0 - 6.0 / 48.0;
    CHECK_NEAR(i.p, erfc((8.5 - 5.0 - 0.5) / sqrt(variance) / sqrt(2.0)), 1e-14);
}

/* The interval of 99 % misses the truth in about one of a hundred samples, exact or normal. */
static void check_coverage(uint32_t n, int rounds, int most)
{
    uint64_t random = check_seed();
    int missed = 0;
    for (int round = 0; round < rounds; round++) {
        double d[80];
        for (uint32_t i = 0; i < n; i++) {
            double z = near_normal(&random);
            d[i] = 0.3 + z * fabs(z); /* heavy tails, symmetric around 0.3 */
        }
        brisk_interval i;
        CHECK_OK(brisk_compare_paired(d, n, 0.99, NULL, &i));
        missed += i.low > 0.3 || i.high < 0.3 ? 1 : 0;
        CHECK(i.low <= i.estimate && i.estimate <= i.high);
    }
    CHECK_U64(missed, <, most);
    CHECK_U64(missed, >, 0);
}

static void test_coverage(void **state)
{
    (void)state;
    check_coverage(30, 2000, 45); /* 20 expected, 4.5 the standard deviation */
    check_coverage(80, 2000, 45);
}

static void test_large_samples_are_quick_enough(void **state)
{
    (void)state;
    enum { N = 100000 }; /* 5e9 means that are never written out */
    uint64_t random = check_seed();
    double *d = test_malloc(N * sizeof *d);
    for (int i = 0; i < N; i++) {
        d[i] = 5.0 + near_uniform(&random);
    }
    brisk_interval i;
    CHECK_OK(brisk_compare_paired(d, N, 0.95, NULL, &i));
    CHECK_NEAR(i.estimate, 5.5, 0.01);
    CHECK(i.high - i.low < 0.01);
    test_free(d);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    double d[] = {1, (double)NAN};
    brisk_interval i;
    CHECK(brisk_compare_paired(d, 0, 0.95, NULL, &i) == BRISK_ERR_INVALID);
    CHECK(brisk_compare_paired(d, 2, 0.95, NULL, &i) == BRISK_ERR_INVALID);
    CHECK(brisk_compare_paired(d, 1, 1.0, NULL, &i) == BRISK_ERR_INVALID);
    CHECK(brisk_compare_paired(d, 1, 0.4, NULL, &i) == BRISK_ERR_INVALID);
    CHECK(brisk_compare_paired(d, 1, (double)NAN, NULL, &i) == BRISK_ERR_INVALID);
    CHECK(brisk_compare_unpaired(&(brisk_two_samples){d, d, 1, 0}, 0.95, NULL, &i) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_compare_unpaired(&(brisk_two_samples){d, d, 2, 1}, 0.95, NULL, &i) ==
          BRISK_ERR_INVALID);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            brisk_interval i;
            brisk_two_samples both = {hamilton, hamilton, 9, 9};
            err = which == 0 ? brisk_compare_paired(hamilton, 9, 0.9, &fault.base, &i)
                             : brisk_compare_unpaired(&both, 0.9, &fault.base, &i);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
        CHECK_OK(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paired_published),
        cmocka_unit_test(test_unpaired_published),
        cmocka_unit_test(test_paired_by_counting),
        cmocka_unit_test(test_unpaired_by_counting),
        cmocka_unit_test(test_paired_p),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_large_samples_are_quick_enough),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
