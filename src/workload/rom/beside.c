/*
 * beside.c -- openat2(2) with RESOLVE_BENEATH; where the kernel has none (before 5.6, or a filter
 * forbids it), the resolved path is compared with the resolved folder.
 *
 * The file is found first as a place (O_PATH), which waits for nothing and reads nothing, and then
 * opened through it, so that what was checked is what is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workload/rom/beside.h"

/* The place of `path` as a file descriptor, or -1 and errno; EXDEV: it leaves the folder. */
static int find_resolved(const char *folder, const char *path)
{
    char root[PATH_MAX];
    char whole[PATH_MAX];
    if (realpath(folder, root) == NULL || realpath(path, whole) == NULL) {
        return -1;
    }
    size_t size = strlen(root);
    bool is_below =
        strcmp(root, "/") == 0 || (strncmp(root, whole, size) == 0 && whole[size] == '/');
    if (!is_below) {
        errno = EXDEV;
        return -1;
    }
    return open(whole, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

static int find_below(const char *path, size_t folder_size)
{
    char folder[PATH_MAX] = ".";
    if (folder_size >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (folder_size != 0) {
        memcpy(folder, path, folder_size);
        folder[folder_size] = '\0';
    }
    int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        return -1;
    }
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, root, path + folder_size, &how, sizeof how);
    int failed = errno;
    (void)close(root);
    if (fd < 0 && (failed == ENOSYS || failed == EPERM)) {
        return find_resolved(folder, path);
    }
    errno = failed;
    return fd;
}

brisk_err rom_open_beside(const char *path, size_t folder_size, uint64_t size_max,
                          brisk_file_view *ret, brisk_errinfo *info)
{
    int fd = find_below(path, folder_size);
    if (fd < 0 && errno == EXDEV) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION,
                                 "%s: a symbolic link leads out of the mod file's folder", path);
    }
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    char place[32];
    int size = snprintf(place, sizeof place, "/proc/self/fd/%d", fd);
    brisk_errinfo why = {0};
    brisk_err err = brisk_file_view_open(place, size_max, ret, &why);
    (void)close(fd);
    if (err != BRISK_OK) { /* the same words behind the name that the user knows */
        bool has_place = strncmp(why.text, place, (size_t)size) == 0;
        return brisk_errinfo_set(info, err, "%s%s%s", path, has_place ? "" : ": ",
                                 why.text + (has_place ? size : 0));
    }
    return BRISK_OK;
}
