/*
 * link_open.c -- a connection for the next request: the youngest idle one, or a new one.
 *
 * Of an upstream's addresses the one is tried that answered last; one that does not makes the next one
 * the first (fetch.c).
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/proxy/link.h"

static int open_socket(upstream *up, bool *connecting)
{
    uint32_t at = atomic_load_explicit(&up->next_address, memory_order_relaxed) % up->address_count;
    const upstream_address *address = &up->addresses[at];
    int fd = socket(address->data.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    if (address->data.ss_family != AF_UNIX) {
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    *connecting = false;
    if (connect(fd, (const struct sockaddr *)&address->data, address->size) != 0) {
        if (errno != EINPROGRESS) {
            (void)close(fd);
            return -1;
        }
        *connecting = true;
    }
    return fd;
}

static proxy_link *make(proxy_pool *pool, upstream *up)
{
    const brisk_alloc *alloc = pool->worker->alloc;
    proxy_link *l = alloc->acquire(alloc->ctx, sizeof *l, _Alignof(proxy_link));
    if (l == NULL) {
        return NULL;
    }
    *l = (proxy_link){.source = {.ready = link_ready}, .pool = pool, .up = up, .fd = -1};
    l->out.alloc = alloc;
    l->head.answer = true;
    if (up->secure && wire_tls_create(pool->group->tls, up->host, &l->tls) != BRISK_OK) {
        alloc->release(alloc->ctx, l, sizeof *l, _Alignof(proxy_link));
        return NULL;
    }
    return l;
}

proxy_link *link_open(proxy_pool *pool, upstream *up)
{
    proxy_link *l = pool->idle[up->index].first;
    if (l != NULL) {
        link_list_remove(&pool->idle[up->index], l);
        l->state = LINK_BUSY;
        l->reused = true;
        tally_add(&pool->tally.reuses);
    } else {
        l = make(pool, up);
        if (l == NULL) {
            return NULL;
        }
        bool connecting = false;
        l->fd = open_socket(up, &connecting);
        l->events = EPOLLIN | EPOLLOUT;
        if (l->fd < 0 || loop_watch(pool->worker->loop, l->fd, l->events, &l->source) != BRISK_OK) {
            if (l->fd >= 0) {
                (void)close(l->fd);
            }
            link_free(l);
            return NULL;
        }
        l->state = connecting ? LINK_CONNECTING : l->tls != NULL ? LINK_SHAKING : LINK_BUSY;
        tally_add(&pool->tally.connects);
    }
    link_list_push(&pool->busy, l);
    pool->busy_peak = pool->busy.count > pool->busy_peak ? pool->busy.count : pool->busy_peak;
    proxy_worker_arm_tick(pool->worker, pool->worker->loop->now_ns);
    return l;
}
