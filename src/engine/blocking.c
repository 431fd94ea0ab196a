/*
 * blocking.c -- runs a phase in which some stages wait for the network or a process.
 *
 * A worker that waits is a worker less for everybody, so a blocking stage gets a thread of its
 * own and the job holds no thread at all meanwhile: the phase is started, the job is left, and
 * whoever ends the phase resumes it.  (A job that is run inside a stage does hold a worker; all
 * stages of such a phase get threads.)
 *
 *     left[s]   predecessors of stage s that are not done; who brings it to 0 launches s
 *     open      stages that were launched and are not over, and one for the start itself;
 *               who brings it to 0 resumes the job
 *
 * Invariant: a stage launches its successors before it counts itself off, so open reaches 0 once.
 * After an error nothing more is launched.
 *
 * Threads: left, open and the job's failure are shared.  The thread objects belong to the engine
 * and are joined when they are seen to be over, since the last one may still be on its way out
 * when the job is gone already.
 */
#include "engine/internal.h"

#include "base/assert.h"

typedef struct blocking_phase {
    brisk_job *job;
    uint64_t stages;   /* bit i: stage i belongs to the phase */
    bool worker_waits; /* for the phase: leave no stage to the workers, it may be the only one */
    _Atomic uint32_t open;
    _Atomic uint32_t left[BRISK_STAGES_MAX];
    struct blocking_stage {
        struct blocking_phase *phase;
        uint32_t index;
        brisk_task task;
    } of[BRISK_STAGES_MAX];
} blocking_phase;

struct engine_thread {
    struct engine_thread *next;
    brisk_thread thread;
    struct blocking_stage *stage;
    _Atomic bool over;
};

void engine_threads_init(engine_threads *threads)
{
    *threads = (engine_threads){.first = NULL};
    int failed = pthread_mutex_init(&threads->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
}

/* Join the threads that are over, or all. */
static void reap(engine_threads *threads, const brisk_alloc *alloc, bool all)
{
    struct engine_thread *done = NULL;
    (void)pthread_mutex_lock(&threads->lock);
    struct engine_thread **link = &threads->first;
    while (*link != NULL) {
        struct engine_thread *t = *link;
        /* Acquire: pairs with the release at the thread's end. */
        if (all || atomic_load_explicit(&t->over, memory_order_acquire)) {
            *link = t->next;
            t->next = done;
            done = t;
        } else {
            link = &t->next;
        }
    }
    (void)pthread_mutex_unlock(&threads->lock);
    while (done != NULL) {
        struct engine_thread *next = done->next;
        brisk_thread_join(&done->thread);
        alloc->release(alloc->ctx, done, sizeof *done, _Alignof(struct engine_thread));
        done = next;
    }
}

void engine_threads_deinit(engine_threads *threads, const brisk_alloc *alloc)
{
    reap(threads, alloc, true);
    (void)pthread_mutex_destroy(&threads->lock);
}

static void run_one(struct blocking_stage *stage);

static void run_thread(void *arg)
{
    struct engine_thread *t = arg;
    run_one(t->stage);
    atomic_store_explicit(&t->over, true, memory_order_release);
}

static void run_task(brisk_task *task)
{
    run_one(task->ctx);
}

/* False: no memory or no thread to be had. */
static bool launch_thread(brisk_engine *engine, struct blocking_stage *stage)
{
    const brisk_alloc *alloc = engine->alloc;
    reap(&engine->threads, alloc, false);
    struct engine_thread *t = alloc->acquire(alloc->ctx, sizeof *t, _Alignof(struct engine_thread));
    if (t == NULL) {
        return false;
    }
    *t = (struct engine_thread){.stage = stage};
    brisk_thread_opts opts = {.name = "brisk-blocking", .run = run_thread, .ctx = t};
    /* Under the lock, so that nobody reaps it before its thread object is complete. */
    (void)pthread_mutex_lock(&engine->threads.lock);
    bool started = brisk_thread_start(&t->thread, &opts) == BRISK_OK;
    if (started) {
        t->next = engine->threads.first;
        engine->threads.first = t;
    }
    (void)pthread_mutex_unlock(&engine->threads.lock);
    if (!started) {
        alloc->release(alloc->ctx, t, sizeof *t, _Alignof(struct engine_thread));
    }
    return started;
}

static void launch(blocking_phase *phase, uint32_t index)
{
    brisk_job *job = phase->job;
    struct blocking_stage *stage = &phase->of[index];
    *stage = (struct blocking_stage){.phase = phase, .index = index};
    /* Relaxed: the launcher's own count keeps the phase open. */
    (void)atomic_fetch_add_explicit(&phase->open, 1, memory_order_relaxed);
    bool blocking = (job->workload->stages[index].flags & BRISK_STAGE_BLOCKING) != 0;
    if (!blocking && !phase->worker_waits) {
        stage->task = (brisk_task){.run = run_task, .ctx = stage};
        brisk_executor_submit(job->engine->executor, &stage->task);
    } else if (!launch_thread(job->engine, stage)) {
        run_one(stage); /* slower for others, but right */
    }
}

static void close_one(blocking_phase *phase)
{
    brisk_job *job = phase->job;
    /* acq_rel: what every stage wrote is seen by whoever resumes the job. */
    if (atomic_fetch_sub_explicit(&phase->open, 1, memory_order_acq_rel) == 1) {
        engine_job_resume(job); /* the phase, which lies in the job, may be gone now */
    }
}

static void release_after(blocking_phase *phase, uint32_t done)
{
    const engine_pipeline *pipeline = phase->job->pipeline;
    for (uint64_t set = phase->stages; set != 0; set &= set - 1) {
        uint32_t later = (uint32_t)__builtin_ctzll(set);
        /* acq_rel: the last predecessor sees, and passes on, what the others wrote. */
        if ((pipeline->before[later] >> done & 1) != 0 &&
            atomic_fetch_sub_explicit(&phase->left[later], 1, memory_order_acq_rel) == 1) {
            launch(phase, later);
        }
    }
}

static void run_one(struct blocking_stage *stage)
{
    blocking_phase *phase = stage->phase;
    brisk_job *job = phase->job;
    brisk_err err = (brisk_err)atomic_load_explicit(&job->failed, memory_order_relaxed);
    brisk_err reason = err == BRISK_OK ? brisk_cancel_check(&job->cancel) : BRISK_OK;
    if (reason != BRISK_OK) {
        engine_job_failed(job, reason, NULL);
        err = reason;
    }
    if (err == BRISK_OK) {
        err = engine_stage_run(job, stage->index);
    }
    if (err == BRISK_OK) {
        release_after(phase, stage->index);
    }
    close_one(phase);
}

brisk_err engine_blocking_start(brisk_job *job, engine_phase phase)
{
    const engine_pipeline *pipeline = job->pipeline;
    blocking_phase *run = brisk_arena_calloc(job->main.arena, 1, sizeof *run);
    if (run == NULL) {
        return BRISK_ERR_NOMEM;
    }
    run->job = job;
    run->worker_waits =
        !job->submitted && brisk_executor_current_worker(job->engine->executor) >= 0;
    atomic_init(&run->open, 1);
    uint64_t sources = 0;
    for (uint32_t i = 0; i < job->workload->stage_count; i++) {
        if (pipeline->phase_of[i] == phase) {
            run->stages |= UINT64_C(1) << i;
            sources |= pipeline->before[i] == 0 ? UINT64_C(1) << i : 0;
            atomic_init(&run->left[i], (uint32_t)__builtin_popcountll(pipeline->before[i]));
        }
    }
    for (uint64_t set = sources; set != 0; set &= set - 1) {
        launch(run, (uint32_t)__builtin_ctzll(set));
    }
    close_one(run);
    return BRISK_OK;
}
