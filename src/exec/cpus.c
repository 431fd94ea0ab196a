/*
 * cpus.c -- affinity mask and control-group quota.
 *
 * A container with half a processor on a 64-core host must not get 64 workers.  /proc/self/cgroup
 * names our group ("0::/a/b" in version 2, "4:cpu,cpuacct:/a/b" in version 1); every ancestor may
 * limit us too, so the path is walked up to the mount.  Inside a container the named path is often
 * not visible; the mount itself is then our group, and the walk ends there anyway.
 *
 * Everything read is untrusted: fixed buffers, 64-bit numbers, anything odd counts as no limit.
 * Source: kernel Documentation/admin-guide/cgroup-v2.rst (cpu.max), scheduler/sched-bwc.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brisk/executor.h>

#include "exec/cpus.h"

enum {
    CGROUP_BYTES = 8192, /* /proc/self/cgroup: a line per hierarchy, a dozen at most */
    VALUE_BYTES = 64,    /* "max 100000" */
    MASK_SETS = 16,      /* of 1024 processors each */
};

/* Read at most size - 1 bytes and terminate them; false when the file cannot be read. */
static bool read_text(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t length = 0;
    while (length < size - 1) {
        ssize_t part = read(fd, buffer + length, size - 1 - length);
        if (part < 0 && errno == EINTR) {
            continue;
        }
        if (part <= 0) {
            break;
        }
        length += (size_t)part;
    }
    (void)close(fd);
    buffer[length] = '\0';
    return length > 0;
}

/* A positive decimal at *text, which is moved behind it; 0 when there is none. */
static uint64_t read_number(const char **text)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(*text, &end, 10);
    if (end == *text || errno != 0 || value <= 0) {
        return 0;
    }
    *text = end;
    return (uint64_t)value;
}

/* Whole processors for `quota` microseconds in every `period`; 0 means no limit. */
static uint32_t round_up(uint64_t quota, uint64_t period)
{
    if (quota == 0 || period == 0) {
        return 0;
    }
    uint64_t cpus = quota / period + (quota % period != 0 ? 1 : 0);
    return cpus < UINT32_MAX ? (uint32_t)cpus : UINT32_MAX;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0) {
        return a != 0 ? a : b;
    }
    return a < b ? a : b;
}

static uint32_t quota_v2(const char *folder)
{
    char path[PATH_MAX + 32];
    char text[VALUE_BYTES];
    (void)snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (!read_text(path, text, sizeof text)) {
        return 0;
    }
    const char *at = text; /* "max 100000" has no number at its start: no limit */
    uint64_t quota = read_number(&at);
    return round_up(quota, read_number(&at));
}

static uint32_t quota_v1(const char *folder)
{
    char path[PATH_MAX + 32];
    char text[VALUE_BYTES];
    (void)snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (!read_text(path, text, sizeof text)) {
        return 0;
    }
    const char *at = text; /* "-1" means no limit */
    uint64_t quota = read_number(&at);
    (void)snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (!read_text(path, text, sizeof text)) {
        return 0;
    }
    at = text;
    return round_up(quota, read_number(&at));
}

/* The least quota from `mount``group` up to `mount`; `group` starts with '/'. */
static uint32_t walk_up(const char *mount, const char *group, uint32_t (*quota)(const char *folder))
{
    char folder[PATH_MAX];
    size_t mount_length = strlen(mount);
    int length = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (length < 0 || (size_t)length >= sizeof folder) {
        return quota(mount);
    }
    uint32_t cpus = 0;
    for (;;) {
        cpus = least(cpus, quota(folder));
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < mount_length) {
            return cpus;
        }
        *slash = '\0';
    }
}

/* Is `name` one of the comma-separated controllers of length `size` at `list`? */
static bool has_controller(const char *list, size_t size, const char *name)
{
    size_t wanted = strlen(name);
    size_t at = 0;
    while (at < size) {
        const char *comma = memchr(list + at, ',', size - at);
        size_t end = comma != NULL ? (size_t)(comma - list) : size;
        if (end - at == wanted && memcmp(list + at, name, wanted) == 0) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

/* One line "number:controllers:/path" of /proc/self/cgroup. */
static uint32_t quota_of_line(const char *root, const char *line)
{
    const char *controllers = strchr(line, ':');
    const char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL || group[1] != '/' || strstr(group, "/..") != NULL) {
        return 0;
    }
    controllers++;
    char mount[PATH_MAX];
    if (group == controllers) {
        (void)snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
        return walk_up(mount, group + 1, quota_v2);
    }
    if (!has_controller(controllers, (size_t)(group - controllers), "cpu")) {
        return 0;
    }
    (void)snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/cpu", root);
    return walk_up(mount, group + 1, quota_v1);
}

uint32_t exec_cpu_quota(const char *root)
{
    char path[PATH_MAX];
    char text[CGROUP_BYTES];
    (void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!read_text(path, text, sizeof text)) {
        return 0;
    }
    uint32_t cpus = 0;
    char *line = text;
    while (line != NULL && *line != '\0') {
        char *newline = strchr(line, '\n');
        if (newline != NULL) {
            *newline = '\0';
        }
        cpus = least(cpus, quota_of_line(root, line));
        line = newline != NULL ? newline + 1 : NULL;
    }
    return cpus;
}

static uint32_t affinity_count(void)
{
    cpu_set_t masks[MASK_SETS]; /* one bit string: the kernel refuses a mask that is too short */
    if (sched_getaffinity(0, sizeof masks, masks) != 0) {
        return 0;
    }
    return (uint32_t)CPU_COUNT_S(sizeof masks, masks);
}

uint32_t exec_cpu_count(void)
{
    uint32_t cpus = least(affinity_count(), exec_cpu_quota(""));
    cpus = cpus != 0 ? cpus : 1;
    return cpus < BRISK_EXECUTOR_WORKERS_MAX ? cpus : BRISK_EXECUTOR_WORKERS_MAX;
}
