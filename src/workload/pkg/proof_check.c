/*
 * proof_check.c -- does a proof prove?  It knows the provider and sets; of the solver, nothing.
 *
 * A step says that its terms never hold all at once.  It is right when
 *
 *     ROOT     its one term is everything that the root must not be
 *     NEED     each version of the package's term has a need of which, whenever the terms hold, no
 *              term holds
 *     RESOLVE  it is the resolvent of two earlier steps: any values that make all its terms hold
 *              make those of one of the two hold
 *
 * Since the last step has no terms, which always hold, nothing can be chosen.
 *
 * Threads: one.
 */
#include "workload/pkg/solve.h"
#include "workload/pkg/solve_set.h"

typedef struct checker {
    const solve_proof *proof;
    const solve_provider *provider;
    brisk_arena *arena;
    uint32_t *counts; /* by package, 1 + its versions; 0: not asked for yet */
    uint32_t capacity;
    const char *why; /* what is wrong with the step */
} checker;

static brisk_err wrong(checker *c, const char *why)
{
    c->why = why;
    return BRISK_ERR_CORRUPT;
}

static brisk_err count_of(checker *c, uint32_t package, uint32_t *ret)
{
    if (package >= SOLVE_PACKAGES_MAX) {
        return wrong(c, "it names a package that cannot be");
    }
    if (package >= c->capacity) {
        uint32_t capacity = package + 1 > 2 * c->capacity ? package + 64 : 2 * c->capacity;
        uint32_t *counts = brisk_arena_calloc(c->arena, capacity, sizeof *counts);
        if (counts == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (c->capacity > 0) {
            memcpy(counts, c->counts, c->capacity * sizeof *counts);
        }
        c->counts = counts;
        c->capacity = capacity;
    }
    if (c->counts[package] == 0) {
        uint32_t count = 0;
        brisk_err err = c->provider->count(c->provider->ctx, package, &count);
        if (err != BRISK_OK || count > SOLVE_VERSIONS_MAX) {
            return err != BRISK_OK ? err : BRISK_ERR_LIMIT;
        }
        c->counts[package] = count + 1;
    }
    *ret = c->counts[package] - 1;
    return BRISK_OK;
}

static const solve_term *find(const solve_step *step, uint32_t package)
{
    uint32_t low = 0;
    uint32_t high = step->term_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (step->terms[middle].package < package) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < step->term_count && step->terms[low].package == package ? &step->terms[low] : NULL;
}

/* Sorted, each package once, no set that holds always or never or has values that are none. */
static brisk_err check_shape(checker *c, const solve_step *step)
{
    for (uint32_t i = 0; i < step->term_count; i++) {
        const solve_term *term = &step->terms[i];
        if (i > 0 && step->terms[i - 1].package >= term->package) {
            return wrong(c, "its terms are not in order");
        }
        uint32_t count = 0;
        brisk_err err = count_of(c, term->package, &count);
        if (err != BRISK_OK) {
            return err;
        }
        uint32_t n = solve_words(count);
        uint32_t last = solve_set_last(term->set, n);
        if (last == SOLVE_NONE || last > count) {
            return wrong(c, "a term of it never holds, or has a version that there is not");
        }
        if (solve_set_size(term->set, n) == count + 1) {
            return wrong(c, "a term of it always holds");
        }
    }
    return BRISK_OK;
}

static brisk_err check_root(checker *c, const solve_step *step)
{
    uint32_t count = 0;
    brisk_err err = count_of(c, c->proof->root, &count);
    if (err != BRISK_OK) {
        return err;
    }
    if (step->term_count != 1 || step->terms[0].package != c->proof->root ||
        c->proof->root_version >= count ||
        solve_set_has(step->terms[0].set, solve_words(count), c->proof->root_version)) {
        return wrong(c, "it is not what was asked for");
    }
    return BRISK_OK;
}

/* Can `need` of this version hold while the terms of the step do? */
static brisk_err can_hold(checker *c, const solve_step *step, uint32_t version,
                          const solve_need *need, bool *ret)
{
    *ret = false;
    for (uint32_t i = 0; i < need->count && !*ret; i++) {
        const solve_term *term = &need->any_of[i];
        uint32_t count = 0;
        brisk_err err = count_of(c, term->package, &count);
        if (err != BRISK_OK) {
            return err;
        }
        uint32_t n = solve_words(count);
        const solve_term *mine = find(step, term->package);
        if (term->package == step->package) {
            *ret = solve_set_has(term->set, n, version);
        } else if (mine != NULL) {
            *ret = !solve_set_apart(mine->set, term->set, n);
        } else {
            *ret = solve_set_next(term->set, n, 0) != SOLVE_NONE;
        }
    }
    return BRISK_OK;
}

static brisk_err check_version(checker *c, const solve_step *step, uint32_t version)
{
    solve_needs needs = {0};
    brisk_err err = c->provider->needs(c->provider->ctx, step->package, version, &needs);
    for (uint32_t i = 0; err == BRISK_OK && i < needs.hard_count; i++) {
        bool can = false;
        err = can_hold(c, step, version, &needs.hard[i], &can);
        if (err == BRISK_OK && !can) {
            return BRISK_OK;
        }
    }
    return err != BRISK_OK ? err : wrong(c, "a version of it has no such need");
}

static brisk_err check_need(checker *c, const solve_step *step)
{
    uint32_t count = 0;
    brisk_err err = count_of(c, step->package, &count);
    const solve_term *who = find(step, step->package);
    if (err != BRISK_OK) {
        return err;
    }
    uint32_t n = solve_words(count);
    if (who == NULL || solve_set_has(who->set, n, count)) {
        return wrong(c, "it needs something without being there");
    }
    if (step->a >= count || !solve_set_has(who->set, n, step->a)) {
        return wrong(c, "the version that has the need is none of it");
    }
    uint32_t version = solve_set_next(who->set, n, 0);
    while (err == BRISK_OK && version != SOLVE_NONE) {
        err = check_version(c, step, version);
        version = solve_set_next(who->set, n, version + 1);
    }
    return err;
}

/* What `term` of the resolvent must be: from x and y, of which one may be NULL. */
static brisk_err check_merged(checker *c, const solve_step *step, uint32_t package,
                              const solve_term *x, const solve_term *y)
{
    uint32_t count = 0;
    brisk_err err = count_of(c, package, &count);
    if (err != BRISK_OK) {
        return err;
    }
    uint32_t n = solve_words(count);
    const solve_term *mine = find(step, package);
    bool pivot = package == step->package;
    if (pivot && (x == NULL || y == NULL)) {
        return wrong(c, "one of its two steps says nothing of the package they meet in");
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t all = i + 1 < n || (count + 1) % 64 == 0 ? UINT64_MAX
                                                          : (UINT64_C(1) << ((count + 1) % 64)) - 1;
        uint64_t a = x != NULL ? solve_set_words(&x->set, n)[i] : all;
        uint64_t b = y != NULL ? solve_set_words(&y->set, n)[i] : all;
        uint64_t want = pivot ? a | b : a & b;
        if (want != (mine != NULL ? solve_set_words(&mine->set, n)[i] : all)) {
            return wrong(c, "it does not follow from its two steps");
        }
    }
    return BRISK_OK;
}

static brisk_err check_resolve(checker *c, uint32_t at, const solve_step *step)
{
    if (step->a >= at || step->b >= at) {
        return wrong(c, "it follows from a later step");
    }
    const solve_step *x = &c->proof->steps[step->a];
    const solve_step *y = &c->proof->steps[step->b];
    brisk_err err = BRISK_OK;
    if (find(x, step->package) == NULL) {
        return wrong(c, "its first step says nothing of the package they meet in");
    }
    for (uint32_t i = 0; err == BRISK_OK && i < x->term_count; i++) {
        uint32_t package = x->terms[i].package;
        err = check_merged(c, step, package, &x->terms[i], find(y, package));
    }
    for (uint32_t i = 0; err == BRISK_OK && i < y->term_count; i++) {
        uint32_t package = y->terms[i].package;
        if (find(x, package) == NULL) {
            err = check_merged(c, step, package, NULL, &y->terms[i]);
        }
    }
    for (uint32_t i = 0; err == BRISK_OK && i < step->term_count; i++) {
        uint32_t package = step->terms[i].package;
        if (find(x, package) == NULL && find(y, package) == NULL) {
            err = wrong(c, "it has a term that neither of its two steps has");
        }
    }
    return err;
}

brisk_err solve_proof_check(const solve_proof *proof, const solve_provider *provider,
                            brisk_arena *scratch, brisk_errinfo *info)
{
    checker c = {.proof = proof, .provider = provider, .arena = scratch};
    brisk_err err = BRISK_OK;
    uint32_t at = 0;
    for (; err == BRISK_OK && at < proof->count; at++) {
        const solve_step *step = &proof->steps[at];
        err = check_shape(&c, step);
        if (err != BRISK_OK) {
            continue;
        }
        switch (step->kind) {
        case SOLVE_STEP_ROOT: err = check_root(&c, step); break;
        case SOLVE_STEP_NEED: err = check_need(&c, step); break;
        case SOLVE_STEP_RESOLVE: err = check_resolve(&c, at, step); break;
        default: err = wrong(&c, "it is of no known kind"); break;
        }
    }
    if (err == BRISK_OK && (proof->count == 0 || proof->steps[proof->count - 1].term_count != 0)) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "the proof ends without a contradiction");
    }
    return err == BRISK_OK ? BRISK_OK
                           : brisk_errinfo_set(info, err, "step %u of the proof: %s", at,
                                               c.why != NULL ? c.why : brisk_err_message(err));
}
