/*
 * solve_internal.h -- what the solver keeps, for solve.c (search), solve_learn.c (conflicts) and
 * proof.c (the derivation of a failure).
 *
 * A nogood is a list of terms that never hold all at once: a need of a version, or what was learned
 * from a conflict.  Two of its terms are watched; a nogood is looked at when one of them may have
 * come to hold.
 *
 * The trail lists, in order, how the domains of packages shrank: by decision or because of a nogood
 * of which all other terms hold.
 *
 * Invariants: a package's domain is the one of its last trail entry (everything when it has none)
 * and never empty; levels in the trail never fall; a nogood follows from the needs and from the
 * root, whatever was decided; the nogoods that one was learned from have smaller numbers.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_SOLVE_INTERNAL_H
#define BRISK_SRC_WORKLOAD_PKG_SOLVE_INTERNAL_H

#include "workload/pkg/array.h"
#include "workload/pkg/solve.h"
#include "workload/pkg/solve_set.h"

/* One resolution with a nogood, on one package. */
typedef struct solve_link {
    uint32_t nogood;
    uint32_t pivot;
} solve_link;

typedef struct solve_nogood {
    const solve_term *terms;
    uint32_t term_count;
    uint32_t watch[2]; /* of terms; the same when there is one */
    solve_step_kind kind;
    uint32_t package; /* NEED: whose, of which version, which */
    uint32_t version;
    uint32_t need;
    uint32_t link_count;
    const solve_link *links; /* RESOLVE: from links[0].nogood on, in this order */
} solve_nogood;

typedef struct solve_watchers {
    uint32_t *items; /* nogoods */
    uint32_t count;
    uint32_t capacity;
} solve_watchers;

/* A version whose needs were read. */
typedef struct solve_loaded solve_loaded;
struct solve_loaded {
    uint32_t version;
    solve_needs needs;
    solve_loaded *next;
};

typedef struct solve_package {
    uint32_t count; /* of versions */
    uint32_t words;
    uint32_t last;   /* trail entry, or SOLVE_NONE */
    uint32_t chosen; /* the one version left, or SOLVE_NONE */
    uint32_t mark;   /* 1 + its place in the list of terms at work, or 0 */
    solve_set full;
    solve_set domain;
    solve_watchers watchers;
    solve_loaded *loaded;
    const solve_loaded *now; /* what `chosen` needs, once that is propagated */
} solve_package;

typedef struct solve_entry {
    uint32_t package;
    uint32_t before; /* the package's entry before this one, or SOLVE_NONE */
    uint32_t reason; /* a nogood, or SOLVE_NONE: decided */
    uint32_t level;
    solve_set domain; /* from here on */
} solve_entry;

/* Where looking for something to decide goes on: a place in `chosen`, a need of it. */
typedef struct solve_cursor {
    uint32_t at;
    uint32_t need;
} solve_cursor;

/* What to go back to when a level is undone. */
typedef struct solve_level {
    uint32_t entries;
    uint32_t chosen;
    solve_cursor hard;
    solve_cursor weak;
} solve_level;

typedef struct solver {
    const solve_provider *provider;
    brisk_arena *arena;
    uint32_t root;
    uint32_t root_version;
    solve_package **packages; /* by number; NULL: never mentioned */
    uint32_t package_capacity;
    uint32_t package_end;
    pkg_array nogoods;   /* solve_nogood */
    pkg_array trail;     /* solve_entry */
    pkg_array levels;    /* solve_level; the level is their count */
    pkg_array chosen;    /* uint32_t: packages, as their version became clear */
    pkg_array work;      /* solve_term: of the nogood being made */
    uint32_t propagated; /* entries of the trail that were looked at */
    solve_cursor hard;
    solve_cursor weak;
    uint64_t decisions;
    uint64_t conflicts;
    uint64_t conflicts_max;
} solver;

static inline solve_nogood *solver_nogood(const solver *s, uint32_t id)
{
    return (solve_nogood *)s->nogoods.items + id;
}

static inline solve_entry *solver_entry(const solver *s, uint32_t id)
{
    return (solve_entry *)s->trail.items + id;
}

/* Count up, make known.  Errors: NOMEM, LIMIT, the provider's. */
brisk_err solver_package(solver *s, uint32_t number, solve_package **ret);
/* Take values out of a domain that holds more.  Errors: NOMEM. */
brisk_err solver_narrow(solver *s, uint32_t number, solve_set without, uint32_t reason);
/* Give it a number and watches.  *conflict becomes it when all its terms hold.  Errors: NOMEM. */
brisk_err solver_add(solver *s, const solve_nogood *nogood, uint32_t *conflict);
/* The trail entry since which a term holds that holds now. */
uint32_t solver_satisfier(const solver *s, const solve_term *term);
/* Add a term to the list at work, one per package: where it has one, both must hold. */
brisk_err solver_work_meet(solver *s, uint32_t number, solve_set set);
/* The list at work as terms of a nogood, without what always holds.  *never: one never does. */
brisk_err solver_work_take(solver *s, const solve_term **ret, uint32_t *ret_count, bool *never);
/* Undo everything above `level`. */
void solver_back(solver *s, uint32_t level);

/*
 * `conflict` holds: learn what it says of earlier levels, go back and act on it.  *failed when
 * nothing is left: then the last nogood has no terms.  Errors: NOMEM, LIMIT.
 */
brisk_err solver_learn(solver *s, uint32_t conflict, bool *failed);

/* The derivation of the last nogood.  Errors: NOMEM. */
brisk_err solver_prove(solver *s, const solve_proof **ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_SOLVE_INTERNAL_H */
