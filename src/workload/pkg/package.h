/*
 * package.h -- everything that is known of one package: its versions and tags; and where packages
 * come from.
 *
 * A package is read-only and position-independent memory (a record of the store's mapping, or one
 * that was just parsed): its accessors check what they read, so that a damaged record gives an
 * error and never a wild read.
 *
 * Versions are sorted by precedence, ascending; of equal ones the one that was published as text
 * first.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_PACKAGE_H
#define BRISK_SRC_WORKLOAD_PKG_PACKAGE_H

#include <stdint.h>

#include "workload/pkg/manifest.h"

typedef struct pkg_package pkg_package;

#define PKG_NO_VERSION UINT32_MAX

/*
 * The package in `size` bytes at `data`, which is aligned to 8 and stays the owner's.
 * Errors: CORRUPT (these are no record of this format).
 */
brisk_err pkg_package_open(const void *data, size_t size, const pkg_package **ret);
size_t pkg_package_bytes(const pkg_package *package); /* from its address on */
pkg_text pkg_package_name(const pkg_package *package);
/* Versions whose texts are none, even loosely: they were left out. */
uint32_t pkg_package_left_out(const pkg_package *package);
uint32_t pkg_package_count(const pkg_package *package); /* of versions */
/* What choosing needs, without decoding a manifest: cheap. `index` < count. */
typedef struct pkg_version {
    semver semver;
    pkg_text text;        /* as published */
    pkg_text engine_node; /* "" when none */
    int64_t published_ms; /* INT64_MIN: unknown */
    bool deprecated;
    bool loose; /* not a strict version: sorts where loose parsing puts it */
} pkg_version;
void pkg_package_version(const pkg_package *package, uint32_t index, pkg_version *ret);
/* The version that tag names, or PKG_NO_VERSION. */
uint32_t pkg_package_tag(const pkg_package *package, pkg_text tag);
/* The version of exactly this text, or PKG_NO_VERSION. */
uint32_t pkg_package_find(const pkg_package *package, pkg_text version);
/* Everything of a version, in the arena; texts may point into the package.  Errors: CORRUPT, NOMEM. */
brisk_err pkg_package_manifest(const pkg_package *package, uint32_t index, brisk_arena *arena,
                               const pkg_manifest **ret);

/*
 * Where a resolution gets packages: a store, a network, a test's table.  Packages live as long as
 * the source.
 */
typedef struct pkg_source {
    void *ctx;
    /*
     * May wait for the network.  Errors with `info`: NOT_FOUND (there is no such package), IO,
     * DEADLINE, CORRUPT, CANCELLED, PERMISSION, NOMEM.
     */
    brisk_err (*get)(void *ctx, pkg_text name, const pkg_package **ret, brisk_errinfo *info);
    /*
     * `name` will be asked for, in a version of `range` (NULL: not known; it is not kept): a hint that
     * never waits.
     * `peers_only`: of what it needs only its peers will be asked for.
     */
    void (*want)(void *ctx, pkg_text name, const semver_range *range, bool peers_only);
    /*
     * No version that `get` gave of `name` fits: ask anew where that may be outdated; not `required`:
     * only where it was not confirmed a moment ago.  *ret is what get gives from now on, often the
     * same.  Errors as get's.  NULL: get is always up to date.
     */
    brisk_err (*refresh)(void *ctx, pkg_text name, bool required, const pkg_package **ret,
                         brisk_errinfo *info);
} pkg_source;

/* How npm chooses a version (npm-pick-manifest's rules; see pick.c). */
typedef struct pkg_pick_opts {
    int64_t before_ms;                /* only versions published by then; INT64_MAX: all */
    semver node;                      /* for engines; zero: engines are ignored */
    bool prereleases;                 /* --allow-prereleases */
    bool highest;                     /* --resolution highest: dist-tags.latest is no favourite */
    const pkg_text *min_age_excluded; /* names to which before_ms does not apply */
    uint32_t min_age_excluded_count;
} pkg_pick_opts;

typedef struct pkg_picked {
    uint32_t index; /* PKG_NO_VERSION: none fits */
    uint32_t
        too_young; /* the version that would have been taken without before_ms, or PKG_NO_VERSION */
} pkg_picked;

/*
 * `spec` is a range, a version or a tag.  `range` is the parsed range, or NULL for a tag or to
 * have it parsed here.  Errors: NOT_FOUND (no version fits: ETARGET), INVALID, NOMEM; with NOT_FOUND
 * *ret says what was too young.  `scratch` is for parsing alone: nothing of it has to be kept.
 */
brisk_err pkg_pick(const pkg_package *package, pkg_text spec, const semver_range *range,
                   const pkg_pick_opts *opts, brisk_arena *scratch, pkg_picked *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_PACKAGE_H */
