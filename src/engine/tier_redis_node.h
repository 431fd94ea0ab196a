/*
 * tier_redis_node.h -- one server and the links to it.
 */
#ifndef BRISK_SRC_ENGINE_TIER_REDIS_NODE_H
#define BRISK_SRC_ENGINE_TIER_REDIS_NODE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/tier_redis_route.h"

typedef struct redis_place {
    redis_link *link; /* NULL or broken: to be opened */
    bool opening;
    uint32_t failures;
    uint64_t not_before_ns;
    brisk_err why; /* of the last failure */
    redis_ghost ghost;
} redis_place;

typedef struct redis_node {
    redis_address address;
    pthread_mutex_t lock;
    pthread_cond_t opened; /* monotonic clock */
    redis_place places[REDIS_LINKS_MAX];
} redis_node;

/* What opening a link needs to know; `opts.address` is the node's. */
typedef struct redis_node_opts {
    redis_link_opts link;
    uint32_t connections;
    _Atomic uint64_t connects;
    _Atomic uint64_t connect_failures;
} redis_node_opts;

/* NULL: no memory. */
redis_node *redis_node_create(const redis_address *address, const brisk_alloc *alloc);
void redis_node_destroy(redis_node *node, const brisk_alloc *alloc);
/*
 * The link for `pick`, with a reference.  When it had to be opened, the time of the operation begins
 * only now: *deadline_ns is moved.  Errors: those of redis_link_open, at once when the last try was
 * a moment ago.
 */
BRISK_NODISCARD brisk_err redis_node_link(redis_node *node, redis_node_opts *opts, uint64_t pick,
                                          uint64_t *deadline_ns, redis_link **ret);

#endif /* BRISK_SRC_ENGINE_TIER_REDIS_NODE_H */
