/*
 * test_semver_cases.c -- node-semver's own 978 cases.
 *
 * They lie outside the repository; each group skips without them.  test_semver.c and
 * test_semver_range.c have cases of ours that need nothing.
 */
#include <brisk/base.h>

#include "pkg/cases.h"
#include "workload/pkg/semver.h"

enum { CASES = 978 };

static brisk_arena *arena;
static uint32_t cases_seen;

/* options: nothing, true (loose), or {"loose": ..., "includePrerelease": ...} with any values. */
static bool is_true(const pkg_json *value)
{
    if (value == NULL) {
        return false;
    }
    switch (value->type) {
    case PKG_JSON_NULL: return false;
    case PKG_JSON_BOOL: return value->boolean;
    case PKG_JSON_NUMBER: return value->number != 0;
    case PKG_JSON_STRING: return value->text.size > 0;
    case PKG_JSON_ARRAY:
    case PKG_JSON_OBJECT: return true;
    }
    return false;
}

static const pkg_json *item(const pkg_json *list, uint32_t i)
{
    return i < list->count ? list->items[i] : NULL;
}

/* One that every case of the file has. */
static const pkg_json *need(const pkg_json *list, uint32_t i)
{
    CHECK_U64(i, <, list->count);
    return list->items[i];
}

static uint32_t flags_of(const pkg_json *options)
{
    if (options != NULL && options->type == PKG_JSON_OBJECT) {
        return (is_true(pkg_json_get(options, "loose")) ? SEMVER_LOOSE : 0) |
               (is_true(pkg_json_get(options, "includePrerelease")) ? SEMVER_PRERELEASES : 0);
    }
    return is_true(options) ? SEMVER_LOOSE : 0;
}

static pkg_text text_of(const pkg_json *list, uint32_t i)
{
    const pkg_json *value = item(list, i);
    return value != NULL && value->type == PKG_JSON_STRING ? value->text : (pkg_text){0};
}

static semver version_of(pkg_text text, uint32_t flags)
{
    semver version;
    if (!semver_parse(text, flags & SEMVER_LOOSE, &version)) {
        fail_msg("no version: %.*s", (int)text.size, text.data);
    }
    return version;
}

static const semver_range *range_of(pkg_text text, uint32_t flags)
{
    const semver_range *range = NULL;
    if (semver_range_parse(arena, text, flags, &range) != BRISK_OK) {
        fail_msg("no range: %.*s", (int)text.size, text.data);
    }
    return range;
}

static void expect(bool ok, const pkg_json *one)
{
    if (!ok) {
        fail_msg("%.*s", (int)one->raw.size, one->raw.data);
    }
}

typedef void (*case_fn)(const pkg_json *one);

static void each(const char *file, case_fn check)
{
    const pkg_json *cases = cases_of(arena, file);
    for (uint32_t i = 0; i < cases->count; i++) {
        check(cases->items[i]);
        cases_seen++;
    }
}

static void check_comparison(const pkg_json *one)
{
    uint32_t flags = flags_of(item(one, 2));
    semver a = version_of(text_of(one, 0), flags);
    semver b = version_of(text_of(one, 1), flags);
    expect(semver_compare(&a, &b) > 0 && semver_compare(&b, &a) < 0, one);
    expect(semver_compare(&a, &a) == 0 && semver_compare(&b, &b) == 0, one);
}

static void check_equality(const pkg_json *one)
{
    uint32_t flags = flags_of(item(one, 2));
    semver a = version_of(text_of(one, 0), flags);
    semver b = version_of(text_of(one, 1), flags);
    expect(semver_compare(&a, &b) == 0 && semver_compare(&b, &a) == 0, one);
}

static bool step_of(pkg_text name, semver_step *ret)
{
    static const char *const names[] = {
        [SEMVER_MAJOR] = "major",           [SEMVER_MINOR] = "minor",
        [SEMVER_PATCH] = "patch",           [SEMVER_PREMAJOR] = "premajor",
        [SEMVER_PREMINOR] = "preminor",     [SEMVER_PREPATCH] = "prepatch",
        [SEMVER_PRERELEASE] = "prerelease", [SEMVER_RELEASE] = "release",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (pkg_text_is(name, names[i])) {
            *ret = (semver_step)i;
            return true;
        }
    }
    return false;
}

static void check_increment(const pkg_json *one)
{
    /* inc(version, step, "identifier", base) without options, or with them in between */
    const pkg_json *options = item(one, 3);
    uint32_t at = options != NULL && options->type == PKG_JSON_STRING ? 3 : 4;
    const pkg_json *base = item(one, at + 1);
    semver_increment_opts opts = {
        .flags = at == 4 ? flags_of(options) : 0,
        .identifier = text_of(one, at),
        .base_one = base != NULL && (pkg_text_is(base->text, "1") || base->number == 1),
        .base_none = base != NULL && base->type == PKG_JSON_BOOL && !base->boolean,
    };
    semver version;
    semver_step step;
    semver result = {0};
    bool ok = semver_parse(text_of(one, 0), opts.flags, &version) &&
              step_of(text_of(one, 1), &step) &&
              semver_increment(&version, step, &opts, arena, &result) == BRISK_OK;
    pkg_text wanted = text_of(one, 2);
    expect(ok == (wanted.data != NULL), one);
    expect(!ok || pkg_text_equal(semver_format(&result, arena), wanted), one);
}

static void check_truncation(const pkg_json *one)
{
    semver version;
    semver_step step;
    pkg_text wanted = text_of(one, 2);
    bool ok = semver_parse(text_of(one, 0), 0, &version) && step_of(text_of(one, 1), &step);
    expect(ok == (wanted.data != NULL), one);
    if (ok) {
        semver result = semver_truncate(&version, step);
        expect(pkg_text_equal(semver_format(&result, arena), wanted), one);
    }
}

static void check_meets(const pkg_json *one)
{
    uint32_t flags = flags_of(item(one, 3));
    const semver_range *a = range_of(text_of(one, 0), flags);
    const semver_range *b = range_of(text_of(one, 1), flags);
    expect(semver_range_meets(a, b) == need(one, 2)->boolean, one);
    expect(semver_range_meets(b, a) == need(one, 2)->boolean, one);
}

static void check_comparators_meet(const pkg_json *one)
{
    const pkg_json *options = item(one, 3);
    uint32_t flags = options == NULL                    ? 0
                     : options->type == PKG_JSON_OBJECT ? flags_of(options)
                     : is_true(options)                 ? SEMVER_PRERELEASES
                                                        : 0;
    const semver_range *a = range_of(text_of(one, 0), flags);
    const semver_range *b = range_of(text_of(one, 1), flags);
    expect(semver_range_meets(a, b) == need(one, 2)->boolean, one);
}

static void check_range_parse(const pkg_json *one)
{
    pkg_text wanted = text_of(one, 1);
    const semver_range *range = NULL;
    brisk_err err = semver_range_parse(arena, text_of(one, 0), flags_of(item(one, 2)), &range);
    expect((err == BRISK_OK) == (wanted.data != NULL), one);
    expect(err == BRISK_OK || err == BRISK_ERR_INVALID, one);
    expect(err != BRISK_OK || pkg_text_equal(semver_range_format(range, arena), wanted), one);
}

static void check_include(const pkg_json *one)
{
    uint32_t flags = flags_of(item(one, 2));
    semver version = version_of(text_of(one, 1), flags);
    expect(semver_range_has(range_of(text_of(one, 0), flags), &version), one);
}

static void check_exclude(const pkg_json *one)
{
    uint32_t flags = flags_of(item(one, 2));
    semver version;
    const semver_range *range = NULL;
    bool has = semver_parse(text_of(one, 1), flags & SEMVER_LOOSE, &version) &&
               semver_range_parse(arena, text_of(one, 0), flags, &range) == BRISK_OK &&
               semver_range_has(range, &version);
    expect(!has, one);
}

static bool is_below(const pkg_json *one, bool below)
{
    uint32_t flags = flags_of(item(one, 2));
    const semver_range *range = range_of(text_of(one, 0), flags);
    semver version = version_of(text_of(one, 1), flags);
    return below ? semver_range_is_below(range, &version) : semver_range_is_above(range, &version);
}

static void check_gtr(const pkg_json *one)
{
    expect(is_below(one, true), one);
}

static void check_not_gtr(const pkg_json *one)
{
    expect(!is_below(one, true), one);
}

static void check_ltr(const pkg_json *one)
{
    expect(is_below(one, false), one);
}

static void check_not_ltr(const pkg_json *one)
{
    expect(!is_below(one, false), one);
}

static void check_invalid(const pkg_json *one)
{
    semver version;
    expect(!semver_parse(text_of(one, 0), flags_of(item(one, 2)), &version), one);
}

/* The identifiers joined by dots, as the case lists them. */
static pkg_text joined(const pkg_json *list)
{
    char *text = brisk_arena_copy(arena, "", 0);
    for (uint32_t i = 0; i < list->count; i++) {
        const pkg_json *id = list->items[i];
        pkg_text part = id->type == PKG_JSON_STRING ? id->text : id->raw;
        text = brisk_arena_printf(arena, "%s%s%.*s", text, i > 0 ? "." : "", (int)part.size,
                                  part.data);
    }
    return pkg_text_of(text);
}

static void check_valid(const pkg_json *one)
{
    semver version;
    expect(semver_parse(text_of(one, 0), 0, &version), one);
    expect((double)version.major == need(one, 1)->number, one);
    expect((double)version.minor == need(one, 2)->number, one);
    expect((double)version.patch == need(one, 3)->number, one);
    expect(pkg_text_equal(version.prerelease, joined(need(one, 4))), one);
    expect(pkg_text_equal(version.build, joined(need(one, 5))), one);
}

#define GROUP(name, file, check)                                                                   \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        each(file, check);                                                                         \
    }

GROUP(test_comparisons, "comparisons", check_comparison)
GROUP(test_equality, "equality", check_equality)
GROUP(test_increments, "increments", check_increment)
GROUP(test_truncations, "truncations", check_truncation)
GROUP(test_intersections, "range-intersection", check_meets)
GROUP(test_comparators, "comparator-intersection", check_comparators_meet)
GROUP(test_range_parse, "range-parse", check_range_parse)
GROUP(test_include, "range-include", check_include)
GROUP(test_exclude, "range-exclude", check_exclude)
GROUP(test_gtr, "version-gt-range", check_gtr)
GROUP(test_ltr, "version-lt-range", check_ltr)
GROUP(test_not_gtr, "version-not-gt-range", check_not_gtr)
GROUP(test_not_ltr, "version-not-lt-range", check_not_ltr)
GROUP(test_invalid, "invalid-versions", check_invalid)
GROUP(test_valid, "valid-versions", check_valid)

/* Last: no case was left out. */
static void test_all_were_seen(void **state)
{
    (void)state;
    (void)cases_read(arena, "node-semver/LICENSE"); /* skips without the corpus */
    CHECK_U64(cases_seen, ==, CASES);
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
        cmocka_unit_test(test_comparisons),   cmocka_unit_test(test_equality),
        cmocka_unit_test(test_increments),    cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_intersections), cmocka_unit_test(test_comparators),
        cmocka_unit_test(test_range_parse),   cmocka_unit_test(test_include),
        cmocka_unit_test(test_exclude),       cmocka_unit_test(test_gtr),
        cmocka_unit_test(test_ltr),           cmocka_unit_test(test_not_gtr),
        cmocka_unit_test(test_not_ltr),       cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_valid),         cmocka_unit_test(test_all_were_seen),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
