/*
 * The prefetcher with threads: notes arrive in order, loads stay within their limit, nothing is
 * lost or touched when it ends.
 */
#include <string.h>

#include "base/thread.h"
#include "predict_test.h"
#include "support/fault_alloc.h"

enum { THREADS = 4 };

/* In rounds, so that the worker is not behind by more than one. */
static void test_loads_in_the_background(void **state)
{
    (void)state;
    predict_fixture f = {.misses = 0};
    predict_open(&f, 50, NULL, false);
    for (uint64_t i = 0; i < 4000; i++) {
        (void)predict_request(&f, 0, i % 400);
        brisk_prefetcher_drain(f.prefetcher);
    }
    brisk_predict_stats stats = predict_stats(&f);
    CHECK_U64(stats.requests, ==, 4000);
    CHECK_U64(stats.used, >, 2000);
    CHECK_U64(f.misses, <, 2000);
    predict_close(&f);
}

typedef struct slow_loads {
    _Atomic uint32_t now;
    _Atomic uint32_t most;
    _Atomic uint64_t count;
} slow_loads;

static bool never_cached(void *ctx, const brisk_key *key)
{
    (void)ctx;
    (void)key;
    return false;
}

static brisk_err load_slowly(void *ctx, const brisk_key *key)
{
    slow_loads *loads = ctx;
    (void)key;
    uint32_t now = atomic_fetch_add(&loads->now, 1) + 1;
    uint32_t most = atomic_load(&loads->most);
    while (now > most && !atomic_compare_exchange_weak(&loads->most, &most, now)) {
    }
    for (uint32_t i = 0; i < 20000; i++) {
        atomic_signal_fence(memory_order_seq_cst);
    }
    atomic_fetch_add(&loads->count, 1);
    atomic_fetch_sub(&loads->now, 1);
    return BRISK_OK;
}

typedef struct noter {
    brisk_prefetcher *prefetcher;
    uint64_t base;
} noter;

static void note_loops(void *ctx)
{
    noter *n = ctx;
    for (uint64_t i = 0; i < 30000; i++) {
        uint64_t number = n->base + i % 100;
        brisk_key key = brisk_key_of(&number, sizeof number);
        brisk_prefetcher_note(n->prefetcher, 0, &key, false);
        if (i % 256 == 0) {
            brisk_prefetcher_drain(n->prefetcher); /* let the worker come along */
        }
    }
}

static void test_threads_and_the_limit_of_loads(void **state)
{
    (void)state;
    slow_loads loads = {0};
    brisk_predictor *predictor = NULL;
    CHECK_OK(brisk_predictor_create(&(brisk_predictor_opts){.bytes_max = 1 << 20, .depth = 4},
                                    &predictor));
    brisk_prefetcher_opts opts = {.predictor = predictor,
                                  .ctx = &loads,
                                  .is_cached = never_cached,
                                  .load = load_slowly,
                                  .loads_max = 2};
    brisk_prefetcher *prefetcher = NULL;
    CHECK_OK(brisk_prefetcher_create(&opts, &prefetcher));
    brisk_thread threads[THREADS];
    noter noters[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        noters[i] = (noter){prefetcher, i * 1000000};
        brisk_thread_opts thread = {.run = note_loops, .ctx = &noters[i]};
        CHECK_OK(brisk_thread_start(&threads[i], &thread));
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
    }
    brisk_prefetcher_drain(prefetcher);
    brisk_prefetch_stats stats;
    brisk_prefetcher_read_stats(prefetcher, &stats);
    CHECK_U64(stats.noted + stats.dropped, ==, THREADS * 30000);
    CHECK_U64(stats.in_flight, ==, 0);
    CHECK_U64(atomic_load(&loads.most), <=, 2);
    brisk_predict_stats predicted;
    brisk_predictor_read_stats(predictor, &predicted);
    CHECK_U64(predicted.requests, ==, stats.noted);
    CHECK_U64(predicted.loads, ==, atomic_load(&loads.count));
    brisk_prefetcher_destroy(prefetcher);
    brisk_predictor_destroy(predictor);
}

/* Ends with loads under way and notes unread. */
static void test_destroy_in_the_middle(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        predict_fixture f = {.misses = 0};
        predict_open(&f, 50, NULL, false);
        for (uint64_t i = 0; i < 500 + round * 50; i++) {
            (void)predict_request(&f, 0, i % 100);
        }
        predict_close(&f);
    }
}

typedef struct refuser {
    uint32_t asked;
} refuser;

static bool refuse(void *ctx, void (*fn)(void *arg), void *arg)
{
    refuser *r = ctx;
    (void)fn;
    (void)arg;
    r->asked++;
    return false;
}

static void test_a_background_that_refuses(void **state)
{
    (void)state;
    slow_loads loads = {0};
    refuser r = {0};
    brisk_predictor *predictor = NULL;
    CHECK_OK(brisk_predictor_create(NULL, &predictor));
    brisk_prefetcher_opts opts = {.predictor = predictor,
                                  .ctx = &loads,
                                  .is_cached = never_cached,
                                  .load = load_slowly,
                                  .run = refuse,
                                  .run_ctx = &r,
                                  .inline_ = true};
    brisk_prefetcher *prefetcher = NULL;
    CHECK_OK(brisk_prefetcher_create(&opts, &prefetcher));
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t number = i % 100;
        brisk_key key = brisk_key_of(&number, sizeof number);
        brisk_prefetcher_note(prefetcher, 1, &key, false);
    }
    CHECK_U64(r.asked, >, 100);
    CHECK_U64(atomic_load(&loads.count), ==, 0);
    brisk_prefetch_stats stats;
    brisk_prefetcher_read_stats(prefetcher, &stats);
    CHECK_U64(stats.no_capacity, ==, r.asked);
    CHECK_U64(stats.in_flight, ==, 0);
    brisk_prefetcher_destroy(prefetcher);
    brisk_predictor_destroy(predictor);
}

static void test_options_are_checked(void **state)
{
    (void)state;
    brisk_predictor *predictor = NULL;
    brisk_prefetcher *prefetcher = NULL;
    CHECK_OK(brisk_predictor_create(NULL, &predictor));
    slow_loads loads = {0};
    brisk_prefetcher_opts good = {
        .predictor = predictor, .ctx = &loads, .is_cached = never_cached, .load = load_slowly};
    brisk_prefetcher_opts bad[4] = {good, good, good, good};
    bad[0].predictor = NULL;
    bad[1].is_cached = NULL;
    bad[2].load = NULL;
    bad[3].loads_max = BRISK_PREFETCH_LOADS_MAX + 1;
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(brisk_prefetcher_create(&bad[i], &prefetcher), BRISK_ERR_INVALID);
    }
    for (uint64_t fail_after = 0; fail_after < 2; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        good.alloc = &fault.base;
        brisk_err err = brisk_prefetcher_create(&good, &prefetcher);
        assert_int_equal(err, fail_after == 0 ? BRISK_ERR_NOMEM : BRISK_OK);
        if (err == BRISK_OK) {
            brisk_prefetcher_destroy(prefetcher);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    brisk_prefetcher_destroy(NULL);
    brisk_predictor_destroy(predictor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads_in_the_background),
        cmocka_unit_test(test_threads_and_the_limit_of_loads),
        cmocka_unit_test(test_destroy_in_the_middle),
        cmocka_unit_test(test_a_background_that_refuses),
        cmocka_unit_test(test_options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
