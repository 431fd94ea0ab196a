/*
 * test_statsd.c -- proves <brisk/statsd.h>: the grammar and what is none, names made valid, sampling, tags,
 * datagrams over a socket of its own, addresses that are none, every allocation failing.
 */
#include <arpa/inet.h>
#include <math.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <brisk/statsd.h>

#include "base/cleanup.h"
#include "observe/statsd/line.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_metrics, brisk_metrics_destroy)
BRISK_DEFINE_CLEANUP(brisk_statsd, brisk_statsd_destroy)
BRISK_DEFINE_CLEANUP(brisk_snapshot, brisk_snapshot_unref)

static const brisk_metric_value *value_of(brisk_metrics *metrics, brisk_snapshot **snapshot,
                                          const char *name, const brisk_label *labels,
                                          uint32_t count)
{
    brisk_snapshot_unref(*snapshot);
    *snapshot = NULL;
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, snapshot));
    return brisk_snapshot_find(*snapshot, name, labels, count);
}

static void test_lines(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_statsd_destroy) brisk_statsd *statsd = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *s = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    CHECK_OK(brisk_statsd_create(&(brisk_statsd_opts){.metrics = metrics}, &statsd, NULL));
    static const char text[] = "orders:3|c\norders:1|c|@0.1\r\n\nload:5|g\nload:-1.5|g\nload:+2|g\n"
                               "took:1.5|ms\ntook:2:3|ms|@0.5\nsize:100|h|#path:/a:b,secure\n"
                               "dist:7|d|T1656581400|#env:x";
    brisk_statsd_counts counts = brisk_statsd_apply(statsd, text, sizeof text - 1);
    CHECK_U64(counts.lines, ==, 9);
    CHECK_U64(counts.bad, ==, 0);
    CHECK_U64(value_of(metrics, &s, "orders", NULL, 0)->count, ==, 13);
    CHECK(value_of(metrics, &s, "load", NULL, 0)->value == 5.5);
    const brisk_metric_value *took = value_of(metrics, &s, "took", NULL, 0);
    CHECK(took->unit == BRISK_UNIT_NS);
    CHECK_U64(took->count, ==, 5); /* 1, and twice 2 */
    CHECK_U64(took->min, ==, 1500000);
    CHECK_U64(took->max, ==, 3000000);
    const brisk_label tags[] = {{"path", "/a:b"}, {"secure", "true"}};
    CHECK_U64(value_of(metrics, &s, "size", tags, 2)->max, ==, 100);
    CHECK_U64(value_of(metrics, &s, "statsd.lines", NULL, 0)->count, ==, 9);
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",         "a",        "a:1",      "a:|c",      ":1|c",     "a:1|",      "a:1|x",
        "a:1|cc",   "a:x|c",    "a:nan|g",  "a:inf|g",   "a:0x10|g", "a:1e999|g", "a: 1|g",
        "a:1::2|g", "a:1|c|@0", "a:1|c|@2", "a:1|c|@-1", "a:1|c|@x", "...:1|c",   "a:1|s",
    };
    statsd_line line;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (statsd_parse(bad[i], strlen(bad[i]), "", &line)) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    CHECK(!statsd_parse("a:1\0|c", 6, "", &line));
    CHECK(!statsd_parse("a:1|c|#k:\0", 10, "", &line));
    char large[4096];
    memset(large, 'a', sizeof large);
    memcpy(large + sizeof large - 4, ":1|c", 4);
    CHECK(!statsd_parse(large, sizeof large, "", &line)); /* a name that fits nowhere */
    memcpy(large, "a:1|c|#", 7);
    CHECK(!statsd_parse(large, sizeof large, "", &line)); /* a tag, likewise */
    size_t used = (size_t)snprintf(large, sizeof large, "a:1");
    for (int i = 1; i < STATSD_VALUES_MAX + 1; i++) {
        used += (size_t)snprintf(large + used, sizeof large - used, ":1");
    }
    used += (size_t)snprintf(large + used, sizeof large - used, "|h");
    CHECK(!statsd_parse(large, used, "", &line));
    used = (size_t)snprintf(large, sizeof large, "a:1|c|#");
    for (int i = 0; i < BRISK_LABELS_MAX + 1; i++) {
        used += (size_t)snprintf(large + used, sizeof large - used, "t%d:v,", i);
    }
    CHECK(!statsd_parse(large, used, "", &line));
}

static void test_names_are_made_valid(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"web.", "a b-c/d:1|c", "web.a_b_c_d"},
        {"", "1a.2b..c.:1|c", "_1a._2b.c"},
        {"p", "x:1|c", "px"},
        {"", "\xc3\xa4:1|c", "__"},
        {".x.", ".y:1|c", "x.y"},
    };
    statsd_line line;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(statsd_parse(cases[i][1], strlen(cases[i][1]), cases[i][0], &line));
        if (strcmp(line.name, cases[i][2]) != 0) {
            fail_msg("%s: %s, not %s", cases[i][1], line.name, cases[i][2]);
        }
    }
    static const char tags[] = "a:1|c|#a:1,a:2,,b";
    CHECK(statsd_parse(tags, sizeof tags - 1, "", &line));
    CHECK_U64(line.label_count, ==, 2);
    CHECK(strcmp(line.labels[0].value, "1") == 0 && strcmp(line.labels[1].value, "true") == 0);
}

static void test_conflicts_and_impossible_values_are_counted(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_statsd_destroy) brisk_statsd *statsd = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *s = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    CHECK_OK(brisk_statsd_create(&(brisk_statsd_opts){.metrics = metrics}, &statsd, NULL));
    static const char text[] =
        "a:1|c\na:1|g\na:1|ms\na:-1|c\na:1e30|c\nb:-1|h\nb:1e300|ms\nnonsense";
    brisk_statsd_counts counts = brisk_statsd_apply(statsd, text, sizeof text - 1);
    CHECK_U64(counts.lines, ==, 1);
    CHECK_U64(counts.bad, ==, 7);
    CHECK_U64(value_of(metrics, &s, "statsd.bad", NULL, 0)->count, ==, 7);
    CHECK_U64(value_of(metrics, &s, "a", NULL, 0)->count, ==, 1);
}

/* Good lines beyond what the registry takes are neither taken nor bad. */
static void test_names_beyond_the_cap(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_statsd_destroy) brisk_statsd *statsd = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *s = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    CHECK_OK(brisk_statsd_create(&(brisk_statsd_opts){.metrics = metrics}, &statsd, NULL));
    uint64_t lines = 0;
    uint64_t beyond = 0;
    for (int i = 0; i < BRISK_METRICS_NAMES_MAX + 10; i++) {
        static const char *const types[] = {"c", "g", "ms"};
        char line[32];
        int size = snprintf(line, sizeof line, "n%d:1|%s", i, types[i % 3]);
        brisk_statsd_counts counts = brisk_statsd_apply(statsd, line, (size_t)size);
        CHECK_U64(counts.bad, ==, 0);
        lines += counts.lines;
        beyond += counts.beyond;
    }
    CHECK_U64(lines, ==, BRISK_METRICS_NAMES_MAX - 4); /* less the four of its own */
    CHECK_U64(beyond, ==, 14);
    CHECK_U64(value_of(metrics, &s, "statsd.beyond", NULL, 0)->count, ==, 14);
    CHECK_U64(value_of(metrics, &s, "statsd.bad", NULL, 0)->count, ==, 0);
}

static void test_over_a_socket(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *s = NULL;
    brisk_statsd *statsd = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    CHECK_OK(brisk_statsd_create(
        &(brisk_statsd_opts){.metrics = metrics, .prefix = "net.", .listen = "127.0.0.1:0"},
        &statsd, NULL));
    uint16_t port = brisk_statsd_port(statsd);
    CHECK(port != 0);
    brisk_errinfo info = {0};
    char taken[32];
    brisk_statsd *second = NULL;
    (void)snprintf(taken, sizeof taken, ":%u", port);
    CHECK(brisk_statsd_create(&(brisk_statsd_opts){.metrics = metrics, .listen = taken}, &second,
                              &info) == BRISK_ERR_CONFLICT);
    CHECK(strstr(info.text, taken) != NULL);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool seen = false;
    for (int i = 0; i < 500 && !seen; i++) { /* until one arrives */
        CHECK(sendto(fd, "x:1|c", 5, 0, (struct sockaddr *)&to, sizeof to) == 5);
        struct timespec pause = {.tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
        const brisk_metric_value *value = value_of(metrics, &s, "net.x", NULL, 0);
        seen = value != NULL && value->count > 0;
    }
    CHECK(seen);
    (void)close(fd);
    brisk_statsd_destroy(statsd);
}

static void test_addresses_and_prefixes(void **state)
{
    (void)state;
    static const char *const bad[] = {"",       "8125",       ":",      ":x",    ":70000",
                                      "host:1", "1.2.3:1",    "[::1:1", "[x]:1", ":-1",
                                      ":1 ",    "127.0.0.1:", "[]:1"};
    brisk_statsd *statsd = NULL;
    brisk_errinfo info = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(brisk_statsd_create(&(brisk_statsd_opts){.listen = bad[i]}, &statsd, &info) ==
              BRISK_ERR_INVALID);
    }
    char prefix[100];
    memset(prefix, 'a', sizeof prefix);
    prefix[99] = '\0';
    CHECK(brisk_statsd_create(&(brisk_statsd_opts){.prefix = prefix}, &statsd, &info) ==
          BRISK_ERR_INVALID);
    CHECK(statsd == NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_metrics *metrics = NULL;
        brisk_statsd *statsd = NULL;
        err = brisk_metrics_create(&(brisk_metrics_opts){.alloc = &fault.base}, &metrics);
        if (err == BRISK_OK) {
            err = brisk_statsd_create(
                &(brisk_statsd_opts){.metrics = metrics, .alloc = &fault.base}, &statsd, NULL);
        }
        if (err == BRISK_OK && brisk_statsd_apply(statsd, "a:1|ms|#b:c", 11).lines != 1) {
            err = BRISK_ERR_NOMEM;
        }
        brisk_statsd_destroy(statsd);
        brisk_metrics_destroy(metrics);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_names_are_made_valid),
        cmocka_unit_test(test_conflicts_and_impossible_values_are_counted),
        cmocka_unit_test(test_names_beyond_the_cap),
        cmocka_unit_test(test_over_a_socket),
        cmocka_unit_test(test_addresses_and_prefixes),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
