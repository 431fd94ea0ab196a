/*
 * hist.h -- what hist.c shows to histogram.c and nobody else: buckets that were counted elsewhere.
 */
#ifndef BRISK_SRC_METRICS_HIST_H
#define BRISK_SRC_METRICS_HIST_H

#include <brisk/hist.h>

__extension__ typedef unsigned __int128 metrics_u128;

uint32_t metrics_hist_precision(const brisk_hist *hist);
/* `count` values for bucket `index`; their sum comes on its own. */
void metrics_hist_add(brisk_hist *hist, uint32_t index, uint64_t count);
void metrics_hist_add_sum(brisk_hist *hist, metrics_u128 sum);
/* Their sum if each were the middle of its bucket. */
metrics_u128 metrics_hist_estimate(uint32_t precision_bits, uint32_t index, uint64_t count);
/* Smallest and largest value of a bucket. */
uint64_t metrics_hist_low(uint32_t precision_bits, uint32_t index);
uint64_t metrics_hist_top(uint32_t precision_bits, uint32_t index);

#endif /* BRISK_SRC_METRICS_HIST_H */
