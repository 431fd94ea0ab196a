/*
 * test_tier_http.c -- the tier on a web server that keeps things, and on one that misbehaves.
 */
#include <string.h>

#include <brisk/log.h>
#include <brisk/memory.h>
#include <brisk/shared.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"
#include "support/http_server.h"
#include "support/redis_server.h"
#include "support/temp_dir.h"

#define TIER_KEY "0123456789abcdef0123456789abcdef"

static brisk_tier *open_with(const http_server *s, const brisk_http_tier_opts *opts)
{
    brisk_http_tier_opts o = *opts;
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/cache/", s->port);
    o.url = url;
    if (o.key == NULL && !o.unsealed && o.verify == NULL) {
        o.key = TIER_KEY;
        o.key_size = strlen(TIER_KEY);
    }
    o.timeout_ns = o.timeout_ns != 0 ? o.timeout_ns : UINT64_C(5000000000);
    brisk_tier *tier = NULL;
    brisk_errinfo info = {.text = ""};
    if (brisk_http_tier_open(&o, &tier, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return tier;
}

static brisk_err put_opts(brisk_tier *tier, const char *key, const char *text,
                          const brisk_entry_opts *opts)
{
    brisk_key k = brisk_key_of(key, strlen(key));
    brisk_value *value;
    CHECK_OK(brisk_value_copy(text, strlen(text), NULL, &value));
    brisk_err err = tier->ops->put(tier, &k, value, opts);
    brisk_value_unref(value);
    return err;
}

static brisk_err get_hit(brisk_tier *tier, const char *key, char text[64], brisk_hit *hit)
{
    brisk_key k = brisk_key_of(key, strlen(key));
    brisk_err err = tier->ops->get(tier, &k, hit);
    text[0] = '\0';
    if (err == BRISK_OK) {
        size_t size = (size_t)brisk_value_size(hit->value);
        CHECK(size < 64);
        memcpy(text, brisk_value_data(hit->value), size);
        text[size] = '\0';
        brisk_value_unref(hit->value);
    }
    return err;
}

static void check_text(brisk_tier *tier, const char *key, const char *expected)
{
    char text[64];
    brisk_hit hit;
    brisk_err err = get_hit(tier, key, text, &hit);
    CHECK(err == (expected[0] != '\0' ? BRISK_OK : BRISK_ERR_NOT_FOUND));
    assert_string_equal(text, expected);
}

static brisk_tier_stats stats_of(brisk_tier *tier)
{
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    return stats;
}

static void test_put_get_remove(void **state)
{
    (void)state;
    static http_server s;
    http_server_start(&s);
    brisk_tier *tier = open_with(&s, &(brisk_http_tier_opts){.bearer = "token"});
    CHECK((tier->flags & (BRISK_TIER_SHARED | BRISK_TIER_KEYED)) ==
          (BRISK_TIER_SHARED | BRISK_TIER_KEYED));
    check_text(tier, "a", "");
    CHECK_OK(put_opts(tier, "a", "one", NULL));
    check_text(tier, "a", "one");
    CHECK_OK(put_opts(tier, "a", "two", NULL));
    check_text(tier, "a", "two");
    brisk_key key = brisk_key_of("a", 1);
    CHECK_OK(tier->ops->remove(tier, &key));
    check_text(tier, "a", "");
    CHECK_OK(tier->ops->remove(tier, &key));
    brisk_tier_stats stats = stats_of(tier);
    CHECK(stats.hits == 2 && stats.misses == 2 && stats.puts == 2 && stats.removes == 2);
    CHECK(stats.errors == 0 && stats.corrupt == 0 && stats.get_p50_ns > 0);
    CHECK(s.get_count == 4 && s.puts == 2 && s.deletes == 2 && s.authorized == 8);
    brisk_tier_destroy(tier);
    http_server_stop(&s);
}

static void test_values_of_all_sizes(void **state)
{
    (void)state;
    static http_server s;
    static unsigned char bytes[1000000];
    uint64_t seed = check_seed();
    http_server_start(&s);
    brisk_tier *tier = open_with(&s, &(brisk_http_tier_opts){.zstd_level = -1});
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)check_random(&seed);
    }
    static const size_t sizes[] = {0, 1, 1000, 20000, 262144, 999999};
    for (int chunked = 0; chunked < 2; chunked++) {
        atomic_store(&s.way, chunked ? HTTP_CHUNKED : HTTP_GOOD);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            brisk_key key = brisk_key_of(&sizes[i], sizeof sizes[i]);
            brisk_value *value;
            brisk_hit hit;
            CHECK_OK(brisk_value_copy(bytes, sizes[i], NULL, &value));
            if (!chunked) {
                CHECK_OK(tier->ops->put(tier, &key, value, NULL));
            }
            brisk_value_unref(value);
            for (int again = 0; again < 2; again++) {
                CHECK_OK(tier->ops->get(tier, &key, &hit));
                CHECK_U64(brisk_value_size(hit.value), ==, sizes[i]);
                CHECK(memcmp(brisk_value_data(hit.value), bytes, sizes[i]) == 0);
                brisk_value_unref(hit.value);
            }
        }
    }
    CHECK(s.not_modified > 0);
    brisk_tier_destroy(tier);
    http_server_stop(&s);
}

static void test_etags_save_bodies(void **state)
{
    (void)state;
    static http_server s;
    http_server_start(&s);
    brisk_tier *tier = open_with(&s, &(brisk_http_tier_opts){.name = "cdn"});
    brisk_tier *other = open_with(&s, &(brisk_http_tier_opts){.name = "cdn"});
    CHECK_OK(put_opts(tier, "a", "one", NULL));
    check_text(tier, "a", "one");
    CHECK_U64(s.not_modified, ==, 1); /* known from the put */
    check_text(other, "a", "one");
    CHECK_U64(s.not_modified, ==, 1);
    check_text(other, "a", "one");
    CHECK_U64(s.not_modified, ==, 2);
    CHECK_OK(put_opts(tier, "a", "two", NULL)); /* another ETag */
    check_text(other, "a", "two");
    CHECK_U64(s.not_modified, ==, 2);
    CHECK_OK(tier->ops->clear(tier));
    check_text(tier, "a", "");
    CHECK_U64(s.not_modified, ==, 2);
    CHECK_OK(put_opts(tier, "a", "three", NULL));
    check_text(tier, "a", "three");
    check_text(other, "a", "three");
    /* 304 to a question that was not asked is no answer. */
    CHECK_OK(tier->ops->clear(tier));
    atomic_store(&s.status, 304);
    atomic_store(&s.way, HTTP_STATUS);
    char text[64];
    brisk_hit hit;
    CHECK(get_hit(tier, "b", text, &hit) == BRISK_ERR_IO);
    brisk_tier_destroy(tier);
    brisk_tier_destroy(other);
    http_server_stop(&s);
}

static void test_large_values_are_not_sent_twice(void **state)
{
    (void)state;
    static http_server s;
    static char bytes[200000];
    http_server_start(&s);
    brisk_tier *tier = open_with(&s, &(brisk_http_tier_opts){.zstd_level = -1});
    brisk_key key = brisk_key_of("large", 5);
    brisk_value *value;
    CHECK_OK(brisk_value_copy(bytes, sizeof bytes, NULL, &value));
    CHECK_OK(tier->ops->put(tier, &key, value, NULL));
    CHECK_OK(tier->ops->put(tier, &key, value, NULL));
    CHECK(s.puts == 1 && s.heads == 2);
    brisk_value_unref(value);
    bytes[5] = 1;
    CHECK_OK(brisk_value_copy(bytes, sizeof bytes, NULL, &value));
    CHECK_OK(tier->ops->put(tier, &key, value, NULL));
    CHECK_U64(s.puts, ==, 2);
    brisk_value_unref(value);
    brisk_tier_destroy(tier);
    http_server_stop(&s);
}

static void test_an_answer_lives_as_long_as_its_bearer_says(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        uint64_t seconds; /* of life after now; 0: as the entry says; 1 ns: at once */
    } cases[] = {
        {"", 0},
        {"Cache-Control: max-age=60\r\n", 60},
        {"Cache-Control: max-age=60\r\nAge: 50\r\n", 10},
        {"cache-control:public,MAX-AGE=60 , foo=bar\r\nAGE: 50\r\n", 10},
        {"Cache-Control: max-age=5, s-maxage=90\r\n", 90},
        {"Cache-Control: s-maxage=90\r\nCache-Control: max-age=5\r\n", 90},
        {"Cache-Control: max-age=99999999999999999999\r\n", 0},
        {"Cache-Control: max-age=x\r\nAge: -1\r\n", 0},
        {"Cache-Control: max-age=60\r\nAge: 60\r\n", 1},
        {"Cache-Control: no-store\r\n", 1},
        {"Cache-Control: max-age=60, no-cache\r\n", 1},
        {"Cache-Control: private\r\n", 1},
    };
    static http_server s;
    fake_clock clock;
    fake_clock_init(&clock, 0);
    http_server_start(&s);
    brisk_tier *tier = open_with(&s, &(brisk_http_tier_opts){.clock = &clock.base});
    uint64_t now = clock.base.wall_ns(clock.base.ctx);
    brisk_entry_opts opts = {.expires_at_ns = now + 1000 * FAKE_CLOCK_SECOND};
    CHECK_OK(put_opts(tier, "a", "v", &opts));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        brisk_hit hit;
        atomic_store(&s.headers, cases[i].headers);
        CHECK_OK(get_hit(tier, "a", text, &hit));
        uint64_t seconds = cases[i].seconds;
        uint64_t expected = seconds == 0   ? opts.expires_at_ns
                            : seconds == 1 ? now + 1
                                           : now + seconds * FAKE_CLOCK_SECOND;
        CHECK_U64(hit.expires_at_ns, ==, expected);
    }
    fake_clock_advance(&clock, 1000 * FAKE_CLOCK_SECOND);
    check_text(tier, "a", "");
    CHECK_U64(stats_of(tier).expired, ==, 1);
    brisk_tier_destroy(tier);
    http_server_stop(&s);
}

static void flip(http_server *s, http_object *object, size_t at)
{
    (void)pthread_mutex_lock(&s->lock);
    object->body[at] ^= 1;
    object->etag++;
    (void)pthread_mutex_unlock(&s->lock);
}

static void test_foreign_bytes_are_misses_and_counted(void **state)
{
    (void)state;
    static http_server s;
    http_server_start(&s);
    brisk_tier *mine = open_with(&s, &(brisk_http_tier_opts){.zstd_level = -1});
    brisk_tier *other =
        open_with(&s, &(brisk_http_tier_opts){.key = "somebody else's key", .key_size = 19});
    brisk_tier *open = open_with(&s, &(brisk_http_tier_opts){.unsealed = true});
    CHECK_OK(put_opts(other, "a", "theirs", NULL));
    check_text(mine, "a", "");
    CHECK_OK(put_opts(open, "a", "anybody's", NULL));
    check_text(mine, "a", "");
    check_text(open, "a", "anybody's");
    CHECK_OK(put_opts(mine, "a", "mine", NULL));
    check_text(open, "a", "");
    CHECK_U64(stats_of(mine).corrupt, ==, 2);
    CHECK_U64(stats_of(mine).errors, ==, 0);
    http_object *object = &s.objects[0]; /* the only one */
    for (size_t at = 0; at < object->size; at++) {
        flip(&s, object, at);
        check_text(mine, "a", "");
        flip(&s, object, at);
    }
    check_text(mine, "a", "mine");
    brisk_tier_destroy(mine);
    brisk_tier_destroy(other);
    brisk_tier_destroy(open);
    http_server_stop(&s);
}

/* A community tier: whoever asks knows what a good answer is. */
static bool is_upper(void *ctx, const brisk_key *key, const void *data, size_t size)
{
    (void)key;
    (*(int *)ctx)++;
    return size > 0 && *(const char *)data >= 'A' && *(const char *)data <= 'Z';
}

static void test_public_answers_prove_themselves(void **state)
{
    (void)state;
    static http_server s;
    int calls = 0;
    http_server_start(&s);
    brisk_tier *author = open_with(&s, &(brisk_http_tier_opts){.unsealed = true});
    brisk_tier *reader = open_with(
        &s, &(brisk_http_tier_opts){.verify = is_upper, .verify_ctx = &calls, .read_only = true});
    CHECK_OK(put_opts(author, "a", "Good", NULL));
    CHECK_OK(put_opts(author, "b", "bad", NULL));
    check_text(reader, "a", "Good");
    check_text(reader, "b", "");
    CHECK(calls == 2 && stats_of(reader).corrupt == 1);
    CHECK(put_opts(reader, "c", "mine", NULL) == BRISK_ERR_DECLINED);
    brisk_key key = brisk_key_of("a", 1);
    CHECK_OK(reader->ops->remove(reader, &key));
    CHECK(s.deletes == 0 && s.puts == 2);
    brisk_tier_destroy(author);
    brisk_tier_destroy(reader);
    http_server_stop(&s);
}

static void test_purge_is_sent_where_asked_for(void **state)
{
    (void)state;
    static http_server s;
    http_server_start(&s);
    brisk_tier *tier = open_with(&s, &(brisk_http_tier_opts){.purge = true});
    brisk_key key = brisk_key_of("a", 1);
    CHECK_OK(put_opts(tier, "a", "v", NULL));
    CHECK_OK(tier->ops->remove(tier, &key));
    CHECK(s.purges == 2 && s.deletes == 0);
    brisk_tier_destroy(tier);
    http_server_stop(&s);
}

static void test_bad_servers_are_errors(void **state)
{
    (void)state;
    static const struct {
        http_way way;
        int status;
        brisk_err get;
        brisk_err put;
    } cases[] = {
        {HTTP_STATUS, 500, BRISK_ERR_IO, BRISK_ERR_IO},
        {HTTP_STATUS, 503, BRISK_ERR_IO, BRISK_ERR_IO},
        {HTTP_STATUS, 429, BRISK_ERR_IO, BRISK_ERR_IO},
        {HTTP_STATUS, 301, BRISK_ERR_IO, BRISK_ERR_IO},
        {HTTP_STATUS, 204, BRISK_ERR_IO, BRISK_OK},
        {HTTP_STATUS, 404, BRISK_ERR_NOT_FOUND, BRISK_ERR_IO},
        {HTTP_STATUS, 410, BRISK_ERR_NOT_FOUND, BRISK_ERR_IO},
        {HTTP_STATUS, 403, BRISK_ERR_PERMISSION, BRISK_ERR_PERMISSION},
        {HTTP_STATUS, 401, BRISK_ERR_PERMISSION, BRISK_ERR_PERMISSION},
        {HTTP_STATUS, 405, BRISK_ERR_IO, BRISK_ERR_UNSUPPORTED},
        {HTTP_STATUS, 413, BRISK_ERR_IO, BRISK_ERR_DECLINED},
        {HTTP_STATUS, 507, BRISK_ERR_IO, BRISK_ERR_FULL},
        {HTTP_STATUS, 200, BRISK_ERR_NOT_FOUND, BRISK_OK}, /* empty: corrupt */
        {HTTP_STALL, 0, BRISK_ERR_DEADLINE, BRISK_ERR_DEADLINE},
        {HTTP_SHORT, 0, BRISK_ERR_IO, BRISK_OK},
        {HTTP_LONG, 0, BRISK_ERR_NOT_FOUND, BRISK_OK}, /* cut: corrupt */
        {HTTP_CLOSE, 0, BRISK_ERR_IO, BRISK_ERR_IO},
        {HTTP_GARBAGE, 0, BRISK_ERR_IO, BRISK_ERR_IO},
        {HTTP_ENDLESS, 0, BRISK_ERR_LIMIT, BRISK_ERR_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static http_server s;
        char text[64];
        brisk_hit hit;
        http_server_start(&s);
        brisk_tier *tier = open_with(
            &s, &(brisk_http_tier_opts){
                    .value_bytes_max = 100000,
                    .timeout_ns = cases[i].way == HTTP_STALL ? 50000000 : UINT64_C(20000000000),
                    .connect_timeout_ns = 50000000});
        brisk_tier *before = open_with(&s, &(brisk_http_tier_opts){.value_bytes_max = 1000});
        CHECK_OK(put_opts(before, "a", "a value", NULL));
        brisk_tier_destroy(before);
        atomic_store(&s.status, cases[i].status);
        atomic_store(&s.way, cases[i].way);
        brisk_err err = get_hit(tier, "a", text, &hit);
        if (err != cases[i].get) {
            fail_msg("get %zu: %s", i, brisk_err_name(err));
        }
        err = cases[i].way == HTTP_ENDLESS ? BRISK_ERR_IO : put_opts(tier, "b", "v", NULL);
        if (err != cases[i].put && !(cases[i].way >= HTTP_SHORT && err == BRISK_ERR_IO)) {
            fail_msg("put %zu: %s", i, brisk_err_name(err));
        }
        atomic_store(&s.stop, true);
        brisk_tier_destroy(tier);
        http_server_stop(&s);
    }
    brisk_tier *tier = NULL;
    brisk_hit hit;
    char text[64];
    CHECK_OK(brisk_http_tier_open(
        &(brisk_http_tier_opts){.url = "http://127.0.0.1:1/x", .unsealed = true}, &tier, NULL));
    CHECK(get_hit(tier, "a", text, &hit) == BRISK_ERR_IO);
    brisk_tier_destroy(tier);
}

/* In a stack the generation is part of the key: what was invalidated is not asked for any more. */
static void test_in_a_stack_invalidated_entries_are_left_behind(void **state)
{
    (void)state;
    static http_server s;
    http_server_start(&s);
    brisk_tier *tiers[1] = {open_with(&s, &(brisk_http_tier_opts){.name = "cdn"})};
    brisk_cache *cache = NULL;
    CHECK_OK(brisk_cache_create(&(brisk_cache_opts){.tiers = tiers, .tier_count = 1}, &cache));
    brisk_key key = brisk_key_of("page", 4);
    brisk_tag tag = {.bytes = "site", .size = 4};
    brisk_entry_opts opts = {.tags = &tag, .tag_count = 1};
    brisk_get_opts get = {.tags = &tag, .tag_count = 1};
    brisk_value *value;
    brisk_hit hit;
    CHECK_OK(brisk_value_copy("v", 1, NULL, &value));
    brisk_cache_put(cache, &key, value, &opts);
    CHECK(brisk_cache_get_with(cache, &key, &get, &hit));
    brisk_value_unref(hit.value);
    CHECK(!brisk_cache_get(cache, &key, 0, &hit)); /* without its tags it has another name */
    CHECK_OK(brisk_cache_invalidate_tag(cache, "site", 4));
    CHECK(!brisk_cache_get_with(cache, &key, &get, &hit));
    brisk_cache_put(cache, &key, value, &opts);
    CHECK(brisk_cache_get_with(cache, &key, &get, &hit));
    brisk_value_unref(hit.value);
    CHECK_OK(brisk_cache_clear(cache));
    CHECK(!brisk_cache_get_with(cache, &key, &get, &hit));
    opts.flags = BRISK_ENTRY_LOCAL;
    uint32_t puts = s.puts;
    brisk_cache_put(cache, &key, value, &opts);
    CHECK_U64(s.puts, ==, puts);
    brisk_value_unref(value);
    brisk_cache_destroy(cache);
    http_server_stop(&s);
}

static void test_options_are_checked(void **state)
{
    (void)state;
    static const char *const headers[] = {"X: 1\r\nY: 2"};
    static const char *const nameless[] = {": x"};
    const brisk_http_tier_opts bad[] = {
        {.unsealed = true},
        {.url = "ftp://host/x", .unsealed = true},
        {.url = "http://host/x"},
        {.url = "http://", .unsealed = true},
        {.url = "https:///x", .unsealed = true},
        {.url = "http://host/x", .key = "short", .key_size = 5},
        {.url = "http://host/x", .key = TIER_KEY, .key_size = 32, .unsealed = true},
        {.url = "http://host/x?y", .unsealed = true},
        {.url = "http://host/x y", .unsealed = true},
        {.url = "http://host", .unsealed = true, .name = "a name that is too long"},
        {.url = "http://host", .unsealed = true, .headers = headers, .header_count = 1},
        {.url = "http://host", .unsealed = true, .headers = nameless, .header_count = 1},
        {.url = "http://host", .unsealed = true, .headers = headers, .header_count = 16},
        {.url = "http://host", .unsealed = true, .bearer = "a\r\nb"},
    };
    brisk_tier *tier = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        brisk_errinfo info = {.text = ""};
        CHECK(brisk_http_tier_open(&bad[i], &tier, &info) == BRISK_ERR_INVALID);
        CHECK(info.text[0] != '\0');
    }
    CHECK(tier == NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static http_server s;
    brisk_key key = brisk_key_of("a", 1);
    static char bytes[30000];
    brisk_value *value;
    http_server_start(&s);
    CHECK_OK(brisk_value_copy(bytes, sizeof bytes, NULL, &value));
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t fail_after = 0;
    for (bool all = false; !all; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        char url[64];
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", s.port);
        brisk_tier *tier = NULL;
        err = brisk_http_tier_open(&(brisk_http_tier_opts){.url = url,
                                                           .unsealed = true,
                                                           .bearer = "token",
                                                           .zstd_level = -1,
                                                           .alloc = &fault.base},
                                   &tier, NULL);
        if (err == BRISK_OK) {
            err = tier->ops->put(tier, &key, value, NULL);
            for (int i = 0; i < 2; i++) {
                brisk_hit hit = {.value = NULL};
                brisk_err got = tier->ops->get(tier, &key, &hit);
                CHECK(got != BRISK_OK || brisk_value_size(hit.value) == sizeof bytes);
                err = err == BRISK_OK ? got : err;
                brisk_value_unref(hit.value);
            }
        }
        brisk_tier_destroy(tier);
        CHECK_U64(fault.bytes_held, ==, 0);
        all = fault.fail_after <= fail_after; /* none failed */
    }
    brisk_value_unref(value);
    CHECK(err == BRISK_OK && fail_after > 8);
    http_server_stop(&s);
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
    for (int i = 0; i < 20; i++) {
        char key[16];
        char text[64];
        brisk_hit hit;
        (void)snprintf(key, sizeof key, "%d", w->id);
        (void)snprintf(text, sizeof text, "%d.%d", w->id, i);
        brisk_key k = brisk_key_of(key, strlen(key));
        brisk_value *value = NULL;
        if (brisk_value_copy(text, strlen(text), NULL, &value) != BRISK_OK ||
            w->tier->ops->put(w->tier, &k, value, NULL) != BRISK_OK ||
            w->tier->ops->get(w->tier, &k, &hit) != BRISK_OK) {
            w->bad++;
        } else {
            w->bad += memcmp(brisk_value_data(hit.value), text, strlen(text)) != 0;
            brisk_value_unref(hit.value);
        }
        brisk_value_unref(value);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    static http_server s;
    worker workers[THREADS];
    http_server_start(&s);
    brisk_tier *tier = open_with(&s, &(brisk_http_tier_opts){.timeout_ns = UINT64_C(20000000000)});
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.tier = tier, .id = i};
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
        CHECK(workers[i].bad == 0);
    }
    brisk_tier_destroy(tier);
    http_server_stop(&s);
}

/* nginx with DAV, where there is one: BRISK_TEST_NGINX, or Debian's place. */
static const char *find_nginx(void)
{
    const char *program = getenv("BRISK_TEST_NGINX");
    program = program != NULL ? program : "/usr/sbin/nginx";
    if (access(program, X_OK) == 0) {
        return program;
    }
    print_message("skipped: no nginx\n");
    return NULL;
}

static pid_t start_nginx(const char *program, const temp_dir *dir, uint16_t port)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/nginx.conf", dir->path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fprintf(file,
                  "daemon off; master_process off; worker_processes 1; pid %s/pid; error_log "
                  "%s/log; events { worker_connections 64; } http { access_log off; "
                  "client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path "
                  "%s/fastcgi; uwsgi_temp_path %s/uwsgi; scgi_temp_path %s/scgi; "
                  "client_max_body_size 100m; server { listen 127.0.0.1:%u; root %s/www; location "
                  "/ { dav_methods PUT DELETE; create_full_put_path on; } } }\n",
                  dir->path, dir->path, dir->path, dir->path, dir->path, dir->path, dir->path, port,
                  dir->path);
    CHECK(fclose(file) == 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not without us */
        (void)execl(program, program, "-c", path, "-p", dir->path, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !redis_server_answers(port); i++) {
        redis_server_sleep(10);
    }
    CHECK(redis_server_answers(port));
    return pid;
}

static void test_nginx(void **state)
{
    (void)state;
    const char *program = find_nginx();
    if (program == NULL) {
        skip(); /* before there is anything to clean up */
    }
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    uint16_t port = redis_server_free_port();
    pid_t pid = start_nginx(program, dir, port);
    http_server nginx = {.port = port}; /* for its port */
    static char bytes[300000];
    brisk_tier *tier = open_with(&nginx, &(brisk_http_tier_opts){.zstd_level = -1});
    brisk_tier *other = open_with(&nginx, &(brisk_http_tier_opts){.zstd_level = -1});
    check_text(tier, "a", "");
    CHECK_OK(put_opts(tier, "a", "one", NULL));
    check_text(tier, "a", "one");
    check_text(other, "a", "one");
    check_text(other, "a", "one"); /* by its ETag */
    brisk_key key = brisk_key_of("large", 5);
    brisk_value *value;
    brisk_hit hit;
    CHECK_OK(brisk_value_copy(bytes, sizeof bytes, NULL, &value));
    CHECK_OK(tier->ops->put(tier, &key, value, NULL));
    brisk_value_unref(value);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(other->ops->get(other, &key, &hit));
        CHECK_U64(brisk_value_size(hit.value), ==, sizeof bytes);
        brisk_value_unref(hit.value);
    }
    CHECK_OK(tier->ops->remove(tier, &key));
    CHECK(other->ops->get(other, &key, &hit) == BRISK_ERR_NOT_FOUND);
    CHECK(stats_of(tier).errors == 0 && stats_of(other).errors == 0);
    brisk_tier_destroy(tier);
    brisk_tier_destroy(other);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_remove),
        cmocka_unit_test(test_values_of_all_sizes),
        cmocka_unit_test(test_etags_save_bodies),
        cmocka_unit_test(test_large_values_are_not_sent_twice),
        cmocka_unit_test(test_an_answer_lives_as_long_as_its_bearer_says),
        cmocka_unit_test(test_foreign_bytes_are_misses_and_counted),
        cmocka_unit_test(test_public_answers_prove_themselves),
        cmocka_unit_test(test_purge_is_sent_where_asked_for),
        cmocka_unit_test(test_bad_servers_are_errors),
        cmocka_unit_test(test_in_a_stack_invalidated_entries_are_left_behind),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_nginx),
    };
    brisk_errinfo info = {.text = ""};
    brisk_tier *tier = NULL;
    brisk_http_tier_opts probe = {.url = "http://127.0.0.1", .unsealed = true};
    if (brisk_http_tier_open(&probe, &tier, &info) == BRISK_ERR_UNSUPPORTED) {
        print_message("skipped: %s\n", info.text);
        return 77;
    }
    brisk_tier_destroy(tier);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
