/*
 * auth.h -- who asks, and what they may.
 *
 *     a bearer token             its right, from wherever it comes
 *     a certificate (TLS)        CHANGE: the handshake proved it against serve.tls_ca
 *     a unix socket, loopback    READ: this machine's users see figures without a token
 *     everybody else             NONE
 *
 * "This machine" is believed only of a request that nobody relayed (no Via, Forwarded,
 * X-Forwarded-For) and whose authority is a loopback name or address, or is listed in serve.hosts:
 * a page from elsewhere whose name was rebound to 127.0.0.1 still says its own name.
 *
 * Changes, and what stays open (WebSocket), are refused when a browser says that a page from elsewhere
 * asks (Origin, Sec-Fetch-Site), whoever it is.  No answer has an Access-Control field: pages from
 * elsewhere read nothing.
 *
 * Threads: any, after create.
 * Sources: RFC 6750 (bearer tokens), RFC 9110 section 11.6, W3C Fetch Metadata, RFC 6454 section 7.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_AUTH_H
#define BRISK_SRC_DAEMON_HTTP_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "daemon/http/exchange.h"

typedef struct http_auth http_auth;

typedef struct http_auth_opts {
    const char *token_file; /* NULL or "": one is made, see tokens.h */
    const char *hosts; /* more names of this node, separated by commas or blanks; may be NULL */
    bool certificates; /* clients over TLS have shown a good one */
    bool local_needs_token; /* nothing is believed of this machine's users either */
    const brisk_alloc *alloc;
} http_auth_opts;

/* Where a request comes from. */
typedef enum http_peer {
    HTTP_PEER_REMOTE = 0,
    HTTP_PEER_LOOPBACK,
    HTTP_PEER_UNIX,
} http_peer;

enum { HTTP_WHO_MAX = 48, HTTP_HOSTS_MAX = 32, HTTP_HOST_NAME_MAX = 256 };

/* What is known of whoever asks. */
typedef struct http_identity {
    http_right right;
    bool bad_token; /* there is a token, and it is not known */
    bool odd_host;  /* it would be this machine, but for the authority */
    char who
        [HTTP_WHO_MAX]; /* for the audit log: a token's name, "certificate", "local", "unix", "anybody" */
} http_identity;

/*
 * Without a place for a token file there is none and nothing can be changed without a certificate;
 * http_auth_token_file is "" then.
 * Errors, with `info`: those of http_tokens_read for a file that is configured, INVALID (a name in
 * hosts), LIMIT, NOMEM.
 */
BRISK_NODISCARD brisk_err http_auth_create(const http_auth_opts *opts, http_auth **ret,
                                           brisk_errinfo *info);
void http_auth_destroy(http_auth *auth); /* NULL is accepted */
/* Read the token file anew (SIGHUP); what is known stays on failure. */
BRISK_NODISCARD brisk_err http_auth_reload(http_auth *auth, brisk_errinfo *info);
/* The file in use, "" when there is none. */
const char *http_auth_token_file(const http_auth *auth);

/* Where the socket's other end is. */
http_peer http_peer_of(int fd);
/* Its address as text, "unix" or "" when there is none. */
void http_peer_text(int fd, char *text, size_t size);
/* Who sends `x`. */
void http_auth_identify(http_auth *auth, const exchange *x, http_peer peer, http_identity *ret);

/*
 * Before `begin`: may x->route answer x?  Sets x->right.  False: it was answered, 401 or 403.
 * A route that needs nothing (for this method) costs nothing, and x->right stays NONE.
 */
bool http_auth_admit(http_auth *auth, exchange *x, http_peer peer);

/* Is it a name or an address of this machine alone: localhost, x.localhost, 127.0.0.0/8, [::1]? */
bool http_host_is_local(http_text host);
/* An authority without its port. */
http_text http_host_of(http_text authority);
/* Does a browser say that a page from elsewhere asks?  `auth` knows more names of this node. */
bool http_auth_is_foreign(const http_auth *auth, const exchange *x);

#endif /* BRISK_SRC_DAEMON_HTTP_AUTH_H */
