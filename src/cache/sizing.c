/*
 * sizing.c -- tap, curve and sizer of one memory tier, see <brisk/sizing.h>.
 *
 * Until the curve has seen every entry about once it knows only first uses, and would advise a size
 * for nothing but these: so looks are at least as many requests apart as there are entries, and the
 * first one changes nothing.
 *
 * Threads: `lock` is over everything but the options that never change.  It is a leaf: the tier is
 * asked and resized without it, by whoever holds `tending`.
 */
#include <brisk/sizing.h>

#include <pthread.h>
#include <string.h>

#include <brisk/memory.h>
#include <brisk/mrc.h>

#include "base/assert.h"

enum {
    KEYS_MAX = 4096,
    PANEL_KEYS_MAX = 512, /* eight times as many cost 70 ns a get of a busy server */
    ONE_IN = 16,
    ONE_IN_LARGE = 64, /* 4096 keys are followed of 262,144 or more: one in 64 is no coarser */
    LOOKS_IDLE = 1,    /* before the first change */
    REQUESTS_MIN = 4096,
};

static const uint64_t small_bytes = UINT64_C(32) << 20;
static const uint64_t large_bytes = UINT64_C(1) << 30;
static const uint64_t bytes_min = UINT64_C(1) << 20;
static const uint64_t half_life = UINT64_C(1) << 22;

/* Simulated in small, to be compared with each other. */
static const char *const simulated[] = {"lru", "s3fifo", "wtinylfu", "lirs"};
enum { SIMULATED = sizeof simulated / sizeof simulated[0] };

struct brisk_sizing {
    const brisk_alloc *alloc;
    brisk_sizing_opts opts; /* target, bytes_max and simple under the lock */
    pthread_mutex_t lock;
    bool tending;
    brisk_mrc *curve; /* LRU */
    brisk_mrc *panel; /* the others */
    brisk_sizer sizer;
    uint64_t seen;        /* by the tap */
    uint64_t hits_before; /* the tier's, at the last look */
    uint64_t misses_before;
    uint64_t looks;
    uint64_t resizes;
    char text[BRISK_SIZER_TEXT_MAX];
};

static void on_get(void *ctx, uint32_t hash, bool hit)
{
    brisk_sizing *sizing = ctx;
    (void)hit;
    (void)pthread_mutex_lock(&sizing->lock);
    brisk_mrc_sampled(sizing->curve, hash, sizing->opts.one_in);
    brisk_mrc_sampled(sizing->panel, hash, sizing->opts.one_in);
    sizing->seen += sizing->opts.one_in;
    (void)pthread_mutex_unlock(&sizing->lock);
}

static brisk_tier_stats stats_of(const brisk_sizing *sizing)
{
    brisk_tier_stats stats;
    sizing->opts.memory->ops->read_stats(sizing->opts.memory, &stats);
    return stats;
}

/* A tier with many shards has a least size that only it knows. */
static brisk_err resize(const brisk_sizing *sizing, uint64_t bytes, uint64_t bytes_max)
{
    const brisk_sizing_opts *opts = &sizing->opts;
    for (;;) {
        brisk_err err = opts->resize != NULL
                            ? opts->resize(opts->ctx, bytes)
                            : brisk_memory_resize(opts->memory, bytes, opts->entries_max);
        if (err != BRISK_ERR_INVALID || bytes >= bytes_max) {
            return err;
        }
        bytes = bytes < bytes_max / 2 ? 2 * bytes : bytes_max;
    }
}

/* Target and limit as a sizer that resizes nothing; the caller does, without the lock. */
static brisk_err init_sizer(brisk_sizer *sizer, double target, uint64_t bytes_max, bool simple)
{
    brisk_sizer_opts opts = {
        .target = target,
        .bytes_min = bytes_max < bytes_min ? bytes_max : bytes_min,
        .bytes_max = bytes_max,
        .simple = simple,
    };
    return brisk_sizer_init(sizer, &opts);
}

static brisk_err create_curves(brisk_sizing *sizing)
{
    brisk_mrc_opts opts = {.keys_max = KEYS_MAX, .half_life = half_life, .alloc = sizing->alloc};
    brisk_err err = brisk_mrc_create(&opts, &sizing->curve);
    if (err == BRISK_OK) {
        opts.keys_max = PANEL_KEYS_MAX;
        opts.policies = simulated;
        opts.policy_count = SIMULATED;
        err = brisk_mrc_create(&opts, &sizing->panel);
    }
    if (err != BRISK_OK) {
        brisk_mrc_destroy(sizing->curve);
    }
    return err;
}

static void release(brisk_sizing *sizing)
{
    sizing->alloc->release(sizing->alloc->ctx, sizing, sizeof *sizing, _Alignof(brisk_sizing));
}

static uint32_t sample_of(uint64_t bytes_max)
{
    return bytes_max < small_bytes ? 1 : bytes_max < large_bytes ? ONE_IN : ONE_IN_LARGE;
}

brisk_err brisk_sizing_create(const brisk_sizing_opts *opts, brisk_sizing **ret)
{
    BRISK_ASSERT(opts->memory != NULL);
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_sizing *sizing = alloc->acquire(alloc->ctx, sizeof *sizing, _Alignof(brisk_sizing));
    if (sizing == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *sizing = (brisk_sizing){.alloc = alloc, .opts = *opts};
    brisk_tier_stats stats = stats_of(sizing);
    sizing->hits_before = stats.hits;
    sizing->misses_before = stats.misses;
    brisk_sizing_opts *o = &sizing->opts;
    o->bytes_max = o->bytes_max != 0 ? o->bytes_max : stats.bytes_max;
    o->one_in = o->one_in != 0 ? o->one_in : sample_of(o->bytes_max);
    o->requests_min = o->requests_min != 0 ? o->requests_min : REQUESTS_MIN;
    brisk_err err = init_sizer(&sizing->sizer, o->target, o->bytes_max, o->simple);
    if (err == BRISK_OK) {
        err = create_curves(sizing);
    }
    if (err != BRISK_OK) {
        release(sizing);
        return err;
    }
    int failed = pthread_mutex_init(&sizing->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail on Linux */
    brisk_memory_set_tap(o->memory, o->one_in, on_get, sizing);
    *ret = sizing;
    return BRISK_OK;
}

void brisk_sizing_destroy(brisk_sizing *sizing)
{
    if (sizing != NULL) {
        brisk_mrc_destroy(sizing->curve);
        brisk_mrc_destroy(sizing->panel);
        (void)pthread_mutex_destroy(&sizing->lock);
        release(sizing);
    }
}

brisk_err brisk_sizing_set(brisk_sizing *sizing, double target, uint64_t max, bool simple)
{
    brisk_sizer sizer;
    brisk_err err = init_sizer(&sizer, target, max, simple);
    if (err == BRISK_OK) {
        (void)pthread_mutex_lock(&sizing->lock);
        sizing->sizer = sizer;
        sizing->opts.target = target;
        sizing->opts.bytes_max = max;
        sizing->opts.simple = simple;
        sizing->text[0] = '\0';
        (void)pthread_mutex_unlock(&sizing->lock);
    }
    return err;
}

/* Enough has happened since the last look, and nobody else looks. */
static bool begin_look(brisk_sizing *sizing, const brisk_tier_stats *stats)
{
    uint64_t asked = stats->hits + stats->misses - sizing->hits_before - sizing->misses_before;
    uint64_t wanted =
        stats->entries > sizing->opts.requests_min ? stats->entries : sizing->opts.requests_min;
    bool due = sizing->opts.target > 0 && !sizing->tending && asked >= wanted;
    sizing->tending = sizing->tending || due;
    return due;
}

static brisk_sizer_state state_of(const brisk_sizing *sizing, const brisk_tier_stats *stats)
{
    return (brisk_sizer_state){
        .bytes = stats->bytes_max,
        .bytes_used = stats->bytes,
        .entries = stats->entries,
        .hits = stats->hits - sizing->hits_before,
        .misses = stats->misses - sizing->misses_before,
        .curve = sizing->curve,
    };
}

typedef struct wish {
    uint64_t bytes; /* 0: none */
} wish;

static brisk_err note_wish(void *ctx, uint64_t bytes)
{
    wish *wanted = ctx;
    wanted->bytes = bytes;
    return BRISK_OK;
}

/* Under the lock: what the sizer wants; 0: as it is. */
static uint64_t look(brisk_sizing *sizing, const brisk_tier_stats *stats)
{
    wish wanted = {0};
    brisk_sizer_state state = state_of(sizing, stats);
    brisk_sizer_advice advice;
    if (sizing->looks >= LOOKS_IDLE) {
        sizing->sizer.opts_.resize = note_wish;
        sizing->sizer.opts_.ctx = &wanted;
    }
    brisk_err err = brisk_sizer_step(&sizing->sizer, &state, &advice);
    sizing->sizer.opts_.resize = NULL;
    if (err == BRISK_OK) {
        memcpy(sizing->text, advice.text, sizeof sizing->text);
    }
    sizing->looks++;
    sizing->hits_before = stats->hits;
    sizing->misses_before = stats->misses;
    return wanted.bytes;
}

bool brisk_sizing_tend(brisk_sizing *sizing)
{
    brisk_tier_stats stats = stats_of(sizing);
    (void)pthread_mutex_lock(&sizing->lock);
    uint64_t bytes = 0;
    uint64_t bytes_max = sizing->opts.bytes_max;
    bool looking = begin_look(sizing, &stats);
    if (looking) {
        bytes = look(sizing, &stats);
    }
    (void)pthread_mutex_unlock(&sizing->lock);
    if (!looking) {
        return false;
    }
    bool done = bytes != 0 && resize(sizing, bytes, bytes_max) == BRISK_OK;
    (void)pthread_mutex_lock(&sizing->lock);
    sizing->resizes += done;
    sizing->tending = false;
    (void)pthread_mutex_unlock(&sizing->lock);
    return done;
}

void brisk_sizing_read(brisk_sizing *sizing, brisk_sizing_report *ret)
{
    brisk_tier_stats stats = stats_of(sizing);
    (void)pthread_mutex_lock(&sizing->lock);
    *ret = (brisk_sizing_report){
        .target = sizing->opts.target,
        .bytes_max = sizing->opts.bytes_max,
        .requests = sizing->seen,
        .keys = sizing->seen != 0 ? brisk_mrc_keys(sizing->curve) : 0,
        .one_in = sizing->seen != 0 ? brisk_mrc_one_in(sizing->curve) : sizing->opts.one_in,
        .entries = stats.entries,
        .bytes = stats.bytes,
        .size = stats.bytes_max,
        .looks = sizing->looks,
        .resizes = sizing->resizes,
    };
    memcpy(ret->text, sizing->text, sizeof ret->text);
    (void)pthread_mutex_unlock(&sizing->lock);
}

brisk_err brisk_sizing_advise(brisk_sizing *sizing, double target, const char *policy,
                              brisk_sizer_advice *ret)
{
    brisk_tier_stats stats = stats_of(sizing);
    brisk_sizer sizer;
    (void)pthread_mutex_lock(&sizing->lock);
    brisk_err err = init_sizer(&sizer, target, sizing->opts.bytes_max, false);
    if (err == BRISK_OK) {
        brisk_sizer_state state = state_of(sizing, &stats);
        state.curve = policy != NULL ? sizing->panel : sizing->curve;
        state.policy = policy;
        err = brisk_sizer_step(&sizer, &state, ret);
    }
    (void)pthread_mutex_unlock(&sizing->lock);
    return err;
}

double brisk_sizing_miss_ratio(brisk_sizing *sizing, const char *policy, uint64_t entries)
{
    (void)pthread_mutex_lock(&sizing->lock);
    double ratio = policy == NULL ? brisk_mrc_lru(sizing->curve, entries)
                                  : brisk_mrc_policy(sizing->panel, policy, entries);
    (void)pthread_mutex_unlock(&sizing->lock);
    return ratio;
}

const char *brisk_sizing_policy(uint32_t index)
{
    return index < SIMULATED ? simulated[index] : NULL;
}
