/*
 * tier_socket.h -- sockets of shared tiers: connect and wait, both with a deadline.
 */
#ifndef BRISK_SRC_ENGINE_TIER_SOCKET_H
#define BRISK_SRC_ENGINE_TIER_SOCKET_H

#include <stdint.h>

#include <brisk/base.h>
#include <brisk/err.h>

/*
 * A connected socket, blocking, without delay.  `port` 0: `host` is the path of a unix socket.
 * Names are resolved by the system, which knows no deadline; addresses cost nothing.
 * Errors with `info`: DEADLINE, NOT_FOUND (the name), IO, INVALID, LIMIT ... of the system calls.
 */
BRISK_NODISCARD brisk_err tier_socket_connect(const char *host, uint16_t port, uint64_t deadline_ns,
                                              int *ret, brisk_errinfo *info);
/* Until `events` (POLLIN, POLLOUT) or an error of the socket; DEADLINE. */
BRISK_NODISCARD brisk_err tier_socket_wait(int fd, short events, uint64_t deadline_ns);

#endif /* BRISK_SRC_ENGINE_TIER_SOCKET_H */
