/*
 * bench.h -- the parts of `brisk bench`: splitting a command, running it, figures, baselines.
 */
#ifndef BRISK_SRC_CLI_BENCH_H
#define BRISK_SRC_CLI_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/err.h>

enum {
    BENCH_RUNS_MAX = 10000,
    BENCH_WORDS_MAX = 256,
    BENCH_NAME_MAX = 64,
    BENCH_ERRORS_MAX = 65536, /* bytes kept of what a failing run says */
};

/* --- bench_words.c ------------------------------------------------------------------------ */

/**
 * Split `text` into words as a shell does: blanks separate, '...' keeps everything, "..." keeps all
 * but \" and \\, a backslash keeps the next character.  Nothing is expanded.  *ret is ended by
 * NULL and lives in `arena`.
 * Errors: INVALID (a quote is not closed, a backslash at the end, or no word at all), LIMIT (more
 * than BENCH_WORDS_MAX words), NOMEM.
 */
brisk_err bench_split(brisk_arena *arena, const char *text, char ***ret, uint32_t *ret_count);

/* --- bench_stats.c ------------------------------------------------------------------------ */

/** In nanoseconds. */
typedef struct bench_figures {
    double fastest;
    double average;
    double median;
    double slowest;
    double spread; /* median absolute deviation */
} bench_figures;

/** `count` > 0; sorts `runs_ns`.  `scratch` has room for `count`. */
bench_figures bench_figures_of(double *runs_ns, uint32_t count, double *scratch);

/** Is the difference more than chance?  `ratio` > 1: `now` is faster than `before`. */
typedef struct bench_change {
    double ratio; /* median before / median now */
    double p;     /* two-sided, Mann-Whitney */
    bool beyond_noise;
} bench_change;

/** Both sorted, both not empty. */
bench_change bench_compare(const double *before, uint32_t before_count, const double *now,
                           uint32_t now_count);

/* --- bench_run.c -------------------------------------------------------------------------- */

/** How one run ended. */
typedef struct bench_outcome {
    uint64_t ns;
    int status;     /* as from wait(2) */
    int stopped_by; /* the signal that asked us to stop, or 0 */
    size_t errors_size;
    char *errors; /* BENCH_ERRORS_MAX bytes of the caller's; what the run said on standard error */
} bench_outcome;

/** Take SIGINT, SIGTERM and SIGHUP into a file that runs can wait for.  Errors: IO, LIMIT. */
brisk_err bench_signals_open(int *ret);

/**
 * Run this very program with `words` (ended by NULL, words[0] is "brisk"), its output thrown away.
 * When a signal asks to stop, the child is ended before this returns.
 * Errors: IO, LIMIT, NOMEM (the child could not be started).
 */
brisk_err bench_run(char *const *words, int signals, bench_outcome *ret);

/* --- bench_store.c ------------------------------------------------------------------------ */

/** What is kept of a measurement. */
typedef struct bench_record {
    const char *command;
    const char *version;
    uint64_t when_s; /* since 1970 */
    double *runs_ns;
    uint32_t run_count;
} bench_record;

/** 1 .. BENCH_NAME_MAX of [A-Za-z0-9._-], no dot in front. */
bool bench_name_is_valid(const char *name);
/** $XDG_DATA_HOME/brisk/bench/NAME.json or below ~/.local/share.  NULL when there is no place. */
char *bench_path(brisk_arena *arena, const char *name);
/** Write it whole or not at all.  Errors: with `info`. */
brisk_err bench_save(brisk_arena *arena, const char *path, const bench_record *record,
                     brisk_errinfo *info);
/** Errors: NOT_FOUND, INVALID and others, with `info`. */
brisk_err bench_load(brisk_arena *arena, const char *path, bench_record *ret, brisk_errinfo *info);

#endif /* BRISK_SRC_CLI_BENCH_H */
