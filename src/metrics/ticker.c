/*
 * ticker.c -- the thread behind <brisk/ticker.h>.
 *
 * It waits on a condition with a monotonic deadline, so that destroy ends it at once.  The event's snapshot is
 * taken before the tick: the rates it shows are those since the last one.
 *
 * Locks: `lock` (stop), not held while ticking.
 */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include <brisk/clock.h>
#include <brisk/log.h>
#include <brisk/ticker.h>

#include "base/assert.h"
#include "base/thread.h"

static const uint64_t second_ns = UINT64_C(1000000000);
static const uint64_t interval_min_ns = UINT64_C(10000000);

struct brisk_ticker {
    const brisk_alloc *alloc;
    brisk_metrics *metrics;
    brisk_events *events;
    uint64_t interval_ns;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool stop;
    brisk_thread thread;
};

brisk_err brisk_ticker_tick(brisk_metrics *metrics, brisk_events *events)
{
    metrics = metrics != NULL ? metrics : brisk_metrics_default();
    events = events != NULL ? events : brisk_events_default();
    brisk_snapshot *snapshot = NULL;
    brisk_err err = BRISK_OK;
    if (brisk_events_wanted(events, BRISK_EVENT_METRICS)) {
        err = brisk_metrics_snapshot(metrics, NULL, &snapshot);
    }
    brisk_metrics_tick(metrics);
    if (snapshot != NULL) {
        brisk_event event = {.type = BRISK_EVENT_METRICS,
                             .wall_ns = brisk_snapshot_wall_ns(snapshot),
                             .source = "metrics",
                             .name = "tick",
                             .value = (double)NAN,
                             .limit = (double)NAN,
                             .snapshot = snapshot};
        (void)brisk_events_publish(events, &event);
        brisk_snapshot_unref(snapshot);
    }
    return err;
}

/* True: it is time for the next tick; false: the end. */
static bool wait_until(brisk_ticker *ticker, uint64_t until_ns)
{
    struct timespec time = {.tv_sec = (time_t)(until_ns / second_ns),
                            .tv_nsec = (long)(until_ns % second_ns)};
    int failed = pthread_mutex_lock(&ticker->lock);
    BRISK_ASSERT(failed == 0);
    while (!ticker->stop && failed == 0) {
        failed = pthread_cond_timedwait(&ticker->stopped, &ticker->lock, &time);
    }
    bool go_on = !ticker->stop;
    failed = pthread_mutex_unlock(&ticker->lock);
    BRISK_ASSERT(failed == 0);
    return go_on;
}

static void run(void *ctx)
{
    brisk_ticker *ticker = ctx;
    uint64_t next_ns = brisk_clock_now_ns(NULL) + ticker->interval_ns;
    while (wait_until(ticker, next_ns)) {
        if (brisk_ticker_tick(ticker->metrics, ticker->events) != BRISK_OK) {
            brisk_log(BRISK_LOG_WARNING, "metrics", "no memory for a snapshot");
        }
        next_ns += ticker->interval_ns;
        uint64_t now_ns = brisk_clock_now_ns(NULL);
        next_ns = next_ns > now_ns ? next_ns : now_ns + ticker->interval_ns;
    }
}

static void free_ticker(brisk_ticker *ticker)
{
    (void)pthread_cond_destroy(&ticker->stopped);
    (void)pthread_mutex_destroy(&ticker->lock);
    ticker->alloc->release(ticker->alloc->ctx, ticker, sizeof *ticker, _Alignof(brisk_ticker));
}

brisk_err brisk_ticker_create(const brisk_ticker_opts *opts, brisk_ticker **ret)
{
    BRISK_ASSERT(ret != NULL);
    brisk_ticker_opts o = opts != NULL ? *opts : (brisk_ticker_opts){0};
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    uint64_t interval_ns = o.interval_ns != 0 ? o.interval_ns : second_ns;
    if (interval_ns < interval_min_ns || interval_ns > UINT64_MAX / 4) {
        return BRISK_ERR_INVALID;
    }
    brisk_ticker *ticker = alloc->acquire(alloc->ctx, sizeof *ticker, _Alignof(brisk_ticker));
    if (ticker == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *ticker = (brisk_ticker){
        .alloc = alloc, .metrics = o.metrics, .events = o.events, .interval_ns = interval_ns};
    pthread_condattr_t attributes;
    int failed = pthread_mutex_init(&ticker->lock, NULL);
    BRISK_ASSERT(failed == 0);
    failed = pthread_condattr_init(&attributes);
    BRISK_ASSERT(failed == 0);
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* brisk_clock_system's */
    BRISK_ASSERT(failed == 0);
    failed = pthread_cond_init(&ticker->stopped, &attributes);
    BRISK_ASSERT(failed == 0);
    (void)pthread_condattr_destroy(&attributes);
    brisk_err err = brisk_thread_start(
        &ticker->thread, &(brisk_thread_opts){.name = "brisk-ticker", .run = run, .ctx = ticker});
    if (err != BRISK_OK) {
        free_ticker(ticker);
        return err;
    }
    *ret = ticker;
    return BRISK_OK;
}

void brisk_ticker_destroy(brisk_ticker *ticker)
{
    if (ticker == NULL) {
        return;
    }
    int failed = pthread_mutex_lock(&ticker->lock);
    BRISK_ASSERT(failed == 0);
    ticker->stop = true;
    (void)pthread_cond_signal(&ticker->stopped);
    failed = pthread_mutex_unlock(&ticker->lock);
    BRISK_ASSERT(failed == 0);
    brisk_thread_join(&ticker->thread);
    free_ticker(ticker);
}
