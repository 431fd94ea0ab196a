/*
 * solve_learn.c -- what a conflict teaches.
 *
 * All terms of a nogood hold.  The one that came to hold last does so because of another nogood;
 * the resolvent of both on that package holds too, and since an earlier moment.  This goes on until
 * only one term holds since the level it holds since: on the level of the next one, where the
 * search goes back to, that term is then ruled out.
 *
 *     {a in S, rest} and {a in T, more}  give  {a in S or T, rest, more}
 *
 * On level 0 it goes on until no term is left: then there is no answer, and the chain of
 * resolutions is the proof.
 *
 * Threads: one.
 */
#include "workload/pkg/solve_internal.h"

/* The term that came to hold last, and the level that the others need. */
typedef struct latest {
    uint32_t entry;
    uint32_t level;  /* of that entry */
    uint32_t others; /* the greatest level of the other terms */
    uint32_t term;   /* its place in the list at work */
} latest;

static latest find_latest(const solver *s)
{
    const solve_term *work = s->work.items;
    latest last = {.entry = SOLVE_NONE};
    for (uint32_t i = 0; i < s->work.count; i++) {
        const solve_package *package = s->packages[work[i].package];
        if (solve_set_equal(work[i].set, package->full, package->words)) {
            continue; /* holds always */
        }
        uint32_t entry = solver_satisfier(s, &work[i]);
        uint32_t level = solver_entry(s, entry)->level;
        if (last.entry == SOLVE_NONE || entry > last.entry) {
            last.others = last.entry != SOLVE_NONE ? last.level : last.others;
            last.entry = entry;
            last.level = level;
            last.term = i;
        } else if (level > last.others) {
            last.others = level;
        }
    }
    return last;
}

/* Resolve the list at work with a nogood on the package of work item `at`. */
static brisk_err resolve(solver *s, uint32_t at, const solve_nogood *with)
{
    uint32_t pivot = ((const solve_term *)s->work.items)[at].package;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < with->term_count; i++) {
        const solve_term *term = &with->terms[i];
        if (term->package != pivot) {
            err = solver_work_meet(s, term->package, term->set);
            continue;
        }
        solve_set *set = &((solve_term *)s->work.items)[at].set;
        if (!solve_set_or(*set, term->set, s->packages[pivot]->words, s->arena, set)) {
            err = BRISK_ERR_NOMEM;
        }
    }
    return err;
}

static brisk_err push_link(solver *s, pkg_array *links, uint32_t nogood, uint32_t pivot)
{
    solve_link *link = pkg_array_push(links, sizeof *link, s->arena);
    if (link == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *link = (solve_link){.nogood = nogood, .pivot = pivot};
    return BRISK_OK;
}

/* Resolve until one term is alone on its level, or none is left. */
static brisk_err analyse(solver *s, uint32_t conflict, pkg_array *links, latest *ret)
{
    const solve_nogood *nogood = solver_nogood(s, conflict);
    brisk_err err = push_link(s, links, conflict, SOLVE_NONE);
    for (uint32_t i = 0; err == BRISK_OK && i < nogood->term_count; i++) {
        err = solver_work_meet(s, nogood->terms[i].package, nogood->terms[i].set);
    }
    latest last = {0};
    while (err == BRISK_OK) {
        last = find_latest(s);
        if (last.entry == SOLVE_NONE || (last.level > 0 && last.others < last.level)) {
            break;
        }
        const solve_entry *entry = solver_entry(s, last.entry);
        err = push_link(s, links, entry->reason, entry->package);
        if (err == BRISK_OK) {
            err = resolve(s, last.term, solver_nogood(s, entry->reason));
        }
    }
    *ret = last;
    return err;
}

brisk_err solver_learn(solver *s, uint32_t conflict, bool *failed)
{
    pkg_array links = {0};
    latest last = {0};
    bool never = false;
    solve_nogood nogood = {.kind = SOLVE_STEP_RESOLVE};
    brisk_err err = analyse(s, conflict, &links, &last);
    if (err == BRISK_OK) {
        err = solver_work_take(s, &nogood.terms, &nogood.term_count, &never);
    }
    if (err != BRISK_OK) {
        return err;
    }
    nogood.links = links.items;
    nogood.link_count = links.count;
    *failed = nogood.term_count == 0;
    if (!*failed && last.others < s->levels.count) {
        solver_back(s, last.others);
    }
    uint32_t again = SOLVE_NONE;
    err = solver_add(s, &nogood, &again);
    /* Going back made its last term open, so that it acts; only the empty one holds at once. */
    return err == BRISK_OK && (again != SOLVE_NONE) != *failed ? BRISK_ERR_INVALID : err;
}
