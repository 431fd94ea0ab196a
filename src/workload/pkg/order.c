/*
 * order.c -- Tarjan's components with a stack of our own, then groups and the critical way.
 *
 * Tarjan finishes a component after everything it reaches, so that components come out in an order
 * in which whatever is needed has its group already.
 *
 * Invariant: of two steps, the one that needs the other has the larger group.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/order.h"

#include <stdlib.h>

enum { UNSEEN = 0 };

typedef struct frame {
    const pkg_node *node;
    uint32_t next;
} frame;

typedef struct search {
    uint32_t *numbers; /* by index, from 1 */
    uint32_t *lows;
    uint32_t *parts; /* by index: the component, or UINT32_MAX */
    const pkg_node **open;
    uint32_t open_count;
    frame *frames;
    uint32_t frame_count;
    uint32_t number;
    const pkg_node **members; /* of all components, one after the other */
    uint32_t member_count;
    pkg_order_step *steps;
    uint32_t step_count;
} search;

static bool is_part(const pkg_node *node)
{
    return node != NULL && node->index != 0 && (node->flags & PKG_NODE_LINK) == 0;
}

/* What the edge needs to be there first, or NULL. */
static const pkg_node *needed(const pkg_edge *edge)
{
    const pkg_node *to = edge->to;
    if (to != NULL && to->target != NULL) {
        to = to->target;
    }
    return is_part(to) ? to : NULL;
}

static brisk_err search_init(search *s, const pkg_tree *tree, brisk_arena *arena)
{
    uint32_t n = tree->count + 1;
    *s = (search){.numbers = brisk_arena_calloc(arena, n, sizeof *s->numbers),
                  .lows = brisk_arena_calloc(arena, n, sizeof *s->lows),
                  .parts = brisk_arena_alloc(arena, n * sizeof *s->parts),
                  .open = brisk_arena_alloc(arena, n * sizeof(pkg_node *)),
                  .frames = brisk_arena_alloc(arena, n * sizeof *s->frames),
                  .members = brisk_arena_alloc(arena, n * sizeof(pkg_node *)),
                  .steps = brisk_arena_calloc(arena, n, sizeof *s->steps)};
    if (s->numbers == NULL || s->lows == NULL || s->parts == NULL || s->open == NULL ||
        s->frames == NULL || s->members == NULL || s->steps == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(s->parts, 0xFF, n * sizeof *s->parts);
    return BRISK_OK;
}

static void enter(search *s, const pkg_node *node)
{
    s->numbers[node->index] = ++s->number;
    s->lows[node->index] = s->number;
    s->open[s->open_count++] = node;
    s->frames[s->frame_count++] = (frame){.node = node};
}

static int compare_paths(const void *a, const void *b)
{
    const pkg_node *x = *(const pkg_node *const *)a;
    const pkg_node *y = *(const pkg_node *const *)b;
    return pkg_text_compare(x->path, y->path);
}

/* Groups and weights follow from the steps below, which are all made. */
static void weigh(const search *s, pkg_order_step *step, uint32_t self)
{
    step->before = UINT32_MAX;
    step->weight = step->count;
    for (uint32_t i = 0; i < step->count; i++) {
        const pkg_node *node = step->nodes[i];
        for (uint32_t j = 0; j < node->edge_count; j++) {
            const pkg_node *to = needed(&node->edges[j]);
            if (to == NULL || s->parts[to->index] == self) {
                continue;
            }
            uint32_t below = s->parts[to->index];
            const pkg_order_step *other = &s->steps[below];
            step->group = other->group + 1 > step->group ? other->group + 1 : step->group;
            if (other->weight + step->count > step->weight) {
                step->weight = other->weight + step->count;
                step->before = below;
            }
        }
    }
}

static void close_component(search *s, const pkg_node *root)
{
    uint32_t self = s->step_count++;
    pkg_order_step *step = &s->steps[self];
    step->nodes = s->members + s->member_count;
    const pkg_node *node;
    do {
        node = s->open[--s->open_count];
        s->parts[node->index] = self;
        s->members[s->member_count++] = node;
        step->count++;
    } while (node != root);
    if (step->count > 1) {
        qsort(step->nodes, step->count, sizeof(pkg_node *), compare_paths);
    }
    weigh(s, step, self);
}

static void lower(search *s, const pkg_node *node, uint32_t low)
{
    if (low < s->lows[node->index]) {
        s->lows[node->index] = low;
    }
}

static void search_from(search *s, const pkg_node *start)
{
    enter(s, start);
    while (s->frame_count > 0) {
        frame *at = &s->frames[s->frame_count - 1];
        if (at->next < at->node->edge_count) {
            const pkg_node *to = needed(&at->node->edges[at->next++]);
            if (to != NULL && s->numbers[to->index] == UNSEEN) {
                enter(s, to);
            } else if (to != NULL && s->parts[to->index] == UINT32_MAX) {
                lower(s, at->node, s->numbers[to->index]);
            }
            continue;
        }
        const pkg_node *node = at->node;
        s->frame_count--;
        if (s->lows[node->index] == s->numbers[node->index]) {
            close_component(s, node);
        }
        if (s->frame_count > 0) {
            lower(s, s->frames[s->frame_count - 1].node, s->lows[node->index]);
        }
    }
}

/* --- in order ------------------------------------------------------------------------------ */

typedef struct ranked {
    pkg_order_step step;
    uint32_t was;
} ranked;

static int compare_steps(const void *a, const void *b)
{
    const ranked *x = a;
    const ranked *y = b;
    if (x->step.group != y->step.group) {
        return x->step.group < y->step.group ? -1 : 1;
    }
    return pkg_text_compare(x->step.nodes[0]->path, y->step.nodes[0]->path);
}

static void summarise(pkg_order *order)
{
    uint32_t width = 0;
    order->critical = UINT32_MAX;
    for (uint32_t i = 0; i < order->count; i++) {
        const pkg_order_step *step = &order->steps[i];
        width = i > 0 && order->steps[i - 1].group == step->group ? width + 1 : 1;
        order->widest = width > order->widest ? width : order->widest;
        order->packages += step->count;
        order->circles += step->count > 1;
        order->group_count = step->group + 1;
        if (order->critical == UINT32_MAX || step->weight > order->steps[order->critical].weight) {
            order->critical = i;
        }
    }
}

static brisk_err sort_steps(const search *s, brisk_arena *arena, pkg_order *ret)
{
    ranked *all = brisk_arena_alloc(arena, (s->step_count + 1) * sizeof *all);
    uint32_t *places = brisk_arena_alloc(arena, (s->step_count + 1) * sizeof *places);
    if (all == NULL || places == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < s->step_count; i++) {
        all[i] = (ranked){.step = s->steps[i], .was = i};
    }
    qsort(all, s->step_count, sizeof *all, compare_steps);
    for (uint32_t i = 0; i < s->step_count; i++) {
        places[all[i].was] = i;
    }
    for (uint32_t i = 0; i < s->step_count; i++) {
        s->steps[i] = all[i].step;
        if (s->steps[i].before != UINT32_MAX) {
            s->steps[i].before = places[s->steps[i].before];
        }
    }
    *ret = (pkg_order){.steps = s->steps, .count = s->step_count};
    summarise(ret);
    return BRISK_OK;
}

brisk_err pkg_order_make(const pkg_tree *tree, brisk_arena *arena, pkg_order *ret)
{
    search s;
    brisk_err err = search_init(&s, tree, arena);
    if (err != BRISK_OK) {
        return err;
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        if (is_part(tree->nodes[i]) && s.numbers[tree->nodes[i]->index] == UNSEEN) {
            search_from(&s, tree->nodes[i]);
        }
    }
    return sort_steps(&s, arena, ret);
}
