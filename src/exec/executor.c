/*
 * executor.c -- the work-stealing executor: threads, submit, and the search for work.
 *
 * A worker runs its own deque, youngest first, then the shared queue, then it searches: all other
 * deques in a random order and the shared queue, again and again for spin_ns at most, then it parks
 * (idle.c).  Every SHARED_FIRST tasks it looks at the shared queue first, so that a deque that never
 * gets empty does not starve other threads' submits.
 *
 * Threads are started one at a time, when a submit finds all started ones busy.  A failure to start
 * one is remembered; with no thread at all every task runs in its submitter.
 *
 * Locks: start_lock, then none; idle_lock and queue_lock are leaves.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "exec/cpus.h"
#include "exec/futex.h"
#include "exec/scheduler.h"

enum {
    SPIN_US_DEFAULT = 20,
    SPIN_US_MAX = 1000000,
    SPIN_SHARE_MIN = 8, /* the learned time is at least spin_ns / 8 */
    SPIN_BATCH = 8,     /* pauses between two looks around; one takes tens of nanoseconds */
    SHARED_FIRST = 61,
    INLINE_DEPTH_MAX = 64, /* tasks run inside submit; deeper ones are queued */
};

static _Thread_local exec_worker *current_worker;

/* Where no thread could be started: how deep tasks of one executor are nested in this thread. */
static _Thread_local struct {
    const brisk_executor *executor;
    uint32_t depth;
} inline_state;

exec_worker *exec_current(const brisk_executor *executor)
{
    exec_worker *self = current_worker;
    return self != NULL && self->executor == executor ? self : NULL;
}

static uint64_t next_random(uint64_t *state)
{
    /* xorshift64: G. Marsaglia, Xorshift RNGs (2003).  Only spreads the thieves. */
    uint64_t x = *state != 0 ? *state : UINT64_C(0x9e3779b97f4a7c15);
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

/* --- the shared queue --- */

/*
 * Tasks without a group are run first in, first out.  Members of groups are a stack: a waiter looks
 * for its own ones, and those it put there last, while it helped somebody, stand before those of the
 * groups below it on its stack.
 */

static void push_loner(brisk_executor *executor, brisk_task *task)
{
    task->private_[TASK_NEXT] = NULL;
    if (executor->queue_tail != NULL) {
        executor->queue_tail->private_[TASK_NEXT] = task;
    } else {
        executor->queue_head = task;
    }
    executor->queue_tail = task;
}

static brisk_task *pop_loner(brisk_executor *executor)
{
    brisk_task *task = executor->queue_head;
    executor->queue_head = task->private_[TASK_NEXT];
    if (executor->queue_head == NULL) {
        executor->queue_tail = NULL;
    }
    return task;
}

static void queue_push(brisk_executor *executor, brisk_task *task)
{
    brisk_group *group = task->private_[TASK_GROUP];
    bool waited = false;
    if (group != NULL) {
        /* seq_cst, both and in this order: against exec_park_helper, see idle.c.  The group is not
         * touched after the task is in the queue. */
        __atomic_fetch_add(&group->queued_, 1, __ATOMIC_SEQ_CST);
        waited = (__atomic_load_n(&group->open_, __ATOMIC_SEQ_CST) & GROUP_WAITED) != 0;
    }
    (void)pthread_mutex_lock(&executor->queue_lock);
    if (group != NULL) {
        task->private_[TASK_NEXT] = executor->members;
        executor->members = task;
    } else {
        push_loner(executor, task);
    }
    /* seq_cst: S1 of the proof in idle.c. */
    atomic_fetch_add_explicit(&executor->queue_count, 1, memory_order_seq_cst);
    (void)pthread_mutex_unlock(&executor->queue_lock);
    if (waited) {
        exec_wake_group(executor, group);
    }
}

/* Under the lock: take the member after `before`, or the first one. */
static brisk_task *unlink_member(brisk_executor *executor, brisk_task *before)
{
    brisk_task *task = before != NULL ? before->private_[TASK_NEXT] : executor->members;
    if (before != NULL) {
        before->private_[TASK_NEXT] = task->private_[TASK_NEXT];
    } else {
        executor->members = task->private_[TASK_NEXT];
    }
    brisk_group *group = task->private_[TASK_GROUP]; /* alive: this member is still open */
    __atomic_fetch_sub(&group->queued_, 1, __ATOMIC_SEQ_CST);
    return task;
}

brisk_task *exec_queue_pop(brisk_executor *executor)
{
    /* Relaxed: only avoids the lock; who must not miss a task looks again (idle.c). */
    if (atomic_load_explicit(&executor->queue_count, memory_order_relaxed) == 0) {
        return NULL;
    }
    (void)pthread_mutex_lock(&executor->queue_lock);
    bool loner =
        executor->queue_head != NULL && (executor->member_was_last || executor->members == NULL);
    brisk_task *task = NULL;
    if (loner) {
        task = pop_loner(executor);
    } else if (executor->members != NULL) {
        task = unlink_member(executor, NULL);
    }
    if (task != NULL) {
        executor->member_was_last = !loner;
        atomic_fetch_sub_explicit(&executor->queue_count, 1, memory_order_seq_cst);
    }
    (void)pthread_mutex_unlock(&executor->queue_lock);
    return task;
}

brisk_task *exec_queue_pop_member(brisk_executor *executor, const brisk_group *group)
{
    (void)pthread_mutex_lock(&executor->queue_lock);
    brisk_task *before = NULL;
    brisk_task *task = executor->members;
    while (task != NULL && task->private_[TASK_GROUP] != group) {
        before = task;
        task = task->private_[TASK_NEXT];
    }
    if (task != NULL) {
        task = unlink_member(executor, before);
        atomic_fetch_sub_explicit(&executor->queue_count, 1, memory_order_seq_cst);
    }
    (void)pthread_mutex_unlock(&executor->queue_lock);
    return task;
}

/* --- finding and running --- */

void exec_run(brisk_executor *executor, exec_worker *self, brisk_task *task)
{
    if (self != NULL) {
        exec_count(&self->stats.tasks_run);
    } else {
        /* Relaxed: a figure, with several writers here. */
        atomic_fetch_add_explicit(&executor->stats.tasks_run, 1, memory_order_relaxed);
    }
    brisk_group *group = task->private_[TASK_GROUP];
    task->run(task); /* may free the task */
    if (group != NULL) {
        exec_group_leave(executor, group);
    }
}

brisk_task *exec_steal(brisk_executor *executor, exec_worker *self, uint64_t *random)
{
    uint32_t count = atomic_load_explicit(&executor->scan_count, memory_order_acquire);
    bool lost = count != 0;
    while (lost) {
        lost = false;
        uint32_t at = (uint32_t)(next_random(random) % count);
        for (uint32_t i = 0; i < count; i++) {
            exec_worker *victim = &executor->workers[at];
            at = at + 1 < count ? at + 1 : 0;
            brisk_task *task = victim != self ? exec_deque_steal(&victim->deque, &lost) : NULL;
            if (task != NULL && self != NULL) {
                exec_count(&self->stats.steals);
            } else if (task != NULL) {
                atomic_fetch_add_explicit(&executor->stats.steals, 1, memory_order_relaxed);
            }
            if (task != NULL) {
                return task;
            }
        }
    }
    return NULL;
}

static bool is_stopping(const brisk_executor *executor)
{
    /* Acquire: pairs with the store in destroy. */
    return atomic_load_explicit(&executor->stopping, memory_order_acquire);
}

/* Only some may spin at a time: the others would find nothing more and burn more. */
static bool may_spin(const brisk_executor *executor)
{
    uint64_t state = atomic_load_explicit(&executor->state, memory_order_relaxed);
    uint32_t most = executor->worker_count > 1 ? executor->worker_count / 2 : 1;
    return (uint32_t)state <= most && !is_stopping(executor);
}

/* One full look around at least, then again until the learned time is over. */
static brisk_task *search(exec_worker *self)
{
    brisk_executor *executor = self->executor;
    uint64_t until = 0;
    for (;;) {
        brisk_task *task = exec_queue_pop(executor);
        task = task != NULL ? task : exec_steal(executor, self, &self->random);
        if (task != NULL) {
            if (until != 0) { /* looking around paid */
                uint64_t doubled = self->spin_ns * 2;
                self->spin_ns = doubled < executor->spin_ns ? doubled : executor->spin_ns;
            }
            return task;
        }
        if (!may_spin(executor)) {
            return NULL;
        }
        uint64_t now = brisk_clock_now_ns(NULL);
        if (until == 0) {
            until = now + self->spin_ns;
        } else if (now >= until) {
            uint64_t halved = self->spin_ns / 2;
            uint64_t fewest = executor->spin_ns / SPIN_SHARE_MIN;
            self->spin_ns = halved > fewest ? halved : fewest;
            return NULL;
        }
        for (int i = 0; i < SPIN_BATCH; i++) {
            exec_relax();
        }
    }
}

/* The next task without looking at other workers. */
static brisk_task *next_near(exec_worker *self)
{
    brisk_task *task = NULL;
    if (++self->tick >= SHARED_FIRST) {
        self->tick = 0;
        task = exec_queue_pop(self->executor);
    }
    task = task != NULL ? task : exec_deque_pop(&self->deque);
    return task != NULL ? task : exec_queue_pop(self->executor);
}

/* Born searching: whoever started the thread counted it so. */
static void worker_main(void *ctx)
{
    exec_worker *self = ctx;
    brisk_executor *executor = self->executor;
    current_worker = self;
    for (;;) {
        brisk_task *task = search(self);
        if (task != NULL) {
            exec_search_end(executor);
            for (; task != NULL; task = next_near(self)) {
                exec_run(executor, self, task);
            }
            exec_search_begin(executor);
        } else if (is_stopping(executor) && !exec_work_visible(executor)) {
            break;
        } else {
            exec_park_worker(self);
        }
    }
    exec_search_end(executor);
    current_worker = NULL;
}

/* --- threads --- */

typedef enum start_result { START_NEEDLESS, START_OK, START_FAILED } start_result;

/* Under start_lock; the new thread counts as searching from before it exists. */
static start_result start_locked(brisk_executor *executor)
{
    uint32_t index = atomic_load_explicit(&executor->started, memory_order_relaxed);
    if (index >= executor->worker_count || is_stopping(executor)) {
        return START_NEEDLESS;
    }
    exec_worker *worker = &executor->workers[index];
    char name[32];
    (void)snprintf(name, sizeof name, "brisk-w%u", (unsigned)index);
    exec_search_begin(executor);
    /* Before the thread can push, so that nobody looks past its deque (exec_deques_hold_work). */
    atomic_store_explicit(&executor->scan_count, index + 1, memory_order_seq_cst);
    brisk_thread_opts opts = {.name = name, .run = worker_main, .ctx = worker};
    if (brisk_thread_start(&worker->thread, &opts) != BRISK_OK) {
        atomic_store_explicit(&executor->start_failed, true, memory_order_relaxed);
        return START_FAILED;
    }
    atomic_store_explicit(&executor->start_failed, false, memory_order_relaxed);
    /* Release: pairs with ensure_thread; whoever sees a thread may use the shared queue. */
    atomic_store_explicit(&executor->started, index + 1, memory_order_release);
    return START_OK;
}

/* Unlocks start_lock, and takes a thread that did not come to be out of the searching ones. */
static bool start_done(brisk_executor *executor, start_result result)
{
    (void)pthread_mutex_unlock(&executor->start_lock);
    if (result == START_FAILED) {
        exec_search_end(executor); /* passes on what others left to it */
    }
    return result == START_OK;
}

bool exec_start_thread(brisk_executor *executor)
{
    if (atomic_load_explicit(&executor->start_failed, memory_order_relaxed)) {
        return false;
    }
    /* Waits for a start in progress, because that thread may have found its task already and be
     * running by now: only who holds the lock knows whether the next one is needed. */
    (void)pthread_mutex_lock(&executor->start_lock);
    /* seq_cst: S2 of the proof in idle.c once more; our task was published before. */
    if ((uint32_t)atomic_load_explicit(&executor->state, memory_order_seq_cst) != 0) {
        (void)pthread_mutex_unlock(&executor->start_lock);
        return true; /* somebody searches meanwhile */
    }
    return start_done(executor, start_locked(executor));
}

/* Is there a thread at all?  The first submit starts one. */
static bool ensure_thread(brisk_executor *executor)
{
    /* Acquire: pairs with start_locked. */
    if (atomic_load_explicit(&executor->started, memory_order_acquire) != 0) {
        return true;
    }
    (void)pthread_mutex_lock(&executor->start_lock);
    bool exists = atomic_load_explicit(&executor->started, memory_order_relaxed) != 0;
    return start_done(executor, exists ? START_NEEDLESS : start_locked(executor)) || exists;
}

/*
 * No threads: run the task here.  A task that submits runs the next one inside itself, up to a depth;
 * beyond it tasks are queued, and the innermost frame takes them one after the other, so that a chain
 * of submits does not eat the stack.
 */
static void run_inline(brisk_executor *executor, brisk_task *task)
{
    __typeof__(inline_state) outer = inline_state;
    uint32_t depth = outer.executor == executor ? outer.depth : 0;
    if (depth >= INLINE_DEPTH_MAX) {
        queue_push(executor, task);
        return;
    }
    inline_state.executor = executor;
    inline_state.depth = depth + 1;
    for (; task != NULL; task = exec_queue_pop(executor)) {
        exec_run(executor, NULL, task);
    }
    inline_state = outer;
}

void exec_submit(brisk_executor *executor, brisk_task *task)
{
    exec_worker *self = exec_current(executor);
    if (self != NULL && exec_deque_push(&self->deque, task)) {
        exec_notify(executor, true);
        return;
    }
    if (!ensure_thread(executor)) {
        run_inline(executor, task);
        return;
    }
    queue_push(executor, task); /* a worker without memory for a larger deque comes here too */
    exec_notify(executor, false);
}

void brisk_executor_submit(brisk_executor *executor, brisk_task *task)
{
    task->private_[TASK_GROUP] = NULL;
    exec_submit(executor, task);
}

/* --- life --- */

static size_t size_of(uint32_t worker_count)
{
    return sizeof(brisk_executor) + (size_t)worker_count * sizeof(exec_worker);
}

static_assert(sizeof(brisk_executor) % _Alignof(exec_worker) == 0, "workers[] is not padded");

static void free_executor(brisk_executor *executor, uint32_t deques)
{
    for (uint32_t i = 0; i < deques; i++) {
        exec_deque_deinit(&executor->workers[i].deque);
    }
    (void)pthread_mutex_destroy(&executor->start_lock);
    (void)pthread_mutex_destroy(&executor->idle_lock);
    (void)pthread_mutex_destroy(&executor->queue_lock);
    const brisk_alloc *alloc = executor->alloc;
    alloc->release(alloc->ctx, executor, size_of(executor->worker_count), _Alignof(brisk_executor));
}

brisk_err brisk_executor_create(const brisk_executor_opts *opts, brisk_executor **ret)
{
    BRISK_ASSERT(ret != NULL);
    brisk_executor_opts o = opts != NULL ? *opts : (brisk_executor_opts){0};
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    if (o.workers > BRISK_EXECUTOR_WORKERS_MAX || o.spin_us > SPIN_US_MAX) {
        return BRISK_ERR_INVALID;
    }
    uint32_t count = o.workers != 0 ? o.workers : exec_cpu_count();
    brisk_executor *executor = alloc->acquire(alloc->ctx, size_of(count), _Alignof(brisk_executor));
    if (executor == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(executor, 0, size_of(count)); /* every atomic here starts at zero */
    executor->alloc = alloc;
    executor->worker_count = count;
    executor->spin_ns = (uint64_t)(o.spin_us != 0 ? o.spin_us : SPIN_US_DEFAULT) * 1000;
    (void)pthread_mutex_init(&executor->start_lock, NULL); /* cannot fail on Linux */
    (void)pthread_mutex_init(&executor->idle_lock, NULL);
    (void)pthread_mutex_init(&executor->queue_lock, NULL);
    for (uint32_t i = 0; i < count; i++) {
        exec_worker *worker = &executor->workers[i];
        if (exec_deque_init(&worker->deque, alloc) != BRISK_OK) {
            free_executor(executor, i);
            return BRISK_ERR_NOMEM;
        }
        worker->executor = executor;
        worker->index = i;
        worker->spin_ns = executor->spin_ns;
        worker->random = i + 1;
    }
    *ret = executor;
    return BRISK_OK;
}

void brisk_executor_destroy(brisk_executor *executor)
{
    if (executor == NULL) {
        return;
    }
    BRISK_ASSERT(exec_current(executor) == NULL);    /* a worker cannot wait for its own end */
    (void)pthread_mutex_lock(&executor->start_lock); /* no thread is started after this */
    /* seq_cst: against exec_park_worker, which parks first and reads it then. */
    atomic_store_explicit(&executor->stopping, true, memory_order_seq_cst);
    (void)pthread_mutex_unlock(&executor->start_lock);
    exec_wake_all(executor);
    uint32_t started = atomic_load_explicit(&executor->started, memory_order_relaxed);
    for (uint32_t i = 0; i < started; i++) {
        brisk_thread_join(&executor->workers[i].thread);
    }
    BRISK_ASSERT(!exec_work_visible(executor));
    free_executor(executor, executor->worker_count);
}

uint32_t brisk_executor_workers(const brisk_executor *executor)
{
    return executor->worker_count;
}

int32_t brisk_executor_current_worker(const brisk_executor *executor)
{
    const exec_worker *self = exec_current(executor);
    return self != NULL ? (int32_t)self->index : -1;
}

static void add_stats(brisk_executor_stats *sum, const exec_stats *part)
{
    /* Relaxed: figures, each by itself. */
    sum->tasks_run += atomic_load_explicit(&part->tasks_run, memory_order_relaxed);
    sum->steals += atomic_load_explicit(&part->steals, memory_order_relaxed);
    sum->parks += atomic_load_explicit(&part->parks, memory_order_relaxed);
    sum->wakes += atomic_load_explicit(&part->wakes, memory_order_relaxed);
}

void brisk_executor_read_stats(const brisk_executor *executor, brisk_executor_stats *ret)
{
    brisk_executor_stats sum = {0};
    add_stats(&sum, &executor->stats);
    for (uint32_t i = 0; i < executor->worker_count; i++) {
        add_stats(&sum, &executor->workers[i].stats);
    }
    *ret = sum;
}
