/*
 * manifest.h -- what one version of a package says of itself, wherever it was read: a packument, a
 * package.json, a lock.
 *
 * Invariant: `deps` is sorted by name, then kind; a name has at most one entry of the kinds PROD,
 * OPTIONAL and PEER (an optional one replaces a dependency of the same name, as in npm), and may
 * have one DEV or PEER entry beside it.
 *
 * Threads: read by any once made.  Ownership: everything lives as long as the arena, the mapping or
 * the source it was made in; who gives one says which.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_MANIFEST_H
#define BRISK_SRC_WORKLOAD_PKG_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "workload/pkg/semver.h"
#include "workload/pkg/text.h"

typedef enum pkg_dep_kind {
    PKG_DEP_PROD,
    PKG_DEP_OPTIONAL,
    PKG_DEP_PEER,
    PKG_DEP_PEER_OPTIONAL, /* peerDependenciesMeta says optional: constrains, is not installed */
    PKG_DEP_DEV,
    PKG_DEP_WORKSPACE, /* of the root: a folder of its own */
} pkg_dep_kind;

typedef struct pkg_dep {
    pkg_text name;             /* under which it is looked up in node_modules */
    pkg_text spec;             /* as written: "^1.2.0", "npm:other@1", "git+ssh://...", "latest" */
    const semver_range *range; /* parsed, where spec is a range or a version; NULL otherwise */
    uint64_t name_hash;        /* pkg_text_hash(name) */
    pkg_dep_kind kind;
} pkg_dep;

enum {
    PKG_HAS_INSTALL_SCRIPT = 1 << 0,
    PKG_HAS_SHRINKWRAP = 1 << 1,
    PKG_DEPRECATED = 1 << 2,
    PKG_PRIVATE = 1 << 3,
    PKG_BUNDLES_ALL = 1 << 4, /* bundleDependencies: true */
};

typedef struct pkg_texts {
    const pkg_text *items;
    uint32_t count;
} pkg_texts;

typedef struct pkg_manifest {
    pkg_text name;
    pkg_text version; /* as published; "" in a package.json without one */
    semver semver;    /* parsed loosely; zero when version is none */
    const pkg_dep *deps;
    uint32_t dep_count;
    uint32_t flags;    /* PKG_... */
    pkg_texts bundled; /* names */
    pkg_texts os;
    pkg_texts cpu;
    pkg_texts libc;
    pkg_text engine_node; /* engines.node; "" when none */
    pkg_text engine_npm;
    pkg_text engines;     /* the raw JSON object, for the lock; "" when none */
    pkg_text bin;         /* raw JSON, object or string; "" when none */
    pkg_text license;     /* plain text; "" when none or not in the (abbreviated) packument */
    pkg_text license_raw; /* raw JSON of one that is neither a text nor an object with a "type" */
    pkg_text funding;     /* raw JSON */
    pkg_text peer_meta;   /* raw JSON of peerDependenciesMeta: may name what is no peer; or "" */
    pkg_text accept;      /* raw JSON of acceptDependencies */
    pkg_text workspaces;  /* raw JSON, array or object */
    pkg_text deprecated;  /* the message; meaningful with PKG_DEPRECATED */
    pkg_text integrity;   /* "sha512-..." or "sha1-..." */
    pkg_text tarball;     /* URL */
    int64_t published_ms; /* since 1970; INT64_MIN: unknown (abbreviated packuments have no time) */
} pkg_manifest;

#endif /* BRISK_SRC_WORKLOAD_PKG_MANIFEST_H */
