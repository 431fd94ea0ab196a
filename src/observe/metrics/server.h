/*
 * server.h -- the metrics of a server that speaks the Redis protocol, or of a node over HTTP, in a registry of ours:
 * for `brisk metrics` and `brisk budget watch`.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_METRICS_SERVER_H
#define BRISK_SRC_OBSERVE_METRICS_SERVER_H

#include <brisk/metrics.h>
#include <brisk/node.h>
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
    brisk_node *node;   /* over HTTP instead; NULL: over the Redis protocol */
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
void metrics_server_set_up(brisk_metrics *metrics, bool up); /* serve.up */

/* --- node.c --------------------------------------------------------------------------------- */

/* Where a server stands among the options of a command. */
typedef struct metrics_server_options {
    int server;
    int password_file;
    int node; /* the first of brisk/node.h */
} metrics_server_options;

/* What the user gave: one of both, or none (then *ret_any is false).  Errors with `info`: INVALID, as for the others. */
BRISK_NODISCARD brisk_err metrics_server_open(const brisk_option_value *values,
                                              const metrics_server_options *where,
                                              metrics_server *ret, bool *ret_any,
                                              brisk_errinfo *info);
void metrics_server_close(metrics_server *server);
/* As metrics_server_ask, or the metrics of the node (GET /v1/metrics). */
BRISK_NODISCARD brisk_err metrics_server_read(metrics_server *server, brisk_metrics *metrics,
                                              brisk_errinfo *info);

#endif /* BRISK_SRC_OBSERVE_METRICS_SERVER_H */
