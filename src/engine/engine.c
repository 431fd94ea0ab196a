/*
 * engine.c -- wires knobs, cache, executor and modules together: the only place that knows all.
 *
 * The cache and its tiers: tiers.c.  The executor starts its threads with the first task.
 *
 * Pipelines hang in a list that only grows, at its head, so that jobs find theirs without a lock.
 */
#include "engine/internal.h"

#include <inttypes.h>
#include <string.h>

#include <brisk/log.h>
#include <brisk/memory.h>

#include "base/assert.h"

/* --- create ------------------------------------------------------------------------------- */

static brisk_err create_rest(brisk_engine *engine, const brisk_engine_opts *opts,
                             brisk_errinfo *info)
{
    brisk_err err = engine_config_init(&engine->config, opts, engine->alloc, info);
    if (err != BRISK_OK) {
        return err;
    }
    engine_config_cache_path(&engine->config, engine->cache_path);
    err = engine_ttl_create(engine, info);
    if (err == BRISK_OK) {
        err = engine_cache_create(engine, opts, info);
    }
    if (err == BRISK_OK) {
        brisk_executor_opts executor = {
            .workers = (uint32_t)brisk_knobs_u64(engine->config.knobs, "engine.workers"),
            .alloc = engine->alloc,
        };
        err = brisk_executor_create(&executor, &engine->executor);
        char path[ENGINE_PATH_MAX];
        brisk_knobs_text(engine->config.knobs, "engine.stage_log", path, sizeof path);
        engine->logs_stages = path[0] != '\0';
    }
    return err;
}

brisk_err brisk_engine_create(const brisk_engine_opts *opts, brisk_engine **ret,
                              brisk_errinfo *info)
{
    BRISK_ASSERT(ret != NULL);
    brisk_engine_opts o = opts != NULL ? *opts : (brisk_engine_opts){0};
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    brisk_engine *engine = alloc->acquire(alloc->ctx, sizeof *engine, _Alignof(brisk_engine));
    if (engine == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "engine: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    memset(engine, 0, sizeof *engine);
    engine->alloc = alloc;
    engine->clock = o.clock != NULL ? o.clock : brisk_clock_system();
    brisk_flights_opts flights = {
        .buckets = ENGINE_FLIGHT_BUCKETS,
        .clock = engine->clock,
        .alloc = engine->alloc,
    };
    brisk_err err = brisk_flights_create(&flights, &engine->flights);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, engine, sizeof *engine, _Alignof(brisk_engine));
        return brisk_errinfo_set(info, err, "engine: %s", brisk_err_message(err));
    }
    engine_recycle_init(&engine->recycle, alloc);
    engine_threads_init(&engine->threads);
    engine_background_init(&engine->background);
    int failed = pthread_mutex_init(&engine->registry, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    failed = pthread_mutex_init(&engine->disk_lock, NULL);
    BRISK_ASSERT(failed == 0);
    brisk_errinfo why = {.code = BRISK_OK};
    err = create_rest(engine, &o, &why);
    if (err != BRISK_OK) {
        brisk_engine_destroy(engine);
        (void)brisk_errinfo_set(info, err, "%s",
                                why.code == err ? why.text : brisk_err_message(err));
        return err;
    }
    *ret = engine;
    return BRISK_OK;
}

void brisk_engine_destroy(brisk_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    brisk_engine_unwatch(engine);
    /* Every job is done, but a thread of ours that resumed one may still be inside the executor's
     * submit: such threads are joined first. */
    engine_threads_deinit(&engine->threads, engine->alloc);
    brisk_flights_destroy(engine->flights);
    brisk_executor_destroy(engine->executor);
    engine_taps_stop(engine);
    engine_cache_destroy(engine);
    brisk_ttl_destroy(engine->ttl);
    engine_pipeline *pipeline = atomic_load_explicit(&engine->pipelines, memory_order_acquire);
    while (pipeline != NULL) {
        engine_pipeline *next = pipeline->next;
        engine_pipeline_destroy(pipeline, engine->alloc);
        pipeline = next;
    }
    engine_config_deinit(&engine->config);
    engine_recycle_deinit(&engine->recycle);
    (void)pthread_mutex_destroy(&engine->disk_lock);
    (void)pthread_mutex_destroy(&engine->registry);
    const brisk_alloc *alloc = engine->alloc;
    alloc->release(alloc->ctx, engine, sizeof *engine, _Alignof(brisk_engine));
}

/* --- what it is made of ------------------------------------------------------------------- */

brisk_cache *brisk_engine_cache(brisk_engine *engine)
{
    return engine_cache(engine);
}

brisk_sizing *brisk_engine_sizing(brisk_engine *engine)
{
    return engine->sizing;
}

brisk_executor *brisk_engine_executor(brisk_engine *engine)
{
    return engine->executor;
}

void brisk_engine_on_job(brisk_engine *engine, void (*done)(void *ctx, const brisk_job *job),
                         void *ctx)
{
    engine->on_job = done;
    engine->on_job_ctx = ctx;
}

brisk_knobs *brisk_engine_knobs(brisk_engine *engine)
{
    return engine->config.knobs;
}

brisk_err brisk_engine_reload(brisk_engine *engine,
                              void (*changed)(void *ctx, const brisk_knob *knob), void *ctx,
                              brisk_errinfo *info)
{
    (void)pthread_mutex_lock(&engine->registry);
    brisk_err err = engine_config_reload(&engine->config, changed, ctx, info);
    (void)pthread_mutex_unlock(&engine->registry);
    return err;
}

const char *brisk_engine_cache_path(const brisk_engine *engine)
{
    return engine->cache_path;
}

void brisk_engine_read_stats(const brisk_engine *engine, brisk_engine_stats *ret)
{
    *ret = (brisk_engine_stats){
        .jobs = brisk_counter_read(&engine->jobs),
        .computed = brisk_counter_read(&engine->computed),
        .answered = brisk_counter_read(&engine->answered),
        .shared = brisk_counter_read(&engine->shared),
        .distrusted = brisk_counter_read(&engine->distrusted),
    };
}

/* --- workloads ---------------------------------------------------------------------------- */

/* Under the registry lock. */
static brisk_err register_locked(brisk_engine *engine, const brisk_workload *workload,
                                 brisk_errinfo *info)
{
    engine_pipeline *first = atomic_load_explicit(&engine->pipelines, memory_order_relaxed);
    for (const engine_pipeline *p = first; p != NULL; p = p->next) {
        if (p->workload == workload) {
            return BRISK_OK;
        }
        if (workload->name != NULL && strcmp(p->workload->name, workload->name) == 0) {
            return brisk_errinfo_set(info, BRISK_ERR_CONFLICT,
                                     "workload %s: another one of that name is registered, and "
                                     "names are part of keys",
                                     workload->name);
        }
    }
    engine_pipeline *pipeline;
    brisk_err err = engine_pipeline_create(workload, engine->alloc, &pipeline, info);
    if (err == BRISK_OK) {
        pipeline->next = first;
        /* Release: who finds the pipeline finds it complete. */
        atomic_store_explicit(&engine->pipelines, pipeline, memory_order_release);
    }
    return err;
}

brisk_err brisk_engine_register(brisk_engine *engine, const brisk_workload *workload,
                                brisk_errinfo *info)
{
    BRISK_ASSERT(workload != NULL);
    (void)pthread_mutex_lock(&engine->registry);
    brisk_err err = register_locked(engine, workload, info);
    (void)pthread_mutex_unlock(&engine->registry);
    return err;
}

brisk_err brisk_engine_load(brisk_engine *engine, const char *name, const brisk_workload **ret,
                            brisk_errinfo *info)
{
    BRISK_ASSERT(ret != NULL);
    const brisk_module *module;
    brisk_err err = brisk_module_load(name, &module, info);
    if (err != BRISK_OK) {
        return err;
    }
    (void)pthread_mutex_lock(&engine->registry);
    err = engine_config_module(&engine->config, module, info);
    if (err == BRISK_OK && module->workload != NULL) {
        err = register_locked(engine, module->workload, info);
    }
    (void)pthread_mutex_unlock(&engine->registry);
    if (err == BRISK_OK) {
        *ret = module->workload;
    }
    return err;
}
