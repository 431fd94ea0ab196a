/*
 * loop.c -- waits, dispatches, ticks.
 *
 * Posting: push on the list (release), then wake.  The loop clears `woken` before it takes the list
 * (acquire), so that a post which comes too late for this round finds it cleared and wakes again.
 */
#include "daemon/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"

enum { EVENTS_MAX = 128, TICK_MS = 100 };

static const uint64_t ns_per_ms = 1000000;

static void mailbox_ready(loop_source *source, uint32_t events)
{
    (void)events;
    loop *self = (loop *)source;
    uint64_t count;
    (void)!read(self->event_fd, &count, sizeof count);
}

brisk_err loop_init(loop *self, const loop_hooks *hooks, const brisk_clock *clock)
{
    *self = (loop){.mailbox = {.ready = mailbox_ready},
                   .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                   .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                   .hooks = *hooks,
                   .clock = clock,
                   .now_ns = brisk_clock_now_ns(clock)};
    brisk_err err = BRISK_OK;
    if (self->epoll_fd < 0 || self->event_fd < 0) {
        err = brisk_err_from_errno(errno);
    } else {
        err = loop_watch(self, self->event_fd, EPOLLIN, &self->mailbox);
    }
    if (err != BRISK_OK) {
        loop_deinit(self);
    }
    return err;
}

void loop_deinit(loop *self)
{
    if (self->epoll_fd >= 0) {
        (void)close(self->epoll_fd);
    }
    if (self->event_fd >= 0) {
        (void)close(self->event_fd);
    }
    self->epoll_fd = -1;
    self->event_fd = -1;
}

brisk_err loop_watch(loop *self, int fd, uint32_t events, loop_source *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? BRISK_OK
                                                                     : brisk_err_from_errno(errno);
}

void loop_rewatch(loop *self, int fd, uint32_t events, loop_source *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    int failed = epoll_ctl(self->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    BRISK_ASSERT(failed == 0); /* it is watched, and changing needs no memory */
}

void loop_unwatch(loop *self, int fd)
{
    (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void loop_wake(loop *self)
{
    /* One write for many wakes; acq_rel orders what was posted before the flag. */
    if (!atomic_exchange_explicit(&self->woken, true, memory_order_acq_rel)) {
        uint64_t one = 1;
        (void)!write(self->event_fd, &one, sizeof one);
    }
}

void loop_post(loop *self, loop_task *task)
{
    task->next = atomic_load_explicit(&self->tasks, memory_order_relaxed);
    /* Release: the loop that takes the list sees what the task's owner wrote. */
    while (!atomic_compare_exchange_weak_explicit(&self->tasks, &task->next, task,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    loop_wake(self);
}

void loop_stop(loop *self)
{
    atomic_store_explicit(&self->stop, true, memory_order_relaxed);
    loop_wake(self);
}

static void run_tasks(loop *self)
{
    loop_task *newest = atomic_exchange_explicit(&self->tasks, NULL, memory_order_acquire);
    loop_task *oldest = NULL;
    while (newest != NULL) {
        loop_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        loop_task *next = oldest->next; /* `run` may free it */
        oldest->run(oldest);
        oldest = next;
    }
}

void loop_drain(loop *self)
{
    run_tasks(self);
}

/* Milliseconds until the next tick. */
static int until_tick(const loop *self, uint64_t now)
{
    uint64_t due = self->tick_ns + TICK_MS * ns_per_ms;
    return due > now ? (int)((due - now) / ns_per_ms) + 1 : 0;
}

/* Events, without sleeping for a while, then asleep until the next tick. */
static int wait_for_events(loop *self, struct epoll_event *events)
{
    uint64_t spin = atomic_load_explicit(&self->spin_ns, memory_order_relaxed);
    uint64_t start = brisk_clock_now_ns(self->clock);
    uint64_t now = start;
    while (now - start < spin && until_tick(self, now) > 0) {
        int count = epoll_wait(self->epoll_fd, events, EVENTS_MAX, 0);
        if (count != 0) {
            return count;
        }
        now = brisk_clock_now_ns(self->clock);
    }
    return epoll_wait(self->epoll_fd, events, EVENTS_MAX, until_tick(self, now));
}

void loop_run(loop *self)
{
    struct epoll_event events[EVENTS_MAX];
    self->tick_ns = self->now_ns;
    while (!atomic_load_explicit(&self->stop, memory_order_relaxed)) {
        int count = wait_for_events(self, events);
        BRISK_ASSERT(count >= 0 || errno == EINTR);
        self->now_ns = brisk_clock_now_ns(self->clock);
        for (int i = 0; i < count; i++) {
            loop_source *source = events[i].data.ptr;
            source->ready(source, events[i].events);
        }
        if (atomic_load_explicit(&self->woken, memory_order_relaxed)) {
            /* Acquire, with the exchange in loop_wake; cleared before the list is taken. */
            (void)atomic_exchange_explicit(&self->woken, false, memory_order_acq_rel);
            run_tasks(self);
        }
        uint64_t now = brisk_clock_now_ns(self->clock);
        if (until_tick(self, now) == 0) {
            self->tick_ns = now;
            self->hooks.tick(self->hooks.ctx);
        }
        self->hooks.round(self->hooks.ctx);
    }
    run_tasks(self);
}
