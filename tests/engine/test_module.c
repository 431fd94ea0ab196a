/*
 * test_module.c -- modules: found, believed or refused; and the example module, loaded as a
 * stranger's, through pipeline, cache, single flight, cancellation, deadline and trace.
 *
 * Public headers and the shared library only, as any program outside would have them: this is the
 * proof that the engine needs none of its own workloads.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <brisk/brisk.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fake_clock.h"
#include "workload/wordcount.h"

BRISK_DEFINE_CLEANUP(brisk_engine, brisk_engine_destroy)

static const char text[] = "one two\nthree, four: five\n6 seven8 ";
enum { WORDS = 7, LINES = 2 };

/* --- loading ------------------------------------------------------------------------------ */

static void test_names(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",
        "A",
        "1a",
        "_a",
        "a-b",
        "a.b",
        "../wordcount",
        "a/b",
        "wordcount ",
        "w\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const brisk_module *module = NULL;
        brisk_errinfo info = {.text = ""};
        CHECK(brisk_module_load(bad[i], &module, &info) == BRISK_ERR_INVALID);
        CHECK(module == NULL && info.text[0] != '\0');
    }
    const brisk_module *module = NULL;
    brisk_errinfo info = {.text = ""};
    CHECK(brisk_module_load("nosuchmodule", &module, &info) == BRISK_ERR_NOT_FOUND);
    CHECK(strstr(info.text, "/nosuchmodule.so") != NULL);
}

static void test_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        brisk_err err;
        const char *words;
    } table[] = {
        {"odd_abi", BRISK_ERR_ABI, "was built for brisk ABI 7, this brisk has 2; rebuild it"},
        {"odd_size", BRISK_ERR_CORRUPT, "size"},
        {"odd_tiny", BRISK_ERR_CORRUPT, "no descriptor"},
        {"odd_truncated", BRISK_ERR_CORRUPT, "size"},
        {"odd_name", BRISK_ERR_CORRUPT, "another name"},
        {"odd_workload", BRISK_ERR_CORRUPT, "workload"},
        {"odd_knob", BRISK_ERR_CORRUPT, "knob"},
        {"odd_command", BRISK_ERR_CORRUPT, "command"},
        {"odd_count", BRISK_ERR_CORRUPT, "number"},
        {"odd_no_descriptor", BRISK_ERR_CORRUPT, "brisk_module_descriptor"},
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
        {"odd_unresolved", BRISK_ERR_IO, "brisk_test_nowhere"},
#endif
    };
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = NULL;
    brisk_engine_opts opts = {.no_files = true, .no_disk = true};
    CHECK_OK(brisk_engine_create(&opts, &engine, NULL));
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int again = 0; again < 2; again++) {
            const brisk_workload *workload = NULL;
            brisk_errinfo info = {.text = ""};
            brisk_err err = brisk_engine_load(engine, table[i].name, &workload, &info);
            if (err != table[i].err || strstr(info.text, table[i].words) == NULL ||
                strstr(info.text, table[i].name) == NULL) {
                fail_msg("%s: %s: %s", table[i].name, brisk_err_name(err), info.text);
            }
            CHECK(workload == NULL && strchr(info.text, '\n') == NULL);
        }
    }
}

static void *load_once(void *arg)
{
    (void)arg;
    const brisk_module *module = NULL;
    return brisk_module_load("wordcount", &module, NULL) == BRISK_OK ? (void *)(uintptr_t)module
                                                                     : NULL;
}

static void test_loaded_once_from_any_thread(void **unused)
{
    (void)unused;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, load_once, NULL) == 0);
    }
    void *first = load_once(NULL);
    CHECK(first != NULL);
    for (int i = 0; i < THREADS; i++) {
        void *module;
        CHECK(pthread_join(threads[i], &module) == 0);
        CHECK(module == first);
    }
}

/* --- the example module ------------------------------------------------------------------- */

typedef struct watch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_barrier_t *meet; /* parts wait for each other */
    brisk_job *cancel;       /* at counting_lines */
    fake_clock *late;        /* likewise */
    bool hold;               /* counting_lines waits until `open` */
    bool held;
    bool open;
    int counted;
    int reported;
} watch;

#define WATCH_INIT                                                                                 \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                     \
    }

static void progress(void *ctx, const char *what)
{
    watch *w = ctx;
    if (w->meet != NULL && strcmp(what, "part") == 0) {
        (void)pthread_barrier_wait(w->meet);
    }
    pthread_mutex_lock(&w->lock);
    w->reported += strcmp(what, "reporting") == 0 ? 1 : 0;
    if (strcmp(what, "counting_lines") == 0) {
        w->counted++;
        if (w->cancel != NULL) {
            brisk_job_cancel(w->cancel);
        }
        if (w->late != NULL) {
            fake_clock_advance(w->late, FAKE_CLOCK_SECOND);
        }
        w->held = true;
        pthread_cond_broadcast(&w->changed);
        while (w->hold && !w->open) {
            pthread_cond_wait(&w->changed, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
}

static brisk_engine *make_engine(const brisk_clock *clock, const brisk_workload **workload)
{
    static const char *const settings[] = {"engine.workers=2"};
    brisk_engine_opts opts = {.no_files = true,
                              .no_disk = true,
                              .settings = settings,
                              .setting_count = 1,
                              .clock = clock};
    brisk_engine *engine = NULL;
    CHECK_OK(brisk_engine_create(&opts, &engine, NULL));
    brisk_errinfo info = {.text = ""};
    if (brisk_engine_load(engine, "wordcount", workload, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return engine;
}

static wordcount_request request_of(watch *w)
{
    return (wordcount_request){
        .text = text, .size = strlen(text), .progress = w != NULL ? progress : NULL, .ctx = w};
}

static void check_result(brisk_job *job)
{
    const wordcount_result *result = brisk_job_state(job);
    CHECK_U64(result->words, ==, WORDS);
    CHECK_U64(result->lines, ==, LINES);
    assert_string_equal(result->text, "2 lines, 7 words");
}

static void test_pipeline_and_cache(void **unused)
{
    (void)unused;
    const brisk_workload *workload = NULL;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine(NULL, &workload);
    watch w = WATCH_INIT;
    for (uint32_t parts = 0; parts <= 64; parts++) {
        wordcount_request request = request_of(&w);
        request.parts = parts;
        brisk_job *job = NULL;
        brisk_job_opts opts = {.no_cache = parts > 0 && parts % 2 == 0};
        CHECK_OK(brisk_job_create(engine, workload, &request, &opts, &job));
        CHECK_OK(brisk_job_run(job));
        check_result(job);
        const char *tier = brisk_job_answered_by(job);
        if (parts == 0 || opts.no_cache) {
            CHECK(tier == NULL);
        } else {
            assert_string_equal(tier, "memory");
        }
        brisk_job_destroy(job);
    }
    CHECK(w.counted == 1 + 32 && w.reported == 65);
    wordcount_request request = request_of(&w);
    request.parts = 65;
    brisk_job *job = NULL;
    CHECK(brisk_job_create(engine, workload, &request, NULL, &job) == BRISK_ERR_LIMIT);
    assert_string_equal(brisk_job_error_text(job), "at most 64 parts, not 65");
    brisk_job_destroy(job);
}

static void test_single_flight(void **unused)
{
    (void)unused;
    const brisk_workload *workload = NULL;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine(NULL, &workload);
    enum { JOBS = 20 };
    watch w = WATCH_INIT;
    w.hold = true;
    wordcount_request request = request_of(&w);
    brisk_job *jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        CHECK_OK(brisk_job_create(engine, workload, &request, NULL, &jobs[i]));
        CHECK_OK(brisk_job_submit(jobs[i], NULL, NULL, NULL));
    }
    pthread_mutex_lock(&w.lock);
    while (!w.held) {
        pthread_cond_wait(&w.changed, &w.lock);
    }
    w.open = true;
    pthread_cond_broadcast(&w.changed);
    pthread_mutex_unlock(&w.lock);
    for (int i = 0; i < JOBS; i++) {
        CHECK_OK(brisk_job_wait(jobs[i]));
        check_result(jobs[i]);
        brisk_job_destroy(jobs[i]);
    }
    CHECK(w.counted == 1 && w.reported == JOBS);
    brisk_engine_stats stats;
    brisk_engine_read_stats(engine, &stats);
    CHECK_U64(stats.computed, ==, 1);
    CHECK_U64(stats.shared + stats.answered, ==, JOBS - 1);
}

static void test_cancellation(void **unused)
{
    (void)unused;
    const brisk_workload *workload = NULL;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine(NULL, &workload);
    watch w = WATCH_INIT;
    wordcount_request request = request_of(&w);
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, workload, &request, NULL, &job));
    w.cancel = job;
    CHECK(brisk_job_run(job) == BRISK_ERR_CANCELLED);
    brisk_job_destroy(job);
    CHECK(w.reported == 0);
    w.cancel = NULL; /* nothing of it was stored */
    CHECK_OK(brisk_job_create(engine, workload, &request, NULL, &job));
    CHECK_OK(brisk_job_run(job));
    check_result(job);
    CHECK(brisk_job_answered_by(job) == NULL);
    brisk_job_destroy(job);
}

static void test_deadline(void **unused)
{
    (void)unused;
    fake_clock clock;
    fake_clock_init(&clock, 10);
    const brisk_workload *workload = NULL;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine(&clock.base, &workload);
    watch w = WATCH_INIT;
    w.late = &clock;
    wordcount_request request = request_of(&w);
    brisk_job_opts opts = {.deadline_ns = FAKE_CLOCK_SECOND};
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, workload, &request, &opts, &job));
    CHECK(brisk_job_run(job) == BRISK_ERR_DEADLINE);
    brisk_job_destroy(job);
    CHECK(w.reported == 0);
    opts.deadline_ns = 2 * FAKE_CLOCK_SECOND;
    CHECK_OK(brisk_job_create(engine, workload, &request, &opts, &job));
    CHECK_OK(brisk_job_run(job));
    check_result(job);
    brisk_job_destroy(job);
}

static brisk_span span_named(const brisk_trace *trace, const char *name)
{
    for (uint32_t i = 0; i < brisk_trace_count(trace); i++) {
        if (strcmp(brisk_trace_at(trace, i).name, name) == 0) {
            return brisk_trace_at(trace, i);
        }
    }
    fail_msg("no span %s", name);
    return (brisk_span){0};
}

/* Neither part goes on before the other has begun, so the trace must show both at once. */
static void test_trace_shows_two_parts_at_once(void **unused)
{
    (void)unused;
    const brisk_workload *workload = NULL;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine(NULL, &workload);
    pthread_barrier_t meet;
    CHECK(pthread_barrier_init(&meet, NULL, 2) == 0);
    watch w = WATCH_INIT;
    w.meet = &meet;
    wordcount_request request = request_of(&w);
    request.parts = 2;
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, workload, &request, NULL, &job));
    CHECK_OK(brisk_job_submit(job, NULL, NULL, NULL));
    CHECK_OK(brisk_job_wait(job));
    check_result(job);
    const brisk_trace *trace = brisk_job_trace(job);
    brisk_span stage = span_named(trace, "counting_words");
    brisk_span first = span_named(trace, "part 0");
    brisk_span second = span_named(trace, "part 1");
    CHECK(first.parent == stage.id && second.parent == stage.id);
    CHECK(first.worker >= 0 && second.worker >= 0 && first.worker != second.worker);
    CHECK_U64(first.start_ns, <=, second.end_ns);
    CHECK_U64(second.start_ns, <=, first.end_ns);
    CHECK_U64(first.bytes + second.bytes, ==, strlen(text));
    brisk_job_destroy(job);
    (void)pthread_barrier_destroy(&meet);
}

/* --- its command -------------------------------------------------------------------------- */

static brisk_err give_engine(const brisk_invocation *invocation, brisk_engine **ret)
{
    *ret = invocation->private_;
    return BRISK_OK;
}

static void test_command(void **unused)
{
    (void)unused;
    const brisk_workload *workload = NULL;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = make_engine(NULL, &workload);
    const brisk_module *module = NULL;
    CHECK_OK(brisk_module_load("wordcount", &module, NULL));
    CHECK_U64(module->command_count, ==, 1);
    char path[] = "/tmp/brisk-words-XXXXXX";
    int fd = mkstemp(path);
    FILE *input = fdopen(fd, "w");
    CHECK(input != NULL && fputs(text, input) >= 0 && fclose(input) == 0);
    char out[256] = "";
    FILE *file = fmemopen(out, sizeof out, "w");
    char *argv[] = {path, NULL};
    brisk_invocation invocation = {.command = module->commands[0],
                                   .argc = 1,
                                   .argv = argv,
                                   .out = file,
                                   .err = file,
                                   .engine = give_engine,
                                   .private_ = engine};
    CHECK(module->commands[0]->run(&invocation) == BRISK_EXIT_OK);
    CHECK(remove(path) == 0);
    CHECK(module->commands[0]->run(&invocation) == BRISK_EXIT_FAILED); /* it is gone */
    CHECK(fclose(file) == 0);
    CHECK(strncmp(out, "2 lines, 7 words\n", 17) == 0);
    CHECK(strstr(out, path) != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_loaded_once_from_any_thread),
        cmocka_unit_test(test_pipeline_and_cache),
        cmocka_unit_test(test_single_flight),
        cmocka_unit_test(test_cancellation),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_trace_shows_two_parts_at_once),
        cmocka_unit_test(test_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
