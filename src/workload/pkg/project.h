/*
 * project.h -- the folder to resolve: package.json, its workspaces, overrides, and .npmrc.
 *
 * Threads: one at a time.  Ownership: everything lives in the arena.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_PROJECT_H
#define BRISK_SRC_WORKLOAD_PKG_PROJECT_H

#include "workload/pkg/manifest.h"

/* One rule of "overrides": inside what it applies, and what becomes of the dependency. */
typedef struct pkg_override pkg_override;
struct pkg_override {
    pkg_text name;
    pkg_text key_spec; /* of "name@range" keys; "" or "*": any */
    const semver_range *key_range;
    pkg_text value; /* the new spec, "$refs" resolved; "": none at this level ('.' missing) */
    const pkg_override *children; /* rules below this one */
    uint32_t child_count;
    uint32_t line;
};

typedef struct pkg_workspace {
    pkg_text path; /* relative, "/" between, no "./" */
    const pkg_manifest *manifest;
} pkg_workspace;

typedef struct pkg_project {
    pkg_text folder; /* absolute */
    const pkg_manifest *manifest;
    const pkg_workspace *workspaces; /* sorted by path */
    uint32_t workspace_count;
    const pkg_override *overrides;
    uint32_t override_count;
    pkg_text text; /* package.json that came without a folder; data NULL: it has one */
} pkg_project;

/* Errors with `info` (file, line): NOT_FOUND, CORRUPT, INVALID (a field), IO, PERMISSION, LIMIT. */
brisk_err pkg_project_read(const char *folder, brisk_arena *arena, pkg_project *ret,
                           brisk_errinfo *info);
/*
 * Of a package.json that comes from a stranger, without a folder: nothing else is read, and what
 * lies in folders of its own (workspaces) is refused.  `text` is borrowed.  Errors likewise.
 */
brisk_err pkg_project_read_text(pkg_text text, brisk_arena *arena, pkg_project *ret,
                                brisk_errinfo *info);
/* One package.json; `file` is for messages. */
brisk_err pkg_manifest_read(pkg_text text, const char *file, brisk_arena *arena,
                            const pkg_manifest **ret, brisk_errinfo *info);

/* --- specs -------------------------------------------------------------------------------- */

typedef enum pkg_spec_type {
    PKG_SPEC_RANGE, /* or a version */
    PKG_SPEC_TAG,
    PKG_SPEC_ALIAS, /* npm:name@spec */
    PKG_SPEC_GIT,
    PKG_SPEC_TARBALL, /* an URL */
    PKG_SPEC_FILE,    /* a local tarball */
    PKG_SPEC_FOLDER,  /* file: or link: to a folder */
    PKG_SPEC_WORKSPACE,
    PKG_SPEC_INVALID,
} pkg_spec_type;

typedef struct pkg_spec {
    pkg_spec_type type;
    pkg_text name;   /* whose packument is asked for: of an alias the other name */
    pkg_text wanted; /* the range, version, tag, URL or path; of WORKSPACE what is behind it */
    const semver_range *range;     /* of RANGE, and of an ALIAS to a range */
    const semver_range *git_range; /* of GIT with "#semver:" */
    bool is_version;               /* wanted is one exact version */
} pkg_spec;

/* As npm-package-arg reads `name`: `spec`.  Errors: NOMEM. A bad one has type INVALID. */
brisk_err pkg_spec_parse(pkg_text name, pkg_text spec, brisk_arena *arena, pkg_spec *ret);
/* npm's rule for names that may be asked for: length, characters, scope. */
bool pkg_name_is_valid(pkg_text name);
/* Tags may be anything that an URL takes as it is; a text that is no range and no tag is invalid. */
bool pkg_tag_is_valid(pkg_text tag);

/* --- .npmrc ------------------------------------------------------------------------------- */

typedef struct pkg_registry {
    pkg_text scope; /* "@scope", or "" for the default */
    pkg_text url;   /* ends with '/', no user and password in it; "": none is configured */
    pkg_text token; /* secret: for this host and path only; "" when none */
    bool basic;     /* token is base64 of user:password (_auth) */
} pkg_registry;

/* What may be sent to URLs that begin with a host and path. */
typedef struct pkg_auth {
    pkg_text prefix; /* "//host:port/path/", or without the last '/' */
    pkg_text token;  /* secret */
    bool basic;
} pkg_auth;

typedef struct pkg_config {
    const pkg_registry *registries; /* the default first: there always is one */
    uint32_t registry_count;
    const pkg_auth *auths;
    uint32_t auth_count;
    pkg_text ca_file;
    pkg_text proxy;
    pkg_text https_proxy;
    pkg_text no_proxy;
    pkg_text before; /* a date; "" when none; not together with min_age_minutes */
    bool legacy_peer_deps;
    bool strict_peer_deps;
    bool strict_ssl;
    bool omit_resolved; /* omit-lockfile-registry-resolved */
    bool prefer_dedupe;
    uint32_t fetch_retries;
    uint32_t fetch_timeout_ms;
    uint32_t max_sockets;
    uint32_t min_age_minutes; /* min-release-age, days in npm */
    pkg_texts min_age_excluded;
} pkg_config;

/*
 * Project's, user's and global .npmrc and npm_config_* of the environment, ${VAR} expanded: the
 * environment counts most, then the project.  Errors with `info` (file, line; never a secret):
 * CORRUPT (a value), INVALID (no regular file), IO, PERMISSION, LIMIT, CONFLICT, NOMEM.
 * `folder` NULL: there is no project's.
 */
brisk_err pkg_config_read(const char *folder, brisk_arena *arena, pkg_config *ret,
                          brisk_errinfo *info);
/* Likewise with another environment than the process's: "NAME=value", ended by NULL. */
brisk_err pkg_config_read_with(const char *folder, char *const *environment, brisk_arena *arena,
                               pkg_config *ret, brisk_errinfo *info);
/* Where `name` is asked for: its scope's registry, or the default. */
const pkg_registry *pkg_config_registry(const pkg_config *config, pkg_text name);
/*
 * What may be sent to `url`, or NULL: the longest prefix of host and path decides.  http: gets
 * something only where a registry is configured with http: at that host.
 */
const pkg_auth *pkg_config_auth(const pkg_config *config, pkg_text url);

#endif /* BRISK_SRC_WORKLOAD_PKG_PROJECT_H */
