/*
 * websocket.c -- the strict reader behind wire/websocket.h.
 *
 *     +-+-+-+-+-------+-+-------------+----------------- ...
 *     |F|R R R| opcode|M| length 7    | 0, 2 or 8 bytes | mask 4 | payload
 *     +-+-+-+-+-------+-+-------------+----------------- ...
 *
 * A head is collected byte by byte (it may come in any pieces), then the payload is unmasked straight
 * into the message or the control frame.
 *
 * Invariants: size <= WS_MESSAGE_MAX, control_size <= WS_CONTROL_MAX; after `over` nothing is read.
 *
 * Threads: no shared state.  Source: RFC 6455, sections 5 and 7.
 */
#include "wire/websocket.h"

#include <string.h>

#include <nettle/base64.h>
#include <nettle/sha1.h>

void ws_reader_init(ws_reader *r)
{
    memset(r, 0, offsetof(ws_reader, data));
}

/* --- texts -------------------------------------------------------------------------------- */

/* Bytes of the sequence at `s`; 0: it is none. */
static size_t sequence(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] < 0xc2 || s[0] > 0xf4) {
        return 0;
    }
    size_t length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (left < length || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

bool ws_is_utf8(const unsigned char *text, size_t size)
{
    while (size > 0) {
        size_t length = sequence(text, size);
        if (length == 0) {
            return false;
        }
        text += length;
        size -= length;
    }
    return true;
}

bool ws_code_is_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

bool ws_accept(const char *key, size_t size, char ret[WS_ACCEPT_SIZE + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct base64_decode_ctx decode;
    uint8_t bytes[BASE64_DECODE_LENGTH(24)];
    size_t decoded = sizeof bytes;
    if (size != 24 || memchr(key, '\0', size) != NULL) {
        return false;
    }
    base64_decode_init(&decode);
    if (base64_decode_update(&decode, &decoded, bytes, size, key) == 0 ||
        base64_decode_final(&decode) == 0 || decoded != 16) {
        return false;
    }
    struct sha1_ctx sha1;
    uint8_t digest[SHA1_DIGEST_SIZE];
    sha1_init(&sha1);
    sha1_update(&sha1, size, (const uint8_t *)key);
    sha1_update(&sha1, sizeof guid - 1, (const uint8_t *)guid);
    sha1_digest(&sha1, sizeof digest, digest);
    base64_encode_raw(ret, sizeof digest, digest);
    ret[WS_ACCEPT_SIZE] = '\0';
    return true;
}

/* --- reading ------------------------------------------------------------------------------ */

static ws_event fail(ws_reader *r, uint16_t code)
{
    r->over = true;
    r->code = code;
    return WS_EVENT_ERROR;
}

static bool is_control(uint8_t opcode)
{
    return opcode >= WS_CLOSE;
}

/* Bytes that the head has in all, as far as its first two say. */
static size_t head_bytes(const ws_reader *r)
{
    if (r->head_size < 2) {
        return 2;
    }
    uint8_t length = r->head[1] & 0x7f;
    return 2 + 4 + (length == 126 ? 2U : length == 127 ? 8U : 0U);
}

/* The first two bytes are there: refused before anything else is waited for.  0: they are fine. */
static uint16_t check_start(const ws_reader *r)
{
    uint8_t opcode = r->head[0] & 0x0f;
    bool fin = (r->head[0] & 0x80) != 0;
    if ((r->head[0] & 0x70) != 0 || (r->head[1] & 0x80) == 0) {
        return WS_CODE_PROTOCOL; /* no extension was agreed on; a client masks */
    }
    switch (opcode) {
    case WS_CONTINUATION: return r->message == 0 ? WS_CODE_PROTOCOL : 0;
    case WS_TEXT:
    case WS_BINARY: return r->message != 0 ? WS_CODE_PROTOCOL : 0;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG: return !fin || (r->head[1] & 0x7f) > WS_CONTROL_MAX ? WS_CODE_PROTOCOL : 0;
    default: return WS_CODE_PROTOCOL;
    }
}

/* The head is whole.  0: it is fine. */
static uint16_t take_head(ws_reader *r)
{
    uint8_t length = r->head[1] & 0x7f;
    size_t bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    uint64_t size = bytes == 0 ? length : 0;
    for (size_t i = 0; i < bytes; i++) {
        size = size << 8 | r->head[2 + i];
    }
    if ((bytes == 2 && size < 126) || (bytes == 8 && (size < 65536 || size >> 63 != 0))) {
        return WS_CODE_PROTOCOL; /* not the shortest form */
    }
    r->fin = (r->head[0] & 0x80) != 0;
    r->opcode = r->head[0] & 0x0f;
    r->left = size;
    r->mask_at = 0;
    r->in_payload = true;
    memmove(r->head, r->head + 2 + bytes, 4); /* the mask */
    if (is_control(r->opcode)) {
        r->control_size = 0;
        return 0;
    }
    if (r->opcode != WS_CONTINUATION) {
        r->message = r->opcode;
        r->size = 0;
    }
    return size > WS_MESSAGE_MAX - r->size ? WS_CODE_TOO_LARGE : 0;
}

static void unmask(ws_reader *r, const unsigned char *data, size_t size)
{
    unsigned char *to = is_control(r->opcode) ? r->control + r->control_size : r->data + r->size;
    for (size_t i = 0; i < size; i++) {
        to[i] = data[i] ^ r->head[r->mask_at];
        r->mask_at = (r->mask_at + 1) & 3;
    }
    *(is_control(r->opcode) ? &r->control_size : &r->size) += size;
    r->left -= size;
}

static ws_event end_close(ws_reader *r)
{
    r->over = true;
    r->code = WS_CODE_NONE;
    if (r->control_size == 0) {
        return WS_EVENT_CLOSE;
    }
    if (r->control_size == 1) {
        return fail(r, WS_CODE_PROTOCOL);
    }
    uint16_t code = (uint16_t)(r->control[0] << 8 | r->control[1]);
    if (!ws_code_is_valid(code)) {
        return fail(r, WS_CODE_PROTOCOL);
    }
    if (!ws_is_utf8(r->control + 2, r->control_size - 2)) {
        return fail(r, WS_CODE_NOT_UTF8);
    }
    r->code = code;
    return WS_EVENT_CLOSE;
}

/* The frame is whole. */
static ws_event end_frame(ws_reader *r)
{
    r->in_payload = false;
    r->head_size = 0;
    if (r->opcode == WS_CLOSE) {
        return end_close(r);
    }
    if (is_control(r->opcode)) {
        r->payload = r->control;
        r->payload_size = r->control_size;
        return r->opcode == WS_PING ? WS_EVENT_PING : WS_EVENT_PONG;
    }
    if (!r->fin) {
        return WS_MORE;
    }
    uint8_t message = r->message;
    r->message = 0;
    r->payload = r->data;
    r->payload_size = r->size;
    if (message == WS_TEXT && !ws_is_utf8(r->data, r->size)) {
        return fail(r, WS_CODE_NOT_UTF8);
    }
    return message == WS_TEXT ? WS_EVENT_TEXT : WS_EVENT_BINARY;
}

/* One byte of a head; true: what came of it is in *ret, unless that is WS_MORE and one goes on. */
static ws_event take_head_byte(ws_reader *r, unsigned char byte)
{
    r->head[r->head_size++] = byte;
    uint16_t wrong = r->head_size == 2 ? check_start(r) : 0;
    if (wrong == 0 && r->head_size == head_bytes(r)) {
        wrong = take_head(r);
    }
    if (wrong != 0) {
        return fail(r, wrong);
    }
    return r->in_payload && r->left == 0 ? end_frame(r) : WS_MORE;
}

ws_event ws_read(ws_reader *r, const void *data, size_t size, size_t *used)
{
    const unsigned char *from = data;
    size_t at = 0;
    ws_event event = WS_MORE;
    while (at < size && event == WS_MORE && !r->over) {
        if (!r->in_payload) {
            event = take_head_byte(r, from[at++]);
            continue;
        }
        size_t part = size - at < r->left ? size - at : (size_t)r->left;
        unmask(r, from + at, part);
        at += part;
        event = r->left == 0 ? end_frame(r) : WS_MORE;
    }
    *used = r->over ? size : at;
    return event;
}

size_t ws_head(unsigned char to[WS_HEAD_MAX], ws_opcode opcode, uint64_t size)
{
    to[0] = (unsigned char)(0x80 | (unsigned)opcode);
    if (size < 126) {
        to[1] = (unsigned char)size;
        return 2;
    }
    size_t bytes = size < 65536 ? 2 : 8;
    to[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++) {
        to[2 + i] = (unsigned char)(size >> (8 * (bytes - 1 - i)));
    }
    return 2 + bytes;
}
