/*
 * traceparent.h -- which trace a request belongs to, as those before it say.
 *
 *     traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *                  version, trace, span of who asks, flags (1: it is recorded)
 *
 * Pure.  Source: W3C Trace Context, 3.2.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_TRACEPARENT_H
#define BRISK_SRC_DAEMON_HTTP_TRACEPARENT_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/http1.h" /* http_text */

enum { TRACE_ID_SIZE = 32, SPAN_ID_SIZE = 16, TRACEPARENT_SIZE = 55 };

typedef struct traceparent {
    char trace[TRACE_ID_SIZE + 1]; /* "" when there is none */
    char span[SPAN_ID_SIZE + 1];
    uint8_t flags;
} traceparent;

enum { TRACEPARENT_SAMPLED = 1 };

/* False: it is none, and to be treated as if it were not there. */
bool traceparent_read(http_text text, traceparent *ret);
/* The same trace, from the span `span` of ours on; TRACEPARENT_SIZE bytes and a NUL. */
void traceparent_write(const traceparent *of, uint64_t span, char ret[TRACEPARENT_SIZE + 1]);
/* `span` as it is written. */
void traceparent_span(uint64_t span, char ret[SPAN_ID_SIZE + 1]);

#endif /* BRISK_SRC_DAEMON_HTTP_TRACEPARENT_H */
