/*
 * solve.h -- PubGrub: one version of each package, or a proof that there is none.
 *
 * Packages and versions are numbers; a set of versions is a list of intervals over a package's
 * versions in its order.  Where versions come from, what they need and which is tried first, a
 * provider says.  Version 0 .. count-1 in the provider's order of versions (ascending).
 *
 * A failure is a derivation: each step follows from a dependency or from two earlier steps.  The
 * verifier checks every step by itself, with nothing of the solver's state.
 *
 * Threads: one solver, one thread.  Ownership: all in the arena of the call.
 * Source: N. Weizenbaum, "PubGrub: Next-Generation Version Solving", 2018 (algorithm); unit
 * propagation and learned clauses as in CDCL solvers.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_SOLVE_H
#define BRISK_SRC_WORKLOAD_PKG_SOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/err.h>

/* Sorted, disjoint, not touching: [from, to). */
typedef struct solve_span {
    uint32_t from;
    uint32_t to;
} solve_span;

typedef struct solve_set {
    const solve_span *spans;
    uint32_t count; /* 0: nothing */
} solve_set;

typedef struct solve_need {
    uint32_t package;
    solve_set allowed; /* empty: must not be there (a conflict), when `conflict` */
    bool conflict;     /* not these versions, rather than one of them */
} solve_need;

typedef struct solve_provider {
    void *ctx;
    brisk_err (*count)(void *ctx, uint32_t package, uint32_t *ret);
    /* What version needs; *ret lives as long as the solve. */
    brisk_err (*needs)(void *ctx, uint32_t package, uint32_t version, const solve_need **ret,
                       uint32_t *ret_count);
    /* The version to try of those in `allowed`, never empty. */
    uint32_t (*prefer)(void *ctx, uint32_t package, solve_set allowed);
} solve_provider;

typedef struct solve_proof solve_proof;

typedef struct solve_result {
    bool solved;
    const uint32_t *versions; /* by package; UINT32_MAX: not needed.  When solved */
    uint32_t package_count;
    const solve_proof *proof; /* when not */
    uint64_t decisions;
    uint64_t conflicts;
} solve_result;

#endif /* BRISK_SRC_WORKLOAD_PKG_SOLVE_H */
