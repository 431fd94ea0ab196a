/* test_semver.c -- versions: what is one, their order, their text, the next one. */
#include <string.h>

#include <brisk/arena.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/pkg/semver.h"

static bool parses(const char *text, uint32_t flags, const char *wanted)
{
    semver version;
    if (!semver_parse(pkg_text_of(text), flags, &version)) {
        return wanted == NULL;
    }
    char printed[SEMVER_PRINT_MAX];
    size_t size = semver_print(&version, printed);
    CHECK_U64(size, ==, strlen(printed));
    if (wanted == NULL || strcmp(printed, wanted) != 0) {
        print_message("\"%s\" reads as %s\n", text, printed);
        return false;
    }
    return true;
}

static void test_strict(void **state)
{
    (void)state;
    CHECK(parses("1.2.3", 0, "1.2.3"));
    CHECK(parses(" v1.2.3-beta.1+build.7 ", 0, "1.2.3-beta.1"));
    CHECK(parses("\xC2\xA0"
                 "1.2.3\xE2\x80\x89",
                 0, "1.2.3")); /* no-break and thin space */
    CHECK(parses("9007199254740991.0.0", 0, "9007199254740991.0.0"));
    static const char *const none[] = {
        "",
        " ",
        "1",
        "1.2",
        "1.2.",
        "1.2.3.4",
        "01.2.3",
        "1.2.03",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3-a..b",
        "1.2.3+",
        "1.2.3+a+b",
        "1.2.3-a_b",
        "=1.2.3",
        "v 1.2.3",
        "vv1.2.3",
        "1.2.x",
        "1.2.3beta",
        "9007199254740992.0.0",
        "1.2.3\xC3\xA9",
        "1.2.3-\xC2\xA0",
        "x.1.2",
        "-1.2.3",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        CHECK(parses(none[i], 0, NULL));
    }
}

static void test_loose(void **state)
{
    (void)state;
    CHECK(parses("v = v1.2.3", SEMVER_LOOSE, "1.2.3"));
    CHECK(parses("01.02.03", SEMVER_LOOSE, "1.2.3"));
    CHECK(parses("1.2.3beta", SEMVER_LOOSE, "1.2.3-beta"));
    CHECK(parses("1.2.3-", SEMVER_LOOSE, "1.2.3--"));
    CHECK(parses("1.2.3-007.x", SEMVER_LOOSE, "1.2.3-7.x"));
    CHECK(parses("1.2.34.5", SEMVER_LOOSE, "1.2.3-4.5"));
    CHECK(parses("1.2.3.4", SEMVER_LOOSE, NULL));
    CHECK(parses("1.2.3-a..b", SEMVER_LOOSE, NULL));
    CHECK(parses("1.2.3+", SEMVER_LOOSE, NULL));
}

static void test_length(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'a', sizeof text);
    memcpy(text, "1.2.3-", 6);
    semver version;
    CHECK(semver_parse((pkg_text){.data = text, .size = SEMVER_LENGTH_MAX}, 0, &version));
    CHECK(!semver_parse((pkg_text){.data = text, .size = SEMVER_LENGTH_MAX + 1}, 0, &version));
    CHECK(!semver_parse((pkg_text){0}, 0, &version));
}

static void test_order(void **state)
{
    (void)state;
    static const char *const rising[] = {
        "0.0.0-0",
        "0.0.0",
        "0.9.9",
        "1.0.0-0",
        "1.0.0-1",
        "1.0.0-9",
        "1.0.0-10",
        "1.0.0-A",
        "1.0.0-a",
        "1.0.0-a.0",
        "1.0.0-a.b",
        "1.0.0-a-b",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-x.99999999999999999998",
        "1.0.0-x.99999999999999999999",
        "1.0.0",
        "1.0.1",
        "1.1.0",
        "1.10.0",
        "2.0.0",
    };
    enum { COUNT = sizeof rising / sizeof *rising };
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < COUNT; j++) {
            semver a;
            semver b;
            CHECK(semver_parse(pkg_text_of(rising[i]), 0, &a));
            CHECK(semver_parse(pkg_text_of(rising[j]), 0, &b));
            int order = semver_compare(&a, &b);
            if ((order > 0) - (order < 0) != (i > j) - (i < j)) {
                fail_msg("%s against %s: %d", rising[i], rising[j], order);
            }
        }
    }
}

static void test_build(void **state)
{
    (void)state;
    semver a;
    semver b;
    CHECK(semver_parse(PKG_TEXT("1.0.0+2"), 0, &a));
    CHECK(semver_parse(PKG_TEXT("1.0.0+10"), 0, &b));
    CHECK(semver_compare(&a, &b) == 0);
    CHECK(semver_compare_build(&a, &b) < 0);
    CHECK(semver_parse(PKG_TEXT("1.0.0+2.a"), 0, &b));
    CHECK(semver_compare_build(&a, &b) < 0 && semver_compare_build(&b, &a) > 0);
}

static void test_steps(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        semver_step step;
        const char *identifier;
        const char *to; /* NULL: refused */
    } cases[] = {
        {"1.2.3", SEMVER_MAJOR, "", "2.0.0"},
        {"2.0.0-beta.1", SEMVER_MAJOR, "", "2.0.0"},
        {"1.2.3", SEMVER_MINOR, "", "1.3.0"},
        {"1.3.0-0", SEMVER_MINOR, "", "1.3.0"},
        {"1.2.3-0", SEMVER_PATCH, "", "1.2.3"},
        {"1.2.3", SEMVER_PREMAJOR, "rc", "2.0.0-rc.0"},
        {"1.2.3-a.1.b", SEMVER_PRERELEASE, "", "1.2.3-a.2.b"},
        {"1.2.3-a.9", SEMVER_PRERELEASE, "", "1.2.3-a.10"},
        {"1.2.3-a", SEMVER_PRERELEASE, "a", "1.2.3-a.0"},
        {"1.2.3", SEMVER_RELEASE, "", NULL},
        {"1.2.3-a", SEMVER_RELEASE, "", "1.2.3"},
        {"1.2.3", SEMVER_PREPATCH, "a_b", NULL},
        {"9007199254740991.0.0", SEMVER_MAJOR, "", NULL},
    };
    brisk_arena *arena;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        semver from;
        semver to;
        CHECK(semver_parse(pkg_text_of(cases[i].from), 0, &from));
        semver_increment_opts opts = {.identifier = pkg_text_of(cases[i].identifier)};
        brisk_err err = semver_increment(&from, cases[i].step, &opts, arena, &to);
        if (cases[i].to == NULL) {
            assert_int_equal(err, BRISK_ERR_INVALID);
        } else {
            CHECK_OK(err);
            CHECK(pkg_text_is(semver_format(&to, arena), cases[i].to));
        }
    }
    brisk_arena_destroy(arena);
}

static void test_no_memory(void **state)
{
    (void)state;
    fault_alloc fault;
    fault_alloc_init(&fault, 1); /* the arena itself */
    brisk_arena *arena;
    CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base}, &arena));
    semver version = {.major = 1};
    semver next;
    CHECK(semver_format(&version, arena).data == NULL);
    fault.fail_after = 0;
    assert_int_equal(semver_increment(&version, SEMVER_MAJOR, NULL, arena, &next), BRISK_ERR_NOMEM);
    brisk_arena_destroy(arena);
    CHECK_U64(fault.bytes_held, ==, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict),    cmocka_unit_test(test_loose),
        cmocka_unit_test(test_length),    cmocka_unit_test(test_order),
        cmocka_unit_test(test_build),     cmocka_unit_test(test_steps),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
