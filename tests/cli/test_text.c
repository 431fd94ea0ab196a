/*
 * test_text.c -- the nearest name.
 */
#include "support/check.h"

#include <string.h>

#include "cli/cli.h"

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
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
