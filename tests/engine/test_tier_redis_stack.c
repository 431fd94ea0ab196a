/*
 * test_tier_redis_stack.c -- two machines, each memory before one Redis: what one changes the
 * other sees within a second (waited for longer here: a slow machine must not fail).
 */
#include <brisk/memory.h>

#include "engine/tier_redis_test.h"

BRISK_DEFINE_CLEANUP(brisk_cache, brisk_cache_destroy)

static temp_dir *folder;
static redis_server server;

static brisk_cache *open_machine(const char *url)
{
    brisk_tier *tiers[2];
    CHECK_OK(brisk_memory_tier_create(&(brisk_memory_tier_opts){.bytes_max = 4 << 20}, &tiers[0]));
    tiers[1] = open_with(&(brisk_redis_tier_opts){.url = url});
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 2}, &cache));
    uint32_t slot = 0;
    uint64_t value;
    for (int i = 0; i < 1000 && tiers[1]->ops->generations(tiers[1], &slot, 1, &value) != BRISK_OK;
         i++) {
        redis_server_sleep(10);
    }
    return cache;
}

static void put(brisk_cache *cache, const char *key, const char *text, const char *tag,
                const char *depends_on)
{
    brisk_key k = brisk_key_of(key, strlen(key));
    brisk_tag t = {.bytes = tag, .size = tag != NULL ? strlen(tag) : 0};
    brisk_key d = brisk_key_of(depends_on != NULL ? depends_on : "-",
                               depends_on != NULL ? strlen(depends_on) : 1);
    brisk_entry_opts opts = {
        .tags = &t,
        .tag_count = tag != NULL ? 1 : 0,
        .depends_on = &d,
        .depends_count = depends_on != NULL ? 1 : 0,
        .depends_flags = BRISK_DEPENDS_NAMES,
    };
    brisk_value *value;
    CHECK_OK(brisk_value_copy(text, strlen(text), NULL, &value));
    brisk_cache_put(cache, &k, value, &opts);
    brisk_value_unref(value);
}

/* "" for a miss; *tier tells who answered. */
static const char *get(brisk_cache *cache, const char *key, char text[64], uint32_t *tier)
{
    brisk_key k = brisk_key_of(key, strlen(key));
    brisk_hit hit;
    text[0] = '\0';
    if (brisk_cache_get(cache, &k, 0, &hit)) {
        size_t size = (size_t)brisk_value_size(hit.value);
        CHECK(size < 64);
        memcpy(text, brisk_value_data(hit.value), size);
        text[size] = '\0';
        *tier = hit.tier;
        brisk_value_unref(hit.value);
    }
    return text;
}

static void wait_for(brisk_cache *cache, const char *key, const char *expected)
{
    char text[64];
    uint32_t tier;
    for (int i = 0; i < 1000 && strcmp(get(cache, key, text, &tier), expected) != 0; i++) {
        redis_server_sleep(10);
    }
    if (strcmp(get(cache, key, text, &tier), expected) != 0) {
        fail_msg("%s is %s, not %s", key, text, expected);
    }
}

static void warm(brisk_cache *cache, const char *key, const char *expected)
{
    char text[64];
    uint32_t tier = 9;
    wait_for(cache, key, expected);
    if (strcmp(get(cache, key, text, &tier), expected) != 0) {
        fail_msg("%s is %s, not %s", key, text, expected);
    }
    CHECK_U64(tier, ==, 0); /* in this machine's memory now */
}

static void test_changes_reach_the_other_machine(void **state)
{
    (void)state;
    if (server.pid == 0) {
        skip();
    }
    char url[128];
    url_of(&server, "redis://", url);
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *one = open_machine(url);
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *two = open_machine(url);
    put(one, "plain", "1", NULL, NULL);
    put(one, "tagged", "1", "group", NULL);
    put(one, "user:7", "1", NULL, NULL);
    put(one, "other", "1", NULL, NULL);
    put(one, "depends", "0", NULL, "source"); /* the first only makes the key count */
    put(one, "depends", "1", NULL, "source");
    warm(two, "plain", "1");
    warm(two, "tagged", "1");
    warm(two, "user:7", "1");
    warm(two, "other", "1");
    warm(two, "depends", "1");
    put(one, "plain", "2", NULL, NULL);
    wait_for(two, "plain", "2");
    CHECK_OK(brisk_cache_invalidate_tag(one, "group", 5));
    wait_for(two, "tagged", "");
    put(one, "tagged", "2", "group", NULL);
    wait_for(two, "tagged", "2");
    CHECK_OK(brisk_cache_invalidate_prefix(two, "user:", 5));
    wait_for(one, "user:7", "");
    wait_for(two, "user:7", "");
    put(two, "source", "changed", NULL, NULL);
    wait_for(two, "depends", "");
    wait_for(one, "depends", "");
    brisk_key key = brisk_key_of("plain", 5);
    CHECK_OK(brisk_cache_remove(two, &key));
    wait_for(one, "plain", "");
    char text[64];
    uint32_t tier;
    assert_string_equal(get(one, "other", text, &tier), "1"); /* nothing else went */
    warm(two, "other", "1");
    CHECK_OK(brisk_cache_clear(one));
    wait_for(two, "other", "");
}

static void test_a_dead_server_costs_nothing_but_hits(void **state)
{
    (void)state;
    if (server.pid == 0) {
        skip();
    }
    char url[128];
    char text[64];
    uint32_t tier;
    redis_server mortal;
    brisk_log_set_sink(quiet, NULL, NULL);
    CHECK(redis_server_start(&mortal, folder->path, NULL));
    BRISK_CLEANUP(brisk_cache_destroy)
    brisk_cache *one = open_machine(url_of(&mortal, "redis://", url));
    put(one, "a", "1", NULL, NULL);
    redis_server_stop(&mortal);
    put(one, "b", "2", NULL, NULL);
    for (int i = 0; i < 200; i++) {
        assert_string_equal(get(one, "a", text, &tier), "1");
        assert_string_equal(get(one, "b", text, &tier), "2");
        assert_string_equal(get(one, "c", text, &tier), "");
    }
    brisk_tier_stats stats;
    brisk_cache_read_stats(one, 1, &stats);
    CHECK(stats.trips >= 1 && stats.skipped > 100);
    brisk_log_set_sink(NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes_reach_the_other_machine),
        cmocka_unit_test(test_a_dead_server_costs_nothing_but_hits),
    };
    folder = temp_dir_make();
    if (!redis_server_start(&server, folder->path, NULL)) {
        server.pid = 0;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_server_stop(&server);
    temp_dir_remove(folder);
    return failed;
}
