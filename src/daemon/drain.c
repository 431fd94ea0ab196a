/*
 * drain.c -- who may leave, looked at ten times a second.
 *
 * Nobody leaves between a request that has come, read or not, and its answer.  What a client sends while it is told
 * that this is the end is read and dropped: closed with something unread, the kernel would send a reset, and with that
 * answers on their way are lost.  So a client sees all answers, then the end, and may ask again where somebody takes
 * over; where nobody does, nobody is waited for.
 */
#include "daemon/drain.h"

#include <stdatomic.h>
#include <sys/ioctl.h>

#define NS_PER_MS UINT64_C(1000000)

enum {
    QUIET_MS = 250, /* since its last request, when somebody takes over */
    BUSY_MS = 1000, /* after that a connection that is never quiet leaves between two requests */
};

void drain_begin(server *s, bool taken_over)
{
    atomic_store_explicit(&s->drain_gently, taken_over, memory_order_relaxed);
    /* Release: a worker that sees `draining` sees how. */
    atomic_store_explicit(&s->draining_ns, brisk_clock_now_ns(s->clock), memory_order_release);
    atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
    listen_stop(s);
    if (!taken_over) { /* otherwise jobs that wait still have time to run */
        jobs_refuse(s->jobs);
    }
}

uint32_t drain_left(const server *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        count += atomic_load_explicit(&s->workers[i].conn_count, memory_order_relaxed);
    }
    return count;
}

/* Nothing of it is unread, unsent, or waited for. */
static bool is_done(conn *c)
{
    bool done = c->protocol->drain != NULL
                    ? c->protocol->drain(c)
                    : !c->waiting && c->in_size == 0 && c->protocol->is_idle(c);
    return done && conn_unsent(c) == 0;
}

/* Something has come that was not read yet. */
static bool has_unread(const conn *c)
{
    int bytes = 0;
    return ioctl(c->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

void drain_tick(worker *w)
{
    server *s = w->server;
    uint64_t begun = atomic_load_explicit(&s->draining_ns, memory_order_acquire);
    if (begun == 0) {
        return;
    }
    uint64_t now = brisk_clock_now_ns(s->clock);
    bool taken_over = atomic_load_explicit(&s->drain_gently, memory_order_relaxed);
    bool gently = taken_over && now - begun < BUSY_MS * NS_PER_MS;
    for (conn *c = w->conns; c != NULL;) {
        conn *next = c->next;
        bool quiet = now >= c->active_ns + QUIET_MS * NS_PER_MS;
        if (!c->dead && !c->closing && (quiet || !gently) && is_done(c) && !has_unread(c)) {
            c->lingers = taken_over && !quiet; /* it may be about to ask */
            conn_finish(c);
        }
        c = next;
    }
}
