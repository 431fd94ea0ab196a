/*
 * explain.c -- a conflict of peers, in one sentence and as data; behind ideal_internal.h.
 */
#include "workload/pkg/ideal_internal.h"

/* Where the search upwards came from: the edge to the node, and the entry it was found from. */
typedef struct step {
    const pkg_edge *edge;
    uint32_t from;
} step;

/* A node that a virtual root stands for, through any number of them. */
static pkg_node *real(pkg_node *node)
{
    while (node->source != NULL) {
        node = node->source;
    }
    return node;
}

/* The shortest way from the root to `node` (`hard`: over nothing optional), or less when there is none. */
static brisk_err chain_to(builder *b, pkg_node *node, bool hard, pkg_conflict *conflict)
{
    enum { CHAIN_NODES_MAX = 100000 };
    node_list list = {0};
    uint32_t mark = ++b->tree.stamp;
    step *steps = brisk_arena_calloc(b->scratch, CHAIN_NODES_MAX, sizeof *steps);
    if (steps == NULL) {
        return BRISK_ERR_NOMEM;
    }
    node = real(node);
    node->mark = mark;
    brisk_err err = node_list_add(b, &list, node);
    uint32_t at = 0;
    for (; at < list.count && list.items[at]->index != 0 && err == BRISK_OK; at++) {
        for (pkg_edge *edge = list.items[at]->in; edge != NULL && err == BRISK_OK;
             edge = edge->next_in) {
            pkg_node *from = real(edge->from);
            bool goes = !hard || !pkg_edge_is_optional(edge);
            if (goes && from->mark != mark && list.count < CHAIN_NODES_MAX) {
                from->mark = mark;
                steps[list.count] = (step){edge, at};
                err = node_list_add(b, &list, from);
            }
        }
    }
    if (err != BRISK_OK || at >= list.count) {
        return err;
    }
    uint32_t count = 0;
    for (uint32_t i = at; i != 0; i = steps[i].from) {
        count++;
    }
    const pkg_edge **chain = brisk_arena_calloc(b->arena, count + 1, sizeof *chain);
    if (chain == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = at; i != 0; i = steps[i].from) {
        chain[conflict->chain_count++] = steps[i].edge;
    }
    conflict->chain = chain;
    return BRISK_OK;
}

#define TEXT_ARGS(text) (int)(text).size, (text).data != NULL ? (text).data : ""

static const char *who(const builder *b, const pkg_node *node)
{
    while (node->source != NULL) {
        node = node->source;
    }
    const char *text = node->index == 0
                           ? "the project"
                           : brisk_arena_printf(b->scratch, "%.*s@%.*s", TEXT_ARGS(node->name),
                                                TEXT_ARGS(node->manifest->version));
    return text != NULL ? text : "something";
}

brisk_err explain_missing(builder *b, pkg_node *node)
{
    pkg_conflict found = {0};
    brisk_err err = chain_to(b, node, true, &found);
    if (err == BRISK_OK && found.chain_count > 0 && b->conflict != NULL) {
        found.edge = found.chain[found.chain_count - 1];
        *b->conflict = found;
    }
    return err;
}

brisk_err peers_fail(builder *b, const pkg_conflict *conflict)
{
    pkg_conflict found = *conflict;
    brisk_err err = chain_to(b, found.edge->from, false, &found);
    if (err != BRISK_OK) {
        return err;
    }
    const pkg_edge *wanted = found.peer != NULL ? found.peer : found.edge;
    const char *needs = found.current_edge != NULL ? who(b, found.current_edge->from) : NULL;
    const char *there =
        found.current == NULL
            ? ""
            : brisk_arena_printf(b->scratch, ", but %s is in its place%s%s", who(b, found.current),
                                 needs != NULL ? ", which " : "",
                                 needs == NULL
                                     ? ""
                                     : brisk_arena_printf(b->scratch, "%s needs (\"%.*s\")", needs,
                                                          TEXT_ARGS(found.current_edge->spec)));
    if (b->conflict != NULL) {
        *b->conflict = found;
    }
    return ideal_fail(b, BRISK_ERR_CONFLICT, "%s needs the peer %.*s \"%.*s\"%s",
                      who(b, wanted->from), TEXT_ARGS(wanted->dep->name), TEXT_ARGS(wanted->spec),
                      there != NULL ? there : "");
}
