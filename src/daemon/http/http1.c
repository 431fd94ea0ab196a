/*
 * http1.c -- the carrier of HTTP/1.1: requests.
 *
 * One exchange at a time: what a client sends behind a request (pipelining) waits until that one's answer is written,
 * so that answers are in order by themselves.
 *
 *     head ─► exchange ─► body ─► answer ─┬─► head ...
 *                                         └─► close: the client's wish, HTTP/1.0, or bytes that may be no request
 *
 * An exchange ends in h1_take alone, never inside a handler's call: who answers from a loop task has the connection
 * looked at after this round (conn_soon).  Where the body of a request is not wanted, what is left of it is read and
 * dropped when it is short and of known size; else the connection ends with the answer, lingering so that the answer is
 * not lost with a reset.
 *
 * A head in the very bytes of one that came before is not read again (known.h): only its syntax is remembered.
 *
 * Memory: h1 lives with the connection, exchanges only while they last.
 *
 * Sources: RFC 9112 (6.3, 7, 9.3, 9.6), RFC 9110 (10.1.1).
 */
#include "daemon/http/http1.h"

#include <string.h>

#include "base/assert.h"
#include "daemon/server.h"

enum { OUT_ENOUGH = 262144, SLICE = 256, HASHED_MAX = 512 };

/* What to do next: go on in the loop, or return. */
typedef enum step { ON, MORE, WAIT, CLOSE, LINGER } step;

/* --- heads -------------------------------------------------------------------------------- */

/* Fields that are about this connection (RFC 9110, 7.6.1), and no handler's business. */
static bool is_of_hop(const http1_head *head, http_text name)
{
    static const http_text names[] = {
        HTTP_TEXT_INIT("host"),       HTTP_TEXT_INIT("connection"),
        HTTP_TEXT_INIT("keep-alive"), HTTP_TEXT_INIT("proxy-connection"),
        HTTP_TEXT_INIT("te"),         HTTP_TEXT_INIT("transfer-encoding"),
        HTTP_TEXT_INIT("trailer"),    HTTP_TEXT_INIT("expect"),
    };
    /* A bit for each size that one of them, or "upgrade", has. */
    static const uint32_t sizes =
        1u << 2 | 1u << 4 | 1u << 6 | 1u << 7 | 1u << 10 | 1u << 16 | 1u << 17;
    bool may_be = name.size < 32 && (sizes >> name.size & 1) != 0;
    for (size_t i = 0; may_be && i < sizeof names / sizeof names[0]; i++) {
        if (name.size == names[i].size && memcmp(name.data, names[i].data, name.size) == 0) {
            return true;
        }
    }
    if (name.size == 7 && memcmp(name.data, "upgrade", 7) == 0) {
        return !head->upgrade;
    }
    if (!head->other_hop) {
        return false;
    }
    for (uint32_t i = 0; i < head->field_count; i++) {
        const http_field *f = &head->fields[i];
        http_text list = f->value;
        http_text item;
        while (f->name.size == 10 && memcmp(f->name.data, "connection", 10) == 0 &&
               http1_next_item(&list, &item)) {
            if (http1_equal_nocase(item, name)) {
                return true;
            }
        }
    }
    return false;
}

/* The same text in the copy of the head; literals stay. */
static http_text moved(http_text text, const unsigned char *from, size_t size, const char *to)
{
    const char *start = (const char *)from;
    if (text.data >= start && text.data <= start + size) {
        text.data = to + (text.data - start);
    }
    return text;
}

/* Everything of the head that an exchange shows; false: no memory. */
static bool fill(exchange *x, const http1_head *head, const unsigned char *data)
{
    const char *copy = exchange_keep(x, data, head->used);
    http_field *fields = exchange_alloc(x, head->field_count * sizeof *fields);
    if (copy == NULL || fields == NULL) {
        return false;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const http_field *f = &head->fields[i];
        if (!is_of_hop(head, f->name)) {
            fields[count++] = (http_field){.name = moved(f->name, data, head->used, copy),
                                           .value = moved(f->value, data, head->used, copy)};
        }
    }
    x->fields = fields;
    x->field_count = count;
    x->method_text = moved(head->method, data, head->used, copy);
    x->target = moved(head->target, data, head->used, copy);
    x->authority = moved(head->authority, data, head->used, copy);
    x->version = head->minor == 0 ? 10 : 11;
    x->secure = x->conn->tls != NULL;
    x->has_body = head->chunked || head->content_length > 0;
    x->body_over = !x->has_body;
    x->content_length = head->chunked                           ? HTTP_LENGTH_UNKNOWN
                        : head->content_length == HTTP1_UNKNOWN ? 0
                                                                : head->content_length;
    return true;
}

/* The head is read; `h` says already what it says of the body and of the connection. */
static void begin(h1 *h, exchange *x)
{
    h->x = x;
    h->chunks = (http1_chunked){.error = NULL};
    h->keep = false;
    h->paused = false;
    h->chunks_out = false;
    h->to_the_end = false;
    h->full = false;
    h->aborted = false;
    h->events = false;
    h->reading.since_ns = 0;
    h->requests++;
    h->answer_left = HTTP_LENGTH_UNKNOWN;
    h->conn->phase_ns = 0;
    exchange_begin(x);
    if (!x->has_body) {
        exchange_end_body(x);
    }
}

static step refuse_for_memory(h1 *h, exchange *x)
{
    if (x != NULL) {
        exchange_close(x);
    }
    h1_refuse(h, 503, "out of memory");
    return LINGER;
}

/* --- heads that came before --------------------------------------------------------------- */

/* Of the beginning alone: where a head ends is not known yet. */
static uint64_t hash_of(const unsigned char *data, size_t size)
{
    return http_known_hash(data, size < HASHED_MAX ? size : HASHED_MAX);
}

/* Neither body nor wishes about the connection. */
static bool is_simple(const http1_head *head)
{
    return head->minor == 1 && !head->close && !head->chunked && !head->expects && !head->upgrade &&
           head->content_length == HTTP1_UNKNOWN;
}

static step begin_known(h1 *h, http_known_head *head, size_t *used)
{
    exchange *x = exchange_open(h->conn->worker, h->conn, &h1_carrier);
    if (x == NULL) {
        return refuse_for_memory(h, NULL);
    }
    http_known_use(head);
    h->head = head;
    x->method_text = head->method;
    x->target = head->target;
    x->authority = head->authority;
    x->fields = head->fields;
    x->field_count = head->field_count;
    x->version = 11;
    x->secure = h->conn->tls != NULL;
    x->body_over = true;
    x->content_length = 0;
    h->chunked = false;
    h->body_left = 0;
    h->client_keeps = true;
    h->expects = false;
    *used += head->block_size;
    begin(h, x);
    return ON;
}

static void drop_head(h1 *h)
{
    if (h->head != NULL) {
        http_known_release(http_worker_known(h->conn->worker->http), h->head);
        h->head = NULL;
    }
}

/* A head that is read; reading it makes its names lower case, so that its bytes are put aside before. */
typedef struct lesson {
    uint64_t hash;
    size_t size; /* of `bytes`; 0: it is not to be kept */
    unsigned char bytes[HTTP_KNOWN_BLOCK_MAX];
} lesson;

static void learn(h1 *h, const lesson *what, const http1_head *head, const exchange *x)
{
    if (what->size < head->used || !is_simple(head)) {
        return;
    }
    const http_known_head shown = {.method = x->method_text,
                                   .target = x->target,
                                   .authority = x->authority,
                                   .fields = x->fields,
                                   .field_count = x->field_count};
    http_known_keep(http_worker_known(h->conn->worker->http), what->hash, what->bytes, head->used,
                    &shown);
}

/* --- reading them ------------------------------------------------------------------------- */

static step read_unknown(h1 *h, unsigned char *data, size_t size, size_t *used, const lesson *what)
{
    worker *w = h->conn->worker;
    http1_head head = {.fields = http_worker_fields(w->http),
                       .limits = w->server->limits.http_head};
    size_t resume = h->resume;
    size_t line = h->line;
    http1_head_start(&head);
    head.resume = resume;
    head.line = line;
    http1_status status = size > 0 ? http1_head_read(&head, data, size) : HTTP1_MORE;
    h->resume = status == HTTP1_MORE ? head.resume : 0;
    h->line = status == HTTP1_MORE ? head.line : 0;
    if (status == HTTP1_MORE) {
        bool begins = size > 0 && h->conn->phase_ns == 0;
        h->conn->phase_ns = begins ? w->now_ns : h->conn->phase_ns;
        return h->conn->ended ? CLOSE : MORE;
    }
    h->conn->phase_ns = 0;
    if (status == HTTP1_BAD) {
        h1_refuse(h, head.refusal, head.error);
        return LINGER;
    }
    exchange *x = exchange_open(w, h->conn, &h1_carrier);
    if (x == NULL || !fill(x, &head, data)) {
        return refuse_for_memory(h, x);
    }
    learn(h, what, &head, x);
    *used += head.used;
    h->chunked = head.chunked;
    h->body_left = head.chunked || head.content_length <= 0 ? 0 : (uint64_t)head.content_length;
    h->client_keeps = !head.close && (head.minor == 1 || head.keep_alive);
    h->expects = head.expects && head.minor == 1 && x->has_body;
    begin(h, x);
    return ON;
}

static step read_head(h1 *h, unsigned char *data, size_t size, size_t *used)
{
    lesson what;
    what.size = 0;
    if (size > 0 && h->resume == 0) {
        http_known *known = http_worker_known(h->conn->worker->http);
        what.hash = hash_of(data, size);
        http_known_head *head = http_known_find(known, what.hash, data, size);
        if (head != NULL) {
            return begin_known(h, head, used);
        }
        if (http_known_wants(known, what.hash)) {
            what.size = size < sizeof what.bytes ? size : sizeof what.bytes;
            memcpy(what.bytes, data, what.size);
        }
    }
    return read_unknown(h, data, size, used, &what);
}

/* --- bodies ------------------------------------------------------------------------------- */

/* It is not what it should be: what follows cannot be told from requests. */
static void spoil(h1 *h, const char *why)
{
    h->client_keeps = false;
    h->keep = false;
    if (h->x->state == EXCHANGE_OPEN) {
        exchange_fail(h->x, 400, "%s", why);
    } else {
        exchange_abort(h->x);
    }
}

static step read_chunks(h1 *h, const unsigned char *data, size_t size, size_t *used)
{
    while (size > 0 && !h->paused) {
        size_t step_used;
        http_text piece;
        http1_status status = http1_chunked_read(&h->chunks, data, size, &step_used, &piece);
        *used += step_used;
        data += step_used;
        size -= step_used;
        if (status == HTTP1_BAD) {
            spoil(h, h->chunks.error);
            return ON;
        }
        exchange_take_body(h->x, piece.data, piece.size);
        if (status == HTTP1_DONE) {
            exchange_end_body(h->x);
            return ON;
        }
    }
    return ON;
}

static step read_body(h1 *h, const unsigned char *data, size_t size, size_t *used)
{
    if (h->paused && h->x->state != EXCHANGE_DONE) {
        return WAIT;
    }
    if (size == 0) {
        if (h->expects && h->x->state != EXCHANGE_DONE) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
            h1_put(h, go_on, sizeof go_on - 1);
            h->expects = false;
        }
        return MORE;
    }
    h->expects = false;
    if (h->chunked) {
        return read_chunks(h, data, size, used);
    }
    size_t taken = size < h->body_left ? size : (size_t)h->body_left;
    *used += taken;
    h->body_left -= taken;
    exchange_take_body(h->x, data, taken);
    if (h->body_left == 0) {
        exchange_end_body(h->x);
    }
    return ON;
}

/* --- the end of an exchange --------------------------------------------------------------- */

static step end_exchange(h1 *h, size_t rest)
{
    exchange *x = h->x;
    bool keep = h->keep && !h->aborted;
    bool linger = !h->aborted && (rest > 0 || !x->body_over);
    if (h->aborted && h->to_the_end) {
        conn_reset_at_end(h->conn);
    }
    h->x = NULL;
    h->since_ns = h->conn->worker->now_ns;
    exchange_close(x);
    drop_head(h);
    return keep ? ON : linger ? LINGER : CLOSE;
}

static step go_on_tunnel(h1 *h, const unsigned char *data, size_t size, size_t *used)
{
    exchange *x = h->x;
    if (x->state == EXCHANGE_DONE) {
        h->keep = false;
        return end_exchange(h, 0);
    }
    if (h->paused) {
        return WAIT;
    }
    *used += size;
    if (size > 0 && x->route->body != NULL) {
        x->body_read += size;
        x->route->body(x, data, size);
        return ON;
    }
    return MORE;
}

/* The exchange at hand, one step further. */
static step go_on(h1 *h, const unsigned char *data, size_t size, size_t *used)
{
    exchange *x = h->x;
    if (h->full && h1_unsent(h) <= HTTP_UNSENT_LOW) {
        h->full = false;
        exchange_tell_writable(x);
    }
    if (h->tunnel) {
        return go_on_tunnel(h, data, size, used);
    }
    if (h->aborted || (x->state == EXCHANGE_DONE && !h->sends_file && (x->body_over || !h->keep))) {
        return end_exchange(h, size);
    }
    if (!x->body_over) {
        return read_body(h, data, size, used);
    }
    return WAIT;
}

/* --- as a protocol ------------------------------------------------------------------------ */

static protocol_next take(conn *c, unsigned char *data, size_t size, size_t *used)
{
    static const protocol_next next_of[] = {
        [MORE] = PROTOCOL_MORE,
        [WAIT] = PROTOCOL_WAIT_LONG,
        [CLOSE] = PROTOCOL_CLOSE,
        [LINGER] = PROTOCOL_LINGER,
    };
    h1 *h = c->session;
    *used = 0;
    if (h->refused) {
        return PROTOCOL_LINGER;
    }
    for (uint32_t steps = 0;; steps++) {
        bool later = h->x == NULL && *used < size && h1_unsent(h) > HTTP_UNSENT_HIGH;
        if (later && c->worker->out.size + c->worker->out_parts.left > 0) {
            if (!conn_send(c)) {
                return PROTOCOL_WAIT;
            }
            later = conn_unsent(c) > HTTP_UNSENT_HIGH;
        }
        step s = later          ? WAIT /* a client that asks for more than it reads */
                 : h->x != NULL ? go_on(h, data + *used, size - *used, used)
                                : read_head(h, data + *used, size - *used, used);
        c->tell_room = h->full || later;
        if (s != ON) {
            return next_of[s];
        }
        if (c->worker->out.size > OUT_ENOUGH || c->worker->out.err != BRISK_OK) {
            if (!conn_send(c)) {
                return PROTOCOL_WAIT;
            }
        }
        if (steps == SLICE && *used < size) {
            return PROTOCOL_AGAIN;
        }
    }
}

static bool open_session(conn *c)
{
    const brisk_alloc *alloc = c->worker->server->alloc;
    h1 *h = alloc->acquire(alloc->ctx, sizeof *h, _Alignof(h1));
    if (h == NULL) {
        return false;
    }
    *h = (h1){.conn = c};
    c->session = h;
    return true;
}

static bool is_idle(const conn *c)
{
    const h1 *h = c->session;
    return h == NULL || h->x == NULL;
}

/* A client that says nothing more may still read: not the end of a request whose body is whole. */
static bool may_end(conn *c)
{
    const h1 *h = c->session;
    if (h->x == NULL) {
        return conn_unsent(c) > 0;
    }
    bool endless = h->x->state == EXCHANGE_STARTED && h->answer_left == HTTP_LENGTH_UNKNOWN;
    return !h->tunnel && !endless && (h->x->body_over || h->paused);
}

/* --- time --------------------------------------------------------------------------------- */

static void count_timeout(const conn *c)
{
    atomic_fetch_add_explicit(&c->worker->server->http_timeouts, 1, memory_order_relaxed);
}

/* Between two exchanges: a head that does not come to its end, or nothing at all. */
static void tick_idle(h1 *h, uint64_t now_ns)
{
    conn *c = h->conn;
    const http_limits *limits = &c->worker->server->limits.http;
    bool partial = c->phase_ns != 0;
    uint64_t quiet_ns = h->since_ns > c->active_ns ? h->since_ns : c->active_ns;
    uint64_t since = partial ? c->phase_ns : quiet_ns;
    uint64_t most = partial ? limits->head_ns : limits->idle_ns;
    if (most == 0 || now_ns < since || now_ns - since < most || conn_unsent(c) > 0) {
        return;
    }
    count_timeout(c);
    if (!partial) {
        conn_finish(c);
        return;
    }
    h1_refuse(h, 408, "the head took too long");
    h->refused = true;
    conn_soon(c);
}

/* A body that comes too slowly. */
static void tick_body(h1 *h, uint64_t now_ns)
{
    exchange *x = h->x;
    const http_limits *limits = &h->conn->worker->server->limits.http;
    conn_pace pace = {
        .now_ns = now_ns, .span_ns = limits->body_ns, .bytes_per_second = limits->min_rate};
    bool waiting = !x->body_over && !h->paused && !h->tunnel && !h->full;
    if (!conn_window_stalled(&h->reading, waiting, x->body_read, &pace)) {
        return;
    }
    count_timeout(h->conn);
    h->client_keeps = false;
    h->keep = false;
    if (x->state == EXCHANGE_OPEN) {
        exchange_fail(x, 408, "the body took too long");
    } else {
        exchange_abort(x);
    }
    conn_soon(h->conn);
}

static void tick(conn *c, uint64_t now_ns)
{
    h1 *h = c->session;
    const http_limits *limits = &c->worker->server->limits.http;
    if (h == NULL || c->lingers || h->refused) {
        return;
    }
    conn_pace pace = {
        .now_ns = now_ns, .span_ns = limits->write_ns, .bytes_per_second = limits->min_rate};
    if (conn_is_stalled(c, &pace)) {
        count_timeout(c);
        conn_reset_at_end(c);
        conn_kill(c);
    } else if (h->x == NULL) {
        tick_idle(h, now_ns);
    } else {
        tick_body(h, now_ns);
    }
}

/* What never ends by itself is ended; others say "connection: close" with their answers. */
static bool drain(conn *c)
{
    h1 *h = c->session;
    if (h == NULL) {
        return true;
    }
    if (h->x != NULL && (h->tunnel || h->events)) {
        exchange_finish(h->x);
        return false; /* once it is written */
    }
    return h->x == NULL && c->in_size == 0;
}

static void close_session(conn *c)
{
    const brisk_alloc *alloc = c->worker->server->alloc;
    h1 *h = c->session;
    if (h == NULL) {
        return;
    }
    c->session = NULL;
    if (h->x != NULL) {
        exchange_close(h->x);
    }
    drop_head(h);
    alloc->release(alloc->ctx, h, sizeof *h, _Alignof(h1));
}

const protocol protocol_http1 = {
    .name = "http1",
    .open = open_session,
    .take = take,
    .is_idle = is_idle,
    .may_end = may_end,
    .tick = tick,
    .close = close_session,
    .drain = drain,
};
