/*
 * spool.c -- appends runs to the spool, and takes it away to be imported.
 *
 * Idea.  A job is done in a few milliseconds, loading and opening SQLite takes as long.  So a job writes one line
 * with one write(2) into a file opened O_APPEND, and whoever opens the history next imports the lines.
 *
 *     append:  open ── flock ── is PATH still this file? ── too large: rename to .old, again ── write ── close
 *     import:  flock ── rename to .import ── unlock ── read, commit ── unlink
 *
 * Invariant: who holds the file's lock and finds it under its name owns it: what is appended is appended before
 * the rename, or to the next file.  The lock is held for microseconds; who does not get it soon drops its run.
 *
 * Threads: any; processes, too.
 */
#include "observe/history/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <brisk/file.h>

#include "base/text.h"

enum { TRIES = 20, PAUSE_NS = 50000 };

/* A relative XDG_DATA_HOME is to be ignored, says the specification. */
brisk_err history_default_path(brisk_str *path, brisk_errinfo *info)
{
    const char *data = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    if (data != NULL && data[0] == '/') {
        brisk_str_printf(path, "%s/brisk/history.sqlite3", data);
    } else if (home != NULL && home[0] == '/') {
        brisk_str_printf(path, "%s/.local/share/brisk/history.sqlite3", home);
    } else {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "history: neither XDG_DATA_HOME nor HOME is an absolute path");
    }
    return BRISK_OK;
}

static bool is_there(const char *path, const char *suffix)
{
    char name[HISTORY_SPOOL_PATH_MAX];
    struct stat st;
    (void)snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

bool history_spool_waits(const char *path)
{
    return is_there(path, HISTORY_SPOOL) || is_there(path, HISTORY_SPOOL_OLD) ||
           is_there(path, HISTORY_SPOOL_IMPORT);
}

/* --- holding the file ----------------------------------------------------------------------- */

static int open_making_folder(const char *name, int flags, brisk_errinfo *info)
{
    int fd = open(name, flags, 0600);
    const char *slash = strrchr(name, '/');
    if (fd >= 0 || errno != ENOENT || (flags & O_CREAT) == 0 || slash == NULL) {
        return fd;
    }
    char folder[HISTORY_SPOOL_PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - name), name);
    return brisk_file_make_dirs(folder, info) == BRISK_OK ? open(name, flags, 0600) : -1;
}

static bool lock_soon(int fd)
{
    for (int i = 0; i < TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return true;
        }
        const struct timespec pause = {.tv_nsec = PAUSE_NS};
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

/* Still the file of that name?  *ret: its size. */
static bool is_named(int fd, const char *name, uint64_t *ret)
{
    struct stat held;
    struct stat named;
    if (fstat(fd, &held) != 0 || stat(name, &named) != 0 || held.st_ino != named.st_ino ||
        held.st_dev != named.st_dev) {
        return false;
    }
    *ret = (uint64_t)held.st_size;
    return true;
}

/* The file, locked, under its name.  Errors: DEADLINE, those of open(2). */
static brisk_err hold(const char *name, int flags, int *ret, uint64_t *size, brisk_errinfo *info)
{
    for (int i = 0; i < TRIES; i++) {
        int fd = open_making_folder(name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, info);
        if (fd < 0) {
            return brisk_errinfo_set_errno(info, errno, "%s", name);
        }
        if (!lock_soon(fd)) {
            (void)close(fd);
            return brisk_errinfo_set(info, BRISK_ERR_DEADLINE, "%s: another process holds it",
                                     name);
        }
        if (is_named(fd, name, size)) {
            *ret = fd;
            return BRISK_OK;
        }
        (void)close(fd); /* taken away between open and lock */
    }
    return brisk_errinfo_set(info, BRISK_ERR_DEADLINE, "%s: taken away again and again", name);
}

brisk_err history_spool_take(const char *path, const char *from)
{
    char name[HISTORY_SPOOL_PATH_MAX];
    char import[HISTORY_SPOOL_PATH_MAX];
    (void)snprintf(name, sizeof name, "%s%s", path, from);
    (void)snprintf(import, sizeof import, "%s" HISTORY_SPOOL_IMPORT, path);
    int fd;
    uint64_t size;
    brisk_err err = hold(name, O_RDONLY, &fd, &size, NULL);
    if (err != BRISK_OK) {
        return err;
    }
    err = rename(name, import) == 0 ? BRISK_OK : brisk_err_from_errno(errno);
    (void)close(fd);
    return err;
}

/* --- appending ------------------------------------------------------------------------------ */

static brisk_err append(const char *path, const char *text, size_t size, brisk_errinfo *info)
{
    char name[HISTORY_SPOOL_PATH_MAX];
    char full[HISTORY_SPOOL_PATH_MAX];
    (void)snprintf(name, sizeof name, "%s" HISTORY_SPOOL, path);
    (void)snprintf(full, sizeof full, "%s" HISTORY_SPOOL_OLD, path);
    int fd = -1;
    uint64_t used = 0;
    brisk_err err = hold(name, O_WRONLY | O_APPEND | O_CREAT, &fd, &used, info);
    if (err == BRISK_OK && used + size > BRISK_HISTORY_SPOOL_BYTES) {
        (void)rename(name,
                     full); /* the newest are kept; when it fails, the next import makes room */
        (void)close(fd);
        err = hold(name, O_WRONLY | O_APPEND | O_CREAT, &fd, &used, info);
        if (err == BRISK_OK && used + size > HISTORY_SPOOL_FILE_MAX) {
            (void)close(fd);
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: full", name);
        }
    }
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_file_write_all(fd, text, size);
    if (err != BRISK_OK) {
        (void)!ftruncate(fd, (off_t)used); /* half a line would spoil the next one */
    }
    (void)close(fd);
    return err == BRISK_OK ? BRISK_OK
                           : brisk_errinfo_set(info, err, "%s: %s", name, brisk_err_message(err));
}

brisk_err brisk_history_spool(const char *path, const brisk_history_run *run,
                              const brisk_history_stage *stages, uint32_t stage_count,
                              brisk_errinfo *info)
{
    brisk_str where;
    brisk_str text;
    brisk_str_init(&where, NULL, HISTORY_PATH_MAX - 1);
    brisk_str_init(&text, NULL, BRISK_HISTORY_LINE_BYTES);
    brisk_err err = BRISK_OK;
    if (path != NULL) {
        brisk_str_add(&where, path);
    } else {
        err = history_default_path(&where, info);
    }
    if (err == BRISK_OK) {
        history_spool_write(&text, run, stages, stage_count);
        err = brisk_str_err(&where) != BRISK_OK ? brisk_str_err(&where) : brisk_str_err(&text);
        err =
            err == BRISK_OK
                ? append(brisk_str_text(&where), brisk_str_text(&text), brisk_str_size(&text), info)
                : brisk_errinfo_set(info, err, "history: the spool: %s", brisk_err_message(err));
    }
    brisk_str_deinit(&text);
    brisk_str_deinit(&where);
    return err;
}
