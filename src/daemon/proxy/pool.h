/*
 * pool.h -- a worker's connections to the upstreams of one mount, and the worker's timer.
 *
 * Idle connections are kept youngest first: those at the end of the list are the surplus, and go after
 * `idle_ns` or when there are more of them than were busy at once in the last period.  So a pool is as
 * large as the traffic wants it, and shrinks after it.
 *
 *     proxy_worker (one a worker): timer, buffers, graves
 *         └── proxy_pool (one a mount): idle and busy links, budget, hedges
 *
 * One timer serves all: ten times a second while there is anything to watch, at the moment of the
 * next hedge when that is sooner, and not at all while nothing is open.
 *
 * A link that is closed is freed two ticks later: until then an event of the same round may name it.
 *
 * Threads: the worker's.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_POOL_H
#define BRISK_SRC_DAEMON_PROXY_POOL_H

#include <brisk/metrics.h>

#include "daemon/loop.h"
#include "daemon/proxy/upstream.h"
#include "wire/http1.h"

struct fetch;
struct proxy_link;
typedef struct proxy_pool proxy_pool;
typedef struct proxy_worker proxy_worker;

enum {
    PROXY_IN_BYTES = 131072, /* what is read at once, behind the rest of a head */
    PROXY_BUDGET = 10000,    /* a retry or a hedge costs 1000 of it */
    PROXY_BUDGET_GAIN = 200, /* ... and a request gives that much */
    PROXY_COST = 1000,
};

/* How a mount treats its upstreams. */
typedef struct proxy_manners {
    uint64_t connect_ns;
    uint64_t first_byte_ns;
    uint64_t idle_ns;       /* between two pieces of an answer */
    uint64_t keep_ns;       /* of an unused connection */
    uint64_t hedge_ns;      /* 0: no hedges */
    uint32_t hedge_percent; /* not 0: hedge at this percentile of what answers take */
    uint32_t idle_max;      /* connections kept for each upstream */
    uint32_t retries;
} proxy_manners;

/* What the cache said of an answer. */
typedef enum answer_kind {
    ANSWER_HIT = 0,
    ANSWER_COLLAPSED,
    ANSWER_STALE,
    ANSWER_URI_MISS,
    ANSWER_VARY_MISS,
    ANSWER_REQUEST,
    ANSWER_METHOD,
    ANSWER_BYPASS,
    ANSWER_PASS, /* there is none */
    ANSWER_KINDS,
} answer_kind;

enum { TALLY_FAILURES = 6 };

/* Written by the worker alone, read by whoever copies (figures.c). */
typedef struct proxy_tally {
    _Atomic uint64_t fetches;
    _Atomic uint64_t retries;
    _Atomic uint64_t hedges;
    _Atomic uint64_t hedges_won;
    _Atomic uint64_t connects;
    _Atomic uint64_t closes;
    _Atomic uint64_t reuses;
    _Atomic uint64_t failures[TALLY_FAILURES]; /* by fetch_error */
    _Atomic uint64_t answers[ANSWER_KINDS];
} proxy_tally;

static inline void tally_add(_Atomic uint64_t *sum)
{
    atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

typedef struct link_list {
    struct proxy_link *first; /* youngest */
    struct proxy_link *last;
    uint32_t count;
} link_list;

struct proxy_pool {
    proxy_worker *worker;
    upstreams *group;
    const proxy_manners *manners;
    proxy_pool *next; /* of the worker's */
    link_list *idle;  /* one for each upstream */
    link_list busy;
    uint32_t busy_peak; /* of this period */
    uint32_t keep_max;  /* the last period's */
    uint32_t ticks;
    uint32_t budget;
    struct fetch *hedge_first; /* by time */
    struct fetch *hedge_last;
    uint64_t quantile_ns;   /* of hedge_percent */
    brisk_histogram *times; /* what heads take; NULL: nobody wants to know */
    bool asked_times;
    proxy_tally tally;
};

struct proxy_worker {
    loop_source timer; /* first */
    loop *loop;
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    proxy_pool *pools;
    int timer_fd;
    uint64_t due_ns;      /* 0: not armed */
    uint64_t tick_due_ns; /* what is not a hedge waits until then */
    uint64_t random;
    struct proxy_link *graves[2]; /* to be freed at this tick, and at the one after */
    bool ended;
    unsigned char *in;                   /* PROXY_IN_BYTES */
    http_field fields[HTTP1_FIELDS_MAX]; /* of the head that is being read */
    /* Others who want a tick (health.c). */
    void (*tick)(void *ctx, uint64_t now_ns);
    void *tick_ctx;
};

BRISK_NODISCARD brisk_err proxy_worker_create(loop *on, const brisk_alloc *alloc,
                                              const brisk_clock *clock, proxy_worker **ret);
/* Closes every connection; the loop runs no more, or in its thread. */
void proxy_worker_destroy(proxy_worker *worker);
BRISK_NODISCARD brisk_err proxy_pool_create(proxy_worker *worker, upstreams *group,
                                            const proxy_manners *manners, proxy_pool **ret);
/* The timer is needed at `at_ns` at the latest. */
void proxy_worker_arm(proxy_worker *worker, uint64_t at_ns);
/* At the next tick. */
void proxy_worker_arm_tick(proxy_worker *worker, uint64_t now_ns);
uint64_t proxy_worker_random(proxy_worker *worker);

void link_list_push(link_list *list, struct proxy_link *l);
void link_list_remove(link_list *list, struct proxy_link *l);

#endif /* BRISK_SRC_DAEMON_PROXY_POOL_H */
