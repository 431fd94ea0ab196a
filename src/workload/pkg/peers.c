/*
 * peers.c -- a candidate comes with its peers; behind ideal_internal.h.
 *
 * A virtual root stands for the node that needs something, with the same dependencies; the
 * candidate and its peers, and theirs, are its children.  Peers that the root itself depends on are
 * chosen by the root's range, unless only the peer's own range satisfies both.  Two that want
 * different versions of a third are a conflict: of the project's own, an error; of others', noted,
 * and settled when they are placed (each may find its own further down).
 *
 * A candidate without peers needs no virtual root and gets none; `lone` of the node remembers it.
 *
 * Invariant: an edge->conflicted is never looked at again.
 */
#include "workload/pkg/ideal_internal.h"

static const pkg_manifest nothing; /* of what could not be had */

/* --- candidates ----------------------------------------------------------------------------- */

static bool has_peers(const builder *b, const pkg_manifest *m)
{
    if (b->opts->legacy_peer_deps) {
        return false;
    }
    for (uint32_t i = 0; i < m->dep_count; i++) {
        if (m->deps[i].kind == PKG_DEP_PEER || m->deps[i].kind == PKG_DEP_PEER_OPTIONAL) {
            return true;
        }
    }
    return false;
}

/* A link to a folder of the project that the edge names; *ret stays NULL when it names none. */
static brisk_err linked(builder *b, const pkg_edge *edge, pkg_node **ret)
{
    pkg_node *target = NULL;
    brisk_err err = folder_of(b, edge, &target);
    if (err != BRISK_OK || target == NULL) {
        return err;
    }
    pkg_node *node = NULL;
    err = pkg_node_new(&b->tree, edge->dep->name, target->manifest, &node);
    if (err == BRISK_OK) {
        node->flags |= PKG_NODE_LINK;
        node->target = target;
        node->resolved = target->path;
        node->integrity = (pkg_text){0};
        *ret = node;
    }
    return err;
}

/* A node for what `edge` means, nowhere yet; a failed one when it cannot be had. */
static brisk_err node_for(builder *b, const pkg_edge *edge, pkg_node **ret)
{
    if (++b->tries > PKG_PEER_TRIES_MAX) {
        return ideal_fail(b, BRISK_ERR_LIMIT, "%.*s: its peers need too many tries",
                          (int)edge->dep->name.size, edge->dep->name.data);
    }
    *ret = NULL;
    brisk_err err = linked(b, edge, ret);
    if (err != BRISK_OK || *ret != NULL) {
        return err;
    }
    const pkg_manifest *manifest = NULL;
    pkg_failure *failure = NULL;
    err = choose(b, edge, &manifest, &failure);
    if (err == BRISK_OK) {
        err = pkg_node_new(&b->tree, edge->dep->name, manifest != NULL ? manifest : &nothing, ret);
    }
    if (err == BRISK_OK && manifest == NULL) {
        (*ret)->flags |= PKG_NODE_FAILED;
        (*ret)->extra = failure;
    }
    return err;
}

/* --- virtual roots -------------------------------------------------------------------------- */

/* Folders that the node's node_modules link to see what a virtual root has. */
static brisk_err add_folders(builder *b, pkg_node *node, pkg_node *root)
{
    for (uint32_t i = 0; i < node->child_count; i++) {
        pkg_node *target = node->children[i]->target;
        if ((node->children[i]->flags & PKG_NODE_LINK) == 0 || target == NULL ||
            target->parent != NULL || target->fs_parent != node) {
            continue;
        }
        brisk_err err = pkg_tree_virtual_folder(&b->tree, root, target);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return BRISK_OK;
}

static brisk_err root_new(builder *b, pkg_node *node, pkg_node **ret)
{
    pkg_node *root = NULL;
    brisk_err err = pkg_tree_virtual(&b->tree, node, &root);
    if (err == BRISK_OK) {
        err = add_folders(b, node, root);
    }
    if (err == BRISK_OK) {
        node->virtual_root = root;
        node->lone = NULL;
        *ret = root;
    }
    return err;
}

static brisk_err put(builder *b, pkg_node *root, pkg_node *node)
{
    if (root->child_count >= PKG_PEER_SET_MAX) {
        return ideal_fail(b, BRISK_ERR_LIMIT, "%.*s: more than %d peers come along",
                          (int)node->name.size, node->name.data, PKG_PEER_SET_MAX);
    }
    return pkg_tree_put(&b->tree, root, node);
}

brisk_err peers_root(builder *b, pkg_node *node, pkg_node **ret)
{
    if (node->virtual_root != NULL) {
        *ret = node->virtual_root;
        return BRISK_OK;
    }
    pkg_node *lone = node->lone;
    brisk_err err = root_new(b, node, ret);
    if (err == BRISK_OK && lone != NULL) {
        pkg_node *copy = NULL;
        err = pkg_node_new(&b->tree, lone->name, lone->manifest, &copy);
        if (err == BRISK_OK) {
            copy->flags |= lone->flags & (PKG_NODE_FAILED | PKG_NODE_LINK);
            copy->extra = lone->extra;
            copy->target = lone->target;
            err = put(b, *ret, copy);
        }
    }
    return err;
}

/* --- a set of peers ------------------------------------------------------------------------- */

static bool settled(const pkg_edge *edge)
{
    return edge->to != NULL && pkg_edge_is_fine(edge);
}

static brisk_err fail_peer(builder *b, pkg_edge *edge, pkg_edge *root_edge)
{
    pkg_conflict conflict = {
        .edge = edge,
        .candidate = NULL,
        .current = pkg_tree_resolve(&b->tree, edge->from, edge->key),
        .current_edge = root_edge,
        .peer = edge,
    };
    for (const pkg_edge *in = conflict.current != NULL ? conflict.current->in : NULL;
         in != NULL && conflict.current_edge == NULL; in = in->next_in) {
        if (in != edge && pkg_edge_is_fine(in)) {
            conflict.current_edge = in;
        }
    }
    return peers_fail(b, &conflict);
}

/* A peer that is not there yet. */
static brisk_err bring(builder *b, pkg_node *node, pkg_edge *edge, bool conflict_ok)
{
    pkg_node *root = node->parent;
    pkg_edge *root_edge = NULL;
    pkg_node *dep = NULL;
    brisk_err err = pkg_tree_virtual_edge(&b->tree, root, edge->key, &root_edge);
    if (err != BRISK_OK) {
        return err;
    }
    if (root_edge == NULL) {
        return peers_candidate(b, edge, root, NULL, &dep);
    }
    err = peers_candidate(b, root_edge, root, edge, &dep);
    if (err != BRISK_OK || pkg_edge_is_fine(edge)) {
        return err;
    }
    if (conflict_ok || dep->required != b->required) {
        edge->conflicted = true;
        return BRISK_OK;
    }
    return node_removed(node) ? BRISK_OK : fail_peer(b, edge, root_edge);
}

/* A peer that is there in another version: will all others take the one that is wanted? */
static brisk_err exchange(builder *b, pkg_node *node, pkg_edge *edge, bool conflict_ok)
{
    pkg_node *current = edge->to;
    pkg_node *dep = NULL;
    bool fits = false;
    brisk_err err = peers_candidate(b, edge, NULL, NULL, &dep);
    if (err == BRISK_OK) {
        err = depset_can_replace(b, dep, current, NULL, &fits);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (fits && !node_removed(node)) {
        return peers_candidate(b, edge, node->parent, NULL, &dep);
    }
    if (conflict_ok || edge->from->required != b->required || node_removed(node)) {
        return BRISK_OK;
    }
    return fail_peer(b, edge, pkg_node_edge(node->parent, edge->key));
}

static brisk_err load_set(builder *b, pkg_node *node)
{
    brisk_err err = BRISK_OK;
    uint32_t count = 0;
    pkg_edge **edges = NULL;
    for (uint32_t i = 0; i < node->edge_count; i++) {
        count += pkg_edge_is_peer(&node->edges[i]) && !settled(&node->edges[i]);
    }
    if (count == 0) {
        return BRISK_OK;
    }
    edges = brisk_arena_alloc(b->scratch, count * sizeof(pkg_edge *));
    if (edges == NULL) {
        return BRISK_ERR_NOMEM;
    }
    count = 0;
    for (uint32_t i = 0; i < node->edge_count; i++) {
        if (pkg_edge_is_peer(&node->edges[i]) && !settled(&node->edges[i])) {
            edges[count++] = &node->edges[i];
        }
    }
    for (uint32_t i = 0; i < count && err == BRISK_OK && !node_removed(node); i++) {
        if (settled(edges[i])) {
            continue;
        }
        bool conflict_ok = !pkg_node_is_project(node->parent->source) && !b->opts->strict_peer_deps;
        err = edges[i]->to == NULL ? bring(b, node, edges[i], conflict_ok)
                                   : exchange(b, node, edges[i], conflict_ok);
    }
    return err;
}

static bool makes_required(const builder *b, const pkg_edge *edge)
{
    return edge != NULL && edge->from->required == b->required &&
           edge->dep->kind != PKG_DEP_PEER_OPTIONAL;
}

brisk_err peers_candidate(builder *b, pkg_edge *edge, pkg_node *parent, pkg_edge *second,
                          pkg_node **ret)
{
    pkg_node *node = NULL;
    brisk_err err = node_for(b, edge, &node);
    if (err != BRISK_OK) {
        return err;
    }
    bool required = makes_required(b, edge) || makes_required(b, second);
    if (parent == NULL && second == NULL && !has_peers(b, node->manifest)) {
        node->rule = edge->rule;
        node->required = required ? b->required : 0;
        edge->from->virtual_root = NULL;
        edge->from->lone = node;
        *ret = node;
        return BRISK_OK;
    }
    if (b->peer_depth >= PKG_PEER_DEPTH_MAX) {
        return ideal_fail(b, BRISK_ERR_LIMIT, "%.*s: peers of peers, more than %d deep",
                          (int)edge->dep->name.size, edge->dep->name.data, PKG_PEER_DEPTH_MAX);
    }
    err = parent == NULL ? root_new(b, edge->from, &parent) : BRISK_OK;
    if (err == BRISK_OK) {
        err = put(b, parent, node);
    }
    if (err == BRISK_OK && second != NULL && !pkg_edge_is_fine(second)) {
        pkg_node *other = NULL;
        err = node_for(b, second, &other);
        if (err == BRISK_OK) {
            err = put(b, parent, other);
        }
        if (err == BRISK_OK && pkg_edge_is_fine(edge)) {
            node = other;
        } else if (err == BRISK_OK) {
            err = put(b, parent, node);
        }
    }
    if (err == BRISK_OK) {
        node->required = required ? b->required : 0;
        b->peer_depth++;
        err = load_set(b, node);
        b->peer_depth--;
        *ret = node;
    }
    return err;
}

/* --- sets in the tree ----------------------------------------------------------------------- */

/* Peers of the listed, and, when `both`, who has the listed as a peer. */
static brisk_err close_over_peers(builder *b, node_list *set, uint32_t mark, bool both)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < set->count && err == BRISK_OK; i++) {
        pkg_node *node = set->items[i];
        for (uint32_t e = 0; e < node->edge_count && err == BRISK_OK; e++) {
            pkg_edge *edge = &node->edges[e];
            if (edge->to != NULL && edge->to->mark != mark && pkg_edge_is_peer(edge) &&
                pkg_edge_is_fine(edge)) {
                edge->to->mark = mark;
                err = node_list_add(b, set, edge->to);
            }
        }
        for (pkg_edge *in = node->in; both && in != NULL && err == BRISK_OK; in = in->next_in) {
            if (in->from->mark != mark && pkg_edge_is_peer(in) && pkg_edge_is_fine(in)) {
                in->from->mark = mark;
                err = node_list_add(b, set, in->from);
            }
        }
    }
    return err;
}

static brisk_err entry_add(builder *b, peer_entries *list, pkg_edge *edge, node_list set)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        peer_entry *items = brisk_arena_alloc(b->scratch, capacity * sizeof *items);
        if (items == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (peer_entry){edge, set};
    return BRISK_OK;
}

/* The set that comes in by `edge`, when `node` is in it. */
static brisk_err entry_by(builder *b, pkg_edge *edge, const pkg_node *node, peer_entries *ret)
{
    node_list set = {0};
    uint32_t mark = ++b->tree.stamp;
    edge->to->mark = mark;
    brisk_err err = node_list_add(b, &set, edge->to);
    if (err == BRISK_OK) {
        err = close_over_peers(b, &set, mark, false);
    }
    return err == BRISK_OK && node->mark == mark ? entry_add(b, ret, edge, set) : err;
}

brisk_err peers_entries(builder *b, pkg_node *node, peer_entries *ret)
{
    node_list all = {0};
    uint32_t mark = ++b->tree.stamp;
    node->mark = mark;
    brisk_err err = node_list_add(b, &all, node);
    if (err == BRISK_OK) {
        err = close_over_peers(b, &all, mark, true);
    }
    for (uint32_t i = 0; i < all.count && err == BRISK_OK; i++) {
        for (pkg_edge *edge = all.items[i]->in; edge != NULL && err == BRISK_OK;
             edge = edge->next_in) {
            if (pkg_edge_is_fine(edge) && (!pkg_edge_is_peer(edge) || edge->from->parent == NULL)) {
                err = entry_by(b, edge, node, ret);
            }
        }
    }
    return err;
}
