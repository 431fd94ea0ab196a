/*
 * idle.c -- who sleeps, who is woken, and why no task is forgotten.
 *
 * A worker is running, searching (looking at all queues, for a bounded time) or parked (asleep).
 * Waking costs tens of microseconds, so a submit wakes a worker only when none is searching: one
 * that searches will find the task, and passes the duty on when it finds another one first.
 *
 *     submit                                     worker
 *     S1  publish the task (seq_cst)             W1  state: searching -> parked (seq_cst)
 *     S2  read state (seq_cst)                   W2  look at all queues again (seq_cst)
 *
 * All four are in one total order.  Either S1 comes before W2, and the worker sees the task and does
 * not sleep; or W2, and so W1, come before S1 and S2, and the submit sees a parked worker.  If S2
 * reads "searching > 0", then the end of that search comes after S1 in the order: it is a W1, which
 * is followed by W2, or exec_search_end, which likewise looks at all queues after its change of
 * state and notifies again.  If S2 reads neither searching nor parked, every worker is running and
 * will search before it parks.
 *
 * Threads asleep in brisk_group_wait ("helpers") are not part of that: they take what their own group
 * put into the shared queue, and steal, but they leave strangers' tasks in the shared queue alone,
 * lest a job wait for another one that it happened to pick up.  For them:
 *   - a helper does not sleep while a member of its group is in the shared queue: brisk_group_run
 *     counts it in queued_ and then reads the waited bit, the helper sets the bit and then reads
 *     queued_ (Dekker again, all seq_cst), and run wakes the group's waiters by address;
 *   - a helper does not sleep while a deque holds anything; woken later for a deque's task only to
 *     share the load: the deque's owner will come to it in any case.
 *
 * A parker is unlinked and marked by its waker under idle_lock, so every wake reaches one thread.
 */
#include "base/assert.h"
#include "exec/futex.h"
#include "exec/scheduler.h"

static uint32_t searching_in(uint64_t state)
{
    return (uint32_t)state;
}

static uint32_t parked_in(uint64_t state)
{
    return (uint32_t)(state >> 32);
}

static void lock(pthread_mutex_t *mutex)
{
    int failed = pthread_mutex_lock(mutex);
    BRISK_ASSERT(failed == 0);
}

static void unlock(pthread_mutex_t *mutex)
{
    int failed = pthread_mutex_unlock(mutex);
    BRISK_ASSERT(failed == 0);
}

/* --- lists, under idle_lock --- */

static void link_parker(exec_parker **list, exec_parker *parker)
{
    /* Relaxed: nobody sees the parker before it is linked. */
    atomic_store_explicit(&parker->woken, 0, memory_order_relaxed);
    parker->linked = true;
    parker->before = NULL;
    parker->next = *list;
    if (*list != NULL) {
        (*list)->before = parker;
    }
    *list = parker;
}

static void unlink_parker(exec_parker **list, exec_parker *parker)
{
    BRISK_ASSERT(parker->linked);
    if (parker->before != NULL) {
        parker->before->next = parker->next;
    } else {
        *list = parker->next;
    }
    if (parker->next != NULL) {
        parker->next->before = parker->before;
    }
    parker->linked = false;
}

/* Last access to the parker, whose stack frame may be gone right after it. */
static void mark_woken(exec_parker *parker)
{
    /* Release: pairs with the acquire in sleep_until_woken. */
    atomic_store_explicit(&parker->woken, 1, memory_order_release);
}

static void sleep_until_woken(exec_parker *parker)
{
    /* Acquire: pairs with mark_woken. */
    while (atomic_load_explicit(&parker->woken, memory_order_acquire) == 0) {
        exec_futex_wait(&parker->woken, 0);
    }
}

/* --- waking --- */

static void wake_worker(brisk_executor *executor)
{
    lock(&executor->idle_lock);
    exec_parker *parker = executor->parked_workers;
    if (parker != NULL) {
        unlink_parker(&executor->parked_workers, parker);
        /* On its behalf, so that the next submit does not wake a second one for the same task. */
        atomic_fetch_add_explicit(&executor->state, STATE_SEARCHING - STATE_PARKED,
                                  memory_order_seq_cst);
        mark_woken(parker);
    }
    unlock(&executor->idle_lock);
    if (parker != NULL) {
        /* Relaxed: a figure. */
        atomic_fetch_add_explicit(&executor->stats.wakes, 1, memory_order_relaxed);
        exec_futex_wake(&parker->woken);
    }
}

static void wake_one_helper(brisk_executor *executor)
{
    lock(&executor->idle_lock);
    exec_parker *parker = executor->parked_helpers;
    if (parker != NULL) {
        unlink_parker(&executor->parked_helpers, parker);
        atomic_fetch_sub_explicit(&executor->helpers_parked, 1, memory_order_seq_cst);
        mark_woken(parker);
    }
    unlock(&executor->idle_lock);
    if (parker != NULL) {
        atomic_fetch_add_explicit(&executor->stats.wakes, 1, memory_order_relaxed);
        exec_futex_wake(&parker->woken);
    }
}

void exec_wake_group(brisk_executor *executor, const brisk_group *group)
{
    lock(&executor->idle_lock);
    exec_parker *parker = executor->parked_helpers;
    while (parker != NULL) {
        exec_parker *next = parker->next;
        if (parker->group == group) {
            unlink_parker(&executor->parked_helpers, parker);
            atomic_fetch_sub_explicit(&executor->helpers_parked, 1, memory_order_seq_cst);
            mark_woken(parker);
            atomic_fetch_add_explicit(&executor->stats.wakes, 1, memory_order_relaxed);
            exec_futex_wake(&parker->woken);
        }
        parker = next;
    }
    unlock(&executor->idle_lock);
}

void exec_wake_all(brisk_executor *executor)
{
    while (parked_in(atomic_load_explicit(&executor->state, memory_order_seq_cst)) != 0) {
        wake_worker(executor);
    }
}

void exec_notify(brisk_executor *executor, bool in_deque)
{
    /* S2 of the proof above; the partner is W1 in exec_park_worker. */
    uint64_t state = atomic_load_explicit(&executor->state, memory_order_seq_cst);
    if (searching_in(state) != 0) {
        return;
    }
    if (parked_in(state) != 0) {
        wake_worker(executor);
        return;
    }
    /* Relaxed: a thread more or less is a matter of speed, not of progress. */
    if (atomic_load_explicit(&executor->started, memory_order_relaxed) < executor->worker_count &&
        exec_start_thread(executor)) {
        return;
    }
    if (in_deque && atomic_load_explicit(&executor->helpers_parked, memory_order_seq_cst) != 0) {
        wake_one_helper(executor);
    }
}

/* --- searching and parking --- */

bool exec_deques_hold_work(const brisk_executor *executor)
{
    uint32_t count = atomic_load_explicit(&executor->scan_count, memory_order_seq_cst);
    for (uint32_t i = 0; i < count; i++) {
        if (!exec_deque_is_empty(&executor->workers[i].deque)) {
            return true;
        }
    }
    return false;
}

bool exec_work_visible(const brisk_executor *executor)
{
    /* seq_cst here and in the deques: W2 of the proof above; the partners are S1. */
    return atomic_load_explicit(&executor->queue_count, memory_order_seq_cst) != 0 ||
           exec_deques_hold_work(executor);
}

void exec_search_begin(brisk_executor *executor)
{
    atomic_fetch_add_explicit(&executor->state, STATE_SEARCHING, memory_order_seq_cst);
}

void exec_search_end(brisk_executor *executor)
{
    /* seq_cst: a submit that read "searching" before this had published before we look again. */
    uint64_t before =
        atomic_fetch_sub_explicit(&executor->state, STATE_SEARCHING, memory_order_seq_cst);
    BRISK_ASSERT(searching_in(before) != 0);
    if (searching_in(before) == 1 && exec_work_visible(executor)) {
        exec_notify(executor, false);
    }
}

void exec_park_worker(exec_worker *self)
{
    brisk_executor *executor = self->executor;
    lock(&executor->idle_lock);
    link_parker(&executor->parked_workers, &self->parker);
    /* W1 of the proof above. */
    atomic_fetch_add_explicit(&executor->state, STATE_PARKED - STATE_SEARCHING,
                              memory_order_seq_cst);
    unlock(&executor->idle_lock);
    /* W2.  `stopping` is set before exec_wake_all reads the state: the same argument. */
    if (exec_work_visible(executor) ||
        atomic_load_explicit(&executor->stopping, memory_order_seq_cst)) {
        lock(&executor->idle_lock);
        bool linked = self->parker.linked;
        if (linked) {
            unlink_parker(&executor->parked_workers, &self->parker);
            atomic_fetch_add_explicit(&executor->state, STATE_SEARCHING - STATE_PARKED,
                                      memory_order_seq_cst);
        }
        unlock(&executor->idle_lock);
        if (linked) {
            return;
        }
    }
    exec_count(&self->stats.parks);
    sleep_until_woken(&self->parker);
}

/* Nothing to sleep for: the group is done, or there is something that its waiter may take. */
static bool helper_has_business(const brisk_executor *executor, const brisk_group *group)
{
    /* seq_cst: after the waited bit was set; partners: exec_group_leave and brisk_group_run. */
    return (__atomic_load_n(&group->open_, __ATOMIC_SEQ_CST) & GROUP_COUNT) == 0 ||
           __atomic_load_n(&group->queued_, __ATOMIC_SEQ_CST) != 0 ||
           exec_deques_hold_work(executor);
}

void exec_park_helper(brisk_executor *executor, brisk_group *group)
{
    exec_parker parker = {.group = group};
    __atomic_fetch_or(&group->open_, GROUP_WAITED, __ATOMIC_SEQ_CST);
    lock(&executor->idle_lock);
    link_parker(&executor->parked_helpers, &parker);
    atomic_fetch_add_explicit(&executor->helpers_parked, 1, memory_order_seq_cst);
    unlock(&executor->idle_lock);
    if (helper_has_business(executor, group)) {
        lock(&executor->idle_lock);
        bool linked = parker.linked;
        if (linked) {
            unlink_parker(&executor->parked_helpers, &parker);
            atomic_fetch_sub_explicit(&executor->helpers_parked, 1, memory_order_seq_cst);
        }
        unlock(&executor->idle_lock);
        if (linked) {
            return;
        }
    }
    atomic_fetch_add_explicit(&executor->stats.parks, 1, memory_order_relaxed);
    sleep_until_woken(&parker);
}
