/*
 * test_otlp.c -- proves <brisk/otlp.h>: what is written, buckets against the exact ones, spans of tracked operations
 * with their ids, what is kept when a collector refuses, endpoints that are none.  The whole way, with a collector that
 * understands what it gets: test_metrics_command.py.
 */
#include <math.h>
#include <string.h>

#include <brisk/otlp.h>
#include <brisk/track.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "observe/export/otlp_write.h"
#include "support/check.h"
#include "support/fault_alloc.h"
#include "support/http_server.h"

BRISK_DEFINE_CLEANUP(brisk_metrics, brisk_metrics_destroy)
BRISK_DEFINE_CLEANUP(brisk_snapshot, brisk_snapshot_unref)

static const otlp_identity who = {
    .service = "test", .trace_high = 0x11, .trace_low = 0x22, .span = 0x33, .start_wall_ns = 5};

static void has(const brisk_str *text, const char *part)
{
    if (strstr(brisk_str_text(text), part) == NULL) {
        fail_msg("missing: %s\nin: %s", part, brisk_str_text(text));
    }
}

static void test_metrics_as_json(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    brisk_counter *counter;
    brisk_total *total;
    brisk_gauge *gauge;
    brisk_histogram *histogram;
    const brisk_label label = {"path", "/\"x\""};
    CHECK_OK(brisk_metrics_counter(
        metrics, &(brisk_metric_desc){"a.count", "Help", BRISK_UNIT_BYTES, &label, 1}, &counter));
    brisk_counter_add(counter, UINT64_MAX);
    CHECK_OK(brisk_metrics_total(
        metrics, &(brisk_metric_desc){"b.time", NULL, BRISK_UNIT_NS, NULL, 0}, &total));
    brisk_total_set(total, 2500000000);
    CHECK_OK(brisk_metrics_gauge(metrics, &(brisk_metric_desc){.name = "c.nan"}, &gauge));
    brisk_gauge_set(gauge, (double)NAN);
    CHECK_OK(brisk_metrics_histogram(
        metrics, &(brisk_metric_desc){.name = "d.size", .unit = BRISK_UNIT_BYTES}, &histogram));
    brisk_histogram_record(histogram, 0);
    brisk_histogram_record(histogram, 4);
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    brisk_str text;
    brisk_str_init(&text, NULL, 1 << 20);
    CHECK_OK(otlp_write_metrics(&who, snapshot, brisk_str_out(&text)));
    has(&text, "\"service.name\",\"value\":{\"stringValue\":\"test\"}");
    has(&text, "\"name\":\"a.count\",\"description\":\"Help\",\"unit\":\"By\",\"sum\":{"
               "\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":[{\"attributes\":["
               "{\"key\":\"path\",\"value\":{\"stringValue\":\"/\\\"x\\\"\"}}],"
               "\"startTimeUnixNano\":\"5\",\"timeUnixNano\":\"");
    has(&text, "\"asInt\":\"18446744073709551615\"");
    has(&text, "\"unit\":\"s\"");
    has(&text, "\"asDouble\":2.5");
    has(&text,
        "\"name\":\"c.nan\",\"description\":\"\",\"unit\":\"1\",\"gauge\":{\"dataPoints\":[]}");
    has(&text, "\"count\":\"2\",\"sum\":4,\"min\":0,\"max\":4,\"scale\":6,\"zeroCount\":\"1\","
               "\"positive\":{\"offset\":127,\"bucketCounts\":[\"1\"]}");
    brisk_str_deinit(&text);
}

/* Each value lies in its bucket, give or take the 0.8 % of our own, and none is lost. */
static void test_buckets(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (int round = 0; round < 60; round++) {
        BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
        BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
        CHECK_OK(brisk_metrics_create(NULL, &metrics));
        brisk_histogram *histogram;
        CHECK_OK(brisk_metrics_histogram(
            metrics, &(brisk_metric_desc){.name = "h", .unit = round % 2 ? BRISK_UNIT_NS : 0},
            &histogram));
        int shift = round + 1;
        for (int i = 0; i < 500; i++) { /* ranges from one doubling to 60 of them */
            uint64_t bits = check_random(&random);
            brisk_histogram_record(histogram, bits >> (check_random(&random) % (uint64_t)shift));
        }
        CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
        const brisk_metric_value *value = brisk_snapshot_at(snapshot, 0);
        otlp_exponential e;
        otlp_rebucket(value, &e);
        uint64_t sum = e.zero;
        for (uint32_t i = 0; i < e.count; i++) {
            sum += e.counts[i];
        }
        CHECK_U64(sum, ==, 500);
        CHECK_U64(e.count, <=, OTLP_BUCKETS_MAX);
        CHECK(e.counts[0] > 0 && e.counts[e.count - 1] > 0);
        double scale = round % 2 ? 1e-9 : 1;
        double base = exp2(ldexp(1.0, -e.scale));
        double low = pow(base, e.offset);
        double top = pow(base, e.offset + (double)e.count);
        CHECK(top >= (double)value->max * scale / 1.008);
        if (e.zero == 0) { /* else the least of the others is not known here */
            CHECK(low <= (double)value->min * scale * 1.008);
            CHECK(low * base >= (double)value->min * scale / 1.008);
        }
        /* As fine as fits: one scale more would need too many. */
        CHECK(e.scale == OTLP_SCALE_MAX || e.count * 2 + 2 > OTLP_BUCKETS_MAX);
    }
}

static void test_a_trace_as_json(void **state)
{
    (void)state;
    brisk_trace *trace = NULL;
    CHECK_OK(brisk_trace_create(0, NULL, NULL, &trace));
    uint32_t outer = brisk_trace_begin(trace, "outer", BRISK_TRACE_NONE, -1);
    uint32_t inner = brisk_trace_begin(trace, "inner", outer, 2);
    (void)brisk_trace_begin(trace, "runs", outer, 2);
    brisk_trace_end(trace, inner);
    brisk_trace_end(trace, outer);
    brisk_str text;
    brisk_str_init(&text, NULL, 1 << 20);
    CHECK_OK(otlp_write_trace(&who, trace, brisk_clock_now_ns(NULL), brisk_clock_wall_ns(NULL),
                              brisk_str_out(&text)));
    has(&text, "\"name\":\"inner\"");
    has(&text, "\"parentSpanId\":\"");
    CHECK(strstr(brisk_str_text(&text), "\"runs\"") == NULL);
    const char *first = strstr(brisk_str_text(&text), "\"traceId\":\"");
    const char *second = strstr(first + 1, "\"traceId\":\"");
    CHECK(second != NULL && strncmp(first, second, 11 + 32) == 0);
    const char *own = strstr(brisk_str_text(&text), "\"spanId\":\"");
    const char *parent = strstr(brisk_str_text(&text), "\"parentSpanId\":\"");
    CHECK(strncmp(own + 10, parent + 16, 16) == 0);
    brisk_str_deinit(&text);
    brisk_trace_destroy(trace);
}

static brisk_operation operation = BRISK_OPERATION("otlp.test");

static void test_pushing(void **state)
{
    (void)state;
    static http_server server;
    http_server_start(&server);
    atomic_store(&server.way, HTTP_STATUS);
    atomic_store(&server.status, 200);
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", server.port);
    brisk_otlp *otlp = NULL;
    brisk_errinfo info = {0};
    brisk_err err =
        brisk_otlp_create(&(brisk_otlp_opts){.endpoint = url, .spans_max = 4}, &otlp, &info);
    if (err == BRISK_ERR_UNSUPPORTED) {
        http_server_stop(&server);
        print_message("skipped: %s\n", info.text);
        skip();
    }
    CHECK_OK(err);
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(brisk_metrics_default(), NULL, &snapshot));
    CHECK_OK(brisk_otlp_push_metrics(otlp, snapshot, &info));
    for (int i = 0; i < 3; i++) {
        BRISK_TRACK(&operation);
    }
    atomic_store(&server.status, 503);
    CHECK(brisk_otlp_push_metrics(otlp, snapshot, &info) == BRISK_ERR_IO);
    CHECK(strstr(info.text, "503") != NULL);
    CHECK(brisk_otlp_push_spans(otlp, &info) == BRISK_ERR_IO);
    for (int i = 0; i < 3; i++) { /* one finds room, two do not */
        BRISK_TRACK(&operation);
    }
    CHECK_U64(brisk_otlp_dropped(otlp), ==, 2);
    atomic_store(&server.status, 200);
    CHECK_OK(brisk_otlp_push_spans(otlp, &info));
    CHECK_OK(brisk_otlp_push_spans(otlp, &info)); /* nothing to send */
    CHECK_U64(brisk_otlp_dropped(otlp), ==, 2);
    http_server_stop(&server);
    {
        BRISK_TRACK(&operation);
    }
    CHECK(brisk_otlp_push_spans(otlp, &info) != BRISK_OK); /* nobody is there */
    brisk_otlp_destroy(otlp);
}

static void test_options_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "localhost:4318", "ftp://x", "http://", "file:///etc"};
    brisk_otlp *otlp = NULL;
    brisk_errinfo info = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(brisk_otlp_create(&(brisk_otlp_opts){.endpoint = bad[i]}, &otlp, &info) ==
              BRISK_ERR_INVALID);
    }
    CHECK(brisk_otlp_create(&(brisk_otlp_opts){.spans_max = BRISK_OTLP_SPANS_MAX + 1}, &otlp,
                            &info) == BRISK_ERR_INVALID);
    CHECK(otlp == NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_otlp *otlp = NULL;
        err = brisk_otlp_create(&(brisk_otlp_opts){.alloc = &fault.base}, &otlp, NULL);
        CHECK((otlp != NULL) == (err == BRISK_OK));
        brisk_otlp_destroy(otlp);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK(err == BRISK_OK || err == BRISK_ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_metrics_as_json),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_a_trace_as_json),
        cmocka_unit_test(test_pushing),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
