/*
 * test_metrics.c -- proves <brisk/metrics.h>: the same instrument for the same name and labels, hostile
 * names refused, the cap of series, snapshots that list everything, rates over fake time, collectors, threads
 * that make instruments at once, and every allocation failing.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include <brisk/metrics.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "support/check.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_metrics, brisk_metrics_destroy)
BRISK_DEFINE_CLEANUP(brisk_snapshot, brisk_snapshot_unref)

#define DESC(text)                                                                                 \
    &(brisk_metric_desc)                                                                           \
    {                                                                                              \
        .name = (text)                                                                             \
    }

static void test_the_same_name_is_the_same_instrument(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    const brisk_label one[] = {{"method", "GET"}, {"code", "200"}};
    const brisk_label turned[] = {{"code", "200"}, {"method", "GET"}};
    const brisk_label other[] = {{"code", "404"}, {"method", "GET"}};
    brisk_metric_desc desc = {.name = "http.requests", .labels = one, .label_count = 2};
    brisk_counter *a = NULL;
    brisk_counter *b = NULL;
    brisk_counter *c = NULL;
    brisk_counter *bare = NULL;
    CHECK_OK(brisk_metrics_counter(metrics, &desc, &a));
    desc.labels = turned;
    CHECK_OK(brisk_metrics_counter(metrics, &desc, &b));
    desc.labels = other;
    CHECK_OK(brisk_metrics_counter(metrics, &desc, &c));
    CHECK_OK(brisk_metrics_counter(metrics, DESC("http.requests"), &bare));
    CHECK(a == b);
    CHECK(a != c && a != bare && c != bare);

    brisk_gauge *gauge = NULL;
    CHECK(brisk_metrics_gauge(metrics, DESC("http.requests"), &gauge) == BRISK_ERR_CONFLICT);
    CHECK(brisk_metrics_counter(metrics, DESC("http_requests"), &b) == BRISK_ERR_CONFLICT);
    desc.unit = BRISK_UNIT_BYTES;
    CHECK(brisk_metrics_counter(metrics, &desc, &b) == BRISK_ERR_CONFLICT);
    CHECK(gauge == NULL);
}

static void test_names_and_labels_are_checked(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    char longest[BRISK_METRIC_NAME_MAX + 1];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    const char *const bad[] = {"",     "1a",   "a-b",  "a b",      ".a",   "a.",
                               "a..b", "a.1b", "a\nb", "\xc3\xa4", longest};
    brisk_gauge *gauge = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(brisk_metrics_gauge(metrics, DESC(bad[i]), &gauge) == BRISK_ERR_INVALID);
    }
    CHECK(brisk_metrics_gauge(metrics, &(brisk_metric_desc){0}, &gauge) == BRISK_ERR_INVALID);
    longest[BRISK_METRIC_NAME_MAX - 1] = '\0';
    CHECK_OK(brisk_metrics_gauge(metrics, DESC(longest), &gauge));
    gauge = NULL;
    const brisk_label twice[] = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
    const brisk_label dotted[] = {{"a.b", "1"}};
    const brisk_label none[] = {{"a", NULL}};
    brisk_label many[BRISK_LABELS_MAX + 1];
    char names[BRISK_LABELS_MAX + 1][4];
    for (uint32_t i = 0; i <= BRISK_LABELS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "l%u", i);
        many[i] = (brisk_label){names[i], "x"};
    }
    const struct {
        const brisk_label *labels;
        uint32_t count;
    } wrong[] = {{twice, 3}, {dotted, 1}, {none, 1}, {many, BRISK_LABELS_MAX + 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        brisk_metric_desc desc = {
            .name = "x", .labels = wrong[i].labels, .label_count = wrong[i].count};
        CHECK(brisk_metrics_gauge(metrics, &desc, &gauge) == BRISK_ERR_INVALID);
    }
    brisk_metric_desc desc = {.name = "x", .labels = many, .label_count = BRISK_LABELS_MAX};
    CHECK_OK(brisk_metrics_gauge(metrics, &desc, &gauge));
}

/* Values with the separators of keys do not meet those of other labels; long ones are cut between characters. */
static void test_hostile_label_values(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    const brisk_label two[] = {{"a", "1"}, {"b", "2"}};
    const brisk_label forged[] = {{"a", "1\1b\0022"}};
    brisk_metric_desc desc = {.name = "x", .labels = two, .label_count = 2};
    brisk_counter *a;
    brisk_counter *b;
    CHECK_OK(brisk_metrics_counter(metrics, &desc, &a));
    desc.labels = forged;
    desc.label_count = 1;
    CHECK_OK(brisk_metrics_counter(metrics, &desc, &b));
    CHECK(a != b);
    char text[400];
    memset(text, 'x', sizeof text);
    memcpy(text + BRISK_LABEL_VALUE_MAX - 2, "\xc3\xa4", 2); /* lies across the cut */
    text[399] = '\0';
    const brisk_label large[] = {{"a", text}};
    desc.labels = large;
    CHECK_OK(brisk_metrics_counter(metrics, &desc, &a));
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    const brisk_metric_value *value = brisk_snapshot_find(snapshot, "x", large, 1);
    CHECK(value != NULL);
    CHECK_U64(strlen(value->labels[0].value), ==, BRISK_LABEL_VALUE_MAX - 2);
}

static void test_series_have_a_cap(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(&(brisk_metrics_opts){.series_max = 10}, &metrics));
    for (int i = 0; i < 1000; i++) {
        char user[16];
        (void)snprintf(user, sizeof user, "user%d", i);
        brisk_label label = {"user", user};
        brisk_counter *counter = NULL;
        CHECK_OK(brisk_metrics_counter(
            metrics, &(brisk_metric_desc){.name = "seen", .labels = &label, .label_count = 1},
            &counter));
        brisk_counter_add(counter, 1);
    }
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    CHECK_U64(brisk_snapshot_count(snapshot), ==, 11);
    const brisk_label overflow = {"overflow", "true"};
    const brisk_label first = {"user", "user0"};
    CHECK_U64(brisk_snapshot_find(snapshot, "seen", &overflow, 1)->count, ==, 990);
    CHECK_U64(brisk_snapshot_find(snapshot, "seen", &first, 1)->count, ==, 1);
}

static void test_all_series_together_have_a_cap(void **state)
{
    (void)state;
    enum { NAMES = 80, VALUES = 250 };
    static_assert(NAMES * VALUES > BRISK_METRICS_TOTAL_MAX, "more than fit");
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    for (int i = 0; i < NAMES * VALUES; i++) {
        char name[16];
        char text[16];
        (void)snprintf(name, sizeof name, "n%d", i / VALUES);
        (void)snprintf(text, sizeof text, "%d", i % VALUES);
        brisk_label label = {"v", text};
        brisk_gauge *gauge = NULL;
        CHECK_OK(brisk_metrics_gauge(
            metrics, &(brisk_metric_desc){.name = name, .labels = &label, .label_count = 1},
            &gauge));
    }
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    CHECK_U64(brisk_snapshot_count(snapshot), >=, BRISK_METRICS_TOTAL_MAX);
    CHECK_U64(brisk_snapshot_count(snapshot), <=, BRISK_METRICS_TOTAL_MAX + NAMES);
}

static void test_names_have_a_cap(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    brisk_gauge *gauge = NULL;
    char name[16];
    for (int i = 0; i < BRISK_METRICS_NAMES_MAX; i++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        CHECK_OK(brisk_metrics_gauge(metrics, DESC(name), &gauge));
    }
    CHECK(brisk_metrics_gauge(metrics, DESC("more"), &gauge) == BRISK_ERR_LIMIT);
    CHECK_OK(brisk_metrics_gauge(metrics, DESC("n7"), &gauge));
}

static void test_a_snapshot_lists_everything(void **state)
{
    (void)state;
    brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    brisk_counter *counter;
    brisk_gauge *gauge;
    brisk_total *total;
    brisk_histogram *histogram;
    CHECK_OK(brisk_metrics_counter(
        metrics, &(brisk_metric_desc){.name = "b.count", .help = "Things"}, &counter));
    CHECK_OK(brisk_metrics_gauge(
        metrics, &(brisk_metric_desc){.name = "a.gauge", .unit = BRISK_UNIT_RATIO}, &gauge));
    CHECK_OK(brisk_metrics_total(
        metrics, &(brisk_metric_desc){.name = "d.total", .unit = BRISK_UNIT_BYTES}, &total));
    CHECK_OK(brisk_metrics_histogram(
        metrics, &(brisk_metric_desc){.name = "c.took", .unit = BRISK_UNIT_NS}, &histogram));
    brisk_counter_add(counter, 3);
    brisk_gauge_set(gauge, 0.5);
    brisk_gauge_add(gauge, -0.75);
    brisk_total_set(total, UINT64_C(1) << 60);
    for (uint64_t i = 1; i <= 1000; i++) {
        brisk_histogram_record(histogram, i * 1000);
    }
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    brisk_metrics_destroy(metrics); /* the snapshot outlives it */
    CHECK_U64(brisk_snapshot_count(snapshot), ==, 4);
    static const char *const order[] = {"a.gauge", "b.count", "c.took", "d.total"};
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(strcmp(brisk_snapshot_at(snapshot, i)->name, order[i]) == 0);
    }
    const brisk_metric_value *a = brisk_snapshot_at(snapshot, 0);
    CHECK(a->kind == BRISK_METRIC_GAUGE && a->unit == BRISK_UNIT_RATIO && a->value == -0.25);
    const brisk_metric_value *b = brisk_snapshot_at(snapshot, 1);
    CHECK(b->kind == BRISK_METRIC_COUNTER && b->count == 3 && strcmp(b->help, "Things") == 0);
    CHECK(isnan(b->rates[0]) && isnan(b->rates[2])); /* nobody ticked */
    CHECK_U64(brisk_snapshot_at(snapshot, 3)->count, ==, UINT64_C(1) << 60);
    const brisk_metric_value *c = brisk_snapshot_at(snapshot, 2);
    CHECK_U64(c->count, ==, 1000);
    CHECK_U64(c->min, ==, 1000);
    CHECK_U64(c->max, ==, 1000000);
    CHECK(c->p50 >= 500000 && c->p50 <= 504000);
    CHECK(c->p95 >= 950000 && c->p95 <= 957600);
    CHECK(c->p99 >= 990000 && c->p99 <= 998000);
    CHECK(c->p999 >= 999000 && c->p999 <= 1000000); /* not above the maximum */
    CHECK(fabs(c->mean - 500500.0) < 1e-6);
    CHECK(fabs(c->stddev - 288674.99) < 288674.99 * 0.004);
    uint64_t held = 0;
    for (uint32_t i = 0; i < c->bucket_count; i++) {
        held += c->buckets[i].count;
        CHECK(c->buckets[i].count > 0 && c->buckets[i].low <= c->buckets[i].top);
        CHECK(i == 0 || c->buckets[i - 1].top < c->buckets[i].low);
    }
    CHECK_U64(held, ==, 1000);
    CHECK(brisk_snapshot_find(snapshot, "nothing", NULL, 0) == NULL);
    CHECK(brisk_snapshot_find(snapshot, "not a name", NULL, 0) == NULL);
}

static void test_quantile_of_a_window(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    brisk_histogram *histogram;
    CHECK_OK(brisk_metrics_histogram(metrics, DESC("took"), &histogram));
    for (int i = 0; i < 1000; i++) {
        brisk_histogram_record(histogram, 10);
    }
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *before = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *after = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &before));
    for (int i = 0; i < 100; i++) {
        brisk_histogram_record(histogram, i < 90 ? 100 : 120);
    }
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &after));
    const brisk_metric_value *old = brisk_snapshot_at(before, 0);
    const brisk_metric_value *now = brisk_snapshot_at(after, 0);
    CHECK_U64(brisk_metric_quantile(now, NULL, 0.5), ==, 10);
    CHECK_U64(brisk_metric_quantile(now, old, 0.0), ==, 100);
    CHECK_U64(brisk_metric_quantile(now, old, 0.9), ==, 100);
    CHECK_U64(brisk_metric_quantile(now, old, 0.91), ==, 120);
    CHECK_U64(brisk_metric_quantile(now, now, 0.5), ==, 0);
}

static const double *rates_of(brisk_metrics *metrics, const char *name, brisk_snapshot **keep)
{
    brisk_snapshot_unref(*keep);
    *keep = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, keep));
    return brisk_snapshot_find(*keep, name, NULL, 0)->rates;
}

static void test_rates(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 12345);
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *keep = NULL;
    CHECK_OK(brisk_metrics_create(&(brisk_metrics_opts){.clock = &clock.base}, &metrics));
    brisk_counter *counter;
    CHECK_OK(brisk_metrics_counter(metrics, DESC("c"), &counter));
    brisk_metrics_tick(metrics);
    for (int i = 0; i < 100; i++) { /* 7 a second for 100 seconds, then 20 for 10 */
        brisk_counter_add(counter, 7);
        fake_clock_advance(&clock, FAKE_CLOCK_SECOND);
        if (i == 4) { /* five seconds known: no minute yet */
            const double *r = rates_of(metrics, "c", &keep);
            CHECK(fabs(r[0] - 7) < 1e-9 && isnan(r[1]) && isnan(r[2]));
        }
        brisk_metrics_tick(metrics);
        brisk_metrics_tick(metrics); /* too early, keeps nothing */
    }
    fake_clock_advance(&clock, FAKE_CLOCK_SECOND);
    brisk_counter_add(counter, 7);
    const double *r = rates_of(metrics, "c", &keep);
    CHECK(fabs(r[0] - 7) < 1e-9 && fabs(r[1] - 7) < 1e-9 && fabs(r[2] - 7) < 1e-9);
    for (int i = 0; i < 10; i++) {
        brisk_metrics_tick(metrics);
        brisk_counter_add(counter, 20);
        fake_clock_advance(&clock, FAKE_CLOCK_SECOND);
    }
    r = rates_of(metrics, "c", &keep);
    CHECK(fabs(r[0] - 20) < 1e-9 && fabs(r[1] - 20) < 1e-9);
    CHECK(fabs(r[2] - (50 * 7 + 10 * 20) / 60.0) < 1e-9);
    brisk_counter *young; /* made between ticks: nothing before */
    CHECK_OK(brisk_metrics_counter(metrics, DESC("young"), &young));
    brisk_counter_add(young, 30);
    r = rates_of(metrics, "young", &keep);
    CHECK(fabs(r[0] - 30) < 1e-9 && fabs(r[1] - 3) < 1e-9 && fabs(r[2] - 0.5) < 1e-9);
    fake_clock_advance(&clock, 30 * FAKE_CLOCK_SECOND); /* nobody ticked */
    r = rates_of(metrics, "c", &keep);
    CHECK(isnan(r[0]) && isnan(r[1]) && !isnan(r[2]));
}

static void test_a_total_that_begins_anew_has_no_rate(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 0);
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *keep = NULL;
    CHECK_OK(brisk_metrics_create(&(brisk_metrics_opts){.clock = &clock.base}, &metrics));
    brisk_total *total;
    CHECK_OK(brisk_metrics_total(metrics, DESC("t"), &total));
    brisk_total_set(total, 1000);
    brisk_metrics_tick(metrics);
    fake_clock_advance(&clock, FAKE_CLOCK_SECOND);
    brisk_total_set(total, 5);
    CHECK(isnan(rates_of(metrics, "t", &keep)[0]));
    brisk_total_set(total, 1005);
    CHECK(fabs(rates_of(metrics, "t", &keep)[0] - 5) < 1e-9);
}

static void set_by_collector(void *ctx, brisk_metrics *metrics)
{
    int *calls = ctx;
    ++*calls;
    brisk_gauge *gauge;
    CHECK_OK(brisk_metrics_gauge(metrics, DESC("collected"), &gauge));
    brisk_gauge_set(gauge, *calls);
}

static void test_collectors(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *first = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *second = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    int calls = 0;
    CHECK_OK(brisk_metrics_collect(metrics, set_by_collector, &calls));
    CHECK(brisk_metrics_collect(metrics, set_by_collector, &calls) == BRISK_ERR_CONFLICT);
    brisk_metrics_tick(metrics);
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &first));
    CHECK(brisk_snapshot_find(first, "collected", NULL, 0)->value == 2.0);
    brisk_metrics_collect_stop(metrics, set_by_collector, &calls);
    brisk_metrics_collect_stop(metrics, set_by_collector, &calls);
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &second));
    CHECK(calls == 2);
}

enum { MAKERS = 8, MADE = 300 };

static void make_and_count(void *ctx)
{
    brisk_metrics *metrics = ctx;
    for (int i = 0; i < MADE; i++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%d", i % 50);
        brisk_label label = {"n", value};
        brisk_metric_desc desc = {.name = "shared.count", .labels = &label, .label_count = 1};
        brisk_counter *counter = NULL;
        brisk_histogram *histogram = NULL;
        CHECK_OK(brisk_metrics_counter(metrics, &desc, &counter));
        brisk_counter_add(counter, 1);
        desc.name = "shared.took";
        CHECK_OK(brisk_metrics_histogram(metrics, &desc, &histogram));
        brisk_histogram_record(histogram, (uint64_t)i);
        if (i % 64 == 0) {
            brisk_snapshot *snapshot = NULL;
            brisk_metrics_tick(metrics);
            CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
            brisk_snapshot_unref(snapshot);
        }
    }
}

static void test_threads(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    brisk_thread threads[MAKERS];
    for (int i = 0; i < MAKERS; i++) {
        CHECK_OK(brisk_thread_start(&threads[i],
                                    &(brisk_thread_opts){.run = make_and_count, .ctx = metrics}));
    }
    for (int i = 0; i < MAKERS; i++) {
        brisk_thread_join(&threads[i]);
    }
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    CHECK_U64(brisk_snapshot_count(snapshot), ==, 100);
    for (uint32_t i = 0; i < 100; i++) {
        CHECK_U64(brisk_snapshot_at(snapshot, i)->count, ==, MAKERS * MADE / 50);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_metrics *metrics = NULL;
        brisk_snapshot *snapshot = NULL;
        brisk_label label = {"l", "v"};
        brisk_metric_desc desc = {.name = "x", .labels = &label, .label_count = 1};
        brisk_counter *counter = NULL;
        brisk_histogram *histogram = NULL;
        err = brisk_metrics_create(&(brisk_metrics_opts){.alloc = &fault.base}, &metrics);
        err = err == BRISK_OK ? brisk_metrics_counter(metrics, &desc, &counter) : err;
        err = err == BRISK_OK ? brisk_metrics_histogram(metrics, DESC("h"), &histogram) : err;
        if (err == BRISK_OK) {
            brisk_histogram_record(histogram, 5);
            err = brisk_metrics_snapshot(metrics, &fault.base, &snapshot);
        }
        CHECK(err == BRISK_OK || (err == BRISK_ERR_NOMEM && snapshot == NULL));
        brisk_snapshot_unref(snapshot);
        brisk_metrics_destroy(metrics);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

static void test_the_default_registry(void **state)
{
    (void)state;
    CHECK(brisk_metrics_default() == brisk_metrics_default());
    brisk_counter *counter;
    CHECK_OK(brisk_metrics_counter(brisk_metrics_default(), DESC("test.default"), &counter));
    brisk_counter_add(counter, 2);
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(brisk_metrics_default(), NULL, &snapshot));
    CHECK_U64(brisk_snapshot_find(snapshot, "test.default", NULL, 0)->count, ==, 2);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_the_same_name_is_the_same_instrument),
        cmocka_unit_test(test_names_and_labels_are_checked),
        cmocka_unit_test(test_hostile_label_values),
        cmocka_unit_test(test_series_have_a_cap),
        cmocka_unit_test(test_all_series_together_have_a_cap),
        cmocka_unit_test(test_names_have_a_cap),
        cmocka_unit_test(test_a_snapshot_lists_everything),
        cmocka_unit_test(test_quantile_of_a_window),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_a_total_that_begins_anew_has_no_rate),
        cmocka_unit_test(test_collectors),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_the_default_registry),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
