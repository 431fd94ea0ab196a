/*
 * internal.h -- what the files of the engine share.
 *
 *     engine.c    create, wire, destroy      job.c       a job's life and its steps
 *     tiers.c     the cache and its tiers    background.c  what can wait
 *     config.c    knobs and their files      stage.c     a running stage and its items
 *     pipeline.c  checks a workload          blocking.c  stages with threads of their own
 *     module.c    plug-ins                   flight.c    one computation per key
 *     manifest.c  what plug-ins say unloaded report.c    what a job says afterwards
 *     taps.c      recorder, prefetcher       recycle.c   arenas and trace tables
 *     watch.c     metrics of a registry
 *     meter.c     what threads used          stage_log.c stage tables kept in a file
 *
 * Locks, in order: engine.registry, that of the flights, job.lock; then recycle.lock, threads.lock and
 * engine.disk_lock, which are leaves.
 */
#ifndef BRISK_SRC_ENGINE_INTERNAL_H
#define BRISK_SRC_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/counter.h>
#include <brisk/engine.h>
#include <brisk/flight.h>
#include <brisk/graph.h>
#include <brisk/metrics.h>
#include <brisk/module.h>
#include <brisk/predict.h>
#include <brisk/record.h>
#include <brisk/sizing.h>

#include "base/thread.h"

enum {
    ENGINE_FORMAT = 1,          /* part of every key: raise it when the engine stores otherwise */
    ENGINE_ARENA_BYTES = 65536, /* chunk of a job's or stage's arena */
    ENGINE_ARENAS_KEPT = 64,    /* of jobs that are gone, for the next ones */
    ENGINE_TRACES_KEPT = 16,    /* likewise; 112 KiB each, of which little is touched */
    ENGINE_FLIGHT_BUCKETS = 64, /* power of two */
    ENGINE_PATH_MAX = 4096,     /* a path with its NUL */
};

#define ENGINE_STORE_NAME "cache_store"

/* --- recycle.c: memory that goes from job to job ------------------------------------------ */

typedef struct engine_recycle {
    pthread_mutex_t lock;
    const brisk_alloc *alloc;
    brisk_alloc trace_alloc; /* gives back kept blocks first */
    brisk_arena *arenas[ENGINE_ARENAS_KEPT];
    uint32_t arena_count;
    void *traces[ENGINE_TRACES_KEPT];
    uint32_t trace_count;
    size_t trace_bytes; /* of every kept block; 0 before the first */
    size_t trace_align;
} engine_recycle;

void engine_recycle_init(engine_recycle *recycle, const brisk_alloc *alloc);
void engine_recycle_deinit(engine_recycle *recycle);
BRISK_NODISCARD brisk_err engine_recycle_take(engine_recycle *recycle, brisk_arena **ret);
void engine_recycle_give(engine_recycle *recycle, brisk_arena *arena);

/* --- pipeline.c --------------------------------------------------------------------------- */

typedef enum engine_phase {
    ENGINE_PREPARE = 0,
    ENGINE_COMPUTE,
    ENGINE_DELIVER,
    ENGINE_PHASES,
} engine_phase;

/* A checked workload.  Immutable once it hangs in the engine's list. */
typedef struct engine_pipeline {
    struct engine_pipeline *next;
    const brisk_workload *workload;
    brisk_graph *graphs[ENGINE_PHASES]; /* NULL: the phase has no stages */
    uint8_t stage_of[ENGINE_PHASES][BRISK_STAGES_MAX];
    uint8_t phase_of[BRISK_STAGES_MAX];
    bool blocking[ENGINE_PHASES];      /* has a stage that waits for the network or a process */
    uint64_t before[BRISK_STAGES_MAX]; /* bit i: stage i of the same phase comes directly before */
} engine_pipeline;

BRISK_NODISCARD brisk_err engine_pipeline_create(const brisk_workload *workload,
                                                 const brisk_alloc *alloc, engine_pipeline **ret,
                                                 brisk_errinfo *info);
void engine_pipeline_destroy(engine_pipeline *pipeline, const brisk_alloc *alloc);

/* --- config.c ----------------------------------------------------------------------------- */

/* Knobs that a manifest declared before its module was loaded, and the files they come from. */
typedef struct engine_config {
    brisk_knobs *knobs;
    brisk_arena *arena;         /* names and texts of declared knobs; NULL before the first */
    brisk_manifests *manifests; /* NULL before the first question */
    struct engine_declared *declared;
    const brisk_alloc *alloc;
    char *config_path; /* of the project's file; NULL: ./brisk.yaml */
    bool no_files;
} engine_config;

BRISK_NODISCARD brisk_err engine_config_init(engine_config *config, const brisk_engine_opts *opts,
                                             const brisk_alloc *alloc, brisk_errinfo *info);
void engine_config_deinit(engine_config *config);
/* Register a loaded module's knobs, or join them to those its manifest declared. */
BRISK_NODISCARD brisk_err engine_config_module(engine_config *config, const brisk_module *module,
                                               brisk_errinfo *info);
/* Where the disk tier belongs, or "". */
BRISK_NODISCARD brisk_err engine_config_reload(engine_config *config,
                                               void (*tell)(void *ctx, const brisk_knob *knob),
                                               void *ctx, brisk_errinfo *info);
void engine_config_cache_path(const engine_config *config, char path[ENGINE_PATH_MAX]);

/* --- flight.c ----------------------------------------------------------------------------- */

typedef enum engine_join {
    ENGINE_JOIN_LEAD,     /* compute, then publish and land, or abandon */
    ENGINE_JOIN_ANSWERED, /* job->hit is filled */
    ENGINE_JOIN_LANDED,   /* somebody stored an answer meanwhile: look again */
    ENGINE_JOIN_ALONE,    /* must not wait: compute beside the leader */
    ENGINE_JOIN_WAITING,  /* the job now belongs to whoever resumes it */
} engine_join;

engine_join engine_flight_join(brisk_job *job, uint64_t landed, bool may_wait);
/* Lead unless somebody does; never waits. */
void engine_flight_try_lead(brisk_job *job);
/* job->hit is the answer: give it to everybody who waits or comes until land. */
void engine_flight_publish(brisk_job *job);
/* The answer is stored, or cannot be. */
void engine_flight_land(brisk_job *job);
/* No answer: the first who waits leads now.  Nothing happens when `job` does not lead. */
void engine_flight_abandon(brisk_job *job);

/* --- job.c -------------------------------------------------------------------------------- */

typedef enum engine_step {
    ENGINE_STEP_PREPARE = 0,
    ENGINE_STEP_KEY,
    ENGINE_STEP_LOOKUP,
    ENGINE_STEP_JOIN,
    ENGINE_STEP_ACCEPT,
    ENGINE_STEP_COMPUTE,
    ENGINE_STEP_COMPUTED,
    ENGINE_STEP_DELIVER,
    ENGINE_STEP_DELIVERED,
    ENGINE_STEP_DONE,
    ENGINE_STEP_WAITING, /* the job belongs to somebody else now */
} engine_step;

typedef enum engine_source {
    ENGINE_SOURCE_NONE = 0,
    ENGINE_SOURCE_TIER,
    ENGINE_SOURCE_FLIGHT,
    ENGINE_SOURCE_COMPUTED,
} engine_source;

typedef enum engine_job_life {
    ENGINE_JOB_NEW = 0,
    ENGINE_JOB_SUBMITTED, /* running or waiting to */
    ENGINE_JOB_DONE,      /* the result stands; on_done may still run */
    ENGINE_JOB_QUIET,     /* nobody but the owner has it */
} engine_job_life;

/* What a stage did.  Written by the thread that runs it, bytes and note by its helpers too. */
typedef struct engine_record {
    uint64_t start_ns; /* on the clock */
    uint64_t end_ns;
    _Atomic uint64_t bytes;
    _Atomic uint64_t items_ns; /* of all threads, as the next two */
    _Atomic uint64_t cpu_ns;
    _Atomic uint64_t delay_ns;
    uint64_t loops_ns; /* the stage's own thread's */
    uint64_t items;
    /* What brisk_job_progress sees while it runs; written by the stage's thread and its helpers. */
    _Atomic uint64_t live_start_ns;
    _Atomic uint64_t live_end_ns; /* 0: it runs */
    _Atomic uint64_t live_items;
    _Atomic uint64_t live_items_done;
    _Atomic bool live_failed;
    const char *note; /* under job.lock */
    int32_t worker;
    bool ran;
    bool failed;
} engine_record;

/* An arena of a job; this header is its first allocation. */
typedef struct engine_slot {
    struct engine_slot *next;
    brisk_arena *arena;
} engine_slot;

/* A loop of items whose first error stops the others. */
typedef struct engine_scope {
    struct engine_scope *outer;
    _Atomic int err;
} engine_scope;

struct brisk_stage_ctx {
    brisk_job *job;
    brisk_arena *arena;
    engine_record *record; /* NULL outside stages */
    engine_scope *scope;   /* NULL outside brisk_stage_for */
    uint32_t span;
};

struct brisk_job {
    brisk_engine *engine;
    const engine_pipeline *pipeline;
    const brisk_workload *workload;
    brisk_job_opts opts;
    void *state;
    brisk_stage_ctx main; /* of everything that is no stage */
    brisk_trace *trace;
    brisk_cancel cancel;
    uint64_t deadline_ns; /* on the engine's clock; 0: none */
    uint64_t start_ns;
    uint64_t end_ns;
    uint64_t wait_ns;                 /* when it began to wait for a flight */
    uint64_t phase_ns[ENGINE_PHASES]; /* when each began */

    engine_record *records;
    engine_record store;

    bool keyed;     /* key is final */
    bool uncached;  /* no key, or not to be used */
    bool store_off; /* the entry stays as it is */
    bool answered;  /* by a tier or a flight */
    uint32_t looks; /* lookups so far */
    brisk_key_builder builder;
    brisk_key key;
    uint64_t landed;
    brisk_hit hit; /* the answer, wherever it came from */
    engine_source source;

    brisk_flight flight;
    bool leading;
    bool may_wait;
    engine_step resume;

    pthread_mutex_t lock; /* the rest */
    pthread_cond_t changed;
    engine_slot *idle;
    brisk_err err;
    _Atomic int failed; /* err, readable without the lock */
    const char *error_text;
    const char *error_details;
    const char *error_stage;
    engine_job_life life;
    bool submitted;
    bool resumed;
    brisk_task task;
    void (*on_done)(brisk_job *job, void *ctx);
    void *on_done_ctx;
    brisk_post post;
    bool has_post;
};

/* Go on with a job that waited; job->resume says where. */
void engine_job_resume(brisk_job *job);
/* The first error of a job wins; `stage` may be NULL. */
void engine_job_failed(brisk_job *job, brisk_err err, const char *stage);
BRISK_NODISCARD brisk_err engine_job_take_arena(brisk_job *job, engine_slot **ret);
void engine_job_give_arena(brisk_job *job, engine_slot *slot);

/* --- job_key.c ---------------------------------------------------------------------------- */

/* Ask the workload for its key, once.  OK also when there is none: `uncached` tells. */
BRISK_NODISCARD brisk_err engine_job_key(brisk_job *job);
/* Keep job->hit, under the job's own key or under what the workload knows now. */
void engine_job_store(brisk_job *job);

/* --- meter.c ------------------------------------------------------------------------------ */

/* What a thread used so far. */
typedef struct engine_meter {
    uint64_t cpu_ns;
    uint64_t delay_ns; /* runnable, but not running */
} engine_meter;

/* Zeroes unless the job is profiled. */
engine_meter engine_meter_read(const brisk_job *job);
/* Add what the calling thread used since `from` to the stage. */
void engine_meter_add(const brisk_job *job, engine_record *record, engine_meter from);

/* --- stage_log.c -------------------------------------------------------------------------- */

/* Append the job's stage table to the file of the knob engine.stage_log, if there is one. */
void engine_stage_log(const brisk_job *job);

/* --- blocking.c --------------------------------------------------------------------------- */

/* Threads of blocking stages; joined when they are seen to be over, at the latest at the end. */
typedef struct engine_threads {
    pthread_mutex_t lock;
    struct engine_thread *first;
} engine_threads;

void engine_threads_init(engine_threads *threads);
void engine_threads_deinit(engine_threads *threads, const brisk_alloc *alloc);
/*
 * Start a phase that has blocking stages; job->resume says where the job goes on, and the job
 * belongs to whoever resumes it, which may happen before this returns.  Errors: NOMEM, and then
 * nothing was started.
 */
BRISK_NODISCARD brisk_err engine_blocking_start(brisk_job *job, engine_phase phase);

/* --- background.c -------------------------------------------------------------------------- */

enum { ENGINE_BACKGROUND_TASKS = 1024 };

typedef struct engine_task {
    void (*fn)(void *arg);
    void *arg;
} engine_task;

typedef struct engine_background {
    pthread_mutex_t lock;
    pthread_cond_t work;
    engine_task tasks[ENGINE_BACKGROUND_TASKS]; /* a ring */
    uint32_t first;
    uint32_t count;
    bool started;
    bool stop;
    brisk_tier *memory; /* to be tended; set before the thread starts, or NULL */
    brisk_tier *disk;
    brisk_sizing *sizing; /* the memory tier's, or NULL */
    brisk_thread thread;
} engine_background;

void engine_background_init(engine_background *background);
/* False: there is no thread. */
bool engine_background_start(engine_background *background);
/* As brisk_background.run. */
bool engine_background_run(void *ctx, void (*fn)(void *arg), void *arg);
/* What was taken is done at return; nothing is taken any more. */
void engine_background_stop(engine_background *background);
void engine_background_deinit(engine_background *background);

/* --- shared.c ------------------------------------------------------------------------------- */

/* Append the tiers that cache.shared.url names; those that cannot be had are logged. */
void engine_shared_open(brisk_engine *engine);

/* --- tiers.c ------------------------------------------------------------------------------- */

BRISK_NODISCARD brisk_err engine_cache_create(brisk_engine *engine, const brisk_engine_opts *opts,
                                              brisk_errinfo *info);
void engine_cache_destroy(brisk_engine *engine);

/* --- stage.c ------------------------------------------------------------------------------ */

/* Run stage `index` on the calling thread. */
brisk_err engine_stage_run(brisk_job *job, uint32_t index);
/* How many engine calls of workload code this thread is inside of. */
uint32_t engine_thread_depth(void);
void engine_thread_enter(void);
void engine_thread_leave(void);

/* --- taps.c ------------------------------------------------------------------------------- */

/* What listens to requests of the cache; NULL: not wanted, or not to be had. */
typedef struct engine_taps {
    brisk_recorder *recorder;
    brisk_predictor *predictor;
    brisk_prefetcher *prefetcher;
    bool on;
} engine_taps;

/* When the cache is opened, under its lock; and before it is destroyed. */
void engine_taps_start(brisk_engine *engine);
void engine_taps_stop(brisk_engine *engine);

/* --- ttl.c --------------------------------------------------------------------------------- */

/* From cache.ttl.*.  Errors: INVALID, NOMEM. */
BRISK_NODISCARD brisk_err engine_ttl_create(brisk_engine *engine, brisk_errinfo *info);

/* --- engine.c ----------------------------------------------------------------------------- */

struct brisk_engine {
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    engine_config config;
    brisk_cache *cache; /* only through engine_cache */
    engine_taps taps;
    brisk_ttl *ttl; /* NULL: cache.ttl.mode=off */
    brisk_executor *executor;
    engine_recycle recycle;
    void (*on_job)(void *ctx, const brisk_job *job); /* NULL: nobody */
    void *on_job_ctx;
    brisk_flights *flights;
    engine_threads threads;
    pthread_mutex_t registry;           /* pipelines, and modules being registered */
    engine_pipeline *_Atomic pipelines; /* grows at the head */
    pthread_mutex_t disk_lock;          /* opening the disk tier */
    _Atomic bool cache_open;            /* with all that belongs to it */
    bool disk_wanted;
    int disk_level;
    char disk_codec[32];
    uint64_t disk_bytes;
    engine_background background;
    brisk_sizing *sizing;           /* NULL: the memory tier stays as large as it is */
    uint32_t memory_tiers;          /* bit of the memory tier; 0: there is none */
    brisk_metrics *_Atomic watched; /* where jobs are told; NULL: nowhere */
    brisk_counter jobs;
    brisk_counter computed;
    brisk_counter answered;
    brisk_counter shared;
    brisk_counter distrusted;
    bool logs_stages; /* engine.stage_log is set; every job is profiled */
    char cache_path[ENGINE_PATH_MAX];
};

/* --- watch.c ------------------------------------------------------------------------------ */

/* A job has ended: tell the registry that watches, if any. */
void engine_watch_job(const brisk_job *job);

/* The cache, with its disk tier: the first call opens that. */
brisk_cache *engine_cache(brisk_engine *engine);
/* Whether it is open, opening it where nothing has to be waited for. */
bool engine_cache_open_quickly(brisk_engine *engine);
/* Whether the cache was ever used: until then it holds nothing in memory. */
static inline bool engine_cache_is_open(brisk_engine *engine)
{
    /* Acquire: pairs with the release of who opened it. */
    return atomic_load_explicit(&engine->cache_open, memory_order_acquire);
}

#endif /* BRISK_SRC_ENGINE_INTERNAL_H */
