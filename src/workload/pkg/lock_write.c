/*
 * lock_write.c -- a tree as package-lock.json, in npm 11's bytes.
 *
 * npm normalises some of what a manifest says before it is recorded: `bin` becomes an object of
 * file names without a way out of the package, a `funding` text becomes an object, empty and false
 * values disappear, a package's name is written only where its folder says another.  Doing it here
 * does no harm to what was read from a lock, which went through it already.
 *
 * Threads: one at a time.  Sources: npm's documentation of package-lock.json; the locks of npm 11.
 */
#include "workload/pkg/lock.h"

#include <stdlib.h>

#include <brisk/file.h>

#include "workload/pkg/bin.h"
#include "workload/pkg/collate.h"
#include "workload/pkg/nice.h"

static const char modules[] = "node_modules/";
enum { MODULES_SIZE = sizeof modules - 1, SCRATCH_BYTES = 1 << 18 };

/* --- helpers ------------------------------------------------------------------------------- */

static void write_text(pkg_nice *nice, const char *key, pkg_text value)
{
    if (value.size > 0) {
        pkg_nice_key(nice, pkg_text_of(key));
        pkg_nice_text(nice, value);
    }
}

static void write_true(pkg_nice *nice, const char *key, bool value)
{
    if (value) {
        pkg_nice_key(nice, pkg_text_of(key));
        pkg_nice_word(nice, "true");
    }
}

static void write_texts(pkg_nice *nice, const char *key, const pkg_texts *texts)
{
    if (texts->count == 0) {
        return;
    }
    pkg_nice_key(nice, pkg_text_of(key));
    pkg_nice_begin(nice, '[');
    for (uint32_t i = 0; i < texts->count; i++) {
        pkg_nice_element(nice);
        pkg_nice_text(nice, texts->items[i]);
    }
    pkg_nice_end(nice, ']');
}

static char first_of(pkg_text raw)
{
    return raw.size > 0 ? raw.data[0] : '\0';
}

/* Is it something that npm writes: no null, false, zero, empty text, list or object? */
static bool says_something(pkg_text raw)
{
    char c = first_of(raw);
    if (c == '"') {
        return raw.size > 2;
    }
    if (c == '[' || c == '{') {
        for (size_t i = 1; i + 1 < raw.size; i++) {
            if (strchr(" \t\r\n", raw.data[i]) == NULL) {
                return true;
            }
        }
        return false;
    }
    return c != '\0' && c != 'n' && c != 'f' && !pkg_text_is(raw, "0");
}

/* A raw member, when it belongs to the group that is being written. */
static void write_raw(pkg_nice *nice, const char *key, pkg_text raw, bool objects)
{
    if (says_something(raw) && (first_of(raw) == '{') == objects) {
        pkg_nice_key(nice, pkg_text_of(key));
        pkg_nice_raw(nice, raw);
    }
}

/* --- dependencies -------------------------------------------------------------------------- */

static int compare_deps(const void *a, const void *b)
{
    const pkg_dep *const *x = a;
    const pkg_dep *const *y = b;
    return pkg_member_compare((*x)->name, (*y)->name);
}

static bool in_group(const pkg_dep *dep, pkg_dep_kind kind)
{
    return dep->kind == kind || (kind == PKG_DEP_PEER && dep->kind == PKG_DEP_PEER_OPTIONAL);
}

static void write_deps(pkg_nice *nice, const char *key, const pkg_manifest *m, pkg_dep_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->dep_count; i++) {
        count += in_group(&m->deps[i], kind);
    }
    if (count == 0) {
        return;
    }
    const pkg_dep **deps = brisk_arena_calloc(nice->scratch, count, sizeof *deps);
    if (deps == NULL) {
        nice->err = BRISK_ERR_NOMEM;
        return;
    }
    count = 0;
    for (uint32_t i = 0; i < m->dep_count; i++) {
        if (in_group(&m->deps[i], kind)) {
            deps[count++] = &m->deps[i];
        }
    }
    qsort(deps, count, sizeof *deps, compare_deps);
    pkg_nice_key(nice, pkg_text_of(key));
    pkg_nice_begin(nice, '{');
    for (uint32_t i = 0; i < count; i++) {
        pkg_nice_key(nice, deps[i]->name);
        pkg_nice_text(nice, deps[i]->spec);
    }
    pkg_nice_end(nice, '}');
}

/* Where the text is not known, what follows from the dependencies. */
static void write_peer_meta(pkg_nice *nice, const pkg_manifest *m)
{
    if (m->peer_meta.size > 0) {
        write_raw(nice, "peerDependenciesMeta", m->peer_meta, true);
        return;
    }
    bool open = false;
    for (uint32_t i = 0; i < m->dep_count; i++) { /* sorted by bytes, which is close to npm's */
        if (m->deps[i].kind != PKG_DEP_PEER_OPTIONAL) {
            continue;
        }
        if (!open) {
            pkg_nice_key(nice, PKG_TEXT("peerDependenciesMeta"));
            pkg_nice_begin(nice, '{');
            open = true;
        }
        pkg_nice_key(nice, m->deps[i].name);
        pkg_nice_begin(nice, '{');
        write_true(nice, "optional", true);
        pkg_nice_end(nice, '}');
    }
    if (open) {
        pkg_nice_end(nice, '}');
    }
}

/* --- one package --------------------------------------------------------------------------- */

/* "@scope/name" or "name": what the folder's path says. */
static pkg_text folder_name(pkg_text path)
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

static void write_name(pkg_nice *nice, const pkg_tree *tree, const pkg_node *node)
{
    pkg_text name = node->manifest->name;
    if (node == tree->root || !pkg_text_equal(name, node->name) ||
        !pkg_text_equal(name, folder_name(node->path))) {
        write_text(nice, "name", name);
    }
}

/* Is it a place rather than a range, a tag or an alias? */
static bool is_elsewhere(const pkg_edge *edge)
{
    pkg_text spec = edge->spec;
    if (edge->range != NULL || (spec.size >= 4 && memcmp(spec.data, "npm:", 4) == 0)) {
        return false;
    }
    for (size_t i = 0; i < spec.size; i++) {
        if (spec.data[i] == '/' || spec.data[i] == ':') {
            return true;
        }
    }
    return false;
}

/* Everything that points here asks a registry for it, and something does. */
static bool is_from_registry(const pkg_node *node)
{
    for (const pkg_edge *edge = node->in; edge != NULL; edge = edge->next_in) {
        if (is_elsewhere(edge)) {
            return false;
        }
    }
    return node->in != NULL;
}

static void write_bundled(pkg_nice *nice, const pkg_manifest *m)
{
    if (m->bundled.count > 0 || (m->flags & PKG_BUNDLES_ALL) == 0) {
        write_texts(nice, "bundleDependencies", &m->bundled);
        return;
    }
    bool open = false;
    for (uint32_t i = 0; i < m->dep_count; i++) {
        if (m->deps[i].kind != PKG_DEP_PROD) {
            continue;
        }
        if (!open) {
            pkg_nice_key(nice, PKG_TEXT("bundleDependencies"));
            pkg_nice_begin(nice, '[');
            open = true;
        }
        pkg_nice_element(nice);
        pkg_nice_text(nice, m->deps[i].name);
    }
    if (open) {
        pkg_nice_end(nice, ']');
    }
}

static void write_deprecated(pkg_nice *nice, const pkg_manifest *m)
{
    if ((m->flags & PKG_DEPRECATED) == 0) {
        return;
    }
    write_text(nice, "deprecated", m->deprecated);
    write_true(nice, "deprecated", m->deprecated.size == 0);
}

/* The members that are no objects, in npm's order. */
static void write_plain(pkg_nice *nice, const pkg_node *node)
{
    const pkg_manifest *m = node->manifest;
    uint32_t flags = (node->flags & PKG_NODE_EXTRANEOUS) != 0 ? PKG_NODE_EXTRANEOUS : node->flags;
    bool dev = (flags & PKG_NODE_DEV) != 0;
    bool optional = (flags & PKG_NODE_OPTIONAL) != 0;
    write_bundled(nice, m);
    write_texts(nice, "cpu", &m->cpu);
    write_deprecated(nice, m);
    write_true(nice, "dev", dev);
    write_true(nice, "devOptional", (flags & PKG_NODE_DEV_OPTIONAL) != 0 && !dev && !optional);
    write_raw(nice, "engines", m->engines, false);
    write_true(nice, "extraneous", (flags & PKG_NODE_EXTRANEOUS) != 0);
    if (first_of(m->funding) != '"') {
        write_raw(nice, "funding", m->funding, false);
    }
    write_true(nice, "hasInstallScript", (m->flags & PKG_HAS_INSTALL_SCRIPT) != 0);
    write_true(nice, "hasShrinkwrap", (m->flags & PKG_HAS_SHRINKWRAP) != 0);
    write_true(nice, "inBundle", (node->flags & PKG_NODE_BUNDLED) != 0);
    write_texts(nice, "libc", &m->libc);
    write_text(nice, "license", m->license);
    write_raw(nice, "license", m->license_raw, false);
    write_true(nice, "optional", optional);
    write_texts(nice, "os", &m->os);
    write_true(nice, "peer", (flags & PKG_NODE_PEER) != 0);
    write_raw(nice, "workspaces", m->workspaces, false);
}

static void write_funding(pkg_nice *nice, pkg_text raw)
{
    if (first_of(raw) == '"' && says_something(raw)) {
        pkg_nice_key(nice, PKG_TEXT("funding"));
        pkg_nice_begin(nice, '{');
        pkg_nice_key(nice, PKG_TEXT("url"));
        pkg_nice_raw(nice, raw);
        pkg_nice_end(nice, '}');
    } else {
        write_raw(nice, "funding", raw, true);
    }
}

/* The members that are objects. */
static void write_objects(pkg_nice *nice, const pkg_node *node)
{
    const pkg_manifest *m = node->manifest;
    write_deps(nice, "dependencies", m, PKG_DEP_PROD);
    write_raw(nice, "acceptDependencies", m->accept, true);
    pkg_bin_write(nice, m->name, m->bin);
    if (node->parent == NULL) {
        write_deps(nice, "devDependencies", m, PKG_DEP_DEV);
    }
    write_raw(nice, "engines", m->engines, true);
    write_funding(nice, m->funding);
    write_raw(nice, "license", m->license_raw, true);
    write_deps(nice, "optionalDependencies", m, PKG_DEP_OPTIONAL);
    write_deps(nice, "peerDependencies", m, PKG_DEP_PEER);
    write_peer_meta(nice, m);
    write_raw(nice, "workspaces", m->workspaces, true);
}

static void write_node(pkg_nice *nice, const pkg_tree *tree, const pkg_node *node,
                       const pkg_lock_opts *opts)
{
    pkg_nice_key(nice, node->path);
    pkg_nice_begin(nice, '{');
    if ((node->flags & PKG_NODE_LINK) != 0) {
        pkg_nice_key(nice, PKG_TEXT("resolved")); /* "" is the root */
        pkg_nice_text(nice, node->target != NULL ? node->target->path : node->resolved);
        write_true(nice, "link", true);
    } else {
        write_name(nice, tree, node);
        write_text(nice, "version", node->manifest->version);
        if (!opts->omit_resolved || !is_from_registry(node)) {
            write_text(nice, "resolved", node->resolved);
        }
        write_text(nice, "integrity",
                   node->integrity.size > 0 ? node->integrity : node->manifest->integrity);
        write_plain(nice, node);
        write_objects(nice, node);
    }
    pkg_nice_end(nice, '}');
}

/* --- the whole ----------------------------------------------------------------------------- */

typedef struct place {
    const pkg_node *node;
    uint64_t key; /* of what follows "node_modules/" */
    bool in_modules;
} place;

static bool in_modules(pkg_text path)
{
    return path.size > MODULES_SIZE && memcmp(path.data, modules, MODULES_SIZE) == 0;
}

static int compare_places(const void *a, const void *b)
{
    const place *x = a;
    const place *y = b;
    if (x->in_modules && y->in_modules && x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return pkg_member_compare(x->node->path, y->node->path);
}

/* npm leaves out folders of the project that nothing needs any more. */
static bool is_left_out(const pkg_tree *tree, const pkg_node *node)
{
    return node == NULL ||
           (node != tree->root && node->parent == NULL && (node->flags & PKG_NODE_EXTRANEOUS) != 0);
}

static brisk_err sort_places(const pkg_tree *tree, brisk_arena *arena, place **ret, uint32_t *count)
{
    place *places = brisk_arena_calloc(arena, tree->count, sizeof *places);
    if (places == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        const pkg_node *node = tree->nodes[i];
        if (!is_left_out(tree, node)) {
            bool inside = in_modules(node->path);
            places[n++] = (place){.node = node,
                                  .in_modules = inside,
                                  .key = inside ? pkg_collate_key(node->path, MODULES_SIZE) : 0};
        }
    }
    qsort(places, n, sizeof *places, compare_places);
    *ret = places;
    *count = n;
    return BRISK_OK;
}

/* Has the root anything to say?  npm leaves it out otherwise. */
static bool is_empty_root(const pkg_node *root)
{
    const pkg_manifest *m = root->manifest;
    return root->path.size == 0 && m->name.size == 0 && m->version.size == 0 && m->dep_count == 0 &&
           m->license.size == 0 && m->bin.size == 0 && m->engines.size == 0 &&
           m->workspaces.size == 0 && m->funding.size == 0 && m->flags == 0;
}

static brisk_err write_all(const pkg_tree *tree, const pkg_lock_opts *opts, brisk_out out,
                           brisk_arena *scratch)
{
    place *places;
    uint32_t count;
    pkg_nice nice;
    brisk_err err = sort_places(tree, scratch, &places, &count);
    if (err == BRISK_OK) {
        err = pkg_nice_init(&nice, out, scratch, opts->format.indent, opts->format.newline);
    }
    if (err != BRISK_OK) {
        return err;
    }
    const pkg_manifest *root = tree->root->manifest;
    pkg_nice_begin(&nice, '{');
    write_text(&nice, "name", root->name.size > 0 ? root->name : opts->format.name);
    write_text(&nice, "version", root->version);
    pkg_nice_key(&nice, PKG_TEXT("lockfileVersion"));
    pkg_nice_word(&nice, "3");
    write_true(&nice, "requires", true);
    pkg_nice_key(&nice, PKG_TEXT("packages"));
    pkg_nice_begin(&nice, '{');
    for (uint32_t i = 0; i < count && nice.err == BRISK_OK; i++) {
        if (places[i].node != tree->root || !is_empty_root(tree->root)) {
            write_node(&nice, tree, places[i].node, opts);
        }
    }
    pkg_nice_end(&nice, '}');
    pkg_nice_end(&nice, '}');
    return pkg_nice_finish(&nice);
}

brisk_err pkg_lock_write(const pkg_tree *tree, const pkg_lock_opts *opts, brisk_out out)
{
    static const pkg_lock_opts defaults = {0};
    brisk_arena *scratch;
    brisk_err err =
        brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = SCRATCH_BYTES,
                                               .alloc = brisk_arena_as_alloc(tree->arena)},
                           &scratch);
    if (err == BRISK_OK) {
        err = write_all(tree, opts != NULL ? opts : &defaults, out, scratch);
        brisk_arena_destroy(scratch);
    }
    return err;
}

/* --- to a file ----------------------------------------------------------------------------- */

static brisk_err write_fd(void *ctx, const char *data, size_t size)
{
    return brisk_file_write_all(*(const int *)ctx, data, size);
}

brisk_err pkg_lock_save(const pkg_tree *tree, const pkg_lock_opts *opts, const char *path,
                        brisk_errinfo *info)
{
    brisk_file_replace *replace;
    brisk_err err = brisk_file_replace_open(path, NULL, &replace, info);
    if (err != BRISK_OK) {
        return err;
    }
    int fd = brisk_file_replace_fd(replace);
    err = pkg_lock_write(tree, opts, (brisk_out){.write = write_fd, .ctx = &fd});
    if (err != BRISK_OK) {
        brisk_file_replace_abort(replace);
        return brisk_errinfo_set(info, err, "%s: cannot be written, the old one is as it was: %s",
                                 path, brisk_err_message(err));
    }
    return brisk_file_replace_commit(replace, true, info);
}
