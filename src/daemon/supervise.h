/*
 * supervise.h -- the process that keeps the sockets and sees to it that a worker process serves.
 *
 *            start                 ready                   died: again, ever later
 *     (none) ─────► worker STARTING ─────► worker SERVING ─────────────────────────► (none)
 *                                              │ SIGUSR2 or a new program: another is started;
 *                                              │ when that is ready ...
 *                                              └──► LEAVING: answers what it has, then ends
 *
 * Signals: SIGTERM, SIGINT end it in order (a second one at once), SIGHUP has the worker read its
 * settings again, SIGUSR2 replaces the worker.
 *
 * Sockets stay open for as long as the supervisor lives: who connects while no worker does waits in
 * the kernel's queue and is answered by the next.
 */
#ifndef BRISK_SRC_DAEMON_SUPERVISE_H
#define BRISK_SRC_DAEMON_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <brisk/command.h>

#include "daemon/sockets.h"

typedef struct supervise_opts {
    sockets *sockets; /* the supervisor's from now on */
    FILE *err;
    uint64_t drain_ns; /* for one that leaves; then it is killed */
    uint64_t hang_ns;  /* a worker that is not heard for so long is killed; 0: never */
} supervise_opts;

brisk_exit supervise(const supervise_opts *opts);

#endif /* BRISK_SRC_DAEMON_SUPERVISE_H */
