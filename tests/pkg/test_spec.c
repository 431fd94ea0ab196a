/* test_spec.c -- what dependencies' texts ask for, and which names are names. */
#include <string.h>

#include <brisk/arena.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/pkg/project.h"

static brisk_arena *arena;

typedef struct spec_case {
    const char *spec;
    pkg_spec_type type;
    const char *name;   /* NULL: "dep" */
    const char *wanted; /* NULL: as written */
} spec_case;

static void check(const spec_case *one)
{
    pkg_spec got;
    CHECK_OK(pkg_spec_parse(PKG_TEXT("dep"), pkg_text_of(one->spec), arena, &got));
    if (got.type != one->type || !pkg_text_is(got.name, one->name != NULL ? one->name : "dep") ||
        !pkg_text_is(got.wanted, one->wanted != NULL ? one->wanted : one->spec)) {
        fail_msg("%s: type %d, %.*s, %.*s", one->spec, (int)got.type, (int)got.name.size,
                 got.name.data, (int)got.wanted.size, got.wanted.data);
    }
    bool ranged = one->type == PKG_SPEC_RANGE;
    CHECK(!ranged || got.range != NULL);
}

static void test_registry(void **state)
{
    (void)state;
    static const spec_case cases[] = {
        {"^1.2.3", PKG_SPEC_RANGE, NULL, NULL},
        {"", PKG_SPEC_RANGE, NULL, NULL},
        {" 1.x || >=2 ", PKG_SPEC_RANGE, NULL, "1.x || >=2"},
        {"latest", PKG_SPEC_TAG, NULL, NULL},
        {" next ", PKG_SPEC_TAG, NULL, "next"},
        {"two words", PKG_SPEC_INVALID, NULL, NULL},
        {">=^16.0.0", PKG_SPEC_INVALID, NULL, NULL},
        {"npm:other", PKG_SPEC_ALIAS, "other", "*"},
        {"npm:@scope/other@^2", PKG_SPEC_ALIAS, "@scope/other", "^2"},
        {"npm:other@next", PKG_SPEC_ALIAS, "other", "next"},
        {"npm:other@npm:more@1", PKG_SPEC_INVALID, NULL, NULL},
        {"npm:other@github:a/b", PKG_SPEC_INVALID, NULL, NULL},
        {"npm:a/b", PKG_SPEC_INVALID, NULL, NULL},
        {"npm:", PKG_SPEC_INVALID, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spec_case one = cases[i];
        if (one.type == PKG_SPEC_INVALID) {
            pkg_spec got;
            CHECK_OK(pkg_spec_parse(PKG_TEXT("dep"), pkg_text_of(one.spec), arena, &got));
            assert_int_equal(got.type, PKG_SPEC_INVALID);
        } else {
            check(&one);
        }
    }
}

static void test_versions_are_told_from_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        bool version;
    } cases[] = {{"1.2.3", true},   {"=v1.2.3", true},     {"1.2.3-beta", true}, {"1.2", false},
                 {"^1.2.3", false}, {"npm:a@1.2.3", true}, {"npm:a@1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pkg_spec got;
        CHECK_OK(pkg_spec_parse(PKG_TEXT("dep"), pkg_text_of(cases[i].spec), arena, &got));
        CHECK(got.is_version == cases[i].version && got.range != NULL);
    }
}

static void test_git_and_urls(void **state)
{
    (void)state;
    static const spec_case cases[] = {
        {"owner/repo", PKG_SPEC_GIT, NULL, NULL},
        {"owner/repo#main", PKG_SPEC_GIT, NULL, NULL},
        {"owner/repo#semver:^1.0.0", PKG_SPEC_GIT, NULL, NULL},
        {"github:owner/repo", PKG_SPEC_GIT, NULL, NULL},
        {"gist:0123456789abcdef", PKG_SPEC_GIT, NULL, NULL},
        {"git@github.com:owner/repo.git", PKG_SPEC_GIT, NULL, NULL},
        {"https://github.com/owner/repo", PKG_SPEC_GIT, NULL, NULL},
        {"https://github.com/owner/repo/archive/main.tar.gz", PKG_SPEC_TARBALL, NULL, NULL},
        {"https://gitlab.com/group/sub/repo.git", PKG_SPEC_GIT, NULL, NULL},
        {"https://gitlab.com/group/repo/-/archive/x.tgz", PKG_SPEC_TARBALL, NULL, NULL},
        {"git+ssh://git@host.test:owner/repo.git#v1", PKG_SPEC_GIT, NULL, NULL},
        {"git+https://host.test/repo.git", PKG_SPEC_GIT, NULL, NULL},
        {"git+file:///srv/repo", PKG_SPEC_GIT, NULL, NULL},
        {"git+https://host.test/r#a::b", PKG_SPEC_INVALID, NULL, NULL},
        {"https://host.test/p.tgz", PKG_SPEC_TARBALL, NULL, NULL},
        {"HTTP://host.test:8080/p", PKG_SPEC_TARBALL, NULL, NULL},
        {"http://host.test:port/p", PKG_SPEC_INVALID, NULL, NULL},
        {"http://host.test:99999/p", PKG_SPEC_INVALID, NULL, NULL},
        {"https:///p", PKG_SPEC_INVALID, NULL, NULL},
        {"ftp://host.test/p.tgz", PKG_SPEC_INVALID, NULL, NULL},
        {"catalog:", PKG_SPEC_INVALID, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(&cases[i]);
    }
}

static void test_paths(void **state)
{
    (void)state;
    static const spec_case cases[] = {
        {"file:../a", PKG_SPEC_FOLDER, NULL, "../a"},
        {"file:a.tgz", PKG_SPEC_FILE, NULL, "a.tgz"},
        {"file:/srv/a", PKG_SPEC_FOLDER, NULL, "/srv/a"},
        {"file:///srv/a.TAR.GZ", PKG_SPEC_FILE, NULL, "/srv/a.TAR.GZ"},
        {"file://srv/a", PKG_SPEC_FOLDER, NULL, "/srv/a"},
        {"file:/../a", PKG_SPEC_FOLDER, NULL, "../a"},
        {"file:~/a", PKG_SPEC_FOLDER, NULL, "~/a"},
        {"./a", PKG_SPEC_FOLDER, NULL, "./a"},
        {"..", PKG_SPEC_FOLDER, NULL, ".."},
        {"/srv/a", PKG_SPEC_FOLDER, NULL, "/srv/a"},
        {"a/b/c", PKG_SPEC_FOLDER, NULL, "a/b/c"},
        {"a.tgz", PKG_SPEC_FILE, NULL, "a.tgz"},
        {"link:../a", PKG_SPEC_FOLDER, NULL, "../a"},
        {"link:", PKG_SPEC_INVALID, NULL, NULL},
        {"workspace:^", PKG_SPEC_WORKSPACE, NULL, "^"},
        {"workspace:../a", PKG_SPEC_WORKSPACE, NULL, "../a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(&cases[i]);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a",     "left-pad", "@scope/name", "Capital", "a.b_c~d", "@s/_p",
        "@s/-p", "http",     "123",         "@../x"}; /* "@.." is a folder's name like any other */
    static const char *const bad[] = {
        "",     ".a",           "_a",          "-a",       "a b",    " a",    "a/b",
        "@s",   "@s/",          "@/p",         "@s/.p",    "@s/p/q", "a%2f",  "a:b",
        "../x", "node_modules", "Favicon.ICO", "\xC3\xA9", "a\\b",   "@s/..", "a\nb"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!pkg_name_is_valid(pkg_text_of(good[i]))) {
            fail_msg("%s is a name", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (pkg_name_is_valid(pkg_text_of(bad[i]))) {
            fail_msg("%s is no name", bad[i]);
        }
    }
    char text[216];
    memset(text, 'a', sizeof text);
    CHECK(pkg_name_is_valid((pkg_text){.data = text, .size = 214}));
    CHECK(!pkg_name_is_valid((pkg_text){.data = text, .size = 215}));
    CHECK(!pkg_name_is_valid((pkg_text){.data = "a\0b", .size = 3}));
    pkg_spec got;
    CHECK_OK(pkg_spec_parse(PKG_TEXT("../x"), PKG_TEXT("1"), arena, &got));
    assert_int_equal(got.type, PKG_SPEC_INVALID);
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char *const specs[] = {"^1.2.3", "npm:a@^1"};
    for (size_t i = 0; i < 2; i++) {
        fault_alloc fault;
        fault_alloc_init(&fault, 1); /* the arena itself */
        brisk_arena *small;
        CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base}, &small));
        pkg_spec got;
        assert_int_equal(pkg_spec_parse(PKG_TEXT("a"), pkg_text_of(specs[i]), small, &got),
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
        cmocka_unit_test(test_registry),     cmocka_unit_test(test_versions_are_told_from_ranges),
        cmocka_unit_test(test_git_and_urls), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
