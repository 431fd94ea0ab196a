/*
 * test_sample.c -- figures of one sample, the normal distribution, many p values.
 */
#include "observe/near.h"
#include "support/fault_alloc.h"

#include <brisk/stats.h>

static void test_figures(void **state)
{
    (void)state;
    const double odd[] = {5, 1, 9, 3, 100};
    brisk_sample_figures f;
    CHECK_OK(brisk_sample_describe(odd, 5, NULL, &f));
    CHECK_NEAR(f.min, 1, 0);
    CHECK_NEAR(f.mean, 23.6, 1e-12);
    CHECK_NEAR(f.median, 5, 0);
    CHECK_NEAR(f.max, 100, 0);
    CHECK_NEAR(f.mad, 4, 0); /* |x - 5|: 0 2 4 4 95 */
    CHECK_NEAR(f.sd, sqrt(7331.2 / 4.0), 1e-9);
    CHECK_NEAR(f.p95, 81.8, 1e-9); /* 0.95 * 4 = 3.8: 9 + 0.8 * 91 */
    CHECK_U64(f.outliers_high, ==, 1);
    CHECK_U64(f.outliers_low, ==, 0);
    const double even[] = {4, 1, 3, 2, 8, 6};
    CHECK_OK(brisk_sample_describe(even, 6, NULL, &f));
    CHECK_NEAR(f.median, 3.5, 0);
    CHECK_NEAR(f.mad, 2.0, 0);
    CHECK_U64(f.outliers_high + f.outliers_low, ==, 0);
    const double one[] = {7};
    CHECK_OK(brisk_sample_describe(one, 1, NULL, &f));
    CHECK_NEAR(f.sd, 0, 0);
    CHECK_NEAR(f.p95, 7, 0);
    const double same[] = {2, 2, 2, 2, 2, 90}; /* no spread: nothing can be called an outlier */
    CHECK_OK(brisk_sample_describe(same, 6, NULL, &f));
    CHECK_U64(f.outliers_high, ==, 0);
}

static void test_outliers_on_both_sides(void **state)
{
    (void)state;
    const double values[] = {-500, 100, 101, 102, 103, 104, 105, 106, 900, 901};
    brisk_sample_figures f;
    CHECK_OK(brisk_sample_describe(values, 10, NULL, &f));
    CHECK_U64(f.outliers_low, ==, 1);
    CHECK_U64(f.outliers_high, ==, 2);
}

static void test_autocorrelation(void **state)
{
    (void)state;
    double up_down[40];
    double slow[40];
    for (int i = 0; i < 40; i++) {
        up_down[i] = i % 2;
        slow[i] = i;
    }
    brisk_sample_figures f;
    CHECK_OK(brisk_sample_describe(up_down, 40, NULL, &f));
    CHECK_NEAR(f.autocorrelation1, -39.0 / 40.0, 1e-12); /* 39 products of -1/4 over 40 of 1/4 */
    CHECK_OK(brisk_sample_describe(slow, 40, NULL, &f));
    CHECK(f.autocorrelation1 > 0.9);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    double values[] = {1, 2, (double)NAN};
    brisk_sample_figures f = {.count = 77};
    CHECK(brisk_sample_describe(values, 0, NULL, &f) == BRISK_ERR_INVALID);
    CHECK(brisk_sample_describe(values, 3, NULL, &f) == BRISK_ERR_INVALID);
    values[2] = (double)INFINITY;
    CHECK(brisk_sample_describe(values, 3, NULL, &f) == BRISK_ERR_INVALID);
    CHECK_U64(f.count, ==, 77);
    fault_alloc fault;
    fault_alloc_init(&fault, 0);
    CHECK(brisk_sample_describe(values, 2, &fault.base, &f) == BRISK_ERR_NOMEM);
    double p[] = {0.5};
    fault_alloc_init(&fault, 0);
    CHECK(brisk_adjust_holm(p, 1, &fault.base) == BRISK_ERR_NOMEM);
    CHECK_U64(fault.bytes_held, ==, 0);
    CHECK_OK(brisk_adjust_holm(p, 0, &fault.base));
}

/* Tabulated values of the normal distribution. */
static void test_normal(void **state)
{
    (void)state;
    CHECK_NEAR(brisk_normal_cdf(0), 0.5, 1e-15);
    CHECK_NEAR(brisk_normal_cdf(1.959963984540054), 0.975, 1e-14);
    CHECK_NEAR(brisk_normal_cdf(-3), 0.001349898031630095, 1e-16);
    CHECK_NEAR(brisk_normal_quantile(0.975), 1.959963984540054, 1e-12);
    CHECK_NEAR(brisk_normal_quantile(0.995), 2.575829303548901, 1e-12);
    CHECK_NEAR(brisk_normal_quantile(0.5), 0, 1e-12);
    CHECK_NEAR(brisk_normal_quantile(1e-10), -6.361340902404056, 1e-9);
    CHECK(brisk_normal_quantile(0) < -1e300);
    CHECK(brisk_normal_quantile(1) > 1e300);
}

/* As R's p.adjust gives them. */
static void test_many_p_values(void **state)
{
    (void)state;
    double holm[] = {0.01, 0.04, 0.03, 0.005};
    CHECK_OK(brisk_adjust_holm(holm, 4, NULL));
    CHECK_NEAR(holm[0], 0.03, 1e-15);
    CHECK_NEAR(holm[1], 0.06, 1e-15);
    CHECK_NEAR(holm[2], 0.06, 1e-15);
    CHECK_NEAR(holm[3], 0.02, 1e-15);
    double bh[] = {0.01, 0.04, 0.03, 0.005};
    CHECK_OK(brisk_adjust_bh(bh, 4, NULL));
    CHECK_NEAR(bh[0], 0.02, 1e-15);
    CHECK_NEAR(bh[1], 0.04, 1e-15);
    CHECK_NEAR(bh[2], 0.04, 1e-15);
    CHECK_NEAR(bh[3], 0.02, 1e-15);
    double large[] = {0.9, 0.8};
    CHECK_OK(brisk_adjust_holm(large, 2, NULL));
    CHECK_NEAR(large[0], 1, 0);
    CHECK_NEAR(large[1], 1, 0);
}

static void test_quantiles(void **state)
{
    (void)state;
    const double sorted[] = {1, 2, 4, 8};
    CHECK_NEAR(brisk_sample_quantile(sorted, 4, 0), 1, 0);
    CHECK_NEAR(brisk_sample_quantile(sorted, 4, 1), 8, 0);
    CHECK_NEAR(brisk_sample_quantile(sorted, 4, 0.5), 3, 1e-15);
    CHECK_NEAR(brisk_sample_quantile(sorted, 4, 0.25), 1.75, 1e-15);
    CHECK_NEAR(brisk_sample_median(sorted, 4), 3, 0);
    CHECK_NEAR(brisk_sample_median(sorted, 3), 2, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),         cmocka_unit_test(test_outliers_on_both_sides),
        cmocka_unit_test(test_autocorrelation), cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_normal),          cmocka_unit_test(test_many_p_values),
        cmocka_unit_test(test_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
