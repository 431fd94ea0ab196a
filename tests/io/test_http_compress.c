/*
 * test_http_compress.c -- bodies of requests as gzip: when, when not, and that they are what was given.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <brisk/rng.h>

#include "http_lab.h"
#include "support/fault_alloc.h"
#include "wire/codec.h"

enum { BODY = 40000 };

static registry_server server;
static char body[BODY];

static brisk_http_response *post(brisk_http_client *client, const char *base, const char *path,
                                 brisk_http_compress wish)
{
    return lab_ask(
        client, base, path,
        &(brisk_http_request){.method = "POST", .body = body, .body_size = BODY, .compress = wish});
}

static bool went_packed(const brisk_http_response *r)
{
    return r->body != NULL && memmem(r->body, r->body_size, "ontent-", 7) != NULL &&
           memmem(r->body, r->body_size, "ncoding: gzip\n", 14) != NULL;
}

/* Post it; was it sent as gzip, by what the server has seen, and do our own figures say so? */
static bool is_packed(brisk_http_client *client, const char *base, const char *path,
                      brisk_http_compress wish)
{
    char size[32];
    brisk_http_response *r = post(client, base, path, wish);
    CHECK(r->err == BRISK_OK && r->status == 200 && r->attempts == 1);
    bool packed = went_packed(r);
    CHECK(packed == (r->sent_size < BODY / 2) && (packed || r->sent_size == BODY));
    (void)snprintf(size, sizeof size, "body=%zu\n", r->sent_size);
    CHECK(memmem(r->body, r->body_size, size, strlen(size)) != NULL);
    brisk_http_response_destroy(r);
    return packed;
}

static void test_who_asks_gets_it(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        brisk_http_client *client = lab_client(&server, p, NULL);
        CHECK(!is_packed(client, base, "-/try/echo", BRISK_HTTP_COMPRESS_ASKED));
        CHECK(is_packed(client, base, "-/try/echo", BRISK_HTTP_COMPRESS_YES));
        CHECK(!is_packed(client, base, "-/try/takes/zstd,br", BRISK_HTTP_COMPRESS_ASKED) &&
              !is_packed(client, base, "-/try/echo", BRISK_HTTP_COMPRESS_YES));
        CHECK(!is_packed(client, base, "-/try/takes/br,gzip;q=0.0", BRISK_HTTP_COMPRESS_ASKED) &&
              !is_packed(client, base, "-/try/echo", BRISK_HTTP_COMPRESS_ASKED));
        CHECK(!is_packed(client, base, "-/try/takes/br;q=0,x-gzip;q=0.001",
                         BRISK_HTTP_COMPRESS_ASKED));
        CHECK(is_packed(client, base, "-/try/echo", BRISK_HTTP_COMPRESS_ASKED));
        CHECK(!is_packed(client, base, "-/try/echo", BRISK_HTTP_COMPRESS_NO));
        CHECK(!is_packed(client, other_name(base).text, "-/try/echo", BRISK_HTTP_COMPRESS_ASKED));
        CHECK_U64(lab_stats(client).bytes_saved, >, BODY);
        brisk_http_client_destroy(client);
    }
}

static void test_what_is_not_worth_it(void **state)
{
    (void)state;
    static const char *const own[] = {"Content-Encoding: zstd"};
    static char random[BODY];
    const char *base = server.https;
    brisk_http_client *client = lab_client(&server, LAB_TLS2, NULL);
    brisk_rng rng;
    brisk_rng_init(&rng, 7);
    for (size_t i = 0; i < BODY; i++) {
        random[i] = (char)brisk_rng_below(&rng, 256);
    }
    const brisk_http_request cases[] = {
        {.body = body, .body_size = 1023},
        {.body = random, .body_size = BODY},
        {.body = body, .body_size = BODY, .headers = own, .header_count = 1},
        {.body = body, .body_size = 1024},
    };
    for (size_t i = 0; i < 4; i++) {
        brisk_http_request request = cases[i];
        request.method = "PUT";
        request.compress = BRISK_HTTP_COMPRESS_YES;
        brisk_http_response *r = lab_ask(client, base, "-/try/echo", &request);
        CHECK(r->status == 200 && went_packed(r) == (i == 3));
        CHECK((r->sent_size == request.body_size) == (i != 3));
        brisk_http_response_destroy(r);
    }
    brisk_http_client_destroy(client);
    client =
        lab_client(&server, LAB_TLS2, &(brisk_http_client_opts){.compress_min = BRISK_HTTP_NONE});
    CHECK(!is_packed(client, base, "-/try/echo", BRISK_HTTP_COMPRESS_YES));
    brisk_http_client_destroy(client);
    /* Small ones, as they may be: one that would become longer stays as it is. */
    client = lab_client(&server, LAB_TLS2, &(brisk_http_client_opts){.compress_min = 1});
    for (size_t size = 1; size < 40; size++) {
        brisk_http_response *r =
            lab_ask(client, base, "-/try/echo",
                    &(brisk_http_request){.method = "PUT",
                                          .body = "few words, all of them different",
                                          .body_size = size < 32 ? size : 32,
                                          .compress = BRISK_HTTP_COMPRESS_YES});
        CHECK(r->status == 200 && !went_packed(r));
        brisk_http_response_destroy(r);
    }
    CHECK_U64(lab_stats(client).bytes_saved, ==, 0);
    brisk_http_client_destroy(client);
}

/* 415: nothing was done with it, so that even a POST is sent again; and the host is not asked twice. */
static void test_who_refuses_gets_it_plain(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        brisk_http_client *client = lab_client(&server, p, NULL);
        for (int i = 0; i < 2; i++) {
            brisk_http_response *r = post(client, base, "-/try/refuses", BRISK_HTTP_COMPRESS_YES);
            CHECK(r->err == BRISK_OK && r->status == 200 && !went_packed(r));
            CHECK(r->attempts == (i == 0 ? 2 : 1) && r->sent_size == BODY);
            brisk_http_response_destroy(r);
        }
        brisk_http_host_stats host;
        CHECK_OK(brisk_http_client_read_host(client, base, &host));
        CHECK(host.refuses_gzip && !host.takes_gzip && host.retries == 0);
        brisk_http_client_destroy(client);
        client = lab_client(&server, p, NULL);
        brisk_http_response *r = post(client, base, "-/try/refuses/gzip", BRISK_HTTP_COMPRESS_YES);
        CHECK(r->status == 415 &&
              r->attempts == 1); /* it is something else that it does not want */
        brisk_http_response_destroy(r);
        brisk_http_client_destroy(client);
    }
}

/* --- that the bytes are right: somebody who keeps them -------------------------------------- */

typedef struct keeper {
    int listener;
    char bytes[65536];
    size_t size;
} keeper;

static void *keep(void *ctx)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    keeper *k = ctx;
    int fd = accept(k->listener, NULL, NULL);
    size_t wanted = SIZE_MAX;
    while (k->size < wanted && k->size < sizeof k->bytes - 1) {
        ssize_t got = read(fd, k->bytes + k->size, sizeof k->bytes - 1 - k->size);
        if (got <= 0) {
            break;
        }
        k->size += (size_t)got;
        k->bytes[k->size] = '\0';
        const char *end = strstr(k->bytes, "\r\n\r\n");
        const char *length = strstr(k->bytes, "Content-Length: ");
        if (end != NULL && length != NULL) {
            wanted = (size_t)(end + 4 - k->bytes) + strtoul(length + 16, NULL, 10);
        }
    }
    CHECK(write(fd, answer, sizeof answer - 1) == (ssize_t)sizeof answer - 1);
    (void)close(fd);
    return NULL;
}

static void test_it_is_what_was_given(void **state)
{
    (void)state;
    static keeper k;
    static char plain[BODY];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    pthread_t thread;
    char base[64];
    k.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(k.listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(k.listener, 4), 0);
    assert_int_equal(getsockname(k.listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(&thread, NULL, keep, &k), 0);
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    brisk_http_client *client = lab_client(&server, LAB_PLAIN1, NULL);
    brisk_http_response *r = post(client, base, "x", BRISK_HTTP_COMPRESS_YES);
    CHECK(r->err == BRISK_OK && r->sent_size < BODY / 2);
    assert_int_equal(pthread_join(thread, NULL), 0);
    const char *packed = strstr(k.bytes, "\r\n\r\n") + 4;
    CHECK(strstr(k.bytes, "Content-Encoding: gzip\r\n") != NULL);
    codec_kit *kit = NULL;
    CHECK_OK(codec_kit_create(brisk_alloc_libc(), &kit));
    CHECK_OK(codec_expand(kit, &(codec_how){.id = CODEC_GZIP},
                          (codec_bytes){packed, k.size - (size_t)(packed - k.bytes)},
                          (codec_room){plain, BODY}));
    CHECK(memcmp(plain, body, BODY) == 0);
    codec_kit_destroy(kit);
    brisk_http_response_destroy(r);
    brisk_http_client_destroy(client);
    (void)close(k.listener);
}

/* Without memory for it a body goes as it is. */
static void test_memory_may_be_short(void **state)
{
    (void)state;
    uint64_t packed = 0;
    uint64_t plain = 0;
    for (uint64_t after = 0; after < 40; after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, after);
        brisk_http_client *client = NULL;
        if (brisk_http_client_create(&(brisk_http_client_opts){.alloc = &fault.base,
                                                               .http1 = true,
                                                               .retries = BRISK_HTTP_NONE},
                                     &client, NULL) != BRISK_OK) {
            continue;
        }
        lab_url url = lab_join(server.http, "-/try/refuses");
        brisk_http_response *r = NULL;
        brisk_http_request request = {.method = "POST",
                                      .url = url.text,
                                      .body = body,
                                      .body_size = BODY,
                                      .compress = BRISK_HTTP_COMPRESS_YES};
        if (brisk_http_run(client, &request, &r, NULL) == BRISK_OK) {
            CHECK(r->err == BRISK_OK || r->err == BRISK_ERR_NOMEM);
            packed += r->err == BRISK_OK && r->attempts == 2;
            plain += r->err == BRISK_OK && r->attempts == 1;
            CHECK(r->err != BRISK_OK || r->status == 200);
            brisk_http_response_destroy(r);
        }
        brisk_http_client_destroy(client);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK(packed > 0 && plain > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_asks_gets_it),
        cmocka_unit_test(test_what_is_not_worth_it),
        cmocka_unit_test(test_who_refuses_gets_it_plain),
        cmocka_unit_test(test_it_is_what_was_given),
        cmocka_unit_test(test_memory_may_be_short),
    };
    if (!lab_is_possible()) {
        return 77;
    }
    for (size_t i = 0; i < BODY; i++) {
        body[i] = (char)("brisk"[i % 5] + (char)(i / 977 % 7));
    }
    registry_server_start(&server, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    registry_server_stop(&server);
    return failed;
}
