/* The line on the terminal: after a second, with the stage's name, and gone in the end. */
#include <string.h>
#include <time.h>

#include <brisk/brisk.h>

#include "support/check.h"
#include "workload/rom/progress.h"

static long pause_ms;

static brisk_err run_slowly(brisk_stage_ctx *ctx, void *state)
{
    (void)ctx;
    rom_job *job = state;
    job->stage = "rom_patching";
    struct timespec time = {.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
    return BRISK_OK;
}

static const brisk_stage stages[] = {{.name = "slow", .run = run_slowly}};
static const brisk_workload slow = {
    .name = "slow", .stages = stages, .stage_count = 1, .state_bytes = sizeof(rom_job)};

/* What is on the terminal after a job that takes `ms`. */
static void watch(long ms, char *text, size_t size)
{
    brisk_engine *engine = NULL;
    brisk_job *job = NULL;
    brisk_errinfo info;
    brisk_engine_opts opts = {.no_files = true, .no_disk = true};
    CHECK_OK(brisk_engine_create(&opts, &engine, &info));
    CHECK_OK(brisk_engine_register(engine, &slow, &info));
    CHECK_OK(brisk_job_create(engine, &slow, NULL, NULL, &job));
    memset(text, 0, size);
    FILE *out = fmemopen(text, size, "w");
    CHECK(out != NULL);
    pause_ms = ms;
    CHECK_OK(rom_run_with_progress(job, out));
    (void)fclose(out);
    brisk_job_destroy(job);
    brisk_engine_destroy(engine);
}

static void test_a_slow_job_shows_its_stage(void **state)
{
    (void)state;
    static const char erased[] = "\r\033[K";
    char text[4096];
    watch(1500, text, sizeof text);
    CHECK(strstr(text, "rom_patching, 1.0 s") != NULL);
    size_t size = strlen(text);
    CHECK(size > strlen(erased) && strcmp(text + size - strlen(erased), erased) == 0);
}

static void test_a_fast_job_shows_nothing(void **state)
{
    (void)state;
    char text[4096];
    watch(0, text, sizeof text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_slow_job_shows_its_stage),
        cmocka_unit_test(test_a_fast_job_shows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
