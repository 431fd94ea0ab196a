/*
 * test_cache_breaker.c -- tiers that fail or are slow are left alone, and never answer what they had
 * before a change that they missed.
 */
#include "support/check.h"

#include <semaphore.h>
#include <stdbool.h>
#include <string.h>

#include <brisk/cache.h>
#include <brisk/log.h>
#include <brisk/memory.h>

#include "cache/fake_tier.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

enum { MS = 1000000 };

typedef struct fixture {
    fake_clock clock;
    fake_tier tiers[2];
    brisk_cache *cache;
} fixture;

static void setup(fixture *f, uint32_t far_flags, const brisk_alloc *alloc)
{
    fake_clock_init(&f->clock, 1000);
    fake_init(&f->tiers[0], "near", 0);
    fake_init(&f->tiers[1], "far", far_flags);
    brisk_tier *tiers[] = {&f->tiers[0].base, &f->tiers[1].base};
    brisk_cache_opts opts = {
        .tiers = tiers,
        .tier_count = 2,
        .clock = &f->clock.base,
        .alloc = alloc,
        .breaker = {
            .errors = 3, .slow_ns = 10 * MS, .open_ns = 100 * MS, .probes = 2, .missed_keys = 4}};
    CHECK_OK(brisk_cache_create(&opts, &f->cache));
}

static brisk_key key_of(const char *text)
{
    return brisk_key_of(text, strlen(text));
}

static void put_in(fixture *f, const char *name, const char *text, uint32_t tiers)
{
    brisk_key key = key_of(name);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(text, strlen(text) + 1, NULL, &value));
    brisk_cache_put(f->cache, &key, value, &(brisk_entry_opts){.tiers = tiers});
    brisk_value_unref(value);
}

/* The tier that answered `text`, or -1. */
static int ask(fixture *f, const char *name, uint32_t tiers, const char *text)
{
    brisk_key key = key_of(name);
    brisk_hit hit;
    if (!brisk_cache_get(f->cache, &key, tiers, &hit)) {
        return -1;
    }
    if (strcmp(brisk_value_data(hit.value), text) != 0) {
        fail_msg("%s: '%s' instead of '%s'", name, (const char *)brisk_value_data(hit.value), text);
    }
    brisk_value_unref(hit.value);
    return (int)hit.tier;
}

static brisk_tier_stats stats_of(fixture *f)
{
    brisk_tier_stats stats;
    brisk_cache_read_stats(f->cache, 1, &stats);
    return stats;
}

/* The far tier does not answer until the breaker is open. */
static void break_it(fixture *f)
{
    f->tiers[1].get_err = BRISK_ERR_IO;
    for (int i = 0; i < 3; i++) {
        CHECK(ask(f, "nothing", 0, "") == -1);
    }
    CHECK(stats_of(f).breaker == BRISK_BREAKER_OPEN);
    f->tiers[1].get_err = BRISK_OK;
}

static void test_errors_in_a_row_open_it(void **state)
{
    (void)state;
    fixture f;
    setup(&f, 0, NULL);
    put_in(&f, "k", "v", 2);
    f.tiers[1].get_err = BRISK_ERR_IO;
    CHECK(ask(&f, "k", 0, "") == -1 && ask(&f, "k", 0, "") == -1);
    f.tiers[1].get_err = BRISK_OK;
    CHECK(ask(&f, "k", 2, "v") == 1); /* a good one begins the count anew */
    break_it(&f);
    CHECK(stats_of(&f).trips == 1);
    uint32_t asked = f.tiers[1].asked;
    CHECK(ask(&f, "k", 0, "") == -1);
    CHECK_U64(f.tiers[1].asked, ==, asked);
    CHECK_U64(stats_of(&f).skipped, ==, 1);

    fake_clock_advance(&f.clock, 100 * MS);
    CHECK(ask(&f, "k", 2, "v") == 1);
    CHECK(stats_of(&f).breaker == BRISK_BREAKER_HALF_OPEN);
    CHECK(ask(&f, "k", 2, "v") == 1);
    CHECK(stats_of(&f).breaker == BRISK_BREAKER_CLOSED);
    brisk_cache_destroy(f.cache);
}

static void test_open_time_doubles(void **state)
{
    (void)state;
    fixture f;
    setup(&f, 0, NULL);
    put_in(&f, "k", "v", 2);
    break_it(&f);
    f.tiers[1].get_err = BRISK_ERR_DEADLINE;
    for (int i = 0; i < 8; i++) {
        uint64_t wait = (uint64_t)100 * MS << (i < 5 ? i : 5);
        uint32_t asked = f.tiers[1].asked;
        fake_clock_advance(&f.clock, wait - 1);
        CHECK(ask(&f, "k", 0, "") == -1);
        CHECK_U64(f.tiers[1].asked, ==, asked);
        fake_clock_advance(&f.clock, 1);
        CHECK(ask(&f, "k", 0, "") == -1);
        CHECK_U64(f.tiers[1].asked, ==, asked + 1);
    }
    CHECK_U64(stats_of(&f).trips, ==, 9);
    brisk_cache_destroy(f.cache);
}

static void test_slow_calls_open_it(void **state)
{
    (void)state;
    fixture f;
    setup(&f, 0, NULL);
    put_in(&f, "k", "v", 2);
    f.tiers[1].clock = &f.clock;
    int calls = 0;
    for (; calls < 64 && stats_of(&f).breaker == BRISK_BREAKER_CLOSED; calls++) {
        f.tiers[1].delay_ns = calls % 3 != 0 ? 11 * MS : 0; /* two of three are too slow */
        CHECK(ask(&f, "k", 2, "v") == 1);
    }
    CHECK_U64(calls, >=, 15); /* and the put */
    CHECK_U64(calls, <, 20);
    f.tiers[1].delay_ns = 0;
    brisk_tier_stats stats = stats_of(&f);
    CHECK_U64(stats.get_p99_ns, >=, 11 * MS);
    CHECK_U64(stats.get_p999_ns, >=, stats.get_p99_ns);
    brisk_cache_destroy(f.cache);
}

static void test_no_room_is_no_illness(void **state)
{
    (void)state;
    fixture f;
    setup(&f, 0, NULL);
    f.tiers[1].put_err = BRISK_ERR_FULL;
    for (int i = 0; i < 100; i++) {
        put_in(&f, "k", "v", 0);
    }
    f.tiers[1].put_err = BRISK_ERR_DECLINED;
    for (int i = 0; i < 100; i++) {
        put_in(&f, "k", "v", 0);
    }
    CHECK(stats_of(&f).breaker == BRISK_BREAKER_CLOSED);
    brisk_cache_destroy(f.cache);
}

/* What an open tier of this machine misses is outdated for good, before and after it is asked. */
static void check_missed_changes(uint32_t far_flags)
{
    fixture f;
    setup(&f, far_flags, NULL);
    put_in(&f, "a", "old", 2);
    put_in(&f, "b", "old", 2);
    put_in(&f, "c", "old", 2);
    break_it(&f);
    put_in(&f, "a", "new", 0);
    brisk_key b = key_of("b");
    brisk_err err = brisk_cache_remove(f.cache, &b);
    CHECK((err != BRISK_OK) == (far_flags == BRISK_TIER_SHARED)); /* others may still see it */
    CHECK(ask(&f, "a", 0, "new") == 0 && ask(&f, "b", 0, "") == -1);
    CHECK(ask(&f, "c", 0, "") == -1);
    fake_clock_advance(&f.clock, 100 * MS);
    CHECK(ask(&f, "a", 2, "") == -1 && ask(&f, "b", 2, "") == -1);
    CHECK(ask(&f, "c", 2, "old") == 1); /* nobody changed it */
    CHECK(ask(&f, "a", 0, "new") == 0);
    put_in(&f, "a", "newer", 0);
    CHECK(ask(&f, "a", 2, "newer") == 1 && ask(&f, "a", 1, "newer") == 0);
    CHECK(stats_of(&f).breaker == BRISK_BREAKER_CLOSED);
    brisk_cache_destroy(f.cache);
}

static void test_missed_changes(void **state)
{
    (void)state;
    check_missed_changes(0);
    check_missed_changes(BRISK_TIER_SHARED);
}

/* More keys than are remembered: everything that the tier has is outdated. */
static void check_too_many(uint32_t far_flags)
{
    fixture f;
    setup(&f, far_flags, NULL);
    put_in(&f, "unchanged", "v", 2);
    char name[8];
    for (int i = 0; i < 6; i++) {
        (void)snprintf(name, sizeof name, "k%d", i);
        put_in(&f, name, "old", 2);
    }
    break_it(&f);
    for (int i = 0; i < 6; i++) {
        (void)snprintf(name, sizeof name, "k%d", i);
        put_in(&f, name, "new", 1);
        put_in(&f, name, "new", 1);
        CHECK(ask(&f, name, 1, "new") == 0 || i == 4);
    }
    fake_clock_advance(&f.clock, 100 * MS);
    CHECK(ask(&f, "unchanged", 2, "") == -1);
    for (int i = 0; i < 6; i++) {
        (void)snprintf(name, sizeof name, "k%d", i);
        CHECK(ask(&f, name, 2, "") == -1);
    }
    put_in(&f, "k0", "newer", 0);
    CHECK(ask(&f, "k0", 2, "newer") == 1);
    brisk_cache_destroy(f.cache);
}

static void test_too_many_missed_changes(void **state)
{
    (void)state;
    check_too_many(0);
    check_too_many(BRISK_TIER_SHARED);
}

/* A shared tier is not believed before everything is made good, however long that fails. */
static void test_shared_tier_is_told_first(void **state)
{
    (void)state;
    fixture f;
    setup(&f, BRISK_TIER_SHARED, NULL);
    put_in(&f, "a", "old", 2);
    f.tiers[1].put_err = BRISK_ERR_IO;
    f.tiers[1].remove_err = BRISK_ERR_IO;
    put_in(&f, "a", "new", 2); /* fails: it is not believed from now on */
    CHECK(stats_of(&f).breaker == BRISK_BREAKER_OPEN);
    CHECK(ask(&f, "a", 0, "") == -1);
    for (int i = 0; i < 4; i++) {
        fake_clock_advance(&f.clock, 10000ull * MS);
        CHECK(ask(&f, "a", 0, "") == -1);
        CHECK(fake_find(&f.tiers[1], &(brisk_key){.bytes = "a", .size = 1}) >= 0);
    }
    f.tiers[1].remove_err = BRISK_OK;
    fake_clock_advance(&f.clock, 10000ull * MS);
    CHECK(ask(&f, "a", 0, "") == -1);
    CHECK(fake_find(&f.tiers[1], &(brisk_key){.bytes = "a", .size = 1}) < 0);
    CHECK_U64(stats_of(&f).replayed, ==, 1);
    CHECK(stats_of(&f).breaker == BRISK_BREAKER_HALF_OPEN);
    brisk_cache_destroy(f.cache);
}

static void test_disabled(void **state)
{
    (void)state;
    fake_tier tier;
    fake_init(&tier, "tier", 0);
    brisk_tier *tiers[] = {&tier.base};
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(
        &(brisk_cache_opts){.tiers = tiers, .tier_count = 1, .breaker = {.disabled = true}},
        &cache));
    tier.get_err = BRISK_ERR_IO;
    brisk_key key = key_of("k");
    for (uint32_t i = 1; i <= 100; i++) {
        brisk_hit hit;
        CHECK(!brisk_cache_get(cache, &key, 0, &hit));
        CHECK_U64(tier.asked, ==, i);
    }
    brisk_cache_destroy(cache);
}

/* --- promotion in the background --------------------------------------------------------------- */

typedef struct later {
    void (*fn)(void *arg);
    void *arg;
    bool refuse;
} later;

static bool run_later(void *ctx, void (*fn)(void *arg), void *arg)
{
    later *self = ctx;
    if (self->refuse) {
        return false;
    }
    CHECK(self->fn == NULL);
    self->fn = fn;
    self->arg = arg;
    return true;
}

static void run_now(later *self)
{
    CHECK(self->fn != NULL);
    self->fn(self->arg);
    self->fn = NULL;
}

static void test_promotion_in_the_background(void **state)
{
    (void)state;
    fake_tier middle;
    fake_tier far;
    fake_init(&middle, "middle", 0);
    fake_init(&far, "far", BRISK_TIER_SHARED);
    brisk_tier *tiers[3] = {NULL, &middle.base, &far.base};
    brisk_memory_tier_opts memory = {.bytes_max = 1 << 20, .shards = 1};
    CHECK_OK(brisk_memory_tier_create(&memory, &tiers[0]));
    later background = {.fn = NULL};
    fixture f;
    CHECK_OK(brisk_cache_create(
        &(brisk_cache_opts){.tiers = tiers,
                            .tier_count = 3,
                            .background = &(brisk_background){run_later, &background}},
        &f.cache));
    put_in(&f, "k", "v", 4);
    CHECK(ask(&f, "k", 0, "v") == 2);
    CHECK_U64(middle.puts, ==, 0); /* not yet */
    CHECK(ask(&f, "k", 0, "v") == 0);
    run_now(&background);
    CHECK_U64(middle.puts, ==, 1);
    CHECK(ask(&f, "k", 2, "v") == 1);

    put_in(&f, "k", "w", 4); /* changed between the answer and its promotion */
    CHECK(ask(&f, "k", 2 | 4, "w") == 2);
    put_in(&f, "k", "x", 4);
    run_now(&background);
    CHECK(ask(&f, "k", 2, "") == -1);
    CHECK(ask(&f, "k", 1, "") == -1);
    brisk_tier_stats stats;
    brisk_cache_read_stats(f.cache, 1, &stats);
    CHECK_U64(stats.promotions, ==, 1);
    CHECK_U64(stats.promotions_dropped, ==, 1);

    background.refuse = true;
    CHECK(ask(&f, "k", 0, "x") == 2);
    CHECK(ask(&f, "k", 2, "") == -1);
    brisk_cache_stats totals;
    brisk_cache_read_totals(f.cache, &totals);
    CHECK_U64(totals.background_dropped, ==, 1);
    brisk_cache_destroy(f.cache);
}

/* --- memory ------------------------------------------------------------------------------------ */

/* --- with a queue before the tier --------------------------------------------------------- */

static sem_t put_begun;
static sem_t put_may_end;

static brisk_err put_waiting(brisk_tier *tier, const brisk_key *key, brisk_value *value,
                             const brisk_entry_opts *opts)
{
    CHECK(sem_post(&put_begun) == 0 && sem_wait(&put_may_end) == 0);
    return fake_put(tier, key, value, opts);
}

/* Who is let in as a probe and finds the answer in the queue must not keep the others out. */
static void test_a_probe_that_the_queue_answers(void **state)
{
    (void)state;
    fixture f;
    fake_clock_init(&f.clock, 1000);
    fake_init(&f.tiers[0], "near", BRISK_TIER_FAST);
    fake_init(&f.tiers[1], "far", 0);
    brisk_tier *tiers[] = {&f.tiers[0].base, &f.tiers[1].base};
    brisk_cache_opts opts = {
        .tiers = tiers,
        .tier_count = 2,
        .tiers_behind = true,
        .clock = &f.clock.base,
        .breaker = {.errors = 3, .slow_ns = 10 * MS, .open_ns = 100 * MS, .probes = 100}};
    CHECK_OK(brisk_cache_create(&opts, &f.cache));
    CHECK(sem_init(&put_begun, 0, 0) == 0 && sem_init(&put_may_end, 0, 0) == 0);
    put_in(&f, "far", "v", 2);
    break_it(&f);
    brisk_tier_ops waiting = fake_ops;
    waiting.put = put_waiting;
    f.tiers[1].base.ops = &waiting;
    fake_clock_advance(&f.clock, 100 * MS);
    put_in(&f, "first", "1", 0);
    CHECK(sem_wait(&put_begun) == 0);
    CHECK(stats_of(&f).breaker == BRISK_BREAKER_HALF_OPEN);
    put_in(&f, "second", "2", 0); /* waits behind it */
    brisk_key second = key_of("second");
    CHECK_OK(fake_remove(&f.tiers[0].base, &second));
    CHECK(ask(&f, "second", 0, "2") == 1);
    CHECK(sem_post(&put_may_end) == 0 && sem_post(&put_may_end) == 0);
    CHECK_OK(brisk_cache_flush(f.cache, UINT64_C(10000) * MS));
    CHECK(stats_of(&f).breaker == BRISK_BREAKER_HALF_OPEN);
    CHECK(ask(&f, "far", 0, "v") == 1);
    brisk_cache_destroy(f.cache);
    CHECK(sem_destroy(&put_begun) == 0 && sem_destroy(&put_may_end) == 0);
}

/* Of a tier that others share, what they put while we leave it alone is no less outdated. */
static void test_another_process_writes_while_it_is_open(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fixture f[2];
    for (int i = 0; i < 2; i++) {
        fake_clock_init(&f[i].clock, 1000);
        fake_init(&f[i].tiers[0], "near", 0);
        fake_init(&f[i].tiers[1], "far", 0);
        brisk_tier *tiers[] = {&f[i].tiers[0].base, &f[i].tiers[1].base};
        brisk_cache_opts opts = {.tiers = tiers,
                                 .tier_count = 2,
                                 .clock = &f[i].clock.base,
                                 .folder = dir->path,
                                 .breaker = {.errors = 3,
                                             .slow_ns = 10 * MS,
                                             .open_ns = 100 * MS,
                                             .probes = 2,
                                             .missed_keys = 4}};
        CHECK_OK(brisk_cache_create(&opts, &f[i].cache));
    }
    break_it(&f[0]);
    for (int i = 0; i < 6; i++) { /* more than are outdated one by one */
        char name[8];
        (void)snprintf(name, sizeof name, "n%d", i);
        put_in(&f[0], name, "x", 0);
    }
    put_in(&f[1], "k", "other", 0); /* far of both is one folder: */
    CHECK(ask(&f[0], "zz", 0, "") == -1);
    f[0].tiers[1].entries[0] = f[1].tiers[1].entries[0];
    (void)brisk_value_ref(f[0].tiers[1].entries[0].value);
    f[0].tiers[1].entries[0].opts.meta = f[0].tiers[1].entries[0].meta;
    put_in(&f[0], "k", "newest", 0);
    CHECK(ask(&f[0], "k", 0, "newest") == 0);
    brisk_key key = key_of("k");
    CHECK_OK(fake_remove(&f[0].tiers[0].base, &key));
    fake_clock_advance(&f[0].clock, 1000 * MS);
    CHECK(ask(&f[0], "k", 0, "newest") == -1);
    brisk_cache_destroy(f[0].cache);
    brisk_cache_destroy(f[1].cache);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool went_through = false;
    for (uint64_t fail_after = 0; !went_through; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        fixture f;
        fake_clock_init(&f.clock, 1000);
        fake_init(&f.tiers[0], "near", 0);
        fake_init(&f.tiers[1], "far", BRISK_TIER_SHARED);
        brisk_tier *tiers[] = {&f.tiers[0].base, &f.tiers[1].base};
        brisk_cache_opts opts = {
            .tiers = tiers, .tier_count = 2, .clock = &f.clock.base, .alloc = &fault.base};
        f.cache = NULL;
        brisk_err err = brisk_cache_create(&opts, &f.cache);
        CHECK((f.cache != NULL) == (err == BRISK_OK));
        if (err == BRISK_OK) {
            put_in(&f, "a", "old", 0);
            f.tiers[1].put_err = f.tiers[1].remove_err = BRISK_ERR_IO;
            put_in(&f, "a", "new", 0);
            put_in(&f, "b", "new", 0);
            f.tiers[1].put_err = f.tiers[1].remove_err = BRISK_OK;
            fake_clock_advance(&f.clock, 100000ull * MS);
            CHECK(ask(&f, "a", 2, "") == -1);
            CHECK(ask(&f, "a", 0, "new") == 0);
            went_through = fault.fail_after <= fail_after; /* else it has counted below 0 */
            brisk_cache_destroy(f.cache);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    brisk_log_set_level(BRISK_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_in_a_row_open_it),
        cmocka_unit_test(test_open_time_doubles),
        cmocka_unit_test(test_slow_calls_open_it),
        cmocka_unit_test(test_no_room_is_no_illness),
        cmocka_unit_test(test_missed_changes),
        cmocka_unit_test(test_too_many_missed_changes),
        cmocka_unit_test(test_shared_tier_is_told_first),
        cmocka_unit_test(test_disabled),
        cmocka_unit_test(test_promotion_in_the_background),
        cmocka_unit_test(test_a_probe_that_the_queue_answers),
        cmocka_unit_test(test_another_process_writes_while_it_is_open),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
