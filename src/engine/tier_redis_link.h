/*
 * tier_redis_link.h -- one connection to a Redis, shared by all threads that want it.
 *
 * A thread appends its commands to the link's output and its calls to the list of those that wait
 * for replies, sends, and waits.  There is no thread for input: one of those that wait is the
 * reader, hands the others their replies, and when it has its own makes another one the reader.
 * So a lone caller costs what blocking input costs, and many callers are a pipeline:
 *
 *     thread A  ─ append ─ send ─ read ─ own reply, B's reply, own done ─┐ hands over
 *     thread B       ─ append ─ send ─ wait .......... done              │
 *     thread C            ─ append ─ (A or B is sending: they take it) ──┴► read ...
 *
 * Replies come in the order of calls.  A call that is not answered in time breaks the link: what
 * came later could not be told from the late reply.  Everybody else's calls fail with it, quickly.
 *
 * Threads: any.  Ownership: a link is counted; whoever uses it holds a reference.
 */
#ifndef BRISK_SRC_ENGINE_TIER_REDIS_LINK_H
#define BRISK_SRC_ENGINE_TIER_REDIS_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "engine/tier_redis_url.h"
#include "wire/resp.h"
#include "wire/tls.h"

typedef struct redis_link redis_link;

/* One command that waits for its reply; in the caller's storage until redis_link_wait returns. */
typedef struct redis_call {
    /* The reply, in whichever thread reads: short, and not back into the link.  NULL: not wanted. */
    void (*take)(struct redis_call *call, const resp_replies *reply);
    brisk_err err; /* OK when take was called */
    struct redis_call *next_;
    _Atomic uint32_t state_;
} redis_call;

/* What a server needs to be told of a link that was given up: which of its clients that was. */
typedef struct redis_ghost {
    int64_t id; /* 0: unknown */
    char address[REDIS_HOST_MAX + 8];
} redis_ghost;

typedef struct redis_link_opts {
    const redis_address *address;
    /* May be NULL: a client of ours that the server is to drop first, so that nothing it was sent
     * and has not read yet is done later. */
    const redis_ghost *ghost;
    wire_tls_context *tls; /* NULL: plain */
    const char *user;
    const char *password; /* "" for neither */
    uint32_t db;
    uint64_t connect_timeout_ns;
    uint64_t timeout_ns; /* of one operation */
    uint64_t reply_bytes_max;
    const brisk_alloc *alloc;
} redis_link_opts;

/*
 * Connect, TLS, HELLO or AUTH, SELECT.
 * Errors with `info`: DEADLINE, IO (refused, reset ...), PERMISSION (password, certificate),
 * CORRUPT (no Redis), NOMEM.
 */
BRISK_NODISCARD brisk_err redis_link_open(const redis_link_opts *opts, redis_link **ret,
                                          brisk_errinfo *info);
redis_link *redis_link_ref(redis_link *link);
void redis_link_unref(redis_link *link); /* NULL is accepted; the last one closes */
bool redis_link_is_broken(redis_link *link);
/* Of a broken link: its client, when something it was sent may not have been done yet. */
void redis_link_ghost(redis_link *link, redis_ghost *ret);
/* Say that it is of no use any more (a server that became a replica, say); also ends a listen. */
void redis_link_break(redis_link *link, brisk_err why);

/* The output, locked: put whole commands into it, then redis_link_commit. */
resp_writer *redis_link_begin(redis_link *link);
/*
 * Unlock; send.  `calls[i]` is for the i-th command.  When the commands could not be written, or
 * the link is broken, the calls have failed.  `deadline_ns` is on the monotonic clock.
 */
void redis_link_commit(redis_link *link, redis_call *const *calls, uint32_t count,
                       uint64_t deadline_ns);
/* Until `call` is done; wait for calls of one link in their order. */
void redis_link_wait(redis_link *link, redis_call *call, uint64_t deadline_ns);

/*
 * For the thread that listens: wait until `until_ns` for anything that comes in, and give pushes
 * (of RESP3, or the arrays that a subscribed RESP2 connection gets) to `take`.  Nobody else may
 * use the link.  OK also when nothing came.  Errors: why the link is broken now.
 */
BRISK_NODISCARD brisk_err redis_link_listen(redis_link *link, redis_call *take, uint64_t until_ns);
uint8_t redis_link_protocol(const redis_link *link); /* 2 or 3 */

#endif /* BRISK_SRC_ENGINE_TIER_REDIS_LINK_H */
