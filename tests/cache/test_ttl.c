/*
 * Lives of entries: the arithmetic against sums, and what is chosen for keys that are hot, cold,
 * unchanged and changing.
 */
#include <math.h>
#include <string.h>

#include <brisk/rng.h>
#include <brisk/ttl.h>

#include "base/thread.h"
#include "cache/ttl_model.h"
#include "support/check.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

#define SECOND FAKE_CLOCK_SECOND

static ttl_belief only(uint32_t rate)
{
    ttl_belief belief = {{0}};
    belief.weights[rate] = 1;
    return belief;
}

/* stale() against the plain sum, best life against a search over all of them. */
static void test_model_against_sums(void **state)
{
    (void)state;
    for (uint32_t rate = 0; rate < TTL_RATES; rate++) {
        ttl_belief belief = only(rate);
        double change = ttl_model_rate(rate);
        for (double life = 0.5; life < 1e5; life *= 7) {
            double sum = 0;
            for (uint32_t i = 0; i < 20000; i++) {
                sum += -expm1(-change * life * (i + 0.5) / 20000) * life / 20000;
            }
            double stale = ttl_model_stale(&belief, 3, life);
            CHECK(fabs(stale - 3 * sum) <= 1e-3 * 3 * sum + 1e-12);
        }
        for (double request = 1e-4; request < 100; request *= 10) {
            for (double cost = 0.1; cost < 1000; cost *= 10) {
                double best = (double)INFINITY;
                for (double life = 1; life <= 86400; life *= 1.02) {
                    double price =
                        (1 + cost * ttl_model_stale(&belief, request, life)) / (life + 1 / request);
                    best = fmin(best, price);
                }
                double life = ttl_model_life(&belief, request, cost, 1, 86400);
                double price =
                    (1 + cost * ttl_model_stale(&belief, request, life)) / (life + 1 / request);
                CHECK(life >= 1 && life <= 86400);
                CHECK(price <= best * 1.001);
            }
        }
    }
}

/* Keys that change at a known rate: after some loads that rate is what is believed. */
static void test_model_finds_the_rate(void **state)
{
    (void)state;
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    ttl_belief common;
    for (uint32_t i = 0; i < TTL_RATES; i++) {
        common.weights[i] = 1.0 / TTL_RATES;
    }
    for (uint32_t rate = 1; rate + 1 < TTL_RATES; rate++) {
        double near_it = 0;
        for (uint32_t key = 0; key < 50; key++) {
            uint8_t unlikely[TTL_RATES] = {0};
            double interval = 1 / ttl_model_rate(rate); /* changes in 63 % of them */
            for (uint32_t load = 0; load < 60; load++) {
                bool changed = brisk_rng_below(&rng, 1000) < 632;
                ttl_model_see(unlikely, interval, changed);
            }
            ttl_belief belief = ttl_model_belief(&common, unlikely);
            near_it += belief.weights[rate] / 50;
        }
        CHECK(near_it > 0.7);
    }
}

typedef struct ttl_fixture {
    fake_clock clock;
    brisk_ttl *ttl;
} ttl_fixture;

static void open_ttl(ttl_fixture *f, brisk_ttl_opts opts)
{
    fake_clock_init(&f->clock, SECOND);
    opts.clock = &f->clock.base;
    CHECK_OK(brisk_ttl_create(&opts, &f->ttl));
}

static uint64_t load_number(ttl_fixture *f, uint64_t number, uint64_t content)
{
    brisk_key key = brisk_key_of(&number, sizeof number);
    return brisk_ttl_loaded(f->ttl, &key, &(brisk_ttl_load){.content = content});
}

/* Asked for every ten seconds: unchanged lives longer and longer, a change cuts it. */
static void test_unchanged_lives_longer(void **state)
{
    (void)state;
    ttl_fixture f;
    open_ttl(&f, (brisk_ttl_opts){.mode = BRISK_TTL_ADAPTIVE});
    uint64_t first = load_number(&f, 1, 5);
    uint64_t life = first;
    for (uint32_t i = 0; i < 30; i++) {
        fake_clock_advance(&f.clock, life + 10 * SECOND);
        life = load_number(&f, 1, 5);
    }
    CHECK_U64(life, >, first * 3);
    uint64_t before = life;
    for (uint32_t i = 0; i < 10; i++) {
        fake_clock_advance(&f.clock, life + 10 * SECOND);
        life = load_number(&f, 1, 100 + i);
    }
    CHECK_U64(life, <, before / 3);
    brisk_ttl_stats stats;
    brisk_ttl_read_stats(f.ttl, &stats);
    CHECK_U64(stats.loads, ==, 41);
    CHECK_U64(stats.first, ==, 1);
    CHECK_U64(stats.unchanged, ==, 30);
    CHECK_U64(stats.changed, ==, 10);
    brisk_ttl_destroy(f.ttl);
}

/* A small world: half of the keys never change, half do every five minutes on average. */
static void simulate(double staleness, double *ret_hit, double *ret_stale)
{
    enum { KEYS = 400, REQUESTS = 150000 };
    static uint64_t version[KEYS];
    static uint64_t cached[KEYS];
    static uint64_t expires[KEYS];
    static uint64_t next[KEYS];
    brisk_rng rng;
    brisk_rng_init(&rng, 5);
    ttl_fixture f;
    open_ttl(&f, (brisk_ttl_opts){.mode = BRISK_TTL_ADAPTIVE, .staleness = staleness});
    memset(cached, 0, sizeof cached);
    memset(expires, 0, sizeof expires);
    for (uint32_t i = 0; i < KEYS; i++) {
        version[i] = 1;
        next[i] = i % 2 == 0 ? UINT64_MAX : brisk_rng_below(&rng, 600 * SECOND);
    }
    uint64_t hits = 0;
    uint64_t stale = 0;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        fake_clock_advance(&f.clock, SECOND / 20);
        uint64_t now = brisk_clock_now_ns(&f.clock.base);
        uint64_t number = brisk_rng_below(&rng, KEYS);
        while (next[number] <= now) {
            version[number]++;
            next[number] += brisk_rng_below(&rng, 600 * SECOND);
        }
        if (now < expires[number]) {
            hits++;
            stale += cached[number] != version[number] ? 1 : 0;
        } else {
            cached[number] = version[number];
            expires[number] = now + load_number(&f, number, version[number] * KEYS + number + 1);
        }
    }
    *ret_hit = (double)hits / REQUESTS;
    *ret_stale = (double)stale / REQUESTS;
    brisk_ttl_destroy(f.ttl);
}

static void test_share_of_stale_answers_is_met(void **state)
{
    (void)state;
    double last_hit = 0;
    static const double targets[] = {0.003, 0.01, 0.03};
    for (uint32_t i = 0; i < 3; i++) {
        double hit;
        double stale;
        simulate(targets[i], &hit, &stale);
        CHECK(stale < targets[i] * 1.5);
        CHECK(stale > targets[i] * 0.4);
        CHECK(hit > last_hit);
        last_hit = hit;
    }
    CHECK(last_hit > 0.6);
}

static void test_limits_hold(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    static const brisk_ttl_mode modes[] = {BRISK_TTL_ADAPTIVE, BRISK_TTL_FIXED, BRISK_TTL_USE,
                                           BRISK_TTL_HIT_RATE};
    for (uint32_t m = 0; m < 4; m++) {
        ttl_fixture f;
        open_ttl(&f,
                 (brisk_ttl_opts){.mode = modes[m], .min_ns = 5 * SECOND, .max_ns = 700 * SECOND});
        brisk_ttl_state one;
        for (uint32_t i = 0; i < 20000; i++) {
            uint64_t random = check_random(&seed);
            memset(&one, (int)(random & 255), sizeof one); /* rubbish */
            ((unsigned char *)&one)[random % sizeof one] = (unsigned char)(random >> 8);
            one.loaded_ns_ = random % 3 == 0 ? 0 : brisk_clock_wall_ns(&f.clock.base) - random % 9;
            brisk_ttl_load load = {.content = random % 5,
                                   .unchanged = random % 7 == 0,
                                   .early = random % 11 == 0,
                                   .hits_known = random % 2 == 0,
                                   .hits = random,
                                   .modified_ns = random % 13 == 0 ? random : 0};
            uint64_t life = brisk_ttl_loaded_state(f.ttl, &one, &load);
            CHECK(life >= 5 * SECOND && life <= 700 * SECOND);
            life = load_number(&f, random % 100, random % 3);
            CHECK(life >= 5 * SECOND && life <= 700 * SECOND);
            fake_clock_advance(&f.clock, random % (1000 * SECOND));
            if (random % 1000 == 0) {
                atomic_store(&f.clock.wall_ns, 1000 * SECOND); /* set back by years */
            }
        }
        brisk_ttl_stats stats;
        brisk_ttl_read_stats(f.ttl, &stats);
        CHECK(isfinite(stats.requests) && isfinite(stats.stale) && isfinite(stats.stale_cost));
        brisk_ttl_destroy(f.ttl);
    }
}

static uint64_t load_hits(ttl_fixture *f, brisk_ttl_state *one, uint64_t hits, uint64_t pause_s)
{
    fake_clock_advance(&f->clock, pause_s * SECOND);
    return brisk_ttl_loaded_state(f->ttl, one, &(brisk_ttl_load){.hits_known = true, .hits = hits});
}

static void test_simple_rules(void **state)
{
    (void)state;
    ttl_fixture f;
    brisk_ttl_state one = {0};
    open_ttl(&f, (brisk_ttl_opts){.mode = BRISK_TTL_USE, .first_ns = 100 * SECOND});
    CHECK_U64(load_hits(&f, &one, 0, 0), ==, 100 * SECOND);
    CHECK_U64(load_hits(&f, &one, 20, 110), ==, 150 * SECOND); /* frequent and recent */
    CHECK_U64(load_hits(&f, &one, 5, 160), ==, 150 * SECOND);  /* neither */
    CHECK_U64(load_hits(&f, &one, 1, 1000), ==, 75 * SECOND);  /* rare and old */
    CHECK_U64(load_hits(&f, &one, 20, 1000), ==, 75 * SECOND); /* frequent once, old */
    brisk_ttl_destroy(f.ttl);
    open_ttl(&f, (brisk_ttl_opts){.mode = BRISK_TTL_HIT_RATE, .first_ns = 100 * SECOND});
    one = (brisk_ttl_state){0};
    CHECK_U64(load_hits(&f, &one, 0, 0), ==, 100 * SECOND);
    CHECK_U64(load_hits(&f, &one, 9, 200), ==, 7200 * SECOND);
    CHECK_U64(load_hits(&f, &one, 3, 8000), ==, 3600 * SECOND);
    CHECK_U64(load_hits(&f, &one, 1, 4000), ==, 1800 * SECOND);
    CHECK_U64(load_hits(&f, &one, 0, 4000), ==, 600 * SECOND);
    brisk_ttl_destroy(f.ttl);
    open_ttl(&f, (brisk_ttl_opts){.mode = BRISK_TTL_FIXED, .first_ns = 100 * SECOND});
    one = (brisk_ttl_state){0};
    CHECK_U64(load_hits(&f, &one, 0, 0), ==, 100 * SECOND);
    CHECK_U64(load_hits(&f, &one, 9, 200), ==, 100 * SECOND);
    brisk_ttl_destroy(f.ttl);
}

/* The table forgets the key that was loaded longest ago, and never grows. */
static void test_table_is_bounded(void **state)
{
    (void)state;
    fault_alloc fault;
    fault_alloc_init(&fault, UINT64_MAX);
    ttl_fixture f;
    open_ttl(&f, (brisk_ttl_opts){.bytes_max = 16384, .alloc = &fault.base});
    CHECK_U64(fault.bytes_held, <=, 16384);
    for (uint64_t i = 0; i < 10000; i++) {
        fake_clock_advance(&f.clock, 1000);
        (void)load_number(&f, i, 1);
    }
    brisk_ttl_stats stats;
    brisk_ttl_read_stats(f.ttl, &stats);
    CHECK_U64(stats.first, ==, 10000);
    for (uint64_t i = 9900; i < 10000; i++) {
        fake_clock_advance(&f.clock, 1000);
        (void)load_number(&f, i, 1);
    }
    brisk_ttl_read_stats(f.ttl, &stats);
    CHECK_U64(stats.first, <, 10020); /* the youngest are nearly all remembered */
    brisk_ttl_destroy(f.ttl);
    CHECK_U64(fault.bytes_held, ==, 0);
}

static void test_options_are_checked(void **state)
{
    (void)state;
    static const brisk_ttl_opts bad[] = {
        {.staleness = -0.1},
        {.staleness = 1},
        {.min_ns = 10 * SECOND, .max_ns = SECOND},
        {.bytes_max = 100},
        {.mode = (brisk_ttl_mode)9},
    };
    brisk_ttl *ttl = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(brisk_ttl_create(&bad[i], &ttl), BRISK_ERR_INVALID);
    }
    fault_alloc fault;
    fault_alloc_init(&fault, 0);
    assert_int_equal(brisk_ttl_create(&(brisk_ttl_opts){.alloc = &fault.base}, &ttl),
                     BRISK_ERR_NOMEM);
    CHECK(ttl == NULL && fault.bytes_held == 0);
    brisk_ttl_destroy(NULL);
}

static void load_many(void *ctx)
{
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t number = i % 1000;
        brisk_key key = brisk_key_of(&number, sizeof number);
        (void)brisk_ttl_loaded(ctx, &key, &(brisk_ttl_load){.content = i % 3 + 1});
    }
}

static void test_threads(void **state)
{
    (void)state;
    brisk_ttl *ttl = NULL;
    CHECK_OK(brisk_ttl_create(NULL, &ttl));
    brisk_thread threads[4];
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_OK(
            brisk_thread_start(&threads[i], &(brisk_thread_opts){.run = load_many, .ctx = ttl}));
    }
    for (uint32_t i = 0; i < 4; i++) {
        brisk_thread_join(&threads[i]);
    }
    brisk_ttl_stats stats;
    brisk_ttl_read_stats(ttl, &stats);
    CHECK_U64(stats.loads, ==, 80000);
    brisk_ttl_destroy(ttl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_against_sums),
        cmocka_unit_test(test_model_finds_the_rate),
        cmocka_unit_test(test_unchanged_lives_longer),
        cmocka_unit_test(test_share_of_stale_answers_is_met),
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_simple_rules),
        cmocka_unit_test(test_table_is_bounded),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
