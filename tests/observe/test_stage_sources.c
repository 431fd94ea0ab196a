/*
 * test_stage_sources.c -- stage profiles from jobs, from the engine's log and from the history: the same run is the
 * same, whatever way it came; what is damaged is refused with its line.
 */
#include <math.h>
#include <string.h>

#include <brisk/engine.h>
#include <brisk/whatif.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fake_clock.h"
#include "support/temp_dir.h"

BRISK_DEFINE_CLEANUP(brisk_engine, brisk_engine_destroy)
BRISK_DEFINE_CLEANUP(brisk_job, brisk_job_destroy)
BRISK_DEFINE_CLEANUP(brisk_history, brisk_history_close)
BRISK_DEFINE_CLEANUP(brisk_stage_profile, brisk_stage_profile_destroy)

static const uint64_t MS = 1000000;

/* --- a workload whose stages take what the clock is told ---------------------------------- */

static brisk_err init(brisk_stage_ctx *ctx, void *state, const void *request)
{
    (void)ctx;
    memcpy(state, &request, sizeof request);
    return BRISK_OK;
}

static brisk_err spend(void *state, uint64_t ms)
{
    fake_clock_advance(*(fake_clock **)state, ms * MS);
    return BRISK_OK;
}

static brisk_err run_load(brisk_stage_ctx *ctx, void *state)
{
    brisk_stage_add_bytes(ctx, 100);
    return spend(state, 1);
}

static brisk_err run_a(brisk_stage_ctx *ctx, void *state)
{
    (void)ctx;
    return spend(state, 5);
}

static brisk_err run_item(brisk_stage_ctx *ctx, void *state, uint32_t index)
{
    (void)ctx;
    return spend(state, index);
}

static brisk_err run_b(brisk_stage_ctx *ctx, void *state)
{
    brisk_err err = spend(state, 1);
    return err == BRISK_OK ? brisk_stage_for(ctx, 3, NULL, run_item, state) : err; /* 0 + 1 + 2 */
}

static brisk_err run_write(brisk_stage_ctx *ctx, void *state)
{
    (void)ctx;
    return spend(state, 2);
}

static brisk_err key(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder)
{
    (void)ctx;
    brisk_key_u64(builder, "one", 1);
    return spend(state, 3); /* between the stages */
}

static brisk_err answer(brisk_stage_ctx *ctx, void *state, brisk_answer *ret)
{
    (void)ctx;
    (void)state;
    return brisk_value_copy("x", 1, NULL, &ret->value);
}

static const brisk_stage stages[] = {
    {.name = "load", .flags = BRISK_STAGE_PREPARE, .run = run_load},
    {.name = "a", .after = {"load"}, .run = run_a},
    {.name = "b", .after = {"a"}, .run = run_b},
    {.name = "write", .flags = BRISK_STAGE_DELIVER, .run = run_write},
};

static const brisk_workload work = {
    .name = "sources",
    .stages = stages,
    .stage_count = 4,
    .state_bytes = sizeof(void *),
    .init = init,
    .key = key,
    .answer = answer,
};

static brisk_engine *new_engine(fake_clock *clock, const char *log)
{
    char setting[512];
    (void)snprintf(setting, sizeof setting, "engine.stage_log=%s", log);
    const char *const settings[] = {setting, "engine.workers=1"};
    brisk_engine_opts opts = {.no_files = true,
                              .no_disk = true,
                              .clock = &clock->base,
                              .settings = settings,
                              .setting_count = 2};
    brisk_engine *engine = NULL;
    CHECK_OK(brisk_engine_create(&opts, &engine, NULL));
    CHECK_OK(brisk_engine_register(engine, &work, NULL));
    return engine;
}

static brisk_job *run_job(brisk_engine *engine, fake_clock *clock)
{
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &work, clock, NULL, &job));
    CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL)); /* on the one worker: exact times */
    CHECK_OK(brisk_job_wait(job));
    return job;
}

static size_t slurp(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    size_t found = fread(text, 1, size - 1, file);
    (void)fclose(file);
    text[found] = '\0';
    return found;
}

static void check_same(const brisk_stage_run *a, const brisk_stage_run *b)
{
    assert_string_equal(a->workload, b->workload);
    assert_string_equal(a->answered_by, b->answered_by);
    CHECK(a->elapsed_ns == b->elapsed_ns && a->threads == b->threads && a->cores == b->cores &&
          a->workers == b->workers && a->profiled == b->profiled);
    CHECK_U64(a->stage_count, ==, b->stage_count);
    for (uint32_t i = 0; i < a->stage_count; i++) {
        const brisk_stage_times *x = &a->stages[i];
        const brisk_stage_times *y = &b->stages[i];
        assert_string_equal(x->name, y->name);
        CHECK(x->after[0] == y->after[0] && x->after[1] == y->after[1]);
        CHECK(x->start_ns == y->start_ns && x->ns == y->ns && x->ready_ns == y->ready_ns);
        CHECK(x->loops_ns == y->loops_ns && x->items_ns == y->items_ns && x->items == y->items);
        CHECK(x->cpu_ns == y->cpu_ns && x->delay_ns == y->delay_ns && x->bytes == y->bytes);
        CHECK(x->worker == y->worker && x->how == y->how && x->critical == y->critical);
        CHECK(x->blocking == y->blocking && x->computes == y->computes && x->tier_ns == y->tier_ns);
    }
}

static void test_job_and_log_agree(void **unused)
{
    (void)unused;
    temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "log");
    fake_clock clock;
    fake_clock_init(&clock, 1000);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *of_jobs = NULL;
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *of_log = NULL;
    CHECK_OK(brisk_stage_profile_create(NULL, &of_jobs));
    CHECK_OK(brisk_stage_profile_create(NULL, &of_log));
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = new_engine(&clock, path);
    for (int i = 0; i < 2; i++) { /* computed, then answered */
        BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = run_job(engine, &clock);
        CHECK_OK(brisk_stage_profile_add_job(of_jobs, job, NULL));
    }
    static char text[65536];
    size_t size = slurp(path, text, sizeof text);
    temp_dir_remove(dir);
    brisk_errinfo info = {.text = ""};
    if (brisk_stage_profile_add_log(of_log, "log", text, size, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    CHECK(brisk_stage_profile_count(of_jobs) == 2 && brisk_stage_profile_count(of_log) == 2);
    for (uint32_t i = 0; i < 2; i++) {
        check_same(brisk_stage_profile_at(of_jobs, i), brisk_stage_profile_at(of_log, i));
    }
    const brisk_stage_run *run = brisk_stage_profile_at(of_log, 0);
    CHECK_U64(run->stage_count, ==, 5);
    CHECK_U64(run->elapsed_ns, ==, 15 * MS); /* 1, 3 for the key, 5, 4, 2 */
    CHECK(run->profiled && run->threads == 1 && run->workers == 1);
    static const uint64_t after[] = {0, 1, 2, 16, 4}; /* write after cache_store after b */
    static const uint64_t start_ms[] = {0, 4, 9, 13, 13};
    static const uint64_t ready_ms[] = {0, 4, 9, 13, 13};
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_U64(run->stages[i].after[0], ==, after[i]);
        CHECK_U64(run->stages[i].start_ns, ==, start_ms[i] * MS);
        CHECK_U64(run->stages[i].ready_ns, ==, ready_ms[i] * MS);
        CHECK(run->stages[i].computes == (i != 0 && i != 3));
    }
    CHECK(run->stages[2].items == 3 && run->stages[2].loops_ns == 3 * MS &&
          run->stages[2].items_ns == 3 * MS);
    CHECK_U64(run->stages[0].bytes, ==, 100);
    const brisk_stage_run *hit = brisk_stage_profile_at(of_log, 1);
    assert_string_equal(hit->answered_by, "memory");
    CHECK(hit->stage_count == 4 && hit->stages[1].how == BRISK_HOW_ANSWERED);
    CHECK(hit->stages[3].after[0] == 4); /* without storing: after b */
    /* The key's 3 ms stay, whatever the stages do: 8 of 15. */
    brisk_whatif_change change = {.kind = BRISK_WHATIF_FASTER, .stage = "a", .amount = 5};
    brisk_whatif_answer told;
    CHECK_OK(brisk_whatif_ask(of_log, &change, 1, NULL, &told, NULL));
    CHECK(told.runs == 1);
}

static void test_a_log_that_cannot_be_written(void **unused)
{
    (void)unused;
    fake_clock clock;
    fake_clock_init(&clock, 1000);
    BRISK_CLEANUP(brisk_engine_destroy)
    brisk_engine *engine = new_engine(&clock, "/nonexistent/folder/log");
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = run_job(engine, &clock); /* still right */
    CHECK_U64(brisk_job_elapsed_ns(job), ==, 15 * MS);
}

static const char good_line[] =
    "{\"schema\":1,\"workload\":\"w\",\"elapsed_ns\":10,\"threads\":2,\"workers\":1,\"cores\":2,"
    "\"later\":{\"x\":[1]},\"stages\":[{\"stage\":\"a\",\"ns\":5,\"how\":\"computed\"},"
    "{\"stage\":\"b\",\"start_ns\":5,\"ns\":5,\"how\":\"computed\",\"after\":[\"a\"]}]}\n";

static void test_damaged_logs(void **unused)
{
    (void)unused;
    static const struct {
        const char *line;
        brisk_err err;
    } bad[] = {
        {"{\"schema\":2,\"workload\":\"w\",\"stages\":[]}", BRISK_ERR_MISMATCH},
        {"{\"workload\":\"w\",\"stages\":[]}", BRISK_ERR_MISMATCH},
        {"{\"schema\":1,\"stages\":[]}", BRISK_ERR_INVALID},
        {"{\"schema\":1,\"workload\":\"w\"}", BRISK_ERR_INVALID},
        {"{\"schema\":1,\"workload\":\"w\",\"elapsed_ns\":-1,\"stages\":[]}", BRISK_ERR_INVALID},
        {"{\"schema\":1,\"workload\":\"w\",\"threads\":99999999999,\"stages\":[]}",
         BRISK_ERR_INVALID},
        {"{\"schema\":1,\"workload\":\"w\",\"stages\":[{\"stage\":\"a\",\"after\":[\"b\"]}]}",
         BRISK_ERR_INVALID},
        {"{\"schema\":1,\"workload\":\"w\",\"stages\":[{\"stage\":\"a\",\"after\":[\"a\"]}]}",
         BRISK_ERR_CYCLE},
        {"{\"schema\":1,\"workload\":\"w\",\"stages\":[{\"stage\":\"a\",\"ns\":\"x\"}]}",
         BRISK_ERR_INVALID},
        {"{\"schema\":1,\"workload\":\"w\",\"stages\":[7]}", BRISK_ERR_INVALID},
        {"{\"schema\":1,\"workload\":\"w\",\"stages\":[{\"stage\":\"a\"", BRISK_ERR_INVALID},
        {"\x01\x02", BRISK_ERR_INVALID},
        {"[]", BRISK_ERR_MISMATCH},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = NULL;
        CHECK_OK(brisk_stage_profile_create(NULL, &p));
        char text[1024];
        int size = snprintf(text, sizeof text, "%s%s\n", good_line, bad[i].line);
        brisk_errinfo info = {.text = ""};
        brisk_err err = brisk_stage_profile_add_log(p, "file", text, (size_t)size, &info);
        if (err != bad[i].err || strncmp(info.text, "file", 4) != 0) {
            fail_msg("%s: %s, '%s'", bad[i].line, brisk_err_name(err), info.text);
        }
        CHECK_U64(brisk_stage_profile_count(p), ==, 1); /* the good line before it */
    }
}

/* --- the history -------------------------------------------------------------------------- */

static brisk_history *open_history(const char *path)
{
    brisk_history *history = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_history_open(&(brisk_history_opts){.path = path}, &history, &info);
    if (err == BRISK_ERR_UNSUPPORTED) {
        skip();
    }
    CHECK_OK(err);
    return history;
}

static void put_run(brisk_history *history, uint64_t a_ms)
{
    brisk_history_run run = {.workload = "kept", .duration_ns = (a_ms + 3) * MS, .outcome = "ok"};
    brisk_history_stage rows[] = {
        {.name = "a", .after = "", .duration_ns = a_ms * MS, .critical = 1, .outcome = "computed"},
        {.name = "b", .after = "", .duration_ns = 2 * MS, .worker = 1, .outcome = "computed"},
        {.name = "c",
         .after = "a,b",
         .start_ns = a_ms * MS,
         .duration_ns = 3 * MS,
         .critical = 1,
         .outcome = "computed"},
    };
    CHECK_OK(brisk_history_put_run(history, &run, rows, 3, NULL, NULL));
}

typedef struct found {
    uint32_t open;
    uint32_t gone;
    char first[256];
    double gain;
    bool complete;
} found;

static bool count_one(void *ctx, const brisk_history_opportunity *row)
{
    found *f = ctx;
    f->open += strcmp(row->state, "open") == 0 ? 1 : 0;
    f->gone += strcmp(row->state, "gone") == 0 ? 1 : 0;
    if (strcmp(row->key, "whatif:kept:a:2x") == 0) {
        (void)snprintf(f->first, sizeof f->first, "%s", row->description);
        f->gain = row->gain;
        f->complete = strcmp(row->source, "stage profile") == 0 &&
                      strcmp(row->category, "hotspot") == 0 && strcmp(row->subject, "kept") == 0 &&
                      row->gain_low <= row->gain && row->gain <= row->gain_high &&
                      strstr(row->evidence, "\"change\":\"a:2x\"") != NULL;
    }
    return true;
}

static void test_history(void **unused)
{
    (void)unused;
    temp_dir *dir = temp_dir_make();
    {
        BRISK_CLEANUP(brisk_history_close)
        brisk_history *history = open_history(temp_dir_path(dir, "history.sqlite3"));
        for (uint64_t i = 0; i < 12; i++) {
            put_run(history, 9 + i % 3);
        }
        BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = NULL;
        CHECK_OK(brisk_stage_profile_create(NULL, &p));
        brisk_history_filter filter = {.name = "kept"};
        CHECK_OK(brisk_stage_profile_add_history(p, history, &filter, NULL));
        CHECK_U64(brisk_stage_profile_count(p), ==, 12);
        const brisk_stage_run *run = brisk_stage_profile_at(p, 0);
        CHECK(run->stages[2].after[0] == 3 && run->threads == 2 && run->cores == 0);
        brisk_whatif_answer best[16];
        uint32_t count = 0;
        uint32_t put = 0;
        CHECK_OK(brisk_whatif_rank(p, NULL, best, 16, &count, NULL));
        CHECK_OK(brisk_whatif_remember(p, best, count, history, &put, NULL));
        found f = {.open = 0};
        CHECK_OK(brisk_history_opportunities(history, NULL, count_one, &f, NULL));
        CHECK(put > 0 && f.open == put && f.gone == 0 && f.complete);
        CHECK(fabs(f.gain - 5.0 / 13.0) < 1e-9);
        assert_string_equal(f.first,
                            "kept: were a 2 times as fast, the job would take 38.5 % less time.");
        /* Nothing of it holds any more. */
        CHECK_OK(brisk_whatif_remember(p, NULL, 0, history, &put, NULL));
        found later = {.open = 0};
        CHECK_OK(brisk_history_opportunities(history, NULL, count_one, &later, NULL));
        CHECK(put == 0 && later.open == 0 && later.gone == f.open && later.complete);
        filter.name = "nobody";
        CHECK(brisk_stage_profile_add_history(p, history, &filter, NULL) == BRISK_ERR_NOT_FOUND);
    }
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_and_log_agree),
        cmocka_unit_test(test_a_log_that_cannot_be_written),
        cmocka_unit_test(test_damaged_logs),
        cmocka_unit_test(test_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
