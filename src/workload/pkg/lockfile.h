/*
 * lockfile.h -- the lock a command works on: found, read, and named in every message.
 *
 * Threads: one at a time.  Ownership: one owner; everything goes at close.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_LOCKFILE_H
#define BRISK_SRC_WORKLOAD_PKG_LOCKFILE_H

#include <brisk/command.h>
#include <brisk/file.h>

#include "workload/pkg/lock.h"

typedef struct pkg_lockfile {
    const char *path; /* as it was opened; in the arena */
    brisk_file_view view;
    brisk_arena *arena;
    pkg_tree tree;
    pkg_lock_format format;
} pkg_lockfile;

/*
 * `where` is a lock or a folder with one (npm-shrinkwrap.json before package-lock.json, as npm
 * has it); NULL is the current folder.  Errors with `info`, which names the file: as pkg_lock_read,
 * and NOT_FOUND, PERMISSION, IO.
 */
brisk_err pkg_lockfile_open(const char *where, pkg_lockfile *ret, brisk_errinfo *info);
/* A zeroed one is accepted. */
void pkg_lockfile_close(pkg_lockfile *file);

#endif /* BRISK_SRC_WORKLOAD_PKG_LOCKFILE_H */
