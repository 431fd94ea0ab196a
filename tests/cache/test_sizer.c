/*
 * test_sizer.c -- miss-ratio curves against the truth, and sizes read off them.
 */
#include "support/check.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <brisk/cache_sim.h>
#include <brisk/hash.h>
#include <brisk/mrc.h>
#include <brisk/sizer.h>

#include "support/fault_alloc.h"

static uint64_t hash_of(uint64_t number)
{
    return brisk_hash64(&number, sizeof number, 0);
}

/* Skewed: key k about as often as 1 / k. */
static uint64_t skewed(uint64_t *random, uint64_t keys)
{
    double u = (double)(check_random(random) >> 11) / 9007199254740992.0;
    return (uint64_t)exp(u * log((double)keys));
}

static double truth(const char *policy, uint64_t entries, uint32_t requests, uint64_t keys)
{
    brisk_cache_sim *sim = NULL;
    CHECK_OK(brisk_cache_sim_create(policy, entries, NULL, &sim));
    uint64_t random = 3;
    uint32_t misses = 0;
    for (uint32_t i = 0; i < requests; i++) {
        misses += !brisk_cache_sim_request(sim, hash_of(skewed(&random, keys)));
    }
    brisk_cache_sim_destroy(sim);
    return (double)misses / requests;
}

static void test_curve_is_near_the_truth(void **state)
{
    (void)state;
    enum { REQUESTS = 400000, KEYS = 100000 };
    static const char *const policies[] = {"s3fifo", "lirs"};
    for (uint32_t keys_max = 200000; keys_max >= 4000; keys_max /= 50) {
        brisk_mrc_opts opts = {.keys_max = keys_max, .policies = policies, .policy_count = 2};
        brisk_mrc *mrc = NULL;
        CHECK_OK(brisk_mrc_create(&opts, &mrc));
        CHECK(fabs(brisk_mrc_lru(mrc, 10) - 1) < 1e-9);
        uint64_t random = 3;
        for (uint32_t i = 0; i < REQUESTS; i++) {
            brisk_mrc_request(mrc, hash_of(skewed(&random, KEYS)));
        }
        double allowed = keys_max == 200000 ? 0.005 : 0.05;
        for (uint64_t entries = 500; entries < 40000; entries *= 3) {
            double lru = truth("lru", entries, REQUESTS, KEYS);
            CHECK(fabs(brisk_mrc_lru(mrc, entries) - lru) < allowed);
        }
        double s3 = truth("s3fifo", 3125, REQUESTS, KEYS);
        CHECK(fabs(brisk_mrc_policy(mrc, "s3fifo", 3125) - s3) < 0.05);
        CHECK(brisk_mrc_policy(mrc, "arc", 3125) < 0);
        CHECK(brisk_mrc_one_in(mrc) > (keys_max < 5000 ? 4 : 0));
        brisk_mrc_destroy(mrc);
    }
}

/* What was is forgotten. */
static void test_curve_follows_the_load(void **state)
{
    (void)state;
    brisk_mrc_opts opts = {.keys_max = 1000, .half_life = 2000};
    brisk_mrc *mrc = NULL;
    CHECK_OK(brisk_mrc_create(&opts, &mrc));
    for (uint64_t i = 0; i < 20000; i++) {
        brisk_mrc_request(mrc, hash_of(i));
    }
    CHECK(brisk_mrc_lru(mrc, 100) > 0.9);
    for (uint64_t i = 0; i < 40000; i++) {
        brisk_mrc_request(mrc, hash_of(i % 50));
    }
    CHECK(brisk_mrc_lru(mrc, 100) < 0.2);
    brisk_mrc_destroy(mrc);
}

static void test_curve_without_memory(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_mrc *mrc = NULL;
        err = brisk_mrc_create(&(brisk_mrc_opts){.alloc = &fault.base}, &mrc);
        CHECK((mrc != NULL) == (err == BRISK_OK));
        brisk_mrc_destroy(mrc);
        brisk_cache_sim *sim = NULL;
        brisk_err sim_err = brisk_cache_sim_create("arc", 10, &fault.base, &sim);
        CHECK((sim != NULL) == (sim_err == BRISK_OK));
        brisk_cache_sim_destroy(sim);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK(err == BRISK_OK);
    static const char *const bad[] = {"mru"};
    brisk_mrc *mrc = NULL;
    CHECK(brisk_mrc_create(&(brisk_mrc_opts){.keys_max = 1}, &mrc) == BRISK_ERR_INVALID);
    CHECK(brisk_mrc_create(&(brisk_mrc_opts){.policies = bad, .policy_count = 1}, &mrc) ==
          BRISK_ERR_INVALID);
    brisk_cache_sim *sim = NULL;
    CHECK(brisk_cache_sim_create("lru", 0, NULL, &sim) == BRISK_ERR_INVALID);
}

/* --- sizing ------------------------------------------------------------------------------ */

enum { ENTRY_BYTES = 1000 };

/* An LRU cache that the sizer sizes, under a load whose curve is known. */
typedef struct world {
    brisk_cache_sim *sim;
    uint64_t bytes;
    uint32_t resizes;
} world;

static brisk_err resize(void *ctx, uint64_t bytes)
{
    world *w = ctx;
    w->bytes = bytes;
    w->resizes++;
    return BRISK_OK;
}

/* Rounds of requests, each followed by a step. */
static brisk_sizer_advice run(const brisk_sizer_opts *opts, uint64_t begin_bytes, uint64_t hot,
                              uint32_t cold_percent, world *w)
{
    enum { ROUNDS = 30, ROUND = 4000 };
    brisk_sizer sizer;
    brisk_sizer_advice advice;
    brisk_mrc *mrc = NULL;
    CHECK_OK(brisk_sizer_init(&sizer, opts));
    CHECK_OK(brisk_mrc_create(&(brisk_mrc_opts){.half_life = 20000}, &mrc));
    *w = (world){.bytes = begin_bytes};
    uint64_t random = 5;
    uint64_t cold = 1000000;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        brisk_sizer_state now = {.bytes = w->bytes, .bytes_used = w->bytes, .curve = mrc};
        now.entries = w->bytes / ENTRY_BYTES;
        brisk_cache_sim *sim = NULL; /* cold after each resize: the worst case */
        CHECK_OK(brisk_cache_sim_create("lru", now.entries, NULL, &sim));
        for (uint32_t i = 0; i < ROUND; i++) {
            uint64_t key =
                check_random(&random) % 100 < cold_percent ? cold++ : check_random(&random) % hot;
            brisk_mrc_request(mrc, hash_of(key));
            bool hit = brisk_cache_sim_request(sim, hash_of(key));
            now.hits += hit;
            now.misses += !hit;
        }
        brisk_cache_sim_destroy(sim);
        CHECK_OK(brisk_sizer_step(&sizer, &now, &advice));
    }
    brisk_mrc_destroy(mrc);
    return advice;
}

/* 500 keys, uniformly: 94 % need 94 % of them, whether it begins with too much or too little. */
static void test_target_is_reached_with_the_least(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        world w;
        brisk_sizer_opts opts = {
            .bytes_min = 1000, .bytes_max = 10000000, .resize = resize, .ctx = &w};
        brisk_sizer_advice advice = run(&opts, i == 0 ? 20000 : 9000000, 500, 0, &w);
        CHECK(advice.reachable);
        CHECK_U64(w.bytes, >=, 420 * ENTRY_BYTES);
        CHECK_U64(w.bytes, <=, 540 * ENTRY_BYTES);
        CHECK_U64(w.resizes, <=, 4); /* it does not swing */
        CHECK(strncmp(advice.text, "target 94 % reached", 19) == 0);
    }
}

/* Four of ten keys never come again: growing stops, and why is said. */
static void test_unreachable_target_is_said(void **state)
{
    (void)state;
    world w;
    brisk_sizer_opts opts = {
        .bytes_min = 1000, .bytes_max = UINT64_C(1) << 30, .resize = resize, .ctx = &w};
    brisk_sizer_advice advice = run(&opts, 20000, 500, 40, &w);
    CHECK(!advice.reachable);
    CHECK(advice.best > 0.55 && advice.best < 0.65);
    CHECK(advice.knee > 0.5);
    CHECK_U64(w.bytes, <=, 3000 * ENTRY_BYTES); /* of 24,000 keys */
    CHECK(strstr(advice.text, "target 94 % unreachable; best ") == advice.text);
    CHECK(strstr(advice.text, " % at any size; knee ") != NULL);
}

/* Reachable with more than the limit allows. */
static void test_limit_is_kept(void **state)
{
    (void)state;
    world w;
    brisk_sizer_opts opts = {.bytes_min = 1000, .bytes_max = 200000, .resize = resize, .ctx = &w};
    brisk_sizer_advice advice = run(&opts, 20000, 500, 0, &w);
    CHECK(!advice.reachable);
    CHECK_U64(w.bytes, <=, 200000);
    CHECK(strstr(advice.text, "unreachable within the limit") != NULL);
}

static void test_simple_rule(void **state)
{
    (void)state;
    world w = {0};
    brisk_sizer sizer;
    brisk_sizer_advice advice;
    brisk_sizer_opts opts = {.bytes_min = 1000, .bytes_max = 1300, .resize = resize, .ctx = &w};
    CHECK_OK(brisk_sizer_init(&sizer, &opts));
    brisk_sizer_state low = {.bytes = 1000, .hits = 6, .misses = 4};
    CHECK_OK(brisk_sizer_step(&sizer, &low, &advice));
    CHECK(advice.resized && w.bytes == 1200);
    low.bytes = 1200;
    CHECK_OK(brisk_sizer_step(&sizer, &low, &advice));
    CHECK(w.bytes == 1300); /* not beyond the limit */
    brisk_sizer_state high = {.bytes = 1300, .hits = 97, .misses = 3};
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_OK(brisk_sizer_step(&sizer, &high, &advice));
    }
    CHECK(w.bytes == 1170);
    brisk_sizer_state well = {.bytes = 1170, .hits = 80, .misses = 20};
    CHECK_OK(brisk_sizer_step(&sizer, &well, &advice));
    CHECK(!advice.resized);
    opts.target = 1.5;
    CHECK(brisk_sizer_init(&sizer, &opts) == BRISK_ERR_INVALID);
    opts = (brisk_sizer_opts){.bytes_max = 1000};
    CHECK(brisk_sizer_init(&sizer, &opts) == BRISK_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curve_is_near_the_truth),
        cmocka_unit_test(test_curve_follows_the_load),
        cmocka_unit_test(test_curve_without_memory),
        cmocka_unit_test(test_target_is_reached_with_the_least),
        cmocka_unit_test(test_unreachable_target_is_said),
        cmocka_unit_test(test_limit_is_kept),
        cmocka_unit_test(test_simple_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
