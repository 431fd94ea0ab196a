/*
 * record.h -- the recording that is under way, if one is; under the server's lock.
 */
#ifndef BRISK_SRC_DAEMON_RECORD_H
#define BRISK_SRC_DAEMON_RECORD_H

#include "daemon/server.h"

enum { RECORD_PATH_MAX = 4096 };

struct recording;

/* `dir`: where recordings may be; NULL or "": nowhere. */
BRISK_NODISCARD brisk_err record_create(const brisk_alloc *alloc, const char *dir,
                                        struct recording **ret);
/* Ends the recording. */
void record_destroy(struct recording *own);
bool record_is_on(const struct recording *own);
/* Only while it is on: note a command that is about to run, and one that has changed something. */
void record_before(server *s, const command *cmd, const resp_bytes *argv, uint32_t argc);
void record_after(server *s, const command *cmd, const resp_bytes *argv, uint32_t argc);

#endif /* BRISK_SRC_DAEMON_RECORD_H */
