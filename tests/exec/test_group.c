/*
 * test_group.c -- proves brisk_group: nesting with any number of workers, memory that is gone right
 * after the wait, members that come while somebody sleeps, several waiters.
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

/* --- nested groups --- */

typedef struct fib_task {
    brisk_task task;
    brisk_executor *executor;
    uint32_t n;
    uint64_t result;
} fib_task;

static uint64_t fib(brisk_executor *executor, uint32_t n);

static void run_fib(brisk_task *task)
{
    fib_task *f = task->ctx;
    f->result = fib(f->executor, f->n);
}

static uint64_t fib(brisk_executor *executor, uint32_t n)
{
    if (n < 2) {
        return n;
    }
    brisk_group group;
    brisk_group_init(&group, executor);
    fib_task left = {.task = {.run = run_fib}, .executor = executor, .n = n - 1};
    left.task.ctx = &left;
    brisk_group_run(&group, &left.task);
    uint64_t right = fib(executor, n - 2);
    brisk_group_wait(&group);
    return left.result + right;
}

static void test_nested_groups(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 5; workers += 2) {
        BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(workers, 0);
        CHECK_U64(fib(executor, 20), ==, 6765); /* the caller takes part */
        brisk_group group;
        brisk_group_init(&group, executor);
        fib_task root = {.task = {.run = run_fib}, .executor = executor, .n = 20};
        root.task.ctx = &root;
        brisk_group_run(&group, &root.task);
        brisk_group_wait(&group);
        CHECK_U64(root.result, ==, 6765);
    }
}

/* Each level waits for the next one: as deep as the stack of a worker allows. */
typedef struct deep_task {
    brisk_task task;
    brisk_executor *executor;
    uint32_t depth;
    uint32_t reached;
} deep_task;

static void run_deep(brisk_task *task)
{
    deep_task *d = task->ctx;
    d->reached = 1;
    if (d->depth > 1) {
        brisk_group group;
        brisk_group_init(&group, d->executor);
        deep_task below = {.task = {.run = run_deep}, .executor = d->executor};
        below.task.ctx = &below;
        below.depth = d->depth - 1;
        brisk_group_run(&group, &below.task);
        brisk_group_wait(&group);
        d->reached += below.reached;
    }
}

static void test_deep_nesting_with_few_workers(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(workers, 1);
        brisk_group group;
        brisk_group_init(&group, executor);
        deep_task top = {.task = {.run = run_deep}, .executor = executor, .depth = 2000};
        top.task.ctx = &top;
        brisk_group_run(&group, &top.task);
        brisk_group_wait(&group);
        CHECK_U64(top.reached, ==, 2000);
    }
}

/* --- the group's memory --- */

typedef struct heap_group {
    brisk_group group;
    brisk_task tasks[3];
    _Atomic uint64_t ran;
} heap_group;

static void count_in_group(brisk_task *task)
{
    atomic_fetch_add(&((heap_group *)task->ctx)->ran, 1);
}

static void one_heap_group(brisk_executor *executor, uint64_t *wrong)
{
    heap_group *h = calloc(1, sizeof *h);
    if (h == NULL) {
        abort();
    }
    brisk_group_init(&h->group, executor);
    for (int i = 0; i < 3; i++) {
        h->tasks[i] = (brisk_task){.run = count_in_group, .ctx = h};
        brisk_group_run(&h->group, &h->tasks[i]);
    }
    brisk_group_wait(&h->group);
    *wrong += atomic_load(&h->ran) != 3 ? 1 : 0;
    memset(h, 0xa5, sizeof *h); /* a last finisher that looks again goes astray */
    free(h);
}

typedef struct churner {
    brisk_executor *executor;
    uint32_t rounds;
    uint64_t wrong;
} churner;

static void churn(void *ctx)
{
    churner *c = ctx;
    for (uint32_t i = 0; i < c->rounds; i++) {
        one_heap_group(c->executor, &c->wrong);
    }
}

static void test_a_group_may_vanish_after_its_wait(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 4; workers++) {
        BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(workers, 1);
        enum { THREADS = 3 };
        brisk_thread threads[THREADS];
        churner churners[THREADS];
        for (int i = 0; i < THREADS; i++) {
            churners[i] = (churner){.executor = executor, .rounds = 4000};
            brisk_thread_opts opts = {.run = churn, .ctx = &churners[i]};
            CHECK_OK(brisk_thread_start(&threads[i], &opts));
        }
        for (int i = 0; i < THREADS; i++) {
            brisk_thread_join(&threads[i]);
            CHECK_U64(churners[i].wrong, ==, 0);
        }
    }
}

/* --- sleeping waiters --- */

typedef struct late_group {
    brisk_group group;
    brisk_executor *executor;
    brisk_task first;
    brisk_task later[4];
    _Atomic uint64_t ran;
} late_group;

static void run_late(brisk_task *task)
{
    late_group *l = task->ctx;
    nap(200);
    atomic_fetch_add(&l->ran, 1);
}

/* The waiter sleeps by now; then the group gets new members from inside. */
static void run_first(brisk_task *task)
{
    late_group *l = task->ctx;
    nap(2000);
    for (int i = 0; i < 4; i++) {
        l->later[i] = (brisk_task){.run = run_late, .ctx = l};
        brisk_group_run(&l->group, &l->later[i]);
    }
    atomic_fetch_add(&l->ran, 1);
}

static void wait_late(void *ctx)
{
    late_group *l = ctx;
    brisk_group_wait(&l->group);
}

static void test_members_may_come_while_it_is_waited_for(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        BRISK_CLEANUP(brisk_executor_destroy)
        brisk_executor *executor = make(1 + (uint32_t)round % 2, 1);
        late_group l = {.executor = executor};
        brisk_group_init(&l.group, executor);
        l.first = (brisk_task){.run = run_first, .ctx = &l};
        brisk_group_run(&l.group, &l.first);
        brisk_thread other; /* two waiters: both must come back */
        CHECK_OK(brisk_thread_start(&other, &(brisk_thread_opts){.run = wait_late, .ctx = &l}));
        brisk_group_wait(&l.group);
        CHECK_U64(atomic_load(&l.ran), ==, 5);
        brisk_thread_join(&other);
    }
}

/*
 * The only worker waits for a group whose member a foreign thread picked up, and that member adds
 * another one, from a thread without a deque, while the worker sleeps: it must be woken for it.
 */
typedef struct odd_group {
    brisk_executor *executor;
    brisk_group inner;
    brisk_task outer_task;
    brisk_task inner_task;
    brisk_task extra_task;
    uint64_t pause;
    _Atomic int stage;
    _Atomic int64_t inner_worker;
    _Atomic uint64_t ran;
} odd_group;

static void wait_for_stage(odd_group *o, int stage)
{
    uint64_t give_up = brisk_clock_now_ns(NULL) + UINT64_C(30000000000);
    while (atomic_load(&o->stage) < stage && brisk_clock_now_ns(NULL) < give_up) {
        (void)sched_yield();
    }
}

static void run_extra(brisk_task *task)
{
    atomic_fetch_add(&((odd_group *)task->ctx)->ran, 1);
}

static void run_inner(brisk_task *task)
{
    odd_group *o = task->ctx;
    atomic_store(&o->inner_worker, brisk_executor_current_worker(o->executor));
    atomic_store(&o->stage, 2);
    if (o->pause == 0) {
        nap(2000); /* the worker goes to sleep in its wait */
    }
    for (uint64_t i = 0; i < o->pause; i++) {
        atomic_signal_fence(memory_order_seq_cst); /* or is on its way there */
    }
    o->extra_task = (brisk_task){.run = run_extra, .ctx = o};
    brisk_group_run(&o->inner, &o->extra_task);
    uint64_t give_up = brisk_clock_now_ns(NULL) + UINT64_C(30000000000);
    while (atomic_load(&o->ran) == 0 && brisk_clock_now_ns(NULL) < give_up) {
        (void)sched_yield(); /* somebody else must run it: this thread does not help */
    }
}

static void run_outer(brisk_task *task)
{
    odd_group *o = task->ctx;
    brisk_group_init(&o->inner, o->executor);
    o->inner_task = (brisk_task){.run = run_inner, .ctx = o};
    brisk_group_run(&o->inner, &o->inner_task);
    atomic_store(&o->stage, 1);
    wait_for_stage(o, 2); /* until the foreign thread has stolen it */
    brisk_group_wait(&o->inner);
}

static void test_a_sleeping_waiter_is_woken_for_its_members(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(1, 1);
    uint64_t random = check_seed();
    for (int round = 0; round < 10000; round++) {
        odd_group o = {.executor = executor};
        o.pause = round < 20 ? 0 : 1 + check_random(&random) % 10000;
        brisk_group outer;
        brisk_group_init(&outer, executor);
        o.outer_task = (brisk_task){.run = run_outer, .ctx = &o};
        brisk_group_run(&outer, &o.outer_task);
        wait_for_stage(&o, 1); /* the worker has the outer task; then steal the inner one */
        brisk_group_wait(&outer);
        CHECK_U64(atomic_load(&o.ran), ==, 1);
        CHECK(atomic_load(&o.inner_worker) == -1);
    }
}

static void nap_long(brisk_task *task)
{
    (void)task;
    nap(400000);
}

static uint64_t cpu_time_us(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void test_a_waiter_sleeps(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(1, 0);
    brisk_group group;
    brisk_group_init(&group, executor);
    brisk_task task = {.run = nap_long};
    brisk_group_run(&group, &task);
    nap(50000); /* the worker has it */
    uint64_t before = cpu_time_us();
    brisk_group_wait(&group);
    CHECK_U64(cpu_time_us() - before, <, 100000); /* a spin would take 350000 */
}

static void test_an_empty_group_does_not_wait(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(1, 0);
    brisk_group group;
    brisk_group_init(&group, executor);
    brisk_group_wait(&group);
    uint64_t wrong = 0;
    one_heap_group(executor, &wrong);
    brisk_group_wait(&group); /* again, and a used one below */
    heap_group again = {.ran = 0};
    brisk_group_init(&again.group, executor);
    for (uint64_t round = 1; round <= 100; round++) {
        again.tasks[0] = (brisk_task){.run = count_in_group, .ctx = &again};
        brisk_group_run(&again.group, &again.tasks[0]);
        brisk_group_wait(&again.group);
        CHECK_U64(atomic_load(&again.ran), ==, round);
    }
    CHECK_U64(wrong, ==, 0);
}

/*
 * A foreign thread waits for its group while many strangers, each with a group of its own, stand
 * before its member in the shared queue.  It must not pile all of them onto its stack.
 */
typedef struct crowd {
    brisk_executor *executor;
    _Atomic bool open; /* the worker may go on */
    _Atomic uint64_t ran;
} crowd;

typedef struct stranger {
    brisk_task task;
    brisk_task member;
    crowd *crowd;
} stranger;

static _Thread_local uint64_t nested;
static _Atomic uint64_t most_nested;

static void run_door(brisk_task *task)
{
    crowd *c = task->ctx;
    while (!atomic_load(&c->open)) {
        nap(100);
    }
}

static void run_member(brisk_task *task)
{
    atomic_fetch_add(&((crowd *)task->ctx)->ran, 1);
}

static void run_stranger(brisk_task *task)
{
    stranger *s = task->ctx;
    nested++;
    if (nested > atomic_load(&most_nested)) {
        atomic_store(&most_nested, nested); /* one thread only runs strangers */
    }
    brisk_group group;
    brisk_group_init(&group, s->crowd->executor);
    s->member = (brisk_task){.run = run_member, .ctx = s->crowd};
    brisk_group_run(&group, &s->member);
    brisk_group_wait(&group);
    nested--;
}

static void test_strangers_do_not_pile_up_on_the_stack(void **state)
{
    (void)state;
    enum { STRANGERS = 2000 };
    static stranger strangers[STRANGERS];
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(1, 1);
    crowd c = {.executor = executor};
    brisk_task door = {.run = run_door, .ctx = &c};
    brisk_group all;
    brisk_group_init(&all, executor);
    brisk_group_run(&all, &door);
    nap(20000); /* the only worker is behind the door */
    for (int i = 0; i < STRANGERS; i++) {
        strangers[i] = (stranger){.task = {.run = run_stranger, .ctx = &strangers[i]}, .crowd = &c};
        brisk_executor_submit(executor, &strangers[i].task);
    }
    stranger own = {.crowd = &c};
    own.task.ctx = &own;
    run_stranger(&own.task); /* the worker cannot help: this thread alone must get through */
    CHECK_U64(atomic_load(&most_nested), <=, 64);
    atomic_store(&c.open, true);
    brisk_group_wait(&all);
    brisk_executor_destroy(executor); /* runs what is left */
    executor = NULL;
    CHECK_U64(atomic_load(&c.ran), ==, STRANGERS + 1);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_nested_groups),
        cmocka_unit_test(test_deep_nesting_with_few_workers),
        cmocka_unit_test(test_a_group_may_vanish_after_its_wait),
        cmocka_unit_test(test_members_may_come_while_it_is_waited_for),
        cmocka_unit_test(test_a_sleeping_waiter_is_woken_for_its_members),
        cmocka_unit_test(test_a_waiter_sleeps),
        cmocka_unit_test(test_an_empty_group_does_not_wait),
        cmocka_unit_test(test_strangers_do_not_pile_up_on_the_stack),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
