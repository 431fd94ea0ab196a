/*
 * cmd_metrics.h -- `brisk metrics`, for module.c; and its parts for each other.
 */
#ifndef BRISK_SRC_OBSERVE_METRICS_CMD_METRICS_H
#define BRISK_SRC_OBSERVE_METRICS_CMD_METRICS_H

#include <stdio.h>

#include <brisk/command.h>
#include <brisk/metrics.h>

extern const brisk_command metrics_command;

/* A table for people. */
void metrics_print_table(FILE *out, const brisk_snapshot *snapshot);

/* The figures of a server that speaks the Redis protocol, asked by INFO. */
typedef struct metrics_server {
    char host[256];
    char port[16];
    char password[512]; /* "": none */
} metrics_server;

/* "HOST:PORT" or "[v6]:PORT".  Errors: INVALID with `info`. */
BRISK_NODISCARD brisk_err metrics_server_parse(const char *text, metrics_server *ret,
                                               brisk_errinfo *info);
/* Ask once and set serve.* in `metrics`.  Errors with `info`: IO, NOT_FOUND, DEADLINE, PERMISSION, CORRUPT. */
BRISK_NODISCARD brisk_err metrics_server_ask(const metrics_server *server, brisk_metrics *metrics,
                                             brisk_errinfo *info);
/* Lines "name:value" as metrics serve.NAME; those that are no numbers are left out. */
void metrics_server_apply(const char *text, size_t size, brisk_metrics *metrics);

#endif /* BRISK_SRC_OBSERVE_METRICS_CMD_METRICS_H */
