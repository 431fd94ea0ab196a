/*
 * listen.c -- new connections, and which worker gets them.
 *
 * Worker 0 accepts and hands every connection to the worker that has the fewest.
 */
#include "daemon/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "daemon/server.h"

enum { ACCEPTS_MAX = 64, /* between two looks at those who are connected */ BACKLOG = 511 };

/* --- who gets it -------------------------------------------------------------------------- */

typedef struct handover {
    loop_task task; /* first */
    worker *worker;
    int fd;
} handover;

static void take_over(loop_task *task)
{
    handover *h = (handover *)task;
    worker *w = h->worker;
    int fd = h->fd;
    w->server->alloc->release(w->server->alloc->ctx, h, sizeof *h, _Alignof(handover));
    conn_open(w, &protocol_detect, fd);
}

static worker *least_loaded(server *s)
{
    worker *best = &s->workers[s->next_worker % s->worker_count];
    s->next_worker++;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        worker *w = &s->workers[i];
        if (atomic_load_explicit(&w->conn_count, memory_order_relaxed) <
            atomic_load_explicit(&best->conn_count, memory_order_relaxed)) {
            best = w;
        }
    }
    return best;
}

static void give(server *s, int fd)
{
    worker *w = least_loaded(s);
    if (w->index == 0) {
        conn_open(w, &protocol_detect, fd);
        return;
    }
    handover *h = s->alloc->acquire(s->alloc->ctx, sizeof *h, _Alignof(handover));
    if (h == NULL) {
        (void)close(fd);
        return;
    }
    *h = (handover){.task = {.run = take_over}, .worker = w, .fd = fd};
    loop_post(&w->loop, &h->task);
}

static void accept_ready(loop_source *source, uint32_t events)
{
    (void)events;
    listener *l = (listener *)source;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(l->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                atomic_fetch_add_explicit(&l->server->accept_failures, 1, memory_order_relaxed);
                struct timespec pause = {.tv_nsec = 1000000};
                (void)nanosleep(&pause, NULL); /* full of descriptors: do not spin */
            }
            return;
        }
        if (!l->socket.is_unix) {
            int on = 1;
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        }
        give(l->server, fd);
    }
}

/* --- the sockets -------------------------------------------------------------------------- */

brisk_err listen_start(server *s, sockets *from, brisk_errinfo *info)
{
    brisk_err err = BRISK_OK;
    uint32_t taken = 0;
    for (; taken < from->count && err == BRISK_OK; taken++) {
        if (s->listener_count == SOCKETS_MAX) {
            err = brisk_errinfo_set(info, BRISK_ERR_LIMIT, "too many sockets to listen at");
            break;
        }
        listener *l = &s->listeners[s->listener_count++];
        *l =
            (listener){.source = {.ready = accept_ready}, .server = s, .socket = from->list[taken]};
        err = loop_watch(&s->workers[0].loop, l->socket.fd, EPOLLIN, &l->source);
        if (err != BRISK_OK) {
            (void)brisk_errinfo_set(info, err, "%s: %s", l->socket.text, brisk_err_message(err));
        }
    }
    for (uint32_t i = taken; i < from->count; i++) {
        from->list[i - taken] = from->list[i];
    }
    from->count -= taken;
    sockets_close(from, false);
    return err;
}

void listen_stop(server *s)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        listener *l = &s->listeners[i];
        if (l->socket.fd >= 0) {
            loop_unwatch(&s->workers[0].loop, l->socket.fd);
            (void)close(l->socket.fd);
            if (l->socket.is_ours) {
                (void)unlink(l->socket.text);
            }
        }
        l->socket.fd = -1;
    }
}

bool listen_at_port(server *s, uint16_t port)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        if (!s->listeners[i].socket.is_unix && s->listeners[i].socket.port == port) {
            return true;
        }
    }
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    brisk_errinfo info;
    sockets more = {.backlog = BACKLOG};
    return port == 0 || (sockets_open(&more, address, &info) == BRISK_OK &&
                         listen_start(s, &more, &info) == BRISK_OK);
}

uint16_t listen_port(const server *s)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        if (!s->listeners[i].socket.is_unix) {
            return s->listeners[i].socket.port;
        }
    }
    return 0;
}

const char *listen_unix_path(const server *s)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].socket.is_unix) {
            return s->listeners[i].socket.text;
        }
    }
    return "";
}
