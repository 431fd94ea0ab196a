/*
 * prune.c -- forgets old rows: by age, and all but the newest so many of each table.
 *
 * A run goes with its stages.  Open opportunities are not old: nobody has answered them yet.
 */
#include <stdio.h>

#include "observe/history/store.h"

typedef struct pruned {
    const char *table;
    const char *time;
    const char *keep; /* a condition that protects a row */
} pruned;

static const pruned tables[] = {
    {"runs", "wall_ns", "0"},
    {"benchmarks", "wall_ns", "0"},
    {"alerts", "wall_ns", "0"},
    {"opportunities", "updated_ns", "state = 'open'"},
};

static uint64_t at_most_i64(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : value;
}

static brisk_err prune_table(brisk_history *history, const pruned *of,
                             const brisk_history_retention *retention, uint64_t *removed,
                             brisk_errinfo *info)
{
    char sql[512];
    if (retention->before_ns != 0) {
        (void)snprintf(sql, sizeof sql, "DELETE FROM %s WHERE %s < %llu AND NOT (%s)", of->table,
                       of->time, (unsigned long long)at_most_i64(retention->before_ns), of->keep);
        brisk_err err = history_exec(history, sql, "pruning", info);
        if (err != BRISK_OK) {
            return err;
        }
        *removed += (uint64_t)history_sqlite.sqlite3_changes64(history->db);
    }
    if (retention->rows_max != 0) {
        (void)snprintf(sql, sizeof sql,
                       "DELETE FROM %s WHERE NOT (%s) AND rowid NOT IN"
                       " (SELECT rowid FROM %s ORDER BY %s DESC, rowid DESC LIMIT %llu)",
                       of->table, of->keep, of->table, of->time,
                       (unsigned long long)at_most_i64(retention->rows_max));
        brisk_err err = history_exec(history, sql, "pruning", info);
        if (err != BRISK_OK) {
            return err;
        }
        *removed += (uint64_t)history_sqlite.sqlite3_changes64(history->db);
    }
    return BRISK_OK;
}

brisk_err history_prune(brisk_history *history, const brisk_history_retention *retention,
                        uint64_t *removed, brisk_errinfo *info)
{
    brisk_err err = history_exec(history, "BEGIN IMMEDIATE", "pruning", info);
    if (err != BRISK_OK) {
        return err;
    }
    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && err == BRISK_OK; i++) {
        err = prune_table(history, &tables[i], retention, removed, info);
    }
    if (err == BRISK_OK) {
        err = history_exec(history, "DELETE FROM stages WHERE run NOT IN (SELECT id FROM runs)",
                           "pruning", info);
    }
    if (err == BRISK_OK) {
        err = history_exec(history, "COMMIT", "pruning", info);
    }
    if (err != BRISK_OK && !history_sqlite.sqlite3_get_autocommit(history->db)) {
        (void)history_sqlite.sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return err;
}

brisk_err brisk_history_prune(brisk_history *history, const brisk_history_retention *retention,
                              uint64_t *ret, brisk_errinfo *info)
{
    uint64_t removed = 0;
    (void)pthread_mutex_lock(&history->lock);
    brisk_err err = history_prune(history, retention, &removed, info);
    if (err == BRISK_OK && retention->compact) {
        err = history_exec(history, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", "compacting", info);
    }
    (void)pthread_mutex_unlock(&history->lock);
    if (err == BRISK_OK && ret != NULL) {
        *ret = removed;
    }
    return err;
}
