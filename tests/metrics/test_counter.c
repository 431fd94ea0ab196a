/*
 * test_counter.c -- proves <brisk/counter.h>: nothing is lost between threads, and threads that
 * come one after the other do not all fall on one shard.
 */
#include <brisk/counter.h>
#include <brisk/err.h>

#include "base/thread.h"
#include "metrics/thread_id.h"
#include "support/check.h"

enum { THREADS = 12 /* more than shards */, ADDS = 20000 };

static brisk_counter shared;

static void add_many(void *ctx)
{
    uint64_t amount = *(const uint64_t *)ctx;
    for (int i = 0; i < ADDS; i++) {
        brisk_counter_add(&shared, amount);
    }
}

static void test_no_add_is_lost(void **state)
{
    (void)state;
    brisk_thread threads[THREADS];
    uint64_t amounts[THREADS];
    uint64_t expected = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        amounts[i] = i + 1;
        expected += amounts[i] * ADDS;
        brisk_thread_opts opts = {.run = add_many, .ctx = &amounts[i]};
        CHECK_OK(brisk_thread_start(&threads[i], &opts));
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
    }
    CHECK_U64(brisk_counter_read(&shared), ==, expected);
    uint32_t used = 0;
    for (uint32_t i = 0; i < BRISK_COUNTER_SHARDS; i++) {
        used += shared.shards_[i].value_ != 0 ? 1 : 0;
    }
    CHECK_U64(used, ==, BRISK_COUNTER_SHARDS); /* 12 numbers in a row meet every shard */
}

static void test_a_zeroed_counter_is_zero(void **state)
{
    (void)state;
    brisk_counter counter = {0};
    CHECK_U64(brisk_counter_read(&counter), ==, 0);
    brisk_counter_add(&counter, 0);
    CHECK_U64(brisk_counter_read(&counter), ==, 0);
    brisk_counter_add(&counter, UINT64_C(1) << 40);
    brisk_counter_add(&counter, 2);
    CHECK_U64(brisk_counter_read(&counter), ==, (UINT64_C(1) << 40) + 2);
}

static void keep_id(void *ctx)
{
    uint32_t *id = ctx;
    *id = metrics_thread_id();
    *id = *id == metrics_thread_id() ? *id : 0; /* a second call gives the same number */
}

static void test_thread_numbers_are_not_reused(void **state)
{
    (void)state;
    uint32_t mine = metrics_thread_id();
    CHECK_U64(mine, >, 0);
    uint32_t before = mine;
    for (int i = 0; i < 3; i++) {
        uint32_t id = 0;
        brisk_thread thread;
        CHECK_OK(brisk_thread_start(&thread, &(brisk_thread_opts){.run = keep_id, .ctx = &id}));
        brisk_thread_join(&thread);
        CHECK_U64(id, >, before);
        before = id;
    }
    CHECK_U64(metrics_thread_id(), ==, mine);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_no_add_is_lost),
        cmocka_unit_test(test_a_zeroed_counter_is_zero),
        cmocka_unit_test(test_thread_numbers_are_not_reused),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
