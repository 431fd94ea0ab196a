/*
 * tier_redis_route.h -- which server a key belongs to, its connections, and asking it.
 *
 *     op ──► slot ──► node ──► one of its links ──► reply ──► MOVED: another node, remembered
 *             CRC16    map      by the key's hash             ASK:   another node, this time
 *
 * One server is a cluster of one node, without slots.  A key always takes the same link of a node,
 * so that what one thread after the other asks of it is done in that order.
 *
 * A link that breaks is replaced by the next caller; after failures not before a pause with
 * jitter has passed, during which callers fail at once.
 *
 * Threads: any.  Locks: the router's, a node's, then a link's; none is held while waiting for a
 * server, except the one that keeps two threads from fetching the map.
 */
#ifndef BRISK_SRC_ENGINE_TIER_REDIS_ROUTE_H
#define BRISK_SRC_ENGINE_TIER_REDIS_ROUTE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "engine/shared_entry.h"
#include "engine/tier_redis_link.h"
#include "engine/tier_redis_url.h"

enum {
    REDIS_SLOTS = 16384,
    REDIS_NODES_MAX = 512,
    REDIS_LINKS_MAX = 16,
    REDIS_REDIRECTS_MAX = 5,
    REDIS_OP_SMALL = 512,
    REDIS_OP_TEXT = 320 /* "MOVED", a slot and the longest host */,
};

/* A command with its reply. */
typedef struct redis_op {
    redis_call call; /* first: what the link knows */
    /* Write the command; again when it has to be asked elsewhere. */
    void (*encode)(const struct redis_op *op, resp_writer *out);
    const void *ctx;
    /* Of an aggregate reply, in whichever thread reads.  NULL: not wanted. */
    void (*visit)(struct redis_op *op, const resp_node *node);
    void *visit_ctx;
    uint64_t pick; /* hash of the key: which link */
    uint16_t slot;
    const brisk_alloc *alloc;
    redis_link *link; /* while it is asked */
    /* Afterwards. */
    brisk_err err; /* OK: the reply is no error */
    resp_type type;
    int64_t integer;
    char text[REDIS_OP_TEXT]; /* of an error or a status, printable */
    shared_block *block;      /* a large bulk reply, the caller's; or in `small` */
    size_t small_size;
    unsigned char small[REDIS_OP_SMALL];
} redis_op;

typedef struct redis_router_opts {
    const redis_url *url;  /* copied */
    wire_tls_context *tls; /* the router's from then on; NULL: plain */
    uint64_t timeout_ns;
    uint64_t connect_timeout_ns;
    uint64_t reply_bytes_max;
    uint32_t connections;
    const brisk_alloc *alloc;
} redis_router_opts;

typedef struct redis_router redis_router;

typedef struct redis_router_stats {
    uint64_t connects;
    uint64_t connect_failures;
    uint64_t redirects;
    uint64_t refreshes;
    uint32_t nodes;
} redis_router_stats;

/* Connects nothing.  On failure the TLS context is still the caller's. */
BRISK_NODISCARD brisk_err redis_router_create(const redis_router_opts *opts, redis_router **ret);
void redis_router_destroy(redis_router *router);

/* A command as its words, for redis_encode_words; op->ctx. */
typedef struct redis_words {
    uint32_t count;
    resp_bytes words[10];
} redis_words;

void redis_encode_words(const redis_op *op, resp_writer *out);
static inline resp_bytes redis_word(const char *text)
{
    return (resp_bytes){(const unsigned char *)text, strlen(text)};
}

/* What routes an op: the slot of `key` (CRC16, hash tags) and its hash. */
void redis_op_init(redis_op *op, const redis_router *router, const void *key, size_t size);
void redis_op_deinit(redis_op *op); /* frees a block that nobody took */
uint16_t redis_slot_of(const void *key, size_t size);

/* Ask, wherever it leads, until the deadline (monotonic clock); op->err says how it went. */
void redis_router_run(redis_router *router, redis_op *op, uint64_t deadline_ns);
/* All at once: those for one link go out together. */
void redis_router_run_many(redis_router *router, redis_op *ops, uint32_t count,
                           uint64_t deadline_ns);
/* On each node that has slots: for commands without a key. */
typedef void (*redis_each_fn)(void *ctx, redis_router *router, uint32_t node);
void redis_router_each(redis_router *router, redis_each_fn fn, void *ctx, uint64_t deadline_ns);
void redis_router_run_on(redis_router *router, uint32_t node, redis_op *op, uint64_t deadline_ns);
/* A link of one's own to the node of `slot`, for listening.  Errors as redis_link_open. */
BRISK_NODISCARD brisk_err redis_router_open(redis_router *router, uint16_t slot, redis_link **ret,
                                            brisk_errinfo *info);
const brisk_alloc *redis_router_alloc(const redis_router *router);
void redis_router_read_stats(const redis_router *router, redis_router_stats *ret);

#endif /* BRISK_SRC_ENGINE_TIER_REDIS_ROUTE_H */
