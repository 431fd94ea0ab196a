/*
 * brisk/service.h -- the figures of something that answers requests, as metrics under one name.
 *
 *     NAME.time        histogram, ns: how long requests took, failed ones included
 *     NAME.failures    requests that failed        NAME.timeouts    that took too long; not in failures
 *     NAME.operations  NAME.bytes  NAME.messages   whatever moved
 *     NAME.hits        NAME.misses                 of its cache
 *     NAME.error_rate  failures and timeouts, of all requests
 *     NAME.hit_rate    hits, of hits and misses
 *     NAME.apdex       of the last minute or what is known of it; failures please nobody
 *
 * Throughput is the rates of these counters (brisk/metrics.h), requests being the histogram's.  Business figures
 * (users, conversion, revenue per request) are counters, gauges and brisk_metrics_ratio under names of their own.
 *
 * Threads: every function but destroy from any.
 */
#ifndef BRISK_SERVICE_H
#define BRISK_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/metrics.h>
#include <brisk/track.h>

BRISK_BEGIN_DECLS

typedef struct brisk_service brisk_service;

typedef struct brisk_service_opts {
    const char *name;       /**< A metric's name, at most BRISK_METRIC_NAME_MAX - 16 bytes. */
    brisk_metrics *metrics; /**< Borrowed; NULL: the process's. */
    uint64_t target_ns;     /**< Apdex: who waits no longer is satisfied; 0 means 100 ms. */
    const brisk_alloc *alloc;
} brisk_service_opts;

/** Errors: as brisk_metrics_counter, and LIMIT (too many collectors). */
BRISK_API BRISK_NODISCARD brisk_err brisk_service_create(const brisk_service_opts *opts,
                                                         brisk_service **ret);
/** The metrics stay, the Apdex stands still.  NULL is accepted. */
BRISK_API void brisk_service_destroy(brisk_service *service);

/** A request ended. */
BRISK_API void brisk_service_done(brisk_service *service, brisk_outcome outcome, uint64_t time_ns);
/** What it moved. */
typedef enum brisk_flow {
    BRISK_FLOW_OPERATIONS = 0,
    BRISK_FLOW_BYTES,
    BRISK_FLOW_MESSAGES,
    BRISK_FLOW_HITS,
    BRISK_FLOW_MISSES,
} brisk_flow;
BRISK_API void brisk_service_add(brisk_service *service, brisk_flow flow, uint64_t amount);

BRISK_END_DECLS

#endif /* BRISK_SERVICE_H */
