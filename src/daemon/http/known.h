/*
 * known.h -- heads of requests that were seen before, found by their bytes.
 *
 * What a head says follows from its bytes: those that come again need not be read and checked again.
 *
 *     HTTP/1.1   a worker's heads; the bytes alone say all
 *     HTTP/2     a session's header blocks: their bytes, and the table that both sides keep (RFC 7541,
 *                2.3.2).  Blocks that leave it as it is are kept, as long as no other block changes
 *                it (http_known_forget)
 *
 *     bytes ─► http_known_find ─┬─► head: method, target, authority, fields
 *                               └─► NULL, and http_known_wants: they came twice, keep them
 *
 * Nothing else is remembered: neither who asked, nor route, right or answer.
 *
 * Invariant: every head in the table was read and accepted the long way, from these bytes.  A head
 * lives as long as an exchange shows it, in the table or not.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_HTTP_KNOWN_H
#define BRISK_SRC_DAEMON_HTTP_HTTP_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>

#include "wire/http1.h" /* http_text, http_field */

enum {
    HTTP_KNOWN_HEADS = 16,
    HTTP_KNOWN_BLOCK_MAX = 1024, /* bytes of a block that is kept ... */
    HTTP_KNOWN_HEAD_MAX = 4096,  /* ... and of all that is kept of its head */
    HTTP_KNOWN_BYTES = 1048576,  /* of all heads of a worker */
};

typedef struct http_known_head {
    http_text method;
    http_text target;
    http_text authority;
    const http_field *fields;
    uint32_t field_count;
    uint32_t users; /* exchanges, and the table */
    size_t block_size;
    const unsigned char *block;
    size_t size; /* of all of this */
    http_field room[];
} http_known_head;

typedef struct http_known {
    const brisk_alloc *alloc;
    size_t *kept; /* of all who share it: a worker's */
    struct {
        uint64_t hash; /* of the head's block, or of one that came once */
        http_known_head *head;
    } slots[HTTP_KNOWN_HEADS];
} http_known;

/* `kept` counts the bytes of all who share it. */
void http_known_init(http_known *known, const brisk_alloc *alloc, size_t *kept);
void http_known_forget(http_known *known);
uint64_t http_known_hash(const unsigned char *block, size_t size);
/* The head with that hash whose bytes `data` begins with, or NULL. */
http_known_head *http_known_find(const http_known *known, uint64_t hash, const unsigned char *data,
                                 size_t size);
/* A block that is not known came: was it there lately, so that it is worth to be kept? */
bool http_known_wants(http_known *known, uint64_t hash);
/* Keep a copy of `head` for those bytes; without memory, or with too much of it, nothing is kept. */
void http_known_keep(http_known *known, uint64_t hash, const unsigned char *block, size_t size,
                     const http_known_head *head);
/* An exchange shows it, and no longer. */
void http_known_use(http_known_head *head);
void http_known_release(http_known *known, http_known_head *head);

#endif /* BRISK_SRC_DAEMON_HTTP_HTTP_KNOWN_H */
