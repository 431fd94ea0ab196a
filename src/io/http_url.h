/*
 * http_url.h -- URLs as libcurl will understand them, and the secrets that belong to some.
 *
 * What a URL's host is says libcurl's own parser, which also connects: two parsers that differ would
 * send a token to the wrong one.  An origin is "scheme://host:port", lower case, port always there.
 */
#ifndef BRISK_SRC_IO_HTTP_URL_H
#define BRISK_SRC_IO_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

#include <brisk/http_client.h>

#include "io/http_curl.h"

enum { HTTP_ORIGIN_MAX = 300 };

typedef struct http_url {
    char origin[HTTP_ORIGIN_MAX];
    char path[BRISK_HTTP_URL_MAX]; /* without query */
} http_url;

/* A first look, without the library: scheme, length, nothing but printable ASCII. */
bool http_url_is_plausible(const char *text);
/* Errors: INVALID, NOMEM. */
BRISK_NODISCARD brisk_err http_url_parse(const http_curl *so, const char *text, http_url *ret);
/*
 * Where `location`, an answer's to `base`, leads to.  Without the base's user and password when
 * that is another origin.  Errors: INVALID, NOMEM.
 */
BRISK_NODISCARD brisk_err http_url_follow(const http_curl *so, const char *base,
                                          const char *location, char ret[BRISK_HTTP_URL_MAX]);

typedef struct http_token {
    char origin[HTTP_ORIGIN_MAX];
    char path[512]; /* without its last slash; "" is all of the origin */
    char *line;     /* "Authorization: ..." */
    size_t line_size;
} http_token;

/* Origin and path of "https://host[:port]/path".  False: it is not like that. */
bool http_token_place(http_token *token, const char *prefix);
/* The token with the longest path for that URL, or NULL. */
const http_token *http_token_find(const http_token *tokens, size_t count, const http_url *url);

#endif /* BRISK_SRC_IO_HTTP_URL_H */
