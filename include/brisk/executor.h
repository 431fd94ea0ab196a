/*
 * brisk/executor.h -- work-stealing executor, task groups, cancellation.
 *
 * Each worker owns a deque: it pushes and pops at one end, others steal at the other.  Tasks from
 * threads that are no workers go through one shared queue.  An idle worker looks around for a
 * short, learned time and then parks on a futex; a submit that finds a parked worker wakes one.
 * Threads start with the first task, so that an executor nobody uses costs nothing.
 *
 * Threads: submit, groups and cancel tokens from any thread; create and destroy from one.
 * Sources: D. Chase and Y. Lev, Dynamic Circular Work-Stealing Deque (SPAA 2005); N. M. Le et al.,
 *          Correct and Efficient Work-Stealing for Weak Memory Models (PPoPP 2013).
 */
#ifndef BRISK_EXECUTOR_H
#define BRISK_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

enum { BRISK_EXECUTOR_WORKERS_MAX = 256 };

typedef struct brisk_executor brisk_executor;

typedef struct brisk_executor_opts {
    uint32_t workers; /**< 0: the least of affinity mask and cgroup cpu quota, at least 1. */
    uint32_t spin_us; /**< Time an idle worker looks around before it parks; 0 means 20. */
    const brisk_alloc *alloc; /**< Borrowed, thread-safe; NULL means libc. */
} brisk_executor_opts;

typedef struct brisk_executor_stats {
    uint64_t tasks_run;
    uint64_t steals;
    uint64_t parks;
    uint64_t wakes;
} brisk_executor_stats;

/**
 * One unit of work in caller's memory, which must stay valid until `run` was called; the executor
 * does not touch it after that call began, so `run` may free it.
 */
typedef struct brisk_task {
    void (*run)(struct brisk_task *task);
    void *ctx;
    void *private_[2];
} brisk_task;

/** Errors: INVALID (too many workers, a spin above one second), NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_executor_create(const brisk_executor_opts *opts,
                                                          brisk_executor **ret);
/**
 * Runs what was submitted, then stops and joins the workers; not from one of them.  NULL is
 * accepted.
 */
BRISK_API void brisk_executor_destroy(brisk_executor *executor);
/**
 * Run `task` once on some worker; never fails, never waits.  Where no thread could be started,
 * the task runs in the caller.
 */
BRISK_API void brisk_executor_submit(brisk_executor *executor, brisk_task *task);
BRISK_API uint32_t brisk_executor_workers(const brisk_executor *executor);
/** Number of the calling worker of `executor` from 0, or -1. */
BRISK_API int32_t brisk_executor_current_worker(const brisk_executor *executor);
BRISK_API void brisk_executor_read_stats(const brisk_executor *executor, brisk_executor_stats *ret);

/**
 * Tasks that are waited for together.  Lives on the stack of its user.  Private fields are
 * accessed atomically.
 */
typedef struct brisk_group {
    brisk_executor *executor_;
    uint32_t open_;   /* members that have not run yet, and a bit for "somebody may wait" */
    uint32_t queued_; /* of them, those in the shared queue */
} brisk_group;

BRISK_API void brisk_group_init(brisk_group *group, brisk_executor *executor);
/** Submit `task` as a member of the group: before the wait, or from a running member. */
BRISK_API void brisk_group_run(brisk_group *group, brisk_task *task);
/**
 * Until every member has run: a worker helps with other tasks meanwhile, other threads too.  The
 * group's memory may be gone as soon as this returns.  Wait only for groups that the caller filled:
 * a task that waits for its own siblings or for a stranger's job may be waiting for what lies
 * below it on the same stack.
 */
BRISK_API void brisk_group_wait(brisk_group *group);

/**
 * Cancellation shared by everything that belongs to one job.  Zero-initialise for "never".
 * Private fields are accessed atomically.
 */
typedef struct brisk_cancel {
    uint64_t deadline_ns_;
    const brisk_clock *clock_;
    uint32_t state_;
} brisk_cancel;

/** `deadline_ns` is absolute on `clock` (NULL: system); 0 means none. */
BRISK_API void brisk_cancel_init(brisk_cancel *cancel, uint64_t deadline_ns,
                                 const brisk_clock *clock);
/** Ask everything to stop.  `reason` is kept if it is the first: CANCELLED or an own error. */
BRISK_API void brisk_cancel_request(brisk_cancel *cancel, brisk_err reason);
/** BRISK_OK while work may go on; otherwise the first reason, DEADLINE included.  NULL gives OK. */
BRISK_API brisk_err brisk_cancel_check(brisk_cancel *cancel);

BRISK_END_DECLS

#endif /* BRISK_EXECUTOR_H */
