/*
 * conn.c -- reading, sending, backpressure, closing.
 *
 * Invariant: EPOLLIN is asked for while the connection may be worked on; EPOLLOUT exactly while bytes are unsent;
 * EPOLLRDHUP while it may be worked on or waits for long.  What is asked for too much of EPOLLIN and EPOLLRDHUP stays until
 * it happens: most answers are there before the peer says more, and that saves two calls for each.  A connection that
 * died stays in memory until the round ends, since the same wait may have returned another event for it.
 */
#include "daemon/conn.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "daemon/addresses.h"
#include "daemon/http/auth.h"
#include "daemon/server.h"

enum {
    IN_FIRST = 1024,
    OUT_KEPT = 262144,
    OUTPUT_HARD = 2, /* times serve.output_total: see conn_relieve */
    TLS_HANDSHAKE = 0x16,
    TLS_PIECE = 16384,   /* of a value or file, encrypted at a time */
    TLS_ENOUGH = 262144, /* cipher text that waits before more is made of values and files */
};

/* send and recv without what glibc does at a point of cancellation: two atomic operations around each.  No thread here
 * is ever cancelled. */
static ssize_t send_some(int fd, const void *data, size_t size)
{
    return syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, NULL, 0);
}

static ssize_t receive_some(int fd, void *to, size_t room)
{
    return syscall(SYS_recvfrom, fd, to, room, 0, NULL, NULL);
}

/* What is held for the peer: parts are not. */
static size_t bytes_unsent(const conn *c)
{
    const void *cipher;
    return c->pending.size - c->sent + (c->tls != NULL ? wire_tls_output(c->tls, &cipher) : 0);
}

size_t conn_unsent(const conn *c)
{
    return bytes_unsent(c) + c->parts.left;
}

http_peer conn_peer(conn *c)
{
    if (c->peer == 0) { /* it stays the same: asked for once */
        c->peer = (uint8_t)(http_peer_of(c->fd) + 1);
    }
    return (http_peer)(c->peer - 1);
}

static bool may_work(const conn *c)
{
    return !c->waiting && !c->choked && !c->closing && !c->dead;
}

static uint32_t wanted_events(const conn *c)
{
    bool works = may_work(c);
    bool watches = !c->ended && (works || (c->waiting && c->for_long));
    return ((works && !c->ended) || c->lingers ? (uint32_t)EPOLLIN : 0U) |
           (conn_unsent(c) > 0 || c->choked ? (uint32_t)EPOLLOUT : 0U) |
           (watches ? (uint32_t)EPOLLRDHUP : 0U);
}

static void set_events(conn *c, uint32_t events)
{
    if (events != c->events) {
        loop_rewatch(&c->worker->loop, c->fd, events, &c->source);
        c->events = events;
    }
}

static void ask_for_events(conn *c)
{
    if (c->dead) {
        return;
    }
    uint32_t events = wanted_events(c);
    uint32_t too_many = c->events & ~events;
    if (c->ended || (events & ~c->events) != 0 || (too_many & (uint32_t)EPOLLOUT) != 0) {
        set_events(c, events);
    }
}

/* --- closing ------------------------------------------------------------------------------ */

static void drop_in(conn *c)
{
    if (c->in != NULL) {
        server *s = c->worker->server;
        s->alloc->release(s->alloc->ctx, c->in, c->in_capacity, 1);
        atomic_fetch_sub_explicit(&s->input_bytes, c->in_capacity, memory_order_relaxed);
    }
    c->in = NULL;
    c->in_size = 0;
    c->in_capacity = 0;
}

/* Count what `pending` holds, for the bound on all connections together. */
static void count_pending(conn *c, size_t before)
{
    atomic_fetch_add_explicit(&c->worker->server->output_bytes, c->pending.capacity - before,
                              memory_order_relaxed);
}

static void drop_pending(conn *c)
{
    size_t before = c->pending.capacity;
    resp_writer_deinit(&c->pending);
    c->sent = 0;
    count_pending(c, before);
}

static void leave_again(conn *c)
{
    conn **at = &c->worker->again;
    while (c->again && *at != NULL && *at != c) {
        at = &(*at)->next_again;
    }
    if (c->again && *at == c) {
        *at = c->next_again;
    }
    c->again = false;
}

void conn_kill(conn *c)
{
    if (c->dead) {
        return;
    }
    c->dead = true;
    worker *w = c->worker;
    leave_again(c);
    loop_unwatch(&w->loop, c->fd);
    c->protocol->close(c);
    wire_tls_destroy(c->tls);
    c->tls = NULL;
    parts_drop(&c->parts, &w->part_pool, w->server->alloc);
    addresses_leave(&w->server->addresses,
                    c->address); /* before the peer can know and come again */
    (void)close(c->fd);
    if (c->previous != NULL) {
        c->previous->next = c->next;
    } else {
        w->conns = c->next;
    }
    if (c->next != NULL) {
        c->next->previous = c->previous;
    }
    atomic_fetch_sub_explicit(&w->conn_count, 1, memory_order_relaxed);
    c->next = w->graves;
    w->graves = c;
}

/* All is sent: close, or say so and wait for the peer's end. */
static void end(conn *c)
{
    if (c->lingers && !c->ended && shutdown(c->fd, SHUT_WR) == 0) {
        ask_for_events(c);
    } else {
        conn_kill(c);
    }
}

void conn_finish(conn *c)
{
    c->closing = true;
    if (conn_unsent(c) == 0 && !c->working) {
        end(c);
    } else {
        ask_for_events(c);
    }
}

void conn_bury(worker *w)
{
    while (w->graves != NULL) {
        conn *c = w->graves;
        w->graves = c->next;
        drop_in(c);
        drop_pending(c);
        w->server->alloc->release(w->server->alloc->ctx, c, sizeof *c, _Alignof(conn));
    }
}

/* Its protocol waits for room, and there is some. */
static void tell_room(conn *c)
{
    if (c->tell_room && conn_unsent(c) <= CONN_ROOM) {
        c->tell_room = false;
        conn_soon(c);
    }
}

/* --- sending ------------------------------------------------------------------------------ */

/* As much as the kernel takes; false: the connection died. */
static bool send_plain(conn *c, const unsigned char *data, size_t size, size_t *ret_sent)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = send_some(c->fd, data + sent, size - sent);
        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            return false;
        }
    }
    atomic_fetch_add_explicit(&c->worker->server->bytes_out, sent, memory_order_relaxed);
    c->sent_total += sent;
    *ret_sent = sent;
    return true;
}

static bool flush_tls(conn *c)
{
    const void *cipher;
    size_t sent = 0;
    size_t size = wire_tls_output(c->tls, &cipher);
    if (size > 0 && !send_plain(c, cipher, size, &sent)) {
        return false;
    }
    if (sent > 0) {
        wire_tls_sent(c->tls, sent);
    }
    return size - sent <= c->worker->server->limits.output_max;
}

/* With TLS all bytes are taken, and what the kernel does not take is kept as cipher text; of values and files no more
 * than that is made at a time. */
static bool send_tls(conn *c, outgoing what, size_t *ret_sent)
{
    unsigned char room[TLS_PIECE];
    brisk_errinfo info;
    const brisk_alloc *alloc = c->worker->server->alloc;
    size_t size = what.size;
    const void *cipher;
    for (;;) {
        const void *data;
        ptrdiff_t next = outgoing_next(&what, room, sizeof room, &data);
        size_t taken = 0;
        if (next < 0 ||
            (next > 0 && wire_tls_write(c->tls, data, (size_t)next, &taken, &info) != BRISK_OK)) {
            return false;
        }
        if (taken == 0) {
            break;
        }
        (void)outgoing_taken(&what, taken, &c->worker->part_pool, alloc);
        if (wire_tls_output(c->tls, &cipher) > TLS_ENOUGH && what.parts->first != NULL) {
            if (!flush_tls(c)) {
                return false;
            }
            if (wire_tls_output(c->tls, &cipher) > TLS_ENOUGH) {
                break;
            }
        }
    }
    *ret_sent = size - what.size;
    return flush_tls(c);
}

/* Bytes, with parts between them: as much as goes. */
static bool send_all(conn *c, const unsigned char *data, size_t size, conn_parts *between,
                     size_t *ret_sent)
{
    if (c->tls == NULL && between->first == NULL) {
        return send_plain(c, data, size, ret_sent);
    }
    outgoing what = {
        .data = data, .size = size, .parts = between, .near = conn_peer(c) != HTTP_PEER_REMOTE};
    if (c->tls != NULL) {
        return send_tls(c, what, ret_sent);
    }
    worker *w = c->worker;
    uint64_t all;
    bool good = outgoing_send(c->fd, what, &w->part_pool, w->server->alloc, ret_sent, &all);
    atomic_fetch_add_explicit(&w->server->bytes_out, all, memory_order_relaxed);
    c->sent_total += all;
    return good;
}

/* More than it may hold, alone or with the others. */
static bool is_choked(const conn *c)
{
    const server *s = c->worker->server;
    size_t unsent = bytes_unsent(c);
    return unsent > s->limits.output_high ||
           (unsent > 0 &&
            atomic_load_explicit(&s->output_bytes, memory_order_relaxed) > s->limits.output_total);
}

/* All together hold more than `times` what they should. */
static bool is_too_much(const server *s, uint32_t times)
{
    return atomic_load_explicit(&s->output_bytes, memory_order_relaxed) / times >
           s->limits.output_total;
}

static bool is_over_share(const conn *c)
{
    const server *s = c->worker->server;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        count += atomic_load_explicit(&s->workers[i].conn_count, memory_order_relaxed);
    }
    uint64_t own = bytes_unsent(c) + parts_in_memory(&c->parts);
    return own > s->limits.output_total / (count > 0 ? count : 1);
}

static void close_for_output(conn *c)
{
    atomic_fetch_add_explicit(&c->worker->server->output_kills, 1, memory_order_relaxed);
    conn_kill(c);
}

/* Who holds more than a share, and has for longest not asked for anything. */
static conn *slowest(const worker *w)
{
    conn *found = NULL;
    for (conn *c = w->conns; c != NULL; c = c->next) {
        if ((found == NULL || c->active_ns < found->active_ns) && is_over_share(c)) {
            found = c;
        }
    }
    return found;
}

void conn_relieve(worker *w)
{
    conn *c = NULL;
    while (is_too_much(w->server, OUTPUT_HARD) && (c = slowest(w)) != NULL) {
        close_for_output(c);
        drop_pending(c);
    }
}

void conn_push(conn *c, const void *data, size_t size)
{
    conn_append(c, data, size);
    c->pushed = true;
}

/* What is left of what is pending moves to the start, when that is little work. */
static void compact(conn *c)
{
    if (c->sent > 0 && c->sent >= c->pending.size / 2) {
        c->pending.size -= c->sent;
        memmove(c->pending.data, c->pending.data + c->sent, c->pending.size);
        c->sent = 0;
    }
}

void conn_append(conn *c, const void *data, size_t size)
{
    size_t before = c->pending.capacity;
    compact(c);
    resp_put_raw(&c->pending, data, size);
    count_pending(c, before);
}

unsigned char *conn_room(conn *c, size_t size)
{
    if (c->working) {
        return resp_writer_room(&c->worker->out, size);
    }
    size_t before = c->pending.capacity;
    compact(c);
    unsigned char *room = resp_writer_room(&c->pending, size);
    count_pending(c, before);
    conn_soon(c);
    return room;
}

void conn_filled(conn *c, size_t size)
{
    resp_writer *to = c->working ? &c->worker->out : &c->pending;
    to->size += size;
}

bool conn_put_part(conn *c, const conn_part *what)
{
    worker *w = c->worker;
    conn_part *p = part_take(&w->part_pool, w->server->alloc);
    if (p == NULL) {
        if (what->value != NULL) {
            brisk_value_unref(what->value);
        } else if (what->release != NULL) {
            what->release(what->ctx);
        }
        return false;
    }
    *p = *what;
    if (c->working) {
        parts_add(&w->out_parts, p, w->out.size);
    } else {
        parts_add(&c->parts, p, c->pending.size - c->sent);
        parts_hold(&c->parts, &w->part_pool);
        conn_soon(c);
    }
    return true;
}

void conn_flush(conn *c)
{
    size_t sent = 0;
    if (c->dead) {
        return;
    }
    if (c->pending.err != BRISK_OK ||
        !send_all(c, c->pending.data != NULL ? c->pending.data + c->sent : NULL,
                  c->pending.size - c->sent, &c->parts, &sent)) {
        if (c->pending.err != BRISK_OK) {
            close_for_output(c);
        } else {
            conn_kill(c);
        }
        return;
    }
    c->sent += sent;
    if (c->sent == c->pending.size) {
        drop_pending(c);
    }
    if (c->pushed && is_too_much(c->worker->server, 1) && is_over_share(c)) {
        close_for_output(c);
        return;
    }
    c->pushed = false;
    if (conn_unsent(c) == 0) {
        if (c->closing && !c->working) {
            end(c);
            return;
        }
    }
    tell_room(c);
    ask_for_events(c);
}

/* Behind what is pending already. */
static void keep_unsent(conn *c, const unsigned char *data, size_t size)
{
    size_t before = c->pending.size - c->sent;
    if (size > 0) {
        conn_append(c, data, size);
    }
    parts_hold(&c->worker->out_parts, &c->worker->part_pool);
    parts_move(&c->parts, &c->worker->out_parts, before);
}

bool conn_send(conn *c)
{
    worker *w = c->worker;
    resp_writer *out = &w->out;
    if (c->dead || out->err != BRISK_OK) {
        conn_kill(c);
    } else if (out->size > 0 || w->out_parts.first != NULL) {
        size_t sent = 0;
        bool direct = c->pending.size == c->sent && c->parts.first == NULL &&
                      (c->tls != NULL || conn_unsent(c) == 0);
        if (direct && !send_all(c, out->data, out->size, &w->out_parts, &sent)) {
            conn_kill(c);
        } else {
            keep_unsent(c, out->data + sent, out->size - sent);
            c->choked = bytes_unsent(c) > 0 && is_choked(c);
        }
    }
    if (w->out_parts.first != NULL) {
        parts_drop(&w->out_parts, &w->part_pool, w->server->alloc);
    }
    resp_writer_reset(out, OUT_KEPT);
    if (!c->dead && c->pending.err != BRISK_OK) {
        conn_kill(c);
    }
    return may_work(c);
}

/* --- reading ------------------------------------------------------------------------------ */

/* Room behind the unfinished request; false: too much, here or in all. */
static bool reserve_in(conn *c, size_t wanted)
{
    server *s = c->worker->server;
    if (wanted <= c->in_capacity) {
        return true;
    }
    size_t capacity = c->in_capacity != 0 ? c->in_capacity : IN_FIRST;
    while (capacity < wanted) {
        capacity *= 2;
    }
    uint64_t total = atomic_load_explicit(&s->input_bytes, memory_order_relaxed);
    if (capacity > 2 * s->limits.input_max || total + capacity > s->limits.input_total) {
        atomic_fetch_add_explicit(&s->input_kills, 1, memory_order_relaxed);
        return false;
    }
    unsigned char *in = s->alloc->acquire(s->alloc->ctx, capacity, 1);
    if (in == NULL) {
        return false;
    }
    size_t size = c->in_size;
    if (size > 0) {
        memcpy(in, c->in, size);
    }
    drop_in(c);
    c->in = in;
    c->in_size = size;
    c->in_capacity = capacity;
    atomic_fetch_add_explicit(&s->input_bytes, capacity, memory_order_relaxed);
    return true;
}

/* Keep what is left of `data`, which may be conn.in itself. */
static bool keep(conn *c, const unsigned char *data, size_t size)
{
    if (size == 0) {
        drop_in(c);
        return true;
    }
    bool own = c->in != NULL && data >= c->in && data < c->in + c->in_capacity;
    if (own && c->in_capacity > OUT_KEPT && size < IN_FIRST) {
        unsigned char small[IN_FIRST]; /* the rest of something large: give the room back */
        memcpy(small, data, size);
        drop_in(c);
        return keep(c, small, size);
    }
    if (own) {
        memmove(c->in, data, size);
        c->in_size = size;
        return true;
    }
    c->in_size = 0;
    if (!reserve_in(c, size)) {
        return false;
    }
    memcpy(c->in, data, size);
    c->in_size = size;
    return true;
}

static void work(conn *c, unsigned char *data, size_t size)
{
    size_t used = 0;
    c->working = true;
    protocol_next next = c->protocol->take(c, data, size, &used);
    if (!c->dead) {
        (void)conn_send(c);
    }
    c->working = false;
    if (c->dead) {
        return;
    }
    BRISK_ASSERT(used <= size);
    c->waiting = (next == PROTOCOL_WAIT || next == PROTOCOL_WAIT_LONG || next == PROTOCOL_AGAIN) &&
                 !c->choked;
    c->for_long = next == PROTOCOL_WAIT_LONG;
    if (next == PROTOCOL_CLOSE || next == PROTOCOL_LINGER || c->closing) {
        drop_in(c);
        c->lingers = next == PROTOCOL_LINGER;
        c->active_ns = c->worker->now_ns;
        conn_finish(c);
        return;
    }
    if (!keep(c, data + used, size - used)) {
        conn_kill(c);
        return;
    }
    if (next == PROTOCOL_AGAIN && c->waiting) {
        conn_soon(c);
    }
    tell_room(c);
    ask_for_events(c);
}

void conn_soon(conn *c)
{
    if (!c->again && !c->dead) {
        c->again = true;
        c->next_again = c->worker->again;
        c->worker->again = c;
    }
}

/* What is put on the list meanwhile is for the next round, before which the loop shall not sleep. */
void conn_go_on(worker *w)
{
    conn *list = w->again;
    w->again = NULL;
    while (list != NULL) {
        conn *c = list;
        list = c->next_again;
        c->again = false;
        if (conn_unsent(c) > 0) {
            conn_flush(c);
        }
        conn_resume(c);
    }
    if (w->again != NULL) {
        loop_wake(&w->loop);
    }
}

/* Where the next bytes go: behind an unfinished request, or where all read; false: too many. */
static bool choose_room(conn *c, unsigned char **to, size_t *room, unsigned char *shared)
{
    *to = shared;
    *room = WORKER_IN_BYTES;
    if (c->in_size > 0) {
        if (c->in_capacity - c->in_size < IN_FIRST / 2 && !reserve_in(c, c->in_capacity * 2)) {
            return false;
        }
        *to = c->in + c->in_size;
        *room = c->in_capacity - c->in_size;
    }
    return true;
}

static void take_received(conn *c, unsigned char *to, size_t size)
{
    if (c->in_size > 0) {
        c->in_size += size;
        work(c, c->in, c->in_size);
    } else {
        work(c, to, size);
    }
}

/* Decrypt and work on what there is, as long as the connection may be worked on. */
static void pump_tls(conn *c)
{
    while (c->tls != NULL && may_work(c)) {
        brisk_errinfo info;
        unsigned char *to;
        size_t room;
        size_t got = 0;
        bool good = choose_room(c, &to, &room, c->worker->plain);
        brisk_err err = good ? wire_tls_read(c->tls, to, room, &got, &info) : BRISK_ERR_LIMIT;
        if (err != BRISK_OK || (got == 0 && wire_tls_is_closed(c->tls))) {
            (void)flush_tls(c); /* an alert says why */
            conn_kill(c);
            return;
        }
        if (got == 0) {
            break;
        }
        take_received(c, to, got);
    }
    if (c->tls != NULL && !flush_tls(c)) {
        conn_kill(c);
        return;
    }
    tell_room(c); /* what `work` saw unsent may have gone since */
    ask_for_events(c);
}

/* The first byte says whether this is TLS; false: the connection died. */
static bool begin(conn *c, unsigned char first)
{
    server *s = c->worker->server;
    c->begun = true;
    c->phase_ns = c->worker->now_ns;
    if (first != TLS_HANDSHAKE || s->tls_opts.cert_file == NULL) {
        return true;
    }
    (void)pthread_mutex_lock(&s->tls_lock); /* so that the context is not replaced meanwhile */
    brisk_err err = wire_tls_create(s->tls, NULL, &c->tls);
    (void)pthread_mutex_unlock(&s->tls_lock);
    if (err != BRISK_OK) {
        conn_kill(c);
    }
    return err == BRISK_OK;
}

/* The peer has said all it will. */
static void peer_ended(conn *c)
{
    if (!c->closing && c->tls == NULL && c->protocol->may_end != NULL && c->protocol->may_end(c)) {
        c->ended = true;
        conn_resume(c); /* its protocol looks whether there is anything to wait for */
        ask_for_events(c);
    } else {
        conn_kill(c);
    }
}

/* Read what nobody wants any more, so that the peer reads what was sent. */
static void discard(conn *c)
{
    ssize_t n = recv(c->fd, c->worker->in, WORKER_IN_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    c->lingered += n > 0 ? (uint32_t)n : 0;
    if (n <= 0 || c->lingered > CONN_LINGER_MAX) {
        conn_kill(c);
    }
}

static void receive(conn *c)
{
    worker *w = c->worker;
    unsigned char *to = w->in;
    size_t room = WORKER_IN_BYTES;
    if (c->tls == NULL && !choose_room(c, &to, &room, w->in)) {
        conn_kill(c);
        return;
    }
    ssize_t n = receive_some(c->fd, to, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n == 0) {
        peer_ended(c);
        return;
    }
    if (n < 0) {
        conn_kill(c);
        return;
    }
    if (!c->begun && !begin(c, to[0])) {
        return;
    }
    c->active_ns = w->now_ns;
    atomic_fetch_add_explicit(&w->server->bytes_in, (uint64_t)n, memory_order_relaxed);
    if (c->tls == NULL) {
        take_received(c, to, (size_t)n);
    } else if (wire_tls_feed(c->tls, to, (size_t)n) == BRISK_OK) {
        pump_tls(c);
    } else {
        conn_kill(c);
    }
}

void conn_resume(conn *c)
{
    if (c->dead || c->working) {
        return;
    }
    leave_again(c);
    c->waiting = false;
    if (!may_work(c)) {
        ask_for_events(c);
        return;
    }
    work(c, c->in != NULL ? c->in : c->worker->in, c->in_size);
    if (!c->dead && c->tls != NULL) {
        pump_tls(c); /* what was decrypted already */
    }
}

static void ready(loop_source *source, uint32_t events)
{
    conn *c = (conn *)source;
    if (c->dead) {
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        conn_flush(c);
        if (!c->dead && c->choked && !is_choked(c)) {
            c->choked = false;
            conn_resume(c);
        }
    }
    if (c->dead) {
        return;
    }
    if (c->lingers && c->closing) {
        if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            discard(c);
        }
    } else if (may_work(c) && !c->ended) {
        if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            receive(c);
        }
    } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        conn_kill(c);
    } else if ((events & EPOLLRDHUP) != 0 && !c->ended && c->waiting && c->for_long) {
        peer_ended(c);
    } else if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) {
        set_events(c, wanted_events(c)); /* not now */
    }
}

/* --- opening ------------------------------------------------------------------------------ */

void conn_open(worker *w, const protocol *p, int fd)
{
    server *s = w->server;
    struct dict_entry *address = NULL;
    bool welcome = addresses_enter(&s->addresses, fd, &s->limits.http, &address);
    conn *c = welcome ? s->alloc->acquire(s->alloc->ctx, sizeof *c, _Alignof(conn)) : NULL;
    if (c == NULL) {
        addresses_leave(&s->addresses, address);
        (void)close(fd);
        return;
    }
    *c = (conn){.source = {.ready = ready},
                .worker = w,
                .protocol = p,
                .address = address,
                .active_ns = w->now_ns,
                .fd = fd,
                .events = EPOLLIN | EPOLLRDHUP,
                .next = w->conns};
    resp_writer_init(&c->pending, s->alloc, s->limits.output_max);
    if (loop_watch(&w->loop, fd, c->events, &c->source) != BRISK_OK) {
        addresses_leave(&s->addresses, address);
        (void)close(fd);
        s->alloc->release(s->alloc->ctx, c, sizeof *c, _Alignof(conn));
        return;
    }
    if (w->conns != NULL) {
        w->conns->previous = c;
    }
    w->conns = c;
    atomic_fetch_add_explicit(&w->conn_count, 1, memory_order_relaxed);
    c->working = true;
    bool accepted = p->open(c);
    (void)conn_send(c);
    c->working = false;
    if (!accepted && !c->dead) {
        conn_finish(c);
    }
}
