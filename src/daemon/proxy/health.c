/*
 * health.c -- active checks: worker 0 asks each upstream for a path, again and again, from the node's start on.
 *
 * A check that answers 200 .. 399 in time is good.  `healthy` good ones in a row make an ill upstream
 * well, `unhealthy` bad ones make it ill; what is between changes nothing.  All begin well.
 *
 * Threads: worker 0's; what it finds is atomic in upstream.
 */
#include <string.h>

#include <brisk/log.h>

#include "daemon/proxy/transit.h"

typedef struct check {
    fetch fetch; /* first */
    struct check *next;
    proxy_side *side;
    proxy_mount *mount;
    upstream *up;
    uint64_t due_ns;
    uint32_t good;
    uint32_t bad;
    bool running;
    char path[PROXY_AT_MAX];
} check;

static void settle(check *c, bool good)
{
    const proxy_health *health = &c->mount->health;
    c->running = false;
    c->good = good ? c->good + 1 : 0;
    c->bad = good ? 0 : c->bad + 1;
    bool ill = atomic_load_explicit(&c->up->ill, memory_order_relaxed);
    if (ill && c->good >= health->good) {
        atomic_store_explicit(&c->up->ill, false, memory_order_relaxed);
        brisk_log(BRISK_LOG_INFO, "proxy", "upstream %s is well again", c->up->url);
    } else if (!ill && c->bad >= health->bad) {
        atomic_store_explicit(&c->up->ill, true, memory_order_relaxed);
        brisk_log(BRISK_LOG_WARNING, "proxy", "upstream %s is ill: %u checks failed", c->up->url,
                  c->bad);
    }
}

static void on_head(fetch *f, const fetch_reply *reply)
{
    check *c = (check *)f;
    if (!reply->whole) {
        fetch_cancel(f); /* the status is all that is wanted */
    }
    settle(c, reply->status < 400);
}

static void on_body(fetch *f, const void *data, size_t size)
{
    (void)f;
    (void)data;
    (void)size;
}

static void on_end(fetch *f)
{
    (void)f;
}

static void on_fail(fetch *f, fetch_error why)
{
    (void)why;
    settle((check *)f, false);
}

static const fetch_events events = {
    .head = on_head, .body = on_body, .end = on_end, .fail = on_fail};

static void ask(check *c)
{
    static const char block[] = "user-agent: brisk\r\naccept: */*\r\n";
    c->running = true;
    c->fetch = (fetch){.events = &events,
                       .request = {.method = HTTP_TEXT("GET"),
                                   .target = {c->path, strlen(c->path)},
                                   .block = {block, sizeof block - 1},
                                   .only = c->up}};
    fetch_start(&c->fetch, c->side->pools[c->mount->index]);
}

static void tick(void *ctx, uint64_t now_ns)
{
    for (check *c = ctx; c != NULL; c = c->next) {
        if (now_ns < c->due_ns) {
            continue;
        }
        c->due_ns = now_ns + c->mount->health.interval_ns;
        if (c->running) { /* it took a whole interval: that is an answer, too */
            fetch_cancel(&c->fetch);
            settle(c, false);
        }
        ask(c);
    }
}

brisk_err health_start(proxy_side *side)
{
    proxy *p = side->owner;
    for (uint32_t i = 0; i < p->mounts.count; i++) {
        proxy_mount *mount = &p->mounts.items[i];
        for (uint32_t k = 0; mount->health.path[0] != '\0' && k < mount->group.count; k++) {
            check *c = p->alloc->acquire(p->alloc->ctx, sizeof *c, _Alignof(check));
            if (c == NULL) {
                return BRISK_ERR_NOMEM;
            }
            memset(c, 0, sizeof *c);
            c->side = side;
            c->mount = mount;
            c->up = &mount->group.items[k];
            memcpy(c->path, mount->health.path, sizeof c->path);
            c->next = side->worker->tick_ctx;
            side->worker->tick_ctx = c;
            side->worker->tick = tick;
        }
    }
    if (side->worker->tick != NULL) {
        proxy_worker_arm_tick(side->worker, brisk_clock_now_ns(p->clock));
    }
    return BRISK_OK;
}

void health_stop(proxy_side *side)
{
    const brisk_alloc *alloc = side->owner->alloc;
    check *c = side->worker->tick_ctx;
    side->worker->tick = NULL;
    side->worker->tick_ctx = NULL;
    while (c != NULL) {
        check *next = c->next;
        if (c->running) {
            fetch_cancel(&c->fetch);
        }
        alloc->release(alloc->ctx, c, sizeof *c, _Alignof(check));
        c = next;
    }
}
