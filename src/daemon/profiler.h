/*
 * profiler.h -- who starts the profiler for a node that may not run programs itself.
 *
 *     node (sandboxed) ── seconds, hertz, two files ──► starter ── fork, exec ──► brisk profile --pid NODE
 *                      ◄────────── how it ended ───────
 *
 * The starter is forked before the node enters its sandbox, holds nothing but its end of a socket,
 * and takes two bounded numbers: who has the node in hand can have the node profiled, and no more.
 * It ends the profiler that takes too long, and both end with the node.
 *
 * Threads: start by one, before there are others; the rest by one at a time.
 */
#ifndef BRISK_SRC_DAEMON_PROFILER_H
#define BRISK_SRC_DAEMON_PROFILER_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/err.h>

enum {
    PROFILER_SECONDS_MAX = 60,
    PROFILER_HERTZ_MAX = 999,
    PROFILER_PATIENCE_S = 30, /* beyond `seconds` it is killed */
};

typedef struct profiler_order {
    uint32_t seconds; /* 1 .. PROFILER_SECONDS_MAX */
    uint32_t hertz;   /* 1 .. PROFILER_HERTZ_MAX */
    int out;          /* collapsed stacks; borrowed */
    int words;        /* what it says; borrowed */
} profiler_order;

/* *ret_fd is the caller's to close, which ends the starter.  Errors: IO. */
BRISK_NODISCARD brisk_err profiler_start(int *ret_fd, brisk_errinfo *info);
/* One at a time.  Errors: UNSUPPORTED (fd 0: none was started), IO (the starter is gone). */
BRISK_NODISCARD brisk_err profiler_run(int fd, const profiler_order *order, brisk_errinfo *info);
/* Never blocks.  True: it has ended; *ret_status as waitpid gives it, -1 when the starter is gone. */
bool profiler_ended(int fd, int *ret_status);

#endif /* BRISK_SRC_DAEMON_PROFILER_H */
