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

static void expect_duration(double ns, const char *wanted)
{
    char text[BRISK_TEXT_SHORT_MAX];
    brisk_text_duration(text, ns);
    assert_string_equal(text, wanted);
}

static void test_durations(void **state)
{
    (void)state;
    expect_duration(0, "0 ns");
    expect_duration(1, "1 ns");
    expect_duration(0.25, "0.25 ns");
    expect_duration(12.5, "12.50 ns");
    expect_duration(11.9999, "12 ns");
    expect_duration(999, "999 ns");
    expect_duration(1000, "1.000 us");
    expect_duration(1234.5, "1.234 us");
    expect_duration(12345, "12.35 us");
    expect_duration(123456, "123.5 us");
    expect_duration(999999, "1.000 ms");
    expect_duration(9999.9e3, "10.00 ms");
    expect_duration(1.5e9, "1.500 s");
    expect_duration(36e11, "3600 s");
    expect_duration(1.8446744073709552e19, "18446744074 s");
}

static void expect_bytes(uint64_t bytes, const char *wanted)
{
    char text[BRISK_TEXT_SHORT_MAX];
    brisk_text_bytes(text, bytes);
    assert_string_equal(text, wanted);
}

static void test_bytes(void **state)
{
    (void)state;
    expect_bytes(0, "0 B");
    expect_bytes(1023, "1023 B");
    expect_bytes(1024, "1.0 KiB");
    expect_bytes(1536, "1.5 KiB");
    expect_bytes(1048575, "1.0 MiB");
    expect_bytes(UINT64_C(4) << 30, "4.0 GiB");
    expect_bytes(UINT64_MAX, "16.0 EiB");
}

static void test_quoting(void **state)
{
    (void)state;
    char text[BRISK_TEXT_QUOTED_MAX];
    assert_string_equal(brisk_text_quote(text, "plain \xc3\xa4"), "plain \xc3\xa4");
    assert_string_equal(brisk_text_quote(text, "a\x1b[0m\n\x7f"), "a\\x1b[0m\\x0a\\x7f");
    assert_string_equal(brisk_text_quote(text, ""), "");
    /* U+009B begins an escape sequence, U+00A0 is a blank; half a character stays what it is. */
    assert_string_equal(brisk_text_quote(text, "\xc2\x9b"
                                               "31m\xc2\xa0\xc2"),
                        "\\xc2\\x9b31m\xc2\xa0\xc2");
    char longest[1000];
    for (int control = 0; control < 2; control++) {
        memset(longest, control ? 1 : 'x', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        CHECK_U64(strlen(brisk_text_quote(text, longest)), <, BRISK_TEXT_QUOTED_MAX);
        assert_string_equal(text + strlen(text) - 3, "...");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance_is_as_defined),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_quoting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
