/*
 * store.h -- what the parts of the history share: the handle, and tables described by data, so that one
 * piece of code writes, reads and prunes them all.
 */
#ifndef BRISK_SRC_OBSERVE_HISTORY_STORE_H
#define BRISK_SRC_OBSERVE_HISTORY_STORE_H

#include <pthread.h>
#include <stddef.h>

#include <brisk/history.h>

#include "observe/history/sqlite.h"

enum { HISTORY_VERSION = 1, HISTORY_COLUMNS_MAX = 20 };

struct brisk_history {
    sqlite3 *db;
    const brisk_alloc *alloc;
    brisk_clock clock;
    pthread_mutex_t lock; /* around every use of `db`; a leaf */
    char *path;
    size_t path_size;
    uint32_t wait_ms;                /* for a lock that another process holds */
    brisk_history_imported imported; /* written by open */
    sqlite3_stmt *insert_run;        /* kept: a spool has thousands of them; NULL: not yet made */
    sqlite3_stmt *insert_stage;
};

typedef enum column_kind {
    COLUMN_U64, /* above INT64_MAX: cut to it; below 0 in the file: 0 */
    COLUMN_I64,
    COLUMN_REAL, /* NaN is NULL */
    COLUMN_TEXT,
} column_kind;

typedef struct table_column {
    const char *name;
    column_kind kind;
    size_t offset; /* of the field in the row's struct */
} table_column;

typedef struct history_table {
    const char *name;
    const table_column *columns; /* the first one is the row's id, or the run it belongs to */
    uint32_t column_count;
    const char *time; /* columns that filters mean; NULL: there is none */
    const char *filter_name;
    const char *filter_metric;
    const char *filter_label;
    const char *filter_machine;
    const char *filter_state;
    const char *insert_tail; /* after VALUES(...) */
} history_table;

extern const history_table history_runs;
extern const history_table history_stages;
extern const history_table history_benchmarks;
extern const history_table history_alerts;
extern const history_table history_opportunities;
extern const history_table history_opportunities_stateless; /* a renewed row keeps its state */

/* SQL that makes every table. */
extern const char history_schema[];

/* All below with the lock held. */

BRISK_NODISCARD brisk_err history_exec(brisk_history *history, const char *sql, const char *what,
                                       brisk_errinfo *info);
/* Insert one row; an id of 0 is given by SQLite.  *id may be NULL. */
BRISK_NODISCARD brisk_err history_insert(brisk_history *history, const history_table *table,
                                         const void *row, uint64_t *id, brisk_errinfo *info);

/* A run and its stages, with a new number, inside a transaction. */
BRISK_NODISCARD brisk_err history_insert_run(brisk_history *history, const brisk_history_run *run,
                                             const brisk_history_stage *stages,
                                             uint32_t stage_count, uint64_t *id,
                                             brisk_errinfo *info);
/* Forget, as brisk_history_prune does. */
BRISK_NODISCARD brisk_err history_prune(brisk_history *history,
                                        const brisk_history_retention *retention, uint64_t *removed,
                                        brisk_errinfo *info);
/* Bring the spool in, and forget what is too old: import.c. */
BRISK_NODISCARD brisk_err history_import(brisk_history *history, const brisk_history_opts *opts,
                                         brisk_errinfo *info);

#endif /* BRISK_SRC_OBSERVE_HISTORY_STORE_H */
