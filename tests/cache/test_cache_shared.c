/*
 * test_cache_shared.c -- invalidation through a tier that two machines share.
 */
#include "support/check.h"

#include <stdbool.h>
#include <string.h>

#include <brisk/cache.h>
#include <brisk/log.h>
#include <brisk/memory.h>

#include "cache/fake_shared.h"
#include "support/fake_clock.h"
#include "support/temp_dir.h"

enum { MACHINES = 2 };

typedef struct fixture {
    fake_clock clock;
    fake_domain *domain;
    fake_shared shared[MACHINES];
    brisk_cache *caches[MACHINES];
} fixture;

/* Each machine: memory, then the shared tier. */
static void setup(fixture *f)
{
    fake_clock_init(&f->clock, 1000);
    f->domain = fake_domain_make();
    for (int i = 0; i < MACHINES; i++) {
        brisk_tier *tiers[2];
        brisk_memory_tier_opts memory = {
            .bytes_max = 1 << 20, .shards = 1, .clock = &f->clock.base};
        CHECK_OK(brisk_memory_tier_create(&memory, &tiers[0]));
        fake_shared_init(&f->shared[i], f->domain, "shared");
        tiers[1] = &f->shared[i].base;
        CHECK_OK(brisk_cache_create(
            &(brisk_cache_opts){.tiers = tiers, .tier_count = 2, .clock = &f->clock.base},
            &f->caches[i]));
    }
}

static void teardown(fixture *f)
{
    for (int i = 0; i < MACHINES; i++) {
        brisk_cache_destroy(f->caches[i]);
        CHECK(f->shared[i].fn == NULL);
    }
    fake_domain_free(f->domain);
}

static void sync_all(fixture *f)
{
    for (int i = 0; i < MACHINES; i++) {
        fake_shared_sync(&f->shared[i]);
    }
}

static void put(brisk_cache *cache, const char *name, const char *text,
                const brisk_entry_opts *opts)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(text, strlen(text) + 1, NULL, &value));
    brisk_cache_put(cache, &key, value, opts);
    brisk_value_unref(value);
}

/* NULL: a miss. */
static bool reads(brisk_cache *cache, const char *name, uint32_t tiers, const char *text)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_hit hit;
    if (!brisk_cache_get(cache, &key, tiers, &hit)) {
        return text == NULL;
    }
    bool same = text != NULL && strcmp(brisk_value_data(hit.value), text) == 0;
    CHECK((hit.flags & BRISK_ENTRY_TAGGED) == 0);
    brisk_value_unref(hit.value);
    return same;
}

static void put_tagged(brisk_cache *cache, const char *name, const char *text, const char *tag)
{
    brisk_tag tags = {.bytes = tag, .size = strlen(tag)};
    put(cache, name, text,
        &(brisk_entry_opts){.tags = &tags, .tag_count = 1, .meta = "m", .meta_size = 1});
}

static void test_tags_of_another_machine(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_tagged(f.caches[0], "a", "1", "red");
    put_tagged(f.caches[0], "b", "1", "blue");
    sync_all(&f);
    brisk_key key = brisk_key_of("a", 1);
    brisk_hit hit;
    CHECK(brisk_cache_get(f.caches[1], &key, 0, &hit));
    CHECK_U64(hit.tier, ==, 1);
    CHECK_U64(hit.meta_size, ==, 1);
    brisk_value_unref(hit.value);
    CHECK(reads(f.caches[1], "a", 1, "1")); /* promoted into its memory, with the tag */
    CHECK(reads(f.caches[1], "b", 0, "1"));
    CHECK_OK(brisk_cache_invalidate_tag(f.caches[0], "red", 3));
    CHECK(reads(f.caches[0], "a", 0, NULL));
    fake_shared_sync(&f.shared[1]);
    CHECK(reads(f.caches[1], "a", 1, NULL));
    CHECK(reads(f.caches[1], "a", 0, NULL));
    CHECK(reads(f.caches[1], "b", 0, "1"));
    put_tagged(f.caches[1], "a", "2", "red");
    sync_all(&f);
    CHECK(reads(f.caches[0], "a", 0, "2"));
    teardown(&f);
}

static void test_keys_of_another_machine(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put(f.caches[0], "k", "1", NULL);
    sync_all(&f);
    CHECK(reads(f.caches[1], "k", 0, "1") && reads(f.caches[1], "k", 1, "1"));
    put(f.caches[0], "k", "2", NULL);
    sync_all(&f);
    CHECK(reads(f.caches[1], "k", 1, NULL));
    CHECK(reads(f.caches[1], "k", 0, "2"));
    brisk_key key = brisk_key_of("k", 1);
    CHECK_OK(brisk_cache_remove(f.caches[1], &key));
    sync_all(&f);
    CHECK(reads(f.caches[0], "k", 0, NULL));
    brisk_cache_stats totals;
    brisk_cache_read_totals(f.caches[1], &totals);
    CHECK_U64(totals.foreign_changes, >, 0);
    teardown(&f);
}

static void test_prefixes_of_another_machine(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put(f.caches[0], "user:1", "1", NULL);
    put(f.caches[0], "page:1", "1", NULL);
    sync_all(&f);
    CHECK(reads(f.caches[1], "user:1", 0, "1") && reads(f.caches[1], "page:1", 0, "1"));
    for (int round = 0; round < 3; round++) {
        int by = round % 2;
        CHECK_OK(brisk_cache_invalidate_prefix(f.caches[by], "user:", 5));
        CHECK(reads(f.caches[by], "user:1", 0, NULL));
        sync_all(&f);
        CHECK(reads(f.caches[1 - by], "user:1", 0, NULL));
        CHECK(reads(f.caches[1 - by], "page:1", 0, "1"));
        put(f.caches[by], "user:1", "2", NULL);
        sync_all(&f);
        CHECK(reads(f.caches[1 - by], "user:1", 2, "2"));
        CHECK(reads(f.caches[by], "user:1", 2, "2"));
    }
    CHECK_OK(brisk_cache_clear(f.caches[0]));
    sync_all(&f);
    CHECK(reads(f.caches[1], "page:1", 0, NULL));
    teardown(&f);
}

static void put_dependent(brisk_cache *cache, const char *name, const char *text, const char *on)
{
    brisk_key key = brisk_key_of(on, strlen(on));
    put(cache, name, text,
        &(brisk_entry_opts){
            .depends_on = &key, .depends_count = 1, .depends_flags = BRISK_DEPENDS_NAMES});
}

static void test_dependencies_across_machines(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_dependent(f.caches[0], "derived", "1", "source");
    CHECK(reads(f.caches[0], "derived", 2, NULL)); /* the first one only arms the slot */
    put_dependent(f.caches[0], "derived", "1", "source");
    sync_all(&f);
    CHECK(reads(f.caches[1], "derived", 0, "1"));
    put(f.caches[1], "source", "x", NULL); /* by a machine that never made anything depend on it */
    CHECK(reads(f.caches[1], "derived", 2, NULL));
    CHECK(reads(f.caches[1], "derived", 0, NULL));
    sync_all(&f);
    CHECK(reads(f.caches[0], "derived", 0, NULL));
    teardown(&f);
}

/* Begun here before somebody else's invalidation, which is told, or not told yet, at the put. */
static void test_value_begun_before_a_foreign_change(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        fixture f;
        setup(&f);
        brisk_tag tag = {.bytes = "red", .size = 3};
        put_tagged(f.caches[1], "other", "1", "red");
        sync_all(&f);
        uint64_t as_of = brisk_cache_epoch(f.caches[0]);
        CHECK_OK(how < 2 ? brisk_cache_invalidate_tag(f.caches[1], "red", 3)
                         : brisk_cache_invalidate_prefix(f.caches[1], "k", 1));
        if (how % 2 == 0) {
            sync_all(&f);
        } else {
            /* Our own bump brings the counter, and with it the other's that we do not know of. */
            CHECK_OK(how < 2 ? brisk_cache_invalidate_tag(f.caches[0], "red", 3)
                             : brisk_cache_invalidate_prefix(f.caches[0], "x", 1));
        }
        put(f.caches[0], "k", "old",
            &(brisk_entry_opts){.tags = &tag, .tag_count = 1, .as_of = as_of});
        sync_all(&f);
        CHECK(reads(f.caches[1], "k", 0, NULL));
        CHECK(reads(f.caches[0], "k", 0, NULL));
        put_tagged(f.caches[0], "k", "new", "red");
        sync_all(&f);
        CHECK(reads(f.caches[1], "k", 0, "new"));
        teardown(&f);
    }
}

/* What the tier could not be told is told before it is asked again. */
static void test_tier_that_was_away(void **state)
{
    (void)state;
    fixture f;
    setup(&f);
    put_tagged(f.caches[0], "a", "1", "red");
    put(f.caches[0], "user:1", "1", NULL);
    put(f.caches[0], "k", "1", NULL);
    put(f.caches[0], "kept", "1", NULL);
    sync_all(&f);
    f.shared[0].fail = BRISK_ERR_DEADLINE;
    CHECK(brisk_cache_invalidate_tag(f.caches[0], "red", 3) != BRISK_OK);
    CHECK(brisk_cache_invalidate_prefix(f.caches[0], "user:", 5) != BRISK_OK);
    brisk_key key = brisk_key_of("k", 1);
    CHECK(brisk_cache_remove(f.caches[0], &key) != BRISK_OK);
    CHECK(reads(f.caches[0], "a", 0, NULL) && reads(f.caches[0], "user:1", 0, NULL));
    CHECK(reads(f.caches[0], "k", 0, NULL));
    f.shared[0].fail = BRISK_OK;
    fake_clock_advance(&f.clock, 3600ull * FAKE_CLOCK_SECOND);
    CHECK(reads(f.caches[0], "a", 2, NULL) && reads(f.caches[0], "user:1", 2, NULL));
    CHECK(reads(f.caches[0], "k", 2, NULL) && reads(f.caches[0], "kept", 2, "1"));
    sync_all(&f);
    CHECK(reads(f.caches[1], "a", 0, NULL) && reads(f.caches[1], "user:1", 0, NULL));
    CHECK(reads(f.caches[1], "k", 0, NULL) && reads(f.caches[1], "kept", 0, "1"));
    teardown(&f);
}

/* What others bumped while this machine was off outdates what its disk has. */
static void test_bumps_while_off(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fixture f;
    setup(&f);
    for (int round = 0; round < 2; round++) {
        fake_shared shared;
        fake_shared_init(&shared, f.domain, "shared");
        brisk_tier *tiers[2];
        brisk_disk_tier_opts disk = {.path = dir->path, .bytes_max = 16 << 20};
        CHECK_OK(brisk_disk_tier_open(&disk, &tiers[0], NULL));
        tiers[1] = &shared.base;
        brisk_cache *cache = NULL;
        CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 2}, &cache));
        if (round == 0) {
            put_tagged(cache, "a", "1", "red");
            put_tagged(cache, "b", "1", "blue");
            put(cache, "user:1", "1", NULL);
            fake_shared_sync(&shared);
        } else {
            CHECK(reads(cache, "a", 1, NULL));
            CHECK(reads(cache, "b", 1, "1"));
            CHECK(reads(cache, "user:1", 1, NULL));
        }
        brisk_cache_destroy(cache);
        if (round == 0) {
            CHECK_OK(brisk_cache_invalidate_tag(f.caches[1], "red", 3));
            CHECK_OK(brisk_cache_invalidate_prefix(f.caches[1], "user:", 5));
        }
    }
    teardown(&f);
}

/* A tier that cannot forget: other keys after an invalidation. */
static void test_keyed_tier(void **state)
{
    (void)state;
    fake_tier cdn;
    fake_init(&cdn, "cdn", BRISK_TIER_SHARED | BRISK_TIER_KEYED);
    cdn.remove_err = BRISK_OK;
    brisk_tier *tiers[] = {&cdn.base};
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 1}, &cache));
    brisk_tag tag = {.bytes = "red", .size = 3};
    brisk_get_opts with = {.tags = &tag, .tag_count = 1};
    brisk_key key = brisk_key_of("user:1", 6);
    brisk_hit hit;
    for (int round = 0; round < 4; round++) {
        put_tagged(cache, "user:1", "1", "red");
        CHECK(brisk_cache_get_with(cache, &key, &with, &hit));
        brisk_value_unref(hit.value);
        CHECK(reads(cache, "user:1", 0, NULL)); /* the tags are part of the key */
        if (round == 0) {
            CHECK_OK(brisk_cache_invalidate_tag(cache, "red", 3));
        } else if (round == 1) {
            CHECK_OK(brisk_cache_invalidate_prefix(cache, "user:", 5));
        } else if (round == 2) {
            CHECK_OK(brisk_cache_remove(cache, &key));
        } else {
            put(cache, "source", "1", NULL);
            CHECK(reads(cache, "source", 0, "1"));
        }
        CHECK(brisk_cache_get_with(cache, &key, &with, &hit) == (round == 3));
    }
    brisk_value_unref(hit.value);
    brisk_cache_destroy(cache);
}

int main(void)
{
    brisk_log_set_level(BRISK_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags_of_another_machine),
        cmocka_unit_test(test_keys_of_another_machine),
        cmocka_unit_test(test_prefixes_of_another_machine),
        cmocka_unit_test(test_dependencies_across_machines),
        cmocka_unit_test(test_value_begun_before_a_foreign_change),
        cmocka_unit_test(test_tier_that_was_away),
        cmocka_unit_test(test_bumps_while_off),
        cmocka_unit_test(test_keyed_tier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
