/*
 * test_ideal.c -- small projects with everything that is hard, and the trees npm makes of them.
 *
 * The expected trees are what npm 11's arborist answered to the same cases (npm_says.js); the sets
 * of peers are those of its own test packages, with shorter names.
 */
#include "made_case.h"
#include "support/fault_alloc.h"

typedef struct expected {
    const char *what;
    const char *lines;
    const char *tree;
} expected;

static const expected cases[] = {
    {"a cycle of peers",
     "root cycle@1\n"
     "pkg a@1.0.0 peer:b@1\n"
     "pkg a@2.0.0 peer:b@2\n"
     "pkg b@1.0.0 peer:c@1\n"
     "pkg b@2.0.0 peer:c@2\n"
     "pkg c@1.0.0 peer:a@1\n"
     "pkg c@2.0.0 peer:a@2\n"
     "pkg cycle@1.0.0 a@1\n"
     "pkg cycle@2.0.0 a@2\n",
     "a@1.0.0: b@1.0.0:p c@1.0.0:p cycle@1.0.0:"},
    {"the other cycle beside it",
     "root cycle@1 a@2\n"
     "pkg a@1.0.0 peer:b@1\n"
     "pkg a@2.0.0 peer:b@2\n"
     "pkg b@1.0.0 peer:c@1\n"
     "pkg b@2.0.0 peer:c@2\n"
     "pkg c@1.0.0 peer:a@1\n"
     "pkg c@2.0.0 peer:a@2\n"
     "pkg cycle@1.0.0 a@1\n"
     "pkg cycle@2.0.0 a@2\n",
     "a@2.0.0: b@2.0.0:p c@2.0.0:p cycle@1.0.0: cycle/a@1.0.0: cycle/b@1.0.0:p "
     "cycle/c@1.0.0:p"},
    {"two cycles that the project wants both",
     "root a@1 b@2\n"
     "pkg a@1.0.0 peer:b@1\n"
     "pkg a@2.0.0 peer:b@2\n"
     "pkg b@1.0.0 peer:c@1\n"
     "pkg b@2.0.0 peer:c@2\n"
     "pkg c@1.0.0 peer:a@1\n"
     "pkg c@2.0.0 peer:a@2\n",
     "ERESOLVE"},
    {"of a package it may go deeper",
     "root lib@1\n"
     "pkg lib@1.0.0 a@1 b@2\n"
     "pkg a@1.0.0 peer:b@1\n"
     "pkg a@2.0.0 peer:b@2\n"
     "pkg b@1.0.0 peer:c@1\n"
     "pkg b@2.0.0 peer:c@2\n"
     "pkg c@1.0.0 peer:a@1\n"
     "pkg c@2.0.0 peer:a@2\n",
     "a@1.0.0: b@1.0.0:p c@1.0.0:p lib@1.0.0: lib/b@2.0.0: lib/c@2.0.0:p"},
    {"but not strictly",
     "root lib@1\n"
     "opts strict\n"
     "pkg lib@1.0.0 a@1 b@2\n"
     "pkg a@1.0.0 peer:b@1\n"
     "pkg a@2.0.0 peer:b@2\n"
     "pkg b@1.0.0 peer:c@1\n"
     "pkg b@2.0.0 peer:c@2\n"
     "pkg c@1.0.0 peer:a@1\n"
     "pkg c@2.0.0 peer:a@2\n",
     "ERESOLVE"},
    {"legacy: peers are nobody's business",
     "root a@1 b@2\n"
     "opts legacy\n"
     "pkg a@1.0.0 peer:b@1\n"
     "pkg b@1.0.0 \n"
     "pkg b@2.0.0 \n",
     "a@1.0.0: b@2.0.0:"},
    {"a chain of peers, in two versions",
     "root ii@1 jj@2\n"
     "pkg a@1.0.0 peer:b@1\n"
     "pkg a@2.0.0 peer:b@2\n"
     "pkg b@1.0.0 peer:c@1\n"
     "pkg b@2.0.0 peer:c@2\n"
     "pkg c@1.0.0 peer:d@1\n"
     "pkg c@2.0.0 peer:d@2\n"
     "pkg d@1.0.0 peer:e@1\n"
     "pkg d@2.0.0 peer:e@2\n"
     "pkg e@1.0.0 peer:a@1\n"
     "pkg e@2.0.0 peer:a@2\n"
     "pkg i@1.0.0 a@1\n"
     "pkg ii@1.0.0 i@1\n"
     "pkg j@2.0.0 b@2\n"
     "pkg jj@2.0.0 j@2\n",
     "a@1.0.0: b@1.0.0:p c@1.0.0:p d@1.0.0:p e@1.0.0:p i@1.0.0: ii@1.0.0: j@2.0.0: "
     "j/a@2.0.0:p j/b@2.0.0: j/c@2.0.0:p j/d@2.0.0:p j/e@2.0.0:p jj@2.0.0:"},
    {"a peer set that gives way",
     "root override@1\n"
     "pkg a@1.0.0 peer:b@1\n"
     "pkg a@2.0.0 peer:b@2\n"
     "pkg b@1.0.0 \n"
     "pkg b@2.0.0 \n"
     "pkg v@1.0.0 peer:a@1\n"
     "pkg override@1.0.0 a@2 v@1\n",
     "a@1.0.0:p b@1.0.0:p override@1.0.0: override/a@2.0.0: override/b@2.0.0:p "
     "v@1.0.0:"},
    {"a peer set that is nested whole",
     "root s@2 p@2\n"
     "pkg p@1.0.0 \n"
     "pkg p@2.0.0 \n"
     "pkg q@1.0.0 peer:p@1\n"
     "pkg s@2.0.0 x@ y@\n"
     "pkg x@1.0.0 peer:p@1 peer:q@1\n"
     "pkg y@1.0.0 peer:z@\n"
     "pkg z@1.0.0 \n",
     "p@2.0.0: s@2.0.0: s/p@1.0.0:p s/q@1.0.0:p s/x@1.0.0: y@1.0.0: z@1.0.0:p"},
    {"no endless loop of conflicting peers",
     "root a@1 j@3\n"
     "pkg a@1.0.0 x@ y@ j@1\n"
     "pkg j@1.0.0 \n"
     "pkg j@2.0.0 \n"
     "pkg j@3.0.0 \n"
     "pkg x@1.0.0 peer:j@1\n"
     "pkg y@1.0.0 peer:j@2\n",
     "a@1.0.0: a/j@1.0.0: a/x@1.0.0: a/y@1.0.0: j@3.0.0:"},
    {"a peer that two narrow differently",
     "root a@1 b@2\n"
     "pkg a@1.0.0 peer:b@1||2 c@1\n"
     "pkg b@1.0.0 \n"
     "pkg b@2.0.0 \n"
     "pkg c@1.0.0 peer:b@1\n",
     "a@1.0.0: a/c@1.0.0: b@2.0.0:"},
    {"packages in one another end in a link",
     "root a@1\n"
     "pkg a@1.0.0 b@1\n"
     "pkg a@2.0.0 b@2\n"
     "pkg b@1.0.0 a@2\n"
     "pkg b@2.0.0 a@1\n",
     "a@1.0.0: b@1.0.0: b/a@2.0.0: b/b@2.0.0: b/b/a@1.0.0: b/b/b->node_modules/b:"},
    {"an optional peer that must not come",
     "root x@1 y@1\n"
     "pkg x@1.0.0 popt:z@1\n"
     "pkg y@1.0.0 \n"
     "pkg y@2.0.0 \n"
     "pkg z@1.0.0 peer:y@2\n",
     "x@1.0.0: y@1.0.0:"},
    {"an optional peer's own peers do not count",
     "root w@1 x@1\n"
     "pkg w@1.0.0 peer:z@1\n"
     "pkg x@1.0.0 peer:w@1 popt:y@1 peer:z@1\n"
     "pkg y@1.0.0 peer:z@2\n"
     "pkg z@1.0.0 \n"
     "pkg z@2.0.0 \n",
     "w@1.0.0: x@1.0.0: z@1.0.0:p"},
    {"a looser dependency for development",
     "root dev:d@1 dev:p@^1\n"
     "pkg d@1.0.0 peer:p@1\n"
     "pkg p@1.0.0 \n"
     "pkg p@2.0.0 \n",
     "d@1.0.0:d p@1.0.0:d"},
    {"optional ones that do not exist",
     "root opt:lost@1 a@1 opt:tap@9\n"
     "pkg a@1.0.0 opt:gone@* b@1\n"
     "pkg b@1.0.0 \n"
     "pkg tap@1.0.0 \n",
     "a@1.0.0: b@1.0.0:"},
    {"one that does not exist",
     "root a@1\n"
     "pkg a@1.0.0 gone@*\n",
     "BRISK_ERR_NOT_FOUND"},
    {"no version that fits",
     "root a@9\n"
     "pkg a@1.0.0 \n",
     "BRISK_ERR_NOT_FOUND"},
    {"an alias beside the real one",
     "root r@npm:react@^1 react@2\n"
     "pkg react@1.2.0 \n"
     "pkg react@2.0.0 \n",
     "r@1.2.0: react@2.0.0:"},
    {"workspaces",
     "root wa@1 c@2\n"
     "ws packages/a wa@1.0.0 wb@^1.0.0 c@1 dev:t@1\n"
     "ws packages/b wb@1.1.0 c@1\n"
     "pkg c@1.0.0 \n"
     "pkg c@2.0.0 \n"
     "pkg t@1.0.0 c@2\n",
     "c@2.0.0: t@1.0.0:d wa->packages/a: wb->packages/b: packages/a@1.0.0: "
     "packages/a/c@1.0.0: packages/b@1.1.0: packages/b/c@1.0.0:"},
    {"overrides inside",
     "root a@1\n"
     "over b=2.0.0\n"
     "over c>b=1.0.0\n"
     "pkg a@1.0.0 b@1 c@1\n"
     "pkg b@1.0.0 \n"
     "pkg b@2.0.0 \n"
     "pkg c@1.0.0 b@1\n",
     "a@1.0.0: b@2.0.0: c@1.0.0: c/b@1.0.0:"},
    {"an override for some versions",
     "root a@1\n"
     "over b@1=2\n"
     "pkg a@1.0.0 b@^1.0.0 c@1\n"
     "pkg b@1.0.0 \n"
     "pkg b@2.0.0 \n"
     "pkg b@3.0.0 \n"
     "pkg c@1.0.0 b@3\n",
     "a@1.0.0: b@2.0.0: c@1.0.0: c/b@3.0.0:"},
    {"an override against the project's own",
     "root b@1 a@1\n"
     "over b=2.0.0\n"
     "pkg a@1.0.0 b@1\n"
     "pkg b@1.0.0 \n"
     "pkg b@2.0.0 \n",
     "BRISK_ERR_INVALID"},
    {"a lock keeps what still fits",
     "root a@^1 b@1\n"
     "pkg a@1.0.0 \n"
     "pkg a@1.1.0 c@1\n"
     "pkg b@1.0.0 c@^1.0.0\n"
     "pkg c@1.0.0 \n"
     "pkg c@1.1.0 \n"
     "again b@1\n",
     "b@1.0.0: c@1.1.0:"},
    {"a lock's package that moves down",
     "root a@1\n"
     "pkg a@1.0.0 c@1\n"
     "pkg a@2.0.0 c@1\n"
     "pkg c@1.0.0 \n"
     "again a@2 d@1\n"
     "pkg d@1.0.0 a@1\n",
     "a@2.0.0: c@1.0.0: d@1.0.0: d/a@1.0.0:"},
};

static void test_cases(void **state)
{
    (void)state;
    made_case c = {0};
    CHECK_OK(brisk_arena_create(NULL, &c.arena));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        made_case_take_all(&c, cases[i].lines);
        const char *tree = made_case_run(&c);
        if (strcmp(tree, cases[i].tree) != 0) {
            fail_msg("%s:\n%s\ninstead of\n%s\n%s", cases[i].what, tree, cases[i].tree,
                     c.info.text);
        }
    }
    brisk_arena_destroy(c.arena);
}

/* Every package was announced before it was asked for. */
static void test_source_hears_first(void **state)
{
    (void)state;
    made_case c = {0};
    CHECK_OK(brisk_arena_create(NULL, &c.arena));
    made_case_take_all(&c, cases[6].lines);
    (void)made_case_run(&c);
    CHECK_U64(c.source.asked, >, 5);
    CHECK_U64(c.source.unannounced, ==, 0);
    brisk_arena_destroy(c.arena);
}

static void test_conflict_is_explained(void **state)
{
    (void)state;
    made_case c = {0};
    CHECK_OK(brisk_arena_create(NULL, &c.arena));
    made_case_take_all(&c, "root host@5 plugin@1\npkg host@4.1.0\npkg host@5.2.0\n"
                           "pkg plugin@1.0.0 peer:host@4\n");
    assert_string_equal(made_case_run(&c), "ERESOLVE");
    assert_true(pkg_text_is(c.conflict.edge->dep->name, "host"));
    assert_true(pkg_text_is(c.conflict.edge->from->name, "plugin"));
    assert_true(pkg_text_is(c.conflict.current->manifest->version, "5.2.0"));
    assert_non_null(c.conflict.current_edge);
    assert_true(pkg_text_is(c.conflict.current_edge->spec, "5"));
    CHECK_U64(c.conflict.chain_count, ==, 1);
    assert_true(pkg_text_is(c.conflict.chain[0]->dep->name, "plugin"));
    assert_string_equal(c.info.text, "plugin@1.0.0 needs the peer host \"4\", but host@5.2.0 is in "
                                     "its place, which the project needs (\"5\")");
    brisk_arena_destroy(c.arena);
}

static void test_words_of_failures(void **state)
{
    (void)state;
    static const char *const both[][2] = {
        {"root a@1\npkg a@1.0.0 gone@1\n",
         "gone: there is no such package (needed by node_modules/a)"},
        {"root a@7\npkg a@1.0.0\n", "a: no version fits \"7\" (needed by the project)"},
        {"root a@git+https://git.test/a.git\n",
         "a comes from a git repository (\"git+https://git.test/a.git\"), which is fetched with "
         "--allow-remote only (needed by the project)"},
        {"root a@https://files.test/a.tgz\n",
         "a comes from an address (\"https://files.test/a.tgz\"), which is fetched with "
         "--allow-remote only (needed by the project)"},
    };
    made_case c = {0};
    CHECK_OK(brisk_arena_create(NULL, &c.arena));
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
        made_case_take_all(&c, both[i][0]);
        (void)made_case_run(&c);
        assert_non_null(c.error);
        assert_string_equal(c.info.text, both[i][1]);
    }
    made_case_take_all(&c, "root opt:a@git+https://git.test/a.git b@1\npkg b@1.0.0\n");
    assert_string_equal(made_case_run(&c), "b@1.0.0:");
    brisk_arena_destroy(c.arena);
}

/* --- hostile registries --------------------------------------------------------------------- */

static char *lines_of(brisk_arena *arena, const char *first, int count, const char *kind)
{
    enum { LINE_BYTES = 160 };
    size_t size = (size_t)count * LINE_BYTES + strlen(first) + 1;
    char *text = brisk_arena_alloc(arena, size);
    assert_non_null(text);
    size_t used = (size_t)snprintf(text, size, "%s", first);
    for (int i = 0; i < count; i++) {
        int next = i + 1 < count ? i + 1 : 0;
        used +=
            (size_t)snprintf(text + used, size - used, "pkg n%d@1.0.0 %sn%d@1\n", i, kind, next);
    }
    return text;
}

static void test_long_chains(void **state)
{
    (void)state;
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    made_case c = {0};
    CHECK_OK(brisk_arena_create(NULL, &c.arena));
    made_case_take_all(&c, lines_of(arena, "root n0@1\n", 3000, ""));
    assert_string_not_equal(made_case_run(&c), "ERESOLVE");
    assert_null(c.error);
    CHECK_U64(c.tree.live, ==, 3001);
    made_case_take_all(&c, lines_of(arena, "root n0@1\n", 300, "peer:"));
    (void)made_case_run(&c);
    assert_null(c.error);
    CHECK_U64(c.tree.live, ==, 301);
    made_case_take_all(&c, lines_of(arena, "root n0@1\n", 2000, "peer:"));
    assert_string_equal(made_case_run(&c), "BRISK_ERR_LIMIT");
    assert_non_null(strstr(c.info.text, "peers of peers"));
    brisk_arena_destroy(c.arena);
    brisk_arena_destroy(arena);
}

/* Each version needs the other one of itself: it would nest for ever. */
static void test_nesting_ends(void **state)
{
    (void)state;
    made_case c = {0};
    CHECK_OK(brisk_arena_create(NULL, &c.arena));
    made_case_take_all(&c, "root a@1\npkg a@1.0.0 a@2\npkg a@2.0.0 a@1\n");
    assert_string_equal(made_case_run(&c), "a@1.0.0: a/a@2.0.0: a/a/a->node_modules/a:");
    brisk_arena_destroy(c.arena);
}

/* Optional peers that push each other out, for ever in npm. */
static void test_no_rest_is_told(void **state)
{
    (void)state;
    made_case c = {0};
    CHECK_OK(brisk_arena_create(NULL, &c.arena));
    made_case_take_all(&c, "root opt:na@>=1 dev:ne@1||2\n"
                           "pkg na@1.0.0 peer:nd@latest\n"
                           "pkg na@2.0.0 peer:ne@^2.0.0 opt:nb@*\n"
                           "pkg na@2.1.0 na@* nb@>=1 popt:nc@^1.0.0\n"
                           "pkg nb@1.0.0 peer:na@1||2\n"
                           "pkg nb@1.1.0 peer:na@>=1 nd@1.0.0 nc@1\n"
                           "pkg nb@2.0.0 peer:ne@1\n"
                           "pkg nb@2.1.0 popt:na@^1.0.0 peer:nd@1 nc@1\n"
                           "pkg nc@1.0.0 popt:ne@1.0.0\n"
                           "pkg nc@2.0.0 popt:na@2 ne@latest peer:nd@>=1\n"
                           "pkg nc@2.1.0 popt:nd@^1.0.0\n"
                           "pkg nd@1.0.0 opt:nc@2\n"
                           "pkg nd@1.1.0 nb@>=1 na@2\n"
                           "pkg nd@2.0.0 peer:na@2 popt:nc@1\n"
                           "pkg ne@1.0.0 \n"
                           "pkg ne@2.0.0 peer:nd@2\n");
    assert_string_equal(made_case_run(&c), "BRISK_ERR_LIMIT");
    assert_non_null(strstr(c.info.text, "does not come to rest"));
    brisk_arena_destroy(c.arena);
}

/* --- order, failure, cancelling ------------------------------------------------------------- */

typedef struct shuffled {
    made_source *inner;
    uint64_t seed;
    uint32_t stalls;
} shuffled;

/* Answers arrive in any order: here, any other packages are parsed before the one that is asked. */
static brisk_err shuffled_get(void *ctx, pkg_text name, const pkg_package **ret,
                              brisk_errinfo *info)
{
    shuffled *s = ctx;
    for (uint64_t n = check_random(&s->seed) % 4; n > 0 && s->inner->count > 0; n--) {
        const pkg_package *other = NULL;
        made_package *p = &s->inner->items[check_random(&s->seed) % s->inner->count];
        CHECK_OK(made_source_get(s->inner, p->name, &other, info));
        s->stalls++;
    }
    return made_source_get(s->inner, name, ret, info);
}

static void shuffled_want(void *ctx, pkg_text name, const semver_range *range, bool peers_only)
{
    shuffled *s = ctx;
    if (check_random(&s->seed) % 2 == 0) {
        const pkg_package *early = NULL;
        brisk_errinfo info;
        (void)made_source_get(s->inner, name, &early, &info);
    }
    made_source_want(s->inner, name, range, peers_only);
}

/* Property: whatever arrives when, the tree is the same. */
static void test_arrival_order_does_not_matter(void **state)
{
    (void)state;
    enum { ORDERS = 1000 };
    shuffled s = {.seed = check_seed()};
    brisk_arena *steady = NULL;
    made_case c = {0};
    CHECK_OK(brisk_arena_create(NULL, &steady));
    CHECK_OK(brisk_arena_create(NULL, &c.arena));
    for (int i = 0; i < ORDERS; i++) {
        const expected *e = &cases[i % (int)(sizeof cases / sizeof cases[0])];
        made_case_take_all(&c, e->lines);
        s.inner = &c.source;
        c.wrap = (pkg_source){.ctx = &s, .get = shuffled_get, .want = shuffled_want};
        assert_string_equal(made_case_run(&c), e->tree);
    }
    CHECK_U64(s.stalls, >, ORDERS);
    brisk_arena_destroy(c.arena);
    brisk_arena_destroy(steady);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static const int chosen[] = {1, 6, 19, 20};
    for (size_t k = 0; k < sizeof chosen / sizeof chosen[0]; k++) {
        made_case c = {0};
        CHECK_OK(brisk_arena_create(NULL, &c.arena));
        made_case_take_all(&c, cases[chosen[k]].lines);
        (void)made_case_run(&c); /* packages are parsed now */
        pkg_source source = made_source_of(&c.source);
        brisk_err err = BRISK_ERR_NOMEM;
        uint64_t tries = 0;
        for (; err == BRISK_ERR_NOMEM; tries++) {
            fault_alloc fault;
            fault_alloc_init(&fault, tries);
            brisk_arena *arena = NULL;
            pkg_tree tree;
            pkg_conflict conflict;
            brisk_errinfo info = {0};
            err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 4096, .alloc = &fault.base},
                                     &arena);
            err = err != BRISK_OK ? err
                                  : pkg_ideal_build(&c.project, NULL, &source, &c.opts, arena,
                                                    &tree, &conflict, &info);
            if (err == BRISK_OK) {
                assert_string_equal(made_text_flags(c.arena, &tree), cases[chosen[k]].tree);
            }
            brisk_arena_destroy(arena);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
        CHECK_OK(err);
        CHECK_U64(tries, >, 5);
        brisk_arena_destroy(c.arena);
    }
}

static bool cancelled_at_third(void *ctx)
{
    return ++*(int *)ctx >= 3;
}

static void test_cancelling(void **state)
{
    (void)state;
    made_case c = {0};
    int asked = 0;
    CHECK_OK(brisk_arena_create(NULL, &c.arena));
    made_case_take_all(&c, cases[6].lines);
    c.opts.cancelled = cancelled_at_third;
    c.opts.ctx = &asked;
    assert_string_equal(made_case_run(&c), "BRISK_ERR_CANCELLED");
    assert_int_equal(asked, 3);
    brisk_arena_destroy(c.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_source_hears_first),
        cmocka_unit_test(test_conflict_is_explained),
        cmocka_unit_test(test_words_of_failures),
        cmocka_unit_test(test_long_chains),
        cmocka_unit_test(test_nesting_ends),
        cmocka_unit_test(test_no_rest_is_told),
        cmocka_unit_test(test_arrival_order_does_not_matter),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_cancelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
