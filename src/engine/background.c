/*
 * background.c -- one thread for what can wait: the cache's promotions, and the tiers' housekeeping.
 *
 * A worker of the executor must not wait for a disk or a network, so the cache's background is a
 * thread of the engine's own.  It runs what it is given in order, and once a second lets the tiers
 * tidy up and the memory tier be sized.  A full ring refuses more: whoever asked does without.
 *
 * Threads: run from any; start and stop from the engine's owner.  `lock` is a leaf; tasks run
 * without it.
 */
#include "engine/internal.h"

#include <inttypes.h>
#include <time.h>

#include <brisk/log.h>
#include <brisk/memory.h>

#include "base/assert.h"

enum {
    NS_PER_S = 1000000000,
    TEND_EVERY_NS = NS_PER_S,
    TEND_MEMORY_NS = 1000000,
    TEND_DISK_BYTES = 8 << 20,
};

/* Under the lock: wait for a task until `until_ns`. */
static void wait_task(engine_background *background, uint64_t until_ns)
{
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / NS_PER_S),
        .tv_nsec = (long)(until_ns % NS_PER_S),
    };
    (void)pthread_cond_timedwait(&background->work, &background->lock, &until);
}

static void tend(const engine_background *background)
{
    if (background->memory != NULL) {
        (void)brisk_memory_tend(background->memory, TEND_MEMORY_NS);
    }
    if (background->disk != NULL) {
        (void)brisk_disk_tier_tend(background->disk, TEND_DISK_BYTES);
    }
    if (background->sizing != NULL && brisk_sizing_tend(background->sizing)) {
        brisk_sizing_report report;
        brisk_sizing_read(background->sizing, &report);
        brisk_log(BRISK_LOG_INFO, "engine", "memory tier has %" PRIu64 " bytes: %s", report.size,
                  report.text);
    }
}

static void run(void *ctx)
{
    engine_background *background = ctx;
    uint64_t tend_ns = brisk_clock_now_ns(NULL) + TEND_EVERY_NS;
    (void)pthread_mutex_lock(&background->lock);
    while (!background->stop || background->count != 0) {
        uint64_t now = brisk_clock_now_ns(NULL);
        if (background->count != 0) {
            engine_task task = background->tasks[background->first];
            background->first = (background->first + 1) % ENGINE_BACKGROUND_TASKS;
            background->count--;
            (void)pthread_mutex_unlock(&background->lock);
            task.fn(task.arg);
            (void)pthread_mutex_lock(&background->lock);
        } else if (now >= tend_ns) {
            (void)pthread_mutex_unlock(&background->lock);
            tend(background);
            (void)pthread_mutex_lock(&background->lock);
            tend_ns = brisk_clock_now_ns(NULL) + TEND_EVERY_NS;
        } else {
            wait_task(background, tend_ns);
        }
    }
    (void)pthread_mutex_unlock(&background->lock);
}

void engine_background_init(engine_background *background)
{
    *background = (engine_background){.count = 0};
    pthread_condattr_t attr;
    int failed = pthread_mutex_init(&background->lock, NULL);
    failed = failed != 0 ? failed : pthread_condattr_init(&attr);
    failed = failed != 0 ? failed : pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed = failed != 0 ? failed : pthread_cond_init(&background->work, &attr);
    BRISK_ASSERT(failed == 0); /* cannot fail on Linux with these attributes */
    (void)pthread_condattr_destroy(&attr);
}

bool engine_background_start(engine_background *background)
{
    (void)pthread_mutex_lock(&background->lock);
    if (!background->started && !background->stop) {
        brisk_thread_opts opts = {.name = "brisk-cache", .run = run, .ctx = background};
        background->started = brisk_thread_start(&background->thread, &opts) == BRISK_OK;
    }
    bool started = background->started;
    (void)pthread_mutex_unlock(&background->lock);
    return started;
}

bool engine_background_run(void *ctx, void (*fn)(void *arg), void *arg)
{
    engine_background *background = ctx;
    if (!engine_background_start(background)) {
        return false;
    }
    (void)pthread_mutex_lock(&background->lock);
    bool taken = !background->stop && background->count < ENGINE_BACKGROUND_TASKS;
    if (taken) {
        uint32_t at = (background->first + background->count) % ENGINE_BACKGROUND_TASKS;
        background->tasks[at] = (engine_task){.fn = fn, .arg = arg};
        background->count++;
        (void)pthread_cond_signal(&background->work);
    }
    (void)pthread_mutex_unlock(&background->lock);
    return taken;
}

void engine_background_stop(engine_background *background)
{
    (void)pthread_mutex_lock(&background->lock);
    background->stop = true;
    (void)pthread_cond_signal(&background->work);
    (void)pthread_mutex_unlock(&background->lock);
    brisk_thread_join(&background->thread);
}

void engine_background_deinit(engine_background *background)
{
    (void)pthread_mutex_destroy(&background->lock);
    (void)pthread_cond_destroy(&background->work);
}
