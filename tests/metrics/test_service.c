/*
 * test_service.c -- proves <brisk/service.h> and ratios: failures and timeouts apart, error and hit rates, an
 * Apdex that forgets after a minute, business ratios, names too long, every allocation failing.
 */
#include <math.h>
#include <string.h>

#include <brisk/service.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_metrics, brisk_metrics_destroy)
BRISK_DEFINE_CLEANUP(brisk_service, brisk_service_destroy)
BRISK_DEFINE_CLEANUP(brisk_snapshot, brisk_snapshot_unref)

#define MS(n) (UINT64_C(1000000) * (n))

static const brisk_metric_value *value_of(brisk_metrics *metrics, brisk_snapshot **snapshot,
                                          const char *name)
{
    brisk_snapshot_unref(*snapshot);
    *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, snapshot));
    const brisk_metric_value *value = brisk_snapshot_find(*snapshot, name, NULL, 0);
    CHECK(value != NULL);
    return value;
}

static void test_figures(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 0);
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *s = NULL;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_service_destroy) brisk_service *service = NULL;
    CHECK_OK(brisk_metrics_create(&(brisk_metrics_opts){.clock = &clock.base}, &metrics));
    CHECK_OK(brisk_service_create(
        &(brisk_service_opts){.name = "shop", .metrics = metrics, .target_ns = MS(100)}, &service));
    CHECK(isnan(value_of(metrics, &s, "shop.error_rate")->value));
    CHECK(isnan(value_of(metrics, &s, "shop.apdex")->value));
    for (int i = 0; i < 60; i++) {
        brisk_service_done(service, BRISK_OUTCOME_OK, MS(50));
    }
    for (int i = 0; i < 30; i++) {
        brisk_service_done(service, BRISK_OUTCOME_OK, MS(200)); /* tolerating */
    }
    for (int i = 0; i < 6; i++) {
        brisk_service_done(service, BRISK_OUTCOME_OK, MS(900)); /* frustrated */
    }
    for (int i = 0; i < 3; i++) {
        brisk_service_done(service, BRISK_OUTCOME_FAILED, MS(1));
    }
    brisk_service_done(service, BRISK_OUTCOME_TIMEOUT, MS(5000));
    brisk_service_add(service, BRISK_FLOW_BYTES, 12345);
    brisk_service_add(service, BRISK_FLOW_MESSAGES, 7);
    brisk_service_add(service, BRISK_FLOW_OPERATIONS, 9);
    brisk_service_add(service, BRISK_FLOW_HITS, 30);
    brisk_service_add(service, BRISK_FLOW_MISSES, 10);
    CHECK_U64(value_of(metrics, &s, "shop.time")->count, ==, 100);
    CHECK_U64(value_of(metrics, &s, "shop.failures")->count, ==, 3);
    CHECK_U64(value_of(metrics, &s, "shop.timeouts")->count, ==, 1);
    CHECK_U64(value_of(metrics, &s, "shop.bytes")->count, ==, 12345);
    CHECK_U64(value_of(metrics, &s, "shop.messages")->count, ==, 7);
    CHECK_U64(value_of(metrics, &s, "shop.operations")->count, ==, 9);
    CHECK(value_of(metrics, &s, "shop.error_rate")->value == 0.04);
    CHECK(value_of(metrics, &s, "shop.hit_rate")->value == 0.75);
    /* 60 within 100 ms, 30 within 400; the 3 quick failures please nobody, the slow one did not anyway. */
    const double expected = (60 + 15) / 100.0;
    CHECK(fabs(value_of(metrics, &s, "shop.apdex")->value - expected) < 1e-9);
    CHECK(fabs(brisk_metric_apdex(value_of(metrics, &s, "shop.time"), NULL, 3, MS(100)) -
               expected) < 1e-9);
    for (int i = 0; i < 70; i++) { /* more than a minute of better times */
        fake_clock_advance(&clock, FAKE_CLOCK_SECOND);
        brisk_service_done(service, BRISK_OUTCOME_OK, MS(10));
        brisk_metrics_tick(metrics);
    }
    CHECK(value_of(metrics, &s, "shop.apdex")->value == 1.0);
    fake_clock_advance(&clock, FAKE_CLOCK_SECOND);
    brisk_service_done(service, BRISK_OUTCOME_FAILED, MS(10));
    CHECK(fabs(value_of(metrics, &s, "shop.time")->rates[2] - 1.0) < 1e-9);
    CHECK(value_of(metrics, &s, "shop.apdex")->value < 1.0);
}

static void test_business_ratios(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *s = NULL;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    const brisk_metric_desc orders = {.name = "orders"};
    const brisk_metric_desc visits = {.name = "visits"};
    const brisk_metric_desc conversion = {.name = "conversion", .unit = BRISK_UNIT_RATIO};
    const brisk_ratio ratio = {&orders, 1, &visits, 1};
    CHECK(brisk_metrics_ratio(metrics, &conversion, &ratio) == BRISK_ERR_NOT_FOUND);
    brisk_counter *count;
    brisk_gauge *gauge;
    CHECK_OK(brisk_metrics_counter(metrics, &orders, &count));
    CHECK_OK(brisk_metrics_gauge(metrics, &visits, &gauge));
    CHECK_OK(brisk_metrics_ratio(metrics, &conversion, &ratio));
    CHECK_OK(brisk_metrics_ratio(metrics, &conversion, &ratio));
    brisk_counter_add(count, 3);
    CHECK(isnan(value_of(metrics, &s, "conversion")->value));
    brisk_gauge_set(gauge, 12);
    CHECK(value_of(metrics, &s, "conversion")->value == 0.25);
    CHECK(value_of(metrics, &s, "conversion")->kind == BRISK_METRIC_GAUGE);
    const brisk_ratio of_ratio = {&conversion, 1, &visits, 1};
    const brisk_metric_desc other = {.name = "other"};
    CHECK(brisk_metrics_ratio(metrics, &other, &of_ratio) == BRISK_ERR_NOT_FOUND);
    CHECK(brisk_metrics_ratio(metrics, &orders, &ratio) == BRISK_ERR_CONFLICT);
    const brisk_ratio none = {&orders, 0, &visits, 1};
    const brisk_ratio many = {&orders, 1, &visits, BRISK_RATIO_PARTS_MAX + 1};
    CHECK(brisk_metrics_ratio(metrics, &other, &none) == BRISK_ERR_INVALID);
    CHECK(brisk_metrics_ratio(metrics, &other, &many) == BRISK_ERR_INVALID);
    CHECK(brisk_metrics_gauge(metrics, &conversion, &gauge) == BRISK_ERR_CONFLICT);
}

static void test_names_are_checked(void **state)
{
    (void)state;
    char longest[BRISK_METRIC_NAME_MAX];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    brisk_service *service = NULL;
    CHECK(brisk_service_create(&(brisk_service_opts){.name = longest}, &service) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_service_create(&(brisk_service_opts){.name = "a b"}, &service) ==
          BRISK_ERR_INVALID);
    CHECK(brisk_service_create(&(brisk_service_opts){0}, &service) == BRISK_ERR_INVALID);
    CHECK(service == NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_metrics *metrics = NULL;
        brisk_service *service = NULL;
        err = brisk_metrics_create(&(brisk_metrics_opts){.alloc = &fault.base}, &metrics);
        if (err == BRISK_OK) {
            err = brisk_service_create(
                &(brisk_service_opts){.name = "x", .metrics = metrics, .alloc = &fault.base},
                &service);
        }
        CHECK((service != NULL) == (err == BRISK_OK));
        brisk_service_destroy(service);
        brisk_metrics_destroy(metrics);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_business_ratios),
        cmocka_unit_test(test_names_are_checked),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
