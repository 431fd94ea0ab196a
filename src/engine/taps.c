/*
 * taps.c -- what listens to the requests of an engine's cache: recorder and prefetcher.
 *
 * Both are made with the first use of the cache and gone before it.  One that cannot be had is
 * logged and left out, like a tier.
 *
 *     brisk_cache_get ─► tap ─► recorder ─► file
 *                          └──► prefetcher ─► predictor ─► brisk_cache_get on a thread of its own:
 *                                             the farther tiers' answer lands in memory
 *
 * What the prefetcher asks for is no request: it is neither recorded nor learned from.
 */
#include "engine/internal.h"

#include <brisk/log.h>
#include <brisk/memory.h>

static _Thread_local bool fetching;

static void on_request(void *ctx, const brisk_request *request)
{
    const engine_taps *taps = ctx;
    if (fetching) {
        return;
    }
    if (taps->recorder != NULL) {
        brisk_recorder_tap(taps->recorder, request);
    }
    if (taps->prefetcher != NULL) {
        /* What another tier answered would have been late: for memory it is a miss. */
        brisk_prefetcher_note(taps->prefetcher, 0, request->key,
                              request->hit && request->tier == 0);
    }
}

static bool is_in_memory(void *ctx, const brisk_key *key)
{
    brisk_engine *engine = ctx;
    brisk_entry_info info;
    return brisk_memory_info(brisk_cache_tier(engine->cache, 0), key, &info) == BRISK_OK;
}

static brisk_err fetch(void *ctx, const brisk_key *key)
{
    brisk_engine *engine = ctx;
    brisk_hit hit;
    fetching = true;
    bool found = brisk_cache_get(engine->cache, key, 0, &hit);
    fetching = false;
    if (!found) {
        return BRISK_ERR_NOT_FOUND;
    }
    brisk_value_unref(hit.value);
    return BRISK_OK;
}

/* Some worker sleeps, or none was ever needed. */
static bool is_idle(void *ctx)
{
    const brisk_engine *engine = ctx;
    brisk_executor_stats stats;
    brisk_executor_read_stats(engine->executor, &stats);
    return stats.tasks_run == 0 || stats.parks > stats.wakes;
}

static void start_recorder(brisk_engine *engine)
{
    const brisk_knobs *knobs = engine->config.knobs;
    char path[ENGINE_PATH_MAX];
    brisk_knobs_text(knobs, "cache.record.path", path, sizeof path);
    if (path[0] == '\0') {
        return;
    }
    brisk_recorder_opts opts = {
        .path = path,
        .keys = brisk_knobs_u64(knobs, "cache.record.keys") != 0,
        .bytes_max = brisk_knobs_u64(knobs, "cache.record.bytes"),
        .clock = engine->clock,
        .alloc = engine->alloc,
    };
    brisk_errinfo info = {.text = ""};
    if (brisk_recorder_create(&opts, &engine->taps.recorder, &info) != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "engine", "nothing is recorded: %s", info.text);
    }
}

static void start_prefetcher(brisk_engine *engine)
{
    const brisk_knobs *knobs = engine->config.knobs;
    /* With memory alone there is nowhere to fetch from. */
    if (brisk_knobs_u64(knobs, "cache.predict.enabled") == 0 || engine->memory_tiers == 0 ||
        brisk_cache_tier_count(engine->cache) < 2) {
        return;
    }
    brisk_predictor_opts predictor = {
        .bytes_max = brisk_knobs_u64(knobs, "cache.predict.bytes"),
        .probability = (double)brisk_knobs_u64(knobs, "cache.predict.probability") / 100,
        .depth = (uint32_t)brisk_knobs_u64(knobs, "cache.predict.depth"),
        .alloc = engine->alloc,
    };
    brisk_err err = brisk_predictor_create(&predictor, &engine->taps.predictor);
    if (err == BRISK_OK) {
        brisk_prefetcher_opts opts = {
            .predictor = engine->taps.predictor,
            .ctx = engine,
            .is_cached = is_in_memory,
            .load = fetch,
            .is_idle = is_idle,
            .loads_max = (uint32_t)brisk_knobs_u64(knobs, "cache.predict.loads"),
            .alloc = engine->alloc,
        };
        err = brisk_prefetcher_create(&opts, &engine->taps.prefetcher);
    }
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "engine", "nothing is predicted: %s", brisk_err_message(err));
    }
}

void engine_taps_start(brisk_engine *engine)
{
    engine_taps *taps = &engine->taps;
    start_recorder(engine);
    start_prefetcher(engine);
    if (taps->recorder == NULL && taps->prefetcher == NULL) {
        return;
    }
    taps->on = brisk_cache_add_tap(engine->cache, on_request, taps) == BRISK_OK;
    if (!taps->on) {
        brisk_log(BRISK_LOG_WARNING, "engine", "nothing is recorded or predicted: %s",
                  "too many listen to the cache");
    }
}

void engine_taps_stop(brisk_engine *engine)
{
    engine_taps *taps = &engine->taps;
    if (taps->on) {
        brisk_cache_drop_tap(engine->cache, on_request, taps);
    }
    brisk_prefetcher_destroy(taps->prefetcher);
    brisk_predictor_destroy(taps->predictor);
    brisk_errinfo info = {.text = ""};
    if (brisk_recorder_destroy(taps->recorder, &info) != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "engine", "the recording is not whole: %s", info.text);
    }
    *taps = (engine_taps){.on = false};
}
