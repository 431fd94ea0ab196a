/*
 * test_loader_race.c -- a far tier with a gate against an origin with a gate: who is first wins.
 */
#include "cache/loader_test.h"

#include "support/fault_alloc.h"

/* Far: answers from one value, when its gate is open. */
typedef struct far_tier {
    brisk_tier base;
    _Atomic bool closed;
    _Atomic uint32_t asked;
    _Atomic uint32_t inside;
    _Atomic uint32_t puts;
    pthread_mutex_t lock;
    brisk_value *value; /* NULL: a miss */
    uint32_t flags;
    uint64_t expires_at_ns;
} far_tier;

static brisk_err far_get(brisk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    far_tier *self = (far_tier *)tier;
    (void)key;
    (void)atomic_fetch_add(&self->asked, 1);
    (void)atomic_fetch_add(&self->inside, 1);
    while (atomic_load(&self->closed)) {
        nap();
    }
    (void)atomic_fetch_sub(&self->inside, 1);
    (void)pthread_mutex_lock(&self->lock);
    brisk_err err = self->value != NULL ? BRISK_OK : BRISK_ERR_NOT_FOUND;
    if (err == BRISK_OK) {
        *ret = (brisk_hit){.value = brisk_value_ref(self->value),
                           .flags = self->flags,
                           .expires_at_ns = self->expires_at_ns};
    }
    (void)pthread_mutex_unlock(&self->lock);
    return err;
}

static void set_far(far_tier *self, brisk_value *value, const brisk_entry_opts *opts)
{
    (void)pthread_mutex_lock(&self->lock);
    brisk_value *old = self->value;
    self->value = value;
    self->flags = opts != NULL ? opts->flags : 0;
    self->expires_at_ns = opts != NULL ? opts->expires_at_ns : 0;
    (void)pthread_mutex_unlock(&self->lock);
    brisk_value_unref(old);
}

static brisk_err far_put(brisk_tier *tier, const brisk_key *key, brisk_value *value,
                         const brisk_entry_opts *opts)
{
    far_tier *self = (far_tier *)tier;
    (void)key;
    (void)atomic_fetch_add(&self->puts, 1);
    set_far(self, brisk_value_ref(value), opts);
    return BRISK_OK;
}

static brisk_err far_remove(brisk_tier *tier, const brisk_key *key)
{
    (void)key;
    set_far((far_tier *)tier, NULL, NULL);
    return BRISK_OK;
}

static brisk_err far_clear(brisk_tier *tier)
{
    set_far((far_tier *)tier, NULL, NULL);
    return BRISK_OK;
}

static void far_read_stats(brisk_tier *tier, brisk_tier_stats *ret)
{
    (void)tier;
    *ret = (brisk_tier_stats){0};
}

static void far_destroy(brisk_tier *tier)
{
    far_tier *self = (far_tier *)tier;
    set_far(self, NULL, NULL);
    (void)pthread_mutex_destroy(&self->lock);
}

static const brisk_tier_ops far_ops = {
    .get = far_get,
    .put = far_put,
    .remove = far_remove,
    .clear = far_clear,
    .read_stats = far_read_stats,
    .destroy = far_destroy,
};

typedef struct race {
    origin origin;
    far_tier far;
    brisk_cache *cache;
    brisk_loader *loader;
    brisk_key key;
} race;

static void race_init(race *r, brisk_loader_opts opts)
{
    *r = (race){.key = brisk_key_of("key", 3), .origin.number = 1};
    r->far = (far_tier){.base = {.ops = &far_ops, .name = "far"}};
    CHECK(pthread_mutex_init(&r->far.lock, NULL) == 0);
    brisk_tier *tiers[2] = {NULL, &r->far.base};
    CHECK_OK(brisk_memory_tier_create(&(brisk_memory_tier_opts){.bytes_max = 1048576, .shards = 1},
                                      &tiers[0]));
    brisk_cache_opts cache = {.tiers = tiers, .tier_count = 2, .breaker = {.disabled = true}};
    CHECK_OK(brisk_cache_create(&cache, &r->cache));
    opts.cache = r->cache;
    opts.load = opts.load != NULL ? opts.load : origin_load;
    opts.ctx = &r->origin;
    opts.race_tiers = 1u << 1;
    CHECK_OK(brisk_loader_create(&opts, &r->loader));
}

static void race_deinit(race *r)
{
    atomic_store(&r->far.closed, false);
    brisk_loader_destroy(r->loader);
    brisk_cache_destroy(r->cache);
}

static void fill_far(race *r, uint64_t number, uint32_t flags)
{
    brisk_value *value;
    CHECK_OK(brisk_value_copy(&number, sizeof number, NULL, &value));
    set_far(&r->far, value, &(brisk_entry_opts){.flags = flags});
}

static void check_get(race *r, uint32_t flags, uint64_t number, brisk_loaded_from from)
{
    brisk_loaded got;
    CHECK_OK(brisk_loader_get(r->loader, &r->key, &(brisk_loader_call){.flags = flags}, &got));
    CHECK_U64(number_of(got.hit.value), ==, number);
    assert_int_equal(got.from, from);
    brisk_value_unref(got.hit.value);
}

static brisk_loader_stats race_stats(const race *r)
{
    brisk_loader_stats stats;
    brisk_loader_read_stats(r->loader, &stats);
    return stats;
}

static void wait_until(const _Atomic uint32_t *word, uint32_t value)
{
    for (int i = 0; i < 10000 && atomic_load(word) != value; i++) {
        nap();
    }
    CHECK_U64(atomic_load(word), ==, value);
}

static void test_the_load_wins_against_a_tier_that_hangs(void **unused)
{
    (void)unused;
    race r;
    race_init(&r, (brisk_loader_opts){.ttl_ns = 0});
    fill_far(&r, 2, 0);
    atomic_store(&r.far.closed, true);
    check_get(&r, 0, 1, BRISK_LOADED_HERE);
    CHECK(race_stats(&r).race_loads == 1 && race_stats(&r).race_tiers == 0);
    atomic_store(&r.far.closed, false);
    wait_until(&r.far.inside, 0);
    check_get(&r, 0, 1, BRISK_LOADED_CACHE);    /* what came late brings nothing old back */
    CHECK_U64(atomic_load(&r.far.puts), ==, 1); /* stored there, too */
    race_deinit(&r);
}

/* Loads until the far tier has answered. */
static brisk_err patient_load(void *ctx, const brisk_key *key, brisk_load *ret)
{
    origin *self = ctx;
    (void)key;
    (void)atomic_fetch_add(&self->loads, 1);
    for (int i = 0; i < 10000 && !brisk_load_is_lost(ret); i++) {
        nap();
    }
    return brisk_load_is_lost(ret) ? BRISK_ERR_CANCELLED : BRISK_ERR_IO;
}

static void *open_soon(void *ctx)
{
    race *r = ctx;
    wait_until(&r->far.inside, 1);
    wait_until(&r->origin.loads, 1);
    atomic_store(&r->far.closed, false);
    return NULL;
}

static void test_the_tier_wins_and_the_load_is_told(void **unused)
{
    (void)unused;
    race r;
    pthread_t thread;
    race_init(&r, (brisk_loader_opts){.load = patient_load});
    fill_far(&r, 2, 0);
    atomic_store(&r.far.closed, true);
    CHECK(pthread_create(&thread, NULL, open_soon, &r) == 0);
    check_get(&r, 0, 2, BRISK_LOADED_CACHE);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(race_stats(&r).race_tiers == 1 && race_stats(&r).race_loads == 0);
    CHECK(race_stats(&r).load_errors == 0);
    check_get(&r, 0, 2, BRISK_LOADED_CACHE);
    CHECK_U64(atomic_load(&r.far.asked), ==, 1); /* promoted */
    CHECK_U64(atomic_load(&r.far.puts), ==, 0);
    race_deinit(&r);
}

static void test_a_head_start_saves_the_load(void **unused)
{
    (void)unused;
    race r;
    race_init(&r, (brisk_loader_opts){.race_start_ns = 60 * SECOND});
    fill_far(&r, 2, 0);
    check_get(&r, 0, 2, BRISK_LOADED_CACHE);
    CHECK_U64(atomic_load(&r.origin.loads), ==, 0);
    CHECK_OK(brisk_cache_clear(r.cache));
    check_get(&r, 0, 1, BRISK_LOADED_HERE); /* a miss ends the head start */
    CHECK_U64(atomic_load(&r.far.asked), ==, 2);
    race_deinit(&r);
}

static void test_what_the_tier_has_helps_where_loading_fails(void **unused)
{
    (void)unused;
    race r;
    race_init(&r, (brisk_loader_opts){.ttl_ns = 0});
    atomic_store(&r.origin.err, BRISK_ERR_IO);
    brisk_loaded got;
    CHECK(brisk_loader_get(r.loader, &r.key, NULL, &got) == BRISK_ERR_IO);
    fill_far(&r, 2, 0);
    check_get(&r, 0, 2, BRISK_LOADED_CACHE);
    CHECK_OK(brisk_cache_clear(r.cache));
    fill_far(&r, 0, BRISK_ENTRY_NEGATIVE); /* "there is none" is an answer */
    CHECK(brisk_loader_get(r.loader, &r.key, NULL, &got) == BRISK_ERR_NOT_FOUND);
    race_deinit(&r);
}

static void test_busy_threads_delay_nobody(void **unused)
{
    (void)unused;
    race r;
    race_init(&r, (brisk_loader_opts){.race_threads = 1, .race_start_ns = 1});
    atomic_store(&r.far.closed, true);
    check_get(&r, 0, 1, BRISK_LOADED_HERE); /* its thread hangs in the tier */
    brisk_key other = brisk_key_of("other", 5);
    brisk_loaded got;
    CHECK_OK(brisk_loader_get(r.loader, &other, NULL, &got));
    brisk_value_unref(got.hit.value);
    CHECK_U64(race_stats(&r).race_full, ==, 1);
    CHECK_U64(atomic_load(&r.far.asked), <=, 1); /* the first one's thread, when it gets there */
    race_deinit(&r);
}

static void test_reload_and_cached_do_not_race(void **unused)
{
    (void)unused;
    race r;
    race_init(&r, (brisk_loader_opts){.race_start_ns = 60 * SECOND});
    fill_far(&r, 2, 0);
    check_get(&r, BRISK_CALL_RELOAD, 1, BRISK_LOADED_HERE);
    CHECK_U64(atomic_load(&r.far.asked), ==, 0);
    CHECK_OK(brisk_cache_clear(r.cache));
    fill_far(&r, 3, 0);
    check_get(&r, BRISK_CALL_CACHED, 3, BRISK_LOADED_CACHE);
    CHECK(atomic_load(&r.far.asked) == 1 && race_stats(&r).race_tiers == 0);
    race_deinit(&r);
}

enum { THREADS = 6, ROUNDS = 300 };

typedef struct runner {
    pthread_t thread;
    race *race;
    uint64_t seed;
    int bad;
} runner;

static void *run(void *ctx)
{
    runner *self = ctx;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t n = check_random(&self->seed) % 8;
        brisk_key key = brisk_key_of(&n, sizeof n);
        brisk_loaded got;
        if (n == 7) {
            self->bad += brisk_loader_remove(self->race->loader, &key) != BRISK_OK;
        } else if (brisk_loader_get(self->race->loader, &key, NULL, &got) == BRISK_OK) {
            self->bad += number_of(got.hit.value) != 1;
            brisk_value_unref(got.hit.value);
        } else {
            self->bad++;
        }
        if (check_random(&self->seed) % 16 == 0) {
            self->bad += brisk_cache_clear(self->race->cache) != BRISK_OK;
        }
    }
    return NULL;
}

static void test_many_races(void **unused)
{
    (void)unused;
    uint64_t seed = check_seed();
    runner runners[THREADS];
    race r;
    race_init(&r, (brisk_loader_opts){.race_threads = 2});
    for (int i = 0; i < THREADS; i++) {
        runners[i] = (runner){.race = &r, .seed = check_random(&seed)};
        CHECK(pthread_create(&runners[i].thread, NULL, run, &runners[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(runners[i].thread, NULL) == 0);
        CHECK(runners[i].bad == 0);
    }
    brisk_loader_stats stats = race_stats(&r);
    CHECK(stats.race_loads + stats.race_tiers + stats.race_full > 0);
    race_deinit(&r);
}

static void test_options_and_memory(void **unused)
{
    (void)unused;
    race r;
    race_init(&r, (brisk_loader_opts){.ttl_ns = 0});
    brisk_loader *loader = NULL;
    brisk_loader_opts opts = {.cache = r.cache,
                              .load = origin_load,
                              .ctx = &r.origin,
                              .race_tiers = 2,
                              .race_threads = BRISK_RACE_THREADS_MAX + 1};
    CHECK(brisk_loader_create(&opts, &loader) == BRISK_ERR_INVALID);
    opts.race_threads = 0;
    bool all = false;
    for (uint64_t fail_after = 0; !all; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        opts.alloc = &fault.base;
        brisk_err err = brisk_loader_create(&opts, &loader);
        if (err == BRISK_OK) {
            brisk_loaded got;
            CHECK_OK(brisk_cache_clear(r.cache));
            CHECK_OK(brisk_loader_get(loader, &r.key, NULL, &got)); /* without a race, if need be */
            brisk_value_unref(got.hit.value);
            brisk_loader_destroy(loader);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
        all = err == BRISK_OK && fault.fail_after <= fail_after;
    }
    race_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_load_wins_against_a_tier_that_hangs),
        cmocka_unit_test(test_the_tier_wins_and_the_load_is_told),
        cmocka_unit_test(test_a_head_start_saves_the_load),
        cmocka_unit_test(test_what_the_tier_has_helps_where_loading_fails),
        cmocka_unit_test(test_busy_threads_delay_nobody),
        cmocka_unit_test(test_reload_and_cached_do_not_race),
        cmocka_unit_test(test_many_races),
        cmocka_unit_test(test_options_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
