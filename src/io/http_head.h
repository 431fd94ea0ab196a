/*
 * http_head.h -- what an answer's head says, line by line, from a server that is not believed.
 *
 * Values that go back into a later request's head (ETag, Last-Modified) have no control characters.
 * Sources: RFC 9110 (dates, Retry-After), RFC 9111 (Cache-Control, Age, Expires).
 */
#ifndef BRISK_SRC_IO_HTTP_HEAD_H
#define BRISK_SRC_IO_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/http_client.h>

enum { HTTP_LOCATION_MAX = BRISK_HTTP_URL_MAX };

typedef struct http_head {
    int status;
    bool has_length;
    bool has_retry_after;
    bool location_too_long;
    bool has_takes; /* Accept-Encoding: what bodies of requests may be */
    bool takes_gzip;
    brisk_http_encoding encoding;
    brisk_http_caching caching;
    uint64_t length;
    uint64_t retry_after_s; /* from now, by the server's own Date */
    int64_t retry_at_s;     /* as a date; 0: none */
    char content_type[80];
    char location[HTTP_LOCATION_MAX];
} http_head;

void http_head_init(http_head *head);
/* One line with or without its end.  A status line begins anew (100, 103, then the answer). */
void http_head_read(http_head *head, const char *line, size_t size);
/* After the last line. */
void http_head_end(http_head *head);

/* "Sun, 06 Nov 1994 08:49:37 GMT" in seconds since 1970; false: not such a date. */
bool http_head_read_date(const char *text, size_t size, int64_t *ret);

#endif /* BRISK_SRC_IO_HTTP_HEAD_H */
