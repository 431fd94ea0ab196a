/*
 * sse.h -- a stream of events to one client (text/event-stream).
 *
 * A stream pulls: its source is asked for what is new when the stream begins, about ten times a
 * second, when the client has caught up, and after sse_poke.  So a client that does not read costs
 * nothing: its source is not asked, and puts together what it missed when it is asked again.
 *
 *     begin(x):  mine->stream = sse_open(x, &source, mine)      writable(x):  sse_writable(mine->stream)
 *     poll:      while (there is more && sse_send(stream, "progress", id, json, size)) ...
 *     the end:   sse_finish(stream)                             gone(x):      sse_gone(mine->stream)
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
} sse_source;

/* Answer `x` with a stream; `ctx` is lent to it until sse_gone.  NULL: no memory, which was answered. */
sse *sse_open(exchange *x, const sse_source *source, void *ctx);
/* One event.  `event` NULL: "message"; `id` 0: none; data may have several lines.
 * False: the client does not keep up, or there is no memory (the stream is then broken off): poll is
 * called again when it does.  The event was taken all the same. */
bool sse_send(sse *stream, const char *event, uint64_t id, const char *data, size_t size);
/* The last event was sent. */
void sse_finish(sse *stream);
/* What the client saw last before it lost the connection (Last-Event-ID); 0: nothing. */
uint64_t sse_last_id(const exchange *x);

/* From the route's functions.  NULL is accepted. */
void sse_writable(sse *stream);
void sse_gone(sse *stream);

/* --- of the worker ------------------------------------------------------------------------ */

/* Ask the sources of the worker's streams soon; from any thread, as long as the worker runs. */
void sse_poke(worker *w);
/* About ten times a second. */
void sse_tick(worker *w, uint64_t now_ns, bool stopping);

#endif /* BRISK_SRC_DAEMON_API_SSE_H */
