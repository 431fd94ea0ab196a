/*
 * drain.h -- connections leave before their server does.
 *
 * Begun, nobody is accepted any more; whatever is under way is answered.  HTTP/1.1 says "connection:
 * close" with its next answer, other protocols say what they have to by their hook (protocol.drain).
 * When another process takes over, a connection that is merely quiet is given a moment first, so
 * that a request which is on its way to us still finds us.
 *
 * Threads: drain_begin and drain_wait by whoever ends the server; drain_tick by each worker.
 */
#ifndef BRISK_SRC_DAEMON_DRAIN_H
#define BRISK_SRC_DAEMON_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/server.h"

/* `taken_over`: others answer at the same addresses. */
void drain_begin(server *s, bool taken_over);
/* Connections that are still there. */
uint32_t drain_left(const server *s);
/* Ten times a second. */
void drain_tick(worker *w);

#endif /* BRISK_SRC_DAEMON_DRAIN_H */
