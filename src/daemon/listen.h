/*
 * listen.h -- the server's sockets: watched by every worker, accepted at, given back.
 *
 * Threads: listen_start and listen_at_port by one at a time, before the workers run or under the
 * server's lock; listen_stop by whoever ends the server.
 */
#ifndef BRISK_SRC_DAEMON_LISTEN_H
#define BRISK_SRC_DAEMON_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/err.h>

#include "daemon/loop.h"
#include "daemon/sockets.h"

typedef struct server server;

typedef struct worker worker;

typedef struct listener {
    listen_socket socket;
} listener;

/* A listener as one worker sees it. */
typedef struct acceptor {
    loop_source source; /* first */
    worker *worker;
    const listener *listener;
} acceptor;

/* A worker's part in listening. */
typedef struct accepting {
    acceptor at[SOCKETS_MAX];
    uint32_t count;
    int fd_end;   /* connections have lower numbers than this */
    int spare_fd; /* given up for a moment when there is no descriptor for a connection; -1: none */
    loop_task stop;
} accepting;

/* Before listen_start, for each worker. */
void accepting_init(accepting *self);
void accepting_deinit(accepting *self);

/* Accept at `sockets`, which are the server's from now on, also when this fails. */
BRISK_NODISCARD brisk_err listen_start(server *s, sockets *from, brisk_errinfo *info);
/* No more connections: every worker leaves the sockets, the last one closes them. */
void listen_stop(server *s);
/* Listen also at `port` (0: at none but the other addresses); false: it cannot. */
bool listen_at_port(server *s, uint16_t port);
/* The first port; 0: there is none. */
uint16_t listen_port(const server *s);
/* The path of the first unix socket, "" when there is none. */
const char *listen_unix_path(const server *s);

#endif /* BRISK_SRC_DAEMON_LISTEN_H */
