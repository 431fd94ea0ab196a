/*
 * problem.h -- npm packages of which there may be one instance, as a problem for the solver.
 *
 * Each name is a package of the problem: its versions are the ones its package has and that may be
 * chosen (--before).  Number 0 is the root: the project, or a node of the tree whose dependencies
 * have to get along with each other.
 *
 *     the peers' problem   the root's dependencies, and the peers of whatever they are
 *     the flat problem     all dependencies of everything: one version of each name
 *
 * A package is asked of the source when a need names it.  What has no versions to choose from (git,
 * a folder) is one version that meets every need.  Of the project's overrides those are known that
 * say a name and a spec.
 *
 * Threads: one at a time.  Ownership: all in the arena; packages live as long as the source.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_PROBLEM_H
#define BRISK_SRC_WORKLOAD_PKG_PROBLEM_H

#include "workload/pkg/array.h"
#include "workload/pkg/ideal.h"
#include "workload/pkg/solve.h"

typedef struct pkg_variable {
    pkg_text name;
    const pkg_package *package; /* NULL: the root, or something without versions */
    uint32_t count;             /* of versions; 0: there is no such package */
    bool loaded;
    bool fixed; /* one version, which meets everything */
    solve_set usable;
    struct pkg_version_needs **needs; /* by version */
} pkg_variable;

typedef struct pkg_problem {
    const pkg_project *project;
    const pkg_source *source;
    const pkg_ideal_opts *opts;
    brisk_arena *arena;
    const pkg_manifest *root;
    const pkg_manifest *declared; /* less than `root`: the rest is npm's choice; NULL: all of it */
    bool is_project;              /* the root is: its devDependencies count */
    bool flat;
    pkg_text changed;    /* a dependency of the root that is exactly... */
    uint32_t changed_to; /* ... this version; SOLVE_NONE: none is changed */
    pkg_array variables; /* pkg_variable */
    uint32_t *buckets;
    uint32_t bucket_count;
    solve_provider provider;
    brisk_errinfo *info;
} pkg_problem;

/* Errors: NOMEM.  `info` is written when the solver or pkg_problem_* return an error. */
brisk_err pkg_problem_init(pkg_problem *problem, const pkg_manifest *root, bool flat);
/* The number of a name; it is made when it is new.  Errors: NOMEM. */
brisk_err pkg_problem_variable(pkg_problem *problem, pkg_text name, uint32_t *ret);
static inline pkg_variable *pkg_problem_at(const pkg_problem *problem, uint32_t id)
{
    return (pkg_variable *)problem->variables.items + id;
}
brisk_err pkg_problem_solve(pkg_problem *problem, solve_result *ret);
/* Verified, then told.  Errors: CORRUPT (it does not hold: a bug), NOMEM, the source's. */
brisk_err pkg_problem_tell(pkg_problem *problem, const solve_proof *proof, solve_sentences *ret);
/* Forget what the root needs: `changed` is another one now. */
void pkg_problem_change(pkg_problem *problem, pkg_text name, uint32_t version);

/* --- advice (advise.c) -------------------------------------------------------------------- */

typedef enum pkg_change {
    PKG_CHANGE_NONE,     /* nothing was found */
    PKG_CHANGE_VERSION,  /* a dependency of the project in another version */
    PKG_CHANGE_OVERRIDE, /* an override of a peer: nobody said that it works */
} pkg_change;

typedef struct pkg_advice {
    solve_sentences
        proof; /* verified; where single versions could get along, it names npm's choices as such */
    pkg_change change; /* was tried: with it there is a tree */
    pkg_text name;     /* VERSION: of the dependency; OVERRIDE: of the one whose peer it is */
    pkg_text from;     /* VERSION: the spec in package.json; OVERRIDE: the peer's name */
    pkg_text to;       /* VERSION: the version; OVERRIDE: the spec */
    const char *text;  /* a sentence; NULL for NONE */
    uint32_t tries;    /* trees that were built to find it */
} pkg_advice;

/*
 * Why can there be no tree, and what is the smallest change with which there is one?  `conflict` is
 * what pkg_ideal_build found.  Errors with `info`: those of the source, NOMEM, CANCELLED.
 */
brisk_err pkg_advise(const pkg_project *project, const pkg_source *source,
                     const pkg_ideal_opts *opts, const pkg_conflict *conflict, brisk_arena *arena,
                     pkg_advice *ret, brisk_errinfo *info);

/* --- what is missing (missing.c) ----------------------------------------------------------- */

/*
 * Of NOT_FOUND: the way from the project to the dependency that no version meets, as sentences; each
 * step is checked against what the packages say, and the registry is asked again.  None (count 0) where
 * something does not hold, or it is no registry's package.  Errors with `info`: NOMEM, CANCELLED.
 */
brisk_err pkg_missing_prove(const pkg_source *source, const pkg_ideal_opts *opts,
                            const pkg_conflict *conflict, brisk_arena *arena, solve_sentences *ret,
                            brisk_errinfo *info);

/* --- one version of each name (flat.c) ---------------------------------------------------- */

/*
 * `--flat`: all in the project's own node_modules.  Errors with `info`: CONFLICT (*proof says why),
 * those of the source, UNSUPPORTED (workspaces), NOMEM.
 */
brisk_err pkg_flat_build(const pkg_project *project, const pkg_source *source,
                         const pkg_ideal_opts *opts, brisk_arena *arena, pkg_tree *ret,
                         solve_sentences *proof, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_PROBLEM_H */
