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

/* --- a registry of a few packages ----------------------------------------------------------- */

typedef struct tiny {
    brisk_arena *arena;
    const char *const (*documents)[2]; /* name, packument */
    uint32_t count;
} tiny;

static brisk_err tiny_get(void *ctx, pkg_text name, const pkg_package **ret, brisk_errinfo *info)
{
    const tiny *t = ctx;
    for (uint32_t i = 0; i < t->count; i++) {
        if (pkg_text_is(name, t->documents[i][0])) {
            return pkg_packument_parse(name, pkg_text_of(t->documents[i][1]), t->arena, ret, info);
        }
    }
    return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%.*s: no such package", (int)name.size,
                             name.data);
}

static void tiny_want(void *ctx, pkg_text name, const semver_range *range, bool peers_only)
{
    (void)ctx;
    (void)name;
    (void)range;
    (void)peers_only;
}

#define V(name, version, deps)                                                                     \
    "\"" version "\":{\"name\":\"" name "\",\"version\":\"" version "\"" deps                      \
    ",\"dist\":{\"tarball\":\"https://registry.test/x.tgz\"}}"
#define DOC(name, latest, versions)                                                                \
    {                                                                                              \
        name, "{\"name\":\"" name "\",\"dist-tags\":{\"latest\":\"" latest                         \
              "\"},\"versions\":{" versions "}}"                                                   \
    }
#define PEER(name, spec) ",\"peerDependencies\":{\"" name "\":\"" spec "\"}"
#define DEPS(text)       ",\"dependencies\":{" text "}"

static const char *const documents[][2] = {
    DOC("host", "3.0.0",
        V("host", "1.0.0", "") "," V("host", "2.0.0", "") "," V("host", "3.0.0", "")),
    DOC("old", "1.0.0", V("old", "1.0.0", PEER("host", "^1.0.0"))),
    DOC("plug", "1.0.0",
        V("plug", "1.0.0", PEER("host", "^1.0.0")) "," V(
            "plug", "1.1.0", PEER("host", "^1.0.0")) "," V("plug", "2.0.0",
                                                           PEER("host", "^2.0.0 || ^3.0.0"))),
    DOC("deep", "1.0.0",
        V("deep", "1.0.0", DEPS("\"plug\":\"1.0.0\",\"host\":\"^3.0.0\"")) "," V(
            "deep", "1.1.0", DEPS("\"plug\":\"2.0.0\",\"host\":\"^3.0.0\""))),
};

typedef struct tried {
    brisk_arena *arena;
    tiny tiny;
    pkg_project project;
    pkg_source source;
    pkg_ideal_opts opts;
    pkg_conflict conflict;
} tried;

/* The project's dependencies, which do not get along. */
static void set_up_strictly(tried *t, const char *deps, bool strict)
{
    brisk_errinfo info = {0};
    pkg_tree tree;
    memset(t, 0, sizeof *t);
    CHECK_OK(brisk_arena_create(NULL, &t->arena));
    t->tiny = (tiny){t->arena, documents, sizeof documents / sizeof documents[0]};
    t->source = (pkg_source){.ctx = &t->tiny, .get = tiny_get, .want = tiny_want};
    t->project.folder = PKG_TEXT("/project");
    t->project.manifest = made(t->arena, "project@1.0.0", deps);
    t->opts = opts_default();
    t->opts.strict_peer_deps = strict;
    brisk_err err = pkg_ideal_build(&t->project, NULL, &t->source, &t->opts, t->arena, &tree,
                                    &t->conflict, &info);
    if (err != BRISK_ERR_CONFLICT) {
        fail_msg("%s: %s: %s", deps, brisk_err_name(err), info.text);
    }
}

static void set_up(tried *t, const char *deps)
{
    set_up_strictly(t, deps, false);
}

static void advise(tried *t, pkg_advice *advice)
{
    brisk_errinfo info = {0};
    if (pkg_advise(&t->project, &t->source, &t->opts, &t->conflict, t->arena, advice, &info) !=
        BRISK_OK) {
        fail_msg("%s", info.text);
    }
    for (uint32_t i = 0; i < advice->proof.count; i++) {
        print_message("    %s\n", advice->proof.items[i]);
    }
    print_message("    -> %s\n", advice->text != NULL ? advice->text : "(nothing)");
}

/* Two releases of plug forward, or two of host back: of as near ones the one that goes forward. */
static void test_nearest_version(void **state)
{
    (void)state;
    tried t;
    pkg_advice advice;
    set_up(&t, "host@3.0.0 plug@1.0.0");
    advise(&t, &advice);
    CHECK(advice.change == PKG_CHANGE_VERSION);
    assert_string_equal(advice.text,
                        "plug 2.0.0 accepts host 3.0.0: in package.json, write \"plug\": \"2.0.0\" "
                        "instead of \"1.0.0\"");
    CHECK_U64(advice.proof.count, ==, 1);
    assert_string_equal(advice.proof.items[0],
                        "Because plug 1.0.0 to 1.1.0 needs the peer host \"^1.0.0\", the project "
                        "depends on plug \"1.0.0\", and the project depends on host \"3.0.0\": "
                        "there is no answer.");
    brisk_arena_destroy(t.arena);
    set_up(&t, "host@3.0.0 plug@1.1.0");
    advise(&t, &advice);
    assert_string_equal(advice.text,
                        "plug 2.0.0 accepts host 3.0.0: in package.json, write \"plug\": \"2.0.0\" "
                        "instead of \"1.1.0\"");
    brisk_arena_destroy(t.arena);
}

/* No version helps: each of two wants another host. */
static void test_override(void **state)
{
    (void)state;
    tried t;
    pkg_advice advice;
    set_up(&t, "old@1.0.0 plug@2.0.0 host@^3.0.0");
    advise(&t, &advice);
    CHECK(advice.change == PKG_CHANGE_OVERRIDE);
    CHECK(strstr(advice.text, "\"overrides\": {\"old\": {\"host\": \"^3.0.0\"}}") != NULL);
    brisk_arena_destroy(t.arena);
}

/* Below a dependency: its own next version is what helps. */
static void test_deeper(void **state)
{
    (void)state;
    tried t;
    pkg_advice advice;
    set_up_strictly(&t, "deep@1.0.0", true);
    advise(&t, &advice);
    CHECK(advice.change == PKG_CHANGE_VERSION);
    CHECK(pkg_text_is(advice.name, "deep") && pkg_text_is(advice.to, "1.1.0"));
    brisk_arena_destroy(t.arena);
}

static void test_little_memory(void **state)
{
    (void)state;
    tried t;
    set_up(&t, "host@3.0.0 plug@1.0.0");
    brisk_err err = BRISK_ERR_NOMEM;
    uint32_t failures = 0;
    for (size_t limit = 4096; err == BRISK_ERR_NOMEM; limit += 4096) {
        brisk_arena *arena = NULL;
        brisk_arena_opts opts = {.chunk_bytes = 4096, .limit_bytes = limit};
        CHECK_OK(brisk_arena_create(&opts, &arena));
        pkg_advice advice;
        err = pkg_advise(&t.project, &t.source, &t.opts, &t.conflict, arena, &advice, NULL);
        failures += err != BRISK_OK ? 1 : 0;
        brisk_arena_destroy(arena);
    }
    CHECK_OK(err);
    CHECK_U64(failures, >, 0);
    brisk_arena_destroy(t.arena);
}

/* Flat: the version that all accept, not the newest; or why there is none. */
static void test_flat_small(void **state)
{
    (void)state;
    tried t;
    set_up(&t, "host@3.0.0 plug@1.0.0");
    pkg_tree tree;
    solve_sentences proof = {0};
    brisk_errinfo info = {0};
    t.project.manifest = made(t.arena, "project@1.0.0", "old@* host@* plug@^1.0.0");
    CHECK_OK(pkg_flat_build(&t.project, &t.source, &t.opts, t.arena, &tree, &proof, &info));
    const pkg_node *host = pkg_node_child(tree.root, PKG_TEXT("host"));
    CHECK(host != NULL && pkg_text_is(host->manifest->version, "1.0.0"));
    t.project.manifest = made(t.arena, "project@1.0.0", "old@* plug@^2.0.0");
    CHECK(pkg_flat_build(&t.project, &t.source, &t.opts, t.arena, &tree, &proof, &info) ==
          BRISK_ERR_CONFLICT);
    CHECK_U64(proof.count, >, 0);
    t.project.manifest = made(t.arena, "project@1.0.0", "opt:nowhere@1 host@2");
    CHECK_OK(pkg_flat_build(&t.project, &t.source, &t.opts, t.arena, &tree, &proof, &info));
    t.project.manifest = made(t.arena, "project@1.0.0", "nowhere@1 host@2");
    CHECK(pkg_flat_build(&t.project, &t.source, &t.opts, t.arena, &tree, &proof, &info) ==
          BRISK_ERR_CONFLICT);
    assert_string_equal(proof.items[0],
                        "Because the project depends on nowhere \"1\", which nothing "
                        "can meet: there is no answer.");
    brisk_arena_destroy(t.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_express_conflict), cmocka_unit_test(test_flat),
        cmocka_unit_test(test_nearest_version),  cmocka_unit_test(test_override),
        cmocka_unit_test(test_deeper),           cmocka_unit_test(test_little_memory),
        cmocka_unit_test(test_flat_small),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
