/*
 * tier_redis_link.c -- sending, reading and handing over, behind engine/tier_redis_link.h.
 *
 * Two roles, each held by at most one thread, flagged under `lock`:
 *
 *     writing   swaps `out` with `sending` and sends it, again and again until `out` is empty
 *     reading   owns `pending`, `in` and `replies`; alone completes calls
 *
 * A call goes  fifo ─(the reader takes the whole list)─► pending ─► take ─► DONE.  Its state word:
 *
 *     IDLE ──► WAITING ──► LEAD (the role of the reader has come to it) ──► IDLE
 *       └─────────┴──────────────────────────────────────────────────────► DONE
 *
 * A reader that leaves picks, under `lock`, a call whose owner is WAITING: an owner that has not
 * come to wait yet, or waits for another link, must not get the role, or everybody here would
 * wait for it.  If there is none, the first to come takes it.
 *
 * Where the socket's buffer is full and nobody reads, the writer reads meanwhile: a server may stop
 * to take commands until its replies are taken.
 *
 * The first error is kept in `broken`, and the socket is shut down, so that whoever sleeps in it
 * wakes up; the reader, or if there is none whoever noticed, fails all calls.
 *
 * Locks: `lock`, then `tls_lock` (libssl's stream knows one thread at a time).
 */
#include "engine/tier_redis_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "engine/tier_redis_greet.h"
#include "engine/tier_socket.h"

enum {
    STATE_IDLE = 0,
    STATE_WAITING,
    STATE_LEAD,
    STATE_DONE,
    IN_BYTES = 16384,
    BUFFER_KEPT = 262144,
    TLS_PIECE = 16384,
    OUT_BYTES_MAX = 1 << 30,
};

static const uint64_t second_ns = 1000000000;

struct redis_link {
    const brisk_alloc *alloc;
    _Atomic uint32_t refs;
    int fd;
    uint64_t timeout_ns;
    size_t in_bytes_max;
    wire_tls *tls;
    redis_greeting greeting; /* written before the link is anybody's */
    _Atomic int broken;      /* a brisk_err; written under lock */
    pthread_mutex_t lock;
    pthread_mutex_t tls_lock;
    bool reading;
    bool writing;
    resp_writer out;
    size_t mark; /* of out, at redis_link_begin */
    redis_call *fifo;
    redis_call **fifo_end;
    /* The writer's. */
    resp_writer sending;
    size_t sent;
    /* The reader's. */
    redis_call *pending;
    redis_call **pending_end;
    unsigned char *in;
    size_t in_capacity;
    size_t in_from; /* what is before it has been read */
    size_t in_size;
    resp_replies replies;
};

static void lock(redis_link *link)
{
    int failed = pthread_mutex_lock(&link->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(redis_link *link)
{
    int failed = pthread_mutex_unlock(&link->lock);
    BRISK_ASSERT(failed == 0);
}

static brisk_err broken_by(const redis_link *link)
{
    return (brisk_err)atomic_load_explicit(&link->broken, memory_order_acquire);
}

bool redis_link_is_broken(redis_link *link)
{
    return broken_by(link) != BRISK_OK;
}

/* --- calls -------------------------------------------------------------------------------- */

static void wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Sleep while the word is WAITING, at most until the deadline (monotonic clock). */
static void sleep_on(const _Atomic uint32_t *word, uint64_t deadline_ns)
{
    struct timespec until = {
        .tv_sec = (time_t)(deadline_ns / second_ns),
        .tv_nsec = (long)(deadline_ns % second_ns),
    };
    (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, STATE_WAITING,
                  deadline_ns != UINT64_MAX ? &until : NULL, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* The last touch of a call: its owner may have gone before the wake. */
static void complete(redis_call *call)
{
    /* Release: the owner sees what take wrote. */
    if (atomic_exchange_explicit(&call->state_, STATE_DONE, memory_order_acq_rel) ==
        STATE_WAITING) {
        wake(&call->state_);
    }
}

static bool is_done(redis_call *call)
{
    return atomic_load_explicit(&call->state_, memory_order_acquire) == STATE_DONE;
}

static void fail_list(redis_call *list, brisk_err err)
{
    while (list != NULL) {
        redis_call *next = list->next_;
        list->err = err;
        complete(list);
        list = next;
    }
}

/* Under lock, by the reader or when there is none. */
static void fail_all(redis_link *link)
{
    brisk_err err = broken_by(link);
    redis_call *pending = link->pending;
    redis_call *fifo = link->fifo;
    link->pending = NULL;
    link->pending_end = &link->pending;
    link->fifo = NULL;
    link->fifo_end = &link->fifo;
    fail_list(pending, err);
    fail_list(fifo, err);
}

/* Under lock. */
static void set_broken(redis_link *link, brisk_err err)
{
    if (broken_by(link) == BRISK_OK) {
        atomic_store_explicit(&link->broken, (int)err, memory_order_release);
        (void)shutdown(link->fd, SHUT_RDWR);
    }
    if (!link->reading) {
        fail_all(link);
    }
}

void redis_link_break(redis_link *link, brisk_err why)
{
    lock(link);
    set_broken(link, why);
    unlock(link);
}

/* Under lock: make somebody of `list` the reader whose owner waits for it. */
static bool hand_over(redis_call *list)
{
    for (; list != NULL; list = list->next_) {
        uint32_t waiting = STATE_WAITING;
        if (atomic_compare_exchange_strong_explicit(&list->state_, &waiting, STATE_LEAD,
                                                    memory_order_acq_rel, memory_order_relaxed)) {
            wake(&list->state_);
            return true;
        }
    }
    return false;
}

/* Under lock, by the reader: give the role away. */
static void leave_reading(redis_link *link)
{
    if (broken_by(link) != BRISK_OK) {
        fail_all(link);
        link->reading = false;
        return;
    }
    link->reading = hand_over(link->pending) || hand_over(link->fifo);
}

/* --- reading ------------------------------------------------------------------------------ */

static brisk_err make_room(redis_link *link)
{
    if (link->in_from > 0) {
        memmove(link->in, link->in + link->in_from, link->in_size - link->in_from);
        link->in_size -= link->in_from;
        link->in_from = 0;
    }
    bool too_large = link->in_capacity > BUFFER_KEPT && link->in_size == 0;
    if (link->in_capacity - link->in_size >= IN_BYTES / 2 && !too_large) {
        return BRISK_OK;
    }
    size_t wanted = too_large ? IN_BYTES : link->in_capacity * 2;
    wanted = wanted < IN_BYTES ? IN_BYTES : wanted;
    if (wanted > link->in_bytes_max) {
        return BRISK_ERR_LIMIT;
    }
    unsigned char *in = link->alloc->acquire(link->alloc->ctx, wanted, 1);
    if (in == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (link->in != NULL) {
        memcpy(in, link->in, link->in_size);
        link->alloc->release(link->alloc->ctx, link->in, link->in_capacity, 1);
    }
    link->in = in;
    link->in_capacity = wanted;
    return BRISK_OK;
}

/* What a recv that gave nothing means. */
static brisk_err judge_recv(ssize_t got)
{
    if (got == 0) {
        return BRISK_ERR_IO; /* closed */
    }
    return errno == EAGAIN || errno == EINTR ? BRISK_OK : BRISK_ERR_IO;
}

static brisk_err receive_tls(redis_link *link, int flags)
{
    unsigned char cipher[TLS_PIECE];
    ssize_t got = recv(link->fd, cipher, sizeof cipher, flags);
    if (got <= 0) {
        return judge_recv(got);
    }
    (void)pthread_mutex_lock(&link->tls_lock);
    brisk_err err = wire_tls_feed(link->tls, cipher, (size_t)got);
    size_t plain = 1;
    while (err == BRISK_OK && plain > 0) {
        err = make_room(link);
        if (err == BRISK_OK) {
            err = wire_tls_read(link->tls, link->in + link->in_size,
                                link->in_capacity - link->in_size, &plain, NULL);
        }
        link->in_size += err == BRISK_OK ? plain : 0;
    }
    if (err == BRISK_OK && wire_tls_is_closed(link->tls)) {
        err = BRISK_ERR_IO;
    }
    (void)pthread_mutex_unlock(&link->tls_lock);
    return err;
}

/* What the socket has; blocks up to SO_RCVTIMEO unless the flags say MSG_DONTWAIT. */
static brisk_err receive(redis_link *link, int flags)
{
    if (link->tls != NULL) {
        return receive_tls(link, flags);
    }
    brisk_err err = make_room(link);
    if (err != BRISK_OK) {
        return err;
    }
    ssize_t got =
        recv(link->fd, link->in + link->in_size, link->in_capacity - link->in_size, flags);
    if (got <= 0) {
        return judge_recv(got);
    }
    link->in_size += (size_t)got;
    return BRISK_OK;
}

static redis_call *next_call(redis_link *link)
{
    if (link->pending == NULL) {
        lock(link);
        link->pending = link->fifo;
        link->pending_end = link->fifo != NULL ? link->fifo_end : &link->pending;
        link->fifo = NULL;
        link->fifo_end = &link->fifo;
        unlock(link);
    }
    redis_call *call = link->pending;
    if (call != NULL) {
        link->pending = call->next_;
    }
    return call;
}

/* Hand out every reply that is whole.  `listener` (may be NULL) gets what belongs to no call. */
static brisk_err dispatch(redis_link *link, redis_call *listener)
{
    while (link->in_from < link->in_size) {
        resp_status status = resp_replies_read(&link->replies, link->in + link->in_from,
                                               link->in_size - link->in_from);
        if (status == RESP_MORE) {
            return BRISK_OK;
        }
        if (status == RESP_BAD) {
            return BRISK_ERR_CORRUPT;
        }
        bool push = resp_replies_value(&link->replies)->type == RESP_PUSH;
        redis_call *call = push || listener != NULL ? listener : next_call(link);
        if (call == NULL && !push) {
            return BRISK_ERR_CORRUPT; /* an answer that nobody asked for */
        }
        if (call != NULL) {
            call->err = BRISK_OK;
            if (call->take != NULL) {
                call->take(call, &link->replies);
            }
        }
        link->in_from += link->replies.used;
        if (call != NULL && call != listener) {
            complete(call);
        }
    }
    link->in_from = 0;
    link->in_size = 0;
    return BRISK_OK;
}

/* --- sending ------------------------------------------------------------------------------ */

static uint64_t left_until(uint64_t deadline_ns)
{
    uint64_t now = brisk_clock_now_ns(NULL);
    return deadline_ns > now ? deadline_ns - now : 0;
}

/* The writer, without lock: until the socket takes more.  Reads meanwhile when nobody else does. */
static brisk_err wait_writable(redis_link *link, uint64_t deadline_ns)
{
    lock(link);
    bool mine = !link->reading;
    link->reading = true;
    unlock(link);
    uint64_t left_ms = (left_until(deadline_ns) + 999999) / 1000000;
    struct pollfd wait = {.fd = link->fd, .events = (short)(mine ? POLLOUT | POLLIN : POLLOUT)};
    int ready = left_ms > 0 ? poll(&wait, 1, left_ms < 60000 ? (int)left_ms : 60000) : 0;
    brisk_err err = ready > 0 || (ready < 0 && errno == EINTR) ? BRISK_OK : BRISK_ERR_DEADLINE;
    if (mine) {
        if (err == BRISK_OK && (wait.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            err = receive(link, MSG_DONTWAIT);
            err = err == BRISK_OK ? dispatch(link, NULL) : err;
        }
        lock(link);
        leave_reading(link);
        unlock(link);
    }
    return err;
}

/* *sent may be 0: nothing was taken, and the socket was waited for. */
static brisk_err send_some(redis_link *link, const void *data, size_t size, size_t *sent)
{
    ssize_t done = send(link->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    *sent = done > 0 ? (size_t)done : 0;
    return done >= 0 || errno == EAGAIN || errno == EINTR ? BRISK_OK : BRISK_ERR_IO;
}

static brisk_err push_plain(redis_link *link, uint64_t deadline_ns)
{
    while (link->sent < link->sending.size) {
        size_t sent;
        brisk_err err = send_some(link, link->sending.data + link->sent,
                                  link->sending.size - link->sent, &sent);
        if (err == BRISK_OK && sent == 0) {
            err = wait_writable(link, deadline_ns);
        }
        if (err != BRISK_OK) {
            return err;
        }
        link->sent += sent;
    }
    return BRISK_OK;
}

static brisk_err push_tls(redis_link *link, uint64_t deadline_ns)
{
    size_t taken = 0;
    const void *data;
    (void)pthread_mutex_lock(&link->tls_lock);
    brisk_err err = wire_tls_write(link->tls, link->sending.data, link->sending.size, &taken, NULL);
    err = err == BRISK_OK && taken < link->sending.size ? BRISK_ERR_IO : err;
    for (size_t size; err == BRISK_OK && (size = wire_tls_output(link->tls, &data)) > 0;) {
        size_t sent;
        err = send_some(link, data, size, &sent);
        wire_tls_sent(link->tls, sent);
        if (err == BRISK_OK && sent == 0) {
            (void)pthread_mutex_unlock(&link->tls_lock);
            err = wait_writable(link, deadline_ns);
            (void)pthread_mutex_lock(&link->tls_lock);
        }
    }
    (void)pthread_mutex_unlock(&link->tls_lock);
    return err;
}

/* Under lock. */
static bool has_output(redis_link *link)
{
    if (link->out.size > 0 || link->tls == NULL) {
        return link->out.size > 0;
    }
    const void *data;
    (void)pthread_mutex_lock(&link->tls_lock);
    bool some = wire_tls_output(link->tls, &data) > 0;
    (void)pthread_mutex_unlock(&link->tls_lock);
    return some;
}

/* Under lock, which is given up in between: send all there is, unless somebody is at it. */
static void flush(redis_link *link, uint64_t deadline_ns)
{
    if (link->writing) {
        return;
    }
    link->writing = true;
    while (broken_by(link) == BRISK_OK && has_output(link)) {
        resp_writer full = link->out;
        link->out = link->sending;
        link->sending = full;
        link->sent = 0;
        unlock(link);
        brisk_err err =
            link->tls != NULL ? push_tls(link, deadline_ns) : push_plain(link, deadline_ns);
        resp_writer_reset(&link->sending, BUFFER_KEPT);
        lock(link);
        if (err != BRISK_OK) {
            set_broken(link, err);
        }
    }
    link->writing = false;
}

resp_writer *redis_link_begin(redis_link *link)
{
    lock(link);
    link->mark = link->out.size;
    return &link->out;
}

void redis_link_commit(redis_link *link, redis_call *const *calls, uint32_t count,
                       uint64_t deadline_ns)
{
    brisk_err err = broken_by(link);
    err = err != BRISK_OK ? err : link->out.err;
    if (err != BRISK_OK) {
        link->out.size = link->mark;
        link->out.err = BRISK_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        calls[i]->err = err;
        calls[i]->next_ = NULL;
        /* Relaxed: the lock shows it to the reader. */
        atomic_store_explicit(&calls[i]->state_, err == BRISK_OK ? STATE_IDLE : STATE_DONE,
                              memory_order_relaxed);
        if (err == BRISK_OK) {
            *link->fifo_end = calls[i];
            link->fifo_end = &calls[i]->next_;
        }
    }
    if (err == BRISK_OK) {
        flush(link, deadline_ns);
    }
    unlock(link);
}

/* --- waiting ------------------------------------------------------------------------------ */

/* Wait for input, the whole of it being the reader's own business. */
static brisk_err read_more(redis_link *link, uint64_t deadline_ns, bool first, redis_call *listener)
{
    /* SO_RCVTIMEO bounds the first one, which so costs one system call instead of two. */
    uint64_t left = left_until(deadline_ns);
    if (!first || left < link->timeout_ns - link->timeout_ns / 8 || listener != NULL) {
        brisk_err err = tier_socket_wait(link->fd, POLLIN, deadline_ns);
        if (err != BRISK_OK) {
            return err;
        }
    }
    brisk_err err = receive(link, 0);
    if (err == BRISK_OK) {
        err = dispatch(link, listener);
    }
    if (err == BRISK_OK && link->tls != NULL) {
        lock(link);
        flush(link, deadline_ns); /* libssl may have had something to say */
        unlock(link);
    }
    return err;
}

/* The calling thread is the reader, until its own call is done. */
static void lead(redis_link *link, redis_call *call, uint64_t deadline_ns)
{
    for (bool first = true; !is_done(call) && broken_by(link) == BRISK_OK; first = false) {
        brisk_err err = read_more(link, deadline_ns, first, NULL);
        if (err != BRISK_OK) {
            lock(link);
            set_broken(link, err);
            unlock(link);
        }
    }
    lock(link);
    leave_reading(link);
    unlock(link);
}

/* True: the calling thread has become the reader. */
static bool wait_or_lead(redis_link *link, redis_call *call, uint64_t deadline_ns)
{
    lock(link);
    if (!link->reading && !is_done(call)) {
        link->reading = true;
        unlock(link);
        return true;
    }
    uint32_t idle = STATE_IDLE;
    (void)atomic_compare_exchange_strong_explicit(&call->state_, &idle, STATE_WAITING,
                                                  memory_order_acq_rel, memory_order_acquire);
    unlock(link);
    if (is_done(call)) {
        return false;
    }
    sleep_on(&call->state_, deadline_ns);
    uint32_t leads = STATE_LEAD;
    return atomic_compare_exchange_strong_explicit(&call->state_, &leads, STATE_IDLE,
                                                   memory_order_acq_rel, memory_order_acquire);
}

void redis_link_wait(redis_link *link, redis_call *call, uint64_t deadline_ns)
{
    while (!is_done(call)) {
        if (wait_or_lead(link, call, deadline_ns)) {
            lead(link, call, deadline_ns);
        } else if (!is_done(call) && left_until(deadline_ns) == 0) {
            redis_link_break(link, BRISK_ERR_DEADLINE);
            deadline_ns = UINT64_MAX; /* the reader fails this call at once */
        }
    }
}

brisk_err redis_link_listen(redis_link *link, redis_call *take, uint64_t until_ns)
{
    brisk_err err = broken_by(link);
    err = err == BRISK_OK ? dispatch(link, take) : err;
    if (err == BRISK_OK) {
        err = read_more(link, until_ns, false, take);
    }
    if (err == BRISK_ERR_DEADLINE) {
        return BRISK_OK;
    }
    if (err != BRISK_OK) {
        redis_link_break(link, err);
    }
    return err;
}

/* --- life --------------------------------------------------------------------------------- */

static void free_link(redis_link *link)
{
    if (link->fd >= 0) {
        (void)close(link->fd);
    }
    wire_tls_destroy(link->tls);
    resp_writer_deinit(&link->out);
    resp_writer_deinit(&link->sending);
    resp_replies_deinit(&link->replies);
    if (link->in != NULL) {
        link->alloc->release(link->alloc->ctx, link->in, link->in_capacity, 1);
    }
    (void)pthread_mutex_destroy(&link->lock);
    (void)pthread_mutex_destroy(&link->tls_lock);
    link->alloc->release(link->alloc->ctx, link, sizeof *link, _Alignof(redis_link));
}

redis_link *redis_link_ref(redis_link *link)
{
    (void)atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
    return link;
}

void redis_link_unref(redis_link *link)
{
    /* Release and acquire: who frees sees all that the others did. */
    if (link != NULL && atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) == 1) {
        free_link(link);
    }
}

uint8_t redis_link_protocol(const redis_link *link)
{
    return link->greeting.protocol;
}

static redis_link *new_link(const redis_link_opts *opts)
{
    const brisk_alloc *alloc = opts->alloc;
    redis_link *link = alloc->acquire(alloc->ctx, sizeof *link, _Alignof(redis_link));
    if (link == NULL) {
        return NULL;
    }
    *link = (redis_link){
        .alloc = alloc,
        .refs = 1,
        .fd = -1,
        .timeout_ns = opts->timeout_ns,
        .in_bytes_max = 2 * (size_t)opts->reply_bytes_max + 4 * IN_BYTES,
    };
    int failed = pthread_mutex_init(&link->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    failed = pthread_mutex_init(&link->tls_lock, NULL);
    BRISK_ASSERT(failed == 0);
    link->fifo_end = &link->fifo;
    link->pending_end = &link->pending;
    resp_writer_init(&link->out, alloc, OUT_BYTES_MAX);
    resp_writer_init(&link->sending, alloc, OUT_BYTES_MAX);
    resp_reply_limits limits = {.bulk_max = opts->reply_bytes_max, .nodes_max = 1 << 20};
    resp_replies_init(&link->replies, &limits, alloc);
    return link;
}

static brisk_err send_handshake(redis_link *link, uint64_t deadline_ns)
{
    const void *data;
    for (size_t size; (size = wire_tls_output(link->tls, &data)) > 0;) {
        size_t sent;
        brisk_err err = send_some(link, data, size, &sent);
        if (err == BRISK_OK && sent == 0) {
            err = tier_socket_wait(link->fd, POLLOUT, deadline_ns);
        }
        if (err != BRISK_OK) {
            return err;
        }
        wire_tls_sent(link->tls, sent);
    }
    return BRISK_OK;
}

static brisk_err shake_hands(redis_link *link, const redis_link_opts *opts, uint64_t deadline_ns,
                             brisk_errinfo *info)
{
    brisk_err err = wire_tls_create(opts->tls, opts->address->host, &link->tls);
    while (err == BRISK_OK) {
        unsigned char buffer[TLS_PIECE];
        err = wire_tls_handshake(link->tls, info);
        brisk_err sent = send_handshake(link, deadline_ns); /* or an alert */
        if (err != BRISK_OK) {
            return err; /* libssl's text is in info */
        }
        if (sent == BRISK_OK && wire_tls_is_ready(link->tls)) {
            return BRISK_OK;
        }
        err = sent == BRISK_OK ? tier_socket_wait(link->fd, POLLIN, deadline_ns) : sent;
        ssize_t got = err == BRISK_OK ? recv(link->fd, buffer, sizeof buffer, 0) : 0;
        if (err == BRISK_OK) {
            err = got > 0 ? wire_tls_feed(link->tls, buffer, (size_t)got) : judge_recv(got);
        }
    }
    return brisk_errinfo_set(info, err, "%s:%u: no TLS: %s", opts->address->host,
                             opts->address->port, brisk_err_message(err));
}

static void set_timeout(int fd, uint64_t timeout_ns)
{
    struct timeval timeout = {
        .tv_sec = (time_t)(timeout_ns / second_ns),
        .tv_usec = (suseconds_t)(timeout_ns % second_ns / 1000 + 1),
    };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
}

brisk_err redis_link_open(const redis_link_opts *opts, redis_link **ret, brisk_errinfo *info)
{
    uint64_t deadline_ns = brisk_clock_now_ns(NULL) + opts->connect_timeout_ns;
    redis_link *link = new_link(opts);
    if (link == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    brisk_err err =
        tier_socket_connect(opts->address->host, opts->address->port, deadline_ns, &link->fd, info);
    if (err == BRISK_OK) {
        set_timeout(link->fd, opts->timeout_ns);
        if (opts->tls != NULL) {
            err = shake_hands(link, opts, deadline_ns, info);
        }
    }
    if (err == BRISK_OK) {
        err = redis_greet(link, opts, deadline_ns, &link->greeting, info);
    }
    if (err != BRISK_OK) {
        redis_link_unref(link);
        return err;
    }
    link->out.protocol = link->greeting.protocol;
    link->sending.protocol = link->greeting.protocol;
    *ret = link;
    return BRISK_OK;
}

/* As CLIENT LIST shows this end of the connection. */
static void describe(const redis_link *link, char *text, size_t size)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    char host[INET6_ADDRSTRLEN] = "";
    text[0] = '\0';
    if (getsockname(link->fd, (struct sockaddr *)&address, &length) != 0) {
        return;
    }
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        (void)snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)&address;
        (void)inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        (void)snprintf(text, size, "[%s]:%u", host, ntohs(in->sin6_port));
    }
}

void redis_link_ghost(redis_link *link, redis_ghost *ret)
{
    *ret = (redis_ghost){.id = link->greeting.client_id};
    describe(link, ret->address, sizeof ret->address);
    if (ret->address[0] == '\0') {
        ret->id = 0; /* an id alone could be somebody else's, after a restart of the server */
    }
}
