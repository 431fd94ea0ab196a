/*
 * manifest.c -- package.json to a manifest.
 *
 * What decides the tree (names, versions, dependencies) has to be of its type, and is refused with
 * file and line when it is not: a typing error that is passed over would give another tree than the
 * one that was meant.  What is only recorded (license, funding) is taken as it is.
 *
 * Dependencies are read in npm's order (peer, plain, optional, dev); of one name and class the last
 * stays, so that an optional dependency replaces a plain one.
 *
 * Threads: no state.  Source: npm's documentation of package.json.
 */
#include <stdlib.h>
#include <string.h>

#include "workload/pkg/jsontext.h"
#include "workload/pkg/project_internal.h"

enum {
    DEPS_MAX = 100000,    /* of one kind */
    PEER_META_MAX = 4096, /* looked through for each peer */
};

typedef struct reader {
    const char *file;
    brisk_arena *arena;
    brisk_errinfo *info;
    pkg_dep *deps;
    uint32_t count;
    const pkg_json *peer_meta;
} reader;

static brisk_err no_memory(const reader *r)
{
    return brisk_errinfo_set(r->info, BRISK_ERR_NOMEM, "%s: out of memory", r->file);
}

static brisk_err wrong_type(const reader *r, const pkg_json *value, const char *field,
                            const char *type)
{
    return brisk_errinfo_set(r->info, BRISK_ERR_INVALID, "%s: line %u: \"%s\" has to be %s",
                             r->file, value->line, field, type);
}

const char *project_quote(char buffer[PROJECT_QUOTED_MAX], pkg_text text)
{
    char cut[PROJECT_QUOTED_MAX];
    size_t size = text.size < sizeof cut - 1 ? text.size : sizeof cut - 1;
    if (size > 0) {
        memcpy(cut, text.data, size);
    }
    cut[size] = '\0';
    return brisk_text_quote(buffer, cut);
}

/* --- plain fields -------------------------------------------------------------------------- */

/* A text that may be missing. */
static brisk_err read_text(const reader *r, const pkg_json *root, const char *field, pkg_text *ret)
{
    const pkg_json *value = pkg_json_get(root, field);
    *ret = pkg_json_get_text(root, field);
    bool none = value == NULL || value->type == PKG_JSON_STRING || value->type == PKG_JSON_NULL;
    return none ? BRISK_OK : wrong_type(r, value, field, "a text");
}

/* A list of texts, or one text alone; what is neither is left out, as npm does. */
static brisk_err read_list(const reader *r, const pkg_json *value, pkg_texts *ret)
{
    *ret = (pkg_texts){0};
    bool list = value != NULL && value->type == PKG_JSON_ARRAY;
    if (!list && (value == NULL || value->type != PKG_JSON_STRING)) {
        return BRISK_OK;
    }
    uint32_t count = list ? value->count : 1;
    pkg_text *items = brisk_arena_calloc(r->arena, (size_t)count + 1, sizeof *items);
    if (items == NULL) {
        return no_memory(r);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const pkg_json *item = list ? value->items[i] : value;
        if (item->type == PKG_JSON_STRING) {
            items[kept++] = item->text;
        }
    }
    *ret = (pkg_texts){.items = items, .count = kept};
    return BRISK_OK;
}

static pkg_text raw_of(const pkg_json *root, const char *field)
{
    const pkg_json *value = pkg_json_get(root, field);
    return value != NULL && value->type != PKG_JSON_NULL ? value->raw : PKG_TEXT("");
}

static void read_license(const pkg_json *root, pkg_manifest *m)
{
    const pkg_json *value = pkg_json_get(root, "license");
    m->license = value != NULL && value->type == PKG_JSON_OBJECT
                     ? pkg_json_get_text(value, "type")
                     : pkg_json_get_text(root, "license");
    if (m->license.size == 0) {
        m->license_raw = raw_of(root, "license");
    }
}

static void read_flags(const pkg_json *root, pkg_manifest *m)
{
    static const char *const scripts[] = {"install", "preinstall", "postinstall"};
    const pkg_json *all = pkg_json_get(root, "scripts");
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        if (pkg_json_get_text(all, scripts[i]).size > 0) {
            m->flags |= PKG_HAS_INSTALL_SCRIPT;
        }
    }
    const pkg_json *private = pkg_json_get(root, "private");
    if (private != NULL && private->type == PKG_JSON_BOOL && private->boolean) {
        m->flags |= PKG_PRIVATE;
    }
}

/* bundleDependencies (or bundledDependencies): true, or a list, or an object with the names. */
static brisk_err read_bundled(const reader *r, const pkg_json *root, pkg_manifest *m)
{
    const pkg_json *value = pkg_json_get(root, "bundleDependencies");
    value = value != NULL ? value : pkg_json_get(root, "bundledDependencies");
    if (value != NULL && value->type == PKG_JSON_BOOL) {
        m->flags |= value->boolean ? PKG_BUNDLES_ALL : 0;
        return BRISK_OK;
    }
    if (value != NULL && value->type == PKG_JSON_OBJECT) {
        m->bundled = (pkg_texts){.items = value->keys, .count = value->count};
        return BRISK_OK;
    }
    return read_list(r, value, &m->bundled);
}

static brisk_err read_fields(const reader *r, const pkg_json *root, pkg_manifest *m)
{
    brisk_err err = read_text(r, root, "name", &m->name);
    err = err != BRISK_OK ? err : read_text(r, root, "version", &m->version);
    err = err != BRISK_OK ? err : read_bundled(r, root, m);
    err = err != BRISK_OK ? err : read_list(r, pkg_json_get(root, "os"), &m->os);
    err = err != BRISK_OK ? err : read_list(r, pkg_json_get(root, "cpu"), &m->cpu);
    err = err != BRISK_OK ? err : read_list(r, pkg_json_get(root, "libc"), &m->libc);
    if (err != BRISK_OK) {
        return err;
    }
    if (!semver_parse(m->version, SEMVER_LOOSE, &m->semver)) {
        m->semver = (semver){0};
    }
    const pkg_json *engines = pkg_json_get(root, "engines");
    m->engine_node = pkg_json_get_text(engines, "node");
    m->engine_npm = pkg_json_get_text(engines, "npm");
    m->engines = raw_of(root, "engines");
    m->bin = raw_of(root, "bin");
    m->funding = raw_of(root, "funding");
    m->peer_meta = raw_of(root, "peerDependenciesMeta");
    m->accept = raw_of(root, "acceptDependencies");
    m->workspaces = raw_of(root, "workspaces");
    m->published_ms = INT64_MIN;
    read_license(root, m);
    read_flags(root, m);
    return BRISK_OK;
}

/* --- dependencies -------------------------------------------------------------------------- */

static const struct {
    const char *field;
    pkg_dep_kind kind;
} dep_fields[] = {
    {"peerDependencies", PKG_DEP_PEER},
    {"dependencies", PKG_DEP_PROD},
    {"optionalDependencies", PKG_DEP_OPTIONAL},
    {"devDependencies", PKG_DEP_DEV},
};
enum { DEP_FIELDS = sizeof dep_fields / sizeof *dep_fields };

static bool is_optional_peer(const reader *r, pkg_text name)
{
    const pkg_json *meta = r->peer_meta;
    for (uint32_t i = 0; meta != NULL && meta->type == PKG_JSON_OBJECT && i < meta->count; i++) {
        if (pkg_text_equal(meta->keys[i], name)) {
            const pkg_json *optional = pkg_json_get(meta->items[i], "optional");
            return optional != NULL && optional->type == PKG_JSON_BOOL && optional->boolean;
        }
    }
    return false;
}

static brisk_err read_dep(const reader *r, pkg_text name, const pkg_json *value, pkg_dep_kind kind,
                          pkg_dep *ret)
{
    char quoted[PROJECT_QUOTED_MAX];
    if (!pkg_name_is_valid(name)) {
        return brisk_errinfo_set(r->info, BRISK_ERR_INVALID,
                                 "%s: line %u: \"%s\" is no package name", r->file, value->line,
                                 project_quote(quoted, name));
    }
    if (value->type != PKG_JSON_STRING) {
        return brisk_errinfo_set(
            r->info, BRISK_ERR_INVALID,
            "%s: line %u: what %s is wanted in has to be a text, like \"^1.2.0\"", r->file,
            value->line, project_quote(quoted, name));
    }
    pkg_spec spec;
    brisk_err err = pkg_spec_parse(name, value->text, r->arena, &spec);
    if (err != BRISK_OK) {
        return no_memory(r);
    }
    if (spec.type == PKG_SPEC_INVALID) {
        return brisk_errinfo_set(
            r->info, BRISK_ERR_INVALID,
            "%s: line %u: %s is wanted as something that is no range, tag, URL or path", r->file,
            value->line, project_quote(quoted, name));
    }
    if (kind == PKG_DEP_PEER && is_optional_peer(r, name)) {
        kind = PKG_DEP_PEER_OPTIONAL;
    }
    *ret = (pkg_dep){.name = name,
                     .spec = value->text,
                     .range = spec.type == PKG_SPEC_RANGE ? spec.range : NULL,
                     .name_hash = pkg_text_hash(name),
                     .kind = kind};
    return BRISK_OK;
}

static brisk_err read_dep_field(reader *r, const pkg_json *root, const char *field,
                                pkg_dep_kind kind)
{
    const pkg_json *object = pkg_json_get(root, field);
    if (object == NULL || object->type == PKG_JSON_NULL ||
        (object->type == PKG_JSON_ARRAY && object->count == 0)) {
        return BRISK_OK; /* old tools wrote [] for none */
    }
    if (object->type != PKG_JSON_OBJECT) {
        return wrong_type(r, object, field, "an object of names and ranges");
    }
    if (object->count > DEPS_MAX) {
        return brisk_errinfo_set(r->info, BRISK_ERR_LIMIT,
                                 "%s: line %u: \"%s\" has more than %d names", r->file,
                                 object->line, field, DEPS_MAX);
    }
    for (uint32_t i = 0; i < object->count; i++) {
        brisk_err err = read_dep(r, object->keys[i], object->items[i], kind, &r->deps[r->count]);
        if (err != BRISK_OK) {
            return err;
        }
        r->count++;
    }
    return BRISK_OK;
}

/* Plain and optional ones are one class, both sorts of peers another. */
static int class_of(pkg_dep_kind kind)
{
    return kind == PKG_DEP_OPTIONAL        ? (int)PKG_DEP_PROD
           : kind == PKG_DEP_PEER_OPTIONAL ? (int)PKG_DEP_PEER
                                           : (int)kind;
}

static int compare_deps(const void *a, const void *b)
{
    const pkg_dep *x = a;
    const pkg_dep *y = b;
    int order = pkg_text_compare(x->name, y->name);
    order = order != 0 ? order : class_of(x->kind) - class_of(y->kind);
    return order != 0 ? order : (int)x->kind - (int)y->kind;
}

static brisk_err read_deps(reader *r, const pkg_json *root, pkg_manifest *m)
{
    size_t most = 0;
    for (int i = 0; i < DEP_FIELDS; i++) {
        const pkg_json *object = pkg_json_get(root, dep_fields[i].field);
        most += object != NULL ? object->count : 0;
    }
    r->deps = brisk_arena_calloc(r->arena, most + 1, sizeof *r->deps);
    if (r->deps == NULL) {
        return no_memory(r);
    }
    r->peer_meta = pkg_json_get(root, "peerDependenciesMeta");
    if (r->peer_meta != NULL && r->peer_meta->count > PEER_META_MAX) {
        return brisk_errinfo_set(r->info, BRISK_ERR_LIMIT,
                                 "%s: line %u: \"peerDependenciesMeta\" has more than %d names",
                                 r->file, r->peer_meta->line, PEER_META_MAX);
    }
    for (int i = 0; i < DEP_FIELDS; i++) {
        brisk_err err = read_dep_field(r, root, dep_fields[i].field, dep_fields[i].kind);
        if (err != BRISK_OK) {
            return err;
        }
    }
    qsort(r->deps, r->count, sizeof *r->deps, compare_deps);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->count;
         i++) { /* an optional one is behind the plain one it replaces */
        bool replaces = kept > 0 && pkg_text_equal(r->deps[kept - 1].name, r->deps[i].name) &&
                        class_of(r->deps[kept - 1].kind) == class_of(r->deps[i].kind);
        kept -= replaces;
        r->deps[kept++] = r->deps[i];
    }
    m->deps = r->deps;
    m->dep_count = kept;
    return BRISK_OK;
}

/* --- the whole ----------------------------------------------------------------------------- */

brisk_err project_parse(pkg_text text, const char *file, brisk_arena *arena, const pkg_json **ret,
                        brisk_errinfo *info)
{
    brisk_errinfo inner = {0};
    const pkg_json *root = NULL;
    brisk_err err = pkg_json_parse(text, arena, &root, &inner);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s: %s", file, inner.text);
    }
    if (root->type != PKG_JSON_OBJECT) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: line %u: an object is expected here",
                                 file, root->line);
    }
    *ret = root;
    return BRISK_OK;
}

brisk_err project_manifest(const pkg_json *root, const char *file, brisk_arena *arena,
                           pkg_manifest **ret, brisk_errinfo *info)
{
    reader r = {.file = file, .arena = arena, .info = info};
    pkg_manifest *m = brisk_arena_calloc(arena, 1, sizeof *m);
    if (m == NULL) {
        return no_memory(&r);
    }
    brisk_err err = read_fields(&r, root, m);
    err = err != BRISK_OK ? err : read_deps(&r, root, m);
    if (err == BRISK_OK) {
        *ret = m;
    }
    return err;
}

brisk_err pkg_manifest_read(pkg_text text, const char *file, brisk_arena *arena,
                            const pkg_manifest **ret, brisk_errinfo *info)
{
    const pkg_json *root = NULL;
    pkg_manifest *manifest = NULL;
    brisk_err err = project_parse(text, file, arena, &root, info);
    err = err != BRISK_OK ? err : project_manifest(root, file, arena, &manifest, info);
    if (err == BRISK_OK) {
        *ret = manifest;
    }
    return err;
}
