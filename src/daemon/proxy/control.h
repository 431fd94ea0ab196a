/*
 * control.h -- Cache-Control and its kin, as numbers and flags.
 *
 * What is not understood is passed over.  What is understood and wrong errs on the safe side: a
 * max-age that is no number is one of 0 (RFC 9111 4.2.1), and of two the first counts.  Arguments
 * may be tokens or quoted strings, as the RFC asks of readers; names have any case.
 *
 * A targeted field (CDN-Cache-Control) is a structured dictionary and read as strictly as RFC 8941
 * says: with one error in it there is no such field, and the general one counts.
 *
 * Threads: pure functions.
 * Source:  RFC 9111 5.2, RFC 5861, RFC 8246, RFC 9213, RFC 8941 4.2.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_CONTROL_H
#define BRISK_SRC_DAEMON_PROXY_CONTROL_H

#include "daemon/proxy/field.h"

enum {
    CONTROL_NO_STORE = 1u << 0,
    CONTROL_NO_CACHE = 1u << 1,        /* of everything */
    CONTROL_NO_CACHE_FIELDS = 1u << 2, /* of the fields that are named */
    CONTROL_PRIVATE = 1u << 3,
    CONTROL_PRIVATE_FIELDS = 1u << 4,
    CONTROL_PUBLIC = 1u << 5,
    CONTROL_MUST_REVALIDATE = 1u << 6,
    CONTROL_PROXY_REVALIDATE = 1u << 7,
    CONTROL_MUST_UNDERSTAND = 1u << 8,
    CONTROL_NO_TRANSFORM = 1u << 9,
    CONTROL_ONLY_IF_CACHED = 1u << 10,
    CONTROL_IMMUTABLE = 1u << 11,
    CONTROL_MAX_AGE = 1u << 12, /* the numbers that are given */
    CONTROL_S_MAXAGE = 1u << 13,
    CONTROL_STALE_WHILE = 1u << 14,
    CONTROL_STALE_ERROR = 1u << 15,
    CONTROL_MAX_STALE = 1u << 16,
    CONTROL_MIN_FRESH = 1u << 17,
    CONTROL_TARGETED = 1u << 18, /* from a targeted field: Expires does not count */
};

typedef struct proxy_control {
    uint32_t flags;
    uint32_t max_age; /* seconds, all of them */
    uint32_t s_maxage;
    uint32_t stale_while;
    uint32_t stale_error;
    uint32_t max_stale; /* PROXY_SECONDS_MAX when no number was given */
    uint32_t min_fresh;
} proxy_control;

/* Of all fields with this name ("cache-control"). */
proxy_control proxy_control_read(proxy_fields fields, const char *name);
/* Of a response for a cache like this one: CDN-Cache-Control if there is a good one. */
proxy_control proxy_control_of_response(proxy_fields fields);
/* Of a request; Pragma: no-cache stands in for a missing Cache-Control (RFC 9111 5.4). */
proxy_control proxy_control_of_request(proxy_fields fields);
/* Is `name` one of the fields that no-cache="..." or private="..." name? */
bool proxy_control_names(proxy_fields fields, http_text name);

/* The dictionary of a targeted field; false: it is none, or empty, or has a wrong value. */
bool proxy_control_targeted(proxy_fields fields, const char *name, proxy_control *ret);

#endif /* BRISK_SRC_DAEMON_PROXY_CONTROL_H */
