/*
 * start.c -- the tree that is begun with: the project, its workspaces, its lock; behind
 * ideal_internal.h.
 *
 * What a lock says of the project itself and of its folders does not count: their package.json
 * does.
 */
#include "workload/pkg/gitspec.h"
#include "workload/pkg/ideal_internal.h"

static const pkg_manifest nothing; /* a folder without package.json */

/* --- the root's manifest, with its workspaces ----------------------------------------------- */

static int dep_order(const pkg_dep *a, const pkg_dep *b)
{
    int order = pkg_text_compare(a->name, b->name);
    return order != 0 ? order : (int)a->kind - (int)b->kind;
}

static void insert_dep(pkg_dep *deps, uint32_t *count, const pkg_dep *dep)
{
    uint32_t at = *count;
    while (at > 0 && dep_order(&deps[at - 1], dep) > 0) {
        deps[at] = deps[at - 1];
        at--;
    }
    if (at > 0 && dep_order(&deps[at - 1], dep) == 0) { /* it is there already */
        memmove(deps + at, deps + at + 1, (*count - at) * sizeof *deps);
        return;
    }
    deps[at] = *dep;
    (*count)++;
}

static brisk_err root_manifest(builder *b, const pkg_manifest **ret)
{
    const pkg_project *project = b->project;
    if (project->workspace_count == 0) {
        *ret = project->manifest;
        return BRISK_OK;
    }
    pkg_manifest *m = brisk_arena_alloc(b->arena, sizeof *m);
    pkg_dep *deps = brisk_arena_calloc(
        b->arena, (size_t)project->manifest->dep_count + project->workspace_count + 1,
        sizeof *deps);
    if (m == NULL || deps == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *m = *project->manifest;
    if (m->dep_count > 0) {
        memcpy(deps, m->deps, m->dep_count * sizeof *deps);
    }
    for (uint32_t i = 0; i < project->workspace_count; i++) {
        pkg_text name = project->workspaces[i].manifest->name;
        pkg_dep dep = {.name = name,
                       .spec = project->workspaces[i].path,
                       .name_hash = pkg_text_hash(name),
                       .kind = PKG_DEP_WORKSPACE};
        insert_dep(deps, &m->dep_count, &dep);
    }
    m->deps = deps;
    *ret = m;
    return BRISK_OK;
}

/* --- folders -------------------------------------------------------------------------------- */

static pkg_text last_step(pkg_text path)
{
    size_t at = path.size;
    while (at > 0 && path.data[at - 1] != '/') {
        at--;
    }
    return (pkg_text){path.data + at, path.size - at};
}

static pkg_node *folder_at(const builder *b, pkg_text path)
{
    for (uint32_t i = 0; i < b->tree.folder_count; i++) {
        if (pkg_text_equal(b->tree.folders[i]->path, path)) {
            return b->tree.folders[i];
        }
    }
    return NULL;
}

/* With what its package.json says, or with nothing when there is none, or it is not to be read. */
static brisk_err folder_new(builder *b, pkg_text path, bool reads, pkg_node **ret)
{
    const pkg_manifest *manifest = NULL;
    if (b->opts->folder != NULL && reads) {
        brisk_errinfo info = {0};
        brisk_err err = b->opts->folder(b->opts->ctx, path, &manifest, &info);
        if (err != BRISK_OK && err != BRISK_ERR_NOT_FOUND) {
            return brisk_errinfo_set(b->info, err, "%s", info.text);
        }
    }
    brisk_err err = pkg_tree_add_folder(&b->tree, path, last_step(path),
                                        manifest != NULL ? manifest : &nothing, ret);
    if (err == BRISK_OK && manifest != NULL) {
        err = choose_hint(b, manifest, true);
    }
    return err == BRISK_OK ? pkg_tree_load_edges(&b->tree, *ret) : err;
}

brisk_err folder_of(builder *b, const pkg_edge *edge, pkg_node **ret)
{
    *ret = NULL;
    if (edge->dep->kind == PKG_DEP_WORKSPACE) {
        *ret = folder_at(b, edge->spec);
        return BRISK_OK;
    }
    if (edge->parsed != NULL && edge->parsed->type == PKG_SPEC_FOLDER) {
        pkg_text path = {0};
        brisk_err err = pkg_path_join(b->arena, edge->overridden ? PKG_TEXT("") : edge->from->path,
                                      edge->parsed->wanted, &path);
        if (err != BRISK_OK) {
            return err;
        }
        *ret = folder_at(b, path);
        return *ret != NULL ? BRISK_OK : folder_new(b, path, choose_is_own(edge), ret);
    }
    /* A workspace goes before the registry where its version will do. */
    const pkg_edge *own =
        b->project->workspace_count > 0 ? pkg_node_edge(b->tree.root, edge->key) : NULL;
    if (own == NULL || own->dep->kind != PKG_DEP_WORKSPACE) {
        return BRISK_OK;
    }
    pkg_node *folder = folder_at(b, own->spec);
    if (folder == NULL || edge->parsed != NULL ||
        !pkg_text_equal(own->dep->name, edge->dep->name)) {
        return BRISK_OK;
    }
    bool has_version = folder->manifest->version.size > 0;
    if (edge->any || (edge->range != NULL && has_version &&
                      semver_range_has(edge->range, &folder->manifest->semver))) {
        *ret = folder;
    }
    return BRISK_OK;
}

static brisk_err add_workspaces(builder *b)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < b->project->workspace_count && err == BRISK_OK; i++) {
        const pkg_workspace *w = &b->project->workspaces[i];
        pkg_node *node = NULL;
        err = pkg_tree_add_folder(&b->tree, w->path, last_step(w->path), w->manifest, &node);
        if (err == BRISK_OK) {
            node->flags |= PKG_NODE_WORKSPACE;
            err = choose_hint(b, w->manifest, true);
        }
    }
    return err;
}

/* --- the lock ------------------------------------------------------------------------------- */

/* The folders of the lock: the root, workspaces that are still there, others. */
static brisk_err copy_folders(builder *b, const pkg_tree *lock, pkg_node **map)
{
    map[lock->root->index] = b->tree.root;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 1; i < lock->folder_count && err == BRISK_OK; i++) {
        const pkg_node *from = lock->folders[i];
        pkg_node *node = folder_at(b, from->path);
        if (node == NULL && (from->flags & PKG_NODE_WORKSPACE) != 0) {
            continue; /* no longer a workspace */
        }
        if (node == NULL) {
            err = folder_new(b, from->path, true, &node);
        }
        map[from->index] = node;
    }
    return err;
}

static brisk_err copy_node(builder *b, const pkg_node *from, pkg_node *parent, pkg_node **map)
{
    pkg_node *node = NULL;
    brisk_err err = BRISK_OK;
    if ((from->flags & PKG_NODE_LINK) != 0) {
        pkg_node *target = from->target != NULL ? map[from->target->index] : NULL;
        return target == NULL ? BRISK_OK
                              : pkg_tree_add_link(&b->tree, parent, from->name, target, &node);
    }
    err = pkg_tree_add(&b->tree, parent, from->name, from->manifest, &node);
    if (err == BRISK_OK) {
        node->resolved = from->resolved;
        node->integrity = from->integrity;
        node->flags |= from->flags & PKG_NODE_BUNDLED;
        map[from->index] = node;
    }
    return err;
}

/* Parents before children; links last, when what they link to is there. */
static brisk_err copy_nodes(builder *b, const pkg_tree *lock, pkg_node **map)
{
    const pkg_node **order = brisk_arena_calloc(b->scratch, lock->count + 1, sizeof *order);
    if (order == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t count = 0;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < lock->folder_count; i++) {
        order[count++] = lock->folders[i];
    }
    for (uint32_t i = 0; i < count && err == BRISK_OK; i++) {
        pkg_node *parent = map[order[i]->index];
        for (uint32_t c = 0; c < order[i]->child_count && parent != NULL && err == BRISK_OK; c++) {
            const pkg_node *child = order[i]->children[c];
            if ((child->flags & PKG_NODE_LINK) == 0) {
                err = copy_node(b, child, parent, map);
                order[count++] = child;
            }
        }
    }
    for (uint32_t i = 0; i < lock->count && err == BRISK_OK; i++) {
        const pkg_node *node = lock->nodes[i];
        if (node != NULL && (node->flags & PKG_NODE_LINK) != 0 && node->parent != NULL &&
            map[node->parent->index] != NULL) {
            err = copy_node(b, node, map[node->parent->index], map);
        }
    }
    return err;
}

static brisk_err copy_lock(builder *b, const pkg_tree *lock)
{
    pkg_node **map = brisk_arena_calloc(b->scratch, lock->count + 1, sizeof *map);
    if (map == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = copy_folders(b, lock, map);
    return err == BRISK_OK ? copy_nodes(b, lock, map) : err;
}

/* What the lock says that `from` asked for under this name; NULL: nothing. */
static const pkg_dep *locked_dep(const pkg_tree *lock, const pkg_node *from, const pkg_edge *edge)
{
    const pkg_node *node = pkg_tree_at(lock, from->path);
    for (uint32_t i = 0; node != NULL && i < node->manifest->dep_count; i++) {
        if (pkg_text_equal(node->manifest->deps[i].name, edge->dep->name)) {
            return &node->manifest->deps[i];
        }
    }
    return NULL;
}

/*
 * A commit that the lock has does not show of which branch or tag it is.  Where package.json names
 * another one than when the lock was made, it is looked up anew.
 */
static void drop_other_branches(builder *b, const pkg_tree *lock)
{
    for (uint32_t i = 0; i < b->tree.folder_count; i++) {
        pkg_node *from = b->tree.folders[i];
        for (uint32_t e = 0; e < from->edge_count; e++) {
            const pkg_edge *edge = &from->edges[e];
            if (edge->parsed == NULL || edge->parsed->type != PKG_SPEC_GIT ||
                edge->parsed->git_range != NULL || edge->to == NULL ||
                edge->state != PKG_EDGE_VALID || edge->overridden) {
                continue;
            }
            const pkg_dep *dep = locked_dep(lock, from, edge);
            if (dep != NULL && dep->range == NULL && pkg_git_same(edge->spec, dep->spec) &&
                !pkg_git_same_commit(dep->spec, edge->spec)) {
                pkg_tree_remove(&b->tree, edge->to);
            }
        }
    }
}

brisk_err start_tree(builder *b, const pkg_tree *lock)
{
    const pkg_manifest *root = NULL;
    const pkg_rule *rules = NULL;
    brisk_err err = root_manifest(b, &root);
    if (err == BRISK_OK) {
        err = pkg_rules_make(b->project, b->arena, &rules);
    }
    if (err == BRISK_OK) {
        err = pkg_tree_init(&b->tree, b->arena, root);
    }
    if (err != BRISK_OK) {
        return err == BRISK_ERR_LIMIT ? ideal_fail(b, err, "package.json: too many overrides")
                                      : err;
    }
    b->tree.legacy_peers = b->opts->legacy_peer_deps;
    b->tree.root->rule = rules;
    err = choose_hint(b, root, true);
    if (err == BRISK_OK) {
        err = add_workspaces(b);
    }
    if (err == BRISK_OK && lock != NULL) {
        err = copy_lock(b, lock);
        brisk_arena_reset(b->scratch);
    }
    for (uint32_t i = 0; i < b->tree.count && err == BRISK_OK; i++) {
        if ((b->tree.nodes[i]->flags & PKG_NODE_LINK) == 0) {
            err = pkg_tree_load_edges(&b->tree, b->tree.nodes[i]);
        }
    }
    if (err == BRISK_OK && lock != NULL) {
        drop_other_branches(b, lock);
    }
    return err;
}
