/*
 * file_read.h -- a small file that somebody else may be writing, read whole.
 *
 * Threads: no state.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_FILE_READ_H
#define BRISK_SRC_WORKLOAD_PKG_FILE_READ_H

#include <brisk/arena.h>
#include <brisk/err.h>

#include "workload/pkg/text.h"

typedef struct pkg_file_opts {
    size_t size_max;   /* a larger file is refused */
    bool follow_links; /* else a symbolic link is refused */
} pkg_file_opts;

/*
 * The bytes, and a NUL behind them, in the arena.
 * Errors with `info` (the path, and what to do): NOT_FOUND, PERMISSION, IO, INVALID (no regular
 * file), LIMIT (too large), CONFLICT (it changed whenever it was read), NOMEM.
 */
brisk_err pkg_file_read(const char *path, const pkg_file_opts *opts, brisk_arena *arena,
                        pkg_text *ret, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_FILE_READ_H */
