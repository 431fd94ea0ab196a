/*
 * scheduler.h -- the executor's inside, shared by executor.c (threads, submit, search), idle.c
 * (who sleeps, who is woken) and group.c.
 */
#ifndef BRISK_SRC_EXEC_SCHEDULER_H
#define BRISK_SRC_EXEC_SCHEDULER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/executor.h>

#include "base/thread.h"
#include "exec/deque.h"

/* brisk_task.private_ */
enum { TASK_GROUP = 0, TASK_NEXT = 1 };

/* brisk_group.open_: the count, and the bit that the waiters set before they sleep. */
#define GROUP_WAITED UINT32_C(0x80000000)
#define GROUP_COUNT  UINT32_C(0x7fffffff)

/* brisk_executor.state: two counts that change together. */
#define STATE_SEARCHING UINT64_C(1)
#define STATE_PARKED    (UINT64_C(1) << 32)

/* A thread asleep, in one of the two idle lists; it lives in a worker or on a waiter's stack. */
typedef struct exec_parker {
    struct exec_parker *next;
    struct exec_parker *before;
    const brisk_group *group; /* compared only, never followed; NULL for a worker */
    _Atomic uint32_t woken;   /* the futex; set under the idle lock, after unlinking */
    bool linked;              /* under the idle lock */
} exec_parker;

typedef struct exec_stats {
    _Atomic uint64_t tasks_run;
    _Atomic uint64_t steals;
    _Atomic uint64_t parks;
    _Atomic uint64_t wakes;
} exec_stats;

typedef struct exec_worker {
    exec_deque deque;
    _Alignas(64) brisk_executor *executor; /* from here on: the worker's own */
    uint32_t index;
    uint32_t tick;    /* tasks since the shared queue was looked at first */
    uint64_t spin_ns; /* learned: halves when looking around was in vain, doubles when not */
    uint64_t random;
    exec_parker parker;
    exec_stats stats;
    brisk_thread thread;
} exec_worker;

struct brisk_executor {
    const brisk_alloc *alloc;
    uint32_t worker_count;
    uint64_t spin_ns;            /* the most a thread looks around before it parks */
    _Atomic uint32_t scan_count; /* deques that may hold something: threads started or starting */
    _Atomic uint32_t started;    /* threads that run */
    _Atomic bool start_failed;   /* no more threads than there are */
    _Atomic bool stopping;       /* destroy has begun */
    pthread_mutex_t start_lock;  /* starting threads */
    exec_stats stats;            /* of threads that are no workers */
    _Alignas(64) _Atomic uint64_t state;    /* searching and parked workers */
    _Atomic uint32_t helpers_parked;        /* threads asleep in brisk_group_wait */
    _Alignas(64) pthread_mutex_t idle_lock; /* the two lists */
    exec_parker *parked_workers;
    exec_parker *parked_helpers;
    _Alignas(64) pthread_mutex_t queue_lock; /* the shared queue, in two parts */
    brisk_task *members;                     /* of groups, the youngest first */
    brisk_task *queue_head;                  /* of none, the oldest first */
    brisk_task *queue_tail;
    bool member_was_last;         /* the parts take turns */
    _Atomic uint64_t queue_count; /* of both */
    exec_worker workers[];
};

/* --- executor.c --- */

/* The calling thread's worker in `executor`, or NULL. */
exec_worker *exec_current(const brisk_executor *executor);
/* Hand in a task whose TASK_GROUP is set. */
void exec_submit(brisk_executor *executor, brisk_task *task);
/* Call the task, and count it out of its group; `self` may be NULL. */
void exec_run(brisk_executor *executor, exec_worker *self, brisk_task *task);
/* The next task of the shared queue, or NULL. */
brisk_task *exec_queue_pop(brisk_executor *executor);
/* The youngest member of `group` in the shared queue, or NULL. */
brisk_task *exec_queue_pop_member(brisk_executor *executor, const brisk_group *group);
/* A task of any worker but `self` (may be NULL); retried until nobody got in between. */
brisk_task *exec_steal(brisk_executor *executor, exec_worker *self, uint64_t *random);
/* See to it that somebody searches by starting a thread; false if that was impossible. */
bool exec_start_thread(brisk_executor *executor);

/* --- idle.c --- */

/* After a task became visible: see to it that somebody looks.  `in_deque`: not the shared queue. */
void exec_notify(brisk_executor *executor, bool in_deque);
/* A worker begins, or ends, to look for work; the end passes the duty on if work is left. */
void exec_search_begin(brisk_executor *executor);
void exec_search_end(brisk_executor *executor);
/* Does any queue hold a task? */
bool exec_work_visible(const brisk_executor *executor);
bool exec_deques_hold_work(const brisk_executor *executor);
/* Sleep until there may be work; called and returns as a searching worker. */
void exec_park_worker(exec_worker *self);
/* Sleep until `group` may be done or there may be work that its waiter may take. */
void exec_park_helper(brisk_executor *executor, brisk_group *group);
/* Wake everybody who waits for `group`; the pointer is compared, not followed. */
void exec_wake_group(brisk_executor *executor, const brisk_group *group);
/* Wake every worker: the executor stops. */
void exec_wake_all(brisk_executor *executor);

/* --- group.c --- */

/* One member has run; the group may be gone when this returns. */
void exec_group_leave(brisk_executor *executor, brisk_group *group);

/* Statistics with one writer: a load and a store, no locked instruction. */
static inline void exec_count(_Atomic uint64_t *figure)
{
    uint64_t value = atomic_load_explicit(figure, memory_order_relaxed);
    atomic_store_explicit(figure, value + 1, memory_order_relaxed);
}

#endif /* BRISK_SRC_EXEC_SCHEDULER_H */
