/*
 * pipeline.c -- the pkg workload: six stages, their key, the answer and the life of their state.
 *
 * The answer is the lock's text.  Its key is everything that was read: manifests, lock, registries,
 * options and the generation of the store, which changes with everything that is fetched.  An answer
 * holds until the first package in it is no longer fresh, unless nothing would be asked anyway; so it
 * does not depend on --offline, as only answers are kept that follow from the store as it is then: where
 * something was fetched, the key they are kept under names the generation after that.  What a git
 * repository or a tarball was looked into for is not kept: a branch moves without a generation.
 *
 * It is kept compressed by LZ4: a cache that compresses better but slower would cost more than the
 * resolution that it saves.
 */
#include <string.h>

#include <lz4.h>

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
    pkg_remote_destroy(job->remote);
    pkg_store_close(job->store);
    pkg_inputs_release(&job->own);
    brisk_arena_destroy(job->arena);
}

static brisk_err key_of(const pkg_resolve_job *job, uint64_t generation, brisk_key_builder *builder)
{
    const pkg_resolve_request *r = job->request;
    brisk_key_u64(builder, "before", (uint64_t)r->before_ms);
    brisk_key_u64(builder, "node major", r->node.major);
    brisk_key_u64(builder, "node minor", r->node.minor);
    brisk_key_u64(builder, "node patch", r->node.patch);
    brisk_key_bytes(builder, "node pre", r->node.prerelease.data, r->node.prerelease.size);
    brisk_key_u64(builder, "options",
                  (uint64_t)r->highest | (uint64_t)r->prereleases << 1 |
                      (uint64_t)r->legacy_peer_deps << 2 | (uint64_t)r->strict_peer_deps << 3 |
                      (uint64_t)r->prefer_dedupe << 4 | (uint64_t)r->whole_documents << 5 |
                      (uint64_t)r->flat << 6 | (uint64_t)r->allow_remote << 7);
    brisk_key_str(builder, "store", r->store_path);
    brisk_key_u64(builder, "generation", generation);
    return pkg_inputs_key(job->inputs, builder);
}

static brisk_err key(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder)
{
    (void)ctx;
    pkg_resolve_job *job = state;
    if (job->request->dry_run || job->store == NULL) {
        return BRISK_ERR_DECLINED;
    }
    pkg_store_stats stats;
    pkg_store_stats_of(job->store, &stats);
    job->generation = pkg_store_generation(job->store);
    if (stats.packages == 0) {
        return BRISK_ERR_DECLINED; /* everything will be asked for: there is nothing to look up */
    }
    return key_of(job, job->generation, builder);
}

/*
 * The answer follows from the store as it is after fetching.  Where its generation is more than this
 * job's own doing, somebody else has put what the answer may not have seen.
 */
static brisk_err key_after(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder)
{
    (void)ctx;
    const pkg_resolve_job *job = state;
    if (job->request->dry_run || job->store == NULL) {
        return BRISK_ERR_DECLINED;
    }
    pkg_fetch_stats stats;
    pkg_fetch_read_stats(job->fetch, &stats);
    uint64_t generation = pkg_store_generation(job->store);
    return generation == job->generation + stats.kept ? key_of(job, generation, builder)
                                                      : BRISK_ERR_DECLINED;
}

/* The text's size, then its bytes as LZ4 has them. */
static brisk_value *squeeze(pkg_text text, brisk_arena *arena)
{
    void *data;
    brisk_value *value;
    uint64_t size = text.size;
    int bound = text.size <= LZ4_MAX_INPUT_SIZE ? LZ4_compressBound((int)text.size) : 0;
    char *room = bound > 0 ? brisk_arena_alloc(arena, (size_t)bound) : NULL;
    int used = room != NULL ? LZ4_compress_default(text.data, room, (int)text.size, bound) : 0;
    if (used <= 0 ||
        brisk_value_reserve(sizeof size + (size_t)used, NULL, &data, &value) != BRISK_OK) {
        return NULL;
    }
    memcpy(data, &size, sizeof size);
    memcpy((char *)data + sizeof size, room, (size_t)used);
    return value;
}

/* False: it is none of ours. */
static bool expand(const brisk_value *value, brisk_arena *arena, pkg_text *ret)
{
    const char *data = brisk_value_data(value);
    uint64_t have = brisk_value_size(value);
    uint64_t size;
    if (data == NULL || have < sizeof size || have > INT32_MAX) {
        return false;
    }
    memcpy(&size, data, sizeof size);
    char *text = size <= PKG_LOCK_BYTES_MAX ? brisk_arena_alloc(arena, (size_t)size + 1) : NULL;
    if (text == NULL || LZ4_decompress_safe(data + sizeof size, text, (int)(have - sizeof size),
                                            (int)size) != (int)size) {
        return false;
    }
    *ret = (pkg_text){.data = text, .size = (size_t)size};
    return true;
}

static brisk_err answer(brisk_stage_ctx *ctx, void *state, brisk_answer *ret)
{
    const pkg_resolve_job *job = state;
    pkg_fetch_stats stats;
    if (brisk_stage_no_cache(ctx)) {
        return BRISK_ERR_DECLINED;
    }
    pkg_fetch_read_stats(job->fetch, &stats);
    uint64_t told = stats.from_store + stats.confirmed + stats.fetched + stats.missing;
    if (job->remote != NULL || stats.substituted > 0 || job->skipped_count > 0 ||
        told != stats.asked || pkg_fetch_missing_count(job->fetch) > 0) {
        return BRISK_ERR_DECLINED; /* it does not follow from the store alone */
    }
    _Static_assert(sizeof job->facts <= BRISK_ENTRY_META_MAX, "meta data must fit");
    ret->value = squeeze(job->text, job->arena);
    if (ret->value == NULL) {
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
    if (hit->meta_size != sizeof facts) {
        return BRISK_ERR_DECLINED;
    }
    memcpy(&facts, hit->meta, sizeof facts);
    int64_t now_ms = (int64_t)(brisk_clock_wall_ns(NULL) / 1000000);
    if (job->request->mode == PKG_FETCH_NORMAL && facts.fresh_until_ms <= now_ms) {
        return BRISK_ERR_DECLINED;
    }
    if (!expand(hit->value, job->arena, &job->text)) {
        return BRISK_ERR_DECLINED; /* a lock of many megabytes lies in a file: computing is as fast */
    }
    job->facts = facts;
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
    .key_after = key_after,
    .form = &pkg_form,
};
