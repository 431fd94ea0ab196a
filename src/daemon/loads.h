/*
 * loads.h -- what other files ask of cmd_brisk.c: loads under way.
 */
#ifndef BRISK_SRC_DAEMON_LOADS_H
#define BRISK_SRC_DAEMON_LOADS_H

#include "daemon/server.h"

BRISK_NODISCARD brisk_err loads_create(server *s, struct loads **ret);
void loads_destroy(struct loads *own);
/* `key` changed: whoever waits for it looks again. */
void loads_changed(server *s, resp_bytes key);
/* The client waits no longer. */
void loads_forget(client *c);
/* The client goes: what it promised to load, somebody else must. */
void loads_release(client *c);
/* CLIENT UNBLOCK: false when it does not wait for a load. */
bool loads_unblock(client *c, bool error);
/* Leases and waits that have run out. */
void loads_tick(server *s);

typedef struct loads_figures {
    uint64_t now; /* under way */
    uint64_t leases;
    uint64_t waits;
    uint64_t timeouts;
} loads_figures;

loads_figures loads_read(const server *s);

#endif /* BRISK_SRC_DAEMON_LOADS_H */
