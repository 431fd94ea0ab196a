/*
 * test_spool.c -- the history's spool: lines written and read, hostile ones refused; each run imported once, by
 * several processes, after a crash, after rotation; what is too old forgotten; memory that runs out.
 */
#include "support/child.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

#include <sys/stat.h>

#include <brisk/history.h>

#include "observe/history/spool.h"

typedef struct fixture {
    temp_dir *dir;
    const char *path;
    const char *spool;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    f->path = temp_dir_path(f->dir, "data/history.sqlite3");
    f->spool = temp_dir_path(f->dir, "data/history.sqlite3-spool");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    temp_dir_remove(f->dir);
    free(f);
    return 0;
}

static const brisk_history_stage two_stages[] = {
    {.name = "read", .duration_ns = 5, .worker = -1, .outcome = "computed"},
    {.name = "patch",
     .after = "read",
     .start_ns = 5,
     .duration_ns = 7,
     .wait_ns = 1,
     .bytes = 9,
     .worker = 3,
     .critical = 1,
     .outcome = "answered"},
};

static brisk_history_run run_at(uint64_t wall_ns)
{
    return (brisk_history_run){.wall_ns = wall_ns,
                               .duration_ns = 12,
                               .workload = "rom",
                               .command = "rom apply \"a\" \x1b b\\\xc3\xa4",
                               .outcome = "ok",
                               .bytes = UINT64_MAX};
}

static void spool_runs(const char *path, uint64_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        brisk_history_run run = run_at(first + i);
        CHECK_OK(brisk_history_spool(path, &run, two_stages, 2, NULL));
    }
}

static bool count_row(void *ctx, const brisk_history_run *row)
{
    (void)row;
    ++*(uint32_t *)ctx;
    return true;
}

/* Open, count, close. */
static uint32_t runs_in(const char *path, brisk_history_imported *imported)
{
    brisk_history *history;
    brisk_errinfo info;
    uint32_t count = 0;
    CHECK_OK(brisk_history_open(&(brisk_history_opts){.path = path}, &history, &info));
    CHECK_OK(brisk_history_runs(history, NULL, count_row, &count, &info));
    if (imported != NULL) {
        *imported = brisk_history_imports(history);
    }
    brisk_history_close(history);
    return count;
}

static void append_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    CHECK(fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
}

/* --- lines ----------------------------------------------------------------------------------- */

static void test_line(void **state)
{
    (void)state;
    brisk_str text;
    brisk_str_init(&text, NULL, BRISK_HISTORY_LINE_BYTES);
    brisk_history_run run = run_at(77);
    history_spool_write(&text, &run, two_stages, 2);
    CHECK_OK(brisk_str_err(&text));
    const char *line = brisk_str_text(&text);
    CHECK(strchr(line, '\n') == line + brisk_str_size(&text) - 1);
    history_spool_line read;
    CHECK_OK(history_spool_read(line, brisk_str_size(&text), NULL, &read));
    CHECK_U64(read.run.wall_ns, ==, 77);
    CHECK_U64(read.run.bytes, ==, UINT64_MAX);
    assert_string_equal(read.run.command, "rom apply \"a\" ? b\\\xc3\xa4");
    assert_string_equal(read.run.answered_by, "");
    CHECK_U64(read.stage_count, ==, 2);
    CHECK(read.stages[0].worker == -1 && read.stages[1].worker == 3);
    CHECK(read.stages[1].critical == 1 && read.stages[1].wait_ns == 1 && read.stages[1].bytes == 9);
    assert_string_equal(read.stages[1].after, "read");
    assert_string_equal(read.stages[1].outcome, "answered");
    history_spool_line_deinit(&read);
    brisk_str_deinit(&text);
}

static const char *const hostile[] = {
    "",
    "{",
    "[]",
    "null",
    "{\"v\":2,\"wall_ns\":1}",
    "{\"v\":1}",
    "{\"v\":1,\"wall_ns\":0,\"duration_ns\":1,\"workload\":\"\",\"command\":\"\",\"outcome\":\"\","
    "\"answered_by\":\"\",\"bytes\":0,\"stages\":[]}",
    "{\"v\":1,\"wall_ns\":-1,\"duration_ns\":1,\"workload\":\"\",\"command\":\"\",\"outcome\":\"\","
    "\"answered_by\":\"\",\"bytes\":0,\"stages\":[]}",
    "{\"v\":1,\"wall_ns\":5,\"duration_ns\":1,\"workload\":7,\"command\":\"\",\"outcome\":\"\","
    "\"answered_by\":\"\",\"bytes\":0,\"stages\":[]}",
    "{\"v\":1,\"wall_ns\":5,\"duration_ns\":1,\"workload\":\"\",\"command\":\"\",\"outcome\":\"\","
    "\"answered_by\":\"\",\"bytes\":0,\"stages\":[[\"a\"]]}",
    "{\"v\":1,\"wall_ns\":5,\"duration_ns\":1,\"workload\":\"\",\"command\":\"\",\"outcome\":\"\","
    "\"answered_by\":\"\",\"bytes\":0,\"stages\":[[[],\"\",1,1,1,1,1,1,\"\"]]}",
    "{\"v\":1,\"wall_ns\":5,\"duration_ns\":1,\"workload\":\"\",\"command\":\"\",\"outcome\":\"\","
    "\"answered_by\":\"\",\"bytes\":0,\"stages\":{}}",
    "{\"v\":1,\"wall_ns\":5,\"duration_ns\":1,\"workload\":\"\",\"command\":\"\",\"outcome\":\"\","
    "\"answered_by\":\"\",\"bytes\":0,\"stages\":[],\"x\":1}",
};

static void test_hostile_lines(void **state)
{
    fixture *f = *state;
    spool_runs(f->path, 1, 1);
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        history_spool_line line;
        CHECK(history_spool_read(hostile[i], strlen(hostile[i]), NULL, &line) != BRISK_OK);
        append_text(f->spool, hostile[i]);
        append_text(f->spool, "\n");
    }
    spool_runs(f->path, 2, 1);
    append_text(f->spool, "{\"v\":1,\"wall_ns\":"); /* cut off by a crash */
    brisk_history_imported imported;
    CHECK_U64(runs_in(f->path, &imported), ==, 2);
    CHECK_U64(imported.runs, ==, 2);
    CHECK_U64(imported.bad, ==, sizeof hostile / sizeof hostile[0]); /* the empty one is none */
}

static void test_line_too_long(void **state)
{
    fixture *f = *state;
    static brisk_history_stage many[BRISK_HISTORY_STAGES_MAX];
    for (uint32_t i = 0; i < BRISK_HISTORY_STAGES_MAX; i++) {
        many[i] = two_stages[1];
    }
    brisk_history_run run = run_at(1);
    brisk_errinfo info;
    CHECK(brisk_history_spool(f->path, &run, many, BRISK_HISTORY_STAGES_MAX, &info) ==
          BRISK_ERR_LIMIT);
    CHECK(access(f->spool, F_OK) != 0);
}

/* --- importing ------------------------------------------------------------------------------- */

static void test_once(void **state)
{
    fixture *f = *state;
    spool_runs(f->path, 100, 3);
    struct stat st;
    CHECK(stat(f->spool, &st) == 0 && (st.st_mode & 077) == 0);
    brisk_history_imported imported;
    CHECK_U64(runs_in(f->path, &imported), ==, 3);
    CHECK_U64(imported.runs, ==, 3);
    CHECK(access(f->spool, F_OK) != 0);
    CHECK_U64(runs_in(f->path, &imported), ==, 3);
    CHECK_U64(imported.runs, ==, 0);
    /* A process that ended between commit and unlink leaves what was imported. */
    spool_runs(f->path, 101, 3);
    CHECK(rename(f->spool, temp_dir_path(f->dir, "data/history.sqlite3-spool.import")) == 0);
    spool_runs(f->path, 200, 1);
    CHECK_U64(runs_in(f->path, &imported), ==, 5);
    CHECK_U64(imported.known, ==, 2);
    CHECK_U64(imported.runs, ==, 2);
}

static bool see_newest(void *ctx, const brisk_history_run *row)
{
    *(uint64_t *)ctx = row->wall_ns;
    return false;
}

static void test_rotation(void **state)
{
    fixture *f = *state;
    brisk_history_run run = run_at(1);
    static brisk_history_stage many[200];
    for (uint32_t i = 0; i < 200; i++) {
        many[i] = two_stages[1];
    }
    for (uint32_t i = 0; i < 500; i++) {
        run.wall_ns = i + 1;
        CHECK_OK(brisk_history_spool(f->path, &run, many, 200, NULL));
    }
    struct stat st;
    CHECK(stat(f->spool, &st) == 0 && st.st_size <= BRISK_HISTORY_SPOOL_BYTES);
    brisk_history *history;
    CHECK_OK(brisk_history_open(&(brisk_history_opts){.path = f->path}, &history, NULL));
    uint32_t count = 0;
    uint64_t newest = 0;
    CHECK_OK(brisk_history_runs(history, NULL, count_row, &count, NULL));
    CHECK_OK(brisk_history_runs(history, &(brisk_history_filter){.newest_first = true}, see_newest,
                                &newest, NULL));
    CHECK(count >= 100 && count < 500);
    CHECK_U64(newest, ==, 500);
    brisk_history_close(history);
}

enum { WRITERS = 3, EACH = 80 };

static int write_many(void *ctx)
{
    const fixture *f = ctx;
    for (uint32_t i = 0; i < EACH; i++) {
        brisk_history_run run = run_at((uint64_t)getpid() * 1000 + i);
        brisk_err err = BRISK_ERR_DEADLINE;
        for (int tries = 0; tries < 50 && err == BRISK_ERR_DEADLINE; tries++) {
            err = brisk_history_spool(f->path, &run, two_stages, 2, NULL);
        }
        if (err != BRISK_OK) {
            return 1;
        }
    }
    return 0;
}

static int import_many(void *ctx)
{
    const fixture *f = ctx;
    for (int i = 0; i < 8; i++) {
        brisk_history *history;
        if (brisk_history_open(&(brisk_history_opts){.path = f->path}, &history, NULL) !=
            BRISK_OK) {
            return 1;
        }
        brisk_history_close(history);
    }
    return 0;
}

static void test_processes(void **state)
{
    fixture *f = *state;
    pid_t pids[WRITERS + 2];
    for (int i = 0; i < WRITERS + 2; i++) {
        pids[i] = child_start(i < WRITERS ? write_many : import_many, f);
    }
    for (int i = 0; i < WRITERS + 2; i++) {
        CHECK(child_wait(pids[i]) == 0);
    }
    brisk_history_imported imported;
    CHECK_U64(runs_in(f->path, &imported), ==, WRITERS * EACH);
    CHECK_U64(imported.bad, ==, 0);
}

static void test_no_create(void **state)
{
    fixture *f = *state;
    brisk_history *history = NULL;
    brisk_history_opts opts = {.path = f->path, .no_create = true};
    brisk_errinfo info;
    CHECK(brisk_history_open(&opts, &history, &info) == BRISK_ERR_NOT_FOUND);
    CHECK(access(temp_dir_path(f->dir, "data"), F_OK) != 0);
    spool_runs(f->path, 1, 1);
    CHECK_OK(brisk_history_open(&opts, &history, &info));
    brisk_history_close(history);
}

static void test_forget(void **state)
{
    fixture *f = *state;
    uint64_t now = brisk_clock_wall_ns(NULL);
    const uint64_t day = UINT64_C(86400) * 1000000000;
    spool_runs(f->path, now - 40 * day, 2);
    spool_runs(f->path, now - 5 * day, 3);
    brisk_history_opts opts = {.path = f->path, .keep_days = 30, .keep_rows = 2};
    brisk_history *history;
    CHECK_OK(brisk_history_open(&opts, &history, NULL));
    brisk_history_close(history);
    CHECK_U64(runs_in(f->path, NULL), ==, 5); /* not before a day has passed */
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    CHECK(utimensat(AT_FDCWD, temp_dir_path(f->dir, "data/history.sqlite3-lock"), old, 0) == 0);
    opts.keep_rows = 0;
    CHECK_OK(brisk_history_open(&opts, &history, NULL));
    brisk_history_close(history);
    CHECK_U64(runs_in(f->path, NULL), ==, 3);
    opts.keep_rows = 2;
    CHECK_OK(brisk_history_open(&opts, &history, NULL)); /* today it was done */
    brisk_history_close(history);
    CHECK_U64(runs_in(f->path, NULL), ==, 3);
}

static bool see_state(void *ctx, const brisk_history_opportunity *row)
{
    (void)snprintf(ctx, 32, "%s", row->state);
    return true;
}

static void test_set_opportunity(void **state)
{
    fixture *f = *state;
    brisk_history *history;
    CHECK_OK(brisk_history_open(&(brisk_history_opts){.path = f->path}, &history, NULL));
    brisk_history_opportunity one = {.key = "k", .category = "cache"};
    CHECK_OK(brisk_history_put_opportunity(history, &one, NULL, NULL));
    brisk_errinfo info;
    CHECK(brisk_history_set_opportunity(history, "other", NULL, "applied", &info) ==
          BRISK_ERR_NOT_FOUND);
    CHECK(brisk_history_set_opportunity(history, "k", "another machine", "applied", &info) ==
          BRISK_ERR_NOT_FOUND);
    CHECK_OK(brisk_history_set_opportunity(history, "k", NULL, "dismissed", &info));
    CHECK_OK(brisk_history_put_opportunity(history, &one, NULL, NULL)); /* found again */
    char is[32] = "";
    CHECK_OK(brisk_history_opportunities(history, NULL, see_state, is, NULL));
    assert_string_equal(is, "dismissed");
    brisk_history_close(history);
}

static void test_no_memory(void **state)
{
    fixture *f = *state;
    CHECK_U64(runs_in(f->path, NULL), ==, 0);
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t nth = 0; err != BRISK_OK && nth < 100000; nth++) {
        if (access(f->spool, F_OK) != 0 &&
            access(temp_dir_path(f->dir, "data/history.sqlite3-spool.import"), F_OK) != 0) {
            spool_runs(f->path, 1, 1);
        }
        fault_alloc fault;
        fault_alloc_init(&fault, nth);
        brisk_history *history = NULL;
        brisk_errinfo info = {0};
        err = brisk_history_open(&(brisk_history_opts){.path = f->path, .alloc = &fault.base},
                                 &history, &info);
        if (err != BRISK_OK) {
            CHECK(err == BRISK_ERR_NOMEM);
            CHECK(info.text[0] != '\0');
        }
        brisk_history_close(history);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    CHECK_U64(runs_in(f->path, NULL), ==, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_create, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_opportunity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
