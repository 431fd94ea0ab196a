/*
 * test_text.c -- quantities, quoting and the nearest name.
 */
#include "support/check.h"

#include <string.h>

#include "cli/cli.h"

static void expect_duration(double ns, const char *wanted)
{
    char text[CLI_TEXT_MAX];
    cli_format_duration(text, ns);
    assert_string_equal(text, wanted);
}

static void test_durations(void **state)
{
    (void)state;
    expect_duration(0, "0 ns");
    expect_duration(1, "1 ns");
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
    char text[CLI_TEXT_MAX];
    cli_format_bytes(text, bytes);
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
    char text[CLI_QUOTED_MAX];
    assert_string_equal(cli_quote(text, "plain \xc3\xa4"), "plain \xc3\xa4");
    assert_string_equal(cli_quote(text, "a\x1b[0m\n\x7f"), "a\\x1b[0m\\x0a\\x7f");
    assert_string_equal(cli_quote(text, ""), "");
    char longest[1000];
    for (int control = 0; control < 2; control++) {
        memset(longest, control ? 1 : 'x', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        CHECK_U64(strlen(cli_quote(text, longest)), <, CLI_QUOTED_MAX);
        assert_string_equal(text + strlen(text) - 3, "...");
    }
}

static const char *nearest_of(const char *word, const char *const *names)
{
    cli_nearest nearest = {.word = word};
    for (; *names != NULL; names++) {
        cli_nearest_try(&nearest, *names);
    }
    return cli_nearest_get(&nearest);
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"apply", "info", "bench", "version", "cache", NULL};
    static const char *const none[] = {NULL};
    assert_string_equal(nearest_of("aply", names), "apply");
    assert_string_equal(nearest_of("appyl", names), "apply");
    assert_string_equal(nearest_of("applyy", names), "apply");
    assert_string_equal(nearest_of("ifno", names), "info");
    assert_string_equal(nearest_of("verison", names), "version");
    assert_string_equal(nearest_of("cahce", names), "cache");
    assert_null(nearest_of("zzz", names));
    assert_null(nearest_of("x", names));
    assert_null(nearest_of("", names));
    assert_null(nearest_of("apply", none));
    char longest[500];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(nearest_of(longest, names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
