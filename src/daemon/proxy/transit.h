/*
 * transit.h -- a request on its way through the proxy, and what the parts of the proxy share.
 *
 * A transit is made with its exchange and may outlive it: what is being stored is stored to its end
 * when the client has gone.  It is freed when no exchange, no fetch, no flight and no task names it.
 *
 * Its text is the request as upstreams get it (fetch.h); its key is the cache's (entry.h).
 *
 * Threads: its worker's.  `task` comes home from others.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_TRANSIT_H
#define BRISK_SRC_DAEMON_PROXY_TRANSIT_H

#include <pthread.h>
#include <stdatomic.h>

#include <brisk/cache.h>
#include <brisk/executor.h>

#include "base/vec.h"
#include "daemon/encode/encode.h"
#include "daemon/proxy/config.h"
#include "daemon/proxy/entry.h"
#include "daemon/proxy/fetch.h"
#include "daemon/proxy/proxy.h"
#include "daemon/proxy/tape.h"
#include "daemon/server.h"

enum { FLIGHT_BUCKETS = 256, PASSES = 1024, PASS_SECONDS = 10, RESTARTS_MAX = 3, ORPHANS_MAX = 64 };

typedef struct transit transit;
typedef struct flight flight;

/* A worker's part. */
typedef struct proxy_side {
    proxy *owner;
    uint32_t index;
    loop *loop;
    proxy_worker *worker; /* NULL: not yet needed */
    proxy_pool **pools;   /* one a mount */
    _Atomic bool ready;   /* ... and they stay */
    transit *free;
    uint32_t free_count;
    transit *all;     /* that are in use */
    uint32_t orphans; /* of them, at work for the cache alone: ORPHANS_MAX, whatever clients do */
} proxy_side;

struct proxy {
    server *server;
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    proxy_mounts mounts;
    proxy_side sides[WORKERS_MAX];
    brisk_cache *cache;       /* NULL: there is none */
    brisk_executor *executor; /* for tiers that may wait */
    _Atomic uint32_t purging; /* of `purges` */
    uint32_t near;            /* the tier that does not: bit 0, or none */
    bool deep;                /* there are others */
    pthread_mutex_t lock;     /* flights, tasks */
    flight *flights[FLIGHT_BUCKETS];
    _Atomic uint64_t bodies;         /* stored so far */
    _Atomic uint64_t passes[PASSES]; /* keys that were found not to be shared lately */
    uint64_t seed;                   /* of hashes that clients must not foresee */
    pthread_cond_t idle;
    uint32_t tasks;       /* in the executor; under `lock` */
    struct purge *purges; /* URLs that are being dropped; under `lock` */
};

/* What a response looks like while it is being stored. */
typedef struct transit_store {
    bool on;
    entry_head head;
    proxy_head block;
    brisk_value *value; /* of known size */
    unsigned char *body;
    tape tape; /* the body as it comes, in `value` or in pieces; none of what came whole */
    uint64_t filled;
    char spec[PROXY_VARY_SPEC_MAX];
    BRISK_VEC(char) tags; /* Surrogate-Key, as it came */
    uint64_t epoch;
} transit_store;

struct transit {
    fetch fetch; /* first */
    transit *next;
    transit *previous;
    proxy_side *side;
    proxy_mount *mount;
    exchange *x; /* NULL: nobody waits */
    BRISK_VEC(char) text;
    BRISK_VEC(char) key; /* of the URL, with room for a variant's */
    size_t url_key_size;
    size_t key_size;
    brisk_hash128 url_hash; /* as tiers want it */
    brisk_hash128 variant;  /* when the key is longer than the URL's */
    proxy_control control;  /* of the request */
    proxy_status status;
    http_method method;
    int64_t request_ms;
    uint8_t restarts;
    bool fetching;
    bool started;      /* the answer's head is given */
    bool answered;     /* all of it */
    bool conditional;  /* our own conditions are in the request */
    bool whole_wanted; /* the client's conditions and ranges are not: for the cache */
    bool posted;       /* `task` is on its way */
    bool held;         /* by who made it, whose call may end with its fetch */
    bool orphan;       /* counted in side->orphans */
    bool away;         /* in the executor, where `x` is not to be looked at */
    bool leads;        /* its flight */
    bool waits;        /* for another one's: `flight` and `posted` are under the lock */
    bool late;         /* ... whose answer was there already */
    bool streams;      /* it leads, and its client gets what is being stored */
    bool overflows;    /* it leads what turned out to be too large to be kept */
    bool fed;          /* it waits, and may be given what comes ... */
    bool follows;      /* ... and is */
    bool full;         /* the client takes no more for now */
    bool ends;         /* nothing more comes behind what is on the tape */
    _Atomic bool told; /* `more` is on its way */
    tape_reader reader;
    _Atomic uint64_t sent;  /* of what is on the tape, to the client */
    encode_stream *encoder; /* NULL: what comes goes as it is */
    flight *flight;
    transit *next_waiter;
    brisk_hash128 shared_variant; /* of what its leader got */
    fetch_error why;              /* ... or did not; 0: it could not even ask */
    brisk_value *stale;           /* what is being validated, or may stand in; NULL: nothing */
    brisk_value *stale_front;     /* of a file */
    transit_store store;
    char seen_spec[PROXY_VARY_SPEC_MAX]; /* found under the URL's key */
    /* Home from the executor, or from a flight's leader. */
    loop_task task;
    loop_task more; /* there is more on the tape (follow.c) */
    brisk_task job;
    void (*home)(transit *t);
    brisk_value *value; /* what came with it; owned */
    brisk_value *front; /* likewise, of a file */
};

static inline transit *transit_of(fetch *f)
{
    return (transit *)f;
}

static inline proxy *proxy_of(const transit *t)
{
    return t->side->owner;
}

static inline int64_t proxy_wall_ms(const proxy *p)
{
    return (int64_t)(brisk_clock_wall_ns(p->clock) / 1000000);
}

/* --- transit.c ----------------------------------------------------------------------------- */

transit *transit_new(proxy_side *side, proxy_mount *mount, exchange *x);
/* It goes on without a client; false: too many do. */
bool transit_orphan(transit *t);
/* What is stale; false: nothing, or it is damaged. */
bool transit_stale(const transit *t, entry *e);
void transit_drop_stale(transit *t);
/* Its key is that of a variant from here on. */
void transit_set_variant(transit *t, brisk_hash128 variant);
/* Free it when nothing names it any more. */
void transit_let_go(transit *t);
void transit_destroy(transit *t);
/* The request as upstreams get it; false: there is no memory, or it cannot be asked (answered). */
bool transit_write_request(transit *t);
/* The request's fields: the client's, or what is left of them when it has gone. */
proxy_fields transit_fields(const transit *t, http_field table[PROXY_HEAD_FIELDS_MAX]);
/* Ask the mount's upstreams; `events` are the fetch's. */
void transit_fetch(transit *t, const fetch_events *events);
/* The head came: for the trace of who asks, if there is still somebody. */
void transit_replied(transit *t);
/* A copy of the client's fields, for the executor: the exchange may end meanwhile. */
bool transit_keep_fields(transit *t);
/* Run `work` in the executor, then `home` in the worker. */
void transit_leave(transit *t, void (*work)(transit *t), void (*home)(transit *t));
void transit_post(transit *t, void (*home)(transit *t));

/* --- answer.c ------------------------------------------------------------------------------ */

/* An upstream's 1xx: 102 and 103 are handed on. */
void transit_inform(fetch *f, uint16_t status, proxy_fields fields);
/* Begin or give the answer as it came. */
void transit_answer_reply(transit *t, const fetch_reply *reply);
/* Give what is stored: all, a part, 304, or 416. */
void transit_answer_entry(transit *t, const entry *e);
/* Begin the answer that is stored while it is given; false: it was damaged, and nothing was given. */
bool transit_start_entry(transit *t, const entry *e, bool sized);
void transit_answer_failure(transit *t, fetch_error why);
void transit_fail(transit *t, uint16_t status, const char *why);

/* --- compress.c ---------------------------------------------------------------------------- */

/* May an answer of `size` bytes (negative: not known) be compressed, as far as the request and that say? */
bool compress_may(const transit *t, uint16_t status, int64_t size);
/* exchange_answer, or compressed.  `fields` are the answer's; `identity` NULL: what is made is not kept. */
void compress_answer(transit *t, http_answer *answer, http_field *fields,
                     const encode_identity *identity);
/* exchange_start, exchange_write, exchange_finish, likewise. */
void compress_start(transit *t, const http_answer *answer);
bool compress_write(transit *t, const void *data, size_t size);
void compress_finish(transit *t);
/* The exchange is gone. */
void compress_end(transit *t);
/* Of a 304: the tag that the client has for it, if that is a compressed answer's. */
bool compress_tag_back(const transit *t, http_field *etag);

/* --- figures.c ----------------------------------------------------------------------------- */

/* Count an answer, by its status. */
void figures_answered(transit *t);
/* Measure what answers of that mount take, from its first question on. */
void figures_need_times(proxy_pool *pool, proxy_mount *mount);

/* --- direct.c ------------------------------------------------------------------------------ */

/* Without the cache. */
void direct_start(transit *t);
/* Go on without the cache in the middle of an answer that turned out not to be kept. */
extern const fetch_events direct_events;
void direct_body(transit *t, const void *data, size_t size);
void direct_end(transit *t);
void direct_fail(transit *t, fetch_error why);

/* --- cached.c, flight.c -------------------------------------------------------------------- */

void cached_start(transit *t);
void cached_miss(transit *t);
/* The entry for this request in `tiers`, with a reference in e->value; sets the variant's key. */
bool cached_find(transit *t, uint32_t tiers, entry *e);
bool cached_is_passed(transit *t);
void cached_pass(transit *t);
/* Answer with what was found, or validate it.  Its references are taken over. */
void cached_decide(transit *t, entry *e);
void cached_renew(transit *t, const entry *stale);
/* The upstream's answer to a HEAD, about what is stored (RFC 9111 4.3.5). */
void cached_take_head(transit *t, const fetch_reply *reply);

extern const fetch_events flight_events;
/* Wait for, or lead, the flight of t->key. */
void flight_join(transit *t);
/* Likewise, if there is one. */
bool flight_wait(transit *t);
/* The client takes more. */
void flight_writable(transit *t);
/* Mark flights of a URL: what they bring is outdated. */
void flight_spoil(proxy *p, const char *url, size_t size);
/* Likewise all: which of them has a tag is not known here. */
void flight_spoil_all(proxy *p);
void flight_leave(transit *t);
/* The leader stops in the middle; of those who wait one begins anew. */
void flight_give_up(transit *t);
/* At the end: without telling anybody. */
void flight_discard(transit *t);

/* --- store.c ------------------------------------------------------------------------------- */

/* Begin to keep the response, if it may be kept; sets status.detail when not. */
bool store_begin(transit *t, const fetch_reply *reply);
/* Was it the request's own fields that kept it out?  Others' answers may be kept. */
bool store_was_personal(const transit *t);
bool store_body(transit *t, const void *data, size_t size);
/* The value; NULL: it could not be kept.  The caller owns a reference. */
brisk_value *store_end(transit *t);
void store_drop(transit *t);
/* The stored response as a 304 changes it. */
brisk_value *store_renew(transit *t, const entry *old, const fetch_reply *reply);
/* Put `value` under the request's key: into all tiers, or the near one when there are others. */
void store_put(transit *t, brisk_value *value);
/* In the executor: t->value, into all tiers. */
void store_put_deep(transit *t);

/* --- purge.c ------------------------------------------------------------------------------- */

void purge_start(transit *t);
/* After an unsafe method that was no error. */
void purge_after(transit *t, const fetch_reply *reply);
/* What is stored of its URL is outdated. */
void purge_url(transit *t);
/* Is its URL being dropped?  What tiers still have of it is not to be used. */
bool purge_is_at(transit *t);

/* --- health.c ------------------------------------------------------------------------------ */

BRISK_NODISCARD brisk_err health_start(proxy_side *side);
void health_stop(proxy_side *side);

#endif /* BRISK_SRC_DAEMON_PROXY_TRANSIT_H */
