/*
 * test_stage.c -- what a stage may call: items side by side, arenas, bytes, notes, failures.
 */
#include "engine/lab.h"

typedef struct item_test item_test;
struct item_test {
    brisk_err (*stage)(brisk_stage_ctx *ctx, item_test *test);
    pthread_barrier_t barrier;
    uint32_t count;
    uint32_t fail_at;
    brisk_err got; /* what brisk_stage_for returned */
    _Atomic int runs[4096];
    _Atomic int total;
    _Atomic bool cancelled_seen;
    brisk_job *job;
};

static brisk_err take_test(brisk_stage_ctx *ctx, void *state, const void *request)
{
    (void)ctx;
    memcpy(state, &request, sizeof request);
    return BRISK_OK;
}

static brisk_err run_its_stage(brisk_stage_ctx *ctx, void *opaque)
{
    item_test *test = *(item_test **)opaque;
    return test->stage(ctx, test);
}

static const brisk_stage one_stage[] = {{.name = "items", .run = run_its_stage}};
static const brisk_workload items = {
    .name = "itemized",
    .stages = one_stage,
    .stage_count = 1,
    .state_bytes = sizeof(void *),
    .init = take_test,
};

static brisk_job *run_items_job(brisk_engine *engine, item_test *test, bool submit, brisk_err want)
{
    CHECK_OK(brisk_engine_register(engine, &items, NULL));
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &items, test, NULL, &job));
    test->job = job;
    if (submit) {
        CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
    }
    assert_int_equal(brisk_job_run(job), want);
    return job;
}

/* --- side by side ------------------------------------------------------------------------- */

static const char *name_item(void *item_ctx, uint32_t index)
{
    static const char *const names[] = {"first", "second"};
    (void)item_ctx;
    return index < 2 ? names[index] : NULL;
}

static brisk_err meet(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index)
{
    item_test *test = item_ctx;
    brisk_stage_add_bytes(ctx, index + 1);
    (void)pthread_barrier_wait(&test->barrier); /* returns only when both are here */
    return BRISK_OK;
}

static brisk_err stage_meet(brisk_stage_ctx *ctx, item_test *test)
{
    test->got = brisk_stage_for(ctx, 2, name_item, meet, test);
    return test->got;
}

static brisk_span find_span(const brisk_trace *trace, const char *name)
{
    for (uint32_t i = 0; i < brisk_trace_count(trace); i++) {
        brisk_span span = brisk_trace_at(trace, i);
        if (strcmp(span.name, name) == 0) {
            return span;
        }
    }
    fail_msg("no span %s", name);
    return (brisk_span){0};
}

static brisk_err count_only(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index)
{
    (void)ctx;
    (void)index;
    item_test *test = item_ctx;
    atomic_fetch_add(&test->total, 1);
    return BRISK_OK;
}

static brisk_err stage_thousands(brisk_stage_ctx *ctx, item_test *test)
{
    test->got = brisk_stage_for(ctx, 5000, NULL, count_only, test);
    return test->got;
}

static brisk_err stage_later(brisk_stage_ctx *ctx, void *opaque)
{
    (void)ctx;
    (void)opaque;
    return BRISK_OK;
}

/* Items are the ones that find no room in the trace, not the stages behind them. */
static void test_items_leave_spans_to_stages(void **unused)
{
    (void)unused;
    static const brisk_stage stages[] = {
        {.name = "items", .run = run_its_stage},
        {.name = "later", .run = stage_later, .after = {"items"}},
    };
    static const brisk_workload workload = {
        .name = "crowded",
        .stages = stages,
        .stage_count = 2,
        .state_bytes = sizeof(void *),
        .init = take_test,
    };
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    CHECK_OK(brisk_engine_register(engine, &workload, NULL));
    item_test test = {.stage = stage_thousands};
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &workload, &test, NULL, &job));
    CHECK_OK(brisk_job_run(job));
    CHECK(atomic_load(&test.total) == 5000);
    const brisk_trace *trace = brisk_job_trace(job);
    CHECK_U64(find_span(trace, "later").end_ns, >, 0);
    CHECK_U64(brisk_trace_count(trace), >, 900);
    CHECK_U64(brisk_trace_dropped(trace), >, 3000);
}

/* Neither item can end before the other has begun, so the spans must overlap. */
static void test_two_items_overlap_on_two_workers(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    for (int round = 0; round < 20; round++) {
        item_test test = {.stage = stage_meet};
        CHECK(pthread_barrier_init(&test.barrier, NULL, 2) == 0);
        brisk_job *job = run_items_job(engine, &test, round % 2 == 0, BRISK_OK);
        const brisk_trace *trace = brisk_job_trace(job);
        brisk_span stage = find_span(trace, "items");
        brisk_span first = find_span(trace, "first");
        brisk_span second = find_span(trace, "second");
        CHECK(first.parent == stage.id && second.parent == stage.id);
        CHECK(first.worker != second.worker && first.thread != second.thread);
        CHECK(round % 2 != 0 || (first.worker >= 0 && second.worker >= 0));
        CHECK_U64(first.start_ns, <=, second.end_ns);
        CHECK_U64(second.start_ns, <=, first.end_ns);
        CHECK_U64(lab_row(job, "items").bytes, ==, 3);
        CHECK_U64(first.bytes + second.bytes, ==, 3);
        brisk_job_destroy(job);
        (void)pthread_barrier_destroy(&test.barrier);
    }
}

/* --- each once ---------------------------------------------------------------------------- */

static brisk_err count_item(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index)
{
    item_test *test = item_ctx;
    unsigned char *bytes = brisk_arena_alloc(brisk_stage_arena(ctx), 100);
    if (bytes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(bytes, (int)(index & 0xff), 100); /* two threads in one arena would be a race */
    atomic_fetch_add(&test->runs[index], 1);
    atomic_fetch_add(&test->total, 1);
    if (test->fail_at == index) {
        return brisk_stage_fail(ctx, BRISK_ERR_CONFLICT, "item %u", index);
    }
    if (brisk_stage_cancelled(ctx)) {
        atomic_store(&test->cancelled_seen, true);
    }
    return BRISK_OK;
}

static brisk_err stage_count(brisk_stage_ctx *ctx, item_test *test)
{
    test->got = brisk_stage_for(ctx, test->count, NULL, count_item, test);
    return test->got;
}

static void test_each_item_once(void **unused)
{
    (void)unused;
    static const uint32_t counts[] = {0, 1, 2, 3, 100, 4096};
    for (uint32_t workers = 1; workers <= 3; workers++) {
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(workers, NULL);
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            item_test test = {.stage = stage_count, .count = counts[c], .fail_at = UINT32_MAX};
            brisk_job *job = run_items_job(engine, &test, c % 2 == 0, BRISK_OK);
            for (uint32_t i = 0; i < counts[c]; i++) {
                CHECK(atomic_load(&test.runs[i]) == 1);
            }
            if (counts[c] >= 3) {
                (void)find_span(brisk_job_trace(job), "2"); /* unnamed ones are numbered */
            }
            if (counts[c] == 4096) {
                CHECK_U64(brisk_trace_dropped(brisk_job_trace(job)), >, 0);
            }
            brisk_job_destroy(job);
        }
    }
}

static void test_first_error_stops_the_rest(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    item_test test = {.stage = stage_count, .count = 4096, .fail_at = 0};
    brisk_job *job = run_items_job(engine, &test, false, BRISK_ERR_CONFLICT);
    assert_string_equal(brisk_job_error_text(job), "item 0");
    assert_string_equal(brisk_job_error_stage(job), "items");
    CHECK(test.got == BRISK_ERR_CONFLICT);
    brisk_job_destroy(job);

    /* With one worker nobody helps, so the stop is exact. */
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *alone = lab_engine(1, NULL);
    item_test exact = {.stage = stage_count, .count = 100, .fail_at = 10};
    job = run_items_job(alone, &exact, false, BRISK_ERR_CONFLICT);
    CHECK(atomic_load(&exact.total) == 11);
    brisk_job_destroy(job);
}

static brisk_err stage_forgiving(brisk_stage_ctx *ctx, item_test *test)
{
    test->got = brisk_stage_for(ctx, test->count, NULL, count_item, test);
    bool cancelled = brisk_stage_cancelled(ctx); /* the items failed, the stage did not */
    atomic_store(&test->cancelled_seen, cancelled);
    return BRISK_OK;
}

static void test_stage_may_forgive_its_items(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    item_test test = {.stage = stage_forgiving, .count = 10, .fail_at = 3};
    brisk_job *job = run_items_job(engine, &test, false, BRISK_OK);
    CHECK(test.got == BRISK_ERR_CONFLICT);
    CHECK(!atomic_load(&test.cancelled_seen));
    assert_string_equal(brisk_job_error_text(job), "");
    brisk_job_destroy(job);
}

static brisk_err wait_for_stop(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index)
{
    item_test *test = item_ctx;
    (void)pthread_barrier_wait(&test->barrier); /* both run */
    if (index == 1) {
        return BRISK_ERR_IO;
    }
    while (!brisk_stage_cancelled(ctx)) {
    }
    atomic_store(&test->cancelled_seen, true);
    return BRISK_ERR_CANCELLED;
}

static brisk_err stage_stop(brisk_stage_ctx *ctx, item_test *test)
{
    test->got = brisk_stage_for(ctx, 2, NULL, wait_for_stop, test);
    return test->got;
}

static void test_running_items_see_the_stop(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(2, NULL);
    item_test test = {.stage = stage_stop};
    CHECK(pthread_barrier_init(&test.barrier, NULL, 2) == 0);
    brisk_job_destroy(run_items_job(engine, &test, false, BRISK_ERR_IO));
    CHECK(atomic_load(&test.cancelled_seen));
    (void)pthread_barrier_destroy(&test.barrier);
}

/* --- cancel while items run --------------------------------------------------------------- */

static brisk_err cancel_item(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index)
{
    item_test *test = item_ctx;
    (void)ctx;
    atomic_fetch_add(&test->total, 1);
    if (index == 5) {
        brisk_job_cancel(test->job);
    }
    return BRISK_OK;
}

static brisk_err stage_cancel(brisk_stage_ctx *ctx, item_test *test)
{
    test->got = brisk_stage_for(ctx, 1000, NULL, cancel_item, test);
    return test->got;
}

static void test_cancel_stops_items(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    item_test test = {.stage = stage_cancel};
    brisk_job_destroy(run_items_job(engine, &test, false, BRISK_ERR_CANCELLED));
    CHECK(test.got == BRISK_ERR_CANCELLED);
    CHECK(atomic_load(&test.total) == 6);
}

/* --- nested ------------------------------------------------------------------------------- */

static brisk_err inner_item(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index)
{
    item_test *test = item_ctx;
    (void)ctx;
    (void)index;
    atomic_fetch_add(&test->total, 1);
    return BRISK_OK;
}

static brisk_err outer_item(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index)
{
    (void)index;
    return brisk_stage_for(ctx, 20, NULL, inner_item, item_ctx);
}

static brisk_err stage_nested(brisk_stage_ctx *ctx, item_test *test)
{
    return brisk_stage_for(ctx, 20, NULL, outer_item, test);
}

static void test_items_of_items(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(3, NULL);
    item_test test = {.stage = stage_nested};
    brisk_job_destroy(run_items_job(engine, &test, true, BRISK_OK));
    CHECK(atomic_load(&test.total) == 400);
}

/* --- words -------------------------------------------------------------------------------- */

static brisk_err stage_words(brisk_stage_ctx *ctx, item_test *test)
{
    (void)test;
    brisk_stage_note(ctx, "first %d", 1);
    brisk_stage_note(ctx, "copy_file_range %s", "twice");
    brisk_stage_add_bytes(ctx, 40);
    brisk_stage_add_bytes(ctx, 2);
    CHECK(!brisk_stage_no_cache(ctx));
    return BRISK_OK;
}

static void test_notes_and_bytes(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    item_test test = {.stage = stage_words};
    brisk_job *job = run_items_job(engine, &test, false, BRISK_OK);
    brisk_stage_report row = lab_row(job, "items");
    assert_string_equal(row.note, "copy_file_range twice");
    CHECK_U64(row.bytes, ==, 42);
    CHECK(row.worker == -1);
    brisk_job_destroy(job);
}

/* Memory of a stage lives as long as its job, and is used again by the next one. */
static void test_arenas_are_kept_and_recycled(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    lab_request request = {.input = "x"};
    brisk_job_opts opts = {.no_cache = true};
    brisk_job *job = lab_job(engine, &request, &opts);
    CHECK_OK(brisk_job_run(job));
    const lab_state *state = brisk_job_state(job);
    assert_string_equal(state->half[0], "answer");
    assert_string_equal(state->half[1], "x");
    brisk_job_destroy(job);
    uint32_t kept = engine->recycle.arena_count;
    CHECK_U64(kept, >=, 2); /* the job's and a stage's */
    for (uint32_t i = 0; i < kept; i++) {
        CHECK_U64(brisk_arena_used(engine->recycle.arenas[i]), ==, 0);
    }
    for (int i = 0; i < 10; i++) {
        CHECK_OK(lab_run(engine, &request, &opts));
    }
    CHECK_U64(engine->recycle.arena_count, <=, kept + 1); /* two stages may overlap */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_items_overlap_on_two_workers),
        cmocka_unit_test(test_items_leave_spans_to_stages),
        cmocka_unit_test(test_each_item_once),
        cmocka_unit_test(test_first_error_stops_the_rest),
        cmocka_unit_test(test_stage_may_forgive_its_items),
        cmocka_unit_test(test_running_items_see_the_stop),
        cmocka_unit_test(test_cancel_stops_items),
        cmocka_unit_test(test_items_of_items),
        cmocka_unit_test(test_notes_and_bytes),
        cmocka_unit_test(test_arenas_are_kept_and_recycled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
