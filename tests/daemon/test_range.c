/*
 * test_range.c -- Range: cases of the RFC, and any ranges against a bitmap.
 */
#include <string.h>

#include "daemon/files/range.h"
#include "support/check.h"

static range_verdict parse(const char *text, uint64_t size, range_set *set)
{
    memset(set, 0, sizeof *set);
    return range_parse((http_text){text, strlen(text)}, size, set);
}

static void expect_one(const char *text, uint64_t size, uint64_t first, uint64_t last)
{
    range_set set;
    if (parse(text, size, &set) != RANGE_SOME || set.count != 1 || set.ranges[0].first != first ||
        set.ranges[0].last != last) {
        fail_msg("\"%s\" of %llu: %u ranges, %llu-%llu", text, (unsigned long long)size, set.count,
                 (unsigned long long)set.ranges[0].first, (unsigned long long)set.ranges[0].last);
    }
}

static void expect(const char *text, uint64_t size, range_verdict verdict)
{
    range_set set;
    range_verdict got = parse(text, size, &set);
    if (got != verdict) {
        fail_msg("\"%s\" of %llu: %d, not %d", text, (unsigned long long)size, (int)got,
                 (int)verdict);
    }
}

static void test_one(void **state)
{
    (void)state;
    expect_one("bytes=0-499", 10000, 0, 499);
    expect_one("bytes=500-999", 10000, 500, 999);
    expect_one("bytes=-500", 10000, 9500, 9999);
    expect_one("bytes=9500-", 10000, 9500, 9999);
    expect_one("bytes=0-0", 1, 0, 0);
    expect_one("bytes=-1", 1, 0, 0);
    expect_one("bytes=-5", 1, 0, 0);
    expect_one("bytes=0-99999999999999999999999999", 10, 0, 9);
    expect_one("bytes=5-18446744073709551615", 10, 5, 9);
    expect_one("BYTES=1-2", 10, 1, 2);
    expect_one("bytes= 1-2 ,", 10, 1, 2);
    expect_one("bytes=1-2,20-30", 10, 1, 2);
    expect_one("bytes=0-4,5-9", 10, 0, 9);
    expect_one("bytes=0-4,3-9", 10, 0, 9);
    expect_one("bytes=6-9,0-5", 10, 0, 9);
    expect_one("bytes=0-1,4-5,2-3", 10, 0, 5);
    expect_one("bytes=18446744073709551614-", UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 1);
}

static void test_refused(void **state)
{
    (void)state;
    expect("bytes=10-", 10, RANGE_UNSATISFIABLE);
    expect("bytes=10-20", 10, RANGE_UNSATISFIABLE);
    expect("bytes=-0", 10, RANGE_UNSATISFIABLE);
    expect("bytes=0-", 0, RANGE_UNSATISFIABLE);
    expect("bytes=-1", 0, RANGE_UNSATISFIABLE);
    expect("bytes=20-,30-40", 10, RANGE_UNSATISFIABLE);
    expect("bytes=99999999999999999999999-", 10, RANGE_UNSATISFIABLE);
    expect("", 10, RANGE_ALL);
    expect("bytes", 10, RANGE_ALL);
    expect("bytes=", 10, RANGE_ALL);
    expect("bytes=,", 10, RANGE_ALL);
    expect("bytes=-", 10, RANGE_ALL);
    expect("bytes=a-b", 10, RANGE_ALL);
    expect("bytes=5-4", 10, RANGE_ALL);
    expect("bytes=0-1;2-3", 10, RANGE_ALL);
    expect("bytes=0-1 2-3", 10, RANGE_ALL);
    expect("bytes=--1", 10, RANGE_ALL);
    expect("bytes=1", 10, RANGE_ALL);
    expect("items=0-1", 10, RANGE_ALL);
    expect("bytes 0-1", 10, RANGE_ALL);
    expect("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,10-10,11-11,12-12,13-13,14-14,15-15,1-2",
           100, RANGE_ALL);
}

static void test_order_is_kept(void **state)
{
    (void)state;
    range_set set;
    CHECK(parse("bytes=8-9,0-1,4-5,1-2", 10, &set) == RANGE_SOME);
    CHECK_U64(set.count, ==, 3);
    CHECK(set.ranges[0].first == 8 && set.ranges[0].last == 9);
    CHECK(set.ranges[1].first == 0 && set.ranges[1].last == 2);
    CHECK(set.ranges[2].first == 4 && set.ranges[2].last == 5);
}

/* The set holds exactly the bytes that were asked for, each once. */
static void test_against_a_bitmap(void **state)
{
    (void)state;
    enum { SIZE = 60 };
    uint64_t random = check_seed();
    for (int round = 0; round < 20000; round++) {
        char text[512] = "bytes=";
        bool wanted[SIZE] = {false};
        uint64_t ranges = check_random(&random) % RANGE_MAX + 1;
        for (uint64_t i = 0; i < ranges; i++) {
            uint64_t first = check_random(&random) % SIZE;
            uint64_t last = first + check_random(&random) % 6;
            size_t at = strlen(text);
            (void)snprintf(text + at, sizeof text - at, "%s%llu-%llu", i > 0 ? "," : "",
                           (unsigned long long)first, (unsigned long long)last);
            for (uint64_t j = first; j <= last && j < SIZE; j++) {
                wanted[j] = true;
            }
        }
        range_set set;
        CHECK(parse(text, SIZE, &set) == RANGE_SOME);
        bool got[SIZE] = {false};
        for (uint32_t i = 0; i < set.count; i++) {
            CHECK(set.ranges[i].first <= set.ranges[i].last && set.ranges[i].last < SIZE);
            for (uint64_t j = set.ranges[i].first; j <= set.ranges[i].last; j++) {
                CHECK(!got[j]);
                got[j] = true;
            }
        }
        CHECK(memcmp(got, wanted, sizeof got) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_against_a_bitmap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
