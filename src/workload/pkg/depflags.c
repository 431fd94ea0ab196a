/*
 * depflags.c -- which nodes are only there for development, optional, peers, or for nothing.
 *
 * Every flag is set at first and taken away where a path needs the node without it: from a node
 * that has not the flag, by an edge that does not give it.  Taking away only ever takes away, so
 * that the order does not matter and the end is reached.
 *
 * DEV_OPTIONAL means: needed by development and by something optional, by neither alone.
 *
 * Source: npm's documentation of package-lock.json (dev, optional, devOptional, peer).
 */
#include "workload/pkg/tree.h"

/* node->mark is `stamp` in the stack, `stamp` - 1 when it was taken from it. */
typedef struct walk {
    pkg_node **stack;
    uint32_t count;
    uint32_t stamp;
} walk;

static void push(walk *w, pkg_node *node)
{
    if (node->mark != w->stamp) { /* once in the stack at a time */
        node->mark = w->stamp;
        w->stack[w->count++] = node;
    }
}

/* Flags of `to` that `from` by an edge of these kinds does not bear out. */
static uint32_t unfounded(const pkg_node *from, const pkg_edge *edge)
{
    bool dev = edge->dep->kind == PKG_DEP_DEV;
    bool optional = pkg_edge_is_optional(edge);
    bool peer = pkg_edge_is_peer(edge);
    uint32_t off = 0;
    uint32_t has = from->flags;
    off |= (has & PKG_NODE_EXTRANEOUS) == 0 && !(peer && optional) ? PKG_NODE_EXTRANEOUS : 0;
    off |= (has & PKG_NODE_DEV) == 0 && !dev ? PKG_NODE_DEV : 0;
    off |= (has & PKG_NODE_OPTIONAL) == 0 && !optional ? PKG_NODE_OPTIONAL : 0;
    off |= (has & PKG_NODE_PEER) == 0 && !peer ? PKG_NODE_PEER : 0;
    const uint32_t both = PKG_NODE_DEV_OPTIONAL | PKG_NODE_DEV | PKG_NODE_OPTIONAL;
    off |= (has & both) == 0 && !dev && !optional ? PKG_NODE_DEV_OPTIONAL : 0;
    return off;
}

static void take_off(walk *w, pkg_node *node, uint32_t flags)
{
    if ((node->flags & flags) != 0) {
        node->flags &= ~flags;
        push(w, node);
    }
}

static void visit(walk *w, pkg_node *node)
{
    for (pkg_node *above = pkg_node_above(node);
         (node->flags & PKG_NODE_EXTRANEOUS) == 0 && above != NULL &&
         (above->flags & PKG_NODE_EXTRANEOUS) != 0;
         above = pkg_node_above(above)) {
        above->flags &= ~(uint32_t)PKG_NODE_EXTRANEOUS;
    }
    if ((node->flags & PKG_NODE_LINK) != 0) {
        if (node->target != NULL) {
            take_off(w, node->target, PKG_NODE_FLAGS_LOCK & ~node->flags);
        }
        return;
    }
    for (uint32_t i = 0; i < node->edge_count; i++) {
        const pkg_edge *edge = &node->edges[i];
        if (edge->to != NULL) {
            take_off(w, edge->to, unfounded(node, edge));
        }
    }
}

brisk_err pkg_tree_set_flags(pkg_tree *tree)
{
    walk w = {.stack = brisk_arena_calloc(tree->arena, tree->count + 1, sizeof(pkg_node *))};
    if (w.stack == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        if (tree->nodes[i] != NULL) {
            tree->nodes[i]->flags |= PKG_NODE_FLAGS_LOCK;
        }
    }
    tree->root->flags &= ~(uint32_t)PKG_NODE_FLAGS_LOCK;
    tree->stamp += 2;
    w.stamp = tree->stamp;
    push(&w, tree->root);
    while (w.count > 0) {
        pkg_node *node = w.stack[--w.count];
        node->mark = w.stamp - 1;
        visit(&w, node);
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        pkg_node *node = tree->nodes[i];
        if (node != NULL && node->mark == w.stamp - 1 &&
            (node->flags & (PKG_NODE_DEV | PKG_NODE_OPTIONAL)) != 0) {
            node->flags &= ~(uint32_t)PKG_NODE_DEV_OPTIONAL;
        }
    }
    return BRISK_OK;
}
