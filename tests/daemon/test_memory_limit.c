/*
 * test_memory_limit.c -- limits of made-up control groups: the group itself, those above it, a container's root.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/memory_limit.h"
#include "support/check.h"
#include "support/temp_dir.h"

static void put(temp_dir *dir, const char *name, const char *text)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_dir_path(dir, name));
    for (char *slash = strchr(path + strlen(dir->path) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    temp_write_text(path, text);
}

static void test_groups(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    uint64_t machine = memory_limit_of_kernel(dir->path); /* no group at all */
    CHECK_U64(machine, >, 1 << 20);
    put(dir, "proc/self/cgroup", "1:name=x:/y\n0::/system.slice/brisk.service\n");
    CHECK_U64(memory_limit_of_kernel(dir->path), ==, machine);
    put(dir, "sys/fs/cgroup/system.slice/brisk.service/memory.max", "max\n");
    CHECK_U64(memory_limit_of_kernel(dir->path), ==, machine);
    put(dir, "sys/fs/cgroup/system.slice/brisk.service/memory.max", "20480\n");
    CHECK_U64(memory_limit_of_kernel(dir->path), ==, 20480);
    put(dir, "sys/fs/cgroup/system.slice/memory.max", "10240\n");
    CHECK_U64(memory_limit_of_kernel(dir->path), ==, 10240);
    put(dir, "sys/fs/cgroup/memory.max", "5120\n"); /* a container's */
    CHECK_U64(memory_limit_of_kernel(dir->path), ==, 5120);
    put(dir, "sys/fs/cgroup/memory.max", "18446744073709551615\n");
    CHECK_U64(memory_limit_of_kernel(dir->path), ==, 10240);
    put(dir, "sys/memory.max", "1\n"); /* above the mount: none of ours */
    put(dir, "proc/self/cgroup", "0::/\n");
    CHECK_U64(memory_limit_of_kernel(dir->path), ==, machine);
    put(dir, "proc/self/cgroup", "0::/../../..\n"); /* of another namespace */
    CHECK_U64(memory_limit_of_kernel(dir->path), ==, machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
