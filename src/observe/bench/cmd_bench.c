/*
 * cmd_bench.c -- `brisk bench`: run commands often, side by side, say how long they take and
 * whether they differ.
 *
 * Every run is a whole process, because that is what a user waits for.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/version.h>

#include "base/text.h"
#include "observe/bench/ask.h"
#include "observe/bench/suite.h"

enum { EXPORTS = 3 };

static const brisk_option options[] = {
    BENCH_ASK_OPTIONS,
    [OPTION_SAVE] = {.name = "save",
                     .letter = 's',
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "NAME",
                     .summary = "keep the measurement under NAME"},
    [OPTION_BASELINE] = {.name = "baseline",
                         .letter = 'b',
                         .type = BRISK_OPTION_TEXT,
                         .metavar = "NAME",
                         .summary = "compare with the measurement kept under "
                                    "NAME, not with the first command"},
    [OPTION_TARGET] = {.name = "target",
                       .letter = 't',
                       .type = BRISK_OPTION_DURATION,
                       .metavar = "TIME",
                       .summary = "fail when a median is above "
                                  "TIME (10s)"},
    [OPTION_EXPORT_JSON] = {.name = "export-json",
                            .type = BRISK_OPTION_FILE,
                            .metavar = "FILE",
                            .summary = "write the results as "
                                       "hyperfine does"},
    [OPTION_EXPORT_GOOGLE] = {.name = "export-google",
                              .type = BRISK_OPTION_FILE,
                              .metavar = "FILE",
                              .summary = "write them as Google "
                                         "Benchmark does"},
    [OPTION_EXPORT_MARKDOWN] = {.name = "export-markdown",
                                .type = BRISK_OPTION_FILE,
                                .metavar = "FILE",
                                .summary = "write a table in "
                                           "Markdown"},
    [OPTION_COMPREHENSIVE] = {.name = "comprehensive",
                              .summary = "no command: the standard suite over cache, "
                                         "executor, input and output, workloads"}};

static brisk_exit write_exports(const bench_ask *ask, const bench_report *report)
{
    static const struct {
        uint32_t option;
        bench_format format;
    } exports[EXPORTS] = {{OPTION_EXPORT_JSON, BENCH_FORMAT_HYPERFINE},
                          {OPTION_EXPORT_GOOGLE, BENCH_FORMAT_GOOGLE},
                          {OPTION_EXPORT_MARKDOWN, BENCH_FORMAT_MARKDOWN}};
    for (size_t i = 0; i < EXPORTS; i++) {
        const brisk_option_value *value = &ask->invocation->values[exports[i].option];
        brisk_errinfo info = {0};
        if (value->set && bench_export(report, exports[i].format, NULL, value->text,
                                       ask->invocation->out, &info) != BRISK_OK) {
            (void)fprintf(ask->invocation->err, "brisk: bench: %s\n", info.text);
            return BRISK_EXIT_FAILED;
        }
    }
    return BRISK_EXIT_OK;
}

static brisk_exit save(const bench_ask *ask, bench_record *now, const char *name,
                       bench_report *report)
{
    brisk_errinfo info = {0};
    now->name = name;
    if (bench_save(ask->arena, now, &info) != BRISK_OK) {
        (void)fprintf(ask->invocation->err, "brisk: bench: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    if (bench_history_append(ask->arena, now, &info) != BRISK_OK) {
        (void)fprintf(ask->invocation->err, "brisk: bench: warning: not in the history: %s\n",
                      info.text);
    }
    report->kept_as = name;
    return BRISK_EXIT_OK;
}

static void note_other_command(const bench_ask *ask, const bench_report *report)
{
    const bench_subject *baseline = bench_report_baseline(report, 0);
    if (report->now->subject_count == 1 && baseline != NULL &&
        strcmp(baseline->text, report->now->subjects[0].text) != 0) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(ask->invocation->err,
                      "brisk: bench: note: the baseline is another command: '%s'\n",
                      brisk_text_quote(quoted, baseline->text));
    }
}

/** `before` may be NULL. */
static brisk_exit report(const bench_ask *ask, bench_record *now, const bench_record *before,
                         int stopped_by)
{
    const brisk_invocation *invocation = ask->invocation;
    const brisk_option_value *target = &invocation->values[OPTION_TARGET];
    const brisk_option_value *kept = &invocation->values[OPTION_SAVE];
    bench_report r = {.arena = ask->arena,
                      .now = now,
                      .before = before,
                      .warmup = ask->plan.warmup,
                      .target_ns = target->set ? target->number : 0,
                      .shell = ask->request.shell,
                      .stopped_by = stopped_by};
    /* The cases of the suite are no rivals of each other. */
    bool rivals = !invocation->values[OPTION_COMPREHENSIVE].set || before != NULL;
    brisk_exit status = rivals ? bench_ask_compare(ask, &r) : BRISK_EXIT_OK;
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    if (before != NULL) {
        note_other_command(ask, &r);
    }
    if (kept->set && stopped_by == 0) {
        status = save(ask, now, kept->text, &r);
    }
    if (status == BRISK_EXIT_OK && stopped_by == 0) {
        status = write_exports(ask, &r);
    }
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    if (invocation->values[OPTION_JSON].set) {
        status = bench_print_json(invocation->out, &r);
    } else if (invocation->values[OPTION_COMPREHENSIVE].set) {
        suite_print(invocation->out, &r);
    } else {
        bench_print_text(invocation->out, &r);
    }
    if (stopped_by != 0) {
        return (brisk_exit)(BENCH_EXIT_SIGNAL + stopped_by);
    }
    return status == BRISK_EXIT_OK && !bench_report_meets_target(&r) ? BRISK_EXIT_FAILED : status;
}

/** Everything that can be wrong is found before the first run. */
static brisk_exit prepare(bench_ask *ask, bench_record *before)
{
    const brisk_invocation *invocation = ask->invocation;
    const brisk_option_value *target = &invocation->values[OPTION_TARGET];
    const brisk_option_value *baseline = &invocation->values[OPTION_BASELINE];
    bool comprehensive = invocation->values[OPTION_COMPREHENSIVE].set;
    if (comprehensive && invocation->argc > 0) {
        (void)fputs("brisk: bench: --comprehensive takes no command\n", invocation->err);
        return BRISK_EXIT_USAGE;
    }
    brisk_exit status = bench_ask_read(ask, !comprehensive);
    if (status == BRISK_EXIT_OK && invocation->values[OPTION_SAVE].set) {
        status = bench_ask_name(ask, invocation->values[OPTION_SAVE].text);
    }
    if (status == BRISK_EXIT_OK && baseline->set) {
        status = bench_ask_name(ask, baseline->text);
    }
    if (status == BRISK_EXIT_OK && target->set && target->number == 0) {
        (void)fprintf(invocation->err, "brisk: bench: --target takes more than no time\n");
        status = BRISK_EXIT_USAGE;
    }
    brisk_errinfo info = {0};
    if (status == BRISK_EXIT_OK && baseline->set &&
        bench_load(ask->arena, baseline->text, before, &info) != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: bench: %s\n", info.text);
        status = BRISK_EXIT_FAILED;
    }
    return status;
}

static brisk_exit measure(bench_ask *ask)
{
    bench_record before = {0};
    bench_record now = {0};
    int stopped_by = 0;
    brisk_exit status = prepare(ask, &before);
    if (status == BRISK_EXIT_OK) {
        status = ask->invocation->values[OPTION_COMPREHENSIVE].set
                     ? suite_measure(ask, &now, &stopped_by)
                     : bench_ask_measure(ask, &now, &stopped_by);
    }
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    bool baseline = ask->invocation->values[OPTION_BASELINE].set;
    return report(ask, &now, baseline ? &before : NULL, stopped_by);
}

static brisk_exit run(const brisk_invocation *invocation)
{
    bench_ask ask = {.invocation = invocation};
    brisk_exit status = bench_ask_open(&ask);
    if (status == BRISK_EXIT_OK) {
        status = measure(&ask);
    }
    bench_ask_close(&ask);
    return status;
}

const brisk_command bench_command = {
    .name = "bench",
    .group = "Measure",
    .synopsis = "COMMAND... [--runs N] [--save NAME] [--baseline NAME] [--target TIME]",
    .summary = "run commands often, side by side, and say how long they take",
    .description =
        "Each COMMAND is one argument in quotes, split into words as a shell would but with "
        "nothing "
        "expanded; words behind -- are one command as they are.  A command whose first word is "
        "brisk, or a command of brisk, is a job of this program; any other is a program.  Every "
        "run is a process of its own, started without a shell, with its output thrown away; a run "
        "that fails ends the measurement and shows what it said.\n\n"
        "Several commands take turns in random order, each block once forwards and once backwards, "
        "and are compared with the first one by the ratios of the runs that stood side by side "
        "(Hodges-Lehmann, Wilcoxon interval of 97.5 %).  The verdict is faster, slower, no "
        "difference shown, or too noisy: a difference must be more than chance, more than "
        "--min-effect and more than the noise floor, which is how far a command is from itself in "
        "this very measurement.\n\n"
        "--save keeps the runs, --baseline compares with kept ones: the ratio of the medians with "
        "a bootstrap interval, and whether the two series differ by more than chance "
        "(Mann-Whitney, p < 0.025).  Kept runs were measured at another time; on a machine that "
        "does other work, too, keep and compare shortly after one another.\n\n"
        "--parameter NAME VALUES fills in {NAME}: VALUES is a list (1,2,4) or a range (1..8, "
        "1..64:8).  Ctrl-C ends the run and reports what was measured until then.",
    .examples = "brisk bench 'rom apply game.sfc mod.yaml -o out.sfc' --runs 10\tmeasure ten runs\n"
                "brisk bench './old --fast' './new --fast'\twhich one is faster\n"
                "brisk bench --parameter n 1..4 'make -j{n}' --prepare 'make clean'\tbuild times\n"
                "brisk bench --save before 'cache stats'\tkeep the measurement\n"
                "brisk bench --baseline before 'cache stats'\tcompare with it\n"
                "brisk bench --target 10s -- rom info game.sfc\tfail when it takes longer\n"
                "brisk bench --instructions ./a ./b\tcount instructions as well\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_max = -1,
    .run = run,
};
