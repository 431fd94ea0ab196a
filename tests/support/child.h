/*
 * child.h -- run a part of a test in a process of its own: other rights, limits, sudden death.
 *
 *     static int body(void *ctx) { ... return 0 when all is well, a number that tells where not }
 *     CHECK(child_run(body, ctx) == 0);
 *     if (child_run_unprivileged(body, ctx) == CHILD_SKIPPED) { skip(); }
 *
 * The child must not use cmocka's assertions: they would unwind into the parent's runner.
 */
#ifndef BRISK_TESTS_CHILD_H
#define BRISK_TESTS_CHILD_H

#include <grp.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"

enum { CHILD_SKIPPED = 77, CHILD_NOBODY = 65534 };

static inline pid_t child_start(int (*body)(void *ctx), void *ctx)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(body(ctx));
    }
    return pid;
}

/* Exit status, or 1000 and the number of the signal that ended it. */
static inline int child_wait(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline int child_run(int (*body)(void *ctx), void *ctx)
{
    return child_wait(child_start(body, ctx));
}

typedef struct child_call {
    int (*body)(void *ctx);
    void *ctx;
} child_call;

static inline int child_as_nobody(void *ctx)
{
    const child_call *call = ctx;
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setgid(CHILD_NOBODY) != 0 || setuid(CHILD_NOBODY) != 0)) {
        return CHILD_SKIPPED;
    }
    return call->body(call->ctx);
}

/* As root: without its rights.  Otherwise as oneself. */
static inline int child_run_unprivileged(int (*body)(void *ctx), void *ctx)
{
    child_call call = {body, ctx};
    return child_run(child_as_nobody, &call);
}

#endif /* BRISK_TESTS_CHILD_H */
