/*
 * brisk/history.h -- what was measured before: runs of jobs with their stages, benchmarks, alerts and
 * opportunities, in one SQLite database.
 *
 *     brisk_history *history;
 *     brisk_history_open(&(brisk_history_opts){0}, &history, &info);      ($XDG_DATA_HOME/brisk/history.sqlite3)
 *     brisk_history_put_benchmark(history, &(brisk_history_benchmark){.name = "parse", ...}, NULL, &info);
 *     brisk_history_benchmarks(history, &(brisk_history_filter){.name = "parse"}, print_one, ctx, &info);
 *
 * Times are nanoseconds since 1970, durations nanoseconds.  A text may be NULL when it is put and is then "";
 * a row that is read has no NULL.  Texts are cut at BRISK_HISTORY_TEXT_MAX bytes, JSON is refused beyond it.
 *
 * Several processes may use one database at once (write-ahead log): a writer waits for another up to
 * `wait_ms`.  A database that is damaged, or was made by a newer brisk, is left as it is, and the error says
 * what to do.  libsqlite3 is loaded with the first open.
 *
 * Threads: one handle, any threads; calls on it run one after the other.  A row callback must not use its handle.
 */
#ifndef BRISK_HISTORY_H
#define BRISK_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_HISTORY_TEXT_MAX = 1 << 20, /**< Bytes of a text or of JSON. */
    BRISK_HISTORY_STAGES_MAX = 4096,  /**< Of one run. */
    BRISK_HISTORY_WAIT_MS_DEFAULT = 5000,
    BRISK_HISTORY_SPOOL_BYTES = 1 << 20, /**< Of the spool; then what is older than as much goes. */
    BRISK_HISTORY_LINE_BYTES = 1 << 16,  /**< Of one run in it. */
};

typedef struct brisk_history brisk_history;

typedef struct brisk_history_opts {
    const char *path; /**< NULL: history.sqlite3 in $XDG_DATA_HOME/brisk (~/.local/share/brisk). */
    bool read_only;   /**< Nothing is created; NOT_FOUND when there is none. */
    bool no_create;   /**< NOT_FOUND when there is neither a database nor a spool with runs. */
    /** Forget once a day what is older, and all but the newest rows of each table; 0: keep. */
    uint32_t keep_days;
    uint64_t keep_rows;
    uint32_t wait_ms;         /**< For another writer; 0 means the default. */
    const brisk_clock *clock; /**< Borrowed; for rows put without a time.  NULL: the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc.  SQLite has its own memory. */
} brisk_history_opts;

/**
 * Open the database; made, with its folder, when it is not there (mode 0600).  What is in the spool (see
 * brisk_history_spool) is brought in, unless another process is doing so.
 * Errors (`info` names the file): UNSUPPORTED (no libsqlite3), NOT_FOUND, PERMISSION, CORRUPT, MISMATCH (made
 * by a newer brisk), DEADLINE (locked for longer than `wait_ms`), FULL, IO, INVALID (no home folder), NOMEM.
 * Every function below may fail with these, too.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_history_open(const brisk_history_opts *opts,
                                                       brisk_history **ret, brisk_errinfo *info);
/** NULL is accepted. */
BRISK_API void brisk_history_close(brisk_history *history);
/** Where it lies; valid until close. */
BRISK_API const char *brisk_history_path(const brisk_history *history);

/** This machine in a few words, stable over restarts, so that only what is comparable is compared:
 *  processor, number of cores, memory in GiB, kernel's name.  Static storage. */
BRISK_API const char *brisk_history_machine(void);

/** One job, or one measured command. */
typedef struct brisk_history_run {
    uint64_t id;      /**< Given by put. */
    uint64_t wall_ns; /**< When it began; 0 when put: now less `duration_ns`. */
    uint64_t duration_ns;
    const char *workload;    /**< "rom"; "profile" for a profiled command. */
    const char *command;     /**< As the user gave it, for people. */
    const char *outcome;     /**< "ok", or the name of an error. */
    const char *answered_by; /**< "memory", "disk", "shared"; "" when it was computed. */
    uint64_t bytes;
    const char *machine; /**< "" when put: this one. */
    const char *details; /**< A JSON object, or "". */
} brisk_history_run;

/** One stage of a run. */
typedef struct brisk_history_stage {
    uint64_t run; /**< Given by put. */
    const char *name;
    const char *after; /**< Names of the stages it waited for, comma-separated. */
    uint64_t start_ns; /**< Since the run began. */
    uint64_t duration_ns;
    uint64_t wait_ns; /**< Ready, but no worker. */
    uint64_t bytes;
    int64_t worker;      /**< -1: the submitting thread. */
    uint64_t critical;   /**< 1: on the critical path. */
    const char *outcome; /**< "computed", "answered", "skipped", or the name of an error. */
} brisk_history_stage;

/** One result of a benchmark: an estimate of one figure with its interval. */
typedef struct brisk_history_benchmark {
    uint64_t id;
    uint64_t wall_ns;
    const char *name;   /**< "parse" */
    const char *metric; /**< "wall", "cpu", "instructions", "rss" ... */
    const char *unit;   /**< "ns", "bytes", "" */
    double value;       /**< The estimate, by convention the median. */
    double low;         /**< Bounds of its interval; NaN when there is none. */
    double high;
    uint64_t samples;
    const char *label;   /**< A commit, a version; for people and for `--baseline`. */
    const char *machine; /**< "" when put: this one. */
    const char *details; /**< A JSON object: samples, command, environment. */
} brisk_history_benchmark;

/** A change of state of a budget's alert. */
typedef struct brisk_history_alert {
    uint64_t id;
    uint64_t wall_ns;
    const char *budget; /**< Its name. */
    const char *metric;
    const char *severity; /**< "warning", "critical" */
    const char *state;    /**< "firing", "resolved" */
    double value;
    double limit;
    const char *text;
    const char *machine;
} brisk_history_alert;

/** Something that could be made better.  `key` is its identity: putting one again renews it. */
typedef struct brisk_history_opportunity {
    uint64_t id;
    const char *key;      /**< "stage:rom:rom_patching:cache", chosen by its source. */
    uint64_t created_ns;  /**< 0 when put: now; a renewed one keeps it. */
    uint64_t updated_ns;  /**< 0 when put: now. */
    const char *category; /**< "cache", "parallelism", "hotspot", "memory", "io", "configuration" */
    const char *priority; /**< "low", "medium", "high", "critical" */
    double gain;          /**< Share of the time (or memory) saved, 0 .. 1; NaN: not known. */
    double gain_low;      /**< Its interval; NaN when there is none. */
    double gain_high;     /**< Likewise. */
    double confidence;    /**< 0 .. 1 */
    const char *complexity;  /**< "low", "medium", "high": of doing it */
    const char *description; /**< One or two sentences for people. */
    const char *evidence;    /**< A JSON object. */
    const char *source;      /**< "stage profile", "hotspots", "cache", "leaks" */
    const char *subject;     /**< What it is about: a workload, a command, a tier. */
    const char
        *state; /**< "open", "applied", "dismissed", "gone"; "" when put: as it was, or "open". */
    const char *machine;
} brisk_history_opportunity;

/** Errors: INVALID (too many stages, JSON that is none or too long).  `id` may be NULL. */
BRISK_API BRISK_NODISCARD brisk_err brisk_history_put_run(brisk_history *history,
                                                          const brisk_history_run *run,
                                                          const brisk_history_stage *stages,
                                                          uint32_t stage_count, uint64_t *id,
                                                          brisk_errinfo *info);
BRISK_API BRISK_NODISCARD brisk_err
brisk_history_put_benchmark(brisk_history *history, const brisk_history_benchmark *benchmark,
                            uint64_t *id, brisk_errinfo *info);
BRISK_API BRISK_NODISCARD brisk_err brisk_history_put_alert(brisk_history *history,
                                                            const brisk_history_alert *alert,
                                                            uint64_t *id, brisk_errinfo *info);
/** Errors: INVALID (no key). */
BRISK_API BRISK_NODISCARD brisk_err
brisk_history_put_opportunity(brisk_history *history, const brisk_history_opportunity *opportunity,
                              uint64_t *id, brisk_errinfo *info);

/** Which rows; zeroed: all, oldest first. */
typedef struct brisk_history_filter {
    uint64_t id;      /**< Exactly this one; for stages: of this run.  0: any. */
    const char *name; /**< Run: workload; benchmark, budget: name; opportunity: key.  NULL: any. */
    const char *metric;  /**< Benchmarks and alerts.  NULL: any. */
    const char *label;   /**< Benchmarks.  NULL: any. */
    const char *machine; /**< NULL: any. */
    const char *state;   /**< Alerts and opportunities.  NULL: any. */
    uint64_t since_ns;
    uint64_t until_ns; /**< 0: no end. */
    uint64_t limit;    /**< 0: no limit. */
    bool newest_first; /**< With a limit: the newest ones. */
} brisk_history_filter;

/*
 * Call `row` for each row; it returns false to end early, and what it is given is valid during the call.
 * `filter` NULL means all.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_history_runs(
    brisk_history *history, const brisk_history_filter *filter,
    bool (*row)(void *ctx, const brisk_history_run *run), void *ctx, brisk_errinfo *info);
BRISK_API BRISK_NODISCARD brisk_err brisk_history_stages(
    brisk_history *history, const brisk_history_filter *filter,
    bool (*row)(void *ctx, const brisk_history_stage *stage), void *ctx, brisk_errinfo *info);
BRISK_API BRISK_NODISCARD brisk_err
brisk_history_benchmarks(brisk_history *history, const brisk_history_filter *filter,
                         bool (*row)(void *ctx, const brisk_history_benchmark *benchmark),
                         void *ctx, brisk_errinfo *info);
BRISK_API BRISK_NODISCARD brisk_err brisk_history_alerts(
    brisk_history *history, const brisk_history_filter *filter,
    bool (*row)(void *ctx, const brisk_history_alert *alert), void *ctx, brisk_errinfo *info);
BRISK_API BRISK_NODISCARD brisk_err
brisk_history_opportunities(brisk_history *history, const brisk_history_filter *filter,
                            bool (*row)(void *ctx, const brisk_history_opportunity *opportunity),
                            void *ctx, brisk_errinfo *info);

/**
 * State of one opportunity ("open", "applied", "dismissed", "gone"); `machine` NULL: this one.
 * Errors: NOT_FOUND.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_history_set_opportunity(brisk_history *history,
                                                                  const char *key,
                                                                  const char *machine,
                                                                  const char *state,
                                                                  brisk_errinfo *info);

/**
 * Keep a run without SQLite, for programs that are done sooner than that is loaded: one line of JSON is
 * appended to the spool beside the database at `path` (NULL: the default one), which whoever opens the
 * database next brings in, each line once.  The newest BRISK_HISTORY_SPOOL_BYTES to twice as many are kept.
 * Errors: INVALID (no home folder), LIMIT (a line that is too long), DEADLINE (held by another process),
 * PERMISSION, FULL, IO, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_history_spool(const char *path,
                                                        const brisk_history_run *run,
                                                        const brisk_history_stage *stages,
                                                        uint32_t stage_count, brisk_errinfo *info);

/** What came out of the spool when `history` was opened. */
typedef struct brisk_history_imported {
    uint64_t runs;
    uint64_t known; /**< Brought in before, by a process that then ended. */
    uint64_t bad;   /**< Lines that are no run, left out. */
} brisk_history_imported;

BRISK_API brisk_history_imported brisk_history_imports(const brisk_history *history);

/** What to forget; zeroed: nothing. */
typedef struct brisk_history_retention {
    uint64_t before_ns; /**< Rows older than this; open opportunities are kept. */
    uint64_t rows_max;  /**< Of each table the newest so many; 0: no limit. */
    bool compact;       /**< Give the room back to the file system. */
} brisk_history_retention;

/** *ret (may be NULL): rows removed. */
BRISK_API BRISK_NODISCARD brisk_err brisk_history_prune(brisk_history *history,
                                                        const brisk_history_retention *retention,
                                                        uint64_t *ret, brisk_errinfo *info);

BRISK_END_DECLS

#endif /* BRISK_HISTORY_H */
