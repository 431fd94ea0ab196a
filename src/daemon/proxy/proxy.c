/*
 * proxy.c -- see proxy.h: mounts as routes, and each worker's part.
 */
#include "daemon/proxy/proxy.h"

#include <string.h>
#include <sys/random.h>

#include <brisk/engine.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "daemon/engine.h"
#include "daemon/proxy/transit.h"

/* --- workers' parts ------------------------------------------------------------------------ */

static void free_side(proxy_side *side)
{
    const brisk_alloc *alloc = side->owner->alloc;
    if (side->worker != NULL) {
        health_stop(side);
    }
    while (side->all != NULL) { /* whose exchange or task is gone with the workers */
        transit *t = side->all;
        side->all = t->next;
        if (t->fetching) {
            fetch_cancel(&t->fetch);
        }
        if (t->flight != NULL && t->leads) {
            flight_discard(t);
        }
        transit_destroy(t);
    }
    while (side->free != NULL) {
        transit *t = side->free;
        side->free = t->next;
        transit_destroy(t);
    }
    proxy_worker_destroy(side->worker);
    side->worker = NULL;
    if (side->pools != NULL) {
        alloc->release(alloc->ctx, side->pools, side->owner->mounts.count * sizeof *side->pools,
                       _Alignof(proxy_pool *));
        side->pools = NULL;
    }
}

static brisk_err make_side(proxy_side *side, loop *on)
{
    proxy *p = side->owner;
    side->loop = on;
    size_t size = p->mounts.count * sizeof *side->pools;
    side->pools = p->alloc->acquire(p->alloc->ctx, size, _Alignof(proxy_pool *));
    if (side->pools == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(side->pools, 0, size);
    brisk_err err = proxy_worker_create(on, p->alloc, p->clock, &side->worker);
    for (uint32_t i = 0; err == BRISK_OK && i < p->mounts.count; i++) {
        proxy_mount *mount = &p->mounts.items[i];
        err = proxy_pool_create(side->worker, &mount->group, &mount->manners, &side->pools[i]);
    }
    if (err == BRISK_OK && side->index == 0) {
        err = health_start(side);
    }
    if (err != BRISK_OK) {
        free_side(side);
        return err;
    }
    /* Release: who copies figures sees the pools. */
    atomic_store_explicit(&side->ready, true, memory_order_release);
    return BRISK_OK;
}

/* --- the route ----------------------------------------------------------------------------- */

/* One character of a target, whether it is escaped or not. */
static char next_character(http_text *rest)
{
    static const char hex[] = "0123456789abcdef";
    char c = rest->data[0];
    size_t used = 1;
    if (c == '%' && rest->size > 2) {
        const char *high = strchr(hex, rest->data[1] | 0x20);
        const char *low = strchr(hex, rest->data[2] | 0x20);
        if (high != NULL && low != NULL) {
            c = (char)((high - hex) << 4 | (low - hex));
            used = 3;
        }
    }
    rest->data += used;
    rest->size -= used;
    return c;
}

/* Does it go up, in the eyes of anybody?  The mount was found by the path without escapes and dots, and upstreams get
 * the target as it was written: what one resolves and the other does not would lead out of the mount, or out of the
 * upstream's base.  ("\" and ";" end a segment for some.) */
static bool climbs(http_text target)
{
    const char *query = memchr(target.data, '?', target.size);
    target.size = query != NULL ? (size_t)(query - target.data) : target.size;
    uint32_t dots = 0;
    bool others = false; /* in the segment */
    while (target.size > 0) {
        char c = next_character(&target);
        if (c == '/' || c == '\\' || c == ';') {
            if (dots == 2 && !others) {
                return true;
            }
            others = c == ';';
            dots = 0;
        } else if (c == '.') {
            dots++;
        } else {
            others = true;
        }
    }
    return dots == 2 && !others;
}

static void route_begin(exchange *x)
{
    proxy_mount *mount = x->route->ctx;
    proxy *p = mount->owner;
    proxy_side *side = &p->sides[x->worker->index];
    if (side->worker == NULL && make_side(side, &x->worker->loop) != BRISK_OK) {
        exchange_fail(x, 503, "out of memory");
        return;
    }
    transit *t = transit_new(side, mount, x);
    if (t == NULL) {
        exchange_fail(x, 503, "out of memory");
        return;
    }
    if (x->method == HTTP_PURGE) {
        purge_start(t);
    } else if (proxy_same(x->method_text, HTTP_TEXT("TRACE")) || x->target.size == 0 ||
               x->target.data[0] != '/') {
        transit_fail(t, 405, "not through this proxy");
    } else if (climbs(x->target)) {
        transit_fail(t, 400, "a path with \"..\" does not go through this proxy");
    } else if (mount->cache && (x->method & (HTTP_GET | HTTP_HEAD)) != 0 && !x->has_body) {
        cached_start(t);
    } else {
        t->status.forward = "method";
        direct_start(t);
    }
}

static void route_body(exchange *x, const void *data, size_t size)
{
    transit *t = x->handler;
    if (t != NULL && t->fetching && !fetch_send(&t->fetch, data, size)) {
        exchange_pause(x, true);
    }
}

static void route_end(exchange *x)
{
    transit *t = x->handler;
    if (t != NULL && t->fetching && x->has_body) {
        fetch_send_end(&t->fetch);
    }
}

static void route_writable(exchange *x)
{
    transit *t = x->handler;
    if (t != NULL) {
        flight_writable(t);
    }
}

static void route_gone(exchange *x)
{
    transit *t = x->handler;
    if (t == NULL) {
        return;
    }
    x->handler = NULL;
    t->x = NULL;
    compress_end(t);
    tape_leave(&t->reader);
    if (t->waits) {
        flight_leave(t);
    }
    if (t->fetching && !t->leads) { /* nobody wants it; a leader goes on for the cache */
        fetch_cancel(&t->fetch);
        t->fetching = false;
    } else if (t->fetching && !transit_orphan(t)) {
        flight_give_up(t);
    } else if (t->fetching && t->fetch.paused) {
        t->held = true; /* going on may end it */
        fetch_pause(&t->fetch, false);
        t->held = false;
    }
    transit_let_go(t);
}

/* --- making -------------------------------------------------------------------------------- */

static void find_cache(proxy *p)
{
    bool wanted = false;
    for (uint32_t i = 0; i < p->mounts.count; i++) {
        wanted = wanted || p->mounts.items[i].cache;
    }
    brisk_engine *engine = wanted ? server_engine(p->server) : NULL;
    if (engine == NULL) {
        return;
    }
    p->cache = brisk_engine_cache(engine);
    p->executor = brisk_engine_executor(engine);
    uint32_t count = p->cache != NULL ? brisk_cache_tier_count(p->cache) : 0;
    bool near = count > 0 && (brisk_cache_tier(p->cache, 0)->flags & BRISK_TIER_FAST) != 0;
    p->near = near ? 1 : 0;
    p->deep = count > p->near;
}

/* Checks begin with the node, whichever worker is asked first; the loops do not run yet. */
static brisk_err begin_checks(proxy *p)
{
    bool wanted = false;
    for (uint32_t i = 0; i < p->mounts.count; i++) {
        wanted = wanted || p->mounts.items[i].health.path[0] != '\0';
    }
    return wanted ? make_side(&p->sides[0], &p->server->workers[0].loop) : BRISK_OK;
}

brisk_err proxy_create(server *s, const brisk_yaml_doc *doc, proxy **ret, brisk_errinfo *info)
{
    proxy_mounts mounts;
    *ret = NULL;
    brisk_err err = proxy_config_read(doc, s->alloc, &mounts, info);
    if (err != BRISK_OK || mounts.count == 0) {
        return err;
    }
    proxy *p = s->alloc->acquire(s->alloc->ctx, sizeof *p, _Alignof(proxy));
    if (p == NULL) {
        proxy_config_deinit(&mounts);
        return BRISK_ERR_NOMEM;
    }
    memset(p, 0, sizeof *p);
    p->server = s;
    p->alloc = s->alloc;
    p->clock = s->clock;
    p->mounts = mounts;
    if (getrandom(&p->seed, sizeof p->seed, GRND_NONBLOCK) != (ssize_t)sizeof p->seed) {
        p->seed = brisk_clock_now_ns(p->clock) ^ (uint64_t)(uintptr_t)p; /* early in the boot */
    }
    (void)pthread_mutex_init(&p->lock, NULL); /* cannot fail for plain ones on Linux */
    (void)pthread_cond_init(&p->idle, NULL);
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        p->sides[i].owner = p;
        p->sides[i].index = i;
    }
    find_cache(p);
    err = begin_checks(p);
    if (err != BRISK_OK) {
        proxy_destroy(p);
        return brisk_errinfo_set(info, err, "serve.proxy: %s", brisk_err_message(err));
    }
    *ret = p;
    return BRISK_OK;
}

brisk_err proxy_add_routes(proxy *p, http_routes *routes, brisk_errinfo *info)
{
    for (uint32_t i = 0; i < p->mounts.count; i++) {
        proxy_mount *mount = &p->mounts.items[i];
        mount->owner = p;
        mount->route = (http_route){
            .name = "proxy",
            .methods = HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_OPTIONS |
                       HTTP_PATCH | HTTP_PURGE | HTTP_OTHER,
            .priority = {.urgency = 3},
            .body_max = mount->body_max,
            .begin = route_begin,
            .body = route_body,
            .end = route_end,
            .writable = route_writable,
            .gone = route_gone,
            .ctx = mount,
        };
        brisk_err err = http_routes_add(routes, mount->host, mount->at, &mount->route);
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, err, "serve.proxy: %s%s: %s", mount->host, mount->at,
                                     brisk_err_message(err));
        }
    }
    return BRISK_OK;
}

void proxy_settle(proxy *p)
{
    if (p == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    while (p->tasks > 0) {
        (void)pthread_cond_wait(&p->idle, &p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
}

void proxy_destroy(proxy *p)
{
    if (p == NULL) {
        return;
    }
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        free_side(&p->sides[i]);
    }
    proxy_config_deinit(&p->mounts);
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_cond_destroy(&p->idle);
    p->alloc->release(p->alloc->ctx, p, sizeof *p, _Alignof(proxy));
}
