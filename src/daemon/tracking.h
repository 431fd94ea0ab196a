/*
 * tracking.h -- CLIENT TRACKING: telling clients that what they keep is no longer so.
 *
 *     default   what a client read is remembered (key -> numbers of clients) and told once
 *     BCAST     a client names prefixes and is told of every change under them, once a batch
 *
 * The table of what was read is bounded (tracking-table-max-keys): beyond, some keys are told as if
 * they had changed.  A client that turns tracking off stays in it and is skipped, as in Redis.
 */
#ifndef BRISK_SRC_DAEMON_TRACKING_H
#define BRISK_SRC_DAEMON_TRACKING_H

#include "daemon/server.h"

typedef struct tracking tracking;

typedef struct tracking_figures {
    uint64_t clients;
    uint64_t keys;
    uint64_t items;
    uint64_t prefixes;
} tracking_figures;

BRISK_NODISCARD brisk_err tracking_create(const brisk_alloc *alloc, tracking **ret);
void tracking_destroy(tracking *tr);
/* After a command that reads: the client wants to know of its keys' next change. */
void tracking_remember(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc);
/* `key` changed by `c`, or by itself (NULL). */
void tracking_changed(server *s, client *c, resp_bytes key);
/* All keys are gone. */
void tracking_changed_all(server *s);
/* Send what BCAST clients are to be told; after every batch. */
void tracking_broadcast(server *s);
/* Keep the table's bound. */
void tracking_limit(server *s);
void tracking_set_max(server *s, uint64_t keys_max);
uint64_t tracking_max(const server *s);
/* Tracking is on for `c` with these CLIENT_TRACKING_ flags. */
void tracking_enable(client *c, uint32_t flags, uint64_t redirect);
/* One more prefix of a BCAST client; false: out of memory. */
bool tracking_add_prefix(client *c, resp_bytes prefix);
/* Tracking is off for `c`. */
void tracking_disable(client *c);
/* Does anybody want to know which keys change? */
bool tracking_is_used(const server *s);
tracking_figures tracking_read(const server *s);

#endif /* BRISK_SRC_DAEMON_TRACKING_H */
