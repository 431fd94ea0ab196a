/*
 * store.c -- the history's database: opening, versions, putting and pruning.
 *
 * Idea.  SQLite in WAL mode with synchronous=NORMAL: a crash of the machine may lose the last rows, never the
 * database; several processes write in turn.  The file says whose it is (application_id) and which version
 * (user_version): what is not ours is not touched.  A file may come from anywhere, so its schema is not trusted
 * (trusted_schema off, defensive on, long values refused).
 *
 * Threads: `lock` around every use of the database.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brisk/file.h>

#include "base/str.h"
#include "observe/history/spool.h"
#include "observe/history/store.h"

enum {
    APPLICATION_ID = 0x6272736b, /* "brsk" */
    VALUE_BYTES_MAX = 2 * BRISK_HISTORY_TEXT_MAX,
    PATH_BYTES_MAX = HISTORY_PATH_MAX,
    WAL_PAUSE_US = 1000,
    WAL_PAUSE_US_MAX = 16000,
};

brisk_err history_exec(brisk_history *history, const char *sql, const char *what,
                       brisk_errinfo *info)
{
    if (history_sqlite.sqlite3_exec(history->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return history_sqlite_error(history->db, history->path, what, info);
    }
    return BRISK_OK;
}

/* --- opening ------------------------------------------------------------------------------ */

static brisk_err set_path(brisk_history *history, const char *wanted, brisk_errinfo *info)
{
    brisk_str path;
    brisk_str_init(&path, history->alloc, PATH_BYTES_MAX);
    brisk_err err = BRISK_OK;
    if (wanted != NULL) {
        brisk_str_add(&path, wanted);
    } else {
        err = history_default_path(&path, info);
    }
    if (err == BRISK_OK && brisk_str_err(&path) != BRISK_OK) {
        err = brisk_errinfo_set(info, brisk_str_err(&path), "history: the path is too long");
    }
    if (err == BRISK_OK) {
        history->path_size = brisk_str_size(&path) + 1;
        history->path = history->alloc->acquire(history->alloc->ctx, history->path_size, 1);
        if (history->path == NULL) {
            err = brisk_errinfo_set(info, BRISK_ERR_NOMEM, "history: %s",
                                    brisk_err_message(BRISK_ERR_NOMEM));
        } else {
            memcpy(history->path, brisk_str_text(&path), history->path_size);
        }
    }
    brisk_str_deinit(&path);
    return err;
}

/* SQLite would make the file readable for all; what ran here is nobody else's business. */
static brisk_err make_file(const brisk_history *history, brisk_errinfo *info)
{
    char folder[PATH_BYTES_MAX + 1];
    const char *slash = strrchr(history->path, '/');
    if (slash != NULL && slash != history->path) {
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - history->path), history->path);
        brisk_err err = brisk_file_make_dirs(folder, info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    int fd = open(history->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", history->path);
    }
    (void)close(fd);
    return BRISK_OK;
}

static brisk_err connect_file(brisk_history *history, const brisk_history_opts *opts,
                              brisk_errinfo *info)
{
    bool must_exist = opts->read_only || (opts->no_create && !history_spool_waits(history->path));
    if (must_exist && access(history->path, F_OK) != 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", history->path);
    }
    brisk_err err = opts->read_only ? BRISK_OK : make_file(history, info);
    if (err != BRISK_OK) {
        return err;
    }
    int flags = opts->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (history_sqlite.sqlite3_open_v2(history->path, &history->db, flags | SQLITE_OPEN_NOMUTEX,
                                       NULL) != SQLITE_OK) {
        return history_sqlite_error(history->db, history->path, "opening", info);
    }
    history->wait_ms = opts->wait_ms != 0 ? opts->wait_ms : BRISK_HISTORY_WAIT_MS_DEFAULT;
    (void)history_sqlite.sqlite3_busy_timeout(
        history->db, history->wait_ms > INT32_MAX ? INT32_MAX : (int)history->wait_ms);
    (void)history_sqlite.sqlite3_limit(history->db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    (void)history_sqlite.sqlite3_db_config(history->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    return history_exec(history, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
                        "opening", info);
}

/* One number that a statement gives; `text` (NULL: none) is its parameter. */
static brisk_err read_number(brisk_history *history, const char *sql, const char *text,
                             int64_t *ret, brisk_errinfo *info)
{
    sqlite3_stmt *statement = NULL;
    if (history_sqlite.sqlite3_prepare_v2(history->db, sql, -1, &statement, NULL) != SQLITE_OK) {
        return history_sqlite_error(history->db, history->path, "opening", info);
    }
    if (text != NULL) {
        (void)history_sqlite.sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    }
    brisk_err err = BRISK_OK;
    if (history_sqlite.sqlite3_step(statement) == SQLITE_ROW) {
        *ret = history_sqlite.sqlite3_column_int64(statement, 0);
    } else {
        err = history_sqlite_error(history->db, history->path, "opening", info);
    }
    (void)history_sqlite.sqlite3_finalize(statement);
    return err;
}

typedef struct identity {
    int64_t application;
    int64_t version;
    int64_t tables;
} identity;

static brisk_err read_identity(brisk_history *history, identity *ret, brisk_errinfo *info)
{
    *ret = (identity){0};
    brisk_err err = read_number(history, "PRAGMA application_id", NULL, &ret->application, info);
    if (err == BRISK_OK) {
        err = read_number(history, "PRAGMA user_version", NULL, &ret->version, info);
    }
    if (err == BRISK_OK) {
        err = read_number(history, "SELECT count(*) FROM sqlite_schema", NULL, &ret->tables, info);
    }
    return err;
}

/* Inside a write transaction: another process may have been faster. */
static brisk_err make_tables(brisk_history *history, brisk_errinfo *info)
{
    brisk_err err = history_exec(history, "BEGIN IMMEDIATE", "opening", info);
    if (err != BRISK_OK) {
        return err;
    }
    identity now;
    err = read_identity(history, &now, info);
    if (err == BRISK_OK && now.tables == 0) {
        char pragmas[96];
        (void)snprintf(pragmas, sizeof pragmas,
                       "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
                       HISTORY_VERSION);
        err = history_exec(history, history_schema, "opening", info);
        if (err == BRISK_OK) {
            err = history_exec(history, pragmas, "opening", info);
        }
    }
    if (err == BRISK_OK) {
        err = history_exec(history, "COMMIT", "opening", info);
    }
    if (err != BRISK_OK) {
        (void)history_sqlite.sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return err;
}

/* The three numbers as of one moment: another process may be making the tables. */
static brisk_err read_identity_at_once(brisk_history *history, identity *ret, brisk_errinfo *info)
{
    brisk_err err = history_exec(history, "BEGIN", "opening", info);
    if (err != BRISK_OK) {
        return err;
    }
    err = read_identity(history, ret, info);
    (void)history_sqlite.sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

/* Into WAL mode.  Two that switch at once hold a shared lock each and want it alone: SQLite tells one of them
 * BUSY at once, without the busy timeout, so that they do not wait for each other. */
static brisk_err use_wal(brisk_history *history, brisk_errinfo *info)
{
    useconds_t pause = WAL_PAUSE_US;
    for (uint64_t waited_us = 0;; waited_us += pause) {
        brisk_err err = history_exec(history, "PRAGMA journal_mode = WAL", "opening", info);
        if (err != BRISK_ERR_DEADLINE || waited_us / 1000 >= history->wait_ms) {
            return err;
        }
        (void)usleep(pause);
        pause = pause < WAL_PAUSE_US_MAX ? 2 * pause : pause;
    }
}

static brisk_err check_identity(brisk_history *history, bool read_only, brisk_errinfo *info)
{
    identity now;
    brisk_err err = read_identity_at_once(history, &now, info);
    if (err != BRISK_OK) {
        return err;
    }
    if (now.tables == 0 && now.application == 0 && !read_only) {
        err = use_wal(history, info);
        if (err == BRISK_OK) {
            err = make_tables(history, info);
        }
        if (err == BRISK_OK) {
            err = read_identity_at_once(history, &now, info);
        }
        if (err != BRISK_OK) {
            return err;
        }
    }
    if (now.tables == 0 && read_only) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: nothing was kept yet",
                                 history->path);
    }
    if (now.application != APPLICATION_ID) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT,
                                 "%s: a database, but not brisk's history; move it away",
                                 history->path);
    }
    if (now.version != HISTORY_VERSION) {
        return brisk_errinfo_set(info, BRISK_ERR_MISMATCH,
                                 "%s: made by another brisk (format %lld, this one has %d)",
                                 history->path, (long long)now.version, HISTORY_VERSION);
    }
    return BRISK_OK;
}

brisk_err brisk_history_open(const brisk_history_opts *opts, brisk_history **ret,
                             brisk_errinfo *info)
{
    static const brisk_history_opts defaults;
    opts = opts != NULL ? opts : &defaults;
    brisk_err err = history_sqlite_load(info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_history *history = alloc->acquire(alloc->ctx, sizeof *history, _Alignof(brisk_history));
    if (history == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "history: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    *history = (brisk_history){.alloc = alloc};
    history->clock = opts->clock != NULL ? *opts->clock : *brisk_clock_system();
    (void)pthread_mutex_init(&history->lock, NULL);
    err = set_path(history, opts->path, info);
    if (err == BRISK_OK) {
        err = connect_file(history, opts, info);
    }
    if (err == BRISK_OK) {
        err = check_identity(history, opts->read_only, info);
    }
    if (err == BRISK_OK && !opts->read_only) {
        err = history_exec(history, "PRAGMA synchronous = NORMAL", "opening", info);
    }
    if (err == BRISK_OK && !opts->read_only) {
        err = history_import(history, opts, info);
    }
    if (err != BRISK_OK) {
        brisk_history_close(history);
        return err;
    }
    *ret = history;
    return BRISK_OK;
}

void brisk_history_close(brisk_history *history)
{
    if (history == NULL) {
        return;
    }
    const brisk_alloc *alloc = history->alloc;
    if (history->db != NULL) {
        (void)history_sqlite.sqlite3_finalize(history->insert_run); /* NULL is accepted */
        (void)history_sqlite.sqlite3_finalize(history->insert_stage);
        (void)history_sqlite.sqlite3_close_v2(history->db);
    }
    if (history->path != NULL) {
        alloc->release(alloc->ctx, history->path, history->path_size, 1);
    }
    (void)pthread_mutex_destroy(&history->lock);
    alloc->release(alloc->ctx, history, sizeof *history, _Alignof(brisk_history));
}

const char *brisk_history_path(const brisk_history *history)
{
    return history->path;
}

brisk_history_imported brisk_history_imports(const brisk_history *history)
{
    return history->imported;
}

/* --- putting ------------------------------------------------------------------------------ */

static uint64_t now_ns(const brisk_history *history)
{
    return brisk_clock_wall_ns(&history->clock);
}

static const char *machine_or_this(const char *machine)
{
    return machine != NULL && machine[0] != '\0' ? machine : brisk_history_machine();
}

/* JSON, or nothing; the lock is not held. */
static brisk_err check_json(brisk_history *history, const char *json, const char *what,
                            brisk_errinfo *info)
{
    if (json == NULL || json[0] == '\0') {
        return BRISK_OK;
    }
    if (strnlen(json, BRISK_HISTORY_TEXT_MAX + 1) > BRISK_HISTORY_TEXT_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "history: %s longer than %d bytes", what,
                                 BRISK_HISTORY_TEXT_MAX);
    }
    int64_t valid = 0;
    (void)pthread_mutex_lock(&history->lock);
    brisk_err err = read_number(history, "SELECT json_valid(?1)", json, &valid, info);
    (void)pthread_mutex_unlock(&history->lock);
    if (err == BRISK_OK && valid == 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "history: %s that are no JSON", what);
    }
    return err;
}

static brisk_err put(brisk_history *history, const history_table *table, const void *row,
                     uint64_t *id, brisk_errinfo *info)
{
    (void)pthread_mutex_lock(&history->lock);
    brisk_err err = history_insert(history, table, row, id, info);
    (void)pthread_mutex_unlock(&history->lock);
    return err;
}

// NOLINTNEXTLINE(readability-function-size): a run, its stages, and what every function here has
brisk_err history_insert_run(brisk_history *history, const brisk_history_run *run,
                             const brisk_history_stage *stages, uint32_t stage_count, uint64_t *id,
                             brisk_errinfo *info)
{
    brisk_err err = history_insert(history, &history_runs, run, id, info);
    for (uint32_t i = 0; i < stage_count && err == BRISK_OK; i++) {
        brisk_history_stage stage = stages[i];
        stage.run = *id;
        err = history_insert(history, &history_stages, &stage, NULL, info);
    }
    return err;
}

// NOLINTNEXTLINE(readability-function-size): likewise
brisk_err brisk_history_put_run(brisk_history *history, const brisk_history_run *run,
                                const brisk_history_stage *stages, uint32_t stage_count,
                                uint64_t *id, brisk_errinfo *info)
{
    if (stage_count > BRISK_HISTORY_STAGES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "history: more than %d stages",
                                 BRISK_HISTORY_STAGES_MAX);
    }
    brisk_err err = check_json(history, run->details, "details", info);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_history_run copy = *run;
    uint64_t now = now_ns(history);
    copy.id = 0;
    copy.machine = machine_or_this(run->machine);
    if (copy.wall_ns == 0) {
        copy.wall_ns = now > run->duration_ns ? now - run->duration_ns : 0;
    }
    uint64_t given = 0;
    (void)pthread_mutex_lock(&history->lock);
    err = history_exec(history, "BEGIN IMMEDIATE", "writing", info);
    if (err == BRISK_OK) {
        err = history_insert_run(history, &copy, stages, stage_count, &given, info);
        err = err == BRISK_OK ? history_exec(history, "COMMIT", "writing", info) : err;
        if (err != BRISK_OK && !history_sqlite.sqlite3_get_autocommit(history->db)) {
            (void)history_sqlite.sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
        }
    }
    (void)pthread_mutex_unlock(&history->lock);
    if (err == BRISK_OK && id != NULL) {
        *id = given;
    }
    return err;
}

brisk_err brisk_history_put_benchmark(brisk_history *history,
                                      const brisk_history_benchmark *benchmark, uint64_t *id,
                                      brisk_errinfo *info)
{
    brisk_err err = check_json(history, benchmark->details, "details", info);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_history_benchmark copy = *benchmark;
    copy.id = 0;
    copy.wall_ns = copy.wall_ns != 0 ? copy.wall_ns : now_ns(history);
    copy.machine = machine_or_this(benchmark->machine);
    return put(history, &history_benchmarks, &copy, id, info);
}

brisk_err brisk_history_put_alert(brisk_history *history, const brisk_history_alert *alert,
                                  uint64_t *id, brisk_errinfo *info)
{
    brisk_history_alert copy = *alert;
    copy.id = 0;
    copy.wall_ns = copy.wall_ns != 0 ? copy.wall_ns : now_ns(history);
    copy.machine = machine_or_this(alert->machine);
    return put(history, &history_alerts, &copy, id, info);
}

brisk_err brisk_history_put_opportunity(brisk_history *history,
                                        const brisk_history_opportunity *opportunity, uint64_t *id,
                                        brisk_errinfo *info)
{
    if (opportunity->key == NULL || opportunity->key[0] == '\0') {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "history: an opportunity needs a key");
    }
    brisk_err err = check_json(history, opportunity->evidence, "evidence", info);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_history_opportunity copy = *opportunity;
    copy.id = 0;
    copy.updated_ns = copy.updated_ns != 0 ? copy.updated_ns : now_ns(history);
    copy.created_ns = copy.created_ns != 0 ? copy.created_ns : copy.updated_ns;
    copy.machine = machine_or_this(opportunity->machine);
    if (copy.state != NULL && copy.state[0] != '\0') {
        return put(history, &history_opportunities, &copy, id, info);
    }
    copy.state = "open";
    return put(history, &history_opportunities_stateless, &copy, id, info);
}

brisk_err brisk_history_set_opportunity(brisk_history *history, const char *key,
                                        const char *machine, const char *state, brisk_errinfo *info)
{
    static const char sql[] = "UPDATE opportunities SET state = ?1, updated_ns = ?2"
                              " WHERE \"key\" = ?3 AND machine = ?4";
    const char *on = machine_or_this(machine);
    sqlite3_stmt *statement = NULL;
    (void)pthread_mutex_lock(&history->lock);
    brisk_err err = BRISK_OK;
    if (history_sqlite.sqlite3_prepare_v2(history->db, sql, -1, &statement, NULL) == SQLITE_OK) {
        uint64_t now = now_ns(history);
        (void)history_sqlite.sqlite3_bind_text(statement, 1, state, -1, SQLITE_STATIC);
        (void)history_sqlite.sqlite3_bind_int64(statement, 2, (int64_t)now);
        (void)history_sqlite.sqlite3_bind_text(statement, 3, key, -1, SQLITE_STATIC);
        (void)history_sqlite.sqlite3_bind_text(statement, 4, on, -1, SQLITE_STATIC);
    }
    if (statement == NULL || history_sqlite.sqlite3_step(statement) != SQLITE_DONE) {
        err = history_sqlite_error(history->db, history->path, "writing", info);
    } else if (history_sqlite.sqlite3_changes64(history->db) == 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: no such opportunity on '%s'",
                                history->path, on);
    }
    (void)history_sqlite.sqlite3_finalize(statement);
    (void)pthread_mutex_unlock(&history->lock);
    return err;
}
