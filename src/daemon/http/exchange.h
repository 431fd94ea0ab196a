/*
 * exchange.h -- one request and its answer, whatever protocol carries them.
 *
 * HTTP/1.1 and HTTP/2 are carriers: each reads a request into an exchange, finds its route, and
 * carries the answer away.  A handler knows exchanges and no protocol:
 *
 *     carrier ── head read ─► route.begin(x) ─┬─► exchange_answer(x, all of it)           done
 *             ── body bytes ► route.body(x)   ├─► exchange_start, exchange_write ..., exchange_finish
 *             ── body's end ► route.end(x)    └─► nothing yet: the handler keeps x and answers later
 *             ◄─ exchange_paused / writable ──
 *             ── over ──────► route.gone(x)   exactly once, when `begin` was called; x is dead after it
 *
 * An answer may come from inside begin, body or end, or later from a loop task in the worker's thread.
 * A handler that works elsewhere keeps `x` in its own memory and forgets it in `gone`; what finishes
 * in another thread comes home by loop_post to x->worker's loop.
 *
 * Until `gone` the request's head (method, target, fields) stays where it is; body bytes are the
 * handler's for the call only.  After a whole answer neither `body` nor `end` nor `writable` come any
 * more.  A client that stopped sending but may read (half closed) still gets its answer, unless that
 * has neither length nor end.
 *
 * Before `begin`: the path is decoded, the route found, the method allowed, the right there (401; the
 * server's http_right_of decides), and a body of known size not too large (413).
 *
 * Threads: the worker's, all of it.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_EXCHANGE_H
#define BRISK_SRC_DAEMON_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <brisk/arena.h>
#include <brisk/err.h>
#include <brisk/value.h>

#include "wire/http1.h" /* http_text, http_field */

typedef struct exchange exchange;
typedef struct conn conn;
typedef struct worker worker;

typedef enum http_method {
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_POST = 4,
    HTTP_PUT = 8,
    HTTP_DELETE = 16,
    HTTP_OPTIONS = 32,
    HTTP_PATCH = 64,
    HTTP_PURGE = 128,
    HTTP_CONNECT = 256, /* extended CONNECT (RFC 8441) and the like; routes do not get it unasked */
    HTTP_OTHER = 512,   /* see exchange.method_text */
} http_method;

/* What an answer's body is.  Whatever it is, the exchange owns it from exchange_answer on. */
typedef enum http_body_kind {
    HTTP_BODY_NONE = 0,
    HTTP_BODY_BYTES, /* copied */
    HTTP_BODY_VALUE, /* a reference of `value` is taken over; bytes or a file */
    HTTP_BODY_FILE,  /* `fd`, with `release` called when it is not needed any more */
} http_body_kind;

typedef struct http_body {
    http_body_kind kind;
    const void *data; /* BYTES */
    brisk_value *value;
    int fd;
    void (*release)(void *ctx); /* FILE */
    void *ctx;
    uint64_t offset; /* VALUE, FILE: where it begins */
    uint64_t size;   /* bytes of it that are sent */
} http_body;

enum { HTTP_LENGTH_UNKNOWN = -1 };

/* Names of an answer's fields are lower case; content-length, transfer-encoding and connection are the
 * carrier's, and refused (an assertion); date is added when it is not among them. */
typedef struct http_answer {
    uint16_t status; /* 200 .. 999 */
    const http_field *fields;
    uint32_t field_count;
    http_body body;
    /* exchange_start: what content-length says, or HTTP_LENGTH_UNKNOWN.  For HEAD and 304: what it
     * would be.  exchange_answer takes body.size, and this only for HTTP_BODY_NONE with HEAD or 304. */
    int64_t length;
} http_answer;

/* How urgent an answer is: RFC 9218. */
typedef struct http_priority {
    uint8_t urgency; /* 0 first .. 7 last */
    bool incremental;
} http_priority;

/* Who asks, as far as it is known; decided before `begin` by http/auth.c. */
typedef enum http_right {
    HTTP_RIGHT_NONE = 0, /* anybody: /live, static files, the dashboard's files, proxied sites */
    HTTP_RIGHT_READ, /* figures, entries, jobs: this machine, a token, or a client's certificate */
    HTTP_RIGHT_CHANGE, /* whatever changes state: a token or a client's certificate */
} http_right;

/* A place in the URL space.  Static data, or its owner's for the server's life. */
typedef struct http_route {
    const char *name;        /* for figures and logs: "api.jobs" */
    uint32_t methods;        /* others are answered 405 with Allow; HEAD comes with GET */
    http_right right;        /* of methods that do not change anything */
    http_right right_change; /* of POST, PUT, DELETE, PATCH, PURGE */
    http_priority
        priority; /* default; the client's Priority field and rules of serve.priorities change it */
    uint64_t
        body_max; /* greater bodies are answered 413 before `body` is called; 0: none is taken */
    /* The head was read.  All but `begin` may be NULL. */
    void (*begin)(exchange *x);
    void (*body)(exchange *x, const void *data, size_t size);
    /* The body is over (called without a body, too). */
    void (*end)(exchange *x);
    /* What was written is sent as far as matters: exchange_write may go on. */
    void (*writable)(exchange *x);
    void (*gone)(exchange *x);
    void *ctx; /* the owner's: a mount, a pool */
} http_route;

/* What a carrier does with an answer; exchange.c is the only caller. */
typedef struct http_carrier {
    const char *name; /* "h1", "h2" */
    void (*answer)(exchange *x, const http_answer *answer);
    void (*start)(exchange *x, const http_answer *answer);
    /* False: the other side does not keep up; wait for `writable`.  The bytes were taken all the same. */
    bool (*write)(exchange *x, const void *data, size_t size);
    void (*finish)(exchange *x);
    void (*abort)(exchange *x);
    /* 1xx: 103 with its fields. */
    void (*inform)(exchange *x, uint16_t status, const http_field *fields, uint32_t count);
    /* Stop or go on reading the body. */
    void (*pause)(exchange *x, bool paused);
    void (*take_over)(exchange *x, const http_answer *answer);
} http_carrier;

typedef enum exchange_state {
    EXCHANGE_OPEN = 0, /* no answer yet */
    EXCHANGE_STARTED,  /* exchange_start was called */
    EXCHANGE_DONE,     /* the answer is whole, or was given up */
} exchange_state;

/* What happened when, for the traces of slow exchanges: as of the worker's round, so that noting it costs a store. */
typedef enum exchange_mark {
    EXCHANGE_BODY_OVER = 0, /* the request's body was there */
    EXCHANGE_ASKED,         /* others were: an upstream, another thread */
    EXCHANGE_REPLIED,       /* and began to answer */
    EXCHANGE_ANSWERED,      /* the answer began */
    EXCHANGE_MARKS,
} exchange_mark;

struct exchange {
    const http_carrier *carrier;
    const http_route *route;
    conn *conn;
    worker *worker;
    void *handler; /* the handler's own */
    /* Who works for the handler elsewhere (encode/job.c) is told before `gone`; NULL: nobody does. */
    void (*undo)(exchange *x);
    void *undone;  /* theirs */
    void *carried; /* the carrier's own */

    http_method method;
    uint8_t version; /* 10, 11, 20 */
    bool secure;     /* over TLS */
    bool has_body;
    bool body_over;
    exchange_state state;
    uint16_t status;        /* of the answer, once there is one */
    int64_t content_length; /* of the request's body; HTTP_LENGTH_UNKNOWN */
    uint64_t body_read;
    uint64_t body_sent;
    http_priority priority;
    http_right right;               /* what the client may */
    uint64_t begun_ns;              /* monotonic; when its worker turned to it */
    uint64_t id;                    /* of this process; shown as a trace's name */
    uint64_t marks[EXCHANGE_MARKS]; /* monotonic; 0: it did not happen */

    http_text method_text; /* as written */
    http_text target;      /* as written: origin form */
    http_text path;  /* percent-decoded, dot segments removed; no NUL inside, begins with '/' */
    http_text query; /* as written, without the '?' */
    http_text
        authority; /* Host or :authority, without the root's dot; "" when there is none (HTTP/1.0) */
    http_text rest; /* of path, behind the route's prefix; without a leading '/' */
    /* Without pseudo fields, host, and those of the hop: connection and what it names, te, expect ...;
     * `upgrade` is there when the client wants one. */
    const http_field *fields;
    uint32_t field_count;
};

/* The first field of that name (lower case), or NULL.  Inline, so that the size of a literal is known before. */
const http_text *exchange_field_sized(const exchange *x, const char *name, size_t size);
static inline const http_text *exchange_field(const exchange *x, const char *name)
{
    return x->field_count > 0 ? exchange_field_sized(x, name, strlen(name)) : NULL;
}
/* All of them joined by ", ", in `arena`; "" when there is none.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err exchange_fields(const exchange *x, const char *name, brisk_arena *arena,
                                          http_text *ret);
/* The value of `name` in the query, percent-decoded in `arena`; false: there is none, or no memory. */
bool exchange_query(const exchange *x, const char *name, brisk_arena *arena, http_text *ret);
/* Memory until `gone`; NULL when there is none. */
void *exchange_alloc(exchange *x, size_t size);

/* For those who ask others: EXCHANGE_ASKED, EXCHANGE_REPLIED. */
void exchange_note(exchange *x, exchange_mark mark);

/* A whole answer.  For HEAD the body is measured, not sent. */
void exchange_answer(exchange *x, const http_answer *answer);
/* Status and a text/plain or JSON body: {"error": {"code": ..., "message": ...}} for paths under /v1,
 * one line of plain text elsewhere. */
void exchange_fail(exchange *x, uint16_t status, const char *format, ...) BRISK_PRINTF(3, 4);
/* An answer piece by piece. */
void exchange_start(exchange *x, const http_answer *answer);
BRISK_NODISCARD bool exchange_write(exchange *x, const void *data, size_t size);
void exchange_finish(exchange *x);
/* The answer cannot be finished: the client must not take what it has for all (reset, or close). */
void exchange_abort(exchange *x);
void exchange_inform(exchange *x, uint16_t status, const http_field *fields, uint32_t count);
void exchange_pause(exchange *x, bool paused);

/*
 * HTTP/1.1 only: 101, and from then on the bytes of the connection are the handler's: what comes is
 * given to route.body, exchange_write sends, exchange_finish closes (websocket.c).
 */
void exchange_take_over(exchange *x, const http_answer *answer);

#endif /* BRISK_SRC_DAEMON_HTTP_EXCHANGE_H */
