/*
 * sinks.c -- where alerts go: the log, files, programs and webhooks.
 *
 * Idea.  Who checks budgets must not wait: the log and files are written at once (one line each), a program or a
 * webhook has a queue of QUEUE_MAX messages and a thread of its own.  What does not fit is dropped and counted.
 *
 * At the end a thread tries what is queued once, without pauses: at most a timeout for each message.
 *
 * Threads: `lock` of a sink guards its queue; nothing else is held with it.
 */
#include "observe/budget/sinks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/log.h>

enum { QUEUE_MAX = 64, LINE_MAX_BYTES = 8192 };

static const uint64_t second_ns = 1000000000;

typedef struct lane {
    const budget_sink *sink;
    budget_sinks *all;
    budget_hook *hook; /* WEBHOOK */
    brisk_thread thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *queue[QUEUE_MAX]; /* JSON, a ring */
    size_t sizes[QUEUE_MAX];
    uint32_t first;
    uint32_t count;
    bool stopping;
} lane;

struct budget_sinks {
    const brisk_alloc *alloc;
    const brisk_budgets *budgets;
    lane lanes[BRISK_BUDGET_SINKS_MAX];
    _Atomic uint64_t lost;
};

/* --- a lane's thread ------------------------------------------------------------------------ */

static void until(struct timespec *ret, uint64_t ns)
{
    (void)clock_gettime(CLOCK_MONOTONIC, ret);
    ns += (uint64_t)ret->tv_nsec;
    ret->tv_sec += (time_t)(ns / second_ns);
    ret->tv_nsec = (long)(ns % second_ns);
}

/* The pause between two tries; false when it is to end. */
static bool pause_for(lane *l, uint64_t ns)
{
    struct timespec end;
    until(&end, ns);
    (void)pthread_mutex_lock(&l->lock);
    int timed_out = 0;
    while (!l->stopping && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&l->changed, &l->lock, &end);
    }
    bool go_on = !l->stopping;
    (void)pthread_mutex_unlock(&l->lock);
    return go_on;
}

/* Webhooks are tried again after 1, 2, 4 ... 30 s; a program is started once. */
static void deliver(lane *l, const char *json, size_t size)
{
    brisk_errinfo info = {0};
    uint64_t wait_ns = second_ns;
    bool webhook = l->sink->kind == SINK_WEBHOOK;
    for (uint32_t i = 0;; i++) {
        brisk_err err = webhook ? budget_hook_post(l->hook, l->sink, json, size, &info)
                                : budget_exec(l->sink, json, size, &info);
        if (err == BRISK_OK) {
            return;
        }
        bool again = webhook && err != BRISK_ERR_DECLINED && i < l->sink->retries;
        if (!again || !pause_for(l, wait_ns)) {
            break;
        }
        wait_ns = wait_ns < 16 * second_ns ? 2 * wait_ns : 30 * second_ns;
    }
    atomic_fetch_add(&l->all->lost, 1);
    brisk_log(BRISK_LOG_WARNING, "budget", "an alert was not told: %s", info.text);
}

static void run_lane(void *ctx)
{
    lane *l = ctx;
    (void)pthread_mutex_lock(&l->lock);
    for (;;) {
        while (l->count == 0 && !l->stopping) {
            (void)pthread_cond_wait(&l->changed, &l->lock);
        }
        if (l->count == 0) {
            break;
        }
        char *json = l->queue[l->first];
        size_t size = l->sizes[l->first];
        l->first = (l->first + 1) % QUEUE_MAX;
        l->count--;
        (void)pthread_mutex_unlock(&l->lock);
        deliver(l, json, size);
        l->all->alloc->release(l->all->alloc->ctx, json, size + 1, 1);
        (void)pthread_mutex_lock(&l->lock);
    }
    (void)pthread_mutex_unlock(&l->lock);
}

static void enqueue(lane *l, const char *json, size_t size)
{
    const brisk_alloc *alloc = l->all->alloc;
    char *copy = alloc->acquire(alloc->ctx, size + 1, 1);
    bool kept = false;
    if (copy != NULL) {
        memcpy(copy, json, size + 1);
        (void)pthread_mutex_lock(&l->lock);
        if (l->count < QUEUE_MAX) {
            l->queue[(l->first + l->count) % QUEUE_MAX] = copy;
            l->sizes[(l->first + l->count) % QUEUE_MAX] = size;
            l->count++;
            kept = true;
            (void)pthread_cond_broadcast(&l->changed);
        }
        (void)pthread_mutex_unlock(&l->lock);
        if (!kept) {
            alloc->release(alloc->ctx, copy, size + 1, 1);
        }
    }
    if (!kept) {
        atomic_fetch_add(&l->all->lost, 1);
    }
}

/* --- at once -------------------------------------------------------------------------------- */

/* One write of the whole line, so that lines of several processes do not mix. */
static void append_line(budget_sinks *sinks, const char *path, const char *json, size_t size)
{
    char line[LINE_MAX_BYTES];
    brisk_errinfo why = {0};
    brisk_err err = BRISK_OK;
    int fd = -1;
    if (size + 2 > sizeof line) {
        err = brisk_errinfo_set(&why, BRISK_ERR_LIMIT, "%s: a line of %zu bytes", path, size);
    } else {
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
        err = fd >= 0 ? BRISK_OK : brisk_errinfo_set_errno(&why, errno, "%s", path);
    }
    if (err == BRISK_OK) {
        int length = snprintf(line, sizeof line, "%s\n", json);
        err = brisk_file_write_all(fd, line, (size_t)length);
        err = err == BRISK_OK
                  ? err
                  : brisk_errinfo_set(&why, err, "%s: %s", path, brisk_err_message(err));
    }
    if (err != BRISK_OK) {
        atomic_fetch_add(&sinks->lost, 1);
        brisk_log(BRISK_LOG_WARNING, "budget", "an alert was not written: %s", why.text);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

void budget_sinks_tell(budget_sinks *sinks, const char *text, const char *json, bool critical)
{
    size_t size = strlen(json);
    for (uint32_t i = 0; i < sinks->budgets->sink_count; i++) {
        const budget_sink *sink = &sinks->budgets->sinks[i];
        if (sink->kind == SINK_LOG) {
            brisk_log(critical ? BRISK_LOG_ERROR : BRISK_LOG_WARNING, "budget", "%s", text);
        } else if (sink->kind == SINK_FILE) {
            append_line(sinks, sink->where, json, size);
        } else {
            enqueue(&sinks->lanes[i], json, size);
        }
    }
}

uint64_t budget_sinks_lost(budget_sinks *sinks)
{
    return atomic_load(&sinks->lost);
}

/* --- create and destroy --------------------------------------------------------------------- */

static brisk_err start_lane(budget_sinks *sinks, uint32_t index, brisk_errinfo *info)
{
    lane *l = &sinks->lanes[index];
    l->sink = &sinks->budgets->sinks[index];
    l->all = sinks;
    if (l->sink->kind != SINK_EXEC && l->sink->kind != SINK_WEBHOOK) {
        return BRISK_OK;
    }
    if (l->sink->kind == SINK_WEBHOOK) {
        brisk_err err = budget_hook_create(l->sink, sinks->alloc, &l->hook, info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    l->started = true;
    brisk_err err = brisk_thread_start(
        &l->thread, &(brisk_thread_opts){.name = "budget sink", .run = run_lane, .ctx = l});
    return err == BRISK_OK ? BRISK_OK
                           : brisk_errinfo_set(info, err, "budget: no thread for a sink: %s",
                                               brisk_err_message(err));
}

brisk_err budget_sinks_create(const brisk_budgets *budgets, const brisk_alloc *alloc,
                              budget_sinks **ret, brisk_errinfo *info)
{
    budget_sinks *sinks = alloc->acquire(alloc->ctx, sizeof *sinks, _Alignof(budget_sinks));
    if (sinks == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "budget: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    *sinks = (budget_sinks){.alloc = alloc, .budgets = budgets};
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < budgets->sink_count && err == BRISK_OK; i++) {
        err = start_lane(sinks, i, info);
    }
    if (err != BRISK_OK) {
        budget_sinks_destroy(sinks);
        return err;
    }
    *ret = sinks;
    return BRISK_OK;
}

void budget_sinks_destroy(budget_sinks *sinks)
{
    if (sinks == NULL) {
        return;
    }
    const brisk_alloc *alloc = sinks->alloc;
    for (uint32_t i = 0; i < BRISK_BUDGET_SINKS_MAX; i++) {
        lane *l = &sinks->lanes[i];
        if (l->started) {
            (void)pthread_mutex_lock(&l->lock);
            l->stopping = true;
            (void)pthread_cond_broadcast(&l->changed);
            (void)pthread_mutex_unlock(&l->lock);
        }
    }
    for (uint32_t i = 0; i < BRISK_BUDGET_SINKS_MAX; i++) {
        lane *l = &sinks->lanes[i];
        if (l->started) {
            brisk_thread_join(&l->thread);
            for (; l->count > 0; l->count--) { /* the thread never came to be */
                uint32_t at = (l->first + l->count - 1) % QUEUE_MAX;
                alloc->release(alloc->ctx, l->queue[at], l->sizes[at] + 1, 1);
            }
            (void)pthread_cond_destroy(&l->changed);
            (void)pthread_mutex_destroy(&l->lock);
        }
        budget_hook_destroy(l->hook);
    }
    alloc->release(alloc->ctx, sinks, sizeof *sinks, _Alignof(budget_sinks));
}
