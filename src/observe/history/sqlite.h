/*
 * sqlite.h -- libsqlite3 for the history: loaded with its first use, its errors in brisk's words.
 */
#ifndef BRISK_SRC_OBSERVE_HISTORY_SQLITE_H
#define BRISK_SRC_OBSERVE_HISTORY_SQLITE_H

#include <sqlite3.h>

#include <brisk/err.h>

#include "wire/library.h"

#define SQLITE_FUNCTIONS(X)                                                                        \
    X(sqlite3_bind_double)                                                                         \
    X(sqlite3_bind_int64)                                                                          \
    X(sqlite3_bind_text)                                                                           \
    X(sqlite3_busy_timeout)                                                                        \
    X(sqlite3_changes64)                                                                           \
    X(sqlite3_close_v2)                                                                            \
    X(sqlite3_column_double)                                                                       \
    X(sqlite3_column_int64)                                                                        \
    X(sqlite3_column_text)                                                                         \
    X(sqlite3_column_type)                                                                         \
    X(sqlite3_db_config)                                                                           \
    X(sqlite3_errmsg)                                                                              \
    X(sqlite3_exec)                                                                                \
    X(sqlite3_extended_errcode)                                                                    \
    X(sqlite3_finalize)                                                                            \
    X(sqlite3_get_autocommit)                                                                      \
    X(sqlite3_limit)                                                                               \
    X(sqlite3_open_v2)                                                                             \
    X(sqlite3_prepare_v2)                                                                          \
    X(sqlite3_reset)                                                                               \
    X(sqlite3_step)                                                                                \
    X(sqlite3_system_errno)

/* The functions, once history_sqlite_load said OK. */
extern struct history_sqlite {
    SQLITE_FUNCTIONS(WIRE_LIBRARY_POINTER)
} history_sqlite;

/* Errors: UNSUPPORTED. */
BRISK_NODISCARD brisk_err history_sqlite_load(brisk_errinfo *info);

/*
 * The last error of `db` (NULL: no memory) in our words; `path` is the database, `what` was tried ("opening").
 */
brisk_err history_sqlite_error(sqlite3 *db, const char *path, const char *what,
                               brisk_errinfo *info);

#endif /* BRISK_SRC_OBSERVE_HISTORY_SQLITE_H */
