/*
 * test_advise.c -- conflicts of peers: the proof, the change that helps; and one version of each.
 */
#include "corpus.h"
#include "made.h"
#include "workload/pkg/problem.h"

static corpus *all;

static int load(void **state)
{
    (void)state;
    char path[PATH_MAX];
    if (corpus_path("registry-snapshot.tar.zst", path)) {
        all = corpus_load(path);
    }
    return 0;
}

static int unload(void **state)
{
    (void)state;
    corpus_close(all);
    all = NULL;
    return 0;
}

static pkg_ideal_opts opts_default(void)
{
    pkg_ideal_opts opts = {.pick = {.before_ms = INT64_MAX}};
    CHECK(semver_parse(PKG_TEXT("20.20.2"), 0, &opts.pick.node));
    return opts;
}

static pkg_project read_project(const char *name, brisk_arena *arena)
{
    char folder[PATH_MAX];
    corpus_need(name, folder);
    pkg_project project = {0};
    brisk_errinfo info = {0};
    if (pkg_project_read(folder, arena, &project, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return project;
}

/* The true conflict of the corpus: npm says ERESOLVE and no more. */
static void test_express_conflict(void **state)
{
    (void)state;
    if (all == NULL) {
        print_message("the corpus is missing: skipped\n");
        skip();
    }
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    pkg_project project = read_project("projects/express-conflict", arena);
    pkg_source source = corpus_source(all);
    pkg_ideal_opts opts = opts_default();
    pkg_tree tree;
    pkg_conflict conflict;
    brisk_errinfo info = {0};
    CHECK(pkg_ideal_build(&project, NULL, &source, &opts, arena, &tree, &conflict, &info) ==
          BRISK_ERR_CONFLICT);
    pkg_advice advice;
    brisk_err err = pkg_advise(&project, &source, &opts, &conflict, arena, &advice, &info);
    if (err != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    for (uint32_t i = 0; i < advice.proof.count; i++) {
        print_message("    %s\n", advice.proof.items[i]);
    }
    print_message("    %s (%u trees)\n", advice.text, advice.tries);
    CHECK_U64(advice.proof.count, >, 0);
    CHECK(advice.change == PKG_CHANGE_VERSION);
    assert_string_equal(advice.text,
                        "mongoose-unique-validator 2.0.0 accepts mongoose 5.4.10: in package.json, "
                        "write \"mongoose-unique-validator\": \"2.0.0\" instead of \"1.0.2\"");
    brisk_arena_destroy(arena);
}

/* All in one folder: either every edge is met there, or there is a proof. */
static void test_flat(void **state)
{
    (void)state;
    if (all == NULL) {
        print_message("the corpus is missing: skipped\n");
        skip();
    }
    static const char *const names[] = {"projects/vite", "projects/express-conflict"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        brisk_arena *arena = NULL;
        CHECK_OK(brisk_arena_create(NULL, &arena));
        pkg_project project = read_project(names[i], arena);
        pkg_source source = corpus_source(all);
        pkg_ideal_opts opts = opts_default();
        pkg_tree tree;
        solve_sentences proof = {0};
        brisk_errinfo info = {0};
        brisk_err err = pkg_flat_build(&project, &source, &opts, arena, &tree, &proof, &info);
        if (err != BRISK_OK && err != BRISK_ERR_CONFLICT) {
            fail_msg("%s: %s", names[i], info.text);
        }
        CHECK((err == BRISK_ERR_CONFLICT) == (proof.count > 0));
        for (uint32_t k = 0; err == BRISK_OK && k < tree.count; k++) {
            const pkg_node *node = tree.nodes[k];
            for (uint32_t e = 0; node != NULL && e < node->edge_count; e++) {
                CHECK(pkg_edge_is_fine(&node->edges[e]));
            }
        }
        print_message("%s: %s\n", names[i],
                      err == BRISK_OK ? "flat" : proof.items[proof.count - 1]);
        brisk_arena_destroy(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_express_conflict),
        cmocka_unit_test(test_flat),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
