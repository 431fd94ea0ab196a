/*
 * test_condition.c -- conditions of requests: each alone, and which is asked first.
 */
#include <string.h>

#include "daemon/files/condition.h"
#include "support/check.h"

#define OLD  "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME "Sun, 06 Nov 1994 08:49:37 GMT"
#define NEW  "Sun, 06 Nov 1994 08:49:38 GMT"

enum { MODIFIED_S = 784111777 }; /* SAME */

typedef struct condition_case {
    const char *match;
    const char *none_match;
    const char *since;
    const char *unmodified;
    bool unsafe;
    condition_verdict verdict;
} condition_case;

static const condition_case cases[] = {
    {.verdict = CONDITION_SEND},
    {.match = "\"abc\"", .verdict = CONDITION_SEND},
    {.match = "\"x\", \"abc\"", .verdict = CONDITION_SEND},
    {.match = "*", .verdict = CONDITION_SEND},
    {.match = "\"abc-br\"", .verdict = CONDITION_SEND},
    {.match = "\"abd\"", .verdict = CONDITION_FAILED},
    {.match = "W/\"abc\"", .verdict = CONDITION_FAILED},
    {.match = "abc", .verdict = CONDITION_FAILED},
    {.match = "", .verdict = CONDITION_FAILED},
    {.none_match = "\"abc\"", .verdict = CONDITION_NOT_MODIFIED},
    {.none_match = "W/\"abc\"", .verdict = CONDITION_NOT_MODIFIED},
    {.none_match = "\"abc-zstd\"", .verdict = CONDITION_NOT_MODIFIED},
    {.none_match = "\"abc-dcz\"", .verdict = CONDITION_NOT_MODIFIED},
    {.none_match = "\"abc-zst\"", .verdict = CONDITION_SEND},
    {.none_match = "\"abc-\"", .verdict = CONDITION_SEND},
    {.none_match = "\"abcd\"", .verdict = CONDITION_SEND},
    {.none_match = "\"ab\"", .verdict = CONDITION_SEND},
    {.none_match = "\"1\" , \"2\",, W/\"abc\"", .verdict = CONDITION_NOT_MODIFIED},
    {.none_match = "\"1\" nonsense \"abc\"", .verdict = CONDITION_SEND},
    {.none_match = "\"unclosed", .verdict = CONDITION_SEND},
    {.none_match = "*", .verdict = CONDITION_NOT_MODIFIED},
    {.none_match = "*", .unsafe = true, .verdict = CONDITION_FAILED},
    {.none_match = "\"abc\"", .unsafe = true, .verdict = CONDITION_FAILED},
    {.since = SAME, .verdict = CONDITION_NOT_MODIFIED},
    {.since = NEW, .verdict = CONDITION_NOT_MODIFIED},
    {.since = OLD, .verdict = CONDITION_SEND},
    {.since = "yesterday", .verdict = CONDITION_SEND},
    {.since = SAME, .unsafe = true, .verdict = CONDITION_SEND},
    {.unmodified = SAME, .verdict = CONDITION_SEND},
    {.unmodified = OLD, .verdict = CONDITION_FAILED},
    {.unmodified = "never", .verdict = CONDITION_SEND},
    /* who goes first */
    {.match = "\"abc\"", .unmodified = OLD, .verdict = CONDITION_SEND},
    {.match = "\"x\"", .none_match = "\"abc\"", .verdict = CONDITION_FAILED},
    {.match = "\"abc\"", .none_match = "\"abc\"", .verdict = CONDITION_NOT_MODIFIED},
    {.none_match = "\"x\"", .since = SAME, .verdict = CONDITION_SEND},
    {.none_match = "\"abc\"", .since = OLD, .verdict = CONDITION_NOT_MODIFIED},
    {.unmodified = OLD, .none_match = "\"abc\"", .verdict = CONDITION_FAILED},
};

static const http_text *text_of(const char *from, http_text *to)
{
    *to = (http_text){from, from != NULL ? strlen(from) : 0};
    return from != NULL ? to : NULL;
}

static void test_cases(void **state)
{
    (void)state;
    condition_entity entity = {HTTP_TEXT("abc"), MODIFIED_S, MODIFIED_S + 1000};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_text texts[4];
        condition_fields fields = {
            .if_match = text_of(cases[i].match, &texts[0]),
            .if_none_match = text_of(cases[i].none_match, &texts[1]),
            .if_modified_since = text_of(cases[i].since, &texts[2]),
            .if_unmodified_since = text_of(cases[i].unmodified, &texts[3]),
        };
        http_text matched;
        condition_verdict verdict = condition_check(&fields, &entity, !cases[i].unsafe, &matched);
        if (verdict != cases[i].verdict) {
            fail_msg("case %zu: %d, not %d", i, (int)verdict, (int)cases[i].verdict);
        }
    }
}

static void test_matched_is_what_the_client_has(void **state)
{
    (void)state;
    condition_entity entity = {HTTP_TEXT("abc"), MODIFIED_S, MODIFIED_S + 1000};
    http_text list = HTTP_TEXT("\"1\", W/\"abc-gzip\"");
    condition_fields fields = {.if_none_match = &list};
    http_text matched;
    CHECK(condition_check(&fields, &entity, true, &matched) == CONDITION_NOT_MODIFIED);
    CHECK_U64(matched.size, ==, 8);
    CHECK(memcmp(matched.data, "abc-gzip", 8) == 0);
}

static void test_without_tag_and_date(void **state)
{
    (void)state;
    condition_entity entity = {{"", 0}, -1, MODIFIED_S};
    http_text tag = HTTP_TEXT("\"\"");
    http_text date = HTTP_TEXT(SAME);
    http_text matched;
    condition_fields fields = {.if_none_match = &tag};
    CHECK(condition_check(&fields, &entity, true, &matched) == CONDITION_SEND);
    fields = (condition_fields){.if_modified_since = &date};
    CHECK(condition_check(&fields, &entity, true, &matched) == CONDITION_SEND);
    fields = (condition_fields){.if_unmodified_since = &date};
    CHECK(condition_check(&fields, &entity, true, &matched) == CONDITION_SEND);
    fields = (condition_fields){.if_range = &tag};
    CHECK(!condition_range(&fields, &entity));
}

static bool range_with(const char *if_range, int64_t now_s)
{
    condition_entity entity = {HTTP_TEXT("abc"), MODIFIED_S, now_s};
    http_text text = {if_range, strlen(if_range)};
    condition_fields fields = {.if_range = &text};
    return condition_range(&fields, &entity);
}

static void test_if_range(void **state)
{
    (void)state;
    condition_entity entity = {HTTP_TEXT("abc"), MODIFIED_S, MODIFIED_S + 1000};
    condition_fields none = {.if_range = NULL};
    CHECK(condition_range(&none, &entity));
    CHECK(range_with("\"abc\"", MODIFIED_S + 1000));
    CHECK(!range_with("W/\"abc\"", MODIFIED_S + 1000));
    CHECK(!range_with("\"abc-br\"", MODIFIED_S + 1000));
    CHECK(!range_with("\"abd\"", MODIFIED_S + 1000));
    CHECK(range_with(SAME, MODIFIED_S + 1000));
    CHECK(!range_with(NEW, MODIFIED_S + 1000));
    CHECK(!range_with(OLD, MODIFIED_S + 1000));
    CHECK(!range_with(SAME, MODIFIED_S + 1)); /* it may have changed within that second */
    CHECK(!range_with("", MODIFIED_S + 1000));
    CHECK(!range_with("abc", MODIFIED_S + 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_matched_is_what_the_client_has),
        cmocka_unit_test(test_without_tag_and_date),
        cmocka_unit_test(test_if_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
