/*
 * test_clock_ticks.c -- proves that ticks are nanoseconds after calibration: within a percent of the system's
 * clock over some milliseconds, whatever counter they come from, and never absurd.
 */
#include <math.h>
#include <time.h>

#include <brisk/clock.h>
#include <brisk/err.h>

#include "support/check.h"

static void test_ticks_agree_with_the_clock(void **state)
{
    (void)state;
    brisk_clock_calibrate();
    brisk_clock_calibrate();
    double nearest = 1e9; /* of several: another program may come between two readings */
    for (int i = 0; i < 20 && nearest > 0.001; i++) {
        uint64_t ns = brisk_clock_now_ns(NULL);
        uint64_t ticks = brisk_clock_ticks();
        struct timespec pause = {.tv_nsec = 5000000};
        (void)nanosleep(&pause, NULL);
        uint64_t by_ticks = brisk_clock_ticks_to_ns(brisk_clock_ticks() - ticks);
        double ratio = (double)by_ticks / (double)(brisk_clock_now_ns(NULL) - ns);
        nearest = fabs(ratio - 1) < nearest ? fabs(ratio - 1) : nearest;
    }
    CHECK(nearest < 0.01);
}

static void test_backwards_is_zero(void **state)
{
    (void)state;
    CHECK_U64(brisk_clock_ticks_to_ns(0), ==, 0);
    CHECK_U64(brisk_clock_ticks_to_ns((uint64_t)0 - 5), ==, 0);
}

static void test_thread_time_is_work(void **state)
{
    (void)state;
    uint64_t before = brisk_clock_thread_cpu_ns();
    struct timespec pause = {.tv_nsec = 20000000};
    (void)nanosleep(&pause, NULL);
    uint64_t slept = brisk_clock_thread_cpu_ns() - before;
    CHECK_U64(slept, <, 15000000);
    volatile uint64_t sum = 0;
    for (uint64_t i = 0; i < 2000000; i++) {
        sum = sum + i;
    }
    CHECK_U64(brisk_clock_thread_cpu_ns() - before, >, slept);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_ticks_agree_with_the_clock),
        cmocka_unit_test(test_backwards_is_zero),
        cmocka_unit_test(test_thread_time_is_work),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
