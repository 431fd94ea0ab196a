/*
 * test_ticker.c -- proves <brisk/ticker.h>: ticks come by themselves and reach who subscribed with a snapshot, nobody's
 * snapshot is made, destroy is prompt, options are checked.
 */
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <brisk/ticker.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_metrics, brisk_metrics_destroy)
BRISK_DEFINE_CLEANUP(brisk_events, brisk_events_destroy)

static void count_update(void *ctx, const brisk_event *event)
{
    CHECK(event->type == BRISK_EVENT_METRICS && event->snapshot != NULL);
    CHECK(brisk_snapshot_find(event->snapshot, "a", NULL, 0)->count == 3);
    CHECK(event->wall_ns == brisk_snapshot_wall_ns(event->snapshot));
    atomic_fetch_add((_Atomic uint32_t *)ctx, 1);
}

static void count_collection(void *ctx, brisk_metrics *metrics)
{
    (void)metrics;
    atomic_fetch_add((_Atomic uint32_t *)ctx, 1);
}

static bool reaches(_Atomic uint32_t *count, uint32_t wanted)
{
    for (int i = 0; i < 2000 && atomic_load(count) < wanted; i++) {
        struct timespec pause = {.tv_nsec = 5000000};
        (void)nanosleep(&pause, NULL);
    }
    return atomic_load(count) >= wanted;
}

static void test_updates_reach_who_subscribed(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_events_destroy) brisk_events *events = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    CHECK_OK(brisk_events_create(NULL, &events));
    brisk_counter *counter;
    CHECK_OK(brisk_metrics_counter(metrics, &(brisk_metric_desc){.name = "a"}, &counter));
    brisk_counter_add(counter, 3);
    _Atomic uint32_t updates = 0;
    _Atomic uint32_t collections = 0;
    CHECK_OK(brisk_metrics_collect(metrics, count_collection, &collections));
    brisk_ticker *ticker = NULL;
    CHECK_OK(brisk_ticker_create(
        &(brisk_ticker_opts){.metrics = metrics, .events = events, .interval_ns = 10000000},
        &ticker));
    CHECK(reaches(&collections, 3)); /* ticks, though nobody listens */
    uint64_t id;
    CHECK_OK(
        brisk_events_subscribe(events,
                               &(brisk_subscription){.types = BRISK_EVENT_MASK(BRISK_EVENT_METRICS),
                                                     .callback = count_update,
                                                     .ctx = &updates},
                               &id));
    CHECK(reaches(&updates, 3));
    brisk_ticker_destroy(ticker);
    uint32_t at_end = atomic_load(&updates);
    struct timespec pause = {.tv_nsec = 30000000};
    (void)nanosleep(&pause, NULL);
    CHECK_U64(atomic_load(&updates), ==, at_end);
    CHECK_OK(brisk_ticker_tick(metrics, events));
    CHECK_U64(atomic_load(&updates), ==, at_end + 1);
}

static void test_an_hour_ends_at_once(void **state)
{
    (void)state;
    brisk_ticker *ticker = NULL;
    CHECK_OK(brisk_ticker_create(&(brisk_ticker_opts){.interval_ns = UINT64_C(3600) * 1000000000},
                                 &ticker));
    brisk_ticker_destroy(ticker); /* or the test takes an hour */
    CHECK(brisk_ticker_create(&(brisk_ticker_opts){.interval_ns = 1}, &ticker) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_ticker_create(&(brisk_ticker_opts){.interval_ns = UINT64_MAX}, &ticker) ==
          BRISK_ERR_INVALID);
    fault_alloc fault;
    fault_alloc_init(&fault, 0);
    CHECK(brisk_ticker_create(&(brisk_ticker_opts){.alloc = &fault.base}, &ticker) ==
          BRISK_ERR_NOMEM);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_updates_reach_who_subscribed),
        cmocka_unit_test(test_an_hour_ends_at_once),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
