/*
 * test_sizing.c -- a memory tier that is watched through its tap, and sized.
 */
#include "support/check.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include <brisk/memory.h>
#include <brisk/sizing.h>

#include "support/fault_alloc.h"

#define MIB (UINT64_C(1) << 20)

static brisk_tier *make_tier(uint64_t bytes, uint64_t reserve, uint32_t shards)
{
    brisk_memory_tier_opts opts = {
        .bytes_max = bytes, .bytes_reserve = reserve, .shards = shards, .policy = "lru"};
    brisk_tier *tier = NULL;
    CHECK_OK(brisk_memory_tier_create(&opts, &tier));
    return tier;
}

/* Cache-aside with values of `size` bytes. */
static void ask(brisk_tier *tier, uint64_t number, size_t size)
{
    static const char bytes[4096];
    char buffer[4096];
    brisk_key key = brisk_key_of(&number, sizeof number);
    if (brisk_memory_read(tier, &key, buffer, sizeof buffer, NULL) == BRISK_ERR_NOT_FOUND) {
        CHECK_OK(brisk_memory_put_bytes(tier, &key, bytes, size, NULL));
    }
}

/* Round and round over `keys` keys: LRU hits always or never. */
static void loop(brisk_tier *tier, brisk_sizing *sizing, uint64_t keys, uint64_t requests)
{
    for (uint64_t i = 0; i < requests; i++) {
        ask(tier, i % keys, 1000);
        if (i % 500 == 0) {
            (void)brisk_sizing_tend(sizing);
        }
    }
}

static void test_shrinks_and_grows(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(8 * MIB, 32 * MIB, 1);
    brisk_sizing_opts opts = {.memory = tier, .target = 0.9, .bytes_max = 32 * MIB, .one_in = 1};
    brisk_sizing *sizing = NULL;
    CHECK_OK(brisk_sizing_create(&opts, &sizing));
    brisk_sizing_report report;
    loop(tier, sizing, 2000, 100000);
    brisk_sizing_read(sizing, &report);
    CHECK_U64(report.size, <, 4 * MIB);
    CHECK_U64(report.size, >, 2 * MIB);
    CHECK_U64(report.resizes, ==, 1);
    CHECK(report.requests == 100000 && report.entries == 2000);
    CHECK(strstr(report.text, "target 90 % reached with 2.") != NULL);
    loop(tier, sizing, 20000, 400000);
    brisk_sizing_read(sizing, &report);
    CHECK_U64(report.size, >, 16 * MIB);
    CHECK_U64(report.size, <=, 32 * MIB);
    brisk_tier_destroy(tier);
    brisk_sizing_destroy(sizing);
}

/* Nothing is asked for twice: no size helps, and the first look takes nothing away. */
static void test_says_that_it_cannot(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(8 * MIB, 8 * MIB, 1);
    brisk_sizing_opts opts = {.memory = tier, .target = 0.94, .requests_min = 1000};
    brisk_sizing *sizing = NULL;
    CHECK_OK(brisk_sizing_create(&opts, &sizing));
    brisk_sizing_report report;
    brisk_sizing_read(sizing, &report);
    CHECK(report.text[0] == '\0' && report.looks == 0 && report.keys == 0);
    for (uint64_t i = 0; i < 3000; i++) {
        ask(tier, i, 1000);
    }
    CHECK(!brisk_sizing_tend(sizing));
    CHECK(!brisk_sizing_tend(sizing)); /* nothing was asked since */
    brisk_sizing_read(sizing, &report);
    CHECK(report.looks == 1 && report.size == 8 * MIB && report.resizes == 0);
    CHECK(strncmp(report.text, "target 94 % unreachable; best 0 % at any size; knee ", 52) == 0);
    brisk_tier_destroy(tier);
    brisk_sizing_destroy(sizing);
}

static void test_watches_only(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(8 * MIB, 8 * MIB, 1);
    brisk_sizing_opts opts = {.memory = tier, .one_in = 1};
    brisk_sizing *sizing = NULL;
    CHECK_OK(brisk_sizing_create(&opts, &sizing));
    loop(tier, sizing, 1000, 50000);
    brisk_sizing_report report;
    brisk_sizing_read(sizing, &report);
    CHECK(report.looks == 0 && report.size == 8 * MIB && report.text[0] == '\0');
    CHECK(fabs(brisk_sizing_miss_ratio(sizing, NULL, 500) - 1) < 0.01);
    CHECK(fabs(brisk_sizing_miss_ratio(sizing, NULL, 2000) - 0.02) < 0.005);
    CHECK(brisk_sizing_miss_ratio(sizing, "lirs", 500) < 0.7);
    CHECK(brisk_sizing_miss_ratio(sizing, "arc", 500) < 0);
    for (uint32_t i = 0; brisk_sizing_policy(i) != NULL; i++) {
        CHECK(brisk_sizing_miss_ratio(sizing, brisk_sizing_policy(i), 500) >= 0);
    }
    brisk_sizer_advice advice;
    CHECK_OK(brisk_sizing_advise(sizing, 0.5, "lirs", &advice));
    CHECK(advice.reachable && !advice.resized);
    CHECK_U64(advice.bytes, ==, MIB); /* the least */
    assert_int_equal(brisk_sizing_advise(sizing, 1.5, NULL, &advice), BRISK_ERR_INVALID);
    assert_int_equal(brisk_sizing_set(sizing, -1, MIB, false), BRISK_ERR_INVALID);
    brisk_sizing_read(sizing, &report);
    CHECK(report.size == 8 * MIB && report.bytes_max == 8 * MIB);
    /* From now on it is to be as large as a target needs. */
    CHECK_OK(brisk_sizing_set(sizing, 0.9, 8 * MIB, false));
    loop(tier, sizing, 1000, 50000);
    brisk_sizing_read(sizing, &report);
    CHECK_U64(report.size, <, 2 * MIB);
    brisk_tier_destroy(tier);
    brisk_sizing_destroy(sizing);
}

/* The rule: everything hits, so a tenth less, twice in six looks. */
static void test_simple_rule(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(8 * MIB, 8 * MIB, 1);
    brisk_sizing_opts opts = {.memory = tier, .target = 0.9, .simple = true};
    brisk_sizing *sizing = NULL;
    CHECK_OK(brisk_sizing_create(&opts, &sizing));
    loop(tier, sizing, 100, 30000);
    brisk_sizing_report report;
    brisk_sizing_read(sizing, &report);
    CHECK_U64(report.looks, ==, 6);
    CHECK_U64(report.size, <, 7 * MIB);
    CHECK_U64(report.size, >, 6 * MIB);
    CHECK(strncmp(report.text, "hit rate ", 9) == 0);
    brisk_tier_destroy(tier);
    brisk_sizing_destroy(sizing);
}

/* Shards have a least size: the tier becomes as small as it can. */
static void test_many_shards(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(32 * MIB, 32 * MIB, 128);
    brisk_sizing_opts opts = {.memory = tier, .target = 0.9, .one_in = 1};
    brisk_sizing *sizing = NULL;
    CHECK_OK(brisk_sizing_create(&opts, &sizing));
    loop(tier, sizing, 500, 50000);
    brisk_sizing_report report;
    brisk_sizing_read(sizing, &report);
    CHECK_U64(report.size, <, 9 * MIB);
    CHECK_U64(report.resizes, >=, 1);
    brisk_tier_destroy(tier);
    brisk_sizing_destroy(sizing);
}

static void test_no_memory(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(8 * MIB, 8 * MIB, 1);
    brisk_sizing *sizing = NULL;
    brisk_sizing_opts opts = {.memory = tier, .target = 2};
    assert_int_equal(brisk_sizing_create(&opts, &sizing), BRISK_ERR_INVALID);
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        err = brisk_sizing_create(&(brisk_sizing_opts){.memory = tier, .alloc = &fault.base},
                                  &sizing);
        if (err == BRISK_OK) {
            CHECK_U64(fail_after, ==, 3);
            brisk_sizing_destroy(sizing);
            brisk_memory_set_tap(tier, 0, NULL, NULL);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    brisk_tier_destroy(tier);
}

static void *ask_all(void *ctx)
{
    for (uint64_t i = 0; i < 60000; i++) {
        ask(ctx, i * i % 3001, 500);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(4 * MIB, 16 * MIB, 4);
    brisk_sizing_opts opts = {.memory = tier, .target = 0.9, .bytes_max = 16 * MIB, .one_in = 2};
    brisk_sizing *sizing = NULL;
    CHECK_OK(brisk_sizing_create(&opts, &sizing));
    pthread_t threads[3];
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_all, tier), 0);
    }
    brisk_sizing_report report;
    brisk_sizer_advice advice;
    for (uint32_t i = 0; i < 200; i++) {
        (void)brisk_sizing_tend(sizing);
        brisk_sizing_read(sizing, &report);
        CHECK_OK(brisk_sizing_advise(sizing, 0.8, "s3fifo", &advice));
        CHECK_OK(brisk_sizing_set(sizing, i % 2 == 0 ? 0.9 : 0.5, 16 * MIB, false));
    }
    for (uint32_t i = 0; i < 3; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    brisk_tier_destroy(tier);
    brisk_sizing_destroy(sizing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shrinks_and_grows), cmocka_unit_test(test_says_that_it_cannot),
        cmocka_unit_test(test_watches_only),      cmocka_unit_test(test_simple_rule),
        cmocka_unit_test(test_many_shards),       cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
