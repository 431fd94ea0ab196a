/*
 * websocket.h -- frames of WebSocket, as a server reads and writes them.
 *
 *     while (size > 0) { what = ws_read(&reader, data, size, &used); data += used ... }
 *
 * Strict: whatever RFC 6455 says a client must not send ends the connection with the code that it
 * names.  A message is put together in the reader and is bounded; control frames may come between its
 * parts.
 *
 * Threads: one at a time.  Source: RFC 6455; RFC 3629 (UTF-8).
 */
#ifndef BRISK_SRC_WIRE_WEBSOCKET_H
#define BRISK_SRC_WIRE_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WS_MESSAGE_MAX = 65536, /* what a client may say at once */
    WS_CONTROL_MAX = 125,
    WS_HEAD_MAX = 14,
    WS_ACCEPT_SIZE = 28, /* of Sec-WebSocket-Accept */
};

typedef enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
} ws_opcode;

/* Codes of a close. */
enum {
    WS_CODE_NORMAL = 1000,
    WS_CODE_GOING_AWAY = 1001,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_UNSUPPORTED = 1003,
    WS_CODE_NONE = 1005, /* never sent: the close had none */
    WS_CODE_NOT_UTF8 = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_LARGE = 1009,
    WS_CODE_FAILED = 1011,
};

typedef enum ws_event {
    WS_MORE = 0,   /* all was read, nothing is whole */
    WS_EVENT_TEXT, /* a message: reader->payload, reader->payload_size; valid until the next call */
    WS_EVENT_BINARY,
    WS_EVENT_PING, /* likewise its payload, to be sent back */
    WS_EVENT_PONG,
    WS_EVENT_CLOSE, /* reader->code; what follows is not read */
    WS_EVENT_ERROR, /* likewise: close with reader->code */
} ws_event;

typedef struct ws_reader {
    /* For the caller. */
    const unsigned char *payload;
    size_t payload_size;
    uint16_t code;
    /* The reader's. */
    unsigned char head[WS_HEAD_MAX];
    size_t head_size;
    bool in_payload;
    bool over;
    bool fin;
    uint8_t opcode;  /* of this frame */
    uint8_t message; /* opcode of the message that is put together; 0: none */
    uint64_t left;   /* of this frame's payload */
    uint32_t mask_at;
    size_t size;         /* of the message so far */
    size_t control_size; /* of the control frame so far */
    unsigned char control[WS_CONTROL_MAX];
    unsigned char data[WS_MESSAGE_MAX];
} ws_reader;

void ws_reader_init(ws_reader *r);
/* Reads up to one event; *used is what was read of `data`. */
ws_event ws_read(ws_reader *r, const void *data, size_t size, size_t *used);
/* The head of a frame without a mask; returns its size. */
size_t ws_head(unsigned char to[WS_HEAD_MAX], ws_opcode opcode, uint64_t size);
/* Sec-WebSocket-Accept of a key; false: it is not 16 bytes in base64. */
bool ws_accept(const char *key, size_t size, char ret[WS_ACCEPT_SIZE + 1]);
/* May a peer send this code? */
bool ws_code_is_valid(uint16_t code);
bool ws_is_utf8(const unsigned char *text, size_t size);

#endif /* BRISK_SRC_WIRE_WEBSOCKET_H */
