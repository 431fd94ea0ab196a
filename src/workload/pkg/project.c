/*
 * project.c -- the folder to resolve.
 *
 * package.json is read once, whole; what it says of dependencies, overrides and workspaces is in
 * manifest.c, project_overrides.c and project_workspaces.c.
 *
 * Threads: one at a time.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "workload/pkg/project_internal.h"

brisk_err pkg_project_read(const char *folder, brisk_arena *arena, pkg_project *ret,
                           brisk_errinfo *info)
{
    char real[PATH_MAX];
    if (realpath(folder, real) == NULL) {
        return brisk_errinfo_set_errno(info, errno, "%s", folder);
    }
    char *copy = brisk_arena_copy(arena, real, strlen(real));
    char *file = brisk_arena_printf(arena, "%s/package.json", strcmp(real, "/") == 0 ? "" : real);
    if (copy == NULL || file == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", folder);
    }
    const pkg_file_opts opts = {.size_max = PROJECT_FILE_BYTES_MAX};
    pkg_project project = {.folder = pkg_text_of(copy)};
    pkg_text text;
    const pkg_json *root;
    pkg_manifest *manifest;
    brisk_err err = pkg_file_read(file, &opts, arena, &text, info);
    err = err != BRISK_OK ? err : project_parse(text, file, arena, &root, info);
    err = err != BRISK_OK ? err : project_manifest(root, file, arena, &manifest, info);
    err = err != BRISK_OK ? err : project_overrides(root, file, arena, &project, info);
    err = err != BRISK_OK ? err : project_workspaces(root, file, arena, &project, info);
    if (err != BRISK_OK) {
        return err;
    }
    project.manifest = manifest;
    *ret = project;
    return BRISK_OK;
}

brisk_err pkg_project_read_text(pkg_text text, brisk_arena *arena, pkg_project *ret,
                                brisk_errinfo *info)
{
    static const char file[] = "package.json";
    pkg_project project = {.folder = PKG_TEXT("/project"), .text = text};
    const pkg_json *root;
    pkg_manifest *manifest;
    if (text.size > PROJECT_FILE_BYTES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d bytes", file,
                                 PROJECT_FILE_BYTES_MAX);
    }
    brisk_err err = project_parse(text, file, arena, &root, info);
    err = err != BRISK_OK ? err : project_manifest(root, file, arena, &manifest, info);
    err = err != BRISK_OK ? err : project_overrides(root, file, arena, &project, info);
    if (err != BRISK_OK) {
        return err;
    }
    if (manifest->workspaces.size > 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s: \"workspaces\" are folders, and there are none here", file);
    }
    project.manifest = manifest;
    *ret = project;
    return BRISK_OK;
}
