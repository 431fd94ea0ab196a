/*
 * log_lines.h -- what the node logs, told to whoever listens to the topic `log`.
 *
 *     brisk_log ──► the sink: standard error, as ever
 *                       └──► ring, only while somebody listens ──(once a second)──► events_publish
 *
 * A line costs whoever logs it a copy and a lock that nobody holds for long; what is published is published by the
 * background's thread.  Bounds: brisk_log lets 10 lines a second of one place pass, the ring holds LOG_LINES_MAX; what does
 * not fit is counted and told.  Names and passwords in URLs are hidden.
 *
 * Threads: one for a process; the sink of any thread, tick of the background's.  Locks: one, a leaf under the log's own.
 */
#ifndef BRISK_SRC_DAEMON_API_LOG_LINES_H
#define BRISK_SRC_DAEMON_API_LOG_LINES_H

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "daemon/api/events.h"

enum { LOG_LINES_MAX = 64 };

struct log_lines;

/* From now on the process's log goes this way.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err log_lines_create(const brisk_alloc *alloc, events_hub *events,
                                           struct log_lines **ret);
/* The default sink is back.  NULL is accepted. */
void log_lines_destroy(struct log_lines *self);
void log_lines_tick(struct log_lines *self);

#endif /* BRISK_SRC_DAEMON_API_LOG_LINES_H */
