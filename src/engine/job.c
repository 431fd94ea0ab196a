/*
 * job.c -- a job's life: created, run step by step, done, destroyed.
 *
 *     PREPARE ─► KEY ─► LOOKUP ─ hit ──────────► ACCEPT ──────────────► DELIVER ─► DONE
 *                 │       ▲ └ miss ─► JOIN ─ answer ─┘ │ declined,         │
 *                 │       └── landed ──┘ │ lead, alone │ damaged           │ cached bytes
 *                 │ no key               ▼             ▼                   │ were damaged
 *                 └──────────────────► COMPUTE ◄───────┴──── (once) ◄──────┘
 *                                         └─► publish, store, land ─► DELIVER
 *
 * Every step is a function that returns the next one.  WAITING means that the job no longer
 * belongs to this thread: it waits in a flight and whoever ends that wait says where it goes on.
 * Before every step the job asks whether it was cancelled or late.
 *
 * Whatever a cache does wrong leads to COMPUTE, and from there no way leads back to a cached
 * answer, so a job goes that way at most once.
 *
 * Invariant: a job that leads a flight lands or abandons it before it is DONE.
 */
#include "engine/internal.h"

#include <string.h>

#include <brisk/file.h>
#include <brisk/log.h>

#include "base/assert.h"

enum { LOOKS_MAX = 8 /* lookups of one job before it leads whatever landed meanwhile */ };

static engine_step fail(brisk_job *job, brisk_err err)
{
    engine_job_failed(job, err, NULL);
    return ENGINE_STEP_DONE;
}

void engine_job_failed(brisk_job *job, brisk_err err, const char *stage)
{
    BRISK_ASSERT(err != BRISK_OK);
    (void)pthread_mutex_lock(&job->lock);
    if (job->err == BRISK_OK) {
        job->err = err;
        job->error_stage = stage;
        /* Relaxed: tells running stages to stop; the result itself is under the lock. */
        atomic_store_explicit(&job->failed, (int)err, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&job->lock);
}

/* Take back a failure that only says that a cached answer was bad. */
static void forgive(brisk_job *job)
{
    (void)pthread_mutex_lock(&job->lock);
    job->err = BRISK_OK;
    job->error_text = NULL;
    job->error_details = NULL;
    job->error_stage = NULL;
    atomic_store_explicit(&job->failed, BRISK_OK, memory_order_relaxed);
    (void)pthread_mutex_unlock(&job->lock);
}

/* --- arenas ------------------------------------------------------------------------------- */

static brisk_err new_slot(brisk_engine *engine, engine_slot **ret)
{
    brisk_arena *arena;
    brisk_err err = engine_recycle_take(&engine->recycle, &arena);
    if (err != BRISK_OK) {
        return err;
    }
    engine_slot *slot = brisk_arena_alloc(arena, sizeof *slot);
    if (slot == NULL) {
        engine_recycle_give(&engine->recycle, arena);
        return BRISK_ERR_NOMEM;
    }
    *slot = (engine_slot){.arena = arena};
    *ret = slot;
    return BRISK_OK;
}

brisk_err engine_job_take_arena(brisk_job *job, engine_slot **ret)
{
    (void)pthread_mutex_lock(&job->lock);
    engine_slot *slot = job->idle;
    if (slot != NULL) {
        job->idle = slot->next;
    }
    (void)pthread_mutex_unlock(&job->lock);
    if (slot == NULL) {
        return new_slot(job->engine, ret);
    }
    *ret = slot;
    return BRISK_OK;
}

void engine_job_give_arena(brisk_job *job, engine_slot *slot)
{
    (void)pthread_mutex_lock(&job->lock);
    slot->next = job->idle;
    job->idle = slot;
    (void)pthread_mutex_unlock(&job->lock);
}

/* --- the steps ---------------------------------------------------------------------------- */

typedef struct phase_run {
    brisk_job *job;
    const uint8_t *stage_of;
} phase_run;

static brisk_err run_node(void *run_ctx, uint32_t node)
{
    const phase_run *run = run_ctx;
    brisk_err reason = brisk_cancel_check(&run->job->cancel);
    if (reason != BRISK_OK) {
        engine_job_failed(run->job, reason, NULL);
        return reason;
    }
    return engine_stage_run(run->job, run->stage_of[node]);
}

/* The calling thread waits until its job is resumed. */
static engine_step wait_resumed(brisk_job *job)
{
    (void)pthread_mutex_lock(&job->lock);
    while (!job->resumed) {
        (void)pthread_cond_wait(&job->changed, &job->lock);
    }
    job->resumed = false;
    engine_step step = job->resume;
    (void)pthread_mutex_unlock(&job->lock);
    return step;
}

/* Run the stages of a phase; `next` finds in job->err whether they failed. */
static engine_step run_phase(brisk_job *job, engine_phase phase, engine_step next)
{
    const brisk_graph *graph = job->pipeline->graphs[phase];
    job->phase_ns[phase] = brisk_clock_now_ns(job->engine->clock);
    if (graph == NULL) {
        return next;
    }
    brisk_err err;
    if (job->pipeline->blocking[phase]) {
        bool submitted = job->submitted; /* the job may be gone when start returns */
        job->resume = next;
        err = engine_blocking_start(job, phase);
        if (err == BRISK_OK) {
            return submitted ? ENGINE_STEP_WAITING : wait_resumed(job);
        }
    } else {
        phase_run run = {.job = job, .stage_of = job->pipeline->stage_of[phase]};
        /* The graph would put a stage's error into the job's token, where it could not be
         * forgiven: run_node asks the token instead. */
        err = brisk_graph_run(graph, job->engine->executor, NULL, run_node, &run);
    }
    if (err != BRISK_OK) {
        engine_job_failed(job, err, NULL); /* unless a stage has said why */
    }
    return next;
}

static engine_step step_prepare(brisk_job *job)
{
    return run_phase(job, ENGINE_PREPARE, ENGINE_STEP_KEY);
}

static engine_step step_key(brisk_job *job)
{
    if (job->err != BRISK_OK) {
        return ENGINE_STEP_DONE; /* a PREPARE stage failed */
    }
    brisk_err err = engine_job_key(job);
    if (err != BRISK_OK) {
        return fail(job, err);
    }
    return job->uncached ? ENGINE_STEP_COMPUTE : ENGINE_STEP_LOOKUP;
}

/* Ask `tiers`; true when job->hit holds an answer. */
static bool look(brisk_job *job, uint32_t tiers)
{
    uint32_t span = brisk_trace_begin(job->trace, "cache_lookup", job->main.span,
                                      brisk_executor_current_worker(job->engine->executor));
    bool hit = brisk_cache_get(engine_cache(job->engine), &job->key, tiers, &job->hit);
    brisk_trace_end(job->trace, span);
    if (hit) {
        job->source = ENGINE_SOURCE_TIER;
    } else {
        job->hit.value = NULL;
    }
    return hit;
}

static engine_step step_lookup(brisk_job *job)
{
    job->landed = brisk_flight_landed(job->engine->flights, &job->key);
    job->looks++;
    return look(job, job->opts.tiers) ? ENGINE_STEP_ACCEPT : ENGINE_STEP_JOIN;
}

static engine_step step_join(brisk_job *job)
{
    uint64_t landed =
        job->looks < LOOKS_MAX ? job->landed : brisk_flight_landed(job->engine->flights, &job->key);
    bool submitted = job->submitted; /* a job that waits may be gone before join returns */
    bool on_worker = brisk_executor_current_worker(job->engine->executor) >= 0;
    bool may_wait = submitted || (engine_thread_depth() == 1 && !on_worker);
    job->wait_ns = brisk_clock_now_ns(job->engine->clock);
    job->source = ENGINE_SOURCE_FLIGHT;
    engine_join join = engine_flight_join(job, landed, may_wait);
    switch (join) {
    case ENGINE_JOIN_ANSWERED: return ENGINE_STEP_ACCEPT;
    case ENGINE_JOIN_LANDED: return ENGINE_STEP_LOOKUP;
    case ENGINE_JOIN_WAITING: return submitted ? ENGINE_STEP_WAITING : wait_resumed(job);
    case ENGINE_JOIN_LEAD:
    case ENGINE_JOIN_ALONE: return ENGINE_STEP_COMPUTE;
    }
    BRISK_ASSERT(false);
    return ENGINE_STEP_DONE;
}

static void drop_answer(brisk_job *job)
{
    brisk_value_unref(job->hit.value);
    job->hit.value = NULL;
    job->source = ENGINE_SOURCE_NONE;
    job->answered = false;
}

/* A cached answer that proved bad: out with it, and compute, once. */
static engine_step distrust(brisk_job *job)
{
    brisk_log(BRISK_LOG_WARNING, "engine",
              "%s: an answer from %s was bad and is computed again%s%s", job->workload->name,
              job->hit.tier_name, job->error_text != NULL ? ": " : "",
              job->error_text != NULL ? job->error_text : "");
    brisk_counter_add(&job->engine->distrusted, 1);
    if (job->source == ENGINE_SOURCE_TIER) {
        brisk_err err = brisk_cache_remove(engine_cache(job->engine), &job->key);
        if (err != BRISK_OK) {
            brisk_log(BRISK_LOG_WARNING, "engine", "%s: the bad answer cannot be removed: %s",
                      job->workload->name, brisk_err_message(err));
        }
    }
    drop_answer(job);
    forgive(job);
    engine_flight_try_lead(job);
    return ENGINE_STEP_COMPUTE;
}

/* A large value that nobody has looked at yet: are its bytes those that were stored? */
static brisk_err check_content(const brisk_hit *hit)
{
    enum { CHUNK_BYTES = 65536 };
    if (!hit->has_content || brisk_value_fd(hit->value) < 0) {
        return BRISK_OK;
    }
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    unsigned char buffer[CHUNK_BYTES];
    uint64_t size = brisk_value_size(hit->value);
    for (uint64_t at = 0; at < size;) {
        size_t part = size - at < sizeof buffer ? (size_t)(size - at) : sizeof buffer;
        brisk_err err = brisk_file_pread_all(brisk_value_fd(hit->value), buffer, part, at);
        if (err != BRISK_OK) {
            return err;
        }
        brisk_hasher_update(&hasher, buffer, part);
        at += part;
    }
    brisk_hash128 found = brisk_hasher_digest128(&hasher);
    bool same = found.lo == hit->content.lo && found.hi == hit->content.hi;
    return same ? BRISK_OK : BRISK_ERR_CORRUPT;
}

static brisk_err accept(brisk_job *job)
{
    if (job->workload->accept == NULL) {
        return check_content(&job->hit); /* the value itself is all that anybody wants */
    }
    uint32_t span = brisk_trace_begin(job->trace, "accept", job->main.span,
                                      brisk_executor_current_worker(job->engine->executor));
    engine_thread_enter();
    brisk_err err = job->workload->accept(&job->main, job->state, &job->hit);
    engine_thread_leave();
    brisk_trace_end(job->trace, span);
    return err;
}

static engine_step step_accept(brisk_job *job)
{
    if (job->source == ENGINE_SOURCE_FLIGHT) {
        job->hit.elapsed_ns = brisk_clock_now_ns(job->engine->clock) - job->wait_ns;
    }
    brisk_err err = accept(job);
    if (err == BRISK_OK) {
        bool tier = job->source == ENGINE_SOURCE_TIER;
        brisk_counter_add(tier ? &job->engine->answered : &job->engine->shared, 1);
        job->answered = true;
        return ENGINE_STEP_DELIVER;
    }
    if (err == BRISK_ERR_DECLINED || err == BRISK_ERR_NOMEM) {
        job->store_off = true; /* nothing is wrong with the entry */
        drop_answer(job);
        forgive(job);
        return ENGINE_STEP_COMPUTE;
    }
    if (brisk_cancel_check(&job->cancel) != BRISK_OK) {
        return fail(job, brisk_cancel_check(&job->cancel));
    }
    return distrust(job);
}

/* Wall time from the first computing stage's start to the last one's end. */
static uint64_t computing_ns(const brisk_job *job)
{
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    for (uint32_t i = 0; i < job->workload->stage_count; i++) {
        const engine_record *record = &job->records[i];
        if (job->pipeline->phase_of[i] == ENGINE_COMPUTE && record->ran) {
            first = record->start_ns < first ? record->start_ns : first;
            last = record->end_ns > last ? record->end_ns : last;
        }
    }
    return last > first ? last - first : 0;
}

/* Fill job->hit with what was computed.  OK without a value: the workload gives none. */
static brisk_err take_answer(brisk_job *job)
{
    const brisk_workload *workload = job->workload;
    if (workload->answer == NULL) {
        return BRISK_OK;
    }
    brisk_answer answer;
    answer.value = NULL;
    answer.meta_size = 0;
    engine_thread_enter();
    brisk_err err = workload->answer(&job->main, job->state, &answer);
    engine_thread_leave();
    if (err == BRISK_OK && (answer.value == NULL || answer.meta_size > BRISK_ENTRY_META_MAX)) {
        err = brisk_stage_fail(&job->main, BRISK_ERR_INVALID, "workload %s: answer() gave %s",
                               workload->name,
                               answer.value == NULL ? "no value" : "too much meta data");
    }
    if (err != BRISK_OK) {
        brisk_value_unref(answer.value);
        return err == BRISK_ERR_DECLINED ? BRISK_OK : err;
    }
    brisk_hit *hit = &job->hit;
    hit->value = answer.value;
    hit->flags = workload->entry_flags;
    hit->has_content = false;
    hit->tier_name = NULL;
    hit->cost_ns = computing_ns(job);
    hit->meta_size = answer.meta_size;
    memcpy(hit->meta, answer.meta, answer.meta_size);
    return BRISK_OK;
}

static engine_step step_compute(brisk_job *job)
{
    job->source = ENGINE_SOURCE_COMPUTED;
    brisk_counter_add(&job->engine->computed, 1);
    return run_phase(job, ENGINE_COMPUTE, ENGINE_STEP_COMPUTED);
}

static engine_step step_computed(brisk_job *job)
{
    if (job->err != BRISK_OK) {
        return ENGINE_STEP_DONE;
    }
    brisk_err err = take_answer(job);
    if (err != BRISK_OK) {
        return fail(job, err);
    }
    if (job->hit.value != NULL) {
        if (job->leading) {
            engine_flight_publish(job); /* nobody waits for the storing */
        }
        engine_job_store(job);
        if (job->leading) {
            engine_flight_land(job);
        }
    }
    engine_flight_abandon(job); /* still leading: there was no answer to share */
    return ENGINE_STEP_DELIVER;
}

static engine_step step_deliver(brisk_job *job)
{
    return run_phase(job, ENGINE_DELIVER, ENGINE_STEP_DELIVERED);
}

static engine_step step_delivered(brisk_job *job)
{
    if (job->err != BRISK_ERR_CORRUPT || !job->answered) {
        return ENGINE_STEP_DONE;
    }
    for (uint32_t i = 0; i < job->workload->stage_count; i++) {
        if (job->pipeline->phase_of[i] == ENGINE_DELIVER) {
            job->records[i] = (engine_record){.worker = -1};
        }
    }
    return distrust(job);
}

/* --- driving ------------------------------------------------------------------------------ */

static engine_step (*const steps[])(brisk_job *job) = {
    [ENGINE_STEP_PREPARE] = step_prepare,     [ENGINE_STEP_KEY] = step_key,
    [ENGINE_STEP_LOOKUP] = step_lookup,       [ENGINE_STEP_JOIN] = step_join,
    [ENGINE_STEP_ACCEPT] = step_accept,       [ENGINE_STEP_COMPUTE] = step_compute,
    [ENGINE_STEP_COMPUTED] = step_computed,   [ENGINE_STEP_DELIVER] = step_deliver,
    [ENGINE_STEP_DELIVERED] = step_delivered,
};

static void finish(brisk_job *job)
{
    engine_flight_abandon(job);
    brisk_trace_end(job->trace, job->main.span);
    job->end_ns = brisk_clock_now_ns(job->engine->clock);
    brisk_counter_add(&job->engine->jobs, 1);
    if (job->engine->on_job != NULL) {
        job->engine->on_job(job->engine->on_job_ctx, job);
    }
    engine_watch_job(job);
    if (job->engine->logs_stages) {
        engine_stage_log(job);
    }
}

/* False: the job waits and is no longer ours. */
static bool drive(brisk_job *job, engine_step step)
{
    engine_thread_enter();
    while (step < ENGINE_STEP_DONE) {
        bool over = step == ENGINE_STEP_DELIVERED; /* too late to stop it */
        brisk_err reason = over ? BRISK_OK : brisk_cancel_check(&job->cancel);
        step = reason == BRISK_OK ? steps[step](job) : fail(job, reason);
    }
    engine_thread_leave();
    if (step == ENGINE_STEP_WAITING) {
        return false;
    }
    finish(job);
    return true;
}

static void begin(brisk_job *job)
{
    job->start_ns = brisk_clock_now_ns(job->engine->clock);
    if (job->main.span == BRISK_TRACE_NONE) { /* a lookup that missed has begun it already */
        job->main.span = brisk_trace_begin(job->trace, job->workload->name, BRISK_TRACE_NONE,
                                           brisk_executor_current_worker(job->engine->executor));
    }
}

/* --- submitted jobs ----------------------------------------------------------------------- */

/* Tells on_done's caller that on_done destroyed the job. */
typedef struct completion {
    struct completion *outer;
    const brisk_job *job;
    bool destroyed;
} completion;

static _Thread_local completion *completions;

static void set_life(brisk_job *job, engine_job_life life)
{
    (void)pthread_mutex_lock(&job->lock);
    job->life = life;
    (void)pthread_cond_broadcast(&job->changed);
    (void)pthread_mutex_unlock(&job->lock); /* the owner may destroy the job from here on */
}

static void call_on_done(void *arg)
{
    brisk_job *job = arg;
    completion own = {.outer = completions, .job = job};
    completions = &own;
    job->on_done(job, job->on_done_ctx);
    completions = own.outer;
    if (!own.destroyed) {
        set_life(job, ENGINE_JOB_QUIET);
    }
}

static void complete(brisk_job *job)
{
    if (job->on_done == NULL) {
        set_life(job, ENGINE_JOB_QUIET);
        return;
    }
    set_life(job, ENGINE_JOB_DONE); /* not yet quiet: destroy waits for on_done */
    if (job->has_post) {
        job->post.post(job->post.ctx, call_on_done, job);
    } else {
        call_on_done(job);
    }
}

static void go_on(brisk_task *task)
{
    brisk_job *job = task->ctx;
    if (drive(job, job->resume)) {
        complete(job);
    }
}

void engine_job_resume(brisk_job *job)
{
    if (job->submitted) {
        job->task = (brisk_task){.run = go_on, .ctx = job};
        brisk_executor_submit(job->engine->executor, &job->task);
        return;
    }
    (void)pthread_mutex_lock(&job->lock);
    job->resumed = true;
    (void)pthread_cond_broadcast(&job->changed);
    (void)pthread_mutex_unlock(&job->lock);
}

brisk_err brisk_job_submit(brisk_job *job, void (*on_done)(brisk_job *job, void *ctx), void *ctx,
                           const brisk_post *post)
{
    BRISK_ASSERT(!job->submitted);
    job->on_done = on_done;
    job->on_done_ctx = ctx;
    job->has_post = post != NULL;
    job->post = post != NULL ? *post : (brisk_post){0};
    job->submitted = true;
    if (job->life == ENGINE_JOB_QUIET) { /* init failed, or lookup answered */
        complete(job);
        return BRISK_OK;
    }
    job->life = ENGINE_JOB_SUBMITTED;
    job->resume = ENGINE_STEP_PREPARE;
    begin(job);
    engine_job_resume(job);
    return BRISK_OK;
}

brisk_err brisk_job_wait(brisk_job *job)
{
    (void)pthread_mutex_lock(&job->lock);
    BRISK_ASSERT(job->life != ENGINE_JOB_NEW);
    while (job->life < ENGINE_JOB_DONE) {
        (void)pthread_cond_wait(&job->changed, &job->lock);
    }
    brisk_err err = job->err;
    (void)pthread_mutex_unlock(&job->lock);
    return err;
}

brisk_err brisk_job_run(brisk_job *job)
{
    if (job->submitted) {
        return brisk_job_wait(job);
    }
    if (job->life == ENGINE_JOB_NEW) {
        begin(job);
        bool done = drive(job, ENGINE_STEP_PREPARE);
        BRISK_ASSERT(done); /* only submitted jobs are left to others */
        job->life = ENGINE_JOB_QUIET;
    }
    return job->err;
}

brisk_err brisk_job_lookup(brisk_job *job)
{
    BRISK_ASSERT(!job->submitted);
    if (job->life == ENGINE_JOB_QUIET) {
        return job->err;
    }
    const engine_pipeline *pipeline = job->pipeline;
    uint32_t all = job->opts.tiers != 0 ? job->opts.tiers : UINT32_MAX;
    uint32_t tiers = job->engine->memory_tiers & all;
    if (pipeline->graphs[ENGINE_PREPARE] != NULL || pipeline->graphs[ENGINE_DELIVER] != NULL ||
        tiers == 0 || !engine_cache_open_quickly(job->engine)) {
        return BRISK_ERR_NOT_FOUND;
    }
    begin(job);
    brisk_err err = brisk_cancel_check(&job->cancel);
    err = err == BRISK_OK ? engine_job_key(job) : err;
    if (err != BRISK_OK) {
        (void)fail(job, err);
    } else if (job->uncached || !look(job, tiers)) {
        return BRISK_ERR_NOT_FOUND;
    } else if (accept(job) != BRISK_OK) {
        drop_answer(job); /* run or submit looks again and deals with it */
        forgive(job);
        return BRISK_ERR_NOT_FOUND;
    } else {
        brisk_counter_add(&job->engine->answered, 1);
        job->answered = true;
    }
    finish(job);
    job->life = ENGINE_JOB_QUIET;
    return job->err;
}

void brisk_job_cancel(brisk_job *job)
{
    brisk_cancel_request(&job->cancel, BRISK_ERR_CANCELLED);
    (void)brisk_flight_leave(job->engine->flights, &job->flight);
}

/* --- create and destroy ------------------------------------------------------------------- */

static const engine_pipeline *find_pipeline(brisk_engine *engine, const brisk_workload *workload)
{
    /* Acquire, with the release in register: a pipeline in the list is complete. */
    const engine_pipeline *pipeline =
        atomic_load_explicit(&engine->pipelines, memory_order_acquire);
    while (pipeline != NULL && pipeline->workload != workload) {
        pipeline = pipeline->next;
    }
    return pipeline;
}

/* Everything of a job but its init; the job's own arena is given back on failure. */
static brisk_err build(brisk_engine *engine, const engine_pipeline *pipeline, engine_slot *slot,
                       brisk_job **ret)
{
    const brisk_workload *workload = pipeline->workload;
    brisk_job *job = brisk_arena_calloc(slot->arena, 1, sizeof *job);
    void *state = brisk_arena_calloc(slot->arena, 1, workload->state_bytes);
    engine_record *records =
        brisk_arena_calloc(slot->arena, workload->stage_count, sizeof *records);
    brisk_trace *trace = NULL;
    brisk_err err = BRISK_ERR_NOMEM;
    if (job != NULL && state != NULL && records != NULL) {
        err = brisk_trace_create(0, engine->clock, &engine->recycle.trace_alloc, &trace);
    }
    if (err != BRISK_OK) {
        engine_recycle_give(&engine->recycle, slot->arena);
        return err;
    }
    job->engine = engine;
    job->pipeline = pipeline;
    job->workload = workload;
    job->state = state;
    job->records = records;
    job->trace = trace;
    job->main = (brisk_stage_ctx){.job = job, .arena = slot->arena};
    for (uint32_t i = 0; i < workload->stage_count; i++) {
        records[i].worker = -1;
    }
    int failed = pthread_mutex_init(&job->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for plain ones on Linux */
    failed = pthread_cond_init(&job->changed, NULL);
    BRISK_ASSERT(failed == 0);
    *ret = job;
    return BRISK_OK;
}

brisk_err brisk_job_create(brisk_engine *engine, const brisk_workload *workload,
                           const void *request, const brisk_job_opts *opts, brisk_job **ret)
{
    const engine_pipeline *pipeline = find_pipeline(engine, workload);
    if (pipeline == NULL) {
        return BRISK_ERR_NOT_FOUND;
    }
    engine_slot *slot;
    brisk_job *job;
    brisk_err err = new_slot(engine, &slot);
    if (err == BRISK_OK) {
        err = build(engine, pipeline, slot, &job);
    }
    if (err != BRISK_OK) {
        return err;
    }
    job->opts = opts != NULL ? *opts : (brisk_job_opts){0};
    job->opts.profile |= engine->logs_stages;
    if (job->opts.deadline_ns != 0) {
        uint64_t now_ns = brisk_clock_now_ns(engine->clock);
        bool fits = job->opts.deadline_ns <= UINT64_MAX - now_ns;
        job->deadline_ns = fits ? now_ns + job->opts.deadline_ns : UINT64_MAX;
    }
    brisk_cancel_init(&job->cancel, job->deadline_ns, engine->clock);
    if (workload->init != NULL) {
        engine_thread_enter();
        err = workload->init(&job->main, job->state, request);
        engine_thread_leave();
    }
    if (err != BRISK_OK) {
        (void)fail(job, err);
        job->life = ENGINE_JOB_QUIET;
    }
    *ret = job;
    return err;
}

static void wait_quiet(brisk_job *job)
{
    for (completion *own = completions; own != NULL; own = own->outer) {
        if (own->job == job) { /* on_done destroys its own job */
            own->destroyed = true;
            return;
        }
    }
    (void)pthread_mutex_lock(&job->lock);
    while (job->life == ENGINE_JOB_SUBMITTED || job->life == ENGINE_JOB_DONE) {
        (void)pthread_cond_wait(&job->changed, &job->lock);
    }
    (void)pthread_mutex_unlock(&job->lock);
}

void brisk_job_destroy(brisk_job *job)
{
    if (job == NULL) {
        return;
    }
    wait_quiet(job);
    if (job->workload->release != NULL) {
        job->workload->release(job->state);
    }
    brisk_value_unref(job->hit.value);
    brisk_trace_destroy(job->trace);
    (void)pthread_cond_destroy(&job->changed);
    (void)pthread_mutex_destroy(&job->lock);
    engine_recycle *recycle = &job->engine->recycle;
    brisk_arena *own = job->main.arena;
    engine_slot *slot = job->idle;
    while (slot != NULL) {
        engine_slot *next = slot->next; /* lies in the arena that is given away */
        engine_recycle_give(recycle, slot->arena);
        slot = next;
    }
    engine_recycle_give(recycle, own); /* last: the job itself lies in it */
}
