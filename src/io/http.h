/*
 * http.h -- one request at a time: what the HTTP tier, OTLP and webhooks want of <brisk/http_client.h>.
 *
 * Answers of any status are answers; errors are what kept it from coming.  Redirections are not
 * followed, nothing is sent twice, and bodies come as they are.  http and https only.
 *
 * Secrets (headers, user and password in the URL) are in no message.
 *
 * Threads: any.  Ownership: the response's body is the caller's.
 */
#ifndef BRISK_SRC_IO_HTTP_H
#define BRISK_SRC_IO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/http_client.h>

enum {
    HTTP_CONNECTIONS_MAX = 16,
    HTTP_HEADERS_MAX = 16,
    HTTP_ETAG_MAX = BRISK_HTTP_ETAG_MAX,
};

typedef struct http_client http_client;

typedef struct http_opts {
    uint64_t timeout_ns;         /* of a whole request */
    uint64_t connect_timeout_ns; /* TLS included */
    uint64_t body_bytes_max;     /* of an answer */
    const char *tls_ca_file;     /* PEM; NULL: the system's roots */
    const char *tls_cert_file;
    const char *tls_key_file;
    const char *bearer;         /* "Authorization: Bearer ..." with every request; NULL: none */
    const char *const *headers; /* "Name: value", with every request */
    uint32_t header_count;      /* 0 .. HTTP_HEADERS_MAX - 1 */
    const brisk_alloc *alloc;   /* borrowed; NULL means libc */
} http_opts;

/* Everything is copied.  Errors with `info`: UNSUPPORTED (no libcurl), INVALID (a header), NOMEM. */
BRISK_NODISCARD brisk_err http_client_create(const http_opts *opts, http_client **ret,
                                             brisk_errinfo *info);
void http_client_destroy(http_client *client); /* NULL is accepted */

typedef struct http_request {
    const char *method; /* "GET", "PUT", "PURGE" ... */
    const char *url;
    const void *body; /* NULL: none */
    size_t body_size;
    const char *headers[4]; /* more of them; NULL: none */
} http_request;

/* Zero it before; deinit after. */
typedef struct http_response {
    long status;
    bool no_store; /* Cache-Control: no-store, no-cache or private */
    bool has_max_age;
    uint64_t max_age_s; /* s-maxage before max-age */
    uint64_t age_s;
    char etag[HTTP_ETAG_MAX]; /* with its quotes; "" when there is none, or a longer one */
    unsigned char *body;
    size_t body_size;
    brisk_http_response *inner_;
} http_response;

/*
 * Errors: DEADLINE, IO (refused, reset, cut short ...), PERMISSION (a certificate), LIMIT (an
 * answer that is too large), NOT_FOUND (the host), NOMEM, INVALID (the URL), CORRUPT (not HTTP).
 */
BRISK_NODISCARD brisk_err http_run(http_client *client, const http_request *request,
                                   http_response *ret);
void http_response_deinit(http_response *response);

#endif /* BRISK_SRC_IO_HTTP_H */
