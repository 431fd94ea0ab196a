/*
 * config.h -- what `serve.proxy` says: mounts, their upstreams and manners.
 *
 *     serve:
 *       proxy:
 *         - at: /
 *           upstreams: ["http://127.0.0.1:9000", {url: "http://127.0.0.1:9001", weight: 2}]
 *           cache: true
 *           health: {path: /health, interval: 5s}
 *
 * Every key is known or refused, with the line and the nearest one that is meant.
 *
 * Ownership: a list of mounts owns its upstreams and their TLS context.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_CONFIG_H
#define BRISK_SRC_DAEMON_PROXY_CONFIG_H

#include <brisk/yaml.h>

#include "daemon/proxy/life.h"
#include "daemon/proxy/pool.h"
#include "daemon/proxy/upstream.h"

enum { PROXY_MOUNTS_MAX = 256, PROXY_AT_MAX = 256, PROXY_HOST_MAX = 256 };

typedef enum proxy_host {
    PROXY_HOST_PASS = 0, /* as the client wrote it */
    PROXY_HOST_UPSTREAM,
    PROXY_HOST_FIXED,
} proxy_host;

/* What upstreams are told of who asks: Forwarded and X-Forwarded-*. */
typedef enum proxy_forwarded {
    PROXY_FORWARDED_ADD = 0, /* the client is added to those that its request names */
    PROXY_FORWARDED_NONE,    /* nothing, whatever the request says */
    PROXY_FORWARDED_PASS,    /* what the request says: there is a proxy in front that is trusted */
} proxy_forwarded;

typedef struct proxy_health {
    char path[PROXY_AT_MAX]; /* "": no active checks */
    uint64_t interval_ns;
    uint32_t good; /* in a row, to be well again */
    uint32_t bad;  /* in a row, to be ill */
} proxy_health;

typedef struct proxy_mount {
    char at[PROXY_AT_MAX];
    char host[PROXY_HOST_MAX]; /* "": any */
    upstreams group;
    proxy_manners manners;
    proxy_policy policy;
    proxy_health health;
    proxy_host host_policy;
    char host_fixed[PROXY_HOST_MAX];
    bool cache;
    bool compress;
    proxy_forwarded forwarded;
    bool strip; /* `at` is cut off targets */
    uint64_t object_max;
    uint64_t body_max; /* of requests */
    uint32_t index;
    http_route route;
    void *owner; /* the proxy */
} proxy_mount;

typedef struct proxy_mounts {
    const brisk_alloc *alloc;
    proxy_mount *items;
    uint32_t count;
    uint32_t capacity;
} proxy_mounts;

/* A sequence of mounts; NULL or an empty document: none.  Errors, with `info`: INVALID, LIMIT, NOT_FOUND (a host
 * that has no address), UNSUPPORTED (no TLS here), NOMEM. */
BRISK_NODISCARD brisk_err proxy_config_read(const brisk_yaml_doc *doc, const brisk_alloc *alloc,
                                            proxy_mounts *ret, brisk_errinfo *info);
void proxy_config_deinit(proxy_mounts *mounts);

#endif /* BRISK_SRC_DAEMON_PROXY_CONFIG_H */
