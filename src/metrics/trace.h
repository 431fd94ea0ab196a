/*
 * trace.h -- what trace.c shows to trace_write.c and nobody else.
 */
#ifndef BRISK_SRC_METRICS_TRACE_H
#define BRISK_SRC_METRICS_TRACE_H

#include <brisk/trace.h>

/* The allocator of the trace, for scratch memory while printing it. */
const brisk_alloc *metrics_trace_alloc(const brisk_trace *trace);

#endif /* BRISK_SRC_METRICS_TRACE_H */
