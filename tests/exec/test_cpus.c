/*
 * test_cpus.c -- proves exec/cpus.h on made-up control-group trees: both versions, ancestors,
 * rounding, and text that makes no sense.
 */
#include <sched.h>
#include <string.h>

#include <brisk/executor.h>

#include "base/thread.h"
#include "exec/cpus.h"
#include "support/check.h"
#include "support/temp_dir.h"

static void put_file(temp_dir *dir, const char *name, const char *text)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", dir->path, name);
    for (char *slash = path + strlen(dir->path) + 1; (slash = strchr(slash, '/')) != NULL;
         slash++) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    temp_write_text(path, text);
}

static void test_nothing_to_read_is_no_limit(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    CHECK_U64(exec_cpu_quota(dir->path), ==, 0);
    put_file(dir, "proc/self/cgroup", "0::/a\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 0);
    CHECK_U64(exec_cpu_count(), >=, 1);
}

static void test_version_2(void **state)
{
    (void)state;
    static const struct {
        const char *top;
        const char *leaf;
        uint32_t cpus;
    } CASES[] = {
        {"max 100000\n", "max 100000\n", 0},
        {"max 100000\n", "150000 100000\n", 2}, /* rounded up */
        {"max 100000\n", "100000 100000\n", 1},
        {"max 100000\n", "1000 100000\n", 1},
        {"300000 100000\n", "800000 100000\n", 3}, /* the ancestor is stricter */
        {"300000 100000\n", "max 100000\n", 3},
        {"max 100000\n", "0 100000\n", 0},
        {"max 100000\n", "-5 100000\n", 0},
        {"max 100000\n", "100000 0\n", 0},
        {"max 100000\n", "100000\n", 0},
        {"max 100000\n", "99999999999999999999999 1\n", 0},
        {"max 100000\n", "9223372036854775807 1\n", UINT32_MAX},
        {"max 100000\n", "pigs can fly", 0},
        {"max 100000\n", "", 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        put_file(dir, "proc/self/cgroup", "0::/a/b\n");
        put_file(dir, "sys/fs/cgroup/a/cpu.max", CASES[i].top);
        put_file(dir, "sys/fs/cgroup/a/b/cpu.max", CASES[i].leaf);
        CHECK_U64(exec_cpu_quota(dir->path), ==, CASES[i].cpus);
    }
}

static void test_the_mount_itself_counts(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    put_file(dir, "proc/self/cgroup", "0::/not/visible/here\n");
    put_file(dir, "sys/fs/cgroup/cpu.max", "250000 100000\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 3);
    put_file(dir, "proc/self/cgroup", "0::/\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 3);
    put_file(dir, "sys/fs/cpu.max", "100000 100000\n"); /* outside the mount: not ours */
    CHECK_U64(exec_cpu_quota(dir->path), ==, 3);
    put_file(dir, "proc/self/cgroup", "0::/../..\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 0);
}

static void test_version_1(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    put_file(dir, "proc/self/cgroup",
             "12:cpuset:/x\n5:cpuacct,cpu:/box\n1:name=systemd:/y\nnonsense\n::\n");
    put_file(dir, "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "420000\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 0); /* no period */
    put_file(dir, "sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 5);
    put_file(dir, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put_file(dir, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 5);
    put_file(dir, "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 0);
    put_file(dir, "proc/self/cgroup", "12:cpuset:/box\n"); /* another controller's group */
    put_file(dir, "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "100000\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 0);
}

static void test_long_paths_are_survived(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char *text = calloc(1, 20000);
    assert_non_null(text);
    memcpy(text, "0::/", 4);
    memset(text + 4, 'a', 15000);
    put_file(dir, "proc/self/cgroup", text);
    put_file(dir, "sys/fs/cgroup/cpu.max", "200000 100000\n");
    CHECK_U64(exec_cpu_quota(dir->path), ==, 2);
    free(text);
}

/* Runs in a thread of its own, whose mask may be narrowed without harm. */
static void count_on_one(void *ctx)
{
    cpu_set_t mask;
    cpu_set_t one;
    uint32_t *ret = ctx;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) {
        return;
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &mask)) {
            CPU_SET(cpu, &one);
        }
    }
    if (sched_setaffinity(0, sizeof one, &one) == 0) {
        *ret = exec_cpu_count();
    }
}

static void test_the_affinity_mask_counts(void **state)
{
    (void)state;
    uint32_t count = 0;
    brisk_thread thread;
    CHECK_OK(brisk_thread_start(&thread, &(brisk_thread_opts){.run = count_on_one, .ctx = &count}));
    brisk_thread_join(&thread);
    if (count == 0) {
        print_message("the affinity mask cannot be changed here\n");
        skip();
    }
    CHECK_U64(count, ==, 1);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_nothing_to_read_is_no_limit),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_the_mount_itself_counts),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_long_paths_are_survived),
        cmocka_unit_test(test_the_affinity_mask_counts),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
