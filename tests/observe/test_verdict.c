/*
 * test_verdict.c -- verdicts over made-up runs: what is the same, what differs, what is too noisy.
 */
#include "observe/near.h"

#include <string.h>

#include "observe/bench/bench.h"

enum { RUNS = 60 };

typedef struct runs {
    double wall[RUNS];
    double user[RUNS];
    double system[RUNS];
    double cpu[RUNS];
    double busy[RUNS];
    bench_subject subject;
} runs;

/** A base of 3.3 ms with `noise` (share, normal) and one run in ten `tail` times as long. */
typedef struct shape {
    double noise;
    double tail;
    double cpu_noise;
    double busy; /* share of wall time, 0: nothing known of the processor */
} shape;

static bench_subject *fill(runs *r, uint64_t *random, double factor, const shape *s)
{
    memset(r, 0, sizeof *r);
    for (int i = 0; i < RUNS; i++) {
        double base = 3.3e6 * factor;
        double wall = base * exp(s->noise * near_normal(random));
        r->wall[i] = check_random(random) % 10 == 0 ? wall * s->tail : wall;
        r->cpu[i] = s->busy > 0.0 ? 0.9 * base * exp(s->cpu_noise * near_normal(random)) : 1.0;
        r->busy[i] = s->busy > 0.0 ? s->busy * r->wall[i] : 1.0;
    }
    r->subject = (bench_subject){.name = "x",
                                 .text = "x",
                                 .run_count = RUNS,
                                 .wall_ns = r->wall,
                                 .user_ns = r->user,
                                 .system_ns = r->system,
                                 .cpu_ns = r->cpu,
                                 .busy_ns = r->busy};
    CHECK_OK(bench_describe(&r->subject));
    return &r->subject;
}

typedef struct tally {
    int faster;
    int slower;
    int same;
    int noisy;
    int by_cpu;
} tally;

static tally count(double factor, const shape *s, bool paired, int rounds)
{
    uint64_t random = check_seed();
    tally t = {0};
    for (int round = 0; round < rounds; round++) {
        runs a;
        runs b;
        bench_limits limits = {.min_effect = 0.002, .noisy = 0.05, .seed = (uint64_t)round};
        bench_comparison c;
        const bench_subject *before = fill(&a, &random, 1.0, s);
        const bench_subject *now = fill(&b, &random, factor, s);
        CHECK_OK(bench_compare(before, now, paired, &limits, &c));
        t.faster += c.verdict == BENCH_FASTER ? 1 : 0;
        t.slower += c.verdict == BENCH_SLOWER ? 1 : 0;
        t.same += c.verdict == BENCH_NO_DIFFERENCE ? 1 : 0;
        t.noisy += c.verdict == BENCH_TOO_NOISY ? 1 : 0;
        t.by_cpu += c.by_cpu && c.verdict != BENCH_NO_DIFFERENCE ? 1 : 0;
        CHECK(c.change.low <= c.change.estimate && c.change.estimate <= c.change.high);
        CHECK(c.ratio.low <= c.ratio.estimate && c.ratio.estimate <= c.ratio.high);
        CHECK(c.detectable >= c.floor && c.detectable >= c.min_effect);
    }
    return t;
}

static const shape quiet = {.noise = 0.005, .tail = 1.5};
static const shape loud = {.noise = 0.4, .tail = 3.0};
static const shape loaded = {.noise = 0.2, .tail = 4.0, .cpu_noise = 0.01, .busy = 0.97};

static void test_same(void **state)
{
    (void)state;
    tally t = count(1.0, &quiet, true, 100);
    CHECK_U64(t.faster + t.slower, <=,
              6); /* at most 5 % is asked for; intervals of 97.5 % give about 2 % */
    CHECK_U64(t.same, >=, 95);
    t = count(1.0, &quiet, false, 100);
    CHECK_U64(t.faster + t.slower, <=, 4);
    t = count(1.0, &loaded, true, 100);
    CHECK_U64(t.faster + t.slower, <=, 6);
}

static void test_one_percent_more(void **state)
{
    (void)state;
    tally t = count(1.01, &quiet, true, 40);
    CHECK_U64(t.slower, >=, 38);
    CHECK_U64(t.faster, ==, 0);
    t = count(1.0 / 1.01, &quiet, true, 40);
    CHECK_U64(t.faster, >=, 38);
    CHECK_U64(t.slower, ==, 0);
    /* At different times half a percent is never a difference, five percent always. */
    t = count(1.005, &quiet, false, 40);
    CHECK_U64(t.faster + t.slower, <=, 2);
    t = count(1.05, &quiet, false, 40);
    CHECK_U64(t.slower, ==, 40);
}

static void test_too_noisy(void **state)
{
    (void)state;
    tally t = count(1.01, &loud, true, 40);
    CHECK_U64(t.noisy, >=, 36);
    t = count(3.0, &loud, true, 40);
    CHECK_U64(t.slower, ==, 40);
}

/* Wall time sees nothing on a loaded machine; processor time does, of commands that are busy. */
static void test_processor_time(void **state)
{
    (void)state;
    tally t = count(1.03, &loaded, true, 40);
    CHECK_U64(t.slower, >=, 32);
    CHECK_U64(t.by_cpu, >=, 30);
    shape waiting = loaded;
    waiting.busy = 0.3;
    t = count(1.03, &waiting, true, 40);
    CHECK_U64(t.by_cpu, ==, 0);
}

/* Below min_effect there is no difference, however sure it is. */
static void test_min_effect(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    runs a;
    runs b;
    const shape exact = {.noise = 0.0001, .tail = 1.0};
    bench_limits limits = {.min_effect = 0.02, .noisy = 0.05};
    bench_comparison c;
    const bench_subject *before = fill(&a, &random, 1.0, &exact);
    CHECK_OK(bench_compare(before, fill(&b, &random, 1.015, &exact), true, &limits, &c));
    CHECK(c.verdict == BENCH_NO_DIFFERENCE);
    CHECK_NEAR(c.change.estimate, 0.015, 0.001);
    CHECK_OK(bench_compare(before, fill(&b, &random, 1.025, &exact), true, &limits, &c));
    CHECK(c.verdict == BENCH_SLOWER);
    CHECK_NEAR(c.ratio.estimate, 1.0 / 1.025, 0.001);
    CHECK(isnan(c.instruction_change));
    a.subject.instructions = 1000;
    b.subject.instructions = 1010;
    CHECK_OK(bench_compare(before, &b.subject, true, &limits, &c));
    CHECK_NEAR(c.instruction_change, 0.01, 1e-12);
}

/* Too few runs are never a difference. */
static void test_few_runs(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    runs a;
    runs b;
    bench_limits limits = {.min_effect = 0.002, .noisy = 0.05};
    bench_comparison c;
    for (uint32_t n = 1; n < 5; n++) {
        (void)fill(&a, &random, 1.0, &quiet);
        (void)fill(&b, &random, 2.0, &quiet);
        a.subject.run_count = n;
        b.subject.run_count = n;
        CHECK_OK(bench_compare(&a.subject, &b.subject, true, &limits, &c));
        CHECK(c.verdict == BENCH_TOO_NOISY);
        CHECK_OK(bench_compare(&a.subject, &b.subject, false, &limits, &c));
        CHECK(c.verdict == BENCH_TOO_NOISY);
    }
    a.subject.run_count = 0;
    CHECK(bench_compare(&a.subject, &b.subject, true, &limits, &c) == BRISK_ERR_INVALID);
}

static void test_valgrind_words(void **state)
{
    (void)state;
    static const char text[] = "==1== Cachegrind\n==1== I   refs:      70,038,186\n"
                               "==2== I refs: 14\n==2== D   refs: 99\nrefs: 7\nI refs:";
    CHECK_U64(bench_parse_refs(text, sizeof text - 1), ==, 70038200);
    CHECK_U64(bench_parse_refs("", 0), ==, 0);
    CHECK_U64(bench_parse_refs("I refs: 99999999999999999999999999", 34), >, 0);
}

static void test_shares(void **state)
{
    (void)state;
    double share = 7;
    CHECK_OK(bench_parse_share("5%", &share));
    CHECK_NEAR(share, 0.05, 1e-15);
    CHECK_OK(bench_parse_share("0.5 %", &share));
    CHECK_NEAR(share, 0.005, 1e-15);
    CHECK_OK(bench_parse_share("0.25", &share));
    CHECK_NEAR(share, 0.25, 0);
    static const char *const bad[] = {"",    "%",   "-1", "5%%", "nan",  "inf",
                                      "1e3", "5 x", "11", ".",   "1.2.3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(bench_parse_share(bad[i], &share) == BRISK_ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),           cmocka_unit_test(test_one_percent_more),
        cmocka_unit_test(test_too_noisy),      cmocka_unit_test(test_processor_time),
        cmocka_unit_test(test_min_effect),     cmocka_unit_test(test_few_runs),
        cmocka_unit_test(test_valgrind_words), cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
