/*
 * test_flight.c -- the table of flights: who leads, who waits, what they are told.
 */
#include "support/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <brisk/flight.h>

#include "base/cleanup.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_flights, brisk_flights_destroy)

enum { NOTHING = 99 };

typedef struct passenger {
    brisk_flight flight; /* first */
    uint32_t answer;
    _Atomic int told; /* brisk_flight_event, or NOTHING */
    bool refuses;
} passenger;

static void copy(brisk_flight *self, const brisk_flight *leader)
{
    ((passenger *)self)->answer = ((const passenger *)leader)->answer;
}

static void on_event(brisk_flight *self, brisk_flight_event event)
{
    CHECK(atomic_exchange(&((passenger *)self)->told, (int)event) == NOTHING);
}

static bool may_wait(brisk_flight *self)
{
    return !((passenger *)self)->refuses;
}

static void init(passenger *p, const char *key)
{
    *p = (passenger){.flight = {.key = brisk_key_of(key, strlen(key)),
                                .copy = copy,
                                .on_event = on_event,
                                .may_wait = may_wait},
                     .told = NOTHING};
}

static brisk_flights *make_table(const brisk_clock *clock)
{
    brisk_flights *flights = NULL;
    CHECK_OK(brisk_flights_create(&(brisk_flights_opts){.buckets = 2, .clock = clock}, &flights));
    return flights;
}

static brisk_flight_join enter(brisk_flights *flights, passenger *p)
{
    return brisk_flight_enter(flights, &p->flight, brisk_flight_landed(flights, &p->flight.key));
}

static void test_one_leads_and_the_others_get_its_answer(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *flights = make_table(NULL);
    passenger a, b, c, other, late;
    init(&a, "k");
    init(&b, "k");
    init(&c, "k");
    init(&other, "o");
    init(&late, "k");
    uint64_t landed = brisk_flight_landed(flights, &a.flight.key);
    CHECK(enter(flights, &a) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(enter(flights, &b) == BRISK_FLIGHT_JOIN_WAITING);
    CHECK(enter(flights, &c) == BRISK_FLIGHT_JOIN_WAITING);
    CHECK(enter(flights, &other) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(!brisk_flight_try_lead(flights, &late.flight));
    CHECK(brisk_flights_waiting(flights) == 2);
    a.answer = 42;
    CHECK(brisk_flight_publish(flights, &a.flight));
    CHECK(b.told == BRISK_FLIGHT_ANSWERED && b.answer == 42);
    CHECK(c.told == BRISK_FLIGHT_ANSWERED && c.answer == 42);
    CHECK(other.told == NOTHING);
    CHECK(enter(flights, &late) == BRISK_FLIGHT_JOIN_ANSWERED && late.answer == 42);
    brisk_flight_land(flights, &a.flight);
    /* Who looked before the landing looks again; who looked after it leads. */
    CHECK(brisk_flight_enter(flights, &late.flight, landed) == BRISK_FLIGHT_JOIN_LANDED);
    CHECK(enter(flights, &late) == BRISK_FLIGHT_JOIN_LEAD);
    brisk_flight_abandon(flights, &late.flight);
    brisk_flight_abandon(flights, &other.flight);
    brisk_flight_abandon(flights, &other.flight); /* does not lead: nothing happens */
    CHECK(a.told == NOTHING && late.told == NOTHING);
}

static void test_who_gives_up_is_succeeded_in_order(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *flights = make_table(NULL);
    passenger p[5];
    for (int i = 0; i < 5; i++) {
        init(&p[i], "k");
        CHECK(enter(flights, &p[i]) ==
              (i == 0 ? BRISK_FLIGHT_JOIN_LEAD : BRISK_FLIGHT_JOIN_WAITING));
    }
    CHECK(brisk_flight_leave(flights, &p[2].flight) && p[2].told == BRISK_FLIGHT_LEFT);
    CHECK(!brisk_flight_leave(flights, &p[2].flight));
    CHECK(!brisk_flight_leave(flights, &p[0].flight)); /* leads */
    brisk_flight_abandon(flights, &p[0].flight);
    CHECK(p[1].told == BRISK_FLIGHT_LEAD && p[3].told == NOTHING);
    brisk_flight_abandon(flights, &p[1].flight);
    CHECK(p[3].told == BRISK_FLIGHT_LEAD);
    p[3].answer = 7;
    CHECK(brisk_flight_publish(flights, &p[3].flight));
    brisk_flight_land(flights, &p[3].flight);
    CHECK(p[4].told == BRISK_FLIGHT_ANSWERED && p[4].answer == 7);
}

static void test_who_must_not_wait_is_alone(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *flights = make_table(NULL);
    passenger a, b;
    init(&a, "k");
    init(&b, "k");
    b.refuses = true;
    CHECK(enter(flights, &a) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(enter(flights, &b) == BRISK_FLIGHT_JOIN_ALONE);
    brisk_flight_abandon(flights, &a.flight);
    CHECK(enter(flights, &b) == BRISK_FLIGHT_JOIN_LEAD); /* leading is not waiting */
    brisk_flight_abandon(flights, &b.flight);
}

static void test_deadlines(void **unused)
{
    (void)unused;
    fake_clock clock;
    fake_clock_init(&clock, FAKE_CLOCK_SECOND);
    for (int outdated = 0; outdated < 2; outdated++) {
        BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *flights = make_table(&clock.base);
        passenger a, b, c;
        init(&a, "k");
        init(&b, "k");
        init(&c, "k");
        uint64_t now = brisk_clock_now_ns(&clock.base);
        b.flight.deadline_ns = now + 5 * FAKE_CLOCK_SECOND;
        c.flight.deadline_ns = now + 50 * FAKE_CLOCK_SECOND;
        CHECK(enter(flights, &a) == BRISK_FLIGHT_JOIN_LEAD);
        CHECK(enter(flights, &b) == BRISK_FLIGHT_JOIN_WAITING);
        CHECK(enter(flights, &c) == BRISK_FLIGHT_JOIN_WAITING);
        if (outdated != 0) {
            brisk_flight_outdate(flights, &a.flight.key);
        }
        fake_clock_advance(&clock, 10 * FAKE_CLOCK_SECOND);
        while (atomic_load(&b.told) == NOTHING) {
            struct timespec ms = {.tv_nsec = 1000000};
            (void)nanosleep(&ms, NULL);
        }
        CHECK(b.told == BRISK_FLIGHT_LATE && c.told == NOTHING);
        CHECK(brisk_flight_publish(flights, &a.flight) == (outdated == 0));
        brisk_flight_land(flights, &a.flight);
        CHECK(c.told == BRISK_FLIGHT_ANSWERED);
    }
}

static void test_outdated_answers(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *flights = make_table(NULL);
    passenger a, b, c, other;
    init(&a, "k");
    init(&b, "k");
    init(&c, "k");
    init(&other, "o");
    CHECK(enter(flights, &a) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(enter(flights, &b) == BRISK_FLIGHT_JOIN_WAITING);
    CHECK(enter(flights, &other) == BRISK_FLIGHT_JOIN_LEAD);
    brisk_flight_outdate(flights, &a.flight.key);
    CHECK(enter(flights, &c) == BRISK_FLIGHT_JOIN_LEAD); /* begins anew */
    a.answer = 1;
    CHECK(!brisk_flight_publish(flights, &a.flight));
    CHECK(b.told == BRISK_FLIGHT_ANSWERED && b.answer == 1);
    brisk_flight_land(flights, &a.flight);
    brisk_flight_outdate_all(flights);
    CHECK(!brisk_flight_publish(flights, &c.flight) &&
          !brisk_flight_publish(flights, &other.flight));
    brisk_flight_land(flights, &c.flight);
    brisk_flight_land(flights, &other.flight);
    brisk_flight_outdate(flights, &a.flight.key); /* nobody there */
    /* An outdated leader may give up, too. */
    init(&b, "k");
    CHECK(enter(flights, &a) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(enter(flights, &b) == BRISK_FLIGHT_JOIN_WAITING);
    brisk_flight_outdate_all(flights);
    brisk_flight_abandon(flights, &a.flight);
    CHECK(b.told == BRISK_FLIGHT_LEAD);
    CHECK(!brisk_flight_publish(flights, &b.flight));
    brisk_flight_land(flights, &b.flight);
}

typedef struct outdating {
    brisk_flights *flights;
    brisk_key key;
    bool all;
    _Atomic bool done;
} outdating;

static void *outdate(void *ctx)
{
    outdating *self = ctx;
    if (self->all) {
        brisk_flight_outdate_all(self->flights);
    } else {
        brisk_flight_outdate(self->flights, &self->key);
    }
    atomic_store(&self->done, true);
    return NULL;
}

static void test_outdate_waits_for_what_is_being_stored(void **unused)
{
    (void)unused;
    for (int all = 0; all < 2; all++) {
        BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *flights = make_table(NULL);
        passenger a;
        init(&a, "k");
        CHECK(enter(flights, &a) == BRISK_FLIGHT_JOIN_LEAD);
        CHECK(brisk_flight_publish(flights, &a.flight));
        outdating other = {.flights = flights, .key = a.flight.key, .all = all != 0};
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, outdate, &other) == 0);
        for (int i = 0; i < 20; i++) {
            struct timespec ms = {.tv_nsec = 1000000};
            (void)nanosleep(&ms, NULL);
            CHECK(!atomic_load(&other.done));
        }
        brisk_flight_land(flights, &a.flight);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(other.done);
    }
}

static void test_a_queued_leader(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *flights = make_table(NULL);
    passenger queued, waits, thread;
    init(&queued, "k");
    queued.flight.queued = true;
    CHECK(enter(flights, &queued) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(brisk_flight_begin(flights, &queued.flight));
    CHECK(brisk_flight_publish(flights, &queued.flight));
    brisk_flight_land(flights, &queued.flight);

    init(&waits, "k");
    init(&thread, "k");
    thread.flight.blocks = true;
    CHECK(enter(flights, &queued) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(enter(flights, &waits) == BRISK_FLIGHT_JOIN_WAITING);
    CHECK(enter(flights, &thread) == BRISK_FLIGHT_JOIN_LEAD); /* takes its place */
    CHECK(!brisk_flight_begin(flights, &queued.flight));
    brisk_flight_abandon(flights, &queued.flight); /* is out already */
    thread.answer = 3;
    CHECK(brisk_flight_publish(flights, &thread.flight));
    CHECK(waits.told == BRISK_FLIGHT_ANSWERED && waits.answer == 3);
    brisk_flight_land(flights, &thread.flight);
}

/* A thread that waits inherits before those who wait without one. */
static void test_threads_inherit_first(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *flights = make_table(NULL);
    passenger leader, callback, thread;
    init(&leader, "k");
    init(&callback, "k");
    init(&thread, "k");
    thread.flight.blocks = true;
    CHECK(enter(flights, &leader) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(enter(flights, &callback) == BRISK_FLIGHT_JOIN_WAITING);
    CHECK(enter(flights, &thread) == BRISK_FLIGHT_JOIN_WAITING);
    brisk_flight_abandon(flights, &leader.flight);
    CHECK(thread.told == BRISK_FLIGHT_LEAD && callback.told == NOTHING);
    brisk_flight_abandon(flights, &thread.flight);
    CHECK(callback.told == BRISK_FLIGHT_LEAD);
    brisk_flight_abandon(flights, &callback.flight);
}

static void test_a_thread_does_not_wait_for_itself(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *flights = make_table(NULL);
    BRISK_CLEANUP(brisk_flights_destroy) brisk_flights *others = make_table(NULL);
    passenger outer, inner, again;
    init(&outer, "outer");
    init(&inner, "inner");
    init(&again, "outer");
    outer.flight.blocks = inner.flight.blocks = again.flight.blocks = true;
    CHECK(enter(flights, &outer) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(enter(others, &inner) == BRISK_FLIGHT_JOIN_LEAD);
    CHECK(enter(flights, &again) == BRISK_FLIGHT_JOIN_CYCLE);
    brisk_flight_abandon(others, &inner.flight);
    brisk_flight_abandon(flights, &outer.flight);
}

static void test_create_checks_and_may_fail(void **unused)
{
    (void)unused;
    brisk_flights *flights = NULL;
    CHECK(brisk_flights_create(&(brisk_flights_opts){.buckets = 3}, &flights) == BRISK_ERR_INVALID);
    CHECK(brisk_flights_create(&(brisk_flights_opts){.buckets = 1u << 21}, &flights) ==
          BRISK_ERR_INVALID);
    fault_alloc fault;
    fault_alloc_init(&fault, 0);
    CHECK(brisk_flights_create(&(brisk_flights_opts){.alloc = &fault.base}, &flights) ==
          BRISK_ERR_NOMEM);
    CHECK(flights == NULL);
    brisk_flights_destroy(NULL);
    fault_alloc_init(&fault, 1);
    CHECK_OK(brisk_flights_create(&(brisk_flights_opts){.alloc = &fault.base}, &flights));
    brisk_flights_destroy(flights);
    CHECK(fault.bytes_held == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_leads_and_the_others_get_its_answer),
        cmocka_unit_test(test_who_gives_up_is_succeeded_in_order),
        cmocka_unit_test(test_who_must_not_wait_is_alone),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_outdated_answers),
        cmocka_unit_test(test_outdate_waits_for_what_is_being_stored),
        cmocka_unit_test(test_a_queued_leader),
        cmocka_unit_test(test_threads_inherit_first),
        cmocka_unit_test(test_a_thread_does_not_wait_for_itself),
        cmocka_unit_test(test_create_checks_and_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
