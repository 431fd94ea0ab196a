/* What a dependency's text says of a repository, and which commit it means. */
#include "workload/pkg/gitspec.h"

#include "support/check.h"
#include "support/fault_alloc.h"

static brisk_arena *arena;

#define A "1111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222"
#define C "3333333333333333333333333333333333333333"

typedef struct git_case {
    const char *spec;
    const char *base;
    const char *first;
    const char *second;
    const char *committish;
} git_case;

static void check_text(pkg_text found, const char *wanted, const char *spec)
{
    if (!pkg_text_is(found, wanted)) {
        fail_msg("%s: %.*s, not %s", spec, (int)found.size, found.data, wanted);
    }
}

/* As npm records them, and where git is sent. */
static void test_addresses(void **state)
{
    (void)state;
    static const char hub[] = "git+ssh://git@github.com/o/r.git";
    static const char web[] = "https://github.com/o/r.git";
    static const char ssh[] = "ssh://git@github.com/o/r.git";
    static const git_case cases[] = {
        {"o/r", hub, web, ssh, ""},
        {"o/r#main", hub, web, ssh, "main"},
        {"github:o/r.git#feature/x", hub, web, ssh, "feature/x"},
        {"github:u:p@o/r", hub, web, ssh, ""},
        {"git@github.com:o/r.git#v1", hub, web, ssh, "v1"},
        {"git+ssh://git@github.com/o/r.git", hub, web, ssh, ""},
        {"git://github.com/o/r", hub, web, ssh, ""},
        {"https://github.com/o/r/tree/next", hub, web, ssh, "next"},
        {"https://www.github.com/o/r", hub, web, ssh, ""},
        {"git+https://u:p@github.com/o/r.git#x", "git+https://u:p@github.com/o/r.git",
         "https://u:p@github.com/o/r.git", "", "x"},
        {"gitlab:g/s/r", "git+ssh://git@gitlab.com/g/s/r.git", "https://gitlab.com/g/s/r.git",
         "ssh://git@gitlab.com/g/s/r.git", ""},
        {"gist:0123abc", "git+ssh://git@gist.github.com/0123abc.git",
         "https://gist.github.com/0123abc.git", "ssh://git@gist.github.com/0123abc.git", ""},
        {"sourcehut:~u/r", "git+ssh://git@git.sr.ht/~u/r.git", "https://git.sr.ht/~u/r",
         "ssh://git@git.sr.ht/~u/r.git", ""},
        {"git+https://host.test/r.git#" A, "git+https://host.test/r.git", "https://host.test/r.git",
         "", A},
        {"git+ssh://git@host.test:o/r.git#v1", "git+ssh://git@host.test:o/r.git",
         "git@host.test:o/r.git", "", "v1"},
        {"git+ssh://git@host.test:22/o/r.git", "git+ssh://git@host.test:22/o/r.git",
         "ssh://git@host.test:22/o/r.git", "", ""},
        {"git+file:///srv/r", "git+file:///srv/r", "file:///srv/r", "", ""},
        {"git://host.test/r", "git://host.test/r", "git://host.test/r", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const git_case *c = &cases[i];
        pkg_git git;
        brisk_errinfo info = {0};
        if (pkg_git_parse(pkg_text_of(c->spec), arena, &git, &info) != BRISK_OK) {
            fail_msg("%s: %s", c->spec, info.text);
        }
        check_text(git.base, c->base, c->spec);
        check_text(git.urls[0], c->first, c->spec);
        check_text(git.urls[1], c->second, c->spec);
        check_text(git.committish, c->committish, c->spec);
        assert_true(pkg_git_same(pkg_text_of(c->spec), git.base) ||
                    pkg_git_is_hash(git.committish));
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const specs[] = {
        "git+ssh://-oProxyCommand=x/y",
        "git+ssh://git@-oProxyCommand=x/y",
        "git+ssh://-l@host.test/x",
        "git+ssh://host.test:-x/y",
        "git+ssh://ext::sh",
        "git+rsync://host.test/x",
        "git+ftp://host.test/x",
        "git+file://host.test/x",
        "git+https:///x",
        "git+https://host.test/a b",
        "git+https://host.test/$(x)",
        "git+https://host.test/x#-upload-pack=y",
        "o/r#--x",
        "o/r#a..b",
        "o/r#a%20b",
        "o/r#semver:>=>",
        "o/r#path:../x",
        "o/%2e%2e%2fr#x%0a",
        "github:o/-r",
        "github:-o/r",
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        pkg_git git;
        brisk_errinfo info = {0};
        brisk_err err = pkg_git_parse(pkg_text_of(specs[i]), arena, &git, &info);
        if (err != BRISK_ERR_INVALID || info.text[0] == '\0') {
            fail_msg("%s was taken", specs[i]);
        }
    }
}

static void test_same(void **state)
{
    (void)state;
    static const struct {
        const char *wanted;
        const char *resolved;
        bool same;
    } cases[] = {
        {"o/r", "git+ssh://git@github.com/o/r.git#" A, true},
        {"https://github.com/o/r.git#main", "git+ssh://git@github.com/o/r.git#" A, true},
        {"o/r#" A, "git+ssh://git@github.com/o/r.git#" A, true},
        {"o/r#" B, "git+ssh://git@github.com/o/r.git#" A, false},
        {"o/other", "git+ssh://git@github.com/o/r.git#" A, false},
        {"gitlab:o/r", "git+ssh://git@github.com/o/r.git#" A, false},
        {"o/r", "https://registry.test/r.tgz", false},
        {"git+file:///srv/r#main", "git+file:///srv/r#" A, true},
        {"git+file:///srv/r#" B, "git+file:///srv/r#" A, false},
        {"git+file:///srv/r", "git+file:///srv/q#" A, false},
        {"o/r", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (pkg_git_same(pkg_text_of(cases[i].wanted), pkg_text_of(cases[i].resolved)) !=
            cases[i].same) {
            fail_msg("%s and %s", cases[i].wanted, cases[i].resolved);
        }
    }
    assert_true(pkg_git_same_commit(PKG_TEXT("o/r#x"), PKG_TEXT("https://github.com/o/r#x")));
    assert_true(!pkg_git_same_commit(PKG_TEXT("o/r#x"), PKG_TEXT("https://github.com/o/r/tree/y")));
}

static void check_pick(const char *lines, const char *spec, const char *wanted)
{
    pkg_git git;
    pkg_text hash = {0};
    pkg_text ref = {0};
    brisk_errinfo info;
    CHECK_OK(pkg_git_parse(pkg_text_of(spec), arena, &git, &info));
    brisk_err err = pkg_git_pick(pkg_text_of(lines), &git, arena, &hash, &ref);
    if (wanted == NULL ? err != BRISK_ERR_NOT_FOUND
                       : err != BRISK_OK || !pkg_text_is(hash, wanted)) {
        fail_msg("%s: %s, %.*s", spec, brisk_err_name(err), (int)hash.size, hash.data);
    }
}

static void test_commits(void **state)
{
    (void)state;
    static const char lines[] =
        A "\tHEAD\n" A "\trefs/heads/main\n" B "\trefs/heads/v1\n" C "\trefs/pull/7/head\n" C
          "\trefs/tags/v1\n" C "\trefs/tags/x-v1.2.3\n" B "\trefs/tags/x-v1.2.3^{}\n" C
          "\trefs/tags/1.3.0\n" A "\trefs/tags/1.1.0\n" B "\trefs/tags/2.0.0-rc.1\n" C
          "\trefs/tags/1.9\n";
    check_pick(lines, "o/r", A);
    check_pick(lines, "o/r#main", A);
    check_pick(lines, "o/r#refs/heads/v1", B);
    check_pick(lines, "o/r#v1", C); /* the tag, not the branch */
    check_pick(lines, "o/r#pull/7", C);
    check_pick(lines, "o/r#x-v1.2.3", B); /* what the tag is about */
    check_pick(lines, "o/r#nothing", NULL);
    check_pick(lines, "o/r#semver:1.2.x", B);
    check_pick(lines, "o/r#semver:^1.2.0", C);
    check_pick(lines, "o/r#semver:^1.0.0", A); /* the default branch stands there */
    check_pick(lines, "o/r#semver:2.0.0-rc.1", B);
    check_pick(lines, "o/r#semver:^2.0.0", NULL);
    check_pick("", "o/r", NULL);
    static const char *const bad[] = {"x\n", A "\n", A " HEAD\n", "123\tHEAD\n", A "\t\n", "\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pkg_git git;
        pkg_text hash;
        pkg_text ref;
        brisk_errinfo info;
        CHECK_OK(pkg_git_parse(PKG_TEXT("o/r"), arena, &git, &info));
        assert_int_equal(pkg_git_pick(pkg_text_of(bad[i]), &git, arena, &hash, &ref),
                         BRISK_ERR_CORRUPT);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    fault_alloc fault;
    fault_alloc_init(&fault, 1); /* the arena itself */
    brisk_arena *small;
    CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base}, &small));
    pkg_git git;
    brisk_errinfo info;
    assert_int_equal(pkg_git_parse(PKG_TEXT("o/r"), small, &git, &info), BRISK_ERR_NOMEM);
    brisk_arena_destroy(small);
    CHECK_U64(fault.bytes_held, ==, 0);
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
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_same),      cmocka_unit_test(test_commits),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
