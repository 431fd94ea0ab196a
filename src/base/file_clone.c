/*
 * file_clone.c -- brisk_file_clone: the cheapest way to make one file's bytes another's.
 *
 *     reflink ──refused──► copy_file_range ──refused──► read and write
 *
 * A refusal before the first byte moves on to the next way; a failure after it is an error.
 */
#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>

#include "base/assert.h"

enum {
    BUFFER_BYTES = 131072,     /* read and write: fits the second-level cache, few calls */
    RANGE_BYTES_MAX = 1 << 30, /* per copy_file_range; the kernel itself stops at 2 GiB - 4096 */
};

const char *brisk_file_how_name(brisk_file_how how)
{
    switch (how) {
    case BRISK_FILE_REFLINK: return "reflink";
    case BRISK_FILE_COPY_RANGE: return "copy_file_range";
    case BRISK_FILE_READ_WRITE: return "read and write";
    }
    return "unknown";
}

static brisk_err copy_error(int os_errno)
{
    return brisk_err_from_errno(os_errno) == BRISK_ERR_FULL ? BRISK_ERR_FULL : BRISK_ERR_IO;
}

/* BRISK_ERR_UNSUPPORTED when not a byte was moved and another way may work. */
static brisk_err copy_range(int src_fd, int dst_fd, uint64_t size)
{
    off_t from = 0;
    off_t to = 0;
    while ((uint64_t)from < size) {
        uint64_t left = size - (uint64_t)from;
        size_t part = left < RANGE_BYTES_MAX ? (size_t)left : RANGE_BYTES_MAX;
        ssize_t done = copy_file_range(src_fd, &from, dst_fd, &to, part, 0);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done > 0) {
            continue;
        }
        if (from != 0) {
            return done < 0 ? copy_error(errno) : BRISK_ERR_CORRUPT;
        }
        /* 0 at the start: some virtual file systems answer so instead of refusing */
        return done < 0 && copy_error(errno) == BRISK_ERR_FULL ? BRISK_ERR_FULL
                                                               : BRISK_ERR_UNSUPPORTED;
    }
    return BRISK_OK;
}

static brisk_err read_write(int src_fd, int dst_fd, uint64_t size)
{
    char buffer[BUFFER_BYTES];
    for (uint64_t at = 0; at < size;) {
        uint64_t left = size - at;
        size_t part = left < sizeof buffer ? (size_t)left : sizeof buffer;
        brisk_err err = brisk_file_pread_all(src_fd, buffer, part, at);
        if (err == BRISK_OK) {
            err = brisk_file_pwrite_all(dst_fd, buffer, part, at);
        }
        if (err != BRISK_OK) {
            return err;
        }
        at += part;
    }
    return BRISK_OK;
}

brisk_err brisk_file_clone(int src_fd, int dst_fd, uint64_t size, brisk_file_how *how)
{
    struct stat st;
    if (fstat(src_fd, &st) != 0) {
        return BRISK_ERR_IO;
    }
    if (size > (uint64_t)st.st_size) {
        return BRISK_ERR_CORRUPT;
    }
    brisk_file_how used = BRISK_FILE_REFLINK;
    brisk_err err = BRISK_OK;
    if (size != (uint64_t)st.st_size || ioctl(dst_fd, FICLONE, src_fd) != 0) {
        used = BRISK_FILE_COPY_RANGE;
        err = copy_range(src_fd, dst_fd, size);
    }
    if (err == BRISK_ERR_UNSUPPORTED) {
        used = BRISK_FILE_READ_WRITE;
        err = read_write(src_fd, dst_fd, size);
    }
    if (err == BRISK_OK && how != NULL) {
        *how = used;
    }
    return err;
}
