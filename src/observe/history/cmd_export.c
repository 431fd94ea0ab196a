/*
 * cmd_export.c -- `brisk history export`: every row of every table, as a stream of JSON or CSV.
 *
 * Nothing is collected: a row is written while SQLite stands on it, so memory does not grow with the history.
 */
#include <string.h>

#include <brisk/clock.h>

#include "observe/history/command.h"

enum { OPTION_FORMAT, OPTION_KIND, OPTION_SINCE, OPTION_UNTIL, OPTION_FILE, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_FORMAT] = {.name = "format",
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "FORMAT",
                       .summary = "json (default) or csv"},
    [OPTION_KIND] = {.name = "kind",
                     .letter = 'k',
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "KIND",
                     .summary = "only runs (with their stages), benchmarks, alerts or "
                                "opportunities"},
    [OPTION_SINCE] = {.name = "since",
                      .type = BRISK_OPTION_TEXT,
                      .metavar = "TIME",
                      .summary = "not older than this: 2h, 7d, 2026-11-27, 2026-11-27T10:00 (UTC); "
                                 "stages are exported whole"},
    [OPTION_UNTIL] = {.name = "until",
                      .type = BRISK_OPTION_TEXT,
                      .metavar = "TIME",
                      .summary = "not younger than this, likewise"},
    [OPTION_FILE] = {.name = HISTORY_FILE_NAME,
                     .letter = 'f',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = HISTORY_FILE_SUMMARY},
};

typedef struct exporting {
    const brisk_invocation *in;
    const history_kind *kind; /* NULL: all */
    const history_table *table;
    brisk_json *json; /* NULL: CSV */
    brisk_history_filter filter;
    bool begun;
} exporting;

static bool on_row(void *ctx, const void *row)
{
    exporting *e = ctx;
    if (e->json != NULL) {
        history_json_row(e->json, e->table, row);
    } else {
        history_csv_row(e->in->out, e->table, row);
    }
    return ferror(e->in->out) == 0;
}

static bool wanted(const exporting *e, const history_table *table)
{
    return e->kind == NULL || e->kind->table == table ||
           (e->kind->table == &history_runs && table == &history_stages);
}

static brisk_err write_tables(exporting *e, brisk_history *history, brisk_errinfo *info)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < HISTORY_KINDS + 1 && err == BRISK_OK; i++) {
        e->table = history_all_tables[i];
        if (!wanted(e, e->table)) {
            continue;
        }
        if (e->json != NULL) {
            brisk_json_array_begin(e->json, e->table->name);
        } else {
            (void)fputs(e->begun ? "\n" : "", e->in->out);
            history_csv_heading(e->in->out, e->table);
        }
        e->begun = true;
        if (history != NULL) {
            err = history_list_table(history, e->table, &e->filter, on_row, e, info);
        }
        if (e->json != NULL) {
            brisk_json_array_end(e->json);
        }
    }
    return err;
}

static brisk_err write_csv(void *ctx, brisk_history *history, brisk_errinfo *info)
{
    return write_tables(ctx, history, info);
}

static brisk_err write_json(void *ctx, brisk_history *history, brisk_errinfo *info)
{
    exporting *e = ctx;
    brisk_json json;
    e->json = &json;
    brisk_json_init(&json, brisk_out_file(e->in->out), 1);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "machine", brisk_history_machine());
    brisk_json_u64(&json, "exported_ns", brisk_clock_wall_ns(NULL));
    brisk_err err = write_tables(e, history, info);
    brisk_json_object_end(&json);
    (void)!brisk_json_finish(&json); /* the program checks that the output arrived */
    return err;
}

/* NULL when every option is good; else what is wrong. */
static const char *read_options(exporting *e, bool *csv)
{
    const brisk_option_value *v = e->in->values;
    uint64_t now_ns = brisk_clock_wall_ns(NULL);
    const char *format = v[OPTION_FORMAT].set ? v[OPTION_FORMAT].text : "json";
    *csv = strcmp(format, "csv") == 0;
    if (!*csv && strcmp(format, "json") != 0) {
        return "--format is json or csv";
    }
    e->kind = v[OPTION_KIND].set ? history_kind_find(v[OPTION_KIND].text) : NULL;
    if (v[OPTION_KIND].set && e->kind == NULL) {
        return "--kind is runs, benchmarks, alerts or opportunities";
    }
    if (v[OPTION_SINCE].set &&
        history_parse_time(v[OPTION_SINCE].text, now_ns, &e->filter.since_ns) != BRISK_OK) {
        return "--since takes 2h, 7d, 2026-11-27 or 2026-11-27T10:00";
    }
    if (v[OPTION_UNTIL].set &&
        history_parse_time(v[OPTION_UNTIL].text, now_ns, &e->filter.until_ns) != BRISK_OK) {
        return "--until takes 2h, 7d, 2026-11-27 or 2026-11-27T10:00";
    }
    return NULL;
}

static brisk_exit run(const brisk_invocation *in)
{
    exporting e = {.in = in};
    bool csv = false;
    const char *wrong = read_options(&e, &csv);
    if (wrong != NULL) {
        (void)fprintf(in->err, "brisk: history: %s\n", wrong);
        return BRISK_EXIT_USAGE;
    }
    return history_command_run(in, OPTION_FILE, csv ? write_csv : write_json, &e);
}

const brisk_command history_export_command = {
    .name = "export",
    .group = "Measuring",
    .synopsis = "",
    .summary = "all that is kept, as JSON or CSV",
    .description = "JSON is one object with an array for each table. CSV has a section for each "
                   "table, begun by its line of names and parted by an empty line; the first field "
                   "of a row is its table.",
    .examples = "brisk history export >history.json\tkeep a copy\n"
                "brisk history export --format csv --kind benchmarks\tfor a spreadsheet\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .run = run,
};
