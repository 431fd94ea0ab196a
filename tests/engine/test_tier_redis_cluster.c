/*
 * test_tier_redis_cluster.c -- three masters on the loopback: slots, MOVED, ASK, a node that dies.
 */
#include <pthread.h>

#include "engine/tier_redis_route.h"
#include "engine/tier_redis_test.h"

enum { NODES = 3, KEYS = 300 };

static temp_dir *folder;
static redis_server nodes[NODES];
static bool there;

static void need_cluster(void)
{
    if (!there) {
        skip();
    }
}

static brisk_tier *open_cluster(bool events)
{
    char url[128];
    (void)snprintf(url, sizeof url, "redis-cluster://127.0.0.1:%u,127.0.0.1:%u", nodes[1].port,
                   nodes[2].port);
    return open_with(&(brisk_redis_tier_opts){.url = url, .no_events = !events});
}

static bool wait_ok(const char *what)
{
    char line[128] = "";
    for (int i = 0; i < NODES; i++) {
        for (int tries = 0; tries < 1000; tries++) {
            redis_server_ask(&nodes[i], "CLUSTER INFO", line, sizeof line);
            if (strstr(line, what) != NULL) {
                break;
            }
            redis_server_sleep(20);
        }
        if (strstr(line, what) == NULL) {
            return false;
        }
    }
    return true;
}

static bool start_cluster(void)
{
    char log[300];
    char command[1024];
    if (!redis_server_is_there("redis-server") || !redis_server_is_there("redis-cli")) {
        return false;
    }
    for (int i = 0; i < NODES; i++) {
        static const char *const args[] = {"--cluster-enabled",
                                           "yes",
                                           "--cluster-node-timeout",
                                           "1000",
                                           "--cluster-require-full-coverage",
                                           "no",
                                           NULL};
        (void)redis_server_start(&nodes[i], folder->path, args);
    }
    (void)snprintf(log, sizeof log, "%.250s/log", folder->path);
    (void)snprintf(command, sizeof command,
                   "redis-cli --cluster create 127.0.0.1:%u 127.0.0.1:%u 127.0.0.1:%u "
                   "--cluster-yes >%s 2>&1",
                   nodes[0].port, nodes[1].port, nodes[2].port, log);
    return system(command) == 0 && wait_ok("cluster_state:ok"); /* NOLINT: our own words */
}

static void id_of(int node, char id[64])
{
    redis_server_ask(&nodes[node], "CLUSTER MYID", id, 64);
    CHECK_U64(strlen(id), ==, 40);
}

/* The node that does not answer MOVED for this key. */
static int holder_of(const char *redis_key)
{
    for (int i = 0; i < NODES; i++) {
        char words[200];
        char line[256];
        (void)snprintf(words, sizeof words, "EXISTS '%s'", redis_key);
        redis_server_ask(&nodes[i], words, line, sizeof line);
        if (strncmp(line, "MOVED", 5) != 0 && strncmp(line, "(error) MOVED", 13) != 0) {
            return i;
        }
    }
    return -1;
}

static void test_slots(void **state)
{
    (void)state;
    CHECK_U64(redis_slot_of("123456789", 9), ==, 0x31c3); /* of the specification */
    CHECK_U64(redis_slot_of("", 0), ==, 0);
    CHECK_U64(redis_slot_of("{user1000}.following", 20), ==, redis_slot_of("user1000", 8));
    CHECK_U64(redis_slot_of("foo{}{bar}", 10), ==, 8363);
    CHECK_U64(redis_slot_of("foo{{bar}}zap", 13), ==, redis_slot_of("{bar", 4));
    CHECK_U64(redis_slot_of("foo{bar}{zap}", 13), ==, redis_slot_of("bar", 3));
    CHECK_U64(redis_slot_of("foo{bar", 7), !=, redis_slot_of("bar", 3));
    need_cluster();
    static const char *const keys[] = {"a", "brisk:x", "{tag}1", "x{}y", "{{a}}", "a}b{c}"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char words[128];
        char line[64];
        (void)snprintf(words, sizeof words, "CLUSTER KEYSLOT '%s'", keys[i]);
        redis_server_ask(&nodes[0], words, line, sizeof line);
        CHECK_U64(strtoul(line, NULL, 10), ==, redis_slot_of(keys[i], strlen(keys[i])));
    }
}

static void test_every_node_is_used(void **state)
{
    (void)state;
    need_cluster();
    for (int events = 0; events < 2; events++) {
        BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *tier = open_cluster(events == 1);
        char key[32];
        char text[256];
        for (int i = 0; i < KEYS; i++) {
            (void)snprintf(key, sizeof key, "k%d", i);
            CHECK_OK(put_text(tier, key, key));
        }
        for (int i = 0; i < KEYS; i++) {
            (void)snprintf(key, sizeof key, "k%d", i);
            assert_string_equal(get_text(tier, key, text), key);
        }
        for (int n = 0; n < NODES; n++) {
            char line[64];
            redis_server_ask(&nodes[n], "DBSIZE", line, sizeof line);
            CHECK(strtol(line, NULL, 10) > KEYS / 10);
        }
        CHECK_OK(tier->ops->clear(tier));
        assert_string_equal(get_text(tier, "k1", text), "");
        for (int n = 0; n < NODES; n++) {
            char line[64];
            redis_server_ask(&nodes[n], "DBSIZE", line, sizeof line);
            CHECK(strtol(line, NULL, 10) <= 2); /* counters and their log, somewhere */
        }
    }
}

static void test_batches_are_split(void **state)
{
    (void)state;
    need_cluster();
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *tier = open_cluster(true);
    static char names[KEYS][16];
    static brisk_key keys[KEYS];
    static brisk_hit hits[KEYS];
    static brisk_shared_item items[KEYS];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(names[i], sizeof names[i], "batch%d", i);
        keys[i] = brisk_key_of(names[i], strlen(names[i]));
        items[i] = (brisk_shared_item){.key = &keys[i], .hit = &hits[i]};
        CHECK_OK(brisk_value_copy(names[i], strlen(names[i]), NULL, &items[i].value));
    }
    brisk_redis_put_many(tier, items, KEYS);
    for (int i = 0; i < KEYS; i++) {
        CHECK_OK(items[i].err);
        brisk_value_unref(items[i].value);
    }
    brisk_redis_get_many(tier, items, KEYS);
    for (int i = 0; i < KEYS; i++) {
        CHECK_OK(items[i].err);
        CHECK(memcmp(brisk_value_data(hits[i].value), names[i], strlen(names[i])) == 0);
        brisk_value_unref(hits[i].value);
    }
}

static void ask(int node, const char *words, const char *expected)
{
    char line[256];
    redis_server_ask(&nodes[node], words, line, sizeof line);
    assert_string_equal(line, expected);
}

/* A slot on its way from one node to another, and after that. */
static void test_a_slot_that_moves_is_followed(void **state)
{
    (void)state;
    need_cluster();
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *tier = open_cluster(true);
    char text[256];
    char words[256];
    char from_id[64];
    char to_id[64];
    uint16_t slot = redis_slot_of("moving", 6);
    CHECK_OK(put_text(tier, "{moving}1", "one")); /* brisk:{moving}1 */
    CHECK_OK(put_text(tier, "{moving}2", "two"));
    int from = holder_of("brisk:{moving}1");
    CHECK(from >= 0);
    int to = (from + 1) % NODES;
    id_of(from, from_id);
    id_of(to, to_id);
    (void)snprintf(words, sizeof words, "CLUSTER SETSLOT %u IMPORTING %s", slot, from_id);
    ask(to, words, "OK");
    (void)snprintf(words, sizeof words, "CLUSTER SETSLOT %u MIGRATING %s", slot, to_id);
    ask(from, words, "OK");
    (void)snprintf(words, sizeof words, "MIGRATE 127.0.0.1 %u 'brisk:{moving}1' 0 5000",
                   nodes[to].port);
    ask(from, words, "OK");
    assert_string_equal(get_text(tier, "{moving}1", text), "one"); /* ASK */
    assert_string_equal(get_text(tier, "{moving}2", text), "two"); /* still there */
    assert_string_equal(get_text(tier, "{moving}3", text), "");    /* ASK, and nowhere */
    CHECK_OK(put_text(tier, "{moving}3", "three"));
    assert_string_equal(get_text(tier, "{moving}3", text), "three");
    (void)snprintf(words, sizeof words, "MIGRATE 127.0.0.1 %u 'brisk:{moving}2' 0 5000",
                   nodes[to].port);
    ask(from, words, "OK");
    (void)snprintf(words, sizeof words, "CLUSTER SETSLOT %u NODE %s", slot, to_id);
    ask(to, words, "OK");
    ask(from, words, "OK");
    for (int i = 1; i <= 3; i++) {
        static const char *const expected[] = {"", "one", "two", "three"};
        char key[16];
        (void)snprintf(key, sizeof key, "{moving}%d", i);
        assert_string_equal(get_text(tier, key, text), expected[i]); /* MOVED */
    }
    /* A batch through an old map, of a tier that learnt it before. */
    brisk_key key = brisk_key_of("{moving}2", 9);
    brisk_hit hit;
    brisk_shared_item item = {.key = &key, .hit = &hit};
    brisk_redis_get_many(tier, &item, 1);
    CHECK_OK(item.err);
    brisk_value_unref(hit.value);
    CHECK_U64(stats_of(tier).errors, ==, 0);
}

typedef struct mover {
    pthread_t thread;
    brisk_tier *tier;
    int id;
    int bad;
} mover;

static void *keep_asking(void *ctx)
{
    mover *m = ctx;
    for (int i = 0; i < 600; i++) {
        char key[32];
        char text[64];
        brisk_hit hit;
        brisk_value *value = NULL;
        (void)snprintf(key, sizeof key, "t%d-%d", m->id, i % 50);
        (void)snprintf(text, sizeof text, "%s.%d", key, i);
        brisk_key k = brisk_key_of(key, strlen(key));
        if (brisk_value_copy(text, strlen(text), NULL, &value) != BRISK_OK) {
            m->bad++;
            continue;
        }
        if (m->tier->ops->put(m->tier, &k, value, NULL) == BRISK_OK &&
            m->tier->ops->get(m->tier, &k, &hit) == BRISK_OK) {
            m->bad += brisk_value_size(hit.value) != strlen(text) ||
                      memcmp(brisk_value_data(hit.value), text, strlen(text)) != 0;
            brisk_value_unref(hit.value);
        } else {
            m->bad++;
        }
        brisk_value_unref(value);
    }
    return NULL;
}

/* Threads at work while redis-cli moves a tenth of the slots. */
static void test_resharding_under_load(void **state)
{
    (void)state;
    need_cluster();
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *tier = open_cluster(true);
    enum { THREADS = 4 };
    mover movers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        movers[i] = (mover){.tier = tier, .id = i};
        CHECK(pthread_create(&movers[i].thread, NULL, keep_asking, &movers[i]) == 0);
    }
    char from[64];
    char to[64];
    char command[512];
    id_of(0, from);
    id_of(1, to);
    (void)snprintf(command, sizeof command,
                   "redis-cli --cluster reshard 127.0.0.1:%u --cluster-from %s --cluster-to %s "
                   "--cluster-slots 300 --cluster-yes >/dev/null 2>&1",
                   nodes[0].port, from, to);
    CHECK(system(command) == 0); /* NOLINT: our own words */
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(movers[i].thread, NULL) == 0);
        CHECK(movers[i].bad == 0);
    }
    (void)wait_ok("cluster_state:ok");
}

static void test_changes_are_heard_across_nodes(void **state)
{
    (void)state;
    need_cluster();
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *one = open_cluster(true);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *two = open_cluster(true);
    uint32_t slot = 77;
    uint64_t value = 0;
    char text[256];
    get_text(two, "x", text); /* so that it is in sync */
    CHECK_OK(one->ops->bump(one, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = slot}));
    for (int i = 0; i < 1000 && value == 0; i++) {
        (void)two->ops->generations(two, &slot, 1, &value);
        redis_server_sleep(value == 0 ? 10 : 0);
    }
    CHECK_U64(value, ==, 1);
}

/* The last test: a node dies, the others go on. */
static void test_a_dead_node_costs_its_slots_only(void **state)
{
    (void)state;
    need_cluster();
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *tier = open_cluster(false);
    char key[32];
    char text[256];
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "d%d", i);
        CHECK_OK(put_text(tier, key, "v"));
    }
    brisk_log_set_sink(quiet, NULL, NULL);
    redis_server_stop(&nodes[2]);
    int good = 0;
    int bad = 0;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "d%d", i);
        get_text(tier, key, text);
        good += strcmp(text, "v") == 0;
        bad += strcmp(text, "!") == 0;
    }
    CHECK(good > 30 && bad > 10 && good + bad == 100);
    brisk_log_set_sink(NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_every_node_is_used),
        cmocka_unit_test(test_batches_are_split),
        cmocka_unit_test(test_a_slot_that_moves_is_followed),
        cmocka_unit_test(test_resharding_under_load),
        cmocka_unit_test(test_changes_are_heard_across_nodes),
        cmocka_unit_test(test_a_dead_node_costs_its_slots_only),
    };
    folder = temp_dir_make();
    there = start_cluster();
    if (!there) {
        print_message("skipped: no cluster could be made\n");
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < NODES; i++) {
        redis_server_stop(&nodes[i]);
    }
    temp_dir_remove(folder);
    return failed;
}
