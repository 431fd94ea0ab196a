/*
 * conn_tick.c -- what time does to connections: looked at once a second, so that no request pays for it.
 *
 * A peer that does not read is told from one that is slow by what it acknowledged (TCP_INFO): the kernel's buffer may
 * hold megabytes, and a connection whose buffer is full for a minute may be a good one to a telephone.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>

#include "daemon/server.h"

void conn_close_idle(worker *w, uint64_t now_ns, uint64_t idle_ns)
{
    for (conn *c = w->conns; c != NULL;) {
        conn *next = c->next;
        if (now_ns - c->active_ns >= idle_ns && now_ns > c->active_ns && c->protocol->is_idle(c)) {
            atomic_fetch_add_explicit(&w->server->idle_kills, 1, memory_order_relaxed);
            conn_kill(c);
        }
        c = next;
    }
}

void conn_tick(worker *w, uint64_t now_ns)
{
    for (conn *c = w->conns; c != NULL;) {
        conn *next = c->next;
        if (c->protocol->tick != NULL) {
            c->protocol->tick(c, now_ns);
        }
        c = next;
    }
}

void conn_close_lingering(worker *w, uint64_t now_ns)
{
    for (conn *c = w->conns; c != NULL;) {
        conn *next = c->next;
        if (c->lingers && now_ns > c->active_ns &&
            now_ns - c->active_ns >= CONN_LINGER_MS * UINT64_C(1000000)) {
            conn_kill(c);
        }
        c = next;
    }
}

void conn_reset_at_end(conn *c)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

bool conn_window_stalled(conn_window *window, bool waiting, uint64_t bytes, const conn_pace *pace)
{
    if (!waiting || pace->span_ns == 0) {
        window->since_ns = 0;
        return false;
    }
    if (window->since_ns == 0) {
        *window = (conn_window){.since_ns = pace->now_ns, .bytes = bytes};
        return false;
    }
    uint64_t passed = pace->now_ns - window->since_ns;
    if (pace->now_ns < window->since_ns || passed < pace->span_ns) {
        return false;
    }
    uint64_t moved = bytes - window->bytes;
    *window = (conn_window){.since_ns = pace->now_ns, .bytes = bytes};
    return moved < (uint64_t)((double)pace->bytes_per_second * ((double)passed / 1e9));
}

/* Bytes that the peer acknowledged; of a unix socket, that it took. */
static uint64_t acknowledged(const conn *c)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
        size >= offsetof(struct tcp_info, tcpi_bytes_received)) {
        return info.tcpi_bytes_acked;
    }
    return c->sent_total;
}

bool conn_is_stalled(conn *c, const conn_pace *pace)
{
    bool waiting = conn_unsent(c) > 0;
    return conn_window_stalled(&c->writing, waiting, waiting ? acknowledged(c) : 0, pace);
}
