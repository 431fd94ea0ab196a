/*
 * semver.h -- versions and ranges as node-semver understands them.
 *
 * A range is a list of alternatives ("||"), each a list of comparators that must all hold.  Hyphen,
 * x-, tilde and caret ranges are comparators when parsed.  A version with a pre-release is in a
 * range only when a comparator of the same alternative has a pre-release on the same
 * major.minor.patch, unless SEMVER_PRERELEASES is given.
 *
 * Threads: plain data.  Ownership: texts are borrowed from what was parsed.
 * Sources: Semantic Versioning 2.0.0, https://semver.org; the grammar and the behaviour of
 * node-semver, https://github.com/npm/node-semver (facts, its test cases).
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_SEMVER_H
#define BRISK_SRC_WORKLOAD_PKG_SEMVER_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/err.h>

#include "workload/pkg/text.h"

enum {
    SEMVER_LENGTH_MAX = 256,         /* of a version's text */
    SEMVER_RANGE_LENGTH_MAX = 16384, /* of a range's; longer ones are invalid */
    SEMVER_COMPARATORS_MAX = 2048,   /* in a range; more are invalid */
    SEMVER_PRINT_MAX = 336,          /* of a printed version, with the NUL */
    SEMVER_LOOSE = 1 << 0,           /* "=v1.2.3beta" and the like: what npm accepts everywhere */
    SEMVER_PRERELEASES = 1 << 1,     /* pre-releases count as any version */
};

typedef struct semver {
    uint64_t major; /* each <= 2^53 - 1 */
    uint64_t minor;
    uint64_t patch;
    pkg_text prerelease; /* "beta.1"; empty: a release */
    pkg_text build;      /* "20130313"; compared by nothing but semver_compare_build */
} semver;

/* False: it is no version.  `flags` is 0 or SEMVER_LOOSE. */
bool semver_parse(pkg_text text, uint32_t flags, semver *ret);
/* < 0, 0, > 0 in order of precedence; build is ignored. */
int semver_compare(const semver *a, const semver *b);
int semver_compare_build(const semver *a, const semver *b);
/* "1.2.3-beta.1", without build, in the arena; size 0 with data NULL: out of memory. */
pkg_text semver_format(const semver *version, brisk_arena *arena);
/* Likewise into the caller's bytes, with a NUL; the size without it. */
size_t semver_print(const semver *version, char ret[SEMVER_PRINT_MAX]);

typedef enum semver_step {
    SEMVER_MAJOR,
    SEMVER_MINOR,
    SEMVER_PATCH,
    SEMVER_PREMAJOR,
    SEMVER_PREMINOR,
    SEMVER_PREPATCH,
    SEMVER_PRERELEASE,
    SEMVER_RELEASE, /* a pre-release becomes the release */
} semver_step;

typedef struct semver_increment_opts {
    uint32_t flags;      /* SEMVER_LOOSE: how `identifier` is judged */
    pkg_text identifier; /* "beta": 1.2.3 to 1.2.4-beta.0; "" for none */
    bool base_one;       /* begin to count at 1 instead of 0 */
    bool base_none;      /* no number: "1.2.4-beta"; needs an identifier */
} semver_increment_opts;

/* As `npm version STEP` does; build is dropped.  Texts in the arena.  Errors: INVALID, NOMEM. */
brisk_err semver_increment(const semver *version, semver_step step,
                           const semver_increment_opts *opts, brisk_arena *arena, semver *ret);
/* Everything below `step` becomes 0 (MAJOR, MINOR, PATCH), pre-releases stay with the PRE steps. */
semver semver_truncate(const semver *version, semver_step step);

typedef enum semver_op {
    SEMVER_ANY, /* everything that is no pre-release */
    SEMVER_EQ,
    SEMVER_LT,
    SEMVER_LE,
    SEMVER_GT,
    SEMVER_GE,
} semver_op;

typedef struct semver_comparator {
    semver_op op;
    semver version;
} semver_comparator;

typedef struct semver_range {
    const semver_comparator *items; /* of all alternatives, one after the other */
    const uint32_t *ends;           /* alternative i is items[ends[i - 1] .. ends[i]) */
    uint32_t count;                 /* of alternatives, at least 1 */
    uint32_t flags;                 /* SEMVER_... it was parsed with */
} semver_range;

/* In the arena.  Errors: INVALID (no range), NOMEM. */
brisk_err semver_range_parse(brisk_arena *arena, pkg_text text, uint32_t flags,
                             const semver_range **ret);
bool semver_range_has(const semver_range *range, const semver *version);
/* May any version satisfy both? */
bool semver_range_meets(const semver_range *a, const semver_range *b);
/* Does every version in `a` satisfy `b`? */
bool semver_range_within(const semver_range *a, const semver_range *b);
/* Is `version` above (below) everything in the range?  Not the same as !has: there are gaps. */
bool semver_range_is_below(const semver_range *range, const semver *version);
bool semver_range_is_above(const semver_range *range, const semver *version);
/* The range as comparators, ">=1.2.0 <2.0.0-0||3.0.0"; "*" for any.  data NULL: out of memory. */
pkg_text semver_range_format(const semver_range *range, brisk_arena *arena);

#endif /* BRISK_SRC_WORKLOAD_PKG_SEMVER_H */
