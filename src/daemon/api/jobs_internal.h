/*
 * jobs_internal.h -- what the files of jobs share.
 *
 *     jobs.c         life, threads, the table, what is kept     jobs_admit.c   a body becomes jobs
 *     jobs_run.c     a job runs and ends                        jobs_json.c    what is told of it
 *     jobs_http.c    /v1/jobs and below                         jobs_events.c  its stream of events
 *     jobs_call.c    bodies, waiting, the way home              jobs_setup.c   configuration
 *     jobs_queue.c   /v1/queue, /v1/workloads                   batch.c        many jobs in one request
 *
 * A job's entry is counted: the table, whoever admits or runs it, and each exchange that looks at it
 * have a reference.  Its state, its brisk_job and the queue are under jobs.lock; what it ended with
 * (`final`, value ...) is written before the state says so and never changes afterwards.
 *
 * A call is an exchange's side, in memory of its own, so that it outlives an exchange that is gone while
 * another thread has the call:
 *
 *     COLLECTING ─► AWAY (admission has it; comes home by its task) ─► home: answered, or
 *                   WAITING (in entry.waiters; comes home by its task, or leaves by itself) ─► IDLE
 *
 * Locks: jobs.lock is a leaf but for the events hub's; loop_post and sse_poke take none.
 */
#ifndef BRISK_SRC_DAEMON_API_JOBS_INTERNAL_H
#define BRISK_SRC_DAEMON_API_JOBS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <brisk/engine.h>
#include <brisk/form.h>
#include <brisk/json.h>

#include "base/str.h"
#include "base/thread.h"
#include "daemon/api/jobs.h"
#include "daemon/api/queue.h"
#include "daemon/api/traces.h"
#include "daemon/loop.h"
#include "daemon/server.h"

enum {
    JOBS_BUCKETS = 1024,
    JOBS_RUNNERS_MAX = 256,
    JOBS_ID_MAX = 32,
    JOBS_NAME_MAX = 64,
    JOBS_TYPE_MAX = 128,
    JOBS_KEY_MAX = 256, /* bytes of an Idempotency-Key */
    JOBS_WAIT_MAX_S = 300,
    JOBS_TEXT_MAX = 4 << 20, /* of a status or a trace */
    JOBS_LIST_MAX = 1000,
    JOBS_BATCH_MAX = 1000,
};

typedef enum job_state {
    JOB_ADMITTING = 0,
    JOB_WAITING,
    JOB_RUNNING,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_CANCELLED,
} job_state;

static inline bool job_state_is_over(job_state state)
{
    return state >= JOB_SUCCEEDED;
}

/* Bytes that came with a request; several jobs of a batch share them. */
typedef struct job_body {
    jobs_table *jobs;
    _Atomic uint32_t refs;
    unsigned char *data;
    size_t size;
    size_t room;
    size_t kept;        /* counted by server_keep */
    brisk_arena *arena; /* of a batch: what its jobs share; NULL: none */
} job_body;

typedef struct job_call job_call;
typedef struct job_entry job_entry;

struct job_entry {
    queue_item item; /* first */
    jobs_table *jobs;
    uint32_t refs;
    uint64_t number;
    char id[JOBS_ID_MAX];
    job_state state;
    bool cancel;   /* asked for while it was admitted */
    bool in_table; /* can be found */
    char workload_name[JOBS_NAME_MAX];
    uint64_t created_wall_ns;
    uint64_t created_ns;
    uint64_t started_ns;
    uint64_t ended_ns;
    uint64_t deadline_wall_ns; /* 0: none */

    /* while it is not over */
    job_body *body;
    brisk_arena *arena;
    const brisk_workload *workload;
    const void *request;
    bool has_request;
    brisk_job *job;
    brisk_job_opts job_opts;

    /* once it is over */
    brisk_err err;
    uint16_t error_status; /* of its result */
    char *final;           /* its status */
    size_t final_size;
    char *trace; /* NULL: none */
    size_t trace_size;
    trace_span *spans; /* NULL: none; jobs_traces.c */
    uint32_t span_count;
    traceparent parent; /* of the request that brought it */
    brisk_value *value; /* NULL: none */
    char type[JOBS_TYPE_MAX];
    char name[JOBS_TYPE_MAX]; /* of a file that it is saved as; "" for none */
    char etag[40];
    char error_text[512];
    size_t bytes; /* what keeping it takes */

    bool has_key;
    brisk_hash128 key; /* of client and Idempotency-Key */
    brisk_hash128 body_hash;

    job_entry *next_id; /* in its bucket */
    job_entry *next_key;
    job_entry *newer; /* in the order of creation */
    job_entry *older;
    job_entry *next_done; /* in the order of their ends */
    job_call *waiters;
};

typedef enum call_phase {
    CALL_COLLECTING = 0,
    CALL_AWAY,
    CALL_WAITING,
    CALL_IDLE,
} call_phase;

/* Why a request is refused. */
typedef struct job_refusal {
    uint16_t status; /* 0: it is not */
    const char *code;
    uint32_t retry_after_s; /* 0: none */
    char text[BRISK_ERRINFO_TEXT_MAX];
} job_refusal;

struct job_call {
    loop_task task; /* first */
    jobs_table *jobs;
    exchange *x; /* NULL: gone.  The worker's thread only. */
    worker *worker;
    call_phase phase;
    job_entry *entry; /* with a reference */
    job_body *body;   /* being collected */
    brisk_hasher hasher;
    char boundary[80]; /* "" for JSON */
    uint64_t client;
    traceparent parent;
    uint64_t wait_ns;
    uint64_t until_ns;
    bool wants_result;
    job_refusal refusal;
    void (*home)(job_call *call); /* in the worker's thread, when the task arrives; x is not NULL */
    void (*away)(job_call *call); /* in the admission thread */
    void (*over)(job_call *call); /* of a waiter without an exchange: the job is over */
    void (*dropped)(job_call *call); /* before it is freed; may be NULL */
    void *ctx;
    struct sse *stream; /* of events; NULL: none */
    uint64_t event_id;
    uint64_t event_ns;
    uint64_t signature;
    job_call *next_away;
    job_call *next_waiter; /* of the entry */
    job_call *next_here;   /* of the worker: those who wait until `until_ns` */
    job_call *previous_here;
    job_call *next_all;
    job_call *previous_all;
};

struct jobs {
    server *server;
    const brisk_alloc *alloc;
    jobs_opts opts;
    char paths[4096];
    char names[4096]; /* of configured workloads */
    size_t names_used;
    http_route route_jobs;
    http_route route_queue;
    http_route route_workloads;
    http_route route_batch;
    http_route route_socket;

    pthread_mutex_t lock;
    pthread_cond_t work;    /* runners wait for jobs, clock monotonic */
    pthread_cond_t admit;   /* the admission thread waits for calls */
    pthread_cond_t drained; /* jobs_stop waits for running ones */
    queue *queue;
    bool stopping;
    uint64_t next_number;
    char prefix[12];
    job_entry *newest;
    job_entry *oldest;
    job_entry *done_first;
    job_entry *done_last;
    uint32_t done_count;
    uint64_t done_bytes;
    uint64_t submitted;
    uint64_t ended[3]; /* succeeded, failed, cancelled */
    job_entry *by_id[JOBS_BUCKETS];
    job_entry *by_key[JOBS_BUCKETS];
    job_call *away_first;
    job_call *away_last;
    job_call *all;
    brisk_thread admission;
    bool admission_started;
    brisk_thread runners[JOBS_RUNNERS_MAX];
    uint32_t runner_count;
    uint32_t idle_runners;
    uint32_t runners_max;
    _Atomic uint32_t streams;             /* of events */
    job_call *here[WORKERS_MAX];          /* each of its worker's thread */
    struct session *sockets[WORKERS_MAX]; /* likewise; websocket.c */
};

/* --- jobs.c ------------------------------------------------------------------------------- */

void *jobs_take(const jobs_table *j, size_t size, size_t align);
void jobs_give(const jobs_table *j, void *at, size_t size, size_t align);
void job_body_unref(job_body *body);
/* A new entry in the table; with a reference for the caller.  NULL: no memory.  Under the lock. */
job_entry *jobs_new_entry(jobs_table *j);
/* The last reference frees it.  Without the lock. */
void job_entry_unref(job_entry *e);
/* Likewise under the lock; what is returned is to be freed by job_entry_free after it. */
BRISK_NODISCARD job_entry *job_entry_drop(job_entry *e);
void job_entry_free(job_entry *e);
/* By its id, with a reference; NULL: none.  *ret_earlier: it is of an earlier run of the node. */
job_entry *jobs_find(jobs_table *j, http_text id, bool *ret_earlier);
/* By its key, under the lock, without a reference. */
job_entry *jobs_find_key(jobs_table *j, brisk_hash128 key);
void jobs_add_key(jobs_table *j, job_entry *e);
/* Nobody finds it any more; gives its table's reference to the caller.  Under the lock. */
void jobs_unlist(jobs_table *j, job_entry *e);
/* Drop what is kept for too long or beyond the limits; the list is linked by next_done, to be freed
 * without the lock by jobs_free_list.  Under the lock. */
job_entry *jobs_sweep(jobs_table *j, uint64_t now_ns);
void jobs_free_list(job_entry *list);
/* Threads: at least one runner that may take a job, the admission.  False: there is none.  Under the lock. */
bool jobs_need_runner(jobs_table *j);
bool jobs_need_admission(jobs_table *j);
/* Keep where the time of `job` went (NULL: it did not run); it is over, and not yet told to be. */
void job_take_spans(job_entry *e, const brisk_job *job);
/* Tell those who listen for jobs at large that `e` is now in `state`. */
void jobs_publish(const job_entry *e, job_state state);
uint64_t jobs_now_ns(const jobs_table *j);

/* --- jobs_call.c -------------------------------------------------------------------------- */

/* NULL: no memory, and that was answered. */
job_call *job_call_open(jobs_table *j, exchange *x);
/* Likewise for a body: JSON, or multipart/form-data; NULL: it was answered. */
job_call *job_call_collect(jobs_table *j, exchange *x);
/* One without an exchange, for a job that `of` is interested in; NULL: no memory. */
job_call *job_call_waiter(const job_call *of, job_entry *e);
void job_call_free(job_call *call);
/* Collect a body; false: it was answered. */
bool job_call_take(job_call *call, const void *data, size_t size);
/* To the admission thread: away(call) there, then home(call) here. */
BRISK_NODISCARD bool job_call_send(job_call *call); /* false: it was answered 503 */
/* Wait for the end of call->entry; false: it is over. */
bool job_call_wait(job_call *call);
/* The end of `e`: those who wait come home.  Under the lock: detaches; without it: posts. */
void job_calls_post(job_call *list);
void job_call_gone(exchange *x);
/* Free those that nobody will; after the workers. */
void job_calls_destroy(jobs_table *j);

/* --- jobs_admit.c ------------------------------------------------------------------------- */

/* What `node` asks for becomes call's or batch's job `e`: parsed, in the queue, or over already.
 * `e` stays in the table only without a refusal. */
void job_admit(job_entry *e, const brisk_json_node *node, const brisk_form_part *parts,
               uint32_t part_count, job_refusal *ret);
/* The body of a request: JSON, and parts when it is multipart.  `arena` holds what it gives. */
bool job_read_body(const job_body *body, const char *boundary, brisk_arena *arena,
                   const brisk_json_node **ret, brisk_form_part **ret_parts, uint32_t *ret_count,
                   job_refusal *refusal);
/* Nobody finds it any more, those who wait for it are told why.  The caller has a reference. */
void job_refuse_entry(job_entry *e, const job_refusal *refusal);
/* Of {"entry": "key"}, for a batch; *used counts what all of them bring, against body_max. */
BRISK_NODISCARD brisk_err job_entry_bytes(jobs_table *j, const brisk_json_node *node,
                                          brisk_arena *arena, uint64_t *used, brisk_form_part *ret,
                                          brisk_errinfo *info);
void job_refuse(job_refusal *ret, uint16_t status, const char *code, const char *format, ...)
    BRISK_PRINTF(4, 5);

/* --- jobs_run.c --------------------------------------------------------------------------- */

void jobs_run(void *jobs_of); /* a runner's thread */
/* Those whose deadline passed while they waited.  Under the lock, which is given back meanwhile. */
void jobs_end_expired(jobs_table *j);
/* For `cond`, and no longer than until the next deadline.  Under the lock. */
void jobs_wait(jobs_table *j, pthread_cond_t *cond);
/* Over without having run, with `err`; or done by a look-up.  Without the lock; `e` is in no queue. */
void job_end(job_entry *e, brisk_err err);
/* True: it was cancelled, or is being; false: it is over. */
bool job_cancel(job_entry *e);

/* --- jobs_json.c -------------------------------------------------------------------------- */

const char *job_state_name(job_state state);
/* The status of a job that is not over, under the lock; members of the open object. */
void job_write_live(const job_entry *e, brisk_json *json);
/* Its final status, as text: by the thread that ends it.  `job` NULL: it never ran. */
void job_write_final(job_entry *e, job_state state, brisk_job *job);
/* A whole status into `text`; takes the lock. */
void job_write_status(job_entry *e, brisk_str *text);
/* What changes when stages go on: for streams.  Under the lock. */
uint64_t job_signature(const job_entry *e);

/* --- others ------------------------------------------------------------------------------- */

void job_answer_status(job_call *call, uint16_t status);
void job_answer_result(job_call *call);
void job_answer_refusal(exchange *x, const job_refusal *refusal);
void job_events_open(job_call *call);
BRISK_NODISCARD brisk_err jobs_setup_workloads(jobs_table *j, const brisk_yaml_doc *doc,
                                               brisk_errinfo *info);
/* Figures of the queue in the server's registry. */
void jobs_metrics_begin(jobs_table *j);
void jobs_metrics_end(jobs_table *j);
void jobs_queue_begin(exchange *x);
void jobs_workloads_begin(exchange *x);
void job_batch_begin(exchange *x);
void job_batch_writable(exchange *x);
BRISK_NODISCARD brisk_err job_sockets_add_route(jobs_table *j, http_routes *routes);
void job_sockets_tick(jobs_table *j, worker *w);

#endif /* BRISK_SRC_DAEMON_API_JOBS_INTERNAL_H */
