/*
 * test_bootstrap.c -- the ratio of medians: exact on degenerate data, covering on random data.
 */
#include "observe/near.h"
#include "support/fault_alloc.h"

#include <brisk/stats.h>

static void test_known(void **state)
{
    (void)state;
    /* No spread: the interval is the point. */
    const double fours[] = {4, 4, 4, 4, 4, 4};
    const double fives[] = {5, 5, 5, 5, 5};
    brisk_interval i;
    CHECK_OK(brisk_compare_medians(&(brisk_two_samples){fours, fives, 6, 5}, NULL, &i));
    CHECK_NEAR(i.estimate, 1.25, 0);
    CHECK_NEAR(i.low, 1.25, 0);
    CHECK_NEAR(i.high, 1.25, 0);
    CHECK(isnan(i.p));
    /* Too few to say. */
    CHECK_OK(brisk_compare_medians(&(brisk_two_samples){fours, fives, 4, 5}, NULL, &i));
    CHECK_NEAR(i.estimate, 1.25, 0);
    CHECK(isinf(i.low) && isinf(i.high));
    /* Pairs that move together have a ratio without spread; drawn apart they have not. */
    double a[20];
    double b[20];
    for (int k = 0; k < 20; k++) {
        a[k] = 10.0 + k;
        b[k] = 2.0 * a[k];
    }
    brisk_two_samples both = {a, b, 20, 20};
    CHECK_OK(brisk_compare_medians(&both, &(brisk_bootstrap_opts){.paired = true}, &i));
    CHECK_NEAR(i.low, 2, 1e-12);
    CHECK_NEAR(i.high, 2, 1e-12);
    CHECK_OK(brisk_compare_medians(&both, &(brisk_bootstrap_opts){.block = 1}, &i));
    CHECK(i.low < 1.8 && i.high > 2.2);
}

static void test_same_seed_same_interval(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    double a[31];
    double b[24];
    for (int k = 0; k < 31; k++) {
        a[k] = 5.0 + near_uniform(&random);
        b[k % 24] = 6.0 + near_uniform(&random);
    }
    brisk_two_samples both = {a, b, 31, 24};
    brisk_interval one;
    brisk_interval two;
    CHECK_OK(brisk_compare_medians(&both, &(brisk_bootstrap_opts){.seed = 7}, &one));
    CHECK_OK(brisk_compare_medians(&both, &(brisk_bootstrap_opts){.seed = 7}, &two));
    CHECK(one.low == two.low && one.high == two.high);
    CHECK(one.low < one.estimate && one.estimate < one.high);
    CHECK_OK(brisk_compare_medians(&both, &(brisk_bootstrap_opts){.seed = 8}, &two));
    CHECK_NEAR(two.low, one.low, 0.02); /* 10,000 resamples: the seed hardly matters */
    /* A wider confidence is a wider interval. */
    CHECK_OK(
        brisk_compare_medians(&both, &(brisk_bootstrap_opts){.seed = 7, .confidence = 0.5}, &two));
    CHECK(two.low > one.low && two.high < one.high);
}

/* Skewed samples; 90 % of the intervals are to hold the true ratio of medians. */
static int count_covered(uint32_t block, double carried, int rounds)
{
    uint64_t random = check_seed();
    int covered = 0;
    for (int round = 0; round < rounds; round++) {
        double a[40];
        double b[40];
        double level_a = 0;
        double level_b = 0;
        for (int k = -20; k < 40; k++) {
            double free_share = sqrt(1.0 - carried * carried);
            level_a = carried * level_a + free_share * near_normal(&random);
            level_b = carried * level_b + free_share * near_normal(&random);
            if (k >= 0) {
                a[k] = exp(level_a / 4.0);
                b[k] = 1.5 * exp(level_b / 4.0);
            }
        }
        brisk_interval i;
        brisk_bootstrap_opts opts = {
            .confidence = 0.9, .resamples = 400, .block = block, .seed = (uint64_t)round};
        CHECK_OK(brisk_compare_medians(&(brisk_two_samples){a, b, 40, 40}, &opts, &i));
        covered += i.low <= 1.5 && 1.5 <= i.high ? 1 : 0;
    }
    return covered;
}

static void test_coverage(void **state)
{
    (void)state;
    int independent = count_covered(0, 0.0, 400);
    CHECK_U64(independent, >, 335); /* 360 expected, 6 the standard deviation */
    CHECK_U64(independent, <, 390);
    /* Values that repeat each other: single draws promise far too much, blocks less so. */
    int single = count_covered(1, 0.8, 300);
    int blocks = count_covered(0, 0.8, 300);
    CHECK_U64(single, <, 195);
    CHECK_U64(blocks, >, single + 20);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    const double good[] = {1, 2, 3};
    const double zero[] = {1, 0, 3};
    const double odd[] = {1, (double)NAN, 3};
    brisk_interval i;
    CHECK(brisk_compare_medians(&(brisk_two_samples){good, zero, 3, 3}, NULL, &i) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_compare_medians(&(brisk_two_samples){odd, good, 3, 3}, NULL, &i) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_compare_medians(&(brisk_two_samples){good, good, 3, 0}, NULL, &i) ==
          BRISK_ERR_INVALID);
    brisk_bootstrap_opts opts = {.paired = true};
    CHECK(brisk_compare_medians(&(brisk_two_samples){good, good, 3, 2}, &opts, &i) ==
          BRISK_ERR_INVALID);
    opts = (brisk_bootstrap_opts){.confidence = 1.5};
    CHECK(brisk_compare_medians(&(brisk_two_samples){good, good, 3, 3}, &opts, &i) ==
          BRISK_ERR_INVALID);
    opts = (brisk_bootstrap_opts){.resamples = 2000000};
    CHECK(brisk_compare_medians(&(brisk_two_samples){good, good, 3, 3}, &opts, &i) ==
          BRISK_ERR_LIMIT);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    const double values[] = {1, 2, 3, 4, 5, 6};
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_interval i;
        brisk_bootstrap_opts opts = {.alloc = &fault.base, .resamples = 10};
        err = brisk_compare_medians(&(brisk_two_samples){values, values, 6, 6}, &opts, &i);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_same_seed_same_interval),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
