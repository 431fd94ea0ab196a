/*
 * conn.c -- one connection of the load: opens, sends, reads answers, is opened again when it ends.
 *
 * Answers come in the order of the requests, so a ring of moments is all that is kept of what was sent.  What a
 * connection had under way when it ended is counted, never sent again.
 *
 * RESP answers are read in place from the receive buffer; only an answer that is not whole yet is copied into the
 * connection's own.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "base/text.h"
#include "observe/load/load.h"

enum { KEEP_BYTES = 65536, READS_MAX = 16 };

static const uint64_t retry_ns = UINT64_C(100000000);

static void remember_error(load_worker *w, const char *text, size_t size)
{
    char *to = w->counts.first_error;
    if (to[0] == '\0') {
        size = size < LOAD_TEXT_MAX - 1 ? size : LOAD_TEXT_MAX - 1;
        memcpy(to, text, size);
        to[size] = '\0';
        brisk_text_make_plain(to, size);
    }
}

static void interest(load_worker *w, load_conn *c, bool add)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = (uint32_t)(c - w->conns)}};
    if (c->state == LOAD_CONNECTING || c->waits_to_write) {
        event.events |= EPOLLOUT;
    }
    if (epoll_ctl(w->epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &event) != 0) {
        load_conn_close(w, c);
    }
}

void load_conn_close(load_worker *w, load_conn *c)
{
    if (c->state == LOAD_OPEN) {
        w->open_count--;
    }
    if (c->fd >= 0) {
        (void)close(c->fd); /* which takes it out of epoll */
    }
    c->fd = -1;
    c->state = LOAD_CLOSED;
    c->waits_to_write = false;
    c->handshake = 0;
    w->outstanding -= c->count;
    c->count = 0;
    c->in.count = 0;
    c->written = 0;
    resp_writer_reset(&c->out, KEEP_BYTES);
    c->retry_ns = w->now_ns + retry_ns;
}

static void fail_connect(load_worker *w, load_conn *c, int os_errno)
{
    w->counts.errors.connect++;
    if (w->connect_error[0] == '\0') {
        (void)snprintf(w->connect_error, sizeof w->connect_error, "%s", strerror(os_errno));
    }
    load_conn_close(w, c);
}

static void opened(load_worker *w, load_conn *c)
{
    const load_plan *plan = w->plan;
    c->state = LOAD_OPEN;
    w->open_count++;
    if (c->http != NULL) {
        load_http_init(c->http, strcmp(plan->requests->method, "HEAD") == 0);
    } else {
        resp_replies_deinit(&c->replies);
        resp_replies_init(&c->replies, &(resp_reply_limits){.bulk_max = LOAD_ANSWER_MAX},
                          plan->alloc);
        if (plan->password != NULL) {
            resp_put_array(&c->out, 2);
            resp_put_text(&c->out, "AUTH");
            resp_put_text(&c->out, plan->password);
            c->handshake++;
        }
        if (plan->target->database != 0) {
            resp_put_array(&c->out, 2);
            resp_put_text(&c->out, "SELECT");
            resp_put_integer_bulk(&c->out, plan->target->database);
            c->handshake++;
        }
    }
    interest(w, c, false);
    if (c->state == LOAD_OPEN && c->out.size > 0) {
        load_conn_flush(w, c);
    }
    c->ready_ns = w->now_ns;
    if (c->state == LOAD_OPEN && c->handshake == 0) {
        load_worker_offer(w, c);
    }
}

void load_conn_open(load_worker *w, load_conn *c)
{
    const load_target *target = w->plan->target;
    c->fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        fail_connect(w, c, errno);
        return;
    }
    int on = 1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_storage address = target->address;
    c->state = LOAD_CONNECTING;
    c->retry_ns = w->now_ns + w->plan->timeout_ns;
    if (connect(c->fd, (const struct sockaddr *)&address, target->address_size) != 0 &&
        errno != EINPROGRESS) {
        fail_connect(w, c, errno);
        return;
    }
    interest(w, c, true);
}

/* --- sending ------------------------------------------------------------------------------ */

void load_conn_put(load_worker *w, load_conn *c, uint64_t due_ns)
{
    uint32_t depth = w->plan->pipeline;
    BRISK_ASSERT(c->count < depth);
    load_requests_write(w->plan->requests, &c->rng, &c->out);
    c->moments[(c->first + c->count) % depth] = (load_moment){due_ns, w->now_ns};
    c->count++;
    w->outstanding++;
    w->counts.sent++;
    if (!c->dirty) {
        c->dirty = true;
        w->dirty[w->dirty_count++] = (uint32_t)(c - w->conns);
    }
}

void load_conn_flush(load_worker *w, load_conn *c)
{
    if (c->state != LOAD_OPEN) {
        return;
    }
    if (c->out.err != BRISK_OK) {
        remember_error(w, "out of memory", 13);
        w->counts.errors.protocol += c->count;
        load_conn_close(w, c);
        return;
    }
    while (c->written < c->out.size) {
        ssize_t part =
            send(c->fd, c->out.data + c->written, c->out.size - c->written, MSG_NOSIGNAL);
        if (part < 0 && errno == EINTR) {
            continue;
        }
        if (part < 0 && errno == EAGAIN) {
            if (!c->waits_to_write) {
                c->waits_to_write = true;
                interest(w, c, false);
            }
            return;
        }
        if (part < 0) {
            w->counts.errors.closed += c->count;
            remember_error(w, strerror(errno), strlen(strerror(errno)));
            load_conn_close(w, c);
            return;
        }
        c->written += (size_t)part;
    }
    c->written = 0;
    resp_writer_reset(&c->out, KEEP_BYTES);
    if (c->waits_to_write) {
        c->waits_to_write = false;
        interest(w, c, false);
    }
}

/* --- answers ------------------------------------------------------------------------------ */

/* One answer came; `good` is whether it was what was asked for.  False: nobody asked. */
static bool answered(load_worker *w, load_conn *c, bool good)
{
    if (c->count == 0) {
        return false;
    }
    uint64_t now_ns = brisk_clock_now_ns(NULL);
    load_moment moment = c->moments[c->first];
    c->first = (c->first + 1) % w->plan->pipeline;
    c->count--;
    w->outstanding--;
    w->now_ns = now_ns;
    if (good) {
        brisk_hist_record(w->counts.latency, now_ns - moment.due_ns);
        w->counts.answered++;
        w->counts.in_time += now_ns <= w->step.start_ns + w->step.duration_ns ? 1 : 0;
        atomic_store_explicit(&w->answered, w->counts.answered, memory_order_relaxed);
    } else {
        w->counts.errors.refused++;
    }
    c->ready_ns = now_ns + w->plan->think_ns;
    load_worker_offer(w, c);
    return true;
}

static void broken(load_worker *w, load_conn *c, const char *why)
{
    w->counts.errors.protocol += c->count > 0 ? c->count : 1;
    remember_error(w, why, strlen(why));
    load_conn_close(w, c);
}

static void read_http(load_worker *w, load_conn *c, const char *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t used;
        load_http_status status = load_http_read(c->http, data + at, size - at, &used);
        at += used;
        if (status == LOAD_HTTP_BAD) {
            broken(w, c, c->http->error);
            return;
        }
        if (status == LOAD_HTTP_DONE) {
            bool good = c->http->status < 400;
            if (!good && w->counts.first_error[0] == '\0') {
                (void)snprintf(w->counts.first_error, LOAD_TEXT_MAX, "status %u", c->http->status);
            }
            if (!answered(w, c, good)) {
                broken(w, c, "an answer that nobody asked for");
                return;
            }
            if (c->http->closes) {
                w->counts.errors.closed += c->count;
                load_conn_close(w, c);
                load_conn_open(w, c);
                return;
            }
        }
    }
}

static bool take_reply(load_worker *w, load_conn *c)
{
    const resp_node *value = resp_replies_value(&c->replies);
    if (value->type == RESP_PUSH) {
        return true;
    }
    bool good = value->type != RESP_ERROR;
    if (!good) {
        remember_error(w, (const char *)value->bytes.data, value->bytes.size);
    }
    if (c->handshake > 0) {
        c->handshake--;
        if (good && c->handshake == 0) {
            load_worker_offer(w, c);
        }
        return good;
    }
    w->counts.nulls += value->type == RESP_NULL ? 1 : 0;
    return answered(w, c, good);
}

/* Read all whole replies of `data`; how many bytes they were.  The connection may be closed afterwards. */
static size_t read_replies(load_worker *w, load_conn *c, const unsigned char *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        resp_status status = resp_replies_read(&c->replies, data + at, size - at);
        if (status == RESP_MORE) {
            break;
        }
        if (status == RESP_BAD) {
            broken(w, c, c->replies.error);
            break;
        }
        at += c->replies.used;
        if (!take_reply(w, c)) {
            broken(w, c, "an answer that nobody asked for");
            break;
        }
    }
    return at;
}

static void read_resp(load_worker *w, load_conn *c, const unsigned char *data, size_t size)
{
    if (c->in.count == 0) {
        size_t used = read_replies(w, c, data, size);
        data += used;
        size -= used;
    }
    if (c->state != LOAD_OPEN || size == 0) {
        return;
    }
    if (c->in.count + size > LOAD_ANSWER_MAX || !BRISK_VEC_RESERVE(&c->in, c->in.count + size)) {
        broken(w, c, "the answer is too large");
        return;
    }
    bool again = c->in.count > 0;
    memcpy(c->in.items + c->in.count, data, size);
    c->in.count += size;
    if (again) {
        size_t used = read_replies(w, c, c->in.items, c->in.count);
        if (c->state == LOAD_OPEN) {
            memmove(c->in.items, c->in.items + used, c->in.count - used);
            c->in.count -= used;
        }
    }
}

static void read_end(load_worker *w, load_conn *c, int os_errno)
{
    bool whole = c->http != NULL && os_errno == 0 && c->count > 0 &&
                 load_http_end(c->http) == LOAD_HTTP_DONE;
    if (whole) {
        (void)answered(w, c, c->http->status < 400);
    }
    if (c->count > 0 || c->handshake > 0) {
        w->counts.errors.closed += c->count > 0 ? c->count : 1;
        const char *why = os_errno != 0 ? strerror(os_errno) : "closed by the server";
        remember_error(w, why, strlen(why));
    }
    load_conn_close(w, c);
    if (whole) {
        load_conn_open(w, c);
    }
}

static void read_some(load_worker *w, load_conn *c)
{
    for (int reads = 0; reads < READS_MAX && c->state == LOAD_OPEN; reads++) {
        ssize_t size = recv(c->fd, w->received, LOAD_RECEIVE_BYTES, 0);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0 && errno == EAGAIN) {
            return;
        }
        if (size <= 0) {
            read_end(w, c, size < 0 ? errno : 0);
            return;
        }
        w->counts.received_bytes += (uint64_t)size;
        if (c->http != NULL) {
            read_http(w, c, (const char *)w->received, (size_t)size);
        } else {
            read_resp(w, c, w->received, (size_t)size);
        }
        if (size < LOAD_RECEIVE_BYTES) {
            return;
        }
    }
}

void load_conn_event(load_worker *w, load_conn *c, uint32_t events)
{
    if (c->state == LOAD_CONNECTING) {
        int failed = 0;
        socklen_t size = sizeof failed;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0) {
            failed = errno;
        }
        if (failed != 0) {
            fail_connect(w, c, failed);
        } else if ((events & EPOLLOUT) != 0) {
            opened(w, c);
        }
        return;
    }
    if (c->state == LOAD_OPEN && (events & EPOLLOUT) != 0) {
        load_conn_flush(w, c);
    }
    if (c->state == LOAD_OPEN && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        read_some(w, c);
    }
}
