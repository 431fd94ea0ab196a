/*
 * group.c -- task groups of <brisk/executor.h>.
 *
 * open_ counts the members that have not run and carries the waited bit, in one word on purpose: the
 * last member's decrement is its last access to the group, because the waiter may return and leave
 * the group's stack frame at that very moment.  What it needs afterwards, "does somebody sleep", came
 * back from the decrement; the sleepers are then found in the executor by the group's address, which
 * is compared and never followed.
 *
 * A waiting thread helps: first with its own deque, where the members it submitted itself are, then
 * with members of this group in the shared queue, then by stealing.  Others' tasks in the shared queue
 * are left alone: each may wait in turn, and hundreds of them would pile up on one stack.  Progress:
 * groups are waited for by those who fill them, so waits form a tree; a task that some group waits
 * for is in the shared queue (its waiter is awake and may take it), in a deque (its owner is awake or
 * will come to it) or being run by a thread that waits, if at all, further down the tree.
 */
#include "base/assert.h"
#include "exec/futex.h"
#include "exec/scheduler.h"

enum { SPIN_BATCH = 8 /* pauses between two looks around */ };

void brisk_group_init(brisk_group *group, brisk_executor *executor)
{
    *group = (brisk_group){.executor_ = executor};
}

void brisk_group_run(brisk_group *group, brisk_task *task)
{
    /* Relaxed: the task cannot leave before exec_submit publishes it. */
    uint32_t before = __atomic_fetch_add(&group->open_, 1, __ATOMIC_RELAXED);
    BRISK_ASSERT((before & GROUP_COUNT) < GROUP_COUNT);
    task->private_[TASK_GROUP] = group;
    exec_submit(group->executor_, task);
}

void exec_group_leave(brisk_executor *executor, brisk_group *group)
{
    /* Release: what the member did is visible to the waiter (acquire in group_is_done).  seq_cst:
     * partner of helper_has_business, which reads the count after it set the bit. */
    uint32_t before = __atomic_fetch_sub(&group->open_, 1, __ATOMIC_SEQ_CST);
    BRISK_ASSERT((before & GROUP_COUNT) != 0);
    if (before == (GROUP_WAITED | 1)) {
        exec_wake_group(executor, group); /* by address: the group may be gone */
    }
}

static bool group_is_done(const brisk_group *group)
{
    /* Acquire: pairs with the decrements of exec_group_leave. */
    return (__atomic_load_n(&group->open_, __ATOMIC_ACQUIRE) & GROUP_COUNT) == 0;
}

static brisk_task *find_task(const brisk_group *group, exec_worker *self, uint64_t *random)
{
    brisk_executor *executor = group->executor_;
    brisk_task *task = self != NULL ? exec_deque_pop(&self->deque) : NULL;
    /* Relaxed: a wrong answer is corrected before anybody sleeps (exec_park_helper). */
    if (task == NULL && __atomic_load_n(&group->queued_, __ATOMIC_RELAXED) != 0) {
        task = exec_queue_pop_member(executor, group);
    }
    return task != NULL ? task : exec_steal(executor, self, random);
}

void brisk_group_wait(brisk_group *group)
{
    brisk_executor *executor = group->executor_;
    exec_worker *self = NULL;
    uint64_t random = (uint64_t)(uintptr_t)group;
    uint64_t spin_until = 0; /* 0: not spinning */
    while (!group_is_done(group)) {
        self = exec_current(executor);
        brisk_task *task = find_task(group, self, &random);
        if (task != NULL) {
            exec_run(executor, self, task);
            spin_until = 0;
            continue;
        }
        uint64_t now = brisk_clock_now_ns(NULL);
        if (spin_until == 0) {
            spin_until = now + executor->spin_ns;
        }
        if (now < spin_until) {
            for (int i = 0; i < SPIN_BATCH && !group_is_done(group); i++) {
                exec_relax();
            }
            continue;
        }
        exec_park_helper(executor, group);
        spin_until = 0;
    }
}
