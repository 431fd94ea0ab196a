/*
 * http2_guard.h -- what the heads of frames tell, before nghttp2 sees them.
 *
 * nghttp2 is lenient where it cannot know better: it ignores frames for streams that are over, old
 * priorities, and frames of unknown types, however many.  The guard walks the bytes frame by frame
 * and says how many of them may be handed over, and where somebody must look first:
 *
 *     bytes ─► http2_guard_scan ─┬─► GO     all of it may be handed over
 *                                ├─► MORE   likewise, but for the last bytes, which are half a head
 *                                ├─► CHECK  what stands before it; then: is `stream` one we know?
 *                                ├─► HEAD   likewise; then a request begins, if `tells_heads`
 *                                ├─► WINDOW likewise; then the connection's window grows, if `indebted`
 *                                ├─► PART   what stands before it; scan again
 *                                ├─► DROP   none of it: it is for streams that nghttp2 never saw
 *                                └─► BAD    what stands before it; the connection ends with `code`
 *
 * It knows no HPACK and keeps 80 bytes.  CHECK, HEAD and WINDOW are answered by http2_guard_allow
 * (it may pass), by http2_guard_drop (it is dropped, whole), or by ending the connection.
 *
 * Streams above `given` that a client opened were answered without nghttp2 (http2_direct.c), and are
 * over: late WINDOW_UPDATE, RST_STREAM and priorities for them are dropped here, since nghttp2 would
 * take them for streams that do not exist yet.
 *
 * Chatter, frames that ask for nothing (PING, SETTINGS, WINDOW_UPDATE, RST_STREAM, priorities, empty
 * DATA, unknown types), is paid from a budget that fills with time and with requests and answers.
 *
 * Threads: one at a time.
 * Sources: RFC 9113 (4.1 heads, 5.1 closed streams, 6.3 PRIORITY), RFC 7540 (5.3.1).
 */
#ifndef BRISK_SRC_DAEMON_HTTP_HTTP2_GUARD_H
#define BRISK_SRC_DAEMON_HTTP_HTTP2_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP2_PREFACE_BYTES = 24, /* "PRI * HTTP/2.0" ...; nghttp2 compares them */
    HTTP2_HEAD_BYTES = 9,
    HTTP2_CHATTER_MAX = 4096,        /* frames at once ... */
    HTTP2_CHATTER_PER_SECOND = 1024, /* ... and from then on */
    HTTP2_CHATTER_PER_REQUEST = 8,   /* what a request earns */
};

typedef enum http2_scan {
    HTTP2_SCAN_GO,
    HTTP2_SCAN_MORE,
    HTTP2_SCAN_CHECK,
    HTTP2_SCAN_HEAD,
    HTTP2_SCAN_WINDOW,
    HTTP2_SCAN_PART,
    HTTP2_SCAN_DROP,
    HTTP2_SCAN_BAD,
} http2_scan;

typedef struct http2_guard {
    uint32_t skip;        /* bytes of the preface or of a payload still to pass */
    uint32_t stream;      /* CHECK, HEAD: whose frame it is ... */
    uint32_t length;      /* ... and how long it is behind its head */
    uint32_t stream_high; /* the highest that a client opened ... */
    uint32_t given;       /* ... and the highest whose HEADERS were allowed to pass */
    uint32_t code;        /* BAD: an error code of RFC 9113 */
    uint32_t chatter;     /* what is left of the budget */
    uint64_t filled_ns;   /* when it was filled last */
    uint8_t type;         /* CHECK, HEAD: of the frame */
    uint8_t flags;
    bool tells_heads; /* set by who wants HEAD ... */
    bool indebted;    /* ... and WINDOW */
    bool allowed;     /* the frame at which the next scan begins was checked ... */
    bool drops;       /* ... and is to be dropped */
    bool dropping;    /* `skip` is of a frame that is dropped */
    bool open_head;   /* CONTINUATION is to come, and nothing else */
} http2_guard;

void http2_guard_init(http2_guard *guard, uint64_t now_ns);
/* Judge `data`, which begins where the last scan's *ret_pass ended. */
http2_scan http2_guard_scan(http2_guard *guard, const unsigned char *data, size_t size,
                            size_t *ret_pass);
/* The frame that was to be checked may pass. */
void http2_guard_allow(http2_guard *guard);
/* It is nobody's, or was taken care of. */
void http2_guard_drop(http2_guard *guard);
/* Time has passed; something was asked or answered that is worth `frames` of chatter. */
void http2_guard_fill(http2_guard *guard, uint64_t now_ns);
void http2_guard_earn(http2_guard *guard, uint32_t frames);

#endif /* BRISK_SRC_DAEMON_HTTP_HTTP2_GUARD_H */
