/*
 * file_read.c -- behind file_read.h.
 *
 * A file that is replaced by rename while it is read is no trouble: what was opened stays what it
 * was.  One that is written in place is noticed by its size and its time, which are looked at before
 * and after, and read again; a file that never stays still is refused.  Opening does not block on a
 * FIFO, and what is no regular file is never read.
 *
 * Threads: no state.
 */
#include "workload/pkg/file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 4 };

static brisk_err kind_error(const char *path, mode_t mode, brisk_errinfo *info)
{
    const char *kind = S_ISDIR(mode)    ? "a folder"
                       : S_ISFIFO(mode) ? "a FIFO"
                       : S_ISLNK(mode)  ? "a symbolic link"
                       : S_ISSOCK(mode) ? "a socket"
                                        : "a device";
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: is %s; put a regular file there", path,
                             kind);
}

static brisk_err open_error(const char *path, const pkg_file_opts *opts, int os_errno,
                            brisk_errinfo *info)
{
    struct stat st;
    if (os_errno == ELOOP && !opts->follow_links && lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        return kind_error(path, st.st_mode, info);
    }
    if (os_errno == ENXIO && stat(path, &st) == 0) { /* a socket cannot be opened */
        return kind_error(path, st.st_mode, info);
    }
    return brisk_errinfo_set_errno(info, os_errno, "%s", path);
}

/* All of the file; `size` is what it should have, and one more byte is tried for. */
static brisk_err read_all(int fd, char *data, size_t size, size_t *ret)
{
    size_t have = 0;
    while (have < size + 1) {
        ssize_t n = pread(fd, data + have, size + 1 - have, (off_t)have);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return BRISK_ERR_IO;
        }
        if (n == 0) {
            break;
        }
        have += (size_t)n;
    }
    *ret = have;
    return BRISK_OK;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static brisk_err read_open(int fd, const char *path, const pkg_file_opts *opts, brisk_arena *arena,
                           pkg_text *ret, brisk_errinfo *info)
{
    struct stat before;
    if (fstat(fd, &before) != 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    if (!S_ISREG(before.st_mode)) {
        return kind_error(path, before.st_mode, info);
    }
    for (int i = 0; i < TRIES; i++) {
        if ((uint64_t)before.st_size > opts->size_max) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: is larger than %zu KiB", path,
                                     opts->size_max / 1024);
        }
        size_t size = (size_t)before.st_size;
        char *data = brisk_arena_alloc(arena, size + 2);
        if (data == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", path);
        }
        size_t have;
        struct stat after;
        if (read_all(fd, data, size, &have) != BRISK_OK || fstat(fd, &after) != 0) {
            return brisk_errinfo_set_errno(info, errno, "%s", path);
        }
        if (have == size && is_same(&before, &after)) {
            data[size] = '\0';
            *ret = (pkg_text){.data = data, .size = size};
            return BRISK_OK;
        }
        before = after;
    }
    return brisk_errinfo_set(info, BRISK_ERR_CONFLICT,
                             "%s: is being written all the time; try again when that is over",
                             path);
}

brisk_err pkg_file_read(const char *path, const pkg_file_opts *opts, brisk_arena *arena,
                        pkg_text *ret, brisk_errinfo *info)
{
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = open(path, flags | (opts->follow_links ? 0 : O_NOFOLLOW));
    if (fd < 0) {
        return open_error(path, opts, errno, info);
    }
    brisk_err err = read_open(fd, path, opts, arena, ret, info);
    (void)close(fd);
    return err;
}
