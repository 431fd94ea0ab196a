/*
 * solve.h -- PubGrub: one version of each package, or a proof that there is none.
 *
 * Packages and versions are numbers.  What a package can be is one of count + 1 values: version
 * 0 .. count - 1 (ascending in the provider's order) or `count`, which stands for "not there".  A
 * set of values is a set of bits.  So a dependency, an alternative, a conflict and an optional peer
 * are the same thing, a need: where the one who needs is chosen, one of the terms must hold.
 *
 *     a needs b >= 2 or c      {b: versions >= 2} or {c: every version}
 *     a conflicts with b < 2   {b: versions >= 2, and not there}
 *
 * A weak need (Recommends) is met where it can be, in order, when everything else is, and never
 * makes a problem impossible.
 *
 * Which package is decided next follows from the order of the needs alone, breadth first from the
 * root; which version, the provider says.  The same problem gives the same answer.
 *
 * A failure is a derivation: each step is a need, or follows from two earlier steps.  The verifier
 * (solve_proof_check) looks at the provider and at sets only, at nothing of the solver.
 *
 * Threads: one solver, one thread.  Ownership: all in the arena of the call.
 * Source: N. Weizenbaum, "PubGrub: Next-Generation Version Solving", 2018 (algorithm); watched terms
 * and learned clauses as in M. Moskewicz et al., "Chaff", DAC 2001, here over sets of values.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_SOLVE_H
#define BRISK_SRC_WORKLOAD_PKG_SOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/err.h>

#define SOLVE_NONE UINT32_MAX /* no version */

enum {
    SOLVE_VERSIONS_MAX = 1 << 20,  /* of one package; more are refused (LIMIT) */
    SOLVE_PACKAGES_MAX = 1 << 24,  /* numbers of packages are below */
    SOLVE_CONFLICTS_MAX = 1 << 20, /* after so many the solver gives up (LIMIT) */
    SOLVE_WIDEN_MAX = 4096,        /* versions that are asked for the same need */
};

/*
 * Values of one package: bit v of word v / 64.  A package of up to 63 versions has its one word
 * here, another one points to solve_words(count) of them; bits above `count` are clear.
 */
typedef union solve_set {
    uint64_t bits;
    const uint64_t *words;
} solve_set;

static inline uint32_t solve_words(uint32_t count)
{
    return count / 64 + 1;
}

typedef struct solve_term {
    uint32_t package;
    solve_set set;
} solve_term;

typedef struct solve_need {
    const solve_term *any_of; /* none: what has this need cannot be chosen */
    uint32_t count;
} solve_need;

typedef struct solve_needs {
    const solve_need *hard;
    const solve_need *weak;
    uint32_t hard_count;
    uint32_t weak_count;
} solve_needs;

typedef struct solve_provider {
    void *ctx;
    /* How many versions there are; asked once, before anything else of the package. */
    brisk_err (*count)(void *ctx, uint32_t package, uint32_t *ret);
    /* What a version needs.  It lives as long as the solve, and every call gives the same. */
    brisk_err (*needs)(void *ctx, uint32_t package, uint32_t version, solve_needs *ret);
    /* The version to try, one of `allowed`, which has one and not the value "not there". */
    uint32_t (*prefer)(void *ctx, uint32_t package, solve_set allowed);
    /* Look for the same need in neighbouring versions: shorter proofs, more calls of `needs`. */
    bool widen;
} solve_provider;

typedef enum solve_step_kind {
    SOLVE_STEP_ROOT,    /* the root's version must be chosen */
    SOLVE_STEP_NEED,    /* `package` has this need, in every version of its term */
    SOLVE_STEP_RESOLVE, /* follows from steps a and b, whatever `package` is */
} solve_step_kind;

/* These terms never hold all at once.  Sorted by package, at most one each, no set full or empty. */
typedef struct solve_step {
    solve_step_kind kind;
    uint32_t package;
    uint32_t a; /* RESOLVE: an earlier step.  NEED: one of the versions */
    uint32_t b; /* RESOLVE: an earlier step.  NEED: which of that version's hard needs */
    const solve_term *terms;
    uint32_t term_count;
} solve_step;

typedef struct solve_proof {
    const solve_step *steps; /* the last one has no terms: there is no answer */
    uint32_t count;
    uint32_t root;
    uint32_t root_version;
} solve_proof;

typedef struct solve_result {
    bool solved;
    const uint32_t *versions; /* by package; SOLVE_NONE: not there.  When solved */
    uint32_t package_count;   /* of `versions`; greater numbers are not there */
    const uint32_t *order;    /* the packages that are there, in the order of their choice */
    uint32_t order_count;
    const solve_proof *proof; /* when not solved */
    uint64_t decisions;
    uint64_t conflicts;
    uint64_t nogoods; /* needs read and rules learned */
} solve_result;

/*
 * Choose `version` of `root` and what it needs.  `conflicts_max` 0: SOLVE_CONFLICTS_MAX.
 * Errors: NOMEM, LIMIT, INVALID (a provider that contradicts itself), the provider's.
 */
brisk_err solve_run(const solve_provider *provider, uint32_t root, uint32_t version,
                    uint64_t conflicts_max, brisk_arena *arena, solve_result *ret);

/*
 * Does every step of the proof follow, and does it end in "no answer"?
 * Errors: CORRUPT (`info` names the step), NOMEM, the provider's.
 */
brisk_err solve_proof_check(const solve_proof *proof, const solve_provider *provider,
                            brisk_arena *scratch, brisk_errinfo *info);

/* How things are called when a proof is told. */
typedef struct solve_words_of {
    void *ctx;
    /* "left-pad 1.2 or 1.3", in the arena: versions in `set` (which may also have "not there"). */
    const char *(*versions)(void *ctx, uint32_t package, solve_set set, brisk_arena *arena);
    /* "foo (>= 2) | bar": how the need was written, and whether it forbids.  NULL: from its sets. */
    const char *(*need)(void *ctx, uint32_t package, uint32_t version, uint32_t need,
                        brisk_arena *arena);
} solve_words_of;

typedef struct solve_sentences {
    const char *const *items; /* each ends in a full stop */
    uint32_t count;
} solve_sentences;

/* The proof as sentences, the conclusion last.  Errors: NOMEM, the provider's. */
brisk_err solve_proof_tell(const solve_proof *proof, const solve_provider *provider,
                           const solve_words_of *words, brisk_arena *arena, solve_sentences *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_SOLVE_H */
