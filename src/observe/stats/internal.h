/*
 * internal.h -- what the files of the comparison part share.
 */
#ifndef BRISK_SRC_OBSERVE_STATS_INTERNAL_H
#define BRISK_SRC_OBSERVE_STATS_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>

/** `count` doubles, or NULL.  Freed with the same count. */
double *stats_doubles(const brisk_alloc *alloc, uint32_t count);
void stats_free_doubles(const brisk_alloc *alloc, double *values, uint32_t count);
const brisk_alloc *stats_alloc(const brisk_alloc *alloc);
/** All of them finite? */
bool stats_are_finite(const double *values, uint32_t count);
double stats_autocorrelation(const double *values, uint32_t count);

#endif /* BRISK_SRC_OBSERVE_STATS_INTERNAL_H */
