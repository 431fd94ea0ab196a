/*
 * proxy.h -- the caching reverse proxy, as the server sees it.
 *
 *     client ─► exchange ─► transit ─┬─ hit ──────────────────────────────► entry, as it lies
 *                                    ├─ miss ─► flight (one a key) ─► fetch ─► upstream
 *                                    │              └─► cache, and all who wait
 *                                    └─ what is not cached ─────────► fetch ─► upstream
 *
 * A worker's part (connections, transits) is made when the worker first needs it; mounts, health of
 * upstreams and flights are shared.
 *
 * Threads: create, add_routes, stop and destroy by the one that owns the server, while no worker runs.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_PROXY_H
#define BRISK_SRC_DAEMON_PROXY_PROXY_H

#include <brisk/yaml.h>

#include "daemon/http/routes.h"

typedef struct server server;
typedef struct proxy proxy;

/* Before the loops run.  `doc` is serve.proxy (NULL: there is none).  NULL in *ret: there are no mounts.  Errors: those of
 * proxy_config_read. */
BRISK_NODISCARD brisk_err proxy_create(server *s, const brisk_yaml_doc *doc, proxy **ret,
                                       brisk_errinfo *info);
BRISK_NODISCARD brisk_err proxy_add_routes(proxy *p, http_routes *routes, brisk_errinfo *info);
/* Its figures into the server's registry.  Any thread, until proxy_destroy. */
void proxy_copy_figures(proxy *p);
/* No worker runs any more, but their loops are still there: wait for the executor. */
void proxy_settle(proxy *p);
/* The exchanges are gone: give everything back.  Before the engine ends.  NULL is accepted. */
void proxy_destroy(proxy *p);

#endif /* BRISK_SRC_DAEMON_PROXY_PROXY_H */
