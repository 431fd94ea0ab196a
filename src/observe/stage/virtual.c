/*
 * virtual.c -- virtual speed-ups: everybody else pauses while one thread is in the scope.
 *
 *     charged = speedup * (time of all finished visits + time so far of those that are in the scope)
 *     owed(t) = charged - own(t) - paid(t)
 *
 * own(t) is what t itself charged the others, of its running visit too; paid(t) grows by pauses and, at the end of a
 * wait for another thread, to whatever is charged by then, because who woke it has paid that.  While a thread pauses
 * others may be in the scope, so paying is a loop that ends when nothing is owed any more.  A pause inside the scope is
 * no time in it: the visit's beginning moves along.
 *
 * Once in real time the program took `elapsed`, with everybody behind by the same `charged`; had the scope been
 * faster it would have taken elapsed - charged.
 *
 * Invariant: owed(t) >= 0; own and paid belong to the experiment whose number the thread carries.
 * Threads: one lock around everything; a pause is taken without it.  `running` is read without the lock as a
 * hint: outside experiments nothing is locked.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include <brisk/whatif.h>

#include "base/assert.h"

enum { SPIN_NS = 60000, PAY_ROUNDS_MAX = 1000 };

static const uint64_t OWED_MIN_NS = 1000; /* less is paid with the next */

struct brisk_virtual {
    brisk_virtual_opts opts;
    _Atomic bool running;
    pthread_mutex_t lock; /* the rest */
    brisk_virtual_thread *threads;
    uint64_t experiment; /* number of the last one */
    uint32_t scope;
    double speedup;
    uint64_t start_ns;
    uint64_t charged_ns; /* of finished visits */
    uint64_t visits;
    uint64_t progress;
};

static void pause_really(void *ctx, uint64_t ns)
{
    (void)ctx;
    uint64_t end_ns = brisk_clock_now_ns(NULL) + ns;
    if (ns > SPIN_NS) {
        uint64_t sleep_ns = ns - SPIN_NS; /* sleeping takes longer than asked for */
        struct timespec time = {.tv_sec = (time_t)(sleep_ns / 1000000000),
                                .tv_nsec = (long)(sleep_ns % 1000000000)};
        (void)nanosleep(&time, NULL);
    }
    while (brisk_clock_now_ns(NULL) < end_ns) {
    }
}

brisk_err brisk_virtual_create(const brisk_virtual_opts *opts, brisk_virtual **ret)
{
    BRISK_ASSERT(ret != NULL);
    brisk_virtual_opts o = opts != NULL ? *opts : (brisk_virtual_opts){0};
    o.alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    o.pause = o.pause != NULL ? o.pause : pause_really;
    brisk_virtual *v = o.alloc->acquire(o.alloc->ctx, sizeof *v, _Alignof(brisk_virtual));
    if (v == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *v = (brisk_virtual){.opts = o};
    int failed = pthread_mutex_init(&v->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    *ret = v;
    return BRISK_OK;
}

void brisk_virtual_destroy(brisk_virtual *v)
{
    if (v != NULL) {
        BRISK_ASSERT(v->threads == NULL);
        (void)pthread_mutex_destroy(&v->lock);
        v->opts.alloc->release(v->opts.alloc->ctx, v, sizeof *v, _Alignof(brisk_virtual));
    }
}

static bool is_running(brisk_virtual *v)
{
    /* Relaxed: a hint; what it says is looked at again under the lock. */
    return atomic_load_explicit(&v->running, memory_order_relaxed);
}

/* --- under the lock ----------------------------------------------------------------------- */

static uint64_t charge_of(const brisk_virtual *v, uint64_t from_ns, uint64_t now_ns)
{
    return now_ns > from_ns ? (uint64_t)(v->speedup * (double)(now_ns - from_ns)) : 0;
}

/* Of a thread that is in the scope; else 0. */
static uint64_t running_charge(const brisk_virtual *v, const brisk_virtual_thread *t,
                               uint64_t now_ns)
{
    bool inside = t->experiment_ == v->experiment && t->depth_ > 0;
    return inside ? charge_of(v, t->since_ns_, now_ns) : 0;
}

static uint64_t charged(const brisk_virtual *v, uint64_t now_ns)
{
    uint64_t sum = v->charged_ns;
    for (const brisk_virtual_thread *t = v->threads; t != NULL; t = t->next_) {
        sum += running_charge(v, t, now_ns);
    }
    return sum;
}

/* A thread's accounts begin anew with an experiment: it owes all that was charged since. */
static void take_part(brisk_virtual *v, brisk_virtual_thread *t)
{
    if (t->experiment_ != v->experiment) {
        t->experiment_ = v->experiment;
        t->own_ns_ = 0;
        t->paid_ns_ = 0;
        t->depth_ = 0;
    }
}

static uint64_t owed(const brisk_virtual *v, const brisk_virtual_thread *t, uint64_t now_ns)
{
    uint64_t all = charged(v, now_ns);
    uint64_t less = t->own_ns_ + running_charge(v, t, now_ns) + t->paid_ns_;
    return all > less ? all - less : 0;
}

/* The lock is held before and after, not during a pause. */
static void pay(brisk_virtual *v, brisk_virtual_thread *t)
{
    take_part(v, t);
    for (int round = 0; round < PAY_ROUNDS_MAX && is_running(v); round++) {
        uint64_t before_ns = brisk_clock_now_ns(v->opts.clock);
        uint64_t ns = owed(v, t, before_ns);
        if (ns < OWED_MIN_NS) {
            return;
        }
        (void)pthread_mutex_unlock(&v->lock);
        v->opts.pause(v->opts.ctx, ns);
        (void)pthread_mutex_lock(&v->lock);
        uint64_t paused_ns = brisk_clock_now_ns(v->opts.clock) - before_ns;
        t->paid_ns_ += paused_ns; /* what it really was, so that too long a sleep is no loss */
        t->since_ns_ += paused_ns;
    }
}

/* --- experiments -------------------------------------------------------------------------- */

brisk_err brisk_virtual_start(brisk_virtual *v, uint32_t scope, double speedup)
{
    if (!(speedup >= 0 && speedup <= 1)) {
        return BRISK_ERR_INVALID;
    }
    brisk_err err = BRISK_ERR_CONFLICT;
    (void)pthread_mutex_lock(&v->lock);
    if (!is_running(v)) {
        v->experiment++;
        v->scope = scope;
        v->speedup = speedup;
        v->charged_ns = 0;
        v->visits = 0;
        v->progress = 0;
        v->start_ns = brisk_clock_now_ns(v->opts.clock);
        atomic_store_explicit(&v->running, true, memory_order_relaxed);
        err = BRISK_OK;
    }
    (void)pthread_mutex_unlock(&v->lock);
    return err;
}

brisk_err brisk_virtual_stop(brisk_virtual *v, brisk_virtual_result *ret)
{
    brisk_err err = BRISK_ERR_NOT_FOUND;
    (void)pthread_mutex_lock(&v->lock);
    if (is_running(v)) {
        uint64_t now_ns = brisk_clock_now_ns(v->opts.clock);
        brisk_virtual_result result = {
            .speedup = v->speedup,
            .progress = v->progress,
            .elapsed_ns = now_ns - v->start_ns,
            .delay_ns = charged(v, now_ns),
            .visits = v->visits,
        };
        bool sane = result.delay_ns < result.elapsed_ns;
        result.effective_ns = sane ? result.elapsed_ns - result.delay_ns : 0;
        atomic_store_explicit(&v->running, false, memory_order_relaxed);
        *ret = result;
        err = BRISK_OK;
    }
    (void)pthread_mutex_unlock(&v->lock);
    return err;
}

double brisk_virtual_gain(const brisk_virtual_result *base, const brisk_virtual_result *changed)
{
    if (base->progress == 0 || changed->progress == 0 || base->effective_ns == 0) {
        return (double)NAN;
    }
    double before = (double)base->effective_ns / (double)base->progress;
    double after = (double)changed->effective_ns / (double)changed->progress;
    return 1 - after / before;
}

/* --- threads ------------------------------------------------------------------------------ */

void brisk_virtual_join(brisk_virtual *v, brisk_virtual_thread *thread)
{
    *thread = (brisk_virtual_thread){.virtual_ = v};
    (void)pthread_mutex_lock(&v->lock);
    thread->experiment_ = v->experiment;
    if (is_running(v)) { /* who comes later owes nothing of what was before */
        thread->paid_ns_ = charged(v, brisk_clock_now_ns(v->opts.clock));
    }
    thread->next_ = v->threads;
    v->threads = thread;
    (void)pthread_mutex_unlock(&v->lock);
}

void brisk_virtual_leave(brisk_virtual_thread *thread)
{
    brisk_virtual *v = thread->virtual_;
    (void)pthread_mutex_lock(&v->lock);
    v->charged_ns +=
        is_running(v) ? running_charge(v, thread, brisk_clock_now_ns(v->opts.clock)) : 0;
    brisk_virtual_thread **link = &v->threads;
    while (*link != thread) {
        link = &(*link)->next_;
    }
    *link = thread->next_;
    (void)pthread_mutex_unlock(&v->lock);
}

void brisk_virtual_enter(brisk_virtual_thread *thread, uint32_t scope)
{
    brisk_virtual *v = thread->virtual_;
    if (!is_running(v)) {
        return;
    }
    (void)pthread_mutex_lock(&v->lock);
    pay(v, thread);
    if (is_running(v) && scope == v->scope) {
        thread->since_ns_ =
            thread->depth_ == 0 ? brisk_clock_now_ns(v->opts.clock) : thread->since_ns_;
        thread->depth_++;
    }
    (void)pthread_mutex_unlock(&v->lock);
}

void brisk_virtual_exit(brisk_virtual_thread *thread, uint32_t scope)
{
    brisk_virtual *v = thread->virtual_;
    if (!is_running(v)) {
        return;
    }
    (void)pthread_mutex_lock(&v->lock);
    take_part(v, thread);
    if (is_running(v) && scope == v->scope && thread->depth_ > 0) { /* else it began before */
        if (thread->depth_ == 1) {
            uint64_t ns = running_charge(v, thread, brisk_clock_now_ns(v->opts.clock));
            v->charged_ns += ns;
            thread->own_ns_ += ns;
            v->visits++;
        }
        thread->depth_--;
    }
    pay(v, thread);
    (void)pthread_mutex_unlock(&v->lock);
}

void brisk_virtual_pay(brisk_virtual_thread *thread)
{
    brisk_virtual *v = thread->virtual_;
    if (is_running(v)) {
        (void)pthread_mutex_lock(&v->lock);
        pay(v, thread);
        (void)pthread_mutex_unlock(&v->lock);
    }
}

void brisk_virtual_wait_begin(brisk_virtual_thread *thread)
{
    brisk_virtual_pay(thread);
}

void brisk_virtual_wait_end(brisk_virtual_thread *thread)
{
    brisk_virtual *v = thread->virtual_;
    if (!is_running(v)) {
        return;
    }
    (void)pthread_mutex_lock(&v->lock);
    take_part(v, thread);
    thread->paid_ns_ += owed(v, thread, brisk_clock_now_ns(v->opts.clock));
    (void)pthread_mutex_unlock(&v->lock);
}

void brisk_virtual_progress(brisk_virtual *v)
{
    if (is_running(v)) {
        (void)pthread_mutex_lock(&v->lock);
        v->progress++;
        (void)pthread_mutex_unlock(&v->lock);
    }
}
