/*
 * histogram.h -- what histogram.c shows to snapshot.c: every bucket of every shard.
 */
#ifndef BRISK_SRC_METRICS_HISTOGRAM_H
#define BRISK_SRC_METRICS_HISTOGRAM_H

#include <brisk/histogram.h>

#include "metrics/hist.h"

/*
 * Call `add` for each bucket of each shard that holds something (a bucket comes once for each shard),
 * fill *ret, and give the sum of all values.
 */
metrics_u128 metrics_histogram_walk(const brisk_histogram *histogram,
                                    void (*add)(void *ctx, uint32_t index, uint64_t count),
                                    void *ctx, brisk_histogram_sums *ret);

#endif /* BRISK_SRC_METRICS_HISTOGRAM_H */
