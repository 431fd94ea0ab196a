/*
 * upstream.h -- the servers behind a mount: where they are, how busy, whether they are well.
 *
 * All workers share these records; their connections they have each for themselves (pool.h).  What
 * changes is atomic and advice only: a worker that sees a count a moment late sends a request to the
 * second best.
 *
 * An upstream is passed over while its active check says that it is ill, or while it is ejected:
 * `failures_max` failures in a row, first for a second, then twice as long each time up to a minute.
 * The first good answer forgets that.  When all would be passed over, all are asked: an error of an
 * upstream is better than one of ours.
 *
 * Threads: upstreams_create and _destroy by one; the rest from any.
 * Source:  M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing (1996).
 */
#ifndef BRISK_SRC_DAEMON_PROXY_UPSTREAM_H
#define BRISK_SRC_DAEMON_PROXY_UPSTREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "daemon/http/exchange.h"
#include "wire/tls.h"

enum { UPSTREAMS_MAX = 64, UPSTREAM_ADDRESSES_MAX = 8, UPSTREAM_URL_MAX = 1024 };

typedef struct upstream_address {
    struct sockaddr_storage data;
    socklen_t size;
} upstream_address;

typedef struct upstream {
    char url[UPSTREAM_URL_MAX];
    char host[256];      /* for TLS */
    char authority[300]; /* for Host */
    char base[512];      /* path in front of targets; "" or "/x" */
    bool secure;
    uint32_t index; /* in its group */
    uint32_t weight;
    upstream_address addresses[UPSTREAM_ADDRESSES_MAX];
    uint32_t address_count;
    _Atomic uint32_t next_address; /* the one that answered last */
    _Atomic uint32_t outstanding;
    _Atomic uint32_t failures; /* in a row */
    _Atomic uint32_t ejections;
    _Atomic uint64_t ejected_until_ns;
    _Atomic bool ill; /* by its active check */
    _Atomic uint64_t requests;
    _Atomic uint64_t errors;
    _Atomic uint64_t ejected; /* times */
} upstream;

typedef struct upstreams {
    const brisk_alloc *alloc;
    upstream *items;
    uint32_t count;
    uint32_t failures_max; /* 0: never ejected */
    wire_tls_context *tls; /* when one of them wants it */
} upstreams;

/* "http://host:port/base", "https://...", or "unix:/path".  Names are looked up here, once.
 * Errors: INVALID (with `info`), NOT_FOUND (no such host). */
BRISK_NODISCARD brisk_err upstream_parse(const char *url, upstream *ret, brisk_errinfo *info);

/* The one for the next request; `not_this` (may be NULL) only when there is no other. */
upstream *upstreams_pick(upstreams *group, const upstream *not_this, uint64_t random,
                         uint64_t now_ns);
bool upstream_is_well(const upstream *up, uint64_t now_ns);
void upstream_began(upstream *up);
void upstream_ended(upstream *up);
void upstream_succeeded(upstream *up);
void upstream_failed(upstreams *group, upstream *up, uint64_t now_ns);

#endif /* BRISK_SRC_DAEMON_PROXY_UPSTREAM_H */
