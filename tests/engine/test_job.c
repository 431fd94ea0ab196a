/*
 * test_job.c -- a job's life: run, submit, wait, post, lookup, fail, cancel, deadline, destroy.
 */
#include "engine/lab.h"

#include "support/fake_clock.h"

/* --- running ------------------------------------------------------------------------------ */

static brisk_err note_order(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)ctx;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char *order = request->ctx;
    pthread_mutex_lock(&lock);
    size_t length = strlen(order);
    (void)snprintf(order + length, 256 - length, "%s ", where);
    pthread_mutex_unlock(&lock);
    return BRISK_OK;
}

static void test_order_of_steps(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    char order[256] = "";
    lab_request request = {.input = "x", .hook = note_order, .ctx = order};
    CHECK_OK(lab_run(engine, &request, NULL));
    assert_string_equal(request.result, "answer to x");
    CHECK(strncmp(order, "init load key ", 14) == 0);
    CHECK(strstr(order, "finish answer deliver ") != NULL);
    CHECK(strstr(order, "left ") != NULL && strstr(order, "right ") != NULL);
    order[0] = '\0';
    CHECK_OK(lab_run(engine, &request, NULL)); /* from the memory tier */
    assert_string_equal(order, "init load key accept deliver ");
    CHECK(atomic_load(&request.computed) == 1);
    CHECK(atomic_load(&request.delivered) == 2);
    CHECK(atomic_load(&request.released) == 2);
}

static void test_run_again_gives_the_result(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    lab_request request = {.input = "x"};
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = lab_job(engine, &request, NULL);
    CHECK_OK(brisk_job_run(job));
    CHECK_OK(brisk_job_run(job));
    CHECK(atomic_load(&request.delivered) == 1);
    brisk_value *value = brisk_job_value(job);
    CHECK(value != NULL && brisk_value_size(value) == strlen("answer to x"));
    CHECK(memcmp(brisk_value_data(value), "answer to x", 11) == 0);
    assert_string_equal(brisk_job_error_text(job), "");
    CHECK(brisk_job_error_stage(job) == NULL);
    CHECK(brisk_job_answered_by(job) == NULL);
}

typedef struct watched {
    uint32_t count;
    brisk_err result;
    uint32_t rows;
    bool cached;
} watched;

static void watch(void *ctx, const brisk_job *job)
{
    watched *w = ctx;
    w->count++;
    w->result = brisk_job_result(job);
    w->rows = brisk_job_report_count(job);
    w->cached = brisk_job_answered_by(job) != NULL;
    CHECK(strcmp(brisk_job_workload(job)->name, "lab") == 0);
    CHECK(brisk_job_elapsed_ns(job) > 0);
}

static void test_watcher_sees_every_job(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    watched w = {0};
    brisk_engine_on_job(engine, watch, &w);
    lab_request request = {.input = "x"};
    CHECK_OK(lab_run(engine, &request, NULL));
    CHECK(w.count == 1 && w.result == BRISK_OK && w.rows >= 5 && !w.cached);
    CHECK_OK(lab_run(engine, &request, NULL));
    CHECK(w.count == 2 && w.cached);
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = lab_job(engine, &request, NULL);
    CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
    CHECK_OK(brisk_job_wait(job));
    CHECK(w.count == 3);
    brisk_engine_on_job(engine, NULL, NULL);
    CHECK_OK(lab_run(engine, &request, NULL));
    CHECK(w.count == 3);
}

/* --- failing ------------------------------------------------------------------------------ */

static brisk_err fail_here(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    if (strcmp(where, request->ctx) != 0) {
        return BRISK_OK;
    }
    char long_text[5000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    (void)brisk_stage_fail(ctx, BRISK_ERR_CONFLICT, "%s: %s", where, long_text);
    brisk_stage_fail_details(ctx, "{\"first\": 1}");
    brisk_stage_fail_details(ctx, "{\"second\": 2}");
    return brisk_stage_fail(ctx, BRISK_ERR_CONFLICT, "too late");
}

static void test_every_step_may_fail(void **unused)
{
    (void)unused;
    static const char *const places[] = {"load",   "key",    "left",   "right",
                                         "finish", "answer", "deliver"};
    static const char *const stages[] = {"load", NULL, "left", "right", "finish", NULL, "deliver"};
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char place[16];
        (void)snprintf(place, sizeof place, "%s", places[i]);
        lab_request request = {.input = place, .hook = fail_here, .ctx = place};
        brisk_job *job = lab_job(engine, &request, NULL);
        CHECK(brisk_job_run(job) == BRISK_ERR_CONFLICT);
        CHECK(strncmp(brisk_job_error_text(job), place, strlen(place)) == 0);
        CHECK_U64(strlen(brisk_job_error_text(job)), ==, strlen(place) + 2 + 4999);
        assert_string_equal(brisk_job_error_details(job), "{\"first\": 1}");
        if (stages[i] != NULL) {
            assert_string_equal(brisk_job_error_stage(job), stages[i]);
            CHECK(lab_row(job, stages[i]).how == BRISK_HOW_FAILED);
        } else {
            CHECK(brisk_job_error_stage(job) == NULL);
        }
        CHECK(atomic_load(&request.delivered) == 0);
        brisk_job_destroy(job);
        CHECK(atomic_load(&request.released) == 1);
    }
}

static void test_init_may_fail(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    char place[] = "init";
    lab_request request = {.input = "x", .hook = fail_here, .ctx = place};
    brisk_job *job = NULL;
    CHECK(brisk_job_create(engine, &lab, &request, NULL, &job) == BRISK_ERR_CONFLICT);
    CHECK(job != NULL);
    CHECK(strncmp(brisk_job_error_text(job), "init: xxx", 9) == 0);
    CHECK(brisk_job_run(job) == BRISK_ERR_CONFLICT);
    CHECK(brisk_job_lookup(job) == BRISK_ERR_CONFLICT);
    CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
    CHECK(brisk_job_wait(job) == BRISK_ERR_CONFLICT);
    CHECK(lab_row(job, "left").how == BRISK_HOW_SKIPPED);
    brisk_job_destroy(job);
    CHECK(atomic_load(&request.released) == 1);
}

static brisk_err fail_plainly(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)request;
    (void)ctx;
    return strcmp(where, "finish") == 0 ? BRISK_ERR_FULL : BRISK_OK;
}

static void test_text_of_a_plain_failure(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    lab_request request = {.input = "x", .hook = fail_plainly};
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = lab_job(engine, &request, NULL);
    CHECK(brisk_job_run(job) == BRISK_ERR_FULL);
    assert_string_equal(brisk_job_error_text(job), brisk_err_message(BRISK_ERR_FULL));
    CHECK(brisk_job_error_details(job) == NULL);
}

/* --- submitting --------------------------------------------------------------------------- */

typedef struct done_ctx {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls;
    brisk_err result;
    bool destroy;
    pthread_t thread;
    void (*fn)(void *arg); /* posted, not yet run */
    void *arg;
} done_ctx;

static void on_done(brisk_job *job, void *ctx)
{
    done_ctx *done = ctx;
    pthread_mutex_lock(&done->lock);
    done->calls++;
    done->result = brisk_job_run(job); /* done already: only its result */
    done->thread = pthread_self();
    bool destroy = done->destroy;
    pthread_cond_signal(&done->changed);
    pthread_mutex_unlock(&done->lock);
    if (destroy) {
        brisk_job_destroy(job);
    }
}

static void wait_calls(done_ctx *done, int calls)
{
    pthread_mutex_lock(&done->lock);
    while (done->calls < calls) {
        pthread_cond_wait(&done->changed, &done->lock);
    }
    pthread_mutex_unlock(&done->lock);
}

static void test_submit_and_wait(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    for (int round = 0; round < 50; round++) {
        char input[16];
        (void)snprintf(input, sizeof input, "n%d", round);
        lab_request request = {.input = input};
        done_ctx done = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
        brisk_job *job = lab_job(engine, &request, NULL);
        bool with_callback = round % 2 == 0;
        CHECK_OK(brisk_job_submit(job, with_callback ? on_done : NULL, &done, NULL));
        CHECK_OK(brisk_job_wait(job));
        CHECK(lab_row(job, "finish").worker >= 0);
        brisk_job_destroy(job); /* waits for on_done */
        CHECK(done.calls == (with_callback ? 1 : 0));
        CHECK(atomic_load(&request.delivered) == 1);
    }
}

static void test_on_done_may_destroy(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    done_ctx done = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .destroy = true};
    enum { JOBS = 50 };
    lab_request requests[JOBS] = {0};
    for (int i = 0; i < JOBS; i++) {
        requests[i].input = i % 2 == 0 ? "even" : "odd";
        CHECK_OK(brisk_job_submit(lab_job(engine, &requests[i], NULL), on_done, &done, NULL));
    }
    wait_calls(&done, JOBS);
    CHECK_OK(done.result);
    CHECK(done.calls == JOBS);
}

static void post(void *ctx, void (*fn)(void *arg), void *arg)
{
    done_ctx *done = ctx;
    pthread_mutex_lock(&done->lock);
    done->fn = fn;
    done->arg = arg;
    pthread_cond_signal(&done->changed);
    pthread_mutex_unlock(&done->lock);
}

static void test_post_chooses_the_thread(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    lab_request request = {.input = "x"};
    done_ctx done = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    brisk_job *job = lab_job(engine, &request, NULL);
    brisk_post target = {.post = post, .ctx = &done};
    CHECK_OK(brisk_job_submit(job, on_done, &done, &target));
    CHECK_OK(brisk_job_wait(job)); /* done, though on_done has not run */
    pthread_mutex_lock(&done.lock);
    while (done.fn == NULL) {
        pthread_cond_wait(&done.changed, &done.lock);
    }
    pthread_mutex_unlock(&done.lock);
    CHECK(done.calls == 0);
    done.fn(done.arg);
    CHECK(done.calls == 1 && pthread_equal(done.thread, pthread_self()));
    brisk_job_destroy(job);
}

/* --- lookup ------------------------------------------------------------------------------- */

static const brisk_stage plain_stages[] = {
    {.name = "left", .run = lab_left},
    {.name = "right", .run = lab_right},
    {.name = "finish", .after = {"left", "right"}, .run = lab_finish},
};

static const brisk_workload plain = {
    .name = "plain",
    .stages = plain_stages,
    .stage_count = 3,
    .state_bytes = sizeof(lab_state),
    .init = lab_init,
    .release = lab_release,
    .key = lab_key,
    .answer = lab_answer,
    .accept = lab_accept,
};

static void test_lookup(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    CHECK_OK(brisk_engine_register(engine, &plain, NULL));
    char order[256] = "";
    lab_request request = {.input = "x", .hook = note_order, .ctx = order};
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &plain, &request, NULL, &job));
    CHECK(brisk_job_lookup(job) == BRISK_ERR_NOT_FOUND);
    CHECK(brisk_job_lookup(job) == BRISK_ERR_NOT_FOUND);
    CHECK_OK(brisk_job_run(job));
    CHECK(strstr(order, "init key ") == order && strstr(order + 5, "key") == order + 5);
    CHECK(strstr(order + 9, "key") == NULL); /* asked once */
    CHECK_OK(brisk_job_lookup(job));         /* done: its result */
    brisk_job_destroy(job);

    CHECK_OK(brisk_job_create(engine, &plain, &request, NULL, &job));
    CHECK_OK(brisk_job_lookup(job));
    assert_string_equal(brisk_job_answered_by(job), "memory");
    CHECK(brisk_value_size(brisk_job_value(job)) == 11);
    CHECK_OK(brisk_job_run(job));
    CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
    CHECK_OK(brisk_job_wait(job));
    brisk_job_destroy(job);
    CHECK(atomic_load(&request.computed) == 1);

    brisk_job_opts no_cache = {.no_cache = true};
    CHECK_OK(brisk_job_create(engine, &plain, &request, &no_cache, &job));
    CHECK(brisk_job_lookup(job) == BRISK_ERR_NOT_FOUND);
    brisk_job_destroy(job);
    brisk_job_opts disk_only = {.tiers = 2};
    CHECK_OK(brisk_job_create(engine, &plain, &request, &disk_only, &job));
    CHECK(brisk_job_lookup(job) == BRISK_ERR_NOT_FOUND);
    brisk_job_destroy(job);

    CHECK_OK(lab_run(engine, &request, NULL));
    job = lab_job(engine, &request, NULL); /* has PREPARE and DELIVER stages */
    CHECK(brisk_job_lookup(job) == BRISK_ERR_NOT_FOUND);
    brisk_job_destroy(job);
}

static void test_lookup_of_a_cancelled_job(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    CHECK_OK(brisk_engine_register(engine, &plain, NULL));
    lab_request request = {.input = "x"};
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &plain, &request, NULL, &job));
    brisk_job_cancel(job);
    CHECK(brisk_job_lookup(job) == BRISK_ERR_CANCELLED);
    CHECK(brisk_job_run(job) == BRISK_ERR_CANCELLED);
    brisk_job_destroy(job);
}

/* --- cancel and deadline ------------------------------------------------------------------ */

typedef struct stopper {
    brisk_job *job;
    fake_clock *clock; /* NULL: cancel; otherwise let the deadline pass */
    const char *where;
    _Atomic bool seen;
} stopper;

static brisk_err stop_here(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    stopper *stop = request->ctx;
    if (strcmp(where, stop->where) != 0) {
        return BRISK_OK;
    }
    CHECK(!brisk_stage_cancelled(ctx));
    if (stop->clock != NULL) {
        fake_clock_advance(stop->clock, FAKE_CLOCK_SECOND);
    } else {
        brisk_job_cancel(stop->job);
    }
    atomic_store(&stop->seen, brisk_stage_cancelled(ctx));
    return strcmp(where, "left") == 0 ? BRISK_ERR_CANCELLED : BRISK_OK;
}

static void stop_at(const char *where, bool deadline, bool submit)
{
    fake_clock clock;
    fake_clock_init(&clock, 5);
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, &clock.base);
    stopper stop = {.clock = deadline ? &clock : NULL, .where = where};
    lab_request request = {.input = "x", .hook = stop_here, .ctx = &stop};
    brisk_job_opts opts = {.deadline_ns = deadline ? FAKE_CLOCK_SECOND / 2 : 0};
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = lab_job(engine, &request, &opts);
    stop.job = job;
    brisk_err want = deadline ? BRISK_ERR_DEADLINE : BRISK_ERR_CANCELLED;
    if (submit) {
        CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
    }
    brisk_err err = submit ? brisk_job_wait(job) : brisk_job_run(job);
    bool last = strcmp(where, "deliver") == 0; /* nothing left to stop */
    assert_int_equal(err, last ? BRISK_OK : want);
    CHECK(atomic_load(&stop.seen));
    CHECK(atomic_load(&request.delivered) == (last ? 1 : 0));
    assert_string_equal(brisk_job_error_text(job), last ? "" : brisk_err_message(want));
}

static void test_cancel_and_deadline(void **unused)
{
    (void)unused;
    static const char *const places[] = {"load", "key", "left", "finish", "answer", "deliver"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        for (int how = 0; how < 4; how++) {
            stop_at(places[i], (how & 1) != 0, (how & 2) != 0);
        }
    }
}

static void test_cancel_before_and_after(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    lab_request request = {.input = "x"};
    brisk_job *job = lab_job(engine, &request, NULL);
    brisk_job_cancel(job);
    CHECK(brisk_job_run(job) == BRISK_ERR_CANCELLED);
    brisk_job_destroy(job);
    job = lab_job(engine, &request, NULL);
    CHECK_OK(brisk_job_run(job));
    brisk_job_cancel(job);
    CHECK_OK(brisk_job_run(job));
    brisk_job_destroy(job);
    brisk_job_opts huge = {.deadline_ns = UINT64_MAX}; /* does not wrap into the past */
    CHECK_OK(lab_run(engine, &request, &huge));
}

/* --- blocking stages ---------------------------------------------------------------------- */

typedef struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool free_worker_seen;
} meeting;

static brisk_err wait_for_other_job(brisk_stage_ctx *ctx, void *opaque)
{
    (void)ctx;
    meeting *met = *(meeting **)opaque;
    pthread_mutex_lock(&met->lock);
    while (!met->free_worker_seen) {
        pthread_cond_wait(&met->changed, &met->lock);
    }
    pthread_mutex_unlock(&met->lock);
    return BRISK_OK;
}

static brisk_err take_meeting(brisk_stage_ctx *ctx, void *state, const void *request)
{
    (void)ctx;
    memcpy(state, &request, sizeof request);
    return BRISK_OK;
}

static const brisk_stage waiting_stages[] = {
    {.name = "wait", .flags = BRISK_STAGE_BLOCKING, .run = wait_for_other_job},
    {.name = "wait_too", .flags = BRISK_STAGE_BLOCKING, .run = wait_for_other_job},
};

static const brisk_workload waiting = {
    .name = "waiting",
    .stages = waiting_stages,
    .stage_count = 2,
    .state_bytes = sizeof(void *),
    .init = take_meeting,
};

static brisk_err open_meeting(lab_request *request, brisk_stage_ctx *ctx, const char *where)
{
    (void)ctx;
    meeting *met = request->ctx;
    if (strcmp(where, "deliver") == 0) {
        pthread_mutex_lock(&met->lock);
        met->free_worker_seen = true;
        pthread_cond_broadcast(&met->changed);
        pthread_mutex_unlock(&met->lock);
    }
    return BRISK_OK;
}

/* One worker, occupied by a job that waits for what another job on that worker does. */
static void test_blocking_stages_leave_the_worker(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    CHECK_OK(brisk_engine_register(engine, &waiting, NULL));
    meeting met = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    brisk_job *blocked = NULL;
    CHECK_OK(brisk_job_create(engine, &waiting, &met, NULL, &blocked));
    CHECK_OK(brisk_job_submit(blocked, NULL, NULL, NULL));
    lab_request request = {.input = "x", .hook = open_meeting, .ctx = &met};
    brisk_job *other = lab_job(engine, &request, NULL);
    CHECK_OK(brisk_job_submit(other, NULL, NULL, NULL));
    CHECK_OK(brisk_job_wait(other));
    CHECK_OK(brisk_job_wait(blocked));
    brisk_job_destroy(other);
    brisk_job_destroy(blocked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_steps),
        cmocka_unit_test(test_run_again_gives_the_result),
        cmocka_unit_test(test_watcher_sees_every_job),
        cmocka_unit_test(test_every_step_may_fail),
        cmocka_unit_test(test_init_may_fail),
        cmocka_unit_test(test_text_of_a_plain_failure),
        cmocka_unit_test(test_submit_and_wait),
        cmocka_unit_test(test_on_done_may_destroy),
        cmocka_unit_test(test_post_chooses_the_thread),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_lookup_of_a_cancelled_job),
        cmocka_unit_test(test_cancel_and_deadline),
        cmocka_unit_test(test_cancel_before_and_after),
        cmocka_unit_test(test_blocking_stages_leave_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
