/*
 * test_pipeline.c -- declarations are believed only after checks.
 */
#include "engine/lab.h"

typedef struct declared {
    brisk_stage stages[4];
    uint32_t count;
    brisk_err err;
    const char *words; /* in the text of the error */
} declared;

static brisk_err nothing(brisk_stage_ctx *ctx, void *state)
{
    (void)ctx;
    (void)state;
    return BRISK_OK;
}

static brisk_err key_of_nothing(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder)
{
    (void)ctx;
    (void)state;
    brisk_key_u64(builder, "x", 1);
    return BRISK_OK;
}

static void check(brisk_engine *engine, const brisk_workload *workload, brisk_err err,
                  const char *words)
{
    brisk_errinfo info = {.text = ""};
    brisk_err got = brisk_engine_register(engine, workload, &info);
    if (got != err || (err != BRISK_OK && strstr(info.text, words) == NULL)) {
        fail_msg("%s instead of %s: %s", brisk_err_name(got), brisk_err_name(err), info.text);
    }
}

static void test_declarations(void **unused)
{
    (void)unused;
    enum { P = BRISK_STAGE_PREPARE, D = BRISK_STAGE_DELIVER };
    const declared table[] = {
        {{{"a", {"b"}, 0, nothing}, {"b", {"a"}, 0, nothing}}, 2, BRISK_ERR_CYCLE, "after"},
        {{{"a", {"a"}, 0, nothing}}, 1, BRISK_ERR_CYCLE, "a after a"},
        {{{"a", {"c"}, P, nothing}, {"b", {"a"}, P, nothing}, {"c", {"b"}, P, nothing}},
         3,
         BRISK_ERR_CYCLE,
         "after"},
        {{{"a", {"ghost"}, 0, nothing}}, 1, BRISK_ERR_INVALID, "ghost"},
        {{{"a", {NULL}, 0, nothing}, {"a", {NULL}, P, nothing}}, 2, BRISK_ERR_INVALID, "two"},
        {{{"a", {NULL}, 0, NULL}}, 1, BRISK_ERR_INVALID, "function"},
        {{{NULL, {NULL}, 0, nothing}}, 1, BRISK_ERR_INVALID, "name"},
        {{{"a", {NULL}, 0, nothing}, {"", {NULL}, 0, nothing}}, 2, BRISK_ERR_INVALID, "stage 1"},
        {{{"a", {NULL}, P | D, nothing}}, 1, BRISK_ERR_INVALID, "both"},
        {{{"a", {NULL}, 1u << 31, nothing}}, 1, BRISK_ERR_INVALID, "flags"},
        {{{"cache_store", {NULL}, 0, nothing}}, 1, BRISK_ERR_INVALID, "cache_store"},
        {{{"a", {"b"}, P, nothing}, {"b", {NULL}, 0, nothing}}, 2, BRISK_ERR_INVALID, "PREPARE"},
        {{{"a", {"b"}, P, nothing}, {"b", {NULL}, D, nothing}}, 2, BRISK_ERR_INVALID, "DELIVER"},
        {{{"a", {"b"}, 0, nothing}, {"b", {NULL}, D, nothing}}, 2, BRISK_ERR_INVALID, "computing"},
        {{{"p", {NULL}, P, nothing},
          {"c", {"p"}, 0, nothing},
          {"d", {"p", "c"}, D, nothing},
          {"e", {NULL, "d", "p"}, D, nothing}},
         4,
         BRISK_OK,
         ""},
    };
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    brisk_workload workloads[sizeof table / sizeof table[0]];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        workloads[i] =
            (brisk_workload){.name = "w", .stages = table[i].stages, .stage_count = table[i].count};
        check(engine, &workloads[i], table[i].err, table[i].words);
    }
}

static void test_workload_itself(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    brisk_stage stages[BRISK_STAGES_MAX + 1];
    char names[BRISK_STAGES_MAX + 1][8];
    for (int i = 0; i <= BRISK_STAGES_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "s%d", i);
        stages[i] = (brisk_stage){.name = names[i], .run = nothing};
        if (i > 0) {
            stages[i].after[0] = names[i - 1];
        }
    }
    brisk_workload w = {.name = "many", .stages = stages, .stage_count = BRISK_STAGES_MAX + 1};
    check(engine, &w, BRISK_ERR_LIMIT, "65");
    w.stage_count = UINT32_MAX;
    check(engine, &w, BRISK_ERR_LIMIT, "many");
    w.stage_count = BRISK_STAGES_MAX;
    check(engine, &w, BRISK_OK, "");
    check(engine, &w, BRISK_OK, ""); /* again is fine */
    brisk_workload twin = w;
    check(engine, &twin, BRISK_ERR_CONFLICT, "many");
    brisk_workload nameless = {.name = ""};
    check(engine, &nameless, BRISK_ERR_INVALID, "name");
    brisk_workload stageless = {.name = "x", .stage_count = 3};
    check(engine, &stageless, BRISK_ERR_INVALID, "no stages");
    brisk_workload answerless = {.name = "y", .key = key_of_nothing};
    check(engine, &answerless, BRISK_ERR_INVALID, "no answer");

    brisk_job *job = NULL; /* 64 stages in a chain run */
    CHECK_OK(brisk_job_create(engine, &w, NULL, NULL, &job));
    CHECK_OK(brisk_job_run(job));
    CHECK_U64(brisk_job_report_count(job), ==, BRISK_STAGES_MAX);
    brisk_job_destroy(job);
}

static void test_empty_workload(void **unused)
{
    (void)unused;
    static const brisk_workload empty = {.name = "empty"};
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = lab_engine(1, NULL);
    CHECK_OK(brisk_engine_register(engine, &empty, NULL));
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &empty, NULL, NULL, &job));
    CHECK_OK(brisk_job_run(job));
    CHECK_U64(brisk_job_report_count(job), ==, 0);
    CHECK(brisk_job_value(job) == NULL);
    brisk_job_destroy(job);

    static const brisk_workload stranger = {.name = "stranger"};
    job = NULL;
    CHECK(brisk_job_create(engine, &stranger, NULL, NULL, &job) == BRISK_ERR_NOT_FOUND);
    CHECK(job == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_declarations),
        cmocka_unit_test(test_workload_itself),
        cmocka_unit_test(test_empty_workload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
