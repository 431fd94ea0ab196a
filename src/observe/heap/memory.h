/*
 * memory.h -- `brisk profile --memory`, for the profiler's command.
 *
 * cmd_memory.c options and what is delivered; run.c starts or finds what is watched; plain.c a process without the
 * sampler; keep.c leaks as opportunities.
 */
#ifndef BRISK_SRC_OBSERVE_HEAP_MEMORY_H
#define BRISK_SRC_OBSERVE_HEAP_MEMORY_H

#include <brisk/command.h>

#include "observe/heap/report.h"
#include "observe/heap/watch.h"

brisk_exit prof_run_memory(const brisk_invocation *in);
/* Whether a file is a heap profile, and its model (values as view.h tells). */
bool heap_is_profile(const char *path);
BRISK_NODISCARD brisk_err heap_open_model(const char *path, prof_model **ret, brisk_errinfo *info);

/* --- run.c ----------------------------------------------------------------------------------- */

typedef struct heap_run_opts {
    char *const *argv; /* a command, ends in NULL; or: */
    uint32_t pid;      /* a process with the sampler, `file` is its own */
    const char *file;
    uint64_t duration_ns;                            /* 0: until it ends */
    uint64_t interval;                               /* 0: the default */
    uint64_t pause_ns;                               /* between two points */
    void (*on_time)(void *ctx, heap_watch *watch);   /* each second; may be NULL */
    void (*on_signal)(void *ctx, heap_watch *watch); /* SIGUSR1; may be NULL */
    void *ctx;
    bool out_to_err; /* the command's standard output goes to standard error */
    const brisk_alloc *alloc;
} heap_run_opts;

typedef struct heap_run {
    heap_watch watch;
    char folder[128]; /* "": none of ours */
    bool loaded;      /* the sampler was, in a process at least */
    int exit_status;  /* as of waitpid */
    bool ended_by_us;
} heap_run;

/* Errors: as exec's, NOMEM, IO, NOT_FOUND (the sampler's library).  heap_run_deinit in any case. */
BRISK_NODISCARD brisk_err heap_run_command(const heap_run_opts *opts, heap_run *run,
                                           brisk_errinfo *info);
void heap_run_deinit(heap_run *run);
/* The path of libbrisk_heap.so.  Errors: NOT_FOUND (`info` tells where it was looked for). */
BRISK_NODISCARD brisk_err heap_library(char path[HEAP_PATH_MAX], brisk_errinfo *info);

/* --- stale.c ---------------------------------------------------------------------------------- */

enum { HEAP_OWNER_MAX = 40 };

void heap_owner_name(char name[HEAP_OWNER_MAX]);
/* Remove what runs that were killed left in a place; how many. */
uint32_t heap_remove_stale(const char *place);

/* --- plain.c, keep.c --------------------------------------------------------------------------- */

/* What can be told of a process from outside: its kinds of memory, and whether it grows. */
brisk_exit heap_watch_plain(const brisk_invocation *in, uint32_t pid, uint64_t duration_ns,
                            bool json);
/* Put suspected leaks into the history.  *count (may be NULL): how many.  Errors: brisk_history's. */
BRISK_NODISCARD brisk_err heap_keep_leaks(const heap_report *report, uint32_t *count,
                                          brisk_errinfo *info);

#endif /* BRISK_SRC_OBSERVE_HEAP_MEMORY_H */
