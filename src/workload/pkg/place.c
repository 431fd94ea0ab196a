/*
 * place.c -- put a candidate into the tree, with its peers; behind ideal_internal.h.
 *
 * It goes as high as it may: from the deepest folder where its dependent finds it, upwards until a
 * folder says no.  What it replaces leaves with everything that only that one needed; what lies
 * deeper and is served by it as well goes too.  Then its peers are placed from the same folder on.
 *
 * A set of peers that the newcomer breaks is taken out and evaluated again by whoever needs it.
 */
#include "workload/pkg/ideal_internal.h"

/* --- removing ------------------------------------------------------------------------------- */

static void remove_all(builder *b, const node_list *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        pkg_tree_remove(&b->tree, set->items[i]);
    }
}

static int compare_versions(const pkg_node *a, const pkg_node *b)
{
    return semver_compare(&a->manifest->semver, &b->manifest->semver);
}

/* Is it what an override made of it? */
static bool is_overridden(const pkg_node *node)
{
    if (node->rule == NULL || node->rule->parent == NULL ||
        !pkg_text_equal(node->rule->name, node->name)) {
        return false;
    }
    for (const pkg_edge *edge = node->in; edge != NULL; edge = edge->next_in) {
        if (edge->rule != NULL && pkg_text_equal(edge->rule->name, node->name) &&
            pkg_text_equal(edge->rule->value, node->manifest->version) &&
            edge->rule != edge->from->rule) {
            return true;
        }
    }
    return false;
}

/* Would all who need it be content with what they would find without it? */
static brisk_err is_superfluous(builder *b, pkg_node *node, bool *ret)
{
    pkg_node *above = pkg_node_above(node);
    *ret = false;
    if ((node->flags & PKG_NODE_BUNDLED) != 0 || above == NULL || pkg_node_above(above) == NULL) {
        return BRISK_OK;
    }
    *ret = node->in == NULL;
    if (*ret) {
        return BRISK_OK;
    }
    pkg_node *other = pkg_tree_resolve(&b->tree, pkg_node_above(above), node->key);
    if (other == NULL) {
        return BRISK_OK;
    }
    *ret = pkg_node_same(other, node);
    if (*ret) {
        return BRISK_OK;
    }
    brisk_err err = depset_can_replace(b, other, node, NULL, ret);
    if (err == BRISK_OK && *ret && !b->opts->prefer_dedupe) {
        int order = compare_versions(other, node);
        *ret = order == 0 || (order > 0 && !is_overridden(node));
    }
    return err;
}

static brisk_err prune_duplicates(builder *b, pkg_node *node, bool descend);

/* What lies in it, by path; folders of the project in it too. */
static brisk_err prune_below(builder *b, pkg_node *node)
{
    node_list below = {0};
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < node->child_count && err == BRISK_OK; i++) {
        err = node_list_add(b, &below, node->children[i]);
    }
    for (uint32_t f = 0; f < b->tree.folder_count && err == BRISK_OK; f++) {
        const pkg_node *folder = b->tree.folders[f];
        for (uint32_t i = 0; folder->fs_parent == node && i < folder->child_count; i++) {
            err = err == BRISK_OK ? node_list_add(b, &below, folder->children[i]) : err;
        }
    }
    for (uint32_t i = 0; i < below.count && err == BRISK_OK; i++) {
        if (!node_removed(below.items[i])) {
            err = prune_duplicates(b, below.items[i], true);
        }
    }
    return err;
}

static brisk_err prune_duplicates(builder *b, pkg_node *node, bool descend)
{
    bool superfluous = false;
    brisk_err err = is_superfluous(b, node, &superfluous);
    if (err != BRISK_OK) {
        return err;
    }
    if (superfluous) {
        node_list set = {0};
        err = node_list_add(b, &set, node);
        if (err == BRISK_OK) {
            err = depset_gather(b, &set, (edge_filter){.not_to = node, .fine = true});
        }
        if (err == BRISK_OK) {
            remove_all(b, &set);
        }
        return err;
    }
    return descend ? prune_below(b, node) : BRISK_OK;
}

/* Others of that name below the folder where one was placed, and what lies in those that stay. */
static brisk_err prune_named(builder *b, const pkg_name *key, pkg_node *target)
{
    node_list named = {0};
    brisk_err err = BRISK_OK;
    for (pkg_node *node = key->nodes; node != NULL && err == BRISK_OK; node = node->next_named) {
        err = node_list_add(b, &named, node);
    }
    for (uint32_t i = 0; i < named.count && err == BRISK_OK; i++) {
        pkg_node *node = named.items[i];
        if (node_removed(node) || node->parent == NULL || !pkg_node_is_below(node, target)) {
            continue;
        }
        err = prune_duplicates(b, node, false);
        node_list kids = {0};
        for (uint32_t k = 0; err == BRISK_OK && !node_removed(node) && k < node->child_count; k++) {
            err = node_list_add(b, &kids, node->children[k]);
        }
        for (uint32_t k = 0; err == BRISK_OK && k < kids.count; k++) {
            err =
                node_removed(kids.items[k]) ? BRISK_OK : prune_duplicates(b, kids.items[k], false);
        }
    }
    return err;
}

/* --- replacing ------------------------------------------------------------------------------ */

/* Does a root need it by a path that does not go through `without`? */
static brisk_err needed_without(builder *b, pkg_node *node, const pkg_node *without, bool *ret)
{
    node_list above = {0};
    uint32_t mark = ++b->tree.stamp;
    node->mark = mark;
    brisk_err err = node_list_add(b, &above, node);
    *ret = false;
    for (uint32_t i = 0; i < above.count && err == BRISK_OK; i++) {
        for (pkg_edge *edge = above.items[i]->in; edge != NULL && err == BRISK_OK;
             edge = edge->next_in) {
            if (edge->from == without || edge->from->mark == mark || !pkg_edge_is_fine(edge)) {
                continue;
            }
            if (edge->from->parent == NULL) {
                *ret = true;
                return BRISK_OK;
            }
            edge->from->mark = mark;
            err = node_list_add(b, &above, edge->from);
        }
    }
    return err;
}

/* What the old one needed, the new one does not, and perhaps nobody else. */
static brisk_err gather_old(builder *b, const pkg_node *old, const pkg_node *placed, node_list *ret)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < old->edge_count && err == BRISK_OK; i++) {
        pkg_edge *edge = &old->edges[i];
        bool needed = false;
        if (edge->to == NULL || pkg_node_edge(placed, edge->key) != NULL) {
            continue;
        }
        err = needed_without(b, edge->to, old, &needed);
        if (err != BRISK_OK || needed) {
            continue;
        }
        node_list set = {0};
        err = node_list_add(b, &set, edge->to);
        if (err == BRISK_OK) {
            err = depset_gather(b, &set, (edge_filter){.not_to = edge->to});
        }
        for (uint32_t n = 0; n < set.count && err == BRISK_OK; n++) {
            err = node_list_add(b, ret, set.items[n]);
        }
    }
    return err;
}

/* Sets of peers in that folder that the new one breaks: to be taken out. */
static brisk_err gather_broken(builder *b, const pkg_node *old, pkg_node *placed, node_list *ret)
{
    brisk_err err = BRISK_OK;
    for (pkg_edge *edge = old->in; edge != NULL && err == BRISK_OK; edge = edge->next_in) {
        if (!pkg_edge_is_peer(edge) || edge->from->parent != old->parent || edge->conflicted ||
            pkg_edge_accepts(edge, placed)) {
            continue;
        }
        peer_entries entries = {0};
        err = peers_entries(b, edge->from, &entries);
        for (uint32_t i = 0; i < entries.count && err == BRISK_OK; i++) {
            pkg_edge *entry = entries.items[i].edge;
            if (pkg_node_is_project(entry->from)) {
                edge->conflicted = true;
                continue;
            }
            node_list set = {0};
            err = node_list_add(b, &set, entry->to);
            if (err == BRISK_OK) {
                err = depset_gather(b, &set,
                                    (edge_filter){.not_to = entry->to, .not_conflicted = true});
            }
            for (uint32_t n = 0; n < set.count && err == BRISK_OK; n++) {
                err = node_list_add(b, ret, set.items[n]);
            }
        }
    }
    return err;
}

/* After the replacement: what is wrong or no longer needed, and needed by none outside of itself. */
static brisk_err prune_old(builder *b, pkg_node *placed, const node_list *old)
{
    node_list set = {0};
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < placed->edge_count && err == BRISK_OK; i++) {
        pkg_edge *edge = &placed->edges[i];
        if (edge->to != NULL && !pkg_edge_is_fine(edge)) {
            err = node_list_add(b, &set, edge->to);
        }
    }
    for (uint32_t i = 0; i < old->count && err == BRISK_OK; i++) {
        node_list more = {0};
        err = node_list_add(b, &more, old->items[i]);
        if (err == BRISK_OK) {
            err = depset_gather(b, &more, (edge_filter){.not_to = old->items[i], .fine = true});
        }
        for (uint32_t n = 0; n < more.count && err == BRISK_OK; n++) {
            err = node_list_add(b, &set, more.items[n]);
        }
    }
    if (err == BRISK_OK && set.count > 0) {
        err = depset_gather(b, &set,
                            (edge_filter){.not_to = placed, .not_from = placed, .fine = true});
    }
    if (err == BRISK_OK) {
        remove_all(b, &set);
    }
    return err;
}

static brisk_err replace(builder *b, placing *p, pkg_node *old)
{
    node_list unneeded = {0};
    node_list broken = {0};
    brisk_err err = pkg_tree_load_edges(&b->tree, p->placed);
    if (err == BRISK_OK) {
        err = gather_old(b, old, p->placed, &unneeded);
    }
    if (err == BRISK_OK) {
        err = gather_broken(b, old, p->placed, &broken);
    }
    if (err == BRISK_OK) {
        err = pkg_tree_replace(&b->tree, old, p->placed);
    }
    if (err == BRISK_OK) {
        err = prune_old(b, p->placed, &unneeded);
    }
    for (uint32_t i = 0; i < broken.count && err == BRISK_OK; i++) {
        for (pkg_edge *edge = broken.items[i]->in; edge != NULL && err == BRISK_OK;
             edge = edge->next_in) {
            err = node_list_add(b, &p->to_evaluate, edge->from);
        }
        if (err == BRISK_OK) {
            pkg_tree_remove(&b->tree, broken.items[i]);
        }
    }
    return err;
}

/* --- placing -------------------------------------------------------------------------------- */

/* Is the project itself behind this: one of its own dependencies, or a set of peers that is? */
static brisk_err is_mine(builder *b, const placing *p, bool *ret)
{
    while (p->parent != NULL) {
        p = p->parent;
    }
    pkg_node *node = p->edge->from;
    *ret = pkg_node_is_project(node);
    if (*ret || !pkg_edge_is_peer(p->edge)) {
        return BRISK_OK;
    }
    bool has_peer_edges = false;
    for (const pkg_edge *edge = node->in; edge != NULL; edge = edge->next_in) {
        has_peer_edges = has_peer_edges || pkg_edge_is_peer(edge);
        *ret = *ret || (!pkg_edge_is_peer(edge) && pkg_node_is_project(edge->from));
    }
    if (*ret || !has_peer_edges) {
        return BRISK_OK;
    }
    peer_entries entries = {0};
    brisk_err err = peers_entries(b, node, &entries);
    for (uint32_t i = 0; i < entries.count && err == BRISK_OK; i++) {
        *ret = *ret || pkg_node_is_project(entries.items[i].edge->from);
    }
    return err;
}

static brisk_err fail_place(builder *b, const placing *p)
{
    const placing *top = p;
    while (top->parent != NULL) {
        top = top->parent;
    }
    const can_place *below = top->self != NULL ? top->self->conflict : NULL;
    pkg_conflict conflict = {
        .edge = top->edge,
        .candidate = top->dep,
        .current = pkg_tree_resolve(&b->tree, top->edge->from, top->edge->key),
    };
    if (below != NULL) {
        conflict.peer = below->edge;
        conflict.current = below->current != NULL
                               ? below->current
                               : pkg_tree_resolve(&b->tree, below->target, below->edge->key);
    }
    for (const pkg_edge *in = conflict.current != NULL ? conflict.current->in : NULL; in != NULL;
         in = in->next_in) {
        if (pkg_edge_is_fine(in) && in != top->edge) {
            conflict.current_edge = in;
        }
    }
    return peers_fail(b, &conflict);
}

/* The highest folder that takes it, in p->can; where it alone would go, in p->self. */
static brisk_err find_folder(builder *b, placing *p)
{
    for (pkg_node *target = p->start; target != NULL; target = pkg_node_above(target)) {
        const pkg_edge *target_edge = pkg_node_edge(target, p->edge->key);
        if (target->parent != NULL && target_edge != NULL && pkg_edge_is_peer(target_edge)) {
            continue;
        }
        can_place *c = brisk_arena_calloc(b->scratch, 1, sizeof *c);
        if (c == NULL) {
            return BRISK_ERR_NOMEM;
        }
        c->dep = p->dep;
        c->target = target;
        c->edge = p->edge;
        c->parent = p->parent != NULL ? p->parent->can : NULL;
        c->prefer_dedupe = b->opts->prefer_dedupe;
        brisk_err err = can_place_check(b, c);
        if (err != BRISK_OK) {
            return err;
        }
        if (c->self != PLACE_CONFLICT) {
            p->self = c;
        }
        if (c->answer == PLACE_CONFLICT) {
            break;
        }
        p->can = c;
        if (node_failed(p->dep)) {
            break;
        }
    }
    return BRISK_OK;
}

/* a -> b -> a' -> b' -> a: the same thing above the folder is linked instead of nested forever. */
static pkg_node *same_above(const placing *p, pkg_node *target)
{
    for (pkg_node *at = target; at != NULL; at = pkg_node_above(at)) {
        if (at->parent != NULL && pkg_node_same(at, p->dep)) {
            return at;
        }
    }
    return NULL;
}

static brisk_err copy_of(builder *b, const pkg_node *dep, pkg_node **ret)
{
    pkg_node *node = NULL;
    brisk_err err = pkg_node_new(&b->tree, dep->name, dep->manifest, &node);
    if (err == BRISK_OK) {
        node->flags |= dep->flags & (PKG_NODE_LINK | PKG_NODE_FAILED);
        node->target = dep->target;
        node->resolved = dep->resolved;
        node->integrity = dep->integrity;
        node->rule = dep->rule;
        node->extra = dep->extra;
        *ret = node;
    }
    return err;
}

/* Into the folder; what is there of that name is replaced. */
static brisk_err put(builder *b, placing *p, pkg_node *target)
{
    const pkg_node *dep = p->dep;
    bool lone = dep->parent == NULL && dep->index == UINT32_MAX &&
                (dep->flags & (PKG_NODE_VIRTUAL | PKG_NODE_REMOVED)) == 0;
    p->placed = p->dep; /* one of a virtual root stays there: others may still come from it */
    brisk_err err = lone ? BRISK_OK : copy_of(b, dep, &p->placed);
    if (err != BRISK_OK) {
        return err;
    }
    pkg_node *old = pkg_tree_child(&b->tree, target, p->edge->key);
    err = old != NULL ? replace(b, p, old) : pkg_tree_put(&b->tree, target, p->placed);
    if (err == BRISK_ERR_LIMIT) {
        return ideal_fail(b, err,
                          "%.*s: node_modules nest more than %d deep, or there are too many",
                          (int)p->dep->name.size, p->dep->name.data, PKG_TREE_DEPTH_MAX);
    }
    b->placed++;
    if (err == BRISK_OK && pkg_edge_is_peer(p->edge) && !pkg_edge_accepts(p->edge, p->placed)) {
        p->edge->conflicted = true;
    }
    if (err == BRISK_OK && p->edge->to != NULL && p->edge->to != p->placed &&
        pkg_edge_is_fine(p->edge)) {
        err = prune_duplicates(b, p->edge->to, false);
    }
    return err == BRISK_OK ? prune_named(b, p->edge->key, target) : err;
}

static brisk_err place_one(builder *b, placing *p, placing **end);

/* What it has as peers and does not find. */
static brisk_err place_peers(builder *b, placing *p, pkg_node *companions, placing **end)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; companions != NULL && i < p->placed->edge_count && err == BRISK_OK; i++) {
        pkg_edge *edge = &p->placed->edges[i];
        if (pkg_edge_is_fine(edge) || !pkg_edge_is_peer(edge) || edge->conflicted) {
            continue;
        }
        pkg_node *peer = pkg_tree_child(&b->tree, companions, edge->key);
        if (peer == NULL || !pkg_edge_accepts(edge, peer)) {
            continue; /* an optional one, or one given up: whatever is found must do */
        }
        placing *below = brisk_arena_calloc(b->scratch, 1, sizeof *below);
        if (below == NULL) {
            return BRISK_ERR_NOMEM;
        }
        below->dep = peer;
        below->edge = edge;
        below->parent = p;
        err = place_one(b, below, end);
    }
    return err;
}

/* Nothing takes it with all its peers. */
static brisk_err no_folder(builder *b, placing *p)
{
    bool mine = false;
    brisk_err err = is_mine(b, p, &mine);
    if (err != BRISK_OK) {
        return err;
    }
    if (mine || b->opts->strict_peer_deps) {
        return fail_place(b, p);
    }
    if (p->self == NULL) {
        p->edge->conflicted = true;
    }
    p->can = p->self;
    return BRISK_OK;
}

static brisk_err place_one(builder *b, placing *p, placing **end)
{
    (*end)->next = p;
    *end = p;
    if (p->edge->to != NULL && pkg_edge_is_fine(p->edge)) {
        return BRISK_OK;
    }
    p->start = deepest_target(p->parent != NULL ? p->parent->start : p->edge->from, p->edge->key);
    brisk_err err = find_folder(b, p);
    if (err == BRISK_OK && p->can == NULL) {
        err = no_folder(b, p);
    }
    if (err != BRISK_OK || p->can == NULL) {
        return err;
    }
    pkg_node *target = p->can->target;
    place_answer answer = p->can->answer == PLACE_CONFLICT ? p->can->self : p->can->answer;
    if (answer == PLACE_KEEP) {
        if (pkg_edge_is_peer(p->edge) && !pkg_edge_is_fine(p->edge)) {
            p->edge->conflicted = true;
        }
        return prune_duplicates(b, target, true);
    }
    pkg_node *same = same_above(p, target);
    if (same != NULL) {
        return pkg_tree_add_link(&b->tree, target, same->name, same, &p->placed);
    }
    pkg_node *companions = p->dep->parent;
    err = put(b, p, target);
    return err == BRISK_OK ? place_peers(b, p, companions, end) : err;
}

brisk_err place_dep(builder *b, pkg_node *dep, pkg_edge *edge, placing **ret)
{
    placing *p = brisk_arena_calloc(b->scratch, 1, sizeof *p);
    if (p == NULL) {
        return BRISK_ERR_NOMEM;
    }
    p->dep = dep;
    p->edge = edge;
    placing head = {0};
    placing *end = &head;
    brisk_err err = place_one(b, p, &end);
    *ret = p;
    return err;
}
