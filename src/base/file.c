/*
 * file.c -- views, whole reads and writes, and folders, behind <brisk/file.h>.
 *
 * A view is opened with O_NONBLOCK, so that a FIFO without a writer is refused instead of waited
 * for, and everything is decided from fstat of the open descriptor: no name is looked at twice.
 * Where mmap is not possible (some virtual file systems) the bytes are read into an anonymous
 * mapping, so that closing is munmap in either case.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>

#include "base/assert.h"

/* What write and read report, narrowed to what the header promises. */
static brisk_err io_error(int os_errno)
{
    return brisk_err_from_errno(os_errno) == BRISK_ERR_FULL ? BRISK_ERR_FULL : BRISK_ERR_IO;
}

/* Read-only pages with the file's bytes, or NULL and errno. */
static void *map_bytes(int fd, size_t size)
{
    void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED) {
        return map;
    }
    if (errno != ENODEV) {
        return NULL;
    }
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return NULL;
    }
    if (brisk_file_pread_all(fd, map, size, 0) != BRISK_OK) {
        (void)munmap(map, size);
        errno = EIO;
        return NULL;
    }
    (void)mprotect(map, size, PROT_READ);
    return map;
}

static brisk_err view_of(int fd, const char *path, uint64_t size_max, brisk_file_view *ret,
                         brisk_errinfo *info)
{
    static const unsigned char nothing = 0;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    if (S_ISDIR(st.st_mode)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: is a folder, not a file", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: not a regular file", path);
    }
    uint64_t size = (uint64_t)st.st_size;
    if (size > size_max || size > SIZE_MAX / 2) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "%s: %llu bytes, more than the %llu allowed here", path,
                                 (unsigned long long)size, (unsigned long long)size_max);
    }
    brisk_file_view view = {.data = &nothing, .dev = st.st_dev, .ino = st.st_ino};
    if (size != 0) {
        view.map_ = map_bytes(fd, (size_t)size);
        if (view.map_ == NULL) {
            return brisk_errinfo_set_errno(info, errno, "%s", path);
        }
        view.data = view.map_;
        view.size = (size_t)size;
    }
    *ret = view;
    return BRISK_OK;
}

brisk_err brisk_file_view_open(const char *path, uint64_t size_max, brisk_file_view *ret,
                               brisk_errinfo *info)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ENXIO) { /* a socket's name */
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: not a regular file", path);
    }
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    brisk_err err = view_of(fd, path, size_max, ret, info);
    (void)close(fd);
    return err;
}

void brisk_file_view_close(brisk_file_view *view)
{
    if (view->map_ != NULL) {
        int failed = munmap(view->map_, view->size);
        BRISK_ASSERT(failed == 0);
    }
    *view = (brisk_file_view){0};
}

brisk_err brisk_file_write_all(int fd, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        ssize_t done = write(fd, from, size);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? io_error(errno) : BRISK_ERR_IO;
        }
        from += done;
        size -= (size_t)done;
    }
    return BRISK_OK;
}

brisk_err brisk_file_pwrite_all(int fd, const void *data, size_t size, uint64_t offset)
{
    const char *from = data;
    if (offset > INT64_MAX || size > INT64_MAX - offset) {
        return BRISK_ERR_FULL;
    }
    while (size > 0) {
        ssize_t done = pwrite(fd, from, size, (off_t)offset);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? io_error(errno) : BRISK_ERR_IO;
        }
        from += done;
        size -= (size_t)done;
        offset += (uint64_t)done;
    }
    return BRISK_OK;
}

brisk_err brisk_file_pread_all(int fd, void *data, size_t size, uint64_t offset)
{
    char *to = data;
    while (size > 0) {
        if (offset > INT64_MAX) {
            return BRISK_ERR_CORRUPT;
        }
        ssize_t done = pread(fd, to, size, (off_t)offset);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? BRISK_ERR_IO : BRISK_ERR_CORRUPT;
        }
        to += done;
        size -= (size_t)done;
        offset += (uint64_t)done;
    }
    return BRISK_OK;
}

/* One level; fine when a folder is already there. */
static brisk_err make_dir(const char *path, brisk_errinfo *info)
{
    if (mkdir(path, 0700) == 0) {
        return BRISK_OK;
    }
    int os_errno = errno;
    struct stat st;
    if (stat(path, &st) != 0) {
        return brisk_errinfo_set_errno(info, os_errno, "%s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: not a folder", path);
    }
    return BRISK_OK;
}

brisk_err brisk_file_make_dirs(const char *path, brisk_errinfo *info)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "an empty path names no folder");
    }
    if (size >= sizeof part) {
        return brisk_errinfo_set_errno(info, ENAMETOOLONG, "%s", path);
    }
    memcpy(part, path, size + 1);
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return BRISK_OK; /* the usual case costs one call */
    }
    for (size_t i = 1; i <= size; i++) {
        if ((part[i] != '/' && part[i] != '\0') || part[i - 1] == '/') {
            continue;
        }
        char kept = part[i];
        part[i] = '\0';
        brisk_err err = make_dir(part, info);
        if (err != BRISK_OK) {
            return err;
        }
        part[i] = kept;
    }
    return BRISK_OK;
}
