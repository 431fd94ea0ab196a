/*
 * listen.h -- the server's sockets: watched, accepted at, given back.
 *
 * Threads: worker 0's; before the workers run and after they ended, one at a time.
 */
#ifndef BRISK_SRC_DAEMON_LISTEN_H
#define BRISK_SRC_DAEMON_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/err.h>

#include "daemon/loop.h"
#include "daemon/sockets.h"

typedef struct server server;

typedef struct listener {
    loop_source source; /* first */
    server *server;
    listen_socket socket;
} listener;

/* Accept at `sockets`, which are the server's from now on, also when this fails. */
BRISK_NODISCARD brisk_err listen_start(server *s, sockets *from, brisk_errinfo *info);
/* No more connections. */
void listen_stop(server *s);
/* Listen also at `port` (0: at none but the other addresses); false: it cannot. */
bool listen_at_port(server *s, uint16_t port);
/* The first port; 0: there is none. */
uint16_t listen_port(const server *s);
/* The path of the first unix socket, "" when there is none. */
const char *listen_unix_path(const server *s);

#endif /* BRISK_SRC_DAEMON_LISTEN_H */
