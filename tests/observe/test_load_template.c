/*
 * test_load_template.c -- requests from templates, keys by Zipf's law against its exact shares, addresses, and the
 * verdict on a step.
 */
#include <math.h>
#include <string.h>

#include "observe/load/load.h"
#include "support/check.h"
#include "support/fault_alloc.h"

static void test_requests(void **state)
{
    (void)state;
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    load_word words[3];
    brisk_errinfo info = {0};
    CHECK_OK(load_word_parse(arena, "SET", &words[0], &info));
    CHECK_OK(load_word_parse(arena, "a{n}b{x{n}", &words[1], &info));
    CHECK_OK(load_word_parse(arena, "{v}", &words[2], &info));
    CHECK(load_word_parse(arena, "{q}", &words[0], &info) == BRISK_ERR_INVALID);
    load_requests requests = {.count = 1, .value = "val", .value_size = 3};
    requests.templates[0] = (load_template){.words = words, .count = 3};
    load_keys_init(&requests.keys, 1, 0);
    brisk_rng rng;
    brisk_rng_init(&rng, 1);
    resp_writer out;
    resp_writer_init(&out, NULL, 0);
    load_requests_write(&requests, &rng, &out);
    static const char wanted[] = "*3\r\n$3\r\nSET\r\n$6\r\na0b{x0\r\n$3\r\nval\r\n";
    CHECK_U64(out.size, ==, sizeof wanted - 1);
    CHECK(memcmp(out.data, wanted, out.size) == 0);
    resp_writer_reset(&out, 0);
    requests.method = "PUT";
    CHECK_OK(load_word_parse(arena, "/{n}", &words[0], &info));
    CHECK_OK(load_word_parse(arena, " HTTP/1.1\r\nHost: h\r\n", &words[1], &info));
    load_requests_write(&requests, &rng, &out);
    static const char http[] = "PUT /0 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nval";
    CHECK_U64(out.size, ==, sizeof http - 1);
    CHECK(memcmp(out.data, http, out.size) == 0);
    resp_writer_deinit(&out);
    brisk_arena_destroy(arena);
}

/* Shares of the first ranks, and of all beyond, within five standard deviations of the exact ones. */
static void check_zipf(double skew, uint64_t count, uint64_t seed)
{
    enum { DRAWS = 200000, RANKS = 8 };
    static uint32_t seen[RANKS + 1];
    memset(seen, 0, sizeof seen);
    load_keys keys;
    load_keys_init(&keys, count, skew);
    brisk_rng rng;
    brisk_rng_init(&rng, seed);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t key = load_keys_draw(&keys, &rng);
        CHECK_U64(key, <, count);
        seen[key < RANKS ? key : RANKS]++;
    }
    double norm = 0;
    for (uint64_t k = 1; k <= count; k++) {
        norm += pow((double)k, -skew);
    }
    for (int rank = 0; rank < RANKS && (uint64_t)rank < count; rank++) {
        double p = pow(rank + 1, -skew) / norm;
        double off = fabs(seen[rank] - p * DRAWS) / sqrt(p * (1 - p) * DRAWS);
        if (!(off < 5)) {
            fail_msg("skew %g, %llu keys, rank %d: %u of %g", skew, (unsigned long long)count, rank,
                     seen[rank], p * DRAWS);
        }
    }
}

static void test_zipf(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    check_zipf(0.99, 100000, seed);
    check_zipf(1, 5000, seed + 1);
    check_zipf(0.5, 50, seed + 2);
    check_zipf(2.5, 1000, seed + 3);
    check_zipf(0, 10, seed + 4);
    check_zipf(1.2, 2, seed + 5);
}

static void test_addresses(void **state)
{
    (void)state;
    load_target t;
    brisk_errinfo info = {0};
    CHECK_OK(load_target_parse("resp://localhost", &t, &info));
    CHECK(t.resp && strcmp(t.port, "6380") == 0);
    CHECK_OK(load_target_parse("resp://[::1]:7000/12", &t, &info));
    CHECK(strcmp(t.host, "::1") == 0 && strcmp(t.port, "7000") == 0 && t.database == 12);
    CHECK_OK(load_target_parse("http://a:81?x={n}#y", &t, &info));
    CHECK_U64(strcmp(t.path, "/?x={n}"), ==, 0);
    CHECK_OK(load_target_parse("http://127.0.0.1/a/b?c", &t, &info));
    CHECK(strcmp(t.path, "/a/b?c") == 0 && strcmp(t.port, "80") == 0);
    CHECK_OK(load_target_resolve(&t, false, &info));
    CHECK(t.loopback);
    static const char *const bad[] = {"ftp://x",
                                      "https://x",
                                      "http://",
                                      "http://x:0",
                                      "http://x:70000",
                                      "http://x:1a",
                                      "resp://x/y",
                                      "http://x/a b",
                                      "http://u@x/",
                                      "http://x/a\r\nB: c",
                                      "http://[::1",
                                      "http://[::1]x",
                                      "resp://x/99999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (load_target_parse(bad[i], &t, &info) != BRISK_ERR_INVALID) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    CHECK_OK(load_target_parse("http://192.0.2.1/", &t, &info));
    CHECK(load_target_resolve(&t, false, &info) == BRISK_ERR_PERMISSION);
    CHECK_OK(load_target_resolve(&t, true, &info));
}

static void test_verdict_on_a_step(void **state)
{
    (void)state;
    load_figures first = {
        .step = {.rate = 100}, .throughput = 100, .quantile_ns = {[LOAD_P99] = 500000}};
    first.counts.sent = 1000;
    load_figures now = first;
    load_judge(&now, &first, 0);
    CHECK(!now.bad);
    now.quantile_ns[LOAD_P99] = 4900000;
    load_judge(&now, &first, 0);
    CHECK(!now.bad);
    now.quantile_ns[LOAD_P99] = 5100000; /* ten times 0.5 ms */
    load_judge(&now, &first, 0);
    CHECK(now.bad && strcmp(now.why_bad, "p99 left") == 0);
    now = first;
    load_judge(&now, &first, 400000);
    CHECK(now.bad);
    now = first;
    now.throughput = 96;
    load_judge(&now, &first, 0);
    CHECK(now.bad && strstr(now.why_bad, "throughput") != NULL);
    now = first;
    now.counts.errors.refused = 11;
    load_judge(&now, &first, 0);
    CHECK(now.bad && strcmp(now.why_bad, "errors") == 0);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (int resp = 0; resp < 2; resp++) {
        load_target target = {.resp = resp == 1};
        brisk_err err = BRISK_ERR_NOMEM;
        uint64_t after = 0;
        for (; err == BRISK_ERR_NOMEM; after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, after);
            load_plan plan = {.target = &target,
                              .connections = 5,
                              .threads = 2,
                              .pipeline = 3,
                              .alloc = &fault.base};
            load_worker w;
            memset(&w, 0, sizeof w);
            err = load_worker_create(&w, &plan, 0);
            CHECK(err != BRISK_OK || w.conn_count == 3); /* of 5 on 2 threads */
            load_worker_destroy(&w);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
        CHECK(err == BRISK_OK && after > 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_zipf),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_verdict_on_a_step),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
