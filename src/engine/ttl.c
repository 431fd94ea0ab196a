/*
 * ttl.c -- knobs cache.ttl.*: lives of answers that loaders put into the engine's cache.
 *
 * Jobs need none: their keys contain all that their answers depend on.  A loader over the engine's
 * cache loads what changes by itself, and asks here how long to believe it (brisk/ttl.h).
 *
 * Threads: creating and destroying are the owner's; the rest from any.
 */
#include "engine/internal.h"

#include <string.h>

enum { MODE_TEXT_MAX = 32 };

static const struct {
    const char *name;
    brisk_ttl_mode mode;
} modes[] = {
    {"adaptive", BRISK_TTL_ADAPTIVE},
    {"fixed", BRISK_TTL_FIXED},
    {"use", BRISK_TTL_USE},
    {"hit_rate", BRISK_TTL_HIT_RATE},
};

static bool find_mode(const char *name, brisk_ttl_mode *ret)
{
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(modes[i].name, name) == 0) {
            *ret = modes[i].mode;
            return true;
        }
    }
    return false;
}

brisk_err engine_ttl_create(brisk_engine *engine, brisk_errinfo *info)
{
    const brisk_knobs *knobs = engine->config.knobs;
    char mode[MODE_TEXT_MAX];
    brisk_knobs_text(knobs, "cache.ttl.mode", mode, sizeof mode);
    if (strcmp(mode, "off") == 0) {
        return BRISK_OK;
    }
    brisk_ttl_opts opts = {
        .staleness = (double)brisk_knobs_u64(knobs, "cache.ttl.staleness") / 1000,
        .min_ns = brisk_knobs_u64(knobs, "cache.ttl.min"),
        .max_ns = brisk_knobs_u64(knobs, "cache.ttl.max"),
        .first_ns = brisk_knobs_u64(knobs, "cache.ttl.first"),
        .bytes_max = brisk_knobs_u64(knobs, "cache.ttl.bytes"),
        .clock = engine->clock,
        .alloc = engine->alloc,
    };
    if (!find_mode(mode, &opts.mode)) {
        return brisk_errinfo_set(
            info, BRISK_ERR_INVALID,
            "setting 'cache.ttl.mode': '%s' is none of off, adaptive, fixed, use and hit_rate",
            mode);
    }
    if (opts.min_ns > opts.max_ns) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "setting 'cache.ttl.min': is above cache.ttl.max");
    }
    return brisk_ttl_create(&opts, &engine->ttl);
}

brisk_ttl *brisk_engine_ttl(brisk_engine *engine)
{
    return engine->ttl;
}

brisk_err brisk_engine_loader(brisk_engine *engine, const brisk_loader_opts *opts,
                              brisk_loader **ret)
{
    brisk_loader_opts o = *opts;
    o.cache = engine_cache(engine);
    o.ttl = o.ttl != NULL || o.ttl_ns != 0 ? o.ttl : engine->ttl;
    o.clock = o.clock != NULL ? o.clock : engine->clock;
    o.alloc = o.alloc != NULL ? o.alloc : engine->alloc;
    return brisk_loader_create(&o, ret);
}
