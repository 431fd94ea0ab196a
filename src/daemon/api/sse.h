/*
 * sse.h -- a stream of events to one client (text/event-stream).
 *
 * A stream pulls: its source is asked for what is new when the stream begins, about ten times a
 * second, when the client has caught up, and after sse_poke.  So a client that does not read costs
 * nothing: its source is not asked, and puts together what it missed when it is asked again.
 *
 *     begin(x):  sse_open(x, &source, mine)          route.writable = sse_writable
 *     poll:      while (there is more && sse_send(stream, "progress", id, json, size)) ...
 *     the end:   sse_finish(stream)                  route.gone = sse_gone
 *
 * A comment is sent when nothing else was for 15 s, so that a client that is gone is noticed.
 * Streams end when the node stops.
 *
 * Threads: those of the exchange's worker; sse_poke from any.
 * Source:  WHATWG HTML, 9.2 "Server-sent events".
 */
#ifndef BRISK_SRC_DAEMON_API_SSE_H
#define BRISK_SRC_DAEMON_API_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/http/exchange.h"

typedef struct sse sse;

typedef struct sse_source {
    /* Send what is new, until sse_send says false or there is no more. */
    void (*poll)(sse *stream, void *ctx);
    /* The stream is over; `ctx` is the source's again. */
    void (*gone)(void *ctx);
} sse_source;

/* Answer `x` with a stream.  `ctx` is the stream's until source->gone, which is called in any case;
 * x->handler is the stream's.  Without memory the answer is 503. */
void sse_open(exchange *x, const sse_source *source, void *ctx);
/* One event.  `event` NULL: "message"; `id` 0: none; data may have several lines.
 * False: the client does not keep up, or there is no memory (the stream is then broken off): poll is
 * called again when it does.  The event was taken all the same. */
bool sse_send(sse *stream, const char *event, uint64_t id, const char *data, size_t size);
/* The last event was sent.  `stream` is not to be used any more. */
void sse_finish(sse *stream);
/* What the client saw last before it lost the connection (Last-Event-ID); 0: nothing. */
uint64_t sse_last_id(const exchange *x);

/* For the route. */
void sse_writable(exchange *x);
void sse_gone(exchange *x);

/* --- of the worker ------------------------------------------------------------------------ */

/* Ask the sources of the worker's streams soon; from any thread, as long as the worker runs. */
void sse_poke(worker *w);
/* About ten times a second. */
void sse_tick(worker *w, uint64_t now_ns, bool stopping);

#endif /* BRISK_SRC_DAEMON_API_SSE_H */
