/*
 * remote.c -- behind remote.h: which kind it is, and its package.json as a manifest.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/remote_internal.h"

#include <string.h>

#include <brisk/file.h>
#include <brisk/hash.h>

#include "workload/pkg/jsontext.h"

brisk_err pkg_remote_create(const pkg_remote_opts *opts, pkg_remote **ret)
{
    brisk_arena *arena;
    brisk_err err = brisk_arena_create(NULL, &arena);
    if (err != BRISK_OK) {
        return err;
    }
    pkg_remote *remote = brisk_arena_calloc(arena, 1, sizeof *remote);
    if (remote == NULL) {
        brisk_arena_destroy(arena);
        return BRISK_ERR_NOMEM;
    }
    remote->opts = *opts;
    remote->arena = arena;
    *ret = remote;
    return BRISK_OK;
}

void pkg_remote_destroy(pkg_remote *remote)
{
    if (remote != NULL) {
        brisk_arena_destroy(remote->arena); /* it lies in there, too */
    }
}

char *remote_place(pkg_remote *remote, const char *what, pkg_text key)
{
    brisk_errinfo info;
    if (remote->opts.cache == NULL) {
        return NULL;
    }
    char *folder = brisk_arena_printf(remote->arena, "%s/%s", remote->opts.cache, what);
    if (folder == NULL || brisk_file_make_dirs(folder, &info) != BRISK_OK) {
        return NULL;
    }
    brisk_hash128 hash = brisk_hash128_of(key.data, key.size, 0);
    return brisk_arena_printf(remote->arena, "%s/%016llx%016llx", folder,
                              (unsigned long long)hash.hi, (unsigned long long)hash.lo);
}

/* --- manifests -------------------------------------------------------------------------------- */

/* What npm runs when it installs from git. */
static bool has_build(pkg_remote *remote, pkg_text text)
{
    static const char *const scripts[] = {"prepare", "prepack",    "build",
                                          "install", "preinstall", "postinstall"};
    const pkg_json *root = NULL;
    brisk_errinfo info;
    if (pkg_json_parse(text, remote->arena, &root, &info) != BRISK_OK) {
        return false;
    }
    const pkg_json *all = pkg_json_get(root, "scripts");
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        if (all != NULL && pkg_json_get_text(all, scripts[i]).size > 0) {
            return true;
        }
    }
    return false;
}

static brisk_err note_build(pkg_remote *remote, pkg_text name)
{
    if (remote->note_count == PKG_REMOTE_NOTES_MAX) {
        return BRISK_OK;
    }
    if (remote->notes == NULL) {
        remote->notes =
            brisk_arena_calloc(remote->arena, PKG_REMOTE_NOTES_MAX, sizeof *remote->notes);
    }
    char *copy = brisk_arena_copy(remote->arena, name.data, name.size);
    if (remote->notes == NULL || copy == NULL) {
        return BRISK_ERR_NOMEM;
    }
    remote->notes[remote->note_count++] = (pkg_text){.data = copy, .size = name.size};
    return BRISK_OK;
}

static brisk_err manifest_of(pkg_remote *remote, pkg_text name, const remote_found *found,
                             const pkg_manifest **ret, brisk_errinfo *info)
{
    const pkg_manifest *read = NULL;
    brisk_err err =
        pkg_manifest_read(found->manifest, "its package.json", remote->arena, &read, info);
    if (err != BRISK_OK) {
        return err;
    }
    pkg_manifest *m = brisk_arena_alloc(remote->arena, sizeof *m);
    if (m == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    *m = *read;
    m->tarball = found->resolved;
    m->integrity = found->integrity;
    m->name = m->name.size > 0 ? m->name : name;
    m->flags |= found->has_shrinkwrap ? PKG_HAS_SHRINKWRAP : 0;
    m->flags |= found->has_gyp ? PKG_HAS_INSTALL_SCRIPT : 0;
    *ret = m;
    return BRISK_OK;
}

brisk_err pkg_remote_get(pkg_remote *remote, pkg_text name, const pkg_spec *spec,
                         const pkg_manifest **ret, brisk_errinfo *info)
{
    remote_found found = {.integrity = PKG_TEXT("")};
    remote->stats.asked++;
    brisk_err err = spec->type == PKG_SPEC_GIT ? remote_git(remote, spec->wanted, &found, info)
                                               : remote_tarball(remote, spec, &found, info);
    err = err == BRISK_OK ? manifest_of(remote, name, &found, ret, info) : err;
    if (err == BRISK_OK && spec->type == PKG_SPEC_GIT && has_build(remote, found.manifest)) {
        err = note_build(remote, name);
    }
    return err;
}

pkg_remote_stats pkg_remote_read_stats(const pkg_remote *remote)
{
    return remote->stats;
}

uint32_t pkg_remote_note_count(const pkg_remote *remote)
{
    return remote->note_count;
}

pkg_text pkg_remote_note(const pkg_remote *remote, uint32_t index)
{
    return remote->notes[index];
}
