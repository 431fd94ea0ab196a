/* Random numbers: the published sequence, replayable, uniform below any bound. */
#include <brisk/rng.h>

#include "support/check.h"

/* xoshiro256** from state {1, 2, 3, 4}; the first values follow from its definition by hand. */
static void test_known_sequence(void **state)
{
    (void)state;
    brisk_rng rng = {.s = {1, 2, 3, 4}};
    CHECK_U64(brisk_rng_next(&rng), ==, 11520);
    CHECK_U64(brisk_rng_next(&rng), ==, 0);
    CHECK_U64(brisk_rng_next(&rng), ==, 1509978240);
    CHECK_U64(brisk_rng_next(&rng), ==, UINT64_C(1215971899390074240));
}

static void test_seed_decides(void **state)
{
    (void)state;
    brisk_rng a;
    brisk_rng b;
    brisk_rng c;
    brisk_rng_init(&a, 0);
    brisk_rng_init(&b, 0);
    brisk_rng_init(&c, 1);
    CHECK_U64(a.s[0] | a.s[1] | a.s[2] | a.s[3], !=, 0);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = brisk_rng_next(&a);
        CHECK_U64(value, ==, brisk_rng_next(&b));
        same += value == brisk_rng_next(&c) ? 1 : 0;
    }
    CHECK(same == 0);
}

/* Every value in range and about equally often: 12 buckets of 10000, six sigma either side. */
static void test_below_is_uniform(void **state)
{
    (void)state;
    enum { BOUND = 12, EACH = 10000, SIX_SIGMA = 600 };
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    uint32_t counts[BOUND] = {0};
    for (int i = 0; i < BOUND * EACH; i++) {
        uint64_t value = brisk_rng_below(&rng, BOUND);
        CHECK_U64(value, <, BOUND);
        counts[value]++;
    }
    for (int i = 0; i < BOUND; i++) {
        CHECK_U64(counts[i], >, EACH - SIX_SIGMA);
        CHECK_U64(counts[i], <, EACH + SIX_SIGMA);
    }
}

/* 3/4 of 2^64: without the rejection every third result would be twice as likely as the others. */
static void test_below_large_bound_has_no_bias(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    const uint64_t bound = UINT64_C(3) << 62;
    brisk_rng rng;
    brisk_rng_init(&rng, check_seed());
    int third = 0;
    int low = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t value = brisk_rng_below(&rng, bound);
        CHECK_U64(value, <, bound);
        low += value < bound / 2 ? 1 : 0;
        third += value % 3 == 0 ? 1 : 0;
    }
    CHECK(low > DRAWS / 2 - 1000 && low < DRAWS / 2 + 1000);
    CHECK(third > DRAWS / 3 - 1000 && third < DRAWS / 3 + 1000);
}

static void test_small_bounds(void **state)
{
    (void)state;
    brisk_rng rng;
    brisk_rng_init(&rng, 3);
    for (int i = 0; i < 100; i++) {
        CHECK_U64(brisk_rng_below(&rng, 0), ==, 0);
        CHECK_U64(brisk_rng_below(&rng, 1), ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_sequence),
        cmocka_unit_test(test_seed_decides),
        cmocka_unit_test(test_below_is_uniform),
        cmocka_unit_test(test_below_large_bound_has_no_bias),
        cmocka_unit_test(test_small_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
