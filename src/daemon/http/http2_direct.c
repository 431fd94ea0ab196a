/*
 * http2_direct.c -- requests in bytes that came before, answered without nghttp2.
 *
 *     HEADERS, known ─► exchange ─► handler ─┬─► a whole answer that fits: HEADERS and DATA, here
 *                                            └─► anything else: the frame is given to nghttp2 after
 *                                                all (http2_adopt), which then has the stream
 *
 * What nghttp2 does for a request (HPACK, the rules of heads, a stream, its place in the order, two
 * queues) costs more than all the rest of a short answer.  Where the head is known (known.h)
 * and the answer is there before the handler returns, none of it is needed: the stream opens and
 * ends between two frames.  Route, rights and answer are those of every other request.
 *
 * nghttp2 is not told, so what it would have kept in mind is kept here:
 *
 *     the connection's window   `debt` bytes of it were used here; what the client gives back pays
 *                               them first, and bodies from nghttp2 see a window that is smaller
 *     the highest stream        GOAWAY names it (http2_patch_goaway); late frames for streams that
 *                               ended here are dropped by the guard
 *     order                     nobody is answered here while nghttp2 has something to send
 *     the compression's table   heads are literals; not before nghttp2 has encoded a head after the
 *                               client's last SETTINGS, which may have to say that the table shrank
 *
 * Threads: the worker's.
 * Sources: RFC 9113 (5.1.1 numbers of streams, 6.8 GOAWAY, 6.9 flow control), RFC 7541 (4.2, 6.2.2).
 */
#include <string.h>

#include "base/assert.h"
#include "daemon/http/http2.h"
#include "daemon/server.h"

enum {
    FLAG_END_STREAM = NGHTTP2_FLAG_END_STREAM,
    FLAG_END_HEADERS = NGHTTP2_FLAG_END_HEADERS,
    FRAME_TYPE = 3,
    GOAWAY_BYTES = 17,
    BODY_MAX = 16384, /* one frame, whatever the client's SETTINGS say */
};

static void put_u32(unsigned char *to, uint32_t number)
{
    to[0] = (unsigned char)(number >> 24);
    to[1] = (unsigned char)(number >> 16);
    to[2] = (unsigned char)(number >> 8);
    to[3] = (unsigned char)number;
}

static uint32_t read_u31(const unsigned char *at)
{
    return (uint32_t)(at[0] & 0x7f) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

typedef struct frame_head {
    size_t length;
    uint8_t type;
    uint8_t flags;
    int32_t stream;
} frame_head;

static void put_head(unsigned char *to, frame_head head)
{
    to[0] = (unsigned char)(head.length >> 16);
    to[1] = (unsigned char)(head.length >> 8);
    to[2] = (unsigned char)head.length;
    to[3] = head.type;
    to[4] = head.flags;
    put_u32(to + 5, (uint32_t)head.stream);
}

/* --- the connection's window -------------------------------------------------------------- */

/* What may be sent of bodies, of all streams together. */
static int64_t window_of(const http2_session *s)
{
    return (int64_t)nghttp2_session_get_remote_window_size(s->ng) - (int64_t)s->debt;
}

size_t http2_within_window(http2_session *s, size_t size)
{
    if (s->debt == 0) {
        return size;
    }
    int64_t window = window_of(s);
    if (window <= 0) {
        s->owed = true;
        return 0;
    }
    return size < (uint64_t)window ? size : (size_t)window;
}

void http2_take_window(http2_session *s, unsigned char *frame)
{
    uint32_t more = read_u31(frame + HTTP2_HEAD_BYTES);
    uint32_t paid = more < s->debt ? more : s->debt;
    s->debt -= paid;
    s->guard.indebted = s->debt > 0;
    if (more > 0 && more == paid) {
        http2_guard_drop(&s->guard);
    } else {
        put_u32(frame + HTTP2_HEAD_BYTES, more - paid);
        http2_guard_allow(&s->guard);
    }
    if (!s->owed) {
        return;
    }
    s->owed = false;
    for (http2_stream *stream = s->streams; stream != NULL; stream = stream->next) {
        if (stream->deferred) {
            stream->deferred = false;
            (void)nghttp2_session_resume_data(s->ng, stream->id);
        }
    }
}

/* --- the highest stream ------------------------------------------------------------------- */

uint32_t http2_last_stream(const http2_session *s)
{
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(s->ng);
    return last > s->direct_high ? last : s->direct_high;
}

void http2_patch_goaway(const http2_session *s, unsigned char *frame, size_t size)
{
    if (size >= GOAWAY_BYTES && frame[FRAME_TYPE] == NGHTTP2_GOAWAY &&
        read_u31(frame + HTTP2_HEAD_BYTES) < s->direct_high) {
        put_u32(frame + HTTP2_HEAD_BYTES, s->direct_high);
    }
}

/* --- answers ------------------------------------------------------------------------------ */

/* The numbers of the static table that statuses have (RFC 7541, appendix A). */
static unsigned char *put_status(unsigned char *to, uint16_t status)
{
    static const struct {
        uint16_t status;
        unsigned char index;
    } known[] = {{200, 8}, {204, 9}, {206, 10}, {304, 11}, {400, 12}, {404, 13}, {500, 14}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].status == status) {
            *to++ = (unsigned char)(0x80 | known[i].index);
            return to;
        }
    }
    *to++ = 8; /* a literal with that name, not indexed */
    *to++ = 3;
    *to++ = (unsigned char)('0' + status / 100);
    *to++ = (unsigned char)('0' + status / 10 % 10);
    *to++ = (unsigned char)('0' + status % 10);
    return to;
}

/* Where the bytes of a body lie; NULL: none, or in a file. */
static const unsigned char *bytes_of(const http_body *body)
{
    const unsigned char *bytes = body->kind == HTTP_BODY_BYTES   ? body->data
                                 : body->kind == HTTP_BODY_VALUE ? brisk_value_data(body->value)
                                                                 : NULL;
    return bytes != NULL ? bytes + body->offset : NULL;
}

/* May so much of a body be sent at once? */
static bool is_in_window(const http2_session *s, size_t size)
{
    return size <=
               nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE) &&
           (int64_t)size <= window_of(s);
}

bool http2_answer_directly(http2_stream *stream, const http_answer *answer)
{
    http2_session *s = stream->session;
    resp_writer *out = &s->worker->out;
    exchange *x = stream->x;
    bool has_body = answer->body.size > 0 && http_has_body(x, answer->status);
    size_t size = has_body ? (size_t)answer->body.size : 0;
    const unsigned char *bytes = has_body ? bytes_of(&answer->body) : NULL;
    if ((has_body && (bytes == NULL || answer->body.size > BODY_MAX)) ||
        (size > 0 && !is_in_window(s, size))) {
        return false;
    }
    unsigned char *head =
        resp_writer_room(out, (size_t)2 * HTTP2_HEAD_BYTES + HTTP2_BLOCK_MAX + size);
    if (head == NULL) {
        return false; /* which conn_send finds */
    }
    unsigned char *block = head + HTTP2_HEAD_BYTES;
    unsigned char *to =
        http2_put_fields(put_status(block, answer->status), block + HTTP2_BLOCK_MAX, x, answer);
    if (to == NULL) {
        return false;
    }
    uint8_t end = size == 0 ? FLAG_END_STREAM : 0;
    put_head(head, (frame_head){.length = (size_t)(to - block),
                                .type = NGHTTP2_HEADERS,
                                .flags = FLAG_END_HEADERS | end,
                                .stream = stream->id});
    if (size > 0) {
        put_head(to, (frame_head){.length = size,
                                  .type = NGHTTP2_DATA,
                                  .flags = FLAG_END_STREAM,
                                  .stream = stream->id});
        memcpy(to + HTTP2_HEAD_BYTES, bytes, size);
        to += HTTP2_HEAD_BYTES + size;
        s->debt += (uint32_t)size;
        s->guard.indebted = true;
        x->body_sent += size;
        s->body_sent += size;
        http2_guard_earn(&s->guard, 2);
    }
    out->size += (size_t)(to - head);
    return true;
}

bool http2_adopt(http2_stream *stream)
{
    http2_session *s = stream->session;
    if (!stream->direct) {
        return !stream->lost;
    }
    stream->direct = false;
    stream->lost = true; /* until nghttp2 has it */
    s->adopted = stream;
    s->guard.given = (uint32_t)stream->id;
    ssize_t n = nghttp2_session_mem_recv(s->ng, s->frame, s->frame_size);
    s->adopted = NULL;
    s->broken = n < 0 ? (int)n : s->broken;
    return !stream->lost;
}

/* --- requests ----------------------------------------------------------------------------- */

/* Is everything that nghttp2 has to say said, and is there room for more? */
static bool may_answer(http2_session *s)
{
    const http_limits *limits = &s->worker->server->limits.http;
    uint32_t streams = limits->streams_max != 0 ? limits->streams_max : HTTP2_STREAMS_MAX;
    if (!s->settled || s->owed || s->draining || s->drained || s->stream_count >= streams ||
        s->requests + 1 == limits->requests_max || nghttp2_session_want_write(s->ng)) {
        return false;
    }
    if (s->worker->out.size >= HTTP2_BATCH_BYTES) {
        (void)conn_send(s->conn);
    }
    return !s->doomed && conn_unsent(s->conn) < HTTP2_UNSENT_HIGH;
}

static void show(http2_stream *stream, http_known_head *head)
{
    exchange *x = stream->x;
    http_known_use(head);
    stream->head = head;
    stream->direct = true;
    stream->ended = true;
    x->method_text = head->method;
    x->target = head->target;
    x->authority = head->authority;
    x->fields = head->fields;
    x->field_count = head->field_count;
}

/* False: no memory; nghttp2's way may find some. */
static bool answer_known(http2_session *s, http_known_head *head)
{
    http2_stream *stream = http2_open_stream(s, (int32_t)s->guard.stream);
    if (stream == NULL) {
        return false;
    }
    show(stream, head);
    s->requests++;
    s->direct_high = s->guard.stream;
    http2_guard_earn(&s->guard, HTTP2_CHATTER_PER_REQUEST);
    exchange_begin(stream->x);
    if (s->doomed) {
        return true;
    }
    if (stream->direct && stream->x->state != EXCHANGE_DONE) {
        (void)http2_adopt(stream);
    }
    if (stream->direct || stream->lost) {
        s->worker->http2_direct += stream->direct ? 1 : 0;
        http2_end_stream(stream);
    } else {
        http2_begun(stream);
    }
    return true;
}

/* A block that nghttp2 will read: is it to be kept when it has? */
static void learn(http2_session *s, uint64_t hash, const unsigned char *block)
{
    if (!http2_block_is_neutral(block, s->guard.length)) {
        http_known_forget(&s->known);
    } else if (http_known_wants(&s->known, hash)) {
        s->learned = s->guard.stream;
        s->learned_block = block;
        s->learned_size = s->guard.length;
    }
}

size_t http2_meet_head(http2_session *s, const unsigned char *frame, size_t size)
{
    size_t length = s->guard.length;
    const unsigned char *block = frame + HTTP2_HEAD_BYTES;
    if (s->guard.flags != (FLAG_END_STREAM | FLAG_END_HEADERS) || length > HTTP_KNOWN_BLOCK_MAX ||
        size < HTTP2_HEAD_BYTES + length) {
        http_known_forget(&s->known); /* nobody looks what it does to the table */
        http2_guard_allow(&s->guard);
        return 0;
    }
    uint64_t hash = http_known_hash(block, length);
    http_known_head *head = http_known_find(&s->known, hash, block, length);
    head = head != NULL && head->block_size == length ? head : NULL; /* all of it */
    if (head != NULL && may_answer(s)) {
        s->frame = frame;
        s->frame_size = HTTP2_HEAD_BYTES + length;
        if (answer_known(s, head)) {
            return HTTP2_HEAD_BYTES + length;
        }
    }
    if (head == NULL) {
        learn(s, hash, block);
    }
    http2_guard_allow(&s->guard);
    return 0;
}

void http2_learned(http2_session *s, const http2_stream *stream)
{
    const exchange *x = stream->x;
    if (s->learned != (uint32_t)stream->id) {
        return;
    }
    s->learned = 0;
    const http_known_head head = {.method = x->method_text,
                                  .target = x->target,
                                  .authority = x->authority,
                                  .fields = x->fields,
                                  .field_count = x->field_count};
    http_known_keep(&s->known, http_known_hash(s->learned_block, s->learned_size), s->learned_block,
                    s->learned_size, &head);
}
