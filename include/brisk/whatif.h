/*
 * brisk/whatif.h -- where a job's time goes, stage by stage, and how much faster it would be if ...
 *
 *     brisk_stage_profile *profile;                          measured runs of one job
 *     brisk_stage_profile_create(NULL, &profile);
 *     brisk_stage_profile_add_job(profile, job, &info);      more runs: narrower intervals
 *     brisk_whatif_change change;
 *     brisk_whatif_parse("rom_patching:2x", &change, &info);
 *     brisk_whatif_ask(profile, &change, 1, NULL, &answer, &info);
 *
 * An answer comes from replaying every measured run: its graph, its times, its waiting outside, on as many
 * threads and processors as it had, once as it was and once with the change.  The shares of time that this saves
 * are compared run by run, so that the answer has an interval.  What is not on the critical path saves nothing,
 * and what becomes the critical path instead is what limits the gain: neither is so where shares of the total
 * are taken (Amdahl).
 *
 * Threads: an object belongs to one thread at a time.
 */
#ifndef BRISK_WHATIF_H
#define BRISK_WHATIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/engine.h>
#include <brisk/err.h>
#include <brisk/history.h>
#include <brisk/json.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_WHATIF_STAGES_MAX = 128,
    BRISK_WHATIF_RUNS_MAX = 1000,
    BRISK_WHATIF_CHANGES_MAX = 16,
    BRISK_WHATIF_NAME_MAX = 64, /**< Of a stage or workload, NUL included. */
    BRISK_WHATIF_THREADS_MAX = 1024,
    BRISK_WHATIF_CACHED_MAX = 6, /**< Changes of kind CACHED in one question. */
    BRISK_STAGE_LEVELS = 17,     /**< 0 .. 15 threads busy, and more. */
};

/* --- what was measured ------------------------------------------------------------------- */

/** One stage of one run; times as in brisk_stage_report. */
typedef struct brisk_stage_times {
    const char *name;
    uint64_t after[BRISK_WHATIF_STAGES_MAX / 64]; /**< Bit i: stage i comes directly before. */
    uint64_t ready_ns;                            /**< 0 means: when what it waits for ended. */
    uint64_t start_ns;
    uint64_t ns;
    uint64_t loops_ns;
    uint64_t items_ns;
    uint64_t cpu_ns;
    uint64_t delay_ns;
    uint64_t bytes;
    uint64_t tier_ns;
    uint32_t items;
    int32_t worker;
    brisk_stage_how how;
    bool blocking;
    bool critical;
    bool computes; /**< A hit of the job's cache saves it. */
} brisk_stage_times;

/** One run of a job. */
typedef struct brisk_stage_run {
    const char *workload;
    const char *answered_by; /**< "" when it was computed. */
    uint64_t elapsed_ns;
    uint32_t threads; /**< At once; 0 means 1. */
    uint32_t workers; /**< Of them. */
    uint32_t cores;   /**< 0: not known, there are enough. */
    bool profiled;    /**< cpu_ns and delay_ns were measured. */
    uint32_t stage_count;
    const brisk_stage_times *stages;
} brisk_stage_run;

typedef struct brisk_stage_profile brisk_stage_profile;

/** Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_stage_profile_create(const brisk_alloc *alloc,
                                                               brisk_stage_profile **ret);
/** NULL is accepted. */
BRISK_API void brisk_stage_profile_destroy(brisk_stage_profile *profile);
/**
 * Add a run, copied.  All runs of a profile are of one workload.
 * Errors: INVALID (names, times that overflow, another workload), CYCLE, LIMIT (stages, runs), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_stage_profile_add(brisk_stage_profile *profile,
                                                            const brisk_stage_run *run,
                                                            brisk_errinfo *info);
/** A job that is done, best created with brisk_job_opts.profile.  Errors: as add. */
BRISK_API BRISK_NODISCARD brisk_err brisk_stage_profile_add_job(brisk_stage_profile *profile,
                                                                const brisk_job *job,
                                                                brisk_errinfo *info);
/**
 * Text that the engine appended to the file of its knob engine.stage_log: a line of JSON for each job.  Jobs of
 * other workloads than the first are left out.  `name` stands in errors, as "name:line: ...".
 * Errors: as add; MISMATCH (of another schema).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_stage_profile_add_log(brisk_stage_profile *profile,
                                                                const char *name, const char *text,
                                                                size_t size, brisk_errinfo *info);
/**
 * The runs that `filter` selects and that have stages; filter->name is the workload, or filter->id the run.
 * Errors: as add; those of brisk_history_runs; NOT_FOUND (none).
 */
BRISK_API BRISK_NODISCARD brisk_err
brisk_stage_profile_add_history(brisk_stage_profile *profile, brisk_history *history,
                                const brisk_history_filter *filter, brisk_errinfo *info);
BRISK_API uint32_t brisk_stage_profile_count(const brisk_stage_profile *profile);
/** `index` < count. */
BRISK_API const brisk_stage_run *brisk_stage_profile_at(const brisk_stage_profile *profile,
                                                        uint32_t index);
/** The computed run whose elapsed time is the median, else that of all.  UINT32_MAX when empty. */
BRISK_API uint32_t brisk_stage_profile_typical(const brisk_stage_profile *profile);

/** What one run was like as a whole. */
typedef struct brisk_stage_figures {
    uint64_t elapsed_ns;
    uint64_t work_ns;     /**< Of all threads, in stages and their items. */
    uint64_t critical_ns; /**< Stages of the critical path. */
    uint64_t wait_ns;     /**< Ready, but not begun: no thread, or one that had to wake. */
    uint64_t idle_ns;     /**< No stage ran: keys, lookups, waking. */
    uint64_t cpu_ns;
    uint64_t delay_ns;                     /**< Runnable, but no processor. */
    uint64_t outside_ns;                   /**< In stages, but neither running nor runnable. */
    double busy;                           /**< Threads in stages, on average. */
    double efficiency;                     /**< work / (elapsed * what could run at once), 0..1. */
    uint64_t level_ns[BRISK_STAGE_LEVELS]; /**< Time with so many stages running at once. */
} brisk_stage_figures;

BRISK_API void brisk_stage_run_figures(const brisk_stage_run *run, brisk_stage_figures *ret);

/** What holds a job up, the worst first. */
typedef struct brisk_bottleneck {
    const char *kind; /**< "stage", "alone", "threads", "processors", "outside", "between" */
    uint32_t stage;   /**< UINT32_MAX: no certain one. */
    double share;     /**< Of the elapsed time. */
    char text[256];   /**< A sentence. */
} brisk_bottleneck;

/** At most `max` are written; returns how many. */
BRISK_API uint32_t brisk_stage_run_bottlenecks(const brisk_stage_run *run, brisk_bottleneck *ret,
                                               uint32_t max);
/** Waterfall, table, figures and bottlenecks of the typical run, with medians of all.  Errors: of `out`; NOMEM;
 *  NOT_FOUND (no runs). */
BRISK_API BRISK_NODISCARD brisk_err
brisk_stage_profile_write_text(const brisk_stage_profile *profile, brisk_out out);
/** The same as members of the object that is open in `json`. */
BRISK_API BRISK_NODISCARD brisk_err
brisk_stage_profile_write_json(const brisk_stage_profile *profile, brisk_json *json);

/* --- what if ----------------------------------------------------------------------------- */

typedef enum brisk_whatif_kind {
    BRISK_WHATIF_FASTER = 0, /**< The stage takes 1/amount of its time. */
    BRISK_WHATIF_CACHED,     /**< Its answer is remembered in `amount` (0..1) of the runs. */
    BRISK_WHATIF_SPLIT,      /**< Cut into `amount` equal parts that may run side by side. */
    BRISK_WHATIF_WORKERS,    /**< `amount` worker threads, on the same processors. */
    BRISK_WHATIF_CORES,      /**< `amount` processors, and as many workers at least. */
} brisk_whatif_kind;

typedef struct brisk_whatif_change {
    brisk_whatif_kind kind;
    char stage[BRISK_WHATIF_NAME_MAX]; /**< "": all stages that compute (CACHED only). */
    double amount;
} brisk_whatif_change;

/**
 * "STAGE:2x", "STAGE:cached", "STAGE:cached=0.8", "STAGE:split=4", "cached=0.5" (the whole job's answer),
 * "workers=4", "cores=4".  Errors: INVALID.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_whatif_parse(const char *text, brisk_whatif_change *ret,
                                                       brisk_errinfo *info);
/** As parse reads it, cut to fit. */
BRISK_API void brisk_whatif_format(const brisk_whatif_change *change, char *buffer, size_t size);

typedef struct brisk_whatif_opts {
    double confidence;  /**< Of the interval; 0 means 0.95. */
    uint32_t resamples; /**< 0 means 2,000. */
    uint64_t seed;
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_whatif_opts;

typedef struct brisk_whatif_answer {
    brisk_whatif_change change; /**< The first. */
    double gain;                /**< Share of the time saved: 0.3 is 30 % less time. */
    double low;                 /**< NaN with fewer than 5 runs. */
    double high;                /**< Likewise. */
    double before_ns;           /**< Median of the measured runs. */
    double after_ns;            /**< That, less the gain. */
    double replay_error;        /**< How far replaying what was measured is off, as a share; the
                                     interval is wider by it. */
    uint32_t runs;              /**< That were replayed: those that were computed. */
} brisk_whatif_answer;

/**
 * All `count` changes made together.  Errors: NOT_FOUND (a stage that no run has: `info` names the nearest; no
 * computed runs), INVALID, LIMIT, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_whatif_ask(const brisk_stage_profile *profile,
                                                     const brisk_whatif_change *changes,
                                                     uint32_t count, const brisk_whatif_opts *opts,
                                                     brisk_whatif_answer *ret, brisk_errinfo *info);
/** Every single change worth asking for, the largest gain first; at most `max`.  Errors: as ask. */
BRISK_API BRISK_NODISCARD brisk_err brisk_whatif_rank(const brisk_stage_profile *profile,
                                                      const brisk_whatif_opts *opts,
                                                      brisk_whatif_answer *ret, uint32_t max,
                                                      uint32_t *ret_count, brisk_errinfo *info);
/**
 * Put into the history, with source "stage profile", those answers of a ranking whose interval says that they save 2 %
 * or more; what was put for this workload before and no longer does is "gone".  `ret` (may be NULL): how many were put.
 * Errors: those of the history; NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_whatif_remember(const brisk_stage_profile *profile,
                                                          const brisk_whatif_answer *answers,
                                                          uint32_t count, brisk_history *history,
                                                          uint32_t *ret, brisk_errinfo *info);

/* --- what if, live: virtual speed-ups of foreign programs -------------------------------- */

/*
 * A part of a running program is made "faster" by making everything else slower: while one thread is inside the
 * scope, every other one owes `speedup` of that time, and pays it by a pause before it next gives something to
 * anybody.  What then counts is the time less the pauses.  Unlike a replay this needs no graph, only scopes, the
 * places where threads wait for each other, and a progress point.
 *
 *     in each thread:  brisk_virtual_join(v, &self);
 *                      brisk_virtual_enter(&self, PARSE); ... brisk_virtual_exit(&self, PARSE);
 *                      brisk_virtual_wait_begin(&self); (waits for another thread) brisk_virtual_wait_end(&self);
 *                      brisk_virtual_progress(v);         one request is done
 *     somewhere:       brisk_virtual_start(v, PARSE, 0.5); (seconds) brisk_virtual_stop(v, &result);
 *
 * Outside experiments every call is one load.  One experiment at a time.
 *
 * Threads: a brisk_virtual_thread is used by its thread; everything else from any.
 * Source: C. Curtsinger, E. Berger, Coz: Finding Code that Counts with Causal Profiling, SOSP 2015; with the time in
 * a scope instead of samples, so that what is owed is known at every moment.
 */
typedef struct brisk_virtual brisk_virtual;

typedef struct brisk_virtual_opts {
    const brisk_clock *clock; /**< Borrowed; NULL: the system's. */
    /** Wait so long; NULL: sleep, and look at the clock for the last part. */
    void (*pause)(void *ctx, uint64_t ns);
    void *ctx;
    const brisk_alloc *alloc;
} brisk_virtual_opts;

/** Caller's storage, from join to leave; private. */
typedef struct brisk_virtual_thread {
    brisk_virtual *virtual_;
    struct brisk_virtual_thread *next_;
    uint64_t experiment_;
    uint64_t since_ns_; /* in the scope since then */
    uint64_t own_ns_;   /* charged to the others by this thread */
    uint64_t paid_ns_;
    uint32_t depth_; /* of the scope; it may be inside itself */
} brisk_virtual_thread;

/** Of one experiment. */
typedef struct brisk_virtual_result {
    double speedup;
    uint64_t progress;     /**< Calls of brisk_virtual_progress. */
    uint64_t elapsed_ns;   /**< Real. */
    uint64_t delay_ns;     /**< What the threads owed each other. */
    uint64_t effective_ns; /**< elapsed - delay: how long it would have taken. */
    uint64_t visits;       /**< Of the scope; few mean little. */
} brisk_virtual_result;

/** Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_virtual_create(const brisk_virtual_opts *opts,
                                                         brisk_virtual **ret);
/** Every thread has left, no experiment runs.  NULL is accepted. */
BRISK_API void brisk_virtual_destroy(brisk_virtual *v);
BRISK_API void brisk_virtual_join(brisk_virtual *v, brisk_virtual_thread *thread);
BRISK_API void brisk_virtual_leave(brisk_virtual_thread *thread);
/** 0 <= speedup <= 1; 0 is what others are compared with.  Errors: INVALID, CONFLICT (one runs). */
BRISK_API BRISK_NODISCARD brisk_err brisk_virtual_start(brisk_virtual *v, uint32_t scope,
                                                        double speedup);
/** Errors: NOT_FOUND (none runs). */
BRISK_API BRISK_NODISCARD brisk_err brisk_virtual_stop(brisk_virtual *v, brisk_virtual_result *ret);
/** The beginning and the end of a scope, of any number; both pay. */
BRISK_API void brisk_virtual_enter(brisk_virtual_thread *thread, uint32_t scope);
BRISK_API void brisk_virtual_exit(brisk_virtual_thread *thread, uint32_t scope);
/** Pay what is owed: before something is given to another thread that may wait for it. */
BRISK_API void brisk_virtual_pay(brisk_virtual_thread *thread);
/** Around waiting for another thread (not for a disk, the network or time): what is charged meanwhile the other
 *  one has paid. */
BRISK_API void brisk_virtual_wait_begin(brisk_virtual_thread *thread);
BRISK_API void brisk_virtual_wait_end(brisk_virtual_thread *thread);
/** Something whose rate is to be higher is done. */
BRISK_API void brisk_virtual_progress(brisk_virtual *v);
/** Share of the time for one progress that `changed` saves against `base` (of speedup 0); NaN without progress. */
BRISK_API double brisk_virtual_gain(const brisk_virtual_result *base,
                                    const brisk_virtual_result *changed);

BRISK_END_DECLS

#endif /* BRISK_WHATIF_H */
