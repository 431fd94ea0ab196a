/*
 * file_replace.c -- atomic replacement: a temporary file becomes the target by link or rename.
 *
 *     open ──► O_TMPFILE: no name ──commit──► linkat to the target         (target is new)
 *       │                        └──commit──► linkat to a hidden name, rename over the target
 *       └────► hidden name (where O_TMPFILE is refused) ──commit──► rename over the target
 *
 * A file without a name vanishes with the process, so a killed one leaves nothing behind; only
 * between linkat and rename can a hidden name remain.  Everything happens relative to the folder
 * opened at the start: neither chdir nor a rename of the folder moves the result elsewhere.  A
 * symbolic link is followed first, so that the link stays and what it names is replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>

#include "base/assert.h"

enum {
    NAME_BYTES = 32,  /* ".brisk-" and 16 hexadecimal digits, or the empty string */
    NAME_TRIES = 100, /* against names that are taken */
    MODE_NEW = 0666,  /* less the umask, as every program does */
    MODE_KEPT = 0777, /* of an existing target; set-id bits die with the old content */
};

struct brisk_file_replace {
    const brisk_alloc *alloc;
    size_t size; /* of this block */
    int fd;
    int dir_fd;
    bool exists;           /* the target did when this began */
    char temp[NAME_BYTES]; /* hidden name in the folder; "" while there is none */
    char *base;            /* the target's name in the folder */
    char path[];           /* as given, for error texts; `base` stands behind it */
};

static void close_all(brisk_file_replace *replace)
{
    if (replace->temp[0] != '\0') {
        (void)unlinkat(replace->dir_fd, replace->temp, 0);
    }
    if (replace->fd >= 0) {
        (void)close(replace->fd);
    }
    if (replace->dir_fd >= 0) {
        (void)close(replace->dir_fd);
    }
    const brisk_alloc *alloc = replace->alloc;
    alloc->release(alloc->ctx, replace, replace->size, _Alignof(brisk_file_replace));
}

/* A name that nobody guesses; not for secrets, so a short getrandom is no matter. */
static void random_name(char name[static NAME_BYTES])
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number) {
        number ^= (uint64_t)getpid() << 32 ^ (uintptr_t)name;
    }
    (void)snprintf(name, NAME_BYTES, ".brisk-%016llx", (unsigned long long)number);
}

/* 0 or errno. */
static int open_named(brisk_file_replace *replace, mode_t mode)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        char name[NAME_BYTES];
        random_name(name);
        replace->fd =
            openat(replace->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (replace->fd >= 0) {
            memcpy(replace->temp, name, sizeof name);
            return 0;
        }
        if (errno != EEXIST) {
            return errno;
        }
    }
    return EEXIST;
}

/* 0 or errno.  Without /proc a nameless file could never be given a name again. */
static int open_temporary(brisk_file_replace *replace, mode_t mode)
{
    if (access("/proc/self/fd", X_OK) == 0) {
        replace->fd = openat(replace->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
        if (replace->fd >= 0) {
            return 0;
        }
    }
    return open_named(replace, mode); /* also says best why a folder takes no file */
}

/* Split `path` into the open folder and the name in it.  0 or errno. */
static int open_folder(brisk_file_replace *replace, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    char folder[PATH_MAX] = ".";
    if (slash != NULL) {
        size_t size = slash == path ? 1 : (size_t)(slash - path);
        memcpy(folder, path, size);
        folder[size] = '\0';
    }
    memcpy(replace->base, base, strlen(base) + 1);
    replace->dir_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return replace->dir_fd >= 0 ? 0 : errno;
}

/* The path that is really replaced: `path`, or where its symbolic link leads. */
static brisk_err resolve(const char *path, struct stat *st, bool *exists, char real[PATH_MAX],
                         brisk_errinfo *info)
{
    size_t size = strlen(path);
    if (size >= PATH_MAX) {
        return brisk_errinfo_set_errno(info, ENAMETOOLONG, "%s", path);
    }
    memcpy(real, path, size + 1);
    *exists = lstat(path, st) == 0;
    if (!*exists && errno != ENOENT) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    if (*exists && S_ISLNK(st->st_mode)) {
        if (stat(path, st) != 0 || realpath(path, real) == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "%s: a symbolic link that leads nowhere", path);
        }
    }
    if (size == 0 || path[size - 1] == '/' || (*exists && S_ISDIR(st->st_mode))) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: is a folder, not a file", path);
    }
    if (*exists && !S_ISREG(st->st_mode)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: not a regular file", path);
    }
    return BRISK_OK;
}

/* Owner before mode: chown clears bits.  Only root can give files away, so it may be refused. */
static int keep_rights(int fd, const struct stat *st)
{
    if (fchown(fd, st->st_uid, st->st_gid) != 0 && errno != EPERM) {
        return errno;
    }
    return fchmod(fd, st->st_mode & MODE_KEPT) == 0 ? 0 : errno;
}

brisk_err brisk_file_replace_open(const char *path, const brisk_alloc *alloc,
                                  brisk_file_replace **ret, brisk_errinfo *info)
{
    struct stat st;
    bool exists = false;
    char real[PATH_MAX];
    brisk_err err = resolve(path, &st, &exists, real, info);
    if (err != BRISK_OK) {
        return err;
    }
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    size_t path_size = strlen(path) + 1;
    size_t size = sizeof(brisk_file_replace) + path_size + strlen(real) + 1;
    brisk_file_replace *replace = alloc->acquire(alloc->ctx, size, _Alignof(brisk_file_replace));
    if (replace == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", path);
    }
    *replace = (brisk_file_replace){
        .alloc = alloc, .size = size, .fd = -1, .dir_fd = -1, .exists = exists};
    memcpy(replace->path, path, path_size);
    replace->base = replace->path + path_size;

    int failed = open_folder(replace, real);
    if (failed == 0) {
        failed = open_temporary(replace, exists ? st.st_mode & MODE_KEPT : MODE_NEW);
    }
    if (failed == 0 && exists) {
        failed = keep_rights(replace->fd, &st);
    }
    if (failed != 0) {
        close_all(replace);
        return brisk_errinfo_set_errno(info, failed, "%s", path);
    }
    *ret = replace;
    return BRISK_OK;
}

int brisk_file_replace_fd(const brisk_file_replace *replace)
{
    return replace->fd;
}

/* Give the nameless file the name `name`.  0 or errno. */
static int link_as(brisk_file_replace *replace, const char *name)
{
    char self[64];
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", replace->fd);
    return linkat(AT_FDCWD, self, replace->dir_fd, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

static int link_hidden(brisk_file_replace *replace)
{
    int failed = EEXIST;
    for (int i = 0; i < NAME_TRIES && failed == EEXIST; i++) {
        char name[NAME_BYTES];
        random_name(name);
        failed = link_as(replace, name);
        if (failed == 0) {
            memcpy(replace->temp, name, sizeof name);
        }
    }
    return failed;
}

/* The moment of truth.  0 or errno. */
static int put_in_place(brisk_file_replace *replace)
{
    if (replace->temp[0] == '\0') {
        if (!replace->exists) {
            int failed = link_as(replace, replace->base);
            if (failed != EEXIST) {
                return failed;
            }
        }
        int failed = link_hidden(replace);
        if (failed != 0) {
            return failed;
        }
    }
    if (renameat(replace->dir_fd, replace->temp, replace->dir_fd, replace->base) != 0) {
        return errno;
    }
    replace->temp[0] = '\0';
    return 0;
}

brisk_err brisk_file_replace_commit(brisk_file_replace *replace, bool sync, brisk_errinfo *info)
{
    int folder = -1;
    int failed = 0;
    if (sync) { /* before anything changes: a folder that cannot be opened fails the whole */
        folder = openat(replace->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        failed = folder < 0 || fsync(replace->fd) != 0 ? errno : 0;
    }
    if (failed == 0) {
        failed = put_in_place(replace);
    }
    if (failed == 0 && sync && fsync(folder) != 0 && errno != EINVAL) {
        failed = errno; /* EINVAL: a file system without such a thing */
    }
    if (folder >= 0) {
        (void)close(folder);
    }
    brisk_err err = BRISK_OK;
    if (failed != 0) {
        err = brisk_errinfo_set_errno(info, failed, "%s", replace->path);
    }
    close_all(replace);
    return err;
}

void brisk_file_replace_abort(brisk_file_replace *replace)
{
    if (replace != NULL) {
        close_all(replace);
    }
}
