/*
 * test_track.c -- proves <brisk/track.h>: times and outcomes reach the metrics, listeners see nesting, context
 * and markers, processor time is that of work, forgotten operations harm nobody, threads come and go.
 */
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <brisk/track.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "support/check.h"

BRISK_DEFINE_CLEANUP(brisk_snapshot, brisk_snapshot_unref)

static const brisk_metric_value *value_of(brisk_snapshot **snapshot, const char *name)
{
    brisk_snapshot_unref(*snapshot);
    *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(brisk_metrics_default(), NULL, snapshot));
    const brisk_metric_value *value = brisk_snapshot_find(*snapshot, name, NULL, 0);
    CHECK(value != NULL);
    return value;
}

static void sleep_ms(long ms)
{
    struct timespec time = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&time, NULL);
}

static brisk_operation plain = BRISK_OPERATION("track.plain");

static int leave_early(int how)
{
    BRISK_TRACK(&plain);
    if (how > 0) {
        return how;
    }
    sleep_ms(20);
    return 0;
}

static void test_scopes_and_outcomes(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    for (int i = 0; i < 10; i++) {
        (void)leave_early(i); /* one of them sleeps */
    }
    const brisk_metric_value *time = value_of(&snapshot, "track.plain.time");
    CHECK_U64(time->count, ==, 10);
    CHECK_U64(time->max, >=, 20000000);
    CHECK(time->unit == BRISK_UNIT_NS);
    brisk_track track = brisk_track_begin(&plain);
    brisk_track_fail(&track);
    brisk_track_fail(&track); /* the second end is ignored */
    brisk_track_end(&track);
    track = brisk_track_begin(&plain);
    brisk_track_timeout(&track);
    CHECK_U64(value_of(&snapshot, "track.plain.time")->count, ==, 12);
    CHECK_U64(value_of(&snapshot, "track.plain.failures")->count, ==, 1);
    CHECK_U64(value_of(&snapshot, "track.plain.timeouts")->count, ==, 1);
}

/* What a listener heard, copied. */
typedef struct heard {
    _Atomic uint32_t count;
    struct {
        brisk_track_record record;
        brisk_track_pair context[BRISK_TRACK_CONTEXT_MAX];
        brisk_track_marker markers[BRISK_TRACK_MARKERS_MAX];
    } at[16];
} heard;

static brisk_operation within = BRISK_OPERATION("track.within");

static void hear(void *ctx, const brisk_track_record *record)
{
    heard *h = ctx;
    BRISK_TRACK(&within); /* tracked, not told: no endless story */
    uint32_t i = atomic_fetch_add(&h->count, 1) % 16;
    h->at[i].record = *record;
    memcpy(h->at[i].context, record->context, record->context_count * sizeof *record->context);
    memcpy(h->at[i].markers, record->markers, record->marker_count * sizeof *record->markers);
}

static brisk_operation outer_op = BRISK_OPERATION("track.outer");
static brisk_operation inner_op = BRISK_OPERATION("track.inner");

static void test_listeners_see_nesting_context_and_markers(void **state)
{
    (void)state;
    static heard h;
    CHECK_OK(brisk_track_listen(hear, &h));
    CHECK(brisk_track_listen(hear, &h) == BRISK_ERR_CONFLICT);
    brisk_track outer = brisk_track_begin(&outer_op);
    char longest[100];
    memset(longest, 'v', sizeof longest);
    memcpy(longest + BRISK_TRACK_TEXT_MAX - 2, "\xc3\xa4", 2); /* lies across the cut */
    longest[99] = '\0';
    brisk_track_set(&outer, "user", longest);
    {
        BRISK_TRACK(&inner_op);
        BRISK_TRACK(&inner_op);
        sleep_ms(2);
    }
    brisk_track_mark(&outer, "half");
    for (int i = 0; i < 12; i++) {
        brisk_track_set(&outer, "more", "x");
    }
    brisk_track_fail(&outer);
    brisk_track_set(&outer, "late", "x");
    brisk_track_mark(&outer, "late");
    brisk_track_listen_stop(hear, &h);
    brisk_track_listen_stop(hear, &h);
    (void)leave_early(1); /* untold */
    CHECK_U64(h.count, ==, 3);
    const brisk_track_record *inner = &h.at[0].record;
    const brisk_track_record *middle = &h.at[1].record;
    const brisk_track_record *last = &h.at[2].record;
    CHECK(strcmp(last->name, "track.outer") == 0 && strcmp(inner->name, "track.inner") == 0);
    CHECK(last->parent == 0 && middle->parent == last->id && inner->parent == middle->id);
    CHECK(last->root == last->id && middle->root == last->id && inner->root == last->id);
    CHECK(last->outcome == BRISK_OUTCOME_FAILED && inner->outcome == BRISK_OUTCOME_OK);
    CHECK(last->thread == inner->thread && last->thread != 0);
    CHECK_U64(last->time_ns, >=, inner->time_ns);
    CHECK_U64(inner->time_ns, >=, 2000000);
    CHECK_U64(inner->start_ns, >=, last->start_ns);
    CHECK_U64(last->context_count, ==, BRISK_TRACK_CONTEXT_MAX);
    CHECK_U64(last->left_out, ==, 5);
    CHECK(strcmp(h.at[2].context[0].key, "user") == 0);
    CHECK_U64(strlen(h.at[2].context[0].value), ==, BRISK_TRACK_TEXT_MAX - 2);
    CHECK_U64(last->marker_count, ==, 1);
    CHECK(strcmp(h.at[2].markers[0].name, "half") == 0);
    CHECK_U64(h.at[2].markers[0].at_ns, <=, last->time_ns);
    CHECK_U64(h.at[2].markers[0].at_ns, >=, 2000000);
}

static brisk_operation costly =
    BRISK_OPERATION_WITH("track.costly", BRISK_TRACK_CPU | BRISK_TRACK_MEMORY);

static void test_processor_time_and_memory(void **state)
{
    (void)state;
    enum { BYTES = 64 << 20 };
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    const brisk_alloc *alloc = brisk_alloc_libc();
    brisk_track_record record;
    brisk_track track = brisk_track_begin(&costly);
    sleep_ms(50);
    char *memory = alloc->acquire(alloc->ctx, BYTES, 64);
    CHECK(memory != NULL);
    memset(memory, 1, BYTES);
    brisk_track_finish(&track, BRISK_OUTCOME_OK, &record);
    CHECK_U64(record.time_ns, >=, 50000000);
    CHECK_U64(record.cpu_ns, >, 0);
    CHECK_U64(record.cpu_ns, <, record.time_ns - 40000000); /* sleeping is no work */
    CHECK(record.memory_bytes > BYTES / 2);                 /* sanitizers keep books of their own */
    CHECK(record.context == NULL && record.markers == NULL);
    track = brisk_track_begin(&costly);
    alloc->release(alloc->ctx, memory, BYTES, 64);
    brisk_track_finish(&track, BRISK_OUTCOME_OK, &record);
    CHECK_U64(value_of(&snapshot, "track.costly.cpu")->count, ==, 2);
    brisk_track_record untouched = record;
    brisk_track_finish(&track, BRISK_OUTCOME_FAILED, &untouched);
    CHECK(untouched.id == record.id && untouched.outcome == BRISK_OUTCOME_OK);
}

static void test_forgotten_operations(void **state)
{
    (void)state;
    static heard h;
    CHECK_OK(brisk_track_listen(hear, &h));
    brisk_track outer = brisk_track_begin(&outer_op);
    brisk_track forgotten = brisk_track_begin(&inner_op);
    brisk_track_end(&outer);
    brisk_track next = brisk_track_begin(&outer_op);
    brisk_track_set(&forgotten, "a", "b"); /* its detail is gone */
    brisk_track_end(&forgotten);           /* too late to be told, but counted */
    brisk_track_end(&next);
    brisk_track_listen_stop(hear, &h);
    CHECK_U64(h.count, ==, 2);
    CHECK_U64(h.at[1].record.parent, ==, 0);
    CHECK_U64(h.at[1].record.context_count, ==, 0);
}

static brisk_operation bad_name = BRISK_OPERATION("not a name");

static void test_an_operation_without_metrics_still_runs(void **state)
{
    (void)state;
    CHECK(brisk_operation_prepare(&bad_name) == BRISK_ERR_INVALID);
    brisk_track_record record;
    brisk_track track = brisk_track_begin(&bad_name);
    sleep_ms(1);
    brisk_track_finish(&track, BRISK_OUTCOME_FAILED, &record);
    CHECK_U64(record.time_ns, >=, 1000000);
}

static brisk_operation shared_op = BRISK_OPERATION("track.shared");
enum { THREADS = 6, ROUNDS = 2000 };

static void track_many(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < ROUNDS; i++) {
        BRISK_TRACK(&shared_op);
        BRISK_TRACK(&inner_op);
    }
}

static void test_threads_with_listeners_coming_and_going(void **state)
{
    (void)state;
    static heard h;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    brisk_thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK_OK(brisk_thread_start(&threads[i], &(brisk_thread_opts){.run = track_many}));
    }
    for (int i = 0; i < 50; i++) {
        CHECK_OK(brisk_track_listen(hear, &h));
        brisk_track_listen_stop(hear, &h);
    }
    for (int i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
    }
    CHECK_U64(value_of(&snapshot, "track.shared.time")->count, ==, THREADS * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_scopes_and_outcomes),
        cmocka_unit_test(test_listeners_see_nesting_context_and_markers),
        cmocka_unit_test(test_processor_time_and_memory),
        cmocka_unit_test(test_forgotten_operations),
        cmocka_unit_test(test_an_operation_without_metrics_still_runs),
        cmocka_unit_test(test_threads_with_listeners_coming_and_going),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
