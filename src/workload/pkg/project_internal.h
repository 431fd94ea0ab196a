/*
 * project_internal.h -- what the readers of a project share.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_PROJECT_INTERNAL_H
#define BRISK_SRC_WORKLOAD_PKG_PROJECT_INTERNAL_H

#include <brisk/text.h>

#include "workload/pkg/file_read.h"
#include "workload/pkg/jsontext.h"
#include "workload/pkg/project.h"

enum {
    PROJECT_FILE_BYTES_MAX = 16 << 20,
    PROJECT_QUOTED_MAX = BRISK_TEXT_QUOTED_MAX,
    PROJECT_OVERRIDES_MAX = 10000,
    PROJECT_WORKSPACES_MAX = 10000,
};

/* Text of a file for a message: cut, and nothing in it that a terminal obeys. */
const char *project_quote(char buffer[PROJECT_QUOTED_MAX], pkg_text text);
/* A JSON object, or an error that names `file` and line. */
brisk_err project_parse(pkg_text text, const char *file, brisk_arena *arena, const pkg_json **ret,
                        brisk_errinfo *info);
brisk_err project_manifest(const pkg_json *root, const char *file, brisk_arena *arena,
                           pkg_manifest **ret, brisk_errinfo *info);
/* "overrides" of the root's package.json. */
brisk_err project_overrides(const pkg_json *root, const char *file, brisk_arena *arena,
                            pkg_project *project, brisk_errinfo *info);
/* "workspaces" of it: finds the folders and reads their package.json. */
brisk_err project_workspaces(const pkg_json *root, const char *file, brisk_arena *arena,
                             pkg_project *project, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_PROJECT_INTERNAL_H */
