/*
 * test_pick.c -- which version npm would take: the rules one by one, and 58,001 of npm's own answers
 * (they lie outside the repository; that case skips without them).
 */
#include <string.h>

#include <brisk/arena.h>
#include <brisk/clock.h>

#include "pkg/corpus.h"
#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/pkg/packument.h"

enum { ROWS = 58001 };

static brisk_arena *arena;
static const pkg_pick_opts node_20 = {.before_ms = INT64_MAX,
                                      .node = {.major = 20, .minor = 20, .patch = 2}};

/* --- npm's answers ------------------------------------------------------------------------- */

typedef struct rows {
    corpus *all;
    brisk_arena *scratch;
    uint32_t seen;
    uint32_t wrong;
} rows;

/* What pkg_pick says, in the words of the table. */
static const char *answer_of(rows *r, pkg_text name, pkg_text spec,
                             char text[SEMVER_LENGTH_MAX + 1])
{
    const pkg_package *package = corpus_package(r->all, name);
    if (package == NULL) {
        return "no package";
    }
    pkg_picked picked;
    brisk_err err = pkg_pick(package, spec, NULL, &node_20, r->scratch, &picked);
    brisk_arena_reset(r->scratch);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_NOT_FOUND ? "ETARGET"
               : err == BRISK_ERR_INVALID ? "EINVALID"
                                          : brisk_err_name(err);
    }
    pkg_version version;
    pkg_package_version(package, picked.index, &version);
    memcpy(text, version.text.data, version.text.size);
    text[version.text.size] = '\0';
    return text;
}

static void check_row(rows *r, char *line)
{
    char *rest = line;
    const char *name = strsep(&rest, "\t");
    const char *spec = strsep(&rest, "\t");
    const char *wanted = strsep(&rest, "\t");
    CHECK(wanted != NULL && rest == NULL);
    char text[SEMVER_LENGTH_MAX + 1];
    const char *got = answer_of(r, pkg_text_of(name), pkg_text_of(spec), text);
    r->seen++;
    if (strcmp(got, wanted) != 0 && r->wrong++ < 20) {
        print_message("%s@%s: %s instead of %s\n", name, spec, got, wanted);
    }
}

static void test_npm_says_the_same(void **state)
{
    (void)state;
    char path[PATH_MAX];
    corpus_need("registry-snapshot.tar.zst", path);
    rows r = {.all = corpus_load(path)};
    corpus_need("npm-pick.tsv.zst", path);
    CHECK_OK(brisk_arena_create(NULL, &r.scratch));
    size_t size;
    char *table = corpus_unzstd(path, &size);
    for (char *line = table; line < table + size;) {
        char *end = memchr(line, '\n', (size_t)(table + size - line));
        CHECK(end != NULL);
        *end = '\0';
        check_row(&r, line);
        line = end + 1;
    }
    CHECK_U64(r.seen, ==, ROWS);
    CHECK_U64(r.wrong, ==, 0);
    free(table);
    brisk_arena_destroy(r.scratch);
    corpus_close(r.all);
}

/* --- the rules ----------------------------------------------------------------------------- */

static const char document[] =
    "{\"name\": \"p\", \"dist-tags\": {\"latest\": \"1.2.0\", \"next\": \"2.0.0-rc.1\","
    "    \"old\": \"0.9.0\", \"gone\": \"7.7.7\"},"
    "\"versions\": {"
    "  \"0.9.0\": {\"version\": \"0.9.0\"},"
    "  \"1.0.0\": {\"version\": \"1.0.0\", \"engines\": {\"node\": \">=8\"}},"
    "  \"1.1.0\": {\"version\": \"1.1.0\", \"deprecated\": \"broken\"},"
    "  \"1.2.0\": {\"version\": \"1.2.0\"},"
    "  \"1.3.0\": {\"version\": \"1.3.0\"},"
    "  \"1.4.0\": {\"version\": \"1.4.0\", \"engines\": {\"node\": \">=99\"}},"
    "  \"2.0.0-rc.1\": {\"version\": \"2.0.0-rc.1\"},"
    "  \"3.0.0\": {\"version\": \"3.0.0\", \"deprecated\": \"no\", \"engines\": {\"node\": "
    "\">=8\"}},"
    "  \"3.1.0\": {\"version\": \"3.1.0\", \"engines\": {\"node\": \"<8\"}},"
    "  \"3.2.0\": {\"version\": \"3.2.0\", \"deprecated\": \"no\", \"engines\": {\"node\": \"<8\"}}"
    "}, \"time\": {\"0.9.0\": \"2020-01-01T00:00:00.000Z\", \"1.0.0\": "
    "\"2020-02-01T00:00:00.000Z\","
    "  \"1.1.0\": \"2020-03-01T00:00:00.000Z\", \"1.2.0\": \"2020-04-01T00:00:00.000Z\","
    "  \"1.3.0\": \"2020-05-01T00:00:00.000Z\", \"1.4.0\": \"2020-06-01T00:00:00.000Z\","
    "  \"2.0.0-rc.1\": \"2020-07-01T00:00:00.000Z\"}}";

static const pkg_package *package_of(const char *json)
{
    const pkg_package *package = NULL;
    brisk_errinfo info = {0};
    if (pkg_packument_parse(PKG_TEXT("p"), pkg_text_of(json), arena, &package, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return package;
}

static void version_is(const pkg_package *package, uint32_t index, const char *wanted)
{
    if (wanted == NULL || index == PKG_NO_VERSION) {
        CHECK(wanted == NULL && index == PKG_NO_VERSION);
        return;
    }
    pkg_version version;
    pkg_package_version(package, index, &version);
    if (!pkg_text_is(version.text, wanted)) {
        fail_msg("%.*s instead of %s", (int)version.text.size, version.text.data, wanted);
    }
}

/* `wanted` NULL: none fits. */
static void picks(const char *spec, const pkg_pick_opts *opts, const char *wanted,
                  const char *too_young)
{
    const pkg_package *package = package_of(document);
    pkg_picked picked;
    brisk_err err = pkg_pick(package, pkg_text_of(spec), NULL, opts, arena, &picked);
    assert_int_equal(err, wanted != NULL ? BRISK_OK : BRISK_ERR_NOT_FOUND);
    version_is(package, picked.index, wanted);
    version_is(package, picked.too_young, too_young);
    const semver_range *range = NULL;
    if (semver_range_parse(arena, pkg_text_of(spec), SEMVER_LOOSE, &range) == BRISK_OK) {
        pkg_picked again; /* the range given is the range read */
        assert_int_equal(pkg_pick(package, pkg_text_of(spec), range, opts, arena, &again), err);
        CHECK_U64(again.index, ==, picked.index);
        CHECK_U64(again.too_young, ==, picked.too_young);
    }
}

static void test_rules(void **state)
{
    (void)state;
    picks("next", &node_20, "2.0.0-rc.1", NULL);
    picks("gone", &node_20, NULL, NULL);
    picks("none", &node_20, NULL, NULL);
    picks("1.1.0", &node_20, "1.1.0", NULL);
    picks("=v1.1.0", &node_20, "1.1.0", NULL);
    picks("3.2.0", &node_20, "3.2.0", NULL);
    picks("7.7.7", &node_20, NULL, NULL);
    picks("*", &node_20, "1.2.0", NULL);
    picks("", &node_20, "1.2.0", NULL);
    picks("^1.0.0", &node_20, "1.2.0", NULL);         /* latest before higher ones */
    picks(">1.2.0 <2", &node_20, "1.3.0", NULL);      /* 1.4.0 wants another node */
    picks(">=1.0.0 <1.2.0", &node_20, "1.0.0", NULL); /* 1.1.0 is deprecated */
    picks("1.1.x", &node_20, "1.1.0", NULL);          /* nothing else is in the range */
    picks("^3", &node_20, "3.0.0", NULL);             /* engines count more than deprecation */
    picks(">=3.1.0", &node_20, "3.1.0", NULL);
    picks(">3.1.0", &node_20, "3.2.0", NULL);
    picks("^2", &node_20, NULL, NULL);
    picks("^2.0.0-0", &node_20, "2.0.0-rc.1", NULL);
    picks("<0.5 || >9", &node_20, NULL, NULL);
    picks("0.9.0 || 3.0.0", &node_20, "0.9.0", NULL);
    pkg_picked picked;
    assert_int_equal(
        pkg_pick(package_of(document), PKG_TEXT("a b"), NULL, &node_20, arena, &picked),
        BRISK_ERR_INVALID);
}

static void test_options(void **state)
{
    (void)state;
    pkg_pick_opts any_node = {.before_ms = INT64_MAX};
    picks(">1.2.0 <2", &any_node, "1.4.0", NULL);
    pkg_pick_opts highest = node_20;
    highest.highest = true;
    picks("^1.0.0", &highest, "1.3.0", NULL);
    picks("next", &highest, "2.0.0-rc.1", NULL);
    pkg_pick_opts prereleases = node_20;
    prereleases.prereleases = true;
    picks("^2", &prereleases, "2.0.0-rc.1", NULL);
    picks(">1.3.0 <3", &prereleases, "2.0.0-rc.1", NULL);
}

static void test_before(void **state)
{
    (void)state;
    enum { DAY_MS = 86400000 };
    pkg_pick_opts march = node_20;
    march.before_ms = INT64_C(1583020800000); /* 2020-03-01: 1.1.0 is just old enough */
    picks("^1", &march, "1.0.0", "1.2.0");
    picks("1.1.0", &march, "1.1.0", NULL);
    picks("1.2.0", &march, NULL, "1.2.0");
    picks("next", &march, "1.0.0", "2.0.0-rc.1"); /* the best one up to it */
    picks("old", &march, "0.9.0", NULL);
    picks(">=1.3.0 <2", &march, NULL, "1.3.0");
    picks("^3", &march, "3.0.0", NULL); /* when is not known: never too young */
    march.before_ms -= 1;
    picks("1.1.0", &march, NULL, "1.1.0");
    pkg_text excluded = PKG_TEXT("p");
    march.min_age_excluded = &excluded;
    march.min_age_excluded_count = 1;
    picks("1.1.0", &march, "1.1.0", NULL);
}

static void test_odd_packages(void **state)
{
    (void)state;
    pkg_picked picked;
    const pkg_package *empty = package_of("{\"name\": \"p\"}");
    assert_int_equal(pkg_pick(empty, PKG_TEXT("*"), NULL, &node_20, arena, &picked),
                     BRISK_ERR_NOT_FOUND);
    const pkg_package *odd = package_of(
        "{\"name\": \"p\", \"dist-tags\": {\"latest\": \"2.0.0-beta\"}, \"versions\": {"
        "\"1.0.0+b\": {\"version\": \"1.0.0+b\"}, \"1.0.0+a\": {\"version\": \"1.0.0+a\"},"
        "\"2.0.0-beta\": {\"version\": \"2.0.0-beta\"},"
        "\"0.5.0\": {\"version\": \"0.5.0\", \"engines\": {\"node\": \"what\"}}}}");
    CHECK_OK(pkg_pick(odd, PKG_TEXT("*"), NULL, &node_20, arena, &picked));
    version_is(odd, picked.index, "2.0.0-beta"); /* "*" takes latest, whatever it is */
    CHECK_OK(pkg_pick(odd, PKG_TEXT("x"), NULL, &node_20, arena, &picked));
    version_is(odd, picked.index, "1.0.0+b"); /* of equal ones the first */
    CHECK_OK(pkg_pick(odd, PKG_TEXT("<1"), NULL, &node_20, arena, &picked));
    version_is(odd, picked.index, "0.5.0");
}

static void test_no_memory(void **state)
{
    (void)state;
    const pkg_package *package = package_of(document);
    for (uint64_t left = 1; left <= 2; left++) {
        fault_alloc fault;
        fault_alloc_init(&fault, left);
        brisk_arena *small;
        CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base, .chunk_bytes = 4096},
                                    &small));
        if (left == 2) { /* the range still fits, the engines do not */
            (void)brisk_arena_alloc(small, 3700);
        }
        pkg_picked picked;
        assert_int_equal(
            pkg_pick(package, PKG_TEXT(">=1 <1.2.0||>=1.3.0 <9"), NULL, &node_20, small, &picked),
            BRISK_ERR_NOMEM);
        brisk_arena_destroy(small);
        CHECK_U64(fault.bytes_held, ==, 0);
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
        cmocka_unit_test(test_rules),     cmocka_unit_test(test_options),
        cmocka_unit_test(test_before),    cmocka_unit_test(test_odd_packages),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_npm_says_the_same),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
