/*
 * link.c -- see link.h.
 *
 * What is read goes through the worker's buffer; a link keeps bytes of its own only while a head is
 * in pieces or its reader is paused.
 */
#include "daemon/proxy/link.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

enum { INFORMED_MAX = 16, OUT_KEPT = 65536, OUT_MOVED = 65536, TLS_PIECE = 16384 };

static const brisk_alloc *alloc_of(const proxy_link *l)
{
    return l->pool->worker->alloc;
}

static uint64_t now_of(const proxy_link *l)
{
    return l->pool->worker->loop->now_ns;
}

/* --- what epoll is asked for --------------------------------------------------------------- */

static bool has_output(const proxy_link *l)
{
    const void *data;
    if (l->mute) {
        return false;
    }
    return l->out_sent < l->out.count || (l->tls != NULL && wire_tls_output(l->tls, &data) > 0);
}

static void watch(proxy_link *l)
{
    if (l->state == LINK_DEAD || l->unwatched) {
        return;
    }
    bool waits = l->state == LINK_CONNECTING;
    uint32_t events = (l->paused || waits ? 0 : EPOLLIN) | (waits || has_output(l) ? EPOLLOUT : 0);
    if (events != l->events) {
        l->events = events;
        loop_rewatch(l->pool->worker->loop, l->fd, events, &l->source);
    }
}

/* --- the end ------------------------------------------------------------------------------- */

static void leave_lists(proxy_link *l)
{
    if (l->state == LINK_IDLE) {
        link_list_remove(&l->pool->idle[l->up->index], l);
    } else if (l->state != LINK_DEAD) {
        link_list_remove(&l->pool->busy, l);
    }
}

void link_drop(proxy_link *l)
{
    if (l->state == LINK_DEAD) {
        return;
    }
    leave_lists(l);
    l->state = LINK_DEAD;
    tally_add(&l->pool->tally.closes);
    l->fetch = NULL;
    (void)close(l->fd);
    l->fd = -1;
    proxy_worker *w = l->pool->worker;
    l->next = w->graves[0];
    w->graves[0] = l;
    proxy_worker_arm_tick(w,
                          brisk_clock_now_ns(w->clock)); /* at the end there is no loop any more */
}

void link_free(proxy_link *l)
{
    const brisk_alloc *alloc = alloc_of(l);
    wire_tls_destroy(l->tls);
    BRISK_VEC_DEINIT(&l->out);
    if (l->in != NULL) {
        alloc->release(alloc->ctx, l->in, l->in_capacity, 1);
    }
    alloc->release(alloc->ctx, l, sizeof *l, _Alignof(proxy_link));
}

/* The connection is of no use any more; whoever waits for its answer is told. */
static void fail(proxy_link *l, fetch_error why)
{
    fetch *f = l->fetch;
    if (f == NULL) {
        link_drop(l);
        return;
    }
    fetch_link_failed(f, l, why); /* it drops the proxy_link */
}

/* The answer is whole: the link may serve another request. */
static fetch *release(proxy_link *l, bool nothing_behind)
{
    fetch *f = l->fetch;
    proxy_pool *pool = l->pool;
    link_list *idle = &pool->idle[l->up->index];
    uint32_t wanted = pool->keep_max > pool->busy_peak ? pool->keep_max : pool->busy_peak;
    wanted = wanted < pool->manners->idle_max ? wanted : pool->manners->idle_max;
    l->fetch = NULL;
    if (!l->keep || l->mute || !nothing_behind || !l->request_over || has_output(l) ||
        idle->count >= wanted || pool->worker->ended) {
        link_drop(l);
        return f;
    }
    link_list_remove(&pool->busy, l);
    l->state = LINK_IDLE;
    l->idle_since_ns = now_of(l);
    link_list_push(idle, l);
    if (l->out.capacity > OUT_KEPT) {
        BRISK_VEC_DEINIT(&l->out);
    }
    watch(l);
    return f;
}

/* --- sending ------------------------------------------------------------------------------- */

static bool give(proxy_link *l, const char *data, size_t size)
{
    if (!BRISK_VEC_RESERVE(&l->out, l->out.count + size)) {
        return false;
    }
    memcpy(l->out.items + l->out.count, data, size);
    l->out.count += size;
    return true;
}

/* To the kernel; the bytes that it took, or -1: the connection is broken. */
static ssize_t put_socket(proxy_link *l, const void *data, size_t size)
{
    ssize_t sent;
    do {
        sent = send(l->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return errno == EAGAIN ? 0 : -1;
    }
    return sent;
}

/* What TLS has for the socket. */
static bool flush_cipher(proxy_link *l)
{
    const void *data;
    size_t size;
    while ((size = wire_tls_output(l->tls, &data)) > 0) {
        ssize_t sent = put_socket(l, data, size);
        if (sent < 0) {
            return false;
        }
        if (sent == 0) {
            break;
        }
        wire_tls_sent(l->tls, (size_t)sent);
    }
    return true;
}

static bool flush_tls(proxy_link *l)
{
    while (l->out_sent < l->out.count) {
        size_t size = l->out.count - l->out_sent;
        size_t taken = 0;
        size = size < TLS_PIECE ? size : TLS_PIECE;
        if (wire_tls_write(l->tls, l->out.items + l->out_sent, size, &taken, NULL) != BRISK_OK) {
            (void)flush_cipher(l);
            return false;
        }
        if (taken == 0) {
            break;
        }
        l->out_sent += taken;
        l->sent_bytes += taken;
        const void *data;
        if (!flush_cipher(l)) {
            return false;
        }
        if (wire_tls_output(l->tls, &data) > 0) {
            return true; /* the kernel is full */
        }
    }
    return flush_cipher(l);
}

static bool flush_plain(proxy_link *l)
{
    while (l->out_sent < l->out.count) {
        ssize_t sent = put_socket(l, l->out.items + l->out_sent, l->out.count - l->out_sent);
        if (sent < 0) {
            return false;
        }
        if (sent == 0) {
            break;
        }
        l->out_sent += (size_t)sent;
        l->sent_bytes += (size_t)sent;
    }
    return true;
}

/* False: the connection broke; nobody was told. */
static bool flush(proxy_link *l)
{
    if (l->state == LINK_CONNECTING || l->mute) {
        return true;
    }
    if (!(l->tls != NULL ? flush_tls(l) : flush_plain(l))) {
        return false;
    }
    if (l->out_sent == l->out.count) {
        l->out.count = 0;
        l->out_sent = 0;
    } else if (l->out_sent > OUT_MOVED) {
        memmove(l->out.items, l->out.items + l->out_sent, l->out.count - l->out_sent);
        l->out.count -= l->out_sent;
        l->out_sent = 0;
    }
    watch(l);
    return true;
}

/* Send; when that shows that the connection is broken, its answer may be here all the same (a server
 * that refuses a body does so), and is found by reading. */
static void push(proxy_link *l)
{
    if (!flush(l)) {
        l->mute = true;
        watch(l);
    }
}

size_t link_unsent(const proxy_link *l)
{
    return l->out.count - l->out_sent;
}

static bool give_text(proxy_link *l, http_text text)
{
    return give(l, text.data, text.size);
}

static bool give_head(proxy_link *l, const fetch_request *r)
{
    const upstream *up = l->up;
    http_text base = {up->base, strlen(up->base)};
    http_text host = r->host.size > 0 ? r->host : (http_text){up->authority, strlen(up->authority)};
    size_t room = r->method.size + base.size + r->target.size + host.size + r->block.size + 128;
    if (!BRISK_VEC_RESERVE(&l->out, l->out.count + room)) {
        return false;
    }
    (void)give_text(l, r->method);
    (void)give_text(l, HTTP_TEXT(" "));
    (void)give_text(l, base);
    (void)give_text(l, r->target);
    (void)give_text(l, HTTP_TEXT(" HTTP/1.1\r\nhost: "));
    (void)give_text(l, host);
    (void)give_text(l, HTTP_TEXT("\r\n"));
    (void)give_text(l, r->block);
    if (r->has_body && r->content_length < 0) {
        (void)give_text(l, HTTP_TEXT("transfer-encoding: chunked\r\n"));
    } else if (r->has_body) {
        char digits[48];
        size_t at = sizeof digits;
        uint64_t left = (uint64_t)r->content_length;
        do {
            digits[--at] = (char)('0' + left % 10);
            left /= 10;
        } while (left > 0);
        (void)give_text(l, HTTP_TEXT("content-length: "));
        (void)give(l, digits + at, sizeof digits - at);
        (void)give_text(l, HTTP_TEXT("\r\n"));
    }
    return give_text(l, HTTP_TEXT("\r\n"));
}

void link_begin(proxy_link *l, fetch *f)
{
    const proxy_manners *manners = l->pool->manners;
    l->fetch = f;
    l->phase = PHASE_HEAD;
    l->sent_bytes = 0;
    l->got_byte = false;
    l->is_head = f->request.is_head;
    l->keep = false;
    l->request_over = !f->request.has_body;
    l->chunked_out = f->request.has_body && f->request.content_length < 0;
    l->paused = false;
    l->informed = 0;
    l->chunks = (http1_chunked){0};
    http1_head_start(&l->head);
    upstream_began(l->up);
    bool fresh = l->state == LINK_CONNECTING || l->state == LINK_SHAKING;
    l->deadline_ns = now_of(l) + (fresh ? manners->connect_ns : manners->first_byte_ns);
    if (!give_head(l, &f->request)) {
        fail(l, FETCH_NO_MEMORY);
        return;
    }
    l->head_bytes = l->out.count;
    push(l);
}

void link_send(proxy_link *l, const void *data, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    if (l->state == LINK_DEAD || size == 0) {
        return;
    }
    bool good = true;
    if (l->chunked_out) {
        char line[20];
        size_t at = sizeof line - 2;
        memcpy(line + at, "\r\n", 2);
        for (size_t left = size; left > 0; left >>= 4) {
            line[--at] = hex[left & 15];
        }
        good = give(l, line + at, sizeof line - at);
    }
    good = good && give(l, data, size) && (!l->chunked_out || give(l, "\r\n", 2));
    if (!good) {
        fail(l, FETCH_NO_MEMORY);
        return;
    }
    push(l);
}

void link_send_end(proxy_link *l)
{
    if (l->state == LINK_DEAD || l->request_over) {
        return;
    }
    if (l->chunked_out && !give(l, "0\r\n\r\n", 5)) {
        fail(l, FETCH_NO_MEMORY);
        return;
    }
    l->request_over = true;
    push(l);
}

void link_inherit(proxy_link *l, const proxy_link *from)
{
    if (from->out.count > from->head_bytes &&
        !give(l, from->out.items + from->head_bytes, from->out.count - from->head_bytes)) {
        fail(l, FETCH_NO_MEMORY);
        return;
    }
    l->request_over = from->request_over;
    push(l);
}

/* --- answers ------------------------------------------------------------------------------- */

/* What the head says of the body; false: it says two things. */
static bool frame(proxy_link *l, fetch_reply *reply)
{
    const http1_head *head = &l->head;
    reply->status = head->code;
    reply->fields = (proxy_fields){head->fields, head->field_count};
    reply->content_length = head->content_length;
    reply->has_body = !l->is_head && head->code != 204 && head->code != 304;
    l->keep = head->minor == 1 ? !head->close : head->keep_alive && !head->close;
    l->body_left = 0;
    if (head->chunked && head->minor == 0) {
        return false;
    }
    if (!reply->has_body) {
        l->phase = PHASE_OVER;
    } else if (head->chunked) {
        l->phase = PHASE_CHUNKS;
    } else if (head->content_length >= 0) {
        l->phase = PHASE_LENGTH;
        l->body_left = (uint64_t)head->content_length;
    } else {
        l->phase = PHASE_CLOSE;
        l->keep = false;
    }
    return true;
}

/* A head is read, `rest` are the bytes behind it.  Returns how many of them were used. */
static size_t take_head(proxy_link *l, const unsigned char *rest, size_t size)
{
    uint16_t code = l->head.code;
    if (code < 200) {
        if (code == 101 || ++l->informed > INFORMED_MAX) {
            fail(l, FETCH_GARBAGE);
            return 0;
        }
        fetch_link_informed(l->fetch, code, (proxy_fields){l->head.fields, l->head.field_count});
        http1_head_start(&l->head);
        return 0;
    }
    fetch_reply reply = {.from = l->up};
    if (!frame(l, &reply)) {
        fail(l, FETCH_GARBAGE);
        return 0;
    }
    bool whole = l->phase == PHASE_OVER || (l->phase == PHASE_LENGTH && l->body_left <= size);
    if (!whole) {
        fetch_link_head(l->fetch, l, &reply);
        return 0;
    }
    size_t used = (size_t)l->body_left;
    reply.whole = true;
    reply.body = (http_text){(const char *)rest, used};
    fetch_link_head(release(l, used == size), l, &reply);
    return used;
}

static size_t take_length(proxy_link *l, const unsigned char *data, size_t size)
{
    size_t piece = l->body_left < size ? (size_t)l->body_left : size;
    l->body_left -= piece;
    if (l->body_left > 0) {
        fetch_link_body(l->fetch, data, piece);
        return piece;
    }
    if (piece > 0) {
        fetch_link_body(l->fetch, data, piece);
    }
    if (l->state == LINK_BUSY && l->fetch != NULL) {
        fetch_link_end(release(l, piece == size), l);
    }
    return piece;
}

static size_t take_chunks(proxy_link *l, const unsigned char *data, size_t size)
{
    size_t used = 0;
    http_text piece = {0};
    http1_status status = http1_chunked_read(&l->chunks, data, size, &used, &piece);
    if (status == HTTP1_BAD) {
        fail(l, FETCH_GARBAGE);
        return size;
    }
    if (piece.size > 0) {
        fetch_link_body(l->fetch, piece.data, piece.size);
    }
    if (status == HTTP1_DONE && l->state == LINK_BUSY && l->fetch != NULL) {
        fetch_link_end(release(l, used == size), l);
    }
    return used;
}

/* Work on `data` as far as that goes; what is left is kept. */
static size_t consume(proxy_link *l, unsigned char *data, size_t size)
{
    size_t at = 0;
    l->consuming = true;
    while (l->state == LINK_BUSY && !l->paused && at < size) {
        if (l->phase == PHASE_HEAD) {
            http1_status status = http1_head_read(&l->head, data + at, size - at);
            if (status == HTTP1_MORE) {
                break;
            }
            if (status == HTTP1_BAD) {
                fail(l, FETCH_GARBAGE);
                break;
            }
            at += l->head.used;
            at += take_head(l, data + at, size - at);
        } else if (l->phase == PHASE_LENGTH) {
            at += take_length(l, data + at, size - at);
        } else if (l->phase == PHASE_CHUNKS) {
            at += take_chunks(l, data + at, size - at);
        } else {
            fetch_link_body(l->fetch, data + at, size - at);
            at = size;
        }
    }
    l->consuming = false;
    return at;
}

/* Keep `size` bytes that could not be worked on. */
static bool keep_rest(proxy_link *l, const unsigned char *data, size_t size)
{
    if (size > l->in_capacity) {
        const brisk_alloc *alloc = alloc_of(l);
        unsigned char *more = alloc->acquire(alloc->ctx, size, 1);
        if (more == NULL) {
            return false;
        }
        if (l->in != NULL) {
            alloc->release(alloc->ctx, l->in, l->in_capacity, 1);
        }
        l->in = more;
        l->in_capacity = size;
    }
    if (size > 0) {
        memcpy(l->in, data, size);
    }
    l->in_size = size;
    return true;
}

/* `size` bytes in the worker's buffer, those kept before among them. */
static void work_on(proxy_link *l, unsigned char *data, size_t size)
{
    if (l->state == LINK_IDLE) {
        link_drop(l); /* an answer to nothing */
        return;
    }
    l->head.fields = l->pool->worker->fields;
    size_t used = consume(l, data, size);
    if (l->state != LINK_BUSY) {
        return;
    }
    if (used < size && !keep_rest(l, data + used, size - used)) {
        fail(l, FETCH_NO_MEMORY);
    } else if (l->phase == PHASE_HEAD && l->in_size >= HTTP1_HEAD_MAX) {
        fail(l, FETCH_GARBAGE);
    }
}

/* The other side sends nothing more. */
static void take_end(proxy_link *l, bool broken)
{
    if (l->state == LINK_BUSY && l->phase == PHASE_CLOSE && !broken && l->in_size == 0 &&
        (l->tls == NULL || wire_tls_is_closed(l->tls))) {
        fetch_link_end(release(l, true), l);
        return;
    }
    fail(l, l->state == LINK_CONNECTING ? FETCH_NO_REACH : FETCH_BROKEN);
}

static ssize_t get_socket(proxy_link *l, unsigned char *to, size_t size)
{
    ssize_t got;
    do {
        got = recv(l->fd, to, size, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return got;
}

static void note_byte(proxy_link *l)
{
    l->got_byte = true;
    l->deadline_ns = now_of(l) + l->pool->manners->idle_ns;
}

static size_t restore_rest(proxy_link *l)
{
    size_t have = l->in_size;
    if (have > 0) {
        memcpy(l->pool->worker->in, l->in, have);
        l->in_size = 0;
    }
    return have;
}

static void read_plain(proxy_link *l)
{
    unsigned char *in = l->pool->worker->in;
    size_t have = restore_rest(l);
    ssize_t got = get_socket(l, in + have, PROXY_IN_BYTES - have);
    if (got < 0 && (errno == EAGAIN)) {
        if (have > 0) {
            l->in_size = have; /* they are still there */
        }
        return;
    }
    if (got <= 0) {
        l->in_size = have;
        take_end(l, got < 0);
        return;
    }
    note_byte(l);
    work_on(l, in, have + (size_t)got);
}

/* Decrypt what was fed; false: the link is no longer at work. */
static bool read_decrypted(proxy_link *l)
{
    unsigned char *in = l->pool->worker->in;
    while (l->state != LINK_DEAD && l->state != LINK_IDLE && !l->paused) {
        size_t have = restore_rest(l);
        size_t got = 0;
        if (wire_tls_read(l->tls, in + have, PROXY_IN_BYTES - have, &got, NULL) != BRISK_OK) {
            (void)flush_cipher(l);
            fail(l, l->state == LINK_SHAKING ? FETCH_NO_REACH : FETCH_BROKEN);
            return false;
        }
        if (got == 0) {
            l->in_size = have;
            return true;
        }
        note_byte(l);
        work_on(l, in, have + got);
    }
    return l->state == LINK_BUSY;
}

static void read_tls(proxy_link *l)
{
    unsigned char cipher[TLS_PIECE];
    ssize_t got = get_socket(l, cipher, sizeof cipher);
    if (got < 0 && (errno == EAGAIN)) {
        return;
    }
    if (got <= 0) {
        take_end(l, got < 0);
        return;
    }
    if (wire_tls_feed(l->tls, cipher, (size_t)got) != BRISK_OK) {
        fail(l, FETCH_NO_MEMORY);
        return;
    }
    if (l->state == LINK_IDLE) {
        unsigned char byte;
        size_t plain = 0;
        /* A new session's ticket is not an answer. */
        if (wire_tls_read(l->tls, &byte, 1, &plain, NULL) != BRISK_OK || plain > 0 ||
            wire_tls_is_closed(l->tls)) {
            link_drop(l);
        }
        return;
    }
    if (!read_decrypted(l)) {
        return;
    }
    if (l->state == LINK_SHAKING && wire_tls_is_ready(l->tls)) {
        l->state = LINK_BUSY;
        l->deadline_ns = now_of(l) + l->pool->manners->first_byte_ns;
    }
    if (!l->paused && wire_tls_is_closed(l->tls)) {
        take_end(l, false);
        return;
    }
    push(l);
}

static void take_connected(proxy_link *l)
{
    int failed = 0;
    socklen_t size = sizeof failed;
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0 || failed != 0) {
        fail(l, FETCH_NO_REACH);
        return;
    }
    l->state = l->tls != NULL ? LINK_SHAKING : LINK_BUSY;
    if (l->state == LINK_BUSY) {
        l->deadline_ns = now_of(l) + l->pool->manners->first_byte_ns;
    }
    push(l);
}

void link_ready(loop_source *self, uint32_t events)
{
    proxy_link *l = (proxy_link *)self;
    if (l->state == LINK_DEAD) {
        return; /* it was closed in this round */
    }
    if (l->state == LINK_CONNECTING) {
        take_connected(l);
        return;
    }
    if (l->paused && (events & (EPOLLHUP | EPOLLERR)) != 0) {
        loop_unwatch(l->pool->worker->loop, l->fd); /* it is read when its reader goes on */
        l->unwatched = true;
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        fetch *f = l->fetch;
        push(l);
        if (f != NULL) {
            fetch_link_sent(f, l);
        }
    }
    if (l->state != LINK_DEAD && !l->paused && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        if (l->tls != NULL) {
            read_tls(l);
        } else {
            read_plain(l);
        }
    }
}

void link_pause(proxy_link *l, bool paused)
{
    if (l->state == LINK_DEAD || l->paused == paused) {
        return;
    }
    l->paused = paused;
    l->deadline_ns = paused ? 0 : now_of(l) + l->pool->manners->idle_ns;
    if (paused || l->consuming) {
        watch(l); /* the one who consumes goes on by itself */
        return;
    }
    l->head.fields = l->pool->worker->fields;
    size_t used = consume(l, l->in, l->in_size);
    if (l->state != LINK_BUSY) {
        return;
    }
    if (used < l->in_size) { /* `in` is not there while nothing is kept */
        memmove(l->in, l->in + used, l->in_size - used);
    }
    l->in_size -= used;
    if (l->paused) {
        return;
    }
    if (l->unwatched) {
        l->events = EPOLLIN;
        if (loop_watch(l->pool->worker->loop, l->fd, EPOLLIN, &l->source) != BRISK_OK) {
            fail(l, FETCH_NO_MEMORY);
            return;
        }
        l->unwatched = false;
    }
    if (l->tls != NULL && !read_decrypted(l)) {
        return;
    }
    if (l->tls != NULL && !l->paused && wire_tls_is_closed(l->tls)) {
        take_end(l, false);
        return;
    }
    watch(l);
}

void link_check_time(proxy_link *l, uint64_t now_ns)
{
    if (l->state == LINK_IDLE) {
        if (now_ns - l->idle_since_ns >= l->pool->manners->keep_ns) {
            link_drop(l);
        }
    } else if (l->deadline_ns != 0 && now_ns >= l->deadline_ns) {
        bool connected = l->state == LINK_BUSY;
        fail(l, connected ? FETCH_SLOW : FETCH_NO_REACH);
    }
}
