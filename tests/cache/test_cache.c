/*
 * test_cache.c -- the stack: order, promotion, privacy, and tiers that fail.
 */
#include "support/check.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <brisk/log.h>
#include <brisk/memory.h>

#include "cache/fake_tier.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

/* --- log lines --------------------------------------------------------------------------- */

static char last_line[256];
static uint32_t line_count;

static void keep_line(void *ctx, brisk_log_level level, const char *area, const char *line)
{
    (void)ctx;
    (void)level;
    (void)area;
    (void)snprintf(last_line, sizeof last_line, "%s", line);
    line_count++;
}

static int listen(void **state)
{
    (void)state;
    static fake_clock clock; /* moves on, so that no line is left out as one too many */
    static uint64_t now = FAKE_CLOCK_SECOND;
    now += 10 * FAKE_CLOCK_SECOND;
    fake_clock_init(&clock, now);
    brisk_log_set_sink(keep_line, NULL, &clock.base);
    line_count = 0;
    return 0;
}

/* --- cases ------------------------------------------------------------------------------- */

typedef struct fixture {
    fake_clock clock;
    fake_tier tiers[3];
    brisk_cache *cache;
    brisk_key key;
} fixture;

/* Near, middle, far; the far one leaves the machine. */
static void setup(fixture *f)
{
    fake_clock_init(&f->clock, 1000);
    fake_init(&f->tiers[0], "near", 0);
    fake_init(&f->tiers[1], "middle", 0);
    fake_init(&f->tiers[2], "far", BRISK_TIER_SHARED);
    brisk_tier *tiers[] = {&f->tiers[0].base, &f->tiers[1].base, &f->tiers[2].base};
    brisk_cache_opts opts = {.tiers = tiers, .tier_count = 3, .clock = &f->clock.base};
    CHECK_OK(brisk_cache_create(&opts, &f->cache));
    f->key = brisk_key_of("key", 3);
}

static void teardown(fixture *f)
{
    brisk_cache_destroy(f->cache);
    for (int i = 0; i < 3; i++) {
        CHECK_U64(f->tiers[i].destroyed, ==, 1);
    }
}

static void put_text(brisk_cache *cache, const brisk_key *key, const char *text,
                     const brisk_entry_opts *opts)
{
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(text, strlen(text) + 1, NULL, &value));
    brisk_cache_put(cache, key, value, opts);
    brisk_value_unref(value);
}

/* The tier that answered, or -1; the answer must be `text`. */
static int ask(brisk_cache *cache, const brisk_key *key, uint32_t tiers, const char *text)
{
    brisk_hit hit;
    if (!brisk_cache_get(cache, key, tiers, &hit)) {
        return -1;
    }
    CHECK(strcmp(brisk_value_data(hit.value), text) == 0);
    brisk_value_unref(hit.value);
    return (int)hit.tier;
}

static bool holds(const fixture *f, int tier)
{
    return fake_find(&f->tiers[tier], &f->key) >= 0;
}

static void test_put_reaches_all_and_the_nearest_answers(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    CHECK(ask(f.cache, &f.key, 0, "") == -1);
    put_text(f.cache, &f.key, "v", NULL);
    CHECK(holds(&f, 0) && holds(&f, 1) && holds(&f, 2));
    CHECK(ask(f.cache, &f.key, 0, "v") == 0);
    CHECK(ask(f.cache, &f.key, 4, "v") == 2);
    CHECK_U64(f.tiers[1].asked, ==, 1);
    CHECK_U64(brisk_cache_tier_count(f.cache), ==, 3);
    CHECK(brisk_cache_tier(f.cache, 2) == &f.tiers[2].base);
    CHECK(brisk_cache_tier(f.cache, 3) == NULL);
    teardown(&f);
}

static void test_hit_is_promoted_with_everything(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    brisk_entry_opts opts = {
        .meta = "meta", .meta_size = 4, .cost_ns = 5, .expires_at_ns = 6, .tiers = 4};
    put_text(f.cache, &f.key, "v", &opts);
    CHECK(!holds(&f, 0) && !holds(&f, 1) && holds(&f, 2));
    f.tiers[2].clock = &f.clock;
    f.tiers[2].delay_ns = 300;
    brisk_hit hit;
    CHECK(brisk_cache_get(f.cache, &f.key, 0, &hit));
    CHECK_U64(hit.tier, ==, 2);
    CHECK(strcmp(hit.tier_name, "far") == 0);
    CHECK_U64(hit.elapsed_ns, ==, 300);
    CHECK_U64(hit.store_ns, ==, 77);
    brisk_value_unref(hit.value);
    for (int i = 0; i < 2; i++) {
        CHECK(holds(&f, i));
        const brisk_entry_opts *got = &f.tiers[i].entries[0].opts;
        CHECK_U64(got->meta_size, ==, 4);
        CHECK(memcmp(f.tiers[i].entries[0].meta, "meta", 4) == 0);
        CHECK_U64(got->cost_ns, ==, 5);
        CHECK_U64(got->expires_at_ns, ==, 6);
    }
    CHECK(ask(f.cache, &f.key, 0, "v") == 0);
    teardown(&f);
}

static void test_promotion_keeps_to_the_tiers_asked(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_text(f.cache, &f.key, "v", &(brisk_entry_opts){.tiers = 4});
    CHECK(ask(f.cache, &f.key, 2 | 4, "v") == 2);
    CHECK(!holds(&f, 0) && holds(&f, 1));
    teardown(&f);
}

/* Tiers that may not have the new value must not keep the old one either. */
static void test_put_elsewhere_forgets_the_old_value(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_text(f.cache, &f.key, "old", NULL);
    put_text(f.cache, &f.key, "new", &(brisk_entry_opts){.tiers = 1});
    CHECK(holds(&f, 0) && !holds(&f, 1) && !holds(&f, 2));
    teardown(&f);
}

static void test_local_entries_never_leave(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_text(f.cache, &f.key, "private", &(brisk_entry_opts){.flags = BRISK_ENTRY_LOCAL});
    CHECK(holds(&f, 0) && holds(&f, 1) && !holds(&f, 2));
    CHECK_U64(f.tiers[2].puts + f.tiers[2].removes, ==, 0); /* not even the key */
    teardown(&f);

    /* Nor by promotion, when the shared tier is above the one that answers. */
    fake_tier shared;
    fake_tier below;
    fake_init(&shared, "shared", BRISK_TIER_SHARED);
    fake_init(&below, "below", 0);
    brisk_tier *tiers[] = {&shared.base, &below.base};
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 2}, &cache));
    brisk_key key = brisk_key_of("key", 3);
    put_text(cache, &key, "private", &(brisk_entry_opts){.flags = BRISK_ENTRY_LOCAL});
    CHECK(ask(cache, &key, 0, "private") == 1);
    CHECK_U64(shared.puts + shared.removes, ==, 0);
    brisk_cache_destroy(cache);
}

static void test_failing_get_is_a_counted_miss(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_text(f.cache, &f.key, "v", NULL);
    f.tiers[0].get_err = BRISK_ERR_IO;
    CHECK(ask(f.cache, &f.key, 0, "v") == 1);
    CHECK_U64(line_count, ==, 1);
    CHECK(strstr(last_line, "near") != NULL && strstr(last_line, "input/output") != NULL);
    brisk_tier_stats stats;
    brisk_cache_read_stats(f.cache, 0, &stats);
    CHECK_U64(stats.errors, ==, 1);
    teardown(&f);
}

static void test_failed_put_leaves_no_older_value(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_text(f.cache, &f.key, "old", NULL);
    f.tiers[0].put_err = BRISK_ERR_FULL;
    put_text(f.cache, &f.key, "new", NULL);
    CHECK(!holds(&f, 0));
    CHECK_U64(line_count, ==, 1);
    CHECK(ask(f.cache, &f.key, 0, "new") == 1);
    f.tiers[0].put_err = BRISK_ERR_DECLINED; /* nothing wrong with the tier: no line */
    line_count = 0;
    put_text(f.cache, &f.key, "newer", NULL);
    CHECK_U64(line_count, ==, 0);
    CHECK(ask(f.cache, &f.key, 0, "newer") == 1);
    teardown(&f);
}

/* Of this machine: what it has of the key is outdated for good; everything else is not. */
static void test_tier_that_cannot_forget_is_not_believed(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    brisk_key other = brisk_key_of("other", 5);
    put_text(f.cache, &f.key, "old", NULL);
    put_text(f.cache, &other, "other", NULL);
    f.tiers[1].put_err = BRISK_ERR_IO;
    f.tiers[1].remove_err = BRISK_ERR_IO;
    put_text(f.cache, &f.key, "new", &(brisk_entry_opts){.tiers = 1 | 2 | 4});
    CHECK(holds(&f, 1));                      /* the outdated value is still in there ... */
    CHECK(ask(f.cache, &f.key, 2, "") == -1); /* ... and never answers */
    CHECK(ask(f.cache, &f.key, 0, "new") == 0);
    CHECK(ask(f.cache, &f.key, 4, "new") == 2);
    CHECK(ask(f.cache, &other, 2, "other") == 1);
    CHECK_OK(brisk_cache_remove(f.cache, &f.key)); /* can promise it all the same */
    CHECK(holds(&f, 1) && ask(f.cache, &f.key, 0, "") == -1);
    f.tiers[1].put_err = f.tiers[1].remove_err = BRISK_OK;
    CHECK(ask(f.cache, &f.key, 0, "") == -1);
    put_text(f.cache, &f.key, "newer", &(brisk_entry_opts){.tiers = 2});
    CHECK(ask(f.cache, &f.key, 0, "newer") == 1);
    teardown(&f);
}

static void test_remove_and_clear_reach_every_tier(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_text(f.cache, &f.key, "v", NULL);
    f.tiers[2].remove_err = BRISK_ERR_IO;
    CHECK(brisk_cache_remove(f.cache, &f.key) == BRISK_ERR_IO);
    CHECK(!holds(&f, 0) && !holds(&f, 1));
    f.tiers[2].remove_err = BRISK_OK;
    CHECK_OK(brisk_cache_remove(f.cache, &f.key));
    CHECK(ask(f.cache, &f.key, 0, "") == -1);
    put_text(f.cache, &f.key, "v", NULL);
    f.tiers[0].clear_err = BRISK_ERR_PERMISSION;
    CHECK(brisk_cache_clear(f.cache) == BRISK_ERR_PERMISSION);
    CHECK(holds(&f, 0) && !holds(&f, 1) && !holds(&f, 2));
    teardown(&f);
}

static void remove_meanwhile(fake_tier *self)
{
    fixture *f = self->ctx;
    CHECK_OK(brisk_cache_remove(f->cache, &f->key));
}

static void replace_meanwhile(fake_tier *self)
{
    fixture *f = self->ctx;
    self->on_get = NULL;
    put_text(f->cache, &f->key, "new", NULL);
}

static void clear_meanwhile(fake_tier *self)
{
    fixture *f = self->ctx;
    CHECK_OK(brisk_cache_clear(f->cache));
}

/* What happens between the far tier's answer and its promotion must win. */
static void test_promotion_brings_nothing_back(void **state)
{
    (void)state;
    static void (*const meanwhile[])(fake_tier *) = {remove_meanwhile, replace_meanwhile,
                                                     clear_meanwhile};
    for (size_t i = 0; i < 3; i++) {
        fixture f;
        setup(&f);
        put_text(f.cache, &f.key, "old", &(brisk_entry_opts){.tiers = 4});
        f.tiers[2].on_get = meanwhile[i];
        f.tiers[2].ctx = &f;
        CHECK(ask(f.cache, &f.key, 0, "old") == 2); /* asked before, so old is an answer */
        f.tiers[2].on_get = NULL;
        CHECK(ask(f.cache, &f.key, 0, "new") == (i == 1 ? 0 : -1));
        teardown(&f);
    }
}

static void test_files_stay_out_of_memory(void **state)
{
    (void)state;
    brisk_tier *tiers[2];
    fake_tier below;
    fake_init(&below, "below", 0);
    brisk_memory_tier_opts memory = {.bytes_max = 1 << 20, .shards = 1};
    CHECK_OK(brisk_memory_tier_create(&memory, &tiers[0]));
    tiers[1] = &below.base;
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 2}, &cache));
    brisk_key key = brisk_key_of("key", 3);
    put_text(cache, &key, "bytes", NULL);
    brisk_value *file = NULL;
    CHECK_OK(brisk_value_from_fd(open("/dev/null", O_RDONLY | O_CLOEXEC), 9, NULL, &file));
    brisk_cache_put(cache, &key, file, NULL);
    brisk_value_unref(file);
    CHECK_U64(line_count, ==, 0);
    for (int i = 0; i < 2; i++) {
        brisk_hit hit;
        CHECK(brisk_cache_get(cache, &key, 0, &hit));
        CHECK_U64(hit.tier, ==, 1);
        CHECK(brisk_value_fd(hit.value) >= 0);
        brisk_value_unref(hit.value);
    }
    brisk_tier_stats stats;
    brisk_cache_read_stats(cache, 0, &stats);
    CHECK_U64(stats.entries, ==, 0);
    CHECK_U64(stats.rejects, ==, 1); /* the put; promotions do not try */
    brisk_cache_destroy(cache);
}

/* Hits of a FAST tier always carry a figure: the first get is timed. */
static void test_fast_hits_are_timed_by_samples(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 1000);
    fake_tier fast;
    fake_init(&fast, "fast", BRISK_TIER_FAST);
    fast.clock = &clock;
    fast.delay_ns = 40;
    brisk_tier *tiers[] = {&fast.base};
    brisk_cache_opts opts = {.tiers = tiers, .tier_count = 1, .clock = &clock.base};
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&opts, &cache));
    brisk_key key = brisk_key_of("key", 3);
    put_text(cache, &key, "v", NULL);
    uint32_t timed = 0;
    for (int i = 0; i < 640; i++) {
        brisk_hit hit;
        CHECK(brisk_cache_get(cache, &key, 0, &hit));
        brisk_value_unref(hit.value);
        timed += hit.elapsed_ns == 40;
    }
    CHECK_U64(timed, ==, 640);
    CHECK_U64(clock.now_ns, ==, 1000 + 640 * 40);
    brisk_cache_destroy(cache);
}

static void test_empty_and_bad_stacks(void **state)
{
    (void)state;
    brisk_cache *cache = NULL;
    brisk_key key = brisk_key_of("key", 3);
    CHECK_OK(brisk_cache_create(NULL, &cache));
    put_text(cache, &key, "v", NULL);
    CHECK(ask(cache, &key, 0, "") == -1);
    CHECK_OK(brisk_cache_remove(cache, &key));
    CHECK_OK(brisk_cache_clear(cache));
    brisk_cache_destroy(cache);
    brisk_cache_destroy(NULL);
    fake_tier tier;
    fake_init(&tier, "tier", 0);
    brisk_tier *tiers[BRISK_CACHE_TIERS_MAX + 1] = {&tier.base};
    cache = NULL;
    CHECK(brisk_cache_create(
              &(brisk_cache_opts){.tiers = tiers, .tier_count = BRISK_CACHE_TIERS_MAX + 1},
              &cache) == BRISK_ERR_INVALID);
    CHECK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 2}, &cache) ==
          BRISK_ERR_INVALID);
    fault_alloc fault;
    fault_alloc_init(&fault, 0);
    brisk_cache_opts opts = {.tiers = tiers, .tier_count = 1, .alloc = &fault.base};
    CHECK(brisk_cache_create(&opts, &cache) == BRISK_ERR_NOMEM);
    CHECK(cache == NULL);
    CHECK_U64(tier.destroyed, ==, 0); /* still the caller's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_put_reaches_all_and_the_nearest_answers, listen),
        cmocka_unit_test_setup(test_hit_is_promoted_with_everything, listen),
        cmocka_unit_test_setup(test_promotion_keeps_to_the_tiers_asked, listen),
        cmocka_unit_test_setup(test_put_elsewhere_forgets_the_old_value, listen),
        cmocka_unit_test_setup(test_local_entries_never_leave, listen),
        cmocka_unit_test_setup(test_failing_get_is_a_counted_miss, listen),
        cmocka_unit_test_setup(test_failed_put_leaves_no_older_value, listen),
        cmocka_unit_test_setup(test_tier_that_cannot_forget_is_not_believed, listen),
        cmocka_unit_test_setup(test_remove_and_clear_reach_every_tier, listen),
        cmocka_unit_test_setup(test_promotion_brings_nothing_back, listen),
        cmocka_unit_test_setup(test_files_stay_out_of_memory, listen),
        cmocka_unit_test_setup(test_fast_hits_are_timed_by_samples, listen),
        cmocka_unit_test_setup(test_empty_and_bad_stacks, listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
