/*
 * brisk/statsd.h -- StatsD in: what other programs send by UDP becomes metrics of a registry.
 *
 * Lines "name:value|type", several in a datagram, with "|@rate" and tags "|#key:value,key" as DogStatsD has
 * them; several values "name:1:2:3|h". Types: c (counter, divided by the rate), g (gauge; +1 and -1 change it),
 * ms (histogram of times, in ns here), h and d (histogram). Sets (s) are not kept: a set of unknown size has no
 * place here. Names are made valid ('_' for what is not allowed); labels have the registry's cap.
 *
 * What was bad is counted, never logged for each: metrics statsd.lines, statsd.bad, statsd.beyond (well-formed, but
 * beyond the registry's bounds: BRISK_METRICS_NAMES_MAX names), statsd.datagrams.
 *
 * Threads: apply from any; a listener has one thread of its own.
 * Sources: statsd/docs/metric_types.md of Etsy's StatsD; DogStatsD datagram format 1.1.
 */
#ifndef BRISK_STATSD_H
#define BRISK_STATSD_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/metrics.h>

BRISK_BEGIN_DECLS

enum { BRISK_STATSD_PORT = 8125, BRISK_STATSD_DATAGRAM_MAX = 65536 };

typedef struct brisk_statsd brisk_statsd;

typedef struct brisk_statsd_opts {
    brisk_metrics *metrics; /**< Borrowed; NULL: the process's. */
    const char *prefix;     /**< Before every name, "" or "web."; NULL: none. */
    const char *listen; /**< "127.0.0.1:8125", "[::1]:8125", ":0"; NULL: no socket, apply only. */
    const brisk_alloc *alloc;
} brisk_statsd_opts;

/**
 * Errors with `info`: INVALID (the address, the prefix), PERMISSION, CONFLICT (the port is taken), IO, NOMEM, and those of
 * brisk_metrics_counter.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_statsd_create(const brisk_statsd_opts *opts,
                                                        brisk_statsd **ret, brisk_errinfo *info);
/** Ends the listener's thread.  NULL is accepted. */
BRISK_API void brisk_statsd_destroy(brisk_statsd *statsd);
/** The port listened on; 0 without a socket. */
BRISK_API uint16_t brisk_statsd_port(const brisk_statsd *statsd);

/** What a datagram had. */
typedef struct brisk_statsd_counts {
    uint32_t lines; /**< That were applied. */
    uint32_t bad;
    uint32_t beyond; /**< Good ones for which the registry has no name, series or memory left. */
} brisk_statsd_counts;

/** One datagram's bytes. */
BRISK_API brisk_statsd_counts brisk_statsd_apply(brisk_statsd *statsd, const char *data,
                                                 size_t size);

BRISK_END_DECLS

#endif /* BRISK_STATSD_H */
