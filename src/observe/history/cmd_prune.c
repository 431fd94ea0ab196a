/*
 * cmd_prune.c -- `brisk history prune`: forget old rows, and say what that gave.
 */
#include <sys/stat.h>

#include <brisk/clock.h>

#include "base/text.h"
#include "observe/bench/bench.h"
#include "observe/history/command.h"

enum { OPTION_OLDER_THAN, OPTION_KEEP, OPTION_COMPACT, OPTION_FILE, OPTION_JSON, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_OLDER_THAN] = {.name = "older-than",
                           .type = BRISK_OPTION_DURATION,
                           .metavar = "TIME",
                           .summary = "rows older than TIME (90d); open opportunities stay"},
    [OPTION_KEEP] = {.name = "keep",
                     .type = BRISK_OPTION_U64,
                     .metavar = "N",
                     .summary = "all but the newest N of each table"},
    [OPTION_COMPACT] = {.name = "compact",
                        .summary = "give the room back to the file system, even when nothing is "
                                   "removed"},
    [OPTION_FILE] = {.name = HISTORY_FILE_NAME,
                     .letter = 'f',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = HISTORY_FILE_SUMMARY},
    [OPTION_JSON] = {.name = "json", .letter = 'j', .summary = "as JSON"},
};

/* With its write-ahead log. */
static uint64_t size_of(const char *path)
{
    char log[4200];
    struct stat st;
    uint64_t bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    (void)snprintf(log, sizeof log, "%s-wal", path);
    return bytes + (stat(log, &st) == 0 ? (uint64_t)st.st_size : 0);
}

static void report(const brisk_invocation *in, uint64_t removed, uint64_t before, uint64_t after)
{
    if (in->values[OPTION_JSON].set) {
        brisk_json json;
        brisk_json_init(&json, brisk_out_file(in->out), 2);
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "schema", 1);
        brisk_json_u64(&json, "removed", removed);
        brisk_json_u64(&json, "bytes_before", before);
        brisk_json_u64(&json, "bytes_after", after);
        brisk_json_object_end(&json);
        (void)!brisk_json_finish(&json); /* the program checks that the output arrived */
        return;
    }
    char was[BRISK_TEXT_SHORT_MAX];
    char is[BRISK_TEXT_SHORT_MAX];
    brisk_text_bytes(was, before);
    brisk_text_bytes(is, after);
    (void)fprintf(in->out, "%llu row%s removed; %s before, %s now%s\n", (unsigned long long)removed,
                  removed == 1 ? "" : "s", was, is,
                  removed > 0 && !in->values[OPTION_COMPACT].set
                      ? " (new rows use the room; --compact gives it back)"
                      : "");
}

typedef struct pruning {
    const brisk_invocation *in;
    brisk_history_retention retention;
} pruning;

static brisk_err prune(void *ctx, brisk_history *history, brisk_errinfo *info)
{
    const pruning *p = ctx;
    uint64_t removed = 0;
    if (history == NULL) {
        report(p->in, 0, 0, 0);
        return BRISK_OK;
    }
    uint64_t before = size_of(brisk_history_path(history));
    brisk_err err = brisk_history_prune(history, &p->retention, &removed, info);
    if (err == BRISK_OK) {
        report(p->in, removed, before, size_of(brisk_history_path(history)));
    }
    return err;
}

static brisk_exit run(const brisk_invocation *in)
{
    const brisk_option_value *v = in->values;
    uint64_t now_ns = brisk_clock_wall_ns(NULL);
    if ((v[OPTION_KEEP].set && v[OPTION_KEEP].number == 0) ||
        (!v[OPTION_OLDER_THAN].set && !v[OPTION_KEEP].set && !v[OPTION_COMPACT].set)) {
        (void)fputs("brisk: history: say what to forget: --older-than 90d, --keep N (1 or more), "
                    "or only --compact\n",
                    in->err);
        return BRISK_EXIT_USAGE;
    }
    pruning p = {.in = in};
    p.retention = (brisk_history_retention){
        .before_ns = v[OPTION_OLDER_THAN].set && v[OPTION_OLDER_THAN].number < now_ns
                         ? now_ns - v[OPTION_OLDER_THAN].number
                         : 0,
        .rows_max = v[OPTION_KEEP].set ? v[OPTION_KEEP].number : 0,
        .compact = v[OPTION_COMPACT].set,
    };
    return history_command_run(in, OPTION_FILE, prune, &p);
}

const brisk_command history_prune_command = {
    .name = "prune",
    .group = "Measuring",
    .synopsis = "",
    .summary = "forget old rows of the history",
    .description = "Without it rows older than the knob history.days, and all but the newest "
                   "history.rows of each table, are forgotten once a day.",
    .examples = "brisk history prune --older-than 90d --compact\tforget what is older than three "
                "months\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .run = run,
};
