/*
 * test_engine.c -- creation: knobs, files, flags, a disk tier that cannot be, memory that ends.
 */
#include "engine/lab.h"

#include "support/fault_alloc.h"
#include "support/temp_dir.h"

static lab_log log_kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int catch_log(void **unused)
{
    (void)unused;
    log_kept.lines = 0;
    brisk_log_set_sink(lab_log_sink, &log_kept, NULL);
    return 0;
}

static int release_log(void **unused)
{
    (void)unused;
    brisk_log_set_sink(NULL, NULL, NULL);
    brisk_log_set_level(BRISK_LOG_WARNING);
    return 0;
}

static brisk_err create(const brisk_engine_opts *opts, brisk_engine **ret, brisk_errinfo *info)
{
    *info = (brisk_errinfo){.text = ""};
    return brisk_engine_create(opts, ret, info);
}

static void test_defaults(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = NULL;
    brisk_errinfo info;
    CHECK_OK(create(&(brisk_engine_opts){.no_files = true, .no_disk = true}, &engine, &info));
    const brisk_knobs *knobs = brisk_engine_knobs(engine);
    CHECK_U64(brisk_knobs_u64(knobs, "cache.memory.bytes"), ==, 64 << 20);
    CHECK_U64(brisk_knobs_u64(knobs, "cache.disk.bytes"), ==, UINT64_C(4) << 30);
    CHECK_U64(brisk_knobs_u64(knobs, "cache.disk.enabled"), ==, 1);
    CHECK_U64(brisk_knobs_u64(knobs, "cache.disk.zstd_level"), ==, 1);
    CHECK_U64(brisk_knobs_u64(knobs, "engine.workers"), ==, 0);
    CHECK_U64(brisk_knobs_u64(knobs, "log.level"), ==, 1);
    CHECK_U64(brisk_cache_tier_count(brisk_engine_cache(engine)), ==, 1);
    CHECK_U64(brisk_executor_workers(brisk_engine_executor(engine)), >=, 1);
    brisk_engine_destroy(NULL);
}

static void test_flags(void **unused)
{
    (void)unused;
    static const struct {
        const char *setting;
        brisk_err err;
        const char *words;
    } table[] = {
        {"engine.workers=3", BRISK_OK, ""},
        {"engine.workers=", BRISK_ERR_INVALID, "engine.workers"},
        {"engine.workers=257", BRISK_ERR_LIMIT, "256"},
        {"engine.workers", BRISK_ERR_INVALID, "KNOB=VALUE"},
        {"=3", BRISK_ERR_INVALID, "KNOB=VALUE"},
        {"engine.wrokers=3", BRISK_ERR_NOT_FOUND, "engine.workers"},
        {"nosuch.thing=1", BRISK_ERR_NOT_FOUND, "nosuch"},
        {"../../etc.x=1", BRISK_ERR_NOT_FOUND, ""},
        {"cache.size.mode=guess", BRISK_ERR_INVALID, "neither curve nor rule"},
        {"cache.memory.policy=lfu9", BRISK_ERR_INVALID, "lfu9"},
        {"log.level=3", BRISK_OK, ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        brisk_engine *engine = NULL;
        brisk_errinfo info;
        brisk_engine_opts opts = {
            .no_files = true, .no_disk = true, .settings = &table[i].setting, .setting_count = 1};
        assert_int_equal(create(&opts, &engine, &info), table[i].err);
        if (table[i].err != BRISK_OK) {
            CHECK(engine == NULL && strstr(info.text, table[i].words) != NULL);
        }
        brisk_engine_destroy(engine);
    }
}

/* Weakest first: system, user, project, environment, flag. */
static void test_files_and_their_order(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    CHECK(mkdir(temp_dir_path(dir, "brisk"), 0700) == 0);
    temp_write_text(temp_dir_path(dir, "brisk/brisk.yaml"),
                    "engine: {workers: 5}\ncache: {memory: {bytes: 1MiB}, disk: {bytes: 7MiB}}\n");
    const char *project = temp_dir_path(dir, "mine.yaml");
    temp_write_text(project, "cache:\n  memory:\n    bytes: 2MiB\n");
    CHECK(setenv("XDG_CONFIG_HOME", dir->path, 1) == 0);
    const char *settings[] = {"cache.disk.bytes=9MiB"};
    brisk_engine_opts opts = {
        .no_disk = true, .config_path = project, .settings = settings, .setting_count = 1};
    brisk_engine *engine = NULL;
    brisk_errinfo info;
    CHECK_OK(create(&opts, &engine, &info));
    const brisk_knobs *knobs = brisk_engine_knobs(engine);
    CHECK_U64(brisk_knobs_u64(knobs, "engine.workers"), ==, 5);
    CHECK(brisk_knobs_source(knobs, "engine.workers") == BRISK_KNOB_USER_FILE);
    CHECK_U64(brisk_knobs_u64(knobs, "cache.memory.bytes"), ==, 2 << 20);
    CHECK_U64(brisk_knobs_u64(knobs, "cache.disk.bytes"), ==, 9 << 20);
    brisk_engine_destroy(engine);

    temp_write_text(project, "cache:\n  memory:\n    byte: 2MiB\n");
    engine = NULL;
    CHECK(create(&opts, &engine, &info) == BRISK_ERR_INVALID);
    CHECK(strstr(info.text, "mine.yaml:3") != NULL);
    temp_write_text(project, "nosuchmodule: {x: 1}\n");
    CHECK(create(&opts, &engine, &info) == BRISK_ERR_INVALID);
    CHECK(strstr(info.text, "mine.yaml:1") != NULL);
    opts.config_path = temp_dir_path(dir, "missing.yaml");
    CHECK(create(&opts, &engine, &info) == BRISK_ERR_NOT_FOUND);
    CHECK(strstr(info.text, "missing.yaml") != NULL);

    /* Empty and relative folders are no folders. */
    opts.config_path = NULL;
    opts.setting_count = 0;
    static const char *const ignored[] = {"", "relative/folder"};
    for (int i = 0; i < 2; i++) {
        CHECK(setenv("XDG_CONFIG_HOME", ignored[i], 1) == 0);
        CHECK(setenv("HOME", "/nonexistent", 1) == 0);
        CHECK_OK(create(&opts, &engine, &info));
        CHECK_U64(brisk_knobs_u64(brisk_engine_knobs(engine), "engine.workers"), ==, 0);
        brisk_engine_destroy(engine);
        engine = NULL;
    }
    CHECK(setenv("XDG_CONFIG_HOME", "/nonexistent", 1) == 0);
}

static void test_where_the_disk_tier_is(void **unused)
{
    (void)unused;
    static const struct {
        const char *xdg;
        const char *home;
        const char *path;
    } table[] = {
        {"/x/cache", "/h", "/x/cache/brisk"},
        {"", "/h", "/h/.cache/brisk"},
        {"relative", "/h", "/h/.cache/brisk"},
        {NULL, "/h", "/h/.cache/brisk"},
        {NULL, "", ""},
        {NULL, NULL, ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        (void)(table[i].xdg != NULL ? setenv("XDG_CACHE_HOME", table[i].xdg, 1)
                                    : unsetenv("XDG_CACHE_HOME"));
        (void)(table[i].home != NULL ? setenv("HOME", table[i].home, 1) : unsetenv("HOME"));
        brisk_engine *engine = NULL;
        brisk_errinfo info;
        CHECK_OK(create(&(brisk_engine_opts){.no_files = true, .no_disk = true}, &engine, &info));
        assert_string_equal(brisk_engine_cache_path(engine), table[i].path);
        brisk_engine_destroy(engine);
    }
    brisk_engine *engine = NULL; /* nowhere: a line of log, and memory only */
    brisk_errinfo info;
    CHECK_OK(create(&(brisk_engine_opts){.no_files = true}, &engine, &info));
    CHECK_U64(brisk_cache_tier_count(brisk_engine_cache(engine)), ==, 1);
    CHECK(log_kept.lines == 1 && strstr(log_kept.last, "HOME") != NULL);
    brisk_engine_destroy(engine);
}

static brisk_err create_at(const char *path, const char *setting, brisk_engine **ret)
{
    char where[4096 + 32]; /* a path and the name of its knob */
    (void)snprintf(where, sizeof where, "cache.disk.path=%s", path);
    const char *settings[] = {where, setting};
    brisk_engine_opts opts = {
        .no_files = true, .settings = settings, .setting_count = setting != NULL ? 2 : 1};
    brisk_errinfo info;
    brisk_err err = create(&opts, ret, &info);
    return err == BRISK_OK ? brisk_engine_register(*ret, &lab, &info) : err;
}

static void test_disk_tier_that_cannot_be(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *file = temp_dir_path(dir, "file");
    temp_write_text(file, "not a folder");
    const char *places[] = {file, temp_dir_path(dir, "file/below"), "/proc/nowhere"};
    for (size_t i = 0; i < 3; i++) {
        brisk_engine *engine = NULL;
        int lines = log_kept.lines;
        CHECK_OK(create_at(places[i], NULL, &engine));
        CHECK_U64(brisk_cache_tier_count(brisk_engine_cache(engine)), ==, 1);
        CHECK_U64(log_kept.lines, >, lines);
        lab_request request = {.input = "x"};
        CHECK_OK(lab_run(engine, &request, NULL));
        assert_string_equal(request.result, "answer to x");
        brisk_engine_destroy(engine);
    }
    CHECK(temp_holds(file, "not a folder", 12));
}

/* A second engine, as the next process would be, is answered from disk. */
static void test_answers_survive_the_engine(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *place = temp_dir_path(dir, "cache");
    lab_request request = {.input = "x"};
    for (int round = 0; round < 3; round++) {
        brisk_engine *engine = NULL;
        CHECK_OK(create_at(place, round == 2 ? "cache.disk.enabled=off" : NULL, &engine));
        brisk_job *job = lab_job(engine, &request, NULL);
        CHECK_OK(brisk_job_run(job));
        if (round == 1) {
            assert_string_equal(brisk_job_answered_by(job), "disk");
            CHECK_U64(lab_row(job, "left").tier_ns, >, 0);
        } else {
            CHECK(brisk_job_answered_by(job) == NULL);
        }
        brisk_job_destroy(job);
        assert_string_equal(request.result, "answer to x");
        brisk_engine_destroy(engine);
    }
    CHECK(atomic_load(&request.computed) == 2);
}

/* Who needs no cache never touches its folder. */
static void test_disk_tier_opens_late(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *place = temp_dir_path(dir, "cache");
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = NULL;
    CHECK_OK(create_at(place, NULL, &engine));
    lab_request request = {.input = "x"};
    CHECK_OK(lab_run(engine, &request, &(brisk_job_opts){.no_cache = true}));
    CHECK(access(place, F_OK) != 0);
    CHECK_OK(lab_run(engine, &request, NULL));
    CHECK(access(place, F_OK) == 0);
    CHECK_U64(brisk_cache_tier_count(brisk_engine_cache(engine)), ==, 2);
}

static void *ask_for_cache(void *arg)
{
    brisk_engine *engine = arg;
    return brisk_cache_tier(brisk_engine_cache(engine), 1);
}

static void test_disk_tier_opens_once(void **unused)
{
    (void)unused;
    enum { THREADS = 4, ROUNDS = 20 };
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *place = temp_dir_path(dir, "cache");
    for (int round = 0; round < ROUNDS; round++) {
        BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = NULL;
        CHECK_OK(create_at(place, NULL, &engine));
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_create(&threads[i], NULL, ask_for_cache, engine) == 0);
        }
        for (int i = 0; i < THREADS; i++) {
            void *tier;
            CHECK(pthread_join(threads[i], &tier) == 0);
            CHECK(tier != NULL && tier == brisk_cache_tier(brisk_engine_cache(engine), 1));
        }
        CHECK_U64(brisk_cache_tier_count(brisk_engine_cache(engine)), ==, 2);
    }
}

/* --- memory that ends --------------------------------------------------------------------- */

/* The failing allocator is for one thread; here a worker allocates too. */
typedef struct shared_fault {
    brisk_alloc base; /* first */
    pthread_mutex_t lock;
    fault_alloc fault;
} shared_fault;

static void *shared_acquire(void *ctx, size_t size, size_t align)
{
    shared_fault *shared = ctx;
    pthread_mutex_lock(&shared->lock);
    void *ptr = fault_acquire(&shared->fault, size, align);
    pthread_mutex_unlock(&shared->lock);
    return ptr;
}

static void shared_release(void *ctx, void *ptr, size_t size, size_t align)
{
    shared_fault *shared = ctx;
    pthread_mutex_lock(&shared->lock);
    fault_release(&shared->fault, ptr, size, align);
    pthread_mutex_unlock(&shared->lock);
}

static brisk_err everything(const brisk_alloc *alloc)
{
    const char *settings[] = {"engine.workers=1", "cache.memory.bytes=128KiB"};
    brisk_engine_opts opts = {.no_files = true,
                              .no_disk = true,
                              .alloc = alloc,
                              .settings = settings,
                              .setting_count = 2};
    brisk_engine *engine = NULL;
    brisk_errinfo info;
    brisk_err err = create(&opts, &engine, &info);
    if (err != BRISK_OK) {
        CHECK(engine == NULL && info.text[0] != '\0');
        return err;
    }
    brisk_job *job = NULL;
    lab_request request = {.input = "x"};
    err = brisk_engine_register(engine, &lab, &info);
    if (err == BRISK_OK) {
        err = brisk_job_create(engine, &lab, &request, NULL, &job);
    }
    if (err == BRISK_OK) {
        err = brisk_job_run(job);
        if (err == BRISK_OK) {
            assert_string_equal(request.result, "answer to x");
        }
    }
    brisk_job_destroy(job);
    CHECK(atomic_load(&request.released) == (job != NULL ? 1 : 0));
    brisk_engine_destroy(engine);
    return err;
}

static void *refuse_large(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    const brisk_alloc *libc = brisk_alloc_libc();
    return size < UINT64_C(1) << 30 ? libc->acquire(libc->ctx, size, align) : NULL;
}

static void release_any(void *ctx, void *ptr, size_t size, size_t align)
{
    (void)ctx;
    const brisk_alloc *libc = brisk_alloc_libc();
    libc->release(libc->ctx, ptr, size, align);
}

/* More than there is: a line that names the knob, and the disk tier alone. */
static void test_without_memory_tier(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char where[4096 + 32];
    (void)snprintf(where, sizeof where, "cache.disk.path=%s", temp_dir_path(dir, "cache"));
    const char *settings[] = {where, "cache.memory.bytes=1TiB", "engine.workers=1"};
    brisk_alloc alloc = {.acquire = refuse_large, .release = release_any};
    brisk_engine_opts opts = {
        .no_files = true, .settings = settings, .setting_count = 3, .alloc = &alloc};
    BRISK_CLEANUP(brisk_engine_destroy) brisk_engine *engine = NULL;
    brisk_errinfo info;
    CHECK_OK(create(&opts, &engine, &info));
    CHECK(log_kept.lines == 1 && strstr(log_kept.last, "cache.memory.bytes") != NULL);
    CHECK_OK(brisk_engine_register(engine, &lab, &info));
    lab_request request = {.input = "x"};
    CHECK_OK(lab_run(engine, &request, NULL));
    CHECK_OK(lab_run(engine, &request, NULL));
    CHECK(atomic_load(&request.computed) == 1);
    CHECK_U64(brisk_cache_tier_count(brisk_engine_cache(engine)), ==, 1);
}

static void test_every_allocation_may_fail(void **unused)
{
    (void)unused;
    uint64_t fail_after = 0;
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t successes = 0; /* a cache that cannot store is no error, so look further */
    for (; successes < 20; fail_after++) {
        shared_fault shared = {.lock = PTHREAD_MUTEX_INITIALIZER};
        shared.base =
            (brisk_alloc){.acquire = shared_acquire, .release = shared_release, .ctx = &shared};
        fault_alloc_init(&shared.fault, fail_after);
        err = everything(&shared.base);
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        CHECK_U64(shared.fault.bytes_held, ==, 0);
        successes = err == BRISK_OK ? successes + 1 : 0;
    }
    CHECK_U64(fail_after, >, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test_setup_teardown(test_flags, catch_log, release_log),
        cmocka_unit_test(test_files_and_their_order),
        cmocka_unit_test_setup_teardown(test_where_the_disk_tier_is, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_disk_tier_that_cannot_be, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_answers_survive_the_engine, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_disk_tier_opens_late, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_disk_tier_opens_once, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_without_memory_tier, catch_log, release_log),
        cmocka_unit_test_setup_teardown(test_every_allocation_may_fail, catch_log, release_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
