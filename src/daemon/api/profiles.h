/*
 * profiles.h -- flame graphs of the running node: POST /v1/profiles, and what came of it.
 *
 * The profiler is the program's own (`brisk profile --pid`), as a process of its own: what it links and what goes
 * wrong with it stays out of the node, and the node goes on meanwhile.  Its stacks come back through a file in
 * memory.  One at a time; the last PROFILES_KEPT are known.
 *
 * Threads: the background's.
 */
#ifndef BRISK_SRC_DAEMON_API_PROFILES_H
#define BRISK_SRC_DAEMON_API_PROFILES_H

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "daemon/profiler.h"

enum {
    PROFILES_KEPT = 16,
    PROFILE_SECONDS_MAX = PROFILER_SECONDS_MAX,
    PROFILE_HERTZ_MAX = PROFILER_HERTZ_MAX,
    PROFILE_BYTES_MAX = 8 << 20, /* of its stacks */
};

typedef struct profiles profiles;

/* `starter`: see profiler.h; 0: none.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err profiles_create(const brisk_alloc *alloc, int starter, profiles **ret);
/* One that runs is ended.  NULL is accepted. */
void profiles_destroy(profiles *p);
/* Once a second: has the one that runs ended? */
void profiles_tick(profiles *p);

#endif /* BRISK_SRC_DAEMON_API_PROFILES_H */
