/*
 * test_background.c -- threads for what can wait: everything taken is run, once; the rest is refused.
 */
#include "support/check.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include <brisk/background.h>

#include "support/fault_alloc.h"

typedef struct gate {
    _Atomic uint32_t inside, done;
    _Atomic bool open;
} gate;

static void nap(void)
{
    struct timespec ms = {.tv_nsec = 1000000};
    (void)nanosleep(&ms, NULL);
}

static void pass(void *arg)
{
    gate *g = arg;
    (void)atomic_fetch_add(&g->inside, 1);
    while (!atomic_load(&g->open)) {
        nap();
    }
    (void)atomic_fetch_add(&g->done, 1);
}

static void test_full_means_refused(void **unused)
{
    (void)unused;
    brisk_threads *threads;
    CHECK_OK(brisk_threads_create(
        &(brisk_threads_opts){.threads = 2, .queue_max = 3, .name = "a name that is long"},
        &threads));
    brisk_background background = brisk_threads_background(threads);
    CHECK(brisk_threads_are_idle(threads));
    gate g = {0};
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(background.run(background.ctx, pass, &g));
        while (atomic_load(&g.inside) != i + 1) {
            nap();
        }
    }
    for (int i = 0; i < 5; i++) {
        CHECK(background.run(background.ctx, pass, &g) == (i < 3));
    }
    brisk_threads_stats stats;
    brisk_threads_read_stats(threads, &stats);
    CHECK(stats.taken == 5 && stats.refused == 2 && stats.waiting == 3);
    CHECK(stats.running == 2 && stats.threads == 2 && !brisk_threads_are_idle(threads));
    atomic_store(&g.open, true);
    while (!brisk_threads_are_idle(threads)) {
        nap();
    }
    CHECK(g.done == 5);
    CHECK(background.run(background.ctx, pass, &g)); /* by a thread that sleeps */
    brisk_threads_destroy(threads);
    CHECK(g.done == 6);
}

typedef struct chain {
    brisk_background background;
    _Atomic uint32_t left;
    _Atomic uint32_t ran;
} chain;

static void link_on(void *arg)
{
    chain *c = arg;
    (void)atomic_fetch_add(&c->ran, 1);
    if (atomic_fetch_sub(&c->left, 1) > 1 && !c->background.run(c->background.ctx, link_on, c)) {
        (void)atomic_fetch_add(&c->ran, atomic_exchange(&c->left, 0)); /* refused: closing */
    }
}

static void test_everything_taken_is_run(void **unused)
{
    (void)unused;
    for (int round = 0; round < 50; round++) {
        brisk_threads *threads;
        CHECK_OK(brisk_threads_create(NULL, &threads));
        gate g = {.open = true};
        chain c = {.background = brisk_threads_background(threads), .left = 20};
        uint32_t taken = 0;
        CHECK(c.background.run(c.background.ctx, link_on, &c));
        for (int i = 0; i < 100; i++) {
            taken += c.background.run(c.background.ctx, pass, &g);
        }
        brisk_threads_destroy(threads);
        CHECK(g.done == taken && taken == 100 && c.ran >= 1);
    }
}

static void test_create_checks_and_may_fail(void **unused)
{
    (void)unused;
    brisk_threads *threads = NULL;
    CHECK(brisk_threads_create(&(brisk_threads_opts){.threads = 65}, &threads) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_threads_create(&(brisk_threads_opts){.queue_max = UINT32_MAX}, &threads) ==
          BRISK_ERR_INVALID);
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        err = brisk_threads_create(&(brisk_threads_opts){.alloc = &fault.base}, &threads);
        CHECK((threads != NULL) == (err == BRISK_OK));
        brisk_threads_destroy(threads);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_means_refused),
        cmocka_unit_test(test_everything_taken_is_run),
        cmocka_unit_test(test_create_checks_and_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
