/*
 * proof.c -- the derivation of a failure, out of what the solver kept.
 *
 * The last nogood has no terms.  Only what it was learned from, directly or not, goes into the
 * proof: needs as they are, learned nogoods as one step per resolution.  Numbers of nogoods grow
 * with time, so the order of numbers is an order of steps.
 *
 * Threads: one.
 */
#include "workload/pkg/solve_internal.h"

#include <stdlib.h>

typedef struct prover {
    solver *solver;
    uint32_t *step_of; /* by nogood: SOLVE_NONE when not in the proof, then its step */
    pkg_array steps;   /* solve_step */
} prover;

static int compare_terms(const void *a, const void *b)
{
    uint32_t x = ((const solve_term *)a)->package;
    uint32_t y = ((const solve_term *)b)->package;
    return x < y ? -1 : x > y;
}

/* Mark what the last nogood came from; from the greatest number down each is seen after its users. */
static brisk_err mark(prover *p)
{
    uint32_t count = p->solver->nogoods.count;
    p->step_of = brisk_arena_alloc(p->solver->arena, count * sizeof *p->step_of);
    if (p->step_of == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(p->step_of, 0xff, count * sizeof *p->step_of);
    p->step_of[count - 1] = 0;
    for (uint32_t id = count; id-- > 0;) {
        const solve_nogood *nogood = solver_nogood(p->solver, id);
        for (uint32_t i = 0; p->step_of[id] != SOLVE_NONE && i < nogood->link_count; i++) {
            p->step_of[nogood->links[i].nogood] = 0;
        }
    }
    return BRISK_OK;
}

static brisk_err push_step(prover *p, const solve_step *step, uint32_t *ret)
{
    solve_step *kept = pkg_array_push(&p->steps, sizeof *kept, p->solver->arena);
    if (kept == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *kept = *step;
    *ret = p->steps.count - 1;
    return BRISK_OK;
}

/* A need or the root as a step. */
static brisk_err state(prover *p, uint32_t id)
{
    const solve_nogood *nogood = solver_nogood(p->solver, id);
    solve_term *terms =
        brisk_arena_alloc(p->solver->arena, (nogood->term_count + 1) * sizeof *terms);
    if (terms == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(terms, nogood->terms, nogood->term_count * sizeof *terms);
    qsort(terms, nogood->term_count, sizeof *terms, compare_terms);
    solve_step step = {.kind = nogood->kind,
                       .package = nogood->package,
                       .a = nogood->version,
                       .b = nogood->need,
                       .terms = terms,
                       .term_count = nogood->term_count};
    return push_step(p, &step, &p->step_of[id]);
}

/* The resolvent of two steps on `pivot`: a merge of their terms, which are sorted. */
static brisk_err combine(prover *p, uint32_t a, uint32_t b, uint32_t pivot, uint32_t *ret)
{
    const solve_step *items = p->steps.items;
    const solve_step *x = &items[a];
    const solve_step *y = &items[b];
    brisk_arena *arena = p->solver->arena;
    solve_term *terms =
        brisk_arena_alloc(arena, (x->term_count + y->term_count + 1) * sizeof *terms);
    uint32_t count = 0;
    bool ok = terms != NULL;
    for (uint32_t i = 0, j = 0; ok && (i < x->term_count || j < y->term_count);) {
        bool only_x =
            j == y->term_count || (i < x->term_count && x->terms[i].package < y->terms[j].package);
        bool only_y = !only_x && (i == x->term_count || y->terms[j].package < x->terms[i].package);
        if (only_x || only_y) {
            terms[count++] = only_x ? x->terms[i++] : y->terms[j++];
            continue;
        }
        solve_term *term = &terms[count];
        const solve_package *package = p->solver->packages[x->terms[i].package];
        term->package = x->terms[i].package;
        ok = term->package == pivot
                 ? solve_set_or(x->terms[i].set, y->terms[j].set, package->words, arena, &term->set)
                 : solve_set_and(x->terms[i].set, y->terms[j].set, package->words, arena,
                                 &term->set);
        count += ok && !solve_set_equal(term->set, package->full, package->words) ? 1 : 0;
        i++;
        j++;
    }
    if (!ok) {
        return BRISK_ERR_NOMEM;
    }
    solve_step step = {.kind = SOLVE_STEP_RESOLVE,
                       .package = pivot,
                       .a = a,
                       .b = b,
                       .terms = terms,
                       .term_count = count};
    return push_step(p, &step, ret);
}

static brisk_err derive(prover *p, uint32_t id)
{
    const solve_nogood *nogood = solver_nogood(p->solver, id);
    uint32_t step = p->step_of[nogood->links[0].nogood];
    brisk_err err = BRISK_OK;
    for (uint32_t i = 1; err == BRISK_OK && i < nogood->link_count; i++) {
        err = combine(p, step, p->step_of[nogood->links[i].nogood], nogood->links[i].pivot, &step);
    }
    p->step_of[id] = step;
    return err;
}

brisk_err solver_prove(solver *s, const solve_proof **ret)
{
    prover p = {.solver = s};
    brisk_err err = mark(&p);
    for (uint32_t id = 0; err == BRISK_OK && id < s->nogoods.count; id++) {
        if (p.step_of[id] != SOLVE_NONE) {
            err = solver_nogood(s, id)->kind == SOLVE_STEP_RESOLVE ? derive(&p, id) : state(&p, id);
        }
    }
    solve_proof *proof = brisk_arena_alloc(s->arena, sizeof *proof);
    if (err == BRISK_OK && proof == NULL) {
        err = BRISK_ERR_NOMEM;
    }
    if (err != BRISK_OK) {
        return err;
    }
    *proof = (solve_proof){.steps = p.steps.items,
                           .count = p.steps.count,
                           .root = s->root,
                           .root_version = s->root_version};
    *ret = proof;
    return BRISK_OK;
}
