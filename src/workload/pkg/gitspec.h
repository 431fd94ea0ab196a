/*
 * gitspec.h -- what a dependency's text says of a git repository: where it is, which commit.
 *
 * A repository of a known host has one name however it is written ("owner/repo", "github:owner/repo",
 * "git+https://github.com/owner/repo.git"): npm records "git+ssh://git@github.com/owner/repo.git".
 * Any other is recorded as it is written.
 *
 * Everything here is hostile: what reaches git's command line is checked here.  Nothing that begins
 * with '-', has white space, a control character, a quote or a second helper ("ext::") in it is
 * taken for an address or a commit.
 *
 * Threads: no state.  Source: npm's documentation of package specs; behaviour of npm-package-arg 13
 * and hosted-git-info 9 in npm 11.19.1.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_GITSPEC_H
#define BRISK_SRC_WORKLOAD_PKG_GITSPEC_H

#include "workload/pkg/project.h"

enum {
    PKG_GIT_HASH_SIZE = 40, /* digits of a commit */
    PKG_GIT_REFS_MAX = 1 << 20,
};

/* Of spec.c: the parts of an address at a known host, as written. */
typedef struct pkg_hosted {
    int host; /* index among the known ones */
    bool shortcut;
    pkg_text protocol; /* with its colon; "" with a shortcut */
    pkg_text auth;     /* "user:password" */
    pkg_text path;     /* without fragment and query */
} pkg_hosted;

/* Is `spec` a repository of a known host? */
bool pkg_hosted_find(pkg_text spec, pkg_hosted *ret);

typedef struct pkg_git {
    bool hosted;
    bool local;          /* git+file: */
    pkg_text base;       /* as recorded, without '#' and commit */
    pkg_text urls[2];    /* for git: the second when the first fails, or "" */
    pkg_text committish; /* "": the default branch */
    pkg_text range_text;
    const semver_range *range; /* of tags; NULL: none */
    pkg_text subdir;           /* of the package, without slashes around; "" is the top */
} pkg_git;

/* `spec` is of type PKG_SPEC_GIT.  Errors with `info`: INVALID (not taken, and why), NOMEM. */
brisk_err pkg_git_parse(pkg_text spec, brisk_arena *arena, pkg_git *ret, brisk_errinfo *info);
/* Do both name one repository (whatever the commit)?  Where `wanted` has a whole commit: and that? */
bool pkg_git_same(pkg_text wanted, pkg_text resolved);
/* Are the parts behind '#' the same? */
bool pkg_git_same_commit(pkg_text a, pkg_text b);
bool pkg_git_is_hash(pkg_text text);

/*
 * Which commit `git` means, by the lines of `git ls-remote`: 40 digits in them, or NOT_FOUND (no ref
 * of that name, no version that fits).  *ret_ref is the ref's full name.  Errors: CORRUPT (a line that
 * is none), LIMIT, NOMEM.
 */
brisk_err pkg_git_pick(pkg_text lines, const pkg_git *git, brisk_arena *scratch, pkg_text *ret_hash,
                       pkg_text *ret_ref);

#endif /* BRISK_SRC_WORKLOAD_PKG_GITSPEC_H */
