/*
 * test_lock_memory.c -- what the commands on locks compute, with every allocation failing once.
 */
#include "locks.h"
#include "support/fault_alloc.h"
#include "workload/pkg/ask.h"
#include "workload/pkg/chains.h"
#include "workload/pkg/graph.h"
#include "workload/pkg/lockdiff.h"
#include "workload/pkg/order.h"

static brisk_err swallow(void *ctx, const char *data, size_t size)
{
    (void)ctx;
    (void)data;
    (void)size;
    return BRISK_OK;
}

static brisk_err run_chains(const pkg_tree *tree, brisk_arena *arena)
{
    uint32_t *distances;
    pkg_ask ask;
    pkg_found found;
    brisk_err err = pkg_ask_parse("p3@^1", arena, &ask, NULL);
    if (err == BRISK_OK) {
        err = pkg_ask_find(tree, &ask, arena, &found);
    }
    if (err == BRISK_OK) {
        err = pkg_chain_distances(tree, arena, &distances);
    }
    if (err == BRISK_OK) {
        pkg_chains chains = {.arena = arena, .limit = 100};
        CHECK_U64(found.count, ==, 1);
        err = pkg_chains_find(tree, found.nodes[0], distances, &chains);
    }
    return err;
}

static brisk_err run_order(const pkg_tree *tree, brisk_arena *arena)
{
    pkg_order order;
    return pkg_order_make(tree, arena, &order);
}

static brisk_err run_diff(const pkg_tree *tree, brisk_arena *arena)
{
    pkg_changes changes;
    return pkg_lockdiff(tree, tree, arena, &changes);
}

static brisk_err run_graph(const pkg_tree *tree, brisk_arena *arena)
{
    pkg_graph graph;
    brisk_err err = pkg_graph_make(tree, false, arena, &graph);
    return err == BRISK_OK ? pkg_graph_write_html(&graph, (brisk_out){.write = swallow}) : err;
}

/* The arena's chunks are small and limited further with each round: any allocation may be the one
 * that fails. */
static void check_all(brisk_err (*run)(const pkg_tree *, brisk_arena *))
{
    uint64_t seed = check_seed();
    static char text[RANDOM_LOCK_MAX];
    random_lock(&seed, 40, 4, text);
    lock_tree l = lock_tree_read(text);
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t rounds = 0;
    for (; err == BRISK_ERR_NOMEM; rounds++) {
        fault_alloc fault;
        fault_alloc_init(&fault, rounds + 1); /* the arena itself is there */
        brisk_arena *arena;
        CHECK_OK(brisk_arena_create(&(brisk_arena_opts){.alloc = &fault.base, .chunk_bytes = 4096},
                                    &arena));
        err = run(&l.tree, arena);
        brisk_arena_destroy(arena);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    assert_int_equal(err, BRISK_OK);
    CHECK_U64(rounds, >, 1);
    lock_tree_free(&l);
}

static void test_chains(void **state)
{
    (void)state;
    check_all(run_chains);
}

static void test_order(void **state)
{
    (void)state;
    check_all(run_order);
}

static void test_diff(void **state)
{
    (void)state;
    check_all(run_diff);
}

static void test_graph(void **state)
{
    (void)state;
    check_all(run_graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
