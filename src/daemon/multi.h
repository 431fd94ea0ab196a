/*
 * multi.h -- transactions: what other files ask of cmd_multi.c.
 */
#ifndef BRISK_SRC_DAEMON_MULTI_H
#define BRISK_SRC_DAEMON_MULTI_H

#include "daemon/server.h"

/* Run at once in a transaction, not queued: EXEC, DISCARD, MULTI, WATCH, QUIT, RESET. */
bool multi_is_immediate(const command *cmd);
/* Does a queued command write? */
bool multi_writes(const client *c);
/* `key` changed: whoever watches it will not EXEC. */
void multi_touch(server *s, resp_bytes key);
/* Every key changed. */
void multi_touch_all(server *s);
void multi_unwatch(client *c);

#endif /* BRISK_SRC_DAEMON_MULTI_H */
