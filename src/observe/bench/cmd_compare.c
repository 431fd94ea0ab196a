/*
 * cmd_compare.c -- `brisk bench compare`: a gate for builds against a kept baseline.
 *
 * A benchmark fails when it is slower beyond noise and by --fail-on or more, or executes that many
 * more instructions where both were counted.  One measurement at another time may be unlucky, and a
 * gate that cries wolf is switched off: what fails is measured once more, and only what fails again
 * counts.
 */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "observe/bench/ask.h"

enum {
    OPTION_BASE = OPTION_SHARED_COUNT,
    OPTION_NOW,
    OPTION_FAIL_ON,
    OPTION_JUNIT,
    OPTION_GITHUB,
    OPTION_ONCE,
};

static const double fail_on_default = 0.05;

static const brisk_option options[] = {
    BENCH_ASK_OPTIONS,
    [OPTION_BASE] = {.name = "baseline",
                     .letter = 'b',
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "NAME",
                     .summary = "compare with the measurement kept under NAME, or in a file of "
                                "brisk, hyperfine or Google Benchmark",
                     .required = true},
    [OPTION_NOW] = {.name = "now",
                    .type = BRISK_OPTION_TEXT,
                    .metavar = "NAME",
                    .summary = "take this measurement (a name or a file) instead of measuring"},
    [OPTION_FAIL_ON] = {.name = "fail-on",
                        .type = BRISK_OPTION_TEXT,
                        .metavar = "SHARE",
                        .summary = "fail when something takes so much more time (5%)"},
    [OPTION_JUNIT] = {.name = "junit",
                      .type = BRISK_OPTION_FILE,
                      .metavar = "FILE",
                      .summary = "write the outcome as JUnit XML"},
    [OPTION_GITHUB] = {.name = "github", .summary = "print annotations for GitHub as well"},
    [OPTION_ONCE] = {.name = "once", .summary = "do not measure a second time what failed"},
};

/** A kept name, or a file: what has a slash in it or is there. */
static brisk_exit load(const bench_ask *ask, const char *what, bench_record *ret)
{
    struct stat st;
    brisk_errinfo info = {0};
    bool file = strchr(what, '/') != NULL ||
                (stat(what, &st) == 0 && S_ISREG(st.st_mode) && strstr(what, ".json") != NULL);
    if (!file) {
        brisk_exit status = bench_ask_name(ask, what);
        if (status != BRISK_EXIT_OK) {
            return status;
        }
    }
    brisk_err err = file ? bench_load_file(ask->arena, what, ret, &info)
                         : bench_load(ask->arena, what, ret, &info);
    if (err != BRISK_OK) {
        (void)fprintf(ask->invocation->err, "brisk: bench: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

/** Without commands, those of the baseline, under their names. */
static brisk_exit take_commands(bench_ask *ask, brisk_invocation *invocation,
                                brisk_option_list *lists, const bench_record *before)
{
    char **words = brisk_arena_calloc(ask->arena, before->subject_count, sizeof *words);
    const char **names = brisk_arena_calloc(ask->arena, before->subject_count, sizeof *names);
    if (words == NULL || names == NULL) {
        (void)fprintf(invocation->err, "brisk: bench: %s\n", brisk_err_message(BRISK_ERR_NOMEM));
        return BRISK_EXIT_FAILED;
    }
    for (uint32_t i = 0; i < before->subject_count; i++) {
        const char *text = before->subjects[i].text;
        words[i] = brisk_arena_copy(ask->arena, text, strlen(text));
        names[i] = before->subjects[i].name;
        if (words[i] == NULL) {
            (void)fprintf(invocation->err, "brisk: bench: %s\n",
                          brisk_err_message(BRISK_ERR_NOMEM));
            return BRISK_EXIT_FAILED;
        }
    }
    lists[OPTION_NAME] = (brisk_option_list){.texts = names, .count = before->subject_count};
    invocation->lists = lists;
    invocation->argv = words;
    invocation->argc = (int)before->subject_count;
    invocation->argc_before_dashes = invocation->argc;
    return BRISK_EXIT_OK;
}

static void judge(const bench_report *report, bench_gate *gate)
{
    gate->failed_count = 0;
    for (uint32_t i = 0; i < report->now->subject_count; i++) {
        const bench_comparison *c = &report->comparisons[i];
        double change = c->by_cpu ? c->cpu.estimate : c->change.estimate;
        bool slower = c->verdict == BENCH_SLOWER && change >= gate->fail_on;
        bool more = !isnan(c->instruction_change) && c->instruction_change >= gate->fail_on;
        gate->failed[i] = report->compared[i] && (slower || more);
        gate->failed_count += gate->failed[i] ? 1 : 0;
    }
}

/** Once more; what does not fail again did not fail. */
static brisk_exit confirm(bench_ask *ask, bench_record *now, bench_report *report, bench_gate *gate)
{
    uint32_t count = report->now->subject_count;
    bool *before = brisk_arena_calloc(ask->arena, count, sizeof *before);
    if (before == NULL) {
        return BRISK_EXIT_FAILED;
    }
    memcpy(before, gate->failed, count * sizeof *before);
    uint32_t failed_before = gate->failed_count;
    (void)fprintf(ask->invocation->err,
                  "brisk: bench: %u of %u slower by the limit or more; measuring once more\n",
                  failed_before, count);
    for (uint32_t i = 0; i < count; i++) {
        ask->subjects[i].run_count = 0;
        ask->subjects[i].failed_count = 0;
    }
    ask->plan.seed++;
    brisk_exit status = bench_ask_measure(ask, now, &report->stopped_by);
    if (status == BRISK_EXIT_OK) {
        status = bench_ask_compare(ask, report);
    }
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    judge(report, gate);
    gate->failed_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        gate->failed[i] = gate->failed[i] && before[i];
        gate->failed_count += gate->failed[i] ? 1 : 0;
    }
    gate->measured_twice = true;
    return BRISK_EXIT_OK;
}

static void print_gate(FILE *out, const bench_report *report, const bench_gate *gate)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    char limit[BRISK_TEXT_SHORT_MAX];
    bench_format_change(limit, gate->fail_on);
    for (uint32_t i = 0; i < report->now->subject_count; i++) {
        if (gate->failed[i]) {
            (void)fprintf(out, "FAILED: '%s' takes more time by %s or more%s\n",
                          brisk_text_quote(quoted, report->now->subjects[i].name), limit + 1,
                          gate->measured_twice ? ", measured twice" : "");
        }
    }
    if (gate->failed_count == 0) {
        (void)fprintf(out, "passed: nothing is slower by %s or more%s\n", limit + 1,
                      gate->measured_twice ? " in both of two measurements" : "");
    }
}

static brisk_exit write_outcome(const bench_ask *ask, const bench_report *report,
                                const bench_gate *gate)
{
    const brisk_invocation *invocation = ask->invocation;
    const brisk_option_value *junit = &invocation->values[OPTION_JUNIT];
    bool json = invocation->values[OPTION_JSON].set;
    brisk_errinfo info = {0};
    brisk_err err = BRISK_OK;
    if (junit->set) {
        err = bench_export(report, BENCH_FORMAT_JUNIT, gate, junit->text, invocation->out, &info);
    }
    if (err == BRISK_OK && invocation->values[OPTION_GITHUB].set) {
        err = bench_export(report, BENCH_FORMAT_GITHUB, gate, "-",
                           json ? invocation->err : invocation->out, &info);
    }
    if (err != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: bench: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    brisk_exit status = BRISK_EXIT_OK;
    if (json) {
        status = bench_print_json(invocation->out, report);
    } else {
        bench_print_text(invocation->out, report);
        print_gate(invocation->out, report, gate);
    }
    return status == BRISK_EXIT_OK && gate->failed_count > 0 ? BRISK_EXIT_FAILED : status;
}

static void warn_of_machine(const bench_ask *ask, const bench_record *before,
                            const bench_record *now)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    if (before->fingerprint[0] != '\0' && now->fingerprint[0] != '\0' &&
        strcmp(before->fingerprint, now->fingerprint) != 0) {
        (void)fprintf(ask->invocation->err,
                      "brisk: bench: note: the baseline was measured on another machine: %s\n",
                      brisk_text_quote(quoted, before->machine));
    }
}

/** The gate over what was measured or loaded; `measured` may be measured again. */
static brisk_exit compare(bench_ask *ask, const bench_record *before, bench_record *now,
                          bool measured, int stopped_by)
{
    const brisk_option_value *values = ask->invocation->values;
    bench_gate gate = {.fail_on = ask->limits.noisy,
                       .failed = brisk_arena_calloc(ask->arena, now->subject_count, 1)};
    bench_report report = {.arena = ask->arena,
                           .now = now,
                           .before = before,
                           .warmup = ask->plan.warmup,
                           .shell = ask->request.shell,
                           .stopped_by = stopped_by,
                           .gate = &gate};
    if (gate.failed == NULL) {
        return BRISK_EXIT_FAILED;
    }
    warn_of_machine(ask, before, now);
    brisk_exit status = bench_ask_compare(ask, &report);
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    judge(&report, &gate);
    if (gate.failed_count > 0 && measured && !values[OPTION_ONCE].set && stopped_by == 0) {
        status = confirm(ask, now, &report, &gate);
    }
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    if (measured && report.stopped_by == 0 && bench_name_is_valid(before->name)) {
        brisk_errinfo info = {0};
        now->name = before->name;
        if (bench_history_append(ask->arena, now, &info) != BRISK_OK) {
            (void)fprintf(ask->invocation->err, "brisk: bench: warning: %s\n", info.text);
        }
    }
    status = write_outcome(ask, &report, &gate);
    return report.stopped_by != 0 ? (brisk_exit)(BENCH_EXIT_SIGNAL + report.stopped_by) : status;
}

static brisk_exit read_fail_on(bench_ask *ask)
{
    const brisk_option_value *value = &ask->invocation->values[OPTION_FAIL_ON];
    ask->limits.noisy = fail_on_default;
    if (value->set && (bench_parse_share(value->text, &ask->limits.noisy) != BRISK_OK ||
                       !(ask->limits.noisy > 0.0))) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(ask->invocation->err,
                      "brisk: bench: --fail-on takes a share such as 5%%, not '%s'\n",
                      brisk_text_quote(quoted, value->text));
        return BRISK_EXIT_USAGE;
    }
    return BRISK_EXIT_OK;
}

/** Two measurements that are there already. */
static brisk_exit compare_kept(bench_ask *ask, const bench_record *before)
{
    bench_record now = {0};
    if (ask->invocation->argc > 0) {
        (void)fputs("brisk: bench: compare: --now takes no commands\n", ask->invocation->err);
        return BRISK_EXIT_USAGE;
    }
    brisk_exit status = bench_ask_read_limits(ask);
    if (status == BRISK_EXIT_OK) {
        status = read_fail_on(ask);
    }
    if (status == BRISK_EXIT_OK) {
        status = load(ask, ask->invocation->values[OPTION_NOW].text, &now);
    }
    return status == BRISK_EXIT_OK ? compare(ask, before, &now, false, 0) : status;
}

static brisk_exit run_asked(bench_ask *ask)
{
    brisk_invocation invocation = *ask->invocation;
    brisk_option_list lists[OPTION_ONCE + 1] = {{0}};
    bench_record before = {0};
    bench_record now = {0};
    int stopped_by = 0;
    brisk_exit status = load(ask, invocation.values[OPTION_BASE].text, &before);
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    if (invocation.values[OPTION_NOW].set) {
        return compare_kept(ask, &before);
    }
    if (invocation.argc == 0) {
        memcpy(lists, invocation.lists, sizeof lists);
        status = take_commands(ask, &invocation, lists, &before);
        ask->invocation = &invocation;
    }
    if (status == BRISK_EXIT_OK) {
        status = bench_ask_read(ask, true);
    }
    if (status == BRISK_EXIT_OK) {
        status = read_fail_on(ask);
    }
    if (status == BRISK_EXIT_OK) {
        status = bench_ask_measure(ask, &now, &stopped_by);
    }
    return status == BRISK_EXIT_OK ? compare(ask, &before, &now, true, stopped_by) : status;
}

static brisk_exit run(const brisk_invocation *invocation)
{
    bench_ask ask = {.invocation = invocation};
    brisk_exit status = bench_ask_open(&ask);
    if (status == BRISK_EXIT_OK) {
        status = run_asked(&ask);
    }
    bench_ask_close(&ask);
    return status;
}

const brisk_command bench_compare_command = {
    .name = "compare",
    .group = "Measure",
    .synopsis = "[COMMAND...] --baseline NAME [--fail-on 5%] [--junit FILE] [--github]",
    .summary = "fail when something became slower than a kept measurement",
    .description =
        "Without COMMAND the baseline's own commands are measured again.  A benchmark fails, with "
        "exit code 1, when it is slower beyond noise and by --fail-on or more, or executes that "
        "many more instructions where both were counted (--instructions).  What fails is measured "
        "a second time, and must fail again.  Each measurement becomes a point of the baseline's "
        "history.\n\n"
        "--baseline and --now take a kept name, or a file that brisk, hyperfine (--export-json) or "
        "Google Benchmark (--benchmark_out) wrote.",
    .examples =
        "brisk bench --save main './app --work'\tkeep a baseline\n"
        "brisk bench compare --baseline main --fail-on 5%\tmeasure again, fail a build\n"
        "brisk bench compare --baseline main './app2 --work'\tanother command against it\n"
        "brisk bench compare --baseline a.json --now b.json\ttwo files, without measuring\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_max = -1,
    .run = run,
};
