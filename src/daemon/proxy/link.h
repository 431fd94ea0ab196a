/*
 * link.h -- a connection to an upstream: one request and its answer at a time, then another.
 *
 *     CONNECTING ─► SHAKING (TLS) ─► BUSY ⇄ IDLE
 *          └───────────┴──────────────┴──────┴──► DEAD
 *
 * An answer's end is where its head says.  With two ends (Content-Length and chunks), a length that is
 * none, or bytes behind the end, the connection is not used again, and what was not whole is a failure.
 * Without any, the end is the connection's: a clean one, for TLS a goodbye.
 *
 * Invariants: a BUSY link has a fetch; an IDLE one has read and sent everything.
 *
 * Threads: the worker's.
 * Source:  RFC 9112 6.3 (message body length), 9.3 (persistence).
 */
#ifndef BRISK_SRC_DAEMON_PROXY_LINK_H
#define BRISK_SRC_DAEMON_PROXY_LINK_H

#include "base/vec.h"
#include "daemon/proxy/fetch.h"
#include "wire/http1.h"

typedef enum link_state {
    LINK_CONNECTING = 0,
    LINK_SHAKING,
    LINK_BUSY,
    LINK_IDLE,
    LINK_DEAD,
} link_state;

typedef enum link_phase {
    PHASE_HEAD = 0,
    PHASE_LENGTH,
    PHASE_CHUNKS,
    PHASE_CLOSE,
    PHASE_OVER,
} link_phase;

typedef struct proxy_link {
    loop_source source; /* first */
    proxy_pool *pool;
    upstream *up;
    fetch *fetch; /* NULL: nobody's */
    struct proxy_link *next;
    struct proxy_link *previous;
    link_state state;
    link_phase phase;
    int fd;
    uint32_t events;     /* what epoll is asked for */
    wire_tls *tls;       /* NULL: plain */
    BRISK_VEC(char) out; /* not yet given to the kernel, or to TLS, from out_sent on */
    size_t out_sent;
    size_t head_bytes; /* of the request's head in `out` */
    unsigned char *in; /* what is not worked on: a part of a head, or what came while paused */
    size_t in_size;
    size_t in_capacity;
    http1_head head; /* its fields are the worker's */
    http1_chunked chunks;
    uint64_t body_left;
    uint64_t deadline_ns;
    uint64_t idle_since_ns;
    uint64_t sent_bytes; /* of this request, taken by the kernel */
    bool reused;
    bool got_byte; /* of this answer */
    bool is_head;  /* the request was HEAD */
    bool keep;     /* it may be used again after this answer */
    bool request_over;
    bool chunked_out;
    bool paused;
    bool consuming;
    bool unwatched;   /* gone while paused */
    bool mute;        /* the other side takes no more; it may have answered */
    uint8_t informed; /* 1xx of this answer */
} proxy_link;

/* An idle link to `up`, or a new one; NULL: it could not be begun. */
proxy_link *link_open(proxy_pool *pool, upstream *up);
/* Send the request; bytes of its body follow. */
void link_begin(proxy_link *l, fetch *f);
/* Bytes of the request's body, framed here. */
void link_send(proxy_link *l, const void *data, size_t size);
void link_send_end(proxy_link *l);
/* Take over what `from` did not send of its request's body. */
void link_inherit(proxy_link *l, const proxy_link *from);
size_t link_unsent(const proxy_link *l);
void link_pause(proxy_link *l, bool paused);
/* Nobody wants it any more: close it. */
void link_drop(proxy_link *l);
void link_free(proxy_link *l);
/* For link_open.c: its socket has something to tell. */
void link_ready(loop_source *self, uint32_t events);
/* What is due at `now_ns`. */
void link_check_time(proxy_link *l, uint64_t now_ns);

#endif /* BRISK_SRC_DAEMON_PROXY_LINK_H */
