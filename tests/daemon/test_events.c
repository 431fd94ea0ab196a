/*
 * test_events.c -- the hub: who hears what, queues that are full, listeners that do not read, threads that tell.
 */
#include <pthread.h>
#include <string.h>

#include "daemon/api/events.h"
#include "fake_exchange.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { THREADS = 3, EACH = 2000 };

static events_hub *hub;

static void listen_to(fake_http *fake, const char *target)
{
    fake_http_init(fake);
    CHECK_OK(api_events_add_routes(fake->server.http_routes, hub));
    CHECK(fake_ask(fake, "GET", target, NULL) != NULL);
}

static bool holds(const fake_http *fake, const char *text)
{
    return memmem(fake->body, fake->body_size, text, strlen(text)) != NULL;
}

static uint32_t count_of(const fake_http *fake, const char *text)
{
    uint32_t count = 0;
    const unsigned char *at = fake->body;
    size_t left = fake->body_size;
    const unsigned char *found;
    while (left > 0 && (found = memmem(at, left, text, strlen(text))) != NULL) {
        count++;
        left -= (size_t)(found - at) + strlen(text);
        at = found + strlen(text);
    }
    return count;
}

static bool tell(events_topic topic, const char *json)
{
    return events_publish(hub, topic, json, strlen(json));
}

static void test_who_hears(void **state)
{
    (void)state;
    fake_http jobs;
    fake_http all;
    CHECK_OK(events_create(brisk_alloc_libc(), &hub));
    CHECK(!events_wanted(hub, EVENTS_JOBS));
    CHECK(tell(EVENTS_JOBS, "{\"nobody\":1}"));
    listen_to(&jobs, "/v1/events?topics=jobs");
    CHECK_U64(jobs.status, ==, 200);
    CHECK(fake_field_is(&jobs, "content-type", "text/event-stream"));
    CHECK(events_wanted(hub, EVENTS_JOBS) && !events_wanted(hub, EVENTS_METRICS));
    listen_to(&all, "/v1/events");
    CHECK(tell(EVENTS_JOBS, "{\"job\":1}\n"));
    CHECK(tell(EVENTS_METRICS, "{\"m\":2}"));
    CHECK(!tell(EVENTS_JOBS, "{\"a\":\n1}")); /* would end the event */
    fake_run(&jobs);
    fake_run(&all);
    CHECK(holds(&jobs, "event: jobs\ndata: {\"job\":1}\n\n") && !holds(&jobs, "{\"m\":2}"));
    CHECK(holds(&all, "event: jobs\ndata: {\"job\":1}\n\n"));
    CHECK(holds(&all, "event: metrics\ndata: {\"m\":2}\n\n"));
    CHECK(!holds(&all, "nobody"));
    fake_http_deinit(&all);
    CHECK(!events_wanted(hub, EVENTS_METRICS));
    for (int i = 0; i < EVENTS_PING_S; i++) {
        events_tick(hub);
    }
    fake_run(&jobs);
    CHECK(holds(&jobs, "\n\n: \n\n"));
    fake_http_deinit(&jobs);
    CHECK_U64(events_read(hub).subscribers, ==, 0);
    events_destroy(hub);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    fake_http fake;
    CHECK_OK(events_create(brisk_alloc_libc(), &hub));
    listen_to(&fake, "/v1/events?topics=jobs,nothing");
    CHECK_U64(fake.status, ==, 400);
    CHECK(fake_ask(&fake, "GET", "/v1/events/x", NULL) != NULL);
    CHECK_U64(fake.status, ==, 404);
    CHECK(fake_ask(&fake, "HEAD", "/v1/events", NULL) != NULL);
    CHECK_U64(fake.status, ==, 204);
    CHECK_U64(events_read(hub).subscribers, ==, 0);
    CHECK_U64(events_parse_topics("metrics,log"), ==, EVENTS_METRICS | EVENTS_LOG);
    CHECK_U64(events_parse_topics(""), ==, EVENTS_ALL);
    CHECK_U64(events_parse_topics(",metrics"), ==, 0);
    fake_http_deinit(&fake);
    events_destroy(hub);
}

static void test_who_does_not_read(void **state)
{
    (void)state;
    fake_http fake;
    CHECK_OK(events_create(brisk_alloc_libc(), &hub));
    listen_to(&fake, "/v1/events?topics=log");
    fake.room = 1; /* every write says wait */
    fake_run(&fake);
    for (int i = 0; i < EVENTS_QUEUE_MAX + 10; i++) {
        CHECK(tell(EVENTS_LOG, "{}"));
    }
    CHECK_U64(events_read(hub).dropped, ==, 10);
    fake_run(&fake);
    CHECK_U64(count_of(&fake, "event: log"), ==, 1); /* then it waits */
    fake.room = 0;
    fake_writable(&fake);
    CHECK_U64(count_of(&fake, "event: log"), ==, EVENTS_QUEUE_MAX);
    CHECK_U64(count_of(&fake, "event: dropped\ndata: {\"count\":10}\n\n"), ==, 1);
    static char big[EVENTS_BYTES_MAX + 1];
    memset(big, 'x', sizeof big);
    CHECK(!events_publish(hub, EVENTS_LOG, big, sizeof big));
    uint64_t dropped = events_read(hub).dropped;
    for (int i = 0; i < 10; i++) { /* more bytes than a queue holds */
        CHECK(events_publish(hub, EVENTS_LOG, big, EVENTS_BYTES_MAX - 1));
    }
    CHECK_U64(events_read(hub).dropped, >, dropped);
    fake_close(&fake); /* with a post under way, and events in its queue */
    fake_http_deinit(&fake);
    events_destroy(hub);
}

static void *publish_many(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < EACH; i++) {
        (void)tell(EVENTS_JOBS, "{\"n\":1}");
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    fake_http fake;
    pthread_t threads[THREADS];
    CHECK_OK(events_create(brisk_alloc_libc(), &hub));
    listen_to(&fake, "/v1/events?topics=jobs");
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, publish_many, NULL) == 0);
    }
    for (int i = 0; i < 200; i++) { /* as its worker, while they tell; and listeners come and go */
        fake_http brief;
        fake_run(&fake);
        listen_to(&brief, "/v1/events?topics=jobs");
        fake_run(&brief);
        fake_http_deinit(&brief);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    uint64_t told = 0;
    fake_run(&fake);
    told = count_of(&fake, "event: jobs");
    const char *lost = "event: dropped\ndata: {\"count\":";
    for (const char *at = memmem(fake.body, fake.body_size, lost, strlen(lost)); at != NULL;) {
        told += strtoull(at + strlen(lost), NULL, 10);
        size_t used = (size_t)((const unsigned char *)at - fake.body) + 1;
        at = memmem(fake.body + used, fake.body_size - used, lost, strlen(lost));
    }
    CHECK_U64(told, ==, THREADS * EACH); /* every one came, or was counted as lost */
    fake_http_deinit(&fake);
    events_destroy(hub);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t after = 0; after < 8; after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, after);
        if (events_create(&fault.base, &hub) != BRISK_OK) {
            CHECK_U64(fault.bytes_held, ==, 0);
            continue;
        }
        fake_http fake;
        listen_to(&fake, "/v1/events?topics=log");
        bool told = tell(EVENTS_LOG, "{}");
        CHECK(fake.status == 200 || fake.status == 503);
        fake_run(&fake);
        CHECK(fake.status == 503 || holds(&fake, "data: {}") == told);
        fake_http_deinit(&fake);
        events_destroy(hub);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_hears),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_who_does_not_read),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
