/* Clocks: the system's never runs backwards; an injected one is what is read. */
#include <time.h>

#include <brisk/clock.h>

#include "support/check.h"
#include "support/fake_clock.h"

static void test_system_is_monotonic(void **state)
{
    (void)state;
    uint64_t before = brisk_clock_now_ns(NULL);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = brisk_clock_now_ns(brisk_clock_system());
        CHECK_U64(now, >=, before);
        before = now;
    }
}

static void test_wall_is_the_calendar(void **state)
{
    (void)state;
    uint64_t before = (uint64_t)time(NULL);
    uint64_t wall = brisk_clock_wall_ns(NULL) / FAKE_CLOCK_SECOND;
    CHECK_U64(wall + 1, >=, before); /* time() may use a coarser clock */
    CHECK_U64(brisk_clock_wall_ns(brisk_clock_system()) / FAKE_CLOCK_SECOND, >=, wall);
}

static void test_injected_clock_is_read(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 5);
    CHECK_U64(brisk_clock_now_ns(&clock.base), ==, 5);
    uint64_t wall = brisk_clock_wall_ns(&clock.base);
    fake_clock_advance(&clock, 10);
    CHECK_U64(brisk_clock_now_ns(&clock.base), ==, 15);
    CHECK_U64(brisk_clock_wall_ns(&clock.base), ==, wall + 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_system_is_monotonic),
        cmocka_unit_test(test_wall_is_the_calendar),
        cmocka_unit_test(test_injected_clock_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
