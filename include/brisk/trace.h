/*
 * brisk/trace.h -- what ran when, on which worker, inside what: spans of one job.
 *
 * A span is begun and ended by the thread that runs it.  Spans are kept in a table of fixed
 * capacity; when it is full, further spans are counted as dropped and id BRISK_TRACE_NONE is
 * given, which every function accepts.
 *
 * Threads: begin, end and the setters from any thread; reading after the work is done.
 */
#ifndef BRISK_TRACE_H
#define BRISK_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/json.h>

BRISK_BEGIN_DECLS

enum { BRISK_TRACE_NONE = 0, BRISK_TRACE_NAME_MAX = 64, BRISK_TRACE_CAPACITY_DEFAULT = 1024 };

typedef struct brisk_trace brisk_trace;

/** One span; times in nanoseconds of the trace's clock. */
typedef struct brisk_span {
    char name[BRISK_TRACE_NAME_MAX]; /**< Longer names are cut. */
    uint32_t id;                     /**< From 1. */
    uint32_t parent;                 /**< BRISK_TRACE_NONE at the top. */
    int32_t worker;                  /**< Executor's worker from 0; -1 the submitting thread. */
    uint32_t thread;                 /**< Small number per operating-system thread, from 1. */
    uint64_t start_ns;
    uint64_t end_ns; /**< 0 while it runs. */
    uint64_t bytes;  /**< Bytes processed, as the span's owner counts them. */
} brisk_span;

/** `capacity` 0 means the default; `clock` and `alloc` NULL mean the system's.  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_trace_create(uint32_t capacity, const brisk_clock *clock,
                                                       const brisk_alloc *alloc, brisk_trace **ret);
BRISK_API void brisk_trace_destroy(brisk_trace *trace);
/** Start a span now.  A NULL trace gives BRISK_TRACE_NONE. */
BRISK_API uint32_t brisk_trace_begin(brisk_trace *trace, const char *name, uint32_t parent,
                                     int32_t worker);
/** As begin, for spans of which there may be thousands: dropped unless more than `keep` places are
 *  free, so that those begun with brisk_trace_begin later still find room. */
BRISK_API uint32_t brisk_trace_begin_minor(brisk_trace *trace, const char *name, uint32_t parent,
                                           int32_t worker, uint32_t keep);
/** End it now; the second end of a span is ignored. */
BRISK_API void brisk_trace_end(brisk_trace *trace, uint32_t span);
BRISK_API void brisk_trace_add_bytes(brisk_trace *trace, uint32_t span, uint64_t bytes);
BRISK_API uint32_t brisk_trace_count(const brisk_trace *trace);
BRISK_API uint64_t brisk_trace_dropped(const brisk_trace *trace);
/** Span number `index` (from 0) in order of begin; `index` < count. */
BRISK_API brisk_span brisk_trace_at(const brisk_trace *trace, uint32_t index);
/** Chrome trace event JSON (chrome://tracing, Perfetto); a line of log when spans were dropped.
 *  Errors: those of `out`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_trace_write_chrome(const brisk_trace *trace,
                                                             brisk_out out);
/** An indented table for people: name, start ms, ms, worker, bytes.  Errors: those of `out`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_trace_write_text(const brisk_trace *trace, brisk_out out);

BRISK_END_DECLS

#endif /* BRISK_TRACE_H */
