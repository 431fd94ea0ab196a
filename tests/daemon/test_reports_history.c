/*
 * test_reports_history.c -- runs, waterfalls, benchmarks with their changes, gains estimated and measured, from a database.
 */
#include <stdlib.h>
#include <string.h>

#include <brisk/arena.h>
#include <brisk/history.h>
#include <brisk/json_read.h>

#include "daemon/api/reports.h"
#include "daemon/server.h"
#include "support/check.h"

static const uint64_t second_ns = 1000000000;
static const uint64_t start_ns = UINT64_C(1700000000000000000);
static server node;
static brisk_arena *arena;

static const brisk_json_node *ask(brisk_err (*write)(const report_query *q, brisk_str *text,
                                                     report_result *ret),
                                  const char *rest, const char *name)
{
    report_query q = {.server = &node};
    report_result result = {.status = 0};
    brisk_str text;
    const brisk_json_node *root;
    brisk_errinfo info = {.text = ""};
    (void)snprintf(q.rest, sizeof q.rest, "%s", rest);
    (void)snprintf(q.name, sizeof q.name, "%s", name);
    brisk_str_init(&text, NULL, 64 << 20);
    brisk_err err = write(&q, &text, &result);
    if (err != BRISK_OK) {
        brisk_str_deinit(&text);
        return NULL;
    }
    char *copy = brisk_arena_copy(arena, brisk_str_text(&text), brisk_str_size(&text));
    CHECK(copy != NULL);
    err = brisk_json_read(copy, brisk_str_size(&text), brisk_arena_as_alloc(arena), &root, &info);
    if (err != BRISK_OK) {
        fail_msg("%s: %s", info.text, copy);
    }
    brisk_str_deinit(&text);
    return root;
}

static double number(const brisk_json_node *object, const char *key)
{
    const brisk_json_node *node_of = brisk_json_get(object, key);
    if (node_of == NULL || node_of->kind != BRISK_JSON_NUMBER) {
        fail_msg("%s is no number", key);
        return 0;
    }
    char text[64];
    (void)snprintf(text, sizeof text, "%.*s", (int)node_of->size, node_of->text);
    return strtod(text, NULL);
}

static void put_runs(brisk_history *history)
{
    brisk_errinfo info;
    for (uint64_t i = 0; i < 20; i++) {
        /* Ten slow ones, then, after something was applied, ten that take 60 % of the time. */
        brisk_history_run run = {.wall_ns = start_ns + i * second_ns,
                                 .duration_ns = i < 10 ? 1000 + i : 600 + i,
                                 .workload = "rom",
                                 .outcome = "ok"};
        brisk_history_stage stages[] = {
            {.name = "read", .duration_ns = 10, .worker = -1, .critical = 1, .outcome = "computed"},
            {.name = "patch",
             .after = "read",
             .start_ns = 10,
             .duration_ns = 500,
             .outcome = "computed"}};
        CHECK_OK(brisk_history_put_run(history, &run, stages, 2, NULL, &info));
    }
}

/* Six runs of one command, then six that a cache answered, between runs of something that takes longer. */
static void put_cached_runs(brisk_history *history)
{
    brisk_errinfo info;
    for (uint64_t i = 0; i < 12; i++) {
        brisk_history_run run = {.wall_ns = start_ns + i * second_ns,
                                 .duration_ns = i < 6 ? 1000 + i : 100 + i,
                                 .workload = "pkg",
                                 .command = "pkg resolve a",
                                 .answered_by = i < 6 ? "" : "memory",
                                 .outcome = "ok"};
        CHECK_OK(brisk_history_put_run(history, &run, NULL, 0, NULL, &info));
        run = (brisk_history_run){.wall_ns = start_ns + (i + 6) * second_ns,
                                  .duration_ns = 50000,
                                  .workload = "pkg",
                                  .command = "pkg resolve another",
                                  .outcome = "ok"};
        CHECK_OK(brisk_history_put_run(history, &run, NULL, 0, NULL, &info));
    }
    static const char *const categories[] = {"cache", "parallelism"};
    for (int i = 0; i < 2; i++) {
        brisk_history_opportunity o = {.key = categories[i],
                                       .category = categories[i],
                                       .subject = "pkg",
                                       .gain = 0.5,
                                       .state = "applied",
                                       .updated_ns = start_ns + 5 * second_ns + second_ns / 2};
        CHECK_OK(brisk_history_put_opportunity(history, &o, NULL, &info));
    }
}

static void put_others(brisk_history *history)
{
    brisk_errinfo info;
    uint64_t seed = check_seed();
    for (uint64_t i = 0; i < 60; i++) {
        double noise = (double)(check_random(&seed) % 100) / 100;
        brisk_history_benchmark b = {.wall_ns = start_ns + i * second_ns,
                                     .name = "parse",
                                     .metric = "wall",
                                     .unit = "ns",
                                     .value = (i < 30 ? 100 : 130) + noise,
                                     .low = 99,
                                     .high = 140};
        CHECK_OK(brisk_history_put_benchmark(history, &b, NULL, &info));
    }
    brisk_history_opportunity o = {.key = "stage:rom:cache",
                                   .category = "cache",
                                   .priority = "high",
                                   .gain = 0.5,
                                   .gain_low = 0.3,
                                   .gain_high = 0.6,
                                   .confidence = 0.9,
                                   .complexity = "low",
                                   .description = "keep what was patched",
                                   .evidence = "{\"runs\": 20}",
                                   .source = "stage profile",
                                   .subject = "rom",
                                   .state = "applied",
                                   .updated_ns = start_ns + 9 * second_ns + second_ns / 2};
    CHECK_OK(brisk_history_put_opportunity(history, &o, NULL, &info));
    o = (brisk_history_opportunity){
        .key = "open", .category = "io", .priority = "low", .state = "open"};
    CHECK_OK(brisk_history_put_opportunity(history, &o, NULL, &info));
}

static void test_nothing_is_kept(void **state)
{
    (void)state;
    const brisk_json_node *root = ask(report_runs, "", "");
    CHECK(root != NULL && !brisk_json_get(root, "kept")->boolean);
    CHECK(brisk_json_get(root, "runs")->count == 0);
    CHECK(ask(report_runs, "1", "") == NULL);
}

static void test_what_is_kept(void **state)
{
    (void)state;
    brisk_history *history;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_history_open(&(brisk_history_opts){0}, &history, &info);
    if (err == BRISK_ERR_UNSUPPORTED) {
        print_message("%s\n", info.text);
        skip();
    }
    CHECK_OK(err);
    put_runs(history);
    put_others(history);
    put_cached_runs(history);
    brisk_history_close(history);
    brisk_history_run spooled = {
        .wall_ns = start_ns, .duration_ns = 7, .workload = "spooled", .outcome = "ok"};
    CHECK_OK(brisk_history_spool(NULL, &spooled, NULL, 0, &info));
    CHECK(brisk_json_get(ask(report_runs, "", "spooled"), "runs")->count == 1);
    const brisk_json_node *runs = brisk_json_get(ask(report_runs, "", "rom"), "runs");
    CHECK(runs != NULL && runs->count == 20);
    CHECK(number(runs->child, "duration_ns") == 619); /* the newest first */
    CHECK(brisk_json_get(ask(report_runs, "", "other"), "runs")->count == 0);
    const brisk_json_node *run = ask(report_runs, "1", "");
    const brisk_json_node *stages = brisk_json_get(run, "stages");
    CHECK(stages != NULL && stages->count == 2);
    CHECK(brisk_json_get(stages->child, "critical")->boolean);
    CHECK(brisk_json_is(brisk_json_get(stages->child->next, "after"), "read"));
    CHECK(ask(report_runs, "999", "") == NULL && ask(report_runs, "1/2", "") == NULL);
    const brisk_json_node *lines = brisk_json_get(ask(report_benchmarks, "", ""), "benchmarks");
    CHECK(lines != NULL && lines->count == 1);
    CHECK(brisk_json_get(lines->child, "points")->count == 60);
    const brisk_json_node *changes = brisk_json_get(lines->child, "changes");
    CHECK(changes->count == 1 && number(changes->child, "at") == 30);
    CHECK(number(changes->child, "before") < 101.1 && number(changes->child, "after") > 129.9);
}

static const brisk_json_node *with_key(const brisk_json_node *list, const char *key)
{
    const brisk_json_node *one = list->child;
    while (one != NULL && !brisk_json_is(brisk_json_get(one, "key"), key)) {
        one = one->next;
    }
    CHECK(one != NULL);
    return one;
}

static void test_gains(void **state)
{
    (void)state;
    const brisk_json_node *list =
        brisk_json_get(ask(report_opportunities, "", ""), "opportunities");
    if (list == NULL || list->count == 0) {
        skip(); /* there is no libsqlite3 */
    }
    CHECK(list->count == 4);
    const brisk_json_node *applied = with_key(list, "stage:rom:cache");
    CHECK(number(applied, "estimated_gain") == 0.5);
    double measured = number(applied, "measured_gain"); /* 1 - 615 / 1005 */
    CHECK(measured > 0.38 && measured < 0.40);
    CHECK(number(brisk_json_get(applied, "evidence"), "runs") == 20);
    measured = number(with_key(list, "cache"), "measured_gain"); /* 1 - 109 / 1003 */
    CHECK(measured > 0.88 && measured < 0.90);
    /* Answers of a cache say nothing of anything else. */
    CHECK(brisk_json_get(with_key(list, "parallelism"), "measured_gain")->kind == BRISK_JSON_NULL);
    const brisk_json_node *open = with_key(list, "open");
    CHECK(brisk_json_get(open, "measured_gain")->kind == BRISK_JSON_NULL);
    CHECK(brisk_json_get(open, "evidence")->kind == BRISK_JSON_NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_kept),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_gains),
    };
    char folder[] = "/tmp/brisk-reports-XXXXXX";
    if (mkdtemp(folder) == NULL || setenv("XDG_DATA_HOME", folder, 1) != 0 ||
        brisk_arena_create(&(brisk_arena_opts){0}, &arena) != BRISK_OK) {
        return 1;
    }
    node.alloc = brisk_alloc_libc();
    node.clock = brisk_clock_system();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    brisk_arena_destroy(arena);
    static const char *const names[] = {"brisk/history.sqlite3",
                                        "brisk/history.sqlite3-wal",
                                        "brisk/history.sqlite3-shm",
                                        "brisk/history.sqlite3-spool",
                                        "brisk/history.sqlite3-spool.lock",
                                        "brisk",
                                        ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)remove(path);
    }
    return failed;
}
