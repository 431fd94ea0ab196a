/*
 * fetch.h -- one question to an upstream group, until there is an answer or none is to be had.
 *
 *     fetch_start ─► pick ─► link ─► request ─► events->head ─► body ... ─► end
 *                     ▲        │ refused, reset, silent          │
 *                     └────────┘ (again, while that is safe)     └─► fail, if it breaks off
 *
 * Asked again is only what may be asked twice: idempotent methods, or when nothing of the request was
 * taken; never after a head was handed on.  A hedge is a second try of an idempotent request while
 * the first one is silent: whoever answers first is heard.  Both draw on a budget that requests fill
 * (a fifth of them), so that an upstream in trouble is not drowned.
 *
 * An answer is handed on only as it is framed: a body that ends early is `fail`, never `end`.
 *
 * Exactly one of end, fail or `head` with `whole` ends a fetch that was not cancelled; after it, and
 * after fetch_cancel, the fetch is the caller's memory again.  Events may come from inside
 * fetch_start.
 *
 * Threads: the worker's.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_FETCH_H
#define BRISK_SRC_DAEMON_PROXY_FETCH_H

#include <assert.h>

#include "daemon/proxy/field.h"
#include "daemon/proxy/pool.h"

typedef struct fetch fetch;

typedef enum fetch_error {
    FETCH_NO_REACH = 1, /* no connection could be made */
    FETCH_BROKEN,       /* it ended before its answer did */
    FETCH_GARBAGE,      /* it is no HTTP, or framed in two ways */
    FETCH_SLOW,         /* a timeout */
    FETCH_NO_MEMORY,
    FETCH_ERRORS,
} fetch_error;

static_assert((int)FETCH_ERRORS == (int)TALLY_FAILURES, "each is counted");

const char *fetch_error_text(fetch_error why);

typedef struct fetch_reply {
    uint16_t status;
    proxy_fields fields;    /* as they came; names are lower case */
    int64_t content_length; /* HTTP_LENGTH_UNKNOWN */
    bool has_body;
    bool whole;     /* all of the body is `body`, and this is the last event */
    http_text body; /* for the call */
    const upstream *from;
} fetch_reply;

typedef struct fetch_events {
    void (*inform)(fetch *f, uint16_t status, proxy_fields fields); /* may be NULL */
    void (*head)(fetch *f, const fetch_reply *reply);
    void (*body)(fetch *f, const void *data, size_t size);
    void (*end)(fetch *f);
    void (*fail)(fetch *f, fetch_error why);
    void (*writable)(fetch *f); /* fetch_send said false; it may go on; may be NULL */
} fetch_events;

/* What is asked; all bytes stay until the fetch is over. */
typedef struct fetch_request {
    http_text method;
    http_text target;       /* origin form, without the upstream's base */
    http_text host;         /* empty: the upstream's own */
    http_text block;        /* the fields, as lines; no host, no framing */
    int64_t content_length; /* of a body that comes by fetch_send */
    bool has_body;          /* with content_length unknown: in chunks */
    bool is_head;
    bool idempotent;
    const upstream *only; /* NULL: whichever */
} fetch_request;

enum { FETCH_LINKS = 2, FETCH_UNSENT_HIGH = 262144 };

struct fetch {
    const fetch_events *events; /* the caller's, with request and ctx, before fetch_start */
    fetch_request request;
    void *ctx;

    proxy_pool *pool;
    struct proxy_link *links[FETCH_LINKS]; /* the try, and its hedge */
    fetch *next_hedge;                     /* those who wait for theirs */
    fetch *previous_hedge;
    uint64_t hedge_ns; /* when; 0: not in the list */
    uint64_t begun_ns;
    uint32_t tries;
    bool answered; /* `head` was called */
    bool paused;
    bool body_taken; /* bytes of the request's body left: it cannot be sent again */
    bool body_over;
    bool wants_writable;
    const upstream *last; /* that failed */
};

void fetch_start(fetch *f, proxy_pool *pool);
/* Bytes of the request's body; false: enough for now, wait for `writable`.  They are taken. */
bool fetch_send(fetch *f, const void *data, size_t size);
void fetch_send_end(fetch *f);
/* Stop or go on reading the answer's body. */
void fetch_pause(fetch *f, bool paused);
void fetch_cancel(fetch *f);

/* A second try beside the first; for pool.c. */
void fetch_hedge(fetch *f);

/* --- for link.c ---------------------------------------------------------------------------- */

/* What a link tells; `l` is no longer the fetch's after the last of them. */
void fetch_link_informed(fetch *f, uint16_t status, proxy_fields fields);
void fetch_link_head(fetch *f, struct proxy_link *l, const fetch_reply *reply);
void fetch_link_body(fetch *f, const void *data, size_t size);
void fetch_link_end(fetch *f, struct proxy_link *l);
void fetch_link_failed(fetch *f, struct proxy_link *l, fetch_error why);
void fetch_link_sent(fetch *f, struct proxy_link *l);

#endif /* BRISK_SRC_DAEMON_PROXY_FETCH_H */
