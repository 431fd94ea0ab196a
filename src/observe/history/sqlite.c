/*
 * sqlite.c -- loads libsqlite3, and says what its errors mean to a user.
 */
#include "observe/history/sqlite.h"

#include <pthread.h>
#include <string.h>

struct history_sqlite history_sqlite;

static const char *const names[] = {SQLITE_FUNCTIONS(WIRE_LIBRARY_NAME)};
static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static brisk_errinfo load_result; /* written once, under load_once */

static void load(void)
{
    void *table[sizeof names / sizeof names[0]];
    load_result.code = wire_library_load("libsqlite3.so.0", names, table,
                                         sizeof names / sizeof names[0], &load_result);
    if (load_result.code == BRISK_OK) {
        memcpy(&history_sqlite, table, sizeof history_sqlite);
    }
}

brisk_err history_sqlite_load(brisk_errinfo *info)
{
    (void)pthread_once(&load_once, load);
    return load_result.code == BRISK_OK
               ? BRISK_OK
               : brisk_errinfo_set(info, load_result.code, "history: %s", load_result.text);
}

typedef struct meaning {
    int code; /* primary result code */
    brisk_err err;
    const char *advice;
} meaning;

static const meaning meanings[] = {
    {SQLITE_BUSY, BRISK_ERR_DEADLINE, "another process holds it; try again"},
    {SQLITE_LOCKED, BRISK_ERR_DEADLINE, "it is in use; try again"},
    {SQLITE_CORRUPT, BRISK_ERR_CORRUPT, "move it away, and a new one is made"},
    {SQLITE_NOTADB, BRISK_ERR_CORRUPT, "move it away, and a new one is made"},
    {SQLITE_FULL, BRISK_ERR_FULL, "make room, or run `brisk history prune`"},
    {SQLITE_READONLY, BRISK_ERR_PERMISSION, "it cannot be written"},
    {SQLITE_PERM, BRISK_ERR_PERMISSION, "it may not be opened"},
    {SQLITE_AUTH, BRISK_ERR_PERMISSION, "it may not be used"},
    {SQLITE_NOMEM, BRISK_ERR_NOMEM, "out of memory"},
    {SQLITE_TOOBIG, BRISK_ERR_INVALID, "a text is too long"},
    /* What a statement of ours does not find, somebody else removed. */
    {SQLITE_ERROR, BRISK_ERR_CORRUPT, "its tables are not those of brisk; move it away"},
};

brisk_err history_sqlite_error(sqlite3 *db, const char *path, const char *what, brisk_errinfo *info)
{
    if (db == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: %s", path,
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    int code = history_sqlite.sqlite3_extended_errcode(db) & 0xff;
    const char *words = history_sqlite.sqlite3_errmsg(db);
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (meanings[i].code == code) {
            return brisk_errinfo_set(info, meanings[i].err, "%s: %s: %s (%s)", path, what, words,
                                     meanings[i].advice);
        }
    }
    int os_errno = history_sqlite.sqlite3_system_errno(db);
    if (os_errno != 0) {
        return brisk_errinfo_set_errno(info, os_errno, "%s: %s", path, what);
    }
    return brisk_errinfo_set(info, BRISK_ERR_IO, "%s: %s: %s", path, what, words);
}
