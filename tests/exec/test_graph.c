/*
 * test_graph.c -- proves <brisk/graph.h>: refusals and the text of cycles, random graphs against a
 * sequential oracle that checks the order, errors, cancellation, deadlines, and memory.
 */
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <brisk/graph.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "support/check.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_executor, brisk_executor_destroy)
BRISK_DEFINE_CLEANUP(brisk_graph, brisk_graph_destroy)

static brisk_executor *make(uint32_t workers)
{
    brisk_executor *executor = NULL;
    CHECK_OK(brisk_executor_create(&(brisk_executor_opts){.workers = workers}, &executor));
    return executor;
}

static brisk_graph *make_graph(void)
{
    brisk_graph *graph = NULL;
    CHECK_OK(brisk_graph_create(NULL, &graph));
    return graph;
}

static uint32_t add(brisk_graph *graph, const char *name)
{
    uint32_t node = 0;
    CHECK_OK(brisk_graph_add(graph, name, &node));
    return node;
}

static void add_numbered(brisk_graph *graph, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "n%u", i);
        CHECK_U64(add(graph, name), ==, i);
    }
}

static brisk_err count_node(void *ctx, uint32_t node)
{
    (void)node;
    atomic_fetch_add((_Atomic uint64_t *)ctx, 1);
    return BRISK_OK;
}

/* --- building and refusing --- */

static void test_a_graph_tells_what_it_was_told(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_graph();
    uint32_t load = add(graph, "load");
    uint32_t apply = add(graph, "apply");
    uint32_t write = add(graph, "write");
    CHECK_OK(brisk_graph_after(graph, write, apply));
    CHECK_OK(brisk_graph_after(graph, apply, load));
    CHECK_OK(brisk_graph_after(graph, apply, load)); /* twice is fine */
    CHECK(brisk_graph_is_after(graph, write, apply));
    CHECK(!brisk_graph_is_after(graph, apply, write));
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    CHECK_U64(brisk_graph_count(graph), ==, 3);
    assert_string_equal(brisk_graph_name(graph, apply), "apply");
    CHECK_U64(brisk_graph_order(graph, 0), ==, load);
    CHECK_U64(brisk_graph_order(graph, 1), ==, apply);
    CHECK_U64(brisk_graph_order(graph, 2), ==, write);
    CHECK(brisk_graph_is_after(graph, apply, load));
    CHECK(!brisk_graph_is_after(graph, write, load)); /* directly only */
    CHECK(!brisk_graph_is_after(graph, 7, load));
    CHECK(!brisk_graph_is_after(graph, load, 7));
}

static void test_misuse_is_refused(void **state)
{
    (void)state;
    _Atomic uint64_t ran = 0;
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_graph();
    uint32_t node = 99;
    CHECK(brisk_graph_add(graph, NULL, &node) == BRISK_ERR_INVALID);
    CHECK(brisk_graph_add(graph, "", &node) == BRISK_ERR_INVALID);
    CHECK_U64(node, ==, 99);
    uint32_t a = add(graph, "a");
    CHECK(brisk_graph_after(graph, a, 1) == BRISK_ERR_INVALID);
    CHECK(brisk_graph_after(graph, 1, a) == BRISK_ERR_INVALID);
    CHECK(brisk_graph_run(graph, NULL, NULL, count_node, &ran) == BRISK_ERR_INVALID);
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    CHECK(brisk_graph_run(graph, NULL, NULL, NULL, &ran) == BRISK_ERR_INVALID);
    CHECK(brisk_graph_add(graph, "b", &node) == BRISK_ERR_INVALID);
    CHECK(brisk_graph_after(graph, a, a) == BRISK_ERR_INVALID);
    CHECK_U64(ran, ==, 0);
    brisk_graph_destroy(NULL);

    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *twins = make_graph();
    (void)add(twins, "load");
    (void)add(twins, "other");
    (void)add(twins, "load");
    brisk_errinfo info;
    CHECK(brisk_graph_freeze(twins, &info) == BRISK_ERR_INVALID);
    CHECK(info.code == BRISK_ERR_INVALID);
    assert_string_equal(info.text, "two nodes are called load");
}

static void test_an_empty_graph_runs(void **state)
{
    (void)state;
    _Atomic uint64_t ran = 0;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(2);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_graph();
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    CHECK_OK(brisk_graph_run(graph, executor, NULL, count_node, &ran));
    CHECK_OK(brisk_graph_run(graph, NULL, NULL, count_node, &ran));
    CHECK_U64(ran, ==, 0);
}

/* Edges as "later earlier" letters; nodes a, b, c ... up to `nodes`. */
static void check_cycle(uint32_t nodes, const char *edges, const char *expected)
{
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_graph();
    for (uint32_t i = 0; i < nodes; i++) {
        (void)add(graph, (char[]){(char)('a' + i), '\0'});
    }
    for (const char *e = edges; *e != '\0'; e += 2) {
        CHECK_OK(brisk_graph_after(graph, (uint32_t)(e[0] - 'a'), (uint32_t)(e[1] - 'a')));
    }
    for (int again = 0; again < 2; again++) { /* the refusal leaves the graph as it was */
        brisk_errinfo info = {.text = ""};
        CHECK(brisk_graph_freeze(graph, &info) == BRISK_ERR_CYCLE);
        assert_string_equal(info.text, expected);
    }
    CHECK(brisk_graph_freeze(graph, NULL) == BRISK_ERR_CYCLE);
    _Atomic uint64_t ran = 0;
    CHECK(brisk_graph_run(graph, NULL, NULL, count_node, &ran) == BRISK_ERR_INVALID);
}

static void test_cycles_are_printed(void **state)
{
    (void)state;
    check_cycle(3, "abbcca", "a after b after c after a");
    check_cycle(1, "aa", "a after a");
    check_cycle(2, "abba", "a after b after a");
    check_cycle(3, "cbbaab", "a after b after a");           /* c hangs behind the cycle */
    check_cycle(4, "bacbdcbd", "b after d after c after b"); /* a stands before it */
    check_cycle(6, "feedcbbcaf", "b after c after b");       /* chains on all sides of it */
    check_cycle(4, "dacabacddc", "c after d after c");
}

static void test_a_long_cycle_is_cut(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_graph();
    enum { N = 5000 };
    add_numbered(graph, N);
    for (uint32_t i = 0; i < N; i++) {
        CHECK_OK(brisk_graph_after(graph, i, (i + 1) % N));
    }
    brisk_errinfo info;
    CHECK(brisk_graph_freeze(graph, &info) == BRISK_ERR_CYCLE);
    CHECK(strncmp(info.text, "n0 after n1 after n2 after ", 27) == 0);
    size_t length = strlen(info.text);
    CHECK_U64(length, ==, BRISK_ERRINFO_TEXT_MAX - 1);
    assert_string_equal(info.text + length - 3, "...");
}

/* --- running --- */

enum { RANDOM_NODES_MAX = 400, RANDOM_EDGES_MAX = 3000 };

typedef struct observed {
    const uint32_t *later;
    const uint32_t *earlier;
    uint32_t edges;
    uint32_t nodes;
    _Atomic uint64_t clock;
    uint64_t began[RANDOM_NODES_MAX]; /* plain: the edges must order the accesses */
    uint64_t ended[RANDOM_NODES_MAX];
    _Atomic uint32_t times[RANDOM_NODES_MAX];
} observed;

static brisk_err observe(void *ctx, uint32_t node)
{
    observed *o = ctx;
    o->began[node] = 1 + atomic_fetch_add(&o->clock, 1);
    atomic_fetch_add(&o->times[node], 1);
    for (uint32_t e = 0; e < o->edges; e++) {
        if (o->later[e] == node && o->ended[o->earlier[e]] == 0) {
            return BRISK_ERR_CORRUPT; /* began before its predecessor was done */
        }
    }
    o->ended[node] = 1 + atomic_fetch_add(&o->clock, 1);
    return BRISK_OK;
}

static void check_observed(const observed *o)
{
    for (uint32_t node = 0; node < o->nodes; node++) {
        CHECK_U64(o->times[node], ==, 1);
        CHECK_U64(o->ended[node], >, o->began[node]);
    }
    for (uint32_t e = 0; e < o->edges; e++) {
        CHECK_U64(o->began[o->later[e]], >, o->ended[o->earlier[e]]);
    }
}

/* A random graph: edges go from a random permutation's back to its front, so it has no cycle. */
static void random_graph_case(uint64_t *random, brisk_executor *executor)
{
    static uint32_t later[RANDOM_EDGES_MAX];
    static uint32_t earlier[RANDOM_EDGES_MAX];
    static observed o;
    uint32_t rank[RANDOM_NODES_MAX];
    uint32_t nodes = 1 + (uint32_t)(check_random(random) % RANDOM_NODES_MAX);
    uint32_t edges = (uint32_t)(check_random(random) % (RANDOM_EDGES_MAX >> (nodes % 6)));
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t j = (uint32_t)(check_random(random) % (i + 1));
        rank[i] = rank[j];
        rank[j] = i;
    }
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_graph();
    add_numbered(graph, nodes);
    uint32_t kept = 0;
    for (uint32_t e = 0; e < edges; e++) {
        uint32_t a = (uint32_t)(check_random(random) % nodes);
        uint32_t b = (uint32_t)(check_random(random) % nodes);
        if (a != b) {
            later[kept] = rank[a] > rank[b] ? a : b;
            earlier[kept] = rank[a] > rank[b] ? b : a;
            CHECK_OK(brisk_graph_after(graph, later[kept], earlier[kept]));
            kept++;
        }
    }
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    for (int how = 0; how < 3; how++) { /* alone, then twice with help: a frozen graph is reused */
        memset(&o, 0, sizeof o);
        o.later = later;
        o.earlier = earlier;
        o.edges = kept;
        o.nodes = nodes;
        CHECK_OK(brisk_graph_run(graph, how == 0 ? NULL : executor, NULL, observe, &o));
        check_observed(&o);
    }
    uint64_t place[RANDOM_NODES_MAX];
    for (uint32_t i = 0; i < nodes; i++) {
        place[brisk_graph_order(graph, i)] = i;
    }
    for (uint32_t e = 0; e < kept; e++) {
        CHECK_U64(place[later[e]], >, place[earlier[e]]);
    }
}

static void test_random_graphs_keep_their_order(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (uint32_t workers = 1; workers <= 4; workers++) {
        BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(workers);
        for (int round = 0; round < 60; round++) {
            random_graph_case(&random, executor);
        }
    }
}

static brisk_err add_to_sum(void *ctx, uint32_t node)
{
    *(uint64_t *)ctx += node; /* plain: only right when one node runs at a time */
    return BRISK_OK;
}

static void test_a_long_chain_neither_recurses_nor_wakes(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(2);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_graph();
    const uint32_t n = 1000000;
    add_numbered(graph, n);
    for (uint32_t i = 1; i < n; i++) {
        CHECK_OK(brisk_graph_after(graph, i, i - 1));
    }
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    uint64_t sum = 0;
    uint32_t threads = brisk_thread_count();
    CHECK_OK(brisk_graph_run(graph, executor, NULL, add_to_sum, &sum));
    CHECK_U64(sum, ==, (uint64_t)n * (n - 1) / 2);
    CHECK_U64(brisk_thread_count(), ==, threads); /* not even started */
    brisk_executor_stats stats;
    brisk_executor_read_stats(executor, &stats);
    CHECK_U64(stats.tasks_run + stats.wakes, ==, 0);
}

/* One side node makes the chain no sequence: the counting loop must not recurse either. */
static void test_a_long_chain_with_a_side_node(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(2);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_graph();
    const uint32_t n = 300000;
    add_numbered(graph, n + 1);
    for (uint32_t i = 1; i < n; i++) {
        CHECK_OK(brisk_graph_after(graph, i, i - 1));
    }
    CHECK_OK(brisk_graph_after(graph, n, 0));
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    _Atomic uint64_t ran = 0;
    CHECK_OK(brisk_graph_run(graph, executor, NULL, count_node, &ran));
    CHECK_U64(ran, ==, n + 1);
}

typedef struct runner {
    const brisk_graph *graph;
    brisk_executor *executor;
    uint32_t runs;
    uint64_t wrong;
} runner;

static void run_often(void *ctx)
{
    runner *r = ctx;
    for (uint32_t i = 0; i < r->runs; i++) {
        _Atomic uint64_t ran = 0;
        brisk_err err = brisk_graph_run(r->graph, r->executor, NULL, count_node, &ran);
        r->wrong += err != BRISK_OK || ran != brisk_graph_count(r->graph) ? 1 : 0;
    }
}

/* A diamond lattice, `width` side by side. */
static brisk_graph *make_lattice(uint32_t width, uint32_t layers)
{
    brisk_graph *graph = make_graph();
    add_numbered(graph, width * layers);
    for (uint32_t node = width; node < width * layers; node++) {
        for (uint32_t k = 0; k < 3 && k < width; k++) {
            uint32_t earlier = (node / width - 1) * width + (node + k) % width;
            CHECK_OK(brisk_graph_after(graph, node, earlier));
        }
    }
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    return graph;
}

static void test_one_graph_runs_in_several_threads(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(3);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *small = make_lattice(4, 10);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *large = make_lattice(9, 40);
    enum { THREADS = 4 };
    brisk_thread threads[THREADS];
    runner runners[THREADS];
    for (int i = 0; i < THREADS; i++) {
        runners[i] = (runner){.graph = i % 2 == 0 ? small : large, .executor = executor};
        runners[i].runs = 300;
        brisk_thread_opts opts = {.run = run_often, .ctx = &runners[i]};
        CHECK_OK(brisk_thread_start(&threads[i], &opts));
    }
    for (int i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
        CHECK_U64(runners[i].wrong, ==, 0);
    }
}

/* A graph inside a node of a graph: the worker that runs it helps, nobody waits for ever. */
typedef struct nested {
    const brisk_graph *inner;
    brisk_executor *executor;
    _Atomic uint64_t ran;
} nested;

static brisk_err run_nested(void *ctx, uint32_t node)
{
    (void)node;
    nested *n = ctx;
    return brisk_graph_run(n->inner, n->executor, NULL, count_node, &n->ran);
}

static void test_graphs_nest(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(workers);
        BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *inner = make_lattice(5, 5);
        BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *outer = make_lattice(10, 10);
        nested n = {.inner = inner, .executor = executor};
        CHECK_OK(brisk_graph_run(outer, executor, NULL, run_nested, &n));
        CHECK_U64(n.ran, ==, 2500);
    }
}

/* Two nodes that need each other at the same moment: they really run side by side. */
typedef struct meeting {
    _Atomic uint32_t here;
    uint64_t give_up;
} meeting;

static brisk_err meet(void *ctx, uint32_t node)
{
    meeting *m = ctx;
    if (node == 0) {
        return BRISK_OK;
    }
    atomic_fetch_add(&m->here, 1);
    while (atomic_load(&m->here) < 2) {
        if (brisk_clock_now_ns(NULL) > m->give_up) {
            return BRISK_ERR_DEADLINE;
        }
    }
    return BRISK_OK;
}

static void test_independent_nodes_overlap(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(1);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_graph();
    add_numbered(graph, 3);
    CHECK_OK(brisk_graph_after(graph, 1, 0));
    CHECK_OK(brisk_graph_after(graph, 2, 0));
    CHECK_OK(brisk_graph_freeze(graph, NULL));
    meeting m = {.give_up = brisk_clock_now_ns(NULL) + UINT64_C(30000000000)};
    CHECK_OK(brisk_graph_run(graph, executor, NULL, meet, &m));
}

/* --- stopping --- */

typedef struct stopper {
    uint32_t fail_at;
    brisk_err error;
    brisk_cancel *request; /* instead of failing */
    fake_clock *clock;     /* or let time pass */
    _Atomic uint64_t ran;
} stopper;

static brisk_err run_stopper(void *ctx, uint32_t node)
{
    stopper *s = ctx;
    atomic_fetch_add(&s->ran, 1);
    if (node != s->fail_at) {
        return BRISK_OK;
    }
    if (s->clock != NULL) {
        fake_clock_advance(s->clock, 1000);
    } else if (s->request != NULL) {
        brisk_cancel_request(s->request, s->error);
    }
    return s->clock == NULL && s->request == NULL ? s->error : BRISK_OK;
}

static void test_the_first_error_stops_the_rest(void **state)
{
    (void)state;
    for (uint32_t workers = 0; workers <= 3; workers++) {
        BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(workers);
        BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_lattice(6, 50);
        brisk_cancel cancel = {0};
        stopper s = {.fail_at = 100, .error = BRISK_ERR_CONFLICT};
        brisk_err err =
            brisk_graph_run(graph, workers > 0 ? executor : NULL, &cancel, run_stopper, &s);
        CHECK(err == BRISK_ERR_CONFLICT);
        CHECK(brisk_cancel_check(&cancel) == BRISK_ERR_CONFLICT);
        /* Two rows below node 100 everything comes after it, whoever is slow to hear of the error. */
        CHECK_U64(s.ran, <, 150);
    }
}

/* Sources only, and no token: those that have not begun when the first one fails are skipped. */
typedef struct bystanders {
    _Atomic bool failed;
    _Atomic uint64_t ran;
} bystanders;

static brisk_err fail_first(void *ctx, uint32_t node)
{
    bystanders *b = ctx;
    if (node == 0) {
        atomic_store(&b->failed, true);
        return BRISK_ERR_IO;
    }
    while (!atomic_load(&b->failed)) {
    }
    (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* time for the error to land */
    atomic_fetch_add(&b->ran, 1);
    return BRISK_OK;
}

static void test_an_error_needs_no_token(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(2);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_lattice(100, 1);
    bystanders b = {.ran = 0};
    CHECK(brisk_graph_run(graph, executor, NULL, fail_first, &b) == BRISK_ERR_IO);
    CHECK_U64(b.ran, <, 50); /* two had begun */
}

static void test_cancel_and_deadline_stop_it(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(2);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *lattice = make_lattice(6, 50);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *chain = make_lattice(1, 300);
    for (int i = 0; i < 4; i++) {
        const brisk_graph *graph = i % 2 == 0 ? lattice : chain;
        fake_clock clock;
        fake_clock_init(&clock, 1);
        brisk_cancel cancel;
        brisk_cancel_init(&cancel, 500, &clock.base);
        stopper s = {.fail_at = 100, .error = BRISK_ERR_CANCELLED, .request = &cancel};
        s.clock = i < 2 ? NULL : &clock;
        brisk_err err = brisk_graph_run(graph, executor, &cancel, run_stopper, &s);
        CHECK(err == (i < 2 ? BRISK_ERR_CANCELLED : BRISK_ERR_DEADLINE));
        CHECK_U64(s.ran, <, 150);
        CHECK_U64(s.ran, >=, 1);

        stopper none = {.fail_at = UINT32_MAX}; /* cancelled before: nothing runs at all */
        err = brisk_graph_run(graph, executor, &cancel, run_stopper, &none);
        CHECK(err == (i < 2 ? BRISK_ERR_CANCELLED : BRISK_ERR_DEADLINE));
        CHECK_U64(none.ran, ==, 0);
    }
}

static void test_a_request_after_the_last_node_changes_nothing(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_lattice(1, 5);
    brisk_cancel cancel = {0};
    stopper s = {.fail_at = 4, .error = BRISK_ERR_CANCELLED, .request = &cancel};
    CHECK_OK(brisk_graph_run(graph, NULL, &cancel, run_stopper, &s));
    CHECK_U64(s.ran, ==, 5);
}

/* Every node fails: exactly one of the errors comes back, the same that the token keeps. */
static brisk_err fail_each(void *ctx, uint32_t node)
{
    (void)ctx;
    return node % 2 == 0 ? BRISK_ERR_IO : BRISK_ERR_CORRUPT;
}

static void test_one_of_many_errors_wins(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(3);
    BRISK_CLEANUP(brisk_graph_destroy) brisk_graph *graph = make_lattice(40, 1);
    for (int round = 0; round < 200; round++) {
        brisk_err err = brisk_graph_run(graph, executor, NULL, fail_each, NULL);
        CHECK(err == BRISK_ERR_IO || err == BRISK_ERR_CORRUPT);
    }
}

/* --- memory --- */

static brisk_err build_and_run(brisk_graph *graph, brisk_executor *executor, uint32_t count)
{
    _Atomic uint64_t ran = 0;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < count && err == BRISK_OK; i++) {
        char name[16];
        uint32_t node = 0;
        (void)snprintf(name, sizeof name, "n%u", i);
        err = brisk_graph_add(graph, name, &node);
        if (err == BRISK_OK && i > 0) {
            err = brisk_graph_after(graph, i, (i - 1) / 2);
        }
    }
    err = err == BRISK_OK ? brisk_graph_freeze(graph, NULL) : err;
    err = err == BRISK_OK ? brisk_graph_run(graph, executor, NULL, count_node, &ran) : err;
    if (err == BRISK_OK) {
        CHECK_U64(ran, ==, count);
    } else {
        CHECK_U64(ran, ==, 0);
    }
    return err;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_executor_destroy) brisk_executor *executor = make(1);
    for (uint32_t count = 60; count <= 90; count += 30) { /* on the stack, and beyond */
        brisk_err err = BRISK_ERR_NOMEM;
        uint64_t failures = 0;
        for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            brisk_graph *graph = NULL;
            err = brisk_graph_create(&fault.base, &graph);
            CHECK((graph != NULL) == (err == BRISK_OK));
            if (err == BRISK_OK) {
                err = build_and_run(graph, executor, count);
            }
            failures += err != BRISK_OK ? 1 : 0;
            brisk_graph_destroy(graph);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
        CHECK(err == BRISK_OK);
        CHECK_U64(failures, >, 15);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_a_graph_tells_what_it_was_told),
        cmocka_unit_test(test_misuse_is_refused),
        cmocka_unit_test(test_an_empty_graph_runs),
        cmocka_unit_test(test_cycles_are_printed),
        cmocka_unit_test(test_a_long_cycle_is_cut),
        cmocka_unit_test(test_random_graphs_keep_their_order),
        cmocka_unit_test(test_a_long_chain_neither_recurses_nor_wakes),
        cmocka_unit_test(test_a_long_chain_with_a_side_node),
        cmocka_unit_test(test_one_graph_runs_in_several_threads),
        cmocka_unit_test(test_graphs_nest),
        cmocka_unit_test(test_independent_nodes_overlap),
        cmocka_unit_test(test_the_first_error_stops_the_rest),
        cmocka_unit_test(test_an_error_needs_no_token),
        cmocka_unit_test(test_cancel_and_deadline_stop_it),
        cmocka_unit_test(test_a_request_after_the_last_node_changes_nothing),
        cmocka_unit_test(test_one_of_many_errors_wins),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
