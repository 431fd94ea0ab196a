/*
 * lock_read.c -- package-lock.json to a tree.
 *
 * The entries are read in the order of the text, then put into the tree sorted by the bytes of
 * their paths: a folder comes after the one it lies in, and a node's children in their own order,
 * whatever the file does.  Then links get their targets, and last of all the edges are loaded.
 *
 * A path is believed only when it is a place that can be: no empty part, no ".", no ".." but at the
 * front (a link may lead beside the project), a name behind each node_modules.  What is wrong is
 * told with its line.
 *
 * Invariant: when it is done every entry has a node, but for those that another one of the same
 * name in other letters replaced, as in npm.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/lock.h"

#include <stdlib.h>

#include "workload/pkg/lock_entry.h"
#include "workload/pkg/workspace.h"

static const char modules[] = "node_modules";
enum { MODULES_SIZE = sizeof modules - 1, SCRATCH_BYTES = 1 << 18 };
/* Patterns of "workspaces" against all folders: bytes and steps, some seconds. */
static const uint64_t workspaces_work_max = UINT64_C(1) << 30;

static bool fail_at(lock_reader *r, const lock_entry *entry, const char *message)
{
    r->scan.at = entry->where;
    return pkg_scan_fail(&r->scan, BRISK_ERR_CORRUPT, message);
}

/* A failure whose message the arena holds. */
static bool fail_with(lock_reader *r, const lock_entry *entry, const char *format, pkg_text text)
{
    enum { SHOWN_MAX = 200 };
    int shown = text.size < SHOWN_MAX ? (int)text.size : SHOWN_MAX;
    char *message = brisk_arena_printf(r->arena, "%s%.*s", format, shown, text.data);
    return fail_at(r, entry, message != NULL ? message : format);
}

/* --- paths --------------------------------------------------------------------------------- */

/* What is wrong with a part of a path, or NULL. */
static const char *judge_part(pkg_text part, bool first)
{
    if (part.size == 0) {
        return "a path with an empty part (or one that begins or ends with a slash)";
    }
    if (pkg_text_is(part, ".")) {
        return "a path with a part that is \".\"";
    }
    if (pkg_text_is(part, "..") && !first) {
        return "a path with \"..\" that does not stand at its front";
    }
    for (size_t i = 0; i < part.size; i++) {
        if ((unsigned char)part.data[i] < 0x20 || part.data[i] == 0x7F) {
            return "a path with a control character";
        }
    }
    return NULL;
}

/* Take `path` apart.  What is wrong with it, or NULL. */
static const char *judge_path(pkg_text path, lock_place *ret)
{
    *ret = (lock_place){.name = path};
    if (path.size > PKG_LOCK_PATH_MAX) {
        return "a path longer than 4096 bytes";
    }
    bool first = true;            /* only ".." so far */
    uint32_t behind = UINT32_MAX; /* parts behind the last node_modules */
    for (size_t at = 0; at <= path.size;) {
        const char *slash = memchr(path.data + at, '/', path.size - at);
        size_t end = slash != NULL ? (size_t)(slash - path.data) : path.size;
        pkg_text part = {.data = path.data + at, .size = end - at};
        const char *wrong = judge_part(part, first);
        if (wrong != NULL) {
            return wrong;
        }
        first = first && pkg_text_is(part, "..");
        behind += behind != UINT32_MAX;
        if (part.size == MODULES_SIZE && memcmp(part.data, modules, MODULES_SIZE) == 0) {
            if (ret->in_modules && behind == 1) {
                return "a path with nothing behind a node_modules";
            }
            ret->in_modules = true;
            ret->parent = (pkg_text){.data = path.data, .size = at > 0 ? at - 1 : 0};
            ret->name = (pkg_text){.data = path.data + end + 1,
                                   .size = end < path.size ? path.size - end - 1 : 0};
            behind = 0;
        }
        at = end + 1;
    }
    if (!ret->in_modules) {
        return NULL;
    }
    bool scoped = ret->name.size > 0 && ret->name.data[0] == '@';
    return behind == (scoped ? 2 : 1) ? NULL : "a path that does not end with a package's name";
}

/* --- the index by path --------------------------------------------------------------------- */

typedef struct paths {
    lock_entry **slots;
    uint32_t mask;
} paths;

static lock_entry **path_slot(const paths *all, pkg_text path)
{
    uint32_t i = (uint32_t)pkg_text_hash(path) & all->mask;
    while (all->slots[i] != NULL && !pkg_text_equal(all->slots[i]->path, path)) {
        i = (i + 1) & all->mask;
    }
    return &all->slots[i];
}

static bool index_paths(lock_reader *r, paths *ret)
{
    uint32_t slots = 16;
    while (slots < r->count * 2) {
        slots *= 2;
    }
    *ret = (paths){.slots = brisk_arena_calloc(r->scratch, slots, sizeof *ret->slots),
                   .mask = slots - 1};
    if (ret->slots == NULL) {
        return pkg_scan_fail(&r->scan, BRISK_ERR_NOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < r->count; i++) {
        lock_entry **slot = path_slot(ret, r->entries[i].path);
        if (*slot != NULL) {
            return fail_with(r, &r->entries[i], "the second entry for the path ",
                             r->entries[i].path);
        }
        *slot = &r->entries[i];
    }
    return true;
}

/* --- nodes --------------------------------------------------------------------------------- */

static bool tree_failed(lock_reader *r, const lock_entry *entry, brisk_err err)
{
    r->scan.at = entry->where;
    return pkg_scan_fail(&r->scan, err,
                         err == BRISK_ERR_NOMEM ? "out of memory"
                                                : "node_modules nested deeper than can be, or "
                                                  "too many packages");
}

/* The name a folder of the project has when its entry gives none: its last part, or two. */
static pkg_text name_of_folder(pkg_text path)
{
    size_t from = path.size;
    while (from > 0 && path.data[from - 1] != '/') {
        from--;
    }
    size_t scope = from > 0 ? from - 1 : 0;
    while (scope > 0 && path.data[scope - 1] != '/') {
        scope--;
    }
    if (from > 0 && path.data[scope] == '@') {
        from = scope;
    }
    return (pkg_text){.data = path.data + from, .size = path.size - from};
}

static void fill_node(lock_entry *entry)
{
    pkg_node *node = entry->node;
    node->flags |= entry->flags;
    node->resolved = entry->resolved;
    node->integrity = entry->manifest->integrity;
}

static bool add_folder(lock_reader *r, pkg_tree *tree, lock_entry *entry)
{
    const pkg_manifest *m = entry->manifest;
    brisk_err err = pkg_tree_add_folder(tree, entry->path, m->name, m, &entry->node);
    if (err != BRISK_OK) {
        return tree_failed(r, entry, err);
    }
    fill_node(entry);
    return true;
}

/* The folder a link leads to, or NULL: it leads nowhere, said. */
static pkg_node *find_target(lock_reader *r, const pkg_tree *tree, const paths *all,
                             const lock_entry *link)
{
    pkg_text path = link->resolved;
    if (path.size == 0 || pkg_text_is(path, ".")) {
        return tree->root; /* of which the lock need not say anything */
    }
    const lock_entry *target = *path_slot(all, path);
    const char *wrong = NULL;
    if (target == NULL) {
        wrong = "a link to a folder that the lock has not: ";
    } else if ((target->flags & PKG_NODE_LINK) != 0) {
        wrong = "a link to another link: ";
    } else if (target->node == NULL) {
        wrong = "a link into node_modules: ";
    } else {
        return target->node;
    }
    (void)fail_with(r, link, wrong, path);
    return NULL;
}

static bool add_module(lock_reader *r, pkg_tree *tree, const paths *all, lock_entry *entry)
{
    lock_place at = entry->place;
    lock_entry *parent = *path_slot(all, at.parent);
    pkg_node *above = parent != NULL ? parent->node : at.parent.size == 0 ? tree->root : NULL;
    if (above == NULL) {
        return fail_with(r, entry, "a package in a folder that the lock has not: ", at.parent);
    }
    if ((above->flags & PKG_NODE_LINK) != 0) {
        return fail_with(r, entry, "a package in a link; it belongs where that leads: ", at.parent);
    }
    if ((above->flags & PKG_NODE_REMOVED) != 0) {
        return true; /* went with what it was in */
    }
    brisk_err err;
    if ((entry->flags & PKG_NODE_LINK) != 0) {
        pkg_node *target = find_target(r, tree, all, entry);
        if (target == NULL) {
            return false;
        }
        err = pkg_tree_add_link(tree, above, at.name, target, &entry->node);
    } else {
        if (entry->manifest->name.size == 0) {
            entry->manifest->name = at.name;
        }
        err = pkg_tree_add(tree, above, at.name, entry->manifest, &entry->node);
    }
    if (err != BRISK_OK) {
        return tree_failed(r, entry, err);
    }
    fill_node(entry);
    return true;
}

static int compare_paths(const void *a, const void *b)
{
    const lock_entry *const *x = a;
    const lock_entry *const *y = b;
    return pkg_text_compare((*x)->path, (*y)->path);
}

/* By path, or NULL: out of memory. */
static lock_entry **sort_entries(lock_reader *r)
{
    lock_entry **order = brisk_arena_alloc(r->scratch, r->count * sizeof(lock_entry *));
    for (uint32_t i = 0; order != NULL && i < r->count; i++) {
        order[i] = &r->entries[i];
    }
    if (order != NULL && r->count > 1) {
        qsort(order, r->count, sizeof(lock_entry *), compare_paths);
    }
    return order;
}

static bool judge_entries(lock_reader *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        lock_entry *entry = &r->entries[i];
        const char *wrong = entry->path.size > 0 ? judge_path(entry->path, &entry->place) : NULL;
        if (wrong == NULL && (entry->flags & PKG_NODE_LINK) != 0 && !entry->place.in_modules) {
            wrong = "a link that is not in a node_modules";
        }
        if (wrong == NULL && (entry->flags & PKG_NODE_LINK) != 0 && entry->resolved.data == NULL) {
            wrong = "a link without \"resolved\": where it leads is not said";
        }
        if (wrong != NULL) {
            return fail_at(r, entry, wrong);
        }
    }
    return true;
}

/* Folders first, so that links find them; then what is in node_modules. */
static bool add_nodes(lock_reader *r, pkg_tree *tree, const paths *all)
{
    lock_entry **order = sort_entries(r);
    if (order == NULL) {
        return pkg_scan_fail(&r->scan, BRISK_ERR_NOMEM, "out of memory");
    }
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < r->count; i++) {
            lock_entry *entry = order[i];
            if (entry->path.size == 0 || entry->place.in_modules != (pass == 1)) {
                continue;
            }
            bool good = pass == 0 ? add_folder(r, tree, entry) : add_module(r, tree, all, entry);
            if (!good) {
                return false;
            }
        }
    }
    return true;
}

/* --- the root ------------------------------------------------------------------------------ */

static int compare_deps(const void *a, const void *b)
{
    const pkg_dep *x = a;
    const pkg_dep *y = b;
    int order = pkg_text_compare(x->name, y->name);
    return order != 0 ? order : (int)x->kind - (int)y->kind;
}

/* The folders that the root's "workspaces" means become dependencies of the root. */
static bool add_workspaces(lock_reader *r, pkg_manifest *root)
{
    uint32_t folders = 0;
    uint64_t left = workspaces_work_max;
    for (uint32_t i = 0; i < r->count; i++) {
        lock_entry *entry = &r->entries[i];
        if (entry->path.size == 0 || entry->place.in_modules) {
            continue;
        }
        if (++folders > PKG_LOCK_FOLDERS_MAX) {
            r->scan.at = entry->where;
            return pkg_scan_fail(&r->scan, BRISK_ERR_LIMIT, "more than 10,000 folders");
        }
        if (entry->manifest->name.size == 0) {
            entry->manifest->name = name_of_folder(entry->path);
        }
        if (root->workspaces.size > 0 && pkg_workspaces_has(root->workspaces, entry->path, &left)) {
            entry->flags |= PKG_NODE_WORKSPACE;
        }
        if (left == 0) {
            r->scan.at = entry->where;
            return pkg_scan_fail(&r->scan, BRISK_ERR_LIMIT,
                                 "\"workspaces\" has too many patterns for so many folders");
        }
    }
    pkg_dep *deps = brisk_arena_alloc(r->arena, (root->dep_count + folders) * sizeof *deps);
    if (deps == NULL) {
        return pkg_scan_fail(&r->scan, BRISK_ERR_NOMEM, "out of memory");
    }
    uint32_t count = root->dep_count;
    if (count > 0) {
        memcpy(deps, root->deps, count * sizeof *deps);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        const lock_entry *entry = &r->entries[i];
        if ((entry->flags & PKG_NODE_WORKSPACE) != 0) {
            deps[count++] = (pkg_dep){.name = entry->manifest->name,
                                      .spec = entry->path,
                                      .name_hash = pkg_text_hash(entry->manifest->name),
                                      .kind = PKG_DEP_WORKSPACE};
        }
    }
    if (count > root->dep_count) {
        qsort(deps, count, sizeof *deps, compare_deps);
    }
    root->deps = deps;
    root->dep_count = count;
    return true;
}

static bool make_root(lock_reader *r, pkg_tree *tree, const paths *all)
{
    lock_entry *root = *path_slot(all, (pkg_text){.data = ""});
    pkg_manifest *manifest =
        root != NULL ? root->manifest : brisk_arena_calloc(r->arena, 1, sizeof *manifest);
    if (manifest == NULL) {
        return pkg_scan_fail(&r->scan, BRISK_ERR_NOMEM, "out of memory");
    }
    if (!add_workspaces(r, manifest)) {
        return false;
    }
    brisk_err err = pkg_tree_init(tree, r->arena, manifest);
    if (err != BRISK_OK) {
        return pkg_scan_fail(&r->scan, err, "out of memory");
    }
    if (root != NULL) {
        root->node = tree->root;
        fill_node(root);
    }
    return true;
}

static bool load_edges(lock_reader *r, pkg_tree *tree)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        if (tree->nodes[i] != NULL && (tree->nodes[i]->flags & PKG_NODE_LINK) == 0) {
            brisk_err err = pkg_tree_load_edges(tree, tree->nodes[i]);
            if (err != BRISK_OK) {
                return pkg_scan_fail(&r->scan, err, "out of memory");
            }
        }
    }
    return true;
}

static bool build(lock_reader *r, pkg_tree *tree)
{
    paths all;
    return judge_entries(r) && index_paths(r, &all) && make_root(r, tree, &all) &&
           add_nodes(r, tree, &all) && load_edges(r, tree);
}

/* --- the whole ----------------------------------------------------------------------------- */

/* As npm finds them: the line ends and the white space before the first member. */
static void find_format(pkg_text text, pkg_lock_format *format)
{
    size_t i = 0;
    while (i < text.size && text.data[i] != '{') {
        i++;
    }
    size_t from = ++i;
    while (i < text.size && (text.data[i] == '\n' || text.data[i] == '\r')) {
        i++;
    }
    if (i >= text.size || i == from || text.data[i - 1] != '\n') {
        return;
    }
    format->newline = (pkg_text){.data = text.data + from, .size = i - from};
    from = i;
    while (i < text.size && (text.data[i] == ' ' || text.data[i] == '\t')) {
        i++;
    }
    format->indent = (pkg_text){.data = text.data + from, .size = i - from};
}

static bool take_version(lock_reader *r, uint32_t *ret)
{
    pkg_text raw;
    if (!pkg_scan_value(&r->scan, &raw)) {
        return false;
    }
    if (pkg_text_is(raw, "2") || pkg_text_is(raw, "3")) {
        *ret = (uint32_t)(raw.data[0] - '0');
        return true;
    }
    r->scan.at = raw.data;
    return pkg_scan_fail(&r->scan, BRISK_ERR_UNSUPPORTED,
                         pkg_text_is(raw, "1")
                             ? "lockfileVersion 1 (npm 6) cannot be read: `npm install "
                               "--package-lock-only` of npm 7 or later makes it version 3"
                             : "a lockfileVersion that is not known; 2 and 3 can be read");
}

static bool take_name(lock_reader *r, pkg_text *ret)
{
    pkg_text raw;
    bool plain;
    if (pkg_scan_peek(&r->scan) != '"') {
        return pkg_scan_value(&r->scan, &raw);
    }
    return pkg_scan_string(&r->scan, &raw, &plain) &&
           (pkg_scan_unescape(r->arena, raw, plain, ret) ||
            pkg_scan_fail(&r->scan, BRISK_ERR_NOMEM, "out of memory"));
}

static bool read_all(lock_reader *r, pkg_tree *tree, pkg_lock_format *format)
{
    bool packages = false;
    const char *begin = (pkg_scan_peek(&r->scan), r->scan.at);
    for (bool more = pkg_scan_enter(&r->scan, '{'); more; more = pkg_scan_more(&r->scan, '}')) {
        pkg_text key;
        pkg_text raw;
        bool plain;
        bool good = pkg_scan_key(&r->scan, &key, &plain);
        if (good && pkg_text_is(key, "packages")) {
            good = lock_read_entries(r);
            packages = true;
        } else if (good && pkg_text_is(key, "lockfileVersion")) {
            good = take_version(r, &format->version);
        } else if (good && pkg_text_is(key, "name")) {
            good = take_name(r, &format->name);
        } else {
            good = good && pkg_scan_value(&r->scan, &raw);
        }
        if (!good) {
            return false;
        }
    }
    if (!pkg_scan_end(&r->scan)) {
        return false;
    }
    if (format->version == 0 || !packages) {
        r->scan.at = begin;
        return pkg_scan_fail(&r->scan, BRISK_ERR_CORRUPT,
                             "no package-lock.json: \"lockfileVersion\" and \"packages\" are "
                             "what it must have");
    }
    return build(r, tree);
}

brisk_err pkg_lock_read(pkg_text text, brisk_arena *arena, pkg_tree *ret, pkg_lock_format *format,
                        brisk_errinfo *info)
{
    if (text.size > PKG_LOCK_BYTES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "a lock of more than 256 MiB");
    }
    lock_reader r = {.arena = arena, .info = info};
    brisk_err err = brisk_arena_create(
        &(brisk_arena_opts){.chunk_bytes = SCRATCH_BYTES, .alloc = brisk_arena_as_alloc(arena)},
        &r.scratch);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    pkg_scan_init(&r.scan, text);
    pkg_lock_format found = {0};
    pkg_tree tree = {0};
    if (read_all(&r, &tree, &found)) {
        find_format(text, &found);
        *ret = tree;
        if (format != NULL) {
            *format = found;
        }
    } else {
        err = pkg_scan_report(&r.scan, info);
    }
    brisk_arena_destroy(r.scratch);
    return err;
}
