/*
 * test_cancel.c -- proves brisk_cancel: never by default, the first reason wins among threads too,
 * and a deadline is a reason like any other.
 */
#include <stdatomic.h>

#include <brisk/executor.h>

#include "base/thread.h"
#include "support/check.h"
#include "support/fake_clock.h"

static void test_zero_means_never(void **state)
{
    (void)state;
    brisk_cancel cancel = {0};
    CHECK_OK(brisk_cancel_check(&cancel));
    CHECK_OK(brisk_cancel_check(NULL));
    brisk_cancel_request(NULL, BRISK_ERR_CANCELLED);
    brisk_cancel_init(&cancel, 0, NULL);
    CHECK_OK(brisk_cancel_check(&cancel));
}

static void test_the_first_reason_stays(void **state)
{
    (void)state;
    brisk_cancel cancel;
    brisk_cancel_init(&cancel, 0, NULL);
    brisk_cancel_request(&cancel, BRISK_ERR_CONFLICT);
    brisk_cancel_request(&cancel, BRISK_ERR_CANCELLED);
    CHECK(brisk_cancel_check(&cancel) == BRISK_ERR_CONFLICT);
    CHECK(brisk_cancel_check(&cancel) == BRISK_ERR_CONFLICT);
}

static void test_a_deadline_passes(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 1000);
    brisk_cancel cancel;
    brisk_cancel_init(&cancel, 1500, &clock.base);
    CHECK_OK(brisk_cancel_check(&cancel));
    fake_clock_advance(&clock, 499);
    CHECK_OK(brisk_cancel_check(&cancel));
    fake_clock_advance(&clock, 1); /* at the deadline it has passed */
    CHECK(brisk_cancel_check(&cancel) == BRISK_ERR_DEADLINE);
    brisk_cancel_request(&cancel, BRISK_ERR_CANCELLED);
    CHECK(brisk_cancel_check(&cancel) == BRISK_ERR_DEADLINE);

    brisk_cancel_init(&cancel, 3000, &clock.base);
    brisk_cancel_request(&cancel, BRISK_ERR_IO);
    fake_clock_advance(&clock, 5000);
    CHECK(brisk_cancel_check(&cancel) == BRISK_ERR_IO);
}

typedef struct race {
    brisk_cancel cancel;
    _Atomic uint32_t ready;
} race;

typedef struct racer {
    race *shared;
    brisk_err mine;
    brisk_err seen;
} racer;

static void run_racer(void *ctx)
{
    racer *r = ctx;
    atomic_fetch_add(&r->shared->ready, 1);
    while (atomic_load(&r->shared->ready) < 3) {
    }
    brisk_cancel_request(&r->shared->cancel, r->mine);
    r->seen = brisk_cancel_check(&r->shared->cancel);
}

static void test_all_threads_see_the_same_reason(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        race shared = {.ready = 0};
        brisk_thread threads[3];
        racer racers[3];
        for (int i = 0; i < 3; i++) {
            racers[i] = (racer){.shared = &shared, .mine = (brisk_err)(BRISK_ERR_IO - i)};
            brisk_thread_opts opts = {.run = run_racer, .ctx = &racers[i]};
            CHECK_OK(brisk_thread_start(&threads[i], &opts));
        }
        for (int i = 0; i < 3; i++) {
            brisk_thread_join(&threads[i]);
        }
        CHECK(racers[0].seen == racers[1].seen && racers[1].seen == racers[2].seen);
        CHECK(racers[0].seen <= BRISK_ERR_IO && racers[0].seen >= BRISK_ERR_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_zero_means_never),
        cmocka_unit_test(test_the_first_reason_stays),
        cmocka_unit_test(test_a_deadline_passes),
        cmocka_unit_test(test_all_threads_see_the_same_reason),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
