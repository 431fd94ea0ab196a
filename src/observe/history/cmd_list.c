/*
 * cmd_list.c -- `brisk history list [KIND]` and `brisk history opportunities`: rows, the newest first.
 */
#include <string.h>

#include <brisk/clock.h>

#include "observe/history/command.h"

enum { LIMIT_DEFAULT = 20 };

enum {
    OPTION_WORKLOAD,
    OPTION_NAME,
    OPTION_METRIC,
    OPTION_STATE,
    OPTION_SINCE,
    OPTION_UNTIL,
    OPTION_LIMIT,
    OPTION_FILE,
    OPTION_JSON,
    OPTION_COUNT,
    OPTION_RECORDING = OPTION_COUNT, /* of opportunities only */
    OPTION_ALL,
};

static const brisk_option options[OPTION_ALL] = {
    [OPTION_WORKLOAD] = {.name = "workload",
                         .letter = 'w',
                         .type = BRISK_OPTION_TEXT,
                         .metavar = "NAME",
                         .summary = "runs of this workload only"},
    [OPTION_NAME] = {.name = "name",
                     .letter = 'n',
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "NAME",
                     .summary = "this benchmark, budget or opportunity (its key) only"},
    [OPTION_METRIC] = {.name = "metric",
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "NAME",
                       .summary = "benchmarks and alerts of this metric only"},
    [OPTION_STATE] = {.name = "state",
                      .type = BRISK_OPTION_TEXT,
                      .metavar = "STATE",
                      .summary = "alerts (firing, resolved) and opportunities (open, applied, "
                                 "dismissed, gone) in this state only"},
    [OPTION_SINCE] = {.name = "since",
                      .type = BRISK_OPTION_TEXT,
                      .metavar = "TIME",
                      .summary = "not older than this: 2h, 7d, 2026-11-27, 2026-11-27T10:00 (UTC)"},
    [OPTION_UNTIL] = {.name = "until",
                      .type = BRISK_OPTION_TEXT,
                      .metavar = "TIME",
                      .summary = "not younger than this, likewise"},
    [OPTION_LIMIT] = {.name = "limit",
                      .letter = 'l',
                      .type = BRISK_OPTION_U64,
                      .metavar = "N",
                      .summary = "at most N rows, the newest; 0: all (default 20)"},
    [OPTION_FILE] = {.name = HISTORY_FILE_NAME,
                     .letter = 'f',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = HISTORY_FILE_SUMMARY},
    [OPTION_JSON] = {.name = "json", .letter = 'j', .summary = "as JSON"},
    [OPTION_RECORDING] = {.name = "recording",
                          .letter = 'r',
                          .type = BRISK_OPTION_FILE,
                          .metavar = "FILE",
                          .summary = "look at a recording of a cache's requests, too "
                                     "(`brisk cache record`)"},
};

typedef struct listing {
    const brisk_invocation *in;
    const history_kind *kind;
    brisk_json *json; /* NULL: for people */
    uint64_t rows;
} listing;

static bool on_row(void *ctx, const void *row)
{
    listing *l = ctx;
    if (l->json != NULL) {
        history_json_row(l->json, l->kind->table, row);
    } else {
        if (l->rows == 0) {
            l->kind->heading(l->in->out);
        }
        l->kind->print(l->in->out, row);
    }
    l->rows++;
    return ferror(l->in->out) == 0;
}

static bool filters(const brisk_invocation *in)
{
    for (uint32_t i = OPTION_WORKLOAD; i < OPTION_LIMIT; i++) {
        if (in->values[i].set) {
            return true;
        }
    }
    return false;
}

static void say_empty(const listing *l)
{
    if (filters(l->in)) {
        (void)fprintf(l->in->out, "no %s match\n", l->kind->name);
    } else {
        (void)fprintf(l->in->out, "no %s are kept yet: %s\n", l->kind->name, l->kind->filled_by);
    }
}

static brisk_err write_rows(listing *l, brisk_history *history, const brisk_history_filter *filter,
                            brisk_errinfo *info)
{
    brisk_json json;
    bool as_json = l->in->values[OPTION_JSON].set;
    if (as_json) {
        l->json = &json;
        brisk_json_init(&json, brisk_out_file(l->in->out), 2);
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "schema", 1);
        brisk_json_array_begin(&json, l->kind->name);
    }
    brisk_err err = history != NULL
                        ? history_list_table(history, l->kind->table, filter, on_row, l, info)
                        : BRISK_OK;
    if (as_json) {
        brisk_json_array_end(&json);
        if (l->rows == 0 && err == BRISK_OK && !filters(l->in)) {
            brisk_json_str(&json, "hint", l->kind->filled_by);
        }
        brisk_json_object_end(&json);
        (void)!brisk_json_finish(&json); /* the program checks that the output arrived */
    } else if (l->rows == 0 && err == BRISK_OK) {
        say_empty(l);
    }
    return err;
}

static brisk_exit usage(const brisk_invocation *in, const char *words, const char *what)
{
    (void)fprintf(in->err, "brisk: history: %s '%s'\n", words, what);
    return BRISK_EXIT_USAGE;
}

static const char *text_or_null(const brisk_option_value *value)
{
    return value->set ? value->text : NULL;
}

/* Which rows; what is wrong was said on USAGE. */
static brisk_exit read_filter(const brisk_invocation *in, const history_kind *kind,
                              brisk_history_filter *ret)
{
    const brisk_option_value *v = in->values;
    bool runs = kind == &history_kinds[0];
    brisk_history_filter filter = {
        .name = text_or_null(&v[runs ? OPTION_WORKLOAD : OPTION_NAME]),
        .metric = text_or_null(&v[OPTION_METRIC]),
        .state = text_or_null(&v[OPTION_STATE]),
        .limit = v[OPTION_LIMIT].set ? v[OPTION_LIMIT].number : LIMIT_DEFAULT,
        .newest_first = true,
    };
    if (runs ? v[OPTION_NAME].set : v[OPTION_WORKLOAD].set) {
        return usage(in,
                     runs ? "runs are filtered by --workload, not by --name"
                          : "only runs have a --workload; take --name for",
                     runs ? v[OPTION_NAME].text : kind->name);
    }
    uint64_t now_ns = brisk_clock_wall_ns(NULL);
    if (v[OPTION_SINCE].set &&
        history_parse_time(v[OPTION_SINCE].text, now_ns, &filter.since_ns) != BRISK_OK) {
        return usage(in, "--since takes 2h, 7d, 2026-11-27 or 2026-11-27T10:00, not",
                     v[OPTION_SINCE].text);
    }
    if (v[OPTION_UNTIL].set &&
        history_parse_time(v[OPTION_UNTIL].text, now_ns, &filter.until_ns) != BRISK_OK) {
        return usage(in, "--until takes 2h, 7d, 2026-11-27 or 2026-11-27T10:00, not",
                     v[OPTION_UNTIL].text);
    }
    *ret = filter;
    return BRISK_EXIT_OK;
}

/* What follows from what was kept, and from a recording. */
static brisk_err renew(const brisk_invocation *in, brisk_history *history, brisk_errinfo *info)
{
    brisk_err err = history_renew_opportunities(history, info);
    if (err == BRISK_ERR_PERMISSION) {
        return BRISK_OK; /* one that may only be read */
    }
    if (err == BRISK_OK && in->command->option_count > OPTION_RECORDING &&
        in->values[OPTION_RECORDING].set) {
        brisk_engine *engine = NULL;
        err = in->engine(in, &engine); /* there already */
        err = err == BRISK_OK
                  ? history_renew_cache_opportunity(history, in->values[OPTION_RECORDING].text,
                                                    brisk_engine_knobs(engine), info)
                  : err;
    }
    return err;
}

static brisk_err open_for(const brisk_invocation *in, brisk_history **ret)
{
    brisk_errinfo info = {0};
    bool records = in->command->option_count > OPTION_RECORDING && in->values[OPTION_RECORDING].set;
    brisk_err err = history_command_open(in, text_or_null(&in->values[OPTION_FILE]), ret);
    if (err == BRISK_OK && *ret == NULL && records) { /* the first thing to keep */
        err = brisk_history_open(NULL, ret, &info);
        if (err != BRISK_OK) {
            (void)history_failed(in, err, &info);
        }
    }
    return err;
}

static brisk_exit list(const brisk_invocation *in, const history_kind *kind)
{
    listing l = {.in = in, .kind = kind};
    brisk_history_filter filter;
    brisk_exit status = read_filter(in, kind, &filter);
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    brisk_history *history;
    if (open_for(in, &history) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    brisk_errinfo info = {0};
    brisk_err err = BRISK_OK;
    if (history != NULL && kind->table == &history_opportunities) {
        err = renew(in, history, &info);
    }
    err = err == BRISK_OK ? write_rows(&l, history, &filter, &info) : err;
    brisk_history_close(history);
    return err == BRISK_OK ? BRISK_EXIT_OK : history_failed(in, err, &info);
}

static brisk_exit run_list(const brisk_invocation *in)
{
    const char *word = in->argc > 0 ? in->argv[0] : "runs";
    const history_kind *kind = history_kind_find(word);
    return kind != NULL
               ? list(in, kind)
               : usage(in, "there are runs, benchmarks, alerts and opportunities, but no", word);
}

static brisk_exit run_opportunities(const brisk_invocation *in)
{
    return list(in, history_kind_find("opportunities"));
}

const brisk_command history_list_command = {
    .name = "list",
    .group = "Measuring",
    .synopsis = "[runs|benchmarks|alerts|opportunities]",
    .summary = "what was measured before, the newest first",
    .description = "Jobs, benchmarks, alerts and opportunities are kept in one database, "
                   "$XDG_DATA_HOME/brisk/history.sqlite3. Times are UTC.",
    .examples = "brisk history list\tthe last jobs\n"
                "brisk history list benchmarks --name parse --since 30d\ta benchmark's month\n"
                "brisk history list runs --limit 0 --json\teverything, for a program\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_max = 1,
    .run = run_list,
};

const brisk_command history_opportunities_command = {
    .name = "opportunities",
    .group = "Measuring",
    .synopsis = "",
    .summary = "what could be made better, with the gain to expect",
    .description = "They follow from the stages of the runs that are kept, from profiles and from "
                   "the cache's figures; each has its evidence (see --json). Gains are intervals, "
                   "estimated low rather than high.",
    .examples = "brisk history opportunities --state open\twhat nobody has answered yet\n",
    .options = options,
    .option_count = OPTION_ALL,
    .run = run_opportunities,
};
