/*
 * test_whatif.c -- the replay of stage graphs and its answers, on times that are given, so that every figure is exact.
 *
 * Figures are worked out by hand in the comments; no clock is looked at.
 */
#include <math.h>
#include <string.h>

#include <brisk/whatif.h>

#include "base/cleanup.h"
#include "observe/stage/simulate.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_stage_profile, brisk_stage_profile_destroy)

static const uint64_t MS = 1000000;

static void check_near(double found, double wanted)
{
    if (!(fabs(found - wanted) < 1e-6)) {
        fail_msg("found %.9f, wanted %.9f", found, wanted);
    }
}

/* --- runs by hand ------------------------------------------------------------------------- */

typedef struct bench_run {
    brisk_stage_times stages[16];
    brisk_stage_run run;
} bench_run;

static void run_init(bench_run *b, uint32_t threads, uint32_t cores)
{
    memset(b, 0, sizeof *b);
    b->run = (brisk_stage_run){
        .workload = "made_up",
        .threads = threads,
        .workers = threads - 1,
        .cores = cores,
        .stages = b->stages,
    };
}

/* A stage from start to start + ms, after the stages of `after` (bits). */
static brisk_stage_times *add(bench_run *b, const char *name, uint64_t start_ms, double ms,
                              uint64_t after)
{
    brisk_stage_times *s = &b->stages[b->run.stage_count++];
    *s = (brisk_stage_times){
        .name = name,
        .start_ns = start_ms * MS,
        .ns = (uint64_t)(ms * (double)MS),
        .after = {after},
        .computes = true,
    };
    uint64_t end = s->start_ns + s->ns;
    b->run.elapsed_ns = end > b->run.elapsed_ns ? end : b->run.elapsed_ns;
    return s;
}

static brisk_stage_profile *profile_of(const bench_run *b)
{
    brisk_stage_profile *profile;
    brisk_errinfo info = {.text = ""};
    CHECK_OK(brisk_stage_profile_create(NULL, &profile));
    CHECK_OK(brisk_stage_profile_add(profile, &b->run, &info));
    return profile;
}

static double gain(const brisk_stage_profile *profile, const char *text)
{
    brisk_whatif_change change;
    brisk_whatif_answer answer;
    brisk_errinfo info = {.text = ""};
    CHECK_OK(brisk_whatif_parse(text, &change, &info));
    CHECK_OK(brisk_whatif_ask(profile, &change, 1, NULL, &answer, &info));
    check_near(answer.replay_error, 0);
    return answer.gain;
}

/* --- cases -------------------------------------------------------------------------------- */

/* Two branches of 10 and 6.7, then 2.5: 12.5 in all. */
static void two_branches(bench_run *b)
{
    run_init(b, 2, 2);
    (void)add(b, "a", 0, 10, 0);
    (void)add(b, "b", 0, 6.7, 0);
    (void)add(b, "c", 10, 2.5, 3);
}

static void test_two_branches_then_one(void **unused)
{
    (void)unused;
    bench_run b;
    two_branches(&b);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    check_near(gain(p, "a:2x"), 1 - (6.7 + 2.5) / 12.5); /* b is critical then */
    check_near(gain(p, "a:1.25x"), 1 - (8 + 2.5) / 12.5);
    check_near(gain(p, "a:cached"), 1 - (6.7 + 2.5) / 12.5);
    check_near(gain(p, "b:2x"), 0); /* off the critical path */
    check_near(gain(p, "b:cached"), 0);
    check_near(gain(p, "c:2x"), 1 - (10 + 1.25) / 12.5);
    check_near(gain(p, "a:0.5x"), 1 - (20 + 2.5) / 12.5); /* slower: a loss */
    /* Half of the runs: the mean of both times, not half of the stage. */
    check_near(gain(p, "a:cached=0.5"), 1 - (0.5 * 12.5 + 0.5 * 9.2) / 12.5);
    /* In two: 5 + 5 and 6.7 on two threads: a's parts first (b waits at first): 8.35 + 2.5 at best. */
    double split = gain(p, "a:split=2");
    CHECK(split >= 1 - (11.7 + 2.5) / 12.5 && split <= 1 - (8.35 + 2.5) / 12.5 + 1e-9);
    check_near(gain(p, "workers=3"), 0);
}

static void test_together(void **unused)
{
    (void)unused;
    bench_run b;
    two_branches(&b);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    brisk_whatif_change changes[3] = {
        {.kind = BRISK_WHATIF_FASTER, .stage = "a", .amount = 2},
        {.kind = BRISK_WHATIF_FASTER, .stage = "b", .amount = 2},
        {.kind = BRISK_WHATIF_CACHED, .stage = "c", .amount = 0.5},
    };
    brisk_whatif_answer answer;
    brisk_errinfo info = {.text = ""};
    CHECK_OK(brisk_whatif_ask(p, changes, 2, NULL, &answer, &info));
    check_near(answer.gain, 1 - 7.5 / 12.5); /* more than the sum of the two */
    check_near(answer.before_ns, 12.5e6);
    check_near(answer.after_ns / 7.5e6, 1);
    CHECK(isnan(answer.low) && isnan(answer.high) && answer.runs == 1); /* one run: no interval */
    CHECK_OK(brisk_whatif_ask(p, changes, 3, NULL, &answer, &info));
    check_near(answer.gain, 1 - (5 + 1.25) / 12.5);
    CHECK_OK(brisk_whatif_ask(p, NULL, 0, NULL, &answer, &info));
    check_near(answer.gain, 0);
}

/* a, then four of 4 on two threads, then e: 1 + 8 + 1. */
static void test_contention_on_two_threads(void **unused)
{
    (void)unused;
    bench_run b;
    run_init(&b, 2, 8);
    (void)add(&b, "a", 0, 1, 0);
    (void)add(&b, "b1", 1, 4, 1);
    (void)add(&b, "b2", 1, 4, 1);
    add(&b, "b3", 5, 4, 1)->ready_ns = 1 * MS;
    add(&b, "b4", 5, 4, 1)->ready_ns = 1 * MS;
    (void)add(&b, "e", 9, 1, 0x1e);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    check_near(gain(p, "workers=2"), 1 - 10.0 / 10.0 + 0.0); /* 3 threads: still two rounds */
    check_near(gain(p, "workers=3"), 1 - 6.0 / 10.0);        /* 4 threads: one round */
    check_near(gain(p, "b1:cached"), 0);                     /* 4 and 4 remain on one of them */
    check_near(gain(p, "b1:2x"), 0.0 + 1 - 10.0 / 10.0);     /* 2 + 4, and 4 + 4 */
    brisk_whatif_change both[2] = {
        {.kind = BRISK_WHATIF_CACHED, .stage = "b1", .amount = 1},
        {.kind = BRISK_WHATIF_CACHED, .stage = "b2", .amount = 1},
    };
    brisk_whatif_answer answer;
    CHECK_OK(brisk_whatif_ask(p, both, 2, NULL, &answer, NULL));
    check_near(answer.gain, 1 - 6.0 / 10.0);
}

/* Three threads that compute on two processors: everything takes 1.5 times as long. */
static void test_processors_are_shared(void **unused)
{
    (void)unused;
    bench_run b;
    run_init(&b, 3, 2);
    b.run.profiled = true;
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"x", "y", "z"};
        brisk_stage_times *s = add(&b, names[i], 0, 15, 0);
        s->cpu_ns = 10 * MS;
        s->delay_ns = 5 * MS;
    }
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    sim_graph graph;
    sim_from_run(brisk_stage_profile_at(p, 0), false, &graph);
    check_near(graph.nodes[0].serial, 10e6);
    check_near(graph.nodes[0].cpu, 1);
    check_near(sim_run(&graph, NULL) / 15e6, 1); /* as measured */
    check_near(gain(p, "cores=3"), 1 - 10.0 / 15.0);
    check_near(gain(p, "x:cached"), 1 - 10.0 / 15.0); /* two on two processors */
    /* x needs 5: all three at 2/3 until 7.5, where y and z have 5 left and a processor each. */
    check_near(gain(p, "x:2x"), 1 - 12.5 / 15.0);
    check_near(gain(p, "workers=1"), 1 - 20.0 / 15.0); /* two threads: z after one of them */
}

/* What other programs took of the processors is a part of the work, and shrinks with it. */
static void test_delays_by_others_stay(void **unused)
{
    (void)unused;
    bench_run b;
    run_init(&b, 2, 2);
    b.run.profiled = true;
    brisk_stage_times *s = add(&b, "burn", 0, 12, 0);
    s->cpu_ns = 6 * MS;
    s->delay_ns = 6 * MS;
    (void)add(&b, "sleep", 12, 4, 1);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    check_near(gain(p, "burn:2x"), 6.0 / 16.0);
    check_near(gain(p, "sleep:2x"), 2.0 / 16.0);
    check_near(gain(p, "cores=8"), 0);
}

/* b was ready with a but its thread never woke; whoever ends a goes on with it. */
static void test_a_thread_that_works_finds_the_next_at_once(void **unused)
{
    (void)unused;
    bench_run b;
    run_init(&b, 2, 2);
    (void)add(&b, "a", 0, 4, 0);
    (void)add(&b, "b", 4, 2, 0);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    check_near(gain(p, "a:2x"), 2.0 / 6.0);
    check_near(gain(p, "b:2x"), 1.0 / 6.0);
}

/* Waiting needs no processor, and stays as long as it is. */
static void test_sleepers_do_not_compete(void **unused)
{
    (void)unused;
    bench_run b;
    run_init(&b, 4, 1);
    b.run.profiled = true;
    add(&b, "sleep", 0, 8, 0)->cpu_ns = 0;
    add(&b, "burn", 0, 8, 0)->cpu_ns = 8 * MS;
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    check_near(gain(p, "cores=4"), 0);
    check_near(gain(p, "burn:2x"), 0);
    check_near(gain(p, "workers=1"), 0);
}

static void test_pieces_are_shared_by_threads(void **unused)
{
    (void)unused;
    bench_run b;
    run_init(&b, 2, 2);
    b.run.workers = 2; /* a submitted job */
    /* 1 by itself, then six pieces of 2 by two threads: 7 in all. */
    brisk_stage_times *s = add(&b, "loop", 0, 7, 0);
    s->items = 6;
    s->loops_ns = 6 * MS;
    s->items_ns = 12 * MS;
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    check_near(gain(p, "workers=3"), 1 - 5.0 / 7.0);  /* two rounds of 2 */
    check_near(gain(p, "workers=4"), 1 - 5.0 / 7.0);  /* 4 pieces, then 2 */
    check_near(gain(p, "workers=6"), 1 - 3.0 / 7.0);  /* one round */
    check_near(gain(p, "workers=1"), 1 - 13.0 / 7.0); /* alone */
    check_near(gain(p, "loop:2x"), 0.5);
}

/* A stage with a thread of its own takes none of the two. */
static void test_blocking_stages_hold_no_thread(void **unused)
{
    (void)unused;
    bench_run b;
    run_init(&b, 2, 2);
    add(&b, "net", 0, 10, 0)->blocking = true;
    (void)add(&b, "x", 0, 6, 0);
    (void)add(&b, "y", 0, 6, 0);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    check_near(gain(p, "net:cached"), 1 - 6.0 / 10.0);
    check_near(gain(p, "workers=4"), 0);
}

/* One thread: what was ready first goes first, and of two that were ready together the one that did so before. */
static void test_order_of_ready_stages(void **unused)
{
    (void)unused;
    sim_graph fifo = {.count = 6, .threads = 1, .workers = 1};
    fifo.nodes[0] = (sim_node){.serial = 1, .own_thread = true};
    fifo.nodes[1] = (sim_node){.serial = 3};
    fifo.nodes[2] = (sim_node){.serial = 2, .own_thread = true};
    fifo.nodes[3] = (sim_node){.serial = 2, .after = {1}, .rank = 5}; /* ready at 1 */
    fifo.nodes[4] = (sim_node){.serial = 4, .after = {4}, .rank = 4}; /* ready at 2 */
    fifo.nodes[5] = (sim_node){.serial = 6, .after = {8}, .own_thread = true};
    check_near(sim_run(&fifo, NULL), 11); /* 3 to 5, then 6 outside */
    sim_graph rank = {.count = 3, .threads = 1, .workers = 1};
    rank.nodes[0] = (sim_node){.serial = 1, .rank = 1};
    rank.nodes[1] = (sim_node){.serial = 2, .rank = 0};
    rank.nodes[2] = (sim_node){.serial = 5, .after = {2}, .own_thread = true};
    check_near(sim_run(&rank, NULL), 7); /* 0 to 2, then 5 outside */
    /* Pieces run on as many threads as there are workers, whatever is free. */
    sim_graph few = {.count = 1, .threads = 4, .workers = 2};
    few.nodes[0] = (sim_node){.units = 4, .unit = 3};
    check_near(sim_run(&few, NULL), 6);
}

/* A run that could not have been so (two at once on one thread): the interval says how little is known. */
static void test_replay_error_widens(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = NULL;
    CHECK_OK(brisk_stage_profile_create(NULL, &p));
    for (int i = 0; i < 6; i++) {
        bench_run b;
        run_init(&b, 1, 1);
        (void)add(&b, "a", 0, 10, 0);
        (void)add(&b, "b", 0, 2, 0);
        CHECK_OK(brisk_stage_profile_add(p, &b.run, NULL));
    }
    brisk_whatif_change change = {.kind = BRISK_WHATIF_FASTER, .stage = "a", .amount = 2};
    brisk_whatif_answer answer;
    CHECK_OK(brisk_whatif_ask(p, &change, 1, NULL, &answer, NULL));
    check_near(answer.replay_error, 0.2); /* 12 instead of 10 */
    check_near(answer.gain, 5.0 / 12.0);
    check_near(answer.low, 5.0 / 12.0 - 0.2);
    check_near(answer.high, 5.0 / 12.0 + 0.2);
}

/* Time between stages, and after the last one, stays. */
static void test_gaps_stay(void **unused)
{
    (void)unused;
    bench_run b;
    run_init(&b, 2, 2);
    (void)add(&b, "a", 1, 4, 0);              /* 1: something before */
    add(&b, "b", 7, 2, 1)->ready_ns = 6 * MS; /* 1 of lookup, 1 to wake */
    b.run.elapsed_ns = 10 * MS;
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    check_near(gain(p, "a:2x"), 0.2);
    check_near(gain(p, "b:2x"), 0.1);
    brisk_stage_figures f;
    brisk_stage_run_figures(brisk_stage_profile_at(p, 0), &f);
    CHECK_U64(f.wait_ns, ==, 2 * MS); /* a from 0, b from 6 */
    CHECK_U64(f.idle_ns, ==, 4 * MS);
    CHECK_U64(f.work_ns, ==, 6 * MS);
    CHECK_U64(f.level_ns[1], ==, 6 * MS);
    check_near(f.busy, 0.6);
    check_near(f.efficiency, 0.3);
}

static void test_the_jobs_cache(void **unused)
{
    (void)unused;
    bench_run b;
    run_init(&b, 1, 1);
    add(&b, "load", 0, 2, 0)->computes = false;
    (void)add(&b, "work", 2, 6, 1);
    add(&b, "write", 8, 2, 2)->computes = false;
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    check_near(gain(p, "cached"), 0.6);
    check_near(gain(p, "cached=0.25"), 0.15);
}

/* --- intervals ---------------------------------------------------------------------------- */

static void test_interval_over_runs(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = NULL;
    CHECK_OK(brisk_stage_profile_create(NULL, &p));
    uint64_t seed = check_seed();
    for (int i = 0; i < 40; i++) {
        bench_run b;
        run_init(&b, 2, 2);
        double a = 9.0 + (double)(check_random(&seed) % 200) / 100.0;
        brisk_stage_times *first = add(&b, "a", 0, a, 0);
        (void)add(&b, "b", 0, 4, 0);
        brisk_stage_times *c = add(&b, "c", 0, 3, 3);
        c->start_ns = first->ns;
        b.run.elapsed_ns = c->start_ns + c->ns;
        CHECK_OK(brisk_stage_profile_add(p, &b.run, NULL));
    }
    brisk_whatif_change change = {.kind = BRISK_WHATIF_FASTER, .stage = "a", .amount = 2};
    brisk_whatif_answer answer;
    brisk_whatif_answer again;
    CHECK_OK(brisk_whatif_ask(p, &change, 1, NULL, &answer, NULL));
    CHECK_OK(brisk_whatif_ask(p, &change, 1, NULL, &again, NULL));
    CHECK(answer.runs == 40 && answer.low <= answer.gain && answer.gain <= answer.high);
    CHECK(answer.low > 0.36 && answer.high < 0.41);            /* 5 of 13, give or take */
    CHECK(answer.low <= again.low && again.low <= answer.low); /* the same seed */
    change = (brisk_whatif_change){.kind = BRISK_WHATIF_FASTER, .stage = "b", .amount = 8};
    CHECK_OK(brisk_whatif_ask(p, &change, 1, NULL, &answer, NULL));
    check_near(answer.gain, 0);
    check_near(answer.low, 0);
    check_near(answer.high, 0);
}

/* A run that was answered by the cache says nothing of the work. */
static void test_answered_runs_are_left_out(void **unused)
{
    (void)unused;
    bench_run b;
    two_branches(&b);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    for (int i = 0; i < 3; i++) {
        bench_run hit;
        two_branches(&hit);
        hit.run.elapsed_ns = MS;
        hit.run.answered_by = "memory";
        for (uint32_t s = 0; s < 3; s++) {
            hit.stages[s].start_ns = 0;
            hit.stages[s].ns = 0;
            hit.stages[s].how = BRISK_HOW_ANSWERED;
        }
        CHECK_OK(brisk_stage_profile_add(p, &hit.run, NULL));
    }
    brisk_whatif_change change = {.kind = BRISK_WHATIF_FASTER, .stage = "c", .amount = 2};
    brisk_whatif_answer answer;
    CHECK_OK(brisk_whatif_ask(p, &change, 1, NULL, &answer, NULL));
    CHECK(answer.runs == 1);
    check_near(answer.gain, 0.1);
    CHECK_U64(brisk_stage_profile_typical(p), ==, 0);
}

/* --- ranking ------------------------------------------------------------------------------ */

static void test_rank(void **unused)
{
    (void)unused;
    bench_run b;
    two_branches(&b);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    brisk_whatif_answer best[32];
    uint32_t count = 0;
    CHECK_OK(brisk_whatif_rank(p, NULL, best, 32, &count, NULL));
    CHECK(count > 6);
    CHECK(best[0].change.kind == BRISK_WHATIF_CACHED && best[0].change.stage[0] == '\0');
    check_near(best[0].gain, 1 - 1e-9 / 12.5); /* all of it computes */
    for (uint32_t i = 1; i < count; i++) {
        CHECK(best[i].gain <= best[i - 1].gain);
        if (strcmp(best[i].change.stage, "b") == 0 && best[i].change.kind != BRISK_WHATIF_SPLIT) {
            check_near(best[i].gain, 0);
        }
    }
    brisk_whatif_answer three[3];
    CHECK_OK(brisk_whatif_rank(p, NULL, three, 3, &count, NULL));
    CHECK_U64(count, ==, 3);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(memcmp(&three[i].change.kind, &best[i].change.kind, sizeof three[i].change.kind) ==
              0);
        check_near(three[i].gain, best[i].gain);
    }
}

/* --- words -------------------------------------------------------------------------------- */

static void test_parse(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        brisk_whatif_kind kind;
        const char *stage;
        double amount;
        const char *back;
    } good[] = {
        {"rom_patching:2x", BRISK_WHATIF_FASTER, "rom_patching", 2, "rom_patching:2x"},
        {"a:b:1.5x", BRISK_WHATIF_FASTER, "a:b", 1.5, "a:b:1.5x"},
        {"a:cached", BRISK_WHATIF_CACHED, "a", 1, "a:cached"},
        {"a:cached=0.25", BRISK_WHATIF_CACHED, "a", 0.25, "a:cached=0.25"},
        {"cached=0", BRISK_WHATIF_CACHED, "", 0, "cached=0"},
        {"a:split=4", BRISK_WHATIF_SPLIT, "a", 4, "a:split=4"},
        {"workers=3", BRISK_WHATIF_WORKERS, "", 3, "workers=3"},
        {"cores=8", BRISK_WHATIF_CORES, "", 8, "cores=8"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        brisk_whatif_change change;
        char back[128];
        CHECK_OK(brisk_whatif_parse(good[i].text, &change, NULL));
        CHECK(change.kind == good[i].kind);
        assert_string_equal(change.stage, good[i].stage);
        check_near(change.amount, good[i].amount);
        brisk_whatif_format(&change, back, sizeof back);
        assert_string_equal(back, good[i].back);
    }
    static const char *const wrong[] = {
        "",
        ":",
        "a",
        "a:",
        ":2x",
        "a:x",
        "a:2",
        "a:0x",
        "a:-1x",
        "a:0x10x",
        "a:infx",
        "a:nanx",
        "a:2x3",
        "a:cached=2",
        "a:cached=-1",
        "a:cached=",
        "a:split=0",
        "a:split=1.5",
        "a:split=1000",
        "workers=0",
        "workers=1.5",
        "workers=99999",
        "cores=",
        "cores=0x2",
        "cached=1.01",
        "threads=2",
        "a:1e300x",
        "a123456789012345678901234567890123456789012345678901234567890123:2x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        brisk_whatif_change change = {.amount = 77};
        brisk_errinfo info = {.text = ""};
        if (brisk_whatif_parse(wrong[i], &change, &info) != BRISK_ERR_INVALID) {
            fail_msg("'%s' was taken", wrong[i]);
        }
        CHECK(info.text[0] != '\0');
        check_near(change.amount, 77); /* untouched */
    }
}

static void test_wrong_questions(void **unused)
{
    (void)unused;
    bench_run b;
    two_branches(&b);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    brisk_whatif_answer answer;
    brisk_errinfo info = {.text = ""};
    brisk_whatif_change change = {.kind = BRISK_WHATIF_FASTER, .stage = "nobody", .amount = 2};
    CHECK(brisk_whatif_ask(p, &change, 1, NULL, &answer, &info) == BRISK_ERR_NOT_FOUND);
    CHECK(strstr(info.text, "nobody") != NULL);
    brisk_whatif_change many[BRISK_WHATIF_CHANGES_MAX + 1];
    for (uint32_t i = 0; i <= BRISK_WHATIF_CHANGES_MAX; i++) {
        many[i] = (brisk_whatif_change){.kind = BRISK_WHATIF_CACHED, .stage = "a", .amount = 0.5};
    }
    CHECK(brisk_whatif_ask(p, many, BRISK_WHATIF_CHANGES_MAX + 1, NULL, &answer, &info) ==
          BRISK_ERR_LIMIT);
    CHECK(brisk_whatif_ask(p, many, BRISK_WHATIF_CACHED_MAX + 1, NULL, &answer, &info) ==
          BRISK_ERR_LIMIT);
    CHECK_OK(brisk_whatif_ask(p, many, BRISK_WHATIF_CACHED_MAX, NULL, &answer, &info));
    change = (brisk_whatif_change){.kind = BRISK_WHATIF_FASTER, .stage = "a", .amount = 0};
    CHECK(brisk_whatif_ask(p, &change, 1, NULL, &answer, &info) == BRISK_ERR_INVALID);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *empty = NULL;
    CHECK_OK(brisk_stage_profile_create(NULL, &empty));
    CHECK(brisk_whatif_ask(empty, NULL, 0, NULL, &answer, &info) == BRISK_ERR_NOT_FOUND);
    CHECK(brisk_stage_profile_write_text(empty, brisk_out_file(stdout)) == BRISK_ERR_NOT_FOUND);
}

/* --- hostile runs ------------------------------------------------------------------------- */

static void test_impossible_runs(void **unused)
{
    (void)unused;
    bench_run good;
    two_branches(&good);
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&good);
    brisk_errinfo info = {.text = ""};
    for (int what = 0; what < 10; what++) {
        bench_run b;
        two_branches(&b);
        brisk_err wanted = BRISK_ERR_INVALID;
        switch (what) {
        case 0:
            b.stages[0].after[0] = 4;
            wanted = BRISK_ERR_CYCLE;
            break; /* a after c after a */
        case 1:
            b.stages[1].after[0] = 2;
            wanted = BRISK_ERR_CYCLE;
            break;                               /* itself */
        case 2: b.stages[2].after[1] = 1; break; /* no stage 64 */
        case 3: b.stages[2].name = "a"; break;
        case 4: b.stages[2].name = ""; break;
        case 5: b.stages[2].ns = UINT64_MAX; break;
        case 6: b.stages[2].loops_ns = b.stages[2].ns + 1; break;
        case 7: b.run.workload = "another"; break;
        case 8: b.run.threads = BRISK_WHATIF_THREADS_MAX + 1; break;
        default:
            b.run.stage_count = BRISK_WHATIF_STAGES_MAX + 1;
            wanted = BRISK_ERR_LIMIT;
            break;
        }
        assert_int_equal(brisk_stage_profile_add(p, &b.run, &info), wanted);
    }
    CHECK_U64(brisk_stage_profile_count(p), ==, 1);
}

/* Any graph, any times: the replay ends, no sooner than the longest chain, no later than all in a row. */
static void test_random_graphs(void **unused)
{
    (void)unused;
    uint64_t seed = check_seed();
    for (int round = 0; round < 300; round++) {
        sim_graph graph = {.count = 1 + (uint32_t)(check_random(&seed) % 24)};
        graph.threads = 1 + (uint32_t)(check_random(&seed) % 5);
        graph.workers = graph.threads;
        double total = 0;
        double chain[BRISK_WHATIF_STAGES_MAX] = {0};
        double longest = 0;
        for (uint32_t i = 0; i < graph.count; i++) {
            sim_node *node = &graph.nodes[i];
            node->serial = (double)(check_random(&seed) % 1000);
            node->units = (uint32_t)(check_random(&seed) % 4);
            node->unit = (double)(check_random(&seed) % 100);
            node->lag = (double)(check_random(&seed) % 50);
            node->wake = (double)(check_random(&seed) % 20);
            node->rank = i;
            node->after[0] =
                i > 0 ? check_random(&seed) & check_random(&seed) & ((UINT64_C(1) << i) - 1) : 0;
            double before = 0;
            for (uint32_t j = 0; j < i; j++) {
                before = (node->after[0] >> j & 1) != 0 ? fmax(before, chain[j]) : before;
            }
            chain[i] = before + node->lag + node->serial + (node->units > 0 ? node->unit : 0);
            longest = fmax(longest, chain[i]);
            total += node->lag + node->wake + node->serial + node->units * node->unit;
        }
        sim_ends ends;
        double time = sim_run(&graph, &ends);
        CHECK(time >= longest - 1e-6 && time <= total + 1e-6);
        for (uint32_t i = 0; i < graph.count; i++) {
            CHECK(ends.end[i] >= chain[i] - 1e-6 && ends.end[i] <= time + 1e-6);
        }
    }
}

/* --- figures and words -------------------------------------------------------------------- */

static void test_bottlenecks(void **unused)
{
    (void)unused;
    bench_run b;
    two_branches(&b);
    b.stages[0].critical = true;
    b.stages[2].critical = true;
    brisk_bottleneck found[6];
    uint32_t count = brisk_stage_run_bottlenecks(&b.run, found, 6);
    CHECK_U64(count, ==, 2);
    assert_string_equal(found[0].kind, "stage");
    CHECK(found[0].stage == 0 && strstr(found[0].text, "a is 80 %") != NULL);
    assert_string_equal(found[1].kind, "alone"); /* a for 3.3, c for 2.5 */
    check_near(found[1].share, 5.8 / 12.5);
    CHECK(found[1].stage == 0);
    CHECK_U64(brisk_stage_run_bottlenecks(&b.run, found, 1), ==, 1);
    b.run.profiled = true; /* and nothing of it was computing */
    count = brisk_stage_run_bottlenecks(&b.run, found, 6);
    assert_string_equal(found[0].kind, "outside");
    check_near(found[0].share, 1);
    CHECK_U64(count, ==, 3);
}

typedef struct text {
    char text[16384];
    size_t size;
} text;

static brisk_err text_write(void *ctx, const char *data, size_t size)
{
    text *t = ctx;
    if (size >= sizeof t->text - t->size) {
        return BRISK_ERR_FULL;
    }
    memcpy(t->text + t->size, data, size);
    t->size += size;
    t->text[t->size] = '\0';
    return BRISK_OK;
}

static void test_text(void **unused)
{
    (void)unused;
    bench_run b;
    two_branches(&b);
    b.stages[0].critical = true;
    b.stages[2].critical = true;
    b.stages[2].bytes = 4096;
    BRISK_CLEANUP(brisk_stage_profile_destroy) brisk_stage_profile *p = profile_of(&b);
    static text t;
    t.size = 0;
    CHECK_OK(brisk_stage_profile_write_text(p, (brisk_out){text_write, &t}));
    CHECK(strstr(t.text, "made_up: 12.500 ms, median of 1 run\n") != NULL);
    CHECK(strstr(t.text, "a                           10.000  80.0     0.000       -  * "
                         "|==========================      |\n") != NULL);
    CHECK(strstr(t.text, "c                            2.500  20.0     0.000    4.0K  * "
                         "|                         =======|\n") != NULL);
    CHECK(strstr(t.text, "1.54 busy of 2 on average (2 processors), parallel efficiency 77 %") !=
          NULL);
    t.size = 0;
    brisk_json json;
    brisk_json_init(&json, (brisk_out){text_write, &t}, 0);
    brisk_json_object_begin(&json, NULL);
    CHECK_OK(brisk_stage_profile_write_json(p, &json));
    brisk_json_object_end(&json);
    CHECK_OK(brisk_json_finish(&json));
    CHECK(strstr(t.text, "\"schema\":1,\"workload\":\"made_up\",\"runs\":1,\"answered\":0,") !=
          NULL);
    CHECK(strstr(t.text, "\"level_ns\":[0,5800000,6700000]") != NULL);
    CHECK(strstr(t.text, "\"after\":[\"a\",\"b\"]") != NULL);
}

static void test_every_allocation_may_fail(void **unused)
{
    (void)unused;
    bench_run b;
    two_branches(&b);
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_stage_profile *p = NULL;
        brisk_whatif_answer answer;
        brisk_whatif_opts opts = {.alloc = &fault.base, .resamples = 100};
        brisk_whatif_change change = {.kind = BRISK_WHATIF_FASTER, .stage = "a", .amount = 2};
        static text t;
        t.size = 0;
        err = brisk_stage_profile_create(&fault.base, &p);
        for (int i = 0; i < 20 && err == BRISK_OK; i++) {
            b.stages[0].ns += MS / 100; /* so that there is something to resample */
            err = brisk_stage_profile_add(p, &b.run, NULL);
        }
        err = err == BRISK_OK ? brisk_whatif_ask(p, &change, 1, &opts, &answer, NULL) : err;
        err =
            err == BRISK_OK ? brisk_stage_profile_write_text(p, (brisk_out){text_write, &t}) : err;
        brisk_stage_profile_destroy(p);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_branches_then_one),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_contention_on_two_threads),
        cmocka_unit_test(test_processors_are_shared),
        cmocka_unit_test(test_sleepers_do_not_compete),
        cmocka_unit_test(test_delays_by_others_stay),
        cmocka_unit_test(test_a_thread_that_works_finds_the_next_at_once),
        cmocka_unit_test(test_pieces_are_shared_by_threads),
        cmocka_unit_test(test_blocking_stages_hold_no_thread),
        cmocka_unit_test(test_order_of_ready_stages),
        cmocka_unit_test(test_replay_error_widens),
        cmocka_unit_test(test_gaps_stay),
        cmocka_unit_test(test_the_jobs_cache),
        cmocka_unit_test(test_interval_over_runs),
        cmocka_unit_test(test_answered_runs_are_left_out),
        cmocka_unit_test(test_rank),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_wrong_questions),
        cmocka_unit_test(test_impossible_runs),
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_bottlenecks),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
