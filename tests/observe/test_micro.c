/*
 * test_micro.c -- small functions side by side, on a clock that is moved by the functions themselves.
 */
#include "observe/near.h"
#include "support/fault_alloc.h"

#include <brisk/bench.h>

static uint64_t now_ns; /* of the fake clock */

static uint64_t read_now(void *ctx)
{
    (void)ctx;
    return now_ns;
}

static const brisk_clock fake = {.now_ns = read_now, .wall_ns = read_now};

/** A function of `ns` nanoseconds a call. */
typedef struct work {
    uint64_t ns;
    uint64_t calls;
    uint32_t prepared;
    char letter;
} work;

static char order[256];
static uint32_t order_used;

static void spend(void *ctx, uint64_t calls)
{
    work *w = ctx;
    now_ns += w->ns * calls;
    w->calls += calls;
    if (order_used < sizeof order - 1 && w->letter != '\0') {
        order[order_used++] = w->letter;
    }
}

static void prepare(void *ctx)
{
    ((work *)ctx)->prepared++;
    now_ns += 1000000; /* not measured */
}

static void test_known_times(void **state)
{
    (void)state;
    work a = {.ns = 7};
    work b = {.ns = 7000000};
    brisk_bench_case cases[] = {{.name = "a", .run = spend, .prepare = prepare, .ctx = &a},
                                {.name = "b", .run = spend, .ctx = &b}};
    brisk_bench_result r[2];
    brisk_bench_opts opts = {.clock = &fake, .samples = 9};
    CHECK_OK(brisk_bench_run(cases, 2, &opts, r));
    assert_string_equal(r[0].name, "a");
    CHECK_U64(r[0].count, ==, 9);
    CHECK_U64(r[1].count, ==, 9);
    CHECK_NEAR(r[0].figures.median, 7, 1e-12);
    CHECK_NEAR(r[1].figures.median, 7e6, 1e-6);
    CHECK_U64(r[0].calls, ==, 1000000 / 7); /* a millisecond of them */
    CHECK_U64(r[1].calls, ==, 1);
    CHECK(a.prepared > 9);
    brisk_interval i;
    CHECK_OK(brisk_bench_compare(&r[0], &r[1], 0.9, &i));
    CHECK_NEAR(i.estimate, 999999, 1e-3);
    CHECK_OK(brisk_bench_compare(&r[0], &r[0], 0.9, &i));
    CHECK_NEAR(i.estimate, 0, 0);
    brisk_bench_results_deinit(r, 2);
    CHECK(r[0].ns == NULL);
    brisk_bench_results_deinit(r, 2);
}

/* Blocks: every order forwards, then backwards. */
static void test_order(void **state)
{
    (void)state;
    work w[3] = {{.ns = 5000000, .letter = 'a'},
                 {.ns = 5000000, .letter = 'b'},
                 {.ns = 5000000, .letter = 'c'}};
    brisk_bench_case cases[3];
    for (int i = 0; i < 3; i++) {
        cases[i] = (brisk_bench_case){.name = "x", .run = spend, .ctx = &w[i]};
    }
    brisk_bench_result r[3];
    brisk_bench_opts opts = {.clock = &fake, .samples = 20, .seed = 3};
    order_used = 0;
    CHECK_OK(brisk_bench_run(cases, 3, &opts, r));
    brisk_bench_results_deinit(r, 3);
    CHECK_U64(order_used, ==, 63); /* three to calibrate */
    bool changes = false;
    for (uint32_t b = 0; b < 10; b++) {
        const char *block = order + 3 + 6 * (size_t)b;
        for (int i = 0; i < 3; i++) {
            CHECK(block[i] == block[5 - i]);
        }
        CHECK(block[0] != block[1] && block[1] != block[2] && block[0] != block[2]);
        changes = changes || block[0] != order[3];
    }
    CHECK(changes);
}

static bool stop_at_once(void *ctx, uint32_t done, uint32_t total)
{
    (void)total;
    return done >= *(const uint32_t *)ctx;
}

static void test_limits(void **state)
{
    (void)state;
    work a = {.ns = 1000000000};
    brisk_bench_case c = {.name = "a", .run = spend, .ctx = &a};
    brisk_bench_result r;
    brisk_bench_opts opts = {.clock = &fake, .samples = 100, .duration_ns = 1};
    CHECK_OK(brisk_bench_run(&c, 1, &opts, &r));
    CHECK_U64(r.count, ==, 2);
    brisk_bench_results_deinit(&r, 1);
    uint32_t at = 0;
    opts = (brisk_bench_opts){.clock = &fake, .stop = stop_at_once, .stop_ctx = &at};
    CHECK(brisk_bench_run(&c, 1, &opts, &r) == BRISK_ERR_CANCELLED);
    at = 5;
    CHECK_OK(brisk_bench_run(&c, 1, &opts, &r));
    CHECK_U64(r.count, ==, 6);
    brisk_bench_results_deinit(&r, 1);
    CHECK(brisk_bench_run(&c, 0, NULL, &r) == BRISK_ERR_INVALID);
    CHECK(brisk_bench_run(&c, 257, NULL, &r) == BRISK_ERR_LIMIT);
    opts = (brisk_bench_opts){.samples = 10001};
    CHECK(brisk_bench_run(&c, 1, &opts, &r) == BRISK_ERR_LIMIT);
    c.run = NULL;
    CHECK(brisk_bench_run(&c, 1, NULL, &r) == BRISK_ERR_INVALID);
}

static void count_up(void *ctx, uint64_t calls)
{
    uint64_t *sum = ctx;
    while (calls-- > 0) {
        *sum += 1;
        BRISK_BENCH_KEEP(*sum);
        BRISK_BENCH_CLOBBER();
    }
}

/* On the real clock: every call happens, and takes a positive time. */
static void test_real_clock(void **state)
{
    (void)state;
    uint64_t sum = 0;
    brisk_bench_case c = {.name = "count", .run = count_up, .ctx = &sum};
    brisk_bench_result r;
    brisk_bench_opts opts = {.sample_ns = 20000, .samples = 4};
    CHECK_OK(brisk_bench_run(&c, 1, &opts, &r));
    CHECK_U64(sum, >=, 4 * r.calls);
    CHECK(r.figures.min > 0.0);
    brisk_bench_results_deinit(&r, 1);
    brisk_bench_keep(&sum);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    work a = {.ns = 1000};
    brisk_bench_case cases[] = {{.name = "a", .run = spend, .ctx = &a},
                                {.name = "b", .run = spend, .ctx = &a}};
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_bench_result r[2];
        brisk_bench_opts opts = {.clock = &fake, .samples = 2, .alloc = &fault.base};
        err = brisk_bench_run(cases, 2, &opts, r);
        if (err == BRISK_OK) {
            brisk_bench_results_deinit(r, 2);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_times),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_real_clock),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
