/*
 * test_report.c -- the stage table: rows, shares, critical path, text and JSON.
 *
 * The clock is the test's: every stage takes exactly the milliseconds that the case says.
 */
#include "engine/lab.h"

#include "support/fake_clock.h"

#include <brisk/yaml.h>

BRISK_DEFINE_CLEANUP(brisk_yaml_doc, brisk_yaml_destroy)

static const uint64_t MS = 1000000;

typedef struct timed {
    fake_clock *clock;
    uint64_t ns[4];
    int fail_at;      /* stage, or -1 */
    const char *note; /* of the second stage, instead of the usual one */
} timed;

static brisk_err take(brisk_stage_ctx *ctx, void *state, const void *request)
{
    (void)ctx;
    memcpy(state, &request, sizeof request);
    return BRISK_OK;
}

static brisk_err spend(brisk_stage_ctx *ctx, void *opaque, int stage)
{
    const timed *t = *(timed **)opaque;
    fake_clock_advance(t->clock, t->ns[stage]);
    brisk_stage_add_bytes(ctx, (uint64_t)stage * 10);
    if (stage == 1 && t->note != NULL) {
        brisk_stage_note(ctx, "%s", t->note);
    } else if (stage == 1) {
        brisk_stage_note(ctx, "took \"%d\"", stage);
    }
    return t->fail_at == stage ? BRISK_ERR_IO : BRISK_OK;
}

static brisk_err run_a(brisk_stage_ctx *ctx, void *opaque)
{
    return spend(ctx, opaque, 0);
}

static brisk_err run_b(brisk_stage_ctx *ctx, void *opaque)
{
    return spend(ctx, opaque, 1);
}

static brisk_err run_c(brisk_stage_ctx *ctx, void *opaque)
{
    return spend(ctx, opaque, 2);
}

static brisk_err run_d(brisk_stage_ctx *ctx, void *opaque)
{
    return spend(ctx, opaque, 3);
}

static brisk_err one_key(brisk_stage_ctx *ctx, void *opaque, brisk_key_builder *builder)
{
    (void)ctx;
    (void)opaque;
    brisk_key_u64(builder, "one", 1);
    return BRISK_OK;
}

static brisk_err one_answer(brisk_stage_ctx *ctx, void *opaque, brisk_answer *ret)
{
    (void)ctx;
    (void)opaque;
    return brisk_value_copy("1234567", 7, NULL, &ret->value);
}

/* a before b and c, d delivers. */
static const brisk_stage stages[] = {
    {.name = "a", .run = run_a},
    {.name = "b", .after = {"a"}, .run = run_b},
    {.name = "c", .after = {"a"}, .run = run_c},
    {.name = "d", .flags = BRISK_STAGE_DELIVER, .run = run_d},
};

static const brisk_workload timing = {
    .name = "timing",
    .stages = stages,
    .stage_count = 4,
    .state_bytes = sizeof(void *),
    .init = take,
    .key = one_key,
    .answer = one_answer,
};

typedef struct sink {
    char text[8192];
    size_t size;
} sink;

static brisk_err sink_write(void *ctx, const char *data, size_t size)
{
    sink *s = ctx;
    if (size >= sizeof s->text - s->size) {
        return BRISK_ERR_FULL;
    }
    memcpy(s->text + s->size, data, size);
    s->size += size;
    s->text[s->size] = '\0';
    return BRISK_OK;
}

/* One worker and the caller alone: the stages run one after the other, so times are exact. */
static brisk_job *run_timed(brisk_engine *engine, timed *t, brisk_err want)
{
    CHECK_OK(brisk_engine_register(engine, &timing, NULL));
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &timing, t, NULL, &job));
    CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
    assert_int_equal(brisk_job_wait(job), want);
    return job;
}

static void test_rows_and_critical_path(void **unused)
{
    (void)unused;
    fake_clock clock;
    fake_clock_init(&clock, 77);
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, &clock.base);
    timed t = {.clock = &clock, .ns = {10 * MS, 20 * MS, 30 * MS, 40 * MS}, .fail_at = -1};
    brisk_job *job = run_timed(engine, &t, BRISK_OK);
    CHECK_U64(brisk_job_elapsed_ns(job), ==, 100 * MS);
    CHECK_U64(brisk_job_report_count(job), ==, 5);
    static const bool critical[] = {true, false, true, true};
    for (uint32_t i = 0; i < 4; i++) {
        brisk_stage_report row = brisk_job_report(job, i);
        assert_string_equal(row.name, stages[i].name);
        CHECK_U64(row.ns, ==, t.ns[i]);
        CHECK(row.share > (double)t.ns[i] / (double)(100 * MS) - 1e-9);
        CHECK(row.share < (double)t.ns[i] / (double)(100 * MS) + 1e-9);
        CHECK(row.how == BRISK_HOW_COMPUTED && row.critical == critical[i]);
        CHECK_U64(row.bytes, ==, i * 10);
        CHECK(row.worker == 0);
    }
    CHECK_U64(brisk_job_report(job, 0).start_ns, ==, 0);
    CHECK_U64(brisk_job_report(job, 3).start_ns, ==, 60 * MS);
    brisk_stage_report stored = brisk_job_report(job, 4);
    assert_string_equal(stored.name, "cache_store");
    CHECK(stored.critical && stored.bytes == 7 && stored.how == BRISK_HOW_COMPUTED);
    brisk_hit hit;
    CHECK(brisk_cache_get(brisk_engine_cache(engine), &job->key, 0, &hit));
    CHECK_U64(hit.cost_ns, ==, 60 * MS); /* the computing stages, nothing else */
    brisk_value_unref(hit.value);
    brisk_job_destroy(job);

    job = run_timed(engine, &t, BRISK_OK); /* answered */
    CHECK_U64(brisk_job_report_count(job), ==, 4);
    for (uint32_t i = 0; i < 3; i++) {
        brisk_stage_report row = brisk_job_report(job, i);
        CHECK(row.how == BRISK_HOW_ANSWERED && row.ns == 0 && !row.critical);
        assert_string_equal(row.tier, "memory");
    }
    CHECK(brisk_job_report(job, 3).how == BRISK_HOW_COMPUTED);
    CHECK(brisk_job_report(job, 3).critical);
    brisk_job_destroy(job);
}

/* a before b and c, both before d: of the two the longer one is on the path. */
static const brisk_stage diamond_stages[] = {
    {.name = "a", .run = run_a},
    {.name = "b", .after = {"a"}, .run = run_b},
    {.name = "c", .after = {"a"}, .run = run_c},
    {.name = "d", .after = {"b", "c"}, .run = run_d},
};

static const brisk_workload diamond = {
    .name = "diamond",
    .stages = diamond_stages,
    .stage_count = 4,
    .state_bytes = sizeof(void *),
    .init = take,
};

static void test_critical_path_of_a_diamond(void **unused)
{
    (void)unused;
    for (int longer = 1; longer <= 2; longer++) {
        fake_clock clock;
        fake_clock_init(&clock, 3);
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, &clock.base);
        CHECK_OK(brisk_engine_register(engine, &diamond, NULL));
        timed t = {.clock = &clock, .ns = {1 * MS, 2 * MS, 2 * MS, 1 * MS}, .fail_at = -1};
        t.ns[longer] = 3 * MS;
        brisk_job *job = NULL;
        CHECK_OK(brisk_job_create(engine, &diamond, &t, NULL, &job));
        CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
        CHECK_OK(brisk_job_wait(job));
        for (uint32_t i = 0; i < 4; i++) {
            CHECK(brisk_job_report(job, i).critical == (i == 0 || i == 3 || i == (uint32_t)longer));
        }
        brisk_job_destroy(job);
    }
}

static void test_failed_and_skipped(void **unused)
{
    (void)unused;
    fake_clock clock;
    fake_clock_init(&clock, 1);
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, &clock.base);
    timed t = {.clock = &clock, .ns = {1 * MS, 2 * MS, 3 * MS, 4 * MS}, .fail_at = 0};
    brisk_job *job = run_timed(engine, &t, BRISK_ERR_IO);
    CHECK(brisk_job_report(job, 0).how == BRISK_HOW_FAILED);
    for (uint32_t i = 1; i < 4; i++) {
        CHECK(brisk_job_report(job, i).how == BRISK_HOW_SKIPPED);
    }
    CHECK_U64(brisk_job_report_count(job), ==, 4);
    sink text = {.size = 0};
    CHECK_OK(brisk_job_write_report(job, (brisk_out){sink_write, &text}));
    CHECK(strstr(text.text, "failed\n") != NULL && strstr(text.text, "skipped\n") != NULL);
    CHECK(strstr(text.text, "input/output error\n") != NULL);
    brisk_job_destroy(job);
}

static void test_text_table(void **unused)
{
    (void)unused;
    fake_clock clock;
    fake_clock_init(&clock, 1);
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, &clock.base);
    timed t = {.clock = &clock, .ns = {10 * MS, 20 * MS, 30 * MS, 40 * MS}, .fail_at = -1};
    brisk_job *job = run_timed(engine, &t, BRISK_OK);
    sink text = {.size = 0};
    CHECK_OK(brisk_job_write_report(job, (brisk_out){sink_write, &text}));
    assert_string_equal(text.text,
                        "stage                ms  share  path  how                 note\n"
                        "a                10.000    10%  *     computed\n"
                        "b                20.000    20%        computed            took \"1\"\n"
                        "c                30.000    30%  *     computed\n"
                        "d                40.000    40%  *     computed\n"
                        "cache_store       0.000     0%  *     computed\n"
                        "total           100.000   100%        computed\n");
    brisk_job_destroy(job);
    job = run_timed(engine, &t, BRISK_OK);
    text.size = 0;
    CHECK_OK(brisk_job_write_report(job, (brisk_out){sink_write, &text}));
    assert_string_equal(text.text,
                        "stage                ms  share  path  how                 note\n"
                        "a                     -      -        memory 0.0 us\n"
                        "b                     -      -        memory 0.0 us\n"
                        "c                     -      -        memory 0.0 us\n"
                        "d                40.000   100%  *     computed\n"
                        "total            40.000   100%        answered by memory\n");
    brisk_job_destroy(job);
}

/* A note may come from a file's name: a row stays one line. */
static void test_notes_keep_their_line(void **unused)
{
    (void)unused;
    static char too_long[700];
    memset(too_long, 'n', sizeof too_long - 1);
    static const char *const notes[] = {"two\nlines\x1b[2J", too_long};
    for (size_t i = 0; i < 2; i++) {
        fake_clock clock;
        fake_clock_init(&clock, 1);
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, &clock.base);
        timed t = {.clock = &clock, .fail_at = -1, .note = notes[i]};
        brisk_job *job = run_timed(engine, &t, BRISK_OK);
        sink text = {.size = 0};
        CHECK_OK(brisk_job_write_report(job, (brisk_out){sink_write, &text}));
        uint32_t lines = 0;
        for (size_t at = 0; at < text.size; at++) {
            lines += text.text[at] == '\n';
            CHECK(text.text[at] == '\n' || (unsigned char)text.text[at] >= ' ');
        }
        CHECK_U64(lines, ==, 7); /* head, four stages, cache_store, total */
        brisk_job_destroy(job);
    }
}

static brisk_err no_room(void *ctx, const char *data, size_t size)
{
    int *left = ctx;
    (void)data;
    (void)size;
    return (*left)-- > 0 ? BRISK_OK : BRISK_ERR_FULL;
}

static void test_output_may_fail(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    lab_request request = {.input = "x"};
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = lab_job(engine, &request, NULL);
    CHECK_OK(brisk_job_run(job));
    for (int lines = 0; lines < 8; lines++) { /* head, five stages, cache_store, total */
        int left = lines;
        CHECK(brisk_job_write_report(job, (brisk_out){no_room, &left}) == BRISK_ERR_FULL);
    }
    int left = 8;
    CHECK_OK(brisk_job_write_report(job, (brisk_out){no_room, &left}));
}

static void test_json(void **unused)
{
    (void)unused;
    fake_clock clock;
    fake_clock_init(&clock, 1);
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, &clock.base);
    timed t = {.clock = &clock, .ns = {10 * MS, 20 * MS, 30 * MS, 40 * MS}, .fail_at = 2};
    brisk_job *job = run_timed(engine, &t, BRISK_ERR_IO);
    sink text = {.size = 0};
    brisk_json json;
    brisk_json_init(&json, (brisk_out){sink_write, &text}, 2);
    brisk_json_object_begin(&json, NULL);
    brisk_job_write_report_json(job, &json);
    brisk_json_object_end(&json);
    CHECK_OK(brisk_json_finish(&json));
    brisk_job_destroy(job);
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = NULL;
    brisk_errinfo info;
    CHECK_OK(brisk_yaml_parse("report", text.text, text.size, NULL, &doc, &info));
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    assert_string_equal(brisk_yaml_get(root, "workload")->text, "timing");
    assert_string_equal(brisk_yaml_get(root, "result")->text, "BRISK_ERR_IO");
    const brisk_yaml_node *error = brisk_yaml_get(root, "error");
    assert_string_equal(brisk_yaml_get(error, "code")->text, "BRISK_ERR_IO");
    assert_string_equal(brisk_yaml_get(error, "stage")->text, "c");
    const brisk_yaml_node *rows = brisk_yaml_get(root, "stages");
    CHECK_U64(rows->count, ==, 4);
    const brisk_yaml_node *third = rows->child->next->next;
    assert_string_equal(brisk_yaml_get(third, "stage")->text, "c");
    assert_string_equal(brisk_yaml_get(third, "how")->text, "failed");
    assert_string_equal(brisk_yaml_get(third, "ns")->text, "30000000");
    assert_string_equal(brisk_yaml_get(third, "worker")->text, "0");
}

/* Every step of a job leaves a span under the job's own. */
static void test_trace_of_a_job(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    lab_request request = {.input = "x"};
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = lab_job(engine, &request, NULL);
    CHECK_OK(brisk_job_run(job));
    const brisk_trace *trace = brisk_job_trace(job);
    static const char *const names[] = {"lab",   "load",   "cache_lookup", "left",
                                        "right", "finish", "cache_store",  "deliver"};
    CHECK_U64(brisk_trace_count(trace), ==, sizeof names / sizeof names[0]);
    uint32_t root = brisk_trace_at(trace, 0).id;
    for (uint32_t i = 0; i < brisk_trace_count(trace); i++) {
        brisk_span span = brisk_trace_at(trace, i);
        bool known = false;
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
            known = known || strcmp(names[n], span.name) == 0;
        }
        CHECK(known && span.end_ns >= span.start_ns);
        CHECK(span.parent == (i == 0 ? BRISK_TRACE_NONE : root));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_and_critical_path),
        cmocka_unit_test(test_critical_path_of_a_diamond),
        cmocka_unit_test(test_failed_and_skipped),
        cmocka_unit_test(test_text_table),
        cmocka_unit_test(test_notes_keep_their_line),
        cmocka_unit_test(test_output_may_fail),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_trace_of_a_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
