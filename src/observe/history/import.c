/*
 * import.c -- brings spooled runs into the database when it is opened, and forgets what is too old, once a day.
 *
 * Each line comes in once: the holder of a lock on PATH-lock renames the spool, inserts its runs in one
 * transaction and unlinks it after that is on its way to the disk.  A process that ends between the two leaves
 * the file, whose runs the next one recognises (time, length, workload, command).
 *
 * A spool that cannot be read or a lock that another process holds is no reason not to open the history.
 *
 * Threads: the handle is not yet anybody else's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>

#include "observe/history/spool.h"
#include "observe/history/store.h"

static const uint64_t day_ns = UINT64_C(86400) * 1000000000;

/* Was this very run brought in before? */
static brisk_err is_known(brisk_history *history, const brisk_history_run *run, bool *ret,
                          brisk_errinfo *info)
{
    static const char sql[] = "SELECT count(*) FROM runs WHERE wall_ns = ?1 AND duration_ns = ?2"
                              " AND workload = ?3 AND command = ?4";
    sqlite3_stmt *statement = NULL;
    int code = history_sqlite.sqlite3_prepare_v2(history->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        (void)history_sqlite.sqlite3_bind_int64(statement, 1, (int64_t)run->wall_ns);
        (void)history_sqlite.sqlite3_bind_int64(statement, 2, (int64_t)run->duration_ns);
        (void)history_sqlite.sqlite3_bind_text(statement, 3, run->workload, -1, SQLITE_STATIC);
        (void)history_sqlite.sqlite3_bind_text(statement, 4, run->command, -1, SQLITE_STATIC);
        code = history_sqlite.sqlite3_step(statement);
    }
    brisk_err err = code == SQLITE_ROW
                        ? BRISK_OK
                        : history_sqlite_error(history->db, history->path, "importing", info);
    *ret = err == BRISK_OK && history_sqlite.sqlite3_column_int64(statement, 0) > 0;
    (void)history_sqlite.sqlite3_finalize(statement);
    return err;
}

static brisk_err import_line(brisk_history *history, const char *text, size_t size,
                             brisk_errinfo *info)
{
    history_spool_line line;
    brisk_err err = history_spool_read(text, size, history->alloc, &line);
    if (err == BRISK_ERR_NOMEM) {
        return brisk_errinfo_set(info, err, "%s: %s", history->path, brisk_err_message(err));
    }
    if (err != BRISK_OK || line.run.wall_ns > INT64_MAX || line.run.duration_ns > INT64_MAX) {
        history->imported.bad++;
        if (err == BRISK_OK) {
            history_spool_line_deinit(&line);
        }
        return BRISK_OK;
    }
    bool known = false;
    err = is_known(history, &line.run, &known, info);
    if (err == BRISK_OK && !known) {
        uint64_t id = 0;
        line.run.machine = brisk_history_machine();
        err = history_insert_run(history, &line.run, line.stages, line.stage_count, &id, info);
        history->imported.runs += err == BRISK_OK ? 1 : 0;
    } else if (known) {
        history->imported.known++;
    }
    history_spool_line_deinit(&line);
    return err;
}

static brisk_err import_lines(brisk_history *history, const brisk_file_view *view,
                              brisk_errinfo *info)
{
    const char *at = (const char *)view->data;
    const char *end = at + view->size;
    brisk_err err = BRISK_OK;
    while (at < end && err == BRISK_OK) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = newline != NULL ? (size_t)(newline - at) : (size_t)(end - at);
        err = size != 0 ? import_line(history, at, size, info) : BRISK_OK;
        at += size + 1;
    }
    return err;
}

/* The file to import, if there is one; gone afterwards. */
static brisk_err import_file(brisk_history *history, const char *name, brisk_errinfo *info)
{
    brisk_file_view view;
    brisk_err err = brisk_file_view_open(name, HISTORY_SPOOL_FILE_MAX, &view, NULL);
    if (err == BRISK_ERR_NOT_FOUND) {
        return BRISK_OK;
    }
    if (err == BRISK_ERR_LIMIT || err == BRISK_ERR_INVALID) {
        history->imported.bad++;
        (void)unlink(name);
        return BRISK_OK;
    }
    if (err != BRISK_OK) {
        return BRISK_OK; /* may not be read now */
    }
    brisk_history_imported before = history->imported;
    err = history_exec(history, "BEGIN IMMEDIATE", "importing", info);
    if (err == BRISK_OK) {
        err = import_lines(history, &view, info);
        err = err == BRISK_OK ? history_exec(history, "COMMIT", "importing", info) : err;
        if (err != BRISK_OK && !history_sqlite.sqlite3_get_autocommit(history->db)) {
            (void)history_sqlite.sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
        }
    }
    brisk_file_view_close(&view);
    if (err == BRISK_OK) {
        (void)unlink(name);
    } else {
        history->imported = before;
    }
    return err;
}

static brisk_err import_all(brisk_history *history, brisk_errinfo *info)
{
    static const char *const sources[] = {HISTORY_SPOOL_OLD, HISTORY_SPOOL};
    char name[HISTORY_SPOOL_PATH_MAX];
    (void)snprintf(name, sizeof name, "%s" HISTORY_SPOOL_IMPORT, history->path);
    brisk_err err = import_file(history, name, info); /* what another process left */
    for (size_t i = 0; i < sizeof sources / sizeof sources[0] && err == BRISK_OK; i++) {
        if (access(name, F_OK) != 0 && history_spool_take(history->path, sources[i]) == BRISK_OK) {
            err = import_file(history, name, info);
        }
    }
    return err;
}

/* The lock's file was changed when something was forgotten last. */
static brisk_err forget(brisk_history *history, const brisk_history_opts *opts, int lock,
                        brisk_errinfo *info)
{
    struct stat st;
    uint64_t now_ns = brisk_clock_wall_ns(&history->clock);
    if ((opts->keep_days == 0 && opts->keep_rows == 0) || fstat(lock, &st) != 0 ||
        (uint64_t)st.st_mtim.tv_sec + 86400 > now_ns / 1000000000) {
        return BRISK_OK;
    }
    uint64_t age_ns = opts->keep_days * day_ns;
    brisk_history_retention retention = {
        .before_ns = age_ns > 0 && age_ns < now_ns ? now_ns - age_ns : 0,
        .rows_max = opts->keep_rows,
    };
    uint64_t removed = 0;
    brisk_err err = history_prune(history, &retention, &removed, info);
    if (err == BRISK_OK) {
        const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
        (void)futimens(lock, times);
    }
    return err;
}

brisk_err history_import(brisk_history *history, const brisk_history_opts *opts,
                         brisk_errinfo *info)
{
    bool waits = history_spool_waits(history->path);
    if (!waits && opts->keep_days == 0 && opts->keep_rows == 0) {
        return BRISK_OK;
    }
    char name[HISTORY_SPOOL_PATH_MAX];
    (void)snprintf(name, sizeof name, "%s" HISTORY_LOCK, history->path);
    int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
        if (lock >= 0) {
            (void)close(lock);
        }
        return BRISK_OK; /* somebody else is at it */
    }
    brisk_err err = waits ? import_all(history, info) : BRISK_OK;
    err = err == BRISK_OK ? forget(history, opts, lock, info) : err;
    (void)close(lock);
    /* Locked, full: the runs wait on, and the history can be read all the same. */
    return err == BRISK_ERR_DEADLINE || err == BRISK_ERR_FULL ? BRISK_OK : err;
}
