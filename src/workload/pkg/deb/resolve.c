/*
 * resolve.c -- a request and the index as a problem for the solver, and its answer as packages.
 *
 * The request is a package of its own, the root, behind the last number of the index.  Needs of a
 * version point straight into the mapped index; only the list of them is made when it is chosen.
 * A conflict is one need per package that it forbids, and never forbids the package itself.
 *
 * Threads: one.
 */
#include "workload/pkg/deb/resolve.h"

#include "workload/pkg/array.h"

const deb_group *deb_ref(const deb_index *index, const deb_version *version, uint32_t at)
{
    return &index->groups[index->refs[version->relations + at]];
}

static uint32_t root_of(const deb_resolver *r)
{
    return r->index->package_count;
}

/* The index' number of a package's version; SOLVE_NONE: there is none, the index lies. */
static uint32_t version_of(const deb_resolver *r, uint32_t package, uint32_t version)
{
    if (package >= r->index->package_count ||
        version >= r->index->packages[package].version_count) {
        return SOLVE_NONE;
    }
    return r->index->packages[package].versions + version;
}

static brisk_err provide_count(void *ctx, uint32_t package, uint32_t *ret)
{
    const deb_resolver *r = ctx;
    if (package > root_of(r)) {
        return BRISK_ERR_CORRUPT;
    }
    *ret = package == root_of(r) ? 1 : r->index->packages[package].version_count;
    return BRISK_OK;
}

/* How many needs the conflicts of a version are: one per package forbidden, at most. */
static uint32_t count_forbidden(const deb_index *index, const deb_version *version)
{
    uint32_t from = version->counts[DEB_KIND_DEPENDS];
    uint32_t to = from + version->counts[DEB_KIND_CONFLICTS] + version->counts[DEB_KIND_BREAKS];
    uint64_t count = 0;
    for (uint32_t i = from; i < to; i++) {
        count += deb_ref(index, version, i)->term_count;
    }
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

static void fill_needs(const deb_resolver *r, uint32_t package, const deb_version *version,
                       solve_need *needs, solve_needs *ret)
{
    const deb_index *index = r->index;
    uint32_t at = 0;
    uint32_t count = 0;
    for (; at < version->counts[DEB_KIND_DEPENDS]; at++) {
        const deb_group *group = deb_ref(index, version, at);
        needs[count++] =
            (solve_need){.any_of = index->terms + group->terms, .count = group->term_count};
    }
    uint32_t end = at + version->counts[DEB_KIND_CONFLICTS] + version->counts[DEB_KIND_BREAKS];
    for (; at < end; at++) {
        const deb_group *group = deb_ref(index, version, at);
        for (uint32_t t = 0; t < group->term_count; t++) {
            const solve_term *term = &index->terms[group->terms + t];
            if (term->package != package) {
                needs[count++] = (solve_need){.any_of = term, .count = 1};
            }
        }
    }
    ret->hard = needs;
    ret->hard_count = count;
    ret->weak = needs + count;
    ret->weak_count = r->recommends ? version->counts[DEB_KIND_RECOMMENDS] : 0;
    for (uint32_t i = 0; i < ret->weak_count; i++) {
        const deb_group *group = deb_ref(index, version, end + i);
        needs[count++] =
            (solve_need){.any_of = index->terms + group->terms, .count = group->term_count};
    }
}

static brisk_err provide_needs(void *ctx, uint32_t package, uint32_t version, solve_needs *ret)
{
    deb_resolver *r = ctx;
    if (package == root_of(r)) {
        *ret = (solve_needs){.hard = r->root_needs.items, .hard_count = r->root_needs.count};
        return BRISK_OK;
    }
    uint32_t id = version_of(r, package, version);
    if (id == SOLVE_NONE) {
        return BRISK_ERR_CORRUPT;
    }
    const deb_version *v = &r->index->versions[id];
    uint64_t count = (uint64_t)v->counts[DEB_KIND_DEPENDS] + count_forbidden(r->index, v) +
                     v->counts[DEB_KIND_RECOMMENDS];
    solve_need *needs =
        count < UINT32_MAX ? brisk_arena_alloc(r->arena, (count + 1) * sizeof *needs) : NULL;
    if (needs == NULL) {
        return BRISK_ERR_NOMEM;
    }
    fill_needs(r, package, v, needs, ret);
    return BRISK_OK;
}

static uint32_t provide_prefer(void *ctx, uint32_t package, solve_set allowed)
{
    (void)ctx;
    (void)package;
    return 63 - (uint32_t)__builtin_clzll(allowed.bits); /* the greatest; never empty */
}

solve_provider deb_resolver_provider(deb_resolver *r)
{
    return (solve_provider){
        .ctx = r, .count = provide_count, .needs = provide_needs, .prefer = provide_prefer};
}

/* --- the request -------------------------------------------------------------------------- */

brisk_err deb_resolver_ask(deb_resolver *r, const solve_term *terms, uint32_t count,
                           const char *text)
{
    solve_need *need = pkg_array_push(&r->root_needs, sizeof *need, r->arena);
    const char **kept = pkg_array_push(&r->root_texts, sizeof *kept, r->arena);
    if (need == NULL || kept == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *need = (solve_need){.any_of = terms, .count = count};
    *kept = text;
    return BRISK_OK;
}

/* Exactly this version. */
static brisk_err ask_version(deb_resolver *r, uint32_t package, uint32_t version)
{
    solve_term *term = brisk_arena_calloc(r->arena, 1, sizeof *term);
    if (term == NULL) {
        return BRISK_ERR_NOMEM;
    }
    term->package = package;
    term->set.bits = UINT64_C(1) << version;
    return deb_resolver_ask(r, term, 1, "has the essential set");
}

/* Solve for every essential package alone; the answer is there from the start. */
static brisk_err assume_essential(deb_resolver *r, solve_result *ret)
{
    const deb_index *index = r->index;
    deb_resolver first = {.index = index, .arena = r->arena};
    solve_term *terms =
        brisk_arena_calloc(r->arena, (size_t)index->package_count + 1, sizeof *terms);
    brisk_err err = terms != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    for (uint32_t p = 0; err == BRISK_OK && p < index->package_count; p++) {
        const deb_package *package = &index->packages[p];
        for (uint32_t v = 0; v < package->version_count; v++) {
            if ((index->versions[package->versions + v].flags & DEB_VERSION_ESSENTIAL) != 0 &&
                package->arch == 0) {
                terms[p].package = p;
                terms[p].set.bits |= UINT64_C(1) << v;
            }
        }
        if (terms[p].set.bits != 0) {
            err = deb_resolver_ask(&first, &terms[p], 1, "asks for the essential set");
        }
    }
    solve_provider provider = deb_resolver_provider(&first);
    if (err == BRISK_OK) {
        err = solve_run(&provider, root_of(&first), 0, 0, r->arena, ret);
    }
    for (uint32_t p = 0; err == BRISK_OK && ret->solved && p < ret->package_count; p++) {
        if (p < index->package_count && ret->versions[p] != SOLVE_NONE) {
            err = ask_version(r, p, ret->versions[p]);
        }
    }
    return err;
}

/* --- the answer --------------------------------------------------------------------------- */

/* Is a term of the need chosen? */
static bool is_met(const solve_result *result, const solve_term *terms, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t package = terms[i].package;
        if (package < result->package_count && result->versions[package] != SOLVE_NONE &&
            (terms[i].set.bits >> result->versions[package] & 1) != 0) {
            return true;
        }
    }
    return false;
}

/* Which packages the request names itself, as bits of a byte each. */
static brisk_err mark_asked(const deb_resolver *r, const solve_result *result, uint32_t from,
                            uint8_t **ret)
{
    uint8_t *asked = brisk_arena_calloc(r->arena, (size_t)r->index->package_count + 1, 1);
    if (asked == NULL) {
        return BRISK_ERR_NOMEM;
    }
    const solve_need *needs = r->root_needs.items;
    for (uint32_t i = from; i < r->root_needs.count; i++) {
        for (uint32_t t = 0; t < needs[i].count; t++) {
            if (is_met(result, &needs[i].any_of[t], 1)) {
                asked[needs[i].any_of[t].package] = 1;
                break;
            }
        }
    }
    *ret = asked;
    return BRISK_OK;
}

static brisk_err list_unmet(const deb_resolver *r, const solve_result *result,
                            const deb_version *version, pkg_array *unmet)
{
    uint32_t from = version->counts[DEB_KIND_DEPENDS] + version->counts[DEB_KIND_CONFLICTS] +
                    version->counts[DEB_KIND_BREAKS];
    for (uint32_t i = 0; r->recommends && i < version->counts[DEB_KIND_RECOMMENDS]; i++) {
        const deb_group *group = deb_ref(r->index, version, from + i);
        if (is_met(result, r->index->terms + group->terms, group->term_count)) {
            continue;
        }
        uint32_t *id = pkg_array_push(unmet, sizeof *id, r->arena);
        if (id == NULL) {
            return BRISK_ERR_NOMEM;
        }
        *id = (uint32_t)(group - r->index->groups);
    }
    return BRISK_OK;
}

static brisk_err take_answer(const deb_resolver *r, const solve_result *result,
                             const solve_result *there, uint32_t asked_from, deb_answer *ret)
{
    uint8_t *asked = NULL;
    deb_choice *choices =
        brisk_arena_alloc(r->arena, ((size_t)result->order_count + 1) * sizeof *choices);
    brisk_err err = choices != NULL ? mark_asked(r, result, asked_from, &asked) : BRISK_ERR_NOMEM;
    uint32_t count = 0;
    pkg_array unmet = {0};
    for (uint32_t i = 0; err == BRISK_OK && i < result->order_count; i++) {
        uint32_t package = result->order[i];
        if (package == root_of(r) || (there->solved && package < there->package_count &&
                                      there->versions[package] != SOLVE_NONE)) {
            continue;
        }
        uint32_t id = version_of(r, package, result->versions[package]);
        const deb_version *version = &r->index->versions[id];
        choices[count++] =
            (deb_choice){.package = package, .version = id, .asked = asked[package] != 0};
        ret->size_bytes += version->size_bytes;
        ret->installed_kib += version->installed_kib;
        err = list_unmet(r, result, version, &unmet);
    }
    ret->choices = choices;
    ret->choice_count = count;
    ret->unmet = unmet.items;
    ret->unmet_count = unmet.count;
    return err;
}

/* Nothing is shown that the verifier does not accept. */
static brisk_err prove(deb_resolver *r, const solve_proof *proof, deb_answer *ret,
                       brisk_errinfo *info)
{
    solve_provider provider = deb_resolver_provider(r);
    brisk_err err = solve_proof_check(proof, &provider, r->arena, info);
    solve_words_of words = deb_resolver_words(r);
    return err == BRISK_OK ? solve_proof_tell(proof, &provider, &words, r->arena, &ret->proof)
                           : err;
}

static brisk_err resolve(deb_resolver *r, const deb_request *request, deb_answer *ret,
                         brisk_errinfo *info)
{
    solve_result there = {0};
    brisk_err err = request->assume_essential ? assume_essential(r, &there) : BRISK_OK;
    if (err == BRISK_OK && request->assume_essential && !there.solved) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                 "the essential packages of these lists cannot be installed");
    }
    uint32_t asked_from = r->root_needs.count;
    for (uint32_t i = 0; err == BRISK_OK && i < request->count; i++) {
        err = deb_resolver_request(r, request->packages[i], info);
    }
    solve_provider provider = deb_resolver_provider(r);
    solve_result result = {0};
    if (err == BRISK_OK) {
        err = solve_run(&provider, root_of(r), 0, 0, r->arena, &result);
    }
    if (err != BRISK_OK) {
        return err;
    }
    *ret = (deb_answer){
        .solved = result.solved, .decisions = result.decisions, .conflicts = result.conflicts};
    return result.solved ? take_answer(r, &result, &there, asked_from, ret)
                         : prove(r, result.proof, ret, info);
}

brisk_err deb_resolve(const deb_index *index, const deb_request *request, brisk_arena *arena,
                      deb_answer *ret, brisk_errinfo *info)
{
    deb_resolver r = {.index = index, .arena = arena, .recommends = request->recommends};
    brisk_errinfo said = {0};
    deb_answer answer = {0};
    brisk_err err = resolve(&r, request, &answer, &said);
    if (err == BRISK_OK) {
        *ret = answer;
        return BRISK_OK;
    }
    return brisk_errinfo_set(info, err, "%s",
                             said.text[0] != '\0' ? said.text : brisk_err_message(err));
}
