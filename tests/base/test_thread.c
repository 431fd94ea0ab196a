/* Threads: they run, carry their name, stay where they are pinned, take no signals, are counted. */
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/thread.h"
#include "support/check.h"

typedef struct report {
    sem_t named; /* the name is set after the start */
    char name[16];
    int cpu;
    bool signals_blocked;
    bool faults_blocked;
    uint32_t alive;
} report;

static void observe(void *ctx)
{
    report *r = ctx;
    (void)sem_wait(&r->named);
    (void)pthread_getname_np(pthread_self(), r->name, sizeof r->name);
    r->cpu = sched_getcpu();
    sigset_t set;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &set);
    r->signals_blocked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGINT) == 1;
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        r->faults_blocked = r->faults_blocked || sigismember(&set, faults[i]) == 1;
    }
    r->alive = brisk_thread_count();
}

/* A processor that this process may use. */
static uint32_t some_cpu(void)
{
    cpu_set_t cpus;
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    uint32_t last = 0;
    for (uint32_t i = 0; i < CPU_SETSIZE; i++) {
        last = CPU_ISSET(i, &cpus) ? i : last;
    }
    return last;
}

static void test_options(void **state)
{
    (void)state;
    uint32_t cpu = some_cpu();
    report r = {0};
    (void)sem_init(&r.named, 0, 0);
    brisk_thread thread;
    brisk_thread_opts opts = {.name = "brisk-a-name-too-long",
                              .run = observe,
                              .ctx = &r,
                              .stack_bytes = 1,
                              .cpu = cpu,
                              .pin = true};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    opts.stack_bytes = 1 << 20;
#endif
    CHECK_OK(brisk_thread_start(&thread, &opts));
    (void)sem_post(&r.named);
    brisk_thread_join(&thread);
    brisk_thread_join(&thread); /* once more does nothing */
    assert_string_equal(r.name, "brisk-a-name-to");
    CHECK_U64(r.cpu, ==, cpu);
    CHECK(r.signals_blocked);
    CHECK(!r.faults_blocked); /* a crash is reported where it happens */
    CHECK_U64(r.alive, ==, 1);
    CHECK_U64(brisk_thread_count(), ==, 0);
    (void)sem_destroy(&r.named);
    sigset_t set;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &set);
    CHECK(sigismember(&set, SIGTERM) == 0);
}

static void add_one(void *ctx)
{
    atomic_fetch_add((_Atomic int *)ctx, 1);
}

static void test_many(void **state)
{
    (void)state;
    enum { THREADS = 50 };
    _Atomic int sum = 0;
    brisk_thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        brisk_thread_opts opts = {.run = add_one, .ctx = &sum};
        CHECK_OK(brisk_thread_start(&threads[i], &opts));
    }
    for (int i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
    }
    CHECK(atomic_load(&sum) == THREADS);
    CHECK_U64(brisk_thread_count(), ==, 0);
}

static void test_processor_that_does_not_exist(void **state)
{
    (void)state;
    _Atomic int sum = 0;
    brisk_thread thread;
    brisk_thread_opts opts = {.run = add_one, .ctx = &sum, .cpu = CPU_SETSIZE, .pin = true};
    CHECK(brisk_thread_start(&thread, &opts) == BRISK_ERR_INVALID);
    brisk_thread_join(&thread);
    opts.cpu = CPU_SETSIZE - 1;
    CHECK(brisk_thread_start(&thread, &opts) == BRISK_ERR_INVALID);
    CHECK(atomic_load(&sum) == 0);
    CHECK_U64(brisk_thread_count(), ==, 0);
    brisk_thread zero = {0};
    brisk_thread_join(&zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_processor_that_does_not_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
