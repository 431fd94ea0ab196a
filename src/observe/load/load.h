/*
 * load.h -- the parts of `brisk bench load`, and the life of a request:
 *
 *     schedule ──► due ──► a connection is free ──► sent ──► answered
 *        └──────────────── latency counts from here ────────────┘
 *
 * In open loop (a rate) a request is due whether the server keeps up or not, and what it waits for a free
 * connection counts: a stall of the server is seen by all requests that would have come meanwhile, not by one
 * for each connection (coordinated omission).  In closed loop (users) each connection is a user who sends the next
 * request when the last one was answered.
 *
 *     target.c    what the address says; loopback or not
 *     template.c  commands with {n}, {v}; which keys (uniform, zipf)
 *     http.c      answers of HTTP/1.1
 *     conn.c      one connection
 *     worker.c    one thread: its schedule, its connections
 *     run.c       a step over all threads, its figures; ramps and the knee
 *     print.c     text and JSON
 *     cmd_load.c  the command
 *
 * Threads: a worker's state belongs to its thread while a step runs, to the command's otherwise.
 * Sources: G. Tene, "How NOT to Measure Latency" (2015); wrk2.
 */
#ifndef BRISK_SRC_OBSERVE_LOAD_LOAD_H
#define BRISK_SRC_OBSERVE_LOAD_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include <brisk/arena.h>
#include <brisk/command.h>
#include <brisk/err.h>
#include <brisk/hist.h>
#include <brisk/rng.h>

#include "base/thread.h"
#include "observe/load/http.h"
#include "wire/resp.h"

enum {
    LOAD_CONNECTIONS_MAX = 10000,
    LOAD_THREADS_MAX = 64,
    LOAD_TEMPLATES_MAX = 64,
    LOAD_PIPELINE_MAX = 1024,
    LOAD_STEPS_MAX = 64,
    LOAD_VALUE_MAX = 16 << 20,
    LOAD_REQUEST_MAX = 64 << 20,
    LOAD_ANSWER_MAX = 64 << 20,
    LOAD_TEXT_MAX = 128,
};

static const uint64_t load_second_ns = UINT64_C(1000000000);
static const uint64_t load_late_ns = UINT64_C(1000000); /* sent later than this is late */

/* --- target.c ----------------------------------------------------------------------------- */

typedef struct load_target {
    bool resp; /* otherwise HTTP */
    char host[256];
    char port[8];
    char path[2048]; /* HTTP: with its query, may have {n} */
    uint32_t database;
    struct sockaddr_storage address;
    socklen_t address_size;
    bool loopback;
} load_target;

/* "http://HOST[:PORT][/PATH]" or "resp://HOST[:PORT][/DB]".  Errors: INVALID with `info`. */
BRISK_NODISCARD brisk_err load_target_parse(const char *text, load_target *ret,
                                            brisk_errinfo *info);
/* Find its address.  Errors: NOT_FOUND, PERMISSION (not this machine, and not `remote_ok`). */
BRISK_NODISCARD brisk_err load_target_resolve(load_target *target, bool remote_ok,
                                              brisk_errinfo *info);

/* --- template.c --------------------------------------------------------------------------- */

/* Numbers 0 .. count - 1, the same way for everybody, drawn with a generator of one's own. */
typedef struct load_keys {
    uint64_t count;
    double skew; /* 0: uniform; otherwise Zipf's law with this exponent */
    double from_;
    double to_;
    double accept_;
} load_keys;

void load_keys_init(load_keys *keys, uint64_t count, double skew);
uint64_t load_keys_draw(const load_keys *keys, brisk_rng *rng);

typedef enum load_piece_kind { LOAD_TEXT, LOAD_KEY, LOAD_VALUE } load_piece_kind;

typedef struct load_piece {
    load_piece_kind kind;
    const char *text;
    size_t size;
} load_piece;

/* A word of a command, or a part of an HTTP request. */
typedef struct load_word {
    load_piece *pieces;
    uint32_t count;
} load_word;

typedef struct load_template {
    const char *text; /* as the user wrote it */
    load_word *words; /* HTTP: path, rest of the head, body */
    uint32_t count;
} load_template;

/* Everything requests are made of. */
typedef struct load_requests {
    load_template templates[LOAD_TEMPLATES_MAX];
    uint32_t count;
    load_keys keys;
    const char *value; /* what {v} is */
    size_t value_size;
    const char *method; /* HTTP; NULL: RESP */
} load_requests;

/* Pieces live in `arena`.  Errors: INVALID (a '{' that begins nothing known) with `info`, NOMEM. */
BRISK_NODISCARD brisk_err load_word_parse(brisk_arena *arena, const char *text, load_word *ret,
                                          brisk_errinfo *info);
/* Append one request; all {n} of it are one number. */
void load_requests_write(const load_requests *requests, brisk_rng *rng, resp_writer *out);

/* --- worker.c, conn.c --------------------------------------------------------------------- */

/* What went wrong, apart from each other. */
typedef struct load_errors {
    uint64_t connect;  /* could not connect */
    uint64_t closed;   /* the connection ended before the answer */
    uint64_t protocol; /* an answer that is none */
    uint64_t refused;  /* an error as the answer: RESP's, HTTP's from 400 on */
    uint64_t timeouts;
    uint64_t unsent; /* due, but no connection became free in time */
} load_errors;

static inline uint64_t load_errors_sum(const load_errors *e)
{
    return e->connect + e->closed + e->protocol + e->refused + e->timeouts + e->unsent;
}

typedef struct load_plan {
    const load_target *target;
    const load_requests *requests;
    const char *password; /* RESP; NULL: none */
    uint32_t connections;
    uint32_t threads;
    uint32_t pipeline;
    bool users; /* closed loop */
    uint64_t think_ns;
    uint64_t timeout_ns;
    uint64_t seed;
    const brisk_alloc *alloc;
} load_plan;

/* One step: from start to end at one rate. */
typedef struct load_step {
    double rate; /* of all threads; 0: users */
    uint64_t start_ns;
    uint64_t duration_ns;
    bool connect_only;
} load_step;

typedef struct load_worker load_worker;

typedef enum load_state { LOAD_CLOSED, LOAD_CONNECTING, LOAD_OPEN } load_state;

/* When a request was due and when it was sent. */
typedef struct load_moment {
    uint64_t due_ns;
    uint64_t sent_ns;
} load_moment;

typedef struct load_conn {
    int fd;
    load_state state;
    bool queued;         /* in the worker's ring of those with room */
    bool dirty;          /* has something to write, in the worker's list */
    bool waits_to_write; /* the socket is full */
    uint32_t handshake;  /* answers to come that nobody asked for */
    uint32_t first;      /* ring of what was sent and is not answered */
    uint32_t count;
    load_moment *moments; /* plan->pipeline of them */
    uint64_t retry_ns;
    uint64_t ready_ns; /* users: when the next request is due */
    brisk_rng rng;
    resp_writer out;
    size_t written;
    BRISK_VEC(unsigned char) in;
    resp_replies replies;
    load_http *http;
} load_conn;

/* What one thread counted in one step. */
typedef struct load_counts {
    brisk_hist *latency;
    brisk_hist *late; /* by how much the generator was late */
    uint64_t sent;
    uint64_t answered; /* without error */
    uint64_t in_time;  /* of them, before the step's end */
    uint64_t nulls;    /* RESP: nothing there */
    uint64_t late_count;
    uint64_t received_bytes;
    uint64_t backlog_max;
    uint64_t cpu_ns;
    uint64_t wait_ns; /* ready to run, but no processor */
    uint64_t wall_ns;
    load_errors errors;
    char first_error[LOAD_TEXT_MAX];
} load_counts;

struct load_worker {
    const load_plan *plan;
    load_step step;
    uint32_t index;
    load_conn *conns;
    uint32_t conn_count;
    uint32_t open_count;
    uint32_t *ring; /* conns with room, first come first served */
    uint32_t ring_first;
    uint32_t ring_count;
    uint32_t *dirty;
    uint32_t dirty_count;
    int epoll;
    uint64_t now_ns;
    uint64_t room_since_ns; /* since when the ring is not empty */
    uint64_t next;          /* arrivals of this thread so far */
    uint64_t outstanding;
    load_counts counts;
    char connect_error[LOAD_TEXT_MAX];
    brisk_thread thread;
    _Atomic uint64_t answered; /* for the progress line */
    const _Atomic bool *stop;
    unsigned char *received; /* one buffer for all reads */
};

enum { LOAD_RECEIVE_BYTES = 65536 };

/* Errors: NOMEM, LIMIT (files).  On failure what was made is freed by destroy. */
BRISK_NODISCARD brisk_err load_worker_create(load_worker *w, const load_plan *plan, uint32_t index);
void load_worker_destroy(load_worker *w); /* zeroed is accepted */
/* Run `w->step`; of one thread. */
void load_worker_run(void *worker);

/* Begin to connect. */
void load_conn_open(load_worker *w, load_conn *c);
void load_conn_close(load_worker *w, load_conn *c);
/* Put one request into its buffer; it has room. */
void load_conn_put(load_worker *w, load_conn *c, uint64_t due_ns);
void load_conn_flush(load_worker *w, load_conn *c);
/* What epoll says. */
void load_conn_event(load_worker *w, load_conn *c, uint32_t events);
/* It has room: into the ring. */
void load_worker_offer(load_worker *w, load_conn *c);

/* --- run.c -------------------------------------------------------------------------------- */

/* Figures of one step, over all threads. */
typedef struct load_figures {
    load_step step;
    load_counts counts; /* sums; its histograms are the run's */
    double throughput;  /* answered in time, a second */
    uint64_t quantile_ns[6];
    uint64_t max_ns;
    double mean_ns;
    uint64_t late_p99_ns;
    uint64_t late_max_ns;
    double late_share;
    double busy_share; /* of a processor, the busiest thread */
    double wait_share; /* likewise, waiting for one */
    bool generator_limit;
    bool starved; /* the generator waited for a processor: answers were read late */
    bool bad;     /* beyond the knee */
    const char *why_bad;
} load_figures;

extern const double load_quantiles[6]; /* 0.5 0.75 0.9 0.99 0.999 0.9999 */
enum { LOAD_P50, LOAD_P75, LOAD_P90, LOAD_P99, LOAD_P999, LOAD_P9999 };

typedef struct load_ramp {
    double from; /* 0: no ramp */
    double to;
    uint32_t steps;
    uint64_t p99_limit_ns; /* 0: 10 times the first step's, at least 1 ms */
} load_ramp;

typedef struct load_report {
    const load_plan *plan;
    const brisk_knobs *knobs; /* limits of grades; NULL: the defaults */
    const char *address;
    load_ramp ramp;
    load_figures steps[LOAD_STEPS_MAX];
    uint32_t step_count;
    int knee; /* the last good step below the first bad one; -1: not found */
    int beyond;
    bool interrupted;
} load_report;

typedef struct load_run {
    load_plan plan;
    load_worker *workers;
    uint64_t duration_ns; /* of each step */
    uint64_t warmup_ns;
    FILE *progress; /* NULL: none */
    sigset_t *signals;
    _Atomic bool stop;
} load_run;

/* Connect, warm up, run all steps.  Errors with `info`: IO, NOMEM, LIMIT, CANCELLED. */
BRISK_NODISCARD brisk_err load_run_all(load_run *run, double rate, load_report *report,
                                       brisk_errinfo *info);
/* Does this step leave what the first one promised? */
void load_judge(load_figures *now, const load_figures *first, uint64_t p99_limit_ns);

/* --- print.c ------------------------------------------------------------------------------ */

void load_print_text(FILE *out, const load_report *report);
brisk_exit load_print_json(FILE *out, const load_report *report);

extern const brisk_command load_command;

#endif /* BRISK_SRC_OBSERVE_LOAD_LOAD_H */
