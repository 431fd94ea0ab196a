/*
 * advise.c -- a conflict of peers: the proof that there is no way, and the smallest change that
 * makes one.
 *
 * The proof is of the peers' problem (problem.h) of the node whose dependencies do not get along.
 * A change is looked for among the direct dependencies that the proof speaks of: for each, the
 * nearest version with which the problem has an answer, counted in releases between.  The nearest
 * one with which the whole tree can be built is the advice; so nothing is advised that was not
 * tried.  When no version helps, an override of the peer is tried.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/problem.h"

#include <stdlib.h>

#include "workload/pkg/solve_set.h"

enum {
    TREES_MAX = 8,        /* built for one advice */
    VERSIONS_MAX = 1024,  /* tried of one dependency */
    NEAREST_MAX = 6,      /* of a dependency below which the conflict is, without a problem */
    CANDIDATES_MAX = 256, /* direct dependencies looked at */
};

typedef struct candidate {
    const pkg_dep *dep;
    uint32_t version;
    uint32_t distance;
    bool newer;
} candidate;

typedef struct adviser {
    pkg_problem problem;
    const pkg_conflict *conflict;
    brisk_arena *scratch; /* of one try */
    pkg_advice *advice;
} adviser;

static const pkg_node *real(const pkg_node *node)
{
    while (node->source != NULL) {
        node = node->source;
    }
    return node;
}

/* Whose dependencies do not get along: of a peer's edge the one who brought its owner. */
static const pkg_manifest *level_of(const pkg_project *project, const pkg_conflict *conflict)
{
    const pkg_node *node = conflict->edge->from;
    bool peer = conflict->edge->dep->kind == PKG_DEP_PEER ||
                conflict->edge->dep->kind == PKG_DEP_PEER_OPTIONAL;
    if (peer && conflict->chain_count > 0) {
        node = conflict->chain[conflict->chain_count - 1]->from;
    } else if (peer) {
        return project->manifest;
    }
    return real(node)->manifest;
}

static const pkg_dep *find_dep(const pkg_manifest *manifest, pkg_text name)
{
    for (uint32_t i = 0; i < manifest->dep_count; i++) {
        if (pkg_text_equal(manifest->deps[i].name, name)) {
            return &manifest->deps[i];
        }
    }
    return NULL;
}

/* --- which dependencies ------------------------------------------------------------------- */

static void involve(adviser *a, pkg_text name, const pkg_dep **deps, uint32_t *count)
{
    const pkg_dep *dep = find_dep(a->problem.root, name);
    for (uint32_t i = 0; i < *count; i++) {
        dep = deps[i] == dep ? NULL : dep;
    }
    if (dep != NULL && *count < CANDIDATES_MAX) {
        deps[(*count)++] = dep;
    }
}

static void involve_edge(adviser *a, const pkg_edge *edge, const pkg_dep **deps, uint32_t *count)
{
    if (edge != NULL) {
        involve(a, edge->dep->name, deps, count);
        involve(a, real(edge->from)->name, deps, count);
    }
}

/* Dependencies of the root that the proof or the conflict names. */
static void find_involved(adviser *a, const solve_proof *proof, const pkg_dep **deps,
                          uint32_t *count)
{
    for (uint32_t i = 0; proof != NULL && i < proof->count; i++) {
        for (uint32_t t = 0; t < proof->steps[i].term_count; t++) {
            uint32_t id = proof->steps[i].terms[t].package;
            involve(a, pkg_problem_at(&a->problem, id)->name, deps, count);
        }
    }
    if (proof == NULL) {
        involve_edge(a, a->conflict->edge, deps, count);
        involve_edge(a, a->conflict->current_edge, deps, count);
        involve_edge(a, a->conflict->peer, deps, count);
    }
}

/* --- which versions ----------------------------------------------------------------------- */

static bool is_release(const pkg_package *package, uint32_t at)
{
    pkg_version version;
    pkg_package_version(package, at, &version);
    return version.semver.prerelease.size == 0;
}

/* The next release from `at` on, upwards or downwards; PKG_NO_VERSION: none. */
static uint32_t next_release(const pkg_variable *v, uint32_t at, bool up)
{
    uint32_t n = solve_words(v->count);
    for (;;) {
        if (up ? at + 1 >= v->count : at == 0) {
            return PKG_NO_VERSION;
        }
        at = up ? at + 1 : at - 1;
        if (is_release(v->package, at) && solve_set_has(v->usable, n, at)) {
            return at;
        }
    }
}

/* The other releases, the nearest first, of two as near the newer. */
typedef struct walk {
    uint32_t up;
    uint32_t down;
    uint32_t distance;
    bool went_up;
} walk;

static uint32_t walk_next(walk *w, const pkg_variable *v)
{
    uint32_t *side = w->went_up ? &w->down : &w->up;
    if (!w->went_up) {
        w->distance++;
    }
    w->went_up = !w->went_up;
    *side = *side != PKG_NO_VERSION ? next_release(v, *side, side == &w->up) : *side;
    return *side;
}

static bool walk_ended(const walk *w)
{
    return w->up == PKG_NO_VERSION && w->down == PKG_NO_VERSION;
}

/* What npm takes now; PKG_NO_VERSION: there are no versions to choose from. */
static brisk_err current_of(adviser *a, const pkg_dep *dep, const pkg_variable **variable,
                            uint32_t *ret)
{
    uint32_t id = 0;
    pkg_problem *p = &a->problem;
    brisk_err err = pkg_problem_variable(p, dep->name, &id);
    *variable = pkg_problem_at(p, id);
    *ret = PKG_NO_VERSION;
    if (err != BRISK_OK || !(*variable)->loaded || (*variable)->package == NULL) {
        return err;
    }
    pkg_picked picked;
    err =
        pkg_pick((*variable)->package, dep->spec, dep->range, &p->opts->pick, a->scratch, &picked);
    *ret = err == BRISK_OK ? picked.index : PKG_NO_VERSION;
    return err == BRISK_ERR_NOMEM ? err : BRISK_OK;
}

/* The nearest version of `dep` with which the problem has an answer. */
static brisk_err find_version(adviser *a, const pkg_dep *dep, candidate *ret)
{
    const pkg_variable *v = NULL;
    uint32_t current = PKG_NO_VERSION;
    brisk_err err = current_of(a, dep, &v, &current);
    ret->version = PKG_NO_VERSION;
    if (err != BRISK_OK || current == PKG_NO_VERSION) {
        return err;
    }
    walk w = {.up = current, .down = current};
    for (uint32_t tries = 0; err == BRISK_OK && tries < VERSIONS_MAX && !walk_ended(&w);) {
        uint32_t id = 0;
        err = pkg_problem_variable(&a->problem, dep->name, &id);
        uint32_t version = walk_next(&w, pkg_problem_at(&a->problem, id));
        if (version == PKG_NO_VERSION || err != BRISK_OK) {
            continue;
        }
        tries++;
        pkg_problem_change(&a->problem, dep->name, version);
        solve_result result = {0};
        err = solve_run(&a->problem.provider, 0, 0, 0, a->scratch, &result);
        bool solved = err == BRISK_OK && result.solved;
        brisk_arena_reset(a->scratch);
        if (solved) {
            *ret = (candidate){
                .dep = dep, .version = version, .distance = w.distance, .newer = version > current};
            break;
        }
    }
    pkg_problem_change(&a->problem, (pkg_text){0}, SOLVE_NONE);
    return err;
}

/* --- trying ------------------------------------------------------------------------------- */

/* Build the whole tree with another project. */
static brisk_err try_project(adviser *a, const pkg_project *project, bool *ret)
{
    pkg_ideal_opts opts = *a->problem.opts;
    opts.progress = NULL;
    pkg_tree tree;
    pkg_conflict conflict;
    brisk_errinfo info = {0};
    a->advice->tries++;
    brisk_err err = pkg_ideal_build(project, NULL, a->problem.source, &opts, a->scratch, &tree,
                                    &conflict, &info);
    *ret = err == BRISK_OK;
    brisk_arena_reset(a->scratch);
    if (err == BRISK_ERR_NOMEM || err == BRISK_ERR_CANCELLED) {
        return brisk_errinfo_set(a->problem.info, err, "%s", info.text);
    }
    return BRISK_OK;
}

/* The project with `dep` in exactly this version. */
static brisk_err try_version(adviser *a, const pkg_dep *dep, pkg_text version, bool *ret)
{
    pkg_project project = *a->problem.project;
    pkg_manifest manifest = *project.manifest;
    brisk_arena *arena = a->problem.arena;
    pkg_dep *deps = brisk_arena_alloc(arena, (manifest.dep_count + (size_t)1) * sizeof *deps);
    if (deps == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(deps, manifest.deps, manifest.dep_count * sizeof *deps);
    *ret = false;
    for (uint32_t i = 0; i < manifest.dep_count; i++) {
        if (!pkg_text_equal(deps[i].name, dep->name)) {
            continue;
        }
        deps[i].spec = version;
        brisk_err err = semver_range_parse(arena, version, SEMVER_LOOSE, &deps[i].range);
        if (err != BRISK_OK) {
            return err == BRISK_ERR_INVALID ? BRISK_OK : err;
        }
    }
    manifest.deps = deps;
    project.manifest = &manifest;
    return try_project(a, &project, ret);
}

/* "b 2 accepts a 5: ", when the new version has a peer that the root depends on too. */
static brisk_err say_accepts(adviser *a, const pkg_dep *dep, uint32_t version, const char **ret)
{
    const char *name =
        brisk_arena_printf(a->problem.arena, "%.*s", (int)dep->name.size, dep->name.data);
    const pkg_variable *v = NULL;
    uint32_t current = 0;
    brisk_err err = current_of(a, dep, &v, &current);
    const pkg_manifest *manifest = NULL;
    if (err == BRISK_OK) {
        err = pkg_package_manifest(v->package, version, a->problem.arena, &manifest);
    }
    if (err != BRISK_OK || name == NULL) {
        return name == NULL ? BRISK_ERR_NOMEM : err;
    }
    pkg_text text = manifest->version;
    *ret = brisk_arena_printf(a->problem.arena, "with %s %.*s there is a way", name, (int)text.size,
                              text.data);
    for (uint32_t i = 0; i < manifest->dep_count; i++) {
        const pkg_dep *peer = &manifest->deps[i];
        const pkg_dep *own = find_dep(a->problem.root, peer->name);
        if (own == NULL || peer->kind != PKG_DEP_PEER) {
            continue;
        }
        err = current_of(a, own, &v, &current);
        if (err != BRISK_OK || current == PKG_NO_VERSION) {
            return err;
        }
        pkg_version there;
        pkg_package_version(v->package, current, &there);
        *ret = brisk_arena_printf(a->problem.arena, "%s %.*s accepts %.*s %.*s", name,
                                  (int)text.size, text.data, (int)own->name.size, own->name.data,
                                  (int)there.text.size, there.text.data);
        break;
    }
    return *ret != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

/* Try it; when it is good it is the advice. */
static brisk_err advise_version(adviser *a, const pkg_dep *dep, uint32_t version, bool *ret)
{
    const pkg_variable *v = NULL;
    uint32_t current = 0;
    brisk_err err = current_of(a, dep, &v, &current);
    if (err != BRISK_OK || current == PKG_NO_VERSION) {
        *ret = false;
        return err;
    }
    pkg_version to;
    pkg_package_version(v->package, version, &to);
    err = try_version(a, dep, to.text, ret);
    if (err != BRISK_OK || !*ret) {
        return err;
    }
    const char *accepts = NULL;
    err = say_accepts(a, dep, version, &accepts);
    if (err != BRISK_OK) {
        return err;
    }
    pkg_advice *advice = a->advice;
    advice->change = PKG_CHANGE_VERSION;
    advice->name = dep->name;
    advice->from = dep->spec;
    advice->to = to.text;
    advice->text = brisk_arena_printf(
        a->problem.arena, "%s: in package.json, write \"%.*s\": \"%.*s\" instead of \"%.*s\"",
        accepts, (int)dep->name.size, dep->name.data, (int)to.text.size, to.text.data,
        (int)dep->spec.size, dep->spec.data);
    return advice->text != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

/* The nearest first; of two as near the one that goes forward. */
static int compare_candidates(const void *x, const void *y)
{
    const candidate *a = x;
    const candidate *b = y;
    if (a->distance != b->distance) {
        return a->distance < b->distance ? -1 : 1;
    }
    return a->newer != b->newer ? (a->newer ? -1 : 1)
                                : pkg_text_compare(a->dep->name, b->dep->name);
}

/* Among the dependencies of the project itself. */
static brisk_err advise_direct(adviser *a, const solve_proof *proof, bool *found)
{
    const pkg_dep *deps[CANDIDATES_MAX];
    candidate candidates[CANDIDATES_MAX];
    uint32_t dep_count = 0;
    uint32_t count = 0;
    brisk_err err = BRISK_OK;
    find_involved(a, proof, deps, &dep_count);
    for (uint32_t i = 0; err == BRISK_OK && i < dep_count; i++) {
        err = find_version(a, deps[i], &candidates[count]);
        count += err == BRISK_OK && candidates[count].version != PKG_NO_VERSION ? 1 : 0;
    }
    if (count > 1) {
        qsort(candidates, count, sizeof *candidates, compare_candidates);
    }
    for (uint32_t i = 0; err == BRISK_OK && !*found && i < count && a->advice->tries < TREES_MAX;
         i++) {
        err = advise_version(a, candidates[i].dep, candidates[i].version, found);
    }
    return err;
}

/* The conflict is deeper: other versions of the dependency of the project that leads there. */
static brisk_err advise_above(adviser *a, bool *found)
{
    const pkg_project *project = a->problem.project;
    const pkg_dep *dep = a->conflict->chain_count > 0
                             ? find_dep(project->manifest, a->conflict->chain[0]->dep->name)
                             : NULL;
    if (dep == NULL) {
        return BRISK_OK;
    }
    brisk_err err = pkg_problem_init(&a->problem, project->manifest, false);
    uint32_t id = 0;
    uint32_t count = 0;
    if (err == BRISK_OK) {
        err = pkg_problem_variable(&a->problem, dep->name, &id);
    }
    if (err == BRISK_OK) {
        err = a->problem.provider.count(&a->problem, id, &count);
    }
    const pkg_variable *v = NULL;
    uint32_t current = PKG_NO_VERSION;
    if (err == BRISK_OK) {
        err = current_of(a, dep, &v, &current);
    }
    walk w = {.up = current, .down = current};
    for (uint32_t tries = 0;
         err == BRISK_OK && !*found && tries < NEAREST_MAX && !walk_ended(&w);) {
        uint32_t version = walk_next(&w, v);
        if (version != PKG_NO_VERSION) {
            tries++;
            err = advise_version(a, dep, version, found);
            v = pkg_problem_at(&a->problem, id);
        }
    }
    return err;
}

/* Say that the peer's owner takes what is there. */
static brisk_err advise_override(adviser *a)
{
    const pkg_edge *peer = a->conflict->peer != NULL ? a->conflict->peer : a->conflict->edge;
    const pkg_node *current = a->conflict->current;
    if ((peer->dep->kind != PKG_DEP_PEER && peer->dep->kind != PKG_DEP_PEER_OPTIONAL) ||
        current == NULL) {
        return BRISK_OK;
    }
    pkg_project project = *a->problem.project;
    const pkg_dep *own = find_dep(project.manifest, peer->dep->name);
    pkg_text owner = real(peer->from)->manifest->name;
    pkg_override inner = {.name = peer->dep->name,
                          .key_spec = PKG_TEXT("*"),
                          .value = own != NULL ? own->spec : current->manifest->version};
    pkg_override *all = brisk_arena_alloc(a->problem.arena, (project.override_count + (size_t)1) *
                                                                sizeof(pkg_override));
    pkg_override *child = brisk_arena_alloc(a->problem.arena, sizeof *child);
    if (all == NULL || child == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(child, &inner, sizeof *child);
    pkg_override outer = {
        .name = owner, .key_spec = PKG_TEXT("*"), .children = child, .child_count = 1};
    memcpy(all, &outer, sizeof outer);
    if (project.override_count > 0) {
        memcpy(all + 1, project.overrides, project.override_count * sizeof *all);
    }
    project.overrides = all;
    project.override_count++;
    bool good = false;
    brisk_err err = try_project(a, &project, &good);
    if (err != BRISK_OK || !good) {
        return err;
    }
    pkg_advice *advice = a->advice;
    advice->change = PKG_CHANGE_OVERRIDE;
    advice->name = owner;
    advice->from = inner.name;
    advice->to = inner.value;
    advice->text = brisk_arena_printf(
        a->problem.arena,
        "no other version of a dependency helps; if %.*s works with %.*s %.*s all the same, say so "
        "in package.json: \"overrides\": {\"%.*s\": {\"%.*s\": \"%.*s\"}}",
        (int)owner.size, owner.data, (int)inner.name.size, inner.name.data, (int)inner.value.size,
        inner.value.data, (int)owner.size, owner.data, (int)inner.name.size, inner.name.data,
        (int)inner.value.size, inner.value.data);
    return advice->text != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

/* --- npm's choices ------------------------------------------------------------------------- */

enum { CHOICES_MAX = 3 };

/* `node` is in the version it has: npm looks for no other.  *ret_new: that was not said before. */
static brisk_err add_choice(const adviser *a, const pkg_node *node, pkg_manifest *m, pkg_dep *deps,
                            bool *ret_new)
{
    *ret_new = false;
    pkg_text version = node != NULL ? real(node)->manifest->version : PKG_TEXT("");
    if (node == NULL || real(node)->index == 0 || version.size == 0) {
        return BRISK_OK;
    }
    pkg_dep dep = {.name = real(node)->name, .spec = version, .kind = PKG_DEP_PROD};
    dep.name_hash = pkg_text_hash(dep.name);
    brisk_err err = semver_range_parse(a->problem.arena, dep.spec, SEMVER_LOOSE, &dep.range);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_INVALID ? BRISK_OK : err;
    }
    const pkg_dep *there = find_dep(m, dep.name);
    if (there != NULL) {
        pkg_dep *own = deps + (there - m->deps);
        *ret_new = own->range != NULL && !pkg_text_equal(own->spec, version);
        own->spec = *ret_new ? version : own->spec;
        own->range = *ret_new ? dep.range : own->range;
        return BRISK_OK;
    }
    uint32_t at = m->dep_count++;
    while (at > 0 && pkg_text_compare(deps[at - 1].name, dep.name) > 0) {
        deps[at] = deps[at - 1];
        at--;
    }
    deps[at] = dep;
    *ret_new = true;
    return BRISK_OK;
}

/*
 * Single versions could get along, but npm takes others.  With its choices, as few as are needed, said
 * to be such, there is a proof.
 */
static brisk_err prove_choices(adviser *a, const pkg_manifest *level, bool is_project)
{
    const pkg_conflict *c = a->conflict;
    const pkg_edge *peer = c->peer != NULL ? c->peer : c->edge;
    const pkg_node *choices[CHOICES_MAX] = {c->current_edge != NULL ? c->current_edge->from : NULL,
                                            peer->from, c->current};
    pkg_problem p = a->problem;
    pkg_manifest m = *level;
    pkg_dep *deps =
        brisk_arena_alloc(p.arena, (level->dep_count + (size_t)CHOICES_MAX) * sizeof *deps);
    if (deps == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (m.dep_count > 0) {
        memcpy(deps, m.deps, m.dep_count * sizeof *deps);
    }
    m.deps = deps;
    brisk_err err = BRISK_OK;
    for (int i = 0; i < CHOICES_MAX && err == BRISK_OK && a->advice->proof.count == 0; i++) {
        bool is_new = false;
        solve_result result = {0};
        err = add_choice(a, choices[i], &m, deps, &is_new);
        if (err != BRISK_OK || !is_new) {
            continue;
        }
        p.variables = (pkg_array){0};
        p.buckets = NULL;
        p.bucket_count = 0;
        err = pkg_problem_init(&p, &m, false);
        p.declared = level;
        p.is_project = is_project;
        err = err == BRISK_OK ? pkg_problem_solve(&p, &result) : err;
        if (err == BRISK_OK && !result.solved) {
            err = pkg_problem_tell(&p, result.proof, &a->advice->proof);
        }
    }
    return err;
}

static brisk_err advise(adviser *a)
{
    pkg_problem *p = &a->problem;
    solve_result result = {0};
    brisk_err err = pkg_problem_init(p, level_of(p->project, a->conflict), false);
    if (err == BRISK_OK) {
        err = pkg_problem_solve(p, &result);
    }
    if (err == BRISK_OK && !result.solved) {
        err = pkg_problem_tell(p, result.proof, &a->advice->proof);
    }
    if (err == BRISK_OK && result.solved) {
        err = prove_choices(a, p->root, p->is_project);
    }
    bool found = false;
    if (err == BRISK_OK) {
        err = p->is_project ? advise_direct(a, result.solved ? NULL : result.proof, &found)
                            : advise_above(a, &found);
    }
    return err == BRISK_OK && !found ? advise_override(a) : err;
}

brisk_err pkg_advise(const pkg_project *project, const pkg_source *source,
                     const pkg_ideal_opts *opts, const pkg_conflict *conflict, brisk_arena *arena,
                     pkg_advice *ret, brisk_errinfo *info)
{
    pkg_advice advice = {0};
    adviser a = {.problem = {.project = project,
                             .source = source,
                             .opts = opts,
                             .arena = arena,
                             .info = info},
                 .conflict = conflict,
                 .advice = &advice};
    brisk_err err = brisk_arena_create(NULL, &a.scratch);
    if (err == BRISK_OK) {
        err = advise(&a);
    }
    brisk_arena_destroy(a.scratch);
    if (err == BRISK_OK) {
        *ret = advice;
    }
    return err;
}
