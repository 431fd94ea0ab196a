/*
 * background.h -- a thread for what loops must not do: files, databases, figures of everything, once a second.
 *
 *     loop ──background_give──► queue ──► its thread: work->run ──loop_post──► the loop: work->done
 *
 * One thing runs at a time, in the order given; each is short (a query, a snapshot).  The queue is bounded.
 * At the end what is queued still runs, so that whoever owns it hears of it.
 *
 * Threads: give from any.
 */
#ifndef BRISK_SRC_DAEMON_API_BACKGROUND_H
#define BRISK_SRC_DAEMON_API_BACKGROUND_H

#include <stdbool.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "daemon/loop.h"

enum { BACKGROUND_QUEUE_MAX = 1024 };

typedef struct background background;

/* Something to do; part of its owner's memory until `done` has run. */
typedef struct background_work {
    loop_task done; /* first; posted to `home` after `run` */
    struct background_work *next;
    void (*run)(struct background_work *work); /* in the thread */
    loop *home;
} background_work;

typedef struct background_opts {
    void (*second)(void *ctx); /* once a second, in the thread; may be NULL */
    void *ctx;
    const brisk_alloc *alloc;
} background_opts;

/* Errors: NOMEM, LIMIT (no thread). */
BRISK_NODISCARD brisk_err background_start(const background_opts *opts, background **ret);
/* Everything given has run; while loops can still be posted to.  NULL is accepted. */
void background_stop(background *b);
/* False: too much is queued; nothing will run. */
BRISK_NODISCARD bool background_give(background *b, background_work *work);

#endif /* BRISK_SRC_DAEMON_API_BACKGROUND_H */
