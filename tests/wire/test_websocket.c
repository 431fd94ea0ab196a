/*
 * test_websocket.c -- proves the reader of frames: messages in any pieces are the same messages, control
 * frames may come between, and what RFC 6455 forbids ends with the code that it names.
 */
#include "support/check.h"

#include <string.h>

#include "wire/websocket.h"

static ws_reader reader;

typedef struct outcome {
    char text[4096]; /* "text:abc ping:x close:1000 " */
    size_t size;
} outcome;

static void note(outcome *o, ws_event event)
{
    static const char *const names[] = {"", "text", "binary", "ping", "pong", "close", "error"};
    int length;
    if (event == WS_EVENT_CLOSE || event == WS_EVENT_ERROR) {
        length = snprintf(o->text + o->size, sizeof o->text - o->size, "%s:%u ", names[event],
                          reader.code);
    } else {
        length = snprintf(o->text + o->size, sizeof o->text - o->size, "%s:%.*s ", names[event],
                          (int)reader.payload_size, (const char *)reader.payload);
    }
    o->size += (size_t)length;
}

/* Fed in pieces of `piece` bytes. */
static void feed(const unsigned char *data, size_t size, size_t piece, outcome *o)
{
    *o = (outcome){.size = 0};
    ws_reader_init(&reader);
    while (size > 0) {
        size_t part = piece < size ? piece : size;
        size_t used = 0;
        ws_event event = ws_read(&reader, data, part, &used);
        CHECK(used > 0 && used <= part);
        if (event != WS_MORE) {
            note(o, event);
        }
        data += used;
        size -= used;
    }
}

typedef struct bytes {
    unsigned char data[70000];
    size_t size;
} bytes;

static bytes made;

/* A frame as a client sends it; `first` is FIN, RSV and opcode. */
static void frame(unsigned first, const char *payload, size_t size)
{
    static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0xf8};
    unsigned char *to = made.data + made.size;
    size_t head = ws_head(to, WS_TEXT, size);
    to[0] = (unsigned char)first;
    to[1] |= 0x80;
    memcpy(to + head, mask, 4);
    for (size_t i = 0; i < size; i++) {
        to[head + 4 + i] = (unsigned char)payload[i] ^ mask[i % 4];
    }
    made.size += head + 4 + size;
}

static void check_frames(const char *expected)
{
    static outcome o;
    for (size_t piece = 1; piece <= made.size; piece = piece * 2 + 1) {
        feed(made.data, made.size, piece, &o);
        assert_string_equal(o.text, expected);
    }
    made.size = 0;
}

static void test_messages(void **unused)
{
    (void)unused;
    frame(0x81, "hello", 5);
    frame(0x82, "\x01\x02", 2);
    frame(0x81, "", 0);
    check_frames("text:hello binary:\x01\x02 text: ");
    frame(0x01, "hel", 3);
    frame(0x89, "p", 1);
    frame(0x00, "lo ", 3);
    frame(0x8a, "", 0);
    frame(0x80, "you", 3);
    frame(0x88,
          "\x03\xe8"
          "bye",
          5);
    check_frames("ping:p pong: text:hello you close:1000 ");
    frame(0x88, "", 0);
    check_frames("close:1005 ");
    frame(0x01, "\xc3", 1); /* a character in two frames */
    frame(0x80, "\xa9", 1);
    check_frames("text:\xc3\xa9 ");
    frame(0x88, "\x03\xe8", 2);
    frame(0x81, "nobody hears this", 17);
    check_frames("close:1000 ");
}

static void test_large_messages(void **unused)
{
    (void)unused;
    static char payload[WS_MESSAGE_MAX + 1];
    memset(payload, 'x', sizeof payload);
    static const size_t sizes[] = {125, 126, 65535, WS_MESSAGE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        static outcome o;
        size_t used;
        made.size = 0;
        frame(0x82, payload, sizes[i]);
        ws_reader_init(&reader);
        CHECK(ws_read(&reader, made.data, made.size, &used) == WS_EVENT_BINARY);
        CHECK(used == made.size && reader.payload_size == sizes[i]);
        CHECK(memcmp(reader.payload, payload, sizes[i]) == 0);
        (void)o;
    }
    made.size = 0;
    frame(0x82, payload, WS_MESSAGE_MAX + 1);
    made.size = 14; /* the head is enough to know */
    check_frames("error:1009 ");
    frame(0x02, payload, 60000);
    frame(0x80, payload, 6000);
    check_frames("error:1009 ");
}

static void test_what_is_forbidden(void **unused)
{
    (void)unused;
    static const struct {
        unsigned first;
        const char *payload;
        size_t size;
        const char *expected;
    } rows[] = {
        {0x91, "a", 1, "error:1002 "}, /* RSV3 */
        {0xc1, "a", 1, "error:1002 "}, /* RSV1 without an extension */
        {0x83, "a", 1, "error:1002 "}, /* opcodes that are reserved */
        {0x8b, "a", 1, "error:1002 "},
        {0x80, "a", 1, "error:1002 "},        /* nothing to go on with */
        {0x09, "a", 1, "error:1002 "},        /* a control frame in parts */
        {0x88, "\x03", 1, "error:1002 "},     /* half a code */
        {0x88, "\x03\xed", 2, "error:1002 "}, /* 1005 */
        {0x88, "\x03\xe7", 2, "error:1002 "}, /* 999 */
        {0x88, "\x13\x88", 2, "error:1002 "}, /* 5000 */
        {0x88, "\x03\xe8\xff", 3, "error:1007 "},
        {0x81, "\xff", 1, "error:1007 "},
        {0x81, "\xc3", 1, "error:1007 "},
        {0x81, "\xed\xa0\x80", 3, "error:1007 "},
        {0x81, "\xc0\xaf", 2, "error:1007 "},
        {0x81, "\xf4\x90\x80\x80", 4, "error:1007 "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        frame(rows[i].first, rows[i].payload, rows[i].size);
        check_frames(rows[i].expected);
    }
    frame(0x01, "a", 1);
    frame(0x81, "b", 1);
    check_frames("error:1002 "); /* a message inside another */
    static const unsigned char bare[] = {0x81, 0x01, 'a'};
    memcpy(made.data, bare, made.size = sizeof bare);
    check_frames("error:1002 "); /* no mask */
    static const unsigned char longer[] = {0x81, 0xfe, 0, 5, 1, 2, 3, 4};
    memcpy(made.data, longer, made.size = sizeof longer);
    check_frames("error:1002 ");
    static const unsigned char longest[] = {0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4};
    memcpy(made.data, longest, made.size = sizeof longest);
    check_frames("error:1002 ");
    static const unsigned char negative[] = {0x81, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4};
    memcpy(made.data, negative, made.size = sizeof negative);
    check_frames("error:1002 ");
    static const unsigned char large_control[] = {0x89, 0xfe};
    memcpy(made.data, large_control, made.size = sizeof large_control);
    check_frames("error:1002 ");
}

static void test_accept(void **unused)
{
    (void)unused;
    char accept[WS_ACCEPT_SIZE + 1];
    CHECK(ws_accept("dGhlIHNhbXBsZSBub25jZQ==", 24, accept)); /* RFC 6455, 1.3 */
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    static const char *const bad[] = {"", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQAA",
                                      "dGhlIHNhbXBsZSBub25j====", "dGhlIHNhbXBsZSBub25j!Q=="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!ws_accept(bad[i], strlen(bad[i]), accept));
    }
}

static void test_heads(void **unused)
{
    (void)unused;
    unsigned char to[WS_HEAD_MAX];
    CHECK_U64(ws_head(to, WS_TEXT, 125), ==, 2);
    CHECK(to[0] == 0x81 && to[1] == 125);
    CHECK_U64(ws_head(to, WS_PING, 126), ==, 4);
    CHECK(to[0] == 0x89 && to[1] == 126 && to[2] == 0 && to[3] == 126);
    CHECK_U64(ws_head(to, WS_BINARY, 65536), ==, 10);
    CHECK(to[1] == 127 && to[7] == 1 && to[8] == 0 && to[9] == 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_large_messages),
        cmocka_unit_test(test_what_is_forbidden),
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_heads),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
