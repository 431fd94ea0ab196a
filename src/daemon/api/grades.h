/*
 * grades.h -- how good the node was in the last minute.
 *
 * Threads: the background's.
 */
#ifndef BRISK_SRC_DAEMON_API_GRADES_H
#define BRISK_SRC_DAEMON_API_GRADES_H

#include <brisk/err.h>
#include <brisk/json.h>

typedef struct server server;

/* Members of an object that is open: window_s, points, grade, text, parts. */
BRISK_NODISCARD brisk_err grades_put(brisk_json *json, server *s);

#endif /* BRISK_SRC_DAEMON_API_GRADES_H */
