/*
 * test_tier_redis_events.c -- several machines (tiers of one process) and their changes.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "engine/tier_redis_mirror.h"
#include "engine/tier_redis_test.h"

static temp_dir *folder;
static redis_server server;

/* What a stack would do with what it is told. */
typedef struct ears {
    pthread_mutex_t lock;
    uint32_t slots;
    uint32_t last_slot;
    uint32_t prefixes;
    uint16_t era;
    uint64_t prefix_hash;
    uint32_t keys;
    char last_key[64];
    uint32_t alls;
    uint64_t number; /* the highest */
} ears;

static void hear(void *ctx, const brisk_bump *bump)
{
    ears *e = ctx;
    (void)pthread_mutex_lock(&e->lock);
    e->number = bump->token > e->number ? bump->token : e->number;
    switch (bump->kind) {
    case BRISK_BUMP_SLOT:
        if (bump->slot == BRISK_GENERATION_SLOTS) {
            break; /* for its number */
        }
        e->slots++;
        e->last_slot = bump->slot;
        break;
    case BRISK_BUMP_PREFIX:
        e->prefixes++;
        e->era = bump->era;
        e->prefix_hash = bump->prefix_hash;
        break;
    case BRISK_BUMP_KEY:
        e->keys++;
        (void)snprintf(e->last_key, sizeof e->last_key, "%.*s", (int)bump->key->size,
                       (const char *)bump->key->bytes);
        break;
    case BRISK_BUMP_ALL: e->alls++; break;
    default: break;
    }
    (void)pthread_mutex_unlock(&e->lock);
}

static uint32_t count_of(ears *e, const uint32_t *which)
{
    (void)pthread_mutex_lock(&e->lock);
    uint32_t count = *which;
    (void)pthread_mutex_unlock(&e->lock);
    return count;
}

/* Wait, at most ten seconds, so that a slow machine does not fail. */
static void wait_for(ears *e, const uint32_t *which, uint32_t count)
{
    for (int i = 0; i < 1000 && count_of(e, which) < count; i++) {
        redis_server_sleep(10);
    }
    CHECK_U64(count_of(e, which), >=, count);
}

static void wait_generation(brisk_tier *tier, uint32_t slot, uint64_t least)
{
    uint64_t value = 0;
    brisk_err err = BRISK_ERR_IO;
    for (int i = 0; i < 1000 && (err != BRISK_OK || value < least); i++) {
        err = tier->ops->generations(tier, &slot, 1, &value);
        redis_server_sleep(err != BRISK_OK || value < least ? 10 : 0);
    }
    CHECK_OK(err);
    CHECK_U64(value, >=, least);
}

static uint64_t generation_of(brisk_tier *tier, uint32_t slot)
{
    wait_generation(tier, slot, 0);
    uint64_t value = 0;
    CHECK_OK(tier->ops->generations(tier, &slot, 1, &value));
    return value;
}

/* One that was away since bump number `since`. */
static brisk_tier *open_since(ears *e, const char *url, uint64_t since)
{
    brisk_tier *tier = open_with(&(brisk_redis_tier_opts){.url = url});
    *e = (ears){.lock = PTHREAD_MUTEX_INITIALIZER};
    tier->ops->listen(tier, hear, e, since);
    wait_generation(tier, 0, 0);
    return tier;
}

static void wait_number(ears *e, uint64_t number)
{
    uint64_t have = 0;
    for (int i = 0; i < 1000 && have < number; i++) {
        (void)pthread_mutex_lock(&e->lock);
        have = e->number;
        (void)pthread_mutex_unlock(&e->lock);
        redis_server_sleep(have < number ? 10 : 0);
    }
    CHECK_U64(have, ==, number);
}

static brisk_tier *open_listening(ears *e, const char *url, brisk_announce announce)
{
    brisk_tier *tier = open_with(&(brisk_redis_tier_opts){.url = url, .announce = announce});
    *e = (ears){.lock = PTHREAD_MUTEX_INITIALIZER};
    tier->ops->listen(tier, hear, e, 0);
    wait_generation(tier, 0, 0); /* in sync */
    return tier;
}

static void flush(void)
{
    char line[64];
    if (server.pid == 0) {
        skip();
    }
    redis_server_ask(&server, "FLUSHALL", line, sizeof line);
    assert_string_equal(line, "OK");
}

static void test_bumps_reach_the_others(void **state)
{
    (void)state;
    flush();
    char url[128];
    ears a;
    ears b;
    url_of(&server, "redis://", url);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *one = open_listening(&a, url, 0);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *two = open_listening(&b, url, 0);
    CHECK_U64(generation_of(one, 7), ==, 0);
    CHECK_OK(one->ops->bump(one, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = 7}));
    CHECK_U64(generation_of(one, 7), ==, 1); /* at return */
    wait_generation(two, 7, 1);
    CHECK(count_of(&b, &b.slots) == 1 && b.last_slot == 7); /* told before it is seen */
    CHECK_U64(count_of(&a, &a.slots), ==, 0);               /* not of one's own */
    uint32_t last = BRISK_GENERATION_SLOTS - 1;
    CHECK_OK(two->ops->bump(two, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = last}));
    wait_generation(one, last, 1);
    brisk_bump prefix = {.kind = BRISK_BUMP_PREFIX, .prefix_size = 5, .prefix_hash = 0xabcdef12345};
    CHECK_OK(two->ops->bump(two, &prefix));
    wait_for(&a, &a.prefixes, 1);
    CHECK(a.era == 1 && a.prefix_hash == 0xabcdef12345);
    CHECK_U64(generation_of(two, BRISK_GENERATION_ERA), ==, 1);
    wait_generation(one, BRISK_GENERATION_ERA, 1);
    brisk_bump bad = {.kind = BRISK_BUMP_SLOT, .slot = BRISK_GENERATION_SLOTS};
    CHECK(one->ops->bump(one, &bad) == BRISK_ERR_INVALID);
    uint32_t beyond = BRISK_GENERATION_ERA + 1;
    uint64_t value;
    CHECK(one->ops->generations(one, &beyond, 1, &value) == BRISK_ERR_INVALID);
}

static void test_keys_that_change_are_told(void **state)
{
    (void)state;
    flush();
    char url[128];
    char text[256];
    ears a;
    ears b;
    url_of(&server, "redis://", url);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *one = open_listening(&a, url, 0);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *two = open_listening(&b, url, BRISK_ANNOUNCE_ALL);
    CHECK_OK(put_text(one, "new", "1")); /* nobody can have an older one */
    CHECK_OK(put_text(one, "new", "2"));
    wait_for(&b, &b.keys, 1);
    assert_string_equal(b.last_key, "new");
    assert_string_equal(get_text(two, "new", text), "2");
    brisk_key key = brisk_key_of("gone", 4);
    CHECK_OK(one->ops->remove(one, &key));
    wait_for(&b, &b.keys, 2);
    assert_string_equal(b.last_key, "gone");
    CHECK_OK(put_text(two, "always", "1"));
    wait_for(&a, &a.keys, 1);
    assert_string_equal(a.last_key, "always");
    CHECK_U64(count_of(&b, &b.keys), ==, 2);
    CHECK_OK(one->ops->clear(one));
    wait_for(&b, &b.alls, 1);
    CHECK_U64(count_of(&a, &a.alls), ==, 0);
}

static void test_late_comers_learn_everything(void **state)
{
    (void)state;
    flush();
    char url[128];
    ears a;
    ears b;
    url_of(&server, "redis://", url);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *one = open_listening(&a, url, 0);
    enum { SLOTS = 3000 };
    for (uint32_t i = 0; i < SLOTS; i++) {
        CHECK_OK(one->ops->bump(one, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = 5 * i}));
    }
    for (uint32_t i = 0; i < 20; i++) {
        brisk_bump prefix = {
            .kind = BRISK_BUMP_PREFIX, .prefix_size = i, .prefix_hash = ~(uint64_t)i};
        CHECK_OK(one->ops->bump(one, &prefix));
    }
    CHECK_OK(one->ops->clear(one));
    for (uint32_t i = 0; i < 3; i++) {
        brisk_bump prefix = {.kind = BRISK_BUMP_PREFIX, .prefix_size = i, .prefix_hash = i};
        CHECK_OK(one->ops->bump(one, &prefix));
    }
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *two = open_listening(&b, url, 0);
    for (uint32_t i = 0; i < SLOTS; i++) {
        CHECK_U64(generation_of(two, 5 * i), ==, 1);
        CHECK_U64(generation_of(two, 5 * i + 1), ==, 0);
    }
    CHECK_U64(generation_of(two, BRISK_GENERATION_ERA), ==, 23);
    wait_for(&b, &b.prefixes, 3);
    CHECK_U64(count_of(&b, &b.prefixes), ==, 3); /* the others went with clear */
    char text[256];
    CHECK_OK(put_text(one, "a", "after the clear"));
    assert_string_equal(get_text(two, "a", text), "after the clear");
}

/* A message that got lost is noticed by the number of bumps. */
static void test_missed_bumps_are_found(void **state)
{
    (void)state;
    flush();
    char url[128];
    char line[64];
    ears a;
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *one = open_listening(&a, url_of(&server, "redis://", url), 0);
    redis_server_ask(&server, "HINCRBY 'brisk!gen' 42 3", line, sizeof line);
    redis_server_ask(&server, "ZADD 'brisk!log' GT 1 S42", line, sizeof line);
    redis_server_ask(&server, "HINCRBY 'brisk!gen' v 1", line, sizeof line);
    wait_generation(one, 42, 3);
    CHECK(count_of(&a, &a.slots) == 1 && a.last_slot == 42);
}

/* A message that is lost while others keep coming: the gap is found, and everything up to it read. */
static void test_a_gap_among_many_bumps_is_found(void **state)
{
    (void)state;
    flush();
    char url[128];
    ears a;
    ears b;
    char line[64];
    url_of(&server, "redis://", url);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *one = open_listening(&a, url, 0);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *two = open_listening(&b, url, 0);
    redis_server_ask(&server, "HINCRBY 'brisk!gen' 9 1", line, sizeof line);
    redis_server_ask(&server, "ZADD 'brisk!log' GT 1 S9", line, sizeof line);
    redis_server_ask(&server, "HINCRBY 'brisk!gen' v 1", line, sizeof line);
    uint32_t refused = 0;
    for (int i = 0; i < 200; i++) { /* 3 s, a bump in each; a view lasts one */
        CHECK_OK(one->ops->bump(one, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = 7}));
        uint64_t value;
        uint32_t slot = 9;
        bool late = i > 120;
        brisk_err err = two->ops->generations(two, &slot, 1, &value);
        refused += late && (err != BRISK_OK || value != 1) ? 1 : 0;
        redis_server_sleep(15);
    }
    CHECK_U64(refused, <, 40); /* before: all 79 */
    wait_generation(two, 7, 200);
}

/* What is counted while everything is read is not forgotten: else the next gap is one of our own. */
static void test_numbers_counted_during_a_reload_stay(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    redis_events events = {.alloc = brisk_alloc_libc(),
                           .ahead = BRISK_VEC_INIT(brisk_alloc_libc())};
    CHECK(pthread_mutex_init(&events.lock, NULL) == 0);
    redis_events_count_to(&events, 10, false);
    redis_events_count(&events, 11); /* after Redis said 10, before we learn that */
    redis_events_count_to(&events, 10, false);
    CHECK_U64(events.base, ==, 11);
    for (uint64_t i = 0; i < MANY; i++) {
        redis_events_count(&events, 13 + i); /* 12 is lost */
    }
    redis_events_count_to(&events, 13 + MANY - 3, false);
    CHECK_U64(events.base, ==, 13 + MANY - 1);
    redis_events_count_to(&events, 5, true);
    CHECK_U64(events.base, ==, 5);
    BRISK_VEC_DEINIT(&events.ahead);
    (void)pthread_mutex_destroy(&events.lock);
}

static void test_garbage_on_the_channel_is_harmless(void **state)
{
    (void)state;
    flush();
    char url[128];
    char line[64];
    ears a;
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *one = open_listening(&a, url_of(&server, "redis://", url), 0);
    static const char *const garbage[] = {
        "''",
        "x",
        "'0123456789abcdef S'",
        "'0123456789abcdef S '",
        "'0123456789abcdef S 1'",
        "'0123456789abcdef S 1 2'",
        "'0123456789abcdef S 1048576 2 3'",
        "'0123456789abcdef S 99999999999999999999999999 2 3'",
        "'0123456789abcdef S -1 2 3'",
        "'0123456789abcdef P 1 zz 3 4'",
        "'0123456789abcdef P 70000 ab 3 4'",
        "'0123456789abcdef K '",
        "'0123456789abcdef K 1'",
        "'0123456789abcdef K 1 '",
        "'0123456789abcdef K x key'",
        "'0123456789abcdef A x 1'",
        "'0123456789abcdef Z 1 2 3'",
    };
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        char words[256];
        (void)snprintf(words, sizeof words, "PUBLISH 'brisk!inv' %s", garbage[i]);
        redis_server_ask(&server, words, line, sizeof line);
        assert_string_equal(line, "1");
    }
    redis_server_ask(&server, "PUBLISH 'brisk!inv' '0123456789abcdef K 1 good'", line, sizeof line);
    wait_for(&a, &a.keys, 1);
    assert_string_equal(a.last_key, "good");
    CHECK(a.slots == 0 && a.prefixes == 0 && a.alls == 0 && a.keys == 1);
    CHECK_OK(put_text(one, "a", "v"));
}

static void test_after_a_lost_connection_the_logs_tell(void **state)
{
    (void)state;
    flush();
    char url[128];
    char text[256];
    char line[64];
    ears a;
    ears b;
    url_of(&server, "redis://", url);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *one = open_listening(&a, url, 0);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *two = open_listening(&b, url, 0);
    CHECK_OK(put_text(one, "a", "v"));
    redis_server_ask(&server, "CLIENT KILL TYPE pubsub", line, sizeof line);
    assert_string_equal(line, "2");
    CHECK_OK(two->ops->bump(two, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = 9}));
    brisk_key key = brisk_key_of("missed", 6);
    CHECK_OK(two->ops->remove(two, &key));
    wait_for(&a, &a.slots, 1);
    wait_for(&a, &a.keys, 1);
    wait_generation(one, 9, 1);
    CHECK(a.last_slot == 9 && a.alls == 0);
    assert_string_equal(a.last_key, "missed");
    assert_string_equal(get_text(one, "a", text), "v");
}

/* Who still knows the counters brings them back, higher; and everything is outdated. */
static void test_a_server_that_forgets_is_reminded(void **state)
{
    (void)state;
    flush();
    char url[128];
    char line[64];
    ears a;
    ears b;
    url_of(&server, "redis://", url);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *one = open_listening(&a, url, 0);
    CHECK_OK(one->ops->bump(one, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = 9}));
    CHECK_OK(one->ops->bump(one, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = 9}));
    wait_number(&a, 2);
    redis_server_ask(&server, "FLUSHALL", line, sizeof line);
    wait_generation(one, 9, 3);
    wait_for(&a, &a.alls, 1);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *two = open_since(&b, url, 2);
    wait_generation(two, 9, 3);
    wait_for(&b, &b.alls, 1);
}

/* Another server than the one whose numbers are remembered. */
static void test_a_server_with_lower_numbers_is_another_one(void **state)
{
    (void)state;
    flush();
    char url[128];
    ears a;
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *one = open_since(&a, url_of(&server, "redis://", url), 1000);
    wait_for(&a, &a.alls, 1);
    CHECK_U64(a.number, >, 1000);
    CHECK_OK(one->ops->bump(one, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = 4}));
    wait_generation(one, 4, 1);
}

static void test_who_was_away_is_told_what_is_new(void **state)
{
    (void)state;
    flush();
    char url[128];
    char line[64];
    ears a;
    ears b;
    url_of(&server, "redis://", url);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *one = open_listening(&a, url, 0);
    CHECK_OK(one->ops->bump(one, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = 1})); /* 1 */
    brisk_bump prefix = {.kind = BRISK_BUMP_PREFIX, .prefix_size = 3, .prefix_hash = 33};
    CHECK_OK(one->ops->bump(one, &prefix));                                           /* 2 */
    CHECK_OK(one->ops->bump(one, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = 2})); /* 3 */
    brisk_key key = brisk_key_of("key", 3);
    CHECK_OK(one->ops->remove(one, &key)); /* 4 */
    wait_number(&a, 4);                    /* its own, too */
    CHECK(a.slots == 0 && a.keys == 0 && a.prefixes == 0 && a.alls == 0);
    for (uint64_t since = 0; since <= 4; since++) {
        brisk_tier *two = open_since(&b, url, since);
        wait_number(&b, 4 > since ? 4 : b.number);
        /* Once, or twice when its first reading is overtaken by the beat; never what it knew. */
        uint32_t slots = since < 1 ? 2 : since < 3 ? 1 : 0;
        CHECK(b.slots >= slots && b.slots <= 2 * slots);
        uint32_t keys = since < 4 ? 1 : 0;
        CHECK(b.keys >= keys && b.keys <= 2 * keys);
        wait_for(&b, &b.prefixes, 1); /* always */
        CHECK_U64(b.alls, ==, 0);
        brisk_tier_destroy(two);
    }
    /* Keys that are not in their log any more: everything is outdated. */
    redis_server_ask(&server, "ZADD 'brisk!log' GT 4 F", line, sizeof line);
    redis_server_ask(&server, "DEL 'brisk!keys'", line, sizeof line);
    brisk_tier *two = open_since(&b, url, 3);
    wait_for(&b, &b.alls, 1);
    brisk_tier_destroy(two);
    two = open_since(&b, url, 4);
    redis_server_sleep(50);
    CHECK_U64(count_of(&b, &b.alls), ==, 0);
    brisk_tier_destroy(two);
}

static void test_the_log_of_keys_is_bounded(void **state)
{
    (void)state;
    flush();
    char url[128];
    char line[64];
    ears a;
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *one = open_listening(&a, url_of(&server, "redis://", url), 0);
    redis_server_ask(&server,
                     "EVAL \"for i=1,10200 do redis.call('zadd','brisk!keys',i,'k'..i) end "
                     "redis.call('hset','brisk!gen','v',10200) return 1\" 0",
                     line, sizeof line);
    for (int i = 0; i < 256; i++) { /* one of these numbers is a multiple of 256 */
        brisk_key key = brisk_key_of(&i, sizeof i);
        CHECK_OK(one->ops->remove(one, &key));
    }
    redis_server_ask(&server, "ZCARD 'brisk!keys'", line, sizeof line);
    long left = strtol(line, NULL, 10);
    CHECK(left >= 10000 && left < 10256);
    redis_server_ask(&server, "ZSCORE 'brisk!log' F", line, sizeof line);
    CHECK(strtol(line, NULL, 10) >= 200);
}

static void test_without_answers_the_view_ends(void **state)
{
    (void)state;
    flush();
    char url[128];
    ears a;
    BRISK_CLEANUP(brisk_tier_destroy)
    brisk_tier *one = open_with(&(brisk_redis_tier_opts){.url = url_of(&server, "redis://", url),
                                                         .timeout_ns = 200000000,
                                                         .connect_timeout_ns = 200000000});
    a = (ears){.lock = PTHREAD_MUTEX_INITIALIZER};
    one->ops->listen(one, hear, &a, 0);
    wait_generation(one, 1, 0);
    brisk_log_set_sink(quiet, NULL, NULL);
    (void)kill(server.pid, SIGSTOP);
    uint32_t slot = 1;
    uint64_t value;
    brisk_err err = BRISK_OK;
    for (int i = 0; i < 1000 && err == BRISK_OK; i++) {
        redis_server_sleep(10);
        err = one->ops->generations(one, &slot, 1, &value);
    }
    CHECK(err != BRISK_OK);
    (void)kill(server.pid, SIGCONT);
    wait_generation(one, 1, 0);
    brisk_log_set_sink(NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bumps_reach_the_others),
        cmocka_unit_test(test_keys_that_change_are_told),
        cmocka_unit_test(test_late_comers_learn_everything),
        cmocka_unit_test(test_missed_bumps_are_found),
        cmocka_unit_test(test_a_gap_among_many_bumps_is_found),
        cmocka_unit_test(test_numbers_counted_during_a_reload_stay),
        cmocka_unit_test(test_garbage_on_the_channel_is_harmless),
        cmocka_unit_test(test_after_a_lost_connection_the_logs_tell),
        cmocka_unit_test(test_a_server_that_forgets_is_reminded),
        cmocka_unit_test(test_a_server_with_lower_numbers_is_another_one),
        cmocka_unit_test(test_who_was_away_is_told_what_is_new),
        cmocka_unit_test(test_the_log_of_keys_is_bounded),
        cmocka_unit_test(test_without_answers_the_view_ends),
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
