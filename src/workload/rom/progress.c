/*
 * progress.c -- a thread that sleeps on a condition and looks at the name of the running stage.
 *
 * Invariant: the line is erased before the thread ends, and nobody else writes meanwhile but the
 * log.  Without a thread there is no progress, nothing worse.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "workload/rom/progress.h"

enum { FIRST_MS = 1000, EVERY_MS = 200 };

typedef struct progress {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool has_ended;
    const rom_job *state;
    FILE *out;
} progress;

/* Wait for the end; false when `ms` passed before. */
static bool wait_for_end(progress *p, int64_t ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    int failed = 0;
    while (!p->has_ended && failed == 0) {
        failed = pthread_cond_timedwait(&p->ended, &p->lock, &until);
    }
    return p->has_ended;
}

static void *show(void *arg)
{
    progress *p = arg;
    int64_t elapsed_ms = FIRST_MS;
    (void)pthread_mutex_lock(&p->lock);
    bool ended = wait_for_end(p, FIRST_MS);
    bool shown = false;
    for (; !ended; elapsed_ms += EVERY_MS) {
        const char *stage = atomic_load(&p->state->stage);
        (void)fprintf(p->out, "\r\033[K%s, %lld.%lld s", stage != NULL ? stage : "waiting",
                      (long long)(elapsed_ms / 1000), (long long)(elapsed_ms % 1000 / 100));
        (void)fflush(p->out);
        shown = true;
        ended = wait_for_end(p, EVERY_MS);
    }
    if (shown) {
        (void)fputs("\r\033[K", p->out);
        (void)fflush(p->out);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

brisk_err rom_run_with_progress(brisk_job *job, FILE *out)
{
    progress p = {.lock = PTHREAD_MUTEX_INITIALIZER, .state = brisk_job_state(job), .out = out};
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return brisk_job_run(job);
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&p.ended, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (failed != 0) {
        return brisk_job_run(job);
    }
    pthread_t thread;
    bool has_thread = pthread_create(&thread, NULL, show, &p) == 0;
    brisk_err err = brisk_job_run(job);
    if (has_thread) {
        (void)pthread_mutex_lock(&p.lock);
        p.has_ended = true;
        (void)pthread_cond_signal(&p.ended);
        (void)pthread_mutex_unlock(&p.lock);
        (void)pthread_join(thread, NULL);
    }
    (void)pthread_cond_destroy(&p.ended);
    return err;
}
