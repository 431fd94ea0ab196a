/*
 * lockfile.c -- finding and opening the lock behind lockfile.h.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/lockfile.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"npm-shrinkwrap.json", "package-lock.json"};
enum { NAMES = sizeof names / sizeof names[0] };

/* The path of the lock that `where` means, in the arena; NULL: out of memory. */
static const char *find(brisk_arena *arena, const char *where)
{
    struct stat st;
    const char *folder = where != NULL ? where : ".";
    if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return brisk_arena_copy(arena, folder, strlen(folder));
    }
    const char *path = NULL;
    for (int i = 0; i < NAMES; i++) {
        path = where == NULL ? names[i] : brisk_arena_printf(arena, "%s/%s", where, names[i]);
        if (path == NULL || access(path, F_OK) == 0) {
            break;
        }
    }
    return path;
}

static brisk_err open_in(const char *where, pkg_lockfile *file, brisk_errinfo *info)
{
    file->path = find(file->arena, where);
    if (file->path == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    brisk_err err = brisk_file_view_open(file->path, PKG_LOCK_BYTES_MAX, &file->view, info);
    if (err == BRISK_ERR_NOT_FOUND) {
        return brisk_errinfo_set(info, err, "%s: there is no lock; `brisk pkg resolve` makes one",
                                 file->path);
    }
    if (err != BRISK_OK) {
        return err;
    }
    brisk_errinfo why = {0};
    pkg_text text = {.data = (const char *)file->view.data, .size = file->view.size};
    err = pkg_lock_read(text, file->arena, &file->tree, &file->format, &why);
    return err == BRISK_OK ? err : brisk_errinfo_set(info, err, "%s: %s", file->path, why.text);
}

brisk_err pkg_lockfile_open(const char *where, pkg_lockfile *ret, brisk_errinfo *info)
{
    pkg_lockfile file = {0};
    brisk_err err = brisk_arena_create(NULL, &file.arena);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    err = open_in(where, &file, info);
    if (err != BRISK_OK) {
        pkg_lockfile_close(&file);
        return err;
    }
    *ret = file;
    return BRISK_OK;
}

void pkg_lockfile_close(pkg_lockfile *file)
{
    brisk_file_view_close(&file->view);
    brisk_arena_destroy(file->arena);
    *file = (pkg_lockfile){0};
}
