/*
 * test_tls.c -- two streams, bytes carried between them in pieces of every size.
 */
#include <string.h>

#include "support/certificates.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"
#include "wire/tls.h"

BRISK_DEFINE_CLEANUP(wire_tls_context, wire_tls_context_destroy)

static temp_dir *folder; /* certificates for all tests; NULL: there are none */

static wire_tls_context *make_context(const wire_tls_opts *opts)
{
    wire_tls_context *context = NULL;
    brisk_errinfo info = {.text = ""};
    if (wire_tls_context_create(opts, &context, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return context;
}

static wire_tls_context *make_server(const char *ca, const char *alpn)
{
    return make_context(&(wire_tls_opts){.server = true,
                                         .ca_file = ca,
                                         .cert_file = temp_dir_path(folder, "server.pem"),
                                         .key_file = temp_dir_path(folder, "server.key"),
                                         .alpn = alpn});
}

static wire_tls_context *make_client(const char *ca, const char *cert, const char *key)
{
    return make_context(&(wire_tls_opts){.ca_file = temp_dir_path(folder, ca),
                                         .cert_file = cert,
                                         .key_file = key,
                                         .alpn = "http/1.1,h2"});
}

typedef struct pair {
    wire_tls *client;
    wire_tls *server;
    brisk_err client_err;
    brisk_err server_err;
    brisk_errinfo client_info;
    brisk_errinfo server_info;
} pair;

static void pair_open(pair *p, wire_tls_context *client, wire_tls_context *server, const char *host)
{
    *p = (pair){.client_err = BRISK_OK};
    CHECK_OK(wire_tls_create(client, host, &p->client));
    CHECK_OK(wire_tls_create(server, NULL, &p->server));
}

static void pair_close(pair *p)
{
    wire_tls_destroy(p->client);
    wire_tls_destroy(p->server);
}

/* Carry up to `most` bytes of output; how many there were. */
static size_t carry(wire_tls *from, wire_tls *to, size_t most)
{
    const void *data;
    size_t size = wire_tls_output(from, &data);
    size = size < most ? size : most;
    if (size > 0) {
        CHECK_OK(wire_tls_feed(to, data, size));
        wire_tls_sent(from, size);
    }
    return size;
}

/* Both sides until nothing moves any more. */
static void shake(pair *p, size_t step)
{
    char none;
    for (int idle = 0; idle < 2;) {
        size_t got = 0;
        if (p->client_err == BRISK_OK) {
            p->client_err = wire_tls_read(p->client, &none, 1, &got, &p->client_info);
        }
        if (p->server_err == BRISK_OK) {
            p->server_err = wire_tls_read(p->server, &none, 1, &got, &p->server_info);
        }
        CHECK(got == 0);
        size_t moved = carry(p->client, p->server, step) + carry(p->server, p->client, step);
        idle = moved == 0 ? idle + 1 : 0;
    }
}

static void need_certificates(void)
{
    if (folder == NULL) {
        skip();
    }
}

static void test_bytes_arrive_in_any_pieces(void **state)
{
    (void)state;
    need_certificates();
    uint64_t seed = check_seed();
    BRISK_CLEANUP(wire_tls_context_destroy) wire_tls_context *server = make_server(NULL, "h2");
    BRISK_CLEANUP(wire_tls_context_destroy)
    wire_tls_context *client = make_client("ca.pem", NULL, NULL);
    enum { N = 300000 };
    unsigned char *sent = malloc(N);
    unsigned char *received = malloc(N);
    for (int i = 0; i < N; i++) {
        sent[i] = (unsigned char)check_random(&seed);
    }
    for (int round = 0; round < 4; round++) {
        pair p;
        pair_open(&p, client, server, round % 2 == 0 ? "localhost" : "127.0.0.1");
        size_t out = 0;
        size_t in = 0;
        wire_tls *from = round < 2 ? p.client : p.server;
        wire_tls *to = round < 2 ? p.server : p.client;
        shake(&p, 1 + check_random(&seed) % 700);
        CHECK(wire_tls_is_ready(p.client) && wire_tls_is_ready(p.server));
        while (in < N) {
            size_t piece = 1 + check_random(&seed) % 40000;
            size_t taken = 0;
            piece = piece < N - out ? piece : N - out;
            CHECK_OK(wire_tls_write(from, sent + out, piece, &taken, NULL));
            CHECK_U64(taken, ==, piece);
            out += taken;
            (void)carry(from, to, 1 + check_random(&seed) % 30000);
            size_t got = 0;
            do {
                CHECK_OK(wire_tls_read(to, received + in, 1 + check_random(&seed) % (N - in), &got,
                                       NULL));
                in += got;
            } while (got > 0 && in < N);
        }
        CHECK(memcmp(sent, received, N) == 0);
        pair_close(&p);
    }
    free(sent);
    free(received);
}

static void test_write_before_the_handshake_is_kept_back(void **state)
{
    (void)state;
    need_certificates();
    BRISK_CLEANUP(wire_tls_context_destroy) wire_tls_context *server = make_server(NULL, NULL);
    BRISK_CLEANUP(wire_tls_context_destroy)
    wire_tls_context *client = make_client("ca.pem", NULL, NULL);
    pair p;
    pair_open(&p, client, server, "localhost");
    size_t taken = 9;
    CHECK_OK(wire_tls_write(p.client, "hello", 5, &taken, NULL));
    CHECK_U64(taken, ==, 0);
    CHECK(!wire_tls_is_ready(p.client));
    shake(&p, 1);
    CHECK_OK(wire_tls_write(p.client, "hello", 5, &taken, NULL));
    CHECK_U64(taken, ==, 5);
    char text[8] = "";
    size_t got = 0;
    (void)carry(p.client, p.server, SIZE_MAX);
    CHECK_OK(wire_tls_read(p.server, text, sizeof text, &got, NULL));
    CHECK(got == 5 && memcmp(text, "hello", 5) == 0);
    CHECK(strncmp(wire_tls_version(p.client), "TLSv1.", 6) == 0);
    wire_tls_goodbye(p.server);
    (void)carry(p.server, p.client, SIZE_MAX);
    CHECK_OK(wire_tls_read(p.client, text, sizeof text, &got, NULL));
    CHECK(got == 0 && wire_tls_is_closed(p.client) && !wire_tls_is_closed(p.server));
    pair_close(&p);
}

static void check_refused(const char *ca, const char *host, const char *word)
{
    BRISK_CLEANUP(wire_tls_context_destroy) wire_tls_context *server = make_server(NULL, NULL);
    BRISK_CLEANUP(wire_tls_context_destroy)
    wire_tls_context *client = make_client(ca, NULL, NULL);
    pair p;
    pair_open(&p, client, server, host);
    shake(&p, SIZE_MAX);
    CHECK(p.client_err == BRISK_ERR_PERMISSION);
    CHECK(strstr(p.client_info.text, word) != NULL);
    CHECK(!wire_tls_is_ready(p.client));
    CHECK(p.server_err == BRISK_ERR_PERMISSION); /* the alert was carried */
    size_t taken = 0;
    CHECK(wire_tls_write(p.client, "x", 1, &taken, NULL) == BRISK_ERR_PERMISSION);
    CHECK_U64(taken, ==, 0);
    pair_close(&p);
}

static void test_wrong_names_and_strangers_are_refused(void **state)
{
    (void)state;
    need_certificates();
    check_refused("ca.pem", "example.org", "mismatch");
    check_refused("ca.pem", "127.0.0.2", "mismatch");
    check_refused("other.pem", "localhost", "certificate");
}

static void test_server_demands_certificates(void **state)
{
    (void)state;
    need_certificates();
    BRISK_CLEANUP(wire_tls_context_destroy)
    wire_tls_context *server = make_server(temp_dir_path(folder, "ca.pem"), NULL);
    BRISK_CLEANUP(wire_tls_context_destroy)
    wire_tls_context *nobody = make_client("ca.pem", NULL, NULL);
    BRISK_CLEANUP(wire_tls_context_destroy)
    wire_tls_context *known = make_client("ca.pem", temp_dir_path(folder, "client.pem"),
                                          temp_dir_path(folder, "client.key"));
    pair p;
    pair_open(&p, nobody, server, "localhost");
    shake(&p, SIZE_MAX);
    CHECK(p.server_err == BRISK_ERR_PERMISSION);
    CHECK(p.client_err == BRISK_ERR_PERMISSION);
    pair_close(&p);
    pair_open(&p, known, server, "localhost");
    shake(&p, SIZE_MAX);
    CHECK(p.server_err == BRISK_OK && wire_tls_is_ready(p.server));
    pair_close(&p);
}

static void test_protocols_are_agreed_on(void **state)
{
    (void)state;
    need_certificates();
    static const char *const cases[][2] = {
        {"h2,http/1.1", "h2"}, {"http/1.1", "http/1.1"}, {"spdy", ""}, {NULL, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        BRISK_CLEANUP(wire_tls_context_destroy)
        wire_tls_context *server = make_server(NULL, cases[i][0]);
        BRISK_CLEANUP(wire_tls_context_destroy)
        wire_tls_context *client = make_client("ca.pem", NULL, NULL);
        pair p;
        pair_open(&p, client, server, "localhost");
        shake(&p, SIZE_MAX);
        char name[256];
        wire_tls_alpn(p.server, name);
        assert_string_equal(name, cases[i][1]);
        wire_tls_alpn(p.client, name);
        assert_string_equal(name, cases[i][1]);
        pair_close(&p);
    }
    wire_tls_context *none = NULL;
    static const char *const bad[] = {",", "h2,", ",h2", "h2,,http/1.1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(wire_tls_context_create(&(wire_tls_opts){.alpn = bad[i]}, &none, NULL) ==
              BRISK_ERR_INVALID);
    }
}

static void test_damage_is_seen(void **state)
{
    (void)state;
    need_certificates();
    BRISK_CLEANUP(wire_tls_context_destroy) wire_tls_context *server = make_server(NULL, NULL);
    BRISK_CLEANUP(wire_tls_context_destroy)
    wire_tls_context *client = make_client("ca.pem", NULL, NULL);
    for (size_t at = 0; at < 40; at++) {
        pair p;
        pair_open(&p, client, server, "localhost");
        shake(&p, SIZE_MAX);
        size_t taken = 0;
        CHECK_OK(wire_tls_write(p.client, "some bytes to damage", 20, &taken, NULL));
        const void *data;
        size_t size = wire_tls_output(p.client, &data);
        unsigned char copy[256];
        CHECK(size > 40 && size <= sizeof copy);
        memcpy(copy, data, size);
        copy[at] ^= 1;
        CHECK_OK(wire_tls_feed(p.server, copy, size));
        char text[64];
        size_t got = 0;
        brisk_err err = wire_tls_read(p.server, text, sizeof text, &got, NULL);
        CHECK(got == 0);
        /* A longer length only makes it wait for more. */
        CHECK(err == BRISK_ERR_CORRUPT || err == BRISK_ERR_UNSUPPORTED ||
              (err == BRISK_OK && (at == 3 || at == 4)));
        pair_close(&p);
    }
    pair p;
    pair_open(&p, client, server, "localhost");
    CHECK_OK(wire_tls_feed(p.server, "GET / HTTP/1.1\r\n\r\n", 18));
    char text[64];
    size_t got = 0;
    brisk_errinfo info;
    CHECK(wire_tls_read(p.server, text, sizeof text, &got, &info) == BRISK_ERR_CORRUPT);
    CHECK(strncmp(info.text, "TLS: ", 5) == 0);
    CHECK(wire_tls_read(p.server, text, sizeof text, &got, NULL) == BRISK_ERR_CORRUPT);
    pair_close(&p);
}

static void test_bad_files_are_named(void **state)
{
    (void)state;
    need_certificates();
    wire_tls_context *none = NULL;
    brisk_errinfo info;
    wire_tls_opts opts = {.server = true};
    CHECK(wire_tls_context_create(&opts, &none, &info) == BRISK_ERR_INVALID);
    opts.cert_file = "/nonexistent/cert.pem";
    CHECK(wire_tls_context_create(&opts, &none, &info) == BRISK_ERR_IO);
    CHECK(strstr(info.text, "/nonexistent/cert.pem: No such file") != NULL);
    opts.cert_file = temp_dir_path(folder, "server.pem");
    opts.key_file = temp_dir_path(folder, "client.key");
    CHECK(wire_tls_context_create(&opts, &none, &info) == BRISK_ERR_IO);
    CHECK(strstr(info.text, "client.key") != NULL);
    opts.key_file = temp_dir_path(folder, "log");
    CHECK(wire_tls_context_create(&opts, &none, &info) == BRISK_ERR_IO);
    opts.key_file = temp_dir_path(folder, "server.key");
    opts.ca_file = temp_dir_path(folder, "log");
    CHECK(wire_tls_context_create(&opts, &none, &info) == BRISK_ERR_IO);
    CHECK(none == NULL);
    BRISK_CLEANUP(wire_tls_context_destroy)
    wire_tls_context *client = make_client("ca.pem", NULL, NULL);
    wire_tls *tls = NULL;
    CHECK(wire_tls_create(client, NULL, &tls) == BRISK_ERR_INVALID);
    char host[300];
    memset(host, 'a', sizeof host);
    host[sizeof host - 1] = '\0';
    CHECK(wire_tls_create(client, host, &tls) == BRISK_ERR_INVALID);
    CHECK(tls == NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    need_certificates();
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        wire_tls_context *context = NULL;
        wire_tls *tls = NULL;
        err = wire_tls_context_create(&(wire_tls_opts){.alloc = &fault.base}, &context, NULL);
        if (err == BRISK_OK) {
            err = wire_tls_create(context, "localhost", &tls);
        }
        CHECK((tls != NULL) == (err == BRISK_OK));
        wire_tls_context_destroy(context); /* before its stream */
        wire_tls_destroy(tls);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK(err == BRISK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_arrive_in_any_pieces),
        cmocka_unit_test(test_write_before_the_handshake_is_kept_back),
        cmocka_unit_test(test_wrong_names_and_strangers_are_refused),
        cmocka_unit_test(test_server_demands_certificates),
        cmocka_unit_test(test_protocols_are_agreed_on),
        cmocka_unit_test(test_damage_is_seen),
        cmocka_unit_test(test_bad_files_are_named),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    folder = temp_dir_make();
    if (!certificates_make(folder->path)) {
        temp_dir_remove(folder);
        folder = NULL;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (folder != NULL) {
        temp_dir_remove(folder);
    }
    return failed;
}
