/*
 * test_bench_history.c -- `brisk bench history` over a history made here: a level, then another one.
 */
#include "observe/near.h"

#include <ftw.h>
#include <string.h>
#include <unistd.h>

#include <brisk/history.h>

#include "observe/bench/bench.h"

enum { POINTS = 60, STEP_AT = 35, OUTPUT_MAX = 65536 };

static char folder[] = "/tmp/brisk-test-XXXXXX";

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    return type == FTW_DP ? rmdir(path) : unlink(path);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? setenv("XDG_DATA_HOME", folder, 1) : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(brisk_history *history, const char *name, const char *machine, int i, double value)
{
    brisk_history_benchmark row = {.wall_ns = (uint64_t)(i + 1) * 1000000000u * 86400u,
                                   .name = name,
                                   .metric = "wall",
                                   .unit = "ns",
                                   .value = value,
                                   .low = value * 0.99,
                                   .high = value * 1.01,
                                   .samples = 10,
                                   .label = "v1",
                                   .machine = machine};
    brisk_errinfo info = {0};
    CHECK_OK(brisk_history_put_benchmark(history, &row, NULL, &info));
}

/** What the command prints, and its exit code. */
static brisk_exit show(const char *name, bool json, bool all, char output[OUTPUT_MAX])
{
    char word[64];
    (void)snprintf(word, sizeof word, "%s", name);
    char *argv[] = {word};
    brisk_option_value values[5] = {{0}};
    values[1].set = all;
    values[4].set = json;
    FILE *out = tmpfile();
    FILE *err = tmpfile();
    assert_non_null(out);
    assert_non_null(err);
    brisk_invocation invocation = {.command = &bench_history_command,
                                   .values = values,
                                   .argc = 1,
                                   .argv = argv,
                                   .out = out,
                                   .err = err};
    brisk_exit status = bench_history_command.run(&invocation);
    rewind(out);
    size_t size = fread(output, 1, OUTPUT_MAX - 1, out);
    output[size] = '\0';
    (void)fclose(out);
    (void)fclose(err);
    return status;
}

static uint32_t count_of(const char *text, const char *part)
{
    uint32_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

static void test_changes(void **state)
{
    (void)state;
    brisk_history *history = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_history_open(&(brisk_history_opts){0}, &history, &info);
    if (err == BRISK_ERR_UNSUPPORTED) {
        skip(); /* no libsqlite3 */
    }
    CHECK_OK(err);
    uint64_t random = check_seed();
    for (int i = 0; i < POINTS; i++) {
        double noise = 1.0 + 0.01 * near_normal(&random);
        put(history, "line", "", i, (i < STEP_AT ? 1e6 : 1.2e6) * noise);
        put(history, "line/steady", "", i, 2e6 * noise);
        put(history, "liner", "", i, 3e6); /* another name that begins alike */
        put(history, "line", "elsewhere", i, 9e6 * noise);
    }
    brisk_history_close(history);
    static char output[OUTPUT_MAX];
    CHECK(show("line", false, false, output) == BRISK_EXIT_OK);
    CHECK(strncmp(output, "line: 60 points, 1 change, on ", 30) == 0);
    CHECK(strstr(output, "\nline/steady: 60 points, 0 changes, on ") != NULL);
    CHECK(strstr(output, "liner") == NULL && strstr(output, "elsewhere") == NULL);
    CHECK_U64(count_of(output, "------ change: +"), ==, 1);
    CHECK_U64(count_of(output, "|  v1\n"), ==, 80); /* the last forty of each */
    CHECK(show("line", true, false, output) == BRISK_EXIT_OK);
    /* The search looks at some quantiles only: it may be off by a point. */
    CHECK_U64(count_of(output, "\"at\": 34,") + count_of(output, "\"at\": 35,") +
                  count_of(output, "\"at\": 36,"),
              ==, 1);
    CHECK_U64(count_of(output, "\"at\": "), ==, 1);
    CHECK(show("line", false, true, output) == BRISK_EXIT_OK);
    CHECK(strstr(output, "60 points, 0 changes, on elsewhere") != NULL);
    CHECK(show("nothing", false, false, output) == BRISK_EXIT_FAILED);
    CHECK(output[0] == '\0');
    CHECK(show("../x", false, false, output) == BRISK_EXIT_USAGE);
}

/* A database that is none: an error, and nothing is overwritten. */
static void test_damaged(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/brisk/history.sqlite3", folder);
    FILE *file = fopen(path, "r+");
    if (file == NULL) {
        skip();
    }
    CHECK(fwrite("garbage garbage garbage", 1, 23, file) == 23);
    CHECK(fclose(file) == 0);
    static char output[OUTPUT_MAX];
    CHECK(show("line", false, false, output) == BRISK_EXIT_FAILED);
    CHECK(output[0] == '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
