/*
 * series.h -- the heap of a process over time: live bytes of each stack, and of all; RSS.
 *
 * At most HEAP_POINTS_MAX points: when they are full every second one goes, so any length of time fits.
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_HEAP_SERIES_H
#define BRISK_SRC_OBSERVE_HEAP_SERIES_H

#include "base/vec.h"
#include "observe/heap/read.h"

enum { HEAP_POINTS_MAX = 512 };

typedef struct heap_point {
    uint64_t time_ns; /* since the process began to be watched */
    uint64_t live;
    uint64_t rss; /* 0: not known */
    uint64_t malloc_used;
    uint64_t malloc_system;
    uint32_t stack_count; /* that there were */
    uint64_t *stacks;     /* live bytes of each */
} heap_point;

typedef struct heap_series {
    const brisk_alloc *alloc;
    BRISK_VEC(heap_point) points;
    uint32_t stride; /* of the points offered, one in so many is kept */
    uint32_t skipped;
} heap_series;

void heap_series_init(heap_series *series, const brisk_alloc *alloc);
void heap_series_deinit(heap_series *series);
/* Errors: NOMEM. */
BRISK_NODISCARD brisk_err heap_series_add(heap_series *series, const heap_profile *profile,
                                          uint64_t time_ns, uint64_t rss);

#endif /* BRISK_SRC_OBSERVE_HEAP_SERIES_H */
