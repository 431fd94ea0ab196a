/*
 * health.h -- /health, /ready and /live: is the node well, may it be sent requests, does it run?
 *
 *     healthy     everything is as it should be
 *     degraded    more than 90 % of the memory there is, or a tier is down: it answers, but look at it
 *     unhealthy   more than 5 % of the answers of the last minute are errors of ours, or its queue is full
 *
 * Memory is what the process has of what the kernel lets it have (a cache that is full is none of that).
 * /health is 503 unless healthy; a knob makes degraded 200.  /ready is 503 while the node ends or its
 * queue is full; /live is 200 as long as loops run.
 *
 * Threads: any.
 */
#ifndef BRISK_SRC_DAEMON_API_HEALTH_H
#define BRISK_SRC_DAEMON_API_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/api/stats.h"
#include "daemon/http/routes.h"

enum {
    HEALTH_CHECKS_MAX = STATS_TIERS_MAX + 3,
    HEALTH_TEXT_MAX = 96,
    HEALTH_WINDOW_S = 60,
    HEALTH_REQUESTS_MIN = 20, /* fewer say nothing of errors */
};

typedef enum health_level {
    HEALTH_HEALTHY = 0,
    HEALTH_DEGRADED,
    HEALTH_UNHEALTHY,
} health_level;

typedef struct health_check {
    char name[24]; /* "memory", "errors", "queue", "tier.disk" */
    health_level level;
    double value;
    double limit;
    char text[HEALTH_TEXT_MAX];
} health_check;

typedef struct health {
    health_level level; /* the worst */
    uint32_t count;
    health_check checks[HEALTH_CHECKS_MAX];
} health;

/* What the figures say: pure. */
typedef struct health_figures {
    const stats_sample *last; /* NULL: none yet */
    stats_sums window;
    uint64_t waiting;     /* jobs */
    uint64_t waiting_max; /* 0: there is no queue */
} health_figures;

void health_judge(const health_figures *figures, health *ret);
/* Of the node. */
void health_read(server *s, health *ret);
/* "healthy" ...; static storage. */
const char *health_level_name(health_level level);

BRISK_NODISCARD brisk_err api_health_add_routes(http_routes *routes);

#endif /* BRISK_SRC_DAEMON_API_HEALTH_H */
