/*
 * test_glob.c -- patterns as Redis has them, and none that takes long.
 */
#include <string.h>

#include "daemon/glob.h"
#include "support/check.h"

static bool match(const char *pattern, const char *text, bool ignore_case)
{
    resp_bytes p = {.data = (const unsigned char *)pattern, .size = strlen(pattern)};
    resp_bytes t = {.data = (const unsigned char *)text, .size = strlen(text)};
    return glob_match(p, t, ignore_case);
}

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } table[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"a*c", "abbc", true},
        {"a*c", "abbd", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"h[ae]llo", "hello", true},
        {"h[ae]llo", "hillo", false},
        {"h[^e]llo", "hallo", true},
        {"h[^e]llo", "hello", false},
        {"h[a-c]llo", "hbllo", true},
        {"h[c-a]llo", "hbllo", true},
        {"h[a-c]llo", "hdllo", false},
        {"a\\*b", "a*b", true},
        {"a\\*b", "axb", false},
        {"[\\]]", "]", true},
        {"key:1??", "key:100", true},
        {"key:1??", "key:10", false},
        {"**a**", "bab", true},
        {"[", "[", false},
        {"a[", "a", false},
        {"*[ab]*c", "xxbyyc", true},
        {"a\\", "a\\", true},
        {"*?", "", false},
        {"*b*b*b", "abbab", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (match(table[i].pattern, table[i].text, false) != table[i].matches) {
            fail_msg("'%s' on '%s'", table[i].pattern, table[i].text);
        }
    }
}

static void test_case_may_be_ignored(void **state)
{
    (void)state;
    CHECK(match("MaX*", "maxmemory", true));
    CHECK(!match("MaX*", "maxmemory", false));
    CHECK(match("[A-C]x", "bX", true));
}

static void test_no_pattern_is_exponential(void **state)
{
    (void)state;
    char text[20001];
    char pattern[2001];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t i = 0; i + 1 < sizeof pattern; i += 2) {
        memcpy(pattern + i, "a*", 2);
    }
    pattern[sizeof pattern - 1] = '\0';
    CHECK(match(pattern, text, false));
    pattern[sizeof pattern - 2] = 'b';
    CHECK(!match(pattern, text, false));
}

static void test_a_quadratic_pattern_gives_up(void **state)
{
    (void)state;
    static unsigned char text[65000];
    static unsigned char pattern[30002];
    memset(text, 'a', sizeof text);
    memset(pattern, 'a', sizeof pattern);
    pattern[0] = '*';
    pattern[sizeof pattern - 1] = 'b';
    resp_bytes p = {.data = pattern, .size = sizeof pattern};
    uint64_t effort = GLOB_EFFORT;
    CHECK(!glob_match_within(p, (resp_bytes){.data = text, .size = sizeof text}, false, &effort));
    CHECK_U64(effort, ==, 0);
    pattern[sizeof pattern - 1] = 'a';
    effort = GLOB_EFFORT;
    CHECK(!glob_match_within(p, (resp_bytes){.data = text, .size = 30000}, false, &effort));
    effort = GLOB_EFFORT;
    CHECK(glob_match_within(p, (resp_bytes){.data = text, .size = 30001}, false, &effort));
    CHECK(effort > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_case_may_be_ignored),
        cmocka_unit_test(test_no_pattern_is_exponential),
        cmocka_unit_test(test_a_quadratic_pattern_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
