/*
 * sandbox.h -- the process may make the system calls that it needs, and no others, for ever.
 *
 * Whatever is begun afterwards (threads, children) is under it too.  Programs cannot be run, other
 * processes not be looked into, nothing be mounted; a call that is not known fails with EPERM, one
 * that only an intruder makes ends the process.
 *
 * Threads: one, before there are others.
 */
#ifndef BRISK_SRC_DAEMON_SANDBOX_H
#define BRISK_SRC_DAEMON_SANDBOX_H

#include <stdbool.h>

#include <brisk/err.h>

typedef enum sandbox_mode {
    SANDBOX_AUTO, /* where it can be had; not under a sanitizer, which makes calls of its own */
    SANDBOX_ON,
    SANDBOX_OFF,
} sandbox_mode;

/* Whether this build has one. */
bool sandbox_is_expected(void);
/* False: it is none of the three. */
bool sandbox_mode_of(const char *text, sandbox_mode *ret);
/* *ret_entered says whether it is in force.  Errors, with SANDBOX_ON alone: UNSUPPORTED. */
BRISK_NODISCARD brisk_err sandbox_enter(sandbox_mode mode, bool *ret_entered, brisk_errinfo *info);

#endif /* BRISK_SRC_DAEMON_SANDBOX_H */
