/*
 * test_order.c -- the order of installation: what is needed comes first, circles are one step, no
 * group is later than it must be; against closures of small random graphs.
 */
#include "locks.h"
#include "workload/pkg/order.h"

enum { N = 24 };

typedef struct facts {
    bool reach[N + 1][N + 1];
    uint32_t step_of[N + 1];
} facts;

static void closure(const pkg_tree *tree, facts *f)
{
    memset(f, 0, sizeof *f);
    for (uint32_t i = 1; i < tree->count; i++) {
        for (uint32_t j = 0; j < tree->nodes[i]->edge_count; j++) {
            f->reach[i][tree->nodes[i]->edges[j].to->index] = true;
        }
    }
    for (uint32_t k = 1; k < tree->count; k++) {
        for (uint32_t i = 1; i < tree->count; i++) {
            for (uint32_t j = 1; j < tree->count; j++) {
                f->reach[i][j] = f->reach[i][j] || (f->reach[i][k] && f->reach[k][j]);
            }
        }
    }
}

static void check_steps(const pkg_tree *tree, const pkg_order *order, facts *f)
{
    uint32_t seen = 0;
    for (uint32_t s = 0; s < order->count; s++) {
        for (uint32_t i = 0; i < order->steps[s].count; i++) {
            f->step_of[order->steps[s].nodes[i]->index] = s;
            seen++;
        }
    }
    CHECK_U64(seen, ==, tree->count - 1);
    CHECK_U64(order->packages, ==, seen);
    for (uint32_t i = 1; i < tree->count; i++) {
        for (uint32_t j = 1; j < tree->count; j++) {
            bool together = i == j || (f->reach[i][j] && f->reach[j][i]);
            assert_true(together == (f->step_of[i] == f->step_of[j]));
        }
    }
}

/* Group and weight of every step follow from those it needs, and from nothing else. */
static void check_groups(const pkg_tree *tree, const pkg_order *order, const facts *f)
{
    uint32_t heaviest = 0;
    for (uint32_t s = 0; s < order->count; s++) {
        const pkg_order_step *step = &order->steps[s];
        uint32_t group = 0;
        uint32_t weight = 0;
        for (uint32_t j = 1; j < tree->count; j++) {
            const pkg_order_step *other = &order->steps[f->step_of[j]];
            if (f->reach[step->nodes[0]->index][j] && f->step_of[j] != s) {
                group = other->group + 1 > group ? other->group + 1 : group;
                weight = other->weight > weight ? other->weight : weight;
            }
        }
        CHECK_U64(step->group, ==, group);
        CHECK_U64(step->weight, ==, weight + step->count);
        assert_true(s == 0 || order->steps[s - 1].group <= step->group);
        heaviest = step->weight > heaviest ? step->weight : heaviest;
    }
    CHECK_U64(order->steps[order->critical].weight, ==, heaviest);
    uint32_t sum = 0;
    for (uint32_t s = order->critical; s != UINT32_MAX; s = order->steps[s].before) {
        uint32_t before = order->steps[s].before;
        sum += order->steps[s].count;
        assert_true(
            before == UINT32_MAX ||
            f->reach[order->steps[s].nodes[0]->index][order->steps[before].nodes[0]->index]);
    }
    CHECK_U64(sum, ==, heaviest);
}

static void test_random_graphs(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    static char text[RANDOM_LOCK_MAX];
    uint32_t circles = 0;
    uint32_t groups = 0;
    for (int round = 0; round < 300; round++) {
        facts f;
        pkg_order order;
        random_lock(&seed, 1 + (uint32_t)(check_random(&seed) % N),
                    5 + (uint32_t)(check_random(&seed) % 40), text);
        lock_tree l = lock_tree_read(text);
        CHECK_OK(pkg_order_make(&l.tree, l.arena, &order));
        closure(&l.tree, &f);
        check_steps(&l.tree, &order, &f);
        check_groups(&l.tree, &order, &f);
        circles += order.circles;
        groups += order.group_count;
        lock_tree_free(&l);
    }
    CHECK_U64(circles, >, 20); /* the graphs were worth the name */
    CHECK_U64(groups, >, 600);
}

static void test_nothing_to_order(void **state)
{
    (void)state;
    pkg_order order;
    lock_tree l = lock_tree_read("{\"lockfileVersion\":3,\"packages\":{}}");
    CHECK_OK(pkg_order_make(&l.tree, l.arena, &order));
    CHECK_U64(order.count, ==, 0);
    assert_true(order.critical == UINT32_MAX);
    lock_tree_free(&l);
}

/* A row of 20,000: no stack of ours is deep. */
static void test_long_row(void **state)
{
    (void)state;
    enum { LONG = 20000, ROOM = LONG * 80 };
    char *text = malloc(ROOM);
    assert_non_null(text);
    size_t n = (size_t)snprintf(text, ROOM, "{\"lockfileVersion\":3,\"packages\":{\"\":{}");
    for (int i = 0; i < LONG; i++) {
        n += (size_t)snprintf(text + n, ROOM - n,
                              ",\"node_modules/p%d\":{\"dependencies\":{\"p%d\":\"*\"}}", i, i + 1);
    }
    (void)snprintf(text + n, ROOM - n, "}}");
    lock_tree l = lock_tree_read(text);
    pkg_order order;
    CHECK_OK(pkg_order_make(&l.tree, l.arena, &order));
    CHECK_U64(order.group_count, ==, LONG);
    CHECK_U64(order.steps[order.critical].weight, ==, LONG);
    lock_tree_free(&l);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_nothing_to_order),
        cmocka_unit_test(test_long_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
