/*
 * lockdiff.c -- two lists of places, merged; behind lockdiff.h.
 *
 * What is on one side only is then sorted by package and version on both sides and merged again: a
 * pair is a package that moved.
 *
 * Invariant: no node is in two changes, but for one of flags beside none other.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/lockdiff.h"

#include <stdlib.h>

enum {
    FLAGS =
        PKG_NODE_DEV | PKG_NODE_OPTIONAL | PKG_NODE_DEV_OPTIONAL | PKG_NODE_PEER | PKG_NODE_BUNDLED
};

typedef struct list {
    const pkg_node **nodes;
    uint32_t count;
} list;

static int compare_paths(const void *a, const void *b)
{
    const pkg_node *x = *(const pkg_node *const *)a;
    const pkg_node *y = *(const pkg_node *const *)b;
    return pkg_text_compare(x->path, y->path);
}

static int compare_packages(const pkg_node *x, const pkg_node *y)
{
    int order = pkg_text_compare(x->manifest->name, y->manifest->name);
    return order != 0 ? order : pkg_text_compare(x->manifest->version, y->manifest->version);
}

static int compare_moved(const void *a, const void *b)
{
    int order = compare_packages(*(const pkg_node *const *)a, *(const pkg_node *const *)b);
    return order != 0 ? order : compare_paths(a, b);
}

static brisk_err list_of(const pkg_tree *tree, brisk_arena *arena, list *ret)
{
    const pkg_node **nodes = brisk_arena_alloc(arena, (tree->count + 1) * sizeof(pkg_node *));
    if (nodes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        if (tree->nodes[i] != NULL && tree->nodes[i]->index != 0) {
            nodes[count++] = tree->nodes[i];
        }
    }
    if (count > 1) {
        qsort(nodes, count, sizeof(pkg_node *), compare_paths);
    }
    *ret = (list){.nodes = nodes, .count = count};
    return BRISK_OK;
}

static void add(pkg_changes *all, pkg_change change)
{
    all->counts[change.type]++;
    all->items[all->count++] = change;
}

static bool is_link(const pkg_node *node)
{
    return (node->flags & PKG_NODE_LINK) != 0;
}

/* Differ, where both say something. */
static bool differ(pkg_text a, pkg_text b)
{
    return a.size > 0 && b.size > 0 && !pkg_text_equal(a, b);
}

/* The same path in both. */
static void compare_pair(pkg_changes *all, const pkg_node *x, const pkg_node *y)
{
    pkg_change change = {.type = PKG_CHANGE_VERSION, .before = x, .after = y};
    bool links = is_link(x) && is_link(y);
    if (is_link(x) != is_link(y) || (!links && compare_packages(x, y) != 0)) {
        add(all, change);
        return;
    }
    change.what |= differ(x->integrity, y->integrity) ? PKG_CHANGED_INTEGRITY : 0;
    bool elsewhere = links ? !pkg_text_equal(x->target->path, y->target->path)
                           : differ(x->resolved, y->resolved);
    change.what |= elsewhere ? PKG_CHANGED_RESOLVED : 0;
    if (change.what != 0) {
        change.type = PKG_CHANGE_CONTENT;
        add(all, change);
    } else if ((x->flags & FLAGS) != (y->flags & FLAGS)) {
        change.type = PKG_CHANGE_FLAGS;
        add(all, change);
    }
}

/* What only one side has, in place; pairs go to `all`. */
static void merge_paths(pkg_changes *all, list *x, list *y)
{
    uint32_t i = 0;
    uint32_t j = 0;
    uint32_t x_left = 0;
    uint32_t y_left = 0;
    while (i < x->count || j < y->count) {
        int order = i == x->count   ? 1
                    : j == y->count ? -1
                                    : compare_paths(&x->nodes[i], &y->nodes[j]);
        if (order == 0) {
            compare_pair(all, x->nodes[i++], y->nodes[j++]);
        } else if (order < 0) {
            x->nodes[x_left++] = x->nodes[i++];
        } else {
            y->nodes[y_left++] = y->nodes[j++];
        }
    }
    x->count = x_left;
    y->count = y_left;
}

static void merge_moved(pkg_changes *all, list *x, list *y)
{
    if (x->count > 1) {
        qsort(x->nodes, x->count, sizeof(pkg_node *), compare_moved);
    }
    if (y->count > 1) {
        qsort(y->nodes, y->count, sizeof(pkg_node *), compare_moved);
    }
    uint32_t i = 0;
    uint32_t j = 0;
    while (i < x->count || j < y->count) {
        int order = i == x->count   ? 1
                    : j == y->count ? -1
                                    : compare_packages(x->nodes[i], y->nodes[j]);
        if (order == 0 && is_link(x->nodes[i]) == is_link(y->nodes[j])) {
            add(all, (pkg_change){.type = PKG_CHANGE_MOVED,
                                  .before = x->nodes[i++],
                                  .after = y->nodes[j++]});
        } else if (order <= 0) {
            add(all, (pkg_change){.type = PKG_CHANGE_REMOVED, .before = x->nodes[i++]});
        } else {
            add(all, (pkg_change){.type = PKG_CHANGE_ADDED, .after = y->nodes[j++]});
        }
    }
}

static int compare_changes(const void *a, const void *b)
{
    const pkg_change *x = a;
    const pkg_change *y = b;
    if (x->type != y->type) {
        return x->type < y->type ? -1 : 1;
    }
    const pkg_node *m = x->after != NULL ? x->after : x->before;
    const pkg_node *n = y->after != NULL ? y->after : y->before;
    return pkg_text_compare(m->path, n->path);
}

brisk_err pkg_lockdiff(const pkg_tree *before, const pkg_tree *after, brisk_arena *arena,
                       pkg_changes *ret)
{
    list x;
    list y;
    brisk_err err = list_of(before, arena, &x);
    if (err == BRISK_OK) {
        err = list_of(after, arena, &y);
    }
    if (err != BRISK_OK) {
        return err;
    }
    pkg_changes all = {
        .items = brisk_arena_alloc(arena, ((size_t)x.count + y.count + 1) * sizeof *all.items)};
    if (all.items == NULL) {
        return BRISK_ERR_NOMEM;
    }
    merge_paths(&all, &x, &y);
    merge_moved(&all, &x, &y);
    if (all.count > 1) {
        qsort(all.items, all.count, sizeof *all.items, compare_changes);
    }
    *ret = all;
    return BRISK_OK;
}
