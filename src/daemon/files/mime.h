/*
 * mime.h -- media types by a file's name.
 *
 * Threads: pure functions.
 * Source: IANA's registry of media types; RFC 9239 (text/javascript), RFC 8081 (fonts).
 */
#ifndef BRISK_SRC_DAEMON_FILES_MIME_H
#define BRISK_SRC_DAEMON_FILES_MIME_H

#include "daemon/http/exchange.h"

/* By what is behind the last dot, in any case; "application/octet-stream" when that says nothing. */
http_text mime_of(const char *path);

#endif /* BRISK_SRC_DAEMON_FILES_MIME_H */
