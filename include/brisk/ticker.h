/*
 * brisk/ticker.h -- a thread that ticks a registry and tells who subscribed: figures that keep themselves up.
 *
 * Each interval: brisk_metrics_tick (which runs the collectors), and, while anybody wants them, a snapshot
 * as an event of type METRICS. Intervals do not drift; those missed (a machine asleep) are not made up for.
 *
 * Threads: create and destroy from any, destroy not from a callback.
 */
#ifndef BRISK_TICKER_H
#define BRISK_TICKER_H

#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/events.h>
#include <brisk/metrics.h>

BRISK_BEGIN_DECLS

typedef struct brisk_ticker brisk_ticker;

typedef struct brisk_ticker_opts {
    brisk_metrics *metrics; /**< Borrowed; NULL: the process's. */
    brisk_events *events;   /**< Borrowed; NULL: the process's. */
    uint64_t interval_ns;   /**< 0 means a second; at least 10 ms. */
    const brisk_alloc *alloc;
} brisk_ticker_opts;

/** Errors: INVALID (the interval), NOMEM, LIMIT (threads). */
BRISK_API BRISK_NODISCARD brisk_err brisk_ticker_create(const brisk_ticker_opts *opts,
                                                        brisk_ticker **ret);
/** Waits for a tick under way.  NULL is accepted. */
BRISK_API void brisk_ticker_destroy(brisk_ticker *ticker);

/** One tick and its event, for loops of one's own (NULL: the process's).  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_ticker_tick(brisk_metrics *metrics, brisk_events *events);

BRISK_END_DECLS

#endif /* BRISK_TICKER_H */
