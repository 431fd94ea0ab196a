/*
 * rates.c -- collectors, ticks, and the rates that come from them.
 *
 * A tick keeps the time and every total in a ring of REGISTRY_TICKS places.  A rate over w seconds is
 * the difference to the newest tick at least w old, divided by the time that has really passed;
 * ticks come when they come, so that is between w and w plus a tick.  Where it would be more than twice
 * w (nobody ticked for long) there is no rate: an average over minutes is no rate of a second.
 *
 * A series made after that tick had counted nothing then: its ring is zeroed, which is right.
 */
#include <math.h>

#include "base/assert.h"
#include "metrics/histogram.h"
#include "metrics/registry.h"

static const uint64_t second_ns = UINT64_C(1000000000);
static const uint64_t tick_min_ns = UINT64_C(900000000);

brisk_err brisk_metrics_collect(brisk_metrics *metrics, brisk_metrics_collector collector,
                                void *ctx)
{
    BRISK_ASSERT(collector != NULL);
    brisk_err err = BRISK_OK;
    registry_lock(&metrics->collecting);
    for (uint32_t i = 0; i < metrics->collector_count; i++) {
        if (metrics->collectors[i].run == collector && metrics->collectors[i].ctx == ctx) {
            err = BRISK_ERR_CONFLICT;
        }
    }
    if (err == BRISK_OK && metrics->collector_count == REGISTRY_COLLECTORS_MAX) {
        err = BRISK_ERR_LIMIT;
    }
    if (err == BRISK_OK) {
        metrics->collectors[metrics->collector_count++] =
            (registry_collector){.run = collector, .ctx = ctx};
    }
    registry_unlock(&metrics->collecting);
    return err;
}

void brisk_metrics_collect_stop(brisk_metrics *metrics, brisk_metrics_collector collector,
                                void *ctx)
{
    registry_lock(&metrics->collecting);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < metrics->collector_count; i++) {
        registry_collector *c = &metrics->collectors[i];
        if (c->run != collector || c->ctx != ctx) {
            metrics->collectors[kept++] = *c;
        }
    }
    metrics->collector_count = kept;
    registry_unlock(&metrics->collecting);
}

void registry_collect(brisk_metrics *metrics)
{
    registry_lock(&metrics->collecting);
    for (uint32_t i = 0; i < metrics->collector_count; i++) {
        metrics->collectors[i].run(metrics->collectors[i].ctx, metrics);
    }
    registry_unlock(&metrics->collecting);
}

static void count_nothing(void *ctx, uint32_t index, uint64_t count)
{
    (void)ctx;
    (void)index;
    (void)count;
}

uint64_t registry_total(const registry_series *series)
{
    brisk_histogram_sums sums;
    switch (series->family->source) {
    case REGISTRY_COUNTER: return brisk_counter_read(series->of.counter);
    case REGISTRY_TOTAL: return brisk_total_read(series->of.total);
    case REGISTRY_HISTOGRAM:
        (void)metrics_histogram_walk(series->of.histogram, count_nothing, NULL, &sums);
        return sums.count;
    case REGISTRY_GAUGE:
    case REGISTRY_RATIO:
    default: return 0;
    }
}

void brisk_metrics_tick(brisk_metrics *metrics)
{
    registry_collect(metrics);
    registry_lock(&metrics->lock);
    uint64_t now = brisk_clock_now_ns(metrics->clock);
    uint64_t last = metrics->ticks[(metrics->tick_count + REGISTRY_TICKS - 1) % REGISTRY_TICKS];
    if (metrics->tick_count == 0 || now - last >= tick_min_ns) {
        uint64_t place = metrics->tick_count % REGISTRY_TICKS;
        metrics->ticks[place] = now;
        metrics->tick_count++;
        for (size_t i = 0; i < metrics->series.entries.count; i++) {
            registry_series *series = metrics->series.entries.items[i].value;
            series->totals[place] = registry_total(series);
        }
    }
    registry_unlock(&metrics->lock);
}

static double rate_over(const brisk_metrics *metrics, const registry_series *series,
                        uint64_t now_ns, uint64_t total, uint64_t window_ns)
{
    uint64_t kept = metrics->tick_count < REGISTRY_TICKS ? metrics->tick_count : REGISTRY_TICKS;
    for (uint64_t back = 1; back <= kept; back++) {
        uint64_t place = (metrics->tick_count - back) % REGISTRY_TICKS;
        uint64_t passed = now_ns - metrics->ticks[place];
        if (passed < window_ns - (second_ns - tick_min_ns)) {
            continue;
        }
        if (passed > 2 * window_ns + second_ns) {
            return (double)NAN;
        }
        uint64_t then = series->totals[place];
        /* A total from elsewhere may have begun anew, as the kernel's do after a restart. */
        return total < then ? (double)NAN
                            : (double)(total - then) * (double)second_ns / (double)passed;
    }
    return (double)NAN;
}

void registry_rates(const brisk_metrics *metrics, const registry_series *series, uint64_t now_ns,
                    uint64_t total, double ret[BRISK_METRIC_WINDOWS])
{
    static const uint64_t windows_s[BRISK_METRIC_WINDOWS] = {1, 10, 60};
    for (uint32_t i = 0; i < BRISK_METRIC_WINDOWS; i++) {
        ret[i] = registry_kind(series) == BRISK_METRIC_GAUGE
                     ? (double)NAN
                     : rate_over(metrics, series, now_ns, total, windows_s[i] * second_ns);
    }
}
