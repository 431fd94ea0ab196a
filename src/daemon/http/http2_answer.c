/*
 * http2_answer.c -- what goes: heads, bodies, pieces.
 *
 * nghttp2 asks how much of a body there is and says which frame it makes of it; the bytes go from
 * where they lie into the worker's output, without passing through nghttp2.
 *
 *     VALUE, FILE   from the value or the file, part by part, when it is their turn
 *     BYTES         from a copy in the exchange's memory
 *     pieces        from a queue of the stream; at its end nghttp2 is told to wait, and woken by the
 *                   next piece
 *
 * Invariant: a stream whose content-length is not kept by its handler is reset: a client never takes
 * a part for all of it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "daemon/http/http2.h"
#include "daemon/server.h"

enum {
    FIELDS_USUAL = 32,
    FIELDS_OWN = 3,
    LENGTH_TEXT = RESP_I64_TEXT,
    FRAME_TYPE = 3,
    HELD_FROM = 16384 /* less goes in a frame */
};

#define NV(literal, text, length)                                                                  \
    ((nghttp2_nv){.name = (uint8_t *)(uintptr_t)(literal),                                         \
                  .value = (uint8_t *)(uintptr_t)(text),                                           \
                  .namelen = sizeof(literal) - 1,                                                  \
                  .valuelen = (length),                                                            \
                  .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME})

static void reset(http2_stream *stream, uint32_t code)
{
    if (!http2_adopt(stream)) {
        return;
    }
    (void)nghttp2_submit_rst_stream(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, code);
    http2_touch(stream->session);
}

/* --- heads -------------------------------------------------------------------------------- */

/* ":status", the answer's fields and, when `own`, the carrier's. */
typedef struct head {
    nghttp2_nv usual[FIELDS_USUAL + FIELDS_OWN];
    nghttp2_nv *items; /* usual, or of the exchange */
    size_t count;
    char status[3];
    char length[LENGTH_TEXT];
} head;

static bool make_head(exchange *x, uint16_t status, const http_field *fields, uint32_t count,
                      head *h)
{
    h->items = count <= FIELDS_USUAL ? h->usual
                                     : exchange_alloc(x, (count + FIELDS_OWN) * sizeof *h->items);
    if (h->items == NULL) {
        return false;
    }
    h->status[0] = (char)('0' + status / 100);
    h->status[1] = (char)('0' + status / 10 % 10);
    h->status[2] = (char)('0' + status % 10);
    h->items[0] = NV(":status", h->status, 3);
    for (uint32_t i = 0; i < count; i++) {
        h->items[1 + i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)fields[i].name.data,
                                       .value = (uint8_t *)(uintptr_t)fields[i].value.data,
                                       .namelen = fields[i].name.size,
                                       .valuelen = fields[i].value.size};
    }
    h->count = 1 + count;
    return true;
}

static void add_own(exchange *x, head *h, bool dated, int64_t length)
{
    if (!dated) {
        h->items[h->count++] = NV("date", http_worker_date(x->worker->http), HTTP_DATE_SIZE);
    }
    if (length >= 0) {
        size_t size = resp_format_i64(h->length, length);
        h->items[h->count++] = NV("content-length", h->length, size);
    }
}

static bool has_date(const http_answer *answer)
{
    for (uint32_t i = 0; i < answer->field_count; i++) {
        const http_text *name = &answer->fields[i].name;
        if (name->size == 4 && memcmp(name->data, "date", 4) == 0) {
            return true;
        }
    }
    return false;
}

/* What content-length says; for an answer without a body by its nature, what it would be. */
static int64_t length_of(const exchange *x, const http_answer *answer)
{
    if (answer->body.kind != HTTP_BODY_NONE) {
        return (int64_t)answer->body.size;
    }
    if (http_has_body(x, answer->status)) {
        return 0;
    }
    return answer->status == 204 ? HTTP_LENGTH_UNKNOWN : answer->length;
}

static unsigned char *put_length(unsigned char *to, const unsigned char *end, int64_t length)
{
    char digits[LENGTH_TEXT];
    if (length < 0) {
        return to;
    }
    const http_text text = {digits, resp_format_i64(digits, length)};
    return http2_put_known(to, end, HTTP2_NAME_CONTENT_LENGTH, text);
}

/* The fields of a short head, and the date, but for the length; NULL: it is not short. */
static unsigned char *put_given(unsigned char *to, const unsigned char *end, const exchange *x,
                                const http_answer *answer)
{
    for (uint32_t i = 0; i < answer->field_count && to != NULL; i++) {
        to = http2_put_field(to, end, &answer->fields[i]);
    }
    if (!has_date(answer)) {
        const http_text date = {http_worker_date(x->worker->http), HTTP_DATE_SIZE};
        to = http2_put_known(to, end, HTTP2_NAME_DATE, date);
    }
    return to;
}

unsigned char *http2_put_fields(unsigned char *to, const unsigned char *end, const exchange *x,
                                const http_answer *answer)
{
    return put_length(put_given(to, end, x, answer), end, length_of(x, answer));
}

/* The fields of a short head; false: it is not short. */
static bool encode_block(http2_stream *stream, const http_answer *answer, int64_t length)
{
    unsigned char *block = exchange_alloc(stream->x, HTTP2_BLOCK_MAX);
    if (block == NULL) {
        return false;
    }
    const unsigned char *end = block + HTTP2_BLOCK_MAX;
    unsigned char *to = put_length(put_given(block, end, stream->x, answer), end, length);
    if (to == NULL) {
        return false;
    }
    stream->block = block;
    stream->block_size = (size_t)(to - block);
    return true;
}

/* `provider` NULL: the head is all. */
static void submit(http2_stream *stream, const http_answer *answer, int64_t length,
                   const nghttp2_data_provider *provider)
{
    exchange *x = stream->x;
    bool encoded = encode_block(stream, answer, length);
    head h;
    if (!make_head(x, answer->status, answer->fields, encoded ? 0 : answer->field_count, &h)) {
        reset(stream, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (!encoded) {
        add_own(x, &h, has_date(answer), length);
    }
    if (nghttp2_submit_response(stream->session->ng, stream->id, h.items, h.count, provider) != 0) {
        reset(stream, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    http2_touch(stream->session);
}

/* --- bodies ------------------------------------------------------------------------------- */

/* NOLINTNEXTLINE(readability-function-size): nghttp2's callback */
static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *buffer, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    (void)ng;
    (void)id;
    (void)buffer;
    http2_session *s = ctx;
    if (s->doomed) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    http2_stream *stream = source->ptr;
    uint64_t there = stream->queued ? stream->queue.size : stream->body.size;
    bool finished = !stream->queued || stream->finished;
    if (there == 0 && !finished) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    size = there > 0 ? http2_within_window(s, size) : size;
    if (there > 0 && size == 0) {
        stream->deferred = true; /* until http2_take_window */
        return NGHTTP2_ERR_DEFERRED;
    }
    if (there <= size) {
        *flags |= finished ? (uint32_t)NGHTTP2_DATA_FLAG_EOF : 0U;
        return (ssize_t)there;
    }
    return (ssize_t)size;
}

/* All of it, or false: the file has become shorter, or cannot be read. */
static bool read_file(int fd, uint64_t offset, unsigned char *to, size_t size)
{
    while (size > 0) {
        ssize_t n = pread(fd, to, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        to += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

static bool copy_body(http2_stream *stream, unsigned char *to, size_t size)
{
    http_body *body = &stream->body;
    const unsigned char *bytes = body->kind == HTTP_BODY_BYTES   ? body->data
                                 : body->kind == HTTP_BODY_VALUE ? brisk_value_data(body->value)
                                                                 : NULL;
    if (size > 0 && bytes != NULL) {
        memcpy(to, bytes + body->offset, size);
    } else if (size > 0) {
        int fd = body->kind == HTTP_BODY_VALUE ? brisk_value_fd(body->value) : body->fd;
        if (!read_file(fd, body->offset, to, size)) {
            return false;
        }
    }
    body->offset += size;
    body->size -= size;
    return true;
}

static void copy_queue(http2_stream *stream, unsigned char *to, size_t size)
{
    size_t done = 0;
    for (const http2_chunk *c = stream->queue.first; done < size; c = c->next) {
        size_t part = c->size - c->taken < size - done ? c->size - c->taken : size - done;
        memcpy(to + done, c->data + c->taken, part);
        done += part;
    }
    http2_queue_take(stream->session, &stream->queue, size);
    stream->session->queued -= size;
    stream->session->relieved = true;
}

/* NOLINTNEXTLINE(readability-function-size): nghttp2's callback */
int http2_on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head_bytes,
                       size_t size, nghttp2_data_source *source, void *ctx)
{
    (void)ng;
    (void)frame;
    http2_session *s = ctx;
    if (s->doomed) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    http2_stream *stream = source->ptr;
    resp_writer *out = &s->worker->out;
    unsigned char *to = resp_writer_room(out, HTTP2_HEAD_BYTES + size);
    if (to == NULL) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    memcpy(to, head_bytes, HTTP2_HEAD_BYTES);
    if (stream->queued) {
        copy_queue(stream, to + HTTP2_HEAD_BYTES, size);
    } else if (!copy_body(stream, to + HTTP2_HEAD_BYTES, size)) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
    }
    out->size += HTTP2_HEAD_BYTES + size;
    stream->x->body_sent += size;
    s->body_sent += size;
    http2_guard_earn(&s->guard, 2); /* a WINDOW_UPDATE of each kind may follow */
    return out->size >= HTTP2_BATCH_BYTES ? NGHTTP2_ERR_PAUSE : 0;
}

int http2_on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    const http2_session *s = ctx;
    if (s->doomed || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ||
        (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)) {
        return 0;
    }
    const http2_stream *stream = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (stream != NULL && !stream->ended) {
        /* The answer is whole; the rest of the request is of no use (RFC 9113, 8.1). */
        (void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
    }
    return 0;
}

void http2_drop_answer(http2_stream *stream)
{
    http2_session *s = stream->session;
    s->queued -= stream->queue.size;
    s->relieved = true;
    http2_queue_drop(s, &stream->queue);
    if (stream->counted) {
        held_let_go(&s->worker->server->held, stream->body.value);
        stream->counted = false;
    }
    if (stream->body.kind == HTTP_BODY_VALUE) {
        brisk_value_unref(stream->body.value);
    } else if (stream->body.kind == HTTP_BODY_FILE && stream->body.release != NULL) {
        stream->body.release(stream->body.ctx);
    }
    stream->body = (http_body){.kind = HTTP_BODY_NONE};
}

static bool may_write(const http2_stream *stream)
{
    return stream->queue.size <= HTTP_UNSENT_LOW && stream->session->queued <= HTTP2_QUEUED_HIGH;
}

void http2_tell_writables(http2_session *s)
{
    if (!s->relieved) {
        return;
    }
    s->relieved = false;
    for (http2_stream *stream = s->streams; stream != NULL && !s->doomed; stream = stream->next) {
        if (stream->choked && may_write(stream)) {
            stream->choked = false;
            exchange_tell_writable(stream->x);
        }
    }
}

/* --- the carrier -------------------------------------------------------------------------- */

/* The head, and the body that the stream has already. */
static void submit_whole(http2_stream *stream, const http_answer *answer)
{
    int64_t length = length_of(stream->x, answer);
    if (answer->body.size == 0 || !http_has_body(stream->x, answer->status)) {
        http2_drop_answer(stream);
        submit(stream, answer, length, NULL);
        return;
    }
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = read_body};
    submit(stream, answer, length, &provider);
}

/* Keep what the handler has only now; false: no memory. */
static bool keep_answer(http2_stream *stream, const http_answer *answer)
{
    exchange *x = stream->x;
    http_field *fields = exchange_alloc(x, (answer->field_count + 1) * sizeof *fields);
    if (fields == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < answer->field_count; i++) {
        const http_field *f = &answer->fields[i];
        fields[i].name = (http_text){exchange_keep(x, f->name.data, f->name.size), f->name.size};
        fields[i].value =
            (http_text){exchange_keep(x, f->value.data, f->value.size), f->value.size};
        if (fields[i].name.data == NULL || fields[i].value.data == NULL) {
            return false;
        }
    }
    stream->kept = *answer;
    stream->kept.fields = fields;
    return true;
}

/*
 * An answer to half a request waits for the other half when that is small and will come anyway:
 * what is wrong with it is then told (RFC 9113, 8.1.1), and it need not be reset, which some
 * clients take for a failure although the answer is whole.
 */
static bool should_wait(const http2_stream *stream)
{
    const exchange *x = stream->x;
    return !stream->ended && !stream->reset && x->content_length <= HTTP2_REST_MAX &&
           exchange_field(x, "expect") == NULL;
}

/* A value that may wait for the client's windows is counted; false: too many wait already. */
static bool hold_value(http2_stream *stream)
{
    server *s = stream->session->worker->server;
    const http_body *body = &stream->body;
    if (body->kind != HTTP_BODY_VALUE || body->size <= HELD_FROM ||
        brisk_value_data(body->value) == NULL) {
        return true;
    }
    /* Relaxed: a sum, and nothing that is read after it. */
    uint64_t total = atomic_load_explicit(&s->output_bytes, memory_order_relaxed);
    if (total / 2 > s->limits.output_total) {
        atomic_fetch_add_explicit(&s->output_kills, 1, memory_order_relaxed);
        return false;
    }
    stream->counted = held_hold(&s->held, body->value);
    return true;
}

static void answer_whole(exchange *x, const http_answer *answer)
{
    http2_stream *stream = x->carried;
    stream->body = answer->body;
    if ((stream->direct && http2_answer_directly(stream, answer)) || !http2_adopt(stream)) {
        http2_drop_answer(stream);
        return;
    }
    if (!hold_value(stream)) {
        http2_drop_answer(stream);
        reset(stream, NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    if (answer->body.kind == HTTP_BODY_BYTES && answer->body.size > 0) {
        stream->body.offset = 0;
        stream->body.data = exchange_keep(x, (const char *)answer->body.data + answer->body.offset,
                                          answer->body.size);
        if (stream->body.data == NULL) {
            stream->body = (http_body){.kind = HTTP_BODY_NONE};
            reset(stream, NGHTTP2_INTERNAL_ERROR);
            return;
        }
    }
    stream->waits = should_wait(stream) && keep_answer(stream, answer);
    if (!stream->waits) {
        submit_whole(stream, answer);
    }
}

void http2_release_answer(http2_stream *stream)
{
    if (stream->waits) {
        stream->waits = false;
        submit_whole(stream, &stream->kept);
    }
}

void http2_continue(http2_stream *stream)
{
    const nghttp2_nv status = NV(":status", "100", 3);
    (void)nghttp2_submit_headers(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, NULL, &status,
                                 1, NULL);
    stream->informs++;
}

int http2_on_before_send(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    http2_session *s = ctx;
    s->block_size = 0;
    if (s->doomed || frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    s->settled =
        true; /* encoded a moment ago; when it has been sent, other SETTINGS may have come */
    http2_stream *stream = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (stream != NULL && stream->informs > 0) {
        stream->informs--;
    } else if (stream != NULL && stream->block != NULL) {
        memcpy(s->block, stream->block, stream->block_size);
        s->block_size = stream->block_size;
    }
    return 0;
}

void http2_put_frame(http2_session *s, const unsigned char *frame, size_t size)
{
    resp_writer *out = &s->worker->out;
    size_t more = frame[FRAME_TYPE] == NGHTTP2_HEADERS ? s->block_size : 0;
    unsigned char *to = resp_writer_room(out, size + more);
    if (to == NULL) {
        return; /* which conn_send finds */
    }
    memcpy(to, frame, size);
    http2_patch_goaway(s, to, size);
    out->size += size + more;
    if (more > 0) {
        size_t length = size - HTTP2_HEAD_BYTES + more;
        to[0] = 0;
        to[1] = (unsigned char)(length >> 8);
        to[2] = (unsigned char)length;
        memcpy(to + size, s->block, more);
    }
}

static void start(exchange *x, const http_answer *answer)
{
    http2_stream *stream = x->carried;
    stream->no_body = !http2_adopt(stream) || !http_has_body(x, answer->status);
    if (stream->lost) {
        return;
    }
    stream->queued = true;
    stream->left = answer->length;
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = read_body};
    submit(stream, answer, answer->length, stream->no_body ? NULL : &provider);
}

static void wake(http2_stream *stream)
{
    if (stream->deferred) {
        stream->deferred = false;
        (void)nghttp2_session_resume_data(stream->session->ng, stream->id);
    }
    http2_touch(stream->session);
}

static bool write_piece(exchange *x, const void *data, size_t size)
{
    http2_stream *stream = x->carried;
    http2_session *s = stream->session;
    if (stream->no_body) {
        return true;
    }
    if (stream->left != HTTP_LENGTH_UNKNOWN) {
        BRISK_ASSERT(size <= (uint64_t)stream->left);
        stream->left -= (int64_t)size;
    }
    if (!http2_queue_put(s, &stream->queue, data, size)) {
        reset(stream, NGHTTP2_INTERNAL_ERROR);
        return false;
    }
    s->queued += size;
    wake(stream);
    stream->choked = stream->queue.size > HTTP_UNSENT_HIGH || s->queued > HTTP2_QUEUED_HIGH;
    return !stream->choked;
}

static void finish(exchange *x)
{
    http2_stream *stream = x->carried;
    if (stream->no_body) {
        return;
    }
    if (stream->left > 0) {
        reset(stream, NGHTTP2_INTERNAL_ERROR); /* less than was said */
        return;
    }
    stream->finished = true;
    wake(stream);
}

static void give_up(exchange *x)
{
    reset(x->carried, NGHTTP2_INTERNAL_ERROR);
}

static void inform(exchange *x, uint16_t status, const http_field *fields, uint32_t count)
{
    http2_stream *stream = x->carried;
    head h;
    if (http2_adopt(stream) && make_head(x, status, fields, count, &h)) {
        (void)nghttp2_submit_headers(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, NULL,
                                     h.items, h.count, NULL);
        stream->informs++;
        http2_touch(stream->session);
    }
}

static void take_over(exchange *x, const http_answer *answer)
{
    (void)answer; /* there is no Upgrade in HTTP/2 */
    reset(x->carried, NGHTTP2_HTTP_1_1_REQUIRED);
}

const http_carrier http2_carrier = {
    .name = "h2",
    .answer = answer_whole,
    .start = start,
    .write = write_piece,
    .finish = finish,
    .abort = give_up,
    .inform = inform,
    .pause = http2_pause,
    .take_over = take_over,
};
