/*
 * Results of other tools: each format gives the figures it holds, is recognised by its content, and is
 * refused when it is damaged, cut anywhere, too large, or not sure to be one.
 */
#include <math.h>
#include <string.h>

#include <brisk/import.h>

#include "observe/import/json_read.h"
#include "support/check.h"
#include "support/fault_alloc.h"

static const char hyperfine[] =
    "{\n \"results\": [\n  {\"command\": \"sleep \\u00e9 0.1\", \"mean\": 0.2, \"stddev\": null,\n"
    "   \"median\": 0.2, \"user\": 0.01, \"system\": 0.02, \"min\": 0.1, \"max\": 0.3,\n"
    "   \"times\": [0.1, 0.2, 3e-1], \"exit_codes\": [0, 0, 0], \"parameters\": {\"x\": \"1\"}},\n"
    "  {\"command\": \"true\", \"mean\": 1.5, \"max\": 2}\n ]\n}\n";

static const char google[] =
    "{\"context\": {\"date\": \"2026\", \"caches\": [{\"size\": 1}]}, \"benchmarks\": [\n"
    "{\"name\": \"BM/8\", \"run_type\": \"iteration\", \"iterations\": 9, \"real_time\": 10.5,\n"
    " \"cpu_time\": 10.25, \"time_unit\": \"us\", \"bytes_per_second\": 1e6},\n"
    "{\"name\": \"BM/8\", \"run_type\": \"iteration\", \"real_time\": 11, \"cpu_time\": 10,\n"
    " \"time_unit\": \"us\"},\n"
    "{\"name\": \"BM/8_mean\", \"run_name\": \"BM/8\", \"run_type\": \"aggregate\",\n"
    " \"aggregate_name\": \"mean\", \"real_time\": 10.75, \"time_unit\": \"us\"},\n"
    "{\"name\": \"bad\", \"error_occurred\": true, \"real_time\": 0, \"time_unit\": \"us\"}]}";

static const char k6_export[] =
    "{\"metrics\": {\"http_req_duration\": {\"avg\": 12.5, \"p(95)\": 20, \"thresholds\": {\"p\": "
    "true}},"
    "\"http_reqs\": {\"count\": 100, \"rate\": 9.5}, \"checks\": {\"passes\": 3, \"fails\": 1,"
    "\"value\": 0.75}, \"my_trend\": {\"avg\": 3}}, \"root_group\": {\"name\": \"\"}}";

static const char k6_handle[] =
    "{\"root_group\": {}, \"metrics\": {\"mine\": {\"type\": \"trend\", \"contains\": \"time\","
    "\"values\": {\"avg\": 3.5, \"max\": 9}}, \"data_sent\": {\"type\": \"counter\","
    "\"contains\": \"data\", \"values\": {\"count\": 2048, \"rate\": 1024}}}}";

static const char junit[] =
    "<?xml version=\"1.0\"?>\n<!-- <x -->\n<testsuites><testsuite name='s' time=\"9\">\n"
    "<testcase classname=\"a.B\" name=\"one &lt;1&gt;\" time=\"0.25\"/>\n"
    "<testcase classname=\"a.B\" name=\"two\" time=\"1e-1\"><failure message=\"no\">x</failure>"
    "</testcase>\n<testcase name=\"three\" time=\"4\"><skipped/></testcase>\n"
    "<system-out><![CDATA[<testcase name=\"no\" time=\"1\"/>]]></system-out>\n"
    "</testsuite><testsuite><testcase classname=\"a.B\" name=\"two\" time=\"0.3\"/></testsuite>"
    "</testsuites>";

static const char wrk[] =
    "Running 30s test @ http://127.0.0.1:8080/x\n  12 threads and 400 connections\n"
    "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n"
    "    Latency   635.91us    0.89ms  12.92s    93.69%\n"
    "    Req/Sec    56.20k     8.07k   62.00k    86.54%\n"
    "  Latency Distribution\n     50%  250.00us\n     99%    1.50m \n"
    "  22464657 requests in 30.00s, 17.76GB read\n  Non-2xx or 3xx responses: 7\n"
    "Requests/sec: 748868.53\nTransfer/sec:    606.50MB\n";

/* Two lines of a log of jHiccup's (HdrHistogram, CC0); the figures are those of another decoder. */
static const char hlog[] =
    "#[Histogram log format version 1.2]\n"
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
    "0.127,1.007,2.769,HISTFAAAAEV42pNpmSzMwMCgyAABTBDKT4GBgdnNYMcCBvsPEBEJISEuATEZMQ4uASkhIR4nrx"
    "g9v2lMaxhvMekILGZkKmcCAEf2CsI=\n"
    "Tag=A,1.134,0.999,0.442,HISTFAAAAEJ42pNpmSzMwMAgxwABTBDKT4GBgdnNYMcCBvsPEBEWLj45FTExAT4pBSEB"
    "Ka6UkAgBi1uM7xjfMMlwMDABAC0CCjM=\n";

static brisk_import *read_good(const char *text, brisk_import_format format)
{
    brisk_import *import = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_import_bytes(text, strlen(text), NULL, &import, &info);
    if (err != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    CHECK(brisk_import_format_of(import) == format);
    return import;
}

typedef struct wanted {
    const char *name;
    const char *statistic;
    const char *unit;
    size_t count;
    double last;
} wanted;

static void check_series(brisk_import *import, const wanted *list, size_t list_count)
{
    size_t count = 0;
    const brisk_import_series *series = brisk_import_series_of(import, &count);
    for (size_t i = 0; i < count && i < list_count; i++) {
        assert_string_equal(series[i].name, list[i].name);
        assert_string_equal(series[i].statistic, list[i].statistic);
        assert_string_equal(series[i].unit, list[i].unit);
        CHECK_U64(series[i].count, ==, list[i].count);
        double off = series[i].values[series[i].count - 1] - list[i].last;
        CHECK(fabs(off) <= 1e-9 * fabs(list[i].last));
    }
    CHECK_U64(count, ==, list_count);
    brisk_import_destroy(import);
}

#define CHECK_SERIES(import, list) check_series(import, list, sizeof(list) / sizeof *(list))

static void test_hyperfine(void **state)
{
    (void)state;
    static const wanted list[] = {{"sleep \xc3\xa9 0.1", "sample", "s", 3, 0.3},
                                  {"sleep \xc3\xa9 0.1", "user", "s", 1, 0.01},
                                  {"sleep \xc3\xa9 0.1", "system", "s", 1, 0.02},
                                  {"true", "mean", "s", 1, 1.5},
                                  {"true", "max", "s", 1, 2}};
    CHECK_SERIES(read_good(hyperfine, BRISK_IMPORT_HYPERFINE), list);
}

static void test_google_benchmark(void **state)
{
    (void)state;
    static const wanted list[] = {{"BM/8", "sample", "us", 2, 11},
                                  {"BM/8 cpu", "sample", "us", 2, 10},
                                  {"BM/8 bytes", "sample", "B/s", 1, 1e6},
                                  {"BM/8", "mean", "us", 1, 10.75}};
    CHECK_SERIES(read_good(google, BRISK_IMPORT_GOOGLE_BENCHMARK), list);
}

static void test_k6(void **state)
{
    (void)state;
    static const wanted list[] = {{"http_req_duration", "avg", "ms", 1, 12.5},
                                  {"http_req_duration", "p(95)", "ms", 1, 20},
                                  {"http_reqs", "count", "1", 1, 100},
                                  {"http_reqs", "rate", "1/s", 1, 9.5},
                                  {"checks", "passes", "1", 1, 3},
                                  {"checks", "fails", "1", 1, 1},
                                  {"checks", "value", "", 1, 0.75},
                                  {"my_trend", "avg", "", 1, 3}};
    CHECK_SERIES(read_good(k6_export, BRISK_IMPORT_K6), list);
    static const wanted more[] = {{"mine", "avg", "ms", 1, 3.5},
                                  {"mine", "max", "ms", 1, 9},
                                  {"data_sent", "count", "B", 1, 2048},
                                  {"data_sent", "rate", "B/s", 1, 1024}};
    CHECK_SERIES(read_good(k6_handle, BRISK_IMPORT_K6), more);
}

static void test_junit(void **state)
{
    (void)state;
    static const wanted list[] = {{"a.B.one <1>", "sample", "s", 1, 0.25},
                                  {"a.B.two", "sample", "s", 2, 0.3}};
    CHECK_SERIES(read_good(junit, BRISK_IMPORT_JUNIT), list);
}

static void test_wrk(void **state)
{
    (void)state;
    static const char url[] = "http://127.0.0.1:8080/x";
    static const wanted list[] = {{url, "latency mean", "s", 1, 635.91e-6},
                                  {url, "latency stddev", "s", 1, 0.89e-3},
                                  {url, "latency max", "s", 1, 12.92},
                                  {url, "requests a thread mean", "1/s", 1, 56200},
                                  {url, "requests a thread stddev", "1/s", 1, 8070},
                                  {url, "requests a thread max", "1/s", 1, 62000},
                                  {url, "latency p50", "s", 1, 250e-6},
                                  {url, "latency p99", "s", 1, 90},
                                  {url, "failed", "1", 1, 7},
                                  {url, "requests", "1/s", 1, 748868.53},
                                  {url, "transfer", "B/s", 1, 606.5 * 1048576}};
    CHECK_SERIES(read_good(wrk, BRISK_IMPORT_WRK), list);
}

static void test_hlog(void **state)
{
    (void)state;
    static const wanted list[] = {{"hlog", "count", "1", 1, 741},
                                  {"hlog", "max", "", 1, 2768895},
                                  {"hlog", "mean", "", 1, 301998.4669365722},
                                  {"hlog", "p50", "", 1, 344063},
                                  {"hlog", "p99", "", 1, 409599},
                                  {"A", "count", "1", 1, 749},
                                  {"A", "max", "", 1, 442367},
                                  {"A", "mean", "", 1, 293719.83978638187},
                                  {"A", "p50", "", 1, 344063},
                                  {"A", "p99", "", 1, 393215}};
    brisk_import *import = read_good(hlog, BRISK_IMPORT_HLOG);
    size_t count = 0;
    const brisk_import_series *series = brisk_import_series_of(import, &count);
    CHECK(series[0].times != NULL && series[0].times[0] == 0.127 && series[5].times[0] == 1.134);
    CHECK_SERIES(import, list);
}

/* The logs of the corpus, where it is: what a histogram holds at most is what its line says. */
static void test_hlog_corpus(void **state)
{
    (void)state;
    const char *folder = getenv("BRISK_BENCH_MEASURE");
    char path[512];
    (void)snprintf(path, sizeof path, "%.400s/hdr/jHiccup-2.0.7S.logV2.hlog",
                   folder != NULL ? folder : "/nonexistent");
    brisk_import *import = NULL;
    brisk_errinfo info;
    if (brisk_import_file(path, NULL, &import, &info) == BRISK_ERR_NOT_FOUND) {
        print_message("skipped: BRISK_BENCH_MEASURE names no corpus\n");
        skip();
    }
    size_t count = 0;
    const brisk_import_series *series = brisk_import_series_of(import, &count);
    CHECK_U64(count, ==, 5);
    CHECK_U64(series[1].count, ==, 62);
    CHECK(fabs(series[1].values[0] / 1e6 - 2.769) < 0.001);
    CHECK(fabs(series[1].values[61] / 1e6 - 26.083) < 0.001);
    brisk_import_destroy(import);
}

static brisk_err read_any(const char *text, size_t size, brisk_import_format format)
{
    brisk_import *import = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_import_opts opts = {.name = "x", .format = format};
    brisk_err err = brisk_import_bytes(text, size, &opts, &import, &info);
    CHECK((import != NULL) == (err == BRISK_OK));
    CHECK(err == BRISK_OK || strncmp(info.text, "x:", 2) == 0);
    brisk_import_destroy(import);
    return err;
}

/* Never a guess. */
static void test_unsure(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "{}", "[]", "{\"results\": []}", "{\"results\": [{\"command\": 1}]}", "<html/>",
        "{\"benchmarks\": []}", "{\"metrics\": {}, \"results\": [{\"command\": \"x\"}",
        "Running 30s", "hello", "\"StartTimestamp\"",
        /* two at once */
        "{\"results\": [{\"command\": \"x\", \"mean\": 1}], \"context\": {}, \"benchmarks\": []}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        brisk_err err = read_any(texts[i], strlen(texts[i]), BRISK_IMPORT_AUTO);
        CHECK(err == BRISK_ERR_UNSUPPORTED || err == BRISK_ERR_CORRUPT);
    }
    CHECK(read_any("{}", 2, (brisk_import_format)99) == BRISK_ERR_INVALID);
}

/* Cut anywhere, and one byte changed anywhere: an answer or a refusal; JSON and XML never half. */
static void test_damage(void **state)
{
    (void)state;
    static const char *const texts[] = {hyperfine, google, k6_export, k6_handle, junit, wrk, hlog};
    static const brisk_import_format kinds[] = {
        BRISK_IMPORT_HYPERFINE, BRISK_IMPORT_GOOGLE_BENCHMARK,
        BRISK_IMPORT_K6,        BRISK_IMPORT_K6,
        BRISK_IMPORT_JUNIT,     BRISK_IMPORT_WRK,
        BRISK_IMPORT_HLOG};
    uint64_t random = check_seed();
    for (size_t t = 0; t < 7; t++) {
        size_t size = strlen(texts[t]);
        for (size_t cut = 0; cut < size; cut++) {
            char *copy = malloc(cut + 1); /* so that the sanitizer sees its end */
            memcpy(copy, texts[t], cut);
            brisk_err err = read_any(copy, cut, kinds[t]);
            bool strict = kinds[t] != BRISK_IMPORT_WRK && kinds[t] != BRISK_IMPORT_HLOG;
            CHECK(!strict || err != BRISK_OK || cut + 1 == size);
            free(copy);
        }
        for (int round = 0; round < 2000; round++) {
            char *copy = malloc(size);
            memcpy(copy, texts[t], size);
            copy[check_random(&random) % size] = (char)check_random(&random);
            (void)read_any(copy, size, kinds[t]);
            free(copy);
        }
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const char dtd[] = "<!DOCTYPE x [<!ENTITY a \"b\">]><testsuite></testsuite>";
    CHECK(read_any(dtd, strlen(dtd), BRISK_IMPORT_JUNIT) == BRISK_ERR_UNSUPPORTED);
    char deep[400] = "{\"results\": ";
    memset(deep + strlen(deep), '[', 300);
    CHECK(read_any(deep, sizeof deep, BRISK_IMPORT_HYPERFINE) == BRISK_ERR_CORRUPT);
    static const char infinite[] = "{\"results\": [{\"command\": \"x\", \"mean\": 1e999}]}";
    CHECK(read_any(infinite, strlen(infinite), BRISK_IMPORT_HYPERFINE) == BRISK_ERR_CORRUPT);
    static const char time[] = "<testsuite>\n<testcase name='a' time='nan'/></testsuite>";
    brisk_import *import = NULL;
    brisk_errinfo info;
    CHECK(brisk_import_bytes(time, strlen(time), &(brisk_import_opts){.name = "t.xml"}, &import,
                             &info) == BRISK_ERR_CORRUPT);
    assert_string_equal(info.text, "t.xml:2: a time that is no number");
}

static void test_json(void **state)
{
    (void)state;
    static const char *const bad[] = {"01",  "1.",  "-",   "\"\\x\"", "\"a",    "{\"a\" 1}", "[1,]",
                                      "{,}", "tru", "1 2", "[1 2]",   "\"\t\"", "",          "nul"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_reader r;
        json_event event = JSON_NULL;
        json_reader_init(&r, bad[i], strlen(bad[i]));
        for (int k = 0; k < 20 && event > JSON_END; k++) {
            event = json_next(&r);
        }
        CHECK(event == JSON_BAD);
        CHECK(json_next(&r) == JSON_BAD);
    }
    static const char text[] = " [\"\\ud83d\\ude00\\n\\ud800\", -0.5e+1, {\"k\\\"\": null}, true] ";
    json_reader r;
    json_reader_init(&r, text, strlen(text));
    CHECK(json_next(&r) == JSON_ARRAY);
    CHECK(json_next(&r) == JSON_STRING);
    assert_string_equal(r.text, "\xf0\x9f\x98\x80\n\xef\xbf\xbd");
    CHECK(json_next(&r) == JSON_NUMBER && r.number == -5);
    CHECK(json_next(&r) == JSON_OBJECT);
    CHECK(json_next(&r) == JSON_NULL);
    assert_string_equal(r.key, "k\"");
    CHECK(json_next(&r) == JSON_OBJECT_END);
    CHECK(json_next(&r) == JSON_TRUE);
    CHECK(json_next(&r) == JSON_ARRAY_END);
    CHECK(json_next(&r) == JSON_END);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const texts[] = {hyperfine, google, junit, hlog};
    for (size_t t = 0; t < 4; t++) {
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            brisk_import *import = NULL;
            brisk_import_opts opts = {.alloc = &fault.base};
            err = brisk_import_bytes(texts[t], strlen(texts[t]), &opts, &import, NULL);
            CHECK((import != NULL) == (err == BRISK_OK));
            brisk_import_destroy(import);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
        CHECK_OK(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hyperfine),   cmocka_unit_test(test_google_benchmark),
        cmocka_unit_test(test_k6),          cmocka_unit_test(test_junit),
        cmocka_unit_test(test_wrk),         cmocka_unit_test(test_hlog),
        cmocka_unit_test(test_hlog_corpus), cmocka_unit_test(test_unsure),
        cmocka_unit_test(test_damage),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_json),        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
