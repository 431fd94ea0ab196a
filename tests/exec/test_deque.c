/*
 * test_deque.c -- proves exec/deque.h: order at both ends, growth, a refused growth, and with an
 * owner and several thieves at work that every task is taken exactly once.
 */
#include <string.h>

#include "base/thread.h"
#include "exec/deque.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { FIRST_SIZE = 256 /* as in deque.c: what is beyond grows */ };

static void test_youngest_below_oldest_above(void **state)
{
    (void)state;
    enum { N = 5000 };
    static brisk_task tasks[N];
    exec_deque deque;
    CHECK_OK(exec_deque_init(&deque, brisk_alloc_libc()));
    CHECK(exec_deque_is_empty(&deque));
    CHECK(exec_deque_pop(&deque) == NULL);
    bool lost = false;
    CHECK(exec_deque_steal(&deque, &lost) == NULL);
    for (int i = 0; i < N; i++) {
        CHECK(exec_deque_push(&deque, &tasks[i]));
    }
    CHECK(!exec_deque_is_empty(&deque));
    for (int i = 0; i < N / 2; i++) {
        CHECK(exec_deque_steal(&deque, &lost) == &tasks[i]);
        CHECK(exec_deque_pop(&deque) == &tasks[N - 1 - i]);
    }
    CHECK(!lost);
    CHECK(exec_deque_pop(&deque) == NULL);
    CHECK(exec_deque_is_empty(&deque));
    exec_deque_deinit(&deque);
}

/* The window of live tasks goes round the ring many times, at every fill level. */
static void test_the_ring_wraps(void **state)
{
    (void)state;
    static brisk_task tasks[4 * FIRST_SIZE];
    exec_deque deque;
    CHECK_OK(exec_deque_init(&deque, brisk_alloc_libc()));
    bool lost = false;
    uint64_t pushed = 0;
    uint64_t stolen = 0;
    uint64_t random = check_seed();
    for (int round = 0; round < 2000; round++) {
        uint64_t live = pushed - stolen;
        uint64_t more = check_random(&random) % (3 * FIRST_SIZE - live);
        for (; more > 0; more--, pushed++) {
            CHECK(exec_deque_push(&deque, &tasks[pushed % (4 * FIRST_SIZE)]));
        }
        uint64_t fewer = check_random(&random) % (pushed - stolen + 1);
        for (; fewer > 0; fewer--, stolen++) {
            CHECK(exec_deque_steal(&deque, &lost) == &tasks[stolen % (4 * FIRST_SIZE)]);
        }
    }
    exec_deque_deinit(&deque);
}

static void test_no_memory_is_no_loss(void **state)
{
    (void)state;
    static brisk_task tasks[FIRST_SIZE + 1];
    fault_alloc fault;
    fault_alloc_init(&fault, 0);
    exec_deque deque;
    CHECK(exec_deque_init(&deque, &fault.base) == BRISK_ERR_NOMEM);
    fault_alloc_init(&fault, 1);
    CHECK_OK(exec_deque_init(&deque, &fault.base));
    for (int i = 0; i < FIRST_SIZE; i++) {
        CHECK(exec_deque_push(&deque, &tasks[i]));
    }
    CHECK(!exec_deque_push(&deque, &tasks[FIRST_SIZE])); /* the ring cannot grow */
    for (int i = FIRST_SIZE - 1; i >= 0; i--) {
        CHECK(exec_deque_pop(&deque) == &tasks[i]);
    }
    CHECK(exec_deque_push(&deque, &tasks[FIRST_SIZE]));
    exec_deque_deinit(&deque);
    CHECK_U64(fault.bytes_held, ==, 0);
}

/* --- owner against thieves --- */

enum { ITEMS = 200000, THIEVES = 3 };

typedef struct contest {
    exec_deque deque;
    _Atomic bool done;
    brisk_task tasks[ITEMS];
    _Atomic uint8_t taken[ITEMS];
} contest;

static void take(contest *c, const brisk_task *task)
{
    atomic_fetch_add_explicit(&c->taken[task - c->tasks], 1, memory_order_relaxed);
}

static void thief(void *ctx)
{
    contest *c = ctx;
    bool done = false;
    while (!done) {
        done = atomic_load(&c->done);
        bool lost = false;
        brisk_task *task;
        while ((task = exec_deque_steal(&c->deque, &lost)) != NULL || lost) {
            if (task != NULL) {
                take(c, task);
            }
            lost = false;
        }
    }
}

/* Few live tasks most of the time, so that owner and thieves meet at the last one. */
static void test_every_task_is_taken_once(void **state)
{
    (void)state;
    static contest c;
    memset(&c, 0, sizeof c);
    CHECK_OK(exec_deque_init(&c.deque, brisk_alloc_libc()));
    brisk_thread threads[THIEVES];
    for (int i = 0; i < THIEVES; i++) {
        CHECK_OK(brisk_thread_start(&threads[i], &(brisk_thread_opts){.run = thief, .ctx = &c}));
    }
    uint64_t random = check_seed();
    bool pushed = true;
    for (int next = 0; next < ITEMS;) {
        uint64_t burst = check_random(&random) % 100 == 0 ? 2000 : 1 + check_random(&random) % 3;
        for (; burst > 0 && next < ITEMS; burst--, next++) {
            pushed = exec_deque_push(&c.deque, &c.tasks[next]) && pushed;
        }
        brisk_task *task;
        for (uint64_t pops = 1 + check_random(&random) % 4; pops > 0; pops--) {
            if ((task = exec_deque_pop(&c.deque)) != NULL) {
                take(&c, task);
            }
        }
    }
    atomic_store(&c.done, true);
    for (int i = 0; i < THIEVES; i++) {
        brisk_thread_join(&threads[i]);
    }
    CHECK(pushed);
    CHECK(exec_deque_is_empty(&c.deque));
    for (int i = 0; i < ITEMS; i++) {
        CHECK_U64(c.taken[i], ==, 1);
    }
    exec_deque_deinit(&c.deque);
}

/* --- growth under the thieves' eyes --- */

enum { DEQUES = 300, GROWN = 1100 /* two growths each */ };

typedef struct growth {
    exec_deque deques[DEQUES];
    _Atomic uint32_t at; /* the deque in use; DEQUES ends the thieves */
    brisk_task tasks[GROWN];
    _Atomic uint64_t taken;
} growth;

static void follow(void *ctx)
{
    growth *g = ctx;
    uint32_t at = 0;
    while ((at = atomic_load(&g->at)) < DEQUES) {
        bool lost = false;
        if (exec_deque_steal(&g->deques[at], &lost) != NULL) {
            atomic_fetch_add(&g->taken, 1);
        }
    }
}

static void test_growth_is_seen_whole(void **state)
{
    (void)state;
    static growth g;
    for (int i = 0; i < DEQUES; i++) {
        CHECK_OK(exec_deque_init(&g.deques[i], brisk_alloc_libc()));
    }
    brisk_thread threads[THIEVES];
    for (int i = 0; i < THIEVES; i++) {
        CHECK_OK(brisk_thread_start(&threads[i], &(brisk_thread_opts){.run = follow, .ctx = &g}));
    }
    bool pushed = true;
    uint64_t own = 0;
    for (uint32_t at = 0; at < DEQUES; at++) {
        atomic_store(&g.at, at);
        for (int i = 0; i < GROWN; i++) {
            pushed = exec_deque_push(&g.deques[at], &g.tasks[i]) && pushed;
        }
        while (exec_deque_pop(&g.deques[at]) != NULL) {
            own++;
        }
    }
    atomic_store(&g.at, DEQUES);
    for (int i = 0; i < THIEVES; i++) {
        brisk_thread_join(&threads[i]);
    }
    CHECK(pushed);
    CHECK_U64(own + atomic_load(&g.taken), ==, DEQUES * GROWN);
    for (int i = 0; i < DEQUES; i++) {
        exec_deque_deinit(&g.deques[i]);
    }
}

/* --- the owner's pop against two quick steals, which its store must not be too late for --- */

enum { PAIRS = 1500000 };

typedef struct duel {
    exec_deque deque;
    _Atomic bool done;
    brisk_task tasks[3];
    _Atomic uint64_t stolen;
} duel;

static void duel_thief(void *ctx)
{
    duel *d = ctx;
    uint64_t stolen = 0;
    while (!atomic_load_explicit(&d->done, memory_order_relaxed)) {
        bool lost = false;
        stolen += exec_deque_steal(&d->deque, &lost) != NULL ? 1 : 0;
    }
    atomic_store(&d->stolen, stolen);
}

static void test_pop_and_steal_share_nothing(void **state)
{
    (void)state;
    static duel d;
    CHECK_OK(exec_deque_init(&d.deque, brisk_alloc_libc()));
    brisk_thread thread;
    CHECK_OK(brisk_thread_start(&thread, &(brisk_thread_opts){.run = duel_thief, .ctx = &d}));
    uint64_t random = check_seed();
    uint64_t pushed = 0;
    uint64_t popped = 0;
    for (int round = 0; round < PAIRS; round++) {
        for (uint64_t i = 2 + check_random(&random) % 2; i > 0; i--) {
            pushed += exec_deque_push(&d.deque, &d.tasks[i - 1]) ? 1 : 0;
        }
        for (uint64_t i = check_random(&random) % 64; i > 0; i--) {
            atomic_signal_fence(memory_order_seq_cst); /* let the thief begin */
        }
        while (exec_deque_pop(&d.deque) != NULL) {
            popped++;
        }
    }
    atomic_store(&d.done, true);
    brisk_thread_join(&thread);
    CHECK_U64(popped + atomic_load(&d.stolen), ==, pushed);
    exec_deque_deinit(&d.deque);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_youngest_below_oldest_above),
        cmocka_unit_test(test_the_ring_wraps),
        cmocka_unit_test(test_no_memory_is_no_loss),
        cmocka_unit_test(test_every_task_is_taken_once),
        cmocka_unit_test(test_pop_and_steal_share_nothing),
        cmocka_unit_test(test_growth_is_seen_whole),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
