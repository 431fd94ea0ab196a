/*
 * test_http_window.c -- the window of a host in simulated time: servers with a knee, slow ones, noisy ones.
 *
 * A simulated server has as many requests as the window is wide, and answers one after the other; what
 * their latency and rate are, a model says.
 */
#include <string.h>

#include <brisk/rng.h>

#include "io/http_internal.h"
#include "support/check.h"

typedef struct simulation {
    brisk_http_client client;
    http_host host;
    brisk_rng rng;
    uint64_t now_ns;
} simulation;

/* Latency in ns with `n` requests there. */
typedef double (*latency_model)(simulation *s, double n);

enum { KNEE = 16 };

static const double service_ns = 4e6;

/* KNEE at once, the others wait, and all are slower the more there are. */
static double thrashes(simulation *s, double n)
{
    (void)s;
    double over = n > KNEE ? n / KNEE : 1;
    return service_ns * (1 + (over - 1) / 2) * over;
}

/* KNEE at once, the others wait: more than KNEE gain nothing. */
static double queues(simulation *s, double n)
{
    (void)s;
    return service_ns * (n > KNEE ? n / KNEE : 1);
}

/* As quick with many as with few: 10 ms, or 100 ms for three of ten. */
static double is_noisy(simulation *s, double n)
{
    (void)n;
    return brisk_rng_below(&s->rng, 10) < 3 ? 1e8 : 1e7;
}

static double is_quick(simulation *s, double n)
{
    (void)s;
    (void)n;
    return 3e7;
}

static void init(simulation *s, bool fixed)
{
    *s = (simulation){.now_ns = 1000000000};
    s->client.settings.o = (brisk_http_client_opts){
        .in_flight_max = 256, .connections_max = 256, .host_start = 64, .host_min = 8};
    s->client.settings.o.host_fixed = fixed;
    s->host = (http_host){.limit = 64, .limit_max = 256, .slow_start = true, .version = 20};
    brisk_rng_init(&s->rng, 7);
}

/* Answers of so many seconds; the window's average in the second half of them. */
static double run(simulation *s, latency_model model, double mean_ns, double seconds)
{
    uint64_t begun = s->now_ns;
    uint64_t end = begun + (uint64_t)(seconds * 1e9);
    double area = 0;
    while (s->now_ns < end) {
        double n = s->host.limit;
        double latency = model(s, n);
        double step = (mean_ns > 0 ? mean_ns : latency) / n;
        s->now_ns += (uint64_t)step + 1;
        area += s->now_ns - begun > (end - begun) / 2 ? n * step : 0;
        s->host.in_flight = (uint32_t)n;
        latency *= 0.9 + (double)brisk_rng_below(&s->rng, 200) / 1000;
        http_host_answered(&s->client, &s->host, (uint64_t)latency, s->now_ns);
        CHECK(s->host.limit >= 8 && s->host.limit <= 256);
    }
    return area / (seconds * 1e9 / 2);
}

/* The best latency is known from a moment when it was asked little. */
static void know_best(simulation *s)
{
    s->host.in_flight = 1;
    http_host_answered(&s->client, &s->host, (uint64_t)service_ns, s->now_ns);
}

static void test_a_knee_is_found(void **state)
{
    (void)state;
    static const latency_model models[] = {thrashes, queues};
    for (size_t i = 0; i < 2; i++) {
        simulation s;
        init(&s, false);
        know_best(&s);
        double wide = run(&s, models[i], 0, 30);
        CHECK(wide >= KNEE && wide <= 4 * KNEE);
        CHECK(s.host.counts.rate > 0.4 * KNEE / (service_ns / 1e9));
        init(&s, true);
        know_best(&s);
        CHECK(run(&s, models[i], 0, 3) > 63.9); /* it was told to stay */
    }
}

static void test_who_is_quick_gets_all(void **state)
{
    (void)state;
    simulation s;
    init(&s, false);
    CHECK(run(&s, is_quick, 0, 10) > 250);
}

/* Slow answers that are not the window's fault: shrinking is taken back. */
static void test_noise_is_no_queue(void **state)
{
    (void)state;
    simulation s;
    init(&s, false);
    double wide = run(&s, is_noisy, 0.7 * 1e7 + 0.3 * 1e8, 120);
    CHECK(wide > 64);
}

/* A host that becomes slower for good gets its window back. */
static void test_routes_change(void **state)
{
    (void)state;
    simulation s;
    init(&s, false);
    (void)run(&s, is_quick, 0, 5);
    s.host.latency_min_ns = 3000000; /* what was the best is no more */
    CHECK(run(&s, is_quick, 0, 60) > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_knee_is_found),
        cmocka_unit_test(test_who_is_quick_gets_all),
        cmocka_unit_test(test_noise_is_no_queue),
        cmocka_unit_test(test_routes_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
