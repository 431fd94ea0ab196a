/*
 * privileges.h -- what the process gives up for good.
 *
 * Threads: one, before there are others.
 */
#ifndef BRISK_SRC_DAEMON_PRIVILEGES_H
#define BRISK_SRC_DAEMON_PRIVILEGES_H

#include <stdbool.h>

#include <brisk/err.h>

/*
 * Become `user` ("" for nobody else), and `group` ("": the user's), with the user's supplementary groups and
 * without any capability.  Errors: NOT_FOUND (there is none), PERMISSION (this process may not), INVALID (a
 * group without a user).
 */
BRISK_NODISCARD brisk_err privileges_become(const char *user, const char *group,
                                            brisk_errinfo *info);
/* Nothing that is run gains rights; files are for the user alone; no core is written when it would
 * hold secrets. */
void privileges_limit(bool keep_cores);

#endif /* BRISK_SRC_DAEMON_PRIVILEGES_H */
