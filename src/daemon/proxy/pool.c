/*
 * pool.c -- see pool.h.
 */
#include "daemon/proxy/pool.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "daemon/proxy/fetch.h"
#include "daemon/proxy/link.h"

enum { PERIOD_TICKS = 100, KEEP_MIN = 4 };

static const uint64_t tick_ns = UINT64_C(100000000);

void link_list_push(link_list *list, proxy_link *l)
{
    l->previous = NULL;
    l->next = list->first;
    if (list->first != NULL) {
        list->first->previous = l;
    } else {
        list->last = l;
    }
    list->first = l;
    list->count++;
}

void link_list_remove(link_list *list, proxy_link *l)
{
    if (l->previous != NULL) {
        l->previous->next = l->next;
    } else {
        list->first = l->next;
    }
    if (l->next != NULL) {
        l->next->previous = l->previous;
    } else {
        list->last = l->previous;
    }
    l->next = NULL;
    l->previous = NULL;
    list->count--;
}

uint64_t proxy_worker_random(proxy_worker *w)
{
    /* xorshift64*, S. Vigna (2014): which of equals, nothing more. */
    uint64_t x = w->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    w->random = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* --- the timer ----------------------------------------------------------------------------- */

void proxy_worker_arm(proxy_worker *w, uint64_t at_ns)
{
    if (w->due_ns != 0 && w->due_ns <= at_ns) {
        return;
    }
    w->due_ns = at_ns;
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(at_ns / 1000000000),
                                           .tv_nsec = (long)(at_ns % 1000000000)}};
    (void)timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void proxy_worker_arm_tick(proxy_worker *w, uint64_t now_ns)
{
    if (w->due_ns == 0) {
        proxy_worker_arm(w, now_ns + tick_ns);
    }
}

static void check_idle(proxy_pool *pool, uint64_t now_ns)
{
    for (uint32_t i = 0; i < pool->group->count; i++) {
        proxy_link *l = pool->idle[i].last; /* the oldest */
        while (l != NULL) {
            proxy_link *younger = l->previous;
            bool surplus = pool->idle[i].count > pool->keep_max && pool->ticks == 0;
            if (!surplus && now_ns - l->idle_since_ns < pool->manners->keep_ns) {
                break;
            }
            link_drop(l);
            l = younger;
        }
    }
}

static void check_busy(proxy_pool *pool, uint64_t now_ns)
{
    proxy_link *l = pool->busy.first;
    while (l != NULL) {
        proxy_link *next = l->next;
        bool due = l->deadline_ns != 0 && now_ns >= l->deadline_ns;
        if (due) {
            link_check_time(l, now_ns);
            next = pool->busy.first; /* what it told may have ended any other */
        }
        l = next;
    }
}

static void check_hedges(proxy_pool *pool, uint64_t now_ns)
{
    while (pool->hedge_first != NULL && pool->hedge_first->hedge_ns <= now_ns) {
        fetch_hedge(pool->hedge_first); /* leaves the list */
    }
}

static bool check_pool(proxy_pool *pool, uint64_t now_ns)
{
    if (++pool->ticks >= PERIOD_TICKS) {
        pool->keep_max = pool->busy_peak > KEEP_MIN ? pool->busy_peak : KEEP_MIN;
        pool->busy_peak = pool->busy.count;
        pool->ticks = 0;
    }
    check_idle(pool, now_ns);
    check_busy(pool, now_ns);
    bool any = pool->busy.count > 0;
    for (uint32_t i = 0; i < pool->group->count; i++) {
        any = any || pool->idle[i].count > 0;
    }
    return any;
}

static void free_graves(proxy_worker *w)
{
    while (w->graves[1] != NULL) {
        proxy_link *l = w->graves[1];
        w->graves[1] = l->next;
        link_free(l);
    }
    w->graves[1] = w->graves[0];
    w->graves[0] = NULL;
}

static void timer_ready(loop_source *self, uint32_t events)
{
    (void)events;
    proxy_worker *w = (proxy_worker *)self;
    uint64_t count;
    if (read(w->timer_fd, &count, sizeof count) < 0) {
        return; /* it was set anew meanwhile */
    }
    uint64_t now = brisk_clock_now_ns(w->clock);
    w->due_ns = 0;
    bool tick = now >= w->tick_due_ns;
    bool any = w->tick != NULL;
    for (proxy_pool *pool = w->pools; pool != NULL; pool = pool->next) {
        check_hedges(pool, now);
        any = tick ? check_pool(pool, now) || any : true;
    }
    if (tick) {
        w->tick_due_ns = now + tick_ns;
        free_graves(w);
        if (w->tick != NULL) {
            w->tick(w->tick_ctx, now);
        }
        any = any || w->graves[0] != NULL || w->graves[1] != NULL;
    }
    if (any) {
        proxy_worker_arm(w, w->tick_due_ns > now ? w->tick_due_ns : now + tick_ns);
    }
    for (proxy_pool *pool = w->pools; pool != NULL; pool = pool->next) {
        if (pool->hedge_first != NULL) {
            proxy_worker_arm(w, pool->hedge_first->hedge_ns);
        }
    }
}

/* --- making -------------------------------------------------------------------------------- */

brisk_err proxy_worker_create(loop *on, const brisk_alloc *alloc, const brisk_clock *clock,
                              proxy_worker **ret)
{
    proxy_worker *w = alloc->acquire(alloc->ctx, sizeof *w, _Alignof(proxy_worker));
    if (w == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(w, 0, sizeof *w);
    w->timer.ready = timer_ready;
    w->loop = on;
    w->alloc = alloc;
    w->clock = clock;
    w->random = brisk_clock_now_ns(clock) | 1;
    w->timer_fd = -1;
    brisk_err err = BRISK_ERR_NOMEM;
    w->in = alloc->acquire(alloc->ctx, PROXY_IN_BYTES, 1);
    if (w->in == NULL) {
        goto fail;
    }
    err = BRISK_ERR_IO;
    w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->timer_fd < 0) {
        goto fail;
    }
    err = loop_watch(on, w->timer_fd, EPOLLIN, &w->timer);
    if (err != BRISK_OK) {
        goto fail;
    }
    *ret = w;
    return BRISK_OK;
fail:
    proxy_worker_destroy(w);
    return err;
}

static void close_all(proxy_pool *pool)
{
    for (uint32_t i = 0; i < pool->group->count; i++) {
        while (pool->idle[i].first != NULL) {
            link_drop(pool->idle[i].first);
        }
    }
    while (pool->busy.first != NULL) {
        proxy_link *l = pool->busy.first;
        if (l->fetch != NULL) {
            fetch_cancel(l->fetch);
        } else {
            link_drop(l);
        }
    }
}

void proxy_worker_destroy(proxy_worker *w)
{
    if (w == NULL) {
        return;
    }
    const brisk_alloc *alloc = w->alloc;
    w->ended = true;
    for (proxy_pool *pool = w->pools; pool != NULL; pool = pool->next) {
        close_all(pool);
    }
    free_graves(w);
    free_graves(w);
    while (w->pools != NULL) {
        proxy_pool *pool = w->pools;
        w->pools = pool->next;
        alloc->release(alloc->ctx, pool->idle, pool->group->count * sizeof *pool->idle,
                       _Alignof(link_list));
        alloc->release(alloc->ctx, pool, sizeof *pool, _Alignof(proxy_pool));
    }
    if (w->timer_fd >= 0) {
        (void)close(w->timer_fd);
    }
    if (w->in != NULL) {
        alloc->release(alloc->ctx, w->in, PROXY_IN_BYTES, 1);
    }
    alloc->release(alloc->ctx, w, sizeof *w, _Alignof(proxy_worker));
}

brisk_err proxy_pool_create(proxy_worker *w, upstreams *group, const proxy_manners *manners,
                            proxy_pool **ret)
{
    const brisk_alloc *alloc = w->alloc;
    proxy_pool *pool = alloc->acquire(alloc->ctx, sizeof *pool, _Alignof(proxy_pool));
    if (pool == NULL) {
        return BRISK_ERR_NOMEM;
    }
    size_t size = group->count * sizeof(link_list);
    *pool = (proxy_pool){.worker = w,
                         .group = group,
                         .manners = manners,
                         .budget = PROXY_BUDGET,
                         .keep_max = KEEP_MIN,
                         .quantile_ns = UINT64_C(50000000),
                         .next = w->pools};
    pool->idle = alloc->acquire(alloc->ctx, size, _Alignof(link_list));
    if (pool->idle == NULL) {
        alloc->release(alloc->ctx, pool, sizeof *pool, _Alignof(proxy_pool));
        return BRISK_ERR_NOMEM;
    }
    memset(pool->idle, 0, size);
    w->pools = pool;
    *ret = pool;
    return BRISK_OK;
}
