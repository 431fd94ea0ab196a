/* test_tree.c -- folders come and go; every edge always points to what a lookup finds. */
#include "made.h"
#include "support/fault_alloc.h"

static brisk_arena *arena_new(void)
{
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    return arena;
}

static pkg_node *add(pkg_tree *tree, pkg_node *parent, const pkg_manifest *m)
{
    pkg_node *node = NULL;
    CHECK_OK(pkg_tree_add(tree, parent, m->name, m, &node));
    CHECK_OK(pkg_tree_load_edges(tree, node));
    return node;
}

static const pkg_edge *find_edge(const pkg_node *node, const char *name)
{
    for (uint32_t i = 0; i < node->edge_count; i++) {
        if (pkg_text_is(node->edges[i].dep->name, name)) {
            return &node->edges[i];
        }
    }
    return NULL;
}

/* One that must be there. */
static const pkg_edge *edge_of(const pkg_node *node, const char *name)
{
    static const pkg_edge none = {.state = PKG_EDGE_MISSING};
    const pkg_edge *edge = find_edge(node, name);
    assert_non_null(edge);
    return edge != NULL ? edge : &none;
}

static void test_lookup_walks_up(void **state)
{
    (void)state;
    brisk_arena *arena = arena_new();
    pkg_tree tree;
    CHECK_OK(pkg_tree_init(&tree, arena, made(arena, "root@1.0.0", "a@1 b@2 dev:t@1")));
    CHECK_OK(pkg_tree_load_edges(&tree, tree.root));
    pkg_node *a = add(&tree, tree.root, made(arena, "a@1.0.0", "b@^1.0.0 peer:c@1 dev:t@9"));
    const pkg_edge *edge = edge_of(a, "b");
    assert_int_equal(edge->state, PKG_EDGE_MISSING);
    assert_null(find_edge(a, "t")); /* only roots and folders need what is for development */
    pkg_node *b2 = add(&tree, tree.root, made(arena, "b@2.0.0", ""));
    assert_ptr_equal(edge->to, b2);
    assert_int_equal(edge->state, PKG_EDGE_INVALID);
    assert_int_equal(edge_of(tree.root, "b")->state, PKG_EDGE_VALID);
    pkg_node *b1 = add(&tree, a, made(arena, "b@1.5.0", ""));
    assert_ptr_equal(edge->to, b1);
    assert_int_equal(edge->state, PKG_EDGE_VALID);
    pkg_node *c = add(&tree, a, made(arena, "c@1.0.0", ""));
    assert_int_equal(edge_of(a, "c")->state, PKG_EDGE_PEER_LOCAL);
    assert_string_equal(made_text(arena, &tree), "a@1.0.0 a/b@1.5.0 a/c@1.0.0 b@2.0.0");
    assert_true(pkg_text_is(b1->path, "node_modules/a/node_modules/b"));
    made_audit(&tree);
    pkg_tree_remove(&tree, b1);
    assert_ptr_equal(edge->to, b2);
    pkg_tree_remove(&tree, c);
    pkg_tree_remove(&tree, c); /* twice is once */
    made_audit(&tree);
    assert_null(pkg_node_child(a, PKG_TEXT("c")));
    brisk_arena_destroy(arena);
}

static void test_strongest_dependency_counts(void **state)
{
    (void)state;
    brisk_arena *arena = arena_new();
    pkg_tree tree;
    CHECK_OK(pkg_tree_init(&tree, arena,
                           made(arena, "r@1.0.0", "a@1 opt:a@2 peer:b@1 dev:b@2 popt:c@1 c@3")));
    CHECK_OK(pkg_tree_load_edges(&tree, tree.root));
    CHECK_U64(tree.root->edge_count, ==, 3);
    assert_int_equal(edge_of(tree.root, "a")->dep->kind, PKG_DEP_OPTIONAL);
    assert_int_equal(edge_of(tree.root, "b")->dep->kind, PKG_DEP_DEV);
    assert_int_equal(edge_of(tree.root, "c")->dep->kind, PKG_DEP_PROD);
    tree.legacy_peers = true;
    pkg_node *a = add(&tree, tree.root, made(arena, "a@1.0.0", "peer:b@1 popt:c@1 d@1"));
    CHECK_U64(a->edge_count, ==, 1);
    brisk_arena_destroy(arena);
}

/* "*" takes even a pre-release; a range only where it names one. */
static void test_what_specs_accept(void **state)
{
    (void)state;
    brisk_arena *arena = arena_new();
    pkg_tree tree;
    CHECK_OK(pkg_tree_init(&tree, arena,
                           made(arena, "r@1.0.0", "a@* b@>=1 c@latest d@npm:x@^2 e@npm:x@3 A@*")));
    CHECK_OK(pkg_tree_load_edges(&tree, tree.root));
    add(&tree, tree.root, made(arena, "b@1.1.0-beta.1", ""));
    pkg_node *c = add(&tree, tree.root, made(arena, "c@1.0.0", ""));
    pkg_node *node = NULL;
    CHECK_OK(pkg_tree_add(&tree, tree.root, PKG_TEXT("d"), made(arena, "x@2.1.0", ""), &node));
    CHECK_OK(pkg_tree_add(&tree, tree.root, PKG_TEXT("e"), made(arena, "x@2.1.0", ""), &node));
    add(&tree, tree.root, made(arena, "a@1.0.0-rc.1", ""));
    assert_int_equal(edge_of(tree.root, "a")->state, PKG_EDGE_VALID);
    assert_int_equal(edge_of(tree.root, "b")->state, PKG_EDGE_INVALID);
    assert_int_equal(edge_of(tree.root, "c")->state, PKG_EDGE_VALID);
    assert_int_equal(edge_of(tree.root, "d")->state, PKG_EDGE_VALID);
    assert_int_equal(edge_of(tree.root, "e")->state, PKG_EDGE_INVALID);
    /* On some file systems "a" and "A" are one folder: it is found, and is not what was asked. */
    assert_int_equal(edge_of(tree.root, "A")->state, PKG_EDGE_INVALID);
    c->resolved = PKG_TEXT("file:c.tgz"); /* a tag names something of a registry */
    pkg_edge_judge((pkg_edge *)(uintptr_t)edge_of(tree.root, "c"));
    assert_int_equal(edge_of(tree.root, "c")->state, PKG_EDGE_INVALID);
    brisk_arena_destroy(arena);
}

static void test_folders_and_links(void **state)
{
    (void)state;
    brisk_arena *arena = arena_new();
    pkg_tree tree;
    CHECK_OK(pkg_tree_init(&tree, arena, made(arena, "r@1.0.0", "w@file:packages/w")));
    CHECK_OK(pkg_tree_load_edges(&tree, tree.root));
    pkg_node *w = NULL;
    pkg_node *inner = NULL;
    pkg_node *outside = NULL;
    pkg_node *link = NULL;
    CHECK_OK(pkg_tree_add_folder(&tree, PKG_TEXT("packages/w/inner"), PKG_TEXT("inner"),
                                 made(arena, "inner@1.0.0", "a@1 w@file:.."), &inner));
    CHECK_OK(pkg_tree_add_folder(&tree, PKG_TEXT("packages/w"), PKG_TEXT("w"),
                                 made(arena, "w@1.0.0", "a@1 dev:t@1"), &w));
    CHECK_OK(pkg_tree_add_folder(&tree, PKG_TEXT("../other"), PKG_TEXT("other"),
                                 made(arena, "other@1.0.0", "a@1"), &outside));
    assert_ptr_equal(inner->fs_parent, w);
    assert_ptr_equal(w->fs_parent, tree.root);
    assert_null(outside->fs_parent);
    CHECK_OK(pkg_tree_load_edges(&tree, inner));
    CHECK_OK(pkg_tree_load_edges(&tree, w));
    CHECK_OK(pkg_tree_load_edges(&tree, outside));
    CHECK_OK(pkg_tree_add_link(&tree, tree.root, PKG_TEXT("w"), w, &link));
    assert_int_equal(edge_of(tree.root, "w")->state, PKG_EDGE_VALID);
    assert_int_equal(edge_of(inner, "w")->state, PKG_EDGE_VALID);
    assert_non_null(edge_of(w, "t"));
    pkg_node *a = add(&tree, tree.root, made(arena, "a@1.0.0", ""));
    assert_ptr_equal(edge_of(inner, "a")->to, a);
    assert_null(edge_of(outside, "a")->to);
    pkg_node *nearer = add(&tree, w, made(arena, "a@1.1.0", ""));
    assert_ptr_equal(edge_of(inner, "a")->to, nearer);
    made_audit(&tree);
    assert_ptr_equal(pkg_tree_at(&tree, PKG_TEXT("packages/w")), w);
    assert_string_equal(made_text(arena, &tree),
                        "../other@1.0.0 a@1.0.0 w->packages/w packages/w@1.0.0 "
                        "packages/w/inner@1.0.0 packages/w/a@1.1.0");
    brisk_arena_destroy(arena);
}

static void test_replace_keeps_children(void **state)
{
    (void)state;
    brisk_arena *arena = arena_new();
    pkg_tree tree;
    CHECK_OK(pkg_tree_init(&tree, arena, made(arena, "r@1.0.0", "a@2 b@1")));
    CHECK_OK(pkg_tree_load_edges(&tree, tree.root));
    pkg_node *old = add(&tree, tree.root, made(arena, "a@1.0.0", "b@1"));
    pkg_node *b = add(&tree, old, made(arena, "b@1.0.0", "a@1"));
    pkg_node *node = NULL;
    CHECK_OK(pkg_node_new(&tree, PKG_TEXT("a"), made(arena, "a@2.0.0", "c@1"), &node));
    CHECK_OK(pkg_tree_replace(&tree, old, node));
    assert_ptr_equal(b->parent, node);
    assert_ptr_equal(edge_of(tree.root, "a")->to, node);
    assert_int_equal(edge_of(tree.root, "a")->state, PKG_EDGE_VALID);
    assert_int_equal(edge_of(b, "a")->state, PKG_EDGE_INVALID);
    assert_null(old->in);
    made_audit(&tree);
    brisk_arena_destroy(arena);
}

static void flags_are(const pkg_tree *tree, const char *path, uint32_t flags)
{
    const pkg_node *node = pkg_tree_at(tree, pkg_text_of(path));
    assert_non_null(node);
    if ((node->flags & PKG_NODE_FLAGS_LOCK) != flags) {
        fail_msg("%s has flags 0x%x, expected 0x%x", path, node->flags & PKG_NODE_FLAGS_LOCK,
                 flags);
    }
}

static void test_flags(void **state)
{
    (void)state;
    brisk_arena *arena = arena_new();
    pkg_tree tree;
    CHECK_OK(pkg_tree_init(&tree, arena,
                           made(arena, "r@1.0.0", "prod@1 dev:dev@1 opt:opt@1 peer:peer@1")));
    CHECK_OK(pkg_tree_load_edges(&tree, tree.root));
    add(&tree, tree.root, made(arena, "prod@1.0.0", "shared@1 popt:maybe@1 peer:host@1"));
    add(&tree, tree.root, made(arena, "dev@1.0.0", "shared@1 both@1 tool@1 opt:devopt@1"));
    add(&tree, tree.root, made(arena, "opt@1.0.0", "both@1 fast@1"));
    const char *const others[] = {"peer@1.0.0", "shared@1.0.0", "maybe@1.0.0",
                                  "host@1.0.0", "both@1.0.0",   "tool@1.0.0",
                                  "fast@1.0.0", "left@1.0.0",   "devopt@1.0.0"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        add(&tree, tree.root, made(arena, others[i], ""));
    }
    CHECK_OK(pkg_tree_set_flags(&tree));
    flags_are(&tree, "", 0);
    flags_are(&tree, "node_modules/prod", 0);
    flags_are(&tree, "node_modules/shared", 0);
    flags_are(&tree, "node_modules/dev", PKG_NODE_DEV);
    flags_are(&tree, "node_modules/tool", PKG_NODE_DEV);
    flags_are(&tree, "node_modules/devopt", PKG_NODE_DEV | PKG_NODE_OPTIONAL);
    flags_are(&tree, "node_modules/opt", PKG_NODE_OPTIONAL);
    flags_are(&tree, "node_modules/fast", PKG_NODE_OPTIONAL);
    flags_are(&tree, "node_modules/both", PKG_NODE_DEV_OPTIONAL);
    flags_are(&tree, "node_modules/peer", PKG_NODE_PEER);
    flags_are(&tree, "node_modules/host", PKG_NODE_PEER);
    flags_are(&tree, "node_modules/maybe", PKG_NODE_PEER | PKG_NODE_OPTIONAL | PKG_NODE_EXTRANEOUS);
    flags_are(&tree, "node_modules/left",
              PKG_NODE_PEER | PKG_NODE_OPTIONAL | PKG_NODE_DEV | PKG_NODE_DEV_OPTIONAL |
                  PKG_NODE_EXTRANEOUS);
    brisk_arena_destroy(arena);
}

/* Property: whatever comes and goes, all invariants hold. */
static void test_random_trees(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    enum { ROUNDS = 60, STEPS = 80, NAMES = 6 };
    for (int round = 0; round < ROUNDS; round++) {
        brisk_arena *arena = arena_new();
        pkg_tree tree;
        CHECK_OK(pkg_tree_init(&tree, arena, made(arena, "r@1.0.0", "n0@1 n1@2 n2@* n3@1 N4@1")));
        CHECK_OK(pkg_tree_load_edges(&tree, tree.root));
        for (int step = 0; step < STEPS; step++) {
            pkg_node *node = tree.nodes[check_random(&seed) % tree.count];
            uint64_t what = check_random(&seed) % 10;
            if (node == NULL || node->depth > 4) {
                continue;
            }
            char id[32];
            char deps[64];
            (void)snprintf(id, sizeof id, "%c%d@%d.0.0", check_random(&seed) % 9 == 0 ? 'N' : 'n',
                           (int)(check_random(&seed) % NAMES), 1 + (int)(check_random(&seed) % 2));
            (void)snprintf(deps, sizeof deps, "n%d@1 peer:n%d@2 opt:n%d@*",
                           (int)(check_random(&seed) % NAMES), (int)(check_random(&seed) % NAMES),
                           (int)(check_random(&seed) % NAMES));
            if (what < 6) {
                add(&tree, node, made(arena, id, deps));
            } else if (what < 8) {
                pkg_tree_remove(&tree, node);
            } else if (node->parent != NULL) {
                pkg_node *new_node = NULL;
                CHECK_OK(pkg_node_new(&tree, node->name, made(arena, id, deps), &new_node));
                CHECK_OK(pkg_tree_replace(&tree, node, new_node));
            }
            made_audit(&tree);
        }
        CHECK_OK(pkg_tree_set_flags(&tree));
        brisk_arena_destroy(arena);
    }
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    brisk_arena *arena = arena_new();
    pkg_tree tree;
    const pkg_manifest *m = made(arena, "a@1.0.0", "a@2");
    CHECK_OK(pkg_tree_init(&tree, arena, m));
    pkg_node *node = tree.root;
    brisk_err err = BRISK_OK;
    uint32_t depth = 0;
    for (; err == BRISK_OK && depth <= PKG_TREE_DEPTH_MAX; depth++) {
        err = pkg_tree_add(&tree, node, m->name, m, &node);
    }
    assert_int_equal(err, BRISK_ERR_LIMIT);
    CHECK_U64(node->depth, ==, PKG_TREE_DEPTH_MAX);
    made_audit(&tree);
    pkg_tree_remove(&tree, tree.root->children[0]);
    CHECK_U64(tree.live, ==, 1);
    made_audit(&tree);
    brisk_arena_destroy(arena);
}

static brisk_err build_some(pkg_tree *tree, brisk_arena *arena, const pkg_manifest *const m[4])
{
    brisk_err err = pkg_tree_init(tree, arena, m[0]);
    err = err == BRISK_OK ? pkg_tree_load_edges(tree, tree->root) : err;
    for (int i = 0; i < 300 && err == BRISK_OK; i++) {
        pkg_node *node = NULL;
        err = pkg_tree_add(tree, i % 3 == 0 ? tree->root : tree->nodes[i / 2], m[1 + i % 3]->name,
                           m[1 + i % 3], &node);
        err = err == BRISK_OK ? pkg_tree_load_edges(tree, node) : err;
        if (err == BRISK_OK && tree->nodes[i / 2] == NULL) {
            break;
        }
    }
    return err == BRISK_OK ? pkg_tree_set_flags(tree) : err;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_arena *steady = arena_new();
    const pkg_manifest *const m[4] = {
        made(steady, "r@1.0.0", "a@1 b@1"), made(steady, "a@1.0.0", "b@1 c@npm:x@1"),
        made(steady, "b@1.0.0", "c@tag"), made(steady, "c@1.0.0", "a@2")};
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t tries = 0;
    for (; err == BRISK_ERR_NOMEM; tries++) {
        fault_alloc fault;
        fault_alloc_init(&fault, tries);
        brisk_arena *arena = NULL;
        err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 4096, .alloc = &fault.base},
                                 &arena);
        if (err == BRISK_OK) {
            pkg_tree tree;
            err = build_some(&tree, arena, m);
        }
        brisk_arena_destroy(arena);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    CHECK_U64(tries, >, 5);
    brisk_arena_destroy(steady);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup_walks_up),
        cmocka_unit_test(test_strongest_dependency_counts),
        cmocka_unit_test(test_what_specs_accept),
        cmocka_unit_test(test_folders_and_links),
        cmocka_unit_test(test_replace_keeps_children),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_random_trees),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
