/*
 * can_place.c -- may a candidate go into that node_modules?  Behind ideal_internal.h.
 *
 * Nothing is changed here.  The rules, in the order in which they are asked:
 *
 *     what failed to load may go anywhere: it will be pruned, or end the build
 *     no peer goes into its own dependent
 *     nothing goes where the folder's own dependency wants something else
 *     nothing there:  OK, if all below who look through this folder are content with it
 *     the same there: KEEP
 *     older there:    REPLACE, if all who need that one are content with the new one
 *     newer there:    KEEP if it will do; when deduplicating, REPLACE if all are content
 *     else CONFLICT, unless the candidate can go nowhere else and what is there can
 *
 * and all peers of the candidate must be placeable there or above.
 *
 * A peer is looked at once per question and folder, however many ways lead to it: the answer is
 * whether any of them is in conflict.
 */
#include "workload/pkg/ideal_internal.h"

pkg_node *deepest_target(pkg_node *from, const pkg_name *key)
{
    for (pkg_node *at = from;; at = pkg_node_above(at)) {
        if (at->index == 0 || pkg_node_above(at) == NULL) {
            return at;
        }
        const pkg_edge *edge = pkg_node_edge(at, key);
        if (edge == NULL || !pkg_edge_is_peer(edge)) {
            return at;
        }
    }
}

static pkg_node *deepest_of(const can_place *c)
{
    pkg_node *start = c->parent != NULL ? deepest_of(c->parent) : c->edge->from;
    return deepest_target(start, c->edge->key);
}

static const pkg_edge *entry_edge(const can_place *c)
{
    while (c->parent != NULL) {
        c = c->parent;
    }
    return c->edge;
}

/* A node that would come along with `dep`, by name. */
static pkg_node *companion(const builder *b, pkg_node *dep, const pkg_name *key)
{
    if (dep->parent != NULL) {
        return pkg_tree_child(&b->tree, dep->parent, key);
    }
    return dep->key == key ? dep : NULL;
}

/* --- peers ---------------------------------------------------------------------------------- */

static brisk_err check(builder *b, can_place *c);

static brisk_err check_peer(builder *b, can_place *c, pkg_edge *edge)
{
    pkg_node *target = deepest_target(c->target, edge->key);
    if (edge->checked_stamp == b->check && edge->checked == target) {
        return BRISK_OK;
    }
    edge->checked_stamp = b->check;
    edge->checked = target;
    can_place *below = brisk_arena_calloc(b->scratch, 1, sizeof *below);
    if (below == NULL) {
        return BRISK_ERR_NOMEM;
    }
    below->dep = edge->to;
    below->target = target;
    below->edge = edge;
    below->parent = c;
    below->prefer_dedupe = true;
    brisk_err err = check(b, below);
    if (err == BRISK_OK && below->answer == PLACE_CONFLICT) {
        c->peers = PLACE_CONFLICT;
        if (c->conflict == NULL) {
            c->conflict =
                below->current != NULL || below->conflict == NULL ? below : below->conflict;
        }
    }
    return err;
}

/* `state`, or CONFLICT when a peer cannot go along. */
static brisk_err with_peers(builder *b, can_place *c, place_answer state, place_answer *ret)
{
    c->self = state;
    if (c->peers != PLACE_UNKNOWN) {
        *ret = c->peers;
        return BRISK_OK;
    }
    brisk_err err = BRISK_OK;
    bool was_on_path = c->dep->on_path;
    c->dep->on_path = true;
    for (uint32_t i = 0; i < c->dep->edge_count && err == BRISK_OK; i++) {
        pkg_edge *edge = &c->dep->edges[i];
        if (pkg_edge_is_peer(edge) && edge->to != NULL && !edge->to->on_path) {
            err = check_peer(b, c, edge);
        }
    }
    c->dep->on_path = was_on_path;
    if (c->peers == PLACE_UNKNOWN) {
        c->peers = state;
    }
    *ret = c->peers;
    return err;
}

/* --- where something is already ------------------------------------------------------------- */

/* Would what comes along do for all peers that come in with `entry`, which does not? */
static brisk_err may_clobber(builder *b, pkg_node *dep, pkg_node *entry, bool *ret)
{
    node_list walk = {0};
    uint32_t mark = ++b->tree.stamp;
    entry->mark = mark;
    brisk_err err = node_list_add(b, &walk, entry);
    *ret = true;
    for (uint32_t i = 0; i < walk.count && err == BRISK_OK; i++) {
        pkg_node *node = walk.items[i];
        for (uint32_t e = 0; e < node->edge_count && err == BRISK_OK; e++) {
            pkg_edge *edge = &node->edges[e];
            if (!pkg_edge_is_peer(edge) || !pkg_edge_is_fine(edge)) {
                continue;
            }
            pkg_node *instead = companion(b, dep, edge->key);
            if (instead != NULL && !pkg_edge_accepts(edge, instead)) {
                *ret = false;
                return BRISK_OK;
            }
            if (instead == NULL && edge->to != NULL && edge->to->mark != mark) {
                edge->to->mark = mark;
                err = node_list_add(b, &walk, edge->to);
            }
        }
    }
    return err;
}

/* Can the set that comes in by that edge be replaced by what comes along, or go deeper? */
static brisk_err may_displace(builder *b, const can_place *c, const peer_entry *entry, bool *ret)
{
    pkg_node *node = entry->edge->to;
    pkg_node *instead = companion(b, c->dep, node->key);
    bool fits = false;
    brisk_err err = instead != NULL ? depset_can_replace(b, instead, node, c->dep->parent, &fits)
                                    : may_clobber(b, c->dep, node, &fits);
    *ret = true;
    for (uint32_t i = 0; i < entry->set.count && err == BRISK_OK && !fits && *ret; i++) {
        pkg_node *deepest = deepest_target(entry->edge->from, entry->set.items[i]->key);
        *ret = deepest != c->target && !pkg_node_is_below(c->target, deepest);
    }
    return err;
}

static brisk_err displace_all(builder *b, can_place *c, place_answer *ret)
{
    peer_entries entries = {0};
    brisk_err err = peers_entries(b, c->current, &entries);
    const pkg_edge *top = entry_edge(c);
    bool may = true;
    for (uint32_t i = 0; i < entries.count && err == BRISK_OK && may; i++) {
        if (entries.items[i].edge != c->edge && entries.items[i].edge != top) {
            err = may_displace(b, c, &entries.items[i], &may);
        }
    }
    *ret = PLACE_CONFLICT;
    return err == BRISK_OK && may ? with_peers(b, c, PLACE_REPLACE, ret) : err;
}

static bool has_version(const pkg_node *node)
{
    return node->manifest->version.size > 0;
}

static brisk_err try_replace(builder *b, can_place *c, place_answer *ret)
{
    bool fits = false;
    brisk_err err = depset_can_replace(b, c->dep, c->current, NULL, &fits);
    *ret = PLACE_CONFLICT;
    return err == BRISK_OK && fits ? with_peers(b, c, PLACE_REPLACE, ret) : err;
}

static brisk_err check_current(builder *b, can_place *c, place_answer *ret)
{
    pkg_node *current = c->current;
    bool will_do = pkg_edge_accepts(c->edge, current);
    *ret = PLACE_KEEP;
    if ((will_do || c->edge_override) && pkg_node_same(c->dep, current)) {
        return BRISK_OK;
    }
    bool newer = has_version(current) && has_version(c->dep) &&
                 semver_compare(&c->dep->manifest->semver, &current->manifest->semver) >= 0;
    brisk_err err = BRISK_OK;
    if (newer) {
        err = try_replace(b, c, ret);
        if (err != BRISK_OK || *ret != PLACE_CONFLICT) {
            return err;
        }
    }
    if (will_do) {
        *ret = PLACE_KEEP;
        return BRISK_OK;
    }
    if (c->prefer_dedupe && !newer) {
        err = try_replace(b, c, ret);
        if (err != BRISK_OK || *ret != PLACE_CONFLICT) {
            return err;
        }
    }
    *ret = PLACE_CONFLICT;
    if (c->target != deepest_of(c)) {
        return BRISK_OK; /* it can go deeper: leave that one alone */
    }
    if (!pkg_edge_is_peer(c->edge) && c->target == c->edge->from) {
        return with_peers(b, c, PLACE_REPLACE, ret);
    }
    if (c->parent == NULL && !pkg_edge_is_peer(c->edge)) {
        return BRISK_OK;
    }
    return displace_all(b, c, ret);
}

/* --- where nothing is ----------------------------------------------------------------------- */

static brisk_err check_free(builder *b, can_place *c, place_answer *ret)
{
    const pkg_node *shadowed = c->target != entry_edge(c)->from
                                   ? pkg_tree_resolve(&b->tree, c->target, c->edge->key)
                                   : NULL;
    *ret = PLACE_CONFLICT;
    for (pkg_edge *edge = shadowed != NULL ? shadowed->in : NULL; edge != NULL;
         edge = edge->next_in) {
        if (pkg_edge_is_fine(edge) && !pkg_edge_accepts(edge, c->dep) &&
            pkg_node_is_below(edge->from, c->target)) {
            return BRISK_OK;
        }
    }
    return with_peers(b, c, PLACE_OK, ret);
}

static brisk_err check(builder *b, can_place *c)
{
    c->prefer_dedupe = c->prefer_dedupe || pkg_edge_is_peer(c->edge);
    c->current = pkg_tree_child(&b->tree, c->target, c->edge->key);
    c->target_edge = pkg_node_edge(c->target, c->edge->key);
    c->edge_override = !pkg_edge_accepts(c->edge, c->dep);
    brisk_err err = BRISK_OK;
    if (node_failed(c->dep)) {
        c->answer = c->current != NULL ? PLACE_REPLACE : PLACE_OK;
    } else if (c->target_edge != NULL && pkg_edge_is_peer(c->target_edge) &&
               c->target->parent != NULL) {
        c->answer = PLACE_CONFLICT;
    } else if (c->current == NULL && c->target_edge != NULL && c->target_edge != c->edge &&
               !pkg_edge_accepts(c->target_edge, c->dep)) {
        c->answer = PLACE_CONFLICT;
    } else if (c->current != NULL) {
        err = check_current(b, c, &c->answer);
    } else {
        err = check_free(b, c, &c->answer);
    }
    if (c->self == PLACE_UNKNOWN) {
        c->self = c->answer;
    }
    return err;
}

brisk_err can_place_check(builder *b, can_place *c)
{
    b->check++;
    return check(b, c);
}
