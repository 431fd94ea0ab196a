/* Edit distance against the plain recursive definition; suggestions that were meant. */
#include <string.h>

#include "base/text.h"
#include "support/check.h"

/* The definition, exponential and obvious. */
static size_t oracle(const char *a, size_t a_size, const char *b, size_t b_size)
{
    if (a_size == 0 || b_size == 0) {
        return a_size + b_size;
    }
    size_t best = oracle(a, a_size - 1, b, b_size - 1) + (a[a_size - 1] != b[b_size - 1] ? 1 : 0);
    size_t removed = oracle(a, a_size - 1, b, b_size) + 1;
    size_t added = oracle(a, a_size, b, b_size - 1) + 1;
    best = removed < best ? removed : best;
    best = added < best ? added : best;
    if (a_size > 1 && b_size > 1 && a[a_size - 1] == b[b_size - 2] &&
        a[a_size - 2] == b[b_size - 1]) {
        size_t swapped = oracle(a, a_size - 2, b, b_size - 2) + 1;
        best = swapped < best ? swapped : best;
    }
    return best;
}

static void random_word(uint64_t *random, char *to)
{
    size_t size = check_random(random) % 7;
    for (size_t i = 0; i < size; i++) {
        to[i] = (char)('a' + check_random(random) % 3);
    }
    to[size] = '\0';
}

static void test_distance_is_as_defined(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int i = 0; i < 3000; i++) {
        char a[8];
        char b[8];
        random_word(&random, a);
        random_word(&random, b);
        size_t wanted = oracle(a, strlen(a), b, strlen(b));
        CHECK_U64(brisk_text_distance(a, b, 10), ==, wanted);
        CHECK_U64(brisk_text_distance(b, a, 10), ==, wanted);
        CHECK_U64(brisk_text_distance(a, b, 2), ==, wanted < 3 ? wanted : 3);
    }
    CHECK_U64(brisk_text_distance("ABC", "abc", 3), ==, 0);
    char large[66];
    memset(large, 'a', 65);
    large[65] = '\0';
    CHECK_U64(brisk_text_distance(large, large, 3), ==, 4);
    CHECK_U64(brisk_text_distance(large + 1, large + 1, 3), ==, 0);
}

static const char *nearest_of(const char *wanted)
{
    static const char *const NAMES[] = {"apply", "info", "stats", "clear", "path"};
    brisk_text_nearest nearest = {0};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        brisk_text_offer(&nearest, wanted, NAMES[i]);
    }
    return nearest.name;
}

static void test_suggestions(void **state)
{
    (void)state;
    assert_string_equal(nearest_of("aply"), "apply");
    assert_string_equal(nearest_of("paht"), "path");
    assert_string_equal(nearest_of("INFO"), "info");
    assert_string_equal(nearest_of("stat"), "stats");
    CHECK(nearest_of("zebra") == NULL);
    CHECK(nearest_of("x") == NULL);
    CHECK(nearest_of("") == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance_is_as_defined),
        cmocka_unit_test(test_suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
