/*
 * conn.h -- a connection: a socket, the bytes that are not done with, the bytes that are not sent.
 *
 * A connection knows no protocol.  It hands the bytes it has to its protocol, which is one file and
 * one table of functions, and sends what that wrote.  Memory is held only for what is unfinished:
 * bytes are read into a buffer that all connections of a worker share and answers are written into
 * another, so that ten thousand idle connections cost their structs and nothing else.
 *
 *     socket ─► worker.in ─► protocol.take ─► worker.out ─► socket
 *                  │ unfinished request            │ not taken by the kernel
 *                  └──────► conn.in                └──────► conn.pending
 *
 * With a certificate, a connection whose first byte is that of a TLS handshake is one of TLS; all
 * others are plain, at the same address.
 *
 * Backpressure: while more than `output_high` is unsent, or the protocol said WAIT, the connection
 * is neither read nor worked on; its peer's data waits in the kernel.
 *
 * Threads: the worker's, all of it.
 */
#ifndef BRISK_SRC_DAEMON_CONN_H
#define BRISK_SRC_DAEMON_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/http/auth.h"
#include "daemon/http/bandwidth.h"
#include "daemon/loop.h"
#include "daemon/parts.h"
#include "wire/resp.h"
#include "wire/tls.h"

enum {
    CONN_ROOM = 262144,        /* with less unsent there is room again */
    CONN_LINGER_MAX = 1048576, /* bytes that are read only to be thrown away */
    CONN_LINGER_MS = 2000,
    CONN_ADDRESS_TEXT = 46, /* of the longest, with NUL */
};

typedef struct conn conn;
typedef struct worker worker;

/* How much has to move in how long, and what time it is. */
typedef struct conn_pace {
    uint64_t now_ns;
    uint64_t span_ns; /* 0: nobody looks */
    uint32_t bytes_per_second;
} conn_pace;

/* Bytes since a moment. */
typedef struct conn_window {
    uint64_t since_ns; /* 0: nothing is waited for */
    uint64_t bytes;
} conn_window;

typedef enum protocol_next {
    PROTOCOL_MORE,      /* everything whole was worked on: more bytes are needed */
    PROTOCOL_WAIT,      /* not now: conn_resume when it may go on */
    PROTOCOL_WAIT_LONG, /* likewise, perhaps for long: a peer that goes meanwhile is noticed */
    PROTOCOL_AGAIN,     /* there is more to do: after the other connections */
    PROTOCOL_CLOSE,     /* send what was written, then close */
    PROTOCOL_LINGER, /* likewise, but what still comes is read first, so that it is not lost to a reset */
} protocol_next;

typedef struct protocol {
    const char *name;
    /* A new connection; sets conn->session.  False: refused, what was written is sent. */
    bool (*open)(conn *c);
    /* Work on `data`; *used becomes the bytes that are done with.  Answers go to worker->out. */
    protocol_next (*take)(conn *c, unsigned char *data, size_t size, size_t *used);
    /* May it be closed for being idle? */
    bool (*is_idle)(const conn *c);
    /* The peer will send nothing more, but may still read: does the connection stay?  NULL: no. */
    bool (*may_end)(conn *c);
    /* About once a second; it may end this connection, and no other.  NULL: nothing to do. */
    void (*tick)(conn *c, uint64_t now_ns);
    /* The connection is going away. */
    void (*close)(conn *c);
    /* The server ends; asked ten times a second: say so to the peer (once), end what never ends by
     * itself, and is nothing under way, so that it may be closed?  NULL: is_idle says that. */
    bool (*drain)(conn *c);
} protocol;

struct conn {
    loop_source source; /* first */
    worker *worker;
    const protocol *protocol;
    void *session; /* the protocol's */
    conn *next;
    conn *previous;
    wire_tls *tls; /* NULL: plain; chosen by the first byte */
    bool begun;    /* something was received */
    unsigned char *in;
    size_t in_size;
    size_t in_capacity;
    resp_writer pending; /* bytes from `sent` on are to be sent */
    conn_parts parts;    /* between them */
    size_t sent;
    uint64_t active_ns;         /* monotonic; when something was read last */
    uint64_t phase_ns;          /* its protocol's: when what it waits for began */
    uint64_t sent_total;        /* bytes that the kernel took */
    conn_window writing;        /* of what the peer took; see conn_is_stalled */
    struct dict_entry *address; /* counts those of the same; NULL: not counted */
    int fd;
    uint32_t events;   /* what epoll is asked for */
    uint8_t peer;      /* see conn_peer; 0: nobody wanted to know */
    bool waiting;      /* for conn_resume ... */
    bool for_long;     /* ... and it is over when the peer goes */
    bool choked;       /* until enough is sent */
    bool pushed;       /* something from elsewhere is behind what is pending */
    bool closing;      /* when all is sent */
    bool ended;        /* the peer sends nothing more */
    bool tell_room;    /* its protocol is to work again when little is unsent (CONN_ROOM) */
    bool lingers;      /* all is sent and said: what comes is thrown away */
    uint32_t lingered; /* bytes of that */
    bool dead;         /* closed; freed after this round */
    bool killed;       /* while mail is delivered: it is to be closed ... */
    bool ended_wait;   /* ... or to go on */
    conn *next_mail;
    conn *next_again;
    bool again;   /* on the worker's list */
    bool working; /* its protocol is at work: worker->out is its own */
    bool has_address_text;
    char address_text
        [CONN_ADDRESS_TEXT]; /* of who is there, for whom the proxy asks; see transit.c */
    bandwidth band;
};

/* Take over `fd`.  Closes it when there is no memory or the protocol refuses. */
void conn_open(worker *w, const protocol *p, int fd);
/* Send what is in worker->out, behind what is pending; false: too much is unsent, or the connection
 * is gone, and the protocol should return WAIT. */
bool conn_send(conn *c);
/* Bytes in order behind what is pending; sent by conn_flush. */
void conn_append(conn *c, const void *data, size_t size);
/* Room for `size` bytes behind what was written so far, of which conn_filled says how many were; NULL: no memory, and
 * the connection will be closed. */
unsigned char *conn_room(conn *c, size_t size);
void conn_filled(conn *c, size_t size);
/* A part behind what was written so far, whose value or file is the connection's from then on.  False: no memory. */
bool conn_put_part(conn *c, const conn_part *what);
/* Likewise from elsewhere (a message): who does not read it must not use up everybody's memory. */
void conn_push(conn *c, const void *data, size_t size);
void conn_flush(conn *c);
/* The reason to WAIT is gone. */
void conn_resume(conn *c);
/* Flush and work on it after this round: something was done for it from elsewhere. */
void conn_soon(conn *c);
/* Close: when everything is sent, or at once. */
void conn_finish(conn *c);
void conn_kill(conn *c);
/* Those who have more to do; after each round. */
void conn_go_on(worker *w);
/* Who has unsent answers waits when all together have more than serve.output_total, but each answer that others ask for
 * adds to it: with twice as much the slowest readers are closed.  After each round. */
void conn_relieve(worker *w);
/* Free what died; after each round. */
void conn_bury(worker *w);
/* Close those that were idle for `idle_ns`. */
void conn_close_idle(worker *w, uint64_t now_ns, uint64_t idle_ns);
/* Let their protocols see that time passes. */
void conn_tick(worker *w, uint64_t now_ns);
/* Its end shall be a reset: what is unsent is dropped by the kernel, too, and nobody takes it for whole. */
void conn_reset_at_end(conn *c);
/* Has less than that moved since `bytes` was looked at, all the time being `waiting`? */
bool conn_window_stalled(conn_window *window, bool waiting, uint64_t bytes, const conn_pace *pace);
/* Likewise of what was sent: does the peer not take it? */
bool conn_is_stalled(conn *c, const conn_pace *pace);
/* Close those that lingered long enough. */
void conn_close_lingering(worker *w, uint64_t now_ns);
/* Where its peer is. */
http_peer conn_peer(conn *c);
/* Bytes to be sent, with those of parts. */
size_t conn_unsent(const conn *c);

#endif /* BRISK_SRC_DAEMON_CONN_H */
