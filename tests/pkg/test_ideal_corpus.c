/*
 * test_ideal_corpus.c -- the trees of real projects against the locks npm 11 wrote for them.
 *
 * Every difference is printed with its path; a bound says how many there may be.  Skips without the
 * corpus.
 */
#include "corpus.h"
#include "made.h"
#include "workload/pkg/ideal.h"
#include "workload/pkg/lock.h"

typedef struct project_case {
    const char *name;
    uint32_t packages_differ_max; /* name@version, as multisets: in one and not in the other */
    uint32_t paths_differ_max;
    uint32_t flags_differ_max;
} project_case;

typedef struct reading {
    char *text;
    pkg_tree tree;
} reading;

static char *file_text(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t capacity = (size_t)4 << 20;
    char *text = malloc(capacity);
    assert_non_null(text);
    *size = fread(text, 1, capacity, file);
    assert_true(*size < capacity);
    (void)fclose(file);
    return text;
}

static void lock_of(const char *project, brisk_arena *arena, reading *ret)
{
    char name[256];
    char path[PATH_MAX];
    (void)snprintf(name, sizeof name, "projects/%s/package-lock.npm11.json", project);
    corpus_need(name, path);
    size_t size = 0;
    ret->text = file_text(path, &size);
    brisk_errinfo info = {0};
    brisk_err err = pkg_lock_read((pkg_text){ret->text, size}, arena, &ret->tree, NULL, &info);
    if (err != BRISK_OK) {
        fail_msg("%s: %s", path, info.text);
    }
}

static pkg_ideal_opts opts_default(void)
{
    pkg_ideal_opts opts = {.pick = {.before_ms = INT64_MAX}};
    assert_true(semver_parse(PKG_TEXT("20.20.2"), 0, &opts.pick.node));
    return opts;
}

static int by_name_version(const void *a, const void *b)
{
    const pkg_manifest *x = (*(pkg_node *const *)a)->manifest;
    const pkg_manifest *y = (*(pkg_node *const *)b)->manifest;
    int order = pkg_text_compare(x->name, y->name);
    return order != 0 ? order : pkg_text_compare(x->version, y->version);
}

static pkg_node **sorted(const pkg_tree *tree, int (*order)(const void *, const void *),
                         uint32_t *count)
{
    pkg_node **nodes = calloc(tree->count + 1, sizeof *nodes);
    assert_non_null(nodes);
    *count = 0;
    for (uint32_t i = 1; i < tree->count; i++) {
        if (tree->nodes[i] != NULL && (tree->nodes[i]->flags & PKG_NODE_LINK) == 0) {
            nodes[(*count)++] = tree->nodes[i];
        }
    }
    qsort(nodes, *count, sizeof *nodes, order);
    return nodes;
}

static void say(const char *what, const pkg_node *node)
{
    print_message("  %s %.*s@%.*s at %.*s\n", what, (int)node->manifest->name.size,
                  node->manifest->name.data, (int)node->manifest->version.size,
                  node->manifest->version.data, (int)node->path.size, node->path.data);
}

/* How many are in one and not in the other; both sorted. */
static uint32_t differences(const pkg_tree *ours, const pkg_tree *theirs,
                            int (*order)(const void *, const void *), uint32_t *common)
{
    uint32_t n = 0;
    uint32_t m = 0;
    uint32_t count = 0;
    pkg_node **a = sorted(ours, order, &n);
    pkg_node **b = sorted(theirs, order, &m);
    *common = 0;
    for (uint32_t i = 0, j = 0; i < n || j < m;) {
        int side = i == n ? 1 : j == m ? -1 : order(&a[i], &b[j]);
        if (side == 0) {
            i++;
            j++;
            (*common)++;
            continue;
        }
        say(side < 0 ? "only ours:" : "only npm's:", side < 0 ? a[i] : b[j]);
        i += side < 0;
        j += side > 0;
        count++;
    }
    free(a);
    free(b);
    return count;
}

static uint32_t flag_differences(const pkg_tree *ours, const pkg_tree *theirs)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < ours->count; i++) {
        const pkg_node *node = ours->nodes[i];
        const pkg_node *other = node != NULL ? pkg_tree_at(theirs, node->path) : NULL;
        if (other != NULL && ((node->flags ^ other->flags) & PKG_NODE_FLAGS_LOCK) != 0) {
            print_message("  flags 0x%x, npm's 0x%x: %.*s\n", node->flags & PKG_NODE_FLAGS_LOCK,
                          other->flags & PKG_NODE_FLAGS_LOCK, (int)node->path.size,
                          node->path.data);
            count++;
        }
    }
    return count;
}

static uint32_t wrong_edges(const pkg_tree *tree)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        const pkg_node *node = tree->nodes[i];
        for (uint32_t e = 0; node != NULL && e < node->edge_count; e++) {
            const pkg_edge *edge = &node->edges[e];
            if (!pkg_edge_is_fine(edge) && !edge->conflicted) {
                print_message("  wrong: %.*s needs %.*s %.*s\n", (int)node->path.size,
                              node->path.data, (int)edge->dep->name.size, edge->dep->name.data,
                              (int)edge->spec.size, edge->spec.data);
                count++;
            }
        }
    }
    return count;
}

static void compare(corpus *all, const project_case *c)
{
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    reading lock;
    lock_of(c->name, arena, &lock);
    pkg_project project = {.folder = PKG_TEXT("/project"), .manifest = lock.tree.root->manifest};
    pkg_source source = corpus_source(all);
    pkg_ideal_opts opts = opts_default();
    pkg_conflict conflict;
    brisk_errinfo info = {0};
    pkg_tree tree;
    brisk_err err = pkg_ideal_build(&project, NULL, &source, &opts, arena, &tree, &conflict, &info);
    if (err != BRISK_OK) {
        fail_msg("%s: %s: %s", c->name, brisk_err_name(err), info.text);
    }
    made_audit(&tree);
    uint32_t common = 0;
    uint32_t packages = differences(&tree, &lock.tree, by_name_version, &common);
    double jaccard = (double)common / (double)(common + packages);
    uint32_t places = 0;
    uint32_t paths = differences(&tree, &lock.tree, made_path_order, &places);
    uint32_t flags = flag_differences(&tree, &lock.tree);
    print_message(
        "%s: %u nodes, %u common, %u packages differ (Jaccard %.5f), %u paths, %u flags\n", c->name,
        tree.live - 1, common, packages, jaccard, paths, flags);
    CHECK_U64(wrong_edges(&tree), ==, 0);
    assert_true(jaccard >= 0.998);
    CHECK_U64(packages, <=, c->packages_differ_max);
    CHECK_U64(paths, <=, c->paths_differ_max);
    CHECK_U64(flags, <=, c->flags_differ_max);
    free(lock.text);
    brisk_arena_destroy(arena);
}

typedef struct counting {
    corpus *all;
    uint32_t count;
} counting;

static brisk_err counting_get(void *ctx, pkg_text name, const pkg_package **ret,
                              brisk_errinfo *info)
{
    counting *c = ctx;
    c->count++;
    return corpus_get(c->all, name, ret, info);
}

/* A lock that npm wrote stays; only what it lacks is asked for: optional ones that do not exist. */
static void keep(corpus *all, const char *name)
{
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    reading lock;
    lock_of(name, arena, &lock);
    pkg_project project = {.folder = PKG_TEXT("/project"), .manifest = lock.tree.root->manifest};
    counting count = {.all = all};
    pkg_source source = {.ctx = &count, .get = counting_get, .want = corpus_want};
    pkg_ideal_opts opts = opts_default();
    pkg_conflict conflict;
    brisk_errinfo info = {0};
    pkg_tree tree;
    CHECK_OK(pkg_ideal_build(&project, &lock.tree, &source, &opts, arena, &tree, &conflict, &info));
    made_audit(&tree);
    uint32_t common = 0;
    CHECK_U64(differences(&tree, &lock.tree, made_path_order, &common), ==, 0);
    CHECK_U64(flag_differences(&tree, &lock.tree), ==, 0);
    CHECK_U64(common, ==, lock.tree.live - 1);
    print_message("%s: %u packages asked for\n", name, count.count);
    CHECK_U64(count.count, <, common / 4 + 30);
    free(lock.text);
    brisk_arena_destroy(arena);
}

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

static void test_project(void **state)
{
    if (all == NULL) {
        print_message("the corpus is missing: skipped\n");
        skip();
    }
    compare(all, *state);
}

static void test_lock_is_kept(void **state)
{
    if (all == NULL) {
        skip();
    }
    keep(all, ((const project_case *)*state)->name);
}

/* npm ends with ERESOLVE: mongoose-unique-validator 1.0.2 wants mongoose 4, the project has 5. */
static void test_impossible_peer(void **state)
{
    (void)state;
    char path[PATH_MAX];
    corpus_need("projects/express-conflict/package.json", path);
    if (all == NULL) {
        skip();
    }
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    size_t size = 0;
    char *text = file_text(path, &size);
    pkg_project project = {.folder = PKG_TEXT("/project")};
    brisk_errinfo info = {0};
    CHECK_OK(pkg_manifest_read((pkg_text){text, size}, path, arena, &project.manifest, &info));
    pkg_source source = corpus_source(all);
    pkg_ideal_opts opts = opts_default();
    pkg_conflict conflict = {0};
    pkg_tree tree;
    assert_int_equal(
        pkg_ideal_build(&project, NULL, &source, &opts, arena, &tree, &conflict, &info),
        BRISK_ERR_CONFLICT);
    print_message("%s\n", info.text);
    assert_true(pkg_text_is(conflict.edge->from->name, "mongoose-unique-validator"));
    assert_true(pkg_text_is(conflict.edge->dep->name, "mongoose"));
    assert_true(pkg_text_is(conflict.current->manifest->version, "5.4.10"));
    assert_true(pkg_text_is(conflict.current_edge->spec, "5.4.10"));
    CHECK_U64(conflict.chain_count, ==, 1);
    opts.legacy_peer_deps = true;
    CHECK_OK(pkg_ideal_build(&project, NULL, &source, &opts, arena, &tree, &conflict, &info));
    CHECK_U64(tree.live, >, 400);
    free(text);
    brisk_arena_destroy(arena);
}

int main(void)
{
    static project_case cases[] = {
        {"vite", 0, 0, 0},
        {"next", 0, 0, 0},
        {"alotta", 0, 0, 0},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_project, &cases[0]),
        cmocka_unit_test_prestate(test_project, &cases[1]),
        cmocka_unit_test_prestate(test_project, &cases[2]),
        cmocka_unit_test_prestate(test_lock_is_kept, &cases[0]),
        cmocka_unit_test_prestate(test_lock_is_kept, &cases[1]),
        cmocka_unit_test_prestate(test_lock_is_kept, &cases[2]),
        cmocka_unit_test(test_impossible_peer),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
