/*
 * loader_test.h -- an origin that does as it is told, a background that a test runs by hand, and a
 * loader over a memory tier with a fake clock.
 */
#ifndef BRISK_TESTS_LOADER_TEST_H
#define BRISK_TESTS_LOADER_TEST_H

#include "support/check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <brisk/cache.h>
#include <brisk/loader.h>
#include <brisk/memory.h>

#include "base/cleanup.h"
#include "support/fake_clock.h"

#define SECOND FAKE_CLOCK_SECOND

BRISK_DEFINE_CLEANUP(brisk_loader, brisk_loader_destroy)
BRISK_DEFINE_CLEANUP(brisk_cache, brisk_cache_destroy)

/* --- a background run by hand -------------------------------------------------------------- */

enum { HAND_MAX = 64 };

typedef struct hand_queue {
    brisk_background base;
    uint32_t count, max;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } jobs[HAND_MAX];
} hand_queue;

static inline bool hand_take(void *ctx, void (*fn)(void *arg), void *arg)
{
    hand_queue *queue = ctx;
    if (queue->count == queue->max) {
        return false;
    }
    queue->jobs[queue->count].fn = fn;
    queue->jobs[queue->count++].arg = arg;
    return true;
}

static inline void hand_init(hand_queue *queue)
{
    *queue = (hand_queue){.base = {.run = hand_take, .ctx = queue}, .max = HAND_MAX};
}

static inline void hand_run(hand_queue *queue)
{
    for (uint32_t i = 0; i < queue->count; i++) {
        queue->jobs[i].fn(queue->jobs[i].arg);
    }
    queue->count = 0;
}

/* --- an origin ------------------------------------------------------------------------------ */

typedef struct origin {
    fake_clock *clock;
    uint64_t takes_ns;       /* advances the clock */
    _Atomic uint32_t loads;  /* calls */
    _Atomic uint64_t number; /* the value: 8 bytes */
    _Atomic int err;         /* answered instead when not OK */
    _Atomic bool closed;     /* loads wait until it is open */
    _Atomic uint32_t inside;
    brisk_load answer; /* copied into what load returns, but for the value */
    bool had_stale;
    uint64_t stale_number;
    void (*on_load)(struct origin *self, const brisk_key *key, brisk_load *ret);
    void *ctx;
    const brisk_alloc *alloc;
} origin;

static inline void nap(void)
{
    struct timespec ms = {.tv_nsec = 1000000};
    (void)nanosleep(&ms, NULL);
}

static inline uint64_t number_of(const brisk_value *value)
{
    uint64_t number = UINT64_MAX;
    if (brisk_value_size(value) == sizeof number) {
        memcpy(&number, brisk_value_data(value), sizeof number);
    }
    return number;
}

static inline brisk_err origin_load(void *ctx, const brisk_key *key, brisk_load *ret)
{
    origin *self = ctx;
    uint64_t number = atomic_load(&self->number); /* read first, as a slow origin does */
    (void)atomic_fetch_add(&self->loads, 1);
    (void)atomic_fetch_add(&self->inside, 1);
    while (atomic_load(&self->closed)) {
        nap();
    }
    (void)atomic_fetch_sub(&self->inside, 1);
    if (self->clock != NULL) {
        fake_clock_advance(self->clock, self->takes_ns);
    }
    if (ret->stale != NULL && self->on_load == NULL) {
        self->had_stale = true;
        self->stale_number = number_of(ret->stale->value);
    }
    brisk_err err = (brisk_err)atomic_load(&self->err);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(ret->info, err, "the origin says no");
    }
    ret->opts = self->answer.opts;
    ret->ttl_ns = self->answer.ttl_ns;
    ret->no_store = self->answer.no_store;
    ret->unchanged = self->answer.unchanged;
    ret->release = self->answer.release;
    ret->release_ctx = self->answer.release_ctx;
    if (self->on_load != NULL) {
        self->on_load(self, key, ret);
        return BRISK_OK;
    }
    return ret->unchanged ? BRISK_OK
                          : brisk_value_copy(&number, sizeof number, self->alloc, &ret->value);
}

/* --- all together ----------------------------------------------------------------------------- */

typedef struct scene {
    fake_clock clock;
    origin origin;
    hand_queue queue;
    brisk_cache *cache;
    brisk_loader *loader;
    brisk_key key;
} scene;

static inline brisk_cache *make_cache(const brisk_clock *clock, const brisk_alloc *alloc)
{
    brisk_tier *tier = NULL;
    brisk_memory_tier_opts memory = {
        .bytes_max = 1048576, .shards = 1, .clock = clock, .alloc = alloc};
    if (brisk_memory_tier_create(&memory, &tier) != BRISK_OK) {
        return NULL;
    }
    brisk_cache *cache = NULL;
    brisk_cache_opts opts = {.tiers = &tier, .tier_count = 1, .clock = clock, .alloc = alloc};
    if (brisk_cache_create(&opts, &cache) != BRISK_OK) {
        brisk_tier_destroy(tier);
    }
    return cache;
}

/* `opts` without cache, load, ctx and clock; they are set here. */
static inline void scene_init(scene *self, brisk_loader_opts opts)
{
    memset(self, 0, sizeof *self);
    fake_clock_init(&self->clock, 1000 * SECOND);
    hand_init(&self->queue);
    self->origin.clock = &self->clock;
    self->origin.number = 1;
    self->cache = make_cache(&self->clock.base, NULL);
    CHECK(self->cache != NULL);
    opts.cache = self->cache;
    opts.load = origin_load;
    opts.ctx = &self->origin;
    opts.clock = &self->clock.base;
    CHECK_OK(brisk_loader_create(&opts, &self->loader));
    self->key = brisk_key_of("key", 3);
}

static inline void scene_deinit(scene *self)
{
    brisk_loader_destroy(self->loader);
    brisk_cache_destroy(self->cache);
}

/* Ask, and check answer and where it came from. */
#define CHECK_GET(self, call, want_number, want_from)                                              \
    do {                                                                                           \
        brisk_loaded got_;                                                                         \
        CHECK_OK(brisk_loader_get((self)->loader, &(self)->key, (call), &got_));                   \
        CHECK_U64(number_of(got_.hit.value), ==, want_number);                                     \
        assert_int_equal(got_.from, want_from);                                                    \
        brisk_value_unref(got_.hit.value);                                                         \
    } while (0)

#define CHECK_GET_ERR(self, call, want_err)                                                        \
    do {                                                                                           \
        brisk_loaded got_;                                                                         \
        assert_int_equal(brisk_loader_get((self)->loader, &(self)->key, (call), &got_), want_err); \
    } while (0)

static inline brisk_loader_stats stats_of(const scene *self)
{
    brisk_loader_stats stats;
    brisk_loader_read_stats(self->loader, &stats);
    return stats;
}

#endif /* BRISK_TESTS_LOADER_TEST_H */
