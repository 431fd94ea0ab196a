/*
 * handover.h -- how a supervisor starts a worker process, and what the two say to each other.
 *
 * A worker is the same program with the same arguments; a variable of its environment names the
 * descriptors it inherits: one end of a stream, and the sockets to listen at.  Over the stream the
 * worker says words of one letter:
 *
 *     R  ready: it accepts         H  it has read its settings again (h: it could not)
 *     A  alive, about every second    N  settings have changed that need another process
 *
 * and it ends when the stream does, since then the supervisor is gone.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_DAEMON_HANDOVER_H
#define BRISK_SRC_DAEMON_HANDOVER_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include <brisk/err.h>

#include "daemon/sockets.h"

enum {
    HANDOVER_READY = 'R',
    HANDOVER_ALIVE = 'A',
    HANDOVER_RELOADED = 'H',
    HANDOVER_REFUSED = 'h',
    HANDOVER_REPLACE = 'N',
};

/* The program and its arguments, as they were when this process began. */
typedef struct handover_program {
    char path[4096];
    char *text; /* all arguments, each with its NUL */
    char **argv;
    size_t text_size;
    size_t count;
} handover_program;

BRISK_NODISCARD brisk_err handover_remember(handover_program *ret, brisk_errinfo *info);
void handover_forget(handover_program *program);

/* Start a worker: *ret_pid, and *ret_fd to hear it.  `mask` is its mask of signals. */
BRISK_NODISCARD brisk_err handover_start(const handover_program *program, const sockets *give,
                                         const sigset_t *mask, pid_t *ret_pid, int *ret_fd);
/* In a worker: take what was given, once.  *ret_fd is -1 when there is no supervisor. */
BRISK_NODISCARD brisk_err handover_take(sockets *ret, int *ret_fd, brisk_errinfo *info);

#endif /* BRISK_SRC_DAEMON_HANDOVER_H */
