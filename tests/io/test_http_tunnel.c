/*
 * test_http_tunnel.c -- https through a proxy: CONNECT, then TLS with the server itself.
 *
 * The proxy is a thread that keeps what it was asked and passes bytes on.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_lab.h"

#define SECRET "hunter2"

static registry_server server;

typedef struct proxy {
    int listener;
    const char *answer; /* NULL: it connects */
    char url[64];
    char asked[4096];
    size_t asked_size;
    size_t passed;
} proxy;

static bool pass(proxy *p, int from, int to)
{
    char bytes[16384];
    ssize_t got = read(from, bytes, sizeof bytes);
    for (ssize_t at = 0; at < got;) {
        ssize_t sent = write(to, bytes + at, (size_t)(got - at));
        if (sent <= 0) {
            return false;
        }
        at += sent;
    }
    p->passed += got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* To the port that was asked for, on this machine. */
static int connect_on(const proxy *p)
{
    const char *colon = strchr(p->asked, ':');
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    unsigned long port = colon != NULL ? strtoul(colon + 1, NULL, 10) : 0;
    address.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void *serve(void *ctx)
{
    static const char fine[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    proxy *p = ctx;
    int client = accept(p->listener, NULL, NULL);
    while (strstr(p->asked, "\r\n\r\n") == NULL && p->asked_size < sizeof p->asked - 1) {
        ssize_t got = read(client, p->asked + p->asked_size, sizeof p->asked - 1 - p->asked_size);
        if (got <= 0) {
            break;
        }
        p->asked_size += (size_t)got;
    }
    int other = p->answer == NULL ? connect_on(p) : -1;
    const char *answer = p->answer != NULL ? p->answer : fine;
    bool good = write(client, answer, strlen(answer)) == (ssize_t)strlen(answer) && other >= 0;
    while (good) {
        struct pollfd ends[2] = {{.fd = client, .events = POLLIN}, {.fd = other, .events = POLLIN}};
        good = poll(ends, 2, 10000) > 0;
        good = good && (ends[0].revents == 0 || pass(p, client, other));
        good = good && (ends[1].revents == 0 || pass(p, other, client));
    }
    (void)close(client);
    if (other >= 0) {
        (void)close(other);
    }
    return NULL;
}

static pthread_t start(proxy *p, const char *answer)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    pthread_t thread;
    *p = (proxy){.answer = answer, .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(p->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(p->listener, 4), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&thread, NULL, serve, p), 0);
    return thread;
}

/* The server, its certificate and HTTP/2 are the server's; the proxy sees a name and nothing else. */
static void test_a_proxy_sees_nothing(void **state)
{
    (void)state;
    for (lab_protocol protocol = LAB_TLS2; protocol <= LAB_TLS1; protocol++) {
        static proxy p;
        pthread_t thread = start(&p, NULL);
        brisk_http_token tokens[] = {{server.https, "Bearer " SECRET}};
        brisk_http_client *client = lab_client(
            &server, protocol,
            &(brisk_http_client_opts){
                .https_proxy = p.url, .no_proxy = "none.test", .tokens = tokens, .token_count = 1});
        brisk_http_response *r = lab_ask(client, server.https, "-/try/size/100000", NULL);
        CHECK(r->err == BRISK_OK && r->status == 200);
        CHECK_U64(r->http_version, ==, lab_is_h2(protocol) ? 20 : 11);
        lab_check_letters(r->body, r->body_size, 100000);
        brisk_http_response_destroy(r);
        brisk_http_client_destroy(client);
        assert_int_equal(pthread_join(thread, NULL), 0);
        CHECK(strncmp(p.asked, "CONNECT 127.0.0.1:", 18) == 0 && p.passed > 100000);
        CHECK(strstr(p.asked, SECRET) == NULL && strstr(p.asked, "try") == NULL);
        (void)close(p.listener);
    }
}

static void test_a_proxy_that_refuses_is_an_error(void **state)
{
    (void)state;
    static const char *const answers[] = {"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
                                          "HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n",
                                          "nonsense\r\n\r\n"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        static proxy p;
        pthread_t thread = start(&p, answers[i]);
        brisk_http_client *client = lab_client(
            &server, LAB_TLS2,
            &(brisk_http_client_opts){
                .https_proxy = p.url, .no_proxy = "none.test", .retries = BRISK_HTTP_NONE});
        brisk_http_response *r = lab_ask(client, server.https, "-/try/size/1", NULL);
        CHECK(r->err != BRISK_OK && r->body == NULL && r->why[0] != '\0');
        brisk_http_response_destroy(r);
        brisk_http_client_destroy(client);
        assert_int_equal(pthread_join(thread, NULL), 0);
        (void)close(p.listener);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_proxy_sees_nothing),
        cmocka_unit_test(test_a_proxy_that_refuses_is_an_error),
    };
    if (!lab_is_possible()) {
        return 77;
    }
    registry_server_start(&server, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    registry_server_stop(&server);
    return failed;
}
