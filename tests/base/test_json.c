/* The JSON writer: commas, escapes, numbers, limits; the first error of the output stays. */
#include <locale.h>
#include <math.h>
#include <string.h>

#include <brisk/json.h>

#include "base/str.h"
#include "support/check.h"

/* Run `body` and compare what it wrote. */
static void written(void (*body)(brisk_json *json), uint32_t indent, const char *wanted)
{
    brisk_str text;
    brisk_str_init(&text, NULL, 1 << 20);
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(&text), indent);
    body(&json);
    CHECK_OK(brisk_json_finish(&json));
    assert_string_equal(brisk_str_text(&text), wanted);
    brisk_str_deinit(&text);
}

static void everything(brisk_json *json)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "name", "a\"b\\c\n\x01");
    brisk_json_u64(json, "u", UINT64_MAX);
    brisk_json_i64(json, "i", INT64_MIN);
    brisk_json_bool(json, "yes", true);
    brisk_json_bool(json, "no", false);
    brisk_json_null(json, "none");
    brisk_json_str(json, "null too", NULL);
    brisk_json_array_begin(json, "list");
    brisk_json_u64(json, NULL, 1);
    brisk_json_array_begin(json, NULL);
    brisk_json_array_end(json);
    brisk_json_object_begin(json, NULL);
    brisk_json_object_end(json);
    brisk_json_array_end(json);
    brisk_json_u64(json, "after", 2);
    brisk_json_object_end(json);
}

static void one_number(brisk_json *json)
{
    brisk_json_double(json, NULL, 0.1);
}

static void test_shapes(void **state)
{
    (void)state;
    written(everything, 0,
            "{\"name\":\"a\\\"b\\\\c\\n\\u0001\",\"u\":18446744073709551615,"
            "\"i\":-9223372036854775808,\"yes\":true,\"no\":false,\"none\":null,\"null too\":null,"
            "\"list\":[1,[],{}],\"after\":2}\n");
    written(everything, 2,
            "{\n  \"name\": \"a\\\"b\\\\c\\n\\u0001\",\n  \"u\": 18446744073709551615,\n"
            "  \"i\": -9223372036854775808,\n  \"yes\": true,\n  \"no\": false,\n"
            "  \"none\": null,\n  \"null too\": null,\n  \"list\": [\n    1,\n    [],\n    {}\n"
            "  ],\n  \"after\": 2\n}\n");
    written(one_number, 4, "0.1\n");
}

static void string_is(const char *value, const char *wanted)
{
    brisk_str text;
    brisk_str_init(&text, NULL, 1 << 20);
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_str(&json, NULL, value);
    CHECK_OK(brisk_json_finish(&json));
    assert_string_equal(brisk_str_text(&text), wanted);
    brisk_str_deinit(&text);
}

#define BAD "\xef\xbf\xbd"

static void test_utf8(void **state)
{
    (void)state;
    string_is("\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xae", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xae\"\n");
    string_is("\xef\xbf\xbf\xf4\x8f\xbf\xbf", "\"\\uffff\xf4\x8f\xbf\xbf\"\n");
    string_is("\xef\xbb\xbf\xef\xbf\xbe\xef\xbf\xbd", "\"\\ufeff\\ufffe\xef\xbf\xbd\"\n");
    string_is("a\x80z", "\"a" BAD "z\"\n");                     /* alone */
    string_is("\xc0\xaf", "\"" BAD BAD "\"\n");                 /* overlong */
    string_is("\xe0\x9f\xbf", "\"" BAD BAD BAD "\"\n");         /* overlong */
    string_is("\xf0\x8f\xbf\xbf", "\"" BAD BAD BAD BAD "\"\n"); /* overlong */
    string_is("\xed\xa0\x80", "\"" BAD BAD BAD "\"\n");         /* surrogate */
    string_is("\xf4\x90\x80\x80", "\"" BAD BAD BAD BAD "\"\n"); /* above U+10FFFF */
    string_is("\xe2\x82", "\"" BAD BAD "\"\n");                 /* ends early */
    string_is("\xe2\x82\x28", "\"" BAD BAD "(\"\n");
    string_is("\xff\b\f\r\t/\x7f", "\"" BAD "\\b\\f\\r\\t/\x7f\"\n");
    string_is("", "\"\"\n");
}

static void foreign(brisk_json *json)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_text(json, "bytes",
                    "a\0\"\xff"
                    "zz",
                    4);
    brisk_json_text(json, "empty", "x", 0);
    brisk_json_raw(json, "raw", "{\"a\": 1}beyond", 8);
    brisk_json_array_begin(json, "list");
    brisk_json_raw(json, NULL, "1", 1);
    brisk_json_raw(json, NULL, "[2]", 3);
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static void test_sized_and_raw(void **state)
{
    (void)state;
    written(foreign, 0,
            "{\"bytes\":\"a\\u0000\\\"" BAD
            "\",\"empty\":\"\",\"raw\":{\"a\": 1},\"list\":[1,[2]]}\n");
}

static void number_is(double value, const char *wanted)
{
    brisk_str text;
    brisk_str_init(&text, NULL, 100);
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_double(&json, NULL, value);
    CHECK_OK(brisk_json_finish(&json));
    assert_string_equal(brisk_str_text(&text), wanted);
    brisk_str_deinit(&text);
}

static void test_doubles(void **state)
{
    (void)state;
    number_is(0.0, "0\n");
    number_is(-0.0, "-0\n");
    number_is(1.5, "1.5\n");
    number_is(0.30000000000000004, "0.30000000000000004\n");
    number_is(1e300, "1e+300\n");
    number_is((double)NAN, "null\n");
    number_is((double)INFINITY, "null\n");
    number_is(-(double)INFINITY, "null\n");
}

/* Property: every finite double reads back as itself, in any locale that exists here. */
static void test_doubles_read_back(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = check_random(&random);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) {
            continue;
        }
        brisk_str text;
        brisk_str_init(&text, NULL, 100);
        brisk_json json;
        brisk_json_init(&json, brisk_str_out(&text), 0);
        brisk_json_double(&json, NULL, value);
        CHECK_OK(brisk_json_finish(&json));
        double back = strtod(brisk_str_text(&text), NULL);
        CHECK(memcmp(&back, &value, sizeof value) == 0);
        brisk_str_deinit(&text);
    }
}

static void test_locale_does_not_matter(void **state)
{
    (void)state;
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL) {
        print_message("skipped: no locale with a decimal comma\n");
        skip();
    }
    number_is(1.5, "1.5\n");
    (void)setlocale(LC_NUMERIC, "C");
}

static void test_depth_limit(void **state)
{
    (void)state;
    for (int depth = BRISK_JSON_DEPTH_MAX; depth <= BRISK_JSON_DEPTH_MAX + 40; depth += 20) {
        brisk_str text;
        brisk_str_init(&text, NULL, 1 << 20);
        brisk_json json;
        brisk_json_init(&json, brisk_str_out(&text), 0);
        for (int i = 0; i < depth; i++) {
            brisk_json_array_begin(&json, NULL);
        }
        brisk_json_u64(&json, NULL, 1);
        for (int i = 0; i < depth; i++) {
            brisk_json_array_end(&json);
        }
        CHECK(brisk_json_finish(&json) ==
              (depth <= BRISK_JSON_DEPTH_MAX ? BRISK_OK : BRISK_ERR_LIMIT));
        brisk_str_deinit(&text);
    }
}

static void test_first_error_stays(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "we");
    if (full == NULL) {
        print_message("skipped: no /dev/full\n");
        skip();
    }
    (void)setvbuf(full, NULL, _IONBF, 0);
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(full), 2);
    everything(&json);
    CHECK(brisk_json_finish(&json) == BRISK_ERR_IO);
    (void)fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_sized_and_raw),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_doubles_read_back),
        cmocka_unit_test(test_depth_limit),
        cmocka_unit_test(test_locale_does_not_matter),
        cmocka_unit_test(test_first_error_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
