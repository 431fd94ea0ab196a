/*
 * brisk/engine.h -- jobs: remembered, run, measured.
 *
 * The engine wires knobs, cache, executor and modules together.  A job goes
 *
 *     PREPARE stages -> key -> tiers -> hit:  accept ----------------------+-> DELIVER stages
 *                                    -> miss: single flight -> stages      |
 *                                             -> answer -> store ----------+
 *
 * A cache fault is a miss, never an error of the job.  Two jobs with one key at the same time
 * compute once: the second waits for the first's answer, or computes itself when the first failed.
 *
 * Threads: an engine is used from any thread; a job by one thread at a time, except
 * brisk_job_cancel, which any thread may call at any time between create and destroy.
 */
#ifndef BRISK_ENGINE_H
#define BRISK_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/executor.h>
#include <brisk/json.h>
#include <brisk/knob.h>
#include <brisk/loader.h>
#include <brisk/metrics.h>
#include <brisk/sizing.h>
#include <brisk/trace.h>
#include <brisk/ttl.h>
#include <brisk/workload.h>

BRISK_BEGIN_DECLS

typedef struct brisk_engine brisk_engine;
typedef struct brisk_job brisk_job;

typedef struct brisk_engine_opts {
    bool no_files;               /**< Read no configuration files. */
    bool no_disk;                /**< No disk tier. */
    const char *config_path;     /**< Instead of ./brisk.yaml; must exist. */
    const char *const *settings; /**< "knob=value", as flags. */
    uint32_t setting_count;
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_engine_opts;

/**
 * Knobs of the engine: cache.memory.bytes, cache.memory.policy, cache.disk.enabled,
 * cache.disk.path, cache.disk.bytes, cache.disk.zstd_level, engine.workers, log.level.
 * The disk tier is opened when the cache is used first: by a job that looks up or stores, or by
 * brisk_engine_cache.  A tier that cannot be had (no memory, no folder) is logged and left out.
 * Errors: INVALID, LIMIT, NOT_FOUND (configuration; `info` names file and line or the flag), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_engine_create(const brisk_engine_opts *opts,
                                                        brisk_engine **ret, brisk_errinfo *info);
/** Every job must be destroyed before.  NULL is accepted. */
BRISK_API void brisk_engine_destroy(brisk_engine *engine);
/** The cache with all its tiers; opens the disk tier when nobody has yet. */
BRISK_API brisk_cache *brisk_engine_cache(brisk_engine *engine);
/** What keeps the memory tier at a size, to read; NULL without cache.target_hit_rate. */
BRISK_API brisk_sizing *brisk_engine_sizing(brisk_engine *engine);
/** What chooses how long answers live, by the knobs cache.ttl.*; NULL with cache.ttl.mode=off. */
BRISK_API brisk_ttl *brisk_engine_ttl(brisk_engine *engine);
/**
 * A loader over the engine's cache: as brisk_loader_create, with `cache` set, and `ttl` too where
 * `opts` has neither ttl nor ttl_ns.  Destroy it before the engine.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_engine_loader(brisk_engine *engine,
                                                        const brisk_loader_opts *opts,
                                                        brisk_loader **ret);
/**
 * Call `done` after each job, on the thread that finished it and before its on_done; NULL: nobody.
 * Set it before the first job.
 */
BRISK_API void brisk_engine_on_job(brisk_engine *engine,
                                   void (*done)(void *ctx, const brisk_job *job), void *ctx);
BRISK_API brisk_executor *brisk_engine_executor(brisk_engine *engine);
BRISK_API brisk_knobs *brisk_engine_knobs(brisk_engine *engine);
/**
 * Read the configuration files again, all or nothing: what they say now is in force but where a
 * flag or brisk_knobs_set with BRISK_KNOB_FLAG has spoken; what they no longer say has its default.
 * `changed` (may be NULL) is called for each knob with another value than before; whether that has
 * an effect on what runs is its owner's business.  Errors: those of brisk_engine_create, and
 * nothing has changed.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_engine_reload(brisk_engine *engine,
                                                        void (*changed)(void *ctx,
                                                                        const brisk_knob *knob),
                                                        void *ctx, brisk_errinfo *info);
/** Where the disk tier is or would be: cache.disk.path, else $XDG_CACHE_HOME/brisk, else
 *  $HOME/.cache/brisk.  Static for the engine's life; "" when there is nowhere. */
BRISK_API const char *brisk_engine_cache_path(const brisk_engine *engine);
/** How jobs of an engine ended; all since its creation. */
typedef struct brisk_engine_stats {
    uint64_t jobs;       /**< Jobs that are done. */
    uint64_t computed;   /**< Times that computing stages were begun. */
    uint64_t answered;   /**< Jobs that a tier answered. */
    uint64_t shared;     /**< Jobs that another job's flight answered. */
    uint64_t distrusted; /**< Cached answers that their workload found damaged. */
} brisk_engine_stats;

BRISK_API void brisk_engine_read_stats(const brisk_engine *engine, brisk_engine_stats *ret);
/**
 * From now on: times and failures of jobs and stages, and the figures of the engine and its tiers as metrics of
 * `metrics` (NULL: the process's), which must outlive the engine or
 * brisk_engine_unwatch. Costs an engine that is not watched nothing.
 * Errors: CONFLICT (another registry watches), and those of brisk_metrics_collect.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_engine_watch(brisk_engine *engine,
                                                       brisk_metrics *metrics);
/** The end of brisk_engine_watch, for a registry that goes before the engine: no job may run meanwhile. */
BRISK_API void brisk_engine_unwatch(brisk_engine *engine);
/**
 * Check a workload and build its graph; needed once per workload, brisk_engine_load does it.
 * Errors: CYCLE, INVALID (unknown `after`, a PREPARE stage after a computing one ...), LIMIT,
 * CONFLICT (another workload of that name), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_engine_register(brisk_engine *engine,
                                                          const brisk_workload *workload,
                                                          brisk_errinfo *info);
/**
 * Load module `name` when it is not yet, register its knobs and workload.  *ret is NULL for a
 * module without workload.  Errors: those of brisk_module_load, brisk_knobs_register and
 * brisk_engine_register; CORRUPT (its manifest declared other knobs).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_engine_load(brisk_engine *engine, const char *name,
                                                      const brisk_workload **ret,
                                                      brisk_errinfo *info);

typedef struct brisk_job_opts {
    bool no_cache;        /**< Neither look up nor store. */
    uint32_t tiers;       /**< As for brisk_cache_get; 0 means all. */
    uint64_t deadline_ns; /**< From now; 0 means none. */
    bool profile;         /**< Also measure processor time and waits of stages: some 10 us each. */
} brisk_job_opts;

/** Where a completion runs: `post` must arrange fn(arg) to be called, once, on its own thread. */
typedef struct brisk_post {
    void (*post)(void *ctx, void (*fn)(void *arg), void *arg);
    void *ctx;
} brisk_post;

/**
 * A job for a registered workload; `request` is the workload's business and outlives the job.
 * Errors: NOT_FOUND (not registered), NOMEM, and what the workload's init says (see
 * brisk_job_error_text, valid because *ret is set also then).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_job_create(brisk_engine *engine,
                                                     const brisk_workload *workload,
                                                     const void *request,
                                                     const brisk_job_opts *opts, brisk_job **ret);
/**
 * Waits for a submitted job and its on_done first, unless called inside that on_done.  NULL is
 * accepted.
 */
BRISK_API void brisk_job_destroy(brisk_job *job);
/**
 * Never blocks: answers from the memory tier, for workloads without PREPARE and DELIVER stages.
 * NOT_FOUND: submit it.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_job_lookup(brisk_job *job);
/**
 * Run on the executor; on_done(job, ctx), which may be NULL, is called on `post` (NULL: on the
 * thread that finished) and may destroy the job.  Always BRISK_OK: what can fail is the job.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_job_submit(brisk_job *job,
                                                     void (*on_done)(brisk_job *job, void *ctx),
                                                     void *ctx, const brisk_post *post);
/** Until a submitted job is done; returns its result.  Not for use inside a stage: run the job
 *  there instead, since the worker that waits may be the one that the other job needs. */
BRISK_API BRISK_NODISCARD brisk_err brisk_job_wait(brisk_job *job);
/**
 * Run in the calling thread, with helpers where stages are parallel; returns the result.  A job
 * that is done only gives its result, one that was submitted is waited for.  Inside a stage of
 * another job, and on a worker, it does not wait for a third one that computes the same key, but
 * computes.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_job_run(brisk_job *job);
/** Ask a job to stop; its result will be BRISK_ERR_CANCELLED unless it was done. */
BRISK_API void brisk_job_cancel(brisk_job *job);

/** How far a stage is. */
typedef enum brisk_stage_state {
    BRISK_STAGE_WAITING = 0, /**< Not begun; or it never will, a tier answered. */
    BRISK_STAGE_RUNNING,
    BRISK_STAGE_DONE,
    BRISK_STAGE_FAILED,
} brisk_stage_state;

typedef struct brisk_stage_progress {
    const char *name;
    brisk_stage_state state;
    uint64_t ns;    /**< Since it began, or what it took. */
    uint64_t bytes; /**< So far. */
    uint64_t items; /**< Of its brisk_stage_for, so far: items in all ... */
    uint64_t items_done;
} brisk_stage_progress;

/** Stage `index` of the workload as it is now.  Any thread, any time between create and destroy. */
BRISK_API brisk_stage_progress brisk_job_progress(const brisk_job *job, uint32_t index);

/* --- after a job is done ----------------------------------------------------------------- */

/** What it is a job of. */
BRISK_API const brisk_workload *brisk_job_workload(const brisk_job *job);
/** Its result, as brisk_job_wait's. */
BRISK_API brisk_err brisk_job_result(const brisk_job *job);
/** The workload's state. */
BRISK_API void *brisk_job_state(brisk_job *job);
/** What brisk_stage_fail was told, else the code's message; "" after success. */
BRISK_API const char *brisk_job_error_text(const brisk_job *job);
/** The name of the stage that failed, or NULL. */
BRISK_API const char *brisk_job_error_stage(const brisk_job *job);
/** JSON of brisk_stage_fail_details, or NULL. */
BRISK_API const char *brisk_job_error_details(const brisk_job *job);
/** The answer's value (borrowed), or NULL for workloads without key. */
BRISK_API brisk_value *brisk_job_value(const brisk_job *job);
/** Name of the tier that answered ("memory", "disk", "flight" for another job), or NULL. */
BRISK_API const char *brisk_job_answered_by(const brisk_job *job);
BRISK_API uint64_t brisk_job_elapsed_ns(const brisk_job *job);
BRISK_API const brisk_trace *brisk_job_trace(const brisk_job *job);

typedef enum brisk_stage_how {
    BRISK_HOW_COMPUTED = 0,
    BRISK_HOW_ANSWERED, /**< Not run: a tier, or another job's flight, answered. */
    BRISK_HOW_FAILED,
    BRISK_HOW_SKIPPED, /**< Not run: something failed before. */
} brisk_stage_how;

/** One row of the stage table. */
typedef struct brisk_stage_report {
    const char *name;
    uint64_t start_ns; /**< After the job's start. */
    uint64_t ns;
    double share;  /**< Of the job's elapsed time, 0..1. */
    bool critical; /**< On the longest path through what was run. */
    brisk_stage_how how;
    const char *tier; /**< ANSWERED: who. */
    uint64_t tier_ns; /**< ANSWERED: how long the lookup took. */
    uint64_t bytes;
    int32_t worker;    /**< -1: the submitting thread. */
    const char *note;  /**< brisk_stage_note's, or "". */
    uint64_t ready_ns; /**< After the job's start: all that it waits for was done. */
    uint64_t wait_ns;  /**< From then until it began: no thread was free, or one had to wake. */
    bool blocking;     /**< Waits for the network or a process, on a thread of its own. */
    bool computes;     /**< A hit saves it: neither PREPARE nor DELIVER. */
    uint32_t items;    /**< Of its brisk_stage_for: calls of fn. */
    uint64_t loops_ns; /**< Of ns: inside brisk_stage_for. */
    uint64_t items_ns; /**< In items, of all threads that took part; >= loops_ns / threads. */
    uint64_t cpu_ns;   /**< Processor time of all its threads; only with brisk_job_opts.profile. */
    uint64_t delay_ns; /**< Likewise: runnable, but the processors were busy with others. */
} brisk_stage_report;

/** Rows in the order of the workload's stages, then `cache_store` when something was stored. */
BRISK_API uint32_t brisk_job_report_count(const brisk_job *job);
BRISK_API brisk_stage_report brisk_job_report(const brisk_job *job, uint32_t index);
/** Does row `later` wait for row `earlier` directly?  An edge that `after` declares, or the order of
 *  PREPARE, computing, storing and DELIVER. */
BRISK_API bool brisk_job_report_is_after(const brisk_job *job, uint32_t later, uint32_t earlier);
/** What the job's stages could run on. */
typedef struct brisk_job_room {
    uint32_t threads; /**< At once: workers, and the caller of brisk_job_run. */
    uint32_t workers; /**< Of the executor. */
    uint32_t cores;   /**< Processors that this process may use. */
    bool profiled;    /**< cpu_ns and delay_ns were measured. */
} brisk_job_room;

BRISK_API brisk_job_room brisk_job_read_room(const brisk_job *job);
/** The stage table as text.  Errors: those of `out`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_job_write_report(const brisk_job *job, brisk_out out);
/** The stage table as JSON: members of the object that is open in `json`. */
BRISK_API void brisk_job_write_report_json(const brisk_job *job, brisk_json *json);

BRISK_END_DECLS

#endif /* BRISK_ENGINE_H */
