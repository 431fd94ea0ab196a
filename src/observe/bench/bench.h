/*
 * bench.h -- the parts of `brisk bench`, and the life of a measurement:
 *
 *     words, commands ──► plan: interleaved runs ──► samples ──► comparison, verdict ──► print, export
 *                              (measure, run)                         └──► store ──► compare, history
 *
 * Everything lives in one arena; one thread.
 */
#ifndef BRISK_SRC_OBSERVE_BENCH_BENCH_H
#define BRISK_SRC_OBSERVE_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <brisk/arena.h>
#include <brisk/command.h>
#include <brisk/err.h>
#include <brisk/json.h>
#include <brisk/stats.h>

#include "base/text.h"

enum {
    BENCH_RUNS_MAX = 10000,
    BENCH_WORDS_MAX = 256,
    BENCH_COMMANDS_MAX = 256,
    BENCH_PARAMETERS_MAX = 8,
    BENCH_NAME_MAX = 64,
    BENCH_ERRORS_MAX = 65536,  /* bytes kept of what a failing run says */
    BENCH_HISTORY_MAX = 20000, /* points of one history */
    BENCH_EXIT_SIGNAL = 128,   /* plus the signal, as shells report it */
};

/* --- text.c ------------------------------------------------------------------------------- */

/** "+1.25 %": a share of change, with digits as its size needs. */
void bench_format_change(char buffer[BRISK_TEXT_SHORT_MAX], double share);
void bench_format_date(char buffer[BRISK_TEXT_SHORT_MAX], uint64_t when_s);
/** "5%", "0.5 %" or "0.05" as a share, 0 .. 10.  Errors: INVALID. */
brisk_err bench_parse_share(const char *text, double *ret);

/* --- words.c ------------------------------------------------------------------------------ */

/**
 * Split `text` into words as a shell does: blanks separate, '...' keeps everything, "..." keeps all
 * but \" and \\, a backslash keeps the next character.  Nothing is expanded.  *ret is ended by
 * NULL and lives in `arena`.
 * Errors: INVALID (a quote is not closed, a backslash at the end, or no word at all), LIMIT (more
 * than BENCH_WORDS_MAX words), NOMEM.
 */
brisk_err bench_split(brisk_arena *arena, const char *text, char ***ret, uint32_t *ret_count);
/** One text that splits into these words again, or NULL when out of memory. */
char *bench_join(brisk_arena *arena, char *const *words, uint32_t count);

/* --- commands.c --------------------------------------------------------------------------- */

/** A value that stands for {NAME} in commands. */
typedef struct bench_binding {
    const char *name;
    const char *value;
} bench_binding;

/** Something to start: words[0] is what it calls itself, `program` the file. */
typedef struct bench_program {
    const char *program; /* NULL: nothing to run */
    char **words;        /* ended by NULL */
    uint32_t word_count;
} bench_program;

/** How one run ended. */
typedef struct bench_outcome {
    double wall_ns;
    double user_ns;
    double system_ns;
    double delay_ns;     /* ready to run, waiting for a processor: of the main thread */
    uint64_t peak_bytes; /* of resident memory; at least what this program had when it started it */
    int status;          /* as from wait(2) */
    int stopped_by;      /* the signal that asked us to stop, or 0 */
    bool timed_out;
    size_t errors_size;
    char *errors; /* BENCH_ERRORS_MAX bytes of the caller's; what the run said on standard error */
} bench_outcome;

/** One command under measurement, and what was measured of it, in the order of the runs. */
typedef struct bench_subject {
    const char *name; /* what it is called in reports */
    const char *text; /* the command line */
    bool job;         /* of this program */
    bench_program main;
    bench_program prepare; /* before each run */
    bench_program setup;   /* before the first */
    bench_program cleanup; /* after the last */
    const bench_binding *bindings;
    uint32_t binding_count;
    uint32_t run_count;
    uint32_t failed_count; /* runs with another exit code than 0 */
    int last_status;
    double *wall_ns;
    double *user_ns;
    double *system_ns;
    double *cpu_ns;        /* user and system together, never 0 */
    double *busy_ns;       /* on a processor, or waiting for one; never 0 */
    uint64_t peak_bytes;   /* the largest of all runs; 0: unknown */
    bool peak_is_bound;    /* it is no more than this, perhaps less */
    uint64_t instructions; /* 0: not counted */
    bool instructions_repeat;
    brisk_sample_figures figures; /* of wall_ns, after the runs */
} bench_subject;

/** What was asked for. */
typedef struct bench_request {
    const brisk_invocation *invocation;
    brisk_arena *arena;
    bool shell;
    const char *const *names; /* --name */
    uint32_t name_count;
    const char *const *prepares; /* one for all, or one for each */
    uint32_t prepare_count;
    const char *setup;
    const char *cleanup;
    const char *const *parameters; /* "NAME=VALUES", or NAME and VALUES one after the other */
    uint32_t parameter_count;
} bench_request;

/**
 * The commands of the invocation, parameters filled in, programs found.  Says what is wrong.
 */
brisk_exit bench_read_commands(const bench_request *request, bench_subject **ret,
                               uint32_t *ret_count);

/* --- run.c -------------------------------------------------------------------------------- */

/** Take SIGINT, SIGTERM and SIGHUP into a file that runs can wait for.  Errors: IO, LIMIT. */
brisk_err bench_signals_open(int *ret);
/** Has a signal asked to stop?  Its number, or 0. */
int bench_signals_take(int signals);

typedef struct bench_run_opts {
    int signals;         /* from bench_signals_open */
    uint64_t timeout_ns; /* 0: none */
    bool show_output;    /* the command's output goes to our standard error */
    int extra_fd;        /* given to the child as file 9, or -1 */
} bench_run_opts;

/**
 * Run it once, in a process group of its own, its input empty and its output thrown away.  When a
 * signal asks to stop, or the time is over, the group is ended before this returns.
 * Errors: NOT_FOUND, PERMISSION, IO, LIMIT, NOMEM (the child could not be started).
 */
brisk_err bench_run(const bench_program *program, const bench_run_opts *opts, bench_outcome *ret);

/* --- measure.c ---------------------------------------------------------------------------- */

typedef struct bench_plan {
    uint32_t runs_min;
    uint32_t runs_max;
    uint64_t duration_ns; /* beyond runs_min, until this time is over */
    uint32_t warmup;
    bool ignore_failure;
    uint64_t seed;
    bench_run_opts run;
} bench_plan;

typedef struct bench_measurement {
    brisk_arena *arena;
    FILE *err;
    const bench_plan *plan;
    bench_subject *subjects;
    uint32_t subject_count;
    uint32_t blocks; /* finished */
    int stopped_by;  /* the signal that ended it early, or 0 */
    uint64_t seed;
} bench_measurement;

/**
 * Warm-up, then blocks: all commands in random order and once more backwards, until the plan is
 * fulfilled or a signal came (which is no failure: see stopped_by).  Says what is wrong.
 */
brisk_exit bench_measure(bench_measurement *m);
/** Room for BENCH_RUNS_MAX or `runs` runs of each subject.  False when memory is short. */
bool bench_measure_room(brisk_arena *arena, bench_subject *subject, uint32_t runs);
void bench_print_failure(FILE *err, const bench_subject *subject, const bench_outcome *outcome);

/* --- instructions.c ----------------------------------------------------------------------- */

/** Count every subject's instructions under valgrind, twice.  Says what is wrong. */
brisk_exit bench_count_instructions(bench_measurement *m);
/** The sum of all "I refs: 1,234" of cachegrind's words; 0 when there is none. */
uint64_t bench_parse_refs(const char *text, size_t size);

/* --- verdict.c ---------------------------------------------------------------------------- */

typedef enum bench_verdict {
    BENCH_FASTER,
    BENCH_SLOWER,
    BENCH_NO_DIFFERENCE,
    BENCH_TOO_NOISY,
} bench_verdict;

const char *bench_verdict_name(bench_verdict verdict);

/** Changes are shares of the baseline's time: 0.01 is one percent more. */
typedef struct bench_comparison {
    bool paired;
    uint32_t pairs;        /* or the smaller number of runs */
    brisk_interval ratio;  /* baseline's median by this one's, bootstrap; above 1 is faster */
    brisk_interval change; /* wall time, Hodges-Lehmann; p of the rank test */
    brisk_interval cpu;    /* likewise of processor time; only when has_cpu */
    bool has_cpu;          /* both spend most of their time on the processor */
    bool by_cpu;           /* the verdict comes from processor time, wall time was too noisy */
    double floor;          /* what a command differs from itself, as measured here */
    double detectable;     /* the smallest change that would have been found four times of five */
    double min_effect;     /* as asked for */
    double instruction_change; /* NaN: not counted */
    bench_verdict verdict;
} bench_comparison;

typedef struct bench_limits {
    double confidence; /* 0 means 0.975 */
    double min_effect; /* smaller changes are none */
    double noisy;      /* when changes as large as this could be missed: too noisy */
    uint64_t seed;
} bench_limits;

/** Runs of two commands side by side (`paired`), or at different times.  Errors: NOMEM, INVALID. */
brisk_err bench_compare(const bench_subject *baseline, const bench_subject *subject, bool paired,
                        const bench_limits *limits, bench_comparison *ret);
/** How far commands are from themselves, as a shift of logarithms; NaN: too few runs. */
double bench_noise_floor(const bench_subject *const *subjects, uint32_t count);
/** Fill `figures`.  Errors: NOMEM. */
brisk_err bench_describe(bench_subject *subject);

/* --- store.c, history.c ------------------------------------------------------------------- */

/** What is kept under a name. */
typedef struct bench_record {
    const char *name;
    const char *version; /* of brisk */
    uint64_t when_s;     /* since 1970 */
    const char *machine; /* in words */
    const char *fingerprint;
    bench_subject *subjects; /* name, text, runs, memory, instructions */
    uint32_t subject_count;
} bench_record;

/** 1 .. BENCH_NAME_MAX of [A-Za-z0-9._-], no dot in front. */
bool bench_name_is_valid(const char *name);
/** $XDG_DATA_HOME/brisk/bench/NAME.SUFFIX or below ~/.local/share.  NULL: there is no place. */
char *bench_path(brisk_arena *arena, const char *name, const char *suffix);
/** Write it whole or not at all.  Errors: with `info`. */
brisk_err bench_save(brisk_arena *arena, const bench_record *record, brisk_errinfo *info);
/** Errors: NOT_FOUND, INVALID and others, with `info`. */
brisk_err bench_load(brisk_arena *arena, const char *name, bench_record *ret, brisk_errinfo *info);
/** Likewise from bytes; `name` stands in error texts. */
brisk_err bench_parse(brisk_arena *arena, const char *name, const void *data, size_t size,
                      bench_record *ret, brisk_errinfo *info);
/** Likewise from a file: ours, or one that brisk/import.h knows. */
brisk_err bench_load_file(brisk_arena *arena, const char *path, bench_record *ret,
                          brisk_errinfo *info);

/** One measurement in the life of a benchmark. */
typedef struct bench_point {
    uint64_t when_s;
    const char *name;
    const char *label;
    const char *machine;
    double value;
    double low; /* quartiles */
    double high;
    uint64_t runs;
} bench_point;

typedef struct bench_history_query {
    const char *name;   /* of a record; its commands' points, too */
    const char *metric; /* "wall", "instructions" */
    bool all_machines;
} bench_history_query;

/** Put the record's medians into the history, under its name.  Errors: with `info`. */
brisk_err bench_history_append(brisk_arena *arena, const bench_record *record, brisk_errinfo *info);
/** All points that are meant, oldest first.  Errors: those of the history, LIMIT, with `info`. */
brisk_err bench_history_load(brisk_arena *arena, const bench_history_query *query,
                             bench_point **ret, uint32_t *ret_count, brisk_errinfo *info);

/** The machine in words, and a short name for everything that makes figures comparable. */
brisk_err bench_machine(brisk_arena *arena, const char **ret_text, const char **ret_fingerprint);

/* --- report.c, json.c, export.c, gate.c --------------------------------------------------- */

/** A gate over comparisons: what fails a build. */
typedef struct bench_gate {
    double fail_on; /* share of more time */
    bool *failed;   /* one for each subject */
    uint32_t failed_count;
    bool measured_twice;
} bench_gate;

/** A measurement with everything that is said about it. */
typedef struct bench_report {
    brisk_arena *arena;
    const bench_record *now;
    const bench_record *before; /* a kept baseline, or NULL */
    uint32_t warmup;
    bool against_first;            /* comparisons are with subject 0, side by side */
    bench_comparison *comparisons; /* one for each subject; NULL: none */
    bool *compared;
    uint64_t target_ns; /* 0: none */
    bool shell;
    int stopped_by;
    const char *kept_as;
    const bench_gate *gate; /* of `brisk bench compare`, or NULL */
} bench_report;

/** The subject of the baseline that subject `index` is compared with, or NULL. */
const bench_subject *bench_report_baseline(const bench_report *report, uint32_t index);
bool bench_report_meets_target(const bench_report *report);
void bench_print_text(FILE *out, const bench_report *report);
brisk_exit bench_print_json(FILE *out, const bench_report *report);
void bench_json_comparison(brisk_json *json, const char *key, const bench_comparison *c);

typedef enum bench_format {
    BENCH_FORMAT_HYPERFINE,
    BENCH_FORMAT_GOOGLE,
    BENCH_FORMAT_MARKDOWN,
    BENCH_FORMAT_JUNIT,
    BENCH_FORMAT_GITHUB,
} bench_format;

/** Write the report to `path` ("-": standard output).  `gate` may be NULL.  Errors: with `info`. */
brisk_err bench_export(const bench_report *report, bench_format format, const bench_gate *gate,
                       const char *path, FILE *out, brisk_errinfo *info);

/* --- cmd_*.c ------------------------------------------------------------------------------ */

extern const brisk_command bench_command;
extern const brisk_command bench_compare_command;
extern const brisk_command bench_history_command;

#endif /* BRISK_SRC_OBSERVE_BENCH_BENCH_H */
