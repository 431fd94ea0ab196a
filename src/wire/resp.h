/*
 * resp.h -- the Redis serialization protocol, versions 2 and 3: requests, replies, writing.
 *
 * Bytes in, meaning out, and back; no sockets here.  Both readers are incremental: they are given
 * everything from the start of the message that is not finished yet, say how much of it they
 * used, and go on where they stopped when more is there.  What they return points into those bytes.
 *
 *     resp_requests  what a server reads: arrays of bulk strings, inline commands
 *     resp_replies   what a client reads: every type of RESP2 and RESP3
 *     resp_writer    what both write
 *
 * Everything read is hostile: numbers are parsed strictly, counts and sizes are bounded before
 * memory is taken for them, and no count is believed before its items have arrived.
 *
 * Threads: one at a time per object.
 * Sources: Redis protocol specification, https://redis.io/docs/reference/protocol-spec; RESP3,
 * https://github.com/redis/redis-specifications.
 */
#ifndef BRISK_SRC_WIRE_RESP_H
#define BRISK_SRC_WIRE_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

#include "base/vec.h"

enum {
    RESP_DEPTH_MAX = 16,         /* nesting of replies */
    RESP_LINE_MAX = 65536,       /* inline commands, simple strings, errors */
    RESP_NUMBER_MAX = 32,        /* digits of a count, with room for nonsense */
    RESP_ARGS_MAX = 1024 * 1024, /* of one request */
    RESP_BULK_MAX = 512 * 1024 * 1024,
    RESP_NODES_MAX = 4 * 1024 * 1024, /* of one reply */
    RESP_I64_TEXT = 21,               /* "-9223372036854775808" and a NUL */
};

/* Borrowed bytes. */
typedef struct resp_bytes {
    const unsigned char *data;
    size_t size;
} resp_bytes;

static inline bool resp_bytes_equal(resp_bytes bytes, const char *text)
{
    size_t size = strlen(text);
    return bytes.size == size && memcmp(bytes.data, text, size) == 0;
}

/* The same, upper and lower case of ASCII letters being one. */
bool resp_bytes_equal_nocase(resp_bytes bytes, const char *text);

/*
 * All of `data` as a decimal number as Redis writes it: no blanks, no plus, no leading zero.
 * False, and *ret untouched, when it is not one.
 */
bool resp_parse_i64(const unsigned char *data, size_t size, int64_t *ret);
/* Digits of `value`, no NUL; returns how many. */
size_t resp_format_i64(char text[RESP_I64_TEXT], int64_t value);

typedef enum resp_status {
    RESP_MORE, /* not whole yet */
    RESP_DONE,
    RESP_BAD, /* `error` says why; the connection is of no use any more */
} resp_status;

/* --- requests ----------------------------------------------------------------------------- */

/* Zeroed: the greatest that the protocol knows. */
typedef struct resp_request_limits {
    uint32_t args_max;
    uint64_t bulk_max;
} resp_request_limits;

/*
 * Reads requests.  Arguments of every request since resp_requests_clear stay in `args`, so that a
 * batch is read first and worked on afterwards: the last one's are args.items[first] and the
 * `count` behind it.  Adding arguments moves `args.items`, so keep numbers, not pointers into it.
 */
typedef struct resp_requests {
    BRISK_VEC(resp_bytes) args;
    size_t first;
    size_t count;
    size_t used;       /* bytes of the request that is done */
    const char *error; /* with RESP_BAD, without the "ERR Protocol error: " */
    resp_request_limits limits;
    /* Where we are in the request that is not finished. */
    const unsigned char *base_;
    size_t at_;
    size_t scanned_;
    int64_t args_left_;
    int64_t bulk_left_; /* -1: its head is not read yet */
    bool busy_;
    char error_text_[40];
} resp_requests;

void resp_requests_init(resp_requests *requests, const resp_request_limits *limits,
                        const brisk_alloc *alloc);
void resp_requests_deinit(resp_requests *requests);
/*
 * Read one request from `data`, which begins with it and may have moved since the last call, but
 * not changed.  DONE with count 0 is an empty request (an empty line, "*0"): nothing to do.
 * Inline arguments in quotes are unescaped in place.  RESP_BAD also when memory is exhausted.
 */
resp_status resp_requests_read(resp_requests *requests, unsigned char *data, size_t size);
/* Forget the arguments of all requests that are done; memory beyond the usual is given back. */
void resp_requests_clear(resp_requests *requests);
/* Forget also the request in progress: the next read begins at its start, or anywhere else. */
void resp_requests_restart(resp_requests *requests);
/* Bytes that the request in progress is known to need in all; 0 when it is not known. */
size_t resp_requests_wanted(const resp_requests *requests);

/* --- replies ------------------------------------------------------------------------------ */

typedef enum resp_type {
    RESP_STRING = '+',
    RESP_ERROR = '-', /* of bulk errors ('!'), too */
    RESP_INTEGER = ':',
    RESP_BULK = '$', /* of verbatim strings, too, without their "txt:" */
    RESP_ARRAY = '*',
    RESP_NULL = '_', /* RESP2's null bulk and null array, too */
    RESP_BOOLEAN = '#',
    RESP_DOUBLE = ',',
    RESP_BIG_NUMBER = '(',
    RESP_MAP = '%',
    RESP_SET = '~',
    RESP_ATTRIBUTE = '|', /* stands before the value that it describes */
    RESP_PUSH = '>',
} resp_type;

/* A value.  Aggregates are followed by their items, in order, each with its own behind it. */
typedef struct resp_node {
    resp_type type;
    uint32_t count;   /* items of an aggregate; a map has two for each pair */
    uint32_t nodes;   /* this one and everything inside */
    int64_t integer;  /* INTEGER, BOOLEAN */
    double number;    /* DOUBLE */
    resp_bytes bytes; /* STRING, ERROR, BULK, BIG_NUMBER; the digits of INTEGER and DOUBLE */
} resp_node;

/* Zeroed: what the enums above say. */
typedef struct resp_reply_limits {
    uint64_t bulk_max;
    uint32_t nodes_max;
} resp_reply_limits;

typedef struct resp_replies {
    BRISK_VEC(resp_node) nodes; /* with RESP_DONE: attributes first, if any, then the value */
    size_t value;               /* where in `nodes` the value is */
    size_t used;                /* bytes of the reply that is done */
    const char *error;          /* with RESP_BAD */
    resp_reply_limits limits;
    const unsigned char *base_;
    size_t at_;
    size_t scanned_;
    uint32_t depth_;
    struct {
        uint32_t node;
        uint32_t left;
    } stack_[RESP_DEPTH_MAX];
    bool busy_;
} resp_replies;

void resp_replies_init(resp_replies *replies, const resp_reply_limits *limits,
                       const brisk_alloc *alloc);
void resp_replies_deinit(resp_replies *replies);
/* Read one reply (or push) from `data`, as resp_requests_read does. */
resp_status resp_replies_read(resp_replies *replies, const unsigned char *data, size_t size);
/* The value of the reply that is done. */
static inline const resp_node *resp_replies_value(const resp_replies *replies)
{
    return &replies->nodes.items[replies->value];
}

/* --- writing ------------------------------------------------------------------------------ */

/*
 * A buffer that grows.  The first failure (memory, or more than `limit` bytes) is kept and
 * nothing is written after it: write first, ask `err` once.
 */
typedef struct resp_writer {
    unsigned char *data;
    size_t size;
    size_t capacity;
    size_t limit;
    const brisk_alloc *alloc;
    brisk_err err;
    uint8_t protocol; /* 2 or 3 */
} resp_writer;

/* Empty; takes no memory yet.  `limit` 0: none.  `alloc` is borrowed, NULL means libc. */
void resp_writer_init(resp_writer *writer, const brisk_alloc *alloc, size_t limit);
void resp_writer_deinit(resp_writer *writer);
/* Empty again, and without error; a block beyond `keep` bytes is given back. */
void resp_writer_reset(resp_writer *writer, size_t keep);
/* Room for `size` more bytes at the end, which the caller fills and counts; NULL: failed. */
unsigned char *resp_writer_room(resp_writer *writer, size_t size);

void resp_put_raw(resp_writer *writer, const void *data, size_t size);
void resp_put_status(resp_writer *writer, const char *text);
/* `text` begins with the code: "ERR no such key".  Control characters become blanks. */
void resp_put_error(resp_writer *writer, const char *text);
void resp_put_integer(resp_writer *writer, int64_t value);
void resp_put_bulk(resp_writer *writer, const void *data, size_t size);
void resp_put_text(resp_writer *writer, const char *text);
/* A bulk string of `size` bytes that the caller fills in at once; NULL: failed. */
unsigned char *resp_put_bulk_room(resp_writer *writer, size_t size);
void resp_put_integer_bulk(resp_writer *writer, int64_t value);
void resp_put_null(resp_writer *writer);
void resp_put_null_array(resp_writer *writer);
void resp_put_bool(resp_writer *writer, bool value);
void resp_put_double(resp_writer *writer, double value);
/* Plain text of any length ("txt"). */
void resp_put_verbatim(resp_writer *writer, const void *data, size_t size);
void resp_put_array(resp_writer *writer, size_t count);
/* `pairs` pairs follow; in RESP2 an array of twice as many. */
void resp_put_map(resp_writer *writer, size_t pairs);
void resp_put_set(resp_writer *writer, size_t count);
void resp_put_push(resp_writer *writer, size_t count);
/* An aggregate whose count is known only afterwards: `mark` is writer->size before its items. */
void resp_put_count_before(resp_writer *writer, size_t mark, resp_type type, size_t count);

/* Bytes at `mark` instead of behind everything. */
void resp_put_before(resp_writer *writer, size_t mark, const void *data, size_t size);

#endif /* BRISK_SRC_WIRE_RESP_H */
