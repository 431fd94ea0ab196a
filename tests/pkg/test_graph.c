/*
 * test_graph.c -- the picture: who stands behind whom, where, and that no name can break out of
 * what is written.
 */
#include <math.h>

#include "locks.h"
#include "workload/pkg/graph.h"

typedef struct sink {
    char *text;
    size_t size;
} sink;

static brisk_err sink_write(void *ctx, const char *data, size_t size)
{
    sink *to = ctx;
    to->text = realloc(to->text, to->size + size + 1);
    assert_non_null(to->text);
    memcpy(to->text + to->size, data, size);
    to->size += size;
    to->text[to->size] = '\0';
    return BRISK_OK;
}

static brisk_out out_to(sink *to)
{
    return (brisk_out){.write = sink_write, .ctx = to};
}

/* Distances by relaxing until nothing changes: another way than the one under test. */
static void check_depths(const pkg_graph *g)
{
    uint32_t depth[256];
    for (uint32_t i = 0; i < g->count; i++) {
        depth[i] = i == 0 ? 0 : UINT32_MAX;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < g->line_count; i++) {
            uint32_t from = depth[g->lines[i].from];
            if (from != UINT32_MAX && from + 1 < depth[g->lines[i].to]) {
                depth[g->lines[i].to] = from + 1;
                changed = true;
            }
        }
    }
    for (uint32_t i = 0; i < g->count; i++) {
        CHECK_U64(g->points[i].depth, ==, depth[i] == UINT32_MAX ? 1 : depth[i]);
        assert_true((depth[i] == UINT32_MAX) == (g->points[i].class_ == PKG_POINT_EXTRANEOUS));
    }
}

/* A point lies in its parent's part of the circle, and no two points in one place. */
static void check_places(const pkg_graph *g)
{
    for (uint32_t i = 1; i < g->count; i++) {
        const pkg_point *p = &g->points[i];
        const pkg_point *parent = &g->points[p->parent];
        assert_true(p->from < p->to);
        assert_true(p->from >= parent->from - 1e-9 && p->to <= parent->to + 1e-9);
        for (uint32_t j = 1; j < i; j++) {
            double way = hypot(p->x - g->points[j].x, p->y - g->points[j].y);
            if (way < 10) {
                fail_msg("points %u and %u: %f", j, i, way);
            }
        }
    }
}

static void test_random_graphs(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    static char text[RANDOM_LOCK_MAX];
    for (int round = 0; round < 100; round++) {
        random_lock(&seed, 1 + (uint32_t)(check_random(&seed) % 60),
                    10 + (uint32_t)(check_random(&seed) % 30), text);
        lock_tree l = lock_tree_read(text);
        pkg_graph g;
        CHECK_OK(pkg_graph_make(&l.tree, false, l.arena, &g));
        CHECK_U64(g.count, ==, l.tree.count);
        CHECK_U64(g.points[0].size, ==, g.count);
        check_depths(&g);
        check_places(&g);
        lock_tree_free(&l);
    }
}

/* 1,200 packages in one ring: the ring grows until every name has its room. */
static void test_ring_grows(void **state)
{
    (void)state;
    enum { MANY = 1200, ROOM = MANY * 70 };
    char *text = malloc(ROOM);
    assert_non_null(text);
    size_t n = (size_t)snprintf(text, ROOM,
                                "{\"lockfileVersion\":3,\"packages\":{\"\":{\"dependencies\":{");
    for (int i = 0; i < MANY; i++) {
        n += (size_t)snprintf(text + n, ROOM - n, "%s\"p%d\":\"*\"", i > 0 ? "," : "", i);
    }
    n += (size_t)snprintf(text + n, ROOM - n, "}}");
    for (int i = 0; i < MANY; i++) {
        n += (size_t)snprintf(text + n, ROOM - n, ",\"node_modules/p%d\":{\"version\":\"1.0.0\"}",
                              i);
    }
    (void)snprintf(text + n, ROOM - n, "}}");
    lock_tree l = lock_tree_read(text);
    pkg_graph g;
    CHECK_OK(pkg_graph_make(&l.tree, false, l.arena, &g));
    check_places(&g);
    assert_true(g.radius > MANY * 12 / 6.29);
    lock_tree_free(&l);
    free(text);
}

static const char shop[] =
    "{\"lockfileVersion\":3,\"packages\":{\"\":{\"name\":\"shop\",\"dependencies\":{\"a\":\"1\","
    "\"b\":\"1\"},\"devDependencies\":{\"d\":\"1\"}},"
    "\"node_modules/a\":{\"version\":\"1.0.0\",\"dependencies\":{\"c\":\"1\"}},"
    "\"node_modules/a/node_modules/c\":{\"version\":\"1.0.0\"},"
    "\"node_modules/b\":{\"version\":\"1.0.0\",\"dependencies\":{\"c\":\"1\"}},"
    "\"node_modules/b/node_modules/c\":{\"version\":\"1.0.0\"},"
    "\"node_modules/c\":{\"version\":\"2.0.0\",\"dev\":true},"
    "\"node_modules/d\":{\"version\":\"1.0.0\",\"dev\":true,\"dependencies\":{\"c\":\"2\"}}}}";

static void test_places_of_one_version_are_one_point(void **state)
{
    (void)state;
    lock_tree l = lock_tree_read(shop);
    pkg_graph g;
    CHECK_OK(pkg_graph_make(&l.tree, false, l.arena, &g));
    CHECK_U64(g.count, ==, 6); /* shop a b c1 c2 d */
    CHECK_U64(g.points[3].places, ==, 2);
    assert_true(g.points[3].duplicate && g.points[4].duplicate && !g.points[5].duplicate);
    CHECK_U64(g.points[3].class_, ==, PKG_POINT_PROD);
    CHECK_U64(g.points[4].class_, ==, PKG_POINT_DEV);
    CHECK_U64(g.points[3].sector, ==, 1);
    CHECK_OK(pkg_graph_make(&l.tree, true, l.arena, &g));
    CHECK_U64(g.count, ==, 4); /* without d and what it needs */
    lock_tree_free(&l);
}

static void test_same_bytes_again(void **state)
{
    (void)state;
    lock_tree l = lock_tree_read(shop);
    for (int i = 0; i < 3; i++) {
        brisk_err (*const writers[])(const pkg_graph *, brisk_out) = {
            pkg_graph_write_svg, pkg_graph_write_dot, pkg_graph_write_html};
        sink first = {0};
        sink second = {0};
        pkg_graph g;
        CHECK_OK(pkg_graph_make(&l.tree, false, l.arena, &g));
        CHECK_OK(writers[i](&g, out_to(&first)));
        CHECK_OK(pkg_graph_make(&l.tree, false, l.arena, &g));
        CHECK_OK(writers[i](&g, out_to(&second)));
        assert_string_equal(first.text, second.text);
        free(first.text);
        free(second.text);
    }
    lock_tree_free(&l);
}

/* Names that would be markup, end the script or the quotes. */
static void test_hostile_names(void **state)
{
    (void)state;
    lock_tree l = lock_tree_read(
        "{\"lockfileVersion\":3,\"packages\":{\"\":{\"name\":\"</script><img src=x>\","
        "\"dependencies\":{\"e\":\"*\"}},\"node_modules/e\":{\"name\":\"\\\"]; evil [\\\\\\u001b\","
        "\"version\":\"<b onload='x'>&\"}}}");
    pkg_graph g;
    CHECK_OK(pkg_graph_make(&l.tree, false, l.arena, &g));
    sink svg = {0};
    sink dot = {0};
    sink html = {0};
    CHECK_OK(pkg_graph_write_svg(&g, out_to(&svg)));
    CHECK_OK(pkg_graph_write_dot(&g, out_to(&dot)));
    CHECK_OK(pkg_graph_write_html(&g, out_to(&html)));
    assert_null(strstr(svg.text, "<img"));
    assert_null(strstr(svg.text, "<b "));
    assert_non_null(strstr(svg.text, "&lt;/script&gt;&lt;img src=x&gt;"));
    assert_non_null(strstr(svg.text, "&lt;b onload=&#39;x&#39;&gt;&amp;"));
    assert_null(strchr(svg.text, 0x1B));
    assert_non_null(strstr(dot.text, "label=\"\\\"]; evil [\\\\?\\n<b onload='x'>&\""));
    assert_null(strstr(html.text, "<img"));
    assert_null(strstr(html.text, "<b "));
    assert_non_null(strstr(html.text, "\\u003c/script>\\u003cimg src=x>"));
    assert_null(strstr(html.text, "__DATA__"));
    assert_null(strstr(html.text, "http://"));
    assert_null(strstr(html.text, "https://"));
    free(svg.text);
    free(dot.text);
    free(html.text);
    lock_tree_free(&l);
}

static void test_empty_lock(void **state)
{
    (void)state;
    lock_tree l = lock_tree_read("{\"lockfileVersion\":3,\"packages\":{}}");
    pkg_graph g;
    sink svg = {0};
    CHECK_OK(pkg_graph_make(&l.tree, true, l.arena, &g));
    CHECK_U64(g.count, ==, 1);
    CHECK_OK(pkg_graph_write_svg(&g, out_to(&svg)));
    assert_non_null(strstr(svg.text, "project: 0 packages"));
    assert_null(strstr(svg.text, "nan"));
    free(svg.text);
    lock_tree_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_ring_grows),
        cmocka_unit_test(test_places_of_one_version_are_one_point),
        cmocka_unit_test(test_same_bytes_again),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_empty_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
