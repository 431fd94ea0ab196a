/*
 * http_internal.h -- what the parts of the HTTP client share.
 *
 *     submit ─► incoming ─► host.waiting ─► transfer ─► done ─► callback or queue
 *     (any        (lock)      │   ▲          │   │
 *      thread)                │   └─ paused ◄┘   └─► another host.waiting (redirection)
 *
 * A call is one request until its answer; a transfer is one attempt at it, two when it is hedged.
 * A call is in one of the lists above, always in `live`, and has transfers only in RUNNING.
 *
 * Threads: everything here is the client's thread's, but for what says `lock`.
 * Locks: client.lock; a queue's.  Both are leaves: callbacks run under none.
 */
#ifndef BRISK_SRC_IO_HTTP_INTERNAL_H
#define BRISK_SRC_IO_HTTP_INTERNAL_H

#include <pthread.h>

#include <brisk/http_client.h>
#include <brisk/rng.h>

#include "base/thread.h"
#include "io/http_curl.h"
#include "io/http_head.h"
#include "io/http_url.h"

enum {
    HTTP_BODY_TAIL = 16,
    HTTP_PRIORITIES = 3,
    HTTP_HOSTS_KEPT = 64, /* more are forgotten when nothing is asked of them */
    HTTP_HANDLES_KEPT = 256,
    HTTP_2_CONNECTIONS = 2, /* to a host, when one has too few streams for us */
};

typedef struct http_call http_call;
typedef struct http_transfer http_transfer;
typedef struct http_host http_host;

typedef struct http_list {
    http_call *first;
    http_call *last;
    uint32_t count;
} http_list;

/* What brisk_http_response really is. */
typedef struct http_answer {
    brisk_http_response base; /* first */
    const brisk_alloc *alloc;
    size_t body_capacity; /* of the block at base.body */
    size_t body_align;
    size_t location_size;
    size_t expanded_max;
    struct http_answer *next; /* in a queue */
} http_answer;

typedef enum http_state { HTTP_WAITING, HTTP_PAUSED, HTTP_RUNNING, HTTP_DONE } http_state;

struct http_call {
    http_call *next; /* in `list` */
    http_call *prev;
    http_list *list;
    http_call *live_next; /* lock */
    http_call *live_prev; /* lock */
    http_call *cancel_next;
    bool cancelled; /* lock */
    http_state state;
    http_host *host;
    http_answer *answer;
    const char *method;
    const char *url;
    char *url_followed;    /* after a redirection; BRISK_HTTP_URL_MAX bytes */
    const char *condition; /* If-None-Match: ... or NULL */
    const char **headers;
    uint32_t header_count;
    const void *body;
    size_t body_size;
    void *packed; /* the body as gzip, or NULL */
    size_t packed_size;
    size_t packed_capacity;
    bool idempotent;
    bool plain;
    bool elsewhere;  /* a redirection has left the first origin */
    bool not_hedged; /* it was not in the budget */
    uint32_t redirects_left;
    uint32_t retries_left;
    brisk_http_priority priority;
    uint64_t body_bytes_max;
    uint64_t submitted_ns;
    uint64_t deadline_ns;
    uint64_t not_before_ns;
    http_transfer *transfers[2];
    brisk_http_done_fn done;
    brisk_http_queue *queue;
    size_t block_size; /* of this and its strings */
};

struct http_transfer {
    http_transfer *next; /* of those that run, or are idle */
    http_transfer *prev;
    CURL *easy;
    http_call *call;
    struct curl_slist *headers;
    brisk_http_client *client;
    bool hedge;
    bool head_ended;
    bool packed;     /* the body went as gzip */
    brisk_err err;   /* why a callback, or a timer, ended it */
    const char *why; /* likewise, a constant */
    size_t head_bytes;
    uint64_t started_ns;
    uint64_t tls_begun_ns;
    uint64_t first_byte_ns;
    uint64_t last_byte_ns;
    unsigned char *body;
    size_t body_size;
    size_t body_capacity; /* HTTP_BODY_TAIL included */
    uint64_t body_bytes_max;
    http_head head;
};

/* Bytes a second while something is under way: an average of windows of 100 ms. */
typedef struct http_meter {
    uint64_t begun_ns;
    uint64_t bytes; /* in this window */
    uint64_t rate;
} http_meter;

struct http_host {
    http_host *next; /* lock, for writing */
    http_list waiting[HTTP_PRIORITIES];
    uint32_t calls; /* that name it, wherever they are */
    uint32_t in_flight;
    uint32_t version;
    double limit;
    double limit_max; /* from in_flight_max down to what HTTP/2 allows on one connection */
    bool slow_start;
    bool connected; /* an answer came since something is under way */
    uint64_t latency_min_ns;
    uint64_t latency_ns;
    uint64_t decreased_ns;
    uint64_t round_begun_ns; /* a round: as many answers as the window is wide */
    uint32_t round_answers;
    bool round_used;    /* all of the window, so far */
    double rate_before; /* answers a second, before the window shrank; 0: nothing is being tried */
    double limit_before;
    uint32_t settling; /* rounds that say nothing about that yet */
    uint32_t held;     /* rounds in which shrinking is not tried again */
    uint64_t paused_until_ns;
    uint64_t heard_ns;      /* a byte of any answer */
    uint32_t retry_budget;  /* hundredths of a repetition */
    uint32_t failures;      /* in a row */
    uint64_t failed_ns;     /* the last of them; what began before says nothing new */
    uint64_t alone_for_ns;  /* 0: it is well */
    uint64_t alone_till_ns; /* then one request at a time */
    const char *failure;    /* the last, a constant */
    uint64_t rtt_read_ns;
    http_meter meter;
    brisk_http_host_stats counts;    /* what is only counted */
    brisk_http_host_stats published; /* lock */
    char origin[HTTP_ORIGIN_MAX];
};

/* The options, with defaults in place and strings of our own. */
typedef struct http_settings {
    brisk_http_client_opts o;
    const char *headers[BRISK_HTTP_HEADERS_MAX];
    http_token *tokens;
    char *strings;
    size_t strings_size;
} http_settings;

struct brisk_http_client {
    const brisk_alloc *alloc;
    http_settings settings;
    brisk_thread thread;
    pthread_mutex_t lock;
    http_list incoming;         /* lock */
    http_call *live;            /* lock */
    uint32_t live_count;        /* lock */
    uint64_t next_id;           /* lock */
    bool stop;                  /* lock */
    bool cancel_some;           /* lock */
    bool asleep;                /* lock */
    uint64_t submitted;         /* lock */
    CURLM *wakeable;            /* lock; NULL: `woken` is heard */
    pthread_cond_t woken;       /* lock */
    brisk_http_stats published; /* lock */
    http_host *hosts;           /* lock, for writing */
    const http_curl *so;        /* what follows is the thread's */
    CURLM *multi;
    http_transfer *running;
    http_transfer *idle;
    uint32_t idle_count;
    bool wide; /* some host has HTTP/1.1: a pool of connections to a host */
    http_list paused;
    http_list done;
    brisk_http_stats stats;
    brisk_rng rng;
    uint64_t check_ns; /* when a timer may have run out */
    uint64_t used_ns;  /* when the last transfer ended */
    http_meter meter;
};

/* --- http_call.c ---------------------------------------------------------------------------- */

BRISK_NODISCARD brisk_err http_call_create(const brisk_http_client *client,
                                           const brisk_http_request *request, http_call **ret,
                                           brisk_errinfo *info);
void http_call_destroy(brisk_http_client *client, http_call *call); /* with an answer still there */
bool http_is_header(const char *text);
/* Whether two lines "Name: ..." have the same name. */
bool http_same_name(const char *a, const char *b);
void http_list_append(http_list *list, http_call *call);
void http_list_prepend(http_list *list, http_call *call);
void http_list_remove(http_call *call);

/* --- http_settings.c ------------------------------------------------------------------------ */

BRISK_NODISCARD brisk_err http_settings_init(http_settings *settings, const brisk_alloc *alloc,
                                             const brisk_http_client_opts *opts,
                                             brisk_errinfo *info);
void http_settings_deinit(http_settings *settings, const brisk_alloc *alloc);

/* --- http_compress.c ------------------------------------------------------------------------ */

/* In the submitter's thread, before the client has the call.  Does nothing when it cannot. */
void http_call_compress(brisk_http_client *client, http_call *call, brisk_http_compress wish);
/* What the next attempt sends. */
size_t http_call_body(const http_call *call, const void **body, bool *packed);
/* What an answer says about it: whether the call is to be sent again, plain. */
bool http_learn_compression(http_transfer *t);

/* --- http_answer.c -------------------------------------------------------------------------- */

BRISK_NODISCARD brisk_err http_answer_create(const brisk_alloc *alloc, http_answer **ret);
void http_answer_take_body(http_answer *answer, http_transfer *t);
void http_queue_push(brisk_http_queue *queue, http_answer *answer);

/* --- http_host.c ---------------------------------------------------------------------------- */

/* Errors: NOMEM. */
BRISK_NODISCARD brisk_err http_host_find(brisk_http_client *client, const char *origin,
                                         http_host **ret);
void http_hosts_destroy(brisk_http_client *client);
uint32_t http_host_room(const brisk_http_client *client, const http_host *host, uint64_t now_ns);
void http_host_set(http_call *call, http_host *host); /* NULL: it leaves its host */
http_call *http_host_next(http_host *host, brisk_http_priority class); /* out; NULL: none */
void http_host_answered(const brisk_http_client *client, http_host *host, uint64_t latency_ns,
                        uint64_t now_ns);
/* 429, 503, a lost connection; pause_ns: what Retry-After asked for, or 0. */
void http_host_pushed_back(const brisk_http_client *client, http_host *host, uint64_t pause_ns,
                           uint64_t now_ns);
/* An answer came, on a new connection or on one that was there. */
void http_host_connected(http_host *host, bool fresh);
void http_host_publish(brisk_http_client *client, uint64_t now_ns); /* lock */

/* --- http_health.c -------------------------------------------------------------------------- */

/* A request for it has come, and with it a part of a repetition. */
void http_budget_earn(const brisk_http_client *client, http_host *host);
bool http_budget_spend(http_host *host); /* false: there is nothing left */
bool http_host_is_alone(const http_host *host, uint64_t now_ns);
brisk_http_health http_host_health(const http_host *host, uint64_t now_ns);
void http_host_well(http_host *host); /* it has answered */
/* An attempt, begun then, had no answer; `why`: a constant. */
void http_host_failed(const brisk_http_client *client, http_host *host, uint64_t begun_ns,
                      const char *why);
/* What waits for it fails. */
void http_host_give_up(brisk_http_client *client, http_host *host);
void http_meter_begin(http_meter *meter, uint64_t now_ns); /* idle time is no bandwidth */
void http_meter_roll(http_meter *meter, uint64_t now_ns);
void http_host_read_rtt(brisk_http_client *client, http_host *host, CURL *easy, uint64_t now_ns);

/* --- http_transfer.c ------------------------------------------------------------------------ */

/* Begin an attempt.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err http_transfer_start(brisk_http_client *client, http_call *call,
                                              bool hedge, uint64_t now_ns);
/* Out of the multi handle, the lists and its call; kept for the next one. */
void http_transfer_stop(brisk_http_client *client, http_transfer *t);
void http_transfers_destroy(brisk_http_client *client);
/* What kept an answer from coming; OK: nothing did.  *why: a constant. */
BRISK_NODISCARD brisk_err http_transfer_judge(const http_transfer *t, CURLcode code,
                                              const char **why);
bool http_transfer_is_transient(const http_transfer *t, CURLcode code);
/* When a phase of it ends, by the settings; *why: what to say then. */
uint64_t http_transfer_due(const brisk_http_client *client, const http_transfer *t,
                           const char **why);
void http_transfer_report(const brisk_http_client *client, http_transfer *t, http_answer *answer);
uint64_t http_transfer_latency(const brisk_http_client *client, const http_transfer *t);

/* --- http_loop.c ---------------------------------------------------------------------------- */

void http_loop_run(void *ctx);
/* A timer runs out then. */
void http_loop_at(brisk_http_client *client, uint64_t ns);

/* --- http_outcome.c ------------------------------------------------------------------------- */

/* An attempt is over: answer, retry, follow, or wait for the other one. */
void http_outcome(brisk_http_client *client, http_transfer *t, CURLcode code, uint64_t now_ns);
/* The call is over with an error: transfers stopped, answer filled in, in client->done. */
void http_fail(brisk_http_client *client, http_call *call, brisk_err err, const char *why);
/* Into the list of its host, which its URL names. */
void http_admit(brisk_http_client *client, http_call *call, bool front);

#endif /* BRISK_SRC_IO_HTTP_INTERNAL_H */
