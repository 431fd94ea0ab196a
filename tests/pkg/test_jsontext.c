/* test_jsontext.c -- strict JSON: values, where errors are, limits, memory. */
#include <math.h>
#include <string.h>

#include <brisk/arena.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/pkg/jsontext.h"

static brisk_arena *arena;

static const pkg_json *parsed(const char *text)
{
    const pkg_json *value = NULL;
    brisk_errinfo info = {0};
    if (pkg_json_parse(pkg_text_of(text), arena, &value, &info) != BRISK_OK) {
        fail_msg("%s: %s", text, info.text);
    }
    return value;
}

static void test_values(void **state)
{
    (void)state;
    const pkg_json *v = parsed("\xEF\xBB\xBF {\"a\": [1, -2.5e2, true, false, null],\n \"b\": "
                               "{\"c\": \"x\"}, \"\": {} , \"d\":[]}\n");
    assert_int_equal(v->type, PKG_JSON_OBJECT);
    CHECK_U64(v->count, ==, 4);
    CHECK(pkg_text_is(v->keys[0], "a") && pkg_text_is(v->keys[2], ""));
    const pkg_json *a = pkg_json_get(v, "a");
    CHECK_U64(a->count, ==, 5);
    CHECK(a->items[0]->number == 1 && a->items[1]->number == -250);
    CHECK(a->items[2]->boolean && !a->items[3]->boolean);
    assert_int_equal(a->items[4]->type, PKG_JSON_NULL);
    CHECK(pkg_text_is(a->raw, "[1, -2.5e2, true, false, null]"));
    CHECK(pkg_text_is(a->items[1]->raw, "-2.5e2"));
    CHECK(pkg_text_is(pkg_json_get_text(pkg_json_get(v, "b"), "c"), "x"));
    CHECK_U64(pkg_json_get(v, "b")->line, ==, 2);
    CHECK(pkg_json_get(v, "none") == NULL && pkg_json_get(NULL, "a") == NULL);
    CHECK_U64(pkg_json_get_text(v, "a").size, ==, 0);
    CHECK(parsed("0")->number == 0 && signbit(parsed("-0")->number));
    CHECK(parsed("123456789012345678")->number == 123456789012345680.0);
    CHECK(parsed("1E-3")->number == 0.001);
    CHECK(isinf(parsed("1e999")->number));
}

static void test_strings(void **state)
{
    (void)state;
    const pkg_json *v = parsed("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"");
    CHECK(pkg_text_is(v->text, "\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"));
    CHECK(pkg_text_is(parsed("\"\\ud83d\"")->text, "\xEF\xBF\xBD"));
    CHECK(pkg_text_is(parsed("\"\\ud83dx\"")->text, "\xEF\xBF\xBDx"));
    CHECK(pkg_text_is(parsed("\"\\ud83d\\u0041\"")->text, "\xEF\xBF\xBD"
                                                          "A"));
    CHECK(pkg_text_is(parsed("\"\\ude00\\ud83d\"")->text, "\xEF\xBF\xBD\xEF\xBF\xBD"));
    CHECK_U64(parsed("\"a\\u0000b\"")->text.size, ==, 3);
    CHECK(pkg_text_is(parsed("\"gr\xC3\xBC\xC3\x9F\"")->text, "gr\xC3\xBC\xC3\x9F"));
    CHECK(pkg_text_is(parsed("{\"\\u0061\": 1}")->keys[0], "a"));
}

static void test_last_of_equal_keys_counts(void **state)
{
    (void)state;
    const pkg_json *v = parsed("{\"a\": 1, \"b\": 2, \"\\u0061\": 3}");
    CHECK_U64(v->count, ==, 2);
    CHECK(pkg_text_is(v->keys[0], "a") && v->items[0]->number == 3);
    char *text = malloc(1 << 20);
    CHECK(text != NULL);
    size_t size = (size_t)snprintf(text, 64, "{\"k0\": 0"); /* many: by hash */
    for (int i = 1; i < 20000; i++) {
        size += (size_t)snprintf(text + size, 64, ", \"k%d\": %d", i % 5000, i);
    }
    (void)snprintf(text + size, 64, "}");
    v = parsed(text);
    CHECK_U64(v->count, ==, 5000);
    for (int i = 0; i < 5000; i++) {
        CHECK(v->items[i]->number == 15000 + i);
    }
    free(text);
}

static void refused(const char *text, brisk_err err, const char *message)
{
    const pkg_json *value = NULL;
    brisk_errinfo info = {0};
    brisk_err got = pkg_json_parse(pkg_text_of(text), arena, &value, &info);
    if (got != err || value != NULL || strstr(info.text, message) == NULL) {
        fail_msg("%s: %s, \"%s\"", text, brisk_err_name(got), info.text);
    }
}

static void test_errors_name_line_and_column(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "line 1, column 1: the text is empty"},
        {" \n ", "line 2, column 2: the text is empty"},
        {"{\n  \"a\": 1,\n}", "line 3, column 1: a name in double quotes"},
        {"{\"\xC3\xA9\": x}", "line 1, column 7: a value is expected"},
        {"{\"a\" 1}", "line 1, column 6: ':' is expected"},
        {"{\"a\": 1 \"b\": 2}", "line 1, column 9: ',' or '}'"},
        {"[1 2]", "line 1, column 4: ',' or ']'"},
        {"[1,]", "line 1, column 4: a value is expected"},
        {"[1", "the text ends in the middle"},
        {"{\"a\"", "the text ends in the middle"},
        {"\"abc", "the text ends in the middle"},
        {"\"abc\\", "the text ends in the middle"},
        {"\"a\nb\"", "line 1, column 3: the string is not closed"},
        {"\"a\tb\"", "line 1, column 3: a control character"},
        {"\"a\\xb\"", "line 1, column 3: no such escape"},
        {"\"\\u12g4\"", "line 1, column 2: no such escape"},
        {"\"\\u12\"", "line 1, column 2: no such escape"},
        {"\"\x80\"", "line 1, column 2: the bytes here are no UTF-8"},
        {"\"\xC0\xAF\"", "no UTF-8"},
        {"\"\xED\xA0\x80\"", "no UTF-8"},
        {"\"\xF4\x90\x80\x80\"", "no UTF-8"},
        {"\"\xE0\x80\x80\"", "no UTF-8"},
        {"\"\xE2\x82\"", "no UTF-8"},
        {"01", "line 1, column 2: a number may not begin with 0"},
        {"[-]", "a digit is expected here"},
        {"[1.]", "a digit is expected behind the point"},
        {"[1e+]", "a digit is expected in the exponent"},
        {"[.5]", "a value is expected"},
        {"nul", "a value is expected"},
        {"truth", "a value is expected"},
        {"NaN", "a value is expected"},
        {"1 2", "line 1, column 3: the value ends before this"},
        {"// x\n1", "a value is expected"},
        {"'a'", "a value is expected"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refused(bad[i][0], BRISK_ERR_CORRUPT, bad[i][1]);
    }
}

static void test_limits(void **state)
{
    (void)state;
    char text[2 * PKG_JSON_DEPTH_MAX + 8] = {0};
    memset(text, '[', PKG_JSON_DEPTH_MAX);
    memset(text + PKG_JSON_DEPTH_MAX, ']', PKG_JSON_DEPTH_MAX);
    CHECK_U64(parsed(text)->count, ==, 1);
    memset(text, '[', PKG_JSON_DEPTH_MAX + 1);
    memset(text + PKG_JSON_DEPTH_MAX + 1, ']', PKG_JSON_DEPTH_MAX + 1);
    refused(text, BRISK_ERR_LIMIT, "nested too deep");
    char digits[200] = {0};
    memset(digits, '1', 128);
    refused(digits, BRISK_ERR_LIMIT, "longer than 127");
    digits[127] = '\0';
    CHECK(parsed(digits)->number > 1e126);
}

static void test_siblings_do_not_add_depth(void **state)
{
    (void)state;
    char text[8 * PKG_JSON_DEPTH_MAX];
    size_t size = (size_t)snprintf(text, sizeof text, "[[]");
    for (int i = 1; i < PKG_JSON_DEPTH_MAX + 10; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, ",[]");
    }
    (void)snprintf(text + size, sizeof text - size, "]");
    CHECK_U64(parsed(text)->count, ==, PKG_JSON_DEPTH_MAX + 10);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    enum { MEMBERS = 400 };
    static char text[MEMBERS * 40];
    size_t size = (size_t)snprintf(text, sizeof text, "{");
    for (int i = 0; i < MEMBERS; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "%s\"k%d\": [1, true, \"\\n\"]",
                                 i > 0 ? "," : "", i);
    }
    (void)snprintf(text + size, sizeof text - size, "}");
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t fail_after = 1;
    for (; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_arena *small;
        CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base, .chunk_bytes = 4096},
                                    &small));
        const pkg_json *value = NULL;
        err = pkg_json_parse(pkg_text_of(text), small, &value, NULL);
        CHECK((value != NULL) == (err == BRISK_OK));
        brisk_arena_destroy(small);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    CHECK_U64(fail_after, >, 10);
}

static int setup(void **state)
{
    (void)state;
    return brisk_arena_create(NULL, &arena) == BRISK_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    brisk_arena_destroy(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_last_of_equal_keys_counts),
        cmocka_unit_test(test_errors_name_line_and_column),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_siblings_do_not_add_depth),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
