/*
 * http2_known.h -- heads of requests that a session has seen before, found by their bytes.
 *
 * What a header block says follows from its bytes and from the table that both sides keep (RFC 7541,
 * 2.3.2).  A block that neither adds to the table nor resizes it may come again, and says the same
 * as long as no other block did either: so it need not be decoded and checked a second time.
 *
 *     block ─► http2_known_find ─┬─► head: method, target, authority, fields
 *                                └─► NULL, and http2_known_wants: it came twice, keep it
 *     a block that changes the table, or that nobody looked at ─► http2_known_forget
 *
 * Nothing else is remembered: neither route nor right nor answer.
 *
 * Invariant: every head in the table was decoded and accepted by nghttp2 under the table as it is
 * now.  A head lives as long as a stream shows it, in the table or not.
 *
 * Threads: one at a time.
 * Source: RFC 7541 (2.3 tables, 5 primitives, 6 representations).
 */
#ifndef BRISK_SRC_DAEMON_HTTP_HTTP2_KNOWN_H
#define BRISK_SRC_DAEMON_HTTP_HTTP2_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>

#include "wire/http1.h" /* http_text, http_field */

enum {
    HTTP2_KNOWN_HEADS = 16,
    HTTP2_KNOWN_BLOCK_MAX = 1024, /* bytes of a block that is kept ... */
    HTTP2_KNOWN_HEAD_MAX = 4096,  /* ... and of all that is kept of its head */
    HTTP2_KNOWN_BYTES = 1048576,  /* of all heads of a worker's sessions */
};

typedef struct http2_head {
    http_text method;
    http_text target;
    http_text authority;
    const http_field *fields;
    uint32_t field_count;
    uint32_t users; /* streams, and the table */
    size_t block_size;
    const unsigned char *block;
    size_t size; /* of all of this */
    http_field room[];
} http2_head;

typedef struct http2_known {
    const brisk_alloc *alloc;
    size_t *kept; /* of all sessions of the worker */
    struct {
        uint64_t hash; /* of the head's block, or of one that came once */
        http2_head *head;
    } slots[HTTP2_KNOWN_HEADS];
} http2_known;

/* `kept` counts the bytes of all who share it. */
void http2_known_init(http2_known *known, const brisk_alloc *alloc, size_t *kept);
void http2_known_forget(http2_known *known);
uint64_t http2_known_hash(const unsigned char *block, size_t size);
/* The head of that block, or NULL. */
http2_head *http2_known_find(const http2_known *known, uint64_t hash, const unsigned char *block,
                             size_t size);
/* A block that is not known came: was it there lately, so that it is worth to be kept? */
bool http2_known_wants(http2_known *known, uint64_t hash);
/* Keep a copy of `head` for that block; without memory, or with too much of it, nothing is kept. */
void http2_known_keep(http2_known *known, const unsigned char *block, size_t size,
                      const http2_head *head);
/* A stream shows it, and no longer. */
void http2_head_use(http2_head *head);
void http2_head_release(http2_known *known, http2_head *head);

/* Is it well formed, and does it leave the table as it is? */
bool http2_block_is_neutral(const unsigned char *block, size_t size);

#endif /* BRISK_SRC_DAEMON_HTTP_HTTP2_KNOWN_H */
