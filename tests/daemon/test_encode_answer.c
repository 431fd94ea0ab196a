/*
 * test_encode_answer.c -- answers through encode/: streams of every coding come back, flushes show what
 * was written; fields; what is left alone; memory that runs out.
 */
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <brotli/decode.h>

#include "daemon/encode/encode.h"
#include "daemon/http/routes.h"
#include "fake_exchange.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { ROOM = 1 << 20 };

static const http_answer *to_answer;
static bool streamed;
static encode_stream *stream_of;

static void begin(exchange *x)
{
    if (streamed) {
        stream_of = encode_start(x, to_answer);
    } else {
        encode_answer(x, to_answer, NULL);
    }
}

static const http_route route = {.name = "test", .methods = HTTP_GET, .begin = begin};

static void set_up(fake_http *fake, uint64_t bps)
{
    fake_http_init(fake);
    encode_opts opts = {.server = &fake->server,
                        .alloc = fake->server.alloc,
                        .variants_bytes = 1 << 20,
                        .dictionary_bytes = 1 << 20};
    CHECK_OK(encode_create(&opts, &fake->server.encode));
    fake->server.bandwidth = (bandwidth_limits){10000000, 1000000, bps};
    CHECK_OK(http_routes_add(fake->server.http_routes, "", "/x", &route));
}

static void tear_down(fake_http *fake)
{
    encode_wait(fake->server.encode);
    encode_destroy(fake->server.encode);
    fake->server.encode = NULL;
    fake_http_deinit(fake);
}

/* What the bytes so far expand to, complete or not. */
static size_t expand(const char *coding, const unsigned char *from, size_t size, char *to)
{
    if (strcmp(coding, "gzip") == 0) {
        z_stream z = {.next_out = (unsigned char *)to, .avail_out = ROOM};
        union {
            const unsigned char *from;
            unsigned char *to;
        } next = {from};
        z.next_in = next.to;
        z.avail_in = (unsigned int)size;
        CHECK(inflateInit2(&z, 31) == Z_OK);
        int result = inflate(&z, Z_SYNC_FLUSH);
        CHECK(result == Z_OK || result == Z_STREAM_END);
        size_t done = z.total_out;
        (void)inflateEnd(&z);
        return done;
    }
    if (strcmp(coding, "br") == 0) {
        BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
        size_t left = ROOM;
        uint8_t *next = (uint8_t *)to;
        CHECK(BrotliDecoderDecompressStream(state, &size, &from, &left, &next, NULL) !=
              BROTLI_DECODER_RESULT_ERROR);
        BrotliDecoderDestroyInstance(state);
        return ROOM - left;
    }
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer source = {from, size, 0};
    ZSTD_outBuffer out = {to, ROOM, 0};
    while (source.pos < source.size) {
        CHECK(!ZSTD_isError(ZSTD_decompressStream(z, &out, &source)));
    }
    (void)ZSTD_freeDStream(z);
    return out.pos;
}

static size_t make_lines(char *to, size_t room, uint64_t *random)
{
    size_t size = 0;
    while (size + 64 < room) {
        size +=
            (size_t)snprintf(to + size, room - size, "data: {\"value\": %u, \"name\": \"x\"}\n\n",
                             (unsigned)(check_random(random) % 100000));
    }
    return size;
}

static void stream_with(const char *coding, uint64_t bps)
{
    static char sent[ROOM];
    static char got[ROOM];
    fake_http fake;
    set_up(&fake, bps);
    http_field type = {HTTP_TEXT("content-type"), HTTP_TEXT("text/event-stream")};
    http_answer answer = {.status = 200, .fields = &type, .field_count = 1, .length = -1};
    to_answer = &answer;
    streamed = true;
    exchange *x = fake_ask(&fake, "GET", "/x", "accept-encoding", coding, NULL);
    CHECK(x != NULL && stream_of != NULL);
    CHECK(fake_field_is(&fake, "content-encoding", coding));
    CHECK(fake_field_is(&fake, "vary", "accept-encoding"));
    uint64_t random = check_seed();
    size_t total = 0;
    for (int piece = 0; piece < 40; piece++) {
        size_t size = make_lines(sent + total, 200 + check_random(&random) % 9000, &random);
        bool flush = piece % 3 == 0;
        CHECK(encode_write(x, stream_of, sent + total, size, flush));
        total += size;
        if (flush) { /* the client can see all of it now */
            CHECK_U64(expand(coding, fake.body, fake.body_size, got), ==, total);
            CHECK(memcmp(got, sent, total) == 0);
        }
    }
    encode_finish(x, stream_of);
    CHECK(fake.finished);
    CHECK_U64(expand(coding, fake.body, fake.body_size, got), ==, total);
    CHECK(memcmp(got, sent, total) == 0);
    CHECK_U64(fake.body_size, <, total / 3);
    fake_close(&fake);
    tear_down(&fake);
}

static void test_streams_come_back(void **state)
{
    (void)state;
    static const char *const codings[] = {"gzip", "br", "zstd"};
    for (int i = 0; i < 3; i++) {
        stream_with(codings[i], 500000);
        stream_with(codings[i], 200000000);
    }
}

static void test_fast_connections_get_it_plain(void **state)
{
    (void)state;
    fake_http fake;
    set_up(&fake, UINT64_C(100000000000));
    http_field type = {HTTP_TEXT("content-type"), HTTP_TEXT("text/plain")};
    http_answer answer = {.status = 200, .fields = &type, .field_count = 1, .length = -1};
    to_answer = &answer;
    streamed = true;
    exchange *x = fake_ask(&fake, "GET", "/x", "accept-encoding", "gzip, br, zstd", NULL);
    CHECK(x != NULL && stream_of == NULL);
    CHECK(fake_field(&fake, "content-encoding") == NULL);
    CHECK(encode_write(x, stream_of, "plain", 5, true));
    encode_finish(x, stream_of);
    CHECK(fake_body_is(&fake, "plain"));
    CHECK(fake_field_is(&fake, "vary", "accept-encoding"));
    fake_close(&fake);
    tear_down(&fake);
}

/* A small body is made at once; its etag names the coding. */
static void test_whole_answer(void **state)
{
    (void)state;
    static char text[8000];
    static char got[ROOM];
    uint64_t random = check_seed();
    size_t size = make_lines(text, sizeof text, &random);
    fake_http fake;
    set_up(&fake, 20000000);
    http_field fields[] = {{HTTP_TEXT("content-type"), HTTP_TEXT("application/json")},
                           {HTTP_TEXT("accept-ranges"), HTTP_TEXT("bytes")},
                           {HTTP_TEXT("etag"), HTTP_TEXT("\"1a\"")}};
    http_answer answer = {.status = 200,
                          .fields = fields,
                          .field_count = 3,
                          .body = {.kind = HTTP_BODY_BYTES, .data = text, .size = size}};
    to_answer = &answer;
    streamed = false;
    CHECK(fake_ask(&fake, "GET", "/x", "accept-encoding", "zstd", NULL) != NULL);
    CHECK_U64(fake.status, ==, 200);
    CHECK(fake_field_is(&fake, "content-encoding", "zstd"));
    CHECK(fake_field_is(&fake, "etag", "W/\"1a-zstd\""));
    CHECK(fake_field(&fake, "accept-ranges") == NULL);
    CHECK_U64(expand("zstd", fake.body, fake.body_size, got), ==, size);
    CHECK(memcmp(got, text, size) == 0);
    fake_close(&fake);
    tear_down(&fake);
}

static void expect_plain(const http_answer *answer, const char *accept, const char *vary)
{
    fake_http fake;
    set_up(&fake, 20000000);
    to_answer = answer;
    streamed = false;
    CHECK(fake_ask(&fake, "GET", "/x", "accept-encoding", accept, NULL) != NULL);
    CHECK_U64(fake.status, ==, answer->status);
    CHECK_U64(fake.body_size, ==, answer->body.size);
    const http_text *got = fake_field(&fake, "vary");
    CHECK((got != NULL) == (vary != NULL));
    fake_close(&fake);
    tear_down(&fake);
}

static void test_left_alone(void **state)
{
    (void)state;
    static char text[8000];
    memset(text, 'x', sizeof text);
    http_field field = {HTTP_TEXT("content-type"), HTTP_TEXT("text/plain")};
    http_answer answer = {.status = 200,
                          .fields = &field,
                          .field_count = 1,
                          .body = {.kind = HTTP_BODY_BYTES, .data = text, .size = sizeof text}};
    expect_plain(&answer, "identity", "accept-encoding");
    expect_plain(&answer, "gzip;q=0", "accept-encoding");
    answer.body.size = 100; /* one packet either way */
    expect_plain(&answer, "gzip", "accept-encoding");
    answer.body.size = sizeof text;
    field.value = HTTP_TEXT("image/png");
    expect_plain(&answer, "gzip", NULL);
    field.value = HTTP_TEXT("font/woff2");
    expect_plain(&answer, "gzip", NULL);
    field = (http_field){HTTP_TEXT("cache-control"), HTTP_TEXT("public, no-transform")};
    expect_plain(&answer, "gzip", NULL);
    field.value = HTTP_TEXT("sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:");
    field.name = HTTP_TEXT("content-digest"); /* of what comes, not of what it becomes */
    expect_plain(&answer, "gzip", NULL);
    field.name = HTTP_TEXT("repr-digest");
    expect_plain(&answer, "gzip", NULL);
    field.name = HTTP_TEXT("digest");
    expect_plain(&answer, "gzip", NULL);
    field.name = HTTP_TEXT("content-md5");
    expect_plain(&answer, "gzip", NULL);
    field = (http_field){HTTP_TEXT("content-encoding"), HTTP_TEXT("br")};
    expect_plain(&answer, "gzip", NULL);
    answer.status = 206;
    expect_plain(&answer, "gzip", NULL);
}

/* Without memory an answer is still an answer. */
static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static char text[8000];
    static char got[ROOM];
    memset(text, 'x', sizeof text);
    http_field field = {HTTP_TEXT("content-type"), HTTP_TEXT("text/plain")};
    http_answer answer = {.status = 200,
                          .fields = &field,
                          .field_count = 1,
                          .body = {.kind = HTTP_BODY_BYTES, .data = text, .size = sizeof text}};
    bool encoded = false;
    for (uint64_t fail_after = 0; !encoded && fail_after < 60; fail_after++) {
        fake_http fake;
        fault_alloc fault;
        fault_alloc_init(&fault, UINT64_MAX);
        fake_http_init_with(&fake, &fault.base);
        encode_opts opts = {
            .server = &fake.server, .alloc = &fault.base, .variants_bytes = 1 << 20};
        CHECK_OK(encode_create(&opts, &fake.server.encode));
        fake.server.bandwidth = (bandwidth_limits){10000000, 1000000, 20000000};
        CHECK_OK(http_routes_add(fake.server.http_routes, "", "/x", &route));
        http_answer piecewise = {
            .status = 200, .fields = &field, .field_count = 1, .length = HTTP_LENGTH_UNKNOWN};
        streamed = fail_after % 2 == 1;
        to_answer = streamed ? &piecewise : &answer;
        fault.fail_after = fail_after / 2;
        exchange *x = fake_ask(&fake, "GET", "/x", "accept-encoding", "zstd", NULL);
        fault.fail_after = UINT64_MAX;
        fake_run(&fake);
        if (x != NULL) {
            CHECK_U64(fake.status, ==, 200);
            if (streamed) {
                CHECK(encode_write(x, stream_of, text, sizeof text, true));
                encode_finish(x, stream_of);
            }
            bool is = fake_field(&fake, "content-encoding") != NULL;
            if (is) {
                CHECK_U64(expand("zstd", fake.body, fake.body_size, got), ==, sizeof text);
            } else {
                CHECK_U64(fake.body_size, ==, sizeof text);
            }
            encoded = is && streamed;
            fake_close(&fake);
        }
        tear_down(&fake);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK(encoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_come_back),
        cmocka_unit_test(test_fast_connections_get_it_plain),
        cmocka_unit_test(test_whole_answer),
        cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
