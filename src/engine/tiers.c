/*
 * tiers.c -- the engine's cache: memory, then disk, then what other machines share.
 *
 * A tier that cannot be had costs its answers, never the engine: it is logged and left out.  The
 * tiers behind memory are opened when the cache is used first, so that who needs none never touches
 * a folder or the network.
 *
 * Threads: creating and destroying are the owner's; engine_cache from any thread, under disk_lock.
 */
#include "engine/internal.h"

#include <inttypes.h>
#include <string.h>

#include <brisk/log.h>
#include <brisk/memory.h>

#include "cache/stack.h"

enum { NS_PER_MS = 1000000 };

/* As far as the memory tier may grow. */
static uint64_t largest_memory(const brisk_knobs *knobs)
{
    uint64_t bytes = brisk_knobs_u64(knobs, "cache.memory.bytes");
    uint64_t most = brisk_knobs_u64(knobs, "cache.memory.max");
    return brisk_knobs_u64(knobs, "cache.target_hit_rate") != 0 && most > bytes ? most : bytes;
}

/* *ret is NULL when there is no memory for it. */
static brisk_err create_memory(brisk_engine *engine, brisk_tier **ret, brisk_errinfo *info)
{
    *ret = NULL;
    char policy[64];
    brisk_knobs_text(engine->config.knobs, "cache.memory.policy", policy, sizeof policy);
    brisk_memory_tier_opts opts = {
        .bytes_max = brisk_knobs_u64(engine->config.knobs, "cache.memory.bytes"),
        .bytes_reserve = largest_memory(engine->config.knobs),
        .entries_max = brisk_knobs_u64(engine->config.knobs, "cache.memory.entries"),
        .policy = policy,
        .clock = engine->clock,
        .alloc = engine->alloc,
    };
    brisk_err err = brisk_memory_tier_create(&opts, ret);
    if (err == BRISK_ERR_INVALID) {
        return brisk_errinfo_set(info, err, "setting 'cache.memory.policy': no policy '%s'",
                                 policy);
    }
    if (err == BRISK_ERR_NOMEM) {
        brisk_log(BRISK_LOG_WARNING, "engine",
                  "no memory tier: %" PRIu64 " bytes cannot be had; lower cache.memory.bytes",
                  opts.bytes_reserve);
        return BRISK_OK;
    }
    return err;
}

/* NULL when it cannot be opened. */
static brisk_tier *open_disk(const brisk_engine *engine)
{
    if (engine->cache_path[0] == '\0') {
        brisk_log(BRISK_LOG_WARNING, "engine",
                  "no disk tier: neither cache.disk.path nor XDG_CACHE_HOME nor HOME says where");
        return NULL;
    }
    brisk_disk_tier_opts disk = {
        .path = engine->cache_path,
        .bytes_max = engine->disk_bytes,
        .zstd_level = engine->disk_level,
        .codec = engine->disk_codec,
        .tended = true, /* background.c */
        .clock = engine->clock,
        .alloc = engine->alloc,
    };
    brisk_tier *tier = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_disk_tier_open(&disk, &tier, &info);
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "engine", "no disk tier: %s",
                  info.text[0] != '\0' ? info.text : brisk_err_message(err));
        return NULL;
    }
    return tier;
}

static brisk_breaker_opts breaker_of(const brisk_knobs *knobs)
{
    return (brisk_breaker_opts){
        .disabled = brisk_knobs_u64(knobs, "cache.breaker.enabled") == 0,
        .errors = (uint32_t)brisk_knobs_u64(knobs, "cache.breaker.errors"),
        .rate_pct = (uint32_t)brisk_knobs_u64(knobs, "cache.breaker.percent"),
        .slow_ns = brisk_knobs_u64(knobs, "cache.breaker.slow_ms") * NS_PER_MS,
        .open_ns = brisk_knobs_u64(knobs, "cache.breaker.open_ms") * NS_PER_MS,
    };
}

static brisk_err read_write(const brisk_knobs *knobs, bool *ret_behind, brisk_errinfo *info)
{
    char text[64];
    brisk_knobs_text(knobs, "cache.write", text, sizeof text);
    *ret_behind = strcmp(text, "behind") == 0;
    if (!*ret_behind && strcmp(text, "now") != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "setting 'cache.write': '%s' is neither now nor behind", text);
    }
    return BRISK_OK;
}

static brisk_err read_size_mode(const brisk_knobs *knobs, bool *ret_simple, brisk_errinfo *info)
{
    char text[64];
    brisk_knobs_text(knobs, "cache.size.mode", text, sizeof text);
    *ret_simple = strcmp(text, "rule") == 0;
    if (!*ret_simple && strcmp(text, "curve") != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "setting 'cache.size.mode': '%s' is neither curve nor rule", text);
    }
    return BRISK_OK;
}

/* Without what it needs the tier stays as large as it is. */
static void start_sizing(brisk_engine *engine, brisk_tier *memory, bool simple)
{
    const brisk_knobs *knobs = engine->config.knobs;
    brisk_sizing_opts opts = {
        .memory = memory,
        .target = (double)brisk_knobs_u64(knobs, "cache.target_hit_rate") / 100,
        .bytes_max = largest_memory(knobs),
        .entries_max = brisk_knobs_u64(knobs, "cache.memory.entries"),
        .simple = simple,
        .alloc = engine->alloc,
    };
    if (memory == NULL || opts.target <= 0) {
        return;
    }
    brisk_err err = brisk_sizing_create(&opts, &engine->sizing);
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "engine", "the memory tier stays as large as it is: %s",
                  brisk_err_message(err));
    }
}

brisk_err engine_cache_create(brisk_engine *engine, const brisk_engine_opts *opts,
                              brisk_errinfo *info)
{
    brisk_tier *memory;
    brisk_err err = create_memory(engine, &memory, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_knobs *knobs = engine->config.knobs;
    uint64_t level = brisk_knobs_u64(knobs, "cache.disk.zstd_level");
    brisk_knobs_text(knobs, "cache.disk.codec", engine->disk_codec, sizeof engine->disk_codec);
    engine->memory_tiers = memory != NULL ? 1u << 0 : 0;
    engine->disk_wanted = !opts->no_disk && brisk_knobs_u64(knobs, "cache.disk.enabled") != 0;
    engine->disk_bytes = brisk_knobs_u64(knobs, "cache.disk.bytes");
    engine->disk_level = level != 0 ? (int)level : -1;
    atomic_init(&engine->cache_open, false);
    brisk_background background = {.run = engine_background_run, .ctx = &engine->background};
    brisk_cache_opts cache = {
        .tiers = &memory,
        .tier_count = memory != NULL ? 1 : 0,
        .clock = engine->clock,
        .alloc = engine->alloc,
        .background = &background,
        .breaker = breaker_of(knobs),
    };
    bool simple = false;
    err = read_write(knobs, &cache.tiers_behind, info);
    if (err == BRISK_OK) {
        err = read_size_mode(knobs, &simple, info);
    }
    if (err == BRISK_OK) {
        err = brisk_cache_create(&cache, &engine->cache);
    }
    if (err != BRISK_OK) {
        brisk_tier_destroy(memory);
        return err;
    }
    start_sizing(engine, memory, simple);
    engine->background.memory = memory;
    engine->background.sizing = engine->sizing;
    return BRISK_OK;
}

void engine_cache_destroy(brisk_engine *engine)
{
    /* Nothing is tended any more; what the background still has, it ends. */
    engine_background_stop(&engine->background);
    brisk_cache_destroy(engine->cache);
    brisk_sizing_destroy(engine->sizing); /* after the tier, whose tap it is */
    engine_background_deinit(&engine->background);
}

/* Behind the others: the disk tier, then the tiers that other machines share. */
static void open_far(brisk_engine *engine)
{
    brisk_tier *disk = engine->disk_wanted ? open_disk(engine) : NULL;
    if (disk != NULL && cache_append(engine->cache, disk) != BRISK_OK) {
        brisk_tier_destroy(disk);
        disk = NULL;
    }
    if (disk != NULL) {
        engine->background.disk = disk;
    }
    if (disk != NULL || engine->sizing != NULL) {
        (void)engine_background_start(&engine->background);
    }
    engine_shared_open(engine);
}

bool engine_cache_open_quickly(brisk_engine *engine)
{
    if (!engine_cache_is_open(engine) && !engine->disk_wanted) {
        (void)engine_cache(engine);
    }
    return engine_cache_is_open(engine);
}

brisk_cache *engine_cache(brisk_engine *engine)
{
    if (engine_cache_is_open(engine)) {
        return engine->cache;
    }
    (void)pthread_mutex_lock(&engine->disk_lock);
    if (!engine_cache_is_open(engine)) {
        open_far(engine);
        engine_taps_start(engine);
        /* Release: who finds the cache open finds all of its tiers. */
        atomic_store_explicit(&engine->cache_open, true, memory_order_release);
    }
    (void)pthread_mutex_unlock(&engine->disk_lock);
    return engine->cache;
}
