/*
 * condition.h -- what a request's conditions mean for what is stored: send, 304 or 412.
 *
 * In the order of RFC 9110 section 13.2.2: If-Match, or else If-Unmodified-Since; then If-None-Match,
 * or else If-Modified-Since; then If-Range.  A date that is none is as if it were not there.
 *
 * A representation's tag is that of what is stored; when it is compressed on the way, it is weak and
 * has "-" and the coding's name behind it: W/"1a2b-zstd".  If-None-Match takes a tag with any coding
 * of ours, because all of them stand for the same content; the tag that matched is what a 304 names.
 *
 * Threads: pure functions.
 * Source: RFC 9110 sections 8.8.3, 13.
 */
#ifndef BRISK_SRC_DAEMON_FILES_CONDITION_H
#define BRISK_SRC_DAEMON_FILES_CONDITION_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/http/exchange.h"

/* NULL: there was no such field. */
typedef struct condition_fields {
    const http_text *if_match;
    const http_text *if_none_match;
    const http_text *if_modified_since;
    const http_text *if_unmodified_since;
    const http_text *if_range;
} condition_fields;

/* What is stored. */
typedef struct condition_entity {
    http_text etag;     /* strong, without quotes; "" when there is none */
    int64_t modified_s; /* since 1970; negative: not known */
    int64_t now_s;
} condition_entity;

typedef enum condition_verdict {
    CONDITION_SEND = 0,
    CONDITION_NOT_MODIFIED, /* 304 */
    CONDITION_FAILED,       /* 412 */
} condition_verdict;

/* `safe`: GET or HEAD.  With NOT_MODIFIED by a tag, *matched is that tag without quotes (it points
 * into the field), otherwise entity->etag. */
condition_verdict condition_check(const condition_fields *fields, const condition_entity *entity,
                                  bool safe, http_text *matched);
/* May a Range be answered with a part?  `etag`: of the representation that would be sent. */
bool condition_range(const condition_fields *fields, const condition_entity *entity);

#endif /* BRISK_SRC_DAEMON_FILES_CONDITION_H */
