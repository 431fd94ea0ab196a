/*
 * http2_request.c -- what comes: heads, bodies, ends of streams.
 *
 * nghttp2 checks the form of heads (one of each pseudo field, in front; lower case; no fields of the
 * hop; a content-length that is kept).  Here they are bounded, and what it leaves open is checked.
 *
 * The window that a body took is given back when the handler has seen the bytes, so that who pauses
 * stops the client: at most HTTP2_STREAM_WINDOW bytes of a stream, HTTP2_WINDOW of a connection, are
 * held meanwhile.
 *
 * Source: RFC 9113 (8.2 fields, 8.3 pseudo fields, 5.2 flow control).
 */
#include <string.h>

#include "base/assert.h"
#include "daemon/http/http2.h"
#include "daemon/http/priority.h"
#include "daemon/server.h"

enum { FIELDS_FIRST = 16 };

static http2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

/* --- chunks ------------------------------------------------------------------------------- */

bool http2_queue_put(http2_session *s, http2_queue *queue, const void *data, size_t size)
{
    const brisk_alloc *alloc = s->worker->server->alloc;
    http2_chunk *chunk = alloc->acquire(alloc->ctx, sizeof *chunk + size, _Alignof(http2_chunk));
    if (chunk == NULL) {
        return false;
    }
    *chunk = (http2_chunk){.size = size};
    memcpy(chunk->data, data, size);
    if (queue->last != NULL) {
        queue->last->next = chunk;
    } else {
        queue->first = chunk;
    }
    queue->last = chunk;
    queue->size += size;
    return true;
}

void http2_queue_take(http2_session *s, http2_queue *queue, size_t size)
{
    const brisk_alloc *alloc = s->worker->server->alloc;
    BRISK_ASSERT(size <= queue->size);
    queue->size -= size;
    while (queue->first != NULL) {
        http2_chunk *chunk = queue->first;
        size_t part = chunk->size - chunk->taken;
        if (part > size) {
            chunk->taken += size;
            return;
        }
        size -= part;
        queue->first = chunk->next;
        alloc->release(alloc->ctx, chunk, sizeof *chunk + chunk->size, _Alignof(http2_chunk));
    }
    queue->last = NULL;
}

void http2_queue_drop(http2_session *s, http2_queue *queue)
{
    http2_queue_take(s, queue, queue->size);
}

/* --- heads -------------------------------------------------------------------------------- */

http2_stream *http2_open_stream(http2_session *s, int32_t id)
{
    exchange *x = exchange_open(s->worker, s->conn, &http2_carrier);
    http2_stream *stream = x != NULL ? exchange_alloc(x, sizeof *stream) : NULL;
    if (stream == NULL) {
        if (x != NULL) {
            exchange_close(x);
        }
        return NULL;
    }
    *stream = (http2_stream){
        .x = x, .session = s, .next = s->streams, .id = id, .left = HTTP_LENGTH_UNKNOWN};
    if (s->streams != NULL) {
        s->streams->previous = stream;
    }
    s->streams = stream;
    s->stream_count++;
    x->carried = stream;
    x->version = 20;
    x->secure = s->conn->tls != NULL;
    x->method_text = x->target = x->authority = HTTP_TEXT("");
    x->path = x->query = x->rest = HTTP_TEXT("");
    return stream;
}

int http2_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    http2_session *s = ctx;
    if (s->doomed) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers */
    }
    http2_stream *stream = s->adopted;
    if (stream != NULL) {
        stream->lost = false;
    } else {
        stream = http2_open_stream(s, frame->hd.stream_id);
        s->reading = stream;
    }
    if (stream == NULL) {
        http2_remember_reset(s, (uint32_t)frame->hd.stream_id);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    int failed = nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, stream);
    BRISK_ASSERT(failed == 0);
    return 0;
}

static bool keep(http2_stream *stream, http_text from, http_text *to)
{
    to->data = exchange_keep(stream->x, from.data, from.size);
    to->size = to->data != NULL ? from.size : 0;
    return to->data != NULL;
}

static bool is_named(http_text name, http_text wanted)
{
    return name.size == wanted.size && memcmp(name.data, wanted.data, name.size) == 0;
}

/* The first is kept, another must be the same. */
static bool take_host(http2_stream *stream, http_text value)
{
    if (stream->host.size > 0) {
        stream->refusal = 400;
        return true;
    }
    return keep(stream, value, &stream->host);
}

static bool take_pseudo(http2_stream *stream, http_text name, http_text value)
{
    exchange *x = stream->x;
    if (is_named(name, HTTP_TEXT(":method"))) {
        return keep(stream, value, &x->method_text);
    }
    if (is_named(name, HTTP_TEXT(":path"))) {
        return keep(stream, value, &x->target);
    }
    if (is_named(name, HTTP_TEXT(":authority"))) {
        return keep(stream, value, &x->authority);
    }
    return true; /* :scheme; nghttp2 knows no others */
}

/* Digits alone; nghttp2 has seen to it that the body is as long. */
static bool take_length(http2_stream *stream, http_text value)
{
    uint64_t length = 0;
    bool good = value.size > 0 && value.size <= 18;
    for (size_t i = 0; i < value.size && good; i++) {
        good = value.data[i] >= '0' && value.data[i] <= '9';
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    if (good) {
        stream->x->content_length = (int64_t)length;
    } else {
        stream->refusal = 400;
    }
    return good;
}

/* Room for one more field; false: no memory. */
static bool room_for_field(http2_stream *stream)
{
    uint32_t count = stream->x->field_count;
    if (count < stream->field_room) {
        return true;
    }
    uint32_t room = count > 0 ? 2 * count : (uint32_t)FIELDS_FIRST;
    http_field *fields = exchange_alloc(stream->x, room * sizeof *fields);
    if (fields == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(fields, stream->fields, count * sizeof *fields);
    }
    stream->fields = fields;
    stream->x->fields = fields;
    stream->field_room = room;
    return true;
}

static bool take_field(http2_stream *stream, http_text name, http_text value)
{
    if (name.size > 0 && name.data[0] == ':') {
        return take_pseudo(stream, name, value);
    }
    if (is_named(name, HTTP_TEXT("host"))) {
        return take_host(stream, value);
    }
    if (is_named(name, HTTP_TEXT("te"))) {
        return true; /* of the hop; nghttp2 allows it for trailers only */
    }
    if (is_named(name, HTTP_TEXT("content-length")) && !take_length(stream, value)) {
        return true;
    }
    if (!room_for_field(stream)) {
        return false;
    }
    http_field *field = &stream->fields[stream->x->field_count];
    if (!keep(stream, name, &field->name) || !keep(stream, value, &field->value)) {
        return false;
    }
    stream->cookies += is_named(name, HTTP_TEXT("cookie")) ? 1 : 0;
    stream->x->field_count++;
    return true;
}

/* NOLINTNEXTLINE(readability-function-size): nghttp2's callback */
int http2_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                    void *ctx)
{
    (void)flags;
    const http2_session *s = ctx;
    http2_stream *stream = s->reading;
    if (stream == NULL || stream->id != frame->hd.stream_id) { /* trailers */
        stream = s->doomed ? NULL : stream_of(ng, frame->hd.stream_id);
    }
    if (stream == NULL || stream->head != NULL) {
        return 0; /* which is known */
    }
    stream->head_bytes += (uint32_t)(name_size + value_size + HTTP2_FIELD_BYTES);
    if (stream->head_bytes > HTTP2_HEAD_WASTE) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers are nobody's */
    }
    if (stream->head_bytes > HTTP2_HEAD_MAX || stream->x->field_count == HTTP1_FIELDS_MAX) {
        stream->refusal = 431;
    }
    if (stream->refusal == 431) {
        return 0;
    }
    if (!take_field(stream, (http_text){(const char *)name, name_size},
                    (http_text){(const char *)value, value_size})) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* no memory: the stream is reset */
    }
    return 0;
}

/* Clients may cut a cookie into many fields (8.2.3), and nobody else expects that. */
static bool join_cookies(http2_stream *stream)
{
    size_t size = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < stream->x->field_count; i++) {
        const http_field *f = &stream->fields[i];
        size += is_named(f->name, HTTP_TEXT("cookie")) ? f->value.size + 2 : 0;
    }
    char *all = exchange_alloc(stream->x, size);
    if (all == NULL) {
        return false;
    }
    http_field *first = NULL;
    size = 0;
    for (uint32_t i = 0; i < stream->x->field_count; i++) {
        const http_field f = stream->fields[i];
        bool cookie = is_named(f.name, HTTP_TEXT("cookie"));
        if (cookie && first != NULL) {
            memcpy(all + size, "; ", 2);
            size += 2;
        }
        if (cookie) {
            memcpy(all + size, f.value.data, f.value.size);
            size += f.value.size;
        }
        if (!cookie || first == NULL) {
            stream->fields[count] = f;
            first = cookie ? &stream->fields[count] : first;
            count++;
        }
    }
    BRISK_ASSERT(first != NULL);
    first->value = (http_text){.data = all, .size = size};
    stream->x->field_count = count;
    return true;
}

/* What nghttp2 does not look at; 0, or the status with which it is refused. */
static uint16_t judge_head(http2_stream *stream)
{
    exchange *x = stream->x;
    if (stream->refusal != 0) {
        return stream->refusal;
    }
    if (stream->host.size > 0) {
        if (x->authority.size > 0 && !is_named(x->authority, stream->host)) {
            return 400; /* two hosts */
        }
        x->authority = stream->host;
    }
    bool connect = is_named(x->method_text, HTTP_TEXT("CONNECT"));
    bool star =
        is_named(x->target, HTTP_TEXT("*")) && is_named(x->method_text, HTTP_TEXT("OPTIONS"));
    if (!connect && !star && (x->target.size == 0 || x->target.data[0] != '/')) {
        return 400;
    }
    return stream->cookies > 1 && !join_cookies(stream) ? 500 : 0;
}

static void end_body(http2_stream *stream)
{
    if (stream->ended) {
        http2_release_answer(stream);
    }
    if (stream->ended && !stream->ended_told && !stream->delivering && stream->held.size == 0) {
        stream->ended_told = true;
        exchange_end_body(stream->x);
    }
}

/* nghttp2 read the client's field by itself; say what was decided here when it is something else. */
static void tell_priority(http2_stream *stream)
{
    http_priority p = stream->x->priority;
    nghttp2_extpri pri = {.urgency = p.urgency, .inc = p.incremental};
    (void)nghttp2_session_change_extpri_stream_priority(stream->session->ng, stream->id, &pri, 0);
}

void http2_begun(http2_stream *stream)
{
    tell_priority(stream);
    end_body(stream);
}

static void begin(http2_stream *stream, bool ended)
{
    exchange *x = stream->x;
    http2_session *s = stream->session;
    uint16_t refusal = judge_head(stream);
    x->has_body = !ended;
    stream->ended = ended;
    if (refusal != 0) {
        x->method = http_method_of(x->method_text);
        exchange_fail(x, refusal, "%s",
                      refusal == 431 ? "the fields of the head are too large"
                                     : "this is no good request");
    } else {
        http2_learned(s, stream);
        exchange_begin(x);
    }
    if (!s->doomed) {
        if (!ended && x->state == EXCHANGE_OPEN && exchange_field(x, "expect") != NULL) {
            http2_continue(stream);
        }
        http2_begun(stream);
    }
}

/* --- bodies ------------------------------------------------------------------------------- */

/* The window gets back what the handler has seen. */
static void give_back(http2_stream *stream)
{
    if (stream->unconsumed > stream->held.size) {
        size_t seen = stream->unconsumed - stream->held.size;
        stream->unconsumed = (uint32_t)stream->held.size;
        (void)nghttp2_session_consume(stream->session->ng, stream->id, seen);
    }
}

/* False: the connection died of it, and the stream with it. */
static bool deliver(http2_stream *stream, const void *data, size_t size)
{
    http2_session *s = stream->session;
    stream->delivering = true;
    exchange_take_body(stream->x, data, size);
    if (!s->doomed) {
        stream->delivering = false;
    }
    return !s->doomed;
}

/* NOLINTNEXTLINE(readability-function-size): nghttp2's callback */
int http2_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                  void *ctx)
{
    (void)flags;
    http2_session *s = ctx;
    if (s->doomed) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    http2_stream *stream = stream_of(ng, id);
    s->body_read += size;
    if (stream == NULL) {
        (void)nghttp2_session_consume(ng, id, size);
        return 0;
    }
    stream->unconsumed += (uint32_t)size;
    if (stream->x->state == EXCHANGE_DONE) { /* nobody wants it any more */
        stream->paused = false;
        http2_queue_drop(s, &stream->held);
        stream->rest += (uint32_t)size;
        if (stream->rest > HTTP2_REST_MAX) {
            http2_release_answer(stream);
        }
    }
    if (stream->paused) {
        if (!http2_queue_put(s, &stream->held, data, size)) {
            (void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
        }
        return 0;
    }
    if (deliver(stream, data, size) && !stream->paused) {
        give_back(stream);
    }
    return 0;
}

void http2_pause(exchange *x, bool paused)
{
    http2_stream *stream = x->carried;
    stream->paused = paused;
    while (!stream->paused && !stream->delivering && stream->held.size > 0) {
        http2_chunk *chunk = stream->held.first;
        if (!deliver(stream, chunk->data + chunk->taken, chunk->size - chunk->taken)) {
            return;
        }
        http2_queue_take(stream->session, &stream->held, chunk->size - chunk->taken);
    }
    if (!stream->paused && !stream->delivering) {
        http2_session *s = stream->session;
        give_back(stream);
        end_body(stream);
        http2_touch(s);
    }
}

/* --- the rest ----------------------------------------------------------------------------- */

static void take_priority(nghttp2_session *ng, const nghttp2_frame *frame)
{
    const nghttp2_ext_priority_update *update = frame->ext.payload;
    http2_stream *stream = stream_of(ng, update->stream_id);
    if (stream != NULL) {
        (void)http_priority_read(
            (http_text){(const char *)update->field_value, update->field_value_len},
            &stream->x->priority);
    }
}

int http2_on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    http2_session *s = ctx;
    uint8_t type = frame->hd.type;
    if (s->doomed) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (type == NGHTTP2_PRIORITY_UPDATE) {
        take_priority(ng, frame);
        return 0;
    }
    if (type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
        s->settled = false;
    }
    if (type != NGHTTP2_HEADERS && type != NGHTTP2_DATA && type != NGHTTP2_RST_STREAM) {
        return 0;
    }
    http2_stream *stream = stream_of(ng, frame->hd.stream_id);
    if (stream == NULL || stream == s->adopted) {
        return 0;
    }
    bool ended = type != NGHTTP2_RST_STREAM && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (type == NGHTTP2_RST_STREAM) {
        stream->reset = true;
    } else if (type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        uint32_t most = s->worker->server->limits.http.requests_max;
        s->reading = NULL;
        if (++s->requests == most) {
            http2_say_goodbye(s);
        }
        http2_guard_earn(&s->guard, HTTP2_CHATTER_PER_REQUEST);
        begin(stream, ended);
    } else if (ended) {
        stream->ended = true;
        end_body(stream);
    }
    return 0;
}

void http2_end_stream(http2_stream *stream)
{
    http2_session *s = stream->session;
    if (stream->previous != NULL) {
        stream->previous->next = stream->next;
    } else {
        s->streams = stream->next;
    }
    if (stream->next != NULL) {
        stream->next->previous = stream->previous;
    }
    s->stream_count--;
    s->reading = s->reading == stream ? NULL : s->reading;
    s->quiet_ns = s->worker->now_ns;
    http2_queue_drop(s, &stream->held);
    http2_drop_answer(stream);
    http_known_head *head = stream->head;
    exchange_close(stream->x); /* with the stream in its memory */
    if (head != NULL) {
        http_known_release(&s->known, head);
    }
}

int http2_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *ctx)
{
    (void)code;
    http2_session *s = ctx;
    if (s->doomed) {
        return 0;
    }
    http2_stream *stream = stream_of(ng, id);
    if (stream == NULL) {
        http2_remember_reset(s, (uint32_t)id);
        return 0;
    }
    if (!stream->ended && !stream->reset) {
        http2_remember_reset(s, (uint32_t)id);
    }
    if (stream->unconsumed > 0) {
        (void)nghttp2_session_consume_connection(ng, stream->unconsumed);
    }
    http2_end_stream(stream);
    return 0;
}
