/*
 * test_http_threads.c -- many threads submit, cancel, take and destroy at once; under ThreadSanitizer
 * the locks are what is tested.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "http_lab.h"
#include "support/fault_alloc.h"

enum { SUBMITTERS = 3, TAKERS = 2, EACH = 150 };

static registry_server server;

typedef struct storm {
    brisk_http_client *client;
    brisk_http_queue *queue;
    const char *base;
    _Atomic uint32_t submitted;
    _Atomic uint32_t called;
    _Atomic uint32_t taken;
    _Atomic uint32_t good;
    _Atomic uint32_t cancelled;
    _Atomic uint32_t odd;
    _Atomic uint64_t seed;
} storm;

static void judge(storm *s, brisk_http_response *r)
{
    if (r->err == BRISK_OK && r->status == 200) {
        bool whole = r->body_size == r->tag;
        for (size_t i = 0; i < r->body_size && whole; i++) {
            whole = r->body[i] == 'a' + i % 26;
        }
        atomic_fetch_add(whole ? &s->good : &s->odd, 1);
    } else {
        atomic_fetch_add(r->err == BRISK_ERR_CANCELLED ? &s->cancelled : &s->odd, 1);
    }
    brisk_http_response_destroy(r);
}

static void on_done(void *ctx, brisk_http_response *r)
{
    storm *s = ctx;
    atomic_fetch_add(&s->called, 1);
    judge(s, r);
}

static void *submit_many(void *ctx)
{
    storm *s = ctx;
    uint64_t random = atomic_fetch_add(&s->seed, 1);
    for (int i = 0; i < EACH; i++) {
        uint64_t dice = check_random(&random);
        char url[128];
        uint64_t id = 0;
        uint64_t size = dice % 20000;
        (void)snprintf(url, sizeof url, "%s-/try/size/%llu", s->base, (unsigned long long)size);
        brisk_http_request request = {
            .url = url, .tag = size, .user = s, .priority = (brisk_http_priority)(dice >> 32) % 3};
        if ((dice >> 40) % 2 == 0) {
            request.done = on_done;
        } else {
            request.queue = s->queue;
        }
        if (brisk_http_submit(s->client, &request, &id, NULL) == BRISK_OK) {
            atomic_fetch_add(&s->submitted, 1);
        }
        if ((dice >> 48) % 5 == 0) {
            brisk_http_cancel(s->client, id);
        }
        if ((dice >> 50) % 64 == 0) {
            brisk_http_cancel_all(s->client);
        }
        if ((dice >> 56) % 16 == 0) {
            brisk_http_host_stats host;
            (void)lab_stats(s->client);
            (void)!brisk_http_client_read_host(s->client, url, &host);
        }
    }
    return NULL;
}

static void *take_many(void *ctx)
{
    storm *s = ctx;
    brisk_http_response *r = NULL;
    while (brisk_http_queue_take(s->queue, BRISK_HTTP_FOREVER, &r) == BRISK_OK) {
        atomic_fetch_add(&s->taken, 1);
        judge(s, r);
    }
    return NULL;
}

/* Everything submitted is answered once, whole or cancelled; with `early`, destroyed meanwhile. */
static void run_storm(lab_protocol protocol, bool early, uint64_t seed)
{
    storm s = {.base = lab_base(&server, protocol), .seed = seed};
    fault_alloc memory;
    pthread_t submitters[SUBMITTERS];
    pthread_t takers[TAKERS];
    fault_alloc_init(&memory, UINT64_MAX);
    CHECK_OK(brisk_http_queue_create(&memory.base, &s.queue));
    s.client = lab_client(&server, protocol,
                          &(brisk_http_client_opts){.alloc = &memory.base, .connections_max = 6});
    for (int i = 0; i < TAKERS; i++) {
        CHECK(pthread_create(&takers[i], NULL, take_many, &s) == 0);
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        CHECK(pthread_create(&submitters[i], NULL, submit_many, &s) == 0);
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        CHECK(pthread_join(submitters[i], NULL) == 0);
    }
    if (!early) { /* the last of all is behind them */
        brisk_http_response *r = lab_ask(s.client, s.base, "-/try/size/1",
                                         &(brisk_http_request){.priority = BRISK_HTTP_LOW});
        CHECK_OK(r->err);
        brisk_http_response_destroy(r);
    }
    brisk_http_client_destroy(s.client);
    brisk_http_queue_close(s.queue);
    for (int i = 0; i < TAKERS; i++) {
        CHECK(pthread_join(takers[i], NULL) == 0);
    }
    CHECK_U64(s.submitted, ==, SUBMITTERS * EACH);
    CHECK_U64(s.called + s.taken, ==, s.submitted);
    CHECK_U64(s.good + s.cancelled, ==, s.submitted);
    CHECK_U64(s.odd, ==, 0);
    CHECK(early || s.good > 0);
    brisk_http_queue_destroy(s.queue);
    CHECK_U64(memory.bytes_held, ==, 0);
}

static void test_storms(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (lab_protocol p = 0; p < LAB_PROTOCOLS; p++) {
        run_storm(p, false, seed);
        run_storm(p, true, seed + 100);
    }
}

static void *ask_many(void *ctx)
{
    storm *s = ctx;
    for (int i = 0; i < 50; i++) {
        brisk_http_response *r = lab_ask(s->client, s->base, "-/try/size/2000", NULL);
        r->tag = 2000;
        judge(s, r);
    }
    return NULL;
}

static void test_threads_that_wait(void **state)
{
    (void)state;
    storm s = {.base = server.https};
    pthread_t threads[4];
    s.client = lab_client(&server, LAB_TLS2, NULL);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, ask_many, &s) == 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(s.good == 200 && s.odd == 0);
    CHECK_U64(lab_stats(s.client).connections, ==, 1);
    brisk_http_client_destroy(s.client);
}

static void test_destroy_at_once(void **state)
{
    (void)state;
    static const char *const paths[] = {"-/try/stall", "-/try/endless", "-/try/stall-body",
                                        "-/try/status/503"};
    for (int round = 0; round < 40; round++) {
        storm s = {.base = server.https};
        lab_protocol p = (lab_protocol)(round % LAB_PROTOCOLS);
        s.client = lab_client(&server, p, NULL);
        for (int i = 0; i < 8; i++) {
            lab_url url = lab_join(lab_base(&server, p), paths[i % 4]);
            CHECK_OK(brisk_http_submit(
                s.client, &(brisk_http_request){.url = url.text, .done = on_done, .user = &s}, NULL,
                NULL));
        }
        if (round % 2 == 1) { /* let some of it begin */
            brisk_http_response *r = lab_ask(s.client, lab_base(&server, p), "-/try/size/1", NULL);
            brisk_http_response_destroy(r);
        }
        brisk_http_client_destroy(s.client);
        CHECK_U64(s.called, ==, 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storms),
        cmocka_unit_test(test_threads_that_wait),
        cmocka_unit_test(test_destroy_at_once),
    };
    if (!lab_is_possible()) {
        return 77;
    }
    registry_server_start(&server, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    registry_server_stop(&server);
    return failed;
}
