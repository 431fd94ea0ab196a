/* Hashes: published values, streaming equals one-shot, keys of different fields differ. */
#include <stdbool.h>
#include <string.h>

#include <brisk/hash.h>

#include "support/check.h"
#include "support/fault_alloc.h"

static bool same(brisk_hash128 a, brisk_hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

/* Files on disk carry these hashes: another library version must give the same. */
static void test_published_values(void **state)
{
    (void)state;
    CHECK_U64(brisk_hash64("", 0, 0), ==, UINT64_C(0x2d06800538d394c2));
    CHECK(same(brisk_hash128_of("", 0, 0),
               (brisk_hash128){UINT64_C(0x6001c324468d497f), UINT64_C(0x99aa06d3014798d8)}));
    CHECK_U64(brisk_hash64("", 0, 1), !=, brisk_hash64("", 0, 0));
}

/* All the sizes around XXH3's internal borders (16, 128, 240, 256, 1024), cut in random parts. */
static void test_streaming_equals_one_shot(void **state)
{
    (void)state;
    enum { SIZE_MAX_TRIED = 3000 };
    static unsigned char data[SIZE_MAX_TRIED];
    uint64_t random = check_seed();
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)check_random(&random);
    }
    for (size_t size = 0; size < sizeof data; size += size < 300 ? 1 : 37) {
        uint64_t seed = size % 3 == 0 ? 0 : check_random(&random);
        char room[sizeof(brisk_hasher) + 64];
        /* any address: the state inside must find its own alignment */
        brisk_hasher *hasher = (void *)(room + check_random(&random) % 64);
        brisk_hasher_init(hasher, seed);
        for (size_t at = 0; at < size;) {
            size_t part = 1 + check_random(&random) % (size - at);
            brisk_hasher_update(hasher, data + at, part);
            at += part;
            brisk_hasher_update(hasher, NULL, 0);
            CHECK_U64(brisk_hasher_digest64(hasher), ==, brisk_hash64(data, at, seed));
        }
        CHECK_U64(brisk_hasher_digest64(hasher), ==, brisk_hash64(data, size, seed));
        CHECK(same(brisk_hasher_digest128(hasher), brisk_hash128_of(data, size, seed)));
    }
}

static void test_key_of_bytes(void **state)
{
    (void)state;
    brisk_key key = brisk_key_of("abc", 3);
    CHECK(key.size == 3);
    CHECK(same(key.hash, brisk_hash128_of("abc", 3, 0)));
}

static brisk_key finish(const brisk_key_builder *builder)
{
    brisk_key key = {0};
    CHECK_OK(brisk_key_builder_finish(builder, &key));
    return key;
}

/* The bytes are a file format: caches on disk were written under them. */
static void test_key_bytes_are_as_documented(void **state)
{
    (void)state;
    static const unsigned char WANTED[] = {
        1,   'n', 0, 0, 0, 0,   3, 0, 0, 0, 0, 0, 0, 0, 'r', 'o', 'm', /* */
        'u', 1,   0, 0, 0, 'x', 8, 0, 0, 0, 0, 0, 0, 0, 5,   1,   0,   0, 0, 0, 0, 0,
    };
    brisk_key_builder builder;
    brisk_key_builder_init(&builder, NULL, "rom");
    brisk_key_u64(&builder, "x", 0x105);
    brisk_key key = finish(&builder);
    CHECK_U64(key.size, ==, sizeof WANTED);
    assert_memory_equal(key.bytes, WANTED, sizeof WANTED);
    brisk_key_builder_deinit(&builder);
    brisk_key_builder_deinit(&builder);
}

/* Pairs of field lists that a sloppy encoding would confuse; all keys must differ. */
static void test_different_fields_give_different_keys(void **state)
{
    (void)state;
    enum { KINDS = 12 };
    brisk_key_builder b[KINDS];
    for (int i = 0; i < KINDS; i++) {
        brisk_key_builder_init(&b[i], NULL, i == 1 ? "roms" : "rom");
    }
    brisk_key_str(&b[2], "a", "bc");
    brisk_key_str(&b[3], "ab", "c");
    brisk_key_bytes(&b[4], "a", "bc", 2);
    brisk_key_str(&b[5], "a", "b");
    brisk_key_str(&b[5], "c", "");
    brisk_key_str(&b[6], "a", NULL);
    brisk_key_str(&b[7], "a", "");
    brisk_key_u64(&b[8], "a", 0);
    brisk_key_bytes(&b[9], "a", "\0\0\0\0\0\0\0\0", 8);
    brisk_key_content(&b[10], "a", (brisk_hash128){1, 2}, 3);
    brisk_key_content(&b[11], "a", (brisk_hash128){1, 2}, 4);
    for (int i = 0; i < KINDS; i++) {
        for (int j = 0; j < i; j++) {
            CHECK(!same(finish(&b[i]).hash, finish(&b[j]).hash));
        }
    }
    for (int i = 0; i < KINDS; i++) {
        brisk_key_builder_deinit(&b[i]);
    }
}

/* The largest key is fine, one byte more is LIMIT, and the error stays. */
static void test_key_limit(void **state)
{
    (void)state;
    static char large[BRISK_KEY_BYTES_MAX];
    const size_t frames = 1 + (13 + 1) + (13 + 1); /* namespace "n", field "f" */
    brisk_key_builder builder;
    brisk_key_builder_init(&builder, NULL, "n");
    brisk_key_bytes(&builder, "f", large, sizeof large - frames);
    CHECK_U64(finish(&builder).size, ==, BRISK_KEY_BYTES_MAX);
    brisk_key_u64(&builder, "", 1);
    brisk_key key;
    CHECK(brisk_key_builder_finish(&builder, &key) == BRISK_ERR_LIMIT);
    brisk_key_builder_deinit(&builder);

    brisk_key_builder_init(&builder, NULL, "n");
    brisk_key_bytes(&builder, "f", large, SIZE_MAX); /* never read */
    brisk_key_u64(&builder, "after", 1);
    CHECK(brisk_key_builder_finish(&builder, &key) == BRISK_ERR_LIMIT);
    brisk_key_builder_deinit(&builder);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static const char large[5000];
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_key_builder builder;
        brisk_key_builder_init(&builder, &fault.base, "rom");
        brisk_key_str(&builder, "a", "b");
        brisk_key_bytes(&builder, "large", large, sizeof large);
        brisk_key_bytes(&builder, "again", large, sizeof large);
        brisk_key key;
        err = brisk_key_builder_finish(&builder, &key);
        brisk_key_builder_deinit(&builder);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_values),
        cmocka_unit_test(test_streaming_equals_one_shot),
        cmocka_unit_test(test_key_of_bytes),
        cmocka_unit_test(test_key_bytes_are_as_documented),
        cmocka_unit_test(test_different_fields_give_different_keys),
        cmocka_unit_test(test_key_limit),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
