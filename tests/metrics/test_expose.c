/*
 * test_expose.c -- proves <brisk/expose.h>: the exact text of small registries, escapes, cumulative buckets, JSON,
 * the output's errors, and what Prometheus' own promtool says of all of it (skipped where it is not there).
 */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <brisk/expose.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "support/check.h"

BRISK_DEFINE_CLEANUP(brisk_metrics, brisk_metrics_destroy)
BRISK_DEFINE_CLEANUP(brisk_snapshot, brisk_snapshot_unref)

enum { TEXT_MAX = 1 << 20 };

static brisk_metrics *make_registry(void)
{
    brisk_metrics *metrics = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    const brisk_label labels[] = {{"path", "C:\\a \"b\"\n\xff\xc3\xa4"}, {"le", "x"}};
    brisk_counter *counter;
    brisk_total *total;
    brisk_gauge *gauge;
    brisk_histogram *histogram;
    CHECK_OK(brisk_metrics_counter(
        metrics,
        &(brisk_metric_desc){"http.requests", "Requests \\ \n", BRISK_UNIT_NONE, labels, 1},
        &counter));
    brisk_counter_add(counter, 5);
    CHECK_OK(brisk_metrics_counter(
        metrics, &(brisk_metric_desc){"http.requests", NULL, BRISK_UNIT_NONE, NULL, 0}, &counter));
    CHECK_OK(brisk_metrics_total(
        metrics, &(brisk_metric_desc){"net.bytes_total", "Bytes", BRISK_UNIT_BYTES, NULL, 0},
        &total));
    brisk_total_set(total, UINT64_C(1) << 60);
    CHECK_OK(brisk_metrics_total(
        metrics, &(brisk_metric_desc){"cpu.busy", "Busy", BRISK_UNIT_NS, NULL, 0}, &total));
    brisk_total_set(total, 1500000000);
    CHECK_OK(brisk_metrics_gauge(
        metrics, &(brisk_metric_desc){"load", "Load", BRISK_UNIT_RATIO, NULL, 0}, &gauge));
    brisk_gauge_set(gauge, 0.1);
    CHECK_OK(brisk_metrics_gauge(
        metrics, &(brisk_metric_desc){"unknown.yet", NULL, BRISK_UNIT_NONE, NULL, 0}, &gauge));
    brisk_gauge_set(gauge, (double)NAN);
    CHECK_OK(brisk_metrics_histogram(
        metrics, &(brisk_metric_desc){"took", "Time", BRISK_UNIT_NS, labels, 2}, &histogram));
    brisk_histogram_record(histogram, 500);
    brisk_histogram_record(histogram, 2000000);
    brisk_histogram_record(histogram, UINT64_C(1000000000000));
    CHECK_OK(brisk_metrics_histogram(
        metrics, &(brisk_metric_desc){"size", "Sizes", BRISK_UNIT_BYTES, NULL, 0}, &histogram));
    brisk_histogram_record(histogram, 64);
    return metrics;
}

static char *expose(brisk_expose_format format, brisk_str *text)
{
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = make_registry();
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    brisk_str_init(text, NULL, TEXT_MAX);
    CHECK_OK(brisk_expose_text(snapshot, format, brisk_str_out(text)));
    CHECK_OK(brisk_str_err(text));
    return text->data_;
}

static void has(const char *text, const char *line)
{
    assert_non_null(text);
    if (strstr(text, line) == NULL) {
        fail_msg("missing: %s\nin:\n%s", line, text);
    }
}

static void test_prometheus(void **state)
{
    (void)state;
    brisk_str str;
    const char *text = expose(BRISK_EXPOSE_PROMETHEUS, &str);
    has(text, "# HELP http_requests_total Requests \\\\ \\n\n# TYPE http_requests_total counter\n"
              "http_requests_total 0\n"
              "http_requests_total{path=\"C:\\\\a \\\"b\\\"\\n?\xc3\xa4\"} 5\n");
    has(text, "\nnet_bytes_total 1152921504606846976\n");
    has(text, "\ncpu_busy_seconds_total 1.5\n");
    has(text, "\nload_ratio 0.1\n");
    has(text, "\nunknown_yet NaN\n");
    has(text, "took_seconds_bucket{label_le=\"x\",path=\"C:\\\\a "
              "\\\"b\\\"\\n?\xc3\xa4\",le=\"1e-06\"} 1\n");
    has(text, "le=\"0.001\"} 1\n");
    has(text, "le=\"0.0025\"} 2\n");
    has(text, "le=\"100\"} 2\n");
    has(text, "le=\"+Inf\"} 3\n");
    has(text, "took_seconds_count{label_le=\"x\",path=\"C:\\\\a \\\"b\\\"\\n?\xc3\xa4\"} 3\n");
    has(text, "size_bytes_bucket{le=\"16\"} 0\nsize_bytes_bucket{le=\"64\"} 1\n");
    has(text, "size_bytes_sum 64\n");
    CHECK(strstr(text, "# EOF") == NULL);
    brisk_str_deinit(&str);
}

static void test_openmetrics(void **state)
{
    (void)state;
    brisk_str str;
    const char *text = expose(BRISK_EXPOSE_OPENMETRICS, &str);
    has(text, "# TYPE http_requests counter\nhttp_requests_total 0\n");
    has(text, "# TYPE net_bytes counter\n# UNIT net_bytes bytes\nnet_bytes_total ");
    has(text, "# TYPE took_seconds histogram\n# UNIT took_seconds seconds\n");
    has(text, "le=\"100.0\"} 2\n");
    CHECK(strcmp(text + brisk_str_size(&str) - 6, "# EOF\n") == 0);
    brisk_str_deinit(&str);
    CHECK(strstr(brisk_expose_content_type(BRISK_EXPOSE_OPENMETRICS), "openmetrics") != NULL);
}

static void test_json(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = make_registry();
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    brisk_str text;
    brisk_str_init(&text, NULL, TEXT_MAX);
    CHECK_OK(brisk_expose_json(snapshot, brisk_str_out(&text)));
    has(brisk_str_text(&text), "\"schema\": 1");
    has(brisk_str_text(&text), "\"name\": \"took\"");
    has(brisk_str_text(&text), "\"p999\": 1000000000000");
    has(brisk_str_text(&text), "\"value\": null");
    brisk_str_deinit(&text);
}

static brisk_err refuse(void *ctx, const char *data, size_t size)
{
    (void)data;
    (void)size;
    int *left = ctx;
    return (*left)-- > 0 ? BRISK_OK : BRISK_ERR_FULL;
}

static void test_the_outputs_error_comes_back(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = make_registry();
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    for (int pieces = 0; pieces < 200; pieces += 7) {
        int left = pieces;
        CHECK(brisk_expose_text(snapshot, BRISK_EXPOSE_PROMETHEUS, (brisk_out){refuse, &left}) ==
              BRISK_ERR_FULL);
        CHECK(left == -1); /* nothing is written after an error */
    }
}

static void test_promtool_agrees(void **state)
{
    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("skipped: no promtool (Debian: prometheus)\n");
        skip();
    }
    brisk_str str;
    const char *text = expose(BRISK_EXPOSE_PROMETHEUS, &str);
    char path[] = "/tmp/brisk_expose_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK(write(fd, text, brisk_str_size(&str)) == (ssize_t)brisk_str_size(&str));
    (void)close(fd);
    char command[128];
    (void)snprintf(command, sizeof command, "promtool check metrics <%s >&2", path);
    int failed = system(command);
    (void)unlink(path);
    brisk_str_deinit(&str);
    CHECK(failed == 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_prometheus),
        cmocka_unit_test(test_openmetrics),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_the_outputs_error_comes_back),
        cmocka_unit_test(test_promtool_agrees),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
