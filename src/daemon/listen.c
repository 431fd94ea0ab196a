/*
 * listen.c -- new connections, and which worker gets them.
 *
 * Every worker watches every socket; of those that sleep the kernel wakes one (EPOLLEXCLUSIVE), so
 * that nobody waits behind a worker that is busy, which a socket for each worker (SO_REUSEPORT)
 * would mean.  Whoever accepts keeps the connection, unless another worker has clearly fewer: few
 * connections that stay are spread evenly, and many that come and go stay where they came.
 *
 * Measured with two workers: a connection of one command costs 37 us of processor time, with
 * SO_REUSEPORT as well, and so it did when one worker accepted for all; eight connections that stay
 * are 4:4 here and were up to 2:6 there.
 *
 * Descriptors are given out lowest first, so the number of a new one says how many are left.  The
 * last ones are not for connections: whoever gets one is closed at once, and so learns of it.
 * Should files have used those up, too, a worker gives up a spare one for a moment.
 *
 * Source:  epoll_ctl(2), EPOLLEXCLUSIVE; the spare descriptor is M. Lehmann's, libev(3).
 */
#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/server.h"

enum {
    ACCEPTS_MAX = 64, /* between two looks at those who are connected */
    BACKLOG = 511,
    EVEN_ENOUGH = 8, /* one in so many may be too many */
    KEPT_MAX = 64,   /* descriptors for files and upstream servers */
};

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
    atomic_fetch_sub_explicit(&w->conn_count, 1, memory_order_relaxed);
    conn_open(w, &protocol_detect, fd);
}

static uint32_t load_of(const worker *w)
{
    /* Relaxed: a guess that is good enough. */
    return atomic_load_explicit(&w->conn_count, memory_order_relaxed);
}

/* Who is to have a connection that `w` accepted. */
static worker *choose(worker *w)
{
    server *s = w->server;
    worker *best = w;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        if (load_of(&s->workers[i]) < load_of(best)) {
            best = &s->workers[i];
        }
    }
    uint32_t own = load_of(w);
    uint32_t least = load_of(best);
    return own > least && own - least > own / EVEN_ENOUGH ? best : w;
}

static void give(worker *from, int fd)
{
    worker *w = choose(from);
    if (w == from) {
        conn_open(w, &protocol_detect, fd);
        return;
    }
    const brisk_alloc *alloc = w->server->alloc;
    handover *h = alloc->acquire(alloc->ctx, sizeof *h, _Alignof(handover));
    if (h == NULL) {
        (void)close(fd);
        return;
    }
    *h = (handover){.task = {.run = take_over}, .worker = w, .fd = fd};
    atomic_fetch_add_explicit(&w->conn_count, 1, memory_order_relaxed); /* until it has it */
    loop_post(&w->loop, &h->task);
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is left for whoever waits: say so by closing. */
static void turn_away(worker *w, int listen_fd)
{
    atomic_fetch_add_explicit(&w->server->accept_failures, 1, memory_order_relaxed);
    if (w->accepting.spare_fd < 0) {
        w->accepting.spare_fd = open_spare();
        struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL); /* another worker was quicker: do not spin */
        return;
    }
    (void)close(w->accepting.spare_fd);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        (void)close(fd);
    }
    w->accepting.spare_fd = open_spare();
}

static void accept_ready(loop_source *source, uint32_t events)
{
    (void)events;
    acceptor *a = (acceptor *)source;
    const listen_socket *from = &a->listener->socket;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(from->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno == ECONNABORTED) {
            continue;
        }
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                turn_away(a->worker, from->fd);
            }
            return;
        }
        if (fd >= a->worker->accepting.fd_end) {
            atomic_fetch_add_explicit(&a->worker->server->accept_failures, 1, memory_order_relaxed);
            (void)close(fd);
            continue;
        }
        if (!from->is_unix) {
            int on = 1;
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        }
        give(a->worker, fd);
    }
}

/* --- the sockets -------------------------------------------------------------------------- */

/* The first descriptor that is not for connections. */
static int connections_end(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) {
        return INT_MAX;
    }
    int count = (int)limit.rlim_cur;
    return count - (count / 4 < KEPT_MAX ? count / 4 : KEPT_MAX);
}

void accepting_init(accepting *self)
{
    *self = (accepting){.spare_fd = open_spare(), .fd_end = connections_end()};
}

void accepting_deinit(accepting *self)
{
    if (self->spare_fd >= 0) {
        (void)close(self->spare_fd);
    }
    self->spare_fd = -1;
}

static brisk_err watch(worker *w, const listener *l)
{
    acceptor *a = &w->accepting.at[w->accepting.count];
    *a = (acceptor){.source = {.ready = accept_ready}, .worker = w, .listener = l};
    brisk_err err = loop_watch(&w->loop, l->socket.fd, EPOLLIN | EPOLLEXCLUSIVE, &a->source);
    w->accepting.count += err == BRISK_OK ? 1 : 0;
    return err;
}

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
        *l = (listener){.socket = from->list[taken]};
        for (uint32_t i = 0; i < s->worker_count && err == BRISK_OK; i++) {
            err = watch(&s->workers[i], l);
        }
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

static void close_all(server *s)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        listen_socket *l = &s->listeners[i].socket;
        if (l->fd >= 0) {
            (void)close(l->fd);
            if (l->is_ours) {
                (void)unlink(l->text);
            }
        }
        l->fd = -1;
    }
}

/* Somebody may wait whom the kernel left to this worker, and no other is woken for him. */
static void leave(worker *w)
{
    for (uint32_t i = 0; i < w->accepting.count; i++) {
        acceptor *a = &w->accepting.at[i];
        loop_unwatch(&w->loop, a->listener->socket.fd);
        if (w->started) {
            accept_ready(&a->source, EPOLLIN);
        }
    }
    w->accepting.count = 0;
}

static void leave_and_close(loop_task *task)
{
    worker *w = (worker *)(void *)((char *)task - offsetof(worker, accepting.stop));
    server *s = w->server;
    leave(w);
    /* Acquire and release: the last one closes after all others have left. */
    if (atomic_fetch_sub_explicit(&s->listening, 1, memory_order_acq_rel) == 1) {
        close_all(s);
    }
}

void listen_stop(server *s)
{
    if (s->listening_ended) {
        return;
    }
    s->listening_ended = true;
    uint32_t running = 0;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        running += s->workers[i].started ? 1 : 0;
    }
    if (running == 0) {
        for (uint32_t i = 0; i < s->worker_count; i++) {
            leave(&s->workers[i]);
        }
        close_all(s);
        return;
    }
    atomic_store_explicit(&s->listening, running, memory_order_relaxed); /* posting publishes it */
    for (uint32_t i = 0; i < s->worker_count; i++) {
        worker *w = &s->workers[i];
        if (w->started) {
            w->accepting.stop.run = leave_and_close;
            loop_post(&w->loop, &w->accepting.stop);
        }
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
