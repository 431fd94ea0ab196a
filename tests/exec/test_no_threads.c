/*
 * test_no_threads.c -- what the executor does when the system gives it no threads, or fewer than it
 * wants.  Linked with --wrap=pthread_create, so that the failure is the real one.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include <brisk/executor.h>
#include <brisk/graph.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "support/check.h"

BRISK_DEFINE_CLEANUP(brisk_executor, brisk_executor_destroy)
BRISK_DEFINE_CLEANUP(brisk_graph, brisk_graph_destroy)

static _Atomic int threads_left; /* so many may still start; below zero: any number */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
    int left = atomic_load(&threads_left);
    if (left == 0) {
        return EAGAIN;
    }
    if (left > 0) {
        atomic_fetch_sub(&threads_left, 1);
    }
    return __real_pthread_create(thread, attr, run, arg);
}

static brisk_executor *make(uint32_t workers)
{
    brisk_executor *executor = NULL;
    CHECK_OK(brisk_executor_create(&(brisk_executor_opts){.workers = workers}, &executor));
    return executor;
}

/* A chain: each task submits the next one, so that running inline must not recurse for ever. */
typedef struct chain {
    brisk_task tasks[2];
    brisk_executor *executor;
    brisk_group group;
    uint64_t left;
    uint64_t ran;
    int grouped;
} chain;

static void run_chain(brisk_task *task)
{
    chain *c = task->ctx;
    c->ran++;
    if (--c->left > 0) {
        brisk_task *next = &c->tasks[c->left % 2];
        *next = (brisk_task){.run = run_chain, .ctx = c};
        if (c->grouped) {
            brisk_group_run(&c->group, next);
        } else {
            brisk_executor_submit(c->executor, next);
        }
    }
}

static void test_tasks_run_in_the_caller(void **state)
{
    (void)state;
    atomic_store(&threads_left, 0);
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(4);
    chain c = {.executor = executor, .left = 1};
    c.tasks[0] = (brisk_task){.run = run_chain, .ctx = &c};
    brisk_executor_submit(executor, &c.tasks[0]);
    CHECK_U64(c.ran, ==, 1); /* already: there was nobody else */
    c.left = 1000000;
    c.tasks[0] = (brisk_task){.run = run_chain, .ctx = &c};
    brisk_executor_submit(executor, &c.tasks[0]);
    CHECK_U64(c.ran, ==, 1000001);
}

static void test_groups_work_without_threads(void **state)
{
    (void)state;
    atomic_store(&threads_left, 0);
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(2);
    chain c = {.executor = executor, .left = 10000, .grouped = 1};
    brisk_group_init(&c.group, executor);
    c.tasks[0] = (brisk_task){.run = run_chain, .ctx = &c};
    brisk_group_run(&c.group, &c.tasks[0]);
    brisk_group_wait(&c.group);
    CHECK_U64(c.ran, ==, 10000);
}

static brisk_err count_node(void *ctx, uint32_t node)
{
    (void)node;
    (*(uint64_t *)ctx)++;
    return BRISK_OK;
}

static void test_a_graph_works_without_threads(void **state)
{
    (void)state;
    atomic_store(&threads_left, 0);
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(2);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = NULL;
    CHECK_OK(brisk_graph_create(NULL, &graph));
    enum { WIDE = 300 };
    for (uint32_t i = 0; i < WIDE; i++) {
        char name[16];
        uint32_t node;
        (void)snprintf(name, sizeof name, "n%u", i);
        CHECK_OK(brisk_graph_add(graph, name, &node));
        if (i > 0) {
            CHECK_OK(brisk_graph_after(graph, node, (i - 1) / 3));
        }
    }
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    uint64_t ran = 0; /* not atomic: one thread only */
    CHECK_OK(brisk_graph_run(graph, executor, NULL, count_node, &ran));
    CHECK_U64(ran, ==, WIDE);
}

static _Atomic uint64_t counted;

static void count_only(brisk_task *task)
{
    (void)task;
    atomic_fetch_add(&counted, 1);
    (void)sched_yield();
}

/* Wait without helping; false after half a minute. */
static bool reaches(uint64_t value)
{
    uint64_t give_up = brisk_clock_now_ns(NULL) + UINT64_C(30000000000);
    while (atomic_load(&counted) < value && brisk_clock_now_ns(NULL) < give_up) {
        (void)sched_yield();
    }
    return atomic_load(&counted) == value;
}

static void test_some_threads_are_enough(void **state)
{
    (void)state;
    enum { N = 2000 };
    static brisk_task tasks[N];
    for (int allowed = 1; allowed <= 3; allowed++) {
        atomic_store(&threads_left, allowed);
        atomic_store(&counted, 0);
        brisk_executor *executor = make(8);
        uint32_t before = brisk_thread_count();
        for (int i = 0; i < N; i++) {
            tasks[i] = (brisk_task){.run = count_only};
            brisk_executor_submit(executor, &tasks[i]);
        }
        CHECK_U64(brisk_thread_count() - before, <=, (uint64_t)allowed);
        CHECK(reaches(N));
        /* The threads that did not come leave nothing behind: who sleeps is still woken. */
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        tasks[0] = (brisk_task){.run = count_only};
        brisk_executor_submit(executor, &tasks[0]);
        CHECK(reaches(N + 1));
        brisk_executor_destroy(executor);
    }
}

static void test_threads_may_come_back(void **state)
{
    (void)state;
    atomic_store(&threads_left, 0);
    atomic_store(&counted, 0);
    brisk_executor *executor = make(2);
    brisk_task first = {.run = count_only};
    brisk_executor_submit(executor, &first);
    CHECK_U64(atomic_load(&counted), ==, 1);
    atomic_store(&threads_left, -1);
    uint32_t before = brisk_thread_count();
    brisk_task second = {.run = count_only};
    brisk_executor_submit(executor, &second);
    CHECK_U64(brisk_thread_count(), ==, before + 1);
    brisk_executor_destroy(executor);
    CHECK_U64(atomic_load(&counted), ==, 2);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_tasks_run_in_the_caller),
        cmocka_unit_test(test_groups_work_without_threads),
        cmocka_unit_test(test_a_graph_works_without_threads),
        cmocka_unit_test(test_some_threads_are_enough),
        cmocka_unit_test(test_threads_may_come_back),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
