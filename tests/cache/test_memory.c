/*
 * test_memory.c -- the memory tier against a naive model, at its limits, and without memory.
 */
#include "support/check.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <brisk/memory.h>

#include "cache/memory_table.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

enum { SMALL_TIER = 262144 };

static brisk_tier *make_tier(uint64_t bytes_max, uint32_t shards)
{
    brisk_memory_tier_opts opts = {.bytes_max = bytes_max, .shards = shards, .policy = "lru"};
    brisk_tier *tier = NULL;
    CHECK_OK(brisk_memory_tier_create(&opts, &tier));
    return tier;
}

static brisk_tier_stats stats_of(brisk_tier *tier)
{
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    CHECK_U64(stats.bytes, <=, stats.bytes_max);
    return stats;
}

static brisk_key key_of(const char *text)
{
    return brisk_key_of(text, strlen(text));
}

static brisk_err put_bytes(brisk_tier *tier, const brisk_key *key, const void *data, size_t size)
{
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(data, size, NULL, &value));
    brisk_err err = tier->ops->put(tier, key, value, NULL);
    brisk_value_unref(value);
    return err;
}

static bool has(brisk_tier *tier, const char *text)
{
    brisk_key key = key_of(text);
    brisk_hit hit;
    brisk_err err = tier->ops->get(tier, &key, &hit);
    if (err == BRISK_OK) {
        brisk_value_unref(hit.value);
    }
    CHECK(err == BRISK_OK || err == BRISK_ERR_NOT_FOUND);
    return err == BRISK_OK;
}

/* --- single entries ---------------------------------------------------------------------- */

/* Every combination of sizes on both sides of every form a cell can have. */
static void test_everything_comes_back(void **state)
{
    (void)state;
    static const size_t key_sizes[] = {1, 7, 8, 9, 16, 400, 470, 480, 481, 700, 65536};
    static const size_t value_sizes[] = {0, 1, 8, 100, 400, 460, 472, 473, 5000, 30000};
    static const uint32_t meta_sizes[] = {0, 1, 64, BRISK_ENTRY_META_MAX};
    static unsigned char bytes[65536];
    static unsigned char key_bytes[65536];
    uint64_t seed = check_seed();
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)check_random(&seed);
        key_bytes[i] = (unsigned char)check_random(&seed);
    }
    brisk_tier *tier = make_tier(1 << 20, 1);
    for (size_t round = 0; round < 11 * 10 * 4; round++) {
        brisk_key key = brisk_key_of(key_bytes, key_sizes[round % 11]);
        size_t size = value_sizes[round / 11 % 10];
        brisk_entry_opts opts = {
            .flags = round % 2 == 0 ? (uint32_t)BRISK_ENTRY_LOCAL : 0,
            .meta = bytes + 1,
            .meta_size = meta_sizes[round / 110],
            .cost_ns = UINT64_C(1) << 40,
            .expires_at_ns = UINT64_MAX,
        };
        brisk_value *value = NULL;
        CHECK_OK(brisk_value_copy(bytes, size, NULL, &value));
        CHECK_OK(tier->ops->put(tier, &key, value, &opts));
        brisk_value_unref(value);
        brisk_hit hit;
        memset(&hit, 0xff, sizeof hit); /* everything that counts is set */
        CHECK_OK(tier->ops->get(tier, &key, &hit));
        CHECK(!hit.has_content);
        CHECK_U64(brisk_value_size(hit.value), ==, size);
        CHECK(memcmp(brisk_value_data(hit.value), bytes, size) == 0);
        CHECK_U64(hit.meta_size, ==, opts.meta_size);
        CHECK(memcmp(hit.meta, bytes + 1, hit.meta_size) == 0);
        CHECK_U64(hit.flags, ==, opts.flags);
        CHECK_U64(hit.cost_ns, ==, opts.cost_ns);
        CHECK_U64(hit.expires_at_ns, ==, UINT64_MAX);
        CHECK(strcmp(hit.tier_name, "memory") == 0);
        brisk_value_unref(hit.value);
    }
    CHECK_U64(stats_of(tier).hits, ==, 440);
    brisk_tier_destroy(tier);
}

static void test_put_replaces_and_remove_removes(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(SMALL_TIER, 1);
    brisk_key key = key_of("k");
    CHECK(!has(tier, "k"));
    CHECK_OK(tier->ops->remove(tier, &key)); /* nothing there is fine */
    char big[1000] = "second";
    CHECK_OK(put_bytes(tier, &key, "first", 6));
    CHECK_OK(put_bytes(tier, &key, big, sizeof big));
    brisk_hit hit;
    CHECK_OK(tier->ops->get(tier, &key, &hit));
    CHECK(strcmp(brisk_value_data(hit.value), "second") == 0);
    brisk_value_unref(hit.value);
    CHECK_OK(put_bytes(tier, &key, "third", 6));
    CHECK_U64(stats_of(tier).entries, ==, 1);
    CHECK_OK(tier->ops->remove(tier, &key));
    CHECK(!has(tier, "k"));
    brisk_tier_stats stats = stats_of(tier);
    CHECK_U64(stats.entries, ==, 0);
    CHECK_U64(stats.puts, ==, 3);
    CHECK_U64(stats.removes, ==, 1);
    CHECK_U64(stats.hits, ==, 1);
    CHECK_U64(stats.misses, ==, 2);
    brisk_tier_destroy(tier);
}

/* Keys that want the same bucket live side by side, in numbers that fill it and the next ones. */
static void test_crowded_buckets(void **state)
{
    (void)state;
    enum { KEYS = 100 };
    brisk_tier *tier = make_tier(1 << 20, 1);
    uint64_t ids[KEYS];
    brisk_key keys[KEYS];
    uint64_t id = 0;
    for (uint32_t i = 0; i < KEYS; id++) {
        brisk_key key = brisk_key_of(&id, sizeof id);
        if (key.hash.lo >> 60 == 5 && (table_bucket_bits(key.hash.lo) & 127) == 7 &&
            table_tag(key.hash.lo) < 16) {
            ids[i] = id;
            keys[i] = brisk_key_of(&ids[i], sizeof ids[i]);
            CHECK_OK(put_bytes(tier, &keys[i], &ids[i], 8));
            i++;
        }
    }
    for (uint32_t i = 0; i < KEYS; i += 3) {
        CHECK_OK(tier->ops->remove(tier, &keys[i]));
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        brisk_hit hit;
        brisk_err err = tier->ops->get(tier, &keys[i], &hit);
        CHECK(err == (i % 3 == 0 ? BRISK_ERR_NOT_FOUND : BRISK_OK));
        if (err == BRISK_OK) {
            CHECK(memcmp(brisk_value_data(hit.value), &ids[i], 8) == 0);
            brisk_value_unref(hit.value);
        }
    }
    brisk_tier_destroy(tier);
}

/* What is not kept also takes the older value with it. */
static void test_declined_values_leave_a_miss(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier(SMALL_TIER, 1);
    brisk_key key = key_of("k");
    static char large[SMALL_TIER / 8 + 1];
    CHECK_OK(put_bytes(tier, &key, "old", 4));
    CHECK(put_bytes(tier, &key, large, sizeof large) == BRISK_ERR_DECLINED);
    CHECK(!has(tier, "k"));
    CHECK_OK(put_bytes(tier, &key, "old", 4));
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    brisk_value *file = NULL;
    CHECK_OK(brisk_value_from_fd(fd, 10, NULL, &file));
    CHECK(tier->ops->put(tier, &key, file, NULL) == BRISK_ERR_DECLINED);
    brisk_value_unref(file);
    CHECK(!has(tier, "k"));
    CHECK_OK(put_bytes(tier, &key, "old", 4));
    brisk_entry_opts unknown = {.flags = 8};
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy("new", 4, NULL, &value));
    CHECK(tier->ops->put(tier, &key, value, &unknown) == BRISK_ERR_INVALID);
    brisk_value_unref(value);
    CHECK(!has(tier, "k"));
    CHECK_U64(stats_of(tier).rejects, ==, 3);
    brisk_tier_destroy(tier);
}

static void test_entries_expire(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 5);
    brisk_memory_tier_opts opts = {.bytes_max = SMALL_TIER, .shards = 1, .clock = &clock.base};
    brisk_tier *tier = NULL;
    CHECK_OK(brisk_memory_tier_create(&opts, &tier));
    static char bytes[2000];
    for (size_t size = 10; size <= 1010; size += 1000) { /* a copy, and a reference */
        brisk_key key = key_of("k");
        brisk_entry_opts entry = {.expires_at_ns = brisk_clock_wall_ns(&clock.base) + 10};
        brisk_value *value = NULL;
        CHECK_OK(brisk_value_copy(bytes, size, NULL, &value));
        CHECK_OK(tier->ops->put(tier, &key, value, &entry));
        brisk_value_unref(value);
        fake_clock_advance(&clock, 9);
        CHECK(has(tier, "k"));
        fake_clock_advance(&clock, 1);
        CHECK(!has(tier, "k"));
        CHECK_U64(stats_of(tier).entries, ==, 0);
    }
    CHECK_U64(stats_of(tier).expired, ==, 2);
    brisk_tier_destroy(tier);
}

static void test_values_outlive_entry_and_tier(void **state)
{
    (void)state;
    static char bytes[4000] = "large";
    brisk_tier *tier = make_tier(SMALL_TIER, 1);
    brisk_key small = key_of("small");
    brisk_key large = key_of("large");
    CHECK_OK(put_bytes(tier, &small, "tiny", 5));
    CHECK_OK(put_bytes(tier, &large, bytes, sizeof bytes));
    brisk_hit a;
    brisk_hit b;
    CHECK_OK(tier->ops->get(tier, &small, &a));
    CHECK_OK(tier->ops->get(tier, &large, &b));
    uint64_t before = stats_of(tier).bytes;
    CHECK_OK(tier->ops->remove(tier, &large));
    CHECK_U64(stats_of(tier).bytes + sizeof bytes, <=, before); /* now the holder's */
    CHECK_OK(tier->ops->clear(tier));
    CHECK(strcmp(brisk_value_data(a.value), "tiny") == 0);
    brisk_tier_destroy(tier);
    CHECK(strcmp(brisk_value_data(a.value), "tiny") == 0);
    CHECK(strcmp(brisk_value_data(b.value), "large") == 0);
    brisk_value_unref(a.value);
    brisk_value_unref(b.value);
}

typedef struct revenge {
    brisk_tier *tier;
    int released;
} revenge;

static void ask_again(void *ctx)
{
    revenge *r = ctx;
    r->released++;
    (void)has(r->tier, "other");
}

/* The shard's lock is open when references are given up. */
static void test_release_may_ask_the_tier(void **state)
{
    (void)state;
    enum { VALUES = 100 };
    static char bytes[10000];
    brisk_tier *tier = make_tier(SMALL_TIER, 1);
    revenge r = {.tier = tier};
    for (uint32_t i = 0; i < VALUES; i++) {
        brisk_key key = brisk_key_of(&i, sizeof i);
        brisk_value *value = NULL;
        CHECK_OK(brisk_value_wrap(bytes, sizeof bytes, ask_again, &r, NULL, &value));
        CHECK_OK(tier->ops->put(tier, &key, value, NULL));
        brisk_value_unref(value);
    }
    CHECK(r.released > 50);
    CHECK_U64(stats_of(tier).evictions, ==, r.released);
    CHECK_OK(tier->ops->clear(tier));
    CHECK(r.released == VALUES);
    brisk_tier_destroy(tier);
}

static void test_bad_options(void **state)
{
    (void)state;
    brisk_tier *tier = NULL;
    CHECK(brisk_memory_tier_create(&(brisk_memory_tier_opts){.policy = "magic"}, &tier) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_memory_tier_create(&(brisk_memory_tier_opts){.shards = 3}, &tier) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_memory_tier_create(&(brisk_memory_tier_opts){.shards = 2048}, &tier) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_memory_tier_create(&(brisk_memory_tier_opts){.bytes_max = 1}, &tier) ==
          BRISK_ERR_INVALID);
    CHECK(tier == NULL);
    CHECK_OK(brisk_memory_tier_create(NULL, &tier));
    brisk_tier_stats stats = stats_of(tier);
    CHECK_U64(stats.bytes_max, ==, 64 << 20);
    brisk_tier_destroy(tier);
    CHECK_OK(brisk_memory_tier_create(
        &(brisk_memory_tier_opts){.bytes_max = 65536, .shards = 1, .policy = "lru"}, &tier));
    brisk_key key = key_of("k");
    CHECK_OK(put_bytes(tier, &key, "v", 1));
    (void)stats_of(tier);
    brisk_tier_destroy(tier);
    brisk_tier_destroy(NULL);
}

/* --- against a model --------------------------------------------------------------------- */

enum { MODEL_KEYS = 600 };

/* What the tier may hold: the latest value of each key, or nothing. */
typedef struct model {
    uint32_t versions[MODEL_KEYS]; /* 0: must be a miss */
    uint32_t sizes[MODEL_KEYS];
    uint64_t used_at[MODEL_KEYS]; /* by put or hit */
    uint64_t now;
} model;

static void fill_value(unsigned char *to, uint32_t size, uint32_t key, uint32_t version)
{
    uint64_t seed = (uint64_t)key << 32 | version;
    for (uint32_t i = 0; i < size; i++) {
        to[i] = (unsigned char)(i % 8 == 0 ? check_random(&seed) : seed >> i % 8 * 8);
    }
}

static uint32_t random_size(uint64_t *seed)
{
    switch (check_random(seed) % 8) {
    case 0: return 600 + (uint32_t)(check_random(seed) % 20000);
    case 1: return 0;
    default: return (uint32_t)(check_random(seed) % 500);
    }
}

static brisk_key model_key(uint32_t index, unsigned char *bytes)
{
    size_t size = index % 50 == 0 ? 600 : 8 + index % 40;
    memset(bytes, (int)(index % 251), size);
    memcpy(bytes, &index, sizeof index);
    return brisk_key_of(bytes, size);
}

static void model_put(model *m, brisk_tier *tier, uint32_t index, uint32_t size)
{
    unsigned char key_bytes[600];
    static unsigned char bytes[32768];
    brisk_key key = model_key(index, key_bytes);
    uint32_t version = (uint32_t)++m->now;
    fill_value(bytes, size, index, version);
    CHECK_OK(put_bytes(tier, &key, bytes, size));
    m->versions[index] = version;
    m->sizes[index] = size;
    m->used_at[index] = m->now;
}

/* True when it is there; then it must be the latest. */
static bool model_get(model *m, brisk_tier *tier, uint32_t index)
{
    unsigned char key_bytes[600];
    static unsigned char expected[32768];
    brisk_key key = model_key(index, key_bytes);
    brisk_hit hit;
    brisk_err err = tier->ops->get(tier, &key, &hit);
    if (err != BRISK_OK) {
        CHECK(err == BRISK_ERR_NOT_FOUND);
        return false;
    }
    CHECK(m->versions[index] != 0);
    CHECK_U64(brisk_value_size(hit.value), ==, m->sizes[index]);
    fill_value(expected, m->sizes[index], index, m->versions[index]);
    CHECK(memcmp(brisk_value_data(hit.value), expected, m->sizes[index]) == 0);
    brisk_value_unref(hit.value);
    m->used_at[index] = ++m->now;
    return true;
}

/* Property: latest value or miss; never more bytes than allowed; a key just put is there. */
static void test_random_operations_against_a_model(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (uint32_t shards = 1; shards <= 4; shards *= 4) {
        model m = {.now = 0};
        brisk_tier *tier = make_tier(1 << 20, shards);
        for (uint32_t step = 0; step < 60000; step++) {
            uint32_t index = (uint32_t)(check_random(&seed) % MODEL_KEYS);
            uint64_t dice = check_random(&seed) % 100;
            if (dice < 30) {
                model_put(&m, tier, index, random_size(&seed));
                CHECK(model_get(&m, tier, index));
            } else if (dice < 35) {
                unsigned char key_bytes[600];
                brisk_key key = model_key(index, key_bytes);
                CHECK_OK(tier->ops->remove(tier, &key));
                m.versions[index] = 0;
                CHECK(!model_get(&m, tier, index));
            } else {
                (void)model_get(&m, tier, index);
            }
            if (step % 20000 == 19999) {
                CHECK_OK(tier->ops->clear(tier));
                CHECK_U64(stats_of(tier).entries, ==, 0);
                memset(m.versions, 0, sizeof m.versions);
            }
            (void)stats_of(tier);
        }
        CHECK(stats_of(tier).evictions > 100);
        brisk_tier_destroy(tier);
    }
}

/* The keys that are gone are exactly those used longest ago. */
static void check_oldest_went(model *m, brisk_tier *tier)
{
    uint64_t youngest_gone = 0;
    uint64_t oldest_there = UINT64_MAX;
    bool gone[MODEL_KEYS];
    uint64_t used_at[MODEL_KEYS];
    memcpy(used_at, m->used_at, sizeof used_at);
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        gone[i] = m->versions[i] != 0 && !model_get(m, tier, i);
    }
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        if (m->versions[i] == 0) {
            continue;
        }
        if (gone[i]) {
            youngest_gone = used_at[i] > youngest_gone ? used_at[i] : youngest_gone;
            m->versions[i] = 0;
        } else {
            oldest_there = used_at[i] < oldest_there ? used_at[i] : oldest_there;
        }
    }
    CHECK_U64(youngest_gone, <, oldest_there);
}

/* One shard: order of eviction is exact, whatever mixture of sizes has to be moved for it. */
static void test_order_is_exactly_lru(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    model m = {.now = 0};
    brisk_tier *tier = make_tier(SMALL_TIER, 1);
    uint64_t checks = 0;
    for (uint32_t step = 0; step < 30000; step++) {
        uint32_t index = (uint32_t)(check_random(&seed) % MODEL_KEYS);
        bool large = step / 3000 % 2 == 1; /* the share of sizes swings back and forth */
        if (check_random(&seed) % 3 == 0) {
            uint32_t size = large && check_random(&seed) % 4 == 0
                                ? 3000
                                : (uint32_t)(check_random(&seed) % 450);
            uint64_t evictions = stats_of(tier).evictions;
            model_put(&m, tier, index, size);
            if (stats_of(tier).evictions != evictions && step % 7 == 0) {
                check_oldest_went(&m, tier);
                checks++;
            }
        } else {
            (void)model_get(&m, tier, index);
        }
    }
    CHECK(checks > 50);
    brisk_tier_destroy(tier);
}

/* --- without memory ---------------------------------------------------------------------- */

/* Whichever allocation fails: a miss or the newest value, and every byte comes back. */
static brisk_err run_with_faults(uint64_t fail_after)
{
    static unsigned char key_bytes[1000];
    static char large[3000] = "large";
    fault_alloc fault;
    fault_alloc_init(&fault, fail_after);
    brisk_memory_tier_opts opts = {.bytes_max = SMALL_TIER, .shards = 2, .alloc = &fault.base};
    brisk_tier *tier = NULL;
    brisk_err first = brisk_memory_tier_create(&opts, &tier);
    CHECK((tier != NULL) == (first == BRISK_OK));
    for (uint32_t i = 0; tier != NULL && i < 8; i++) {
        key_bytes[0] = (unsigned char)(i % 3);
        brisk_key key = brisk_key_of(key_bytes, i % 2 == 0 ? 10 : 1000);
        char text[8] = {(char)i};
        brisk_err err = put_bytes(tier, &key, i % 4 < 2 ? text : large, i % 4 < 2 ? 8 : 3000);
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        first = first == BRISK_OK ? err : first;
        brisk_hit hit;
        brisk_err got = tier->ops->get(tier, &key, &hit);
        CHECK(got == BRISK_OK || err != BRISK_OK || got == BRISK_ERR_NOMEM);
        if (got == BRISK_OK) {
            CHECK(err == BRISK_OK);
            CHECK(*(const char *)brisk_value_data(hit.value) == (i % 4 < 2 ? (char)i : 'l'));
            brisk_value_unref(hit.value);
        } else if (got == BRISK_ERR_NOMEM) {
            first = got;
        }
    }
    brisk_tier_destroy(tier);
    CHECK_U64(fault.bytes_held, ==, 0);
    return first;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t fail_after = 0;
    while (run_with_faults(fail_after) == BRISK_ERR_NOMEM) {
        fail_after++;
    }
    CHECK_OK(run_with_faults(fail_after));
    CHECK(fail_after >= 8); /* tier, histogram, two shards, blocks, copies */
}

/* The search of tags finds exactly the slots that are equal, and nothing of the bucket's number. */
static void test_tags_match_exactly(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (uint32_t round = 0; round < 100000; round++) {
        uint8_t tags[16];
        uint64_t words[2];
        for (uint32_t i = 0; i < 16; i++) {
            static const uint8_t often[] = {0, 1, 2, 127, 128, 129, 254, 255};
            tags[i] = often[check_random(&seed) % 8];
        }
        memcpy(words, tags, sizeof words);
        uint8_t wanted = tags[round % 16];
        uint32_t slots = 0;
        for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
            slots |= (uint32_t)(tags[i] == wanted) << i;
        }
        CHECK_U64(table_match(words[0], words[1], wanted), ==, slots);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_comes_back),
        cmocka_unit_test(test_put_replaces_and_remove_removes),
        cmocka_unit_test(test_crowded_buckets),
        cmocka_unit_test(test_declined_values_leave_a_miss),
        cmocka_unit_test(test_entries_expire),
        cmocka_unit_test(test_values_outlive_entry_and_tier),
        cmocka_unit_test(test_release_may_ask_the_tier),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_random_operations_against_a_model),
        cmocka_unit_test(test_order_is_exactly_lru),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_tags_match_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
