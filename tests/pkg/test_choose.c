/*
 * test_choose.c -- what a dependency means: names that no package may have.
 */
#include "support/check.h"
#include "workload/pkg/ideal.h"
#include "workload/pkg/packument.h"
#include "workload/pkg/project.h"

typedef struct registry {
    brisk_arena *arena;
    const char *deps;     /* members of the dependencies of "a" */
    const char *optional; /* likewise, of its optional ones */
    uint32_t asked;       /* of others than "a" */
    uint32_t wants;
} registry;

/* Has whatever it is asked for: a server that serves "../x" is not to be trusted, and may be there. */
static brisk_err get(void *ctx, pkg_text name, const pkg_package **ret, brisk_errinfo *info)
{
    registry *r = ctx;
    bool first = pkg_text_is(name, "a");
    const char *json = brisk_arena_printf(
        r->arena,
        "{\"name\":\"%.*s\",\"dist-tags\":{\"latest\":\"1.0.0\"},\"versions\":{\"1.0.0\":{"
        "\"dependencies\":{%s},\"optionalDependencies\":{%s}}}}",
        (int)name.size, name.data, first ? r->deps : "", first ? r->optional : "");
    assert_non_null(json);
    r->asked += !first;
    return pkg_packument_parse(name, pkg_text_of(json), r->arena, ret, info);
}

static void want(void *ctx, pkg_text name, const semver_range *range, bool peers_only)
{
    registry *r = ctx;
    (void)range;
    (void)peers_only;
    r->wants += !pkg_text_is(name, "a");
}

static brisk_err build(registry *r, pkg_tree *tree, brisk_errinfo *info)
{
    pkg_dep dep = {.name = PKG_TEXT("a"),
                   .spec = PKG_TEXT("1.0.0"),
                   .name_hash = pkg_text_hash(PKG_TEXT("a")),
                   .kind = PKG_DEP_PROD};
    pkg_manifest root = {.name = PKG_TEXT("root"), .deps = &dep, .dep_count = 1};
    pkg_project project = {.manifest = &root, .folder = PKG_TEXT("/project")};
    pkg_source source = {.ctx = r, .get = get, .want = want};
    pkg_ideal_opts opts = {.pick = {.before_ms = INT64_MAX}};
    CHECK_OK(semver_range_parse(r->arena, dep.spec, SEMVER_LOOSE, &dep.range));
    return pkg_ideal_build(&project, NULL, &source, &opts, r->arena, tree, NULL, info);
}

/* A name is a path below node_modules in a lock, and installers write there. */
static void test_names_that_lead_elsewhere(void **state)
{
    (void)state;
    static const char *const names[] = {"../x", "../../x", "..",           "@a/../../x", "x/y",
                                        "/x",   ".bin",    "node_modules", "x\\\\y",     ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (int optional = 0; optional < 2; optional++) {
            registry r = {.deps = "", .optional = ""};
            CHECK_OK(brisk_arena_create(NULL, &r.arena));
            const char *member = brisk_arena_printf(r.arena, "\"%s\":\"1.0.0\"", names[i]);
            *(optional == 1 ? &r.optional : &r.deps) = member;
            pkg_tree tree;
            brisk_errinfo info = {.text = ""};
            brisk_err err = build(&r, &tree, &info);
            assert_int_equal(r.asked + r.wants, 0);
            assert_int_equal(err, optional == 1 ? BRISK_OK : BRISK_ERR_INVALID);
            if (optional == 1) {
                assert_int_equal(tree.live, 2); /* the root and a */
            } else {
                assert_non_null(strstr(info.text, "is no package name"));
            }
            brisk_arena_destroy(r.arena);
        }
    }
}

static void test_names_of_old_packages(void **state)
{
    (void)state;
    registry r = {.deps = "\"JSONStream\":\"1.0.0\",\"@s/x.y\":\"*\"", .optional = ""};
    CHECK_OK(brisk_arena_create(NULL, &r.arena));
    pkg_tree tree;
    brisk_errinfo info = {.text = ""};
    CHECK_OK(build(&r, &tree, &info));
    assert_int_equal(tree.live, 4);
    assert_int_equal(r.asked, 2);
    brisk_arena_destroy(r.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_that_lead_elsewhere),
        cmocka_unit_test(test_names_of_old_packages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
