/*
 * lab.h -- a workload and a tier whose every move the test decides.
 *
 *     load ─► left ─┬─► finish ─► deliver          answer: "answer to <input>"
 *     PREPARE right ┘             DELIVER
 *
 * `hook` is called at every step with its name and may fail it, wait, count or cancel.
 */
#ifndef BRISK_TESTS_ENGINE_LAB_H
#define BRISK_TESTS_ENGINE_LAB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <brisk/engine.h>
#include <brisk/log.h>

#include "base/cleanup.h"
#include "engine/internal.h"
#include "support/check.h"

BRISK_DEFINE_CLEANUP(brisk_engine, brisk_engine_destroy)
BRISK_DEFINE_CLEANUP(brisk_job, brisk_job_destroy)

enum { LAB_TEXT_MAX = 64, LAB_ENTRIES_MAX = 64 };

typedef struct lab_request lab_request;
typedef brisk_err lab_hook(lab_request *request, brisk_stage_ctx *ctx, const char *where);

struct lab_request {
    const char *input;
    lab_hook *hook; /* may be NULL */
    void *ctx;
    bool blind;                /* accept believes everything; deliver looks */
    char result[LAB_TEXT_MAX]; /* what was delivered */
    _Atomic int computed;      /* runs of `left` */
    _Atomic int delivered;
    _Atomic int released;
};

typedef struct lab_state {
    lab_request *request;
    char text[LAB_TEXT_MAX];
    const char *half[2];
} lab_state;

static inline brisk_err lab_call(lab_state *state, brisk_stage_ctx *ctx, const char *where)
{
    lab_request *request = state->request;
    return request->hook != NULL ? request->hook(request, ctx, where) : BRISK_OK;
}

static inline brisk_err lab_init(brisk_stage_ctx *ctx, void *opaque, const void *request)
{
    lab_state *state = opaque;
    memcpy(&state->request, &request, sizeof request); /* the test's own, and not const there */
    return lab_call(state, ctx, "init");
}

static inline void lab_release(void *opaque)
{
    lab_state *state = opaque;
    atomic_fetch_add(&state->request->released, 1);
}

static inline brisk_err lab_load(brisk_stage_ctx *ctx, void *opaque)
{
    return lab_call(opaque, ctx, "load");
}

static inline brisk_err lab_key(brisk_stage_ctx *ctx, void *opaque, brisk_key_builder *builder)
{
    lab_state *state = opaque;
    brisk_key_str(builder, "input", state->request->input);
    return lab_call(state, ctx, "key");
}

static inline brisk_err lab_left(brisk_stage_ctx *ctx, void *opaque)
{
    lab_state *state = opaque;
    atomic_fetch_add(&state->request->computed, 1);
    state->half[0] = brisk_arena_printf(brisk_stage_arena(ctx), "answer");
    return lab_call(state, ctx, "left");
}

static inline brisk_err lab_right(brisk_stage_ctx *ctx, void *opaque)
{
    lab_state *state = opaque;
    state->half[1] = brisk_arena_printf(brisk_stage_arena(ctx), "%s", state->request->input);
    return lab_call(state, ctx, "right");
}

static inline brisk_err lab_finish(brisk_stage_ctx *ctx, void *opaque)
{
    lab_state *state = opaque;
    if (state->half[0] == NULL || state->half[1] == NULL) {
        return BRISK_ERR_NOMEM;
    }
    (void)snprintf(state->text, sizeof state->text, "%s to %s", state->half[0], state->half[1]);
    return lab_call(state, ctx, "finish");
}

static inline brisk_err lab_answer(brisk_stage_ctx *ctx, void *opaque, brisk_answer *ret)
{
    lab_state *state = opaque;
    brisk_err err = lab_call(state, ctx, "answer");
    if (err == BRISK_OK) {
        ret->meta_size = 3;
        memcpy(ret->meta, "lab", 3);
        err = brisk_value_copy(state->text, strlen(state->text), NULL, &ret->value);
    }
    return err;
}

static inline bool lab_is_right(const lab_state *state)
{
    char right[LAB_TEXT_MAX];
    (void)snprintf(right, sizeof right, "answer to %s", state->request->input);
    return strcmp(state->text, right) == 0;
}

static inline brisk_err lab_accept(brisk_stage_ctx *ctx, void *opaque, const brisk_hit *hit)
{
    lab_state *state = opaque;
    brisk_err err = lab_call(state, ctx, "accept");
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t size = brisk_value_size(hit->value);
    const void *data = brisk_value_data(hit->value);
    if (data == NULL || size >= sizeof state->text) {
        return brisk_stage_fail(ctx, BRISK_ERR_CORRUPT, "impossible size");
    }
    memcpy(state->text, data, size);
    state->text[size] = '\0';
    bool right = hit->meta_size == 3 && memcmp(hit->meta, "lab", 3) == 0 && lab_is_right(state);
    return right || state->request->blind
               ? BRISK_OK
               : brisk_stage_fail(ctx, BRISK_ERR_CORRUPT, "not an answer");
}

static inline brisk_err lab_deliver(brisk_stage_ctx *ctx, void *opaque)
{
    lab_state *state = opaque;
    brisk_err err = lab_call(state, ctx, "deliver");
    if (err == BRISK_OK && !lab_is_right(state)) {
        err = brisk_stage_fail(ctx, BRISK_ERR_CORRUPT, "does not verify");
    }
    if (err == BRISK_OK) {
        memcpy(state->request->result, state->text, sizeof state->text);
        atomic_fetch_add(&state->request->delivered, 1);
    }
    return err;
}

static const brisk_stage lab_stages[] = {
    {.name = "load", .flags = BRISK_STAGE_PREPARE, .run = lab_load},
    {.name = "left", .after = {"load"}, .run = lab_left},
    {.name = "right", .after = {"load"}, .run = lab_right},
    {.name = "finish", .after = {"left", "right"}, .run = lab_finish},
    {.name = "deliver", .after = {"finish"}, .flags = BRISK_STAGE_DELIVER, .run = lab_deliver},
};

static const brisk_workload lab = {
    .name = "lab",
    .version = 7,
    .entry_flags = BRISK_ENTRY_LOCAL,
    .stages = lab_stages,
    .stage_count = 5,
    .state_bytes = sizeof(lab_state),
    .init = lab_init,
    .release = lab_release,
    .key = lab_key,
    .answer = lab_answer,
    .accept = lab_accept,
};

/* --- a tier that fails as told ------------------------------------------------------------ */

typedef enum lab_tamper {
    LAB_HONEST = 0,
    LAB_SHORT,   /* the value lost its end */
    LAB_LONG,    /* a value far larger than what was stored */
    LAB_FLIP,    /* one bit of it changed */
    LAB_EMPTY,   /* nothing left */
    LAB_NO_META, /* the value is right, the meta data is gone */
    LAB_TAMPERS,
} lab_tamper;

typedef struct lab_entry {
    unsigned char key[1024];
    size_t key_size;
    brisk_value *value;
    uint32_t meta_size;
    unsigned char meta[BRISK_ENTRY_META_MAX];
    uint64_t cost_ns;
    uint32_t flags;
} lab_entry;

typedef struct lab_tier {
    brisk_tier base; /* first */
    pthread_mutex_t lock;
    lab_entry entries[LAB_ENTRIES_MAX];
    uint32_t count;
    brisk_err get_err;
    brisk_err put_err;
    brisk_err remove_err;
    lab_tamper tamper;
    void (*on_miss)(void *ctx); /* called once, between a lookup and what comes of it */
    void *on_miss_ctx;
    int lookups;
    int hits;
    int puts;
    int removes;
} lab_tier;

static inline lab_entry *lab_find(lab_tier *tier, const brisk_key *key)
{
    for (uint32_t i = 0; i < tier->count; i++) {
        lab_entry *entry = &tier->entries[i];
        if (entry->key_size == key->size && memcmp(entry->key, key->bytes, key->size) == 0) {
            return entry;
        }
    }
    return NULL;
}

static inline brisk_value *lab_spoil(brisk_value *value, lab_tamper tamper)
{
    char bytes[4096] = "";
    size_t size = (size_t)brisk_value_size(value);
    assert_true(size > 0 && size < sizeof bytes);
    memcpy(bytes, brisk_value_data(value), size);
    size = tamper == LAB_SHORT ? size - 1 : size;
    size = tamper == LAB_LONG ? sizeof bytes : size;
    size = tamper == LAB_EMPTY ? 0 : size;
    bytes[2] = tamper == LAB_FLIP ? (char)(bytes[2] ^ 1) : bytes[2];
    brisk_value *spoilt = NULL;
    CHECK_OK(brisk_value_copy(bytes, size, NULL, &spoilt));
    return spoilt;
}

static inline brisk_err lab_get(brisk_tier *base, const brisk_key *key, brisk_hit *ret)
{
    lab_tier *tier = (lab_tier *)base;
    pthread_mutex_lock(&tier->lock);
    tier->lookups++;
    brisk_err err = tier->get_err;
    const lab_entry *entry = err == BRISK_OK ? lab_find(tier, key) : NULL;
    err = err == BRISK_OK && entry == NULL ? BRISK_ERR_NOT_FOUND : err;
    if (err == BRISK_OK) {
        tier->hits++;
        *ret = (brisk_hit){
            .value = brisk_value_ref(entry->value),
            .flags = entry->flags,
            .tier_name = "lab",
            .cost_ns = entry->cost_ns,
            .meta_size = tier->tamper == LAB_NO_META ? 0 : entry->meta_size,
        };
        memcpy(ret->meta, entry->meta, ret->meta_size);
        if (tier->tamper != LAB_HONEST && tier->tamper != LAB_NO_META) {
            ret->value = lab_spoil(entry->value, tier->tamper);
            brisk_value_unref(entry->value);
        }
    }
    void (*on_miss)(void *ctx) = err == BRISK_ERR_NOT_FOUND ? tier->on_miss : NULL;
    if (on_miss != NULL) {
        tier->on_miss = NULL;
    }
    pthread_mutex_unlock(&tier->lock);
    if (on_miss != NULL) {
        on_miss(tier->on_miss_ctx);
    }
    return err;
}

static inline brisk_err lab_put(brisk_tier *base, const brisk_key *key, brisk_value *value,
                                const brisk_entry_opts *opts)
{
    lab_tier *tier = (lab_tier *)base;
    pthread_mutex_lock(&tier->lock);
    tier->puts++;
    brisk_err err = tier->put_err;
    if (err == BRISK_OK) {
        lab_entry *entry = lab_find(tier, key);
        if (entry == NULL) {
            assert_true(tier->count < LAB_ENTRIES_MAX && key->size <= sizeof entry->key);
            entry = &tier->entries[tier->count++];
        }
        brisk_value_unref(entry->value);
        memcpy(entry->key, key->bytes, key->size);
        entry->key_size = key->size;
        entry->value = brisk_value_ref(value);
        entry->meta_size = opts->meta_size;
        memcpy(entry->meta, opts->meta, opts->meta_size);
        entry->cost_ns = opts->cost_ns;
        entry->flags = opts->flags;
    }
    pthread_mutex_unlock(&tier->lock);
    return err;
}

static inline brisk_err lab_remove(brisk_tier *base, const brisk_key *key)
{
    lab_tier *tier = (lab_tier *)base;
    pthread_mutex_lock(&tier->lock);
    tier->removes++;
    lab_entry *entry = lab_find(tier, key);
    if (entry != NULL && tier->remove_err == BRISK_OK) {
        brisk_value_unref(entry->value);
        *entry = tier->entries[--tier->count];
        tier->entries[tier->count].value = NULL;
    }
    brisk_err err = tier->remove_err;
    pthread_mutex_unlock(&tier->lock);
    return err;
}

static inline brisk_err lab_clear(brisk_tier *base)
{
    lab_tier *tier = (lab_tier *)base;
    pthread_mutex_lock(&tier->lock);
    while (tier->count > 0) {
        tier->count--;
        brisk_value_unref(tier->entries[tier->count].value);
        tier->entries[tier->count].value = NULL;
    }
    pthread_mutex_unlock(&tier->lock);
    return BRISK_OK;
}

static inline void lab_read_stats(brisk_tier *base, brisk_tier_stats *ret)
{
    (void)base;
    *ret = (brisk_tier_stats){0};
}

static inline void lab_destroy(brisk_tier *base)
{
    (void)lab_clear(base);
    free(base);
}

static const brisk_tier_ops lab_ops = {
    .get = lab_get,
    .put = lab_put,
    .remove = lab_remove,
    .clear = lab_clear,
    .read_stats = lab_read_stats,
    .destroy = lab_destroy,
};

/* --- engines ------------------------------------------------------------------------------ */

/* No files, no disk, `workers` threads; `lab` registered. */
static inline brisk_engine *lab_engine(uint32_t workers, const brisk_clock *clock)
{
    char setting[32];
    (void)snprintf(setting, sizeof setting, "engine.workers=%u", workers);
    const char *settings[] = {setting};
    brisk_engine_opts opts = {
        .no_files = true,
        .no_disk = true,
        .settings = settings,
        .setting_count = 1,
        .clock = clock,
    };
    brisk_engine *engine = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_engine_create(&opts, &engine, &info);
    if (err != BRISK_OK) {
        fail_msg("engine: %s", info.text);
    }
    CHECK_OK(brisk_engine_register(engine, &lab, &info));
    return engine;
}

/* Put a tier of the lab in the place of the engine's own; the engine owns it. */
static inline lab_tier *lab_replace_tiers(brisk_engine *engine)
{
    lab_tier *tier = calloc(1, sizeof *tier);
    assert_non_null(tier);
    tier->base.ops = &lab_ops;
    (void)snprintf(tier->base.name, sizeof tier->base.name, "lab");
    pthread_mutex_init(&tier->lock, NULL);
    brisk_tier *tiers[] = {&tier->base};
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 1}, &cache));
    brisk_cache_destroy(engine->cache);
    engine->cache = cache;
    return tier;
}

static inline brisk_job *lab_job(brisk_engine *engine, lab_request *request,
                                 const brisk_job_opts *opts)
{
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &lab, request, opts, &job));
    return job;
}

/* Run one job and say what came of it. */
static inline brisk_err lab_run(brisk_engine *engine, lab_request *request,
                                const brisk_job_opts *opts)
{
    brisk_job *job = lab_job(engine, request, opts);
    brisk_err err = brisk_job_run(job);
    brisk_job_destroy(job);
    return err;
}

static inline brisk_stage_report lab_row(const brisk_job *job, const char *name)
{
    for (uint32_t i = 0; i < brisk_job_report_count(job); i++) {
        brisk_stage_report row = brisk_job_report(job, i);
        if (strcmp(row.name, name) == 0) {
            return row;
        }
    }
    fail_msg("no row %s", name);
    return (brisk_stage_report){0};
}

static inline brisk_engine_stats lab_stats(const brisk_engine *engine)
{
    brisk_engine_stats stats;
    brisk_engine_read_stats(engine, &stats);
    return stats;
}

/* A sink that keeps the last line, so that expected warnings do not stand in the output. */
typedef struct lab_log {
    pthread_mutex_t lock;
    char last[BRISK_LOG_LINE_MAX];
    int lines;
} lab_log;

static inline void lab_log_sink(void *ctx, brisk_log_level level, const char *area,
                                const char *line)
{
    lab_log *log = ctx;
    (void)level;
    (void)area;
    pthread_mutex_lock(&log->lock);
    (void)snprintf(log->last, sizeof log->last, "%s", line);
    log->lines++;
    pthread_mutex_unlock(&log->lock);
}

#endif /* BRISK_TESTS_ENGINE_LAB_H */
