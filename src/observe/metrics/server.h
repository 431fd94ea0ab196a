/*
 * server.h -- the metrics of a server that speaks the Redis protocol, in a registry of ours: for `brisk metrics` and
 * `brisk budget watch`.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_METRICS_SERVER_H
#define BRISK_SRC_OBSERVE_METRICS_SERVER_H

#include <brisk/metrics.h>
#include <brisk/yaml.h>

/* --- mirror.c ------------------------------------------------------------------------------ */

/* A registry elsewhere, as it was when it was read last.  Zeroed: nothing was read. */
typedef struct metrics_mirror {
    brisk_yaml_doc *last; /* what the buckets of histograms are compared with */
    /* Histograms begin at the first reading, so that windows hold nothing of before. */
    bool since_first;
} metrics_mirror;

/* What brisk_expose_json wrote, serve.* of it, into `metrics`.  Errors with `info`: CORRUPT, NOMEM. */
BRISK_NODISCARD brisk_err metrics_mirror_apply(metrics_mirror *mirror, const char *text,
                                               size_t size, brisk_metrics *metrics,
                                               brisk_errinfo *info);
void metrics_mirror_deinit(metrics_mirror *mirror);

/* --- server.c ------------------------------------------------------------------------------ */

typedef struct metrics_server {
    char host[256];
    char port[16];
    char password[512]; /* "": none */
    uint32_t timeout_s; /* 0: 5 */
    metrics_mirror mirror;
} metrics_server;

/* "HOST:PORT" or "[v6]:PORT".  Errors: INVALID with `info`. */
BRISK_NODISCARD brisk_err metrics_server_parse(const char *text, metrics_server *ret,
                                               brisk_errinfo *info);
/* The password is a file's first line.  Errors: those of the file, with `info`. */
BRISK_NODISCARD brisk_err metrics_server_password(metrics_server *server, const char *path,
                                                  brisk_errinfo *info);
void metrics_server_deinit(metrics_server *server);
/*
 * Ask once: INFO as gauges and totals serve.NAME, and a brisk server's own metrics (BRISK.METRICS) as they are.
 * serve.up is 1 afterwards, 0 when it failed.  Errors with `info`: IO, NOT_FOUND, DEADLINE, PERMISSION, CORRUPT, LIMIT,
 * NOMEM.
 */
BRISK_NODISCARD brisk_err metrics_server_ask(metrics_server *server, brisk_metrics *metrics,
                                             brisk_errinfo *info);
/* Lines "name:value" as metrics serve.NAME; those that are no numbers are left out. */
void metrics_server_apply(const char *text, size_t size, brisk_metrics *metrics);

#endif /* BRISK_SRC_OBSERVE_METRICS_SERVER_H */
