/*
 * timer.h -- sampling without the kernel's help: a library that a command is made to load.
 *
 * For commands only (a process that runs already can't be made to), for programs that are linked
 * dynamically and not setuid.  No kernel part, no waits.  Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_TIMER_H
#define BRISK_SRC_OBSERVE_PROFILE_TIMER_H

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "observe/profile/intake.h"

typedef struct prof_timer prof_timer;

/* Errors: NOT_FOUND (the library is not installed), IO, FULL, NOMEM. */
BRISK_NODISCARD brisk_err prof_timer_open(uint32_t frequency, const brisk_alloc *alloc,
                                          prof_timer **ret, brisk_errinfo *info);
void prof_timer_close(prof_timer *timer); /* NULL is accepted */
/* What a command needs in its environment: "NAME=VALUE", NULL behind the last. */
const char *const *prof_timer_env(const prof_timer *timer);
/* Samples so far to the intake; the mappings of their processes are read with the first. */
void prof_timer_drain(prof_timer *timer, prof_intake *intake);

#endif /* BRISK_SRC_OBSERVE_PROFILE_TIMER_H */
