/*
 * stage.c -- a running stage: its context, its record, and the items it spreads over workers.
 *
 * A stage runs with an arena that no other thread uses meanwhile.  When it returns, the arena goes
 * to the job's idle ones, contents and all, and the next stage goes on in it: a chain of stages
 * needs one, and what a stage allocated lives until the job is destroyed.
 *
 * brisk_stage_for offers the items to helpers; the caller takes part.  Everybody draws the next
 * index from one counter, so nothing is dealt out in advance and a slow item holds up nobody:
 *
 *     caller    0       2       3   5 ...
 *     helper 1    1         4
 *
 * Threads: each context belongs to one thread; failed, scope.err and the counters are shared.
 */
#include "engine/internal.h"

#include <stdarg.h>
#include <string.h>

#include "base/assert.h"

/* Places of the trace that items leave to stages and to what the engine itself does. */
enum { SPANS_KEPT = BRISK_STAGES_MAX + 8 };

/* Is this thread inside workload code of some job?  Then it must not wait for another job. */
static _Thread_local uint32_t thread_depth;

uint32_t engine_thread_depth(void)
{
    return thread_depth;
}

void engine_thread_enter(void)
{
    thread_depth++;
}

void engine_thread_leave(void)
{
    BRISK_ASSERT(thread_depth > 0);
    thread_depth--;
}

/* --- what a stage may call ---------------------------------------------------------------- */

brisk_arena *brisk_stage_arena(brisk_stage_ctx *ctx)
{
    return ctx->arena;
}

bool brisk_stage_cancelled(brisk_stage_ctx *ctx)
{
    for (engine_scope *scope = ctx->scope; scope != NULL; scope = scope->outer) {
        /* Relaxed: a hint to stop; the error itself is handed over by the end of the group. */
        if (atomic_load_explicit(&scope->err, memory_order_relaxed) != BRISK_OK) {
            return true;
        }
    }
    return atomic_load_explicit(&ctx->job->failed, memory_order_relaxed) != BRISK_OK ||
           brisk_cancel_check(&ctx->job->cancel) != BRISK_OK;
}

void brisk_stage_add_bytes(brisk_stage_ctx *ctx, uint64_t bytes)
{
    if (ctx->record != NULL) {
        /* Relaxed: a sum that is read when the job is done. */
        (void)atomic_fetch_add_explicit(&ctx->record->bytes, bytes, memory_order_relaxed);
    }
    brisk_trace_add_bytes(ctx->job->trace, ctx->span, bytes);
}

bool brisk_stage_no_cache(const brisk_stage_ctx *ctx)
{
    return ctx->job->opts.no_cache;
}

/* printf into the context's arena; NULL when memory is short. */
BRISK_PRINTF(2, 0)
static const char *format_text(brisk_stage_ctx *ctx, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = length < 0 ? NULL : brisk_arena_alloc(ctx->arena, (size_t)length + 1);
    if (text != NULL) {
        (void)vsnprintf(text, (size_t)length + 1, format, args);
    }
    return text;
}

brisk_err brisk_stage_fail(brisk_stage_ctx *ctx, brisk_err code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = format_text(ctx, format, args);
    va_end(args);
    brisk_job *job = ctx->job;
    (void)pthread_mutex_lock(&job->lock);
    if (job->error_text == NULL) {
        job->error_text = text != NULL ? text : brisk_err_message(code);
    }
    (void)pthread_mutex_unlock(&job->lock);
    return code;
}

void brisk_stage_fail_details(brisk_stage_ctx *ctx, const char *json)
{
    const char *copy = brisk_arena_copy(ctx->arena, json, strlen(json));
    brisk_job *job = ctx->job;
    (void)pthread_mutex_lock(&job->lock);
    if (job->error_details == NULL) {
        job->error_details = copy;
    }
    (void)pthread_mutex_unlock(&job->lock);
}

void brisk_stage_note(brisk_stage_ctx *ctx, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = format_text(ctx, format, args);
    va_end(args);
    if (ctx->record != NULL && text != NULL) {
        (void)pthread_mutex_lock(&ctx->job->lock);
        ctx->record->note = text;
        (void)pthread_mutex_unlock(&ctx->job->lock);
    }
}

/* --- one stage ---------------------------------------------------------------------------- */

/* What a stage's error means for its job: an error that only repeats the request to stop has the
 * reason of that request, so that a passed deadline is told from a cancellation. */
static brisk_err reason_of(brisk_job *job, brisk_err err)
{
    if (err == BRISK_ERR_CANCELLED || err == BRISK_ERR_DEADLINE) {
        brisk_err reason = brisk_cancel_check(&job->cancel);
        return reason != BRISK_OK ? reason : err;
    }
    return err;
}

/* For whoever watches; release: who sees the end sees what was counted before it. */
static void begin_live(engine_record *record)
{
    atomic_store_explicit(&record->live_failed, false, memory_order_relaxed);
    atomic_store_explicit(&record->live_end_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&record->live_start_ns, record->start_ns | 1, memory_order_release);
}

static void end_live(engine_record *record, bool failed)
{
    atomic_store_explicit(&record->live_failed, failed, memory_order_relaxed);
    atomic_store_explicit(&record->live_end_ns, record->end_ns | 1, memory_order_release);
}

brisk_stage_progress brisk_job_progress(const brisk_job *job, uint32_t index)
{
    BRISK_ASSERT(index < job->workload->stage_count);
    const engine_record *record = &job->records[index];
    brisk_stage_progress progress = {.name = job->workload->stages[index].name};
    uint64_t end_ns = atomic_load_explicit(&record->live_end_ns, memory_order_acquire);
    uint64_t start_ns = atomic_load_explicit(&record->live_start_ns, memory_order_acquire);
    if (start_ns == 0) {
        return progress;
    }
    bool failed = atomic_load_explicit(&record->live_failed, memory_order_relaxed);
    progress.state = end_ns == 0 ? BRISK_STAGE_RUNNING
                     : failed    ? BRISK_STAGE_FAILED
                                 : BRISK_STAGE_DONE;
    uint64_t until_ns = end_ns != 0 ? end_ns : brisk_clock_now_ns(job->engine->clock);
    progress.ns = until_ns > start_ns ? until_ns - start_ns : 0;
    progress.bytes = atomic_load_explicit(&record->bytes, memory_order_relaxed);
    progress.items_done = atomic_load_explicit(&record->live_items_done, memory_order_relaxed);
    progress.items = atomic_load_explicit(&record->live_items, memory_order_relaxed);
    return progress;
}

brisk_err engine_stage_run(brisk_job *job, uint32_t index)
{
    const brisk_stage *stage = &job->workload->stages[index];
    engine_record *record = &job->records[index];
    engine_slot *slot;
    brisk_err err = engine_job_take_arena(job, &slot);
    if (err != BRISK_OK) {
        engine_job_failed(job, err, stage->name);
        return err;
    }
    record->ran = true;
    record->worker = brisk_executor_current_worker(job->engine->executor);
    brisk_stage_ctx ctx = {
        .job = job,
        .arena = slot->arena,
        .record = record,
        .span = brisk_trace_begin(job->trace, stage->name, job->main.span, record->worker),
    };
    record->start_ns = brisk_clock_now_ns(job->engine->clock);
    begin_live(record);
    engine_meter meter = engine_meter_read(job);
    engine_thread_enter();
    err = stage->run(&ctx, job->state);
    engine_thread_leave();
    engine_meter_add(job, record, meter);
    record->end_ns = brisk_clock_now_ns(job->engine->clock);
    brisk_trace_end(job->trace, ctx.span);
    engine_job_give_arena(job, slot);
    if (err != BRISK_OK) {
        err = reason_of(job, err);
        record->failed = true;
        engine_job_failed(job, err, stage->name);
    }
    end_live(record, err != BRISK_OK);
    return err;
}

/* --- items -------------------------------------------------------------------------------- */

typedef struct item_run {
    brisk_stage_ctx *outer;
    uint32_t count;
    const char *(*name)(void *item_ctx, uint32_t index);
    brisk_err (*fn)(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index);
    void *item_ctx;
    engine_scope scope;
    _Atomic uint64_t next; /* 64 bits: draws beyond the end never wrap */
} item_run;

static void stop_items(item_run *run, brisk_err err)
{
    int none = BRISK_OK;
    /* Relaxed: only the first error; its text went through job.lock. */
    (void)atomic_compare_exchange_strong_explicit(&run->scope.err, &none, (int)err,
                                                  memory_order_relaxed, memory_order_relaxed);
}

static brisk_err run_item(item_run *run, brisk_stage_ctx *ctx, uint32_t index)
{
    brisk_job *job = ctx->job;
    char number[16];
    const char *name = run->name != NULL ? run->name(run->item_ctx, index) : NULL;
    if (name == NULL) {
        (void)snprintf(number, sizeof number, "%u", index);
        name = number;
    }
    ctx->span =
        brisk_trace_begin_minor(job->trace, name, run->outer->span,
                                brisk_executor_current_worker(job->engine->executor), SPANS_KEPT);
    engine_thread_enter();
    brisk_err err = run->fn(ctx, run->item_ctx, index);
    engine_thread_leave();
    brisk_trace_end(job->trace, ctx->span);
    if (run->scope.outer == NULL && run->outer->record != NULL) {
        (void)atomic_fetch_add_explicit(&run->outer->record->live_items_done, 1,
                                        memory_order_relaxed);
    }
    return err;
}

/* Draw items until there are none or something stops them. */
static void run_items(item_run *run, brisk_arena *arena)
{
    brisk_job *job = run->outer->job;
    brisk_stage_ctx ctx = {
        .job = job,
        .arena = arena,
        .record = run->outer->record,
        .scope = &run->scope,
        .span = run->outer->span,
    };
    for (;;) {
        uint64_t index = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (index >= run->count) {
            return;
        }
        brisk_err err = BRISK_ERR_CANCELLED;
        if (brisk_stage_cancelled(&ctx)) {
            err = reason_of(job, err);
        } else {
            err = run_item(run, &ctx, (uint32_t)index);
        }
        if (err != BRISK_OK) {
            stop_items(run, err);
            return;
        }
    }
}

/* The record that counts the loop: the outermost loops of a stage are, those inside their items are not. */
static engine_record *counted_record(const item_run *run)
{
    return run->scope.outer == NULL ? run->outer->record : NULL;
}

static void add_items_ns(const brisk_job *job, engine_record *record, uint64_t start_ns)
{
    uint64_t now_ns = brisk_clock_now_ns(job->engine->clock);
    /* Relaxed: read when the job is done. */
    (void)atomic_fetch_add_explicit(&record->items_ns, now_ns > start_ns ? now_ns - start_ns : 0,
                                    memory_order_relaxed);
}

static void help_items(brisk_task *task)
{
    item_run *run = task->ctx;
    brisk_job *job = run->outer->job;
    engine_slot *slot;
    if (atomic_load_explicit(&run->next, memory_order_relaxed) >= run->count ||
        engine_job_take_arena(job, &slot) != BRISK_OK) {
        return; /* nothing left, or no memory to help with: the others do it */
    }
    engine_record *record = counted_record(run);
    engine_meter meter = engine_meter_read(job);
    uint64_t start_ns = brisk_clock_now_ns(job->engine->clock);
    run_items(run, slot->arena);
    if (record != NULL) {
        add_items_ns(job, record, start_ns);
        engine_meter_add(job, record, meter);
    }
    engine_job_give_arena(job, slot);
}

brisk_err brisk_stage_for(brisk_stage_ctx *ctx, uint32_t count,
                          const char *(*name)(void *item_ctx, uint32_t index),
                          brisk_err (*fn)(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index),
                          void *item_ctx)
{
    brisk_executor *executor = ctx->job->engine->executor;
    item_run run = {
        .outer = ctx,
        .count = count,
        .name = name,
        .fn = fn,
        .item_ctx = item_ctx,
        .scope = {.outer = ctx->scope},
    };
    uint32_t workers = brisk_executor_workers(executor);
    uint32_t helpers = count < workers ? count : workers; /* the caller is one of them */
    helpers = helpers > 0 ? helpers - 1 : 0;
    brisk_task *tasks = NULL;
    if (helpers > 0) {
        tasks = brisk_arena_calloc(ctx->arena, helpers, sizeof *tasks);
        helpers = tasks != NULL ? helpers : 0; /* without memory for help: alone */
    }
    brisk_group group;
    brisk_group_init(&group, executor);
    for (uint32_t i = 0; i < helpers; i++) {
        tasks[i] = (brisk_task){.run = help_items, .ctx = &run};
        brisk_group_run(&group, &tasks[i]);
    }
    /* The caller is inside its own stage and does not use ctx->arena otherwise meanwhile. */
    engine_record *record = counted_record(&run);
    uint64_t start_ns = record != NULL ? brisk_clock_now_ns(ctx->job->engine->clock) : 0;
    if (record != NULL) {
        (void)atomic_fetch_add_explicit(&record->live_items, count, memory_order_relaxed);
    }
    run_items(&run, ctx->arena);
    if (record != NULL) {
        add_items_ns(ctx->job, record, start_ns);
    }
    brisk_group_wait(&group);
    if (record != NULL) {
        record->loops_ns += brisk_clock_now_ns(ctx->job->engine->clock) - start_ns;
        record->items += count;
    }
    return (brisk_err)atomic_load_explicit(&run.scope.err, memory_order_relaxed);
}
