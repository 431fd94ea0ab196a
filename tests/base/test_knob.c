/* Knobs: parsing, ranges, precedence, environment, suggestions, callbacks, threads, memory. */
#include <stdbool.h>
#include <string.h>

#include <brisk/knob.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_knobs, brisk_knobs_destroy)

static int changes;
static uint64_t changed_value;
static char changed_text[64];

static void on_change(const brisk_knob *knob, uint64_t value, const char *text)
{
    (void)knob;
    changes++;
    changed_value = value;
    (void)snprintf(changed_text, sizeof changed_text, "%s", text != NULL ? text : "");
}

static const brisk_knob KNOBS[] = {
    {.name = "cache.disk.bytes",
     .summary = "size of the disk tier",
     .type = BRISK_KNOB_BYTES,
     .min = 1 << 20,
     .max = UINT64_C(1) << 40,
     .def = 1 << 30,
     .changed = on_change},
    {.name = "exec.deadline", .type = BRISK_KNOB_DURATION, .min = 1000000, .def = 1000000},
    {.name = "exec.workers", .type = BRISK_KNOB_U64, .min = 1, .max = 256, .def = 2},
    {.name = "cache.enabled", .type = BRISK_KNOB_BOOL, .def = 1},
    {.name = "cache.path", .type = BRISK_KNOB_TEXT, .def_text = "/tmp", .changed = on_change},
    {.name = "cache.label", .type = BRISK_KNOB_TEXT},
    {.name = "cache.rules", .type = BRISK_KNOB_YAML, .def_text = "[a]", .changed = on_change},
};

enum { KNOB_COUNT = sizeof KNOBS / sizeof KNOBS[0] };

static brisk_knobs *registry(void)
{
    brisk_knobs *knobs = NULL;
    CHECK_OK(brisk_knobs_create(NULL, &knobs));
    CHECK_OK(brisk_knobs_register(knobs, KNOBS, KNOB_COUNT, NULL));
    return knobs;
}

static void text_is(const brisk_knobs *knobs, const char *name, const char *wanted)
{
    char buffer[BRISK_KNOB_TEXT_MAX];
    brisk_knobs_text(knobs, name, buffer, sizeof buffer);
    assert_string_equal(buffer, wanted);
}

static void test_parse_accepts(void **state)
{
    (void)state;
    static const struct {
        brisk_knob_type type;
        const char *text;
        uint64_t value;
    } GOOD[] = {
        {BRISK_KNOB_U64, "123", 123},
        {BRISK_KNOB_U64, "0xff", 255},
        {BRISK_KNOB_BYTES, "123", 123},
        {BRISK_KNOB_BYTES, "1B", 1},
        {BRISK_KNOB_BYTES, "64MiB", 64 << 20},
        {BRISK_KNOB_BYTES, "64M", 64 << 20},
        {BRISK_KNOB_BYTES, "64 mib", 64 << 20},
        {BRISK_KNOB_BYTES, "4GB", UINT64_C(4000000000)},
        {BRISK_KNOB_BYTES, "2k", 2048},
        {BRISK_KNOB_BYTES, "2KB", 2000},
        {BRISK_KNOB_BYTES, "1.5GiB", UINT64_C(3) << 29},
        {BRISK_KNOB_BYTES, "0.1K", 102},
        {BRISK_KNOB_BYTES, "1T", UINT64_C(1) << 40},
        {BRISK_KNOB_BYTES, "18446744073709551615", UINT64_MAX},
        {BRISK_KNOB_DURATION, "10s", UINT64_C(10000000000)},
        {BRISK_KNOB_DURATION, "1.5ms", 1500000},
        {BRISK_KNOB_DURATION, "0.1s", 100000000},
        {BRISK_KNOB_DURATION, "7ns", 7},
        {BRISK_KNOB_DURATION, "3us", 3000},
        {BRISK_KNOB_DURATION, "2m", UINT64_C(120000000000)},
        {BRISK_KNOB_DURATION, "2h", UINT64_C(7200000000000)},
        {BRISK_KNOB_DURATION, "1d", UINT64_C(86400000000000)},
        {BRISK_KNOB_DURATION, "0", 0},
        {BRISK_KNOB_DURATION, "0.000000001s", 1},
        {BRISK_KNOB_BOOL, "true", 1},
        {BRISK_KNOB_BOOL, "No", 0},
        {BRISK_KNOB_BOOL, "ON", 1},
        {BRISK_KNOB_BOOL, "0", 0},
    };
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        uint64_t value = ~GOOD[i].value;
        if (brisk_knob_parse(GOOD[i].type, GOOD[i].text, &value) != BRISK_OK ||
            value != GOOD[i].value) {
            fail_msg("%s gives %llu", GOOD[i].text, (unsigned long long)value);
        }
    }
}

static void test_parse_refuses(void **state)
{
    (void)state;
    static const struct {
        brisk_knob_type type;
        const char *text;
    } BAD[] = {
        {BRISK_KNOB_U64, ""},
        {BRISK_KNOB_U64, "-1"},
        {BRISK_KNOB_U64, "1.0"},
        {BRISK_KNOB_U64, "18446744073709551616"},
        {BRISK_KNOB_BYTES, ""},
        {BRISK_KNOB_BYTES, "-1M"},
        {BRISK_KNOB_BYTES, "1.M"},
        {BRISK_KNOB_BYTES, ".5M"},
        {BRISK_KNOB_BYTES, "M"},
        {BRISK_KNOB_BYTES, "1 M x"},
        {BRISK_KNOB_BYTES, "1  M"},
        {BRISK_KNOB_BYTES, "16777217T"},
        {BRISK_KNOB_BYTES, "1e3"},
        {BRISK_KNOB_BYTES, "99999999999999999999"},
        {BRISK_KNOB_DURATION, "10"},
        {BRISK_KNOB_DURATION, "10 parsecs"},
        {BRISK_KNOB_DURATION, "-1s"},
        {BRISK_KNOB_DURATION, "1.0000000000000000001s"},
        {BRISK_KNOB_DURATION, "9999999d"},
        {BRISK_KNOB_BOOL, "maybe"},
        {BRISK_KNOB_BOOL, ""},
        {BRISK_KNOB_TEXT, "x"},
        {BRISK_KNOB_YAML, "1"},
        {(brisk_knob_type)99, "1"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        uint64_t value = 42;
        if (brisk_knob_parse(BAD[i].type, BAD[i].text, &value) != BRISK_ERR_INVALID) {
            fail_msg("'%s' was accepted", BAD[i].text);
        }
        CHECK_U64(value, ==, 42);
    }
}

static void test_defaults_and_order(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
    CHECK_U64(brisk_knobs_u64(knobs, "cache.disk.bytes"), ==, 1 << 30);
    text_is(knobs, "cache.path", "/tmp");
    text_is(knobs, "cache.label", "");
    CHECK(brisk_knobs_source(knobs, "cache.path") == BRISK_KNOB_DEFAULT);
    for (size_t i = 1; i < KNOB_COUNT; i++) {
        CHECK(strcmp(brisk_knobs_at(knobs, i - 1)->name, brisk_knobs_at(knobs, i)->name) < 0);
    }
    CHECK(brisk_knobs_at(knobs, KNOB_COUNT) == NULL);
    CHECK(brisk_knobs_find(knobs, "exec.workers") == &KNOBS[2]);
    CHECK(brisk_knobs_find(knobs, "exec") == NULL);
    char tiny[3];
    brisk_knobs_text(knobs, "cache.path", tiny, sizeof tiny);
    assert_string_equal(tiny, "/t");
}

/* Every pair of sources: the stronger wins, whatever the order; equals replace. */
static void test_precedence(void **state)
{
    (void)state;
    for (int first = BRISK_KNOB_SYSTEM_FILE; first <= BRISK_KNOB_FLAG; first++) {
        for (int second = BRISK_KNOB_SYSTEM_FILE; second <= BRISK_KNOB_FLAG; second++) {
            BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
            brisk_knob_source a = (brisk_knob_source)first;
            brisk_knob_source b = (brisk_knob_source)second;
            CHECK_OK(brisk_knobs_set(knobs, "exec.workers", "10", a, NULL));
            CHECK_OK(brisk_knobs_set(knobs, "exec.workers", "20", b, NULL));
            CHECK_OK(brisk_knobs_set(knobs, "cache.path", "one", a, NULL));
            CHECK_OK(brisk_knobs_set(knobs, "cache.path", "two", b, NULL));
            CHECK_U64(brisk_knobs_u64(knobs, "exec.workers"), ==, b >= a ? 20 : 10);
            text_is(knobs, "cache.path", b >= a ? "two" : "one");
            CHECK(brisk_knobs_source(knobs, "exec.workers") == (b >= a ? b : a));
        }
    }
}

static void refused(brisk_knobs *knobs, const char *name, const char *text, brisk_err code,
                    const char *wanted)
{
    brisk_errinfo info = {0};
    CHECK(brisk_knobs_set(knobs, name, text, BRISK_KNOB_FLAG, &info) == code);
    assert_string_equal(info.text, wanted);
}

static void test_refused_values(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
    refused(knobs, "cache.disk.byte", "1G", BRISK_ERR_NOT_FOUND,
            "unknown setting 'cache.disk.byte' (did you mean 'cache.disk.bytes'?)");
    refused(knobs, "quux", "1", BRISK_ERR_NOT_FOUND, "unknown setting 'quux'");
    refused(knobs, "cache.disk.bytes", "1K", BRISK_ERR_LIMIT,
            "cache.disk.bytes: '1K' is outside 1MiB to 1TiB");
    refused(knobs, "exec.workers", "257", BRISK_ERR_LIMIT,
            "exec.workers: '257' is outside 1 to 256");
    refused(knobs, "exec.deadline", "999us", BRISK_ERR_LIMIT,
            "exec.deadline: '999us' is outside 1ms to 18446744073709551615ns");
    refused(knobs, "exec.deadline", "soon", BRISK_ERR_INVALID,
            "exec.deadline: 'soon' is not a duration such as 10s or 1.5ms");
    refused(knobs, "cache.enabled", "maybe", BRISK_ERR_INVALID,
            "cache.enabled: 'maybe' is not true or false");
    static char large[BRISK_KNOB_TEXT_MAX + 1];
    memset(large, 'x', sizeof large - 1);
    refused(knobs, "cache.path", large, BRISK_ERR_LIMIT, "cache.path: more than 4095 bytes");
    large[BRISK_KNOB_TEXT_MAX - 1] = '\0';
    CHECK_OK(brisk_knobs_set(knobs, "cache.path", large, BRISK_KNOB_FLAG, NULL));
    text_is(knobs, "cache.path", large);
    CHECK_U64(brisk_knobs_u64(knobs, "exec.workers"), ==, 2);
}

static void test_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("BRISK_CACHE_DISK_BYTES", "2GiB", 1), 0);
    assert_int_equal(setenv("BRISK_CACHE_PATH", "/env", 1), 0);
    changes = 0;
    brisk_knobs *knobs = registry();
    CHECK(changes == 2);
    CHECK_U64(brisk_knobs_u64(knobs, "cache.disk.bytes"), ==, UINT64_C(1) << 31);
    text_is(knobs, "cache.path", "/env");
    CHECK(brisk_knobs_source(knobs, "cache.path") == BRISK_KNOB_ENVIRONMENT);
    CHECK_OK(brisk_knobs_set(knobs, "cache.path", "file", BRISK_KNOB_PROJECT_FILE, NULL));
    text_is(knobs, "cache.path", "/env");
    CHECK_OK(brisk_knobs_set(knobs, "cache.path", "flag", BRISK_KNOB_FLAG, NULL));
    text_is(knobs, "cache.path", "flag");
    brisk_knobs_destroy(knobs);

    assert_int_equal(setenv("BRISK_EXEC_WORKERS", "many", 1), 0);
    CHECK_OK(brisk_knobs_create(NULL, &knobs));
    brisk_errinfo info = {0};
    CHECK(brisk_knobs_register(knobs, KNOBS, KNOB_COUNT, &info) == BRISK_ERR_INVALID);
    assert_string_equal(info.text, "BRISK_EXEC_WORKERS: 'many' is not a number");
    CHECK(brisk_knobs_at(knobs, 0) == NULL); /* all or nothing */
    assert_int_equal(setenv("BRISK_EXEC_WORKERS", "0", 1), 0);
    CHECK(brisk_knobs_register(knobs, KNOBS, KNOB_COUNT, &info) == BRISK_ERR_LIMIT);
    assert_int_equal(unsetenv("BRISK_EXEC_WORKERS"), 0);
    CHECK_OK(brisk_knobs_register(knobs, KNOBS, KNOB_COUNT, &info));
    brisk_knobs_destroy(knobs);
    assert_int_equal(unsetenv("BRISK_CACHE_DISK_BYTES"), 0);
    assert_int_equal(unsetenv("BRISK_CACHE_PATH"), 0);
}

static void test_registration(void **state)
{
    (void)state;
    static const brisk_knob MORE[] = {{.name = "a.first", .type = BRISK_KNOB_U64},
                                      {.name = "z.last", .type = BRISK_KNOB_U64, .def = 9}};
    static const brisk_knob TAKEN[] = {{.name = "b", .type = BRISK_KNOB_U64},
                                       {.name = "cache.path", .type = BRISK_KNOB_U64}};
    static const brisk_knob TWICE[] = {{.name = "t", .type = BRISK_KNOB_U64},
                                       {.name = "t", .type = BRISK_KNOB_U64}};
    static const brisk_knob WRONG[] = {{.name = "Upper", .type = BRISK_KNOB_U64},
                                       {.name = "", .type = BRISK_KNOB_U64},
                                       {.name = NULL, .type = BRISK_KNOB_U64},
                                       {.name = "a b", .type = BRISK_KNOB_U64},
                                       {.name = "low", .type = BRISK_KNOB_U64, .min = 1},
                                       {.name = "high", .type = BRISK_KNOB_U64, .max = 1, .def = 2},
                                       {.name = "both", .type = BRISK_KNOB_BOOL, .def = 2}};
    brisk_errinfo info = {0};
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
    CHECK_OK(brisk_knobs_set(knobs, "cache.path", "kept", BRISK_KNOB_FLAG, NULL));
    CHECK_OK(brisk_knobs_register(knobs, KNOBS, KNOB_COUNT, &info)); /* the same again */
    CHECK_OK(brisk_knobs_register(knobs, MORE, 2, &info));
    CHECK(brisk_knobs_register(knobs, TAKEN, 2, &info) == BRISK_ERR_CONFLICT);
    assert_string_equal(info.text, "setting 'cache.path' is declared by two modules");
    CHECK(brisk_knobs_find(knobs, "b") == NULL);
    CHECK(brisk_knobs_register(knobs, TWICE, 2, &info) == BRISK_ERR_CONFLICT);
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        CHECK(brisk_knobs_register(knobs, &WRONG[i], 1, &info) == BRISK_ERR_INVALID);
    }
    CHECK(brisk_knobs_at(knobs, 0) == &MORE[0]);
    CHECK(brisk_knobs_at(knobs, KNOB_COUNT + 1) == &MORE[1]);
    CHECK(brisk_knobs_at(knobs, KNOB_COUNT + 2) == NULL);
    text_is(knobs, "cache.path", "kept");
    brisk_knobs_destroy(NULL);
}

static void test_changed_is_called(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
    changes = 0;
    CHECK_OK(brisk_knobs_set(knobs, "cache.disk.bytes", "2M", BRISK_KNOB_FLAG, NULL));
    CHECK(changes == 1 && changed_value == 2 << 20);
    CHECK_OK(brisk_knobs_set(knobs, "cache.disk.bytes", "2048K", BRISK_KNOB_FLAG, NULL));
    CHECK_OK(brisk_knobs_set(knobs, "cache.disk.bytes", "3M", BRISK_KNOB_USER_FILE, NULL));
    CHECK(brisk_knobs_set(knobs, "cache.disk.bytes", "x", BRISK_KNOB_FLAG, NULL) != BRISK_OK);
    CHECK(changes == 1);
    CHECK_OK(brisk_knobs_set(knobs, "cache.path", "new", BRISK_KNOB_FLAG, NULL));
    CHECK(changes == 2);
    assert_string_equal(changed_text, "new");
}

static void read_and_write(void *ctx)
{
    brisk_knobs *knobs = ctx;
    for (int i = 0; i < 2000; i++) {
        char text[BRISK_KNOB_TEXT_MAX];
        (void)snprintf(text, sizeof text, "%d", 1 + i % 256);
        if (brisk_knobs_set(knobs, "exec.workers", text, BRISK_KNOB_FLAG, NULL) != BRISK_OK ||
            brisk_knobs_set(knobs, "cache.label", text, BRISK_KNOB_FLAG, NULL) != BRISK_OK) {
            abort();
        }
        brisk_knobs_text(knobs, "cache.label", text, sizeof text);
        uint64_t workers = brisk_knobs_u64(knobs, "exec.workers");
        if (workers < 1 || workers > 256 || text[0] == '\0') {
            abort();
        }
    }
}

/* Text of YAML from a flag: kept in flow style, given back whole, in parts and as a document. */
static void test_yaml(void **state)
{
    (void)state;
    brisk_knobs *knobs = registry();
    brisk_yaml_doc *doc = NULL;
    brisk_errinfo info = {0};
    text_is(knobs, "cache.rules", "[a]");
    CHECK_OK(brisk_knobs_yaml(knobs, "cache.rules", NULL, &doc, &info));
    assert_string_equal(brisk_yaml_root(doc)->child->text, "a");
    brisk_yaml_destroy(doc);

    changes = 0;
    CHECK_OK(brisk_knobs_set(knobs, "cache.rules", "a: 1\nb:\n- 'x'\n-\n", BRISK_KNOB_FLAG, &info));
    assert_string_equal(changed_text, "{a: 1,\n b: [\n \"x\",\n \"\"]}");
    char *copy = NULL;
    CHECK_OK(brisk_knobs_text_copy(knobs, "cache.rules", NULL, &copy));
    assert_string_equal(copy, "{a: 1, b: [ \"x\", \"\"]}");
    brisk_alloc_libc()->release(brisk_alloc_libc()->ctx, copy, strlen(copy) + 1, 1);
    CHECK_OK(brisk_knobs_yaml(knobs, "cache.rules", NULL, &doc, &info));
    CHECK_U64(brisk_yaml_get(brisk_yaml_root(doc), "b")->child->line, ==, 3);
    brisk_yaml_destroy(doc);
    CHECK(changes == 1);

    CHECK(brisk_knobs_set(knobs, "cache.rules", "a: b: c", BRISK_KNOB_FLAG, &info) ==
          BRISK_ERR_INVALID);
    CHECK(strncmp(info.text, "cache.rules:1: ", 15) == 0);
    char text[BRISK_KNOB_YAML_MAX + 1];
    memset(text, 'a', BRISK_KNOB_YAML_MAX);
    text[BRISK_KNOB_YAML_MAX] = '\0';
    CHECK(brisk_knobs_set(knobs, "cache.rules", text, BRISK_KNOB_FLAG, &info) == BRISK_ERR_LIMIT);
    text[BRISK_KNOB_YAML_MAX - 1] = '\0';
    CHECK_OK(brisk_knobs_set(knobs, "cache.rules", text, BRISK_KNOB_FLAG, &info));
    CHECK_OK(brisk_knobs_set(knobs, "cache.rules", "", BRISK_KNOB_FLAG, &info));
    text_is(knobs, "cache.rules", "");
    brisk_knobs_destroy(knobs);
}

static void test_several_threads(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
    brisk_thread threads[3];
    for (int i = 0; i < 3; i++) {
        brisk_thread_opts opts = {.run = read_and_write, .ctx = knobs};
        CHECK_OK(brisk_thread_start(&threads[i], &opts));
    }
    for (int i = 0; i < 3; i++) {
        brisk_thread_join(&threads[i]);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    assert_int_equal(setenv("BRISK_CACHE_PATH", "/env", 1), 0);
    bool complete = false;
    for (uint64_t fail_after = 0; !complete; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_knobs *knobs = NULL;
        brisk_err err = brisk_knobs_create(&fault.base, &knobs);
        CHECK((knobs != NULL) == (err == BRISK_OK));
        if (err == BRISK_OK) {
            brisk_err added = brisk_knobs_register(knobs, KNOBS, KNOB_COUNT, NULL);
            CHECK((brisk_knobs_at(knobs, 0) != NULL) == (added == BRISK_OK));
            complete =
                added == BRISK_OK &&
                brisk_knobs_set(knobs, "cache.path", "x", BRISK_KNOB_FLAG, NULL) == BRISK_OK &&
                brisk_knobs_set(knobs, "cache.rules", "{a: [b]}", BRISK_KNOB_FLAG, NULL) ==
                    BRISK_OK;
        }
        brisk_knobs_destroy(knobs);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    assert_int_equal(unsetenv("BRISK_CACHE_PATH"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_accepts),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_defaults_and_order),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_refused_values),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_registration),
        cmocka_unit_test(test_changed_is_called),
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_several_threads),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
