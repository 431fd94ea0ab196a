/*
 * http1.h -- the syntax of HTTP/1.1: heads of requests and of answers, bodies in chunks.
 *
 * Bytes in, meaning out; no sockets, no memory of its own.  A head is read where it lies: what is returned points
 * into the caller's bytes, and names of fields are made lower case there.  A head that is not whole yet is given
 * again from its start when more has come; http1_head.resume keeps what was looked at already, so that it costs O(n)
 * however it is cut.
 *
 * Strict, because two readers that disagree on where a message ends are how requests are smuggled: lines end in CR LF;
 * no control characters, no blanks before a colon, no folded lines; one Host, that is one; one Content-Length of
 * digits, or one Transfer-Encoding "chunked", never both; sizes of chunks are plain hexadecimal; everything is bounded.
 *
 * Threads: one at a time per object.
 * Sources: RFC 9112 (HTTP/1.1), RFC 9110 (5.5, 5.6, 7.2, 10.1.1), RFC 3986 (3.2.2).
 */
#ifndef BRISK_SRC_WIRE_HTTP1_H
#define BRISK_SRC_WIRE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/http1_scan.h"

/* Borrowed bytes; not terminated. */
typedef struct http_text {
    const char *data;
    size_t size;
} http_text;

#define HTTP_TEXT_INIT(literal)                                                                    \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    } /* of static data */
#define HTTP_TEXT(literal) ((http_text)HTTP_TEXT_INIT(literal))

/* A header field.  Names that were read are lower case, whatever the other side wrote. */
typedef struct http_field {
    http_text name;
    http_text value; /* no blanks around it */
} http_field;

enum {
    HTTP1_OPTIONS_MAX = 64, /* names in Connection: each is compared with each field's */
    HTTP1_FIELDS_MAX = 100,
    HTTP1_HEAD_MAX = 65536, /* bytes of a head */
    HTTP1_LINE_MAX = 16384, /* bytes of a line of it */
    HTTP1_METHOD_MAX = 32,
    HTTP1_EXTENSION_MAX = 256,    /* bytes of one chunk's extension ... */
    HTTP1_EXTENSIONS_MAX = 16384, /* ... and of all those of a body */
    HTTP1_TRAILERS_MAX = 8192,    /* bytes of the fields behind a body */
    HTTP1_CHUNK_DIGITS_MAX = 15,
    HTTP1_UNKNOWN = -1,
};

typedef enum http1_status {
    HTTP1_MORE, /* not whole yet */
    HTTP1_DONE,
    HTTP1_BAD, /* `error` says why; the connection is of no use any more */
} http1_status;

/* Zeroed: the greatest that the enum above says. */
typedef struct http1_limits {
    uint32_t fields_max;
    uint32_t head_max;
    uint32_t line_max;
} http1_limits;

typedef struct http1_head {
    /* The caller's, before the first read of a message; see http1_head_start. */
    bool answer;        /* a head of an answer, not of a request */
    http_field *fields; /* limits.fields_max of them */
    http1_limits limits;
    http1_path path; /* HTTP1_BEST, but in tests */

    /* With DONE. */
    size_t used; /* bytes of the head, with the empty line at its end */
    uint32_t field_count;
    http_text method;       /* request */
    http_text target;       /* request: origin form or "*"; of CONNECT, the authority */
    http_text authority;    /* request: Host, "" when there is none (HTTP/1.0) */
    http_text reason;       /* answer */
    uint16_t code;          /* answer: 100 .. 999 */
    uint8_t minor;          /* HTTP/1.minor: 0 or 1 */
    bool absolute;          /* the target was in absolute form ... */
    bool secure;            /* ... of https */
    bool chunked;           /* the body comes in chunks */
    int64_t content_length; /* HTTP1_UNKNOWN: none was said */
    bool close;             /* Connection: close, keep-alive, upgrade ... */
    bool keep_alive;
    bool upgrade;
    bool other_hop;  /* ... or names of fields */
    uint8_t options; /* names in Connection */
    bool expects;    /* Expect: 100-continue */

    /* With BAD. */
    uint16_t refusal; /* what a server answers: 400, 414, 417, 431, 501, 505 */
    const char *error;

    /* Private. */
    http_text host; /* the field */
    bool has_host;
    size_t resume; /* bytes in which the end of the head is not */
    size_t line;   /* where the last line of them begins */
} http1_head;

/* Begin with another message; `answer`, `fields`, `limits` and `path` stay. */
void http1_head_start(http1_head *head);
/* Read the head that begins at `data`.  Once BAD, always BAD. */
http1_status http1_head_read(http1_head *head, unsigned char *data, size_t size);

/* A body in chunks; zeroed: at its start. */
typedef struct http1_chunked {
    uint64_t left;       /* of this chunk's data */
    uint32_t extensions; /* bytes of them so far */
    uint32_t trailers;   /* bytes of trailers so far */
    uint16_t extension;  /* bytes of this one */
    uint8_t digits;      /* of this chunk's size */
    uint8_t state;
    const char *error; /* with BAD */
} http1_chunked;

/*
 * Read on in `data`.  *used becomes the bytes that are done with; *piece is data of the body among them, of which
 * there may be more: call again with the rest until *used is `size`, or DONE (what follows is not the body's).
 */
http1_status http1_chunked_read(http1_chunked *chunked, const unsigned char *data, size_t size,
                                size_t *used, http_text *piece);

/* `text` as a token of RFC 9110 (the name of a field or of a method). */
bool http1_is_token(http_text text);
/* May it be a value: no control characters but the tabulator. */
bool http1_is_value(http_text text);
/* The same, upper and lower case of ASCII letters being one; `lower` is lower case. */
bool http1_equal_nocase(http_text text, http_text lower);
/* The next of a list's items, divided by commas, without blanks; false: there is none. */
bool http1_next_item(http_text *list, http_text *item);

#endif /* BRISK_SRC_WIRE_HTTP1_H */
