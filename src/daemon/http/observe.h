/*
 * observe.h -- what exchanges cost and how they end, by route, in the server's registry.
 *
 *     serve.http.time{route}             how long, from the head to the end of the answer
 *     serve.http.responses{route, class} "2xx" ...
 *     serve.http.in / .out{route}        bytes of bodies
 *     serve.http.connections{protocol}   open, as each worker counts once a second
 *
 * An exchange costs its worker a look-up in a table of its own, one histogram record and three plain
 * adds: nothing is locked and nothing is shared with another worker.  Whoever takes a snapshot copies
 * the sums.
 *
 * Threads: over and connections by the worker with that index; the rest by any.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_OBSERVE_H
#define BRISK_SRC_DAEMON_HTTP_OBSERVE_H

#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/hist.h>
#include <brisk/metrics.h>

#include "daemon/http/exchange.h"
#include "daemon/http/traceparent.h"

typedef struct http_observer http_observer;

typedef enum observe_protocol {
    OBSERVE_UNKNOWN = 0, /* nothing was received yet */
    OBSERVE_RESP,
    OBSERVE_H1,
    OBSERVE_H2,
    OBSERVE_WEBSOCKET,
    OBSERVE_PROTOCOLS,
} observe_protocol;

enum { OBSERVE_CLASSES = 6 }; /* 1xx .. 5xx at 1 .. 5; 0: it ended without an answer */

/* `registry` is borrowed.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err http_observe_create(const brisk_alloc *alloc, brisk_metrics *registry,
                                              uint32_t workers, http_observer **ret);
/* After the workers.  NULL is accepted. */
void http_observe_destroy(http_observer *observer);

/* `x` is over (its answer is sent, or given up); once for each. */
void http_observe_over(http_observer *observer, uint32_t index, const exchange *x, uint64_t now_ns);
/* So many connections of that worker speak each protocol now. */
void http_observe_connections(http_observer *observer, uint32_t index,
                              const uint64_t counts[OBSERVE_PROTOCOLS]);

/* Copy the sums into the registry: before snapshots and ticks. */
void http_observe_copy(http_observer *observer);

typedef struct observe_totals {
    uint64_t responses[OBSERVE_CLASSES];
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t connections[OBSERVE_PROTOCOLS];
} observe_totals;

/* All routes together; times are added to `into` (of BRISK_HISTOGRAM_BITS; may be NULL).  Streams that stay open
 * (events, WebSockets) are in the counts, not in the times. */
void http_observe_read(const http_observer *observer, brisk_hist *into, observe_totals *ret);

/*
 * Exchanges to look at: the slowest of each of the last OBSERVE_MINUTES minutes, OBSERVE_SLOW by each worker, and the last
 * OBSERVE_SAMPLED whose traceparent says that they are recorded.  Noting one takes the worker's own lock, which nobody
 * else holds for long.
 */
enum {
    OBSERVE_SLOW = 16,
    OBSERVE_MINUTES = 8,
    OBSERVE_SAMPLED = 64,
    OBSERVE_KEPT = OBSERVE_SLOW * OBSERVE_MINUTES + OBSERVE_SAMPLED, /* by each worker */
    OBSERVE_PATH_MAX = 128,
    OBSERVE_METHOD_MAX = 16
};

typedef struct observe_slow {
    uint64_t id; /* exchange.id */
    uint64_t begun_wall_ns;
    uint64_t duration_ns;
    uint64_t marks_ns[EXCHANGE_MARKS]; /* since it began; UINT64_MAX: did not happen */
    traceparent parent;                /* trace "": none was named */
    uint32_t worker;
    uint64_t bytes_in;
    uint64_t bytes_out;
    const char *route; /* its name; "" when there was none */
    uint16_t status;   /* 0: it ended without an answer */
    uint8_t version;
    uint8_t urgency;
    char method[OBSERVE_METHOD_MAX];
    char path[OBSERVE_PATH_MAX]; /* cut; without the query, which may hold secrets */
} observe_slow;

/* At most `max`, in no order; returns how many. */
uint32_t http_observe_slow(http_observer *observer, observe_slow *ret, uint32_t max);
/* The exchange as a span, for those that it asks in turn; never 0. */
uint64_t http_observe_span(const http_observer *observer, uint64_t id);

/* "h1" ... */
const char *observe_protocol_name(observe_protocol protocol);

#endif /* BRISK_SRC_DAEMON_HTTP_OBSERVE_H */
