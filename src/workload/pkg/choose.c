/*
 * choose.c -- which version a dependency means; behind ideal_internal.h.
 *
 * Each pair of name and spec is decided once, each version's manifest is read once.  When one is
 * chosen the source hears of its peers, when it is placed of all that it needs.
 *
 * What cannot be had is no error here: the node that stands for it is pruned when all that need it
 * are optional, and fails the build at its end when not, as in npm.
 */
#include "workload/pkg/ideal_internal.h"

#include <strings.h>

typedef struct choice {
    uint64_t hash;
    pkg_text name; /* of the dependency */
    pkg_text spec;
    const semver_range *range;
    const pkg_spec *parsed;
    const pkg_manifest *manifest;
    pkg_failure *failure;
    bool done;
    bool required;  /* by the dependency that asked first */
    uint8_t wanted; /* how much the source has heard of it: WANTED_... */
} choice;

typedef struct version_entry {
    const pkg_package *package;
    const pkg_manifest *manifest;
    uint32_t version;
} version_entry;

struct choice_table {
    choice **slots; /* open addressing */
    uint32_t count;
    uint32_t capacity;
    version_entry *versions;
    uint32_t version_count;
    uint32_t version_capacity;
};

enum { SLOTS_AT_FIRST = 1024, WANTED_PEERS = 1, WANTED = 2 };

uint32_t choose_count(const builder *b)
{
    return b->choices->count;
}

brisk_err choose_init(builder *b)
{
    choice_table *t = brisk_arena_calloc(b->arena, 1, sizeof *t);
    if (t == NULL) {
        return BRISK_ERR_NOMEM;
    }
    t->capacity = SLOTS_AT_FIRST;
    t->version_capacity = SLOTS_AT_FIRST;
    t->slots = brisk_arena_calloc(b->arena, t->capacity, sizeof(choice *));
    t->versions = brisk_arena_calloc(b->arena, t->version_capacity, sizeof *t->versions);
    b->choices = t;
    return t->slots == NULL || t->versions == NULL ? BRISK_ERR_NOMEM : BRISK_OK;
}

/* --- pairs ------------------------------------------------------------------------- */

static bool slots_grow(builder *b)
{
    choice_table *t = b->choices;
    uint32_t capacity = t->capacity * 2;
    choice **slots = brisk_arena_calloc(b->arena, capacity, sizeof(choice *));
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < t->capacity; i++) {
        if (t->slots[i] != NULL) {
            uint32_t at = (uint32_t)t->slots[i]->hash & (capacity - 1);
            while (slots[at] != NULL) {
                at = (at + 1) & (capacity - 1);
            }
            slots[at] = t->slots[i];
        }
    }
    t->slots = slots;
    t->capacity = capacity;
    return true;
}

/* The entry of the pair; *is_new tells whether it was just made.  NULL: out of memory. */
static choice *choice_of(builder *b, pkg_text name, uint64_t name_hash, pkg_text spec, bool *is_new)
{
    choice_table *t = b->choices;
    *is_new = false;
    if ((t->count + 1) * 2 > t->capacity && !slots_grow(b)) {
        return NULL;
    }
    uint64_t hash = (name_hash ^ pkg_text_hash(spec)) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 32;
    uint32_t at = (uint32_t)hash & (t->capacity - 1);
    for (; t->slots[at] != NULL; at = (at + 1) & (t->capacity - 1)) {
        choice *c = t->slots[at];
        if (c->hash == hash && pkg_text_equal(c->name, name) && pkg_text_equal(c->spec, spec)) {
            return c;
        }
    }
    choice *c = brisk_arena_calloc(b->arena, 1, sizeof *c);
    if (c != NULL) {
        c->hash = hash;
        c->name = name;
        c->spec = spec;
        t->slots[at] = c;
        t->count++;
        *is_new = true;
    }
    return c;
}

/* --- hints ---------------------------------------------------------------------------------- */

static brisk_err hint(builder *b, const pkg_dep *dep, uint8_t how)
{
    bool is_new = false;
    choice *c = choice_of(b, dep->name, dep->name_hash, dep->spec, &is_new);
    if (c == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (c->wanted >= how || !pkg_name_is_valid(dep->name)) {
        return BRISK_OK;
    }
    c->wanted = how;
    bool plain = dep->range != NULL || dep->spec.size == 0 || pkg_text_is(dep->spec, "*");
    if (plain) {
        b->source->want(b->source->ctx, dep->name, dep->range, how == WANTED_PEERS);
        return BRISK_OK;
    }
    pkg_spec parsed;
    brisk_err err = pkg_spec_parse(dep->name, dep->spec, b->arena, &parsed);
    if (err == BRISK_OK && (parsed.type == PKG_SPEC_RANGE || parsed.type == PKG_SPEC_TAG ||
                            parsed.type == PKG_SPEC_ALIAS)) {
        b->source->want(b->source->ctx, parsed.name, parsed.range, how == WANTED_PEERS);
    }
    return err;
}

brisk_err choose_hint(builder *b, const pkg_manifest *manifest, bool dev)
{
    if (b->source->want == NULL) {
        return BRISK_OK;
    }
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < manifest->dep_count && err == BRISK_OK; i++) {
        const pkg_dep *dep = &manifest->deps[i];
        bool peer = dep->kind == PKG_DEP_PEER || dep->kind == PKG_DEP_PEER_OPTIONAL;
        if (dep->kind == PKG_DEP_WORKSPACE || (dep->kind == PKG_DEP_DEV && !dev) ||
            (peer && b->opts->legacy_peer_deps)) {
            continue;
        }
        err = hint(b, dep, dep->kind == PKG_DEP_PEER_OPTIONAL ? WANTED_PEERS : WANTED);
    }
    return err;
}

/* What comes along with a candidate, wherever that ends. */
static brisk_err hint_peers(builder *b, const pkg_manifest *manifest)
{
    brisk_err err = BRISK_OK;
    bool asks = b->source->want != NULL && !b->opts->legacy_peer_deps;
    for (uint32_t i = 0; asks && i < manifest->dep_count && err == BRISK_OK; i++) {
        const pkg_dep *dep = &manifest->deps[i];
        if (dep->kind == PKG_DEP_PEER || dep->kind == PKG_DEP_PEER_OPTIONAL) {
            err = hint(b, dep, WANTED_PEERS);
        }
    }
    return err;
}

/* --- manifests ------------------------------------------------------------------------------- */

static uint32_t version_slot(const version_entry *entries, uint32_t capacity,
                             const pkg_package *package, uint32_t version)
{
    uint64_t h = ((uint64_t)(uintptr_t)package + version) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t at = (uint32_t)(h >> 32) & (capacity - 1);
    while (entries[at].package != NULL &&
           (entries[at].package != package || entries[at].version != version)) {
        at = (at + 1) & (capacity - 1);
    }
    return at;
}

static bool versions_grow(builder *b)
{
    choice_table *t = b->choices;
    uint32_t capacity = t->version_capacity * 2;
    version_entry *entries = brisk_arena_calloc(b->arena, capacity, sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < t->version_capacity; i++) {
        const version_entry *e = &t->versions[i];
        if (e->package != NULL) {
            entries[version_slot(entries, capacity, e->package, e->version)] = *e;
        }
    }
    t->versions = entries;
    t->version_capacity = capacity;
    return true;
}

static brisk_err manifest_of(builder *b, const pkg_package *package, uint32_t version,
                             const pkg_manifest **ret)
{
    choice_table *t = b->choices;
    if ((t->version_count + 1) * 2 > t->version_capacity && !versions_grow(b)) {
        return BRISK_ERR_NOMEM;
    }
    version_entry *e =
        &t->versions[version_slot(t->versions, t->version_capacity, package, version)];
    if (e->package == NULL) {
        const pkg_manifest *manifest = NULL;
        brisk_err err = pkg_package_manifest(package, version, b->arena, &manifest);
        if (err != BRISK_OK) {
            return err;
        }
        *e = (version_entry){package, manifest, version};
        t->version_count++;
        err = hint_peers(b, manifest);
        if (err != BRISK_OK) {
            return err;
        }
    }
    *ret = e->manifest;
    return BRISK_OK;
}

/* --- choosing ------------------------------------------------------------------------------- */

static brisk_err failed(builder *b, choice *c, brisk_err code, const char *text)
{
    c->failure = brisk_arena_calloc(b->arena, 1, sizeof *c->failure);
    if (c->failure == NULL || text == NULL) {
        return BRISK_ERR_NOMEM;
    }
    c->failure->code = code;
    c->failure->text = text;
    return BRISK_OK;
}

/* Nothing that another registry or an optional dependency could mend. */
static bool is_final(brisk_err err)
{
    return err == BRISK_ERR_NOMEM || err == BRISK_ERR_CANCELLED;
}

#define TEXT_ARGS(text) (int)(text).size, (text).data != NULL ? (text).data : ""

/* NOT_FOUND: the source may have had an old package; it is asked once more. */
static brisk_err pick(builder *b, const choice *c, pkg_text wanted, const pkg_package **package,
                      pkg_picked *ret, brisk_errinfo *info)
{
    const pkg_source *source = b->source;
    brisk_err err = pkg_pick(*package, wanted, c->range, &b->opts->pick, b->scratch, ret);
    if (err != BRISK_ERR_NOT_FOUND || source->refresh == NULL) {
        return err;
    }
    const pkg_package *before = *package;
    pkg_text name = pkg_package_name(before);
    brisk_err asked = source->refresh(source->ctx, name, c->required, package, info);
    if (asked != BRISK_OK) {
        return asked == BRISK_ERR_NOT_FOUND ? err : asked;
    }
    return *package == before
               ? err
               : pkg_pick(*package, wanted, c->range, &b->opts->pick, b->scratch, ret);
}

/* The source's error ends the build, or makes the choice a failed one. */
static brisk_err source_failed(builder *b, choice *c, pkg_text name, brisk_err err,
                               const brisk_errinfo *info)
{
    if (is_final(err)) {
        return brisk_errinfo_set(b->info, err, "%s",
                                 info->text[0] != '\0' ? info->text : brisk_err_message(err));
    }
    const char *why = err == BRISK_ERR_NOT_FOUND ? "there is no such package; check the name"
                                                 : brisk_err_message(err);
    return failed(b, c, err,
                  brisk_arena_printf(b->arena, "%.*s: %s", TEXT_ARGS(name),
                                     info->text[0] != '\0' ? info->text : why));
}

static brisk_err from_registry(builder *b, choice *c, pkg_text name, pkg_text wanted)
{
    const pkg_package *package = NULL;
    brisk_errinfo info = {0};
    brisk_err err = b->source->get(b->source->ctx, name, &package, &info);
    if (err != BRISK_OK) {
        return source_failed(b, c, name, err, &info);
    }
    wanted = wanted.size == 0 ? PKG_TEXT("*") : wanted;
    pkg_picked picked = {.index = PKG_NO_VERSION, .too_young = PKG_NO_VERSION};
    err = pick(b, c, wanted, &package, &picked, &info);
    if (is_final(err) || info.text[0] != '\0') {
        return source_failed(b, c, name, err, &info);
    }
    if (picked.too_young != PKG_NO_VERSION && b->opts->too_young != NULL) {
        b->opts->too_young(b->opts->ctx, package, picked.too_young, picked.index);
    }
    if (err != BRISK_OK || picked.index == PKG_NO_VERSION) {
        bool young = picked.too_young != PKG_NO_VERSION && b->opts->pick.before_ms != INT64_MAX &&
                     picked.index == PKG_NO_VERSION && err == BRISK_ERR_NOT_FOUND;
        return failed(b, c, err != BRISK_OK ? err : BRISK_ERR_NOT_FOUND,
                      brisk_arena_printf(b->arena, "%.*s: no version fits \"%.*s\"%s",
                                         TEXT_ARGS(name), TEXT_ARGS(wanted),
                                         young ? " that is old enough" : ""));
    }
    err = manifest_of(b, package, picked.index, &c->manifest);
    if (err == BRISK_OK || is_final(err)) {
        return err;
    }
    return failed(b, c, err,
                  brisk_arena_printf(b->arena, "%.*s@%.*s: what the registry says of it is damaged",
                                     TEXT_ARGS(name), TEXT_ARGS(wanted)));
}

static brisk_err from_elsewhere(builder *b, choice *c, const pkg_spec *spec)
{
    if (b->opts->remote == NULL) {
        const char *what = spec->type == PKG_SPEC_GIT    ? "a git repository"
                           : spec->type == PKG_SPEC_FILE ? "a file"
                                                         : "an address";
        return failed(b, c, BRISK_ERR_UNSUPPORTED,
                      brisk_arena_printf(b->arena,
                                         "%.*s comes from %s (\"%.*s\"), which is fetched with "
                                         "--allow-remote only",
                                         TEXT_ARGS(c->name), what, TEXT_ARGS(c->spec)));
    }
    brisk_errinfo info = {0};
    brisk_err err = b->opts->remote(b->opts->ctx, c->name, spec, &c->manifest, &info);
    if (is_final(err)) {
        return brisk_errinfo_set(b->info, err, "%s", info.text);
    }
    return err == BRISK_OK
               ? choose_hint(b, c->manifest, false)
               : failed(b, c, err,
                        brisk_arena_printf(b->arena, "%.*s: %s", TEXT_ARGS(c->name), info.text));
}

static brisk_err decide(builder *b, choice *c, const pkg_spec *parsed)
{
    pkg_spec_type type = parsed != NULL ? parsed->type : PKG_SPEC_RANGE;
    if (!pkg_name_is_valid(c->name)) { /* "../x" would lead out of node_modules */
        return failed(
            b, c, BRISK_ERR_INVALID,
            brisk_arena_printf(b->arena, "\"%.*s\" is no package name", TEXT_ARGS(c->name)));
    }
    switch (type) {
    case PKG_SPEC_RANGE: return from_registry(b, c, c->name, c->spec);
    case PKG_SPEC_TAG:
    case PKG_SPEC_ALIAS: return from_registry(b, c, parsed->name, parsed->wanted);
    case PKG_SPEC_GIT:
    case PKG_SPEC_TARBALL:
    case PKG_SPEC_FILE: return from_elsewhere(b, c, parsed);
    case PKG_SPEC_FOLDER:
    case PKG_SPEC_WORKSPACE:
        return failed(b, c, BRISK_ERR_NOT_FOUND,
                      brisk_arena_printf(b->arena, "%.*s: there is no workspace or folder \"%.*s\"",
                                         TEXT_ARGS(c->name), TEXT_ARGS(c->spec)));
    case PKG_SPEC_INVALID:
    default:
        return failed(b, c, BRISK_ERR_INVALID,
                      brisk_arena_printf(b->arena, "%.*s: \"%.*s\" is no version, range or address",
                                         TEXT_ARGS(c->name), TEXT_ARGS(c->spec)));
    }
}

bool choose_is_own(const pkg_edge *edge)
{
    static const char modules[] = "node_modules/";
    pkg_text path = edge->from->path;
    return edge->overridden || pkg_node_is_project(edge->from) ||
           (edge->from->parent == NULL && edge->from->index != UINT32_MAX &&
            memmem(path.data, path.size, modules, sizeof modules - 1) == NULL);
}

static bool is_on_this_machine(const pkg_spec *parsed)
{
    static const char file[] = "git+file:";
    return parsed->type == PKG_SPEC_FILE ||
           (parsed->type == PKG_SPEC_GIT && parsed->wanted.size >= sizeof file - 1 &&
            strncasecmp(parsed->wanted.data, file, sizeof file - 1) == 0);
}

/* A package of somebody else does not get at files of this machine. */
static brisk_err refuse_local(builder *b, const pkg_edge *edge, pkg_failure **failure)
{
    choice c = {.name = edge->dep->name, .spec = edge->spec};
    brisk_err err = failed(b, &c, BRISK_ERR_PERMISSION,
                           brisk_arena_printf(b->arena,
                                              "%.*s: \"%.*s\" is on this machine, and the package "
                                              "that asks for it is not",
                                              TEXT_ARGS(c.name), TEXT_ARGS(c.spec)));
    *failure = c.failure;
    return err;
}

/* The path of a FILE as seen from the project, by which it is known. */
static brisk_err from_project(builder *b, const pkg_edge *edge, pkg_spec *ret)
{
    *ret = *edge->parsed;
    brisk_err err = pkg_path_join(b->arena, edge->overridden ? PKG_TEXT("") : edge->from->path,
                                  edge->parsed->wanted, &ret->wanted);
    return err == BRISK_ERR_LIMIT ? brisk_errinfo_set(b->info, err, "a path longer than 4096 bytes")
                                  : err;
}

brisk_err choose(builder *b, const pkg_edge *edge, const pkg_manifest **ret, pkg_failure **failure)
{
    bool is_new = false;
    pkg_spec seen;
    const pkg_spec *parsed = edge->parsed;
    pkg_text spec = edge->spec;
    if (parsed != NULL && is_on_this_machine(parsed) && !choose_is_own(edge)) {
        *ret = NULL;
        return refuse_local(b, edge, failure);
    }
    if (parsed != NULL && parsed->type == PKG_SPEC_FILE) {
        brisk_err err = from_project(b, edge, &seen);
        if (err != BRISK_OK) {
            return err;
        }
        parsed = &seen;
        spec = seen.wanted;
    }
    choice *c = choice_of(b, edge->dep->name, edge->dep->name_hash, spec, &is_new);
    if (c == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (!c->done) {
        c->range = edge->range;
        c->required = !pkg_edge_is_optional(edge);
        brisk_err err = decide(b, c, parsed);
        if (err != BRISK_OK) {
            return err;
        }
        c->done = true;
    }
    *ret = c->manifest;
    *failure = c->failure;
    return BRISK_OK;
}
