/*
 * pubsub.h -- channels and patterns, and who listens.
 *
 * Three name spaces of the same make: channels, patterns, shard channels.  Each is a dict from name
 * to the clients that listen, and each client has a dict of its own names, so that a client that
 * goes is found in O(its own).
 */
#ifndef BRISK_SRC_DAEMON_PUBSUB_H
#define BRISK_SRC_DAEMON_PUBSUB_H

#include "daemon/server.h"

typedef struct pubsub pubsub;

BRISK_NODISCARD brisk_err pubsub_create(const brisk_alloc *alloc, pubsub **ret);
void pubsub_destroy(pubsub *ps);
/* Give `message` to all who listen; returns how many. */
uint32_t pubsub_publish(server *s, resp_bytes channel, resp_bytes message);
/* The client listens to nothing any more, and is not told. */
void pubsub_forget(client *c);
uint32_t pubsub_channel_count(const server *s);
uint32_t pubsub_pattern_count(const server *s);
uint32_t pubsub_shard_channel_count(const server *s);

#endif /* BRISK_SRC_DAEMON_PUBSUB_H */
