/*
 * command.h -- what the commands of `brisk history` share: the kinds of rows, opening, rows as text and JSON.
 *
 * Threads: one.
 */
#ifndef BRISK_SRC_OBSERVE_HISTORY_COMMAND_H
#define BRISK_SRC_OBSERVE_HISTORY_COMMAND_H

#include <stdio.h>

#include <brisk/command.h>
#include <brisk/history.h>
#include <brisk/json.h>

#include "observe/history/store.h"

enum { HISTORY_KINDS = 4, HISTORY_DATE_MAX = 24 };

/* A table that a user may ask for. */
typedef struct history_kind {
    const char *name; /* "runs" */
    const history_table *table;
    const char *filled_by; /* "run a job ..." */
    void (*heading)(FILE *out);
    void (*print)(FILE *out, const void *row); /* one line, or two */
} history_kind;

extern const history_kind history_kinds[HISTORY_KINDS];
extern const history_table *const history_all_tables[HISTORY_KINDS + 1]; /* with the stages */

/* "run" and "runs" are one; NULL for others. */
const history_kind *history_kind_find(const char *word);

/* Any table's rows behind one type of callback. */
typedef bool (*history_on_row)(void *ctx, const void *row);
BRISK_NODISCARD brisk_err history_list_table(brisk_history *history, const history_table *table,
                                             const brisk_history_filter *filter,
                                             history_on_row on_row, void *ctx, brisk_errinfo *info);

/* --file, which every command has. */
#define HISTORY_FILE_NAME    "file"
#define HISTORY_FILE_SUMMARY "another database than $XDG_DATA_HOME/brisk/history.sqlite3"

/*
 * Open the history that option `file_option` names, work, close, and say what is wrong.  `history` is NULL when
 * nothing was kept yet.
 */
typedef brisk_err (*history_work)(void *ctx, brisk_history *history, brisk_errinfo *info);
brisk_exit history_command_run(const brisk_invocation *in, int file_option, history_work work,
                               void *ctx);
/* Open for a command; *ret is NULL when nothing was kept yet.  What is wrong was said on failure. */
BRISK_NODISCARD brisk_err history_command_open(const brisk_invocation *in, const char *path,
                                               brisk_history **ret);
/* Say what is wrong; always FAILED. */
brisk_exit history_failed(const brisk_invocation *in, brisk_err err, const brisk_errinfo *info);

/* "2h" (ago), "2026-11-27", "2026-11-27T10:00", all UTC.  Errors: INVALID. */
BRISK_NODISCARD brisk_err history_parse_time(const char *text, uint64_t now_ns, uint64_t *ret);
/* "2026-11-27 10:00:00" */
void history_format_date(char buffer[HISTORY_DATE_MAX], uint64_t wall_ns);

/* One row as an object; details and evidence as the JSON that they are. */
void history_json_row(brisk_json *json, const history_table *table, const void *row);
/* One line of fields behind the table's name; and the line of names. */
void history_csv_heading(FILE *out, const history_table *table);
void history_csv_row(FILE *out, const history_table *table, const void *row);

/* Look at what was kept and renew the opportunities that follow from it.  Errors: those of the history. */
BRISK_NODISCARD brisk_err history_renew_opportunities(brisk_history *history, brisk_errinfo *info);

/* Likewise by a recording of a cache's requests (`brisk cache record`).  Errors: also those of the recording. */
BRISK_NODISCARD brisk_err history_renew_cache_opportunity(brisk_history *history, const char *path,
                                                          brisk_knobs *knobs, brisk_errinfo *info);

extern const brisk_command history_list_command;
extern const brisk_command history_opportunities_command;
extern const brisk_command history_show_command;
extern const brisk_command history_export_command;
extern const brisk_command history_prune_command;
extern const brisk_command history_dismiss_command;
extern const brisk_command history_apply_command;
extern const brisk_command history_reopen_command;

#endif /* BRISK_SRC_OBSERVE_HISTORY_COMMAND_H */
