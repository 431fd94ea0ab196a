/*
 * ask.h -- what `brisk bench` and `brisk bench compare` have in common: options, their reading, the
 * measurement itself.
 */
#ifndef BRISK_SRC_OBSERVE_BENCH_ASK_H
#define BRISK_SRC_OBSERVE_BENCH_ASK_H

#include "observe/bench/bench.h"

/** Options that both commands have come first, in this order. */
enum {
    OPTION_RUNS,
    OPTION_DURATION,
    OPTION_WARMUP,
    OPTION_PREPARE,
    OPTION_SETUP,
    OPTION_CLEANUP,
    OPTION_PARAMETER,
    OPTION_NAME,
    OPTION_IGNORE_FAILURE,
    OPTION_SHELL,
    OPTION_SHOW_OUTPUT,
    OPTION_TIMEOUT,
    OPTION_MIN_EFFECT,
    OPTION_INSTRUCTIONS,
    OPTION_SEED,
    OPTION_JSON,
    OPTION_SHARED_COUNT,
};

enum { /* of `brisk bench` */
       OPTION_SAVE = OPTION_SHARED_COUNT,
       OPTION_BASELINE,
       OPTION_TARGET,
       OPTION_EXPORT_JSON,
       OPTION_EXPORT_GOOGLE,
       OPTION_EXPORT_MARKDOWN,
       OPTION_COMPREHENSIVE,
};

#define BENCH_ASK_OPTIONS                                                                          \
    [OPTION_RUNS] = {.name = "runs",                                                               \
                     .letter = 'n',                                                                \
                     .type = BRISK_OPTION_U64,                                                     \
                     .metavar = "N",                                                               \
                     .summary = "measure N runs of each command (10 to 100, as 3 s allow)"},       \
    [OPTION_DURATION] = {.name = "duration",                                                       \
                         .letter = 'd',                                                            \
                         .type = BRISK_OPTION_DURATION,                                            \
                         .metavar = "TIME",                                                        \
                         .summary = "measure for TIME (60s), at most --runs"},                     \
    [OPTION_WARMUP] = {.name = "warmup",                                                           \
                       .letter = 'w',                                                              \
                       .type = BRISK_OPTION_U64,                                                   \
                       .metavar = "N",                                                             \
                       .summary = "run each N times before, unmeasured (1)"},                      \
    [OPTION_PREPARE] = {.name = "prepare",                                                         \
                        .letter = 'p',                                                             \
                        .type = BRISK_OPTION_LIST,                                                 \
                        .metavar = "COMMAND",                                                      \
                        .summary = "run COMMAND before each run; one for all, or one for each"},   \
    [OPTION_SETUP] = {.name = "setup",                                                             \
                      .type = BRISK_OPTION_TEXT,                                                   \
                      .metavar = "COMMAND",                                                        \
                      .summary = "run COMMAND once before each command's runs"},                   \
    [OPTION_CLEANUP] = {.name = "cleanup",                                                         \
                        .type = BRISK_OPTION_TEXT,                                                 \
                        .metavar = "COMMAND",                                                      \
                        .summary = "run COMMAND once after each command's runs"},                  \
    [OPTION_PARAMETER] = {.name = "parameter",                                                     \
                          .letter = 'P',                                                           \
                          .type = BRISK_OPTION_LIST,                                               \
                          .metavar = "NAME VALUES",                                                \
                          .summary = "each command with {NAME} filled in, for each of VALUES"},    \
    [OPTION_NAME] = {.name = "name",                                                               \
                     .letter = 'N',                                                                \
                     .type = BRISK_OPTION_LIST,                                                    \
                     .metavar = "NAME",                                                            \
                     .summary = "call the first (second, ...) command NAME"},                      \
    [OPTION_IGNORE_FAILURE] = {.name = "ignore-failure",                                           \
                               .letter = 'i',                                                      \
                               .summary = "measure runs that fail, too"},                          \
    [OPTION_SHELL] = {.name = "shell",                                                             \
                      .letter = 'S',                                                               \
                      .summary = "give commands to /bin/sh, whose start is then measured, too"},   \
    [OPTION_SHOW_OUTPUT] = {.name = "show-output",                                                 \
                            .summary = "show what the commands print, on standard error"},         \
    [OPTION_TIMEOUT] = {.name = "timeout",                                                         \
                        .type = BRISK_OPTION_DURATION,                                             \
                        .metavar = "TIME",                                                         \
                        .summary = "end a run that takes longer, and fail"},                       \
    [OPTION_MIN_EFFECT] = {.name = "min-effect",                                                   \
                           .type = BRISK_OPTION_TEXT,                                              \
                           .metavar = "SHARE",                                                     \
                           .summary = "smaller differences are none (0.2%)"},                      \
    [OPTION_INSTRUCTIONS] = {.name = "instructions",                                               \
                             .letter = 'I',                                                        \
                             .summary = "count instructions with valgrind as well"},               \
    [OPTION_SEED] = {.name = "seed",                                                               \
                     .type = BRISK_OPTION_U64,                                                     \
                     .metavar = "N",                                                               \
                     .summary = "of the order of runs and of the bootstrap (from the clock)"},     \
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"}

/** One call of a command. */
typedef struct bench_ask {
    const brisk_invocation *invocation;
    brisk_arena *arena;
    int signals;
    bench_request request;
    bench_plan plan;
    bench_limits limits;
    bench_subject *subjects;
    uint32_t subject_count;
} bench_ask;

/** Arena and signals.  Says what is wrong; close it in any case. */
brisk_exit bench_ask_open(bench_ask *ask);
void bench_ask_close(bench_ask *ask);
/** Read --min-effect and what has no option. */
brisk_exit bench_ask_read_limits(bench_ask *ask);
/** Read the shared options, and the commands where there are to be some. */
brisk_exit bench_ask_read(bench_ask *ask, bool commands);
/** Is it good as a name of something kept? */
brisk_exit bench_ask_name(const bench_ask *ask, const char *name);
/** Measure; without a single run it is a failure.  *ret has no name yet. */
brisk_exit bench_ask_measure(bench_ask *ask, bench_record *ret, int *ret_stopped_by);
/** Compare with report->before, or with the first command when there is none. */
brisk_exit bench_ask_compare(const bench_ask *ask, bench_report *report);

#endif /* BRISK_SRC_OBSERVE_BENCH_ASK_H */
