/*
 * api.h -- everything under /v1 and beside it, as the server sees it: made, ticked, ended.
 *
 * Threads: create, add_routes and destroy by whoever creates the server, while no worker runs; ticks by workers.
 */
#ifndef BRISK_SRC_DAEMON_API_API_H
#define BRISK_SRC_DAEMON_API_API_H

#include <stdatomic.h>
#include <stdbool.h>

#include <brisk/err.h>

#include <brisk/budget.h>

#include "daemon/api/background.h"
#include "daemon/api/events.h"
#include "daemon/api/report.h"
#include "daemon/api/stats.h"
#include "daemon/http/auth.h"
#include "daemon/http/observe.h"

typedef struct server server;
typedef struct worker worker;

/* What is configured; texts are borrowed until create returns. */
typedef struct api_opts {
    const char *token_file; /* NULL or "": one is made */
    const char *hosts;      /* NULL or "": none */
    bool local_needs_token;
    const char *audit_file;   /* NULL or "": beside the token that is made */
    const char *budgets_file; /* NULL or "": none */
    bool degraded_is_ok;      /* /health is 200 then */
    bool certificates;        /* clients over TLS have shown one */
    int profiler_fd;          /* of profiler.h; 0: none */
    stats_opts stats;
} api_opts;

typedef struct api {
    server *server;
    http_auth *auth;
    http_observer *observer;
    events_hub *events;
    stats_ring *stats;
    report_routes *reports;
    _Atomic(background *) background; /* NULL until it runs: shortly after the workers begin */
    brisk_budgets *budgets;
    brisk_budget_watch *budget_watch; /* NULL: there are no budgets */
    brisk_events *alerts;             /* what it tells */
    struct past_alerts *past_alerts;  /* what it told; NULL: nothing yet.  The background's. */
    _Atomic bool degraded_is_ok;
    struct log_lines *log;
    struct audit *audit;
    struct profiles *profiles;
    /* Jobs that wait, and how many may; set by whoever has a queue, before the workers.  NULL: none. */
    void (*queue_read)(server *s, uint64_t *waiting, uint64_t *waiting_max);
} api;

/* After workers and metrics.  Errors, with `info`: those of http_auth_create, NOMEM. */
BRISK_NODISCARD brisk_err api_create(server *s, const api_opts *opts, brisk_errinfo *info);
/* The background's thread begins; with the workers. */
BRISK_NODISCARD brisk_err api_start(server *s);
/* It ends: after the workers, while their loops are still there. */
void api_stop(server *s);
/* NULL parts are accepted; after the workers. */
void api_destroy(server *s);
/* Into s->http_routes. */
BRISK_NODISCARD brisk_err api_add_routes(server *s);
/* Once a second, by each worker. */
void api_tick_worker(worker *w);
#endif /* BRISK_SRC_DAEMON_API_API_H */
