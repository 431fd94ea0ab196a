/*
 * carrier.h -- what exchanges look like to those who carry them: http1.c, http2.c, and tests.
 *
 *     exchange_open ─► fill in method_text, target, authority, fields (in exchange_keep's memory)
 *                  ─► exchange_begin ─► exchange_take_body ... ─► exchange_end_body
 *                  ─► exchange_close, when the answer is carried away or the connection is gone
 *
 * A carrier never calls exchange_close from inside its own functions (http_carrier): the handler is still at work.
 *
 * Exchanges are recycled by their worker: one that fits into its room allocates nothing.
 *
 * Threads: the worker's.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_CARRIER_H
#define BRISK_SRC_DAEMON_HTTP_CARRIER_H

#include "daemon/http/exchange.h"
#include "daemon/http/known.h"

enum {
    HTTP_DATE_SIZE = 29,        /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    HTTP_UNSENT_HIGH = 1048576, /* of a stream: exchange_write says so beyond ... */
    HTTP_UNSENT_LOW = 262144,   /* ... and `writable` comes below */
};

/* What a worker has for HTTP. */
typedef struct http_worker http_worker;

BRISK_NODISCARD brisk_err http_worker_create(worker *w, http_worker **ret);
void http_worker_destroy(http_worker *http); /* NULL is accepted */
/* Room for the fields of a head that is being read: HTTP1_FIELDS_MAX of them. */
http_field *http_worker_fields(http_worker *http);
/* Heads of HTTP/1.1 that came before. */
http_known *http_worker_known(http_worker *http);
/* The present time as a field's value, made once a second; HTTP_DATE_SIZE bytes. */
const char *http_worker_date(http_worker *http);

/* Empty; NULL: no memory. */
exchange *exchange_open(worker *w, conn *c, const http_carrier *carrier);
/* `size` bytes of `data` where they stay until `gone`; NULL: no memory. */
void *exchange_keep(exchange *x, const void *data, size_t size);
/* The head is whole: find the method, the path, the route, whether it may; and let the route begin. */
void exchange_begin(exchange *x);
/* Bytes of the body, and its end.  A body that is too large is answered here. */
void exchange_take_body(exchange *x, const void *data, size_t size);
void exchange_end_body(exchange *x);
/* A stream may go on. */
void exchange_tell_writable(exchange *x);
/* It is over. */
void exchange_close(exchange *x);

/* Sets path and query from target, in the exchange's memory.  False: the target is wrong. */
bool exchange_set_path(exchange *x);
/* The method of that name. */
http_method http_method_of(http_text name);
/* "OK"; "" when there is no such status. */
const char *http_reason(uint16_t status);
/* "HTTP/1.1 200 OK\r\n"; "" when there is no such status. */
http_text http_status_line(uint16_t status);
/* "not_found", as errors of the API have it. */
const char *http_error_code(uint16_t status);
/* May an answer with that status, to that method, have a body? */
bool http_has_body(const exchange *x, uint16_t status);
/* Seconds since 1970 as a field's value. */
void http_date_format(char text[HTTP_DATE_SIZE + 1], uint64_t seconds);

#endif /* BRISK_SRC_DAEMON_HTTP_CARRIER_H */
