/*
 * session.h -- one recording: sets up the sampler, takes its records in until the end, and gives a
 * model with names.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_SESSION_H
#define BRISK_SRC_OBSERVE_PROFILE_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "observe/profile/model.h"

/* The kinds of value of a recording, in the order of its types. */
enum {
    PROF_TYPE_SAMPLES,
    PROF_TYPE_CPU,     /* processor time, ns */
    PROF_TYPE_OFF_CPU, /* blocked, ns */
    PROF_TYPE_READY,   /* could run, but another did, ns */
    PROF_TYPE_WALL,    /* all three */
};

typedef struct prof_session_opts {
    bool out_to_err;      /* its standard output goes to standard error */
    char *const *argv;    /* a command; or: */
    int32_t pid;          /* a process; or neither: the whole machine */
    uint64_t duration_ns; /* 0: until it ends */
    uint32_t frequency;
    uint32_t stack_bytes; /* 0: frame pointers only; without perf no choice */
    bool off_cpu;
    bool no_lines;  /* no source lines and inlining */
    bool use_timer; /* as if the kernel refused to sample */
    bool perf_only; /* no fall-back */
    bool quiet;
    void (*look)(void *ctx, int32_t pid); /* NULL, or called some times a second and at the end */
    void *look_ctx;
    FILE *err;
} prof_session_opts;

typedef struct prof_outcome {
    int exit_status;             /* of the command, as of waitpid; 0 otherwise */
    uint64_t own_cpu_ns;         /* of the profiler while it recorded */
    uint64_t resolve_ns;         /* for names afterwards */
    uint64_t target_overhead_ns; /* calibrated: samples times what one costs here */
    double hertz;                /* samples for each second of processor time */
} prof_outcome;

/* Errors: as of prof_perf_open and of exec; NOMEM.  The caller owns *ret. */
BRISK_NODISCARD brisk_err prof_session_run(const prof_session_opts *opts, const brisk_alloc *alloc,
                                           prof_model **ret, prof_outcome *outcome,
                                           brisk_errinfo *info);

#endif /* BRISK_SRC_OBSERVE_PROFILE_SESSION_H */
