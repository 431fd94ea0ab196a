/*
 * stale.c -- folders of runs whose profiler was killed: removed by the next run.
 *
 * A run's folder has its profiler's process number and start in its name, brisk-heap-PID-START-XXXXXX, so that a
 * number that was given again is no owner.  A folder is stale when its owner is gone and no process whose samples are
 * in it lives; such a process goes on sampling and can still be looked at (--pid).  Only folders of the same user are
 * looked at, and no symbolic link is followed.
 *
 * Threads: none of its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/machine.h>

#include "observe/heap/memory.h"

enum { RANDOM_LETTERS = 6, FOLDERS_MAX = 1000 };

/* The part of a folder's name that tells its owner: this process.  "" when /proc does not tell. */
void heap_owner_name(char name[HEAP_OWNER_MAX])
{
    brisk_process own;
    name[0] = '\0';
    if (brisk_process_read(NULL, 0, &own) == BRISK_OK) {
        (void)snprintf(name, HEAP_OWNER_MAX, "%" PRIu32 "-%" PRIx64 "-", own.pid, own.start_ns);
    }
}

static bool is_alive(uint32_t pid)
{
    return pid <= INT32_MAX && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

static bool owner_is_gone(const char *name)
{
    uint32_t pid;
    uint64_t start;
    int end = 0;
    if (sscanf(name, "brisk-heap-%" SCNu32 "-%" SCNx64 "-%n", &pid, &start, &end) != 2 ||
        end == 0 || strlen(name + end) != RANDOM_LETTERS) {
        return false; /* not one of ours */
    }
    brisk_process owner;
    brisk_err err = brisk_process_read(NULL, pid, &owner);
    return err == BRISK_ERR_NOT_FOUND || (err == BRISK_OK && owner.start_ns != start);
}

/* The folder, or -1: it is not ours, or a process in it lives. */
static int open_stale(int place, const char *name)
{
    int fd = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    bool stale = fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid();
    int copy = stale ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    stale = stale && dir != NULL;
    while (stale && (entry = readdir(dir)) != NULL) {
        uint32_t pid;
        uint32_t number;
        stale = sscanf(entry->d_name, "%" SCNu32 "-%" SCNu32 ".heap", &pid, &number) != 2 ||
                !is_alive(pid);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    } else if (copy >= 0) {
        (void)close(copy);
    }
    if (!stale && fd >= 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* Files first; the folder's own descriptor, so that a name that moved meanwhile is no matter. */
static void remove_open(int place, const char *name, int fd)
{
    DIR *dir = fdopendir(fd);
    const struct dirent *entry;
    if (dir == NULL) {
        (void)close(fd);
        return;
    }
    rewinddir(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    (void)closedir(dir);
    (void)unlinkat(place, name, AT_REMOVEDIR);
}

uint32_t heap_remove_stale(const char *place)
{
    DIR *dir = opendir(place);
    const struct dirent *entry;
    uint32_t removed = 0;
    uint32_t seen = 0;
    while (dir != NULL && (entry = readdir(dir)) != NULL && seen < FOLDERS_MAX) {
        if (strncmp(entry->d_name, "brisk-heap-", 11) != 0) {
            continue;
        }
        seen++;
        int fd = owner_is_gone(entry->d_name) ? open_stale(dirfd(dir), entry->d_name) : -1;
        if (fd >= 0) {
            remove_open(dirfd(dir), entry->d_name, fd);
            removed++;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return removed;
}
