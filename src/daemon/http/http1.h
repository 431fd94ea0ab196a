/*
 * http1.h -- a connection that speaks HTTP/1.1, between http1.c (requests) and http1_answer.c (answers).
 */
#ifndef BRISK_SRC_DAEMON_HTTP_HTTP1_H
#define BRISK_SRC_DAEMON_HTTP_HTTP1_H

#include "daemon/conn.h"
#include "daemon/http/carrier.h"
#include "wire/http1.h"

typedef struct h1 {
    conn *conn;
    exchange *x;           /* NULL between two */
    http_known_head *head; /* what it shows, when that was known */
    size_t resume;         /* of a head that is not whole; see http1_head */
    size_t line;
    uint64_t body_left; /* of the request, with a length */
    http1_chunked chunks;
    int64_t answer_left; /* of a stream with a length; HTTP_LENGTH_UNKNOWN */
    uint64_t since_ns;   /* when the last exchange was over */
    conn_window reading; /* of the request's body */
    uint32_t requests;   /* so far */
    bool chunked;        /* the request's body */
    bool client_keeps;   /* as far as the client is concerned */
    bool keep;           /* the connection goes on after this answer; known with its head */
    bool expects;        /* 100 Continue is still to be sent */
    bool paused;         /* the handler does not take bytes */
    bool chunks_out;     /* the answer comes in chunks */
    bool to_the_end;     /* the answer ends with the connection */
    bool full;           /* the handler waits for `writable` */
    bool aborted;
    bool tunnel;     /* taken over */
    bool events;     /* a stream of events, which never ends by itself */
    bool refused;    /* the connection ends with what was written */
    bool sends_file; /* `file` is not all sent */
} h1;

extern const http_carrier h1_carrier;

/* Bytes to the client, in order. */
void h1_put(h1 *h, const void *data, size_t size);
/* An answer without an exchange, to what is no request. */
void h1_refuse(h1 *h, uint16_t status, const char *words);
/* Bytes that the client did not take yet. */
size_t h1_unsent(const h1 *h);

#endif /* BRISK_SRC_DAEMON_HTTP_HTTP1_H */
