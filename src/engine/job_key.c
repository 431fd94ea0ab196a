/*
 * job_key.c -- under which key a job looks for its answer, and under which it keeps one.
 *
 * They are the same unless the workload has key_after: then the first names what is known before
 * computing, the second what computing has made of it.
 *
 * Threads: whoever has the job.
 */
#include "engine/internal.h"

/* What `ask` says, behind what every key of the workload begins with. */
static brisk_err build_key(brisk_job *job,
                           brisk_err (*ask)(brisk_stage_ctx *ctx, void *state,
                                            brisk_key_builder *builder),
                           brisk_key_builder *builder, brisk_key *ret)
{
    brisk_key_builder_init(builder, brisk_arena_as_alloc(job->main.arena), job->workload->name);
    brisk_key_u64(builder, "engine", ENGINE_FORMAT);
    brisk_key_u64(builder, "version", job->workload->version);
    engine_thread_enter();
    brisk_err err = ask(&job->main, job->state, builder);
    engine_thread_leave();
    return err == BRISK_OK ? brisk_key_builder_finish(builder, ret) : err;
}

brisk_err engine_job_key(brisk_job *job)
{
    if (job->keyed || job->uncached) {
        return BRISK_OK;
    }
    if (job->workload->key == NULL || job->opts.no_cache) {
        job->uncached = true;
        return BRISK_OK;
    }
    brisk_err err = build_key(job, job->workload->key, &job->builder, &job->key);
    if (err == BRISK_ERR_DECLINED) {
        job->uncached = true;
        return BRISK_OK;
    }
    job->keyed = err == BRISK_OK;
    return err;
}

static void store(brisk_job *job, const brisk_key *key)
{
    brisk_engine *engine = job->engine;
    engine_record *record = &job->store;
    brisk_cache *cache = engine_cache(engine);
    if (brisk_cache_tier_count(cache) == 0) {
        return;
    }
    brisk_entry_opts opts = {
        .flags = job->hit.flags,
        .meta_size = job->hit.meta_size,
        .meta = job->hit.meta,
        .cost_ns = job->hit.cost_ns,
        .tiers = job->opts.tiers,
    };
    record->ran = true;
    record->worker = brisk_executor_current_worker(engine->executor);
    uint32_t span =
        brisk_trace_begin(job->trace, ENGINE_STORE_NAME, job->main.span, record->worker);
    record->start_ns = brisk_clock_now_ns(engine->clock);
    brisk_cache_put(cache, key, job->hit.value, &opts);
    record->end_ns = brisk_clock_now_ns(engine->clock);
    atomic_store_explicit(&record->bytes, brisk_value_size(job->hit.value), memory_order_relaxed);
    brisk_trace_add_bytes(job->trace, span, brisk_value_size(job->hit.value));
    brisk_trace_end(job->trace, span);
}

void engine_job_store(brisk_job *job)
{
    if (job->workload->key_after == NULL) {
        if (job->keyed && !job->store_off) {
            store(job, &job->key);
        }
        return;
    }
    if (job->opts.no_cache) {
        return;
    }
    brisk_key_builder builder;
    brisk_key after;
    if (build_key(job, job->workload->key_after, &builder, &after) == BRISK_OK) {
        store(job, &after);
    }
    brisk_key_builder_deinit(&builder);
}
