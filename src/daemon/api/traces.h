/*
 * traces.h -- where the time of one request or job went: /v1/traces, /v1/traces/{id}.
 *
 *     exchanges   the slowest of each minute, and those whose traceparent says that they are recorded (http/observe.h)
 *     jobs        those that are kept (api/jobs_traces.c)
 *
 * A trace has spans, the first of which is all of it.  As Chrome's trace events they open in Perfetto.
 *
 * Threads: the background's.
 */
#ifndef BRISK_SRC_DAEMON_API_TRACES_H
#define BRISK_SRC_DAEMON_API_TRACES_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/trace.h>

#include "daemon/http/observe.h"

enum { TRACE_NAME_MAX = OBSERVE_METHOD_MAX + OBSERVE_PATH_MAX + 2, TRACE_WORD_MAX = 40 };

typedef struct trace_span {
    char name[BRISK_TRACE_NAME_MAX];
    uint32_t id;     /* from 1 */
    uint32_t parent; /* 0: none */
    uint32_t thread;
    uint64_t start_ns; /* since the trace began */
    uint64_t duration_ns;
} trace_span;

typedef struct trace_head {
    bool is_job;
    char id[TRACE_WORD_MAX];
    char name[TRACE_NAME_MAX];    /* "GET /a/b", or the workload */
    char outcome[TRACE_WORD_MAX]; /* "200", "none" (no answer); of a job its state */
    char route[TRACE_WORD_MAX];   /* of an exchange */
    traceparent parent;
    uint64_t wall_ns; /* when it began */
    uint64_t duration_ns;
    uint64_t bytes_in;
    uint64_t bytes_out;
} trace_head;

typedef struct trace {
    trace_head head;
    const brisk_alloc *alloc;
    trace_span *spans;
    uint32_t room; /* as acquired */
    uint32_t count;
} trace;

#endif /* BRISK_SRC_DAEMON_API_TRACES_H */
