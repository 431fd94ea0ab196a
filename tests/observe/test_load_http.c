/*
 * test_load_http.c -- where answers end, whatever pieces they come in; and answers that are none.
 */
#include <string.h>

#include "observe/load/http.h"
#include "support/check.h"

typedef struct wanted {
    const char *text;
    uint32_t status;
    uint64_t body;
    bool closes;
} wanted;

static const wanted good[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5, false},
    {"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, 0, false},
    {"HTTP/1.1 503 Busy\nContent-Length: 2\nConnection: te, Close\n\nno", 503, 2, true},
    {"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, 1, true},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx", 200, 1, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
     "Chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
     200, 15, false},
    {"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 201 "
     "C\r\nContent-Length: 3\r\n\r\nabc",
     201, 3, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 200, 3, false},
};

static void test_answers_in_pieces(void **state)
{
    (void)state;
    static load_http http;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t size = strlen(good[i].text);
        for (size_t piece = 1; piece <= size; piece++) {
            load_http_init(&http, false);
            for (int round = 0; round < 2; round++) { /* the next answer begins right behind */
                load_http_status status = LOAD_HTTP_MORE;
                size_t at = 0;
                while (at < size) {
                    size_t part = size - at < piece ? size - at : piece;
                    size_t used = 99;
                    CHECK(status == LOAD_HTTP_MORE);
                    status = load_http_read(&http, good[i].text + at, part, &used);
                    CHECK_U64(used, ==, part);
                    at += used;
                }
                CHECK(status == LOAD_HTTP_DONE);
                CHECK_U64(http.status, ==, good[i].status);
                CHECK_U64(http.body, ==, good[i].body);
                CHECK(http.closes == good[i].closes);
            }
        }
    }
}

static void test_head_and_end(void **state)
{
    (void)state;
    static load_http http;
    size_t used;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
    load_http_init(&http, true);
    CHECK(load_http_read(&http, head, sizeof head - 1, &used) == LOAD_HTTP_DONE);
    load_http_init(&http, false);
    CHECK(load_http_read(&http, head, sizeof head - 1, &used) == LOAD_HTTP_MORE);
    CHECK(load_http_end(&http) == LOAD_HTTP_BAD);
    static const char open[] = "HTTP/1.1 200 OK\r\n\r\nsome";
    load_http_init(&http, false);
    CHECK(load_http_read(&http, open, sizeof open - 1, &used) == LOAD_HTTP_MORE);
    CHECK(load_http_end(&http) == LOAD_HTTP_DONE);
    CHECK_U64(http.body, ==, 4);
    CHECK(http.closes);
}

static void test_hostile_answers(void **state)
{
    (void)state;
    static load_http http;
    static const char *const bad[] = {
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/2.0 200 OK\r\n",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 099 OK\r\n",
        "HTTP/1.1 600 OK\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded: line\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t used;
        load_http_init(&http, false);
        if (load_http_read(&http, bad[i], strlen(bad[i]), &used) != LOAD_HTTP_BAD) {
            fail_msg("taken: %s", bad[i]);
        }
        CHECK(http.error != NULL);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static load_http http;
    static char line[LOAD_HTTP_LINE_MAX + 2];
    size_t used;
    memset(line, 'x', sizeof line);
    load_http_init(&http, false);
    CHECK(load_http_read(&http, line, sizeof line, &used) == LOAD_HTTP_BAD);
    static const char first[] = "HTTP/1.1 200 OK\r\n";
    load_http_init(&http, false);
    CHECK(load_http_read(&http, first, sizeof first - 1, &used) == LOAD_HTTP_MORE);
    load_http_status status = LOAD_HTTP_MORE;
    int lines = 0;
    while (status == LOAD_HTTP_MORE && lines < 10000) {
        status = load_http_read(&http, "a: b\r\n", 6, &used);
        lines++;
    }
    CHECK(status == LOAD_HTTP_BAD);
    CHECK_U64(lines, ==, LOAD_HTTP_LINES_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_in_pieces),
        cmocka_unit_test(test_head_and_end),
        cmocka_unit_test(test_hostile_answers),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
