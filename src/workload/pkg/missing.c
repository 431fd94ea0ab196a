/*
 * missing.c -- the proof that a package, or a version of it that fits, does not exist.
 *
 * npm looks for no other versions of those above: with npm's choices, what each of them declares
 * and what the registry has, nothing else can come of it.  So the way to the dependency is the proof.
 *
 * Invariant: a sentence is said only of a step that was checked: the dependency is declared, it is not
 * optional, the version there is what npm takes for it, or what is there already and fits.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/problem.h"

#define TEXT_ARGS(text) (int)(text).size, (text).data != NULL ? (text).data : ""

typedef struct prover {
    const pkg_source *source;
    const pkg_ideal_opts *opts;
    brisk_arena *arena;
    const char **items;
    uint32_t count;
} prover;

static const pkg_node *real(const pkg_node *node)
{
    while (node->source != NULL) {
        node = node->source;
    }
    return node;
}

/* Whose packument it is about, and which of its versions; false: it is no registry's. */
static bool asked_for(const pkg_edge *edge, pkg_text *ret_name, pkg_text *ret_wanted)
{
    *ret_name = edge->dep->name;
    *ret_wanted = edge->spec.size > 0 ? edge->spec : PKG_TEXT("*");
    if (edge->range != NULL && edge->parsed == NULL) {
        return true;
    }
    if (edge->parsed == NULL) {
        return edge->any;
    }
    if (edge->parsed->type != PKG_SPEC_TAG && edge->parsed->type != PKG_SPEC_ALIAS) {
        return false;
    }
    *ret_name = edge->parsed->name;
    *ret_wanted = edge->parsed->wanted.size > 0 ? edge->parsed->wanted : PKG_TEXT("*");
    return true;
}

/* The version npm takes; PKG_NO_VERSION: none fits, or there is no such package. */
static brisk_err pick(prover *p, const pkg_edge *edge, pkg_version *ret, bool *ret_is_there,
                      bool *ret_exists)
{
    pkg_text name;
    pkg_text wanted;
    const pkg_package *package = NULL;
    brisk_errinfo info;
    pkg_picked picked = {.index = PKG_NO_VERSION};
    *ret_is_there = false;
    *ret_exists = false;
    if (!asked_for(edge, &name, &wanted)) {
        return BRISK_ERR_UNSUPPORTED;
    }
    brisk_err err = p->source->get(p->source->ctx, name, &package, &info);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
    }
    *ret_exists = true;
    err = pkg_pick(package, wanted, edge->range, &p->opts->pick, p->arena, &picked);
    if (err == BRISK_OK && picked.index != PKG_NO_VERSION) {
        pkg_package_version(package, picked.index, ret);
        *ret_is_there = true;
    }
    return err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
}

static const char *verb_of(const pkg_edge *edge)
{
    return edge->dep->kind == PKG_DEP_PEER ? "needs the peer" : "depends on";
}

static const char *owner_of(prover *p, const pkg_edge *edge)
{
    const pkg_node *node = real(edge->from);
    return node->index == 0 ? "the project"
                            : brisk_arena_printf(p->arena, "%.*s %.*s", TEXT_ARGS(node->name),
                                                 TEXT_ARGS(node->manifest->version));
}

/* Is it declared as the edge says? */
static bool is_declared(const pkg_edge *edge)
{
    const pkg_manifest *m = edge->from->manifest;
    bool declared = false;
    for (uint32_t i = 0; i < m->dep_count; i++) {
        declared = declared || (&m->deps[i] == edge->dep) ||
                   (pkg_text_equal(m->deps[i].name, edge->dep->name) &&
                    pkg_text_equal(m->deps[i].spec, edge->dep->spec));
    }
    return declared && !pkg_edge_is_optional(edge);
}

/* A step on the way; UNSUPPORTED: it does not hold. */
static brisk_err say_step(prover *p, const pkg_edge *edge, const pkg_edge *next)
{
    pkg_version taken;
    bool is_there = false;
    bool exists = false;
    if (!is_declared(edge) || edge->to == NULL || real(edge->to) != real(next->from) ||
        !pkg_edge_accepts(edge, edge->to)) {
        return BRISK_ERR_UNSUPPORTED;
    }
    brisk_err err = pick(p, edge, &taken, &is_there, &exists);
    if (err != BRISK_OK && err != BRISK_ERR_UNSUPPORTED) {
        return err;
    }
    pkg_text version = real(edge->to)->manifest->version;
    bool npms = err == BRISK_OK && is_there && pkg_text_equal(taken.text, version);
    const char *owner = owner_of(p, edge);
    const char *text =
        brisk_arena_printf(p->arena, "Because %s %s %.*s \"%.*s\", %.*s %.*s %s.",
                           owner != NULL ? owner : "", verb_of(edge), TEXT_ARGS(edge->dep->name),
                           TEXT_ARGS(edge->spec), TEXT_ARGS(edge->dep->name), TEXT_ARGS(version),
                           npms ? "is what npm takes" : "is there and fits");
    p->items[p->count++] = text;
    return owner != NULL && text != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

static brisk_err say_end(prover *p, const pkg_edge *edge)
{
    pkg_version taken;
    bool is_there = false;
    bool exists = false;
    brisk_err err =
        is_declared(edge) ? pick(p, edge, &taken, &is_there, &exists) : BRISK_ERR_UNSUPPORTED;
    if (err != BRISK_OK || is_there) {
        return err != BRISK_OK ? err : BRISK_ERR_UNSUPPORTED;
    }
    const char *owner = owner_of(p, edge);
    const char *text = brisk_arena_printf(
        p->arena, "Because %s %s %.*s \"%.*s\", and the registry has no %s: there is no answer.",
        owner != NULL ? owner : "", verb_of(edge), TEXT_ARGS(edge->dep->name),
        TEXT_ARGS(edge->spec), exists ? "version of it that fits" : "version of it");
    p->items[p->count++] = text;
    return owner != NULL && text != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

static brisk_err prove(prover *p, const pkg_conflict *conflict)
{
    uint32_t last = conflict->chain_count - 1;
    brisk_err err = real(conflict->chain[0]->from)->index == 0 ? BRISK_OK : BRISK_ERR_UNSUPPORTED;
    for (uint32_t i = 0; i < last && err == BRISK_OK; i++) {
        err = say_step(p, conflict->chain[i], conflict->chain[i + 1]);
    }
    return err == BRISK_OK ? say_end(p, conflict->chain[last]) : err;
}

brisk_err pkg_missing_prove(const pkg_source *source, const pkg_ideal_opts *opts,
                            const pkg_conflict *conflict, brisk_arena *arena, solve_sentences *ret,
                            brisk_errinfo *info)
{
    *ret = (solve_sentences){0};
    if (conflict->chain_count == 0) {
        return BRISK_OK;
    }
    prover p = {.source = source,
                .opts = opts,
                .arena = arena,
                .items = brisk_arena_calloc(arena, conflict->chain_count, sizeof(char *))};
    brisk_err err = p.items != NULL ? prove(&p, conflict) : BRISK_ERR_NOMEM;
    if (err == BRISK_ERR_NOMEM || err == BRISK_ERR_CANCELLED) {
        return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    if (err == BRISK_OK) {
        *ret = (solve_sentences){.items = p.items, .count = p.count};
    }
    return BRISK_OK;
}
