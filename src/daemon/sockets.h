/*
 * sockets.h -- sockets to listen at: opened, named, handed over, closed.  Knows no server.
 *
 * An address is "HOST:PORT", "[HOST]:PORT", "PORT" (this machine only) or "unix:PATH".  A host of
 * several addresses is several sockets.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_DAEMON_SOCKETS_H
#define BRISK_SRC_DAEMON_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/err.h>

enum { SOCKETS_MAX = 16, SOCKET_TEXT_MAX = 128 };

typedef struct listen_socket {
    int fd;
    bool is_unix;
    bool is_ours;  /* a path that is removed with it */
    bool is_local; /* only this machine can reach it */
    uint16_t port;
    char text[SOCKET_TEXT_MAX]; /* the address as given; a unix socket's path */
} listen_socket;

typedef struct sockets {
    listen_socket list[SOCKETS_MAX];
    uint32_t count;
    uint32_t backlog;
} sockets;

/* Listen at `address`.  Errors: INVALID, LIMIT, and what the system says; nothing is added then. */
BRISK_NODISCARD brisk_err sockets_open(sockets *self, const char *address, brisk_errinfo *info);
/* Take over `fd`, which somebody else listens at already; `text` NULL: its address.  Errors: INVALID
 * (it is no such socket; it stays open), LIMIT. */
BRISK_NODISCARD brisk_err sockets_adopt(sockets *self, int fd, const char *text,
                                        brisk_errinfo *info);
/* Those that systemd gave this process (LISTEN_FDS), which it does not give twice. */
BRISK_NODISCARD brisk_err sockets_from_systemd(sockets *self, brisk_errinfo *info);
/* Close all; `forget` leaves the paths of unix sockets to somebody else who has the sockets, too. */
void sockets_close(sockets *self, bool forget);

#endif /* BRISK_SRC_DAEMON_SOCKETS_H */
