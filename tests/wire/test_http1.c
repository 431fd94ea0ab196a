/*
 * test_http1.c -- heads and chunks: what is right, what is refused, however they are cut, on every processor path.
 */
#include <string.h>

#include <brisk/alloc.h>

#include "support/check.h"
#include "wire/http1.h"

enum { TEXT_MAX = 1 << 18 };

static unsigned char text[TEXT_MAX];
static http_field fields[2048];

static http1_head head_of(http1_path path, bool answer)
{
    http1_head head = {.answer = answer, .fields = fields, .path = path};
    http1_head_start(&head);
    return head;
}

static http1_status read_at_once(http1_head *head, const char *message)
{
    size_t size = strlen(message);
    memcpy(text, message, size);
    return http1_head_read(head, text, size);
}

static http1_status read_bytes(http1_head *head, const char *message)
{
    size_t size = strlen(message);
    http1_status status = HTTP1_MORE;
    for (size_t i = 0; i <= size && status == HTTP1_MORE; i++) {
        memcpy(text, message, i);
        status = http1_head_read(head, text, i);
    }
    return status;
}

static bool is(http_text t, const char *wanted)
{
    return t.size == strlen(wanted) && memcmp(t.data, wanted, t.size) == 0;
}

/* Whatever the path and the cuts, the same. */
static http1_head check_read(const char *message, bool answer, http1_status wanted)
{
    http1_head head;
    for (int path = HTTP1_BEST; path < HTTP1_PATH_COUNT; path++) {
        if (!http1_path_exists((http1_path)path)) {
            continue;
        }
        http1_head cut = head_of((http1_path)path, answer);
        http1_status status = read_bytes(&cut, message);
        head = head_of((http1_path)path, answer);
        http1_status whole = read_at_once(&head, message);
        if (whole != wanted) {
            fail_msg("%d instead of %d: %s", whole, wanted, message);
        }
        CHECK(status == whole);
        if (whole == HTTP1_MORE) {
            continue;
        }
        CHECK(cut.used == head.used && cut.field_count == head.field_count &&
              cut.refusal == head.refusal && cut.error == head.error &&
              cut.content_length == head.content_length && cut.chunked == head.chunked);
    }
    return head;
}

static void test_requests(void **state)
{
    (void)state;
    http1_head h = check_read("GET /a?b HTTP/1.1\r\nHost: Example.com:80\r\nX-Y:\t a \t b\t \r\n"
                              "Empty:\r\n\r\nrest",
                              false, HTTP1_DONE);
    CHECK(is(h.method, "GET") && is(h.target, "/a?b") && is(h.authority, "Example.com:80"));
    CHECK(h.minor == 1 && h.field_count == 3 && h.content_length == HTTP1_UNKNOWN && !h.chunked);
    CHECK(is(h.fields[1].name, "x-y") && is(h.fields[1].value, "a \t b"));
    CHECK(is(h.fields[2].name, "empty") && is(h.fields[2].value, ""));
    CHECK_U64(h.used, ==, 66);
    h = check_read("\r\nPOST / HTTP/1.1\r\nhost:[::1]\r\nContent-Length: 007\r\n"
                   "connection: Keep-Alive, close,,X\r\nExpect: 100-Continue\r\n\r\n",
                   false, HTTP1_DONE);
    CHECK(h.content_length == 7 && h.close && h.keep_alive && h.other_hop && h.expects);
    CHECK(!h.upgrade);
    h = check_read("GET / HTTP/1.0\r\n\r\n", false, HTTP1_DONE);
    CHECK(h.minor == 0 && h.authority.size == 0);
    h = check_read("get http://a.b:8/c HTTP/1.1\r\nHost: A.B:8\r\n\r\n", false, HTTP1_DONE);
    CHECK(is(h.target, "/c") && is(h.authority, "a.b:8") && h.absolute && !h.secure);
    h = check_read("GET https://a HTTP/1.1\r\nHost: a\r\n\r\n", false, HTTP1_DONE);
    CHECK(is(h.target, "/") && h.secure);
    h = check_read("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", false, HTTP1_DONE);
    CHECK(is(h.target, "*"));
    h = check_read("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", false, HTTP1_DONE);
    h = check_read("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", false,
                   HTTP1_DONE);
    CHECK(h.chunked);
    h = check_read("GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\xff\r\n\r\n", false, HTTP1_DONE);
    CHECK(is(h.fields[1].value, "\xc3\xa4\xff"));
    (void)check_read("GET / HTTP/1.1\r\nHost: a\r\n", false, HTTP1_MORE);
    (void)check_read("\r", false, HTTP1_MORE);
    (void)check_read("", false, HTTP1_MORE);
}

static void test_answers(void **state)
{
    (void)state;
    http1_head h = check_read("HTTP/1.1 200 OK then\r\nContent-Length: 5\r\nHost: a b\r\n\r\nhello",
                              true, HTTP1_DONE);
    CHECK(h.code == 200 && is(h.reason, "OK then") && h.content_length == 5 && h.minor == 1);
    h = check_read("HTTP/1.0 404 \r\n\r\n", true, HTTP1_DONE);
    CHECK(h.code == 404 && h.reason.size == 0 && h.minor == 0);
    h = check_read("HTTP/1.1 204\r\nTransfer-Encoding: chunked\r\n\r\n", true, HTTP1_DONE);
    CHECK(h.code == 204 && h.chunked);
    static const char *const wrong[] = {
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1-200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)check_read(wrong[i], true, HTTP1_BAD);
    }
}

#define REQUEST "GET / HTTP/1.1\r\nHost: a\r\n"

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        uint16_t refusal;
    } table[] = {
        /* the request's line */
        {"GET /\r\nHost: a\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
        {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/11\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\n\r\n", 400},
        {"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
        {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        /* line ends and control characters */
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
        {REQUEST "A: b\nC: d\r\n\r\n", 400},
        {REQUEST "\n", 400},
        {REQUEST "A: b\rC: d\r\n\r\n", 400},
        {REQUEST "A: b\r\r\n\r\n", 400},
        {REQUEST "A: \x01\r\n\r\n", 400},
        {REQUEST "A: \x7f\r\n\r\n", 400},
        {REQUEST "A\x0b: b\r\n\r\n", 400},
        {REQUEST "\rA: b\r\n\r\n", 400},
        /* fields */
        {REQUEST "A : b\r\n\r\n", 400},
        {REQUEST " A: b\r\n\r\n", 400},
        {REQUEST "A: b\r\n c\r\n\r\n", 400},
        {REQUEST "A: b\r\n\tc\r\n\r\n", 400},
        {REQUEST ": b\r\n\r\n", 400},
        {REQUEST "A\r\n\r\n", 400},
        {REQUEST "A(b): c\r\n\r\n", 400},
        {REQUEST "\xc3\xa4: c\r\n\r\n", 400},
        {REQUEST "Expect: 200-ok\r\n\r\n", 417},
        /* Host */
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
        {REQUEST "Host: a\r\n\r\n", 400},
        {REQUEST "host: b\r\n\r\n", 400},
        {"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a,b/c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", 400},
        /* lengths */
        {REQUEST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {REQUEST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {REQUEST "Content-Length: 1, 1\r\n\r\n", 400},
        {REQUEST "Content-Length: +1\r\n\r\n", 400},
        {REQUEST "Content-Length: -1\r\n\r\n", 400},
        {REQUEST "Content-Length: 0x1\r\n\r\n", 400},
        {REQUEST "Content-Length: 1 1\r\n\r\n", 400},
        {REQUEST "Content-Length: 1.0\r\n\r\n", 400},
        {REQUEST "Content-Length:\r\n\r\n", 400},
        {REQUEST "Content-Length: 9999999999999999999\r\n\r\n", 400},
        {REQUEST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400},
        /* codings */
        {REQUEST "Transfer-Encoding: xchunked\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding: chunked, identity\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding: identity\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding: chunked;a=b\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding:\r\n\r\n", 400},
        {REQUEST "Transfer-Encoding: \x0b"
                 "chunked\r\n\r\n",
         400},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        http1_head h = check_read(table[i].message, false, HTTP1_BAD);
        if (h.refusal != table[i].refusal) {
            fail_msg("%u instead of %u: %s", h.refusal, table[i].refusal, table[i].message);
        }
        CHECK(h.error != NULL && http1_head_read(&h, text, 0) == HTTP1_BAD);
    }
    /* NUL, which ends strings here */
    static const unsigned char nul[] = "GET /\0 HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n";
    for (size_t from = 0; from < 2; from++) {
        http1_head h = head_of(HTTP1_BEST, false);
        memcpy(text, nul, sizeof nul - 1);
        if (from == 1) {
            text[5] = 'a';
        }
        CHECK(http1_head_read(&h, text, sizeof nul - 1) == HTTP1_BAD);
    }
}

/* The same, and then `size` times 'x'. */
static size_t fill_up(const char *start, size_t size, const char *end)
{
    size_t at = strlen(start);
    memcpy(text, start, at);
    memset(text + at, 'x', size);
    at += size;
    memcpy(text + at, end, strlen(end));
    return at + strlen(end);
}

static void test_limits(void **state)
{
    (void)state;
    http1_head h = head_of(HTTP1_BEST, false);
    size_t line = HTTP1_LINE_MAX - strlen("GET / HTTP/1.1");
    size_t size = fill_up("GET /", line, " HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(http1_head_read(&h, text, size) == HTTP1_DONE);
    size = fill_up("GET /", line + 1, " HTTP/1.1\r\nHost: a\r\n\r\n");
    http1_head_start(&h);
    CHECK(http1_head_read(&h, text, size) == HTTP1_BAD && h.refusal == 414);
    http1_head_start(&h);
    CHECK(http1_head_read(&h, text, 10) == HTTP1_MORE);
    CHECK(http1_head_read(&h, text, HTTP1_LINE_MAX) == HTTP1_MORE);
    CHECK(http1_head_read(&h, text, HTTP1_LINE_MAX + 1) == HTTP1_BAD && h.refusal == 414);
    size = fill_up(REQUEST "A: ", HTTP1_LINE_MAX, "");
    http1_head_start(&h);
    CHECK(http1_head_read(&h, text, size) == HTTP1_BAD && h.refusal == 431);
    /* the head as a whole */
    size = strlen(REQUEST);
    memcpy(text, REQUEST, size);
    while (size <= HTTP1_HEAD_MAX) {
        memcpy(text + size, "A: ", 3);
        memset(text + size + 3, 'x', 4000);
        memcpy(text + size + 4003, "\r\n", 2);
        size += 4005;
    }
    http1_head_start(&h);
    CHECK(http1_head_read(&h, text, size) == HTTP1_BAD && h.refusal == 431);
    http1_status status = HTTP1_MORE;
    http1_head_start(&h);
    for (size_t i = 1; i <= size && status == HTTP1_MORE; i += 100) {
        status = http1_head_read(&h, text, i);
    }
    CHECK(status == HTTP1_BAD && h.refusal == 431);
    /* how many fields */
    for (uint32_t count = HTTP1_FIELDS_MAX - 1; count <= HTTP1_FIELDS_MAX + 1; count++) {
        size = strlen("GET / HTTP/1.0\r\n");
        memcpy(text, "GET / HTTP/1.0\r\n", size);
        for (uint32_t i = 0; i < count; i++, size += 6) {
            memcpy(text + size, "A: b\r\n", 6);
        }
        memcpy(text + size, "\r\n", 2);
        http1_head_start(&h);
        status = http1_head_read(&h, text, size + 2);
        CHECK(count <= HTTP1_FIELDS_MAX ? status == HTTP1_DONE && h.field_count == count
                                        : status == HTTP1_BAD && h.refusal == 431);
    }
    http1_head small = {.fields = fields, .limits = {.fields_max = 1, .head_max = 30}};
    http1_head_start(&small);
    CHECK(read_at_once(&small, REQUEST "\r\n") == HTTP1_DONE);
    http1_head_start(&small);
    CHECK(read_at_once(&small, REQUEST "A: 12345\r\n\r\n") == HTTP1_BAD && small.refusal == 431);
}

/* Names in Connection, of one line or of two. */
static void test_options_are_bounded(void **state)
{
    (void)state;
    for (uint32_t count = HTTP1_OPTIONS_MAX; count <= HTTP1_OPTIONS_MAX + 1; count++) {
        size_t size = strlen(REQUEST "Connection: ");
        memcpy(text, REQUEST "Connection: ", size);
        for (uint32_t i = 0; i < count; i++, size += 2) {
            memcpy(text + size, "a,", 2);
            if (i == 9) {
                memcpy(text + size + 2, "\r\nConnection: ", 14);
                size += 14;
            }
        }
        memcpy(text + size, "\r\n\r\n", 4);
        http1_head h = head_of(HTTP1_BEST, false);
        http1_status status = http1_head_read(&h, text, size + 4);
        CHECK(count == HTTP1_OPTIONS_MAX ? status == HTTP1_DONE && h.other_hop
                                         : status == HTTP1_BAD && h.refusal == 400);
    }
}

/* Every path finds what the plainest does, at every place and size. */
static void test_paths_are_the_same(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int round = 0; round < 20000; round++) {
        size_t from = check_random(&seed) % 70;
        size_t size = check_random(&seed) % 200;
        unsigned often = 1 + (unsigned)(check_random(&seed) % 200);
        for (size_t i = 0; i < size; i++) {
            bool odd = check_random(&seed) % often == 0;
            text[from + i] = odd ? (unsigned char)check_random(&seed)
                                 : (unsigned char)('a' + check_random(&seed) % 26);
        }
        text[from + size] = '\r'; /* must not be seen */
        size_t control = http1_find_control(HTTP1_SCALAR, text + from, size);
        size_t target = http1_find_no_target(HTTP1_SCALAR, text + from, size);
        for (int path = HTTP1_BEST; path < HTTP1_PATH_COUNT; path++) {
            if (http1_path_exists((http1_path)path)) {
                CHECK_U64(http1_find_control((http1_path)path, text + from, size), ==, control);
                CHECK_U64(http1_find_no_target((http1_path)path, text + from, size), ==, target);
            }
        }
    }
    for (unsigned c = 0; c < 256; c++) {
        memset(text, 'a', 100);
        text[50] = (unsigned char)c;
        bool control = (c < 32 && c != 9) || c == 127;
        bool odd = c <= 32 || c >= 127 || c == '#';
        for (int path = HTTP1_BEST; path < HTTP1_PATH_COUNT; path++) {
            if (http1_path_exists((http1_path)path)) {
                CHECK_U64(http1_find_control((http1_path)path, text, 100), ==, control ? 50 : 100);
                CHECK_U64(http1_find_no_target((http1_path)path, text, 100), ==, odd ? 50 : 100);
            }
        }
    }
}

/* --- chunks ------------------------------------------------------------------------------- */

/* Read `message` in steps of `step` bytes; the body goes to `text`. */
static http1_status read_body(const char *message, size_t size, size_t step, size_t *ret_used,
                              size_t *ret_size)
{
    http1_chunked chunked = {.error = NULL};
    http1_status status = HTTP1_MORE;
    size_t at = 0;
    size_t body = 0;
    while (status == HTTP1_MORE && at < size) {
        size_t given = size - at < step ? size - at : step;
        size_t used;
        http_text piece;
        status =
            http1_chunked_read(&chunked, (const unsigned char *)message + at, given, &used, &piece);
        CHECK(used <= given && (used > 0 || status != HTTP1_MORE));
        memcpy(text + body, piece.data, piece.size);
        body += piece.size;
        at += used;
    }
    *ret_used = at;
    *ret_size = body;
    return status;
}

static void check_body(const char *message, const char *body, size_t rest)
{
    size_t size = strlen(message);
    for (size_t step = 1; step <= size; step++) {
        size_t used;
        size_t body_size;
        http1_status status = read_body(message, size, step, &used, &body_size);
        if (status != HTTP1_DONE) {
            fail_msg("not done: %s", message);
        }
        CHECK_U64(used, ==, size - rest);
        CHECK(body_size == strlen(body) && memcmp(text, body, body_size) == 0);
    }
}

static void test_chunks(void **state)
{
    (void)state;
    check_body("0\r\n\r\n", "", 0);
    check_body("5\r\nhello\r\n0\r\n\r\nGET", "hello", 3);
    check_body("00000A\r\n0123456789\r\na;b=\"c\\\" "
               ";\";d;e=f\r\n\r\n\r\n\r\n\r\n\r\n\r\n000\r\n\r\n", // 10 bytes of line ends
               "0123456789\r\n\r\n\r\n\r\n\r\n", 0);
    check_body("1\r\na\r\n0\r\nA: b\r\nC:\r\n\r\nx", "a", 1);
    static const char *const wrong[] = {
        "\r\n",
        "g\r\n",
        "0x1\r\na\r\n",
        "+1\r\na\r\n",
        "-1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1\t;a\r\na\r\n",
        "1\na\r\n",
        "1\r\r\na\r\n",
        "1\ra\r\n",
        ";a\r\n",
        "0000000000000001\r\na\r\n",
        "ffffffffffffffff\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1;\r\na\r\n",
        "1;a=\r\na\r\n",
        "1;a b\r\na\r\n",
        "1;a=\"b\r\na\r\n",
        "1;a=\"b\"c\r\na\r\n",
        "1;a=b\"c\"\r\na\r\n",
        "1;=a\r\na\r\n",
        "1;a;;b\r\na\r\n",
        "1;\n\r\na\r\n",
        "1;a\x01\r\na\r\n",
        "1;a\x7f\r\na\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\nA : a\r\n\r\n",
        "0\r\nA\r\n\r\n",
        "0\r\n A: a\r\n\r\n",
        "0\r\nA: a\n\r\n",
        "0\r\nA: a\x01\r\n\r\n",
        "0\r\nA: a\r\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rx",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        for (size_t step = 1; step < 4; step++) {
            size_t used;
            size_t size;
            if (read_body(wrong[i], strlen(wrong[i]), step, &used, &size) != HTTP1_BAD) {
                fail_msg("not refused: %s", wrong[i]);
            }
        }
    }
}

static void test_limits_of_chunks(void **state)
{
    (void)state;
    static char message[1 << 17];
    size_t used;
    size_t size;
    size_t at = 0;
    message[at++] = '1';
    message[at++] = ';';
    memset(message + at, 'a', HTTP1_EXTENSION_MAX - 1);
    at += HTTP1_EXTENSION_MAX - 1; /* and the CR */
    memcpy(message + at, "\r\nx\r\n0\r\n\r\n", 10);
    CHECK(read_body(message, at + 10, at + 10, &used, &size) == HTTP1_DONE && size == 1);
    message[at] = message[at + 1] = 'a';
    CHECK(read_body(message, at + 2, at + 2, &used, &size) == HTTP1_BAD);
    at = 0;
    while (at < HTTP1_EXTENSIONS_MAX / 2 * 3 / 200 * 210) { /* many of 200 */
        memcpy(message + at, "1;", 2);
        memset(message + at + 2, 'a', 200);
        memcpy(message + at + 202, "\r\nx\r\n", 5);
        at += 207;
    }
    CHECK(read_body(message, at, at, &used, &size) == HTTP1_BAD);
    memcpy(message, "0\r\nA: ", 6);
    memset(message + 6, 'a', HTTP1_TRAILERS_MAX);
    CHECK(read_body(message, HTTP1_TRAILERS_MAX + 6, 1000, &used, &size) == HTTP1_BAD);
}

static void test_words(void **state)
{
    (void)state;
    http_text list = HTTP_TEXT(" a,, b ,\t,c");
    http_text item;
    CHECK(http1_next_item(&list, &item) && is(item, "a"));
    CHECK(http1_next_item(&list, &item) && is(item, "b"));
    CHECK(http1_next_item(&list, &item) && is(item, "c"));
    CHECK(!http1_next_item(&list, &item));
    CHECK(http1_is_token(HTTP_TEXT("a-B_9!")) && !http1_is_token(HTTP_TEXT("")));
    CHECK(!http1_is_token(HTTP_TEXT("a b")) && !http1_is_token(HTTP_TEXT("a:")));
    CHECK(http1_is_value(HTTP_TEXT("a\tb")) && !http1_is_value(HTTP_TEXT("a\nb")));
    CHECK(http1_equal_nocase(HTTP_TEXT("ChunKed"), HTTP_TEXT("chunked")));
    CHECK(!http1_equal_nocase(HTTP_TEXT("@"), HTTP_TEXT("`")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_options_are_bounded),
        cmocka_unit_test(test_paths_are_the_same),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_limits_of_chunks),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
