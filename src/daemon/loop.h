/*
 * loop.h -- an event loop: one thread, one epoll, one mailbox.
 *
 * What is watched embeds a loop_source; what other threads want done here is a loop_task in their
 * own memory, posted to a list that a single exchange empties.  The eventfd is written only by
 * whoever finds the list empty, so that a burst of posts costs one system call.
 *
 * Between two waits a loop may look for events without sleeping for `spin_ns`: waking an idle
 * processor costs 60 us here, and 5 when it never slept.
 *
 * Threads: everything belongs to the loop's thread but loop_post, loop_wake and loop_stop.
 */
#ifndef BRISK_SRC_DAEMON_LOOP_H
#define BRISK_SRC_DAEMON_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/clock.h>
#include <brisk/err.h>

/* Something with a file descriptor; first member of what it is part of. */
typedef struct loop_source {
    void (*ready)(struct loop_source *self, uint32_t events);
} loop_source;

/* Something to be done in the loop's thread; the poster's memory until `run` is called. */
typedef struct loop_task {
    struct loop_task *next;
    void (*run)(struct loop_task *self);
} loop_task;

typedef struct loop_hooks {
    void (*round)(void *ctx); /* after the events of each wait */
    void (*tick)(void *ctx);  /* about ten times a second */
    void *ctx;
} loop_hooks;

typedef struct loop {
    loop_source mailbox; /* the eventfd; first */
    int epoll_fd;
    int event_fd;
    loop_hooks hooks;
    const brisk_clock *clock;
    _Atomic uint64_t spin_ns;
    _Atomic(loop_task *) tasks; /* newest first */
    _Atomic bool woken;         /* the eventfd is written and not yet read */
    _Atomic bool stop;
    uint64_t now_ns;  /* when the last wait ended: for times that may be as old as a round */
    uint64_t tick_ns; /* when the last tick was */
} loop;

BRISK_NODISCARD brisk_err loop_init(loop *self, const loop_hooks *hooks, const brisk_clock *clock);
void loop_deinit(loop *self);
BRISK_NODISCARD brisk_err loop_watch(loop *self, int fd, uint32_t events, loop_source *source);
void loop_rewatch(loop *self, int fd, uint32_t events, loop_source *source);
void loop_unwatch(loop *self, int fd);
/* Until loop_stop. */
void loop_run(loop *self);
void loop_post(loop *self, loop_task *task);
/* Run what is posted; when the loop does not run any more. */
void loop_drain(loop *self);
/* End the present wait, so that `round` is called. */
void loop_wake(loop *self);
void loop_stop(loop *self);

#endif /* BRISK_SRC_DAEMON_LOOP_H */
