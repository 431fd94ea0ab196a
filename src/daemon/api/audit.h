/*
 * audit.h -- who changed what: a file that is only appended to, a JSON object a line.
 *
 *     {"time_s": 1795831912.7, "who": "deploy", "from": "127.0.0.1:40022", "action": "knob",
 *      "name": "serve.memory", "old": "1GiB", "new": "2GiB", "outcome": "ok"}
 *
 * The file has mode 0600 and is opened anew for each line, so that it can be moved away.  Without a file the last
 * AUDIT_KEPT lines are known all the same.
 *
 * Threads: the background's.
 */
#ifndef BRISK_SRC_DAEMON_API_AUDIT_H
#define BRISK_SRC_DAEMON_API_AUDIT_H

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "daemon/api/report.h"

enum { AUDIT_KEPT = 256, AUDIT_LINE_MAX = 4096, AUDIT_TEXT_MAX = 512 };

typedef struct audit audit;

/* `path` "": no file.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err audit_create(const brisk_alloc *alloc, const char *path, audit **ret);
void audit_destroy(audit *a); /* NULL is accepted */
const char *audit_path(const audit *a);

typedef struct audit_entry {
    const char *action; /* "knob", "profile" */
    const char *name;
    const char *before; /* NULL: there is no such thing */
    const char *after;
    const char *outcome; /* "ok", or why not */
} audit_entry;

/* Texts are cut at AUDIT_TEXT_MAX.  What cannot be written to the file is logged. */
void audit_note(audit *a, const report_query *q, const audit_entry *entry);

#endif /* BRISK_SRC_DAEMON_API_AUDIT_H */
