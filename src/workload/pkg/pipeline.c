/*
 * pipeline.c -- the pkg workload: six stages, their key, the answer and the life of their state.
 *
 * The answer is the lock's text.  Its key is everything that was read: manifests, lock, registries,
 * options and the generation of the store, which changes with everything that is fetched.  An answer
 * holds until the first package in it is no longer fresh, unless nothing would be asked anyway.
 */
#include <string.h>

#include "workload/pkg/resolve.h"

static const brisk_stage stages[] = {
    {.name = "manifest_reading", .flags = BRISK_STAGE_PREPARE, .run = resolve_stage_read},
    {.name = "metadata_fetching", .after = {"manifest_reading"}, .run = resolve_stage_fetch},
    {.name = "graph_building", .after = {"metadata_fetching"}, .run = resolve_stage_build},
    {.name = "conflict_resolution", .after = {"graph_building"}, .run = resolve_stage_conflict},
    {.name = "order_optimization", .after = {"conflict_resolution"}, .run = resolve_stage_order},
    {.name = "lock_writing",
     .after = {"order_optimization"},
     .flags = BRISK_STAGE_DELIVER,
     .run = resolve_stage_write},
};

static brisk_err init(brisk_stage_ctx *ctx, void *state, const void *request)
{
    (void)ctx;
    pkg_resolve_job *job = state;
    job->request = request;
    return brisk_arena_create(NULL, &job->arena);
}

static void release(void *state)
{
    pkg_resolve_job *job = state;
    pkg_fetch_destroy(job->fetch);
    pkg_store_close(job->store);
    brisk_value_unref(job->cached);
    pkg_inputs_release(&job->own);
    brisk_arena_destroy(job->arena);
}

static brisk_err key(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder)
{
    (void)ctx;
    const pkg_resolve_job *job = state;
    const pkg_resolve_request *r = job->request;
    if (r->dry_run || job->store == NULL) {
        return BRISK_ERR_DECLINED;
    }
    brisk_key_u64(builder, "mode", r->mode);
    brisk_key_u64(builder, "before", (uint64_t)r->before_ms);
    brisk_key_u64(builder, "node major", r->node.major);
    brisk_key_u64(builder, "node minor", r->node.minor);
    brisk_key_u64(builder, "node patch", r->node.patch);
    brisk_key_bytes(builder, "node pre", r->node.prerelease.data, r->node.prerelease.size);
    brisk_key_u64(builder, "options",
                  (uint64_t)r->highest | (uint64_t)r->prereleases << 1 |
                      (uint64_t)r->legacy_peer_deps << 2 | (uint64_t)r->strict_peer_deps << 3 |
                      (uint64_t)r->prefer_dedupe << 4 | (uint64_t)r->whole_documents << 5 |
                      (uint64_t)r->flat << 6);
    brisk_key_str(builder, "store", r->store_path);
    brisk_key_u64(builder, "generation", pkg_store_generation(job->store));
    return pkg_inputs_key(job->inputs, builder);
}

/* The generation that the answer follows from is the one after fetching: then a second key. */
static brisk_err answer(brisk_stage_ctx *ctx, void *state, brisk_answer *ret)
{
    (void)ctx;
    const pkg_resolve_job *job = state;
    pkg_fetch_stats stats;
    pkg_fetch_read_stats(job->fetch, &stats);
    if (stats.requests > 0 || job->skipped_count > 0) {
        return BRISK_ERR_DECLINED; /* it belongs to a generation that the key does not name */
    }
    _Static_assert(sizeof job->facts <= BRISK_ENTRY_META_MAX, "meta data must fit");
    brisk_err err = brisk_value_copy(job->text.data, job->text.size, NULL, &ret->value);
    if (err != BRISK_OK) {
        return BRISK_ERR_DECLINED;
    }
    memcpy(ret->meta, &job->facts, sizeof job->facts);
    ret->meta_size = sizeof job->facts;
    return BRISK_OK;
}

static brisk_err accept(brisk_stage_ctx *ctx, void *state, const brisk_hit *hit)
{
    (void)ctx;
    pkg_resolve_job *job = state;
    pkg_resolve_facts facts;
    if (hit->meta_size != sizeof facts || brisk_value_data(hit->value) == NULL) {
        return BRISK_ERR_DECLINED; /* a lock of megabytes: computing is as fast */
    }
    memcpy(&facts, hit->meta, sizeof facts);
    int64_t now_ms = (int64_t)(brisk_clock_wall_ns(NULL) / 1000000);
    if (job->request->mode == PKG_FETCH_NORMAL && facts.fresh_until_ms <= now_ms) {
        return BRISK_ERR_DECLINED;
    }
    job->facts = facts;
    job->cached = brisk_value_ref(hit->value);
    job->text = (pkg_text){.data = brisk_value_data(hit->value),
                           .size = (size_t)brisk_value_size(hit->value)};
    return BRISK_OK;
}

const brisk_workload pkg_workload = {
    .name = "pkg",
    .version = PKG_WORKLOAD_VERSION,
    .entry_flags = BRISK_ENTRY_LOCAL,
    .stages = stages,
    .stage_count = sizeof stages / sizeof stages[0],
    .state_bytes = sizeof(pkg_resolve_job),
    .init = init,
    .release = release,
    .key = key,
    .answer = answer,
    .accept = accept,
};
