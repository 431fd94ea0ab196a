/*
 * test_events.c -- proves <brisk/events.h>: who wants what gets it, in order; posted events are copies in a
 * bounded queue; unsubscribing is final, from inside and from outside; nesting ends; memory failure drops.
 */
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <brisk/events.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_events, brisk_events_destroy)

typedef struct heard {
    int count;
    char names[16][16];
    brisk_snapshot *snapshot;
} heard;

static void note(void *ctx, const brisk_event *event)
{
    heard *l = ctx;
    CHECK(event->source != NULL && event->state != NULL && event->text != NULL &&
          event->detail != NULL);
    CHECK(event->wall_ns != 0);
    (void)snprintf(l->names[l->count % 16], sizeof l->names[0], "%s", event->name);
    l->snapshot = event->snapshot;
    l->count++;
}

static brisk_event named(brisk_event_type type, const char *name)
{
    return (brisk_event){.type = type, .name = name, .value = (double)NAN, .limit = (double)NAN};
}

static uint32_t publish(brisk_events *events, brisk_event_type type, const char *name)
{
    brisk_event event = named(type, name);
    return brisk_events_publish(events, &event);
}

static void test_who_wants_what_gets_it(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_events_destroy) brisk_events *events = NULL;
    CHECK_OK(brisk_events_create(NULL, &events));
    heard alerts = {0};
    heard all = {0};
    uint64_t id_alerts = 0;
    uint64_t id_all = 0;
    brisk_subscription s = {
        .types = BRISK_EVENT_MASK(BRISK_EVENT_ALERT), .callback = note, .ctx = &alerts};
    CHECK(!brisk_events_wanted(events, BRISK_EVENT_ALERT));
    CHECK_U64(publish(events, BRISK_EVENT_ALERT, "early"), ==, 0);
    CHECK_OK(brisk_events_subscribe(events, &s, &id_alerts));
    CHECK(brisk_events_wanted(events, BRISK_EVENT_ALERT));
    CHECK(!brisk_events_wanted(events, BRISK_EVENT_METRICS));
    s.types = 0;
    s.ctx = &all;
    CHECK_OK(brisk_events_subscribe(events, &s, &id_all));
    CHECK(id_alerts != 0 && id_all != 0 && id_alerts != id_all);
    CHECK_U64(publish(events, BRISK_EVENT_ALERT, "a"), ==, 2);
    CHECK_U64(publish(events, BRISK_EVENT_OPPORTUNITY, "b"), ==, 1);
    CHECK(alerts.count == 1 && all.count == 2);
    CHECK(strcmp(alerts.names[0], "a") == 0 && strcmp(all.names[1], "b") == 0);
    brisk_events_unsubscribe(events, id_all);
    brisk_events_unsubscribe(events, id_all);
    brisk_events_unsubscribe(events, 999);
    CHECK_U64(publish(events, BRISK_EVENT_ALERT, "c"), ==, 1);
    CHECK(alerts.count == 2 && all.count == 2);
    CHECK_U64(brisk_events_dropped(events), ==, 0);
}

static void test_subscriptions_are_checked_and_bounded(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_events_destroy) brisk_events *events = NULL;
    CHECK_OK(brisk_events_create(NULL, &events));
    heard l = {0};
    uint64_t id = 0;
    brisk_event_target nowhere = {0};
    CHECK(brisk_events_subscribe(events, &(brisk_subscription){.ctx = &l}, &id) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_events_subscribe(events, &(brisk_subscription){.types = 32, .callback = note},
                                 &id) == BRISK_ERR_INVALID);
    CHECK(brisk_events_subscribe(events,
                                 &(brisk_subscription){.callback = note, .target = &nowhere},
                                 &id) == BRISK_ERR_INVALID);
    CHECK(id == 0);
    brisk_subscription s = {.callback = note, .ctx = &l};
    for (int i = 0; i < BRISK_EVENTS_SUBSCRIBERS_MAX; i++) {
        CHECK_OK(brisk_events_subscribe(events, &s, &id));
    }
    CHECK(brisk_events_subscribe(events, &s, &id) == BRISK_ERR_LIMIT);
    CHECK_U64(publish(events, BRISK_EVENT_ALERT, "x"), ==, BRISK_EVENTS_SUBSCRIBERS_MAX);
    CHECK(l.count == BRISK_EVENTS_SUBSCRIBERS_MAX);
}

/* A loop in the test's own hands: what was posted runs when the test says so. */
typedef struct hand_loop {
    void (*run[8])(void *arg);
    void *arg[8];
    int count;
    bool refuses;
} hand_loop;

static bool hand_post(void *ctx, void (*run)(void *arg), void *arg)
{
    hand_loop *loop = ctx;
    if (loop->refuses || loop->count == 8) {
        return false;
    }
    loop->run[loop->count] = run;
    loop->arg[loop->count++] = arg;
    return true;
}

static void hand_run(hand_loop *loop)
{
    int count = loop->count;
    loop->count = 0;
    for (int i = 0; i < count; i++) {
        loop->run[i](loop->arg[i]);
    }
}

static void test_posted_events_are_copies_in_a_bounded_queue(void **state)
{
    (void)state;
    fault_alloc fault; /* never fails: shows that every byte comes back */
    fault_alloc_init(&fault, UINT64_MAX);
    brisk_events *events = NULL;
    CHECK_OK(brisk_events_create(&fault.base, &events));
    hand_loop loop = {.count = 0};
    brisk_event_target target = {hand_post, &loop};
    heard l = {0};
    uint64_t id = 0;
    brisk_subscription s = {.callback = note, .ctx = &l, .target = &target, .queue_max = 3};
    CHECK_OK(brisk_events_subscribe(events, &s, &id));
    char name[16];
    for (int i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof name, "event %d", i);
        CHECK_U64(publish(events, BRISK_EVENT_ALERT, name), ==, i < 3 ? 1 : 0);
    }
    memset(name, '?', sizeof name - 1);
    CHECK(l.count == 0 && loop.count == 1); /* one drain for three events */
    CHECK_U64(brisk_events_dropped(events), ==, 2);
    hand_run(&loop);
    CHECK(l.count == 3 && loop.count == 0);
    CHECK(strcmp(l.names[0], "event 0") == 0 && strcmp(l.names[2], "event 2") == 0);

    loop.refuses = true; /* the loop has ended */
    CHECK_U64(publish(events, BRISK_EVENT_ALERT, "late"), ==, 0);
    CHECK_U64(brisk_events_dropped(events), ==, 3);
    loop.refuses = false;
    CHECK_U64(publish(events, BRISK_EVENT_ALERT, "again"), ==, 1);
    hand_run(&loop);
    CHECK(l.count == 4 && strcmp(l.names[3], "again") == 0);

    CHECK_U64(publish(events, BRISK_EVENT_ALERT, "forgotten"), ==, 1);
    brisk_events_unsubscribe(events, id);
    hand_run(&loop);
    CHECK(l.count == 4);
    CHECK_OK(brisk_events_subscribe(events, &s, &id));
    CHECK_U64(publish(events, BRISK_EVENT_ALERT, "outlived"), ==, 1);
    brisk_events_destroy(events);
    hand_run(&loop); /* after the end: does nothing */
    CHECK(l.count == 4);
    CHECK_U64(fault.bytes_held, ==, 0);
}

static void test_a_posted_snapshot_is_kept(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_events_destroy) brisk_events *events = NULL;
    CHECK_OK(brisk_events_create(NULL, &events));
    fault_alloc fault;
    fault_alloc_init(&fault, UINT64_MAX);
    brisk_metrics *metrics = NULL;
    brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    CHECK_OK(brisk_metrics_snapshot(metrics, &fault.base, &snapshot));
    hand_loop loop = {.count = 0};
    brisk_event_target target = {hand_post, &loop};
    heard l = {0};
    uint64_t id;
    CHECK_OK(brisk_events_subscribe(
        events, &(brisk_subscription){.callback = note, .ctx = &l, .target = &target}, &id));
    brisk_event event = named(BRISK_EVENT_METRICS, "tick");
    event.snapshot = snapshot;
    CHECK_U64(brisk_events_publish(events, &event), ==, 1);
    brisk_snapshot_unref(snapshot);
    brisk_metrics_destroy(metrics);
    CHECK_U64(fault.bytes_held, >, 0);
    hand_run(&loop);
    CHECK(l.snapshot == snapshot);
    CHECK_U64(fault.bytes_held, ==, 0);
}

typedef struct nest {
    brisk_events *events;
    uint64_t id;
    int calls;
    bool leave;
} nest;

static void publish_again(void *ctx, const brisk_event *event)
{
    nest *n = ctx;
    n->calls++;
    if (n->leave) {
        brisk_events_unsubscribe(n->events, n->id); /* must not wait for itself */
    }
    (void)brisk_events_publish(n->events, event);
}

static void test_nesting_ends_and_a_callback_may_leave(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_events_destroy) brisk_events *events = NULL;
    CHECK_OK(brisk_events_create(NULL, &events));
    nest n = {.events = events};
    CHECK_OK(brisk_events_subscribe(
        events, &(brisk_subscription){.callback = publish_again, .ctx = &n}, &n.id));
    (void)publish(events, BRISK_EVENT_ALERT, "x");
    CHECK(n.calls == BRISK_EVENTS_DEPTH_MAX);
    CHECK_U64(brisk_events_dropped(events), ==, 1);
    n.calls = 0;
    n.leave = true;
    (void)publish(events, BRISK_EVENT_ALERT, "x");
    CHECK(n.calls == 1);
    CHECK_U64(publish(events, BRISK_EVENT_ALERT, "x"), ==, 0);
}

typedef struct crowd {
    brisk_events *events;
    _Atomic bool stop;
    _Atomic bool alive; /* the subscriber below may be called */
    _Atomic uint64_t calls;
} crowd;

static void count_alive(void *ctx, const brisk_event *event)
{
    (void)event;
    crowd *c = ctx;
    CHECK(atomic_load(&c->alive));
    atomic_fetch_add(&c->calls, 1);
}

static void publish_much(void *ctx)
{
    crowd *c = ctx;
    while (!atomic_load(&c->stop)) {
        (void)publish(c->events, BRISK_EVENT_DEGRADATION, "x");
    }
}

/* Threads publish while another one comes and goes: after unsubscribe no callback runs. */
static void test_unsubscribe_is_final(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_events_destroy) brisk_events *events = NULL;
    CHECK_OK(brisk_events_create(NULL, &events));
    crowd c = {.events = events};
    brisk_thread threads[3];
    for (int i = 0; i < 3; i++) {
        CHECK_OK(
            brisk_thread_start(&threads[i], &(brisk_thread_opts){.run = publish_much, .ctx = &c}));
    }
    for (int i = 0; i < 300; i++) {
        uint64_t id;
        atomic_store(&c.alive, true);
        CHECK_OK(brisk_events_subscribe(
            events, &(brisk_subscription){.callback = count_alive, .ctx = &c}, &id));
        uint64_t before = atomic_load(&c.calls);
        for (int spin = 0; spin < 1000 && atomic_load(&c.calls) == before; spin++) {
            (void)usleep(10);
        }
        brisk_events_unsubscribe(events, id);
        atomic_store(&c.alive, false);
    }
    atomic_store(&c.stop, true);
    for (int i = 0; i < 3; i++) {
        brisk_thread_join(&threads[i]);
    }
    CHECK_U64(atomic_load(&c.calls), >, 0);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool whole = false;
    for (uint64_t fail_after = 0; !whole; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_events *events = NULL;
        hand_loop loop = {.count = 0};
        brisk_event_target target = {hand_post, &loop};
        heard l = {0};
        uint64_t id = 0;
        brisk_err err = brisk_events_create(&fault.base, &events);
        if (err == BRISK_OK) {
            err = brisk_events_subscribe(
                events, &(brisk_subscription){.callback = note, .ctx = &l, .target = &target}, &id);
        }
        if (err == BRISK_OK) {
            whole = publish(events, BRISK_EVENT_ALERT, "x") == 1;
            CHECK_U64(brisk_events_dropped(events), ==, whole ? 0 : 1);
            hand_run(&loop);
            CHECK(l.count == (whole ? 1 : 0));
        } else {
            CHECK(err == BRISK_ERR_NOMEM);
        }
        brisk_events_destroy(events);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_who_wants_what_gets_it),
        cmocka_unit_test(test_subscriptions_are_checked_and_bounded),
        cmocka_unit_test(test_posted_events_are_copies_in_a_bounded_queue),
        cmocka_unit_test(test_a_posted_snapshot_is_kept),
        cmocka_unit_test(test_nesting_ends_and_a_callback_may_leave),
        cmocka_unit_test(test_unsubscribe_is_final),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
