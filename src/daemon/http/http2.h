/*
 * http2.h -- HTTP/2 on a connection: a protocol of conn.c and a carrier of exchanges.
 *
 *     conn.take ─► guard ─► nghttp2 ─► http2_request.c ─► exchange ─► handler
 *                   └─► http2_direct.c (a head in known bytes) ─┘         │ http_carrier
 *     conn.out ◄─ pump ◄── nghttp2 ◄── http2_answer.c ◄──────────────────┤
 *        └────────────────────────────────── http2_direct.c ◄────────────┘
 *
 * nghttp2 does frames, HPACK, flow control and the order of streams.  It must not be called to send
 * from inside its own callbacks, and handlers may be: so what a handler says is only noted (a
 * submit), and the pump runs when nghttp2 has returned, or before the round ends (http2_touch).
 *
 * A session is what stands between; a stream is an exchange's `carried`, in the exchange's memory.
 *
 * Invariant: while `inside`, nobody but the function that set it calls nghttp2 to receive or to send,
 * and the session is not freed: a connection that dies meanwhile is `doomed`.
 *
 * Threads: the worker's.
 * Sources: RFC 9113 (HTTP/2), RFC 9218 (priorities), nghttp2 1.52 (library).
 */
#ifndef BRISK_SRC_DAEMON_HTTP_HTTP2_H
#define BRISK_SRC_DAEMON_HTTP_HTTP2_H

#include <nghttp2/nghttp2.h>

#include "daemon/conn.h"
#include "daemon/http/carrier.h"
#include "daemon/http/http2_guard.h"
#include "daemon/http/http2_memory.h"
#include "daemon/http/known.h"
#include "daemon/http/protocols.h"

extern const http_carrier http2_carrier;

enum {
    HTTP2_STREAMS_MAX = 256,               /* at once, of a connection */
    HTTP2_HEAD_MAX = 65536,                /* bytes of a head, as RFC 9113 counts them (6.5.2) */
    HTTP2_FIELD_BYTES = 32,                /* of each field beside its name and value */
    HTTP2_HEAD_WASTE = 4 * HTTP2_HEAD_MAX, /* read of a head that is too large, before the reset */
    HTTP2_STREAM_WINDOW = 262144,
    HTTP2_WINDOW = 1048576,
    HTTP2_BATCH_BYTES = 262144,  /* written between two looks at the socket */
    HTTP2_UNSENT_HIGH = 262144,  /* in the socket's queue: beyond, order is kept here */
    HTTP2_QUEUED_HIGH = 4194304, /* written by handlers and unsent: all of them wait beyond */
    HTTP2_BLOCK_MAX = 256,       /* of a head that is encoded here, see http2_hpack.c */
    HTTP2_REST_MAX = 65536,      /* of a request whose answer waits for its end */
    HTTP2_RESETS_KEPT = 64,
    HTTP2_ACKS_MAX = 256,     /* PING and SETTINGS whose answers are unsent */
    HTTP2_RESET_BURST = 1000, /* streams that a client may reset at once ... */
    HTTP2_RESET_RATE = 100,   /* ... and a second */
    HTTP2_DRAIN_NS = 100000000,
    HTTP2_QUIET_NS = 1000000000, /* without a word, until what is known of heads is forgotten */
};

typedef struct http2_session http2_session;

/* A piece of what a handler wrote. */
typedef struct http2_chunk {
    struct http2_chunk *next;
    size_t size;
    size_t taken; /* bytes of it that are sent, or delivered */
    unsigned char data[];
} http2_chunk;

typedef struct http2_queue {
    http2_chunk *first;
    http2_chunk *last;
    size_t size; /* bytes not taken */
} http2_queue;

typedef struct http2_stream {
    exchange *x;
    http2_session *session;
    struct http2_stream *next; /* of the session's */
    struct http2_stream *previous;
    int32_t id;
    /* The head, while it is read. */
    http_field *fields; /* x->fields, to be written */
    uint32_t field_room;
    uint32_t cookies;
    uint32_t head_bytes;
    uint16_t refusal; /* 400, 431, 500; 0: none */
    http_text host;
    http_known_head *head; /* it was known; NULL: it was read */
    bool direct;           /* nghttp2 does not know of this stream ... */
    bool lost;             /* ... and did not take it, when it was told */
    /* The body, coming. */
    http2_queue held; /* while paused */
    uint32_t
        unconsumed; /* bytes in `held`, or with the handler, that the window does not have back */
    bool paused;
    bool delivering;
    bool ended;      /* the other side has ... */
    bool ended_told; /* ... and the handler knows */
    bool reset;      /* the other side gave up */
    /* The answer. */
    bool waits;    /* for the end of the request: it is in `kept` and `body` */
    bool waited;   /* for a second at least */
    uint32_t rest; /* bytes that came meanwhile */
    http_answer kept;
    bool queued;                /* the body comes from `queue`, not from `body` */
    bool finished;              /* nothing is added to `queue` */
    bool deferred;              /* nghttp2 waits for more */
    bool choked;                /* exchange_write said so: `writable` is due */
    bool no_body;               /* HEAD, 304: what is written is dropped */
    const unsigned char *block; /* fields of the head, encoded; NULL: nghttp2 has them */
    size_t block_size;
    uint32_t informs; /* heads that come before that one */
    http2_queue queue;
    http_body body;
    bool counted; /* its value is counted in the server's `held` */
    int64_t left; /* of content-length, or HTTP_LENGTH_UNKNOWN */
} http2_stream;

struct http2_session {
    conn *conn;
    worker *worker;
    nghttp2_session *ng;
    http2_stream *streams;
    http2_stream *reading; /* whose head is being read */
    http2_guard guard;
    http2_memory memory;
    http_known known;
    uint32_t learned; /* the stream whose head is to be kept once it is read; 0: none */
    const unsigned char *learned_block;
    size_t learned_size;
    const unsigned char *frame; /* of the request that is answered directly */
    size_t frame_size;
    http2_stream *adopted; /* nghttp2 is being told of it */
    uint32_t direct_high;  /* the highest that was answered without nghttp2 */
    uint32_t debt; /* bytes of the connection's window that nghttp2 does not know to be used */
    int broken;    /* an error of nghttp2's, met in a handler's call */
    bool owed;     /* some body waits until the debt is paid */
    bool settled;  /* nghttp2 encoded a head since the client's last SETTINGS */
    uint32_t stream_count;
    uint32_t resets[HTTP2_RESETS_KEPT]; /* streams that we ended early: late frames are ignored */
    uint32_t reset_count;
    uint32_t forgotten; /* the highest stream that is no longer there */

    unsigned char block[HTTP2_BLOCK_MAX]; /* what goes behind the HEADERS frame that is next ... */
    size_t block_size;                    /* ... which may be the end of its stream */
    size_t queued;                        /* bytes in the queues of all streams */
    uint64_t body_read;                   /* bytes of all bodies that came ... */
    uint64_t body_sent;                   /* ... and went */
    uint32_t requests;
    conn_window reads; /* of body_read */
    conn_window shut;  /* of body_sent, while the client's windows are shut */
    uint64_t head_ns;  /* monotonic: a head was seen unfinished */
    uint64_t quiet_ns; /* the last stream ended */
    uint64_t draining_ns;
    bool relieved; /* less is queued: somebody may write again */
    bool draining; /* the other side was told to go */
    bool drained;  /* ... and until which stream it is served */
    bool inside;
    bool doomed;
};

/* --- http2.c ------------------------------------------------------------------------------ */

/* Answer what is here, and nothing more. */
void http2_say_goodbye(http2_session *s);
/* There may be something to send: before the round ends. */
void http2_touch(http2_session *s);
/* Late frames of this stream are no error. */
void http2_remember_reset(http2_session *s, uint32_t id);

/* --- http2_direct.c ----------------------------------------------------------------------- */

/* A request begins at `frame`, as the guard told; returns how many bytes of it are done with, 0: it is nghttp2's. */
size_t http2_meet_head(http2_session *s, const unsigned char *frame, size_t size);
/* The client's window grows: what is owed is paid first. */
void http2_take_window(http2_session *s, unsigned char *frame);
/* Of `size` bytes of a body, as many as the connection's window has room for. */
size_t http2_within_window(http2_session *s, size_t size);
/* The head of that stream was read, and nothing is wrong with it. */
void http2_learned(http2_session *s, const http2_stream *stream);
/* Write it all; false: nothing was written, it is for nghttp2. */
bool http2_answer_directly(http2_stream *stream, const http_answer *answer);
/* nghttp2 has the stream from now on; false: it did not take it. */
bool http2_adopt(http2_stream *stream);
uint32_t http2_last_stream(const http2_session *s);
/* A GOAWAY of nghttp2's names the last stream that was answered, by whomever. */
void http2_patch_goaway(const http2_session *s, unsigned char *frame, size_t size);

/* --- http2_request.c: nghttp2's callbacks for what comes -------------------------------------- */

int http2_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx);
int http2_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                    void *ctx);
int http2_on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx);
int http2_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                  void *ctx);
int http2_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *ctx);
void http2_pause(exchange *x, bool paused);
/* A stream and its exchange, empty; NULL: no memory. */
http2_stream *http2_open_stream(http2_session *s, int32_t id);
/* nghttp2 has the stream, and its handler was told of the head. */
void http2_begun(http2_stream *stream);
/* The stream is over: tell the handler, forget it. */
void http2_end_stream(http2_stream *stream);

/* --- http2_answer.c ----------------------------------------------------------------------- */

int http2_on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t size,
                       nghttp2_data_source *source, void *ctx);
int http2_on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx);
/* The answer that waits for the end of the request waits no longer. */
void http2_release_answer(http2_stream *stream);
/* 100 (Continue). */
void http2_continue(http2_stream *stream);
int http2_on_before_send(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx);
/* A frame that nghttp2 made, into the worker's output. */
void http2_put_frame(http2_session *s, const unsigned char *frame, size_t size);
/* Give back what is unsent of its body. */
void http2_drop_answer(http2_stream *stream);
/* Tell those who may write again. */
void http2_tell_writables(http2_session *s);

/* The fields of a short head, with the carrier's, at `to`; their end, or NULL when it is not short. */
unsigned char *http2_put_fields(unsigned char *to, const unsigned char *end, const exchange *x,
                                const http_answer *answer);

/* --- http2_hpack.c ------------------------------------------------------------------------ */

enum { HTTP2_NAME_CONTENT_LENGTH = 28, HTTP2_NAME_DATE = 33 };

/* Encode a field at `to`; returns its end, or NULL when it is not for here or there is no room (or
 * `to` was NULL, so that only the last result needs a look). */
unsigned char *http2_put_field(unsigned char *to, const unsigned char *end,
                               const http_field *field);
/* Likewise, of the static table's name of that number. */
unsigned char *http2_put_known(unsigned char *to, const unsigned char *end, uint8_t index,
                               http_text value);

/* Is it well formed, and does it leave the table as it is? */
bool http2_block_is_neutral(const unsigned char *block, size_t size);

/* --- queues: http2_request.c -------------------------------------------------------------- */

/* Chunks: false is no memory. */
bool http2_queue_put(http2_session *s, http2_queue *queue, const void *data, size_t size);
void http2_queue_take(http2_session *s, http2_queue *queue, size_t size);
void http2_queue_drop(http2_session *s, http2_queue *queue);

#endif /* BRISK_SRC_DAEMON_HTTP_HTTP2_H */
