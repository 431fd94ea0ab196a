/*
 * http.h -- the answers of an HTTP/1.1 server as a stream: where each one ends, and its status.
 *
 * A load client needs nothing else of an answer, so nothing is kept: bytes go in as they come, in pieces of any
 * size, and memory is the same for every answer.
 *
 * Everything read is hostile: lines and their number are bounded, numbers parsed strictly; an answer whose
 * length could be read in two ways (two lengths, a length and chunks) is refused, for the next answer on the
 * connection would begin at the wrong place.
 *
 * Threads: one at a time per object.
 * Sources: RFC 9110, RFC 9112 (6.3: how long a body is).
 */
#ifndef BRISK_SRC_OBSERVE_LOAD_HTTP_H
#define BRISK_SRC_OBSERVE_LOAD_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOAD_HTTP_LINE_MAX = 8192,
    LOAD_HTTP_LINES_MAX = 256, /* of a head, of chunks' trailers */
};

/* More in one answer is refused. */
#define LOAD_HTTP_BODY_MAX (UINT64_C(1) << 40)

typedef enum load_http_status {
    LOAD_HTTP_MORE, /* not whole yet */
    LOAD_HTTP_DONE,
    LOAD_HTTP_BAD, /* `error` says why; the connection is of no use any more */
} load_http_status;

typedef struct load_http {
    uint32_t status;    /* of the answer that is done: 200 ... 599 */
    bool closes;        /* the connection ends with this answer */
    uint64_t body;      /* bytes of its body so far */
    const char *error;  /* with BAD */
    bool head_request_; /* the answers to HEAD have no body */
    uint8_t state_;
    bool has_length_;
    bool chunked_;
    bool version_1_0_;
    bool keep_alive_;
    uint32_t lines_;
    uint64_t left_;
    size_t line_size_;
    char line_[LOAD_HTTP_LINE_MAX];
} load_http;

/* `head_request`: the requests are HEAD. */
void load_http_init(load_http *http, bool head_request);
/*
 * Read on.  *used bytes of `data` belong to this answer; after DONE the next read begins the next answer.
 * With `size` 0 and MORE nothing happens.
 */
load_http_status load_http_read(load_http *http, const char *data, size_t size, size_t *used);
/* The connection was closed: DONE when the answer is one that ends so, otherwise BAD. */
load_http_status load_http_end(load_http *http);

#endif /* BRISK_SRC_OBSERVE_LOAD_HTTP_H */
