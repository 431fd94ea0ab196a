/*
 * The log of keys: what it returns is what was stored last, and what is in use stays.
 */
#include <string.h>

#include "cache/predict_keys.h"
#include "support/check.h"

enum { TAGS = 400, BUCKETS = 64, LOG_UNITS = 1024 };

static keys_bucket buckets[BUCKETS];
static _Alignas(8) unsigned char log_bytes[LOG_UNITS * KEYS_UNIT];

static predict_keys make(void)
{
    memset(buckets, 0, sizeof buckets);
    memset(log_bytes, 0, sizeof log_bytes);
    return (predict_keys){
        .buckets = buckets, .log = log_bytes, .bucket_count = BUCKETS, .log_units = LOG_UNITS};
}

/* A naive copy of every key beside it: whatever is found is right. */
static void test_finds_what_was_stored(void **state)
{
    (void)state;
    static unsigned char bytes[TAGS + 1][64];
    static size_t sizes[TAGS + 1];
    uint64_t seed = check_seed();
    predict_keys keys = make();
    memset(sizes, 0, sizeof sizes);
    uint64_t found = 0;
    for (uint32_t round = 0; round < 200000; round++) {
        uint32_t tag = 1 + (uint32_t)(check_random(&seed) % TAGS);
        if (round % 2 == 0) {
            if (sizes[tag] == 0 || check_random(&seed) % 8 == 0) {
                sizes[tag] = 1 + check_random(&seed) % 64;
                memset(bytes[tag], (int)(check_random(&seed) % 256), sizes[tag]);
            }
            predict_keys_store(&keys, tag, bytes[tag], sizes[tag]);
        }
        size_t size = 0;
        const unsigned char *kept = predict_keys_find(&keys, tag, &size);
        CHECK(round % 2 != 0 || kept != NULL); /* just stored */
        if (kept != NULL) {
            found++;
            CHECK_U64(size, ==, sizes[tag]);
            CHECK(memcmp(kept, bytes[tag], size) == 0);
            CHECK(kept >= log_bytes && kept + size <= log_bytes + sizeof log_bytes);
        }
    }
    CHECK_U64(found, >, 110000);
}

static void test_what_is_used_stays(void **state)
{
    (void)state;
    predict_keys keys = make();
    size_t size = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t number = i;
        predict_keys_store(&keys, 1000 + i, &number, sizeof number);
        if (i % 8 == 0) {
            predict_keys_store(&keys, 7, "seven", 5);
        }
        CHECK(predict_keys_find(&keys, 7, &size) != NULL);
    }
    CHECK(predict_keys_find(&keys, 1000, &size) == NULL);
}

static void test_too_large_is_not_kept(void **state)
{
    (void)state;
    static unsigned char large[LOG_UNITS * KEYS_UNIT / 2];
    predict_keys keys = make();
    size_t size = 0;
    predict_keys_store(&keys, 1, "one", 3);
    predict_keys_store(&keys, 2, large, sizeof large);
    CHECK(predict_keys_find(&keys, 2, &size) == NULL);
    CHECK(predict_keys_find(&keys, 1, &size) != NULL);
}

/* Positions are 32 bits: after 2^32 units an old one may look young, and must still be harmless. */
static void test_positions_wrap(void **state)
{
    (void)state;
    predict_keys keys = make();
    size_t size = 0;
    predict_keys_store(&keys, 5, "five", 4);
    keys.head = UINT64_C(0x100000000) - 3; /* the log has gone round many times */
    memset(log_bytes, 0xff, sizeof log_bytes);
    CHECK(predict_keys_find(&keys, 5, &size) == NULL);
    for (uint32_t i = 0; i < 100; i++) {
        predict_keys_store(&keys, 100 + i, "abcdefgh", 8);
        CHECK(predict_keys_find(&keys, 100 + i, &size) != NULL);
        CHECK(predict_keys_find(&keys, 5, &size) == NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_stored),
        cmocka_unit_test(test_what_is_used_stays),
        cmocka_unit_test(test_too_large_is_not_kept),
        cmocka_unit_test(test_positions_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
