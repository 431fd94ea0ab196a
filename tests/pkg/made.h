/*
 * made.h -- manifests and trees from a few words, for tests.
 *
 *     made(arena, "a@1.0.0", "b@^1.0.0 peer:c@2 opt:d@* popt:e@1 dev:f@latest")
 *     made_text(tree): "a@1.0.0 a/b@1.2.0 c@2.0.0", by path, node_modules left out
 */
#ifndef BRISK_TESTS_PKG_MADE_H
#define BRISK_TESTS_PKG_MADE_H

#include <brisk/arena.h>

#include "support/check.h"
#include "workload/pkg/tree.h"

static inline pkg_text made_copy(brisk_arena *arena, pkg_text text)
{
    pkg_text copy = {brisk_arena_copy(arena, text.data, text.size), text.size};
    assert_non_null(copy.data);
    return copy;
}

static inline void made_dep(brisk_arena *arena, pkg_text word, pkg_dep *ret)
{
    static const struct {
        const char *prefix;
        pkg_dep_kind kind;
    } kinds[] = {
        {"opt:", PKG_DEP_OPTIONAL}, {"peer:", PKG_DEP_PEER}, {"popt:", PKG_DEP_PEER_OPTIONAL},
        {"dev:", PKG_DEP_DEV},      {"", PKG_DEP_PROD},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t size = strlen(kinds[i].prefix);
        if (word.size >= size && memcmp(word.data, kinds[i].prefix, size) == 0) {
            ret->kind = kinds[i].kind;
            word.data += size;
            word.size -= size;
            break;
        }
    }
    size_t at = word.size > 0 ? 1 : 0;
    while (at < word.size && word.data[at] != '@') {
        at++;
    }
    ret->name = (pkg_text){word.data, at};
    ret->spec = at < word.size ? (pkg_text){word.data + at + 1, word.size - at - 1} : PKG_TEXT("*");
    ret->name_hash = pkg_text_hash(ret->name);
    (void)semver_range_parse(arena, ret->spec, SEMVER_LOOSE, &ret->range);
}

static inline int made_dep_order(const void *a, const void *b)
{
    const pkg_dep *x = a;
    const pkg_dep *y = b;
    int order = pkg_text_compare(x->name, y->name);
    return order != 0 ? order : (int)x->kind - (int)y->kind;
}

/* "||" in a spec is written '|', a space '_'. */
static inline const pkg_manifest *made(brisk_arena *arena, const char *id, const char *deps)
{
    pkg_manifest *m = brisk_arena_calloc(arena, 1, sizeof *m);
    assert_non_null(m);
    pkg_text whole = made_copy(arena, pkg_text_of(id));
    size_t at = 1;
    while (at < whole.size && whole.data[at] != '@') {
        at++;
    }
    m->name = (pkg_text){whole.data, at < whole.size ? at : whole.size};
    if (at < whole.size) {
        m->version = (pkg_text){whole.data + at + 1, whole.size - at - 1};
        assert_true(semver_parse(m->version, SEMVER_LOOSE, &m->semver));
    }
    m->tarball = made_copy(arena, PKG_TEXT("https://registry.test/x.tgz"));
    m->integrity = whole; /* no two packages have the same */
    pkg_text text = made_copy(arena, pkg_text_of(deps));
    pkg_dep *made_deps = brisk_arena_calloc(arena, text.size / 2 + 1, sizeof *made_deps);
    assert_non_null(made_deps);
    for (size_t i = 0; i < text.size;) {
        size_t end = i;
        while (end < text.size && text.data[end] != ' ') {
            end++;
        }
        if (end > i) {
            for (size_t j = i; j < end; j++) {
                char *c = (char *)(uintptr_t)&text.data[j];
                *c = *c == '_' ? ' ' : *c;
            }
            made_dep(arena, (pkg_text){text.data + i, end - i}, &made_deps[m->dep_count++]);
        }
        i = end + 1;
    }
    qsort(made_deps, m->dep_count, sizeof *made_deps, made_dep_order);
    m->deps = made_deps;
    return m;
}

static inline int made_path_order(const void *a, const void *b)
{
    const pkg_node *x = *(pkg_node *const *)a;
    const pkg_node *y = *(pkg_node *const *)b;
    return pkg_text_compare(x->path, y->path);
}

/* "node_modules/" left out. */
static inline const char *made_path(brisk_arena *arena, pkg_text from)
{
    static const char skip[] = "node_modules/";
    enum { SKIP = sizeof skip - 1 };
    char *path = brisk_arena_alloc(arena, from.size + 1);
    assert_non_null(path);
    size_t size = 0;
    for (size_t j = 0; j < from.size;) {
        if (from.size - j >= SKIP && memcmp(from.data + j, skip, SKIP) == 0) {
            j += SKIP;
        } else {
            path[size++] = from.data[j++];
        }
    }
    path[size] = '\0';
    return path;
}

/* Letters: dev, optional, devOptional (b), peer, extraneous (x). */
static inline const char *made_flags(brisk_arena *arena, uint32_t flags)
{
    return brisk_arena_printf(arena, ":%s%s%s%s%s", (flags & PKG_NODE_DEV) != 0 ? "d" : "",
                              (flags & PKG_NODE_OPTIONAL) != 0 ? "o" : "",
                              (flags & PKG_NODE_DEV_OPTIONAL) != 0 ? "b" : "",
                              (flags & PKG_NODE_PEER) != 0 ? "p" : "",
                              (flags & PKG_NODE_EXTRANEOUS) != 0 ? "x" : "");
}

static inline const char *made_print(brisk_arena *arena, const pkg_tree *tree, bool flags)
{
    pkg_node **nodes = brisk_arena_calloc(arena, tree->count + 1, sizeof(pkg_node *));
    assert_non_null(nodes);
    uint32_t count = 0;
    for (uint32_t i = 1; i < tree->count; i++) {
        if (tree->nodes[i] != NULL) {
            nodes[count++] = tree->nodes[i];
        }
    }
    qsort(nodes, count, sizeof *nodes, made_path_order);
    const char *text = "";
    for (uint32_t i = 0; i < count; i++) {
        bool is_link = (nodes[i]->flags & PKG_NODE_LINK) != 0;
        pkg_text tail = is_link ? nodes[i]->target->path : nodes[i]->manifest->version;
        text = brisk_arena_printf(arena, "%s%s%s%s%.*s%s", text, i == 0 ? "" : " ",
                                  made_path(arena, nodes[i]->path), is_link ? "->" : "@",
                                  (int)tail.size, tail.data != NULL ? tail.data : "",
                                  flags ? made_flags(arena, nodes[i]->flags) : "");
        assert_non_null(text);
    }
    return text;
}

/* Everything but the root, links as "a->packages/a"; with its flags: "a@1.0.0:dp". */
static inline const char *made_text(brisk_arena *arena, const pkg_tree *tree)
{
    return made_print(arena, tree, false);
}

static inline const char *made_text_flags(brisk_arena *arena, const pkg_tree *tree)
{
    return made_print(arena, tree, true);
}

/* Every invariant of the tree. */
static inline void made_audit(const pkg_tree *tree)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        pkg_node *node = tree->nodes[i];
        if (node == NULL) {
            continue;
        }
        live++;
        CHECK_U64(node->index, ==, i);
        assert_int_equal(node->flags & (PKG_NODE_REMOVED | PKG_NODE_VIRTUAL), 0);
        for (uint32_t c = 0; c < node->child_count; c++) {
            assert_ptr_equal(node->children[c]->parent, node);
            CHECK_U64(node->children[c]->depth, ==, node->depth + 1);
            assert_ptr_equal(pkg_tree_child(tree, node, node->children[c]->key), node->children[c]);
            assert_true(c == 0 ||
                        pkg_text_compare(node->children[c - 1]->name, node->children[c]->name) < 0);
        }
        for (uint32_t e = 0; e < node->edge_count; e++) {
            const pkg_edge *edge = &node->edges[e];
            assert_ptr_equal(edge->from, node);
            assert_ptr_equal(edge->to, pkg_tree_resolve(tree, node, edge->key));
            pkg_node *exact = pkg_tree_lookup(node, edge->dep->name);
            assert_true(exact == NULL || edge->to != NULL);
            assert_true(edge->to == NULL || exact == edge->to ||
                        !pkg_text_equal(edge->to->name, edge->dep->name));
            assert_true((edge->state == PKG_EDGE_MISSING) == (edge->to == NULL));
            assert_true(edge->to == NULL || edge->state == PKG_EDGE_PEER_LOCAL ||
                        (edge->state == PKG_EDGE_VALID) == pkg_edge_accepts(edge, edge->to));
            bool listed = edge->to == NULL;
            const pkg_edge *other = listed ? NULL : edge->to->in;
            while (other != NULL && !listed) {
                listed = other == edge;
                other = other->next_in;
            }
            assert_true(listed);
        }
        const pkg_edge *back = node->in;
        for (; back != NULL; back = back->next_in) {
            assert_ptr_equal(back->to, node);
        }
    }
    CHECK_U64(live, ==, tree->live);
}

#endif /* BRISK_TESTS_PKG_MADE_H */
