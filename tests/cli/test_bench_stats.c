/*
 * test_bench_stats.c -- figures of a series, and whether two series differ.
 */
#include "support/check.h"

#include <math.h>
#include <string.h>

#include "cli/bench.h"

static void expect_near(double got, double wanted, double tolerance)
{
    if (!(fabs(got - wanted) <= tolerance)) {
        fail_msg("wanted %.6f, got %.6f", wanted, got);
    }
}

static void test_figures(void **state)
{
    (void)state;
    double odd[] = {5, 1, 9, 3, 100};
    double scratch[6];
    bench_figures f = bench_figures_of(odd, 5, scratch);
    expect_near(f.fastest, 1, 0);
    expect_near(f.average, 23.6, 1e-9);
    expect_near(f.median, 5, 0);
    expect_near(f.slowest, 100, 0);
    expect_near(f.spread, 4, 0); /* |x - 5|: 0 2 4 4 95 */
    double even[] = {4, 1, 3, 2, 8, 6};
    f = bench_figures_of(even, 6, scratch);
    expect_near(f.median, 3.5, 0);
    expect_near(f.spread, 2.0, 0); /* 0.5 0.5 1.5 2.5 2.5 4.5 */
    double one[] = {7};
    f = bench_figures_of(one, 1, scratch);
    expect_near(f.median, 7, 0);
    expect_near(f.spread, 0, 0);
}

/* Figures computed by hand from the definition: z = (|U - nm/2| - 1/2) / sqrt(nm(n+m+1)/12). */
static void test_known_comparisons(void **state)
{
    (void)state;
    const double low[] = {1, 2, 3, 4, 5};
    const double high[] = {6, 7, 8, 9, 10};
    bench_change change = bench_compare(high, 5, low, 5);
    expect_near(change.ratio, 8.0 / 3.0, 1e-12);
    expect_near(change.p, erfc(12.0 / sqrt(275.0 / 12.0) / sqrt(2.0)), 1e-12); /* 0.0122 */
    CHECK(change.beyond_noise);
    change = bench_compare(low, 5, high, 5);
    expect_near(change.ratio, 3.0 / 8.0, 1e-12);
    CHECK(change.beyond_noise);
    /* Three against three can never be told from chance. */
    change = bench_compare(low, 3, high, 3);
    CHECK(!change.beyond_noise);
    /* The same series. */
    change = bench_compare(low, 5, low, 5);
    expect_near(change.ratio, 1, 0);
    expect_near(change.p, 1, 1e-12);
    CHECK(!change.beyond_noise);
}

static void test_all_equal(void **state)
{
    (void)state;
    const double same[] = {3, 3, 3, 3, 3, 3, 3, 3};
    bench_change change = bench_compare(same, 8, same, 5);
    expect_near(change.p, 1, 0);
    CHECK(!change.beyond_noise);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* U counted pair by pair, ties as halves: the ranks must say the same. */
static double p_by_pairs(const double *a, uint32_t n, const double *b, uint32_t m)
{
    double u = 0;
    double ties = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < m; j++) {
            u += a[i] > b[j] ? 1.0 : a[i] < b[j] ? 0.0 : 0.5;
        }
    }
    double all[64];
    memcpy(all, a, n * sizeof *a);
    memcpy(all + n, b, m * sizeof *b);
    qsort(all, n + m, sizeof *all, compare_double);
    for (uint32_t i = 0; i < n + m;) {
        uint32_t start = i;
        while (i < n + m && !(all[i] > all[start])) {
            i++;
        }
        double t = i - start;
        ties += t * t * t - t;
    }
    double total = (double)n + m;
    double variance = (double)n * m / 12.0 * (total + 1 - ties / (total * (total - 1)));
    double z = fmax(0.0, fabs(u - (double)n * m / 2.0) - 0.5) / sqrt(variance);
    return variance > 0 ? erfc(z / sqrt(2.0)) : 1.0;
}

static void test_against_pairs(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 3000; round++) {
        double a[32];
        double b[32];
        uint32_t n = (uint32_t)(check_random(&random) % 32) + 1;
        uint32_t m = (uint32_t)(check_random(&random) % 32) + 1;
        uint64_t range = (check_random(&random) % 50) + 2; /* small: many ties */
        for (uint32_t i = 0; i < 32; i++) {
            a[i] = (double)(check_random(&random) % range + 1);
            b[i] = (double)(check_random(&random) % range + 1);
        }
        qsort(a, n, sizeof *a, compare_double);
        qsort(b, m, sizeof *b, compare_double);
        bench_change change = bench_compare(a, n, b, m);
        expect_near(change.p, p_by_pairs(a, n, b, m), 1e-9);
        expect_near(bench_compare(b, m, a, n).p, change.p, 1e-9);
    }
}

/* Two series from one distribution: about one comparison in twenty calls it a difference. */
static void test_false_alarms_are_rare(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    int alarms = 0;
    for (int round = 0; round < 2000; round++) {
        double a[10];
        double b[10];
        for (int i = 0; i < 10; i++) {
            a[i] = 1000.0 + (double)(check_random(&random) % 1000000) / 1000.0;
            b[i] = 1000.0 + (double)(check_random(&random) % 1000000) / 1000.0;
        }
        qsort(a, 10, sizeof *a, compare_double);
        qsort(b, 10, sizeof *b, compare_double);
        alarms += bench_compare(a, 10, b, 10).beyond_noise ? 1 : 0;
    }
    CHECK_U64(alarms, <, 150); /* 100 expected, 9.7 the standard deviation */
    CHECK_U64(alarms, >, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_known_comparisons),
        cmocka_unit_test(test_all_equal),
        cmocka_unit_test(test_against_pairs),
        cmocka_unit_test(test_false_alarms_are_rare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
