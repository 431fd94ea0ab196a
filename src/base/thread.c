/*
 * thread.c -- threads behind base/thread.h; the only pthread_create in the library.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/thread.h"

enum { NAME_BYTES = 16 }; /* the kernel's limit, with the NUL */

static _Atomic uint32_t alive;

static void *trampoline(void *arg)
{
    brisk_thread *thread = arg;
    thread->run_(thread->ctx_);
    atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed); /* a figure, orders nothing */
    return NULL;
}

/* Every signal that is sent; those that a thread causes itself must reach their handler, which
 * would not run, and a sanitizer's or debugger's report would be lost. */
static void fill_blocked(sigset_t *set)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    (void)sigfillset(set);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        (void)sigdelset(set, own[i]);
    }
}

static int set_attributes(pthread_attr_t *attr, const brisk_thread_opts *opts)
{
    if (opts->stack_bytes != 0) {
        size_t least = (size_t)PTHREAD_STACK_MIN;
        size_t stack = opts->stack_bytes > least ? opts->stack_bytes : least;
        int failed = pthread_attr_setstacksize(attr, stack);
        if (failed != 0) {
            return failed;
        }
    }
    if (opts->pin) {
        if (opts->cpu >= CPU_SETSIZE) {
            return EINVAL;
        }
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(opts->cpu, &cpus);
        return pthread_attr_setaffinity_np(attr, sizeof cpus, &cpus);
    }
    return 0;
}

brisk_err brisk_thread_start(brisk_thread *thread, const brisk_thread_opts *opts)
{
    BRISK_ASSERT(opts->run != NULL);
    *thread = (brisk_thread){.run_ = opts->run, .ctx_ = opts->ctx};
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0) {
        return BRISK_ERR_NOMEM;
    }
    int failed = set_attributes(&attr, opts);
    if (failed == 0) {
        sigset_t blocked;
        sigset_t before;
        fill_blocked(&blocked);
        (void)pthread_sigmask(SIG_SETMASK, &blocked, &before); /* inherited by the new thread */
        atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
        failed = pthread_create(&thread->id_, &attr, trampoline, thread);
        if (failed != 0) {
            atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
        }
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attr);
    if (failed != 0) {
        return failed == EAGAIN ? BRISK_ERR_LIMIT : brisk_err_from_errno(failed);
    }
    thread->started_ = true;
    if (opts->name != NULL) {
        char name[NAME_BYTES];
        (void)snprintf(name, sizeof name, "%s", opts->name);
        (void)pthread_setname_np(thread->id_, name); /* only for people who look: may fail */
    }
    return BRISK_OK;
}

void brisk_thread_join(brisk_thread *thread)
{
    if (thread->started_) {
        int failed = pthread_join(thread->id_, NULL);
        BRISK_ASSERT(failed == 0);
        thread->started_ = false;
    }
}

uint32_t brisk_thread_count(void)
{
    return atomic_load_explicit(&alive, memory_order_relaxed);
}
