/*
 * bandwidth.h -- how fast the way to a client is, from what the kernel saw of it.
 *
 * TCP measures a connection's delivery rate and its least round trip with every acknowledgement;
 * reading both costs one system call and no traffic.  It is read when somebody asks, four times a
 * second at most, and only after something was sent that is long enough to show a rate.  A rate that
 * was limited by us, having nothing more to send, is a lower bound and raises the estimate only; so
 * is one of slow start, as long as the round trip is not much above the least one: then nothing
 * queues on the way, which could carry more than we dared to send.  (A client far away, whose first
 * 16 KiB take two round trips, would otherwise be taken for a slow one.)
 *
 * Three classes follow from two limits, with a fifth of hysteresis on both sides, so that a rate
 * near a limit does not change an answer's variant with each request:
 *
 *     high     early hints and prefetching are worth sending; what a page will need is brought to memory
 *     medium   nothing beyond what was asked for; medium variants of stored files
 *     low      strongest compression, low variants, small batches whose large parts are fetched apart
 *
 * A client that says so itself (Save-Data, ECT) is put lower, never higher, for that request; what
 * it costs to send a byte to a client of a class is never less than at the class's upper limit.
 * Behind a proxy that speaks to us over a local network the kernel sees the proxy: then a fixed rate
 * can be configured (serve.bandwidth.fixed).
 *
 * Threads: the worker's.
 * Sources: Linux tcp_info; draft-cheng-iccrg-delivery-rate-estimation; Save-Data and ECT as in
 *          W3C's Network Information and client hints.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_BANDWIDTH_H
#define BRISK_SRC_DAEMON_HTTP_BANDWIDTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct exchange exchange;

typedef enum bandwidth_level {
    BANDWIDTH_HIGH = 0,
    BANDWIDTH_MEDIUM,
    BANDWIDTH_LOW,
} bandwidth_level;

/* Bits a second; what is above `medium` is high, what is below `low` is low. */
typedef struct bandwidth_limits {
    uint64_t medium_bps;
    uint64_t low_bps;
    uint64_t fixed_bps; /* of every connection; 0: measured */
} bandwidth_limits;

/* Of a connection, in its struct; zeroed when it opens. */
typedef struct bandwidth {
    uint64_t bps;       /* 0: not known yet */
    uint64_t looked_ns; /* monotonic; 0: never */
    uint32_t rtt_us;    /* the least; 0: not known */
    uint32_t sent;      /* bytes since it was looked */
    uint8_t level;      /* bandwidth_level */
    bool sure;          /* bps is more than a lower bound */
    bool local;         /* no network: a unix socket */
} bandwidth;

typedef struct bandwidth_sample {
    uint64_t bytes_per_second;
    uint32_t min_rtt_us;
    uint32_t rtt_us;  /* now, smoothed */
    bool app_limited; /* we had no more to send */
    bool slow_start;  /* we did not try to send more yet */
} bandwidth_sample;

/* --- of an exchange's connection ------------------------------------------------------------- */

bandwidth_level bandwidth_class(exchange *x);
/* Bits a second to the client, at most what its class has; 0: not known. */
uint64_t bandwidth_bps(exchange *x);
/* This much was given to the connection to send. */
void bandwidth_sent(exchange *x, uint64_t bytes);

/* --- by itself --------------------------------------------------------------------------------- */

/* At most what a client of this class has: its own hints may have put it there.  0: not known. */
uint64_t bandwidth_bound(uint64_t bps, bandwidth_level level, const bandwidth_limits *limits);
void bandwidth_take(bandwidth *band, const bandwidth_limits *limits,
                    const bandwidth_sample *sample);
/* The least of `level` and what the client says of itself; each may be NULL. */
struct http_text;
bandwidth_level bandwidth_hint(bandwidth_level level, const struct http_text *save_data,
                               const struct http_text *ect);

#endif /* BRISK_SRC_DAEMON_HTTP_BANDWIDTH_H */
