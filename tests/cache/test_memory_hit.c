/*
 * test_memory_hit.c -- the usual hit against all other ways to the same entry.
 *
 * Keys and values of all sizes around the limits of memory_hit.h, asked for by the hit of this
 * processor (with its widest instructions), by the one for any processor and by the one without
 * short cuts: the same bytes, the same answer, nothing written beyond the buffer.
 */
#include "support/check.h"

#include <string.h>

#include <brisk/memory.h>

#include "cache/memory_tier.h"

enum { KEY_MAX = 200, VALUE_MAX = 3000, GUARD = 64, ERA = 40000 };

static const uint32_t key_sizes[] = {1, 7, 8, 9, 14, 15, 16, 17, 24, 32, 63, 64, 65, KEY_MAX};
static const uint32_t value_sizes[] = {0,   1,   15,  16,  17,  31,  32,       63,
                                       64,  65,  66,  100, 127, 128, 129,      191,
                                       192, 193, 256, 511, 512, 513, VALUE_MAX};

enum {
    KEY_SIZES = sizeof key_sizes / sizeof key_sizes[0],
    VALUE_SIZES = sizeof value_sizes / sizeof value_sizes[0],
    ENTRIES = KEY_SIZES * VALUE_SIZES,
};

typedef struct sample {
    brisk_key key;
    unsigned char key_bytes[KEY_MAX];
    unsigned char value[VALUE_MAX];
    uint32_t size;
} sample;

static sample samples[ENTRIES];

static brisk_tier *make_tier(void)
{
    brisk_tier *tier = NULL;
    CHECK_OK(brisk_memory_tier_create(&(brisk_memory_tier_opts){.bytes_max = 16 << 20}, &tier));
    for (uint32_t i = 0; i < ENTRIES; i++) {
        sample *s = &samples[i];
        uint32_t key_size = key_sizes[i / VALUE_SIZES];
        s->size = value_sizes[i % VALUE_SIZES];
        /* The first byte alone tells apart keys of one byte; the last one tells apart long ones. */
        memset(s->key_bytes, 'k', key_size);
        s->key_bytes[0] = (unsigned char)(i % VALUE_SIZES);
        s->key_bytes[key_size - 1] ^= (unsigned char)(i % VALUE_SIZES);
        s->key_bytes[0] = key_size == 1 ? (unsigned char)(i % VALUE_SIZES) : s->key_bytes[0];
        for (uint32_t j = 0; j < s->size; j++) {
            s->value[j] = (unsigned char)(i * 31 + j * 7);
        }
        s->key = brisk_key_of(s->key_bytes, key_size);
        brisk_entry_opts opts = {.era = ERA, .flags = BRISK_ENTRY_NEGATIVE};
        CHECK_OK(brisk_memory_put_bytes(tier, &s->key, s->value, s->size, &opts));
    }
    return tier;
}

static void check_hit(brisk_tier *tier, const sample *s, brisk_hit *hit)
{
    CHECK_U64(brisk_value_size(hit->value), ==, s->size);
    CHECK(memcmp(brisk_value_data(hit->value), s->value, s->size) == 0);
    CHECK(hit->flags == BRISK_ENTRY_NEGATIVE && hit->era == ERA && hit->tier == 0);
    CHECK(hit->tier_name == tier->name && hit->meta_size == 0 && !hit->has_content);
    CHECK(hit->elapsed_ns == 0 && hit->cost_ns == 0 && hit->store_ns == 0);
    CHECK(hit->expires_at_ns == 0);
    brisk_value_unref(hit->value);
}

typedef brisk_err get_fn(brisk_tier *tier, const brisk_key *key, brisk_hit *ret);

static void test_gets_agree(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier();
    get_fn *const ways[] = {tier->ops->get, memory_get_plain, memory_get_slow};
    for (uint32_t round = 0; round < 3; round++) { /* the first fills the thread's blocks */
        for (uint32_t i = 0; i < ENTRIES * 3; i++) {
            brisk_hit hit;
            memset(&hit, 0xa5, sizeof hit);
            CHECK_OK(ways[i % 3](tier, &samples[i / 3].key, &hit));
            check_hit(tier, &samples[i / 3], &hit);
        }
    }
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    CHECK(stats.hits == 3 * 3 * ENTRIES && stats.misses == 0);
    brisk_tier_destroy(tier);
}

static void check_read(brisk_tier *tier, uint32_t how, const sample *s, size_t capacity)
{
    static unsigned char buffer[VALUE_MAX + GUARD];
    memset(buffer, 0xa5, sizeof buffer);
    memory_tier *memory = memory_of(tier);
    brisk_entry_info info;
    memset(&info, 0xa5, sizeof info);
    brisk_entry_info *to = how / 3 != 0 ? &info : NULL;
    brisk_err err = how % 3 == 0   ? brisk_memory_read(tier, &s->key, buffer, capacity, to)
                    : how % 3 == 1 ? memory_read_plain(memory, &s->key, buffer, capacity, to)
                                   : memory_read_slow(memory, &s->key, buffer, capacity, to);
    CHECK(err == (s->size <= capacity ? BRISK_OK : BRISK_ERR_LIMIT));
    size_t copied = err == BRISK_OK ? s->size : 0;
    CHECK(memcmp(buffer, s->value, copied) == 0);
    for (size_t i = copied; i < copied + GUARD; i++) {
        CHECK(buffer[i] == 0xa5);
    }
    if (to != NULL) {
        CHECK(info.size == s->size && info.flags == BRISK_ENTRY_NEGATIVE && info.era == ERA);
        CHECK(info.expires_at_ns == 0 && info.cost_ns == 0 && info.meta_size == 0);
    }
}

static void test_reads_agree(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier();
    for (uint32_t i = 0; i < ENTRIES; i++) {
        for (uint32_t how = 0; how < 6; how++) {
            check_read(tier, how, &samples[i], VALUE_MAX);
            check_read(tier, how, &samples[i], samples[i].size);
            if (samples[i].size != 0) {
                check_read(tier, how, &samples[i], samples[i].size - 1);
            }
        }
    }
    brisk_tier_destroy(tier);
}

typedef uint32_t batch_fn(brisk_tier *tier, const brisk_key *keys, uint32_t count, brisk_hit *hits,
                          brisk_err *errs);

static void test_batches_agree(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier();
    batch_fn *const batches[] = {brisk_memory_get_batch, memory_batch_plain, memory_batch_slow};
    uint64_t asked = 0;
    for (uint32_t round = 0; round < 30; round++) {
        for (uint32_t at = 0; at + BRISK_MEMORY_BATCH_MAX <= ENTRIES; at += 1 + round % 7) {
            brisk_key keys[BRISK_MEMORY_BATCH_MAX];
            static brisk_hit hits[BRISK_MEMORY_BATCH_MAX];
            brisk_err errs[BRISK_MEMORY_BATCH_MAX];
            uint32_t count = (at + round) % (BRISK_MEMORY_BATCH_MAX + 1);
            for (uint32_t i = 0; i < count; i++) {
                keys[i] = samples[at + i].key;
            }
            memset(hits, 0xa5, sizeof hits);
            CHECK_U64(batches[round % 3](tier, keys, count, hits, errs), ==, count);
            for (uint32_t i = 0; i < count; i++) {
                CHECK_OK(errs[i]);
                check_hit(tier, &samples[at + i], &hits[i]);
            }
            asked += count;
        }
    }
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    CHECK(stats.hits == asked && stats.misses == 0);
    brisk_tier_destroy(tier);
}

/* Keys that differ from one that is there in one byte, of the same size, are not there. */
static void test_near_keys_miss(void **state)
{
    (void)state;
    brisk_tier *tier = make_tier();
    get_fn *const ways[] = {tier->ops->get, memory_get_plain, memory_get_slow};
    for (uint32_t i = VALUE_SIZES; i < ENTRIES; i += 5) {
        unsigned char bytes[KEY_MAX];
        memcpy(bytes, samples[i].key.bytes, samples[i].key.size);
        for (size_t at = 0; at < samples[i].key.size; at++) {
            bytes[at] ^= 0x80;
            brisk_key key = brisk_key_of(bytes, samples[i].key.size);
            key.hash = samples[i].key.hash; /* so that its cell is found and looked at */
            brisk_hit hit;
            for (uint32_t how = 0; how < 3; how++) {
                CHECK(ways[how](tier, &key, &hit) == BRISK_ERR_NOT_FOUND);
            }
            bytes[at] ^= 0x80;
        }
    }
    brisk_tier_destroy(tier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gets_agree),
        cmocka_unit_test(test_reads_agree),
        cmocka_unit_test(test_batches_agree),
        cmocka_unit_test(test_near_keys_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
