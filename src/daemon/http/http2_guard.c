/*
 * http2_guard.c -- frames' heads, behind http2_guard.h.
 *
 * Invariant: between two scans `skip` is the rest of a payload whose head was judged, and nothing
 * of the next head has passed.  So a frame is judged once, with its whole head at hand.
 */
#include "daemon/http/http2_guard.h"

enum {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_PRIORITY = 2,
    FRAME_RST_STREAM = 3,
    FRAME_WINDOW_UPDATE = 8,
    FRAME_CONTINUATION = 9,
    FRAME_PRIORITY_UPDATE = 16,
    FLAG_END_STREAM = 1,
    FLAG_END_HEADERS = 4,
    PRIORITY_BYTES = 5,
    STREAM_BYTES = 4,
    CODE_PROTOCOL = 1,
    CODE_FRAME_SIZE = 6,
    CODE_CALM = 11, /* ENHANCE_YOUR_CALM */
};

static const uint64_t ns_per_s = 1000000000;

typedef struct frame_head {
    uint32_t length;
    uint32_t stream;
    uint8_t type;
    uint8_t flags;
} frame_head;

static uint32_t read_u31(const unsigned char *at)
{
    return (uint32_t)(at[0] & 0x7f) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static frame_head read_head(const unsigned char *at)
{
    return (frame_head){.length = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2],
                        .type = at[3],
                        .flags = at[4],
                        .stream = read_u31(at + 5)};
}

void http2_guard_init(http2_guard *guard, uint64_t now_ns)
{
    *guard = (http2_guard){
        .skip = HTTP2_PREFACE_BYTES, .chatter = HTTP2_CHATTER_MAX, .filled_ns = now_ns};
}

void http2_guard_allow(http2_guard *guard)
{
    guard->allowed = true;
    if (guard->type == FRAME_HEADERS && guard->stream > guard->given) {
        guard->given = guard->stream;
    }
}

void http2_guard_drop(http2_guard *guard)
{
    guard->allowed = true;
    guard->drops = true;
}

void http2_guard_earn(http2_guard *guard, uint32_t frames)
{
    uint32_t room = HTTP2_CHATTER_MAX - guard->chatter;
    guard->chatter += frames < room ? frames : room;
}

void http2_guard_fill(http2_guard *guard, uint64_t now_ns)
{
    uint64_t seconds = now_ns > guard->filled_ns ? (now_ns - guard->filled_ns) / ns_per_s : 0;
    if (seconds > 0) {
        uint64_t full = HTTP2_CHATTER_MAX / HTTP2_CHATTER_PER_SECOND;
        http2_guard_earn(guard,
                         (uint32_t)(seconds < full ? seconds : full) * HTTP2_CHATTER_PER_SECOND);
        guard->filled_ns += seconds * ns_per_s;
    }
}

/* What a frame is charged: those that ask for something are free. */
static bool is_chatter(const frame_head *head)
{
    switch (head->type) {
    case FRAME_HEADERS:
    case FRAME_CONTINUATION: return false;
    case FRAME_DATA: return head->length == 0 && (head->flags & FLAG_END_STREAM) == 0;
    default: return true;
    }
}

/* Does its payload begin with the number of a stream that is to be looked at? */
static bool names_stream(const frame_head *head)
{
    return (head->type == FRAME_PRIORITY || head->type == FRAME_PRIORITY_UPDATE) &&
           head->length >= STREAM_BYTES;
}

/* 0, or what is wrong with it.  `data` has the first bytes of the payload when names_stream. */
static uint32_t judge(http2_guard *guard, const frame_head *head, const unsigned char *data)
{
    if (head->type == FRAME_PRIORITY) {
        if (head->stream == 0) {
            return CODE_PROTOCOL;
        }
        if (head->length != PRIORITY_BYTES) {
            return CODE_FRAME_SIZE;
        }
        if (read_u31(data + HTTP2_HEAD_BYTES) == head->stream) {
            return CODE_PROTOCOL; /* depends on itself */
        }
    }
    if (head->type == FRAME_PRIORITY_UPDATE && names_stream(head) &&
        read_u31(data + HTTP2_HEAD_BYTES) == 0) {
        return CODE_PROTOCOL; /* RFC 9218, 7.1 */
    }
    if (is_chatter(head)) {
        if (guard->chatter == 0) {
            return CODE_CALM;
        }
        guard->chatter--;
    }
    return 0;
}

/* Is it for a stream that may be over? */
static bool is_doubtful(const http2_guard *guard, const frame_head *head)
{
    if (head->stream % 2 == 0) {
        return false; /* an error that nghttp2 finds */
    }
    return (head->type == FRAME_HEADERS || head->type == FRAME_DATA) &&
           head->stream <= guard->stream_high;
}

/* Does it open a stream?  From now on that is no new one. */
static bool opens_stream(http2_guard *guard, const frame_head *head)
{
    if (head->type != FRAME_HEADERS || head->stream % 2 == 0 ||
        head->stream <= guard->stream_high) {
        return false;
    }
    guard->stream_high = head->stream;
    return true;
}

/* Must somebody look at it first?  GO: nobody. */
static http2_scan ask(http2_guard *guard, const frame_head *head)
{
    http2_scan result = HTTP2_SCAN_GO;
    guard->stream = head->stream;
    guard->length = head->length;
    guard->type = head->type;
    guard->flags = head->flags;
    if (is_doubtful(guard, head)) {
        return HTTP2_SCAN_CHECK;
    }
    if (opens_stream(guard, head)) {
        if (guard->tells_heads && !guard->open_head) {
            return HTTP2_SCAN_HEAD;
        }
        guard->given = head->stream;
    }
    if (guard->indebted && head->type == FRAME_WINDOW_UPDATE && head->stream == 0 &&
        head->length == STREAM_BYTES && !guard->open_head) {
        result = HTTP2_SCAN_WINDOW;
    }
    return result;
}

/* Is it for a stream that was answered without nghttp2?  What is wrong in itself is nghttp2's. */
static bool is_of_past(const http2_guard *guard, const frame_head *head, const unsigned char *data)
{
    uint32_t stream = head->stream;
    bool small = head->length == STREAM_BYTES &&
                 (head->type == FRAME_WINDOW_UPDATE || head->type == FRAME_RST_STREAM);
    if (head->type == FRAME_PRIORITY_UPDATE && stream == 0 && head->length >= STREAM_BYTES) {
        stream = read_u31(data + HTTP2_HEAD_BYTES);
    } else if (!small && head->type != FRAME_PRIORITY) {
        return false;
    }
    return !guard->open_head && stream % 2 == 1 && stream > guard->given &&
           stream <= guard->stream_high;
}

/* All of its head is here, and what must be known of its payload. */
static bool is_here(const http2_guard *guard, const frame_head *head, size_t left)
{
    bool window = guard->indebted && head->type == FRAME_WINDOW_UPDATE && head->stream == 0 &&
                  head->length == STREAM_BYTES;
    return left >= HTTP2_HEAD_BYTES + (names_stream(head) || window ? (size_t)STREAM_BYTES : 0);
}

/* One frame of which enough is here; GO: it passes. */
static http2_scan scan_frame(http2_guard *guard, const frame_head *head, const unsigned char *data)
{
    http2_scan asked = guard->allowed ? HTTP2_SCAN_GO : ask(guard, head);
    if (asked != HTTP2_SCAN_GO) {
        return asked;
    }
    bool drops = guard->drops || is_of_past(guard, head, data);
    guard->allowed = guard->drops = false;
    guard->code = judge(guard, head, data);
    if (guard->code != 0) {
        return HTTP2_SCAN_BAD;
    }
    if (head->type == FRAME_HEADERS || head->type == FRAME_CONTINUATION) {
        guard->open_head = (head->flags & FLAG_END_HEADERS) == 0;
    }
    guard->skip = head->length + (drops ? (uint32_t)HTTP2_HEAD_BYTES : 0U);
    guard->dropping = drops;
    return drops ? HTTP2_SCAN_PART : HTTP2_SCAN_GO;
}

http2_scan http2_guard_scan(http2_guard *guard, const unsigned char *data, size_t size,
                            size_t *ret_pass)
{
    size_t at = 0;
    http2_scan result = HTTP2_SCAN_GO;
    while (result == HTTP2_SCAN_GO) {
        size_t passed = size - at < guard->skip ? size - at : guard->skip;
        at += passed;
        guard->skip -= (uint32_t)passed;
        if (guard->dropping && size > 0) {
            guard->dropping = guard->skip > 0;
            result = HTTP2_SCAN_DROP;
            break;
        }
        size_t left = size - at;
        if (left == 0) {
            break; /* perhaps amid a frame that is dropped */
        }
        frame_head head = {.type = 0};
        if (left >= HTTP2_HEAD_BYTES) {
            head = read_head(data + at);
        }
        if (left < HTTP2_HEAD_BYTES || !is_here(guard, &head, left)) {
            result = HTTP2_SCAN_MORE;
            break;
        }
        result = scan_frame(guard, &head, data + at);
        at += result == HTTP2_SCAN_GO ? (size_t)HTTP2_HEAD_BYTES : 0;
    }
    *ret_pass = at;
    return result;
}
