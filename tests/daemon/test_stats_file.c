/*
 * test_stats_file.c -- slots by time: what is put is found, after the process as well; damage, strangers' files, other
 * processes and full disks cost nothing but what they are.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>

#include "daemon/api/stats_file.h"
#include "support/check.h"
#include "support/temp_dir.h"

static const uint64_t second_ns = 1000000000;
static const uint64_t begin_s = 1800000000; /* whole minutes, 5 minutes and half hours */

static stats_sample sample_of(uint64_t begun_s, uint64_t length_s, uint64_t commands)
{
    stats_sample s;
    memset(&s, 0, sizeof s);
    s.begun_ns = begun_s * second_ns;
    s.length_ns = length_s * second_ns;
    s.wall_ns = s.begun_ns + s.length_ns;
    s.commands = commands;
    return s;
}

static stats_file *make(const char *path)
{
    stats_file *f = NULL;
    CHECK(stats_file_create(path, brisk_alloc_libc(), &f) == BRISK_OK);
    return f;
}

static brisk_err put(stats_file *f, uint32_t level, const stats_sample *s)
{
    brisk_errinfo info = {.text = ""};
    brisk_err err = stats_file_own(f, &info);
    err = err == BRISK_OK ? stats_file_put(f, level, s, &info) : err;
    CHECK((err == BRISK_OK) == (info.text[0] == '\0'));
    return err;
}

/* 0: none. */
static uint64_t commands_at(stats_file *f, uint32_t level, uint64_t at_s)
{
    stats_sample s;
    return stats_file_get(f, level, at_s / stats_step_s(level), &s) ? s.commands : 0;
}

static void test_every_period_of_a_level(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a/b/figures"); /* folders are made */
    stats_file *f = make(path);
    CHECK(commands_at(f, 1, begin_s) == 0); /* there is no file, and none is made by looking */
    CHECK(access(path, F_OK) != 0);
    for (uint32_t level = 1; level < STATS_LEVELS; level++) {
        uint32_t step = stats_step_s(level);
        for (uint32_t i = 0; i < stats_kept(level); i++) {
            stats_sample s = sample_of(begin_s + i * step, step, level * 10000 + i + 1);
            CHECK(put(f, level, &s) == BRISK_OK);
        }
    }
    stats_file_destroy(f);
    f = make(path); /* another process, which only reads */
    for (uint32_t level = 1; level < STATS_LEVELS; level++) {
        uint32_t step = stats_step_s(level);
        for (uint32_t i = 0; i < stats_kept(level); i++) {
            CHECK_U64(commands_at(f, level, begin_s + i * step), ==, level * 10000 + i + 1);
        }
        CHECK_U64(commands_at(f, level, begin_s - step), ==, 0);
        CHECK_U64(commands_at(f, level, begin_s + stats_kept(level) * step), ==, 0);
        stats_sample s =
            sample_of(begin_s + stats_kept(level) * step, step, 7); /* over the oldest */
        CHECK(put(f, level, &s) == BRISK_OK);
        CHECK_U64(commands_at(f, level, begin_s), ==, 0);
        CHECK_U64(commands_at(f, level, begin_s + stats_kept(level) * step), ==, 7);
    }
    stats_file_destroy(f);
}

static void test_the_longer_stays(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    stats_file *f = make(temp_dir_path(dir, "figures"));
    stats_sample s = sample_of(begin_s, 40, 1);
    CHECK(put(f, 1, &s) == BRISK_OK);
    s = sample_of(begin_s + 41, 19, 2); /* after a restart */
    CHECK(put(f, 1, &s) == BRISK_OK);
    CHECK_U64(commands_at(f, 1, begin_s), ==, 1);
    s = sample_of(begin_s, 41, 3);
    CHECK(put(f, 1, &s) == BRISK_OK);
    CHECK_U64(commands_at(f, 1, begin_s), ==, 3);
    s = sample_of(begin_s + 60 * stats_kept(1), 1, 4); /* of later: however short */
    CHECK(put(f, 1, &s) == BRISK_OK);
    CHECK_U64(commands_at(f, 1, begin_s), ==, 0);
    CHECK_U64(commands_at(f, 1, begin_s + 60 * stats_kept(1)), ==, 4);
    stats_file_destroy(f);
}

/* Whatever byte is wrong: at most the one sample is lost, or all of them with the header, and nothing is made up. */
static void test_damage(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "figures");
    uint64_t random = check_seed();
    stats_file *f = make(path);
    for (uint64_t i = 0; i < 3; i++) {
        stats_sample s = sample_of(begin_s + i * 60, 60, i + 1);
        CHECK(put(f, 1, &s) == BRISK_OK);
    }
    stats_file_destroy(f);
    size_t slot = 4096 + (size_t)(begin_s / 60 % stats_kept(1)) * (sizeof(stats_sample) + 8);
    for (uint32_t round = 0; round < 300; round++) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        off_t at = (off_t)(slot + check_random(&random) % (sizeof(stats_sample) + 8));
        unsigned char byte = 0;
        CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
        unsigned char wrong = (unsigned char)(byte ^ (1u << (check_random(&random) % 8)));
        CHECK(pwrite(fd, &wrong, 1, at) == 1);
        f = make(path);
        CHECK_U64(commands_at(f, 1, begin_s), ==, 0);
        CHECK_U64(commands_at(f, 1, begin_s + 60), ==, 2);
        CHECK_U64(commands_at(f, 1, begin_s + 120), ==, 3);
        stats_file_destroy(f);
        CHECK(pwrite(fd, &byte, 1, at) == 1);
        CHECK(close(fd) == 0);
    }
    CHECK(truncate(path, (off_t)slot + 10) == 0); /* the machine stopped */
    f = make(path);
    CHECK_U64(commands_at(f, 1, begin_s), ==, 0);
    stats_file_destroy(f);
}

static void test_other_files(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "figures");
    static const char letter[] =
        "Dear Sir, this is a letter and no figures. Please leave it alone.";
    stats_sample s = sample_of(begin_s, 60, 1);
    temp_write_text(path, letter);
    stats_file *f = make(path);
    CHECK(put(f, 1, &s) == BRISK_ERR_MISMATCH);
    CHECK(commands_at(f, 1, begin_s) == 0);
    CHECK(temp_holds(path, letter, sizeof letter - 1));
    CHECK(unlink(path) == 0);
    CHECK(put(f, 1, &s) == BRISK_OK); /* now there is room */
    stats_file_destroy(f);
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* as a newer brisk's */
    CHECK(fd >= 0 && pwrite(fd, "\x63", 1, 8) == 1 && close(fd) == 0);
    f = make(path);
    CHECK_U64(commands_at(f, 1, begin_s), ==, 0);
    CHECK(put(f, 1, &s) == BRISK_OK); /* begun anew */
    CHECK_U64(commands_at(f, 1, begin_s), ==, 1);
    stats_file_destroy(f);
    CHECK(unlink(path) == 0 && symlink("/etc/hostname", path) == 0);
    f = make(path);
    CHECK(put(f, 1, &s) != BRISK_OK); /* links are not followed */
    stats_file_destroy(f);
    f = make(temp_dir_path(dir, "")); /* a folder */
    CHECK(put(f, 1, &s) != BRISK_OK);
    CHECK(commands_at(f, 1, begin_s) == 0);
    stats_file_destroy(f);
}

static void test_one_writes(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "figures");
    stats_sample s = sample_of(begin_s, 60, 1);
    stats_file *first = make(path);
    stats_file *second = make(path);
    CHECK(put(first, 1, &s) == BRISK_OK);
    CHECK(put(second, 1, &s) == BRISK_ERR_CONFLICT);
    CHECK_U64(commands_at(second, 1, begin_s), ==, 1); /* but it may read */
    stats_file_destroy(first);
    s = sample_of(begin_s + 60, 60, 2);
    CHECK(put(second, 1, &s) == BRISK_OK);
    CHECK_U64(commands_at(second, 1, begin_s), ==, 1);
    CHECK_U64(commands_at(second, 1, begin_s + 60), ==, 2);
    stats_file_destroy(second);
}

/* A limit on the size of files stands for a disk that is full: nothing half is left, and it is tried again. */
static void test_a_full_disk(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "figures");
    stats_sample s = sample_of(begin_s, 60, 1);
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = {.rlim_cur = 10000, .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    stats_file *f = make(path);
    brisk_err err = put(f, 1, &s);
    struct stat st;
    bool empty = stat(path, &st) == 0 && st.st_size == 0;
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(err != BRISK_OK && empty);
    CHECK(commands_at(f, 1, begin_s) == 0);
    CHECK(put(f, 1, &s) == BRISK_OK);
    CHECK_U64(commands_at(f, 1, begin_s), ==, 1);
    stats_file_destroy(f);
}

static void test_its_place(void **state)
{
    (void)state;
    char path[4096];
    listen_socket tcp = {.text = "127.0.0.1:6380"};
    listen_socket any = {.text = "127.0.0.1:0"};
    listen_socket local = {.is_unix = true, .text = "/run/brisk/../s:0"};
    CHECK(unsetenv("STATE_DIRECTORY") == 0 && setenv("XDG_STATE_HOME", "/state", 1) == 0);
    CHECK(stats_file_default(&tcp, path, sizeof path));
    assert_string_equal(path, "/state/brisk/figures-127.0.0.1-6380");
    CHECK(!stats_file_default(&any, path, sizeof path));
    CHECK(stats_file_default(&local, path, sizeof path));
    assert_string_equal(path, "/state/brisk/figures--run-brisk-..-s-0");
    CHECK(setenv("STATE_DIRECTORY", "/var/lib/brisk", 1) == 0);
    CHECK(stats_file_default(&tcp, path, sizeof path));
    assert_string_equal(path, "/var/lib/brisk/figures-127.0.0.1-6380");
    CHECK(unsetenv("STATE_DIRECTORY") == 0 && setenv("XDG_STATE_HOME", "relative", 1) == 0);
    CHECK(setenv("HOME", "/home/me", 1) == 0);
    CHECK(stats_file_default(&tcp, path, sizeof path));
    assert_string_equal(path, "/home/me/.local/state/brisk/figures-127.0.0.1-6380");
    CHECK(unsetenv("HOME") == 0 && !stats_file_default(&tcp, path, sizeof path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_period_of_a_level),
        cmocka_unit_test(test_the_longer_stays),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_one_writes),
        cmocka_unit_test(test_a_full_disk),
        cmocka_unit_test(test_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
