/*
 * depset.c -- who is needed by whom only.
 *
 * The set of a node is the largest set of its dependencies (and theirs) that nothing outside of it
 * needs: what may go when the node goes.
 *
 * Whether one node is in the set of another is asked far more often than the set is used; most
 * times the answer is no, because the root needs it by another path, and a walk from the node
 * upwards finds that in a few steps.
 */
#include "workload/pkg/ideal_internal.h"

brisk_err node_list_add(builder *b, node_list *list, pkg_node *node)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        pkg_node **items = brisk_arena_alloc(b->scratch, capacity * sizeof(pkg_node *));
        if (items == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof(pkg_node *));
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = node;
    return BRISK_OK;
}

static bool counts(const pkg_edge *edge, const edge_filter *f)
{
    return edge->to != NULL && edge->to != f->not_to && edge->from != f->not_from &&
           (!f->fine || pkg_edge_is_fine(edge)) && !(f->not_conflicted && edge->conflicted);
}

/* Does something outside of what is marked need it? */
static bool needed_outside(const pkg_node *node, const edge_filter *f, uint32_t mark)
{
    for (const pkg_edge *edge = node->in; edge != NULL; edge = edge->next_in) {
        if (edge->from->mark != mark && counts(edge, f)) {
            return true;
        }
    }
    return false;
}

brisk_err depset_gather(builder *b, node_list *set, edge_filter filter)
{
    uint32_t mark = ++b->tree.stamp;
    uint32_t unique = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->items[i]->mark != mark) {
            set->items[i]->mark = mark;
            set->items[unique++] = set->items[i];
        }
    }
    set->count = unique;
    for (uint32_t i = 0; i < set->count; i++) { /* grows */
        pkg_node *node = set->items[i];
        for (uint32_t e = 0; e < node->edge_count; e++) {
            pkg_node *to = node->edges[e].to;
            if (to != NULL && to->mark != mark && counts(&node->edges[e], &filter)) {
                to->mark = mark;
                brisk_err err = node_list_add(b, set, to);
                if (err != BRISK_OK) {
                    return err;
                }
            }
        }
    }
    for (bool changed = true; changed;) {
        changed = false;
        uint32_t kept = 0;
        for (uint32_t i = 0; i < set->count; i++) {
            if (needed_outside(set->items[i], &filter, mark)) {
                set->items[i]->mark = 0;
                changed = true;
            } else {
                set->items[kept++] = set->items[i];
            }
        }
        set->count = kept;
    }
    return BRISK_OK;
}

brisk_err depset_has(builder *b, pkg_node *top, pkg_node *node, bool *ret)
{
    *ret = node == top;
    if (node == top) {
        return BRISK_OK;
    }
    if (node->parent == NULL) {
        return BRISK_OK; /* a root: nothing depends on one */
    }
    uint32_t mark = ++b->tree.stamp;
    node_list above = {0};
    node->mark = mark;
    brisk_err err = node_list_add(b, &above, node);
    for (uint32_t i = 0; i < above.count && err == BRISK_OK; i++) {
        for (pkg_edge *edge = above.items[i]->in; edge != NULL; edge = edge->next_in) {
            pkg_node *from = edge->from;
            if (from == top || from->mark == mark || !pkg_edge_is_fine(edge)) {
                continue;
            }
            if (from->parent == NULL) {
                return BRISK_OK; /* a root needs it, whatever becomes of top */
            }
            from->mark = mark;
            err = node_list_add(b, &above, from);
            if (err != BRISK_OK) {
                break;
            }
        }
    }
    node_list set = {0};
    if (err == BRISK_OK) {
        err = node_list_add(b, &set, top);
    }
    if (err == BRISK_OK) {
        err = depset_gather(b, &set, (edge_filter){.not_to = top, .fine = true});
    }
    for (uint32_t i = 0; i < set.count && err == BRISK_OK; i++) {
        *ret = *ret || set.items[i] == node;
    }
    return err;
}

brisk_err depset_can_replace(builder *b, pkg_node *node, pkg_node *current, const pkg_node *beside,
                             bool *ret)
{
    *ret = false;
    if (!pkg_text_equal(node->name, current->name) ||
        !pkg_text_equal(node->manifest->name, current->manifest->name) ||
        (current->edge_count > 0 && node->rule != current->rule)) {
        return BRISK_OK;
    }
    for (pkg_edge *edge = current->in; edge != NULL; edge = edge->next_in) {
        if (current->parent != NULL && edge->from->parent == current->parent && beside != NULL &&
            pkg_edge_is_peer(edge) && pkg_tree_child(&b->tree, beside, edge->from->key) != NULL) {
            continue;
        }
        if (pkg_edge_accepts(edge, node)) {
            continue;
        }
        bool own = false;
        brisk_err err = depset_has(b, current, edge->from, &own);
        if (err != BRISK_OK || !own) {
            return err;
        }
    }
    *ret = true;
    return BRISK_OK;
}
