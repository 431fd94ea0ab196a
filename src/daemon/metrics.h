/*
 * metrics.h -- the server's registry of figures, for the commands and the ticks.
 */
#ifndef BRISK_SRC_DAEMON_METRICS_H
#define BRISK_SRC_DAEMON_METRICS_H

#include <brisk/metrics.h>

#include "daemon/server.h"

/*
 * Times of a group of commands, since they were last moved into its histogram: one count for each bucket of
 * brisk_histogram, the longest (from 2^37 ns on) in one.  Plain counts, for commands run one at a time; a
 * shard of a histogram would cost three times as much for each command.
 */
enum {
    SERVER_TIMES_BITS = BRISK_HISTOGRAM_BITS,
    SERVER_TIMES_POWER = 37,
    SERVER_TIMES = (SERVER_TIMES_POWER - SERVER_TIMES_BITS + 1) << SERVER_TIMES_BITS,
};

/* What is longer counts as that. */
static const uint64_t server_times_most = (UINT64_C(1) << SERVER_TIMES_POWER) - 1;

/* Of at most server_times_most. */
static inline uint32_t server_metrics_bucket(uint64_t ns)
{
    /* brisk_hist_index without a branch: the bit makes no difference where the shift is not 0 */
    uint32_t shift =
        63 - SERVER_TIMES_BITS - (uint32_t)__builtin_clzll(ns | UINT64_C(1) << SERVER_TIMES_BITS);
    return (shift << SERVER_TIMES_BITS) + (uint32_t)(ns >> shift);
}

/* After the command table, whose rows get the times of their groups.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err server_metrics_create(server *s, struct server_metrics **ret);
/* After the workers: nobody records any more.  NULL is accepted. */
void server_metrics_destroy(struct server_metrics *metrics);
/* The registry itself, for figures of other parts (engine.c, http/observe.c). */
brisk_metrics *server_metrics_registry(const server *s);
/* Once a second, under the lock: rates. */
void server_metrics_tick(server *s);
/* Of this process: cmd_info.c. */
uint64_t resident_bytes(void);
/* Everything as it is now; under the lock.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err server_metrics_snapshot(server *s, brisk_snapshot **ret);

#endif /* BRISK_SRC_DAEMON_METRICS_H */
