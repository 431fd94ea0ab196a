/*
 * background.c -- the thread behind background.h.
 */
#include "daemon/api/background.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/thread.h"

struct background {
    const brisk_alloc *alloc;
    void (*second)(void *ctx);
    void *ctx;
    brisk_thread thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted; /* of the monotonic clock */
    background_work *first;
    background_work *last;
    uint32_t count;
    bool stop;
};

static uint64_t now_ns(void)
{
    return brisk_clock_now_ns(NULL);
}

static struct timespec at(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / UINT64_C(1000000000)),
                             .tv_nsec = (long)(ns % UINT64_C(1000000000))};
}

/* Under the lock, which is given back meanwhile. */
static void run_first(background *b)
{
    background_work *work = b->first;
    b->first = work->next;
    if (b->first == NULL) {
        b->last = NULL;
    }
    b->count--;
    (void)pthread_mutex_unlock(&b->lock);
    loop *home = work->home;
    work->run(work);
    loop_post(home, &work->done);
    (void)pthread_mutex_lock(&b->lock);
}

static void run_second(background *b)
{
    (void)pthread_mutex_unlock(&b->lock);
    b->second(b->ctx);
    (void)pthread_mutex_lock(&b->lock);
}

static void run(void *ctx)
{
    static const uint64_t second_ns = 1000000000;
    background *b = ctx;
    uint64_t due = now_ns() + second_ns;
    (void)pthread_mutex_lock(&b->lock);
    while (!b->stop || b->first != NULL) {
        uint64_t now = now_ns();
        if (b->second != NULL && !b->stop && now >= due) {
            run_second(b);
            due = now + second_ns > due + second_ns * 2 ? now + second_ns : due + second_ns;
        } else if (b->first != NULL) {
            run_first(b);
        } else {
            struct timespec until = at(due);
            (void)pthread_cond_timedwait(&b->wanted, &b->lock, &until);
        }
    }
    (void)pthread_mutex_unlock(&b->lock);
}

brisk_err background_start(const background_opts *opts, background **ret)
{
    background *b = opts->alloc->acquire(opts->alloc->ctx, sizeof *b, _Alignof(background));
    if (b == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(b, 0, sizeof *b);
    b->alloc = opts->alloc;
    b->second = opts->second;
    b->ctx = opts->ctx;
    pthread_condattr_t attr;
    int failed = pthread_mutex_init(&b->lock, NULL);
    failed |= pthread_condattr_init(&attr);
    failed |= pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed |= pthread_cond_init(&b->wanted, &attr);
    failed |= pthread_condattr_destroy(&attr);
    BRISK_ASSERT(failed == 0); /* cannot fail on Linux with this clock */
    brisk_thread_opts thread = {.name = "serve-api", .run = run, .ctx = b};
    brisk_err err = brisk_thread_start(&b->thread, &thread);
    if (err != BRISK_OK) {
        background_stop(b);
        return err;
    }
    *ret = b;
    return BRISK_OK;
}

void background_stop(background *b)
{
    if (b == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&b->lock);
    b->stop = true;
    (void)pthread_cond_signal(&b->wanted);
    (void)pthread_mutex_unlock(&b->lock);
    brisk_thread_join(&b->thread);
    BRISK_ASSERT(b->first == NULL);
    (void)pthread_cond_destroy(&b->wanted);
    (void)pthread_mutex_destroy(&b->lock);
    b->alloc->release(b->alloc->ctx, b, sizeof *b, _Alignof(background));
}

bool background_give(background *b, background_work *work)
{
    (void)pthread_mutex_lock(&b->lock);
    bool room = b->count < BACKGROUND_QUEUE_MAX && !b->stop;
    if (room) {
        work->next = NULL;
        if (b->last != NULL) {
            b->last->next = work;
        } else {
            b->first = work;
        }
        b->last = work;
        b->count++;
        (void)pthread_cond_signal(&b->wanted);
    }
    (void)pthread_mutex_unlock(&b->lock);
    return room;
}
