/*
 * routes.c -- prefixes, longest first.
 *
 * Entries are kept in the order in which they are looked at: those of a host before those of any, longer prefixes
 * before shorter ones, and among equals, what came first.  A prefix ends where a segment of the path ends; its slash at
 * the end is not part of it, so that "/" is the empty prefix, which covers all.
 */
#include "daemon/http/routes.h"

#include <string.h>

#include "base/vec.h"

typedef struct entry {
    char *host; /* lower case; "" for any */
    size_t host_size;
    char *prefix;
    size_t prefix_size;
    const http_route *route;
} entry;

struct http_routes {
    const brisk_alloc *alloc;
    BRISK_VEC(entry) entries;
};

brisk_err http_routes_create(const brisk_alloc *alloc, http_routes **ret)
{
    http_routes *routes = alloc->acquire(alloc->ctx, sizeof *routes, _Alignof(http_routes));
    if (routes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *routes = (http_routes){.alloc = alloc, .entries = BRISK_VEC_INIT(alloc)};
    *ret = routes;
    return BRISK_OK;
}

static void free_text(const brisk_alloc *alloc, char *text, size_t size)
{
    if (text != NULL) {
        alloc->release(alloc->ctx, text, size + 1, 1);
    }
}

static char *copy_text(const brisk_alloc *alloc, const char *text, size_t size)
{
    char *copy = alloc->acquire(alloc->ctx, size + 1, 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

void http_routes_destroy(http_routes *routes)
{
    if (routes == NULL) {
        return;
    }
    for (size_t i = 0; i < routes->entries.count; i++) {
        entry *e = &routes->entries.items[i];
        free_text(routes->alloc, e->host, e->host_size);
        free_text(routes->alloc, e->prefix, e->prefix_size);
    }
    BRISK_VEC_DEINIT(&routes->entries);
    routes->alloc->release(routes->alloc->ctx, routes, sizeof *routes, _Alignof(http_routes));
}

static bool is_host(const entry *e, const char *host, size_t size)
{
    if (e->host_size != size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        char c = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] | 0x20) : host[i];
        if (c != e->host[i]) {
            return false;
        }
    }
    return true;
}

/* Where it belongs; SIZE_MAX: there is the same already. */
static size_t place_of(const http_routes *routes, const entry *e)
{
    size_t i = 0;
    for (; i < routes->entries.count; i++) {
        const entry *other = &routes->entries.items[i];
        bool same = other->prefix_size == e->prefix_size &&
                    memcmp(other->prefix, e->prefix, e->prefix_size) == 0 &&
                    is_host(other, e->host, e->host_size);
        if (same) {
            return SIZE_MAX;
        }
    }
    for (i = 0; i < routes->entries.count; i++) {
        const entry *other = &routes->entries.items[i];
        bool more_host = e->host_size > 0 && other->host_size == 0;
        bool less_host = e->host_size == 0 && other->host_size > 0;
        if (more_host || (!less_host && e->prefix_size > other->prefix_size)) {
            break;
        }
    }
    return i;
}

brisk_err http_routes_add(http_routes *routes, const char *host, const char *prefix,
                          const http_route *route)
{
    size_t host_size = strlen(host);
    size_t prefix_size = strlen(prefix);
    if (prefix_size == 0 || prefix[0] != '/' || route->name == NULL) {
        return BRISK_ERR_INVALID;
    }
    prefix_size -= prefix[prefix_size - 1] == '/' ? 1 : 0;
    entry e = {.host = copy_text(routes->alloc, host, host_size),
               .host_size = host_size,
               .prefix = copy_text(routes->alloc, prefix, prefix_size),
               .prefix_size = prefix_size,
               .route = route};
    brisk_err err = BRISK_ERR_NOMEM;
    if (e.host != NULL && e.prefix != NULL &&
        BRISK_VEC_RESERVE(&routes->entries, routes->entries.count + 1)) {
        for (size_t i = 0; i < host_size; i++) {
            e.host[i] = e.host[i] >= 'A' && e.host[i] <= 'Z' ? (char)(e.host[i] | 0x20) : e.host[i];
        }
        size_t place = place_of(routes, &e);
        err = BRISK_ERR_CONFLICT;
        if (place != SIZE_MAX) {
            entry *at = routes->entries.items + place;
            memmove(at + 1, at, (routes->entries.count - place) * sizeof *at);
            *at = e;
            routes->entries.count++;
            return BRISK_OK;
        }
    }
    free_text(routes->alloc, e.host, host_size);
    free_text(routes->alloc, e.prefix, prefix_size);
    return err;
}

/* Without the port. */
static http_text host_of(http_text authority)
{
    size_t size = authority.size;
    while (size > 0 && authority.data[size - 1] >= '0' && authority.data[size - 1] <= '9') {
        size--;
    }
    if (size > 0 && authority.data[size - 1] == ':') {
        authority.size = size - 1;
    }
    return authority;
}

const http_route *http_routes_find(const http_routes *routes, exchange *x)
{
    http_text host = host_of(x->authority);
    http_text path = x->path;
    for (size_t i = 0; i < routes->entries.count; i++) {
        const entry *e = &routes->entries.items[i];
        if (e->prefix_size > path.size ||
            (e->prefix_size < path.size && path.data[e->prefix_size] != '/') ||
            memcmp(path.data, e->prefix, e->prefix_size) != 0 ||
            (e->host_size > 0 && !is_host(e, host.data, host.size))) {
            continue;
        }
        size_t skip = e->prefix_size + (e->prefix_size < path.size ? 1 : 0);
        x->rest = (http_text){.data = path.data + skip, .size = path.size - skip};
        return e->route;
    }
    return NULL;
}

void http_routes_each(const http_routes *routes,
                      void (*fn)(void *ctx, const char *host, const char *prefix,
                                 const http_route *route),
                      void *ctx)
{
    for (size_t i = 0; i < routes->entries.count; i++) {
        const entry *e = &routes->entries.items[i];
        fn(ctx, e->host, e->prefix_size > 0 ? e->prefix : "/", e->route);
    }
}
