/*
 * test_executor.c -- proves the executor of <brisk/executor.h>: every task runs exactly once, no
 * wake-up is lost, an idle pool sleeps, destroy runs what is queued, and what happens without memory.
 *
 * Checks are made by the main thread only; tasks leave figures.
 */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <brisk/executor.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_executor, brisk_executor_destroy)

static brisk_executor *make(uint32_t workers, uint32_t spin_us)
{
    brisk_executor *executor = NULL;
    brisk_executor_opts opts = {.workers = workers, .spin_us = spin_us};
    CHECK_OK(brisk_executor_create(&opts, &executor));
    return executor;
}

static void nap(uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    (void)nanosleep(&t, NULL);
}

/* Wait for a figure without helping the executor; false after half a minute. */
static bool reaches(const _Atomic uint64_t *figure, uint64_t value)
{
    uint64_t give_up = brisk_clock_now_ns(NULL) + UINT64_C(30000000000);
    while (atomic_load(figure) < value) {
        if (brisk_clock_now_ns(NULL) > give_up) {
            return false;
        }
        (void)sched_yield();
    }
    return true;
}

/* --- basics --- */

static _Atomic uint64_t ran;

static void count_and_free(brisk_task *task)
{
    memset(task, 0xa5, sizeof *task); /* whoever touches it after this will notice */
    free(task);
    atomic_fetch_add(&ran, 1);
}

static void submit_one(brisk_executor *executor)
{
    brisk_task *task = malloc(sizeof *task);
    if (task == NULL) {
        abort();
    }
    *task = (brisk_task){.run = count_and_free};
    brisk_executor_submit(executor, task);
}

static void test_options(void **state)
{
    (void)state;
    brisk_executor *executor = NULL;
    brisk_executor_opts many = {.workers = BRISK_EXECUTOR_WORKERS_MAX + 1};
    CHECK(brisk_executor_create(&many, &executor) == BRISK_ERR_INVALID);
    brisk_executor_opts slow = {.spin_us = 2000000};
    CHECK(brisk_executor_create(&slow, &executor) == BRISK_ERR_INVALID);
    CHECK(executor == NULL);
    brisk_executor_destroy(NULL);
    CHECK_OK(brisk_executor_create(NULL, &executor));
    CHECK_U64(brisk_executor_workers(executor), >=, 1);
    brisk_executor_destroy(executor);
    many.workers--;
    CHECK_OK(brisk_executor_create(&many, &executor));
    CHECK_U64(brisk_executor_workers(executor), ==, BRISK_EXECUTOR_WORKERS_MAX);
    brisk_executor_destroy(executor);
}

static void test_nobody_uses_it_nothing_starts(void **state)
{
    (void)state;
    uint32_t before = brisk_thread_count();
    brisk_executor *executor = make(8, 0);
    CHECK_U64(brisk_thread_count(), ==, before);
    atomic_store(&ran, 0);
    submit_one(executor);
    CHECK(reaches(&ran, 1));
    CHECK_U64(brisk_thread_count(), ==, before + 1); /* one task needs one thread */
    brisk_executor_destroy(executor);
    CHECK_U64(brisk_thread_count(), ==, before);
}

typedef struct where {
    brisk_task task;
    brisk_executor *executor;
    brisk_executor *other;
    _Atomic int64_t worker;
    _Atomic int64_t of_other;
    _Atomic uint64_t done;
} where;

static void note_where(brisk_task *task)
{
    where *w = task->ctx;
    atomic_store(&w->worker, brisk_executor_current_worker(w->executor));
    atomic_store(&w->of_other, brisk_executor_current_worker(w->other));
    atomic_store(&w->done, 1);
}

static void test_a_worker_knows_itself(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(3, 0);
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *other = make(2, 0);
    where w = {.task = {.run = note_where}, .executor = executor, .other = other, .worker = -9};
    w.task.ctx = &w;
    brisk_executor_submit(executor, &w.task);
    CHECK(reaches(&w.done, 1));
    CHECK(w.worker >= 0 && w.worker < 3);
    CHECK(w.of_other == -1);
    CHECK(brisk_executor_current_worker(executor) == -1);
}

/* --- stress --- */

enum { SUBMITTERS = 4, TASKS_EACH = 25000, FAMILY = 4 };

typedef struct family_task {
    brisk_task task;
    brisk_executor *executor;
    uint32_t children;
} family_task;

static void run_family(brisk_task *task);

static void submit_family(brisk_executor *executor, uint32_t children)
{
    family_task *f = malloc(sizeof *f);
    if (f == NULL) {
        abort();
    }
    *f = (family_task){.task = {.run = run_family}, .executor = executor, .children = children};
    f->task.ctx = f;
    brisk_executor_submit(executor, &f->task);
}

static void run_family(brisk_task *task)
{
    family_task f = *(family_task *)task->ctx;
    memset(task, 0xa5, sizeof *task);
    free(task);
    for (uint32_t i = 0; i < f.children; i++) {
        submit_family(f.executor, 0);
    }
    atomic_fetch_add(&ran, 1);
}

static void submit_many(void *ctx)
{
    for (int i = 0; i < TASKS_EACH / (FAMILY + 1); i++) {
        submit_family(ctx, FAMILY); /* from outside through the queue, inside through deques */
    }
}

static void stress(uint32_t workers)
{
    brisk_executor *executor = make(workers, 0);
    atomic_store(&ran, 0);
    brisk_thread threads[SUBMITTERS];
    for (int i = 0; i < SUBMITTERS; i++) {
        brisk_thread_opts opts = {.run = submit_many, .ctx = executor};
        CHECK_OK(brisk_thread_start(&threads[i], &opts));
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        brisk_thread_join(&threads[i]);
    }
    CHECK(reaches(&ran, SUBMITTERS * TASKS_EACH));
    brisk_executor_stats stats;
    brisk_executor_read_stats(executor, &stats);
    brisk_executor_destroy(executor);
    CHECK_U64(atomic_load(&ran), ==, SUBMITTERS * TASKS_EACH);
    CHECK_U64(stats.tasks_run, ==, SUBMITTERS * TASKS_EACH);
}

static void test_every_task_runs_once(void **state)
{
    (void)state;
    stress(1);
    stress(2);
    stress(7);
}

/* --- sleeping and waking --- */

static void count_only(brisk_task *task)
{
    (void)task;
    atomic_fetch_add(&ran, 1);
}

/*
 * The hunt: submit at every moment around a worker's way into sleep.  Nobody but the workers may run
 * the task (no group, no helper), so a lost wake-up stands still and is found.
 */
static void hunt(uint32_t workers, uint32_t rounds)
{
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(workers, 1);
    uint64_t random = check_seed();
    atomic_store(&ran, 0);
    brisk_task tasks[3];
    uint64_t total = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t count = 1 + check_random(&random) % 3;
        for (uint64_t i = 0; i < count; i++) {
            tasks[i] = (brisk_task){.run = count_only};
            brisk_executor_submit(executor, &tasks[i]);
        }
        total += count;
        if (!reaches(&ran, total)) {
            fail_msg("round %u: a task was forgotten", round);
        }
        uint64_t pause = check_random(&random) % 10000;
        for (uint64_t i = 0; i < pause; i++) {
            atomic_signal_fence(memory_order_seq_cst); /* a short, random time */
        }
        if (round % 64 == 0) {
            nap(100); /* now they surely sleep */
        }
    }
    brisk_executor_stats stats;
    brisk_executor_read_stats(executor, &stats);
    print_message("%u workers: %llu parks, %llu wakes\n", workers, (unsigned long long)stats.parks,
                  (unsigned long long)stats.wakes);
    CHECK_U64(stats.parks, >, 0);
    CHECK_U64(stats.wakes, >, 0);
}

static void test_no_wake_up_is_lost(void **state)
{
    (void)state;
    hunt(1, 30000);
    hunt(2, 20000);
    hunt(5, 3000);
}

/* Tasks that submit the next one from inside a worker while the others go to sleep. */
typedef struct relay {
    brisk_task tasks[2];
    brisk_executor *executor;
    _Atomic uint64_t left;
    _Atomic uint64_t done;
} relay;

static void relay_run(brisk_task *task)
{
    relay *r = task->ctx;
    uint64_t left = atomic_fetch_sub(&r->left, 1);
    if (left > 1) {
        brisk_task *next = &r->tasks[left % 2];
        *next = (brisk_task){.run = relay_run, .ctx = r};
        brisk_executor_submit(r->executor, next);
    } else {
        atomic_store(&r->done, 1);
    }
}

static void test_a_relay_arrives(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(3, 1);
    for (int round = 0; round < 20; round++) {
        relay r = {.executor = executor, .left = 5000};
        r.tasks[0] = (brisk_task){.run = relay_run, .ctx = &r};
        brisk_executor_submit(executor, &r.tasks[0]);
        CHECK(reaches(&r.done, 1));
    }
}

/*
 * A worker leaves a task in its own deque while the other worker is on its way into sleep, and does
 * not come back for it: the other one must have noticed.
 */
typedef struct call_for_help {
    brisk_task caller;
    brisk_task helped;
    brisk_executor *executor;
    uint64_t pause;
    _Atomic uint64_t done;
    _Atomic bool in_vain;
} call_for_help;

static void run_helped(brisk_task *task)
{
    atomic_fetch_add(&((call_for_help *)task->ctx)->done, 1);
}

static void run_caller(brisk_task *task)
{
    call_for_help *c = task->ctx;
    for (uint64_t i = 0; i < c->pause; i++) {
        atomic_signal_fence(memory_order_seq_cst);
    }
    c->helped = (brisk_task){.run = run_helped, .ctx = c};
    brisk_executor_submit(c->executor, &c->helped);
    uint64_t give_up = brisk_clock_now_ns(NULL) + UINT64_C(10000000000);
    while (atomic_load(&c->done) == 0) {
        if (brisk_clock_now_ns(NULL) > give_up) {
            atomic_store(&c->in_vain, true);
            break;
        }
    }
    atomic_fetch_add(&c->done, 1);
}

static void test_a_worker_finds_help(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(2, 1);
    uint64_t random = check_seed();
    for (uint32_t round = 0; round < 10000; round++) {
        call_for_help c = {.executor = executor, .pause = check_random(&random) % 10000};
        c.caller = (brisk_task){.run = run_caller, .ctx = &c};
        brisk_executor_submit(executor, &c.caller);
        CHECK(reaches(&c.done, 2));
        if (atomic_load(&c.in_vain)) {
            fail_msg("round %u: nobody came", round);
        }
    }
}

/*
 * Tasks that need each other at the same moment.  The submits after the first find a worker searching
 * and wake nobody: that worker must pass the duty on when it takes one of them.
 */
typedef struct meeting {
    brisk_task tasks[3];
    uint64_t size;
    _Atomic uint64_t here;
    _Atomic uint64_t gone;
    _Atomic bool in_vain;
} meeting;

static void run_meeting(brisk_task *task)
{
    meeting *m = task->ctx;
    atomic_fetch_add(&m->here, 1);
    uint64_t give_up = brisk_clock_now_ns(NULL) + UINT64_C(10000000000);
    while (atomic_load(&m->here) < m->size && !atomic_load(&m->in_vain)) {
        if (brisk_clock_now_ns(NULL) > give_up) {
            atomic_store(&m->in_vain, true);
        }
        (void)sched_yield();
    }
    atomic_fetch_add(&m->gone, 1);
}

static void test_tasks_run_side_by_side(void **state)
{
    (void)state;
    for (uint32_t size = 2; size <= 3; size++) {
        BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(size, 1);
        for (uint32_t round = 0; round < 2000; round++) {
            meeting m = {.size = size};
            for (uint32_t i = 0; i < size; i++) {
                m.tasks[i] = (brisk_task){.run = run_meeting, .ctx = &m};
                brisk_executor_submit(executor, &m.tasks[i]);
            }
            CHECK(reaches(&m.gone, size));
            if (atomic_load(&m.in_vain)) {
                fail_msg("round %u: they did not meet", round);
            }
            if (round % 8 == 0) {
                nap(50); /* all asleep */
            }
        }
    }
}

static uint64_t cpu_time_us(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void test_an_idle_pool_sleeps(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(4, 0);
    atomic_store(&ran, 0);
    for (int i = 0; i < 1000; i++) {
        submit_one(executor);
    }
    CHECK(reaches(&ran, 1000));
    nap(50000);
    uint64_t before = cpu_time_us();
    nap(400000);
    CHECK_U64(cpu_time_us() - before, <, 100000); /* one busy thread would take 400000 */
}

/* --- the end --- */

static void sleep_and_count(brisk_task *task)
{
    (void)task;
    nap(20000);
    atomic_fetch_add(&ran, 1);
}

static void test_destroy_runs_what_is_queued(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        brisk_executor *executor = make(1 + (uint32_t)round % 3, 1);
        atomic_store(&ran, 0);
        brisk_task slow = {.run = sleep_and_count};
        uint64_t expected = 0;
        if (round % 8 == 0) { /* the worker is busy while all the others are queued */
            brisk_executor_submit(executor, &slow);
            expected++;
        }
        for (int i = 0; i < 100; i++) {
            submit_family(executor, FAMILY); /* submits more while the executor stops */
            expected += 1 + FAMILY;
        }
        brisk_executor_destroy(executor);
        CHECK_U64(atomic_load(&ran), ==, expected);
    }
}

/* The end comes while the worker goes to sleep. */
static void test_destroy_finds_a_worker_at_any_moment(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 3000; round++) {
        brisk_executor *executor = make(1, 1);
        atomic_store(&ran, 0);
        brisk_task task = {.run = count_only};
        brisk_executor_submit(executor, &task);
        CHECK(reaches(&ran, 1));
        uint64_t pause = check_random(&random) % 10000;
        for (uint64_t i = 0; i < pause; i++) {
            atomic_signal_fence(memory_order_seq_cst);
        }
        brisk_executor_destroy(executor); /* or this never returns */
    }
}

/* --- memory --- */

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t failures = 0;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_executor *executor = NULL;
        brisk_executor_opts opts = {.workers = 4, .alloc = &fault.base};
        err = brisk_executor_create(&opts, &executor);
        CHECK((executor != NULL) == (err == BRISK_OK));
        failures += err != BRISK_OK ? 1 : 0;
        brisk_executor_destroy(executor);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK(err == BRISK_OK);
    CHECK_U64(failures, ==, 5); /* the executor and four deques */
}

/* A worker that cannot enlarge its deque uses the shared queue: nothing is lost. */
typedef struct flood {
    brisk_task root;
    brisk_executor *executor;
    brisk_task tasks[3000];
} flood;

static void run_flood(brisk_task *task)
{
    flood *f = task->ctx;
    for (int i = 0; i < 3000; i++) {
        f->tasks[i] = (brisk_task){.run = count_only};
        brisk_executor_submit(f->executor, &f->tasks[i]);
    }
}

static void test_a_deque_may_fail_to_grow(void **state)
{
    (void)state;
    fault_alloc fault;
    fault_alloc_init(&fault, 2); /* executor and one deque */
    brisk_executor *executor = NULL;
    brisk_executor_opts opts = {.workers = 1, .alloc = &fault.base};
    CHECK_OK(brisk_executor_create(&opts, &executor));
    static flood f;
    f.executor = executor;
    f.root = (brisk_task){.run = run_flood, .ctx = &f};
    atomic_store(&ran, 0);
    brisk_executor_submit(executor, &f.root);
    CHECK(reaches(&ran, 3000));
    brisk_executor_destroy(executor);
    CHECK_U64(fault.bytes_held, ==, 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_nobody_uses_it_nothing_starts),
        cmocka_unit_test(test_a_worker_knows_itself),
        cmocka_unit_test(test_every_task_runs_once),
        cmocka_unit_test(test_no_wake_up_is_lost),
        cmocka_unit_test(test_a_relay_arrives),
        cmocka_unit_test(test_a_worker_finds_help),
        cmocka_unit_test(test_tasks_run_side_by_side),
        cmocka_unit_test(test_an_idle_pool_sleeps),
        cmocka_unit_test(test_destroy_runs_what_is_queued),
        cmocka_unit_test(test_destroy_finds_a_worker_at_any_moment),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_a_deque_may_fail_to_grow),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
