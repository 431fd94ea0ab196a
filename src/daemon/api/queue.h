/*
 * queue.h -- which job runs next: classes, weights, quotas, and room for everybody.
 *
 *     job ─► class (interactive, batch, idle) ─► workload (weight, quota) ─► client, priority ─► slot
 *
 * On each level whoever has had least service for its weight goes first (start-time fair queueing,
 * charged with measured service time), so a share is a promise under load, what one does not use the
 * others get, and nobody waits for ever.  Besides, the last slot is the interactive class's, so that
 * long jobs in all others do not stand in its way; idle jobs have half of the slots at most.
 *
 * The queue knows no jobs and no clock: its user gives the time and owns the items.
 *
 * Threads: one at a time (jobs.c has the lock).
 * Source:  P. Goyal, H. Vin, H. Cheng, Start-time Fair Queueing (SIGCOMM 1996).
 */
#ifndef BRISK_SRC_DAEMON_API_QUEUE_H
#define BRISK_SRC_DAEMON_API_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/hist.h>

typedef enum queue_class {
    QUEUE_INTERACTIVE = 0,
    QUEUE_BATCH,
    QUEUE_IDLE,
    QUEUE_CLASSES,
} queue_class;

enum {
    QUEUE_WORKLOADS_MAX = 64,
    QUEUE_PRIORITY_MAX = 7, /* 0 first */
    QUEUE_PRIORITY_DEFAULT = 3,
    QUEUE_WEIGHT_MAX = 1000,
    QUEUE_RETRY_AFTER_MAX_S = 300,
};

typedef struct queue queue;

typedef enum queue_state {
    QUEUE_OUT = 0, /* not in the queue */
    QUEUE_WAITING,
    QUEUE_RUNNING,
} queue_state;

/* A place in the queue, in the owner's memory. */
typedef struct queue_item {
    queue_class class;
    uint32_t workload;    /* of queue_workload */
    uint64_t client;      /* whose; any number that tells clients apart */
    uint32_t priority;    /* 0 .. QUEUE_PRIORITY_MAX */
    uint64_t deadline_ns; /* 0: none */
    /* The queue's. */
    queue_state state;
    struct queue_item *next;
    struct queue_item *previous;
    struct queue_client *of;
    uint64_t entered_ns;
    uint64_t started_ns;
    double start;   /* its client's start tag ... */
    double tag;     /* ... and what priority makes of it: its place in the line */
    double charged; /* what was charged at the start */
} queue_item;

typedef struct queue_opts {
    uint32_t running_max; /* jobs at a time; at least 1 */
    uint32_t waiting_max;
    uint32_t client_running_max; /* of one client; 0: as many as there are slots */
    uint32_t client_waiting_max; /* likewise; 0: as many as there is room for */
    const brisk_alloc *alloc;
} queue_opts;

BRISK_NODISCARD brisk_err queue_create(const queue_opts *opts, queue **ret);
/* Items that are in it are forgotten.  NULL is accepted. */
void queue_destroy(queue *q);

/* What is configured of a workload; quota 0: none. */
typedef struct queue_workload_opts {
    const char *name;  /* borrowed */
    uint32_t weight;   /* 1 .. QUEUE_WEIGHT_MAX */
    uint32_t quota;    /* running at a time */
    queue_class class; /* of jobs that do not say */
} queue_workload_opts;

/* Errors: CONFLICT (that name is there), LIMIT. */
BRISK_NODISCARD brisk_err queue_add_workload(queue *q, const queue_workload_opts *opts,
                                             uint32_t *ret);
/* False: there is no such workload. */
bool queue_find_workload(const queue *q, const char *name, uint32_t *ret);
queue_class queue_class_of(const queue *q, uint32_t workload);

/* Errors: FULL (no more wait), LIMIT (no more of this client), NOMEM. */
BRISK_NODISCARD brisk_err queue_push(queue *q, queue_item *item, uint64_t now_ns);
/* The next to run, which is running from now on; NULL: none may. */
queue_item *queue_pop(queue *q, uint64_t now_ns);
/* It has run. */
void queue_done(queue *q, queue_item *item, uint64_t now_ns);
/* It waits no more. */
void queue_remove(queue *q, queue_item *item);
/* One that waits although its deadline has passed, taken out; NULL: none. */
queue_item *queue_expire(queue *q, uint64_t now_ns);
/* When the first deadline of those who wait passes; 0: never. */
uint64_t queue_next_deadline_ns(const queue *q);
/* How many of its workload and class go before it. */
uint32_t queue_position(const queue *q, const queue_item *item);
/* Seconds until there may be room, from measured service times: 1 .. QUEUE_RETRY_AFTER_MAX_S. */
uint32_t queue_retry_after_s(const queue *q);

/* --- figures ------------------------------------------------------------------------------ */

typedef struct queue_workload_figures {
    const char *name;
    uint32_t weight;
    uint32_t quota;
    queue_class class;
    uint32_t waiting;
    uint32_t running;
    uint64_t done;
    uint64_t refused;
    uint64_t service_ns;     /* in all */
    double service_mean_ns;  /* of late */
    double share;            /* of all service */
    double share_configured; /* by weight, among workloads that were served */
} queue_workload_figures;

typedef struct queue_class_figures {
    uint32_t weight;
    uint32_t waiting;
    uint32_t running;
    uint64_t done;
    uint64_t service_ns;
    double share;
    double share_configured; /* while all of them have jobs */
    uint64_t wait_p50_ns;
    uint64_t wait_p95_ns;
    uint64_t wait_p99_ns;
    uint64_t wait_max_ns;
} queue_class_figures;

typedef struct queue_figures {
    uint32_t running_max;
    uint32_t waiting_max;
    uint32_t running;
    uint32_t waiting;
    uint32_t clients;
    uint64_t pushed;
    uint64_t refused_full;
    uint64_t refused_client;
    uint64_t expired;
    uint64_t oldest_ns; /* how long the one that waits longest has waited */
    uint32_t workload_count;
    queue_class_figures classes[QUEUE_CLASSES];
} queue_figures;

void queue_read(const queue *q, uint64_t now_ns, queue_figures *ret);
void queue_read_workload(const queue *q, uint32_t workload, queue_workload_figures *ret);
/* "interactive", "batch", "idle"; static text. */
const char *queue_class_name(queue_class class);
/* False: there is no class of that name. */
bool queue_class_parse(const char *name, size_t size, queue_class *ret);

#endif /* BRISK_SRC_DAEMON_API_QUEUE_H */
