/*
 * test_blocking.c -- phases with blocking stages keep the same promises as those without.
 *
 * Property: for any graph of stages, any of them blocking, every stage runs once and after those
 * that it names; when one fails, nothing that comes after it runs, and everything that was begun
 * is over before the job is.
 */
#include "engine/lab.h"

#include <sched.h>

enum { STAGES = 12, ROUNDS = 60 };

typedef struct world {
    _Atomic int clock;
    _Atomic int started[STAGES]; /* when, from 1; 0: never */
    _Atomic int ended[STAGES];
    _Atomic int runs[STAGES];
    _Atomic bool over; /* the job is done: nobody may run now */
    int fail_at;       /* -1: nothing */
    bool cancel;       /* instead of failing */
    brisk_job *job;
} world;

static brisk_err take_world(brisk_stage_ctx *ctx, void *state, const void *request)
{
    (void)ctx;
    memcpy(state, &request, sizeof request);
    return BRISK_OK;
}

static brisk_err run_number(brisk_stage_ctx *ctx, void *opaque, int number)
{
    world *w = *(world **)opaque;
    CHECK(!atomic_load(&w->over));
    atomic_fetch_add(&w->runs[number], 1);
    atomic_store(&w->started[number], atomic_fetch_add(&w->clock, 1) + 1);
    char *text = brisk_arena_printf(brisk_stage_arena(ctx), "stage %d", number);
    CHECK(text != NULL);
    if (w->fail_at == number && w->cancel) {
        brisk_job_cancel(w->job);
    }
    atomic_store(&w->ended[number], atomic_fetch_add(&w->clock, 1) + 1);
    return w->fail_at == number && !w->cancel ? brisk_stage_fail(ctx, BRISK_ERR_IO, "%s", text)
                                              : BRISK_OK;
}

#define RUN(n)                                                                                     \
    static brisk_err run_##n(brisk_stage_ctx *ctx, void *state)                                    \
    {                                                                                              \
        return run_number(ctx, state, n);                                                          \
    }
RUN(0)
RUN(1)
RUN(2)
RUN(3)
RUN(4)
RUN(5)
RUN(6)
RUN(7)
RUN(8)
RUN(9)
RUN(10)
RUN(11)

static brisk_err (*const functions[STAGES])(brisk_stage_ctx *, void *) = {
    run_0, run_1, run_2, run_3, run_4, run_5, run_6, run_7, run_8, run_9, run_10, run_11};
static const char *const names[STAGES] = {"s0", "s1", "s2", "s3", "s4",  "s5",
                                          "s6", "s7", "s8", "s9", "s10", "s11"};

/* Edges go from lower to higher numbers; some stages prepare, some deliver, some block. */
static void make_stages(brisk_stage stages[STAGES], uint64_t *seed)
{
    int first_computing = (int)(check_random(seed) % 4);
    int first_delivering = STAGES - (int)(check_random(seed) % 4);
    for (int i = 0; i < STAGES; i++) {
        stages[i] = (brisk_stage){.name = names[i], .run = functions[i]};
        stages[i].flags = i < first_computing     ? BRISK_STAGE_PREPARE
                          : i >= first_delivering ? BRISK_STAGE_DELIVER
                                                  : 0;
        stages[i].flags |= check_random(seed) % 3 == 0 ? BRISK_STAGE_BLOCKING : 0;
        for (int e = 0; e < 3 && i > 0; e++) {
            stages[i].after[e] =
                check_random(seed) % 2 == 0 ? names[check_random(seed) % (uint64_t)i] : NULL;
        }
    }
}

static int number_of(const char *name)
{
    int i = 0;
    while (strcmp(names[i], name) != 0) {
        i++;
    }
    return i;
}

static void check_order(const brisk_stage stages[STAGES], world *w)
{
    for (int i = 0; i < STAGES; i++) {
        int runs = atomic_load(&w->runs[i]);
        CHECK(runs <= 1 && (w->fail_at >= 0 || runs == 1));
        for (int e = 0; e < BRISK_STAGE_AFTER_MAX && runs == 1; e++) {
            if (stages[i].after[e] != NULL) {
                int before = number_of(stages[i].after[e]);
                CHECK(before != w->fail_at || w->cancel);
                CHECK(atomic_load(&w->ended[before]) > 0);
                CHECK(atomic_load(&w->ended[before]) < atomic_load(&w->started[i]));
            }
        }
    }
}

static void run_world(brisk_engine *engine, const brisk_workload *workload, world *w, bool submit)
{
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, workload, w, NULL, &job));
    w->job = job;
    if (submit) {
        CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
    }
    brisk_err err = brisk_job_run(job);
    atomic_store(&w->over, true);
    if (w->fail_at < 0) {
        CHECK_OK(err);
    } else if (!w->cancel) {
        CHECK(err == BRISK_ERR_IO);
        assert_string_equal(brisk_job_error_stage(job), names[w->fail_at]);
    } else {
        CHECK(err == BRISK_ERR_CANCELLED || err == BRISK_OK); /* it may have been the last */
    }
    brisk_job_destroy(job);
}

static void test_any_graph(void **unused)
{
    (void)unused;
    uint64_t seed = check_seed();
    for (int round = 0; round < ROUNDS; round++) {
        BRISK_CLEANUP(brisk_engine_destroy)
        brisk_engine *engine = lab_engine(1 + (uint32_t)round % 3, NULL);
        brisk_stage stages[STAGES];
        make_stages(stages, &seed);
        brisk_workload workload = {.name = "any",
                                   .stages = stages,
                                   .stage_count = STAGES,
                                   .state_bytes = sizeof(void *),
                                   .init = take_world};
        brisk_errinfo info = {.text = ""};
        if (brisk_engine_register(engine, &workload, &info) != BRISK_OK) {
            fail_msg("%s", info.text);
        }
        for (int how = 0; how < 6; how++) {
            world w = {.fail_at = how < 2 ? -1 : (int)(check_random(&seed) % STAGES),
                       .cancel = how >= 4};
            run_world(engine, &workload, &w, how % 2 == 0);
            check_order(stages, &w);
        }
    }
}

/* Many jobs at once whose stages all block: each has its threads, none is lost. */
static void test_many_blocking_jobs(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    brisk_stage stages[STAGES];
    for (int i = 0; i < STAGES; i++) {
        stages[i] =
            (brisk_stage){.name = names[i], .run = functions[i], .flags = BRISK_STAGE_BLOCKING};
        stages[i].after[0] = i >= 4 ? names[i - 4] : NULL;
    }
    brisk_workload workload = {.name = "blocking",
                               .stages = stages,
                               .stage_count = STAGES,
                               .state_bytes = sizeof(void *),
                               .init = take_world};
    CHECK_OK(brisk_engine_register(engine, &workload, NULL));
    enum { JOBS = 16 };
    world worlds[JOBS];
    brisk_job *jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        worlds[i] = (world){.fail_at = -1};
        CHECK_OK(brisk_job_create(engine, &workload, &worlds[i], NULL, &jobs[i]));
        CHECK_OK(brisk_job_submit(jobs[i], NULL, NULL, NULL));
    }
    for (int i = 0; i < JOBS; i++) {
        CHECK_OK(brisk_job_wait(jobs[i]));
        check_order(stages, &worlds[i]);
        CHECK(brisk_job_report(jobs[i], 3).worker == -1); /* on no worker */
        brisk_job_destroy(jobs[i]);
    }
}

/*
 * A stage runs another job, whose phases block, on the only worker: that job's stages must not wait
 * for the worker that waits for them.
 */
typedef struct outer_world {
    brisk_engine *engine;
    const brisk_workload *inner;
    world inside;
} outer_world;

static brisk_err run_inner_job(brisk_stage_ctx *ctx, void *opaque)
{
    (void)ctx;
    outer_world *w = *(outer_world **)opaque;
    brisk_job *job = NULL;
    brisk_err err = brisk_job_create(w->engine, w->inner, &w->inside, NULL, &job);
    if (err == BRISK_OK) {
        err = brisk_job_run(job);
    }
    brisk_job_destroy(job);
    return err;
}

static void test_a_job_run_on_the_only_worker(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    brisk_stage stages[STAGES];
    for (int i = 0; i < STAGES; i++) { /* both kinds, side by side and one after the other */
        stages[i] = (brisk_stage){
            .name = names[i], .run = functions[i], .flags = i % 2 == 0 ? BRISK_STAGE_BLOCKING : 0};
        stages[i].after[0] = i >= 3 ? names[i - 3] : NULL;
    }
    brisk_workload inner = {.name = "inner",
                            .stages = stages,
                            .stage_count = STAGES,
                            .state_bytes = sizeof(void *),
                            .init = take_world};
    brisk_stage stage = {.name = "outer", .run = run_inner_job};
    brisk_workload outer = {.name = "outer",
                            .stages = &stage,
                            .stage_count = 1,
                            .state_bytes = sizeof(void *),
                            .init = take_world};
    CHECK_OK(brisk_engine_register(engine, &inner, NULL));
    CHECK_OK(brisk_engine_register(engine, &outer, NULL));
    outer_world w = {.engine = engine, .inner = &inner, .inside = {.fail_at = -1}};
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &outer, &w, NULL, &job));
    CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
    CHECK_OK(brisk_job_wait(job));
    brisk_job_destroy(job);
    check_order(stages, &w.inside);
}

/*
 * on_done runs on the only worker and there a job of a key whose leader is in a blocking stage and
 * will need the worker next.
 */
typedef struct meeting {
    brisk_engine *engine;
    const brisk_workload *workload;
    _Atomic int computing;
    _Atomic bool released;
} meeting;

static brisk_err meeting_key(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder)
{
    (void)ctx;
    (void)state;
    brisk_key_str(builder, "of", "all");
    return BRISK_OK;
}

static brisk_err meeting_answer(brisk_stage_ctx *ctx, void *state, brisk_answer *ret)
{
    (void)ctx;
    (void)state;
    return brisk_value_copy("same", 4, NULL, &ret->value);
}

/* The first one, which leads, blocks until the second one has come. */
static brisk_err meeting_block(brisk_stage_ctx *ctx, void *opaque)
{
    (void)ctx;
    meeting *m = *(meeting **)opaque;
    if (atomic_fetch_add(&m->computing, 1) == 0) {
        while (!atomic_load(&m->released)) {
            (void)sched_yield();
        }
    }
    return BRISK_OK;
}

static brisk_err meeting_go_on(brisk_stage_ctx *ctx, void *opaque)
{
    (void)ctx;
    (void)opaque;
    return BRISK_OK;
}

static void run_second(brisk_job *job, void *ctx)
{
    (void)job;
    meeting *m = ctx;
    while (atomic_load(&m->computing) == 0) {
        (void)sched_yield(); /* the leader is in its blocking stage */
    }
    atomic_store(&m->released, true);
    brisk_job *second = NULL;
    CHECK_OK(brisk_job_create(m->engine, m->workload, m, NULL, &second));
    CHECK_OK(brisk_job_run(second));
    brisk_job_destroy(second);
}

static void test_a_worker_does_not_wait_for_a_flight(void **unused)
{
    (void)unused;
    for (int round = 0; round < 50; round++) {
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
        static const brisk_stage stages[] = {
            {.name = "block", .flags = BRISK_STAGE_BLOCKING, .run = meeting_block},
            {.name = "go_on", .after = {"block"}, .run = meeting_go_on},
        };
        brisk_workload workload = {.name = "meeting",
                                   .stages = stages,
                                   .stage_count = 2,
                                   .state_bytes = sizeof(void *),
                                   .init = take_world,
                                   .key = meeting_key,
                                   .answer = meeting_answer};
        CHECK_OK(brisk_engine_register(engine, &workload, NULL));
        meeting m = {.engine = engine, .workload = &workload};
        brisk_job *leader = NULL;
        CHECK_OK(brisk_job_create(engine, &workload, &m, NULL, &leader));
        CHECK_OK(brisk_job_submit(leader, NULL, NULL, NULL));
        lab_request request = {.input = "another"};
        brisk_job *other = lab_job(engine, &request, NULL);
        CHECK_OK(brisk_job_submit(other, run_second, &m, NULL));
        CHECK_OK(brisk_job_wait(leader));
        brisk_job_destroy(other);
        brisk_job_destroy(leader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_graph),
        cmocka_unit_test(test_many_blocking_jobs),
        cmocka_unit_test(test_a_job_run_on_the_only_worker),
        cmocka_unit_test(test_a_worker_does_not_wait_for_a_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
