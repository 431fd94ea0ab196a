/*
 * store.h -- what other families use of cmd_string.c.
 */
#ifndef BRISK_SRC_DAEMON_STORE_H
#define BRISK_SRC_DAEMON_STORE_H

#include "daemon/command.h"

/* Store a value and tell of it; false: the error was sent. */
bool store_string(client *c, resp_bytes key, resp_bytes value, uint64_t expires_at_ns);

#endif /* BRISK_SRC_DAEMON_STORE_H */
