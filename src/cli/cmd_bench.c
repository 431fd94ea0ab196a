/*
 * cmd_bench.c -- `brisk bench`: run a command of this program often, say how long it takes.
 *
 * Every run is a whole process, because that is what a user waits for.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/json.h>
#include <brisk/version.h>

#include "cli/bench.h"
#include "cli/commands.h"

enum {
    OPTION_RUNS,
    OPTION_WARMUP,
    OPTION_SAVE,
    OPTION_BASELINE,
    OPTION_TARGET,
    OPTION_JSON,
};

enum {
    RUNS_DEFAULT = 10,
    WARMUP_MAX = 1000,
    COMMAND_TEXT_MAX = 4096, /* what is shown and kept of a long command */
    EXIT_SIGNAL = 128,       /* plus the signal, as shells report it */
    PROGRESS_AFTER_NS = 1000000000,
};

static const brisk_option options[] = {
    [OPTION_RUNS] = {.name = "runs",
                     .letter = 'n',
                     .type = BRISK_OPTION_U64,
                     .metavar = "N",
                     .summary = "measure N runs (10)"},
    [OPTION_WARMUP] = {.name = "warmup",
                       .letter = 'w',
                       .type = BRISK_OPTION_U64,
                       .metavar = "N",
                       .summary = "run N times before, unmeasured (1)"},
    [OPTION_SAVE] = {.name = "save",
                     .letter = 's',
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "NAME",
                     .summary = "keep the measurement under NAME"},
    [OPTION_BASELINE] = {.name = "baseline",
                         .letter = 'b',
                         .type = BRISK_OPTION_TEXT,
                         .metavar = "NAME",
                         .summary = "compare with the measurement kept under NAME"},
    [OPTION_TARGET] = {.name = "target",
                       .letter = 't',
                       .type = BRISK_OPTION_DURATION,
                       .metavar = "TIME",
                       .summary = "fail when the median is above TIME (10s)"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

/** One call of the command. */
typedef struct bench {
    const brisk_invocation *invocation;
    brisk_arena *arena;
    char **words; /* words[0] is "brisk" */
    uint32_t word_count;
    char *command; /* the words as one text */
    uint32_t runs;
    uint32_t warmup;
    const char *save_path;     /* NULL: not asked for */
    const char *baseline_path; /* likewise */
    bench_record now;
    bench_record before;
    bench_figures figures;
    bench_change change;
} bench;

static brisk_exit out_of_memory(const bench *b)
{
    (void)fprintf(b->invocation->err, "brisk: bench: %s\n", brisk_err_message(BRISK_ERR_NOMEM));
    return BRISK_EXIT_FAILED;
}

/* --- before the runs ----------------------------------------------------------------------- */

static brisk_exit read_words(bench *b)
{
    const brisk_invocation *invocation = b->invocation;
    char **split = NULL;
    char *const *given = invocation->argv;
    uint32_t count = (uint32_t)invocation->argc;
    brisk_err err = count > BENCH_WORDS_MAX ? BRISK_ERR_LIMIT : BRISK_OK;
    if (count == 1) {
        err = bench_split(b->arena, invocation->argv[0], &split, &count);
        given = split;
    }
    if (err == BRISK_ERR_NOMEM) {
        return out_of_memory(b);
    }
    if (err != BRISK_OK) {
        char quoted[CLI_QUOTED_MAX];
        (void)fprintf(invocation->err, "brisk: bench: %s: '%s'\n",
                      err == BRISK_ERR_LIMIT ? "too many words" : "no command, or an open quote in",
                      cli_quote(quoted, invocation->argv[0]));
        return BRISK_EXIT_USAGE;
    }
    b->words = brisk_arena_calloc(b->arena, count + 2, sizeof *b->words);
    b->command = brisk_arena_alloc(b->arena, COMMAND_TEXT_MAX);
    if (b->words == NULL || b->command == NULL) {
        return out_of_memory(b);
    }
    b->words[0] = brisk_arena_copy(b->arena, "brisk", 5);
    memcpy(b->words + 1, given, count * sizeof *given);
    b->word_count = count + 1;
    size_t used = 0;
    b->command[0] = '\0';
    for (uint32_t i = 0; i < count && used < COMMAND_TEXT_MAX; i++) {
        int wrote = snprintf(b->command + used, COMMAND_TEXT_MAX - used, "%s%s", i > 0 ? " " : "",
                             given[i]);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    return b->words[0] != NULL ? BRISK_EXIT_OK : out_of_memory(b);
}

static brisk_exit read_count(const bench *b, uint32_t option, uint64_t min, uint64_t max,
                             uint32_t *ret)
{
    const brisk_option_value *value = &b->invocation->values[option];
    if (!value->set) {
        return BRISK_EXIT_OK;
    }
    if (value->number < min || value->number > max) {
        (void)fprintf(b->invocation->err, "brisk: bench: --%s is %" PRIu64 "..%" PRIu64 "\n",
                      options[option].name, min, max);
        return BRISK_EXIT_USAGE;
    }
    *ret = (uint32_t)value->number;
    return BRISK_EXIT_OK;
}

static brisk_exit read_name(const bench *b, uint32_t option, const char **ret)
{
    const brisk_option_value *value = &b->invocation->values[option];
    if (!value->set) {
        return BRISK_EXIT_OK;
    }
    if (!bench_name_is_valid(value->text)) {
        char quoted[CLI_QUOTED_MAX];
        (void)fprintf(b->invocation->err,
                      "brisk: bench: a name is 1..%d letters, digits, '_', '-' and '.', not in "
                      "front; not '%s'\n",
                      BENCH_NAME_MAX, cli_quote(quoted, value->text));
        return BRISK_EXIT_USAGE;
    }
    *ret = bench_path(b->arena, value->text);
    if (*ret == NULL) {
        (void)fputs("brisk: bench: there is no place for measurements: neither XDG_DATA_HOME nor "
                    "HOME is set\n",
                    b->invocation->err);
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

/** Everything that can be wrong is found before the first run. */
static brisk_exit prepare(bench *b)
{
    b->runs = RUNS_DEFAULT;
    b->warmup = 1;
    brisk_exit status = read_words(b);
    if (status == BRISK_EXIT_OK) {
        status = read_count(b, OPTION_RUNS, 1, BENCH_RUNS_MAX, &b->runs);
    }
    if (status == BRISK_EXIT_OK) {
        status = read_count(b, OPTION_WARMUP, 0, WARMUP_MAX, &b->warmup);
    }
    if (status == BRISK_EXIT_OK) {
        status = read_name(b, OPTION_SAVE, &b->save_path);
    }
    if (status == BRISK_EXIT_OK) {
        status = read_name(b, OPTION_BASELINE, &b->baseline_path);
    }
    const brisk_option_value *target = &b->invocation->values[OPTION_TARGET];
    if (status == BRISK_EXIT_OK && target->set && target->number == 0) {
        (void)fprintf(b->invocation->err, "brisk: bench: --target takes more than no time\n");
        status = BRISK_EXIT_USAGE;
    }
    if (status != BRISK_EXIT_OK || b->baseline_path == NULL) {
        return status;
    }
    brisk_errinfo info = {0};
    if (bench_load(b->arena, b->baseline_path, &b->before, &info) != BRISK_OK) {
        (void)fprintf(b->invocation->err, "brisk: bench: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

/* --- the runs ------------------------------------------------------------------------------ */

static brisk_exit tell_failure(const bench *b, const bench_outcome *outcome)
{
    FILE *err = b->invocation->err;
    char quoted[CLI_QUOTED_MAX];
    (void)fwrite(outcome->errors, 1, outcome->errors_size, err);
    if (outcome->errors_size > 0 && outcome->errors[outcome->errors_size - 1] != '\n') {
        (void)fputc('\n', err);
    }
    if (WIFSIGNALED(outcome->status)) {
        (void)fprintf(err, "brisk: bench: '%s' was ended by signal %d\n",
                      cli_quote(quoted, b->command), WTERMSIG(outcome->status));
    } else {
        (void)fprintf(err, "brisk: bench: '%s' failed with exit code %d\n",
                      cli_quote(quoted, b->command), WEXITSTATUS(outcome->status));
    }
    return BRISK_EXIT_FAILED;
}

static void show_progress(const bench *b, uint32_t run, uint64_t started_ns, bool *shown)
{
    bool slow = brisk_clock_now_ns(NULL) - started_ns > PROGRESS_AFTER_NS;
    if (!slow || isatty(STDERR_FILENO) == 0) {
        return;
    }
    if (run < b->warmup) {
        (void)fprintf(b->invocation->err, "\r\033[Kwarming up");
    } else {
        (void)fprintf(b->invocation->err, "\r\033[Krun %u of %u", run - b->warmup + 1, b->runs);
    }
    *shown = true;
}

static brisk_exit run_all(bench *b, int signals)
{
    bench_outcome outcome = {.errors = brisk_arena_alloc(b->arena, BENCH_ERRORS_MAX)};
    b->now.runs_ns = brisk_arena_calloc(b->arena, b->runs, sizeof(double));
    if (outcome.errors == NULL || b->now.runs_ns == NULL) {
        return out_of_memory(b);
    }
    bool shown = false;
    brisk_exit status = BRISK_EXIT_OK;
    uint64_t started_ns = brisk_clock_now_ns(NULL);
    for (uint32_t run = 0; run < b->warmup + b->runs && status == BRISK_EXIT_OK; run++) {
        show_progress(b, run, started_ns, &shown);
        brisk_err err = bench_run(b->words, signals, &outcome);
        bool ended_well = WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0;
        bool failed = err != BRISK_OK || outcome.stopped_by != 0 || !ended_well;
        if (shown && (failed || run + 1 == b->warmup + b->runs)) {
            (void)fputs("\r\033[K", b->invocation->err);
        }
        if (err != BRISK_OK) {
            (void)fprintf(b->invocation->err, "brisk: bench: cannot run: %s\n",
                          brisk_err_message(err));
            status = BRISK_EXIT_FAILED;
        } else if (outcome.stopped_by != 0) {
            status = (brisk_exit)(EXIT_SIGNAL + outcome.stopped_by);
        } else if (!ended_well) {
            status = tell_failure(b, &outcome);
        } else if (run >= b->warmup) {
            b->now.runs_ns[b->now.run_count++] = (double)(outcome.ns > 0 ? outcome.ns : 1);
        }
    }
    return status;
}

/* --- after the runs ------------------------------------------------------------------------ */

static bool target_is_met(const bench *b)
{
    const brisk_option_value *target = &b->invocation->values[OPTION_TARGET];
    return !target->set || b->figures.median <= (double)target->number;
}

static void print_change(const bench *b)
{
    FILE *out = b->invocation->out;
    char date[CLI_TEXT_MAX] = "?";
    struct tm when;
    time_t seconds = (time_t)b->before.when_s;
    if (gmtime_r(&seconds, &when) != NULL) {
        (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M", &when);
    }
    double ratio = b->change.ratio;
    char quoted[CLI_QUOTED_MAX];
    (void)fprintf(
        out, "  against '%s' (%s UTC, brisk %s): ", b->invocation->values[OPTION_BASELINE].text,
        date, cli_quote(quoted, b->before.version));
    (void)fprintf(out, "%.3g x %s, %.1f %% %s time; %s (p = %.2g)\n",
                  ratio >= 1.0 ? ratio : 1.0 / ratio, ratio >= 1.0 ? "faster" : "slower",
                  ratio >= 1.0 ? (1.0 - 1.0 / ratio) * 100.0 : (1.0 / ratio - 1.0) * 100.0,
                  ratio >= 1.0 ? "less" : "more",
                  b->change.beyond_noise ? "more than noise" : "may be noise", b->change.p);
}

static void print_text(const bench *b)
{
    FILE *out = b->invocation->out;
    const bench_figures *f = &b->figures;
    const struct {
        const char *name;
        double ns;
    } rows[] = {{"fastest", f->fastest},
                {"average", f->average},
                {"median", f->median},
                {"slowest", f->slowest},
                {"spread", f->spread}};
    char quoted[CLI_QUOTED_MAX];
    (void)fprintf(out, "brisk %s: %u run%s after %u to warm up\n", cli_quote(quoted, b->command),
                  b->runs, b->runs == 1 ? "" : "s", b->warmup);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[CLI_TEXT_MAX];
        cli_format_duration(text, rows[i].ns);
        (void)fprintf(out, "  %-8s %12s%s\n", rows[i].name, text,
                      strcmp(rows[i].name, "spread") == 0 ? "  (median absolute deviation)" : "");
    }
    if (b->baseline_path != NULL) {
        print_change(b);
    }
    const brisk_option_value *target = &b->invocation->values[OPTION_TARGET];
    if (target->set) {
        char text[CLI_TEXT_MAX];
        cli_format_duration(text, (double)target->number);
        (void)fprintf(out, "  target %s: %s\n", text,
                      target_is_met(b) ? "met by the median" : "not met by the median");
    }
    if (b->save_path != NULL) {
        (void)fprintf(out, "  kept as '%s'\n", b->invocation->values[OPTION_SAVE].text);
    }
}

static void print_json_change(brisk_json *json, const bench *b)
{
    brisk_json_object_begin(json, "baseline");
    brisk_json_str(json, "name", b->invocation->values[OPTION_BASELINE].text);
    brisk_json_str(json, "command", b->before.command);
    brisk_json_str(json, "version", b->before.version);
    brisk_json_u64(json, "when_s", b->before.when_s);
    brisk_json_u64(json, "runs", b->before.run_count);
    brisk_json_double(json, "ratio", b->change.ratio);
    brisk_json_double(json, "p", b->change.p);
    brisk_json_bool(json, "beyond_noise", b->change.beyond_noise);
    brisk_json_object_end(json);
}

static brisk_exit print_json(const bench *b)
{
    const brisk_option_value *target = &b->invocation->values[OPTION_TARGET];
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(b->invocation->out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_array_begin(&json, "command");
    for (uint32_t i = 1; i < b->word_count; i++) {
        brisk_json_str(&json, NULL, b->words[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_u64(&json, "runs", b->runs);
    brisk_json_u64(&json, "warmup", b->warmup);
    brisk_json_double(&json, "fastest_ns", b->figures.fastest);
    brisk_json_double(&json, "average_ns", b->figures.average);
    brisk_json_double(&json, "median_ns", b->figures.median);
    brisk_json_double(&json, "slowest_ns", b->figures.slowest);
    brisk_json_double(&json, "spread_ns", b->figures.spread);
    brisk_json_array_begin(&json, "runs_ns");
    for (uint32_t i = 0; i < b->now.run_count; i++) {
        brisk_json_u64(&json, NULL, (uint64_t)b->now.runs_ns[i]);
    }
    brisk_json_array_end(&json);
    if (b->baseline_path != NULL) {
        print_json_change(&json, b);
    }
    if (target->set) {
        brisk_json_object_begin(&json, "target");
        brisk_json_u64(&json, "ns", target->number);
        brisk_json_bool(&json, "met", target_is_met(b));
        brisk_json_object_end(&json);
    }
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit report(bench *b)
{
    double *scratch = brisk_arena_calloc(b->arena, b->runs, sizeof *scratch);
    double *before = brisk_arena_calloc(b->arena, b->before.run_count, sizeof *before);
    if (scratch == NULL || before == NULL) {
        return out_of_memory(b);
    }
    b->figures = bench_figures_of(b->now.runs_ns, b->now.run_count, scratch);
    b->now.command = b->command;
    b->now.version = brisk_version();
    b->now.when_s = brisk_clock_wall_ns(NULL) / UINT64_C(1000000000);
    if (b->baseline_path != NULL) {
        (void)bench_figures_of(b->before.runs_ns, b->before.run_count, before); /* sorts */
        b->change =
            bench_compare(b->before.runs_ns, b->before.run_count, b->now.runs_ns, b->now.run_count);
        if (strcmp(b->before.command, b->command) != 0) {
            char quoted[CLI_QUOTED_MAX];
            (void)fprintf(b->invocation->err,
                          "brisk: bench: note: the baseline is another command: "
                          "'%s'\n",
                          cli_quote(quoted, b->before.command));
        }
    }
    if (b->save_path != NULL) {
        brisk_errinfo info = {0};
        if (bench_save(b->arena, b->save_path, &b->now, &info) != BRISK_OK) {
            (void)fprintf(b->invocation->err, "brisk: bench: %s\n", info.text);
            return BRISK_EXIT_FAILED;
        }
    }
    brisk_exit status = BRISK_EXIT_OK;
    if (b->invocation->values[OPTION_JSON].set) {
        status = print_json(b);
    } else {
        print_text(b);
    }
    return status == BRISK_EXIT_OK && !target_is_met(b) ? BRISK_EXIT_FAILED : status;
}

static brisk_exit run(const brisk_invocation *invocation)
{
    bench b = {.invocation = invocation, .arena = cli_arena(cli_of(invocation))};
    if (b.arena == NULL) {
        return BRISK_EXIT_FAILED;
    }
    brisk_exit status = prepare(&b);
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    int signals = -1;
    brisk_err err = bench_signals_open(&signals);
    if (err != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: bench: %s\n", brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    status = run_all(&b, signals);
    (void)close(signals);
    return status == BRISK_EXIT_OK ? report(&b) : status;
}

const brisk_command cmd_bench = {
    .name = "bench",
    .group = "Measure",
    .synopsis = "'COMMAND ARGUMENTS...' [--runs N] [--save NAME] [--baseline NAME] [--target TIME]",
    .summary = "run a command of brisk often and say how long it takes",
    .description =
        "The command is one argument in quotes, split into words as a shell would but with nothing "
        "expanded, or several words, behind -- when options are among them.  Every run is a "
        "process "
        "of its own, with its output thrown away; a run that fails ends the measurement and shows "
        "what it said.\n\n"
        "--save keeps the runs, --baseline compares with kept ones: the ratio of the medians, and "
        "whether the two series differ by more than chance (Mann-Whitney, p < 0.05).  Kept runs "
        "were measured at another time; on a machine that does other work, too, keep and compare "
        "shortly after one another.",
    .examples = "brisk bench 'rom apply game.sfc mod.yaml -o out.sfc' --runs 10\tmeasure ten runs\n"
                "brisk bench --save before 'cache stats'\tkeep the measurement\n"
                "brisk bench --baseline before 'cache stats'\tcompare with it\n"
                "brisk bench --target 10s -- rom info game.sfc\tfail when it takes longer\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_min = 1,
    .args_max = -1,
    .run = run,
};
