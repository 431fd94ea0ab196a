/*
 * tree.c -- nodes and where they lie; behind tree.h.
 *
 * Names are interned, so that everything that is compared is a pointer, and a name knows the edges
 * and the nodes that bear it: when a folder comes or goes, exactly the edges of its name that look
 * up through its parent are looked up again (npm walks the whole subtree).  A child is found by one
 * probe of a table of (parent, name).
 *
 * In a virtual root, which is small, the edges of a name are found by looking at its children.
 *
 * Threads: one at a time.
 * Source: the lookup of node_modules, https://nodejs.org/api/modules.html.
 */
#include "workload/pkg/tree.h"

#include "workload/pkg/tree_internal.h"

enum {
    NAMES_AT_FIRST = 512, /* powers of two */
    CHILDREN_AT_FIRST = 1024,
    NODES_AT_FIRST = 256,
    FOLD_MAX = 256,
};

/* --- names ---------------------------------------------------------------------------------- */

static bool has_capital(pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] >= 'A' && text.data[i] <= 'Z') {
            return true;
        }
    }
    return false;
}

static void fold(pkg_text text, char *ret)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        ret[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
}

static bool names_grow(pkg_tree *tree)
{
    pkg_tree_index *index = tree->index;
    uint32_t capacity = index->name_capacity * 2;
    pkg_name **slots = brisk_arena_calloc(tree->arena, capacity, sizeof(pkg_name *));
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < index->name_capacity; i++) {
        pkg_name *name = index->names[i];
        if (name != NULL) {
            uint32_t at = (uint32_t)name->hash & (capacity - 1);
            while (slots[at] != NULL) {
                at = (at + 1) & (capacity - 1);
            }
            slots[at] = name;
        }
    }
    index->names = slots;
    index->name_capacity = capacity;
    return true;
}

static pkg_name *name_new(pkg_tree *tree, pkg_text folded, uint64_t hash, bool copy)
{
    pkg_name *name = brisk_arena_calloc(tree->arena, 1, sizeof *name);
    if (name != NULL && copy) {
        folded.data = brisk_arena_copy(tree->arena, folded.data, folded.size);
    }
    if (name == NULL || (folded.data == NULL && folded.size > 0)) {
        return NULL;
    }
    name->folded = folded;
    name->hash = hash;
    name->id = tree->index->name_count;
    return name;
}

/* Where the name is, or the free slot for it. */
static uint32_t name_slot(const pkg_tree_index *index, pkg_text folded, uint64_t hash)
{
    uint32_t mask = index->name_capacity - 1;
    uint32_t at = (uint32_t)hash & mask;
    while (index->names[at] != NULL &&
           (index->names[at]->hash != hash || !pkg_text_equal(index->names[at]->folded, folded))) {
        at = (at + 1) & mask;
    }
    return at;
}

static pkg_name *name_of_folded(pkg_tree *tree, pkg_text folded, uint64_t hash, bool copy)
{
    pkg_tree_index *index = tree->index;
    uint32_t at = name_slot(index, folded, hash);
    if (index->names[at] != NULL) {
        return index->names[at];
    }
    pkg_name *name = name_new(tree, folded, hash, copy);
    if (name == NULL) {
        return NULL;
    }
    index->names[at] = name;
    index->name_count++;
    if (index->name_count * 2 > index->name_capacity && !names_grow(tree)) {
        return NULL;
    }
    return name;
}

pkg_name *pkg_tree_name(pkg_tree *tree, pkg_text name, uint64_t hash)
{
    pkg_name *known = tree->index->names[name_slot(tree->index, name, hash)];
    if (known != NULL) {
        return known; /* kept folded, so that `name` is */
    }
    if (!has_capital(name)) {
        return name_of_folded(tree, name, hash, false);
    }
    char small[FOLD_MAX];
    char *folded = name.size <= sizeof small ? small : brisk_arena_alloc(tree->arena, name.size);
    if (folded == NULL) {
        return NULL;
    }
    fold(name, folded);
    pkg_text text = {folded, name.size};
    return name_of_folded(tree, text, pkg_text_hash(text), true);
}

/* --- (parent, name) to child ---------------------------------------------------------------- */

static uint32_t child_hash(const pkg_node *parent, const pkg_name *key)
{
    uint64_t h = ((uint64_t)parent->serial << 32 | key->id) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32);
}

static void children_insert(pkg_node **slots, uint32_t capacity, pkg_node *node)
{
    uint32_t at = child_hash(node->parent, node->key) & (capacity - 1);
    while (slots[at] != NULL) {
        at = (at + 1) & (capacity - 1);
    }
    slots[at] = node;
}

/* Room for one more. */
static bool children_reserve(pkg_tree *tree)
{
    pkg_tree_index *index = tree->index;
    if ((index->child_count + 1) * 2 <= index->child_capacity) {
        return true;
    }
    uint32_t capacity = index->child_capacity * 2;
    pkg_node **slots = brisk_arena_calloc(tree->arena, capacity, sizeof(pkg_node *));
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < index->child_capacity; i++) {
        if (index->children[i] != NULL) {
            children_insert(slots, capacity, index->children[i]);
        }
    }
    index->children = slots;
    index->child_capacity = capacity;
    return true;
}

/* Of the table; later entries of the chain move up, so that no hole breaks it. */
static void children_delete(pkg_tree_index *index, const pkg_node *node)
{
    uint32_t mask = index->child_capacity - 1;
    uint32_t at = child_hash(node->parent, node->key) & mask;
    while (index->children[at] != node) {
        if (index->children[at] == NULL) {
            return;
        }
        at = (at + 1) & mask;
    }
    index->child_count--;
    for (uint32_t next = (at + 1) & mask; index->children[next] != NULL; next = (next + 1) & mask) {
        const pkg_node *other = index->children[next];
        uint32_t home = child_hash(other->parent, other->key) & mask;
        if (((next - home) & mask) >= ((next - at) & mask)) {
            index->children[at] = index->children[next];
            at = next;
        }
    }
    index->children[at] = NULL;
}

pkg_node *pkg_tree_child(const pkg_tree *tree, const pkg_node *parent, const pkg_name *key)
{
    const pkg_tree_index *index = tree->index;
    uint32_t mask = index->child_capacity - 1;
    for (uint32_t at = child_hash(parent, key) & mask; index->children[at] != NULL;
         at = (at + 1) & mask) {
        if (index->children[at]->parent == parent && index->children[at]->key == key) {
            return index->children[at];
        }
    }
    return NULL;
}

pkg_node *pkg_tree_resolve(const pkg_tree *tree, const pkg_node *from, const pkg_name *key)
{
    for (; from != NULL; from = pkg_node_above(from)) {
        pkg_node *found = pkg_tree_child(tree, from, key);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

/* --- the sorted array of children ----------------------------------------------------------- */

static uint32_t child_place(const pkg_node *parent, pkg_text name)
{
    uint32_t low = 0;
    uint32_t high = parent->child_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (pkg_text_compare(parent->children[middle]->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

pkg_node *pkg_node_child(const pkg_node *node, pkg_text name)
{
    uint32_t at = child_place(node, name);
    return at < node->child_count && pkg_text_equal(node->children[at]->name, name)
               ? node->children[at]
               : NULL;
}

pkg_node *pkg_tree_lookup(const pkg_node *from, pkg_text name)
{
    for (; from != NULL; from = pkg_node_above(from)) {
        pkg_node *found = pkg_node_child(from, name);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

/* Room for one more in an array of nodes. */
static bool nodes_reserve(brisk_arena *arena, pkg_node ***nodes, uint32_t count, uint32_t *capacity)
{
    if (count < *capacity) {
        return true;
    }
    uint32_t wanted = *capacity == 0 ? 4 : *capacity * 2;
    pkg_node **grown = brisk_arena_calloc(arena, wanted, sizeof(pkg_node *));
    if (grown == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(grown, *nodes, count * sizeof(pkg_node *));
    }
    *nodes = grown;
    *capacity = wanted;
    return true;
}

static void array_insert(pkg_node *parent, pkg_node *node)
{
    uint32_t at = child_place(parent, node->name);
    memmove(parent->children + at + 1, parent->children + at,
            (parent->child_count - at) * sizeof(pkg_node *));
    parent->children[at] = node;
    parent->child_count++;
}

static void array_delete(pkg_node *parent, const pkg_node *node)
{
    uint32_t at = child_place(parent, node->name);
    if (at < parent->child_count && parent->children[at] == node) {
        parent->child_count--;
        memmove(parent->children + at, parent->children + at + 1,
                (parent->child_count - at) * sizeof(pkg_node *));
    }
}

/* --- making nodes --------------------------------------------------------------------------- */

brisk_err pkg_node_new(pkg_tree *tree, pkg_text name, const pkg_manifest *manifest, pkg_node **ret)
{
    pkg_node *node = brisk_arena_calloc(tree->arena, 1, sizeof *node);
    pkg_name *key = pkg_tree_name(tree, name, pkg_text_hash(name));
    if (node == NULL || key == NULL) {
        return BRISK_ERR_NOMEM;
    }
    node->name = name;
    node->key = key;
    node->manifest = manifest;
    node->resolved = manifest->tarball;
    node->integrity = manifest->integrity;
    node->index = UINT32_MAX;
    node->serial = ++tree->index->serial;
    *ret = node;
    return BRISK_OK;
}

static brisk_err path_below(pkg_tree *tree, const pkg_node *parent, pkg_text name, pkg_text *ret)
{
    static const char middle[] = "node_modules/";
    size_t above = parent->path.size > 0 ? parent->path.size + 1 : 0;
    size_t size = above + sizeof middle - 1 + name.size;
    char *path = brisk_arena_alloc(tree->arena, size + 1);
    if (path == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (above > 0) {
        memcpy(path, parent->path.data, parent->path.size);
        path[above - 1] = '/';
    }
    memcpy(path + above, middle, sizeof middle - 1);
    memcpy(path + above + sizeof middle - 1, name.data != NULL ? name.data : "", name.size);
    path[size] = '\0';
    *ret = (pkg_text){path, size};
    return BRISK_OK;
}

static void named_append(pkg_node *node)
{
    node->next_named = NULL;
    node->prev_named = node->key->nodes_last;
    if (node->prev_named != NULL) {
        node->prev_named->next_named = node;
    } else {
        node->key->nodes = node;
    }
    node->key->nodes_last = node;
}

static void named_delete(pkg_node *node)
{
    pkg_name *key = node->key;
    *(node->prev_named != NULL ? &node->prev_named->next_named : &key->nodes) = node->next_named;
    *(node->next_named != NULL ? &node->next_named->prev_named : &key->nodes_last) =
        node->prev_named;
    node->next_named = NULL;
    node->prev_named = NULL;
}

/* Into `nodes` and the list of its name. */
static brisk_err enlist(pkg_tree *tree, pkg_node *node)
{
    if (tree->count >= PKG_TREE_NODES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    if (!nodes_reserve(tree->arena, &tree->nodes, tree->count, &tree->capacity)) {
        return BRISK_ERR_NOMEM;
    }
    node->index = tree->count;
    tree->nodes[tree->count++] = node;
    tree->live++;
    named_append(node);
    return BRISK_OK;
}

brisk_err pkg_tree_init(pkg_tree *tree, brisk_arena *arena, const pkg_manifest *root)
{
    pkg_tree made = {.arena = arena};
    made.index = brisk_arena_calloc(arena, 1, sizeof *made.index);
    if (made.index == NULL) {
        return BRISK_ERR_NOMEM;
    }
    made.index->name_capacity = NAMES_AT_FIRST;
    made.index->child_capacity = CHILDREN_AT_FIRST;
    made.index->names = brisk_arena_calloc(arena, NAMES_AT_FIRST, sizeof(pkg_name *));
    made.index->children = brisk_arena_calloc(arena, CHILDREN_AT_FIRST, sizeof(pkg_node *));
    made.capacity = NODES_AT_FIRST;
    made.nodes = brisk_arena_calloc(arena, NODES_AT_FIRST, sizeof(pkg_node *));
    if (made.index->names == NULL || made.index->children == NULL || made.nodes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = pkg_node_new(&made, root->name, root, &made.root);
    if (err == BRISK_OK) {
        err = enlist(&made, made.root);
    }
    if (err == BRISK_OK &&
        !nodes_reserve(arena, &made.folders, made.folder_count, &made.folder_capacity)) {
        err = BRISK_ERR_NOMEM;
    }
    if (err == BRISK_OK) {
        made.root->path = PKG_TEXT("");
        made.folders[made.folder_count++] = made.root;
        *tree = made;
    }
    return err;
}

/* --- coming and going ----------------------------------------------------------------------- */

/* The edges named `key` that may look up through `parent`. */
static void reload_named(pkg_tree *tree, const pkg_node *parent, const pkg_name *key)
{
    if ((parent->flags & PKG_NODE_VIRTUAL) == 0) {
        for (pkg_edge *edge = key->edges; edge != NULL; edge = edge->next_named) {
            if (pkg_node_is_below(edge->from, parent)) {
                pkg_edge_reload(tree, edge);
            }
        }
        return;
    }
    pkg_edge *own = pkg_node_edge(parent, key);
    if (own != NULL) {
        pkg_edge_reload(tree, own);
    }
    for (uint32_t i = 0; i < parent->child_count; i++) {
        pkg_edge *edge = pkg_node_edge(parent->children[i], key);
        if (edge != NULL) {
            pkg_edge_reload(tree, edge);
        }
    }
    for (pkg_node *copy = parent->virtual_folders; copy != NULL; copy = copy->virtual_folders) {
        pkg_edge *edge = pkg_node_edge(copy, key);
        if (edge != NULL) {
            pkg_edge_reload(tree, edge);
        }
    }
}

/* Out of its parent's node_modules; edges keep pointing. */
static void unplace(pkg_tree *tree, pkg_node *node)
{
    children_delete(tree->index, node);
    array_delete(node->parent, node);
}

static brisk_err place(pkg_tree *tree, pkg_node *parent, pkg_node *node)
{
    if (!children_reserve(tree) || !nodes_reserve(tree->arena, &parent->children,
                                                  parent->child_count, &parent->child_capacity)) {
        return BRISK_ERR_NOMEM;
    }
    node->parent = parent;
    node->flags &= ~(uint32_t)PKG_NODE_REMOVED;
    children_insert(tree->index->children, tree->index->child_capacity, node);
    tree->index->child_count++;
    array_insert(parent, node);
    return BRISK_OK;
}

/* Those that it has look again; it gets them when it has none. */
static brisk_err settle_edges(pkg_tree *tree, pkg_node *node)
{
    if ((node->flags & PKG_NODE_LINK) != 0) {
        return BRISK_OK;
    }
    if (node->edges == NULL) {
        return pkg_tree_load_edges(tree, node);
    }
    for (uint32_t i = 0; i < node->edge_count; i++) {
        pkg_edge_reload(tree, &node->edges[i]);
    }
    return BRISK_OK;
}

brisk_err pkg_tree_put(pkg_tree *tree, pkg_node *parent, pkg_node *node)
{
    bool is_virtual = (parent->flags & PKG_NODE_VIRTUAL) != 0;
    pkg_node *older = pkg_tree_child(tree, parent, node->key);
    if (older == node) {
        return BRISK_OK;
    }
    if (parent->depth >= PKG_TREE_DEPTH_MAX) {
        return BRISK_ERR_LIMIT;
    }
    brisk_err err = is_virtual ? BRISK_OK : path_below(tree, parent, node->name, &node->path);
    if (err == BRISK_OK && !is_virtual) {
        err = enlist(tree, node);
    }
    if (err == BRISK_OK && older != NULL) {
        pkg_tree_remove(tree, older);
    }
    if (err == BRISK_OK && parent->source != NULL) {
        pkg_edge *unused = NULL;
        err = pkg_tree_virtual_edge(tree, parent, node->key, &unused);
    }
    if (err == BRISK_OK) {
        err = place(tree, parent, node);
    }
    if (err != BRISK_OK) {
        return err;
    }
    node->depth = parent->depth + 1;
    node->flags |= is_virtual ? PKG_NODE_VIRTUAL : 0;
    err = settle_edges(tree, node);
    if (err == BRISK_OK) {
        reload_named(tree, parent, node->key);
    }
    return err;
}

brisk_err pkg_tree_add(pkg_tree *tree, pkg_node *parent, pkg_text name,
                       const pkg_manifest *manifest, pkg_node **ret)
{
    if (parent->depth >= PKG_TREE_DEPTH_MAX) {
        return BRISK_ERR_LIMIT;
    }
    pkg_node *node = NULL;
    brisk_err err = pkg_node_new(tree, name, manifest, &node);
    if (err == BRISK_OK) {
        err = path_below(tree, parent, name, &node->path);
    }
    if (err == BRISK_OK) {
        err = enlist(tree, node);
    }
    if (err != BRISK_OK) {
        return err;
    }
    pkg_node *older = pkg_tree_child(tree, parent, node->key);
    if (older != NULL) {
        pkg_tree_remove(tree, older);
    }
    err = place(tree, parent, node);
    if (err == BRISK_OK) {
        node->depth = parent->depth + 1;
        reload_named(tree, parent, node->key);
        *ret = node;
    }
    return err;
}

brisk_err pkg_tree_add_link(pkg_tree *tree, pkg_node *parent, pkg_text name, pkg_node *target,
                            pkg_node **ret)
{
    pkg_node *node = NULL;
    brisk_err err = pkg_tree_add(tree, parent, name, target->manifest, &node);
    if (err == BRISK_OK) {
        node->flags |= PKG_NODE_LINK;
        node->target = target;
        node->resolved = target->path;
        node->integrity = (pkg_text){0};
        reload_named(tree, parent, node->key);
        *ret = node;
    }
    return err;
}

/* Is `path` in `folder` (or the same)? */
static bool path_is_in(pkg_text path, pkg_text folder)
{
    return folder.size == 0 || (path.size >= folder.size && path.data != NULL &&
                                memcmp(path.data, folder.data, folder.size) == 0 &&
                                (path.size == folder.size || path.data[folder.size] == '/'));
}

brisk_err pkg_tree_add_folder(pkg_tree *tree, pkg_text path, pkg_text name,
                              const pkg_manifest *manifest, pkg_node **ret)
{
    pkg_node *node = NULL;
    brisk_err err = pkg_node_new(tree, name, manifest, &node);
    if (err == BRISK_OK &&
        !nodes_reserve(tree->arena, &tree->folders, tree->folder_count, &tree->folder_capacity)) {
        err = BRISK_ERR_NOMEM;
    }
    if (err == BRISK_OK) {
        err = enlist(tree, node);
    }
    if (err != BRISK_OK) {
        return err;
    }
    node->path = path;
    bool inside = !(path.size >= 2 && memcmp(path.data, "..", 2) == 0) &&
                  !(path.size >= 1 && path.data[0] == '/');
    for (uint32_t i = 0; inside && i < tree->folder_count; i++) {
        pkg_node *other = tree->folders[i];
        if (path_is_in(path, other->path) &&
            (node->fs_parent == NULL || other->path.size > node->fs_parent->path.size)) {
            node->fs_parent = other;
        } else if (path_is_in(other->path, path) && other->fs_parent != NULL &&
                   other->fs_parent->path.size < path.size) {
            other->fs_parent = node;
        }
    }
    tree->folders[tree->folder_count++] = node;
    *ret = node;
    return BRISK_OK;
}

/* `node` and what is below it points nowhere and is in no list any more. */
static void forget(pkg_tree *tree, pkg_node *node)
{
    node->flags |= PKG_NODE_REMOVED;
    for (uint32_t i = 0; i < node->edge_count; i++) {
        tree_edge_unlink(tree, &node->edges[i]);
        tree_edge_delist(&node->edges[i]);
    }
    if ((node->flags & PKG_NODE_VIRTUAL) == 0) {
        tree->nodes[node->index] = NULL;
        tree->live--;
        named_delete(node);
    }
}

/* The first below `top`, or `top` itself when there is none: children go before parents. */
static pkg_node *deepest_first(pkg_node *top)
{
    while (top->child_count > 0) {
        top = top->children[top->child_count - 1];
    }
    return top;
}

void pkg_tree_remove(pkg_tree *tree, pkg_node *node)
{
    if ((node->flags & PKG_NODE_REMOVED) != 0 || node->parent == NULL) {
        return;
    }
    bool done = false;
    while (!done) {
        pkg_node *last = deepest_first(node);
        done = last == node;
        forget(tree, last);
        unplace(tree, last);
        while (last->in != NULL) { /* each finds another node, or none */
            pkg_edge_reload(tree, last->in);
        }
    }
    node->parent = NULL;
}

brisk_err pkg_tree_replace(pkg_tree *tree, pkg_node *old, pkg_node *node)
{
    pkg_node *parent = old->parent;
    if (!nodes_reserve(tree->arena, &tree->nodes, tree->count, &tree->capacity) ||
        !children_reserve(tree)) {
        return BRISK_ERR_NOMEM;
    }
    node->path = old->path;
    node->depth = old->depth;
    if (!pkg_text_equal(node->name, old->name)) { /* but for case */
        brisk_err err = path_below(tree, parent, node->name, &node->path);
        if (err != BRISK_OK) {
            return err;
        }
    }
    bool keeps = (node->flags & PKG_NODE_LINK) == 0;
    for (uint32_t i = 0; keeps && i < old->child_count; i++) {
        children_delete(tree->index, old->children[i]);
    }
    while (!keeps && old->child_count > 0) {
        pkg_tree_remove(tree, old->children[old->child_count - 1]);
    }
    forget(tree, old);
    unplace(tree, old);
    brisk_err err = enlist(tree, node);
    if (err == BRISK_OK) {
        err = place(tree, parent, node);
    }
    for (uint32_t i = 0; keeps && i < old->child_count; i++) {
        old->children[i]->parent = node;
        children_insert(tree->index->children, tree->index->child_capacity, old->children[i]);
        tree->index->child_count++;
    }
    if (keeps) {
        node->children = old->children;
        node->child_count = old->child_count;
        node->child_capacity = old->child_capacity;
    }
    old->child_count = 0;
    old->children = NULL;
    old->child_capacity = 0;
    old->parent = NULL;
    if (err == BRISK_OK) {
        err = settle_edges(tree, node);
    }
    while (old->in != NULL) {
        pkg_edge_reload(tree, old->in);
    }
    return err;
}

brisk_err pkg_tree_virtual(pkg_tree *tree, pkg_node *source, pkg_node **ret)
{
    pkg_node *node = brisk_arena_calloc(tree->arena, 1, sizeof *node);
    if (node == NULL) {
        return BRISK_ERR_NOMEM;
    }
    node->name = source->name;
    node->key = source->key;
    node->manifest = source->manifest;
    node->source = source;
    node->path = source->path;
    node->rule = source->rule;
    node->flags = PKG_NODE_VIRTUAL;
    node->index = UINT32_MAX;
    node->serial = ++tree->index->serial;
    *ret = node;
    return BRISK_OK;
}

brisk_err pkg_tree_virtual_folder(pkg_tree *tree, pkg_node *root, const pkg_node *folder)
{
    pkg_node *copy = NULL;
    brisk_err err = pkg_node_new(tree, folder->name, folder->manifest, &copy);
    if (err == BRISK_OK) {
        copy->flags |= PKG_NODE_VIRTUAL;
        copy->fs_parent = root;
        copy->path = folder->path;
        copy->virtual_folders = root->virtual_folders;
        root->virtual_folders = copy;
        err = pkg_tree_load_edges(tree, copy);
    }
    return err;
}

pkg_node *pkg_tree_at(const pkg_tree *tree, pkg_text path)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        if (tree->nodes[i] != NULL && pkg_text_equal(tree->nodes[i]->path, path)) {
            return tree->nodes[i];
        }
    }
    return NULL;
}

bool pkg_node_same(const pkg_node *a, const pkg_node *b)
{
    if (a == b) {
        return true;
    }
    if (!pkg_text_equal(a->name, b->name)) {
        return false;
    }
    if ((a->flags & PKG_NODE_LINK) != 0) {
        return (b->flags & PKG_NODE_LINK) != 0 && a->target == b->target;
    }
    if (a->integrity.size > 0 && b->integrity.size > 0) {
        return pkg_text_equal(a->integrity, b->integrity);
    }
    if (a->resolved.size > 0 && b->resolved.size > 0) {
        return pkg_text_equal(a->resolved, b->resolved);
    }
    return a->manifest->name.size > 0 && a->manifest->version.size > 0 &&
           pkg_text_equal(a->manifest->name, b->manifest->name) &&
           pkg_text_equal(a->manifest->version, b->manifest->version);
}
