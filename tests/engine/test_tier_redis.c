/*
 * test_tier_redis.c -- the tier on a real redis-server: everything that works.
 */
#include <pthread.h>

#include "engine/tier_redis_test.h"
#include "engine/tier_redis_url.h"
#include "support/certificates.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

static temp_dir *folder;
static redis_server server; /* pid 0: there is none */

static void need_server(void)
{
    if (server.pid == 0) {
        skip();
    }
    char line[64];
    redis_server_ask(&server, "FLUSHALL", line, sizeof line);
    assert_string_equal(line, "OK");
}

static void test_urls(void **state)
{
    (void)state;
    redis_url url;
    brisk_errinfo info;
    CHECK_OK(redis_url_parse("redis://", &url, NULL));
    assert_string_equal(url.seeds[0].host, "127.0.0.1");
    CHECK(url.seeds[0].port == 6379 && !url.tls && !url.cluster && url.db == 0);
    CHECK_OK(redis_url_parse("rediss://me:p%40ss%2F@cache.example:7000/3", &url, NULL));
    CHECK(url.tls && url.db == 3 && url.seeds[0].port == 7000);
    assert_string_equal(url.user, "me");
    assert_string_equal(url.password, "p@ss/");
    CHECK_OK(redis_url_parse("redis://:only@[::1]:7/0", &url, NULL));
    assert_string_equal(url.seeds[0].host, "::1");
    assert_string_equal(url.password, "only");
    CHECK_OK(redis_url_parse("redis-cluster://a:1,b:2,c", &url, NULL));
    CHECK(url.cluster && url.seed_count == 3 && url.seeds[2].port == 6379);
    CHECK_OK(redis_url_parse("redis+unix:///run/redis.sock?db=2", &url, NULL));
    CHECK(url.seeds[0].port == 0 && url.db == 2);
    assert_string_equal(url.seeds[0].host, "/run/redis.sock");
    CHECK_OK(redis_url_parse("valkeys://u:secret@h", &url, NULL));
    CHECK(url.tls);
    static const char *const bad[] = {
        "",
        "http://x",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:99999999999",
        "redis://h:12x",
        "redis://h/x",
        "redis://h/1/2",
        "redis://h/-1",
        "redis://h?db=1",
        "redis://:%zz@h",
        "redis://:secret%0@h",
        "redis://:secret%@h",
        "redis://:%00@h",
        "redis://[::1",
        "redis://a,b",
        "redis-cluster://a,b/1",
        "redis+unix://relative",
        "redis+unix:///p?x=1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        info.text[0] = '\0';
        CHECK(redis_url_parse(bad[i], &url, &info) == BRISK_ERR_INVALID);
        CHECK(info.text[0] != '\0' && strstr(info.text, "secret") == NULL);
    }
    char longest[2000] = "redis://:";
    memset(longest + 9, 'a', sizeof longest - 10);
    longest[sizeof longest - 1] = '\0';
    longest[1500] = '@';
    CHECK(redis_url_parse(longest, &url, NULL) == BRISK_ERR_INVALID);
    memmove(longest + 8, longest + 9, sizeof longest - 9);
    longest[1499] = 'a';
    CHECK(redis_url_parse(longest, &url, NULL) == BRISK_ERR_INVALID);
}

static void test_put_get_remove(void **state)
{
    (void)state;
    need_server();
    char url[128];
    char text[256];
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *tier = open_with(&(brisk_redis_tier_opts){.url = url_of(&server, "redis://", url)});
    assert_string_equal(get_text(tier, "a", text), "");
    CHECK_OK(put_text(tier, "a", "one"));
    assert_string_equal(get_text(tier, "a", text), "one");
    CHECK_OK(put_text(tier, "a", "two"));
    assert_string_equal(get_text(tier, "a", text), "two");
    brisk_key key = brisk_key_of("a", 1);
    CHECK_OK(tier->ops->remove(tier, &key));
    assert_string_equal(get_text(tier, "a", text), "");
    CHECK_OK(tier->ops->remove(tier, &key));
    brisk_tier_stats stats = stats_of(tier);
    CHECK(stats.hits == 2 && stats.misses == 2 && stats.puts == 2 && stats.removes == 2);
    CHECK(stats.errors == 0 && stats.corrupt == 0 && stats.get_p50_ns > 0);
    CHECK((tier->flags & BRISK_TIER_SHARED) != 0);
}

static void test_all_of_an_entry_comes_back(void **state)
{
    (void)state;
    need_server();
    uint64_t seed = check_seed();
    char url[128];
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *tier = open_with(&(brisk_redis_tier_opts){.url = url_of(&server, "redis://", url)});
    static unsigned char bytes[300000];
    unsigned char name[600];
    for (int round = 0; round < 60; round++) {
        size_t size = check_random(&seed) % (round % 10 == 0 ? sizeof bytes : 2000);
        size_t name_size = 1 + check_random(&seed) % sizeof name;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (unsigned char)check_random(&seed);
        }
        for (size_t i = 0; i < name_size; i++) {
            name[i] = (unsigned char)check_random(&seed); /* CR, LF and NUL, too */
        }
        brisk_key key = brisk_key_of(name, name_size);
        brisk_entry_opts opts = {
            .flags = BRISK_ENTRY_NEGATIVE | BRISK_ENTRY_TAGGED,
            .meta = "\0meta\r\n",
            .meta_size = 7,
            .cost_ns = 12345,
            .era = 77,
            .expires_at_ns = brisk_clock_wall_ns(NULL) + UINT64_C(3600000000000),
        };
        brisk_value *value;
        CHECK_OK(brisk_value_copy(bytes, size, NULL, &value));
        CHECK_OK(tier->ops->put(tier, &key, value, &opts));
        brisk_hit hit;
        CHECK_OK(tier->ops->get(tier, &key, &hit));
        CHECK_U64(brisk_value_size(hit.value), ==, size);
        CHECK(size == 0 || memcmp(brisk_value_data(hit.value), bytes, size) == 0);
        CHECK(hit.flags == opts.flags && hit.era == 77 && hit.cost_ns == 12345);
        CHECK(hit.expires_at_ns == opts.expires_at_ns && hit.meta_size == 7);
        CHECK(memcmp(hit.meta, "\0meta\r\n", 7) == 0);
        brisk_value_unref(hit.value);
        brisk_value_unref(value);
    }
}

static void test_expiry_is_ours_and_the_servers(void **state)
{
    (void)state;
    need_server();
    char url[128];
    char text[256];
    fake_clock clock;
    fake_clock_init(&clock, 0);
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *tier = open_with(
        &(brisk_redis_tier_opts){.url = url_of(&server, "redis://", url), .clock = &clock.base});
    brisk_key key = brisk_key_of("a", 1);
    brisk_value *value;
    CHECK_OK(brisk_value_copy("v", 1, NULL, &value));
    uint64_t now = clock.base.wall_ns(clock.base.ctx);
    brisk_entry_opts opts = {.expires_at_ns = now + 90 * FAKE_CLOCK_SECOND};
    CHECK_OK(tier->ops->put(tier, &key, value, &opts));
    char line[64];
    redis_server_ask(&server, "PTTL brisk:a", line, sizeof line);
    long ttl = strtol(line, NULL, 10);
    CHECK(ttl > 60000 && ttl <= 90000);
    assert_string_equal(get_text(tier, "a", text), "v");
    fake_clock_advance(&clock, 90 * FAKE_CLOCK_SECOND); /* here time passes faster than there */
    assert_string_equal(get_text(tier, "a", text), "");
    CHECK_U64(stats_of(tier).expired, ==, 1);
    CHECK_OK(tier->ops->put(tier, &key, value, &opts)); /* over already: removes */
    redis_server_ask(&server, "EXISTS brisk:a", line, sizeof line);
    assert_string_equal(line, "0");
    opts.expires_at_ns = 0;
    CHECK_OK(tier->ops->put(tier, &key, value, &opts));
    redis_server_ask(&server, "PTTL brisk:a", line, sizeof line);
    assert_string_equal(line, "-1");
    brisk_value_unref(value);
}

static void test_foreign_bytes_are_misses_and_counted(void **state)
{
    (void)state;
    need_server();
    char url[128];
    char text[256];
    char line[64];
    url_of(&server, "redis://", url);
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *mine = open_with(&(brisk_redis_tier_opts){.url = url});
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *other = open_with(
        &(brisk_redis_tier_opts){.url = url, .key = "another key than mine", .key_size = 21});
    redis_server_ask(&server, "SET brisk:a rubbish", line, sizeof line);
    assert_string_equal(get_text(mine, "a", text), "");
    redis_server_ask(&server, "LPUSH brisk:b rubbish", line, sizeof line);
    assert_string_equal(get_text(mine, "b", text), "!"); /* an error of the server's */
    CHECK_OK(put_text(other, "c", "theirs"));
    assert_string_equal(get_text(other, "c", text), "theirs");
    assert_string_equal(get_text(mine, "c", text), "");
    CHECK_OK(put_text(mine, "d", "mine"));
    redis_server_ask(&server, "RENAME brisk:d brisk:e", line, sizeof line);
    assert_string_equal(get_text(mine, "e", text), ""); /* a good entry, of another key */
    CHECK_OK(put_text(mine, "f", "mine"));
    redis_server_ask(&server, "SETBIT brisk:f 500 1", line, sizeof line);
    redis_server_ask(&server, "SETBIT brisk:f 501 1", line, sizeof line);
    redis_server_ask(&server, "SETBIT brisk:f 502 1", line, sizeof line);
    assert_string_equal(get_text(mine, "f", text), "");
    brisk_tier_stats stats = stats_of(mine);
    CHECK(stats.corrupt == 4 && stats.hits == 0 && stats.errors == 1);
}

static void test_local_and_large_are_declined(void **state)
{
    (void)state;
    need_server();
    char url[128];
    char line[64];
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *tier = open_with(
        &(brisk_redis_tier_opts){.url = url_of(&server, "redis://", url), .value_bytes_max = 1000});
    brisk_key key = brisk_key_of("a", 1);
    static char bytes[1001];
    brisk_value *value;
    CHECK_OK(brisk_value_copy(bytes, sizeof bytes, NULL, &value));
    CHECK(tier->ops->put(tier, &key, value, NULL) == BRISK_ERR_DECLINED);
    brisk_value_unref(value);
    CHECK_OK(brisk_value_copy(bytes, 10, NULL, &value));
    brisk_entry_opts local = {.flags = BRISK_ENTRY_LOCAL};
    CHECK(tier->ops->put(tier, &key, value, &local) == BRISK_ERR_DECLINED);
    brisk_value_unref(value);
    CHECK_U64(stats_of(tier).rejects, ==, 2);
    redis_server_ask(&server, "DBSIZE", line, sizeof line);
    assert_string_equal(line, "0");
}

static void test_clear_reaches_everybody(void **state)
{
    (void)state;
    need_server();
    char url[128];
    char text[256];
    char line[64];
    url_of(&server, "redis://", url);
    for (int events = 0; events < 2; events++) {
        brisk_redis_tier_opts opts = {.url = url, .no_events = events == 0, .prefix = "p*[x]"};
        BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *one = open_with(&opts);
        BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *two = open_with(&opts);
        redis_server_ask(&server, "SET pyx:unrelated kept", line, sizeof line);
        for (int i = 0; i < 50; i++) {
            (void)snprintf(text, sizeof text, "key%d", i);
            CHECK_OK(put_text(one, text, "v"));
        }
        assert_string_equal(get_text(two, "key1", text), "v");
        CHECK_OK(one->ops->clear(one));
        assert_string_equal(get_text(one, "key1", text), "");
        assert_string_equal(get_text(two, "key1", text), "");
        redis_server_ask(&server, "GET pyx:unrelated", line, sizeof line);
        assert_string_equal(line, "kept");
        redis_server_ask(&server, "DBSIZE", line, sizeof line);
        CHECK(strtol(line, NULL, 10) <= 4); /* it, the counters and their logs */
        CHECK_OK(put_text(one, "key1", "again"));
        assert_string_equal(get_text(one, "key1", text), "again");
    }
}

static void test_batches(void **state)
{
    (void)state;
    need_server();
    char url[128];
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *tier = open_with(
        &(brisk_redis_tier_opts){.url = url_of(&server, "redis://", url), .connections = 3});
    enum { N = 1000 };
    static char names[N][16];
    static brisk_key keys[N];
    static brisk_hit hits[N];
    static brisk_shared_item items[N];
    for (int round = 0; round < 2; round++) { /* the second replaces */
        for (int i = 0; i < N; i++) {
            (void)snprintf(names[i], sizeof names[i], "key%d", i);
        }
        for (int i = 0; i < N; i++) {
            keys[i] = brisk_key_of(names[i], strlen(names[i]));
            items[i] = (brisk_shared_item){.key = &keys[i], .hit = &hits[i]};
            CHECK_OK(brisk_value_copy(names[(i + round) % N], strlen(names[(i + round) % N]), NULL,
                                      &items[i].value));
        }
        brisk_redis_put_many(tier, items, N);
        for (int i = 0; i < N; i++) {
            CHECK_OK(items[i].err);
            brisk_value_unref(items[i].value);
        }
        names[500][0] = 'x'; /* one that is not there */
        keys[500] = brisk_key_of(names[500], strlen(names[500]));
        brisk_redis_get_many(tier, items, N);
        for (int i = 0; i < N; i++) {
            if (i == 500) {
                CHECK(items[i].err == BRISK_ERR_NOT_FOUND);
                continue;
            }
            CHECK_OK(items[i].err);
            const char *expected = (i + round) % N == 500 ? "key500" : names[(i + round) % N];
            CHECK_U64(brisk_value_size(hits[i].value), ==, strlen(expected));
            CHECK(memcmp(brisk_value_data(hits[i].value), expected, strlen(expected)) == 0);
            brisk_value_unref(hits[i].value);
        }
    }
    brisk_redis_get_many(tier, items, 0);
}

typedef struct worker {
    pthread_t thread;
    brisk_tier *tier;
    int id;
    int bad;
} worker;

static void *work(void *ctx)
{
    worker *w = ctx;
    uint64_t random = (uint64_t)w->id;
    for (int i = 0; i < 400; i++) {
        char key[32];
        char value[64];
        char text[256];
        (void)snprintf(key, sizeof key, "%d-%d", w->id, (int)(check_random(&random) % 20));
        (void)snprintf(value, sizeof value, "%s=%d", key, i);
        brisk_key k = brisk_key_of(key, strlen(key));
        brisk_value *v = NULL;
        brisk_hit hit;
        if (brisk_value_copy(value, strlen(value), NULL, &v) != BRISK_OK ||
            w->tier->ops->put(w->tier, &k, v, NULL) != BRISK_OK ||
            w->tier->ops->get(w->tier, &k, &hit) != BRISK_OK) {
            w->bad++;
            brisk_value_unref(v);
            continue;
        }
        size_t size = (size_t)brisk_value_size(hit.value);
        memcpy(text, brisk_value_data(hit.value), size);
        w->bad += size != strlen(value) || memcmp(text, value, size) != 0;
        brisk_value_unref(hit.value);
        brisk_value_unref(v);
    }
    return NULL;
}

static void run_workers(brisk_tier *tier)
{
    enum { THREADS = 8 };
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.tier = tier, .id = i};
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
        CHECK(workers[i].bad == 0);
    }
}

static void test_threads_share_connections(void **state)
{
    (void)state;
    need_server();
    char url[128];
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *tier = open_with(
        &(brisk_redis_tier_opts){.url = url_of(&server, "redis://", url), .connections = 2});
    run_workers(tier);
}

static void test_unix_sockets_and_databases(void **state)
{
    (void)state;
    if (server.pid == 0) {
        skip();
    }
    char url[512];
    char text[256];
    char line[64];
    redis_server local;
    const char *path = temp_dir_path(folder, "redis.sock");
    CHECK(redis_server_start(&local, folder->path,
                             (const char *const[]){"--unixsocket", path, NULL}));
    (void)snprintf(url, sizeof url, "redis+unix://%.400s?db=3", path);
    brisk_tier *tier = open_with(&(brisk_redis_tier_opts){.url = url});
    CHECK_OK(put_text(tier, "a", "one"));
    assert_string_equal(get_text(tier, "a", text), "one");
    redis_server_ask(&local, "-n 3 EXISTS brisk:a", line, sizeof line);
    assert_string_equal(line, "1");
    redis_server_ask(&local, "-n 0 EXISTS brisk:a", line, sizeof line);
    assert_string_equal(line, "0");
    brisk_tier_destroy(tier);
    redis_server_stop(&local);
}

static void test_passwords_and_users(void **state)
{
    (void)state;
    if (server.pid == 0) {
        skip();
    }
    char url[256];
    char text[256];
    redis_server locked;
    CHECK(
        redis_server_start(&locked, folder->path,
                           (const char *const[]){"--requirepass", "open sesame", "--user", "alice",
                                                 "on", ">wonder@land", "~*", "&*", "+@all", NULL}));
    static const struct {
        const char *url;
        const char *password;
        bool good;
    } cases[] = {
        {"redis://:open%20sesame@127.0.0.1:", NULL, true},
        {"redis://127.0.0.1:", "open sesame", true},
        {"redis://alice:wonder%40land@127.0.0.1:", NULL, true},
        {"redis://alice@127.0.0.1:", NULL, false},
        {"redis://:wrong@127.0.0.1:", NULL, false},
        {"redis://127.0.0.1:", NULL, false},
    };
    brisk_log_set_sink(quiet, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(url, sizeof url, "%s%u", cases[i].url, locked.port);
        for (int events = 0; events < 2; events++) {
            brisk_tier *tier =
                open_with(&(brisk_redis_tier_opts){.url = url,
                                                   .password = cases[i].password,
                                                   .no_events = events == 0,
                                                   .timeout_ns = 1000000000,
                                                   .connect_timeout_ns = 1000000000});
            brisk_key key = brisk_key_of("a", 1);
            brisk_hit hit;
            brisk_err err = tier->ops->get(tier, &key, &hit);
            CHECK(cases[i].good ? err == BRISK_ERR_NOT_FOUND
                                : err < 0 && err != BRISK_ERR_NOT_FOUND);
            if (cases[i].good) {
                CHECK_OK(put_text(tier, "a", "v"));
                assert_string_equal(get_text(tier, "a", text), "v");
                CHECK_OK(tier->ops->remove(tier, &key));
            }
            brisk_tier_destroy(tier);
        }
    }
    brisk_log_set_sink(NULL, NULL, NULL);
    redis_server_stop(&locked);
}

static void test_tls(void **state)
{
    (void)state;
    if (server.pid == 0 || !certificates_make(folder->path)) {
        skip();
    }
    redis_server safe;
    CHECK(redis_server_start_at(
        &safe, folder->path, redis_server_free_port(), true,
        (const char *const[]){"--tls-cert-file", temp_dir_path(folder, "server.pem"),
                              "--tls-key-file", temp_dir_path(folder, "server.key"),
                              "--tls-ca-cert-file", temp_dir_path(folder, "ca.pem"), NULL}));
    char url[128];
    char text[256];
    brisk_redis_tier_opts opts = {
        .url = url_of(&safe, "rediss://", url),
        .tls_ca_file = temp_dir_path(folder, "ca.pem"),
        .tls_cert_file = temp_dir_path(folder, "client.pem"),
        .tls_key_file = temp_dir_path(folder, "client.key"),
    };
    brisk_tier *tier = open_with(&opts);
    CHECK_OK(put_text(tier, "a", "one"));
    assert_string_equal(get_text(tier, "a", text), "one");
    static char large[500000];
    brisk_key key = brisk_key_of("large", 5);
    brisk_value *value;
    uint64_t random = 5;
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = (char)check_random(&random);
    }
    CHECK_OK(brisk_value_copy(large, sizeof large, NULL, &value));
    CHECK_OK(tier->ops->put(tier, &key, value, NULL));
    brisk_value_unref(value);
    brisk_hit hit;
    CHECK_OK(tier->ops->get(tier, &key, &hit));
    CHECK(memcmp(brisk_value_data(hit.value), large, sizeof large) == 0);
    brisk_value_unref(hit.value);
    run_workers(tier);
    brisk_tier_destroy(tier);
    brisk_log_set_sink(quiet, NULL, NULL);
    opts.tls_ca_file = temp_dir_path(folder, "other.pem"); /* not who signed it */
    opts.no_events = true;
    tier = open_with(&opts);
    CHECK(put_text(tier, "a", "secret") == BRISK_ERR_PERMISSION);
    brisk_tier_destroy(tier);
    opts.tls_ca_file = temp_dir_path(folder, "ca.pem");
    opts.tls_cert_file = NULL; /* the server wants one */
    opts.tls_key_file = NULL;
    tier = open_with(&opts);
    CHECK(put_text(tier, "a", "secret") != BRISK_OK);
    brisk_tier_destroy(tier);
    brisk_log_set_sink(NULL, NULL, NULL);
    redis_server_stop(&safe);
}

static void test_options_are_checked(void **state)
{
    (void)state;
    brisk_tier *tier = NULL;
    brisk_errinfo info = {.text = ""};
    const brisk_redis_tier_opts bad[] = {
        {.key = TIER_KEY, .key_size = 32},
        {.url = "redis://"},
        {.url = "redis://", .key = TIER_KEY, .key_size = 15},
        {.url = "redis://", .key = TIER_KEY, .key_size = 32, .unsealed = true},
        {.url = "redis://", .unsealed = true, .prefix = ""},
        {.url = "redis://", .unsealed = true, .connections = 17},
        {.url = "redis://", .unsealed = true, .name = "a name that is too long"},
        {.url = "redis:/", .unsealed = true},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(brisk_redis_tier_open(&bad[i], &tier, &info) == BRISK_ERR_INVALID);
        CHECK(info.text[0] != '\0');
    }
    brisk_redis_tier_opts tls = {
        .url = "rediss://", .unsealed = true, .tls_ca_file = "/nonexistent"};
    CHECK(brisk_redis_tier_open(&tls, &tier, &info) == BRISK_ERR_IO);
    CHECK(tier == NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    need_server();
    char url[128];
    brisk_key key = brisk_key_of("a", 1);
    static char bytes[3000];
    brisk_value *value;
    CHECK_OK(brisk_value_copy(bytes, sizeof bytes, NULL, &value));
    brisk_log_set_sink(quiet, NULL, NULL);
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t fail_after = 0;
    for (bool all = false; !all; fail_after++) { /* some it can do without: those of zstd */
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_tier *tier = NULL;
        if (fail_after == 199)
            print_message("err %d\n", (int)err);
        err = brisk_redis_tier_open(
            &(brisk_redis_tier_opts){.url = url_of(&server, "redis://", url),
                                     .unsealed = true,
                                     .no_events =
                                         true, /* one thread: the n-th is always the same */
                                     .alloc = &fault.base},
            &tier, NULL);
        if (err == BRISK_OK) {
            err = tier->ops->put(tier, &key, value, NULL);
            brisk_hit hit = {.value = NULL};
            brisk_err got = tier->ops->get(tier, &key, &hit);
            CHECK(got != BRISK_OK || brisk_value_size(hit.value) == sizeof bytes);
            err = err == BRISK_OK ? got : err;
            brisk_value_unref(hit.value);
        }
        brisk_tier_destroy(tier);
        CHECK_U64(fault.bytes_held, ==, 0);
        all = fault.fail_after <= fail_after; /* none failed */
    }
    brisk_log_set_sink(NULL, NULL, NULL);
    brisk_value_unref(value);
    CHECK(err == BRISK_OK && fail_after > 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_put_get_remove),
        cmocka_unit_test(test_all_of_an_entry_comes_back),
        cmocka_unit_test(test_expiry_is_ours_and_the_servers),
        cmocka_unit_test(test_foreign_bytes_are_misses_and_counted),
        cmocka_unit_test(test_local_and_large_are_declined),
        cmocka_unit_test(test_clear_reaches_everybody),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_threads_share_connections),
        cmocka_unit_test(test_unix_sockets_and_databases),
        cmocka_unit_test(test_passwords_and_users),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_every_allocation_may_fail),
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
