/*
 * registry.h -- the parts of bench_registry, a package registry on loopback.
 *
 * Documents come from a folder or from the snapshot's archive, ready to be sent before the first
 * request.  One thread, one port: the first byte tells TLS (HTTP/2 or 1.1 by ALPN) from plain, the
 * first line HTTP/2 with prior knowledge from HTTP/1.1.
 *
 *     registry_docs.c     documents, their forms, gzip, ETags
 *     registry_answer.c   which request gets which reply
 *     registry_try.c      paths below /-/try/ where it behaves badly, for tests of clients
 *     registry_conn.c     sockets, TLS, delays
 *     registry_h1.c       HTTP/1.1
 *     registry_h2.c       HTTP/2, upon nghttp2
 *
 * Sources: T. Tsujikawa, nghttp2, https://nghttp2.org; OpenSSL (libraries).
 */
#ifndef BRISK_BENCH_PKG_REGISTRY_H
#define BRISK_BENCH_PKG_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

enum {
    REG_PATH_MAX = 4096,
    REG_HEAD_MAX = 65536,
    REG_HEADERS_MAX = 16,
    REG_OUT_WANTED = 262144, /* bytes that wait for a socket before more are made */
};

typedef struct reg_bytes {
    const unsigned char *data;
    size_t size;
} reg_bytes;

/* --- documents ------------------------------------------------------------------------------ */

typedef struct reg_form {
    reg_bytes plain;
    reg_bytes gzip; /* of the full form: with the first request */
    char etag[24];
} reg_form;

typedef struct reg_doc {
    char *name;
    reg_form full;
    reg_form abbreviated;
} reg_doc;

typedef struct reg_docs {
    reg_doc *items; /* by name */
    size_t count;
    int level; /* of gzip */
} reg_docs;

typedef struct reg_docs_opts {
    const char *path;         /* a folder of NAME.json, or an archive .tar.zst of such */
    const char *tarball_base; /* instead of https://registry.test/; NULL: as they are */
    bool signatures;          /* add what real registries add to each version, made up */
    int level;
} reg_docs_opts;

bool reg_docs_load(reg_docs *docs, const reg_docs_opts *opts);
reg_doc *reg_docs_find(const reg_docs *docs, const char *name);
/* The form as gzip, made now if it is not there. */
reg_bytes reg_form_gzip(reg_form *form, int level);
void *reg_alloc(size_t size); /* or the end of the program */

/* --- requests and replies ------------------------------------------------------------------- */

typedef struct reg_request {
    char method[16];
    char path[REG_PATH_MAX]; /* with the query, as sent */
    char accept[512];
    char accept_encoding[256];
    char if_none_match[128];
    char if_modified_since[64];
    char authorization[512];
    char *lines; /* all headers, "name: value\n" each, for /-/try/echo */
    size_t lines_size;
    size_t body_size;
    bool h2;
} reg_request;

typedef enum reg_way {
    REG_GOOD = 0,
    REG_STALL,      /* nothing at all */
    REG_STALL_BODY, /* half of the body, then nothing */
    REG_CUT,        /* half of the body, then the end of stream or connection */
    REG_ENDLESS,    /* a body without end */
    REG_HEADERS,    /* headers without end */
    REG_GARBAGE,    /* what is not HTTP */
    REG_GOAWAY,     /* answered, and GOAWAY or Connection: close */
    REG_REFUSE,     /* RST_STREAM, or the connection closed, instead of an answer */
    REG_INTERIM,    /* 103 first, then a good one */
} reg_way;

typedef struct reg_header {
    const char *name; /* lower case */
    char value[REG_PATH_MAX / 8];
} reg_header;

typedef struct reg_reply {
    int status;
    reg_way way;
    reg_bytes body;
    unsigned char *owned; /* the body, when it was made for this */
    bool no_length;       /* HTTP/1.1: chunked */
    size_t claimed;       /* as content-length; SIZE_MAX: the truth */
    uint64_t delay_ns;
    size_t header_count;
    reg_header headers[REG_HEADERS_MAX];
} reg_reply;

void reg_reply_header(reg_reply *reply, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reg_reply_free(reg_reply *reply);

typedef struct reg_stats {
    uint64_t requests;
    uint64_t full;
    uint64_t abbreviated;
    uint64_t not_modified;
    uint64_t not_found;
    uint64_t failed; /* on purpose */
    uint64_t authorized;
    uint64_t connections;
    uint64_t connections_h2;
    uint64_t streams_peak;
    uint64_t streams;
    uint64_t bytes_out;
} reg_stats;

typedef struct reg_server reg_server;

struct reg_server {
    reg_docs docs;
    reg_stats stats;
    SSL_CTX *tls;
    int epoll;
    int listener;
    int timer;
    uint16_t port;
    uint64_t delay_ns;
    double fail_rate;
    uint32_t max_age_s;
    uint64_t random;
    bool http1; /* no HTTP/2 */
    uint32_t streams_max;
    struct reg_wait *waiting_first; /* delayed replies, soonest first */
    struct reg_wait *waiting_last;
};

/* Fill in `reply`, which is zeroed. */
void reg_answer(reg_server *server, const reg_request *request, reg_reply *reply);
bool reg_try(reg_server *server, const reg_request *request, reg_reply *reply);
uint64_t reg_random(reg_server *server);

/* --- connections ---------------------------------------------------------------------------- */

typedef enum reg_mode { REG_SNIFF, REG_HANDSHAKE, REG_H1, REG_H2 } reg_mode;

/* A reply whose time has not come. */
typedef struct reg_wait {
    struct reg_wait *next;
    struct reg_wait *prev;
    uint64_t due_ns;
    void (*ready)(void *ctx);
    void *ctx;
    bool queued;
} reg_wait;

typedef struct reg_buffer {
    unsigned char *data;
    size_t size;
    size_t capacity;
    size_t taken;
} reg_buffer;

typedef struct reg_conn {
    reg_server *server;
    int fd;
    SSL *tls;
    reg_mode mode;
    reg_buffer in;
    reg_buffer out;
    bool want_write; /* told to epoll */
    bool ending;     /* when `out` is empty */
    bool dead;
    struct reg_h1 *h1;
    struct reg_h2 *h2;
    struct reg_conn *next_dead;
} reg_conn;

void reg_buffer_add(reg_buffer *buffer, const void *data, size_t size);
void reg_buffer_take(reg_buffer *buffer, size_t size);
void reg_conn_flush(reg_conn *conn); /* write what can be written, ask for the rest */
void reg_conn_kill(reg_conn *conn);  /* freed after this round */
void reg_wait_start(reg_server *server, reg_wait *wait, uint64_t delay_ns);
void reg_wait_stop(reg_server *server, reg_wait *wait);
uint64_t reg_now_ns(void);

bool reg_h1_open(reg_conn *conn);
void reg_h1_read(reg_conn *conn); /* conn->in has grown */
void reg_h1_more(reg_conn *conn); /* conn->out has room */
void reg_h1_close(reg_conn *conn);
bool reg_h2_open(reg_conn *conn);
void reg_h2_read(reg_conn *conn);
void reg_h2_more(reg_conn *conn);
void reg_h2_close(reg_conn *conn);

bool reg_server_open(reg_server *server, const char *ca_file, uint16_t port);
int reg_server_run(reg_server *server, bool until_stdin_closes);

#endif /* BRISK_BENCH_PKG_REGISTRY_H */
