/*
 * test_lock.c -- npm's own locks give the same bytes again; what is written is npm's form; what a
 * hostile lock says is refused with its line.
 */
#include <signal.h>
#include <sys/resource.h>

#include <brisk/file.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"
#include "workload/pkg/lock.h"

typedef struct buffer {
    char *data;
    size_t size;
    size_t capacity;
} buffer;

static brisk_err buffer_write(void *ctx, const char *data, size_t size)
{
    buffer *to = ctx;
    if (to->size + size + 1 > to->capacity) {
        to->capacity = (to->size + size + 1) * 2;
        to->data = realloc(to->data, to->capacity);
        assert_non_null(to->data);
    }
    memcpy(to->data + to->size, data, size);
    to->size += size;
    to->data[to->size] = '\0';
    return BRISK_OK;
}

static brisk_out out_to(buffer *to)
{
    return (brisk_out){.write = buffer_write, .ctx = to};
}

typedef struct loaded {
    brisk_arena *arena;
    pkg_tree tree;
    pkg_lock_format format;
    brisk_errinfo info;
} loaded;

static brisk_err load(pkg_text text, loaded *ret)
{
    *ret = (loaded){0};
    CHECK_OK(brisk_arena_create(NULL, &ret->arena));
    return pkg_lock_read(text, ret->arena, &ret->tree, &ret->format, &ret->info);
}

/* Read and write again: the same text. */
static void check_same(const char *text)
{
    loaded l;
    if (load(pkg_text_of(text), &l) != BRISK_OK) {
        fail_msg("%s", l.info.text);
    }
    buffer to = {0};
    CHECK_OK(pkg_lock_write(&l.tree, &(pkg_lock_opts){.format = l.format}, out_to(&to)));
    assert_string_equal(to.data, text);
    free(to.data);
    brisk_arena_destroy(l.arena);
}

static void check_refused(const char *text, brisk_err err, const char *words)
{
    loaded l;
    brisk_err found = load(pkg_text_of(text), &l);
    if (found != err || strcmp(l.info.text, words) != 0) {
        fail_msg("%s: %s", brisk_err_name(found), l.info.text);
    }
    brisk_arena_destroy(l.arena);
}

/* --- npm's locks --------------------------------------------------------------------------- */

static bool corpus_lock(const char *project, brisk_file_view *ret)
{
    char path[4200];
    brisk_errinfo info;
    const char *corpus = getenv("BRISK_CORPUS");
    (void)snprintf(path, sizeof path, "%s/pkg/projects/%s/package-lock.npm11.json",
                   corpus != NULL ? corpus : BRISK_SOURCE_ROOT "/../shared/corpus", project);
    return brisk_file_view_open(path, PKG_LOCK_BYTES_MAX, ret, &info) == BRISK_OK;
}

static uint32_t count_bad(const pkg_tree *tree)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        const pkg_node *node = tree->nodes[i];
        for (uint32_t j = 0; node != NULL && j < node->edge_count; j++) {
            bad += !pkg_edge_is_fine(&node->edges[j]);
        }
    }
    return bad;
}

static void test_npm_locks_come_back(void **state)
{
    (void)state;
    static const struct {
        const char *project;
        uint32_t nodes; /* with the root */
        uint32_t bad;   /* edges npm itself leaves unsatisfied */
    } cases[] = {{"vite", 81, 0}, {"next", 410, 0}, {"alotta", 1422, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        brisk_file_view view;
        if (!corpus_lock(cases[i].project, &view)) {
            print_message("skipped: the corpus is not there\n");
            skip();
        }
        loaded l;
        pkg_text text = {(const char *)view.data, view.size};
        if (load(text, &l) != BRISK_OK) {
            fail_msg("%s: %s", cases[i].project, l.info.text);
        }
        CHECK_U64(l.tree.count, ==, cases[i].nodes);
        CHECK_U64(count_bad(&l.tree), ==, cases[i].bad);
        buffer to = {0};
        CHECK_OK(pkg_lock_write(&l.tree, &(pkg_lock_opts){.format = l.format}, out_to(&to)));
        assert_int_equal(to.size, view.size);
        assert_memory_equal(to.data, view.data, view.size);
        free(to.data);
        brisk_arena_destroy(l.arena);
        brisk_file_view_close(&view);
    }
}

/* Made by npm 11.19: workspaces, links, bin and funding normalised, an optional peer that is none. */
static void test_npm_workspaces_come_back(void **state)
{
    (void)state;
    brisk_file_view view;
    brisk_errinfo info;
    CHECK_OK(brisk_file_view_open(BRISK_SOURCE_ROOT "/fuzz/corpus/pkg_lock/npm_workspaces.json",
                                  PKG_LOCK_BYTES_MAX, &view, &info));
    loaded l;
    CHECK_OK(load((pkg_text){(const char *)view.data, view.size}, &l));
    CHECK_U64(count_bad(&l.tree), ==, 0);
    CHECK_OK(pkg_tree_set_flags(&l.tree)); /* as npm has them */
    buffer to = {0};
    CHECK_OK(pkg_lock_write(&l.tree, &(pkg_lock_opts){.format = l.format}, out_to(&to)));
    assert_int_equal(to.size, view.size);
    assert_memory_equal(to.data, view.data, view.size);
    free(to.data);
    brisk_arena_destroy(l.arena);
    brisk_file_view_close(&view);
}

/* --- npm's form ---------------------------------------------------------------------------- */

/* Every member there is, in npm's order; made by hand after npm's writer. */
static const char everything[] = "{\n"
                                 "\t\"name\": \"all\",\n"
                                 "\t\"version\": \"1.0.0\",\n"
                                 "\t\"lockfileVersion\": 3,\n"
                                 "\t\"requires\": true,\n"
                                 "\t\"packages\": {\n"
                                 "\t\t\"\": {\n"
                                 "\t\t\t\"name\": \"all\",\n"
                                 "\t\t\t\"version\": \"1.0.0\",\n"
                                 "\t\t\t\"license\": \"MIT\",\n"
                                 "\t\t\t\"workspaces\": [\n"
                                 "\t\t\t\t\"packages/*\"\n"
                                 "\t\t\t],\n"
                                 "\t\t\t\"dependencies\": {\n"
                                 "\t\t\t\t\"7\": \"1.x\",\n"
                                 "\t\t\t\t\"version\": \"*\",\n"
                                 "\t\t\t\t\"b\": \"^1.0.0\",\n"
                                 "\t\t\t\t\"Bz\": \"npm:b@1\",\n"
                                 "\t\t\t\t\"c\": \"file:../outside\"\n"
                                 "\t\t\t},\n"
                                 "\t\t\t\"devDependencies\": {\n"
                                 "\t\t\t\t\"d\": \"2\"\n"
                                 "\t\t\t}\n"
                                 "\t\t},\n"
                                 "\t\t\"../outside\": {\n"
                                 "\t\t\t\"name\": \"c\",\n"
                                 "\t\t\t\"version\": \"0.0.1\"\n"
                                 "\t\t},\n"
                                 "\t\t\"node_modules/@w/one\": {\n"
                                 "\t\t\t\"resolved\": \"packages/one\",\n"
                                 "\t\t\t\"link\": true\n"
                                 "\t\t},\n"
                                 "\t\t\"node_modules/7\": {\n"
                                 "\t\t\t\"version\": \"1.2.3\",\n"
                                 "\t\t\t\"resolved\": \"https://registry.test/7/-/7-1.2.3.tgz\",\n"
                                 "\t\t\t\"integrity\": \"sha512-AA==\"\n"
                                 "\t\t},\n"
                                 "\t\t\"node_modules/b\": {\n"
                                 "\t\t\t\"version\": \"1.0.1+build\",\n"
                                 "\t\t\t\"integrity\": \"sha1-BB\",\n"
                                 "\t\t\t\"bundleDependencies\": [\n"
                                 "\t\t\t\t\"inner\"\n"
                                 "\t\t\t],\n"
                                 "\t\t\t\"cpu\": [\n"
                                 "\t\t\t\t\"x64\",\n"
                                 "\t\t\t\t\"!arm\"\n"
                                 "\t\t\t],\n"
                                 "\t\t\t\"deprecated\": \"use \\\"c\\\"\\nnow\",\n"
                                 "\t\t\t\"funding\": [\n"
                                 "\t\t\t\t\"https://funding.test/a\",\n"
                                 "\t\t\t\t{\n"
                                 "\t\t\t\t\t\"type\": \"x\",\n"
                                 "\t\t\t\t\t\"url\": \"y\"\n"
                                 "\t\t\t\t}\n"
                                 "\t\t\t],\n"
                                 "\t\t\t\"hasInstallScript\": true,\n"
                                 "\t\t\t\"hasShrinkwrap\": true,\n"
                                 "\t\t\t\"libc\": [\n"
                                 "\t\t\t\t\"musl\"\n"
                                 "\t\t\t],\n"
                                 "\t\t\t\"license\": \"MIT\",\n"
                                 "\t\t\t\"os\": [\n"
                                 "\t\t\t\t\"linux\"\n"
                                 "\t\t\t],\n"
                                 "\t\t\t\"dependencies\": {\n"
                                 "\t\t\t\t\"inner\": \"*\"\n"
                                 "\t\t\t},\n"
                                 "\t\t\t\"acceptDependencies\": {\n"
                                 "\t\t\t\t\"inner\": \"2\"\n"
                                 "\t\t\t},\n"
                                 "\t\t\t\"bin\": {\n"
                                 "\t\t\t\t\"a\": \"bin/a.js\",\n"
                                 "\t\t\t\t\"b\": \"b.js\"\n"
                                 "\t\t\t},\n"
                                 "\t\t\t\"engines\": {\n"
                                 "\t\t\t\t\"node\": \">=18\",\n"
                                 "\t\t\t\t\"npm\": \"*\"\n"
                                 "\t\t\t},\n"
                                 "\t\t\t\"optionalDependencies\": {\n"
                                 "\t\t\t\t\"gone\": \"^3\"\n"
                                 "\t\t\t},\n"
                                 "\t\t\t\"peerDependencies\": {\n"
                                 "\t\t\t\t\"d\": \"*\",\n"
                                 "\t\t\t\t\"p\": \"*\"\n"
                                 "\t\t\t},\n"
                                 "\t\t\t\"peerDependenciesMeta\": {\n"
                                 "\t\t\t\t\"never-a-peer\": {\n"
                                 "\t\t\t\t\t\"optional\": true\n"
                                 "\t\t\t\t},\n"
                                 "\t\t\t\t\"p\": {\n"
                                 "\t\t\t\t\t\"optional\": true\n"
                                 "\t\t\t\t}\n"
                                 "\t\t\t}\n"
                                 "\t\t},\n"
                                 "\t\t\"node_modules/b/node_modules/inner\": {\n"
                                 "\t\t\t\"version\": \"1.0.0\",\n"
                                 "\t\t\t\"engines\": [\n"
                                 "\t\t\t\t\"node\"\n"
                                 "\t\t\t],\n"
                                 "\t\t\t\"inBundle\": true,\n"
                                 "\t\t\t\"license\": [\n"
                                 "\t\t\t\t\"MIT\"\n"
                                 "\t\t\t]\n"
                                 "\t\t},\n"
                                 "\t\t\"node_modules/Bz\": {\n"
                                 "\t\t\t\"name\": \"b\",\n"
                                 "\t\t\t\"version\": \"1.0.0\",\n"
                                 "\t\t\t\"integrity\": \"sha512-CC\"\n"
                                 "\t\t},\n"
                                 "\t\t\"node_modules/c\": {\n"
                                 "\t\t\t\"resolved\": \"../outside\",\n"
                                 "\t\t\t\"link\": true\n"
                                 "\t\t},\n"
                                 "\t\t\"node_modules/d\": {\n"
                                 "\t\t\t\"version\": \"2.0.0\",\n"
                                 "\t\t\t\"integrity\": \"sha512-DD\",\n"
                                 "\t\t\t\"devOptional\": true,\n"
                                 "\t\t\t\"peer\": true\n"
                                 "\t\t},\n"
                                 "\t\t\"node_modules/version\": {\n"
                                 "\t\t\t\"version\": \"9.0.0\",\n"
                                 "\t\t\t\"dev\": true,\n"
                                 "\t\t\t\"optional\": true\n"
                                 "\t\t},\n"
                                 "\t\t\"node_modules/x\": {\n"
                                 "\t\t\t\"version\": \"1.0.0\",\n"
                                 "\t\t\t\"extraneous\": true\n"
                                 "\t\t},\n"
                                 "\t\t\"packages/one\": {\n"
                                 "\t\t\t\"name\": \"@w/one\",\n"
                                 "\t\t\t\"version\": \"1.0.0\",\n"
                                 "\t\t\t\"devDependencies\": {\n"
                                 "\t\t\t\t\"d\": \"2\"\n"
                                 "\t\t\t}\n"
                                 "\t\t}\n"
                                 "\t}\n"
                                 "}\n";

static void test_every_member(void **state)
{
    (void)state;
    check_same(everything);
    loaded l;
    CHECK_OK(load(pkg_text_of(everything), &l));
    CHECK_U64(count_bad(&l.tree), ==, 0);
    const pkg_node *one = pkg_tree_at(&l.tree, PKG_TEXT("packages/one"));
    assert_non_null(one);
    assert_true((one->flags & PKG_NODE_WORKSPACE) != 0);
    assert_true(pkg_node_is_project(one));
    const pkg_node *alias = pkg_node_child(l.tree.root, PKG_TEXT("Bz"));
    assert_true(alias != NULL && pkg_text_is(alias->manifest->name, "b"));
    const pkg_node *link = pkg_node_child(l.tree.root, PKG_TEXT("@w/one"));
    assert_true(link != NULL && link->target == one);
    const pkg_node *b = pkg_node_child(l.tree.root, PKG_TEXT("b"));
    assert_true(b != NULL && pkg_text_is(b->manifest->engine_node, ">=18"));
    assert_true((b->manifest->flags & PKG_DEPRECATED) != 0);
    brisk_arena_destroy(l.arena);
}

static void test_forms(void **state)
{
    (void)state;
    check_same("{\r\n    \"name\": \"x\",\r\n    \"lockfileVersion\": 3,\r\n    \"requires\": true,"
               "\r\n    \"packages\": {}\r\n}\r\n");
    check_same("{\n  \"name\": \"folder\",\n  \"lockfileVersion\": 3,\n  \"requires\": true,\n"
               "  \"packages\": {\n    \"\": {\n      \"dependencies\": {\n        \"a\": \"1\"\n"
               "      }\n    },\n    \"node_modules/a\": {\n      \"version\": \"1.0.0\",\n"
               "      \"resolved\": \"https://registry.test/a.tgz\"\n    }\n  }\n}\n");
    /* A link to the project itself, as npm writes "file:."; the root says nothing else. */
    check_same("{\n  \"name\": \"x\",\n  \"lockfileVersion\": 3,\n  \"requires\": true,\n"
               "  \"packages\": {\n    \"node_modules/x\": {\n      \"resolved\": \"\",\n"
               "      \"link\": true\n    }\n  }\n}\n");
}

/* What a manifest of a registry says is made what npm makes of it. */
static void test_normalised(void **state)
{
    (void)state;
    loaded l;
    CHECK_OK(
        load(PKG_TEXT("{\"lockfileVersion\":2,\"packages\":{\"\":{\"dependencies\":{\"a\":\"1\"}"
                      "},\"node_modules/a\":{\"version\":\"1.0.0\",\"bin\":\"./cli.js\","
                      "\"funding\":\"https://f.test\",\"engines\":{},\"os\":[],"
                      "\"license\":{\"type\":\"BSD\",\"url\":\"u\"},\"deprecated\":\"\","
                      "\"resolved\":\"https://registry.test/a.tgz\","
                      "\"dependencies\":{\"o\":\"1\",\"p\":\"1\"},"
                      "\"optionalDependencies\":{\"o\":\"2\"},\"v\\u0065rsion\":\"1.5.0\"}},"
                      "\"dependencies\":{\"a\":{}}}"),
             &l));
    buffer to = {0};
    pkg_lock_opts opts = {.omit_resolved = true, .format.name = PKG_TEXT("folder")};
    CHECK_OK(pkg_lock_write(&l.tree, &opts, out_to(&to)));
    assert_string_equal(
        to.data,
        "{\n  \"name\": \"folder\",\n  \"lockfileVersion\": 3,\n  \"requires\": true,\n"
        "  \"packages\": {\n    \"\": {\n      \"dependencies\": {\n        \"a\": \"1\"\n"
        "      }\n    },\n    \"node_modules/a\": {\n      \"version\": \"1.5.0\",\n"
        "      \"license\": \"BSD\",\n"
        "      \"dependencies\": {\n        \"p\": \"1\"\n      },\n"
        "      \"bin\": {\n        \"a\": \"cli.js\"\n      },\n"
        "      \"funding\": {\n        \"url\": \"https://f.test\"\n      },\n"
        "      \"optionalDependencies\": {\n        \"o\": \"2\"\n      }\n    }\n  }\n}\n");
    free(to.data);
    brisk_arena_destroy(l.arena);
}

/* --- hostile locks ------------------------------------------------------------------------- */

#define PACKAGES(text) "{\"lockfileVersion\": 3,\n\"packages\": {\n" text "}}"

static void test_refused(void **state)
{
    (void)state;
    check_refused("", BRISK_ERR_CORRUPT, "line 1, column 1: an object is expected");
    check_refused(
        "{}", BRISK_ERR_CORRUPT,
        "line 1, column 1: no package-lock.json: \"lockfileVersion\" and \"packages\" are "
        "what it must have");
    check_refused("{\n\"lockfileVersion\": 1}", BRISK_ERR_UNSUPPORTED,
                  "line 2, column 20: lockfileVersion 1 (npm 6) cannot be read: `npm install "
                  "--package-lock-only` of npm 7 or later makes it version 3");
    check_refused("{\"lockfileVersion\": 4}", BRISK_ERR_UNSUPPORTED,
                  "line 1, column 21: a lockfileVersion that is not known; 2 and 3 can be read");
    check_refused(PACKAGES("\"node_modules/a\": {\"version\": 5}"), BRISK_ERR_CORRUPT,
                  "line 3, column 31: a text in quotes is expected");
    check_refused(PACKAGES("\"node_modules/a\": {},\n\"node_modules/a\": {}"), BRISK_ERR_CORRUPT,
                  "line 4, column 1: the second entry for the path node_modules/a");
    check_refused(PACKAGES("\"node_modules/a/node_modules/b\": {}"), BRISK_ERR_CORRUPT,
                  "line 3, column 1: a package in a folder that the lock has not: node_modules/a");
    check_refused(PACKAGES("\"a\": {},\n\"node_modules/l\": {\"link\": true, \"resolved\": \"b\"}"),
                  BRISK_ERR_CORRUPT,
                  "line 4, column 1: a link to a folder that the lock has not: b");
    check_refused(
        PACKAGES("\"node_modules/a\": {\"link\": true, \"resolved\": \"node_modules/b\"},"
                 "\"node_modules/b\": {\"link\": true, \"resolved\": \"node_modules/a\"}"),
        BRISK_ERR_CORRUPT, "line 3, column 1: a link to another link: node_modules/b");
    check_refused(PACKAGES("\"l\": {\"link\": true, \"resolved\": \"x\"}"), BRISK_ERR_CORRUPT,
                  "line 3, column 1: a link that is not in a node_modules");
    check_refused(PACKAGES("\"x\": {}, \"node_modules/x\": {\"link\": true}"), BRISK_ERR_CORRUPT,
                  "line 3, column 10: a link without \"resolved\": where it leads is not said");
    check_refused(PACKAGES("\"a\": {}, \"node_modules/l\": {\"link\": true, \"resolved\": \"a\"},"
                           "\"node_modules/l/node_modules/x\": {}"),
                  BRISK_ERR_CORRUPT,
                  "line 3, column 60: a package in a link; it belongs where that leads: "
                  "node_modules/l");
}

static void test_paths_that_cannot_be(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "/etc",
        "a/",
        "a//b",
        "a/./b",
        "a/../b",
        "../a/../b",
        "node_modules",
        "node_modules/",
        "node_modules/..",
        "node_modules/../x",
        "node_modules/node_modules/a",
        "node_modules/@scope",
        "node_modules/a/b",
        "node_modules/@s/a/b",
        "a/node_modules",
        "node_modules/a\\u0001",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[300];
        (void)snprintf(text, sizeof text, PACKAGES("\"%s\": {\"version\": \"1.0.0\"}"), bad[i]);
        loaded l;
        if (load(pkg_text_of(text), &l) != BRISK_ERR_CORRUPT ||
            strncmp(l.info.text, "line 3, column 1: a path ", 25) != 0) {
            fail_msg("%s: %s", bad[i], l.info.text);
        }
        brisk_arena_destroy(l.arena);
    }
}

/* Deep nesting, a path too long, and very many packages. */
static void test_sizes(void **state)
{
    (void)state;
    buffer to = {0};
    (void)buffer_write(&to, "{\"lockfileVersion\":3,\"packages\":{\"", 34);
    for (int i = 0; i < 300; i++) {
        (void)buffer_write(&to, i == 0 ? "node_modules/a" : "/node_modules/a", i == 0 ? 14 : 15);
    }
    (void)buffer_write(&to, "\":{}}}", 6);
    loaded l;
    assert_int_equal(load((pkg_text){to.data, to.size}, &l), BRISK_ERR_CORRUPT);
    assert_string_equal(l.info.text, "line 1, column 34: a path longer than 4096 bytes");
    brisk_arena_destroy(l.arena);
    to.size = 0;
    enum { MANY = 20000 };
    (void)buffer_write(&to, "{\"lockfileVersion\":3,\"packages\":{", 33);
    for (int i = MANY; i > 0; i--) { /* from the last to the first */
        char entry[100];
        int size = snprintf(entry, sizeof entry, "\"node_modules/p%06d\":{\"version\":\"1.0.0\"}%s",
                            i, i > 1 ? "," : "}}");
        (void)buffer_write(&to, entry, (size_t)size);
    }
    CHECK_OK(load((pkg_text){to.data, to.size}, &l));
    CHECK_U64(l.tree.count, ==, MANY + 1);
    brisk_arena_destroy(l.arena);
    free(to.data);
}

/* Every text that is cut short, and every byte that is another one, ends well. */
static void test_damaged_texts(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    char text[sizeof everything];
    for (size_t size = 0; size < sizeof everything - 2; size += 1 + check_random(&seed) % 5) {
        loaded l;
        assert_int_equal(load((pkg_text){everything, size}, &l), BRISK_ERR_CORRUPT);
        brisk_arena_destroy(l.arena);
    }
    for (int i = 0; i < 2000; i++) {
        memcpy(text, everything, sizeof text);
        text[check_random(&seed) % (sizeof text - 1)] = (char)check_random(&seed);
        loaded l;
        if (load((pkg_text){text, sizeof text - 1}, &l) == BRISK_OK) {
            buffer to = {0};
            CHECK_OK(pkg_lock_write(&l.tree, NULL, out_to(&to)));
            free(to.data);
        }
        brisk_arena_destroy(l.arena);
    }
}

/* --- memory and files ---------------------------------------------------------------------- */

static brisk_err both_with(const brisk_alloc *alloc)
{
    brisk_arena *arena;
    brisk_err err =
        brisk_arena_create(&(brisk_arena_opts){.alloc = alloc, .chunk_bytes = 4096}, &arena);
    if (err != BRISK_OK) {
        return err;
    }
    pkg_tree tree;
    pkg_lock_format format;
    brisk_errinfo info;
    err = pkg_lock_read(pkg_text_of(everything), arena, &tree, &format, &info);
    if (err == BRISK_OK) {
        buffer to = {0};
        err = pkg_lock_write(&tree, &(pkg_lock_opts){.format = format}, out_to(&to));
        if (err == BRISK_OK) {
            assert_string_equal(to.data, everything);
        }
        free(to.data);
    }
    brisk_arena_destroy(arena);
    return err;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t fail_after = 0;
    for (; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        err = both_with(&fault.base);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    assert_int_equal(err, BRISK_OK);
    CHECK_U64(fail_after, >, 8);
}

static void test_saved_beside_and_renamed(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "real.json");
    const char *link = temp_dir_path(dir, "package-lock.json");
    temp_write_text(path, "old");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("real.json", link), 0);
    loaded l;
    brisk_errinfo info = {0};
    CHECK_OK(load(pkg_text_of(everything), &l));
    pkg_lock_opts opts = {.format = l.format};
    CHECK_OK(pkg_lock_save(&l.tree, &opts, link, &info));
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_true(temp_holds(path, everything, sizeof everything - 1));
    assert_int_equal(temp_count(dir->path), 2);
    path = temp_dir_path(dir, "none/package-lock.json");
    assert_int_equal(pkg_lock_save(&l.tree, &opts, path, &info), BRISK_ERR_NOT_FOUND);
    assert_non_null(strstr(info.text, "none"));
    brisk_arena_destroy(l.arena);
}

/* No room: the old lock is as it was and nothing lies beside it. */
static void test_old_lock_survives_a_full_disk(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "package-lock.json");
    temp_write_text(path, "old");
    loaded l;
    brisk_errinfo info = {0};
    CHECK_OK(load(pkg_text_of(everything), &l));
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit small = {.rlim_cur = 1000, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    brisk_err err = pkg_lock_save(&l.tree, NULL, path, &info);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, handler);
    assert_true(err != BRISK_OK);
    assert_non_null(strstr(info.text, "the old one is as it was"));
    assert_true(temp_holds(path, "old", 3));
    assert_int_equal(temp_count(dir->path), 1);
    brisk_arena_destroy(l.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npm_locks_come_back),
        cmocka_unit_test(test_npm_workspaces_come_back),
        cmocka_unit_test(test_every_member),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_normalised),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_paths_that_cannot_be),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_damaged_texts),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_saved_beside_and_renamed),
        cmocka_unit_test(test_old_lock_survives_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
