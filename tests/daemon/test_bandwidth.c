/*
 * test_bandwidth.c -- rates become classes: the first one, changes, rates that say little, hints.
 */
#include <string.h>

#include "daemon/http/bandwidth.h"
#include "daemon/http/exchange.h"
#include "support/check.h"

#define MBIT UINT64_C(1000000)

static const bandwidth_limits limits = {.medium_bps = 10 * MBIT, .low_bps = MBIT};

static void take(bandwidth *band, uint64_t bps, bool app_limited)
{
    bandwidth_sample sample = {bps / 8, 2000, 2000, app_limited, false};
    bandwidth_take(band, &limits, &sample);
}

static void test_first_rate_decides(void **state)
{
    (void)state;
    static const struct {
        uint64_t bps;
        bandwidth_level level;
    } cases[] = {
        {500000, BANDWIDTH_LOW},     {MBIT, BANDWIDTH_MEDIUM},      {9 * MBIT, BANDWIDTH_MEDIUM},
        {10 * MBIT, BANDWIDTH_HIGH}, {1000 * MBIT, BANDWIDTH_HIGH},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bandwidth band = {.bps = 0};
        take(&band, cases[i].bps, false);
        CHECK_U64(band.bps, ==, cases[i].bps);
        CHECK_U64(band.level, ==, cases[i].level);
        CHECK_U64(band.rtt_us, ==, 2000);
    }
}

static void test_nothing_known_is_high(void **state)
{
    (void)state;
    bandwidth band = {.bps = 0};
    take(&band, 0, true);
    CHECK_U64(band.bps, ==, 0);
    CHECK_U64(band.level, ==, BANDWIDTH_HIGH);
}

static void test_bounds_only_raise(void **state)
{
    (void)state;
    bandwidth band = {.bps = 0};
    take(&band, 100 * MBIT, false);
    for (int i = 0; i < 20; i++) {
        take(&band, MBIT / 2, true);
    }
    CHECK_U64(band.bps, ==, 100 * MBIT);
    take(&band, 400 * MBIT, true);
    CHECK_U64(band.bps, ==, 200 * MBIT); /* half of the way, in powers of two */
}

/* A first rate that is only a bound says nothing below the highest limit, and enough above it. */
static void test_a_first_bound(void **state)
{
    (void)state;
    bandwidth band = {.bps = 0};
    take(&band, MBIT / 2, true);
    CHECK_U64(band.bps, ==, 0);
    CHECK_U64(band.level, ==, BANDWIDTH_HIGH);
    take(&band, 20 * MBIT, true);
    CHECK_U64(band.bps, ==, 20 * MBIT);
    CHECK_U64(band.level, ==, BANDWIDTH_HIGH);
    take(&band, 3000 * MBIT, true); /* a few bytes that went fast */
    CHECK_U64(band.bps, ==, 3000 * MBIT);
    take(&band, MBIT / 2, false);
    CHECK_U64(band.bps, ==, MBIT / 2);
    CHECK_U64(band.level, ==, BANDWIDTH_LOW);
}

/* Slow start on a long way: 16 KiB in 150 ms are no slow connection, unless something queues. */
static void test_slow_start_is_a_bound_until_it_queues(void **state)
{
    (void)state;
    bandwidth band = {.bps = 0};
    bandwidth_sample sample = {16384 * 1000 / 150, 150000, 160000, false, true};
    bandwidth_take(&band, &limits, &sample);
    CHECK_U64(band.bps, ==, 0);
    CHECK_U64(band.level, ==, BANDWIDTH_HIGH);
    sample.rtt_us = 400000;
    bandwidth_take(&band, &limits, &sample);
    CHECK_U64(band.level, ==, BANDWIDTH_LOW);
    band = (bandwidth){.bps = 0};
    sample.rtt_us = 160000;
    sample.slow_start = false; /* it found the limit */
    bandwidth_take(&band, &limits, &sample);
    CHECK_U64(band.level, ==, BANDWIDTH_LOW);
}

/* Who asks for less gets what is right for a connection that has less. */
static void test_a_class_has_at_most_its_limit(void **state)
{
    (void)state;
    CHECK_U64(bandwidth_bound(1000 * MBIT, BANDWIDTH_HIGH, &limits), ==, 1000 * MBIT);
    CHECK_U64(bandwidth_bound(0, BANDWIDTH_HIGH, &limits), ==, 0);
    CHECK_U64(bandwidth_bound(1000 * MBIT, BANDWIDTH_MEDIUM, &limits), ==, 10 * MBIT);
    CHECK_U64(bandwidth_bound(1000 * MBIT, BANDWIDTH_LOW, &limits), ==, MBIT);
    CHECK_U64(bandwidth_bound(MBIT / 2, BANDWIDTH_LOW, &limits), ==, MBIT / 2);
    CHECK_U64(bandwidth_bound(0, BANDWIDTH_LOW, &limits), ==, MBIT);
}

static void test_follows_a_change(void **state)
{
    (void)state;
    bandwidth band = {.bps = 0};
    take(&band, 100 * MBIT, false);
    for (int i = 0; i < 3; i++) {
        take(&band, 4 * MBIT, false);
    }
    CHECK_U64(band.bps, <=, 16 * MBIT);
    for (int i = 0; i < 10; i++) {
        take(&band, 4 * MBIT, false);
    }
    CHECK_U64(band.level, ==, BANDWIDTH_MEDIUM);
    CHECK_U64(band.bps, <, 5 * MBIT);
    for (int i = 0; i < 12; i++) {
        take(&band, MBIT / 2, false);
    }
    CHECK_U64(band.level, ==, BANDWIDTH_LOW);
}

/* A rate that goes up and down around a limit does not change the class. */
static void test_near_a_limit_it_stays(void **state)
{
    (void)state;
    static const uint64_t around[] = {10 * MBIT, MBIT};
    for (size_t l = 0; l < 2; l++) {
        for (int above = 0; above < 2; above++) {
            bandwidth band = {.bps = 0};
            take(&band, above ? around[l] * 2 : around[l] / 2, false);
            uint8_t level = band.level;
            uint64_t random = check_seed();
            for (int i = 0; i < 200; i++) {
                uint64_t off = check_random(&random) % (around[l] / 4);
                take(&band, around[l] - around[l] / 8 + off, false);
                CHECK_U64(band.level, ==, level);
            }
        }
    }
}

static void test_hints_only_lower(void **state)
{
    (void)state;
    http_text on = HTTP_TEXT("on");
    http_text off = HTTP_TEXT("off");
    http_text g2 = HTTP_TEXT("2g");
    http_text slow = HTTP_TEXT("slow-2g");
    http_text g3 = HTTP_TEXT("3G");
    http_text g4 = HTTP_TEXT("4g");
    CHECK(bandwidth_hint(BANDWIDTH_HIGH, NULL, NULL) == BANDWIDTH_HIGH);
    CHECK(bandwidth_hint(BANDWIDTH_HIGH, &on, NULL) == BANDWIDTH_LOW);
    CHECK(bandwidth_hint(BANDWIDTH_MEDIUM, &off, NULL) == BANDWIDTH_MEDIUM);
    CHECK(bandwidth_hint(BANDWIDTH_HIGH, NULL, &g2) == BANDWIDTH_LOW);
    CHECK(bandwidth_hint(BANDWIDTH_HIGH, NULL, &slow) == BANDWIDTH_LOW);
    CHECK(bandwidth_hint(BANDWIDTH_HIGH, NULL, &g3) == BANDWIDTH_MEDIUM);
    CHECK(bandwidth_hint(BANDWIDTH_LOW, NULL, &g3) == BANDWIDTH_LOW);
    CHECK(bandwidth_hint(BANDWIDTH_LOW, &off, &g4) == BANDWIDTH_LOW);
}

static void test_huge_rates(void **state)
{
    (void)state;
    bandwidth band = {.bps = 0};
    bandwidth_sample sample = {UINT64_MAX, 0, 0, false, false};
    bandwidth_take(&band, &limits, &sample);
    CHECK_U64(band.bps, >=, 10000 * MBIT);
    CHECK_U64(band.level, ==, BANDWIDTH_HIGH);
    CHECK_U64(band.rtt_us, ==, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_rate_decides),
        cmocka_unit_test(test_nothing_known_is_high),
        cmocka_unit_test(test_bounds_only_raise),
        cmocka_unit_test(test_a_first_bound),
        cmocka_unit_test(test_slow_start_is_a_bound_until_it_queues),
        cmocka_unit_test(test_a_class_has_at_most_its_limit),
        cmocka_unit_test(test_follows_a_change),
        cmocka_unit_test(test_near_a_limit_it_stays),
        cmocka_unit_test(test_hints_only_lower),
        cmocka_unit_test(test_huge_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
