/*
 * test_http_hostile.c -- the client against servers that stall, lie, break off, flood and fail.
 */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "http_lab.h"

static registry_server server;

static void test_bad_answers_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        brisk_err h1;
        brisk_err h2;
    } cases[] = {
        {"-/try/stall", BRISK_ERR_DEADLINE, BRISK_ERR_DEADLINE},
        {"-/try/stall-body", BRISK_ERR_DEADLINE, BRISK_ERR_DEADLINE},
        {"-/try/cut", BRISK_ERR_IO, BRISK_ERR_IO},
        {"-/try/refuse", BRISK_ERR_IO, BRISK_ERR_IO},
        {"-/try/garbage", BRISK_ERR_IO, BRISK_ERR_IO},
        {"-/try/headers", BRISK_ERR_LIMIT, BRISK_ERR_IO}, /* libcurl has its own limit */
        {"-/try/endless", BRISK_ERR_LIMIT, BRISK_ERR_LIMIT},
        {"-/try/size/1000001", BRISK_ERR_LIMIT, BRISK_ERR_LIMIT},
        {"-/try/size/1000000", BRISK_OK, BRISK_OK},
        {"-/try/lie/1000", BRISK_ERR_IO, BRISK_ERR_IO},
        {"-/try/lie/99999999999999999", BRISK_ERR_LIMIT, BRISK_ERR_LIMIT},
        {"-/try/interim", BRISK_OK, BRISK_OK},
        {"-/try/goaway", BRISK_OK, BRISK_OK},
    };
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        brisk_http_client *client =
            lab_client(&server, p,
                       &(brisk_http_client_opts){.retries = BRISK_HTTP_NONE,
                                                 .first_byte_timeout_ns = 400 * lab_ms,
                                                 .stall_timeout_ns = 400 * lab_ms,
                                                 .body_bytes_max = 1000000,
                                                 .head_bytes_max = 20000});
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            brisk_http_response *r = lab_ask(client, lab_base(&server, p), cases[i].path, NULL);
            brisk_err expected = lab_is_h2(p) ? cases[i].h2 : cases[i].h1;
            bool lie = strncmp(cases[i].path, "-/try/lie/", 10) == 0; /* nghttp2 may see it first */
            if (r->err != expected && !(lie && r->err == BRISK_ERR_IO)) {
                fail_msg("%d %s: %s (%s)", (int)p, cases[i].path, brisk_err_name(r->err), r->why);
            }
            CHECK((r->err == BRISK_OK) == (r->why[0] == '\0'));
            CHECK(r->err == BRISK_OK || r->body == NULL);
            CHECK(r->caching.etag[0] == '\0'); /* that of 103 is not the answer's */
            brisk_http_response_destroy(r);
            r = lab_ask(client, lab_base(&server, p), "-/try/size/100", NULL); /* still usable */
            CHECK_OK(r->err);
            lab_check_letters(r->body, r->body_size, 100);
            brisk_http_response_destroy(r);
        }
        brisk_http_client_destroy(client);
    }
}

static void test_bombs(void **state)
{
    (void)state;
    brisk_http_client *client =
        lab_client(&server, LAB_TLS2, &(brisk_http_client_opts){.expanded_bytes_max = 8 << 20});
    brisk_errinfo info = {.text = ""};
    brisk_http_buffer buffer = {.alloc = NULL};
    brisk_http_response *r = lab_ask(client, server.https, "-/try/bomb/32", NULL);
    CHECK(r->err == BRISK_OK && r->body_size < 200000);
    size_t size = r->body_size;
    CHECK(brisk_http_response_expand(r, &info) == BRISK_ERR_LIMIT && info.text[0] != '\0');
    CHECK(r->body_size == size && r->encoding == BRISK_HTTP_GZIP); /* as before */
    CHECK(brisk_http_response_expand_into(r, &buffer, NULL) == BRISK_ERR_LIMIT);
    CHECK(buffer.size == 0 && buffer.capacity_ <= 8 << 20);
    brisk_http_response_destroy(r);
    r = lab_ask(client, server.https, "-/try/bomb/8", NULL);
    CHECK_OK(brisk_http_response_expand_into(r, &buffer, NULL));
    CHECK(buffer.size == 8 << 20);
    r->body[r->body_size / 2] ^= 0x55;
    CHECK(brisk_http_response_expand_into(r, &buffer, &info) == BRISK_ERR_CORRUPT);
    brisk_http_response_destroy(r);
    brisk_http_buffer_deinit(&buffer);
    brisk_http_client_destroy(client);
}

static void test_what_may_be_repeated_is(void **state)
{
    (void)state;
    static const struct {
        const char *path; /* with the protocol's number for %d */
        const char *method;
        bool idempotent;
        int status; /* 0: an error */
        uint32_t attempts;
    } cases[] = {
        {"-/try/flaky/a%d/2", "GET", false, 200, 3},
        {"-/try/flaky/b%d/3?status=500", "GET", false, 200, 4},
        {"-/try/flaky/c%d/4?status=429", "GET", false, 429, 4}, /* three retries */
        {"-/try/flaky/d%d/1?status=404", "GET", false, 404, 1},
        {"-/try/flaky/e%d/1", "POST", false, 503, 1},
        {"-/try/flaky/f%d/1", "POST", true, 200, 2},
        {"-/try/flaky/g%d/1", "PUT", false, 200, 2},
        {"-/try/broken/h%d/2", "GET", false, 200, 3},
        {"-/try/broken/i%d/9", "GET", false, 0, 4},
        {"-/try/late/j%d/1", "GET", false, 200, 2},
        {"-/try/flaky/k%d/1?retry-after=0", "GET", false, 200, 2},
        {"-/try/flaky/l%d/1?retry-after=100", "GET", false, 503, 1}, /* longer than we wait */
    };
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        brisk_http_client *client =
            lab_client(&server, p,
                       &(brisk_http_client_opts){.retry_base_ns = lab_ms,
                                                 .first_byte_timeout_ns = 150 * lab_ms});
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            char path[64];
            int size = snprintf(path, sizeof path, "%.14s", cases[i].path);
            (void)size;
            const char *mark = strstr(cases[i].path, "%d");
            (void)snprintf(path, sizeof path, "%.*s%d%s", (int)(mark - cases[i].path),
                           cases[i].path, (int)p, mark + 2);
            brisk_http_response *r =
                lab_ask(client, lab_base(&server, p), path,
                        &(brisk_http_request){.method = cases[i].method,
                                              .idempotent = cases[i].idempotent});
            if (r->attempts != cases[i].attempts || r->status != cases[i].status) {
                fail_msg("%d %s: %u attempts, %d, %s", (int)p, path, r->attempts, r->status,
                         r->why);
            }
            CHECK((r->err == BRISK_OK) == (cases[i].status != 0));
            brisk_http_response_destroy(r);
        }
        brisk_http_stats stats = lab_stats(client);
        CHECK_U64(stats.retries, ==, 2 + 3 + 3 + 1 + 1 + 2 + 3 + 1 + 1);
        CHECK(stats.retries_denied == 0);
        brisk_http_client_destroy(client);
    }
}

static void test_retry_after_holds_the_whole_host(void **state)
{
    (void)state;
    brisk_http_client *client = lab_client(&server, LAB_TLS2, NULL);
    lab_url url = lab_join(server.https, "-/try/flaky/hold/1?retry-after=1");
    brisk_http_queue *queue = NULL;
    CHECK_OK(brisk_http_queue_create(NULL, &queue));
    CHECK_OK(brisk_http_submit(client, &(brisk_http_request){.url = url.text, .queue = queue}, NULL,
                               NULL));
    brisk_http_host_stats host = {0};
    for (int i = 0; i < 2000 && host.throttled == 0; i++) {
        brisk_http_response *none = NULL;
        CHECK(brisk_http_queue_take(queue, lab_ms, &none) == BRISK_ERR_DEADLINE);
        (void)!brisk_http_client_read_host(client, url.text, &host);
    }
    CHECK(host.throttled == 1 && host.paused_ns > 0);
    uint64_t begin = brisk_clock_now_ns(NULL);
    brisk_http_response *r = lab_ask(client, server.https, "-/try/size/1", NULL);
    CHECK(r->err == BRISK_OK && r->queued_ns > 0);
    CHECK_U64(brisk_clock_now_ns(NULL) - begin + 1100 * lab_ms, >=, host.paused_ns);
    brisk_http_response_destroy(r);
    CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
    CHECK(r->err == BRISK_OK && r->status == 200 && r->attempts == 2);
    CHECK_U64(r->total_ns, >=, 1000 * lab_ms);
    brisk_http_response_destroy(r);
    brisk_http_client_destroy(client);
    brisk_http_queue_destroy(queue);
}

/* A server that only fails gets a little more than what was asked of it, not four times. */
static void test_a_storm_uses_the_budget_up(void **state)
{
    (void)state;
    enum { MANY = 400 };
    static const char *const paths[] = {"-/try/status/500", "-/try/status/429", "-/try/refuse"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        brisk_http_client *client = lab_client(
            &server, LAB_PLAIN1,
            &(brisk_http_client_opts){
                .retry_base_ns = lab_ms, .connections_max = 8, .break_after = BRISK_HTTP_NONE});
        brisk_http_queue *queue = NULL;
        CHECK_OK(brisk_http_queue_create(NULL, &queue));
        lab_url url = lab_join(server.http, paths[i]);
        for (int k = 0; k < MANY; k++) {
            CHECK_OK(brisk_http_submit(
                client, &(brisk_http_request){.url = url.text, .queue = queue}, NULL, NULL));
        }
        for (int k = 0; k < MANY; k++) {
            brisk_http_response *r = NULL;
            CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
            CHECK(r->err != BRISK_OK || r->status >= 400);
            brisk_http_response_destroy(r);
        }
        brisk_http_stats stats = lab_stats(client);
        CHECK_U64(stats.retries, <=, 20 + MANY / 5);
        CHECK_U64(stats.retries_denied, >, 0);
        CHECK_U64(stats.answered + stats.failed, ==, MANY);
        brisk_http_host_stats host;
        CHECK_OK(brisk_http_client_read_host(client, url.text, &host));
        CHECK(i == 0 || host.limit < 8); /* pushed back */
        CHECK(host.retries == stats.retries && host.retry_budget < 1 && host.broken == 0);
        brisk_http_response *r = lab_ask(client, other_name(server.http).text,
                                         "-/try/flaky/storm/1", &(brisk_http_request){.tag = i});
        CHECK(i > 0 || (r->status == 200 && r->attempts == 2)); /* a budget of its own */
        brisk_http_response_destroy(r);
        CHECK_U64(host.throttled, ==, i == 1 ? stats.throttled : 0);
        brisk_http_client_destroy(client);
        brisk_http_queue_destroy(queue);
    }
}

static void test_hedging(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        char path[64];
        brisk_http_client *client =
            lab_client(&server, p, &(brisk_http_client_opts){.hedge_after_ns = 50 * lab_ms});
        (void)snprintf(path, sizeof path, "-/try/late/hedge%d/1", (int)p);
        brisk_http_response *r = lab_ask(client, lab_base(&server, p), path, NULL);
        CHECK(r->err == BRISK_OK && r->status == 200 && r->hedged && r->attempts == 1);
        brisk_http_response_destroy(r);
        (void)snprintf(path, sizeof path, "-/try/late/post%d/9", (int)p);
        r = lab_ask(client, lab_base(&server, p), path,
                    &(brisk_http_request){.method = "POST", .timeout_ns = 200 * lab_ms});
        CHECK(r->err == BRISK_ERR_DEADLINE && !r->hedged);
        brisk_http_response_destroy(r);
        brisk_http_stats stats = lab_stats(client);
        CHECK(stats.hedges == 1 && stats.hedges_won == 1);
        brisk_http_client_destroy(client);
    }
}

/* Somebody who listens and never says a word. */
static void test_phases_have_their_own_time(void **state)
{
    (void)state;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    char base[64];
    brisk_http_client *client =
        lab_client(&server, LAB_TLS2,
                   &(brisk_http_client_opts){.retries = BRISK_HTTP_NONE,
                                             .tls_timeout_ns = 100 * lab_ms,
                                             .first_byte_timeout_ns = 100 * lab_ms});
    (void)snprintf(base, sizeof base, "https://127.0.0.1:%u/", ntohs(address.sin_port));
    brisk_http_response *r = lab_ask(client, base, "x", NULL);
    CHECK(r->err == BRISK_ERR_DEADLINE && strstr(r->why, "TLS") != NULL);
    brisk_http_response_destroy(r);
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    r = lab_ask(client, base, "x", NULL);
    CHECK(r->err == BRISK_ERR_DEADLINE && strstr(r->why, "no answer in time") != NULL);
    brisk_http_response_destroy(r);
    r = lab_ask(client, base, "x", &(brisk_http_request){.timeout_ns = 20 * lab_ms});
    CHECK(r->err == BRISK_ERR_DEADLINE && strstr(r->why, "request's time") != NULL);
    brisk_http_response_destroy(r);
    (void)close(listener);
    r = lab_ask(client, base, "x", NULL);
    CHECK(r->err == BRISK_ERR_IO && r->attempts == 1);
    brisk_http_response_destroy(r);
    brisk_http_client_destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_answers_are_errors),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_what_may_be_repeated_is),
        cmocka_unit_test(test_retry_after_holds_the_whole_host),
        cmocka_unit_test(test_a_storm_uses_the_budget_up),
        cmocka_unit_test(test_hedging),
        cmocka_unit_test(test_phases_have_their_own_time),
    };
    if (!lab_is_possible()) {
        return 77;
    }
    registry_server_start(&server, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    registry_server_stop(&server);
    return failed;
}
