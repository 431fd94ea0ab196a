/*
 * target.h -- what is profiled: a command that waits for its start, or threads that run already.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_TARGET_H
#define BRISK_SRC_OBSERVE_PROFILE_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "base/vec.h"

enum { PROF_THREADS_MAX = 4096 };

typedef struct prof_child {
    pid_t pid;  /* 0: none */
    int go;     /* written to: it executes; -1: done */
    int answer; /* read: errno of an exec that failed, nothing when it went well */
    bool reaped;
    int status; /* as of waitpid, when reaped */
} prof_child;

/*
 * Fork a child that waits before it executes `argv` (found along PATH), with the signal mask of
 * before and `env` ("NAME=VALUE" that are added, NULL behind the last; NULL: none).  With `out_to_err` its
 * standard output is our standard error, because ours is the report's.  Errors: NOMEM, LIMIT, IO.
 */
BRISK_NODISCARD brisk_err prof_child_start(char *const *argv, const char *const *env,
                                           bool out_to_err, prof_child *ret, brisk_errinfo *info);
/* Let it go.  Errors: those of exec, `info` names the program; the child is gone then. */
BRISK_NODISCARD brisk_err prof_child_go(prof_child *child, const char *name, brisk_errinfo *info);
/* Whether it has ended; it can still be looked at in /proc. */
bool prof_child_is_dead(const prof_child *child);
/* Likewise; fills `status`, and it is gone. */
bool prof_child_ended(prof_child *child);
/* SIGTERM, and SIGKILL when that is not enough within five seconds. */
void prof_child_end(prof_child *child);

typedef BRISK_VEC(pid_t) prof_threads;

/* The threads of a process.  Errors: NOT_FOUND, PERMISSION, NOMEM. */
BRISK_NODISCARD brisk_err prof_threads_of(pid_t pid, prof_threads *ret, brisk_errinfo *info);
/* The name of a thread; "" when it is gone. */
void prof_comm_of(pid_t pid, pid_t tid, char comm[64]);
/* Whether a thread waits for something (state S, D or T). */
bool prof_is_blocked(pid_t pid, pid_t tid);

#endif /* BRISK_SRC_OBSERVE_PROFILE_TARGET_H */
