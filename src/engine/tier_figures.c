/*
 * tier_figures.c -- counters and a histogram behind engine/tier_figures.h.
 */
#include "engine/tier_figures.h"

#include <brisk/clock.h>

#include "base/assert.h"

brisk_err tier_figures_init(tier_figures *figures, const brisk_alloc *alloc)
{
    int failed = pthread_mutex_init(&figures->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    return brisk_hist_create(&(brisk_hist_opts){.alloc = alloc}, &figures->hist);
}

void tier_figures_deinit(tier_figures *figures)
{
    brisk_hist_destroy(figures->hist);
    (void)pthread_mutex_destroy(&figures->lock);
}

void tier_figures_time(tier_figures *figures, uint64_t begin_ns)
{
    uint64_t elapsed = brisk_clock_now_ns(NULL) - begin_ns;
    (void)pthread_mutex_lock(&figures->lock);
    brisk_hist_record(figures->hist, elapsed);
    (void)pthread_mutex_unlock(&figures->lock);
}

brisk_err tier_figures_failed(tier_figures *figures, brisk_err err)
{
    brisk_counter_add(&figures->errors, 1);
    return err;
}

brisk_err tier_figures_put(tier_figures *figures, brisk_err err, uint64_t raw_bytes,
                           uint64_t stored_bytes)
{
    if (err == BRISK_ERR_DECLINED) {
        brisk_counter_add(&figures->rejects, 1);
        return err;
    }
    if (err != BRISK_OK) {
        return tier_figures_failed(figures, err);
    }
    brisk_counter_add(&figures->puts, 1);
    brisk_counter_add(&figures->raw_bytes, raw_bytes);
    brisk_counter_add(&figures->stored_bytes, stored_bytes);
    return BRISK_OK;
}

void tier_figures_read(tier_figures *figures, brisk_tier_stats *ret)
{
    *ret = (brisk_tier_stats){
        .hits = brisk_counter_read(&figures->hits),
        .misses = brisk_counter_read(&figures->misses),
        .puts = brisk_counter_read(&figures->puts),
        .removes = brisk_counter_read(&figures->removes),
        .expired = brisk_counter_read(&figures->expired),
        .rejects = brisk_counter_read(&figures->rejects),
        .corrupt = brisk_counter_read(&figures->corrupt),
        .errors = brisk_counter_read(&figures->errors),
        .raw_bytes = brisk_counter_read(&figures->raw_bytes),
        .stored_bytes = brisk_counter_read(&figures->stored_bytes),
    };
    (void)pthread_mutex_lock(&figures->lock);
    ret->get_p50_ns = brisk_hist_quantile(figures->hist, 0.5);
    ret->get_p99_ns = brisk_hist_quantile(figures->hist, 0.99);
    ret->get_p999_ns = brisk_hist_quantile(figures->hist, 0.999);
    (void)pthread_mutex_unlock(&figures->lock);
}
