/* test_semver_range.c -- ranges: their comparators, what is in them, how they lie to each other. */
#include <string.h>

#include <brisk/arena.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/pkg/semver.h"

static brisk_arena *arena;

static const semver_range *range_of(const char *text, uint32_t flags)
{
    const semver_range *range = NULL;
    if (semver_range_parse(arena, pkg_text_of(text), flags, &range) != BRISK_OK) {
        fail_msg("no range: %s", text);
    }
    return range;
}

static bool has(const char *range, uint32_t flags, const char *text)
{
    semver version;
    CHECK(semver_parse(pkg_text_of(text), SEMVER_LOOSE, &version));
    return semver_range_has(range_of(range, flags), &version);
}

/* `wanted` NULL: no range. */
static void reads(const char *text, uint32_t flags, const char *wanted)
{
    const semver_range *range = NULL;
    brisk_err err = semver_range_parse(arena, pkg_text_of(text), flags, &range);
    if ((err == BRISK_OK) != (wanted != NULL)) {
        fail_msg("\"%s\": %s", text, brisk_err_name(err));
    }
    if (err == BRISK_OK) {
        pkg_text got = semver_range_format(range, arena);
        if (!pkg_text_is(got, wanted)) {
            fail_msg("\"%s\": %.*s instead of %s", text, (int)got.size, got.data, wanted);
        }
    }
}

static void test_forms(void **state)
{
    (void)state;
    static const char *const forms[][2] = {
        {"", "*"},
        {"*", "*"},
        {"  x.X.* ", "*"},
        {"1.2.3", "1.2.3"},
        {"=1.2.3", "1.2.3"},
        {"v1.2.3", "1.2.3"},
        {"1", ">=1.0.0 <2.0.0-0"},
        {"1.2.x", ">=1.2.0 <1.3.0-0"},
        {"^1.2.3", ">=1.2.3 <2.0.0-0"},
        {"^0.2.3", ">=0.2.3 <0.3.0-0"},
        {"^0.0.3", ">=0.0.3 <0.0.4-0"},
        {"^0", "<1.0.0-0"},
        {"^0.0", "<0.1.0-0"},
        {"^x.2", "*"},
        {"^1.2.3-beta.2", ">=1.2.3-beta.2 <2.0.0-0"},
        {"~1.2.3", ">=1.2.3 <1.3.0-0"},
        {"~>1.2", ">=1.2.0 <1.3.0-0"},
        {"~ > 1", ">=1.0.0 <2.0.0-0"},
        {"~1", ">=1.0.0 <2.0.0-0"},
        {"1.2 - 2.3.4", ">=1.2.0 <=2.3.4"},
        {"1.2.3 - 2", ">=1.2.3 <3.0.0-0"},
        {"x - 2", "<3.0.0-0"},
        {"1 - x", ">=1.0.0"},
        {">1", ">=2.0.0"},
        {">=1.2", ">=1.2.0"},
        {"<1.2", "<1.2.0-0"},
        {"<=1.2", "<1.3.0-0"},
        {">*", "<0.0.0-0"},
        {">=0.0.0", "*"},
        {"> 1.2.3  <\t2.0.0", ">1.2.3 <2.0.0"},
        {">1.2.3 >1.2.3", ">1.2.3"},
        {"1.2.3+build - 2.0.0+x", ">=1.2.3 <=2.0.0"},
        {"1 || 2", ">=1.0.0 <2.0.0-0||>=2.0.0 <3.0.0-0"},
        {"1 || *", "*"},
        {"<0.0.0-0 || 2.0.0", "2.0.0"},
        {"1||", "*"},
        {"1.2.3*", "1.2.3"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        reads(forms[i][0], 0, forms[i][1]);
        reads(forms[i][0], SEMVER_LOOSE, forms[i][1]);
    }
}

static void test_strict_and_loose(void **state)
{
    (void)state;
    static const char *const forms[][2] = {
        {"1.2.3beta", "1.2.3-beta"},
        {">01.02.03", ">1.2.3"},
        {"latest 1.2.3", "1.2.3"},
        {"v 1.2.3", "1.2.3"},
        {"== 1.2.3", "1.2.3"},
        {"> = 1.2.3", "1.2.3"},
        {"~1.2.34.5", ">=1.2.3-4.5 <1.3.0-0"},
        {"= 1.2.3 - 2.0.0", "1.2.3 <=2.0.0"},
        {"junk || 1.2.3", "1.2.3"},
        {"v=1.2.3", "1.2.3"},
        {"junk * junk || 1.2.3", "1.2.3"},
        {"junk * || 1.2.3", "*"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        reads(forms[i][0], 0, NULL);
        reads(forms[i][0], SEMVER_LOOSE, forms[i][1]);
    }
    static const char *const none[] = {
        "latest",
        "^",
        "~",
        "1.2.3.4",
        ">=",
        "x.1.2",
        "9007199254740992.0.0",
        "^9007199254740991.0.0",
        "foo || bar",
        "1.2.3 -",
        "|1.2.3|",
        "\xFF",
        "1.*.2",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        reads(none[i], 0, NULL);
        reads(none[i], SEMVER_LOOSE, strcmp(none[i], "1.2.3 -") == 0 ? "1.2.3" : NULL);
    }
}

static void test_members(void **state)
{
    (void)state;
    CHECK(has("^1.2.3", 0, "1.9.0"));
    CHECK(!has("^1.2.3", 0, "2.0.0"));
    CHECK(!has("^1.2.3", 0, "2.0.0-beta"));
    CHECK(!has("^1.2.3", 0, "1.3.0-beta"));
    CHECK(has("^1.2.3-alpha", 0, "1.2.3-beta"));
    CHECK(!has("^1.2.3-alpha", 0, "1.2.4-beta"));
    CHECK(has("^1.2.3", SEMVER_PRERELEASES, "1.3.0-beta"));
    CHECK(!has("^1.2.3", SEMVER_PRERELEASES, "2.0.0-0"));
    CHECK(!has("*", 0, "1.0.0-beta"));
    CHECK(has("*", SEMVER_PRERELEASES, "1.0.0-beta"));
    CHECK(has("<1 || >2", 0, "3.0.0"));
    CHECK(!has("<1 || >2", 0, "1.5.0"));
    CHECK(has("=1.0.0", 0, "1.0.0+build"));
}

static void test_prereleases_forms(void **state)
{
    (void)state;
    reads("^1.2", SEMVER_PRERELEASES, ">=1.2.0-0 <2.0.0-0");
    reads("1.2.3 - 2.3.4", SEMVER_PRERELEASES, ">=1.2.3-0 <2.3.5-0");
    reads(">=0.0.0-0", SEMVER_PRERELEASES, "*");
    reads(">=0.0.0", SEMVER_PRERELEASES, ">=0.0.0");
    reads(">1", SEMVER_PRERELEASES, ">=2.0.0-0");
}

static bool within(const char *a, const char *b, uint32_t flags)
{
    return semver_range_within(range_of(a, flags), range_of(b, flags));
}

static void test_within(void **state)
{
    (void)state;
    CHECK(within("^1.2.3", "^1", 0));
    CHECK(!within("^1", "^1.2.3", 0));
    CHECK(within("1.2.3", "1.2.3", 0));
    CHECK(within("1.2.3 || ^2.1", "*", 0));
    CHECK(!within("*", "^1", 0));
    CHECK(within("*", "*", 0));
    CHECK(within(">=0.0.0 <1.0.0", "<1.0.0", 0));
    CHECK(!within(">=1.0.0-beta <2", ">=0.1.0 <2", 0));
    CHECK(within(">=1.0.0-beta <2", ">=0.1.0 <2", SEMVER_PRERELEASES));
    CHECK(within("<1 >2", "3.0.0", 0)); /* nothing is in anything */
    CHECK(within("<1 >2 || 1.2.3", "^1", 0));
    CHECK(!within("1.2.3 || <1 >2", "^1", 0)); /* so does node-semver: the order matters there */
    CHECK(!within(">1.2.3", ">=1.2.4", 0));
    CHECK(within(">1.0.0 <1.0.1", "<2.0.0", 0));
    CHECK(!within("<2.0.0", ">1.0.0 <2.0.0", 0));
    const semver_range *same = range_of("^1.2.3 || ~4.5.6", 0);
    CHECK(semver_range_within(same, same));
}

static bool meets(const char *a, const char *b)
{
    bool ab = semver_range_meets(range_of(a, 0), range_of(b, 0));
    CHECK(ab == semver_range_meets(range_of(b, 0), range_of(a, 0)));
    return ab;
}

static void test_meets(void **state)
{
    (void)state;
    CHECK(meets("^1.2.0", "^1.5.0"));
    CHECK(!meets("^1.2.0", "^2"));
    CHECK(meets("1.2.3", "*"));
    CHECK(!meets(">2 <1", "*"));
    CHECK(meets("<=1.2.3", ">=1.2.3"));
    CHECK(!meets("<1.2.3", ">=1.2.3"));
    CHECK(meets("1 || 3", ">=3"));
    CHECK(!meets("<0.0.0", "<1||>=0.0.0-0"));
}

static void test_beside(void **state)
{
    (void)state;
    semver version;
    CHECK(semver_parse(PKG_TEXT("2.0.0"), 0, &version));
    CHECK(semver_range_is_below(range_of("^1 || 0.1.0", 0), &version));
    CHECK(!semver_range_is_below(range_of("^1 || ^3", 0), &version));
    CHECK(!semver_range_is_above(range_of("^1 || ^3", 0), &version));
    CHECK(semver_range_is_above(range_of("^3 || >5", 0), &version));
    CHECK(!semver_range_is_above(range_of("*", 0), &version));
}

static void test_limits(void **state)
{
    (void)state;
    char *text = malloc(SEMVER_RANGE_LENGTH_MAX + 1);
    CHECK(text != NULL);
    memset(text, ' ', SEMVER_RANGE_LENGTH_MAX + 1);
    const semver_range *range = NULL;
    CHECK_OK(semver_range_parse(arena, (pkg_text){.data = text, .size = SEMVER_RANGE_LENGTH_MAX}, 0,
                                &range));
    CHECK_U64(range->count, ==, 1);
    assert_int_equal(
        semver_range_parse(arena, (pkg_text){.data = text, .size = SEMVER_RANGE_LENGTH_MAX + 1}, 0,
                           &range),
        BRISK_ERR_INVALID);
    for (size_t i = 0; i + 2 <= SEMVER_RANGE_LENGTH_MAX; i += 2) {
        memcpy(text + i, "1 ", 2); /* the comparators are doubles, but counted before that */
    }
    assert_int_equal(semver_range_parse(arena,
                                        (pkg_text){.data = text, .size = SEMVER_RANGE_LENGTH_MAX},
                                        0, &range),
                     BRISK_ERR_INVALID);
    CHECK_OK(semver_range_parse(arena, (pkg_text){.data = text, .size = 2000}, 0, &range));
    CHECK_U64(range->ends[0], ==, 2);
    for (size_t i = 0; i + 4 <= 4000; i += 4) { /* more alternatives than fit the stack */
        memcpy(text + i, "1.||", 4);
        text[i + 1] = ' ';
    }
    CHECK_OK(
        semver_range_parse(arena, (pkg_text){.data = text, .size = 3999}, SEMVER_LOOSE, &range));
    CHECK_U64(range->count, ==, 1000);
    memset(text, 'a', 300);
    memcpy(text, "1.2.3-", 6);
    CHECK_OK(
        semver_range_parse(arena, (pkg_text){.data = text, .size = SEMVER_LENGTH_MAX}, 0, &range));
    assert_int_equal(semver_range_parse(arena,
                                        (pkg_text){.data = text, .size = SEMVER_LENGTH_MAX + 1},
                                        SEMVER_LOOSE, &range),
                     BRISK_ERR_INVALID);
    free(text);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "^1.2.3",
        " 1.2.3+a  - 2 || > 3 || 1.2.3*",
        "1||2||3||4||5||6||7||8||9||10||11||12||13||14||15||16||17||18||19||20||21||22",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t fail_after = 1; err != BRISK_OK; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            brisk_arena *small;
            CHECK_OK(brisk_arena_create(
                &(brisk_arena_opts){.alloc = &fault.base, .chunk_bytes = 4096}, &small));
            const semver_range *range = NULL;
            err = semver_range_parse(small, pkg_text_of(texts[i]), 0, &range);
            CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
            CHECK((range != NULL) == (err == BRISK_OK));
            brisk_arena_destroy(small);
            CHECK_U64(fault.bytes_held, ==, 0);
            CHECK_U64(fail_after, <, 20);
        }
    }
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
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_strict_and_loose),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_prereleases_forms),
        cmocka_unit_test(test_within),
        cmocka_unit_test(test_meets),
        cmocka_unit_test(test_beside),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
