/*
 * graph.c -- points and lines of the picture, and who stands behind whom; behind graph.h.
 *
 * Invariant: order is breadth-first from the project, so that a parent comes before its children;
 * what nothing reaches is behind the project, last of all.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/graph.h"

#include <stdlib.h>

#define NO_POINT UINT32_MAX

typedef struct maker {
    const pkg_tree *tree;
    brisk_arena *arena;
    uint32_t *point_of; /* by index of node */
    bool prod;
    pkg_graph graph;
} maker;

static bool is_drawn(const maker *m, const pkg_node *node)
{
    return node != NULL && (node->flags & PKG_NODE_LINK) == 0 &&
           !(m->prod && (node->flags & PKG_NODE_DEV) != 0);
}

static int compare_nodes(const void *a, const void *b)
{
    const pkg_node *x = *(const pkg_node *const *)a;
    const pkg_node *y = *(const pkg_node *const *)b;
    if ((x->index == 0) != (y->index == 0)) {
        return x->index == 0 ? -1 : 1;
    }
    int order = pkg_text_compare(x->manifest->name, y->manifest->name);
    if (order == 0) {
        order = semver_compare(&x->manifest->semver, &y->manifest->semver);
    }
    if (order == 0) {
        order = pkg_text_compare(x->manifest->version, y->manifest->version);
    }
    if (order == 0 && x->path.size != y->path.size) {
        order = x->path.size < y->path.size ? -1 : 1;
    }
    return order != 0 ? order : pkg_text_compare(x->path, y->path);
}

/* Packages of one name and version; folders of the project are each their own. */
static bool is_same(const pkg_node *x, const pkg_node *y)
{
    return x->parent != NULL && y->parent != NULL &&
           pkg_text_equal(x->manifest->name, y->manifest->name) &&
           pkg_text_equal(x->manifest->version, y->manifest->version);
}

/* The least restricted of a point's places says what it is there for. */
static pkg_point_class class_of(const pkg_node *node)
{
    if (node->parent == NULL) {
        return PKG_POINT_PROJECT;
    }
    if ((node->flags & PKG_NODE_EXTRANEOUS) != 0) {
        return PKG_POINT_EXTRANEOUS;
    }
    if ((node->flags & (PKG_NODE_OPTIONAL | PKG_NODE_DEV_OPTIONAL)) != 0) {
        return PKG_POINT_OPTIONAL;
    }
    if ((node->flags & PKG_NODE_DEV) != 0) {
        return PKG_POINT_DEV;
    }
    return (node->flags & PKG_NODE_PEER) != 0 ? PKG_POINT_PEER : PKG_POINT_PROD;
}

static brisk_err make_points(maker *m)
{
    uint32_t total = m->tree->count;
    pkg_graph *g = &m->graph;
    const pkg_node **nodes = brisk_arena_alloc(m->arena, total * sizeof(pkg_node *));
    m->point_of = brisk_arena_alloc(m->arena, total * sizeof *m->point_of);
    g->points = brisk_arena_calloc(m->arena, total, sizeof *g->points);
    if (nodes == NULL || m->point_of == NULL || g->points == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < total; i++) {
        m->point_of[i] = NO_POINT;
        if (is_drawn(m, m->tree->nodes[i])) {
            nodes[count++] = m->tree->nodes[i];
        }
    }
    qsort(nodes, count, sizeof(pkg_node *), compare_nodes);
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || !is_same(nodes[i - 1], nodes[i])) {
            g->points[g->count++] =
                (pkg_point){.node = nodes[i], .class_ = class_of(nodes[i]), .parent = NO_POINT};
        }
        pkg_point *point = &g->points[g->count - 1];
        pkg_point_class class_ = class_of(nodes[i]);
        point->class_ = class_ < point->class_ ? class_ : point->class_;
        point->places++;
        m->point_of[nodes[i]->index] = g->count - 1;
    }
    for (uint32_t i = 1; i + 1 < g->count; i++) {
        bool twice = pkg_text_equal(g->points[i].node->manifest->name,
                                    g->points[i + 1].node->manifest->name);
        g->points[i].duplicate = g->points[i].duplicate || twice;
        g->points[i + 1].duplicate = twice;
    }
    return BRISK_OK;
}

static int compare_lines(const void *a, const void *b)
{
    const pkg_line *x = a;
    const pkg_line *y = b;
    if (x->from != y->from) {
        return x->from < y->from ? -1 : 1;
    }
    if (x->to != y->to) {
        return x->to < y->to ? -1 : 1;
    }
    return x->bad != y->bad ? (int)y->bad - (int)x->bad : (int)x->kind - (int)y->kind;
}

static uint32_t target_of(const maker *m, const pkg_edge *edge)
{
    const pkg_node *to = edge->to;
    if (to != NULL && to->target != NULL) {
        to = to->target;
    }
    return to != NULL ? m->point_of[to->index] : NO_POINT;
}

static void collect_lines(maker *m)
{
    pkg_graph *g = &m->graph;
    for (uint32_t i = 0; i < m->tree->count; i++) {
        const pkg_node *node = m->tree->nodes[i];
        if (node == NULL || m->point_of[i] == NO_POINT) {
            continue;
        }
        for (uint32_t j = 0; j < node->edge_count; j++) {
            const pkg_edge *edge = &node->edges[j];
            uint32_t to = target_of(m, edge);
            if (to != NO_POINT && to != m->point_of[i]) {
                g->lines[g->line_count++] = (pkg_line){.from = m->point_of[i],
                                                       .to = to,
                                                       .kind = edge->dep->kind,
                                                       .bad = !pkg_edge_is_fine(edge)};
            }
        }
    }
}

static brisk_err make_lines(maker *m)
{
    pkg_graph *g = &m->graph;
    size_t total = 1;
    for (uint32_t i = 0; i < m->tree->count; i++) {
        total += m->tree->nodes[i] != NULL ? m->tree->nodes[i]->edge_count : 0;
    }
    g->lines = brisk_arena_alloc(m->arena, total * sizeof *g->lines);
    g->lines_of = brisk_arena_calloc(m->arena, (size_t)g->count + 1, sizeof *g->lines_of);
    if (g->lines == NULL || g->lines_of == NULL) {
        return BRISK_ERR_NOMEM;
    }
    collect_lines(m);
    if (g->line_count > 1) {
        qsort(g->lines, g->line_count, sizeof *g->lines, compare_lines);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->line_count; i++) {
        const pkg_line *line = &g->lines[i];
        if (kept == 0 || g->lines[kept - 1].from != line->from ||
            g->lines[kept - 1].to != line->to) {
            g->lines_of[line->from + 1]++;
            g->lines[kept++] = *line;
        }
    }
    g->line_count = kept;
    for (uint32_t i = 0; i < g->count; i++) {
        g->lines_of[i + 1] += g->lines_of[i];
    }
    return BRISK_OK;
}

static void put_behind(pkg_graph *g, uint32_t point, uint32_t parent, uint32_t place)
{
    pkg_point *p = &g->points[point];
    p->parent = parent;
    p->depth = point == parent ? 0 : g->points[parent].depth + 1;
    p->sector = p->depth <= 1 ? point : g->points[parent].sector;
    p->leaf = true;
    p->size = 1;
    g->points[parent].leaf = point == parent;
    g->order[place] = point;
}

static void walk(pkg_graph *g)
{
    uint32_t tail = 0;
    put_behind(g, 0, 0, tail++);
    for (uint32_t head = 0; head < tail; head++) {
        uint32_t at = g->order[head];
        for (uint32_t i = g->lines_of[at]; i < g->lines_of[at + 1]; i++) {
            if (g->points[g->lines[i].to].parent == NO_POINT) {
                put_behind(g, g->lines[i].to, at, tail++);
            }
        }
    }
    for (uint32_t i = 1; i < g->count; i++) { /* nothing needs it */
        if (g->points[i].parent == NO_POINT) {
            put_behind(g, i, 0, tail++);
            g->points[i].class_ = PKG_POINT_EXTRANEOUS;
        }
    }
    for (uint32_t i = g->count; i > 1; i--) {
        const pkg_point *p = &g->points[g->order[i - 1]];
        g->points[p->parent].size += p->size;
    }
}

brisk_err pkg_graph_make(const pkg_tree *tree, bool prod, brisk_arena *arena, pkg_graph *ret)
{
    maker m = {.tree = tree, .arena = arena, .prod = prod};
    brisk_err err = make_points(&m);
    if (err == BRISK_OK) {
        err = make_lines(&m);
    }
    if (err != BRISK_OK) {
        return err;
    }
    pkg_text name = tree->root->manifest->name;
    m.graph.title = brisk_arena_copy(arena, name.size > 0 ? name.data : "project",
                                     name.size > 0 ? name.size : strlen("project"));
    m.graph.order = brisk_arena_alloc(arena, m.graph.count * sizeof *m.graph.order);
    if (m.graph.order == NULL || m.graph.title == NULL) {
        return BRISK_ERR_NOMEM;
    }
    walk(&m.graph);
    pkg_graph_place(&m.graph);
    *ret = m.graph;
    return BRISK_OK;
}
