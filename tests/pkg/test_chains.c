/*
 * test_chains.c -- the ways to a package: all of them, once each, the shortest first; against a
 * search that tries everything.
 */
#include "locks.h"
#include "workload/pkg/chains.h"

enum { WAYS_MAX = 100000 };

/* Lengths of all ways from the root to `target` that visit nothing twice. */
static uint32_t all_ways(const pkg_node *node, const pkg_node *target, bool *open, uint32_t length,
                         uint32_t *by_length)
{
    if (node == target) {
        by_length[length]++;
        return 1;
    }
    uint32_t ways = 0;
    open[node->index] = true;
    for (uint32_t i = 0; i < node->edge_count; i++) {
        const pkg_node *to = node->edges[i].to;
        if (to != NULL && !open[to->index]) {
            ways += all_ways(to, target, open, length + 1, by_length);
        }
    }
    open[node->index] = false;
    return ways;
}

static void check_chain(const pkg_chain *chain, const pkg_node *target)
{
    assert_true(chain->length > 0 && pkg_node_is_project(chain->edges[0]->from));
    assert_ptr_equal(chain->edges[chain->length - 1]->to, target);
    for (uint32_t i = 0; i + 1 < chain->length; i++) {
        assert_ptr_equal(chain->edges[i]->to, chain->edges[i + 1]->from);
        for (uint32_t j = 0; j <= i; j++) {
            assert_ptr_not_equal(chain->edges[i + 1]->from, chain->edges[j]->from);
        }
    }
}

static bool same_chain(const pkg_chain *a, const pkg_chain *b)
{
    return a->length == b->length &&
           memcmp(a->edges, b->edges, a->length * sizeof(pkg_edge *)) == 0;
}

static void test_every_way_once(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    static char text[RANDOM_LOCK_MAX];
    for (int round = 0; round < 60; round++) {
        random_lock(&seed, 7, 3, text);
        lock_tree l = lock_tree_read(text);
        uint32_t *distances;
        CHECK_OK(pkg_chain_distances(&l.tree, l.arena, &distances));
        for (uint32_t i = 1; i < l.tree.count; i++) {
            uint32_t by_length[16] = {0};
            bool open[16] = {false};
            const pkg_node *target = l.tree.nodes[i];
            uint32_t ways = all_ways(l.tree.root, target, open, 0, by_length);
            pkg_chains chains = {.arena = l.arena, .limit = WAYS_MAX};
            CHECK_OK(pkg_chains_find(&l.tree, target, distances, &chains));
            CHECK_U64(chains.count, ==, ways);
            assert_false(chains.more);
            assert_true((ways == 0) == (distances[i] == PKG_CHAIN_FAR));
            for (uint32_t j = 0; j < chains.count; j++) {
                check_chain(&chains.items[j], target);
                by_length[chains.items[j].length]--;
                assert_true(j == 0 || chains.items[j - 1].length <= chains.items[j].length);
                for (uint32_t k = 0; k < j && j < 50; k++) {
                    assert_false(same_chain(&chains.items[j], &chains.items[k]));
                }
            }
            for (int j = 0; j < 16; j++) {
                CHECK_U64(by_length[j], ==, 0);
            }
        }
        lock_tree_free(&l);
    }
}

/* Ways without number: the limit ends it, and says that there are more. */
static void test_too_many_ways(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    static char text[RANDOM_LOCK_MAX];
    random_lock(&seed, 30, 2, text);
    lock_tree l = lock_tree_read(text);
    uint32_t *distances;
    CHECK_OK(pkg_chain_distances(&l.tree, l.arena, &distances));
    pkg_chains chains = {.arena = l.arena, .limit = 20};
    CHECK_OK(pkg_chains_find(&l.tree, l.tree.nodes[5], distances, &chains));
    CHECK_U64(chains.count, ==, 20);
    assert_true(chains.more);
    lock_tree_free(&l);
}

/* A workspace is of the project: a way may begin there; who asks for a link asks for its folder. */
static void test_links_and_workspaces(void **state)
{
    (void)state;
    lock_tree l = lock_tree_read(
        "{\"lockfileVersion\":3,\"packages\":{\"\":{\"workspaces\":[\"w/*\"],"
        "\"dependencies\":{\"f\":\"file:f\"}},\"w/a\":{\"dependencies\":{\"x\":\"1\"}},"
        "\"f\":{\"dependencies\":{\"x\":\"1\"}},"
        "\"node_modules/a\":{\"resolved\":\"w/a\",\"link\":true},"
        "\"node_modules/f\":{\"resolved\":\"f\",\"link\":true},"
        "\"node_modules/x\":{\"version\":\"1.0.0\"}}}");
    uint32_t *distances;
    CHECK_OK(pkg_chain_distances(&l.tree, l.arena, &distances));
    const pkg_node *x = pkg_node_child(l.tree.root, PKG_TEXT("x"));
    pkg_chains chains = {.arena = l.arena, .limit = 9};
    CHECK_OK(pkg_chains_find(&l.tree, x, distances, &chains));
    CHECK_U64(chains.count, ==, 2);
    CHECK_U64(chains.items[0].length, ==, 1);
    assert_true(pkg_text_is(chains.items[0].edges[0]->from->path, "w/a"));
    CHECK_U64(chains.items[1].length, ==, 2);
    assert_ptr_equal(chains.items[1].edges[0]->from, l.tree.root);
    assert_true(pkg_text_is(chains.items[1].edges[1]->from->path, "f"));
    lock_tree_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way_once),
        cmocka_unit_test(test_too_many_ways),
        cmocka_unit_test(test_links_and_workspaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
