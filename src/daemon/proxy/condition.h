/*
 * condition.h -- conditions and ranges of a request, held against a stored response.
 *
 * If-None-Match goes before If-Modified-Since, and is compared weakly, under which a tag with the name of a coding is
 * that of the content before it was compressed; If-Range is compared strongly.  If-Match
 * and If-Unmodified-Since are the origin's matter and are never decided here.
 *
 * A range of one part is answered from what is stored; several parts, other units and what cannot be
 * read are answered with everything, as the RFC allows.
 *
 * Threads: pure functions.
 * Source:  RFC 9110 8.8, 13, 14; RFC 9111 4.3.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_CONDITION_H
#define BRISK_SRC_DAEMON_PROXY_CONDITION_H

#include "daemon/proxy/field.h"

/* What is stored, as far as conditions ask. */
typedef struct proxy_validators {
    http_text etag;     /* as written, W/ and quotes included; empty: none */
    http_text modified; /* Last-Modified, as written; empty: none */
    int64_t date_s;     /* of the response */
    bool coded;         /* answers may have gone out with a coding's name in their tags */
} proxy_validators;

proxy_validators proxy_validators_of(proxy_fields stored, int64_t date_s);

bool proxy_etag_weakly(http_text a, http_text b);
/* Equal, and neither is weak. */
bool proxy_etag_strongly(http_text a, http_text b);

/* Is `tag` the weak one that `etag` becomes when its content is compressed (encode.h)? */
bool proxy_etag_is_coded(http_text tag, http_text etag);
/* `tag` without the name of a coding, as W/"..." without the ending quote; false: it has none. */
bool proxy_etag_cut(http_text tag, http_text *ret);

/* Is the request one that only the origin can decide on? */
bool proxy_condition_is_origins(proxy_fields request);
/* Does the client have what is stored already (304)?  *etag becomes its tag for it. */
bool proxy_condition_holds(proxy_fields request, const proxy_validators *stored, http_text *etag);

typedef enum proxy_part {
    PROXY_PART_ALL = 0,
    PROXY_PART_ONE,  /* 206 */
    PROXY_PART_NONE, /* 416 */
} proxy_part;

typedef struct proxy_range {
    uint64_t first;
    uint64_t size;
} proxy_range;

/* What of `total` bytes the request wants.  *ret is set for PROXY_PART_ONE. */
proxy_part proxy_part_of(proxy_fields request, const proxy_validators *stored, uint64_t total,
                         proxy_range *ret);

/* "bytes 4-9/10" of a 206; false: not that. */
bool proxy_content_range(http_text text, proxy_range *range, uint64_t *total);

/* Does a 304 speak of this stored response? (RFC 9111 4.3.4) */
bool proxy_confirms(proxy_fields not_modified, const proxy_validators *stored);

#endif /* BRISK_SRC_DAEMON_PROXY_CONDITION_H */
