/*
 * worker.c -- one thread of the load: what is due is sent on a connection with room, answers are read.
 *
 * Arrival i of thread k of T is due at start + (i T + k) / rate, whatever happened before: nothing is ever
 * rescheduled.  When all connections are busy what is due waits, and its latency counts from when it was due.
 *
 * That the generator itself is late (it was reading answers, or had no processor) is measured apart: from the
 * moment when a request was due and a connection was known to have room, to its sending.
 *
 * Invariant: a connection stands in the ring at most once (`queued`), so the ring never overflows; what was
 * closed meanwhile is dropped when it comes to the head.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "observe/load/load.h"

enum { EVENTS_MAX = 256, SENDS_BETWEEN_CLOCKS = 16 };

static const uint64_t tend_ns = UINT64_C(20000000); /* between two looks for timeouts */

/* --- life --------------------------------------------------------------------------------- */

static void *take(const load_plan *plan, size_t count, size_t size)
{
    void *block = plan->alloc->acquire(plan->alloc->ctx, count * size, _Alignof(max_align_t));
    if (block != NULL) {
        memset(block, 0, count * size);
    }
    return block;
}

static void give(const load_plan *plan, void *block, size_t count, size_t size)
{
    if (block != NULL) {
        plan->alloc->release(plan->alloc->ctx, block, count * size, _Alignof(max_align_t));
    }
}

static bool create_conn(load_worker *w, load_conn *c, uint32_t number)
{
    const load_plan *plan = w->plan;
    c->fd = -1;
    /* Each connection draws its own keys: a load whose connections all ask the same measures one cache line. */
    brisk_rng_init(&c->rng, plan->seed * UINT64_C(0x9e3779b97f4a7c15) + number);
    resp_writer_init(&c->out, plan->alloc, LOAD_REQUEST_MAX);
    c->in.alloc = plan->alloc;
    resp_replies_init(&c->replies, NULL, plan->alloc);
    c->moments = take(plan, plan->pipeline, sizeof *c->moments);
    c->http = plan->target->resp ? NULL : take(plan, 1, sizeof *c->http);
    return c->moments != NULL && (plan->target->resp || c->http != NULL);
}

brisk_err load_worker_create(load_worker *w, const load_plan *plan, uint32_t index)
{
    uint32_t count = plan->connections / plan->threads;
    uint32_t more = index < plan->connections % plan->threads ? 1 : 0;
    w->plan = plan;
    w->index = index;
    w->epoll = -1;
    w->conns = take(plan, count + more, sizeof *w->conns);
    w->conn_count = w->conns != NULL ? count + more : 0;
    w->ring = take(plan, count + more, sizeof *w->ring);
    w->dirty = take(plan, count + more, sizeof *w->dirty);
    w->received = take(plan, LOAD_RECEIVE_BYTES, 1);
    bool good =
        w->conns != NULL && w->ring != NULL && w->dirty != NULL && w->received != NULL &&
        brisk_hist_create(&(brisk_hist_opts){.alloc = plan->alloc}, &w->counts.latency) ==
            BRISK_OK &&
        brisk_hist_create(&(brisk_hist_opts){.alloc = plan->alloc}, &w->counts.late) == BRISK_OK;
    for (uint32_t i = 0; i < w->conn_count; i++) {
        good = create_conn(w, &w->conns[i], i * plan->threads + index) && good;
    }
    if (!good) {
        return BRISK_ERR_NOMEM;
    }
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    return w->epoll >= 0 ? BRISK_OK : brisk_err_from_errno(errno);
}

void load_worker_destroy(load_worker *w)
{
    const load_plan *plan = w->plan;
    if (plan == NULL) {
        return;
    }
    for (uint32_t i = 0; i < w->conn_count; i++) {
        load_conn *c = &w->conns[i];
        if (c->fd >= 0) {
            (void)close(c->fd);
        }
        resp_writer_deinit(&c->out);
        resp_replies_deinit(&c->replies);
        BRISK_VEC_DEINIT(&c->in);
        give(plan, c->moments, plan->pipeline, sizeof *c->moments);
        give(plan, c->http, 1, sizeof *c->http);
    }
    uint32_t count = plan->connections / plan->threads;
    count += w->index < plan->connections % plan->threads ? 1 : 0;
    give(plan, w->conns, count, sizeof *w->conns);
    give(plan, w->ring, count, sizeof *w->ring);
    give(plan, w->dirty, count, sizeof *w->dirty);
    give(plan, w->received, LOAD_RECEIVE_BYTES, 1);
    brisk_hist_destroy(w->counts.latency);
    brisk_hist_destroy(w->counts.late);
    if (w->epoll >= 0) {
        (void)close(w->epoll);
    }
}

/* --- what is due -------------------------------------------------------------------------- */

void load_worker_offer(load_worker *w, load_conn *c)
{
    if (!c->queued) {
        if (w->ring_count == 0) {
            w->room_since_ns = w->now_ns;
        }
        c->queued = true;
        w->ring[(w->ring_first + w->ring_count) % w->conn_count] = (uint32_t)(c - w->conns);
        w->ring_count++;
    }
}

/* The connection at the head that really has room, or NULL. */
static load_conn *head(load_worker *w)
{
    while (w->ring_count > 0) {
        load_conn *c = &w->conns[w->ring[w->ring_first]];
        if (c->state == LOAD_OPEN && c->count < w->plan->pipeline && !c->waits_to_write) {
            return c;
        }
        c->queued = false;
        w->ring_first = (w->ring_first + 1) % w->conn_count;
        w->ring_count--;
    }
    return NULL;
}

static void drop_head(load_worker *w)
{
    w->conns[w->ring[w->ring_first]].queued = false;
    w->ring_first = (w->ring_first + 1) % w->conn_count;
    w->ring_count--;
}

/* When arrival `i` of this thread is due. */
static uint64_t due_ns(const load_worker *w, uint64_t i)
{
    double n = (double)i * w->plan->threads + w->index;
    return w->step.start_ns + (uint64_t)(n / w->step.rate * 1e9);
}

static uint64_t end_ns(const load_worker *w)
{
    return w->step.start_ns + w->step.duration_ns;
}

/* When the next request is due that could be sent now; UINT64_MAX: none. */
static uint64_t next_due(const load_worker *w, const load_conn *c)
{
    uint64_t due = c == NULL ? UINT64_MAX : w->plan->users ? c->ready_ns : due_ns(w, w->next);
    if (due != UINT64_MAX && due < w->step.start_ns) {
        due = w->step.start_ns;
    }
    return due < end_ns(w) ? due : UINT64_MAX;
}

static void note_late(load_worker *w, uint64_t due)
{
    uint64_t could = due > w->room_since_ns ? due : w->room_since_ns;
    uint64_t late = w->now_ns > could ? w->now_ns - could : 0;
    brisk_hist_record(w->counts.late, late);
    w->counts.late_count += late > load_late_ns ? 1 : 0;
}

/* Send everything that is due; when the next one is, or UINT64_MAX. */
static uint64_t dispatch(load_worker *w)
{
    uint32_t sends = 0;
    uint64_t due;
    load_conn *c = head(w);
    while ((due = next_due(w, c)) <= w->now_ns) {
        note_late(w, due);
        drop_head(w);
        do { /* what is due goes to one connection while it has room: fewer system calls */
            load_conn_put(w, c, due);
            w->next++;
            due = next_due(w, w->plan->users ? NULL : c);
        } while (c->count < w->plan->pipeline && due <= w->now_ns);
        if (c->count < w->plan->pipeline && !w->plan->users) {
            load_worker_offer(w, c);
        }
        if (++sends % SENDS_BETWEEN_CLOCKS == 0) {
            w->now_ns = brisk_clock_now_ns(NULL);
        }
        c = head(w);
    }
    for (uint32_t i = 0; i < w->dirty_count; i++) {
        load_conn *dirty = &w->conns[w->dirty[i]];
        dirty->dirty = false;
        load_conn_flush(w, dirty);
    }
    w->dirty_count = 0;
    return due;
}

/* Arrivals that were due by now and were not sent. */
static uint64_t backlog(const load_worker *w)
{
    if (w->plan->users || w->step.rate <= 0 || w->now_ns <= w->step.start_ns) {
        return 0;
    }
    uint64_t until = w->now_ns < end_ns(w) ? w->now_ns : end_ns(w);
    double all = (double)(until - w->step.start_ns) / 1e9 * w->step.rate - w->index;
    uint64_t due = all > 0 ? (uint64_t)(all / w->plan->threads) + 1 : 0;
    /* The last one may be due at the very end, and is not asked for then. */
    while (due > 0 && due_ns(w, due - 1) >= until) {
        due--;
    }
    return due > w->next ? due - w->next : 0;
}

/* --- tending ------------------------------------------------------------------------------ */

static void tend(load_worker *w)
{
    for (uint32_t i = 0; i < w->conn_count; i++) {
        load_conn *c = &w->conns[i];
        if (c->state == LOAD_OPEN && c->count > 0 &&
            w->now_ns - c->moments[c->first].sent_ns > w->plan->timeout_ns &&
            w->now_ns > c->moments[c->first].sent_ns) {
            w->counts.errors.timeouts++;
            w->counts.errors.closed += c->count - 1;
            load_conn_close(w, c);
            c->retry_ns = w->now_ns;
        }
        if (c->state == LOAD_CONNECTING && w->now_ns > c->retry_ns) {
            w->counts.errors.connect++;
            (void)snprintf(w->connect_error, sizeof w->connect_error, "no answer in time");
            load_conn_close(w, c);
        }
        if (c->state == LOAD_CLOSED && w->now_ns >= c->retry_ns) {
            load_conn_open(w, c);
        }
    }
}

static void wait_events(load_worker *w, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t left = until_ns > w->now_ns ? until_ns - w->now_ns : 0;
    struct timespec time = {.tv_sec = (time_t)(left / load_second_ns),
                            .tv_nsec = (long)(left % load_second_ns)};
    int count = epoll_pwait2(w->epoll, events, EVENTS_MAX, &time, NULL);
    w->now_ns = brisk_clock_now_ns(NULL);
    for (int i = 0; i < count; i++) {
        load_conn_event(w, &w->conns[events[i].data.u32], events[i].events);
    }
}

/* Time this thread was ready to run and had no processor; 0 where the kernel does not tell. */
static uint64_t processor_wait_ns(void)
{
    char text[128] = "";
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t size = read(fd, text, sizeof text - 1);
    (void)close(fd);
    const char *blank = size > 0 ? strchr(text, ' ') : NULL; /* "ran waited slices" */
    return blank != NULL ? strtoull(blank + 1, NULL, 10) : 0;
}

static void reset_counts(load_worker *w)
{
    load_counts *counts = &w->counts;
    brisk_hist_reset(counts->latency);
    brisk_hist_reset(counts->late);
    *counts = (load_counts){.latency = counts->latency, .late = counts->late};
    w->next = 0;
    w->room_since_ns = 0;
    for (uint32_t i = 0; i < w->conn_count; i++) {
        w->conns[i].ready_ns = w->step.start_ns;
    }
}

/* Is there still something to wait for after the step's end? */
static bool finished(const load_worker *w)
{
    if (w->step.connect_only) {
        return w->open_count == w->conn_count || w->now_ns >= end_ns(w) ||
               (w->open_count == 0 && w->counts.errors.connect >= w->conn_count);
    }
    if (w->now_ns < end_ns(w)) {
        return false;
    }
    uint64_t drain_ns = w->plan->timeout_ns < load_second_ns ? w->plan->timeout_ns : load_second_ns;
    return (w->outstanding == 0 && backlog(w) == 0) || w->now_ns >= end_ns(w) + drain_ns;
}

/* What is under way at the end will not be waited for: the connection begins anew. */
static void give_up(load_worker *w)
{
    w->counts.errors.unsent += backlog(w);
    for (uint32_t i = 0; i < w->conn_count; i++) {
        load_conn *c = &w->conns[i];
        if (c->count > 0) {
            w->counts.errors.timeouts += c->count;
            load_conn_close(w, c);
            c->retry_ns = w->now_ns;
        }
    }
}

void load_worker_run(void *worker)
{
    load_worker *w = worker;
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL,
                0UL); /* wake when asked to, not up to 50 us later */
    reset_counts(w);
    uint64_t begin_ns = brisk_clock_now_ns(NULL);
    uint64_t cpu_ns = brisk_clock_thread_cpu_ns();
    uint64_t waited_ns = processor_wait_ns();
    uint64_t tend_at_ns = 0;
    w->now_ns = begin_ns;
    while (!finished(w) && !atomic_load_explicit(w->stop, memory_order_relaxed)) {
        if (w->now_ns >= tend_at_ns) {
            tend(w);
            tend_at_ns = w->now_ns + tend_ns;
        }
        uint64_t due = w->step.connect_only ? UINT64_MAX : dispatch(w);
        uint64_t behind = w->step.connect_only ? 0 : backlog(w);
        w->counts.backlog_max = behind > w->counts.backlog_max ? behind : w->counts.backlog_max;
        wait_events(w, due < tend_at_ns ? due : tend_at_ns);
    }
    if (!w->step.connect_only) {
        give_up(w);
    }
    w->counts.wall_ns = w->now_ns - begin_ns;
    w->counts.cpu_ns = brisk_clock_thread_cpu_ns() - cpu_ns;
    w->counts.wait_ns = processor_wait_ns() - waited_ns;
}
