/*
 * edge.c -- who needs what, and what is found; behind tree.h.
 *
 * Of several dependencies of one name the strongest counts: a workspace, then a dependency of
 * development (of a root or a folder), an optional one, a plain one, a peer.
 *
 * Invariant: an edge is in the list of the node it points to, and, unless its node is virtual, in
 * the list of its name.
 *
 * Source: the rules npm's documentation gives for package.json.
 */
#include "workload/pkg/gitspec.h"
#include "workload/pkg/override.h"
#include "workload/pkg/tree_internal.h"

/* --- specs ---------------------------------------------------------------------------------- */

static bool is_any(pkg_text spec)
{
    return spec.size == 0 || (spec.size == 1 && spec.data[0] == '*');
}

/* What the package itself says; rules come later. */
static brisk_err set_raw(const pkg_tree *tree, pkg_edge *edge)
{
    edge->spec = edge->dep->spec;
    edge->raw_range = edge->dep->range;
    edge->raw_any = is_any(edge->spec);
    if (edge->raw_range == NULL && !edge->raw_any && edge->dep->kind != PKG_DEP_WORKSPACE) {
        pkg_spec *parsed = brisk_arena_calloc(tree->arena, 1, sizeof *parsed);
        if (parsed == NULL) {
            return BRISK_ERR_NOMEM;
        }
        brisk_err err = pkg_spec_parse(edge->dep->name, edge->spec, tree->arena, parsed);
        if (err != BRISK_OK) {
            return err;
        }
        edge->raw_range = parsed->range;
        edge->raw_parsed = parsed->type == PKG_SPEC_RANGE ? NULL : parsed;
        edge->raw_any = is_any(parsed->wanted) &&
                        (parsed->type == PKG_SPEC_ALIAS || parsed->type == PKG_SPEC_RANGE);
    }
    edge->range = edge->raw_range;
    edge->parsed = edge->raw_parsed;
    edge->any = edge->raw_any;
    return BRISK_OK;
}

/* A step of a path: where it ends. */
static size_t step_end(pkg_text path, size_t at)
{
    while (at < path.size && path.data[at] != '/') {
        at++;
    }
    return at;
}

/* Put together what is left of `relative` seen from `base`; the length, or 0 with *fits false. */
static size_t join(pkg_text base, pkg_text relative, char *ret, size_t size, bool *fits)
{
    size_t length = 0;
    bool absolute = relative.size > 0 && relative.data[0] == '/';
    const pkg_text parts[2] = {absolute ? PKG_TEXT("") : base, relative};
    *fits = true;
    for (uint32_t i = 0; i < 2; i++) {
        for (size_t at = 0; at < parts[i].size;) {
            size_t end = step_end(parts[i], at);
            pkg_text step = {parts[i].data + at, end - at};
            at = end + 1;
            size_t last = length;
            while (last > 0 && ret[last - 1] != '/') {
                last--;
            }
            bool can_go_up =
                length > 0 && !(length - last == 2 && memcmp(ret + last, "..", 2) == 0);
            if (step.size == 0 || pkg_text_is(step, ".")) {
                continue;
            }
            if (pkg_text_is(step, "..") && can_go_up) {
                length = last > 0 ? last - 1 : 0;
                continue;
            }
            bool slash = length > 0 || absolute;
            if (length + slash + step.size > size) {
                *fits = false;
                return 0;
            }
            if (slash) {
                ret[length++] = '/';
            }
            memcpy(ret + length, step.data, step.size);
            length += step.size;
        }
    }
    return length;
}

enum { PATH_SIZE_MAX = 4096 };

brisk_err pkg_path_join(brisk_arena *arena, pkg_text base, pkg_text relative, pkg_text *ret)
{
    char path[PATH_SIZE_MAX];
    bool fits = false;
    size_t size = join(base, relative, path, sizeof path, &fits);
    char *copy = fits ? brisk_arena_copy(arena, path, size) : NULL;
    if (copy == NULL) {
        return fits ? BRISK_ERR_NOMEM : BRISK_ERR_LIMIT;
    }
    *ret = (pkg_text){copy, size};
    return BRISK_OK;
}

/* Does `relative`, seen from the folder `base`, name `path`? */
static bool path_is(pkg_text base, pkg_text relative, pkg_text path)
{
    char joined[PATH_SIZE_MAX];
    bool fits = false;
    size_t size = join(base, relative, joined, sizeof joined, &fits);
    return fits && pkg_text_equal((pkg_text){joined, size}, path);
}

static bool begins(pkg_text text, const char *with)
{
    size_t size = strlen(with);
    return text.size >= size && memcmp(text.data, with, size) == 0;
}

static bool range_accepts(const semver_range *range, const pkg_node *node)
{
    return node->manifest->version.size > 0 && semver_range_has(range, &node->manifest->semver);
}

static bool other_accepts(const pkg_edge *edge, const pkg_spec *spec, const pkg_node *node)
{
    bool is_link = (node->flags & PKG_NODE_LINK) != 0;
    switch (spec->type) {
    case PKG_SPEC_TAG:
    case PKG_SPEC_ALIAS: /* of a tag: of a range there is a range */
        return begins(node->resolved, "http:") || begins(node->resolved, "https:");
    case PKG_SPEC_TARBALL: return pkg_text_equal(node->resolved, spec->wanted);
    case PKG_SPEC_GIT:
        return !is_link && pkg_git_same(spec->wanted, node->resolved) &&
               (spec->git_range == NULL || range_accepts(spec->git_range, node));
    case PKG_SPEC_FOLDER:
    case PKG_SPEC_WORKSPACE:
        return is_link && node->target != NULL &&
               path_is(edge->overridden ? PKG_TEXT("") : edge->from->path, spec->wanted,
                       node->target->path);
    case PKG_SPEC_FILE:
        return !is_link && begins(node->resolved, "file:") &&
               path_is(edge->overridden ? PKG_TEXT("") : edge->from->path, spec->wanted,
                       (pkg_text){node->resolved.data + 5, node->resolved.size - 5});
    case PKG_SPEC_RANGE:
    case PKG_SPEC_INVALID:
    default: return false;
    }
}

static bool spec_accepts(const pkg_edge *edge, const pkg_node *node)
{
    if (edge->dep->kind == PKG_DEP_WORKSPACE) {
        return (node->flags & PKG_NODE_LINK) != 0 && node->target != NULL &&
               pkg_text_equal(node->target->path, edge->spec);
    }
    if (edge->any) {
        return true;
    }
    if (edge->range != NULL) {
        return range_accepts(edge->range, node);
    }
    return edge->parsed != NULL && other_accepts(edge, edge->parsed, node);
}

bool pkg_edge_accepts(const pkg_edge *edge, const pkg_node *node)
{
    if (!pkg_text_equal(edge->dep->name, node->name)) {
        return false;
    }
    bool accepted = spec_accepts(edge, node);
    if (accepted || !edge->overridden) {
        return accepted;
    }
    /* What the package itself asks for will do too, where the rule is about other versions. */
    bool raw = edge->raw_any || (edge->raw_range != NULL && range_accepts(edge->raw_range, node));
    return raw && !pkg_rule_is_about(edge->rule, node->manifest);
}

/* --- judging -------------------------------------------------------------------------------- */

static pkg_edge_state state_of(const pkg_edge *edge)
{
    if (edge->to == NULL) {
        return PKG_EDGE_MISSING;
    }
    if (pkg_edge_is_peer(edge) && edge->from == edge->to->parent && edge->from->parent != NULL) {
        return PKG_EDGE_PEER_LOCAL;
    }
    if (!pkg_edge_accepts(edge, edge->to)) {
        return PKG_EDGE_INVALID;
    }
    if (edge->rule != NULL && edge->to->rule != NULL && edge->to->edge_count > 0 &&
        pkg_rules_conflict(edge->rule, edge->to->rule)) {
        return PKG_EDGE_INVALID;
    }
    return PKG_EDGE_VALID;
}

void pkg_edge_judge(pkg_edge *edge)
{
    edge->state = state_of(edge);
}

void tree_edge_unlink(pkg_tree *tree, pkg_edge *edge)
{
    pkg_node *to = edge->to;
    edge->state = PKG_EDGE_MISSING;
    if (to == NULL) {
        return;
    }
    *(edge->prev_in != NULL ? &edge->prev_in->next_in : &to->in) = edge->next_in;
    if (edge->next_in != NULL) {
        edge->next_in->prev_in = edge->prev_in;
    }
    edge->next_in = NULL;
    edge->prev_in = NULL;
    edge->to = NULL;
    if (edge->rule != NULL) {
        pkg_rule_edge_gone(tree, to, edge->rule);
    }
}

static void link_to(pkg_tree *tree, pkg_edge *edge, pkg_node *to)
{
    edge->to = to;
    edge->prev_in = NULL;
    edge->next_in = to->in;
    if (to->in != NULL) {
        to->in->prev_in = edge;
    }
    to->in = edge;
    if (edge->rule != NULL && to->rule != edge->rule) {
        pkg_rule_edge_added(tree, to, edge->rule); /* may reload this very edge */
    }
}

void tree_edge_delist(pkg_edge *edge)
{
    if ((edge->from->flags & PKG_NODE_VIRTUAL) != 0) {
        return;
    }
    pkg_name *key = edge->key;
    *(edge->prev_named != NULL ? &edge->prev_named->next_named : &key->edges) = edge->next_named;
    if (edge->next_named != NULL) {
        edge->next_named->prev_named = edge->prev_named;
    }
    edge->next_named = NULL;
    edge->prev_named = NULL;
}

static void enlist_edge(pkg_edge *edge)
{
    pkg_name *key = edge->key;
    edge->prev_named = NULL;
    edge->next_named = key->edges;
    if (key->edges != NULL) {
        key->edges->prev_named = edge;
    }
    key->edges = edge;
}

void pkg_edge_reload(pkg_tree *tree, pkg_edge *edge)
{
    if (edge->from->rule != NULL || edge->rule != NULL) {
        pkg_rule_apply(tree, edge);
    }
    pkg_node *to = pkg_tree_resolve(tree, edge->from, edge->key);
    if (to != edge->to) {
        tree_edge_unlink(tree, edge);
        if (to != NULL && edge->to == NULL) { /* not linked in between, by a rule that went on */
            link_to(tree, edge, to);
        }
    }
    pkg_edge_judge(edge);
}

/* --- making --------------------------------------------------------------------------------- */

/* A root, a folder, or what stands for one: not what is on its way into a node_modules. */
static bool is_folder(const pkg_node *node)
{
    return node->parent == NULL && (node->index != UINT32_MAX || node->fs_parent != NULL);
}

static int strength(pkg_dep_kind kind, const pkg_tree *tree, const pkg_node *node)
{
    switch (kind) {
    case PKG_DEP_WORKSPACE: return 6;
    case PKG_DEP_DEV: return is_folder(node) ? 5 : 0;
    case PKG_DEP_OPTIONAL: return 4;
    case PKG_DEP_PROD: return 3;
    case PKG_DEP_PEER_OPTIONAL: return tree->legacy_peers ? 0 : 2;
    case PKG_DEP_PEER: return tree->legacy_peers ? 0 : 1;
    default: return 0;
    }
}

/* The strongest of the entries of one name that begin at *at, or NULL; *at goes behind them. */
static const pkg_dep *strongest(const pkg_tree *tree, const pkg_node *node, uint32_t *at)
{
    const pkg_manifest *m = node->manifest;
    const pkg_dep *best = NULL;
    int best_strength = 0;
    uint32_t first = *at;
    do {
        int s = strength(m->deps[*at].kind, tree, node);
        if (s > best_strength) {
            best = &m->deps[*at];
            best_strength = s;
        }
        (*at)++;
    } while (*at < m->dep_count && pkg_text_equal(m->deps[*at].name, m->deps[first].name));
    return best;
}

static brisk_err edge_init(pkg_tree *tree, pkg_node *from, const pkg_dep *dep, pkg_edge *edge)
{
    edge->from = from;
    edge->dep = dep;
    edge->key = pkg_tree_name(tree, dep->name, dep->name_hash);
    edge->state = PKG_EDGE_MISSING;
    return edge->key == NULL ? BRISK_ERR_NOMEM : set_raw(tree, edge);
}

brisk_err pkg_tree_load_edges(pkg_tree *tree, pkg_node *node)
{
    const pkg_manifest *m = node->manifest;
    bool is_virtual = (node->flags & PKG_NODE_VIRTUAL) != 0;
    for (uint32_t i = 0; i < node->edge_count; i++) {
        tree_edge_unlink(tree, &node->edges[i]);
        tree_edge_delist(&node->edges[i]);
    }
    node->edge_count = 0;
    if (m->dep_count == 0) {
        return BRISK_OK;
    }
    node->edges = brisk_arena_calloc(tree->arena, m->dep_count, sizeof *node->edges);
    if (node->edges == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t at = 0; at < m->dep_count;) {
        const pkg_dep *dep = strongest(tree, node, &at);
        if (dep == NULL) {
            continue;
        }
        pkg_edge *edge = &node->edges[node->edge_count];
        brisk_err err = edge_init(tree, node, dep, edge);
        if (err != BRISK_OK) {
            return err;
        }
        node->edge_count++;
        if (!is_virtual) {
            enlist_edge(edge);
        }
        pkg_edge_reload(tree, edge);
    }
    return BRISK_OK;
}

static pkg_edge *own_edge(const pkg_node *node, const pkg_name *key)
{
    enum { FEW = 12, STEPS = 48 };
    if (node->edge_count <= FEW) {
        for (uint32_t i = 0; i < node->edge_count; i++) {
            if (node->edges[i].key == key) {
                return &node->edges[i];
            }
        }
        return NULL;
    }
    /* Few edges have the name, as a rule; all of the tree's are in its list. */
    uint32_t steps = 0;
    bool listed = (node->flags & (PKG_NODE_VIRTUAL | PKG_NODE_REMOVED)) == 0;
    pkg_edge *edge = listed ? key->edges : NULL;
    while (edge != NULL && edge->from != node && steps < STEPS) {
        edge = edge->next_named;
        steps++;
    }
    if (listed && steps < STEPS) {
        return edge;
    }
    for (uint32_t i = 0; i < node->edge_count; i++) {
        if (node->edges[i].key == key) {
            return &node->edges[i];
        }
    }
    return NULL;
}

pkg_edge *pkg_node_edge(const pkg_node *node, const pkg_name *key)
{
    if (node->source == NULL) {
        return own_edge(node, key);
    }
    pkg_edge *edge = node->lazy;
    while (edge != NULL && edge->key != key) {
        edge = edge->next_named;
    }
    return edge;
}

brisk_err pkg_tree_virtual_edge(pkg_tree *tree, pkg_node *root, const pkg_name *key, pkg_edge **ret)
{
    pkg_edge *edge = pkg_node_edge(root, key);
    const pkg_edge *like = edge == NULL ? own_edge(root->source, key) : NULL;
    if (like != NULL && like->dep->kind != PKG_DEP_WORKSPACE) {
        edge = brisk_arena_calloc(tree->arena, 1, sizeof *edge);
        if (edge == NULL) {
            return BRISK_ERR_NOMEM;
        }
        brisk_err err = edge_init(tree, root, like->dep, edge);
        if (err != BRISK_OK) {
            return err;
        }
        edge->next_named = root->lazy;
        root->lazy = edge;
        pkg_edge_reload(tree, edge);
    }
    *ret = edge;
    return BRISK_OK;
}
