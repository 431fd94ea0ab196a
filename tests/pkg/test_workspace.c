/* test_workspace.c -- globs over paths, and the patterns of "workspaces". */
#include "support/check.h"
#include "workload/pkg/workspace.h"

static void test_globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *path;
        bool fits;
    } cases[] = {
        {"packages/*", "packages/a", true},
        {"packages/*", "packages/a/b", false},
        {"packages/**", "packages/a/b", true},
        {"packages/**/lib", "packages/a/b/lib", true},
        {"packages/**/lib", "packages/lib", true},
        {"packages/**/lib", "packages/a/libs", false},
        {"*", "a", true},
        {"*", "a/b", false},
        {"a?c", "abc", true},
        {"a?c", "a/c", false},
        {"p/*-x", "p/a-b-x", true},
        {"p/*-x", "p/a-b-y", false},
        {"p/a", "p/a", true},
        {"p/a", "p/ab", false},
        {"", "", true},
        {"", "a", false},
        {"**/a*b", "x/y/aab", true},
        {"a**b", "axxb", true},
        {"a**b", "a/b", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (pkg_glob_matches(pkg_text_of(cases[i].pattern), pkg_text_of(cases[i].path)) !=
            cases[i].fits) {
            fail_msg("%s and %s", cases[i].pattern, cases[i].path);
        }
    }
}

static void test_patterns(void **state)
{
    (void)state;
    uint64_t left = 10000;
    const char *list = "[\"./packages/*/\", \"!packages/old\", 5, \"apps/**\"]";
    assert_true(pkg_workspaces_has(pkg_text_of(list), PKG_TEXT("packages/a"), &left));
    assert_false(pkg_workspaces_has(pkg_text_of(list), PKG_TEXT("packages/old"), &left));
    assert_true(pkg_workspaces_has(pkg_text_of(list), PKG_TEXT("apps/x/y"), &left));
    assert_false(pkg_workspaces_has(pkg_text_of(list), PKG_TEXT("lib"), &left));
    const char *object = "{\"nohoist\": [\"x\"], \"packages\": [\"lib\"]}";
    assert_true(pkg_workspaces_has(pkg_text_of(object), PKG_TEXT("lib"), &left));
    assert_false(pkg_workspaces_has(pkg_text_of(object), PKG_TEXT("x"), &left));
    assert_false(pkg_workspaces_has(PKG_TEXT("\"lib\""), PKG_TEXT("lib"), &left));
    assert_false(pkg_workspaces_has(PKG_TEXT("[\"lib\""), PKG_TEXT("x"), &left));
    CHECK_U64(left, >, 9000);
    CHECK_U64(left, <, 10000);
}

/* Many of them, against many folders: the caller stops at what it allows for all. */
static void test_work_is_bounded(void **state)
{
    (void)state;
    uint64_t left = 1000;
    for (int i = 0; i < 100 && left > 0; i++) {
        assert_false(pkg_workspaces_has(PKG_TEXT("[\"*a*a*a*a*b\",\"*c\"]"),
                                        PKG_TEXT("aaaaaaaaaaaaaaaa"), &left));
    }
    CHECK_U64(left, ==, 0);
}

/* A pattern made to try every way ends. */
static void test_hostile_pattern(void **state)
{
    (void)state;
    char pattern[201];
    char path[401];
    for (int i = 0; i < 200; i++) {
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    }
    pattern[200] = '\0';
    memset(path, 'a', 400);
    path[400] = '\0';
    assert_false(pkg_glob_matches(PKG_TEXT("**/*a*a*a*a*a*a*b"), pkg_text_of(path)));
    assert_true(pkg_glob_matches(pkg_text_of(pattern), pkg_text_of(path)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_work_is_bounded),
        cmocka_unit_test(test_hostile_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
