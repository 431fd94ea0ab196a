/*
 * test_nice.c -- JSON as npm writes it: escapes, order, indent, programs; and the cursor that reads
 * what is written again.
 */
#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/pkg/bin.h"
#include "workload/pkg/jsonscan.h"

typedef struct sink {
    char text[4096];
    size_t size;
    size_t fail_at; /* 0: never */
} sink;

static brisk_err sink_write(void *ctx, const char *data, size_t size)
{
    sink *to = ctx;
    if (to->fail_at != 0 && to->size + size >= to->fail_at) {
        return BRISK_ERR_FULL;
    }
    assert_true(to->size + size < sizeof to->text);
    memcpy(to->text + to->size, data, size);
    to->size += size;
    to->text[to->size] = '\0';
    return BRISK_OK;
}

static brisk_err nice_of(const char *raw, const char *indent, sink *to)
{
    brisk_arena *arena;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    pkg_nice nice;
    CHECK_OK(pkg_nice_init(&nice, (brisk_out){.write = sink_write, .ctx = to}, arena,
                           pkg_text_of(indent), (pkg_text){0}));
    pkg_nice_raw(&nice, pkg_text_of(raw));
    brisk_err err = pkg_nice_finish(&nice);
    brisk_arena_destroy(arena);
    return err;
}

static void check_nice(const char *raw, const char *indent, const char *wanted)
{
    sink to = {0};
    CHECK_OK(nice_of(raw, indent, &to));
    assert_string_equal(to.text, wanted);
}

/* What node says for json-stringify-nice of these. */
static void test_order_and_indent(void **state)
{
    (void)state;
    check_nice("{}", "", "{}\n");
    check_nice("[ ]", "", "[]\n");
    check_nice("{\"b\":{\"x\":1},\"a\":{},\"z\":[1,\n{\"k\":null}],\"name\":true,\"B\":\"\"}", "\t",
               "{\n\t\"name\": true,\n\t\"B\": \"\",\n\t\"z\": [\n\t\t1,\n\t\t{\n\t\t\t\"k\": "
               "null\n\t\t}\n\t],\n\t\"a\": {},\n\t\"b\": {\n\t\t\"x\": 1\n\t}\n}\n");
    check_nice("{\"b\":1,\"10\":{},\"2\":3}", "            ",
               "{\n          \"2\": 3,\n          \"10\": {},\n          \"b\": 1\n}\n");
}

static void test_newlines(void **state)
{
    (void)state;
    static char many[100000];
    static const struct {
        size_t size;
        const char *wanted;
    } cases[] = {{2, "[\n\n  1\n\n]\n\n"}, {sizeof many, "[\n  1\n]\n"}};
    memset(many, '\n', sizeof many);
    for (size_t i = 0; i < 2; i++) {
        sink to = {0};
        brisk_arena *arena;
        CHECK_OK(brisk_arena_create(NULL, &arena));
        pkg_nice nice;
        CHECK_OK(pkg_nice_init(&nice, (brisk_out){.write = sink_write, .ctx = &to}, arena,
                               PKG_TEXT(""), (pkg_text){.data = many, .size = cases[i].size}));
        pkg_nice_raw(&nice, PKG_TEXT("[1]"));
        CHECK_OK(pkg_nice_finish(&nice));
        assert_string_equal(to.text, cases[i].wanted);
        brisk_arena_destroy(arena);
    }
}

static void test_escapes_and_numbers(void **state)
{
    (void)state;
    check_nice("\"\\u0041\\/\\b\\f\\n\\r\\t\\u0001\\u001F\\\"\\\\\"", "",
               "\"A/\\b\\f\\n\\r\\t\\u0001\\u001f\\\"\\\\\"\n");
    check_nice("\"\\u00e9\\ud83d\\ude00 caf\xC3\xA9 \x7F\"", "",
               "\"\xC3\xA9\xF0\x9F\x98\x80 caf\xC3\xA9 \x7F\"\n");
    check_nice("[1.0,-0,1e2,0.5,123456789012]", "",
               "[\n  1,\n  0,\n  100,\n  0.5,\n  123456789012\n]\n");
}

static void test_last_member_counts(void **state)
{
    (void)state;
    check_nice("{\"a\":1,\"b\":2,\"a\":{\"c\":3}}", "",
               "{\n  \"b\": 2,\n  \"a\": {\n    \"c\": 3\n  }\n}\n");
}

static void test_what_is_no_json(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           "{",       "[1,]",     "{\"a\":}", "{\"a\" 1}",    "{a:1}",
        "\"\\x\"",    "\"\\u12", "\"\x01\"", "\"\xFF\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"",
        "01",         "1.",      "-",        "1e",       "nul",          "tru",
        "{\"a\":1,}", "[1 2]",   "\"open",   "+1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sink to = {0};
        if (nice_of(bad[i], "", &to) != BRISK_ERR_CORRUPT) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    char deep[2 * PKG_JSON_DEPTH_MAX + 8];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    sink to = {0};
    assert_int_equal(nice_of(deep, "", &to), BRISK_ERR_LIMIT);
}

static void test_scan_says_where(void **state)
{
    (void)state;
    pkg_scan scan;
    pkg_text raw;
    brisk_errinfo info = {0};
    pkg_scan_init(&scan, PKG_TEXT("{\n  \"a\": [1,\n  tru]}"));
    assert_false(pkg_scan_value(&scan, &raw));
    assert_int_equal(pkg_scan_report(&scan, &info), BRISK_ERR_CORRUPT);
    assert_string_equal(info.text, "line 3, column 3: this is no value");
    pkg_scan_init(&scan, PKG_TEXT("\xEF\xBB\xBF [1, {\"a\": [ ] } ] x"));
    assert_true(pkg_scan_value(&scan, &raw));
    assert_true(pkg_text_is(raw, "[1, {\"a\": [ ] } ]"));
    assert_false(pkg_scan_end(&scan));
}

static void check_bin(const char *name, const char *raw, const char *wanted)
{
    brisk_arena *arena;
    sink to = {0};
    CHECK_OK(brisk_arena_create(NULL, &arena));
    pkg_nice nice;
    CHECK_OK(pkg_nice_init(&nice, (brisk_out){.write = sink_write, .ctx = &to}, arena,
                           PKG_TEXT(" "), (pkg_text){0}));
    pkg_nice_begin(&nice, '{');
    pkg_bin_write(&nice, pkg_text_of(name), pkg_text_of(raw));
    pkg_nice_end(&nice, '}');
    CHECK_OK(pkg_nice_finish(&nice));
    brisk_arena_destroy(arena);
    assert_string_equal(to.text, wanted);
}

/* As npm's normalisation gives them. */
static void test_programs(void **state)
{
    (void)state;
    check_bin("@s/tool", "\"./cli.js\"", "{\n \"bin\": {\n  \"tool\": \"cli.js\"\n }\n}\n");
    check_bin("x", "{\"b\":\"./bin//b.js\",\"a\":\"../../etc/passwd\"}",
              "{\n \"bin\": {\n  \"a\": \"etc/passwd\",\n  \"b\": \"bin/b.js\"\n }\n}\n");
    check_bin("x", "{\"../../a\":\"c:\\\\d\\\\..\\\\e\",\"n\":5}",
              "{\n \"bin\": {\n  \"a\": \"c/e\"\n }\n}\n");
    check_bin("x", "[\"bin/one\",\"two\"]",
              "{\n \"bin\": {\n  \"one\": \"bin/one\",\n  \"two\": \"two\"\n }\n}\n");
    check_bin("x", "{\"a\":\"\",\"\":\"b\",\"..\":\"c\"}", "{}\n");
    check_bin("", "\"a\"", "{}\n");
    check_bin("x", "null", "{}\n");
}

static void test_output_that_fails(void **state)
{
    (void)state;
    sink to = {.fail_at = 3};
    assert_int_equal(nice_of("[1,2,3]", "", &to), BRISK_ERR_FULL);
}

static brisk_err nice_with(const brisk_alloc *alloc)
{
    brisk_arena *arena;
    brisk_err err =
        brisk_arena_create(&(brisk_arena_opts){.alloc = alloc, .chunk_bytes = 4096}, &arena);
    if (err != BRISK_OK) {
        return err;
    }
    sink to = {0};
    pkg_nice nice;
    err = pkg_nice_init(&nice, (brisk_out){.write = sink_write, .ctx = &to}, arena, (pkg_text){0},
                        (pkg_text){0});
    if (err == BRISK_OK) {
        static char raw[3000];
        size_t size = 0;
        for (int i = 0; i < 100; i++) {
            size += (size_t)snprintf(raw + size, sizeof raw - size, "%s\"k\\u0041%d\":\"v\\n\"",
                                     i == 0 ? "{" : ",", i);
        }
        raw[size++] = '}';
        pkg_nice_raw(&nice, (pkg_text){raw, size});
        err = pkg_nice_finish(&nice);
    }
    brisk_arena_destroy(arena);
    return err;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t fail_after = 0;
    for (; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        err = nice_with(&fault.base);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    assert_int_equal(err, BRISK_OK);
    CHECK_U64(fail_after, >, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_indent),
        cmocka_unit_test(test_newlines),
        cmocka_unit_test(test_escapes_and_numbers),
        cmocka_unit_test(test_last_member_counts),
        cmocka_unit_test(test_what_is_no_json),
        cmocka_unit_test(test_scan_says_where),
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_output_that_fails),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
