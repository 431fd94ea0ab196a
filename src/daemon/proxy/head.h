/*
 * head.h -- heads on their way through: what is of one hop only, what is added, what a 304 changes.
 *
 * A head being made is a block of lines "name: value\r\n" with the table of its fields pointing
 * into it, so that HTTP/1 sends the block and HTTP/2 reads the table.
 *
 * Threads: one at a time.
 * Source:  RFC 9110 7.6 (Connection, Via), RFC 9111 3.1, 3.2 (storing and updating), RFC 9211
 *          (Cache-Status), RFC 7239 (Forwarded).
 */
#ifndef BRISK_SRC_DAEMON_PROXY_HEAD_H
#define BRISK_SRC_DAEMON_PROXY_HEAD_H

#include <brisk/err.h>

#include "base/str.h"
#include "base/vec.h"
#include "daemon/proxy/field.h"

enum { PROXY_HEAD_BYTES_MAX = 65536, PROXY_HEAD_FIELDS_MAX = 256 };

/* Is it a field of one hop, by its name alone? */
bool proxy_is_hop_field(http_text name);
/* Likewise, or named by the Connection field of its head. */
bool proxy_is_hop_field_of(proxy_fields head, http_text name);

/* A block of lines that is being written. */
typedef struct proxy_head {
    brisk_str block;
    uint32_t count;
} proxy_head;

void proxy_head_init(proxy_head *head, const brisk_alloc *alloc);
void proxy_head_deinit(proxy_head *head);
void proxy_head_add(proxy_head *head, http_text name, http_text value);
/* The first error of all that was added. */
brisk_err proxy_head_err(const proxy_head *head);

/* The table of a block; false: not such a block, or more than `capacity` fields. */
bool proxy_block_fields(const char *block, size_t size, http_field *ret, uint32_t capacity,
                        uint32_t *count);

/* The fields of a response that are kept: not those of the hop, not Age, not those that the
 * response forbids to keep, not Surrogate-Control. */
void proxy_head_keep(proxy_head *head, proxy_fields response);
/* Is it a field of a response that is not handed on? */
bool proxy_head_is_left_out(proxy_fields response, http_text name);
/* The fields of a response that are handed on. */
void proxy_head_pass(proxy_head *head, proxy_fields response);
/* `stored` as `not_modified` changes it (RFC 9111 3.2). */
void proxy_head_merge(proxy_head *head, proxy_fields stored, proxy_fields not_modified);

/* Cache-Status of what happened here. */
typedef struct proxy_status {
    const char *forward;     /* "uri-miss", "stale" ...; NULL: a hit */
    uint16_t forward_status; /* of the upstream; 0: none */
    bool has_ttl;
    bool stored;
    bool collapsed;
    int64_t ttl_s;
    const char *detail; /* NULL: none */
} proxy_status;

enum { PROXY_STATUS_SIZE = 160 };
/* Returns the size. */
size_t proxy_status_write(const proxy_status *status, char text[PROXY_STATUS_SIZE]);

#endif /* BRISK_SRC_DAEMON_PROXY_HEAD_H */
