/*
 * problem.c -- the provider of problem.h: names to numbers, manifests to needs.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/problem.h"

#include "workload/pkg/solve_set.h"

/* What a version needs, and the dependencies it came from (one per hard need). */
typedef struct pkg_version_needs {
    solve_needs needs;
    const pkg_dep **deps;
    pkg_text *specs; /* after overrides */
} pkg_version_needs;

/* --- names -------------------------------------------------------------------------------- */

static brisk_err grow(pkg_problem *p)
{
    uint32_t count = p->bucket_count != 0 ? p->bucket_count * 2 : 256;
    uint32_t *buckets = brisk_arena_calloc(p->arena, count, sizeof *buckets);
    if (buckets == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < p->variables.count; i++) {
        uint32_t at = (uint32_t)pkg_text_hash(pkg_problem_at(p, i)->name) & (count - 1);
        while (buckets[at] != 0) {
            at = (at + 1) & (count - 1);
        }
        buckets[at] = i + 1;
    }
    p->buckets = buckets;
    p->bucket_count = count;
    return BRISK_OK;
}

brisk_err pkg_problem_variable(pkg_problem *p, pkg_text name, uint32_t *ret)
{
    if (p->variables.count * 2 >= p->bucket_count) {
        brisk_err err = grow(p);
        if (err != BRISK_OK) {
            return err;
        }
    }
    uint32_t at = (uint32_t)pkg_text_hash(name) & (p->bucket_count - 1);
    while (p->buckets[at] != 0) {
        if (pkg_text_equal(pkg_problem_at(p, p->buckets[at] - 1)->name, name)) {
            *ret = p->buckets[at] - 1;
            return BRISK_OK;
        }
        at = (at + 1) & (p->bucket_count - 1);
    }
    pkg_variable *variable = pkg_array_push(&p->variables, sizeof *variable, p->arena);
    if (variable == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *variable = (pkg_variable){.name = name};
    p->buckets[at] = p->variables.count;
    *ret = p->variables.count - 1;
    return BRISK_OK;
}

/* --- packages ----------------------------------------------------------------------------- */

static bool is_excluded(const pkg_pick_opts *pick, pkg_text name)
{
    for (uint32_t i = 0; i < pick->min_age_excluded_count; i++) {
        if (pkg_text_equal(pick->min_age_excluded[i], name)) {
            return true;
        }
    }
    return false;
}

/* A set of this variable that is to be filled.  NULL: out of memory. */
static uint64_t *new_set(pkg_problem *p, const pkg_variable *v)
{
    return brisk_arena_calloc(p->arena, solve_words(v->count), sizeof(uint64_t));
}

static solve_set as_set(const pkg_variable *v, const uint64_t *words)
{
    return solve_words(v->count) == 1 ? (solve_set){.bits = words[0]} : (solve_set){.words = words};
}

static brisk_err load(pkg_problem *p, uint32_t id)
{
    pkg_variable *v = pkg_problem_at(p, id);
    if (v->loaded) {
        return BRISK_OK;
    }
    if (!v->fixed) {
        brisk_err err = p->source->get(p->source->ctx, v->name, &v->package, p->info);
        if (err != BRISK_OK && err != BRISK_ERR_NOT_FOUND) {
            return err;
        }
        v->package = err == BRISK_OK ? v->package : NULL;
    }
    v->count = v->package != NULL ? pkg_package_count(v->package) : v->fixed ? 1 : 0;
    v->count = v->count <= SOLVE_VERSIONS_MAX ? v->count : SOLVE_VERSIONS_MAX;
    v->needs = brisk_arena_calloc(p->arena, (size_t)v->count + 1, sizeof(*v->needs));
    uint64_t *words = new_set(p, v);
    if (v->needs == NULL || words == NULL) {
        return BRISK_ERR_NOMEM;
    }
    bool any_age = is_excluded(&p->opts->pick, v->name);
    for (uint32_t i = 0; i < v->count; i++) {
        pkg_version version = {.published_ms = INT64_MIN};
        if (v->package != NULL) {
            pkg_package_version(v->package, i, &version);
        }
        if (any_age || version.published_ms <= p->opts->pick.before_ms) {
            words[i / 64] |= UINT64_C(1) << (i % 64);
        }
    }
    v->usable = as_set(v, words);
    v->loaded = true;
    return BRISK_OK;
}

static brisk_err provide_count(void *ctx, uint32_t id, uint32_t *ret)
{
    pkg_problem *p = ctx;
    if (id >= p->variables.count) {
        return BRISK_ERR_INVALID;
    }
    brisk_err err = load(p, id);
    if (err == BRISK_OK) {
        *ret = pkg_problem_at(p, id)->count;
    }
    return err;
}

/* As npm chooses: what "latest" names, else the greatest that is not deprecated, else the greatest. */
static uint32_t provide_prefer(void *ctx, uint32_t id, solve_set allowed)
{
    const pkg_problem *p = ctx;
    const pkg_variable *v = pkg_problem_at(p, id);
    uint32_t n = solve_words(v->count);
    uint32_t greatest = solve_set_last(allowed, n);
    if (v->package == NULL) {
        return greatest;
    }
    uint32_t latest =
        p->opts->pick.highest ? PKG_NO_VERSION : pkg_package_tag(v->package, PKG_TEXT("latest"));
    pkg_version version;
    if (latest < v->count && solve_set_has(allowed, n, latest)) {
        pkg_package_version(v->package, latest, &version);
        if (!version.deprecated) {
            return latest;
        }
    }
    for (uint32_t i = greatest + 1; i-- > 0;) {
        if (solve_set_has(allowed, n, i)) {
            pkg_package_version(v->package, i, &version);
            if (!version.deprecated) {
                return i;
            }
        }
    }
    return greatest;
}

/* --- needs -------------------------------------------------------------------------------- */

/* What an override that is just a name and a spec makes of a dependency. */
static pkg_text spec_of(const pkg_problem *p, const pkg_manifest *owner, const pkg_dep *dep)
{
    for (uint32_t i = 0; owner != p->root && i < p->project->override_count; i++) {
        const pkg_override *rule = &p->project->overrides[i];
        bool any = rule->key_spec.size == 0 || pkg_text_is(rule->key_spec, "*");
        if (any && rule->value.size > 0 && pkg_text_equal(rule->name, dep->name)) {
            return rule->value;
        }
        bool about_owner = any && pkg_text_equal(rule->name, owner->name);
        for (uint32_t c = 0; about_owner && c < rule->child_count; c++) {
            const pkg_override *child = &rule->children[c];
            if (child->value.size > 0 && pkg_text_equal(child->name, dep->name)) {
                return child->value;
            }
        }
    }
    return dep->spec;
}

/* Versions of `id` that a spec means, and "not there" when `away`. */
static brisk_err make_set(pkg_problem *p, uint32_t id, const pkg_spec *spec, bool away,
                          solve_set *ret)
{
    pkg_variable *v = pkg_problem_at(p, id);
    uint32_t n = solve_words(v->count);
    uint64_t *words = new_set(p, v);
    if (words == NULL) {
        return BRISK_ERR_NOMEM;
    }
    const uint64_t *usable = solve_set_words(&v->usable, n);
    bool any = v->fixed || spec->wanted.size == 0 || pkg_text_is(spec->wanted, "*");
    for (uint32_t i = 0; i < v->count && (any || spec->range != NULL); i++) {
        pkg_version version;
        bool fits = any;
        if (!any) {
            pkg_package_version(v->package, i, &version);
            fits = semver_range_has(spec->range, &version.semver);
        }
        words[i / 64] |= fits ? (UINT64_C(1) << (i % 64)) & usable[i / 64] : 0;
    }
    uint32_t tag = !any && spec->range == NULL && v->package != NULL
                       ? pkg_package_tag(v->package, spec->wanted)
                       : PKG_NO_VERSION;
    if (tag < v->count) {
        words[tag / 64] |= UINT64_C(1) << (tag % 64);
    }
    words[v->count / 64] |= away ? UINT64_C(1) << (v->count % 64) : 0;
    *ret = as_set(v, words);
    return BRISK_OK;
}

/* The variable that a dependency is about.  An alias and the like stand for themselves. */
static brisk_err target_of(pkg_problem *p, pkg_text name, const pkg_spec *spec, uint32_t *ret)
{
    brisk_err err = pkg_problem_variable(p, name, ret);
    if (err == BRISK_OK && spec->type != PKG_SPEC_RANGE && spec->type != PKG_SPEC_TAG) {
        pkg_variable *v = pkg_problem_at(p, *ret);
        v->fixed = v->fixed || !v->loaded;
    }
    return err == BRISK_OK ? load(p, *ret) : err;
}

static bool counts(const pkg_problem *p, const pkg_manifest *owner, const pkg_dep *dep)
{
    bool own = p->flat || owner == p->root;
    switch (dep->kind) {
    case PKG_DEP_PROD: return own;
    case PKG_DEP_OPTIONAL: return own;
    case PKG_DEP_PEER: return true;
    case PKG_DEP_PEER_OPTIONAL: return true;
    case PKG_DEP_DEV: return owner == p->root && p->is_project;
    case PKG_DEP_WORKSPACE: return false;
    }
    return false;
}

static bool is_bundled(const pkg_manifest *owner, const pkg_dep *dep)
{
    for (uint32_t i = 0; i < owner->bundled.count; i++) {
        if (pkg_text_equal(owner->bundled.items[i], dep->name)) {
            return true;
        }
    }
    return (owner->flags & PKG_BUNDLES_ALL) != 0;
}

static brisk_err term_of(pkg_problem *p, const pkg_manifest *owner, const pkg_dep *dep,
                         pkg_text text, solve_term *ret)
{
    pkg_spec spec;
    brisk_err err = pkg_spec_parse(dep->name, text, p->arena, &spec);
    if (err == BRISK_OK) {
        err = target_of(p, dep->name, &spec, &ret->package);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (owner == p->root && p->changed_to != SOLVE_NONE && pkg_text_equal(p->changed, dep->name)) {
        return solve_set_one(pkg_problem_at(p, ret->package)->count, p->changed_to, p->arena,
                             &ret->set)
                   ? BRISK_OK
                   : BRISK_ERR_NOMEM;
    }
    bool away = dep->kind == PKG_DEP_PEER_OPTIONAL;
    return make_set(p, ret->package, &spec, away, &ret->set);
}

/* Hard needs of a manifest (`weak`: its optional ones), appended. */
static brisk_err add_needs(pkg_problem *p, const pkg_manifest *owner, bool weak, solve_need *needs,
                           pkg_version_needs *ret)
{
    uint32_t *count = weak ? &ret->needs.weak_count : &ret->needs.hard_count;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < owner->dep_count; i++) {
        const pkg_dep *dep = &owner->deps[i];
        if (!counts(p, owner, dep) || (dep->kind == PKG_DEP_OPTIONAL) != weak ||
            is_bundled(owner, dep)) {
            continue;
        }
        solve_term *term = brisk_arena_alloc(p->arena, sizeof *term);
        if (term == NULL) {
            return BRISK_ERR_NOMEM;
        }
        pkg_text text = spec_of(p, owner, dep);
        err = term_of(p, owner, dep, text, term);
        needs[*count] = (solve_need){.any_of = term, .count = 1};
        if (!weak) {
            ret->deps[*count] = dep;
            ret->specs[*count] = text;
        }
        ++*count;
    }
    return err;
}

static brisk_err make_needs(pkg_problem *p, const pkg_manifest *manifest, pkg_version_needs **ret)
{
    size_t count = (size_t)manifest->dep_count + 1;
    pkg_version_needs *made = brisk_arena_calloc(p->arena, 1, sizeof *made);
    solve_need *needs = brisk_arena_calloc(p->arena, 2 * count, sizeof *needs);
    if (made == NULL || needs == NULL) {
        return BRISK_ERR_NOMEM;
    }
    made->deps = brisk_arena_calloc(p->arena, count, sizeof(*made->deps));
    made->specs = brisk_arena_calloc(p->arena, count, sizeof *made->specs);
    if (made->deps == NULL || made->specs == NULL) {
        return BRISK_ERR_NOMEM;
    }
    made->needs.hard = needs;
    made->needs.weak = needs + count;
    brisk_err err = add_needs(p, manifest, false, needs, made);
    if (err == BRISK_OK) {
        err = add_needs(p, manifest, true, needs + count, made);
    }
    *ret = made;
    return err;
}

static brisk_err needs_of(pkg_problem *p, uint32_t id, uint32_t version,
                          const pkg_version_needs **ret)
{
    pkg_variable *v = pkg_problem_at(p, id);
    if (v->needs[version] == NULL) {
        static const pkg_manifest nothing;
        const pkg_manifest *manifest = id == 0 ? p->root : &nothing;
        brisk_err err = BRISK_OK;
        if (v->package != NULL) {
            err = pkg_package_manifest(v->package, version, p->arena, &manifest);
        }
        pkg_version_needs *made = NULL;
        if (err == BRISK_OK) {
            err = make_needs(p, manifest, &made);
        }
        if (err != BRISK_OK) {
            return err;
        }
        v = pkg_problem_at(p, id); /* variables may have moved */
        v->needs[version] = made;
    }
    *ret = v->needs[version];
    return BRISK_OK;
}

static brisk_err provide_needs(void *ctx, uint32_t id, uint32_t version, solve_needs *ret)
{
    pkg_problem *p = ctx;
    const pkg_version_needs *needs = NULL;
    brisk_err err = needs_of(p, id, version, &needs);
    if (err == BRISK_OK) {
        *ret = needs->needs;
    }
    return err;
}

/* --- words -------------------------------------------------------------------------------- */

enum { RUNS_MAX = 4 };

/* "1.0.0", or "1.0.0 to 2.3.4" of versions that follow each other. */
static const char *say_run(const pkg_variable *v, uint32_t from, uint32_t to, brisk_arena *arena)
{
    pkg_version first;
    pkg_version last;
    pkg_package_version(v->package, from, &first);
    pkg_package_version(v->package, to, &last);
    return from == to ? brisk_arena_printf(arena, "%.*s", (int)first.text.size, first.text.data)
                      : brisk_arena_printf(arena, "%.*s to %.*s", (int)first.text.size,
                                           first.text.data, (int)last.text.size, last.text.data);
}

static const char *word_versions(void *ctx, uint32_t id, solve_set set, brisk_arena *arena)
{
    const pkg_problem *p = ctx;
    const pkg_variable *v = pkg_problem_at(p, id);
    if (id == 0) {
        return p->is_project ? "the project"
                             : brisk_arena_printf(arena, "%.*s %.*s", (int)p->root->name.size,
                                                  p->root->name.data, (int)p->root->version.size,
                                                  p->root->version.data);
    }
    const char *text = brisk_arena_printf(arena, "%.*s", (int)v->name.size, v->name.data);
    uint32_t n = solve_words(v->count);
    if (v->package == NULL || solve_set_within(v->usable, set, n)) {
        return text;
    }
    uint32_t runs = 0;
    uint32_t from = solve_set_next(set, n, 0);
    while (from < v->count && text != NULL) {
        uint32_t to = from;
        while (to + 1 < v->count && solve_set_has(set, n, to + 1)) {
            to++;
        }
        if (++runs > RUNS_MAX) {
            return brisk_arena_printf(arena, "%s and others", text);
        }
        const char *run = say_run(v, from, to, arena);
        text = run != NULL ? brisk_arena_printf(arena, "%s %s%s", text, runs > 1 ? "or " : "", run)
                           : NULL;
        from = solve_set_next(set, n, to + 1);
    }
    return text;
}

/* Is the root's dependency one that npm chose, not one that is declared? */
static bool is_choice(const pkg_problem *p, const pkg_dep *dep)
{
    const pkg_manifest *m = p->declared;
    for (uint32_t i = 0; m != NULL && i < m->dep_count; i++) {
        if (pkg_text_equal(m->deps[i].name, dep->name) &&
            pkg_text_equal(m->deps[i].spec, dep->spec)) {
            return false;
        }
    }
    return m != NULL;
}

static const char *word_need(void *ctx, uint32_t id, uint32_t version, uint32_t need,
                             brisk_arena *arena)
{
    pkg_problem *p = ctx;
    const pkg_version_needs *needs = NULL;
    if (needs_of(p, id, version, &needs) != BRISK_OK || need >= needs->needs.hard_count) {
        return NULL;
    }
    const pkg_dep *dep = needs->deps[need];
    pkg_text spec = needs->specs[need];
    const char *verb = dep->kind == PKG_DEP_PEER            ? "needs the peer"
                       : dep->kind == PKG_DEP_PEER_OPTIONAL ? "accepts only the peer"
                                                            : "depends on";
    if (id == 0 && p->changed_to != SOLVE_NONE && pkg_text_equal(p->changed, dep->name)) {
        return NULL; /* what it would be, not what is written */
    }
    verb = id == 0 && is_choice(p, dep) ? "gets, by npm's choice," : verb;
    return brisk_arena_printf(arena, "%s %.*s \"%.*s\"", verb, (int)dep->name.size, dep->name.data,
                              (int)spec.size, spec.data);
}

/* --- the whole ---------------------------------------------------------------------------- */

brisk_err pkg_problem_init(pkg_problem *p, const pkg_manifest *root, bool flat)
{
    p->root = root;
    p->is_project = root == p->project->manifest;
    p->flat = flat;
    p->changed_to = SOLVE_NONE;
    p->provider = (solve_provider){.ctx = p,
                                   .count = provide_count,
                                   .needs = provide_needs,
                                   .prefer = provide_prefer,
                                   .widen = !flat};
    uint32_t id = 0;
    /* A name that no package can have. */
    brisk_err err = pkg_problem_variable(p, PKG_TEXT("/"), &id);
    if (err == BRISK_OK) {
        pkg_problem_at(p, id)->fixed = true;
        err = load(p, id);
    }
    return err;
}

void pkg_problem_change(pkg_problem *p, pkg_text name, uint32_t version)
{
    p->changed = name;
    p->changed_to = version;
    pkg_problem_at(p, 0)->needs[0] = NULL;
}

brisk_err pkg_problem_solve(pkg_problem *p, solve_result *ret)
{
    return solve_run(&p->provider, 0, 0, 0, p->arena, ret);
}

brisk_err pkg_problem_tell(pkg_problem *p, const solve_proof *proof, solve_sentences *ret)
{
    brisk_err err = solve_proof_check(proof, &p->provider, p->arena, p->info);
    solve_words_of words = {.ctx = p, .versions = word_versions, .need = word_need};
    return err == BRISK_OK ? solve_proof_tell(proof, &p->provider, &words, p->arena, ret) : err;
}
