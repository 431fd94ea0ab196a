/*
 * row.c -- writes and reads rows of any table: SQL is made from the table's description, values are always bound.
 *
 * Threads: the public functions take the handle's lock, for a list until its last row.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/str.h"
#include "observe/history/store.h"

enum { SQL_MAX = 8192 };

static const void *field_of(const void *row, const table_column *column)
{
    return (const char *)row + column->offset;
}

/* Cut at the limit, and not in the middle of a character. */
static int text_size(const char *text)
{
    size_t size = strnlen(text, BRISK_HISTORY_TEXT_MAX);
    bool cut = size == BRISK_HISTORY_TEXT_MAX;
    while (cut && size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80) {
        size--;
    }
    return (int)size;
}

static int bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    return history_sqlite.sqlite3_bind_text(statement, at, text != NULL ? text : "",
                                            text != NULL ? text_size(text) : 0, SQLITE_STATIC);
}

static int bind_u64(sqlite3_stmt *statement, int at, uint64_t value)
{
    return history_sqlite.sqlite3_bind_int64(statement, at,
                                             value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static int bind_column(sqlite3_stmt *statement, int at, const table_column *column, const void *row)
{
    const void *field = field_of(row, column);
    switch (column->kind) {
    case COLUMN_U64: {
        uint64_t value;
        memcpy(&value, field, sizeof value);
        return bind_u64(statement, at, value);
    }
    case COLUMN_I64: {
        int64_t value;
        memcpy(&value, field, sizeof value);
        return history_sqlite.sqlite3_bind_int64(statement, at, value);
    }
    case COLUMN_REAL: {
        double value;
        memcpy(&value, field, sizeof value);
        return history_sqlite.sqlite3_bind_double(statement, at, value); /* NaN becomes NULL */
    }
    case COLUMN_TEXT:
    default: {
        const char *value;
        memcpy(&value, field, sizeof value);
        return bind_text(statement, at, value);
    }
    }
}

static void read_column(sqlite3_stmt *statement, int at, const table_column *column, char *row)
{
    char *field = row + column->offset;
    if (column->kind == COLUMN_TEXT) {
        const char *text = (const char *)history_sqlite.sqlite3_column_text(statement, at);
        text = text != NULL ? text : "";
        memcpy(field, &text, sizeof text);
    } else if (column->kind == COLUMN_REAL) {
        double value = history_sqlite.sqlite3_column_type(statement, at) == SQLITE_NULL
                           ? (double)NAN
                           : history_sqlite.sqlite3_column_double(statement, at);
        memcpy(field, &value, sizeof value);
    } else {
        int64_t value = history_sqlite.sqlite3_column_int64(statement, at);
        if (column->kind == COLUMN_U64 && value < 0) {
            value = 0;
        }
        memcpy(field, &value, sizeof value);
    }
}

static brisk_err prepare(brisk_history *history, brisk_str *sql, sqlite3_stmt **ret,
                         brisk_errinfo *info)
{
    if (brisk_str_err(sql) != BRISK_OK) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: %s", history->path,
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    if (history_sqlite.sqlite3_prepare_v2(history->db, brisk_str_text(sql), -1, ret, NULL) !=
        SQLITE_OK) {
        return history_sqlite_error(history->db, history->path, "history", info);
    }
    return BRISK_OK;
}

/* --- writing ------------------------------------------------------------------------------ */

/* The id is left out when it is 0, so that SQLite gives one; stages' first column is their run's. */
static bool gives_id(const history_table *table, const void *row)
{
    uint64_t id;
    memcpy(&id, field_of(row, &table->columns[0]), sizeof id);
    return id == 0;
}

static void write_insert(brisk_str *sql, const history_table *table, uint32_t first)
{
    brisk_str_printf(sql, "INSERT INTO %s(", table->name);
    for (uint32_t i = first; i < table->column_count; i++) {
        brisk_str_printf(sql, "%s\"%s\"", i > first ? "," : "", table->columns[i].name);
    }
    brisk_str_add(sql, ") VALUES(");
    for (uint32_t i = first; i < table->column_count; i++) {
        brisk_str_add(sql, i > first ? ",?" : "?");
    }
    brisk_str_printf(sql, ")%s RETURNING rowid", table->insert_tail);
}

/* Where the statement is kept from one row to the next, or NULL. */
static sqlite3_stmt **kept_for(brisk_history *history, const history_table *table, uint32_t first)
{
    if (table == &history_stages && first == 0) {
        return &history->insert_stage;
    }
    return table == &history_runs && first == 1 ? &history->insert_run : NULL;
}

static brisk_err prepare_insert(brisk_history *history, const history_table *table, uint32_t first,
                                sqlite3_stmt **ret, brisk_errinfo *info)
{
    brisk_str sql;
    brisk_str_init(&sql, history->alloc, SQL_MAX);
    write_insert(&sql, table, first);
    brisk_err err = prepare(history, &sql, ret, info);
    brisk_str_deinit(&sql);
    return err;
}

brisk_err history_insert(brisk_history *history, const history_table *table, const void *row,
                         uint64_t *id, brisk_errinfo *info)
{
    BRISK_ASSERT(history != NULL);
    uint32_t first = gives_id(table, row) ? 1 : 0;
    sqlite3_stmt **kept = kept_for(history, table, first);
    sqlite3_stmt *statement = kept != NULL ? *kept : NULL;
    brisk_err err = BRISK_OK;
    if (statement == NULL) {
        err = prepare_insert(history, table, first, &statement, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    int code = SQLITE_OK;
    for (uint32_t i = first; i < table->column_count && code == SQLITE_OK; i++) {
        code = bind_column(statement, (int)(i - first) + 1, &table->columns[i], row);
    }
    code = code == SQLITE_OK ? history_sqlite.sqlite3_step(statement) : code;
    if (code == SQLITE_ROW && id != NULL) {
        *id = (uint64_t)history_sqlite.sqlite3_column_int64(statement, 0);
    }
    while (code == SQLITE_ROW) {
        code = history_sqlite.sqlite3_step(statement); /* the last step commits */
    }
    if (code != SQLITE_DONE) {
        err = history_sqlite_error(history->db, history->path, "writing", info);
    }
    if (kept != NULL) {
        *kept = statement;
        (void)history_sqlite.sqlite3_reset(statement);
    } else {
        (void)history_sqlite.sqlite3_finalize(statement);
    }
    return err;
}

/* --- reading ------------------------------------------------------------------------------ */

typedef struct condition {
    const char *column; /* NULL: the table has none, and nothing matches */
    const char *text;   /* NULL: not asked for */
} condition;

enum { CONDITIONS = 5 };

static void list_conditions(const history_table *table, const brisk_history_filter *filter,
                            condition ret[CONDITIONS])
{
    ret[0] = (condition){table->filter_name, filter->name};
    ret[1] = (condition){table->filter_metric, filter->metric};
    ret[2] = (condition){table->filter_label, filter->label};
    ret[3] = (condition){table->filter_machine, filter->machine};
    ret[4] = (condition){table->filter_state, filter->state};
}

static void write_select(brisk_str *sql, const history_table *table,
                         const brisk_history_filter *filter)
{
    condition conditions[CONDITIONS];
    list_conditions(table, filter, conditions);
    brisk_str_add(sql, "SELECT ");
    for (uint32_t i = 0; i < table->column_count; i++) {
        brisk_str_printf(sql, "%s\"%s\"", i > 0 ? "," : "", table->columns[i].name);
    }
    brisk_str_printf(sql, " FROM %s WHERE 1", table->name);
    for (uint32_t i = 0; i < CONDITIONS; i++) {
        if (conditions[i].text != NULL && conditions[i].column == NULL) {
            brisk_str_add(sql, " AND 0");
        } else if (conditions[i].text != NULL) {
            brisk_str_printf(sql, " AND \"%s\" = ?%u", conditions[i].column, i + 1);
        }
    }
    if (filter->id != 0) {
        brisk_str_printf(sql, " AND \"%s\" = ?6", table->columns[0].name);
    }
    if (table->time != NULL && (filter->since_ns != 0 || filter->until_ns != 0)) {
        brisk_str_printf(sql, " AND %s >= ?7 AND %s <= ?8", table->time, table->time);
    }
    const char *order = filter->newest_first ? " DESC" : "";
    if (table->time != NULL) {
        brisk_str_printf(sql, " ORDER BY %s%s, rowid%s", table->time, order, order);
    } else {
        brisk_str_printf(sql, " ORDER BY rowid%s", order);
    }
    if (filter->limit != 0) {
        brisk_str_add(sql, " LIMIT ?9");
    }
}

/* Parameters that the text does not name are refused by SQLite with RANGE, which is no error here. */
static void bind_filter(sqlite3_stmt *statement, const history_table *table,
                        const brisk_history_filter *filter)
{
    condition conditions[CONDITIONS];
    list_conditions(table, filter, conditions);
    for (int i = 0; i < CONDITIONS; i++) {
        if (conditions[i].text != NULL) {
            (void)bind_text(statement, i + 1, conditions[i].text);
        }
    }
    (void)bind_u64(statement, 6, filter->id);
    (void)bind_u64(statement, 7, filter->since_ns);
    (void)bind_u64(statement, 8, filter->until_ns != 0 ? filter->until_ns : UINT64_MAX);
    (void)bind_u64(statement, 9, filter->limit);
}

/* A row callback of one of five types, behind the type of none. */
typedef struct row_receiver {
    bool (*call)(const struct row_receiver *to, const void *row);
    union {
        bool (*run)(void *ctx, const brisk_history_run *row);
        bool (*stage)(void *ctx, const brisk_history_stage *row);
        bool (*benchmark)(void *ctx, const brisk_history_benchmark *row);
        bool (*alert)(void *ctx, const brisk_history_alert *row);
        bool (*opportunity)(void *ctx, const brisk_history_opportunity *row);
    } fn;
    void *ctx;
} row_receiver;

static brisk_err list_rows(brisk_history *history, const history_table *table,
                           sqlite3_stmt *statement, const row_receiver *receiver,
                           brisk_errinfo *info)
{
    union { /* as large as any row, as aligned as each */
        brisk_history_run run;
        brisk_history_stage stage;
        brisk_history_benchmark benchmark;
        brisk_history_alert alert;
        brisk_history_opportunity opportunity;
        char bytes[1];
    } row;
    int code;
    while ((code = history_sqlite.sqlite3_step(statement)) == SQLITE_ROW) {
        memset(&row, 0, sizeof row);
        for (uint32_t i = 0; i < table->column_count; i++) {
            read_column(statement, (int)i, &table->columns[i], row.bytes);
        }
        if (!receiver->call(receiver, &row)) {
            return BRISK_OK;
        }
    }
    return code == SQLITE_DONE ? BRISK_OK
                               : history_sqlite_error(history->db, history->path, "reading", info);
}

static brisk_err list(brisk_history *history, const history_table *table,
                      const brisk_history_filter *filter, const row_receiver *receiver,
                      brisk_errinfo *info)
{
    static const brisk_history_filter all;
    filter = filter != NULL ? filter : &all;
    brisk_str sql;
    brisk_str_init(&sql, history->alloc, SQL_MAX);
    write_select(&sql, table, filter);
    sqlite3_stmt *statement = NULL;
    (void)pthread_mutex_lock(&history->lock);
    brisk_err err = prepare(history, &sql, &statement, info);
    if (err == BRISK_OK) {
        bind_filter(statement, table, filter);
        err = list_rows(history, table, statement, receiver, info);
        (void)history_sqlite.sqlite3_finalize(statement);
    }
    (void)pthread_mutex_unlock(&history->lock);
    brisk_str_deinit(&sql);
    return err;
}

/* brisk_history_<type>s: the same for each type of row. */
#define LIST(function, type, table)                                                                \
    static bool call_##type(const row_receiver *receiver, const void *row)                         \
    {                                                                                              \
        return receiver->fn.type(receiver->ctx, row);                                              \
    }                                                                                              \
                                                                                                   \
    brisk_err function(brisk_history *history, const brisk_history_filter *filter,                 \
                       bool (*row)(void *ctx, const brisk_history_##type *), void *ctx,            \
                       brisk_errinfo *info)                                                        \
    {                                                                                              \
        row_receiver receiver = {.call = call_##type, .fn.type = row, .ctx = ctx};                 \
        return list(history, &(table), filter, &receiver, info);                                   \
    }

LIST(brisk_history_runs, run, history_runs)
LIST(brisk_history_stages, stage, history_stages)
LIST(brisk_history_benchmarks, benchmark, history_benchmarks)
LIST(brisk_history_alerts, alert, history_alerts)
LIST(brisk_history_opportunities, opportunity, history_opportunities)
