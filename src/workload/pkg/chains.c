/*
 * chains.c -- the shortest chains first, behind chains.h.
 *
 * A breadth-first walk from the project gives every node its distance.  Chains then grow backwards
 * from the target, always the one whose length so far plus the distance left is least: since that
 * sum never shrinks when a chain grows, they are complete in the order of their lengths.  A chain
 * that would visit a node twice is dropped.
 *
 * A link stands for its target: what the target needs, the link brings; who asks for the link asks
 * for the target.
 *
 * Invariant: the heap's least is heap[0]; equal sums leave in the order they came.
 *
 * Threads: one at a time.  Source: best-first search (A*) with exact distances.
 */
#include "workload/pkg/chains.h"

typedef struct step step;
struct step {
    const pkg_edge *edge;
    const step *next; /* towards the target */
    const pkg_node *at;
    uint32_t length;
    uint32_t sum;
    uint32_t serial;
};

typedef struct search {
    brisk_arena *arena;
    const uint32_t *distances;
    const pkg_node *target;
    step **heap;
    uint32_t count;
    uint32_t capacity;
    uint32_t serial;
} search;

brisk_err pkg_chain_distances(const pkg_tree *tree, brisk_arena *arena, uint32_t **ret)
{
    uint32_t *distances = brisk_arena_alloc(arena, (tree->count + 1) * sizeof *distances);
    const pkg_node **queue = brisk_arena_alloc(arena, (tree->count + 1) * sizeof(pkg_node *));
    if (distances == NULL || queue == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t head = 0;
    uint32_t tail = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        bool project = tree->nodes[i] != NULL && pkg_node_is_project(tree->nodes[i]);
        distances[i] = project ? 0 : PKG_CHAIN_FAR;
        if (project) {
            queue[tail++] = tree->nodes[i];
        }
    }
    while (head < tail) {
        const pkg_node *node = queue[head++];
        uint32_t next = distances[node->index] + 1;
        for (uint32_t i = 0; i < node->edge_count; i++) {
            const pkg_node *to = node->edges[i].to;
            if (to != NULL && distances[to->index] == PKG_CHAIN_FAR) {
                distances[to->index] = next;
                queue[tail++] = to;
            }
        }
        if (node->target != NULL && distances[node->target->index] == PKG_CHAIN_FAR) {
            distances[node->target->index] = distances[node->index];
            queue[tail++] = node->target;
        }
    }
    *ret = distances;
    return BRISK_OK;
}

static bool is_before(const step *a, const step *b)
{
    return a->sum != b->sum ? a->sum < b->sum : a->serial < b->serial;
}

static brisk_err push(search *s, step *item)
{
    if (s->count == s->capacity) {
        uint32_t wanted = s->capacity != 0 ? s->capacity * 2 : 64;
        step **more = brisk_arena_alloc(s->arena, wanted * sizeof *more);
        if (more == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (s->count > 0) {
            memcpy(more, s->heap, s->count * sizeof *more);
        }
        s->heap = more;
        s->capacity = wanted;
    }
    uint32_t i = s->count++;
    while (i > 0 && is_before(item, s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = item;
    return BRISK_OK;
}

static step *pop(search *s)
{
    step *least = s->heap[0];
    step *last = s->heap[--s->count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= s->count) {
            break;
        }
        child += child + 1 < s->count && is_before(s->heap[child + 1], s->heap[child]);
        if (!is_before(s->heap[child], last)) {
            break;
        }
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return least;
}

static bool visits(const step *chain, const pkg_node *node)
{
    while (chain != NULL && chain->at != node) {
        chain = chain->next;
    }
    return chain != NULL;
}

static brisk_err add(search *s, const pkg_edge *edge, const step *next)
{
    const pkg_node *from = edge->from;
    if (from == s->target || s->distances[from->index] == PKG_CHAIN_FAR || visits(next, from)) {
        return BRISK_OK;
    }
    step *item = brisk_arena_alloc(s->arena, sizeof *item);
    if (item == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t length = (next != NULL ? next->length : 0) + 1;
    *item = (step){.edge = edge,
                   .next = next,
                   .at = from,
                   .length = length,
                   .sum = length + s->distances[from->index],
                   .serial = s->serial++};
    return push(s, item);
}

/* Who asks for `node`; the list has the newest first, which would be the order of paths turned. */
static brisk_err grow_in(search *s, const pkg_node *node, const step *next)
{
    uint32_t count = 0;
    for (const pkg_edge *e = node->in; e != NULL; e = e->next_in) {
        count++;
    }
    const pkg_edge **edges = brisk_arena_alloc(s->arena, count * sizeof(pkg_edge *));
    if (edges == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t left = count;
    for (const pkg_edge *e = node->in; e != NULL; e = e->next_in) {
        edges[--left] = e;
    }
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < count && err == BRISK_OK; i++) {
        err = add(s, edges[i], next);
    }
    return err;
}

/* Who asks for `node` itself or for a link to it. */
static brisk_err grow(search *s, const pkg_tree *tree, const pkg_node *node, const step *next)
{
    brisk_err err = grow_in(s, node, next);
    bool folder = node->parent == NULL && node->index != 0;
    for (uint32_t i = 0; folder && i < tree->count && err == BRISK_OK; i++) {
        const pkg_node *link = tree->nodes[i];
        if (link != NULL && link->target == node) {
            err = grow_in(s, link, next);
        }
    }
    return err;
}

static brisk_err keep(brisk_arena *arena, const step *first, pkg_chain *ret)
{
    const pkg_edge **edges = brisk_arena_alloc(arena, first->length * sizeof(pkg_edge *));
    if (edges == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t length = 0;
    for (const step *at = first; at != NULL; at = at->next) {
        edges[length++] = at->edge;
    }
    *ret = (pkg_chain){.edges = edges, .length = length};
    return BRISK_OK;
}

brisk_err pkg_chains_find(const pkg_tree *tree, const pkg_node *target, const uint32_t *distances,
                          pkg_chains *ret)
{
    brisk_arena *arena = ret->arena;
    uint32_t limit = ret->limit;
    pkg_chains found = {.arena = arena, .limit = limit};
    search s = {.arena = arena, .distances = distances, .target = target};
    found.items = brisk_arena_calloc(arena, limit, sizeof *found.items);
    if (found.items == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = grow(&s, tree, target, NULL);
    for (uint32_t steps = 0; err == BRISK_OK && s.count > 0; steps++) {
        if (found.count == limit || steps == PKG_CHAIN_STEPS_MAX) {
            found.more = true;
            break;
        }
        const step *least = pop(&s);
        if (pkg_node_is_project(least->at)) {
            err = keep(arena, least, &found.items[found.count++]);
        } else {
            err = grow(&s, tree, least->at, least);
        }
    }
    if (err == BRISK_OK) {
        *ret = found;
    }
    return err;
}
