/*
 * test_observe.c -- figures of exchanges: routes, classes, bytes, times, many workers, memory that runs out.
 */
#include <pthread.h>
#include <string.h>

#include "daemon/http/observe.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { WORKERS = 3, EACH = 5000, MANY = 200 };

static const http_route jobs = {.name = "api.jobs"};
static const http_route stream = {.name = "api.events", .priority = {.incremental = true}};

static exchange ended(const http_route *route, uint16_t status, uint64_t in, uint64_t out)
{
    return (exchange){
        .route = route, .status = status, .body_read = in, .body_sent = out, .begun_ns = 1000};
}

static uint64_t total(brisk_metrics *registry, const char *name, const char *route,
                      const char *class)
{
    brisk_snapshot *snapshot;
    CHECK_OK(brisk_metrics_snapshot(registry, NULL, &snapshot));
    brisk_label labels[] = {{"route", route}, {"class", class}};
    const brisk_metric_value *value =
        brisk_snapshot_find(snapshot, name, labels, class != NULL ? 2 : 1);
    uint64_t count = value != NULL ? value->count : UINT64_MAX;
    brisk_snapshot_unref(snapshot);
    return count;
}

static void test_figures(void **state)
{
    (void)state;
    brisk_metrics *registry;
    http_observer *o;
    observe_totals totals;
    brisk_hist *times;
    CHECK_OK(brisk_metrics_create(NULL, &registry));
    CHECK_OK(http_observe_create(brisk_alloc_libc(), registry, 2, &o));
    CHECK_OK(brisk_hist_create(NULL, &times));
    for (uint32_t w = 0; w < 2; w++) {
        exchange x = ended(&jobs, 200, 3, 10);
        http_observe_over(o, w, &x, 5000);
        x = ended(&jobs, 503, 0, 1);
        http_observe_over(o, w, &x, 500); /* a clock that goes back: 0 */
        x = ended(NULL, 404, 0, 0);
        http_observe_over(o, w, &x, 2000);
        x = ended(&stream, 200, 0, 100);
        http_observe_over(o, w, &x, UINT64_C(1) << 40);
        x = ended(&jobs, 0, 0, 0); /* the client went */
        http_observe_over(o, w, &x, 2000);
    }
    http_observe_copy(o);
    CHECK_U64(total(registry, "serve.http.responses", "api.jobs", "2xx"), ==, 2);
    CHECK_U64(total(registry, "serve.http.responses", "api.jobs", "5xx"), ==, 2);
    CHECK_U64(total(registry, "serve.http.responses", "api.jobs", "none"), ==, 2);
    CHECK_U64(total(registry, "serve.http.responses", "none", "4xx"), ==, 2);
    CHECK_U64(total(registry, "serve.http.in", "api.jobs", NULL), ==, 6);
    CHECK_U64(total(registry, "serve.http.out", "api.jobs", NULL), ==, 22);
    CHECK_U64(total(registry, "serve.http.time", "api.jobs", NULL), ==, 6);
    http_observe_read(o, times, &totals);
    CHECK_U64(totals.responses[2], ==, 4);
    CHECK_U64(totals.bytes_out, ==, 222);
    CHECK_U64(brisk_hist_count(times), ==, 8); /* each once, without the stream */
    CHECK_U64(brisk_hist_max(times), <, 5000);
    uint64_t counts[OBSERVE_PROTOCOLS] = {[OBSERVE_H1] = 7};
    http_observe_connections(o, 0, counts);
    http_observe_connections(o, 1, counts);
    http_observe_read(o, NULL, &totals);
    CHECK_U64(totals.connections[OBSERVE_H1], ==, 14);
    brisk_hist_destroy(times);
    http_observe_destroy(o);
    brisk_metrics_destroy(registry);
}

static void test_slow_ones(void **state)
{
    (void)state;
    brisk_metrics *registry;
    http_observer *o;
    observe_slow slow[4 * OBSERVE_SLOW];
    CHECK_OK(brisk_metrics_create(NULL, &registry));
    CHECK_OK(http_observe_create(brisk_alloc_libc(), registry, 2, &o));
    for (uint64_t i = 1; i <= 1000; i++) { /* in a mixed order */
        exchange x = ended(&jobs, 200, 0, 0);
        x.path = (http_text){"/v1/jobs/x", 10};
        http_observe_over(o, 0, &x, 1000 + i * 7919 % 1001);
        x = ended(&stream, 200, 0, 0);
        http_observe_over(o, 0, &x, UINT64_C(1) << 40); /* streams are not slow, they are long */
    }
    uint32_t count = http_observe_slow(o, slow, 4 * OBSERVE_SLOW);
    CHECK_U64(count, ==, OBSERVE_SLOW);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_U64(slow[i].duration_ns, >, 1000 - OBSERVE_SLOW); /* those, and no others */
        assert_string_equal(slow[i].path, "/v1/jobs/x");
    }
    exchange x = ended(&jobs, 200, 0, 0);
    http_observe_over(o, 0, &x, UINT64_C(70000000000)); /* a minute later */
    count = http_observe_slow(o, slow, 4 * OBSERVE_SLOW);
    CHECK_U64(count, ==, OBSERVE_SLOW + 1);
    CHECK_U64(http_observe_slow(o, slow, 3), ==, 3);
    for (uint64_t i = 1; i < OBSERVE_MINUTES; i++) {
        x.begun_ns = UINT64_C(70000000000) * (i + 1);
        http_observe_over(o, 0, &x, x.begun_ns + 100);
    }
    CHECK_U64(http_observe_slow(o, slow, 4 * OBSERVE_SLOW), ==,
              OBSERVE_MINUTES); /* the first minute's are gone */
    const http_field field = {
        .name = {"traceparent", 11},
        .value = {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 55}};
    x.fields = &field;
    x.field_count = 1;
    x.marks[EXCHANGE_ANSWERED] = x.begun_ns + 70;
    x.marks[EXCHANGE_BODY_OVER] = x.begun_ns - 5; /* the round began before */
    x.marks[EXCHANGE_REPLIED] = x.begun_ns + 1000;
    for (uint64_t i = 0; i < OBSERVE_SAMPLED + 3; i++) {
        x.id = 100 + i;
        http_observe_over(o, 1, &x, x.begun_ns + 100);
    }
    static observe_slow all[2 * OBSERVE_KEPT];
    count = http_observe_slow(o, all, 2 * OBSERVE_KEPT);
    CHECK_U64(count, ==, OBSERVE_MINUTES + OBSERVE_SAMPLED);
    const observe_slow *last = &all[OBSERVE_MINUTES + 2];
    CHECK(last->id == 100 + OBSERVE_SAMPLED + 2 && last->worker == 1 && last->parent.flags == 1);
    CHECK_U64(last->marks_ns[EXCHANGE_ANSWERED], ==, 70);
    CHECK_U64(last->marks_ns[EXCHANGE_BODY_OVER], ==, 0);
    CHECK_U64(last->marks_ns[EXCHANGE_REPLIED], ==, 100);
    CHECK_U64(last->marks_ns[EXCHANGE_ASKED], ==, UINT64_MAX);
    CHECK(http_observe_span(o, 1) != http_observe_span(o, 2));
    http_observe_destroy(o);
    brisk_metrics_destroy(registry);
}

static void test_more_routes_than_slots(void **state)
{
    (void)state;
    static http_route routes[MANY];
    static char names[MANY][8];
    brisk_metrics *registry;
    http_observer *o;
    observe_totals totals;
    CHECK_OK(brisk_metrics_create(NULL, &registry));
    CHECK_OK(http_observe_create(brisk_alloc_libc(), registry, 1, &o));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            (void)snprintf(names[i], sizeof names[i], "r%d", i);
            routes[i].name = names[i];
            exchange x = ended(&routes[i], 200, 0, 1);
            http_observe_over(o, 0, &x, 2000);
        }
    }
    http_observe_copy(o);
    http_observe_read(o, NULL, &totals);
    CHECK_U64(totals.responses[2], ==, 2 * MANY);
    CHECK_U64(total(registry, "serve.http.responses", "r0", "2xx"), ==, 2);
    CHECK_U64(total(registry, "serve.http.responses", "others", "2xx"), >, 0);
    http_observe_destroy(o);
    brisk_metrics_destroy(registry);
}

static http_observer *shared;

static void *work(void *ctx)
{
    uint32_t w = (uint32_t)(uintptr_t)ctx;
    for (uint32_t i = 0; i < EACH; i++) {
        exchange x = ended(i % 2 == 0 ? &jobs : NULL, 200, 1, 1);
        http_observe_over(shared, w, &x, 2000 + i);
    }
    return NULL;
}

static void test_many_workers(void **state)
{
    (void)state;
    brisk_metrics *registry;
    pthread_t threads[WORKERS];
    observe_totals totals;
    CHECK_OK(brisk_metrics_create(NULL, &registry));
    CHECK_OK(http_observe_create(brisk_alloc_libc(), registry, WORKERS, &shared));
    for (uintptr_t i = 0; i < WORKERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    }
    for (int i = 0; i < 50; i++) {
        http_observe_copy(shared); /* while they count */
        http_observe_read(shared, NULL, &totals);
        CHECK_U64(totals.responses[2], <=, WORKERS * EACH);
    }
    for (int i = 0; i < WORKERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    http_observe_read(shared, NULL, &totals);
    CHECK_U64(totals.responses[2], ==, WORKERS * EACH);
    CHECK_U64(totals.bytes_in, ==, WORKERS * EACH);
    http_observe_copy(shared);
    CHECK_U64(total(registry, "serve.http.time", "api.jobs", NULL), ==, WORKERS * EACH / 2);
    http_observe_destroy(shared);
    brisk_metrics_destroy(registry);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t after = 0; after < 12; after++) {
        brisk_metrics *registry;
        http_observer *o;
        observe_totals totals;
        fault_alloc fault;
        CHECK_OK(brisk_metrics_create(NULL, &registry));
        fault_alloc_init(&fault, after);
        if (http_observe_create(&fault.base, registry, 1, &o) == BRISK_OK) {
            exchange x = ended(&jobs, 200, 0, 0);
            http_observe_over(o, 0, &x, 2000);
            http_observe_read(o, NULL, &totals);
            CHECK_U64(totals.responses[2], ==, 1); /* counted, with or without memory */
            http_observe_destroy(o);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
        brisk_metrics_destroy(registry);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_slow_ones),
        cmocka_unit_test(test_more_routes_than_slots),
        cmocka_unit_test(test_many_workers),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
