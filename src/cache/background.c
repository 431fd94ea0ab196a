/*
 * background.c -- a bounded queue and a few threads: <brisk/background.h>.
 *
 * A thread is started by a job that finds none waiting for work, until there are `most`.  If not
 * even the first one can be started the job is refused, so that a queue never waits for nobody.
 *
 * Invariant: count <= capacity; `idle` threads sleep on `work`; count != 0 implies live != 0.
 * Threads: any, under `lock`; jobs run without it.
 */
#include <pthread.h>

#include <brisk/background.h>

#include "base/assert.h"
#include "base/thread.h"

enum { THREADS_DEFAULT = 4, QUEUE_DEFAULT = 1024, NAME_MAX_BYTES = 16 };

typedef struct threads_job {
    void (*fn)(void *arg);
    void *arg;
} threads_job;

struct brisk_threads {
    const brisk_alloc *alloc;
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool closing;
    uint32_t most, live, idle, running;
    uint32_t capacity, first, count;
    uint64_t taken, refused;
    threads_job *jobs; /* a ring */
    brisk_thread threads[BRISK_THREADS_MAX];
    char name[NAME_MAX_BYTES];
};

static void lock_threads(brisk_threads *threads)
{
    int failed = pthread_mutex_lock(&threads->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock_threads(brisk_threads *threads)
{
    int failed = pthread_mutex_unlock(&threads->lock);
    BRISK_ASSERT(failed == 0);
}

static void run_jobs(void *ctx)
{
    brisk_threads *threads = ctx;
    lock_threads(threads);
    for (;;) {
        if (threads->count != 0) {
            threads_job job = threads->jobs[threads->first];
            threads->first = threads->first + 1 == threads->capacity ? 0 : threads->first + 1;
            threads->count--;
            threads->running++;
            unlock_threads(threads);
            job.fn(job.arg);
            lock_threads(threads);
            threads->running--;
        } else if (threads->closing) {
            break;
        } else {
            threads->idle++;
            (void)pthread_cond_wait(&threads->work, &threads->lock);
            threads->idle--;
        }
    }
    unlock_threads(threads);
}

/* Under the lock: somebody will take one more job. */
static bool ensure_thread(brisk_threads *threads)
{
    if (threads->count < threads->idle || threads->live == threads->most) {
        return true;
    }
    brisk_thread_opts opts = {.name = threads->name, .run = run_jobs, .ctx = threads};
    if (brisk_thread_start(&threads->threads[threads->live], &opts) == BRISK_OK) {
        threads->live++;
    }
    return threads->live != 0;
}

static bool take_job(void *ctx, void (*fn)(void *arg), void *arg)
{
    brisk_threads *threads = ctx;
    lock_threads(threads);
    bool taken = !threads->closing && threads->count < threads->capacity && ensure_thread(threads);
    if (taken) {
        uint64_t at = (uint64_t)threads->first + threads->count;
        threads->jobs[at % threads->capacity] = (threads_job){.fn = fn, .arg = arg};
        threads->count++;
        threads->taken++;
        (void)pthread_cond_signal(&threads->work);
    } else {
        threads->refused++;
    }
    unlock_threads(threads);
    return taken;
}

brisk_err brisk_threads_create(const brisk_threads_opts *opts, brisk_threads **ret)
{
    BRISK_ASSERT(ret != NULL);
    static const brisk_threads_opts defaults = {0};
    opts = opts != NULL ? opts : &defaults;
    if (opts->threads > BRISK_THREADS_MAX || opts->queue_max > BRISK_THREADS_QUEUE_MAX) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_threads *threads = alloc->acquire(alloc->ctx, sizeof *threads, _Alignof(brisk_threads));
    if (threads == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *threads = (brisk_threads){
        .alloc = alloc,
        .most = opts->threads != 0 ? opts->threads : THREADS_DEFAULT,
        .capacity = opts->queue_max != 0 ? opts->queue_max : QUEUE_DEFAULT,
    };
    const char *name = opts->name != NULL ? opts->name : "brisk-background";
    for (size_t i = 0; i + 1 < sizeof threads->name && name[i] != '\0'; i++) {
        threads->name[i] = name[i];
    }
    threads->jobs =
        alloc->acquire(alloc->ctx, threads->capacity * sizeof(threads_job), _Alignof(threads_job));
    if (threads->jobs == NULL) {
        alloc->release(alloc->ctx, threads, sizeof *threads, _Alignof(brisk_threads));
        return BRISK_ERR_NOMEM;
    }
    int failed = pthread_mutex_init(&threads->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex and condition on Linux */
    failed = pthread_cond_init(&threads->work, NULL);
    BRISK_ASSERT(failed == 0);
    *ret = threads;
    return BRISK_OK;
}

void brisk_threads_destroy(brisk_threads *threads)
{
    if (threads == NULL) {
        return;
    }
    lock_threads(threads);
    threads->closing = true;
    (void)pthread_cond_broadcast(&threads->work);
    uint32_t live = threads->live; /* nobody starts one any more */
    unlock_threads(threads);
    for (uint32_t i = 0; i < live; i++) {
        brisk_thread_join(&threads->threads[i]);
    }
    (void)pthread_mutex_destroy(&threads->lock);
    (void)pthread_cond_destroy(&threads->work);
    const brisk_alloc *alloc = threads->alloc;
    alloc->release(alloc->ctx, threads->jobs, threads->capacity * sizeof(threads_job),
                   _Alignof(threads_job));
    alloc->release(alloc->ctx, threads, sizeof *threads, _Alignof(brisk_threads));
}

brisk_background brisk_threads_background(brisk_threads *threads)
{
    return (brisk_background){.run = take_job, .ctx = threads};
}

bool brisk_threads_are_idle(void *ctx)
{
    brisk_threads *threads = ctx;
    lock_threads(threads);
    bool idle = threads->count == 0 && threads->running == 0;
    unlock_threads(threads);
    return idle;
}

void brisk_threads_read_stats(brisk_threads *threads, brisk_threads_stats *ret)
{
    lock_threads(threads);
    *ret = (brisk_threads_stats){
        .taken = threads->taken,
        .refused = threads->refused,
        .waiting = threads->count,
        .running = threads->running,
        .threads = threads->live,
    };
    unlock_threads(threads);
}
