/*
 * test_shared.c -- knobs to shared tiers: what is opened, what is left out and said so.
 */
#include <sys/stat.h>

#include <brisk/engine.h>

#include "engine/tier_redis_test.h"
#include "support/http_server.h"

static char said[4096]; /* what was logged */

static void listen_to(void *ctx, brisk_log_level level, const char *area, const char *line)
{
    (void)ctx;
    (void)level;
    (void)area;
    size_t used = strlen(said);
    (void)snprintf(said + used, sizeof said - used, "%s\n", line);
}

static brisk_engine *open_engine(const char *const *settings, uint32_t count)
{
    brisk_engine *engine = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_engine_opts opts = {
        .no_files = true, .no_disk = true, .settings = settings, .setting_count = count};
    if (brisk_engine_create(&opts, &engine, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return engine;
}

static const char *write_file(temp_dir *dir, const char *name, const char *text, mode_t mode)
{
    const char *path = temp_dir_path(dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs(text, file);
    CHECK(fclose(file) == 0 && chmod(path, mode) == 0);
    return path;
}

static void test_tiers_stand_in_the_order_of_the_urls(void **state)
{
    (void)state;
    static http_server web;
    redis_server server;
    char urls[256];
    char key[512];
    if (!redis_server_is_there("redis-server")) {
        skip(); /* before there is anything to clean up */
    }
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    CHECK(redis_server_start(&server, dir->path, NULL));
    http_server_start(&web);
    (void)snprintf(urls, sizeof urls,
                   "cache.shared.url= redis://127.0.0.1:%u  http://127.0.0.1:%u/x "
                   "redis://127.0.0.1:%u/1 ",
                   server.port, web.port, server.port);
    (void)snprintf(key, sizeof key, "cache.shared.key_file=%s",
                   write_file(dir, "key", "0123456789abcdef0\n", 0600));
    const char *settings[] = {urls, key, "cache.shared.timeout=5s", "cache.shared.prefix=t"};
    brisk_engine *engine = open_engine(settings, 4);
    brisk_cache *cache = brisk_engine_cache(engine);
    CHECK_U64(brisk_cache_tier_count(cache), ==, 4);
    static const char *const names[] = {"memory", "redis", "http", "redis-2"};
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(brisk_cache_tier(cache, i)->name, names[i]);
    }
    brisk_key k = brisk_key_of("a", 1);
    brisk_hit none;
    CHECK(!brisk_cache_get(cache, &k, 0, &none)); /* waits for the first word of each Redis */
    brisk_value *value;
    CHECK_OK(brisk_value_copy("v", 1, NULL, &value));
    brisk_cache_put(cache, &k, value, NULL);
    brisk_value_unref(value);
    for (uint32_t i = 0; i < 4; i++) {
        brisk_hit hit;
        CHECK(brisk_cache_get(cache, &k, 1u << i, &hit));
        CHECK_U64(hit.tier, ==, i);
        brisk_value_unref(hit.value);
    }
    char line[64];
    redis_server_ask(&server, "EXISTS t:a", line, sizeof line);
    assert_string_equal(line, "1");
    /* Without its line's end: the key of the file is what seals. */
    char url[64];
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%u", server.port);
    brisk_tier *other = open_with(&(brisk_redis_tier_opts){
        .url = url, .prefix = "t", .key = "0123456789abcdef0", .key_size = 17});
    char text[256];
    assert_string_equal(get_text(other, "a", text), "v");
    brisk_tier_destroy(other);
    brisk_engine_destroy(engine);
    http_server_stop(&web);
    redis_server_stop(&server);
}

static void check_left_out(const char *const *settings, uint32_t count, const char *word)
{
    said[0] = '\0';
    brisk_log_set_sink(listen_to, NULL, NULL);
    brisk_engine *engine = open_engine(settings, count);
    CHECK_U64(brisk_cache_tier_count(brisk_engine_cache(engine)), ==, 1);
    brisk_engine_destroy(engine);
    brisk_log_set_sink(NULL, NULL, NULL);
    if (strstr(said, word) == NULL || strstr(said, "hunter2") != NULL) {
        fail_msg("'%s' not in '%s'", word, said);
    }
}

static void test_what_cannot_be_had_is_left_out(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char key[512];
    char empty[512];
    (void)snprintf(key, sizeof key, "cache.shared.key_file=%s",
                   write_file(dir, "short", "too short\n", 0600));
    (void)snprintf(empty, sizeof empty, "cache.shared.key_file=%s",
                   write_file(dir, "empty", "", 0600));
    const char *url = "cache.shared.url=redis://:hunter2@127.0.0.1:1";
    const char *no_key[] = {url};
    check_left_out(no_key, 1, "cache.shared.key_file names no key");
    const char *short_key[] = {url, key};
    check_left_out(short_key, 2, "16 bytes");
    const char *empty_key[] = {url, empty};
    check_left_out(empty_key, 2, "cannot be read");
    const char *no_file[] = {url, "cache.shared.key_file=/nonexistent/key"};
    check_left_out(no_file, 2, "/nonexistent/key cannot be read");
    const char *bad_url[] = {"cache.shared.url=gopher://hunter2", "cache.shared.unsealed=on"};
    check_left_out(bad_url, 2, "does not begin with redis://");
    const char *announce[] = {url, "cache.shared.unsealed=on", "cache.shared.announce=loudly"};
    check_left_out(announce, 3, "replaced, all or none");
    const char *none[] = {"cache.shared.unsealed=on"};
    check_left_out(none, 1, "");
}

static void test_too_many_are_left_out(void **state)
{
    (void)state;
    const char *settings[] = {
        "cache.shared.url=http://a http://b http://c http://d http://e http://f http://g http://h",
        "cache.shared.unsealed=on"};
    said[0] = '\0';
    brisk_log_set_sink(listen_to, NULL, NULL);
    brisk_engine *engine = open_engine(settings, 2);
    CHECK_U64(brisk_cache_tier_count(brisk_engine_cache(engine)), ==, BRISK_CACHE_TIERS_MAX);
    assert_string_equal(brisk_cache_tier(brisk_engine_cache(engine), 7)->name, "http-7");
    brisk_engine_destroy(engine);
    brisk_log_set_sink(NULL, NULL, NULL);
    CHECK(strstr(said, "no more than 8 tiers") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiers_stand_in_the_order_of_the_urls),
        cmocka_unit_test(test_what_cannot_be_had_is_left_out),
        cmocka_unit_test(test_too_many_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
