/*
 * test_store.c -- the history: what is put comes back, by every filter; renewals; pruning; files that are
 * damaged, foreign, newer, locked, read-only; several processes at once; memory that runs out.
 */
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

#include <math.h>
#include <sys/wait.h>

#include <brisk/history.h>

#include "observe/history/store.h"

typedef struct fixture {
    temp_dir *dir;
    const char *path;
    brisk_history *history;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    f->path = temp_dir_path(f->dir, "data/history.sqlite3");
    brisk_errinfo info;
    CHECK_OK(brisk_history_open(&(brisk_history_opts){.path = f->path}, &f->history, &info));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    brisk_history_close(f->history);
    temp_dir_remove(f->dir);
    free(f);
    return 0;
}

/* --- collecting rows ---------------------------------------------------------------------- */

typedef struct rows {
    uint32_t count;
    uint32_t stop_after; /* 0: never */
    char last[256];
    double value;
    uint64_t number;
} rows;

static bool see(rows *seen, const char *text, double value, uint64_t number)
{
    (void)snprintf(seen->last, sizeof seen->last, "%s", text);
    seen->value = value;
    seen->number = number;
    return ++seen->count != seen->stop_after;
}

static bool on_run(void *ctx, const brisk_history_run *row)
{
    return see(ctx, row->command, (double)row->duration_ns, row->wall_ns);
}

static bool on_stage(void *ctx, const brisk_history_stage *row)
{
    return see(ctx, row->name, (double)row->worker, row->run);
}

static bool on_benchmark(void *ctx, const brisk_history_benchmark *row)
{
    return see(ctx, row->label, row->low, row->wall_ns);
}

static bool on_alert(void *ctx, const brisk_history_alert *row)
{
    return see(ctx, row->state, row->limit, row->wall_ns);
}

static bool on_opportunity(void *ctx, const brisk_history_opportunity *row)
{
    return see(ctx, row->state, row->gain, row->created_ns);
}

static uint32_t count_runs(brisk_history *history, const brisk_history_filter *filter)
{
    rows seen = {0};
    CHECK_OK(brisk_history_runs(history, filter, on_run, &seen, NULL));
    return seen.count;
}

/* --- cases -------------------------------------------------------------------------------- */

static void test_runs_and_stages(void **state)
{
    fixture *f = *state;
    const brisk_history_stage stages[] = {
        {.name = "read", .duration_ns = 5, .worker = -1, .outcome = "computed"},
        {.name = "patch",
         .after = "read",
         .start_ns = 5,
         .worker = 1,
         .critical = 1,
         .outcome = "computed"},
    };
    for (uint64_t i = 1; i <= 3; i++) {
        char command[32];
        (void)snprintf(command, sizeof command, "apply %d", (int)i);
        brisk_history_run run = {.wall_ns = i * 100,
                                 .duration_ns = i,
                                 .workload = i == 2 ? "pkg" : "rom",
                                 .command = command,
                                 .outcome = "ok",
                                 .details = "{\"a\":1}"};
        uint64_t id = 0;
        CHECK_OK(brisk_history_put_run(f->history, &run, stages, 2, &id, NULL));
        CHECK_U64(id, ==, i);
    }
    CHECK_U64(count_runs(f->history, NULL), ==, 3);
    CHECK_U64(count_runs(f->history, &(brisk_history_filter){.name = "rom"}), ==, 2);
    CHECK_U64(count_runs(f->history, &(brisk_history_filter){.name = "r%m"}), ==, 0);
    CHECK_U64(count_runs(f->history, &(brisk_history_filter){.since_ns = 200, .until_ns = 250}), ==,
              1);
    CHECK_U64(count_runs(f->history, &(brisk_history_filter){.since_ns = 200}), ==, 2);
    CHECK_U64(count_runs(f->history, &(brisk_history_filter){.machine = brisk_history_machine()}),
              ==, 3);
    CHECK_U64(count_runs(f->history, &(brisk_history_filter){.machine = "another"}), ==, 0);
    CHECK_U64(count_runs(f->history, &(brisk_history_filter){.label = "no such column"}), ==, 0);
    rows seen = {0};
    CHECK_OK(brisk_history_runs(f->history,
                                &(brisk_history_filter){.limit = 2, .newest_first = true}, on_run,
                                &seen, NULL));
    CHECK(seen.count == 2 && strcmp(seen.last, "apply 2") == 0 && seen.number == 200);
    seen = (rows){.stop_after = 1};
    CHECK_OK(brisk_history_runs(f->history, NULL, on_run, &seen, NULL));
    CHECK(seen.count == 1 && strcmp(seen.last, "apply 1") == 0);
    seen = (rows){0};
    CHECK_OK(
        brisk_history_stages(f->history, &(brisk_history_filter){.id = 2}, on_stage, &seen, NULL));
    CHECK(seen.count == 2 && seen.number == 2 && strcmp(seen.last, "patch") == 0 &&
          seen.value == 1);
}

static void test_a_run_is_whole_or_not_there(void **state)
{
    fixture *f = *state;
    static brisk_history_stage stages[BRISK_HISTORY_STAGES_MAX + 1];
    brisk_errinfo info;
    brisk_history_run run = {.workload = "rom", .details = "not json"};
    CHECK(brisk_history_put_run(f->history, &run, stages, 1, NULL, &info) == BRISK_ERR_INVALID);
    CHECK(strstr(info.text, "JSON") != NULL);
    run.details = NULL;
    CHECK(brisk_history_put_run(f->history, &run, stages, BRISK_HISTORY_STAGES_MAX + 1, NULL,
                                &info) == BRISK_ERR_INVALID);
    CHECK_U64(count_runs(f->history, NULL), ==, 0);
    rows seen = {0};
    CHECK_OK(brisk_history_stages(f->history, NULL, on_stage, &seen, NULL));
    CHECK_U64(seen.count, ==, 0);
    CHECK_OK(
        brisk_history_put_run(f->history, &run, stages, BRISK_HISTORY_STAGES_MAX, NULL, &info));
    CHECK_U64(count_runs(f->history, NULL), ==, 1);
}

static void test_benchmarks_and_alerts(void **state)
{
    fixture *f = *state;
    brisk_history_benchmark benchmark = {.name = "parse",
                                         .metric = "wall",
                                         .unit = "ns",
                                         .value = 3.5,
                                         .low = 3.25,
                                         .high = (double)NAN,
                                         .samples = 60,
                                         .label = "v1"};
    CHECK_OK(brisk_history_put_benchmark(f->history, &benchmark, NULL, NULL));
    benchmark.metric = "cpu";
    benchmark.low = (double)NAN;
    benchmark.label = "it's \"v2\"; DROP TABLE runs";
    CHECK_OK(brisk_history_put_benchmark(f->history, &benchmark, NULL, NULL));
    rows seen = {0};
    CHECK_OK(brisk_history_benchmarks(f->history,
                                      &(brisk_history_filter){.name = "parse", .metric = "wall"},
                                      on_benchmark, &seen, NULL));
    CHECK(seen.count == 1 && seen.value == 3.25 && seen.number > UINT64_C(1700000000000000000));
    seen = (rows){0};
    CHECK_OK(brisk_history_benchmarks(f->history, &(brisk_history_filter){.label = benchmark.label},
                                      on_benchmark, &seen, NULL));
    CHECK(seen.count == 1 && isnan(seen.value) && strcmp(seen.last, benchmark.label) == 0);

    brisk_history_alert alert = {.budget = "p99",
                                 .metric = "rom.apply",
                                 .severity = "critical",
                                 .state = "firing",
                                 .value = 2,
                                 .limit = 1};
    CHECK_OK(brisk_history_put_alert(f->history, &alert, NULL, NULL));
    alert.state = "resolved";
    CHECK_OK(brisk_history_put_alert(f->history, &alert, NULL, NULL));
    seen = (rows){0};
    CHECK_OK(brisk_history_alerts(f->history, &(brisk_history_filter){.state = "firing"}, on_alert,
                                  &seen, NULL));
    CHECK(seen.count == 1 && seen.value == 1);
}

static const char *state_of(brisk_history *history, const char *key, rows *seen)
{
    *seen = (rows){0};
    CHECK_OK(brisk_history_opportunities(history, &(brisk_history_filter){.name = key},
                                         on_opportunity, seen, NULL));
    CHECK_U64(seen->count, ==, 1);
    return seen->last;
}

static void test_opportunities_are_renewed(void **state)
{
    fixture *f = *state;
    rows seen;
    brisk_history_opportunity o = {.key = "k",
                                   .created_ns = 7,
                                   .updated_ns = 8,
                                   .category = "cache",
                                   .gain = 0.5,
                                   .evidence = "{}"};
    uint64_t first;
    uint64_t again;
    CHECK_OK(brisk_history_put_opportunity(f->history, &o, &first, NULL));
    CHECK(strcmp(state_of(f->history, "k", &seen), "open") == 0);
    o.gain = 0.25;
    o.created_ns = 0;
    CHECK_OK(brisk_history_put_opportunity(f->history, &o, &again, NULL));
    CHECK_U64(first, ==, again);
    CHECK(strcmp(state_of(f->history, "k", &seen), "open") == 0 && seen.value == 0.25 &&
          seen.number == 7);
    o.state = "dismissed";
    CHECK_OK(brisk_history_put_opportunity(f->history, &o, NULL, NULL));
    o.state = NULL;
    CHECK_OK(brisk_history_put_opportunity(f->history, &o, NULL, NULL));
    CHECK(strcmp(state_of(f->history, "k", &seen), "dismissed") == 0);
    o.state = "gone";
    CHECK_OK(brisk_history_put_opportunity(f->history, &o, NULL, NULL));
    o.state = "";
    CHECK_OK(brisk_history_put_opportunity(f->history, &o, NULL, NULL));
    CHECK(strcmp(state_of(f->history, "k", &seen), "open") == 0);
    o.key = "";
    CHECK(brisk_history_put_opportunity(f->history, &o, NULL, NULL) == BRISK_ERR_INVALID);
}

static void test_prune(void **state)
{
    fixture *f = *state;
    for (uint64_t i = 1; i <= 10; i++) {
        brisk_history_run run = {.wall_ns = i, .workload = "rom"};
        brisk_history_stage stage = {.name = "s"};
        CHECK_OK(brisk_history_put_run(f->history, &run, &stage, 1, NULL, NULL));
        char key[8];
        (void)snprintf(key, sizeof key, "k%d", (int)i);
        brisk_history_opportunity o = {
            .key = key, .updated_ns = i, .state = i > 5 ? "open" : "gone"};
        CHECK_OK(brisk_history_put_opportunity(f->history, &o, NULL, NULL));
    }
    uint64_t removed = 0;
    CHECK_OK(brisk_history_prune(f->history, &(brisk_history_retention){0}, &removed, NULL));
    CHECK_U64(removed, ==, 0);
    CHECK_OK(brisk_history_prune(f->history, &(brisk_history_retention){.before_ns = 9}, &removed,
                                 NULL));
    CHECK_U64(removed, ==, 8 + 5); /* runs, and opportunities that are not open */
    CHECK_OK(brisk_history_prune(
        f->history, &(brisk_history_retention){.rows_max = 1, .compact = true}, &removed, NULL));
    CHECK_U64(removed, ==, 1);
    rows seen = {0};
    CHECK_OK(brisk_history_stages(f->history, NULL, on_stage, &seen, NULL));
    CHECK(seen.count == 1 && seen.number == 10);
}

static void test_open_again_and_read_only(void **state)
{
    fixture *f = *state;
    brisk_history_run run = {.workload = "rom"};
    CHECK_OK(brisk_history_put_run(f->history, &run, NULL, 0, NULL, NULL));
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    CHECK_U64(st.st_mode & 0777, ==, 0600);
    brisk_history *reader;
    brisk_errinfo info;
    brisk_history_opts opts = {.path = f->path, .read_only = true};
    CHECK_OK(brisk_history_open(&opts, &reader, &info));
    CHECK_U64(count_runs(reader, NULL), ==, 1);
    CHECK(brisk_history_put_run(reader, &run, NULL, 0, NULL, &info) == BRISK_ERR_PERMISSION);
    brisk_history_close(reader);
    opts.path = temp_dir_path(f->dir, "nothing");
    CHECK(brisk_history_open(&opts, &reader, &info) == BRISK_ERR_NOT_FOUND);
    CHECK(access(opts.path, F_OK) != 0);
}

static brisk_err open_bytes(temp_dir *dir, const char *name, const void *data, size_t size,
                            brisk_errinfo *info)
{
    const char *path = temp_dir_path(dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    (void)fclose(file);
    brisk_history *history = NULL;
    brisk_err err = brisk_history_open(&(brisk_history_opts){.path = path}, &history, info);
    if (err == BRISK_OK) {
        rows seen = {0};
        err = brisk_history_runs(history, NULL, on_run, &seen, info);
        brisk_history_close(history);
    } else {
        CHECK(strstr(info->text, path) != NULL);
    }
    return err;
}

static void test_damaged_files(void **state)
{
    fixture *f = *state;
    brisk_errinfo info;
    for (int i = 0; i < 200; i++) {
        brisk_history_run run = {.workload = "rom", .command = "some words to fill the pages with"};
        CHECK_OK(brisk_history_put_run(f->history, &run, NULL, 0, NULL, NULL));
    }
    CHECK_OK(
        brisk_history_prune(f->history, &(brisk_history_retention){.compact = true}, NULL, NULL));
    static unsigned char good[1 << 20];
    FILE *file = fopen(f->path, "re");
    assert_non_null(file);
    size_t size = fread(good, 1, sizeof good, file);
    (void)fclose(file);
    CHECK(size > 8192 && size < sizeof good);
    CHECK(open_bytes(f->dir, "words", "these are no tables, but 30 b.", 30, &info) ==
          BRISK_ERR_CORRUPT);
    uint64_t seed = check_seed();
    uint32_t refused = 0;
    for (int round = 0; round < 60; round++) {
        static unsigned char bad[1 << 20];
        char name[32];
        memcpy(bad, good, size);
        for (int i = 0; i < 64; i++) {
            bad[check_random(&seed) % size] = (unsigned char)check_random(&seed);
        }
        (void)snprintf(name, sizeof name, "bad%d", round);
        size_t cut = round % 3 == 0 ? check_random(&seed) % size : size;
        refused += open_bytes(f->dir, name, bad, cut, &info) != BRISK_OK;
    }
    CHECK_U64(refused, >, 20);
}

static void change(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(
        history_sqlite.sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
        SQLITE_OK);
    assert_int_equal(history_sqlite.sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    (void)history_sqlite.sqlite3_close_v2(db);
}

static void test_foreign_and_newer(void **state)
{
    fixture *f = *state;
    brisk_errinfo info;
    brisk_history *other;
    const char *path = temp_dir_path(f->dir, "other");
    change(path, "CREATE TABLE bookmarks(url)");
    CHECK(brisk_history_open(&(brisk_history_opts){.path = path}, &other, &info) ==
          BRISK_ERR_CORRUPT);
    CHECK(strstr(info.text, "not brisk's history") != NULL);
    change(f->path, "PRAGMA user_version = 99");
    CHECK(brisk_history_open(&(brisk_history_opts){.path = f->path}, &other, &info) ==
          BRISK_ERR_MISMATCH);
    change(f->path, "PRAGMA user_version = 1; DROP TABLE runs");
    CHECK_OK(brisk_history_open(&(brisk_history_opts){.path = f->path}, &other, &info));
    rows seen = {0};
    CHECK(brisk_history_runs(other, NULL, on_run, &seen, &info) == BRISK_ERR_CORRUPT);
    brisk_history_close(other);
}

static void test_locked(void **state)
{
    fixture *f = *state;
    brisk_history *other;
    brisk_errinfo info;
    brisk_history_run run = {.workload = "rom"};
    CHECK_OK(
        brisk_history_open(&(brisk_history_opts){.path = f->path, .wait_ms = 20}, &other, &info));
    CHECK_OK(history_exec(f->history, "BEGIN IMMEDIATE", "test", &info));
    CHECK(brisk_history_put_run(other, &run, NULL, 0, NULL, &info) == BRISK_ERR_DEADLINE);
    CHECK_OK(history_exec(f->history, "COMMIT", "test", &info));
    CHECK_OK(brisk_history_put_run(other, &run, NULL, 0, NULL, &info));
    brisk_history_close(other);
}

enum { WRITERS = 4, ROWS_EACH = 50 };

static void test_several_processes(void **state)
{
    fixture *f = *state;
    const char *path =
        temp_dir_path(f->dir, "shared/history.sqlite3"); /* made by whoever is first */
    pid_t pids[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        pids[w] = fork();
        assert_true(pids[w] >= 0);
        if (pids[w] == 0) {
            brisk_history *mine;
            brisk_history_run run = {.workload = "rom"};
            brisk_errinfo info = {0};
            bool ok = brisk_history_open(&(brisk_history_opts){.path = path, .wait_ms = 60000},
                                         &mine, &info) == BRISK_OK;
            for (int i = 0; i < ROWS_EACH && ok; i++) {
                ok = brisk_history_put_run(mine, &run, &(brisk_history_stage){.name = "s"}, 1, NULL,
                                           &info) == BRISK_OK;
            }
            if (!ok) {
                (void)fprintf(stderr, "writer %d: %s\n", w, info.text);
            }
            _exit(ok ? 0 : 1);
        }
    }
    for (int w = 0; w < WRITERS; w++) {
        int status = -1;
        CHECK(waitpid(pids[w], &status, 0) == pids[w] && status == 0);
    }
    brisk_history *reader;
    CHECK_OK(
        brisk_history_open(&(brisk_history_opts){.path = path, .read_only = true}, &reader, NULL));
    CHECK_U64(count_runs(reader, NULL), ==, WRITERS * ROWS_EACH);
    rows seen = {0};
    CHECK_OK(brisk_history_stages(reader, NULL, on_stage, &seen, NULL));
    CHECK_U64(seen.count, ==, WRITERS * ROWS_EACH);
    brisk_history_close(reader);
}

static void test_every_allocation_fails(void **state)
{
    fixture *f = *state;
    for (uint64_t n = 0;; n++) {
        fault_alloc fault;
        fault_alloc_init(&fault, n);
        brisk_history *history = NULL;
        brisk_err err = brisk_history_open(
            &(brisk_history_opts){.path = f->path, .alloc = &fault.base}, &history, NULL);
        if (err == BRISK_OK) {
            rows seen = {0};
            err = brisk_history_put_run(history, &(brisk_history_run){.workload = "rom"}, NULL, 0,
                                        NULL, NULL);
            if (err == BRISK_OK) {
                err = brisk_history_runs(history, NULL, on_run, &seen, NULL);
            }
            brisk_history_close(history);
        }
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        CHECK_U64(fault.bytes_held, ==, 0);
        if (err == BRISK_OK) {
            CHECK_U64(n, >, 0);
            return;
        }
    }
}

static void test_machine(void **state)
{
    (void)state;
    CHECK(strstr(brisk_history_machine(), " cores, ") != NULL);
    CHECK(brisk_history_machine() == brisk_history_machine());
}

int main(void)
{
    brisk_errinfo info;
    if (history_sqlite_load(&info) != BRISK_OK) {
        (void)printf("skipped: %s\n", info.text);
        return 77;
    }
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_runs_and_stages),
        CASE(test_a_run_is_whole_or_not_there),
        CASE(test_benchmarks_and_alerts),
        CASE(test_opportunities_are_renewed),
        CASE(test_prune),
        CASE(test_open_again_and_read_only),
        CASE(test_damaged_files),
        CASE(test_foreign_and_newer),
        CASE(test_locked),
        CASE(test_several_processes),
        CASE(test_every_allocation_fails),
        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
