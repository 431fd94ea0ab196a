/*
 * test_taps.c -- an engine that records what its cache is asked for, and one that looks ahead.
 */
#include <brisk/metrics.h>
#include <brisk/record.h>

#include "engine/lab.h"
#include "support/temp_dir.h"

static lab_log log_kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static brisk_engine *open_engine(const char *const *settings, uint32_t count)
{
    brisk_engine *engine = NULL;
    brisk_engine_opts opts = {.no_files = true, .settings = settings, .setting_count = count};
    CHECK_OK(brisk_engine_create(&opts, &engine, NULL));
    return engine;
}

static bool ask(brisk_engine *engine, uint64_t number)
{
    brisk_key key = brisk_key_of(&number, sizeof number);
    brisk_hit hit;
    bool found = brisk_cache_get(brisk_engine_cache(engine), &key, 0, &hit);
    if (found) {
        brisk_value_unref(hit.value);
    }
    return found;
}

static void store(brisk_engine *engine, uint64_t number, size_t size)
{
    static const char bytes[1000];
    brisk_key key = brisk_key_of(&number, sizeof number);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(bytes, size, NULL, &value));
    brisk_cache_put(brisk_engine_cache(engine), &key, value, NULL);
    brisk_value_unref(value);
}

static void test_records(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    char setting[PATH_MAX + 32];
    (void)snprintf(setting, sizeof setting, "cache.record.path=%s", path);
    const char *settings[] = {setting, "cache.record.keys=on", "cache.disk.enabled=off"};
    brisk_engine *engine = open_engine(settings, 3);
    assert_int_equal(access(path, F_OK), -1); /* not before the cache is used */
    CHECK(!ask(engine, 1));
    store(engine, 1, 100);
    CHECK(ask(engine, 1));
    brisk_engine_destroy(engine);
    brisk_recording *recording = NULL;
    brisk_record record;
    CHECK_OK(brisk_recording_open(path, NULL, &recording, NULL));
    CHECK_OK(brisk_recording_next(recording, &record));
    CHECK(!record.hit && record.key_size == 8 && record.op == BRISK_RECORD_GET);
    CHECK_OK(brisk_recording_next(recording, &record));
    CHECK(record.hit && record.tier == 0 && record.size == 100);
    assert_int_equal(brisk_recording_next(recording, &record), BRISK_ERR_NOT_FOUND);
    brisk_recording_close(recording);
}

static void test_cannot_record(void **unused)
{
    (void)unused;
    log_kept.lines = 0;
    brisk_log_set_sink(lab_log_sink, &log_kept, NULL);
    const char *settings[] = {"cache.record.path=/nonexistent/a.rec", "cache.disk.enabled=off"};
    brisk_engine *engine = open_engine(settings, 2);
    CHECK(!ask(engine, 1));
    store(engine, 1, 100);
    CHECK(ask(engine, 1));
    brisk_engine_destroy(engine);
    CHECK_U64(log_kept.lines, ==, 1);
    brisk_log_set_sink(NULL, NULL, NULL);
}

static uint64_t figure(brisk_metrics *metrics, const char *name)
{
    brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    const brisk_metric_value *v = brisk_snapshot_find(snapshot, name, NULL, 0);
    CHECK(v != NULL);
    uint64_t count = v->count;
    brisk_snapshot_unref(snapshot);
    return count;
}

/* A loop that memory is too small for: what comes next is brought from disk. */
static void test_looks_ahead(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char setting[PATH_MAX + 32];
    (void)snprintf(setting, sizeof setting, "cache.disk.path=%s", temp_dir_path(dir, "disk"));
    const char *settings[] = {setting, "cache.memory.bytes=256KiB", "cache.memory.policy=lru",
                              "cache.predict.enabled=on", "cache.disk.zstd_level=0"};
    brisk_engine *engine = open_engine(settings, 5);
    for (uint64_t i = 0; i < 1000; i++) {
        store(engine, i, 900);
    }
    for (uint64_t i = 0; i < 5000; i++) {
        CHECK(ask(engine, i % 1000));
        brisk_prefetcher_drain(engine->taps.prefetcher);
    }
    brisk_predict_stats stats;
    brisk_predictor_read_stats(engine->taps.predictor, &stats);
    CHECK_U64(stats.requests, ==, 5000); /* what was brought is none */
    CHECK_U64(stats.loads, >, 1000);
    CHECK_U64(stats.used * 10, >=, stats.loads * 9);
    brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    CHECK_OK(brisk_engine_watch(engine, metrics));
    CHECK_U64(stats.guesses, >, 0);
    CHECK_U64(figure(metrics, "predict.guesses"), ==, stats.guesses);
    CHECK_U64(figure(metrics, "predict.right"), ==, stats.right);
    CHECK_U64(figure(metrics, "predict.loads"), ==, stats.loads);
    CHECK_U64(figure(metrics, "predict.used"), ==, stats.used);
    CHECK_U64(figure(metrics, "predict.late"), ==, stats.late);
    CHECK_U64(figure(metrics, "predict.wasted"), ==, stats.wasted);
    brisk_engine_unwatch(engine);
    brisk_metrics_destroy(metrics);
    brisk_engine_destroy(engine);
}

/* What is asked for would fit in a small part of the tier, and then in no tier of its first size. */
static void test_finds_its_size(void **unused)
{
    (void)unused;
    const char *settings[] = {"cache.disk.enabled=off", "cache.memory.bytes=8MiB",
                              "cache.memory.max=16MiB", "cache.target_hit_rate=90"};
    brisk_engine *engine = open_engine(settings, 4);
    brisk_sizing *sizing = brisk_engine_sizing(engine);
    CHECK(sizing != NULL);
    brisk_sizing_report report;
    uint64_t size[2] = {0, 0};
    for (uint64_t phase = 0; phase < 2; phase++) {
        uint64_t keys = phase == 0 ? 1000 : 12000;
        for (uint64_t i = 0; i < 200000; i++) {
            uint64_t number = i % keys;
            if (!ask(engine, number)) {
                store(engine, number, 900);
            }
            if (i % 1000 == 0) {
                (void)brisk_sizing_tend(sizing); /* as the background does, every second */
            }
        }
        brisk_sizing_read(sizing, &report);
        size[phase] = report.size;
    }
    CHECK_U64(size[0], <, 3 << 20);
    CHECK_U64(size[1], >, 10 << 20);
    CHECK_U64(size[1], <=, 16 << 20);
    CHECK_U64(report.resizes, >=, 2);
    CHECK(strstr(report.text, "target 90 % reached with 1") != NULL);
    brisk_engine_destroy(engine);
}

static void test_keeps_its_size(void **unused)
{
    (void)unused;
    const char *settings[] = {"cache.disk.enabled=off", "cache.memory.max=1TiB"};
    brisk_engine *engine = open_engine(settings, 2);
    CHECK(brisk_engine_sizing(engine) == NULL);
    brisk_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),        cmocka_unit_test(test_cannot_record),
        cmocka_unit_test(test_looks_ahead),    cmocka_unit_test(test_finds_its_size),
        cmocka_unit_test(test_keeps_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
