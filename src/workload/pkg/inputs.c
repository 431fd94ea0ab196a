/*
 * inputs.c -- reading what a resolution starts from, and whether there is anything to do.
 *
 * A lock that agrees with package.json and whose dependencies are all satisfied is kept as it is:
 * that is what a lock is for.  The comparison is strict; what it does not understand goes the long
 * way, which comes to the same bytes.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/inputs.h"

#include <string.h>

#include <brisk/file.h>

#include "workload/pkg/file_read.h"
#include "workload/pkg/stamp.h"

/* --- reading ---------------------------------------------------------------------------------- */

/* Has it dependencies whose package.json is somewhere else? */
static bool reads_folders(const pkg_manifest *m)
{
    for (uint32_t i = 0; i < m->dep_count; i++) {
        const pkg_dep *dep = &m->deps[i];
        if (dep->range == NULL && dep->spec.size > 0 &&
            (memchr(dep->spec.data, '/', dep->spec.size) != NULL ||
             memchr(dep->spec.data, ':', dep->spec.size) != NULL || dep->spec.data[0] == '.' ||
             dep->spec.data[0] == '~')) {
            return true; /* or an alias: no harm in computing */
        }
    }
    return false;
}

/* package.json of `folder`, "" for the project's own.  False: it cannot be read. */
static bool manifest_text(const pkg_inputs *in, pkg_text folder, pkg_text *ret)
{
    const pkg_file_opts opts = {.size_max = 16 << 20, .follow_links = true};
    brisk_errinfo info;
    if (in->project.text.data != NULL) {
        *ret = in->project.text;
        return folder.size == 0;
    }
    char *path = brisk_arena_printf(in->arena, "%s%s%.*s/package.json", in->project.folder.data,
                                    folder.size > 0 ? "/" : "", (int)folder.size, folder.data);
    return path != NULL && pkg_file_read(path, &opts, in->arena, ret, &info) == BRISK_OK;
}

/* What is looked at to see that a lock needs nothing.  False: it is not only files that were read. */
static bool hash_file(const pkg_inputs *in, pkg_text folder, brisk_hasher *hasher)
{
    pkg_text text;
    if (!manifest_text(in, folder, &text)) {
        return false;
    }
    uint64_t sizes[2] = {folder.size, text.size};
    brisk_hasher_update(hasher, sizes, sizeof sizes);
    brisk_hasher_update(hasher, folder.data, folder.size);
    brisk_hasher_update(hasher, text.data, text.size);
    return true;
}

/* Of all package.json files.  False: not only they decide. */
static bool hash_manifests(const pkg_inputs *in, brisk_hash128 *ret)
{
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    bool good = !reads_folders(in->project.manifest) && in->project.override_count == 0 &&
                hash_file(in, PKG_TEXT(""), &hasher);
    for (uint32_t i = 0; good && i < in->project.workspace_count; i++) {
        const pkg_workspace *w = &in->project.workspaces[i];
        good = !reads_folders(w->manifest) && hash_file(in, w->path, &hasher);
    }
    *ret = brisk_hasher_digest128(&hasher);
    return good;
}

static brisk_hash128 hash_with(brisk_hash128 manifests, pkg_text lock)
{
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 1);
    brisk_hasher_update(&hasher, &manifests, sizeof manifests);
    brisk_hasher_update(&hasher, lock.data, lock.size);
    return brisk_hasher_digest128(&hasher);
}

/* How the first line that is indented is. */
static void take_format(pkg_inputs *in, pkg_text text)
{
    const char *line = text.size > 0 ? memchr(text.data, '\n', text.size) : NULL;
    if (line == NULL) {
        return;
    }
    size_t begin = (size_t)(line - text.data) + 1;
    size_t end = begin;
    while (end < text.size && (text.data[end] == ' ' || text.data[end] == '\t')) {
        end++;
    }
    in->format.indent = (pkg_text){.data = text.data + begin, .size = end - begin};
    if (line > text.data && line[-1] == '\r') {
        in->format.newline = PKG_TEXT("\r\n");
    }
}

/* A new lock is indented as package.json is. */
static void take_format_of_manifest(pkg_inputs *in)
{
    pkg_text text;
    if (manifest_text(in, PKG_TEXT(""), &text)) {
        take_format(in, text);
    }
}

/* Of in->lock_text. */
static brisk_err take_lock(pkg_inputs *in, const pkg_inputs_opts *how, brisk_errinfo *info)
{
    if (how->anew) {
        take_format(in, in->lock_text);
        return BRISK_OK;
    }
    /* with other rules for peers the lock is looked at anew */
    if (!how->whole && !in->config.strict_peer_deps && !in->config.legacy_peer_deps) {
        in->hash = hash_with(in->manifests, in->lock_text);
        in->resolved = in->has_hash && pkg_stamp_get(in->hash, &in->packages);
        if (in->resolved) {
            return BRISK_OK;
        }
    }
    brisk_errinfo why = {0};
    brisk_err err = pkg_lock_read(in->lock_text, in->arena, &in->lock, &in->format, &why);
    return err == BRISK_OK
               ? err
               : brisk_errinfo_set(info, err, "%s: %s; repair it, or resolve anew with --update",
                                   in->lock_path, why.text);
}

static brisk_err read_lock(pkg_inputs *in, const pkg_inputs_opts *how, brisk_errinfo *info)
{
    static const char *const names[] = {"npm-shrinkwrap.json", "package-lock.json"};
    const pkg_file_opts opts = {.size_max = PKG_LOCK_BYTES_MAX, .follow_links = true};
    brisk_err err = BRISK_ERR_NOT_FOUND;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && err == BRISK_ERR_NOT_FOUND; i++) {
        in->lock_path = brisk_arena_printf(in->arena, "%s/%s", in->project.folder.data, names[i]);
        if (in->lock_path == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
        }
        err = pkg_file_read(in->lock_path, &opts, in->arena, &in->lock_text, info);
    }
    if (err != BRISK_OK) {
        in->lock_text = (pkg_text){0};
        take_format_of_manifest(in);
        return err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
    }
    return take_lock(in, how, info);
}

brisk_err pkg_inputs_read(const char *folder, const pkg_inputs_opts *opts, pkg_inputs *ret,
                          brisk_errinfo *info)
{
    pkg_inputs in = {0};
    brisk_err err = brisk_arena_create(NULL, &in.arena);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    err = pkg_project_read(folder, in.arena, &in.project, info);
    err =
        err == BRISK_OK ? pkg_config_read(in.project.folder.data, in.arena, &in.config, info) : err;
    in.has_hash = err == BRISK_OK && hash_manifests(&in, &in.manifests);
    err = err == BRISK_OK ? read_lock(&in, opts, info) : err;
    if (err != BRISK_OK) {
        brisk_arena_destroy(in.arena);
        return err;
    }
    *ret = in;
    return BRISK_OK;
}

brisk_err pkg_inputs_read_texts(pkg_text manifest, pkg_text lock, const pkg_inputs_opts *opts,
                                pkg_inputs *ret, brisk_errinfo *info)
{
    pkg_inputs in = {.lock_path = "package-lock.json", .lock_text = lock};
    brisk_err err = brisk_arena_create(NULL, &in.arena);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    err = pkg_project_read_text(manifest, in.arena, &in.project, info);
    err = err == BRISK_OK ? pkg_config_read(NULL, in.arena, &in.config, info) : err;
    if (err == BRISK_OK && lock.data == NULL) {
        take_format_of_manifest(&in);
    } else if (err == BRISK_OK) {
        err = lock.size <= PKG_LOCK_BYTES_MAX
                  ? take_lock(&in, &(pkg_inputs_opts){.anew = opts->anew, .whole = true}, info)
                  : brisk_errinfo_set(info, BRISK_ERR_LIMIT, "package-lock.json: too large");
    }
    if (err != BRISK_OK) {
        brisk_arena_destroy(in.arena);
        return err;
    }
    *ret = in;
    return BRISK_OK;
}

void pkg_inputs_release(pkg_inputs *inputs)
{
    brisk_arena_destroy(inputs->arena);
    *inputs = (pkg_inputs){0};
}

/* --- is there anything to do? ----------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The same JSON but for white space. */
static bool same_json(pkg_text a, pkg_text b)
{
    size_t i = 0;
    size_t j = 0;
    bool quoted = false;
    for (;; i++, j++) {
        while (!quoted && i < a.size && is_space(a.data[i])) {
            i++;
        }
        while (!quoted && j < b.size && is_space(b.data[j])) {
            j++;
        }
        if (i >= a.size || j >= b.size) {
            return i >= a.size && j >= b.size;
        }
        if (a.data[i] != b.data[j]) {
            return false;
        }
        if (quoted && a.data[i] == '\\') {
            if (i + 1 >= a.size || j + 1 >= b.size || a.data[i + 1] != b.data[j + 1]) {
                return false;
            }
            i++;
            j++;
        } else if (a.data[i] == '"') {
            quoted = !quoted;
        }
    }
}

static bool same_texts(const pkg_texts *a, const pkg_texts *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++) {
        same = pkg_text_equal(a->items[i], b->items[i]);
    }
    return same;
}

/* The next of `m`'s dependencies that a lock writes, from *at on; NULL: no more. */
static const pkg_dep *next_dep(const pkg_manifest *m, uint32_t *at)
{
    while (*at < m->dep_count && m->deps[*at].kind == PKG_DEP_WORKSPACE) {
        (*at)++;
    }
    return *at < m->dep_count ? &m->deps[(*at)++] : NULL;
}

static bool same_deps(const pkg_manifest *a, const pkg_manifest *b)
{
    uint32_t i = 0;
    uint32_t j = 0;
    for (;;) {
        const pkg_dep *x = next_dep(a, &i);
        const pkg_dep *y = next_dep(b, &j);
        if (x == NULL || y == NULL) {
            return x == y;
        }
        if (x->kind != y->kind || !pkg_text_equal(x->name, y->name) ||
            !pkg_text_equal(x->spec, y->spec)) {
            return false;
        }
    }
}

static bool same_manifest(const pkg_manifest *ours, const pkg_manifest *locks)
{
    const uint32_t flags = PKG_HAS_INSTALL_SCRIPT | PKG_BUNDLES_ALL;
    return pkg_text_equal(ours->version, locks->version) && same_deps(ours, locks) &&
           ((ours->flags ^ locks->flags) & flags) == 0 && same_texts(&ours->os, &locks->os) &&
           same_texts(&ours->cpu, &locks->cpu) && same_texts(&ours->libc, &locks->libc) &&
           same_texts(&ours->bundled, &locks->bundled) &&
           pkg_text_equal(ours->license, locks->license) &&
           same_json(ours->license_raw, locks->license_raw) && same_json(ours->bin, locks->bin) &&
           same_json(ours->engines, locks->engines) && same_json(ours->funding, locks->funding) &&
           same_json(ours->peer_meta, locks->peer_meta) &&
           same_json(ours->workspaces, locks->workspaces);
}

static bool same_folders(const pkg_inputs *in)
{
    const pkg_tree *lock = &in->lock;
    const pkg_project *project = &in->project;
    if (lock->folder_count != project->workspace_count + 1) {
        return false; /* folders that are no workspaces, too: they may have changed */
    }
    for (uint32_t i = 0; i < project->workspace_count; i++) {
        const pkg_workspace *w = &project->workspaces[i];
        const pkg_node *node = pkg_tree_at(lock, w->path);
        if (node == NULL || (node->flags & PKG_NODE_WORKSPACE) == 0 ||
            !pkg_text_equal(w->manifest->name, node->manifest->name) ||
            !same_manifest(w->manifest, node->manifest)) {
            return false;
        }
    }
    return true;
}

/* A peer below the project in another version: whoever made the lock gave it up, as npm does. */
static bool was_given_up(const pkg_edge *edge)
{
    return edge->dep->kind == PKG_DEP_PEER && edge->to != NULL && edge->from->parent != NULL &&
           edge->state == PKG_EDGE_INVALID;
}

static bool is_satisfied(const pkg_tree *tree)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        const pkg_node *node = tree->nodes[i];
        if (node == NULL) {
            continue;
        }
        if ((node->flags & PKG_NODE_EXTRANEOUS) != 0) {
            return false;
        }
        for (uint32_t e = 0; e < node->edge_count; e++) {
            if (!pkg_edge_is_fine(&node->edges[e]) && !was_given_up(&node->edges[e])) {
                return false;
            }
        }
    }
    return true;
}

static uint32_t packages_in(const pkg_tree *lock)
{
    uint32_t packages = 0;
    for (uint32_t i = 1; i < lock->count; i++) {
        const pkg_node *node = lock->nodes[i];
        packages += node != NULL && node->parent != NULL && (node->flags & PKG_NODE_LINK) == 0;
    }
    return packages;
}

bool pkg_inputs_are_resolved(pkg_inputs *in)
{
    if (in->resolved) {
        return true;
    }
    if (in->config.strict_peer_deps || in->config.legacy_peer_deps) {
        return false;
    }
    in->resolved = in->lock.root != NULL && in->format.version == 3 &&
                   in->project.override_count == 0 &&
                   pkg_text_equal(in->project.manifest->name, in->lock.root->manifest->name) &&
                   same_manifest(in->project.manifest, in->lock.root->manifest) &&
                   same_folders(in) && is_satisfied(&in->lock);
    if (in->resolved) {
        in->packages = packages_in(&in->lock);
        if (in->has_hash) {
            pkg_stamp_put(in->hash, in->packages);
        }
    }
    return in->resolved;
}

void pkg_inputs_remember(pkg_inputs *in, const pkg_tree *tree, pkg_text text)
{
    brisk_hash128 now;
    if (in->has_hash && is_satisfied(tree) && hash_manifests(in, &now) &&
        now.lo == in->manifests.lo && now.hi == in->manifests.hi) {
        pkg_stamp_put(hash_with(now, text), packages_in(tree));
    }
}

/* --- the key ---------------------------------------------------------------------------------- */

static brisk_err key_file(const pkg_inputs *in, pkg_text folder, brisk_key_builder *builder)
{
    pkg_text text;
    if (!manifest_text(in, folder, &text)) {
        return BRISK_ERR_DECLINED;
    }
    brisk_key_bytes(builder, "folder", folder.data, folder.size);
    brisk_key_content(builder, "manifest", brisk_hash128_of(text.data, text.size, 0), text.size);
    return BRISK_OK;
}

brisk_err pkg_inputs_key(const pkg_inputs *in, brisk_key_builder *builder)
{
    if (reads_folders(in->project.manifest)) {
        return BRISK_ERR_DECLINED;
    }
    brisk_err err = key_file(in, PKG_TEXT(""), builder);
    for (uint32_t i = 0; i < in->project.workspace_count && err == BRISK_OK; i++) {
        const pkg_workspace *w = &in->project.workspaces[i];
        err = reads_folders(w->manifest) ? BRISK_ERR_DECLINED : key_file(in, w->path, builder);
    }
    if (in->lock_text.data != NULL) {
        brisk_key_content(builder, "lock",
                          brisk_hash128_of(in->lock_text.data, in->lock_text.size, 0),
                          in->lock_text.size);
        brisk_key_u64(builder, "begins with the lock", in->lock.root != NULL);
    }
    const char *slash = memrchr(in->project.folder.data, '/', in->project.folder.size);
    brisk_key_str(builder, "folder's name", slash != NULL ? slash + 1 : "");
    for (uint32_t i = 0; i < in->config.registry_count; i++) {
        const pkg_registry *r = &in->config.registries[i];
        brisk_key_bytes(builder, "scope", r->scope.data, r->scope.size);
        brisk_key_bytes(builder, "registry", r->url.data, r->url.size);
    }
    brisk_key_u64(builder, "omit resolved", in->config.omit_resolved);
    return err;
}
