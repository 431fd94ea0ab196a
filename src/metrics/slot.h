/*
 * slot.h -- small numbers for threads that live: given at first use, given back at the thread's end.
 *
 * Unlike thread_id.h's these are reused, so that memory by number is bounded by how many threads live
 * at once.  A number that comes back happens before its next owner's first use of it (one mutex), so
 * what the last owner wrote under that number needs no other order.
 */
#ifndef BRISK_SRC_METRICS_SLOT_H
#define BRISK_SRC_METRICS_SLOT_H

#include <stdint.h>

/* 1 .. BRISK_HISTOGRAM_THREADS - 1, or 0 when all are taken: ask again later. */
uint32_t metrics_slot(void);

#endif /* BRISK_SRC_METRICS_SLOT_H */
