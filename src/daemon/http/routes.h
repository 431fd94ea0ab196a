/*
 * routes.h -- which handler answers which path.
 *
 * A table of prefixes, made before the workers run and only read afterwards.  The longest prefix
 * wins; "/v1/jobs" covers "/v1/jobs" and "/v1/jobs/...", not "/v1/jobsomething".  A host ("" for any)
 * is compared before the path.
 *
 * Owners add theirs in one function each (api_add_routes, static_add_routes, proxy_add_routes,
 * dashboard_add_routes), which server.c calls in this order: what comes first wins among equals.
 *
 * Threads: routes_add by one; routes_find by any.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_ROUTES_H
#define BRISK_SRC_DAEMON_HTTP_ROUTES_H

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "daemon/http/exchange.h"

typedef struct http_routes http_routes;

BRISK_NODISCARD brisk_err http_routes_create(const brisk_alloc *alloc, http_routes **ret);
void http_routes_destroy(http_routes *routes); /* NULL is accepted */
/* `host` "" for any; `route` is borrowed.  Errors: INVALID (a prefix without '/', a route without a name), CONFLICT, NOMEM. */
BRISK_NODISCARD brisk_err http_routes_add(http_routes *routes, const char *host, const char *prefix,
                                          const http_route *route);
/* Call `fn` for each. */
void http_routes_each(const http_routes *routes,
                      void (*fn)(void *ctx, const char *host, const char *prefix,
                                 const http_route *route),
                      void *ctx);
/* The route of x->authority and x->path, or NULL; sets x->rest. */
const http_route *http_routes_find(const http_routes *routes, exchange *x);

#endif /* BRISK_SRC_DAEMON_HTTP_ROUTES_H */
