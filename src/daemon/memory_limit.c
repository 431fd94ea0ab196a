/*
 * memory_limit.c -- memory.max of the control groups that a process is in, see memory_limit.h.
 *
 * A service has its limit in a group of its own, /sys/fs/cgroup/system.slice/NAME.service; within a container the mounted
 * root is the container's group.  So every group from the process's own up to the mount is asked.
 *
 * Source: kernel Documentation/admin-guide/cgroup-v2.rst (memory.max).
 */
#include "daemon/memory_limit.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* UINT64_MAX: there is none ("max"), or it cannot be read. */
static uint64_t limit_in(const char *folder)
{
    char path[PATH_MAX];
    char text[64] = "";
    int size = snprintf(path, sizeof path, "%s/memory.max", folder);
    FILE *file = size > 0 && (size_t)size < sizeof path ? fopen(path, "re") : NULL;
    if (file == NULL) {
        return UINT64_MAX;
    }
    uint64_t limit = fgets(text, sizeof text, file) != NULL ? strtoull(text, NULL, 10) : 0;
    (void)fclose(file);
    return limit > 0 ? limit : UINT64_MAX;
}

/* The line "0::/path" of /proc/self/cgroup; false: there is none. */
static bool read_group(const char *root, char *group, size_t room)
{
    char path[PATH_MAX];
    char line[PATH_MAX];
    bool found = false;
    int size = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = size > 0 && (size_t)size < sizeof path ? fopen(path, "re") : NULL;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found =
            strncmp(line, "0::/", 4) == 0 && strstr(line, "/..") == NULL && strlen(line + 3) < room;
    }
    if (found) {
        memcpy(group, line + 3, strlen(line + 3) + 1);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

uint64_t memory_limit_of_kernel(const char *root)
{
    uint64_t limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    char group[PATH_MAX - 64] = "";
    char folder[PATH_MAX];
    int mount = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup", root);
    if (mount <= 0 || (size_t)mount >= sizeof folder) {
        return limit;
    }
    if (read_group(root, group,
                   sizeof folder - (size_t)mount < sizeof group ? sizeof folder - (size_t)mount
                                                                : sizeof group)) {
        memcpy(folder + mount, group, strlen(group) + 1);
    }
    for (;;) {
        limit = least(limit, limit_in(folder));
        char *slash = strrchr(folder, '/');
        if (slash == NULL || slash - folder < mount) {
            return limit;
        }
        *slash = '\0';
    }
}
