/*
 * test_http2_guard.c -- the heads of frames, however they are cut; what is refused, and what chatter costs.
 */
#include <string.h>

#include "daemon/http/http2_guard.h"
#include "support/check.h"

enum {
    DATA = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST_STREAM = 3,
    PING = 6,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9,
    PRIORITY_UPDATE = 16,
    END_STREAM = 1,
    WHOLE = 5, /* END_STREAM and END_HEADERS */
};

typedef struct stream_of_frames {
    unsigned char data[4096];
    size_t size;
} frames;

static void put(frames *f, uint32_t length, unsigned type, unsigned flags, uint32_t id)
{
    unsigned char head[9] = {
        (unsigned char)(length >> 16), (unsigned char)(length >> 8), (unsigned char)length,
        (unsigned char)type,           (unsigned char)flags,         (unsigned char)(id >> 24),
        (unsigned char)(id >> 16),     (unsigned char)(id >> 8),     (unsigned char)id};
    CHECK(f->size + sizeof head + length <= sizeof f->data);
    memcpy(f->data + f->size, head, sizeof head);
    memset(f->data + f->size + sizeof head, 0, length);
    f->size += sizeof head + length;
}

static http2_guard begun(void)
{
    http2_guard g;
    http2_guard_init(&g, 0);
    g.skip = 0; /* the preface is behind us */
    return g;
}

static http2_scan scan(http2_guard *g, const frames *f, size_t *pass)
{
    return http2_guard_scan(g, f->data, f->size, pass);
}

static void test_preface_passes(void **state)
{
    (void)state;
    http2_guard g;
    http2_guard_init(&g, 0);
    frames f = {.size = 24};
    put(&f, 6, 4, 0, 0);
    size_t pass;
    CHECK(scan(&g, &f, &pass) == HTTP2_SCAN_GO);
    CHECK_U64(pass, ==, f.size);
    CHECK_U64(g.skip, ==, 0);
}

/* Property: wherever the bytes are cut, the same frames pass and the same chatter is counted. */
static void test_any_cut_is_the_same(void **state)
{
    (void)state;
    frames f = {0};
    put(&f, 10, HEADERS, 4, 1);
    put(&f, 8, PING, 0, 0);
    put(&f, 5, PRIORITY, 0, 3);
    put(&f, 0, HEADERS, 4, 5);
    put(&f, 300, 77, 0, 0);
    f.data[19 + 17 + 9 + 3] = 9; /* the priority depends on 9 */
    for (size_t step = 1; step <= f.size; step++) {
        http2_guard g = begun();
        size_t passed = 0;
        for (size_t there = 0; there < f.size;) {
            there = there + step < f.size ? there + step : f.size;
            size_t pass;
            http2_scan s = http2_guard_scan(&g, f.data + passed, there - passed, &pass);
            passed += pass;
            CHECK(s == (passed == there ? HTTP2_SCAN_GO : HTTP2_SCAN_MORE));
            CHECK_U64(there - passed, <, 14);
        }
        CHECK_U64(passed, ==, f.size);
        CHECK_U64(g.chatter, ==, HTTP2_CHATTER_MAX - 3);
        CHECK_U64(g.stream_high, ==, 5);
    }
}

static void test_old_streams_are_asked_about(void **state)
{
    (void)state;
    frames f = {0};
    put(&f, 1, HEADERS, 5, 3);
    put(&f, 4, DATA, END_STREAM, 1);
    put(&f, 1, HEADERS, 5, 3);
    put(&f, 4, DATA, END_STREAM, 7);
    http2_guard g = begun();
    size_t pass;
    CHECK(scan(&g, &f, &pass) == HTTP2_SCAN_CHECK);
    CHECK_U64(pass, ==, 10);
    CHECK_U64(g.stream, ==, 1);
    http2_guard_allow(&g);
    size_t at = pass;
    CHECK(http2_guard_scan(&g, f.data + at, f.size - at, &pass) == HTTP2_SCAN_CHECK);
    CHECK_U64(pass, ==, 13);
    CHECK_U64(g.stream, ==, 3);
    http2_guard_allow(&g);
    at += pass;
    /* DATA of a stream that nobody opened is nghttp2's to refuse. */
    CHECK(http2_guard_scan(&g, f.data + at, f.size - at, &pass) == HTTP2_SCAN_GO);
    CHECK_U64(at + pass, ==, f.size);
}

static void test_bad_priorities(void **state)
{
    (void)state;
    static const struct {
        uint32_t length;
        uint32_t id;
        unsigned char on;
        uint32_t code;
    } table[] = {{5, 0, 9, 1}, {4, 1, 9, 6}, {6, 1, 9, 6}, {5, 7, 7, 1}, {5, 7, 9, 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        frames f = {0};
        put(&f, 8, PING, 0, 0);
        put(&f, table[i].length, PRIORITY, 0, table[i].id);
        f.data[17 + 9 + 3] = table[i].on;
        http2_guard g = begun();
        size_t pass;
        http2_scan s = scan(&g, &f, &pass);
        CHECK(s == (table[i].code != 0 ? HTTP2_SCAN_BAD : HTTP2_SCAN_GO));
        CHECK_U64(g.code, ==, table[i].code);
        CHECK_U64(pass, ==, table[i].code != 0 ? 17 : f.size);
    }
}

static void test_chatter_is_bounded(void **state)
{
    (void)state;
    frames ping = {0};
    frames empty = {0};
    frames request = {0};
    put(&ping, 8, PING, 0, 0);
    put(&empty, 0, DATA, 0, 9); /* of a stream that is not there: not asked about */
    put(&request, 1, HEADERS, 5, 1);
    http2_guard g = begun();
    size_t pass;
    for (int i = 0; i < HTTP2_CHATTER_MAX; i++) {
        CHECK(scan(&g, i % 2 == 0 ? &ping : &empty, &pass) == HTTP2_SCAN_GO);
    }
    CHECK(scan(&g, &request, &pass) == HTTP2_SCAN_GO); /* a request is not chatter */
    CHECK(scan(&g, &ping, &pass) == HTTP2_SCAN_BAD);
    CHECK_U64(g.code, ==, 11);
    http2_guard_earn(&g, 1);
    CHECK(scan(&g, &ping, &pass) == HTTP2_SCAN_GO);
    CHECK(scan(&g, &ping, &pass) == HTTP2_SCAN_BAD);
    http2_guard_fill(&g, 999999999);
    CHECK_U64(g.chatter, ==, 0);
    http2_guard_fill(&g, 1500000000);
    CHECK_U64(g.chatter, ==, HTTP2_CHATTER_PER_SECOND);
    http2_guard_fill(&g, 2000000000); /* half a second was kept */
    CHECK_U64(g.chatter, ==, 2 * HTTP2_CHATTER_PER_SECOND);
    http2_guard_fill(&g, UINT64_C(1) << 62);
    CHECK_U64(g.chatter, ==, HTTP2_CHATTER_MAX);
    http2_guard_earn(&g, UINT32_MAX);
    CHECK_U64(g.chatter, ==, HTTP2_CHATTER_MAX);
}

static void test_requests_are_told(void **state)
{
    (void)state;
    frames f = {0};
    put(&f, 8, PING, 0, 0);
    put(&f, 3, HEADERS, WHOLE, 1);
    put(&f, 2, HEADERS, WHOLE, 5);
    put(&f, 2, HEADERS, END_STREAM, 7); /* CONTINUATION is to come: nothing may stand between */
    put(&f, 2, HEADERS, WHOLE, 9);
    http2_guard g = begun();
    g.tells_heads = true;
    size_t pass;
    CHECK(scan(&g, &f, &pass) == HTTP2_SCAN_HEAD);
    CHECK_U64(pass, ==, 17);
    CHECK(g.stream == 1 && g.length == 3 && g.flags == WHOLE && g.given == 0);
    size_t at = 17 + 12; /* taken by somebody else */
    CHECK(http2_guard_scan(&g, f.data + at, f.size - at, &pass) == HTTP2_SCAN_HEAD);
    CHECK(pass == 0 && g.stream == 5 && g.given == 0);
    http2_guard_allow(&g);
    CHECK(g.given == 5);
    CHECK(http2_guard_scan(&g, f.data + at, f.size - at, &pass) == HTTP2_SCAN_HEAD);
    CHECK(pass == 11 && g.stream == 7);
    http2_guard_allow(&g);
    at += pass;
    CHECK(http2_guard_scan(&g, f.data + at, f.size - at, &pass) == HTTP2_SCAN_GO);
    CHECK(at + pass == f.size && g.given == 9);
}

/* Property: wherever the bytes are cut, what is for streams that nghttp2 never saw is dropped, all of it and nothing
 * else, and it is counted. */
static void test_the_past_is_dropped(void **state)
{
    (void)state;
    frames f = {0};
    put(&f, 4, WINDOW_UPDATE, 0, 3);
    put(&f, 4, WINDOW_UPDATE, 0, 1);
    put(&f, 4, RST_STREAM, 0, 5);
    put(&f, 300, PRIORITY_UPDATE, 0, 0);
    f.data[13 * 3 + 9 + 3] = 5;
    put(&f, 5, PRIORITY, 0, 3);
    put(&f, 4, RST_STREAM, 0, 7);
    put(&f, 3, RST_STREAM, 0, 5);
    put(&f, 4, WINDOW_UPDATE, 0, 2);
    size_t wanted = f.size - 13 - 13 - 309 - 14;
    for (size_t step = 1; step <= f.size; step++) {
        http2_guard g = begun();
        g.given = 1;
        g.stream_high = 5;
        size_t done = 0;
        size_t passed = 0;
        for (size_t there = 0; there < f.size;) {
            there = there + step < f.size ? there + step : f.size;
            http2_scan s;
            do {
                size_t pass;
                s = http2_guard_scan(&g, f.data + done, there - done, &pass);
                passed += s == HTTP2_SCAN_DROP ? 0 : pass;
                done += pass;
                CHECK(s != HTTP2_SCAN_BAD && s != HTTP2_SCAN_CHECK);
            } while (s != HTTP2_SCAN_GO && s != HTTP2_SCAN_MORE);
        }
        CHECK_U64(done, ==, f.size);
        CHECK_U64(passed, ==, wanted);
        CHECK_U64(g.chatter, ==, HTTP2_CHATTER_MAX - 8);
    }
}

static void test_windows_are_told(void **state)
{
    (void)state;
    frames f = {0};
    put(&f, 4, WINDOW_UPDATE, 0, 0);
    http2_guard g = begun();
    size_t pass;
    CHECK(scan(&g, &f, &pass) == HTTP2_SCAN_GO); /* nobody asked */
    g.indebted = true;
    for (size_t i = 0; i < f.size; i++) {
        CHECK(http2_guard_scan(&g, f.data, i, &pass) == (i == 0 ? HTTP2_SCAN_GO : HTTP2_SCAN_MORE));
        CHECK_U64(pass, ==, 0);
    }
    CHECK(scan(&g, &f, &pass) == HTTP2_SCAN_WINDOW && pass == 0);
    http2_guard_allow(&g);
    CHECK(scan(&g, &f, &pass) == HTTP2_SCAN_GO && pass == f.size);
    CHECK(scan(&g, &f, &pass) == HTTP2_SCAN_WINDOW);
    http2_guard_drop(&g);
    CHECK(scan(&g, &f, &pass) == HTTP2_SCAN_PART && pass == 0);
    CHECK(scan(&g, &f, &pass) == HTTP2_SCAN_DROP && pass == f.size);
    CHECK_U64(g.chatter, ==, HTTP2_CHATTER_MAX - 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_told),
        cmocka_unit_test(test_the_past_is_dropped),
        cmocka_unit_test(test_windows_are_told),
        cmocka_unit_test(test_preface_passes),
        cmocka_unit_test(test_any_cut_is_the_same),
        cmocka_unit_test(test_bad_priorities),
        cmocka_unit_test(test_old_streams_are_asked_about),
        cmocka_unit_test(test_chatter_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
