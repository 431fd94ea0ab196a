/*
 * test_virtual.c -- virtual speed-ups on a made-up clock: two threads played by one, whose answer is worked out by hand.
 *
 *     a: A (10 ms) ─┐ wait          C (2.5 ms, by a)     a round: max(A, B) + C = 12.5 ms
 *     b: B (6.7 ms) ┘ wait ........ wait
 */
#include <math.h>

#include <brisk/whatif.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "support/check.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_virtual, brisk_virtual_destroy)

enum { A, B, C };

static const uint64_t US = 1000;

static void check_near(double found, double wanted)
{
    if (!(fabs(found - wanted) < 5e-4)) {
        fail_msg("found %.9f, wanted %.9f", found, wanted);
    }
}

typedef struct play {
    fake_clock clock;
    brisk_virtual *v;
    brisk_virtual_thread a;
    brisk_virtual_thread b;
    uint64_t a_ends_ns; /* 0: a is through with A */
    uint64_t a_pays_ns; /* how long a's own pauses were */
    bool a_pauses;
} play;

static uint64_t now(const play *p)
{
    return brisk_clock_now_ns(&p->clock.base);
}

/* Time passes for both: A's end may lie within. */
static void pass(play *p, uint64_t ns)
{
    uint64_t end_ns = now(p) + ns;
    if (p->a_ends_ns != 0 && p->a_ends_ns <= end_ns) {
        fake_clock_advance(&p->clock, p->a_ends_ns - now(p));
        p->a_ends_ns = 0;
        p->a_pauses = true;
        brisk_virtual_exit(&p->a, A);
        p->a_pauses = false;
    }
    if (end_ns > now(p)) {
        fake_clock_advance(&p->clock, end_ns - now(p));
    }
}

static void pause_play(void *ctx, uint64_t ns)
{
    play *p = ctx;
    if (p->a_pauses) {
        p->a_pays_ns += ns; /* b waits for a then, and does nothing else */
    }
    pass(p, ns);
}

static void play_round(play *p)
{
    uint64_t a_end_ns = now(p) + 10000 * US;
    brisk_virtual_enter(&p->a, A);
    brisk_virtual_enter(&p->b, B);
    p->a_ends_ns = a_end_ns;
    pass(p, 6700 * US);
    brisk_virtual_exit(&p->b, B);
    brisk_virtual_wait_begin(&p->b);
    if (p->a_ends_ns != 0) {
        pass(p, p->a_ends_ns - now(p));
    }
    brisk_virtual_wait_begin(&p->a);
    brisk_virtual_wait_end(&p->a);
    brisk_virtual_enter(&p->a, C);
    pass(p, 2500 * US);
    brisk_virtual_exit(&p->a, C);
    brisk_virtual_wait_end(&p->b);
    brisk_virtual_progress(p->v);
}

static brisk_virtual_result experiment(play *p, uint32_t scope, double speedup)
{
    brisk_virtual_result result;
    CHECK_OK(brisk_virtual_start(p->v, scope, speedup));
    for (int i = 0; i < 10; i++) {
        play_round(p);
    }
    CHECK_OK(brisk_virtual_stop(p->v, &result));
    return result;
}

static void test_two_threads(void **unused)
{
    (void)unused;
    play p = {.a_ends_ns = 0};
    fake_clock_init(&p.clock, 1000);
    brisk_virtual_opts opts = {.clock = &p.clock.base, .pause = pause_play, .ctx = &p};
    CHECK_OK(brisk_virtual_create(&opts, &p.v));
    brisk_virtual_join(p.v, &p.a);
    brisk_virtual_join(p.v, &p.b);
    play_round(&p); /* outside experiments nothing is counted or delayed */
    brisk_virtual_result base = experiment(&p, A, 0);
    CHECK(base.progress == 10 && base.delay_ns == 0 && base.elapsed_ns == 125000 * US);
    CHECK(base.visits == 10);
    static const struct {
        uint32_t scope;
        double speedup;
        double round_ms;
    } cases[] = {
        {A, 0.25, 10.0}, {A, 0.5, 9.2},   {A, 1.0, 9.2},  {B, 0.5, 12.5},
        {B, 1.0, 12.5},  {C, 0.5, 11.25}, {C, 1.0, 10.0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        brisk_virtual_result result = experiment(&p, cases[i].scope, cases[i].speedup);
        CHECK(result.progress == 10 && result.visits == 10);
        check_near(brisk_virtual_gain(&base, &result), 1 - cases[i].round_ms / 12.5);
        CHECK(result.elapsed_ns >= base.elapsed_ns); /* nothing really became faster */
    }
    brisk_virtual_leave(&p.a);
    brisk_virtual_leave(&p.b);
    brisk_virtual_destroy(p.v);
}

static void pause_clock(void *ctx, uint64_t ns)
{
    fake_clock_advance(ctx, ns);
}

/* Both in the scope at once: each pauses for the other, and its own pause is no time in the scope. */
static void test_two_in_the_scope(void **unused)
{
    (void)unused;
    fake_clock clock;
    fake_clock_init(&clock, 1000);
    brisk_virtual_opts opts = {.clock = &clock.base, .pause = pause_clock, .ctx = &clock};
    BRISK_CLEANUP(brisk_virtual_destroy) brisk_virtual *v = NULL;
    CHECK_OK(brisk_virtual_create(&opts, &v));
    brisk_virtual_thread a;
    brisk_virtual_thread b;
    brisk_virtual_join(v, &a);
    brisk_virtual_join(v, &b);
    brisk_virtual_result result;
    CHECK_OK(brisk_virtual_start(v, A, 0.5));
    uint64_t start_ns = brisk_clock_now_ns(&clock.base);
    brisk_virtual_enter(&a, A);
    fake_clock_advance(&clock, 1000 * US);
    brisk_virtual_enter(&a, C); /* nobody else charged anything */
    CHECK_U64(brisk_clock_now_ns(&clock.base) - start_ns, ==, 1000 * US);
    brisk_virtual_exit(&a, C);
    brisk_virtual_exit(&a, A);
    CHECK_OK(brisk_virtual_stop(v, &result));
    CHECK_U64(result.delay_ns, ==, 500 * US);

    CHECK_OK(brisk_virtual_start(v, A, 0.5));
    brisk_virtual_enter(&a, A);
    brisk_virtual_enter(&b, A);
    fake_clock_advance(&clock, 4000 * US);
    brisk_virtual_enter(&a,
                        C); /* owes half of b's time: 2 of 4 ms, and of the pause: 4 in the end */
    brisk_virtual_exit(&a, C);
    brisk_virtual_exit(&a, A); /* 4 ms in the scope: 2 */
    brisk_virtual_exit(&b, A); /* 8 ms: 4; owes a's 2 */
    CHECK_OK(brisk_virtual_stop(v, &result));
    check_near((double)result.delay_ns / 6e6, 1 + 0.0);
    check_near((double)result.elapsed_ns / 10e6, 1 + 0.0);
    brisk_virtual_leave(&a);
    brisk_virtual_leave(&b);
}

static void test_misuse(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_virtual_destroy) brisk_virtual *v = NULL;
    CHECK_OK(brisk_virtual_create(NULL, &v));
    brisk_virtual_result result;
    CHECK(brisk_virtual_stop(v, &result) == BRISK_ERR_NOT_FOUND);
    CHECK(brisk_virtual_start(v, 0, -0.1) == BRISK_ERR_INVALID);
    CHECK(brisk_virtual_start(v, 0, 1.1) == BRISK_ERR_INVALID);
    CHECK(brisk_virtual_start(v, 0, (double)NAN) == BRISK_ERR_INVALID);
    CHECK_OK(brisk_virtual_start(v, 0, 0.5));
    CHECK(brisk_virtual_start(v, 0, 0.5) == BRISK_ERR_CONFLICT);
    CHECK_OK(brisk_virtual_stop(v, &result));
    CHECK(isnan(brisk_virtual_gain(&result, &result))); /* no progress */
    fault_alloc fault;
    fault_alloc_init(&fault, 0);
    brisk_virtual *none = NULL;
    CHECK(brisk_virtual_create(&(brisk_virtual_opts){.alloc = &fault.base}, &none) ==
          BRISK_ERR_NOMEM);
    CHECK(none == NULL);
}

/* --- several real threads: nothing is lost, whatever the times ---------------------------- */

enum { THREADS = 3, VISITS = 300 };

typedef struct worker {
    brisk_virtual *v;
    uint32_t scope;
} worker;

static void work(void *arg)
{
    const worker *w = arg;
    brisk_virtual_thread self;
    brisk_virtual_join(w->v, &self);
    for (int i = 0; i < VISITS; i++) {
        brisk_virtual_enter(&self, w->scope);
        brisk_virtual_enter(&self, w->scope); /* inside itself: one visit */
        brisk_virtual_exit(&self, w->scope);
        brisk_virtual_exit(&self, w->scope);
        brisk_virtual_wait_begin(&self);
        brisk_virtual_wait_end(&self);
        brisk_virtual_progress(w->v);
    }
    brisk_virtual_leave(&self);
}

static void test_real_threads(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_virtual_destroy) brisk_virtual *v = NULL;
    CHECK_OK(brisk_virtual_create(NULL, &v));
    CHECK_OK(brisk_virtual_start(v, 1, 0.5));
    brisk_thread threads[THREADS];
    worker workers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.v = v, .scope = i % 2};
        brisk_thread_opts opts = {.name = "worker", .run = work, .ctx = &workers[i]};
        CHECK_OK(brisk_thread_start(&threads[i], &opts));
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
    }
    brisk_virtual_result result;
    CHECK_OK(brisk_virtual_stop(v, &result));
    CHECK_U64(result.progress, ==, THREADS * VISITS);
    CHECK_U64(result.visits, ==, VISITS); /* of the one thread in scope 1 */
    CHECK(result.effective_ns + result.delay_ns == result.elapsed_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_two_in_the_scope),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_real_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
