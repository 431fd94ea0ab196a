/*
 * life.h -- the process that serves: from its server's creation to its end.
 *
 * The thread that calls life_run waits for signals and looks once a second whether the workers are
 * alive; workers have threads of their own.
 *
 *     SIGTERM, SIGINT   end in order; a second one ends at once
 *     SIGHUP            read settings and certificate again
 *     SIGUSR2           from the supervisor: another process takes over
 */
#ifndef BRISK_SRC_DAEMON_LIFE_H
#define BRISK_SRC_DAEMON_LIFE_H

#include <stdint.h>

#include <brisk/command.h>

#include "daemon/server.h"

typedef struct life_opts {
    const brisk_invocation *in;
    const server_opts *server;
    int supervisor_fd;  /* -1: there is none */
    const char *remark; /* to be said when it is ready; NULL: nothing */
    bool replace;       /* on SIGHUP, when settings have changed that need another process */
    uint64_t drain_ns;  /* for those who are connected, at the end */
} life_opts;

brisk_exit life_run(const life_opts *opts);

#endif /* BRISK_SRC_DAEMON_LIFE_H */
