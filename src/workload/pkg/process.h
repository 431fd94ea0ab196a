/*
 * process.h -- a program that is run for its output, with limits: git.
 *
 * It has its own process group, no input, the environment it is given and nothing of ours but the
 * working folder; what it writes is bounded, and so are its time and the size of its files.  Beyond
 * a limit, or when cancelled, the whole group is killed.
 *
 * Threads: any.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_PROCESS_H
#define BRISK_SRC_WORKLOAD_PKG_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/err.h>

#include "workload/pkg/text.h"

enum { PKG_PROCESS_WORDS_MAX = 1000 }; /* of standard error that are kept */

typedef struct pkg_process_opts {
    char *const *argv;
    char *const *env;    /* "NAME=value", ended by NULL */
    size_t out_max;      /* bytes of standard output; more is LIMIT */
    uint64_t file_max;   /* bytes of a file that it writes; 0: no limit */
    uint64_t timeout_ns; /* beyond it: DEADLINE */
    bool (*cancelled)(void *ctx);
    void *ctx;
} pkg_process_opts;

typedef struct pkg_process_result {
    pkg_text out;                          /* in the arena */
    char words[PKG_PROCESS_WORDS_MAX + 1]; /* the end of standard error, printable */
    int status;                            /* exit code, or 128 and the signal */
} pkg_process_result;

/*
 * OK: it ran and ended, with whatever status.  Errors with `info`: NOT_FOUND (no such program), LIMIT,
 * DEADLINE, CANCELLED, NOMEM, IO.
 */
brisk_err pkg_process_run(const pkg_process_opts *opts, brisk_arena *arena, pkg_process_result *ret,
                          brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_PKG_PROCESS_H */
