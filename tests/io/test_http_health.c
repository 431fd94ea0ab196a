/*
 * test_http_health.c -- hosts that are dead, slow or come back: the breaker, the budget of hedges.
 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_lab.h"

static registry_server server;

/* Hedges are paid like repetitions: a host that is slow for everybody does not get twice as much. */
static void test_hedges_have_a_budget(void **state)
{
    (void)state;
    enum { MANY = 40 };
    brisk_http_client *client =
        lab_client(&server, LAB_TLS2,
                   &(brisk_http_client_opts){.hedge_after_ns = 20 * lab_ms, .retry_percent = 5});
    brisk_http_queue *queue = NULL;
    CHECK_OK(brisk_http_queue_create(NULL, &queue));
    lab_url url = lab_join(server.https, "-/try/slow/200");
    for (int k = 0; k < MANY; k++) {
        CHECK_OK(brisk_http_submit(client, &(brisk_http_request){.url = url.text, .queue = queue},
                                   NULL, NULL));
    }
    for (int k = 0; k < MANY; k++) {
        brisk_http_response *r = NULL;
        CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
        CHECK_OK(r->err);
        brisk_http_response_destroy(r);
    }
    brisk_http_stats stats = lab_stats(client);
    CHECK(stats.hedges == 5 + 2); /* what it begins with, and 5 % of the requests */
    CHECK_U64(stats.hedges_denied, ==, MANY - stats.hedges);
    brisk_http_client_destroy(client);
    brisk_http_queue_destroy(queue);
}

static brisk_http_host_stats host_of(brisk_http_client *client, const char *url)
{
    brisk_http_host_stats host;
    CHECK_OK(brisk_http_client_read_host(client, url, &host));
    return host;
}

/* Fails, fails at once, is tried again, and is well again. */
static void test_a_dead_host_is_left_alone(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        brisk_http_client *client =
            lab_client(&server, p,
                       &(brisk_http_client_opts){
                           .retries = BRISK_HTTP_NONE, .break_after = 3, .break_ns = 150 * lab_ms});
        for (uint32_t i = 1; i <= 3; i++) {
            brisk_http_response *r = lab_ask(client, base, "-/try/refuse", NULL);
            CHECK(r->err == BRISK_ERR_IO && strstr(r->why, "left alone") == NULL);
            brisk_http_response_destroy(r);
            CHECK_U64(host_of(client, base).failures, ==, i);
        }
        brisk_http_response *r = lab_ask(client, base, "-/try/size/1", NULL);
        CHECK(r->err == BRISK_ERR_IO && strstr(r->why, "left alone") != NULL && r->attempts == 0);
        brisk_http_response_destroy(r);
        brisk_http_host_stats host = host_of(client, base);
        CHECK(host.health == BRISK_HTTP_LEFT_ALONE && host.broken == 1 && host.alone_ns > 0);
        CHECK(lab_stats(client).left_alone == 1);
        r = lab_ask(client, other_name(base).text, "-/try/size/1", NULL); /* others are not */
        CHECK_OK(r->err);
        brisk_http_response_destroy(r);
        (void)usleep(160000);
        r = lab_ask(client, base, "-/try/refuse", NULL); /* tried, in vain: twice as long */
        CHECK(r->err == BRISK_ERR_IO && r->attempts == 1);
        brisk_http_response_destroy(r);
        host = host_of(client, base);
        CHECK(host.broken == 2 && host.health == BRISK_HTTP_LEFT_ALONE);
        CHECK_U64(host.alone_ns, >, 150 * lab_ms);
        (void)usleep(310000);
        r = lab_ask(client, base, "-/try/status/404", NULL); /* any answer will do */
        CHECK(r->err == BRISK_OK && r->status == 404);
        brisk_http_response_destroy(r);
        host = host_of(client, base);
        CHECK(host.health == BRISK_HTTP_WELL && host.failures == 0 && host.alone_ns == 0);
        brisk_http_client_destroy(client);
    }
}

/* A connection that breaks takes its streams along: one failure. */
static void test_streams_that_die_together_are_one_failure(void **state)
{
    (void)state;
    enum { MANY = 30 };
    brisk_http_client *client =
        lab_client(&server, LAB_TLS2,
                   &(brisk_http_client_opts){.retries = BRISK_HTTP_NONE,
                                             .first_byte_timeout_ns = 80 * lab_ms});
    brisk_http_queue *queue = NULL;
    CHECK_OK(brisk_http_queue_create(NULL, &queue));
    lab_url url = lab_join(server.https, "-/try/stall");
    for (int k = 0; k < MANY; k++) {
        CHECK_OK(brisk_http_submit(client, &(brisk_http_request){.url = url.text, .queue = queue},
                                   NULL, NULL));
    }
    for (int k = 0; k < MANY; k++) {
        brisk_http_response *r = NULL;
        CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
        CHECK(r->err == BRISK_ERR_DEADLINE);
        brisk_http_response_destroy(r);
    }
    CHECK_U64(host_of(client, url.text).failures, <=, 2); /* they may begin in two rounds */
    brisk_http_client_destroy(client);
    brisk_http_queue_destroy(queue);
}

static void wait_until_closed(brisk_http_client *client)
{
    for (int k = 0; k < 400 && lab_stats(client).connections_open > 0; k++) {
        (void)usleep(5000);
    }
    CHECK_U64(lab_stats(client).connections_open, ==, 0);
}

/* Connections that nobody uses do not stay; those that are used do. */
static void test_idle_connections_are_closed(void **state)
{
    (void)state;
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        const char *base = lab_base(&server, p);
        brisk_http_client *client =
            lab_client(&server, p, &(brisk_http_client_opts){.idle_timeout_ns = 150 * lab_ms});
        for (int i = 0; i < 4; i++) {
            brisk_http_response *r = lab_ask(client, base, "-/try/size/1", NULL);
            CHECK(r->err == BRISK_OK && r->reused == (i == 1 || i == 2));
            brisk_http_response_destroy(r);
            CHECK_U64(lab_stats(client).connections_open, ==, 1);
            if (i == 2) {
                wait_until_closed(client);
            }
        }
        brisk_http_client_destroy(client);
    }
}

/* One that never came about is not open for ever. */
static void test_who_does_not_answer_calls_has_no_connection(void **state)
{
    (void)state;
    enum { CALLS = 4 };
    int fds[CALLS];
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(deaf, (struct sockaddr *)&here, size) == 0 && listen(deaf, 0) == 0 &&
          getsockname(deaf, (struct sockaddr *)&here, &size) == 0);
    for (int i = 0; i < CALLS; i++) { /* its queue is full then: nobody else gets through */
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&here, size);
    }
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(here.sin_port));
    brisk_http_client *client =
        lab_client(&server, LAB_PLAIN1,
                   &(brisk_http_client_opts){.connect_timeout_ns = 50 * lab_ms,
                                             .idle_timeout_ns = 50 * lab_ms,
                                             .retries = BRISK_HTTP_NONE});
    brisk_http_response *r = lab_ask(client, url, "", NULL);
    CHECK(r->err == BRISK_ERR_DEADLINE);
    brisk_http_response_destroy(r);
    wait_until_closed(client);
    brisk_http_client_destroy(client);
    for (int i = 0; i < CALLS; i++) {
        (void)close(fds[i]);
    }
    (void)close(deaf);
}

static void ask_many(brisk_http_client *client, const char *path, int many)
{
    brisk_http_queue *queue = NULL;
    CHECK_OK(brisk_http_queue_create(NULL, &queue));
    lab_url url = lab_join(server.https, path);
    for (int k = 0; k < many; k++) {
        CHECK_OK(brisk_http_submit(client, &(brisk_http_request){.url = url.text, .queue = queue},
                                   NULL, NULL));
    }
    for (int k = 0; k < many; k++) {
        brisk_http_response *r = NULL;
        CHECK_OK(brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r));
        CHECK_OK(r->err);
        brisk_http_response_destroy(r);
    }
    brisk_http_queue_destroy(queue);
}

/* A connection after one that is gone does not say that a host takes few streams, which would be for good. */
static void test_connections_that_say_nothing(void **state)
{
    (void)state;
    brisk_http_client *client =
        lab_client(&server, LAB_TLS2, &(brisk_http_client_opts){.idle_timeout_ns = 100 * lab_ms});
    for (int i = 0; i < 3; i++) {
        ask_many(client, "-/try/slow/60", 64);
        wait_until_closed(client);
    }
    CHECK_U64(host_of(client, server.https).limit, >=,
              56); /* of 64: its latency may cost an eighth */
    brisk_http_client_destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hedges_have_a_budget),
        cmocka_unit_test(test_a_dead_host_is_left_alone),
        cmocka_unit_test(test_idle_connections_are_closed),
        cmocka_unit_test(test_who_does_not_answer_calls_has_no_connection),
        cmocka_unit_test(test_connections_that_say_nothing),
        cmocka_unit_test(test_streams_that_die_together_are_one_failure),
    };
    if (!lab_is_possible()) {
        return 77;
    }
    registry_server_start(&server, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    registry_server_stop(&server);
    return failed;
}
