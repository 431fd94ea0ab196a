/*
 * stamp.c -- slots of 32 bytes in $XDG_CACHE_HOME/brisk/pkg.stamps (or below $HOME/.cache).
 *
 * A slot is read and written in one call and has a check, so that one that was half written, or lies
 * in a file that is none of ours, is not taken for an answer.
 */
#include "workload/pkg/stamp.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brisk/file.h>

enum { STAMP_FORMAT = 1 };

typedef struct slot {
    uint64_t low;
    uint64_t high;
    uint64_t packages;
    uint64_t check;
} slot;

static uint64_t check_of(const slot *s)
{
    return brisk_hash64(s, sizeof *s - sizeof s->check, STAMP_FORMAT);
}

static int open_table(int flags)
{
    char path[PATH_MAX];
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    bool has_cache = cache != NULL && cache[0] == '/';
    if (!has_cache && (home == NULL || home[0] != '/')) {
        return -1;
    }
    int size = snprintf(path, sizeof path, "%s%s/brisk", has_cache ? cache : home,
                        has_cache ? "" : "/.cache");
    brisk_errinfo info;
    if (size >= PATH_MAX - 16 ||
        ((flags & O_CREAT) != 0 && brisk_file_make_dirs(path, &info) != BRISK_OK)) {
        return -1;
    }
    (void)snprintf(path + size, sizeof path - (size_t)size, "/pkg.stamps");
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static off_t place_of(brisk_hash128 what)
{
    return (off_t)(what.lo % PKG_STAMP_SLOTS * sizeof(slot));
}

bool pkg_stamp_get(brisk_hash128 what, uint32_t *ret_packages)
{
    slot s;
    int fd = open_table(O_RDONLY);
    bool good = fd >= 0 &&
                brisk_file_pread_all(fd, &s, sizeof s, (uint64_t)place_of(what)) == BRISK_OK &&
                s.low == what.lo && s.high == what.hi && s.check == check_of(&s);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (good) {
        *ret_packages = (uint32_t)s.packages;
    }
    return good;
}

void pkg_stamp_put(brisk_hash128 what, uint32_t packages)
{
    slot s = {.low = what.lo, .high = what.hi, .packages = packages};
    s.check = check_of(&s);
    int fd = open_table(O_WRONLY | O_CREAT);
    if (fd >= 0) {
        brisk_err err = brisk_file_pwrite_all(fd, &s, sizeof s, (uint64_t)place_of(what));
        (void)err; /* then it is looked at again */
        (void)close(fd);
    }
}
