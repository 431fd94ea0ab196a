/*
 * test_flight.c -- the same key asked for twice at once is computed once; who waits may leave.
 */
#include "engine/lab.h"

#include <sched.h>

#include "support/fake_clock.h"

/* A leader that holds its flight open until the test says so. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool entered;
    bool open;
    brisk_err result; /* of the leader's stage */
} gate;

#define GATE_INIT                                                                                  \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                     \
    }

static brisk_err hold_gate(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)ctx;
    gate *g = request->ctx;
    if (strcmp(where, "finish") != 0) {
        return BRISK_OK;
    }
    pthread_mutex_lock(&g->lock);
    g->entered = true;
    pthread_cond_broadcast(&g->changed);
    while (!g->open) {
        pthread_cond_wait(&g->changed, &g->lock);
    }
    brisk_err result = g->result;
    pthread_mutex_unlock(&g->lock);
    return result;
}

static void await_entered(gate *g)
{
    pthread_mutex_lock(&g->lock);
    while (!g->entered) {
        pthread_cond_wait(&g->changed, &g->lock);
    }
    pthread_mutex_unlock(&g->lock);
}

static void open_gate(gate *g, brisk_err result)
{
    pthread_mutex_lock(&g->lock);
    g->open = true;
    g->result = result;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void await_waiting(brisk_engine *engine, uint32_t count)
{
    while (brisk_flights_waiting(engine->flights) != count) {
        (void)sched_yield();
    }
}

static void *run_job(void *arg)
{
    brisk_job *job = arg;
    brisk_err err = brisk_job_run(job);
    (void)err; /* the test asks the job */
    return NULL;
}

/* A leader inside its gate on a thread of its own, for key "k". */
typedef struct lead_run {
    gate gate;
    lab_request request;
    brisk_job *job;
    pthread_t thread;
} lead_run;

static void start_leader(lead_run *run, brisk_engine *engine)
{
    *run = (lead_run){.gate = GATE_INIT};
    run->request = (lab_request){.input = "k", .hook = hold_gate, .ctx = &run->gate};
    run->job = lab_job(engine, &run->request, NULL);
    CHECK(pthread_create(&run->thread, NULL, run_job, run->job) == 0);
    await_entered(&run->gate);
}

static brisk_err end_leader(lead_run *run, brisk_err result)
{
    open_gate(&run->gate, result);
    CHECK(pthread_join(run->thread, NULL) == 0);
    brisk_err err = brisk_job_run(run->job);
    brisk_job_destroy(run->job);
    return err;
}

enum { WAITERS = 8 };

static void test_one_computes_all_are_answered(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lead_run leader;
    start_leader(&leader, engine);
    lab_request requests[WAITERS];
    brisk_job *jobs[WAITERS];
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        requests[i] = (lab_request){.input = "k"};
        jobs[i] = lab_job(engine, &requests[i], NULL);
        if (i % 2 == 0) {
            CHECK_OK(brisk_job_submit(jobs[i], NULL, NULL, NULL));
        } else {
            CHECK(pthread_create(&threads[i], NULL, run_job, jobs[i]) == 0);
        }
    }
    await_waiting(engine, WAITERS); /* also: eight waiting jobs occupy neither of two workers */
    lab_request other = {.input = "other"};
    brisk_job *free_worker = lab_job(engine, &other, NULL);
    CHECK_OK(brisk_job_submit(free_worker, NULL, NULL, NULL));
    CHECK_OK(brisk_job_wait(free_worker));
    brisk_job_destroy(free_worker);
    CHECK_OK(end_leader(&leader, BRISK_OK));
    for (int i = 0; i < WAITERS; i++) {
        if (i % 2 == 0) {
            CHECK_OK(brisk_job_wait(jobs[i]));
        } else {
            CHECK(pthread_join(threads[i], NULL) == 0);
        }
        CHECK_OK(brisk_job_run(jobs[i]));
        assert_string_equal(requests[i].result, "answer to k");
        assert_string_equal(brisk_job_answered_by(jobs[i]), "flight");
        brisk_stage_report row = lab_row(jobs[i], "left");
        CHECK(row.how == BRISK_HOW_ANSWERED);
        assert_string_equal(row.tier, "flight");
        CHECK(atomic_load(&requests[i].computed) == 0);
        brisk_job_destroy(jobs[i]);
    }
    CHECK(atomic_load(&leader.request.computed) == 1);
    CHECK_U64(lab_stats(engine).shared, ==, WAITERS);
    CHECK_U64(lab_stats(engine).computed, ==, 2);
}

static void test_failed_leader_is_followed(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lead_run leader;
    start_leader(&leader, engine);
    lab_request requests[WAITERS];
    brisk_job *jobs[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        requests[i] = (lab_request){.input = "k"};
        jobs[i] = lab_job(engine, &requests[i], NULL);
        CHECK_OK(brisk_job_submit(jobs[i], NULL, NULL, NULL));
    }
    await_waiting(engine, WAITERS);
    CHECK(end_leader(&leader, BRISK_ERR_IO) == BRISK_ERR_IO);
    int computed = 0;
    for (int i = 0; i < WAITERS; i++) {
        CHECK_OK(brisk_job_wait(jobs[i]));
        assert_string_equal(requests[i].result, "answer to k");
        computed += atomic_load(&requests[i].computed);
        brisk_job_destroy(jobs[i]);
    }
    CHECK(computed == 1); /* the first who waited took over for all */
}

/* The one who takes over holds the flight; who waited for the first leader may still leave. */
static void test_leaving_after_a_change_of_leader(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lead_run leader;
    start_leader(&leader, engine);
    gate second = GATE_INIT;
    lab_request requests[WAITERS];
    brisk_job *jobs[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        requests[i] = (lab_request){.input = "k"};
        if (i == 0) {
            requests[i].hook = hold_gate;
            requests[i].ctx = &second;
        }
        jobs[i] = lab_job(engine, &requests[i], NULL);
        CHECK_OK(brisk_job_submit(jobs[i], NULL, NULL, NULL));
        await_waiting(engine, (uint32_t)i + 1); /* so that they wait in this order */
    }
    CHECK(end_leader(&leader, BRISK_ERR_IO) == BRISK_ERR_IO);
    await_entered(&second);
    for (int i = 1; i < WAITERS; i += 3) { /* the first, one amid the others, the last */
        brisk_job_cancel(jobs[i]);
        CHECK(brisk_job_wait(jobs[i]) == BRISK_ERR_CANCELLED);
    }
    await_waiting(engine, WAITERS - 4);
    open_gate(&second, BRISK_OK);
    for (int i = 0; i < WAITERS; i++) {
        brisk_err err = brisk_job_wait(jobs[i]);
        CHECK(err == (i % 3 == 1 ? BRISK_ERR_CANCELLED : BRISK_OK));
        CHECK(atomic_load(&requests[i].computed) == (i == 0 ? 1 : 0));
        brisk_job_destroy(jobs[i]);
    }
}

static brisk_err fail_finish(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)request;
    (void)ctx;
    return strcmp(where, "finish") == 0 ? BRISK_ERR_IO : BRISK_OK;
}

static void test_every_leader_fails(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lead_run leader;
    start_leader(&leader, engine);
    lab_request requests[WAITERS];
    brisk_job *jobs[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        requests[i] = (lab_request){.input = "k", .hook = fail_finish};
        jobs[i] = lab_job(engine, &requests[i], NULL);
        CHECK_OK(brisk_job_submit(jobs[i], NULL, NULL, NULL));
    }
    await_waiting(engine, WAITERS);
    CHECK(end_leader(&leader, BRISK_ERR_IO) == BRISK_ERR_IO);
    for (int i = 0; i < WAITERS; i++) {
        CHECK(brisk_job_wait(jobs[i]) == BRISK_ERR_IO);
        CHECK(atomic_load(&requests[i].computed) == 1);
        brisk_job_destroy(jobs[i]);
    }
}

static void test_cancelled_waiter_leaves_at_once(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    for (int submit = 0; submit < 2; submit++) {
        lead_run leader;
        start_leader(&leader, engine);
        lab_request request = {.input = "k"};
        brisk_job *job = lab_job(engine, &request, NULL);
        pthread_t thread;
        if (submit != 0) {
            CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
        } else {
            CHECK(pthread_create(&thread, NULL, run_job, job) == 0);
        }
        await_waiting(engine, 1);
        brisk_job_cancel(job);
        if (submit != 0) {
            CHECK(brisk_job_wait(job) == BRISK_ERR_CANCELLED);
        } else {
            CHECK(pthread_join(thread, NULL) == 0);
            CHECK(brisk_job_run(job) == BRISK_ERR_CANCELLED);
        }
        brisk_job_destroy(job); /* while the leader is still at work */
        CHECK(brisk_flights_waiting(engine->flights) == 0);
        CHECK_OK(end_leader(&leader, BRISK_OK));
        CHECK_OK(brisk_cache_clear(brisk_engine_cache(engine)));
    }
}

static void test_late_waiter_leaves_at_once(void **unused)
{
    (void)unused;
    fake_clock clock;
    fake_clock_init(&clock, 1);
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, &clock.base);
    lead_run leader;
    start_leader(&leader, engine);
    lab_request requests[2] = {{.input = "k"}, {.input = "k"}};
    brisk_job_opts soon = {.deadline_ns = FAKE_CLOCK_SECOND};
    brisk_job_opts later = {.deadline_ns = 3 * FAKE_CLOCK_SECOND};
    brisk_job *first = lab_job(engine, &requests[0], &soon);
    brisk_job *second = lab_job(engine, &requests[1], &later);
    CHECK_OK(brisk_job_submit(first, NULL, NULL, NULL));
    CHECK_OK(brisk_job_submit(second, NULL, NULL, NULL));
    await_waiting(engine, 2);
    fake_clock_advance(&clock, 2 * FAKE_CLOCK_SECOND);
    CHECK(brisk_job_wait(first) == BRISK_ERR_DEADLINE);
    await_waiting(engine, 1);
    fake_clock_advance(&clock, 2 * FAKE_CLOCK_SECOND);
    CHECK(brisk_job_wait(second) == BRISK_ERR_DEADLINE);
    brisk_job_destroy(first);
    brisk_job_destroy(second);
    CHECK_OK(end_leader(&leader, BRISK_OK));
}

/* On the system's clock the watcher sleeps until the deadline instead of looking now and then. */
static void test_deadline_on_the_system_clock(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lead_run leader;
    start_leader(&leader, engine);
    lab_request request = {.input = "k"};
    brisk_job_opts opts = {.deadline_ns = 2000000};
    brisk_job *job = lab_job(engine, &request, &opts);
    CHECK(brisk_job_run(job) == BRISK_ERR_DEADLINE);
    brisk_job_destroy(job);
    CHECK_OK(end_leader(&leader, BRISK_OK));
}

static void test_no_cache_means_no_flight(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lead_run leader;
    start_leader(&leader, engine);
    lab_request request = {.input = "k"};
    brisk_job_opts opts = {.no_cache = true};
    CHECK_OK(lab_run(engine, &request, &opts)); /* does not wait */
    CHECK(atomic_load(&request.computed) == 1);
    CHECK_OK(end_leader(&leader, BRISK_OK));
}

/* --- between lookup and join -------------------------------------------------------------- */

typedef struct meanwhile {
    brisk_engine *engine;
    lab_request other;
} meanwhile;

static void run_other(void *ctx)
{
    meanwhile *m = ctx;
    CHECK_OK(lab_run(m->engine, &m->other, NULL));
}

/* A flight lands after the lookup of a second job and before it joins. */
static void test_landed_between_lookup_and_join(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    lab_tier *tier = lab_replace_tiers(engine);
    meanwhile m = {.engine = engine, .other = {.input = "k"}};
    tier->on_miss = run_other;
    tier->on_miss_ctx = &m;
    lab_request request = {.input = "k"};
    CHECK_OK(lab_run(engine, &request, NULL));
    assert_string_equal(request.result, "answer to k");
    CHECK(atomic_load(&m.other.computed) == 1 && atomic_load(&request.computed) == 0);
    CHECK(tier->lookups == 3 && tier->puts == 1);
}

/* A clock that cancels a job when it is read for the n-th time after it was armed. */
typedef struct trap_clock {
    brisk_clock base; /* first */
    _Atomic int reads_left;
    brisk_job *job;
} trap_clock;

static uint64_t trap_read(void *ctx)
{
    trap_clock *trap = ctx;
    if (atomic_load(&trap->reads_left) > 0 && atomic_fetch_sub(&trap->reads_left, 1) == 1) {
        brisk_job_cancel(trap->job);
    }
    return 1;
}

static void arm(void *ctx)
{
    trap_clock *trap = ctx;
    atomic_store(&trap->reads_left, 2); /* the end of the lookup's span, then the join itself */
}

/* Cancelled after its last look at the token and before it waits: it must not begin to wait. */
static void test_cancelled_between_lookup_and_join(void **unused)
{
    (void)unused;
    trap_clock trap = {.base = {.now_ns = trap_read, .wall_ns = trap_read, .ctx = &trap}};
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, &trap.base);
    lab_tier *tier = lab_replace_tiers(engine);
    lead_run leader;
    start_leader(&leader, engine);
    lab_request request = {.input = "k"};
    trap.job = lab_job(engine, &request, NULL);
    tier->on_miss_ctx = &trap;
    tier->on_miss = arm;
    CHECK(brisk_job_run(trap.job) == BRISK_ERR_CANCELLED);
    CHECK(atomic_load(&trap.reads_left) == 0);
    brisk_job_destroy(trap.job);
    CHECK_OK(end_leader(&leader, BRISK_OK));
}

/* --- a job inside a job ------------------------------------------------------------------- */

typedef struct nest {
    brisk_engine *engine;
    lab_request inner;
} nest;

static brisk_err run_inner(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)ctx;
    nest *n = request->ctx;
    return strcmp(where, "finish") == 0 ? lab_run(n->engine, &n->inner, NULL) : BRISK_OK;
}

/* The inner job has the key of the outer one, which leads: to wait would be for ever. */
static void test_inner_job_of_the_same_key(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    for (int submit = 0; submit < 2; submit++) {
        nest n = {.engine = engine, .inner = {.input = "k"}};
        lab_request outer = {.input = "k", .hook = run_inner, .ctx = &n};
        brisk_job *job = lab_job(engine, &outer, NULL);
        if (submit != 0) {
            CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
            CHECK_OK(brisk_job_wait(job));
        } else {
            CHECK_OK(brisk_job_run(job));
        }
        brisk_job_destroy(job);
        assert_string_equal(n.inner.result, "answer to k");
        CHECK(atomic_load(&n.inner.computed) == 1);
        CHECK_OK(brisk_cache_clear(brisk_engine_cache(engine)));
    }
}

/* --- many --------------------------------------------------------------------------------- */

enum { THREADS = 4, JOBS_EACH = 250, KEYS = 10 };

typedef struct crowd {
    brisk_engine *engine;
    pthread_barrier_t *start;
    uint64_t seed;
    _Atomic int *computed; /* by key */
} crowd;

static brisk_err count_key(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)ctx;
    if (strcmp(where, "finish") == 0) {
        atomic_fetch_add((_Atomic int *)request->ctx, 1);
    }
    return BRISK_OK;
}

static void *run_crowd(void *arg)
{
    crowd *c = arg;
    lab_request requests[JOBS_EACH];
    brisk_job *jobs[JOBS_EACH];
    char inputs[KEYS][8];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(inputs[i], sizeof inputs[i], "key %d", i);
    }
    (void)pthread_barrier_wait(c->start);
    for (int i = 0; i < JOBS_EACH; i++) {
        uint64_t key = check_random(&c->seed) % KEYS;
        requests[i] =
            (lab_request){.input = inputs[key], .hook = count_key, .ctx = &c->computed[key]};
        jobs[i] = lab_job(c->engine, &requests[i], NULL);
        if (check_random(&c->seed) % 4 == 0) {
            CHECK_OK(brisk_job_run(jobs[i]));
        } else {
            CHECK_OK(brisk_job_submit(jobs[i], NULL, NULL, NULL));
        }
    }
    for (int i = 0; i < JOBS_EACH; i++) {
        CHECK_OK(brisk_job_run(jobs[i]));
        char want[LAB_TEXT_MAX];
        (void)snprintf(want, sizeof want, "answer to %s", requests[i].input);
        assert_string_equal(requests[i].result, want);
        brisk_job_destroy(jobs[i]);
    }
    return NULL;
}

static void test_a_thousand_jobs_of_ten_keys(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    uint64_t seed = check_seed();
    _Atomic int computed[KEYS] = {0};
    pthread_barrier_t start;
    CHECK(pthread_barrier_init(&start, NULL, THREADS) == 0);
    crowd crowds[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){engine, &start, check_random(&seed), computed};
        CHECK(pthread_create(&threads[i], NULL, run_crowd, &crowds[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    (void)pthread_barrier_destroy(&start);
    for (int i = 0; i < KEYS; i++) {
        CHECK(atomic_load(&computed[i]) == 1);
    }
    brisk_engine_stats stats = lab_stats(engine);
    CHECK_U64(stats.jobs, ==, THREADS * JOBS_EACH);
    CHECK_U64(stats.computed, ==, KEYS);
    CHECK_U64(stats.answered + stats.shared, ==, THREADS * JOBS_EACH - KEYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_computes_all_are_answered),
        cmocka_unit_test(test_failed_leader_is_followed),
        cmocka_unit_test(test_leaving_after_a_change_of_leader),
        cmocka_unit_test(test_every_leader_fails),
        cmocka_unit_test(test_cancelled_waiter_leaves_at_once),
        cmocka_unit_test(test_late_waiter_leaves_at_once),
        cmocka_unit_test(test_deadline_on_the_system_clock),
        cmocka_unit_test(test_no_cache_means_no_flight),
        cmocka_unit_test(test_landed_between_lookup_and_join),
        cmocka_unit_test(test_cancelled_between_lookup_and_join),
        cmocka_unit_test(test_inner_job_of_the_same_key),
        cmocka_unit_test(test_a_thousand_jobs_of_ten_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
