/*
 * http2.c -- sessions: bytes to nghttp2 and from it, and what ends a connection.
 *
 * See http2.h.  Little is kept in the socket's queue (HTTP2_UNSENT_HIGH): what waits here can still
 * be overtaken by what is more urgent.
 */
#include "daemon/http/http2.h"

#include <string.h>

#include "base/assert.h"
#include "daemon/server.h"

enum { GOAWAY_BYTES = 17, GOAWAY_TYPE = 7 };

/* --- resets ------------------------------------------------------------------------------- */

void http2_remember_reset(http2_session *s, uint32_t id)
{
    uint32_t *place = &s->resets[s->reset_count++ % HTTP2_RESETS_KEPT];
    s->forgotten = *place > s->forgotten ? *place : s->forgotten;
    *place = id;
}

/* May late frames of this stream, which is over, still come? */
static bool was_reset(const http2_session *s, uint32_t id)
{
    if (id <= s->forgotten) {
        return true;
    }
    for (uint32_t i = 0; i < HTTP2_RESETS_KEPT; i++) {
        if (s->resets[i] == id) {
            return true;
        }
    }
    return false;
}

static int on_invalid(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *ctx)
{
    (void)ng;
    (void)error;
    http2_session *s = ctx;
    if (!s->doomed && frame->hd.stream_id > 0) {
        http2_remember_reset(s, (uint32_t)frame->hd.stream_id);
    }
    return 0;
}

/* A field that nghttp2 would drop: the request is malformed (RFC 9113, 8.2.1). */
/* NOLINTNEXTLINE(readability-function-size): nghttp2's callback */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_size, const uint8_t *value, size_t value_size,
                             uint8_t flags, void *ctx)
{
    (void)ng;
    (void)frame;
    (void)name;
    (void)name_size;
    (void)value;
    (void)value_size;
    (void)flags;
    (void)ctx;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* --- life --------------------------------------------------------------------------------- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *calls = NULL;
    if (nghttp2_session_callbacks_new(&calls) != 0) {
        return NULL;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, http2_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(calls, http2_on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(calls, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, http2_on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(calls, on_invalid);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, http2_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, http2_on_close);
    nghttp2_session_callbacks_set_send_data_callback(calls, http2_on_send_data);
    nghttp2_session_callbacks_set_before_frame_send_callback(calls, http2_on_before_send);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, http2_on_sent);
    return calls;
}

static nghttp2_option *make_options(void)
{
    nghttp2_option *option = NULL;
    if (nghttp2_option_new(&option) != 0) {
        return NULL;
    }
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, HTTP2_ACKS_MAX);
    nghttp2_option_set_stream_reset_rate_limit(option, HTTP2_RESET_BURST, HTTP2_RESET_RATE);
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
    return option;
}

static bool say_settings(http2_session *s)
{
    uint32_t streams = s->worker->server->limits.http.streams_max;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams != 0 ? streams : HTTP2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEAD_MAX},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    return nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, settings,
                                   sizeof settings / sizeof settings[0]) == 0 &&
           nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0, HTTP2_WINDOW) == 0;
}

static void free_session(http2_session *s)
{
    const brisk_alloc *alloc = s->worker->server->alloc;
    nghttp2_session_del(s->ng);
    http2_memory_drop(&s->memory);
    http_known_forget(&s->known);
    alloc->release(alloc->ctx, s, sizeof *s, _Alignof(http2_session));
}

static bool create(http2_session *s)
{
    http2_memory_init(&s->memory, s->worker->server->alloc);
    nghttp2_mem mem = http2_memory_calls(&s->memory);
    nghttp2_session_callbacks *calls = make_callbacks();
    nghttp2_option *option = make_options();
    bool good = calls != NULL && option != NULL &&
                nghttp2_session_server_new3(&s->ng, calls, s, option, &mem) == 0;
    nghttp2_session_callbacks_del(calls);
    nghttp2_option_del(option);
    return good && say_settings(s);
}

static bool open_session(conn *c)
{
    worker *w = c->worker;
    const brisk_alloc *alloc = w->server->alloc;
    http2_session *s = alloc->acquire(alloc->ctx, sizeof *s, _Alignof(http2_session));
    if (s == NULL) {
        return false;
    }
    *s = (http2_session){.conn = c, .worker = w, .quiet_ns = w->now_ns};
    http2_guard_init(&s->guard, w->now_ns);
    s->guard.tells_heads = true;
    http_known_init(&s->known, alloc, &w->http_known);
    if (!create(s)) {
        free_session(s);
        return false;
    }
    c->session = s;
    return true;
}

static void close_session(conn *c)
{
    http2_session *s = c->session;
    c->session = NULL;
    if (s == NULL) {
        return;
    }
    bool inside = s->inside;
    s->inside = true; /* handlers that are told may speak once more */
    s->doomed = true;
    while (s->streams != NULL) {
        http2_end_stream(s->streams);
    }
    if (!inside) {
        free_session(s);
    }
}

static bool is_idle(const conn *c)
{
    const http2_session *s = c->session;
    return s == NULL || s->stream_count == 0;
}

/* --- receiving ---------------------------------------------------------------------------- */

/* nghttp2 cannot go on: say goodbye without it. */
static void put_goaway(http2_session *s, int error)
{
    uint32_t last = http2_last_stream(s);
    uint32_t code = error == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM
                    : error == NGHTTP2_ERR_NOMEM || error == NGHTTP2_ERR_CALLBACK_FAILURE
                        ? NGHTTP2_INTERNAL_ERROR
                        : NGHTTP2_PROTOCOL_ERROR;
    unsigned char frame[GOAWAY_BYTES] = {0,
                                         0,
                                         GOAWAY_BYTES - HTTP2_HEAD_BYTES,
                                         GOAWAY_TYPE,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0,
                                         (unsigned char)(last >> 24),
                                         (unsigned char)(last >> 16),
                                         (unsigned char)(last >> 8),
                                         (unsigned char)last,
                                         0,
                                         0,
                                         0,
                                         (unsigned char)code};
    resp_put_raw(&s->worker->out, frame, sizeof frame);
}

/* False: nothing can be received any more. */
static bool give(http2_session *s, const unsigned char *data, size_t size)
{
    if (size == 0) {
        return true;
    }
    ssize_t n = nghttp2_session_mem_recv(s->ng, data, size);
    if (n < 0 && !s->doomed) {
        put_goaway(s, (int)n);
    }
    return n >= 0 && !s->doomed;
}

/* Is the stream, for which there is a frame, there, or was it here until lately? */
static bool is_known(const http2_session *s, uint32_t id)
{
    return nghttp2_session_find_stream(s->ng, (int32_t)id) != NULL || was_reset(s, id) ||
           (s->drained && id > (uint32_t)nghttp2_session_get_last_proc_stream_id(s->ng));
}

/* A frame for a stream that may be over: it may pass, or the connection ends. */
static http2_scan check_stream(http2_session *s)
{
    if (!is_known(s, s->guard.stream)) {
        s->guard.code = NGHTTP2_STREAM_CLOSED;
        return HTTP2_SCAN_BAD;
    }
    if (s->guard.type == NGHTTP2_HEADERS) {
        http_known_forget(&s->known); /* trailers change the table, too */
    }
    http2_guard_allow(&s->guard);
    return HTTP2_SCAN_CHECK;
}

/* One step of the guard; false: the connection is to end. */
static bool feed_some(http2_session *s, unsigned char *data, size_t size, size_t *used,
                      http2_scan *scan)
{
    size_t pass;
    *scan = http2_guard_scan(&s->guard, data + *used, size - *used, &pass);
    if (*scan != HTTP2_SCAN_DROP && !give(s, data + *used, pass)) {
        return false;
    }
    *used += pass;
    if (*scan == HTTP2_SCAN_HEAD) {
        *used += http2_meet_head(s, data + *used, size - *used);
        if (s->broken != 0 && !s->doomed) {
            put_goaway(s, s->broken);
        }
        return s->broken == 0 && !s->doomed;
    }
    if (*scan == HTTP2_SCAN_WINDOW) {
        http2_take_window(s, data + *used);
    } else if (*scan == HTTP2_SCAN_CHECK) {
        *scan = check_stream(s);
    }
    return true;
}

/* Bytes that are done with; false: the connection is to end. */
static bool feed(http2_session *s, unsigned char *data, size_t size, size_t *used)
{
    http2_scan scan;
    bool good = true;
    *used = 0;
    do {
        good = feed_some(s, data, size, used, &scan);
    } while (good && scan != HTTP2_SCAN_GO && scan != HTTP2_SCAN_MORE && scan != HTTP2_SCAN_BAD);
    s->learned = 0;
    if (!good) {
        *used = size;
    } else if (scan == HTTP2_SCAN_BAD) {
        *used = size;
        (void)nghttp2_session_terminate_session(s->ng, s->guard.code);
    }
    return good;
}

/* --- sending ------------------------------------------------------------------------------ */

void http2_touch(http2_session *s)
{
    if (!s->inside) {
        conn_soon(s->conn);
    }
}

/* As much as there is and the socket takes; false: nghttp2 cannot go on, or the connection died. */
static bool pump(http2_session *s)
{
    resp_writer *out = &s->worker->out;
    while (conn_unsent(s->conn) < HTTP2_UNSENT_HIGH) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(s->ng, &data);
        if (n < 0 || s->doomed) {
            return false;
        }
        if (n > 0) {
            http2_put_frame(s, data, (size_t)n);
        }
        bool full = out->size >= HTTP2_BATCH_BYTES;
        if (n > 0 && !full) {
            continue;
        }
        if (full) {
            (void)conn_send(s->conn);
        }
        if (!s->doomed) {
            http2_tell_writables(s);
        }
        if (s->doomed) {
            return false;
        }
        if (!full && !nghttp2_session_want_write(s->ng)) {
            break;
        }
    }
    if (nghttp2_session_want_write(s->ng)) {
        s->conn->tell_room = true;
    }
    return true;
}

static protocol_next take(conn *c, unsigned char *data, size_t size, size_t *used)
{
    http2_session *s = c->session;
    BRISK_ASSERT(!s->inside);
    s->inside = true;
    http2_guard_fill(&s->guard, s->worker->now_ns);
    bool good = feed(s, data, size, used);
    good = !s->doomed && pump(s) && good;
    s->inside = false;
    if (s->doomed) {
        free_session(s);
        *used = size;
        return PROTOCOL_CLOSE;
    }
    if (!good) {
        return PROTOCOL_CLOSE;
    }
    bool over = !nghttp2_session_want_read(s->ng) && !nghttp2_session_want_write(s->ng);
    return over ? PROTOCOL_CLOSE : PROTOCOL_MORE;
}

/* --- time, and the end -------------------------------------------------------------------- */

static void count_timeout(const conn *c)
{
    atomic_fetch_add_explicit(&c->worker->server->http_timeouts, 1, memory_order_relaxed);
}

/* An answer could be sent, but for the windows that the client keeps shut. */
static bool is_shut_out(const http2_session *s)
{
    for (const http2_stream *stream = s->streams; stream != NULL; stream = stream->next) {
        if (!stream->waits && (stream->body.size > 0 || stream->queue.size > 0)) {
            return true;
        }
    }
    return false;
}

/* Does the client take what it asked for? */
static bool takes_answers(http2_session *s, uint64_t now_ns)
{
    const http_limits *limits = &s->worker->server->limits.http;
    conn_pace pace = {
        .now_ns = now_ns, .span_ns = limits->write_ns, .bytes_per_second = limits->min_rate};
    bool unsent = conn_unsent(s->conn) > 0;
    return !conn_is_stalled(s->conn, &pace) &&
           !conn_window_stalled(&s->shut, !unsent && is_shut_out(s), s->body_sent, &pace);
}

/* Bodies that come too slowly, all of them together: their exchanges are over. */
static void check_bodies(http2_session *s, uint64_t now_ns)
{
    const http_limits *limits = &s->worker->server->limits.http;
    conn_pace pace = {
        .now_ns = now_ns, .span_ns = limits->body_ns, .bytes_per_second = limits->min_rate};
    bool waiting = false;
    for (const http2_stream *stream = s->streams; stream != NULL; stream = stream->next) {
        waiting |= !stream->ended && !stream->paused && stream->x->state != EXCHANGE_DONE;
    }
    if (!conn_window_stalled(&s->reads, waiting, s->body_read, &pace)) {
        return;
    }
    count_timeout(s->conn);
    for (http2_stream *stream = s->streams; stream != NULL && !s->doomed; stream = stream->next) {
        if (stream->ended || stream->paused) {
            continue;
        }
        if (stream->x->state == EXCHANGE_OPEN) {
            exchange_fail(stream->x, 408, "the body took too long");
        } else {
            exchange_abort(stream->x);
        }
    }
}

/* A head that does not come to its end. */
static bool ends_heads(http2_session *s, uint64_t now_ns)
{
    uint64_t most = s->worker->server->limits.http.head_ns;
    if (s->reading == NULL || s->head_ns == 0) {
        s->head_ns = s->reading != NULL ? now_ns : 0;
    }
    return most == 0 || s->head_ns == 0 || now_ns < s->head_ns || now_ns - s->head_ns < most;
}

static bool is_forgotten(const http2_session *s, uint64_t now_ns)
{
    uint64_t most = s->worker->server->limits.http.idle_ns;
    uint64_t since = s->conn->active_ns > s->quiet_ns ? s->conn->active_ns : s->quiet_ns;
    return s->streams == NULL && most != 0 && now_ns > since && now_ns - since >= most;
}

static void tick(conn *c, uint64_t now_ns)
{
    http2_session *s = c->session;
    if (s == NULL || c->closing) {
        return;
    }
    if (!takes_answers(s, now_ns) || !ends_heads(s, now_ns)) {
        count_timeout(c);
        conn_reset_at_end(c);
        conn_kill(c);
        return;
    }
    check_bodies(s, now_ns);
    for (http2_stream *stream = s->streams; stream != NULL; stream = stream->next) {
        if (stream->waited) {
            http2_release_answer(stream);
        }
        stream->waited = stream->waits;
    }
    if (is_forgotten(s, now_ns)) {
        count_timeout(c);
        (void)nghttp2_session_terminate_session(s->ng, NGHTTP2_NO_ERROR);
        conn_soon(c);
    }
    if (s->streams == NULL) {
        http2_memory_drop(&s->memory); /* ten thousand idle connections keep nothing of it */
    }
    if (s->streams == NULL && now_ns >= c->active_ns + HTTP2_QUIET_NS) {
        http_known_forget(&s->known);
    }
}

void http2_say_goodbye(http2_session *s)
{
    if (!s->drained) {
        s->drained = true;
        (void)nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, (int32_t)http2_last_stream(s),
                                    NGHTTP2_NO_ERROR, NULL, 0);
        http2_touch(s);
    }
}

/* First that no more is wanted, then, when requests that were on their way are here, until which
 * one they are answered (RFC 9113, 6.8). */
static bool drain(conn *c)
{
    http2_session *s = c->session;
    if (s == NULL) {
        return true;
    }
    uint64_t now_ns = c->worker->now_ns;
    if (!s->draining) {
        s->draining = true;
        s->draining_ns = now_ns;
        (void)nghttp2_submit_shutdown_notice(s->ng);
        http2_touch(s);
    } else if (now_ns - s->draining_ns >= HTTP2_DRAIN_NS) {
        http2_say_goodbye(s);
    }
    return s->drained && s->streams == NULL && !nghttp2_session_want_write(s->ng);
}

const protocol protocol_http2 = {
    .name = "h2",
    .open = open_session,
    .take = take,
    .is_idle = is_idle,
    .tick = tick,
    .drain = drain,
    .close = close_session,
};
