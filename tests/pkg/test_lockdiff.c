/*
 * test_lockdiff.c -- what differs between two locks; both ways round it is the same, turned.
 */
#include "locks.h"
#include "workload/pkg/lockdiff.h"

#define LOCK(text) "{\"lockfileVersion\":3,\"packages\":{\"\":{}," text "}}"

static void test_every_kind(void **state)
{
    (void)state;
    lock_tree x = lock_tree_read(LOCK(
        "\"w\":{},\"node_modules/w\":{\"resolved\":\"w\",\"link\":true},"
        "\"node_modules/same\":{\"version\":\"1.0.0\",\"integrity\":\"a\"},"
        "\"node_modules/up\":{\"version\":\"1.0.0\",\"dev\":true},"
        "\"node_modules/bytes\":{\"version\":\"1.0.0\",\"integrity\":\"a\",\"resolved\":\"r\"},"
        "\"node_modules/gone\":{\"version\":\"1.0.0\"},"
        "\"node_modules/moved\":{\"version\":\"2.0.0\"},"
        "\"node_modules/flag\":{\"version\":\"1.0.0\",\"dev\":true}"));
    lock_tree y = lock_tree_read(LOCK(
        "\"v\":{},\"node_modules/w\":{\"resolved\":\"v\",\"link\":true},"
        "\"node_modules/same\":{\"version\":\"1.0.0\",\"resolved\":\"only here\"},"
        "\"node_modules/up\":{\"version\":\"1.1.0\"},"
        "\"node_modules/bytes\":{\"version\":\"1.0.0\",\"integrity\":\"b\",\"resolved\":\"r\"},"
        "\"node_modules/up/node_modules/moved\":{\"version\":\"2.0.0\"},"
        "\"node_modules/moved\":{\"version\":\"3.0.0\"},"
        "\"node_modules/new\":{\"version\":\"1.0.0\"},"
        "\"node_modules/flag\":{\"version\":\"1.0.0\",\"peer\":true}"));
    pkg_changes c;
    CHECK_OK(pkg_lockdiff(&x.tree, &y.tree, x.arena, &c));
    CHECK_U64(c.counts[PKG_CHANGE_VERSION], ==, 2); /* up, moved */
    CHECK_U64(c.counts[PKG_CHANGE_CONTENT], ==, 2); /* bytes, w */
    CHECK_U64(c.counts[PKG_CHANGE_ADDED], ==, 3);   /* v, new, up/moved */
    CHECK_U64(c.counts[PKG_CHANGE_REMOVED], ==, 2); /* w, gone */
    CHECK_U64(c.counts[PKG_CHANGE_MOVED], ==, 0);
    CHECK_U64(c.counts[PKG_CHANGE_FLAGS], ==, 1);
    assert_true(pkg_text_is(c.items[0].after->path, "node_modules/moved"));
    CHECK_U64(c.items[2].what, ==, PKG_CHANGED_INTEGRITY);
    CHECK_U64(c.items[3].what, ==, PKG_CHANGED_RESOLVED);
    CHECK_OK(pkg_lockdiff(&x.tree, &x.tree, x.arena, &c));
    CHECK_U64(c.count, ==, 0);
    lock_tree_free(&x);
    lock_tree_free(&y);
}

static void test_moved(void **state)
{
    (void)state;
    lock_tree x = lock_tree_read(LOCK("\"node_modules/a\":{\"version\":\"1.0.0\"},"
                                      "\"node_modules/a/node_modules/m\":{\"version\":\"2.0.0\"}"));
    lock_tree y = lock_tree_read(
        LOCK("\"node_modules/a\":{\"version\":\"1.0.0\"},\"node_modules/m\":{\"version\":"
             "\"2.0.0\"},\"node_modules/m2\":{\"name\":\"m\",\"version\":\"2.0.0\"}"));
    pkg_changes c;
    CHECK_OK(pkg_lockdiff(&x.tree, &y.tree, x.arena, &c));
    CHECK_U64(c.count, ==, 2);
    CHECK_U64(c.counts[PKG_CHANGE_MOVED], ==, 1);
    CHECK_U64(c.counts[PKG_CHANGE_ADDED], ==, 1);
    assert_true(pkg_text_is(c.items[1].before->path, "node_modules/a/node_modules/m"));
    assert_true(pkg_text_is(c.items[1].after->path, "node_modules/m"));
    lock_tree_free(&x);
    lock_tree_free(&y);
}

/* Every node of both is accounted for, whichever way round. */
static void test_random_pairs(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    static char text[2][RANDOM_LOCK_MAX];
    for (int round = 0; round < 100; round++) {
        random_lock(&seed, 1 + (uint32_t)(check_random(&seed) % 20), 9, text[0]);
        random_lock(&seed, 1 + (uint32_t)(check_random(&seed) % 20), 9, text[1]);
        lock_tree x = lock_tree_read(text[0]);
        lock_tree y = lock_tree_read(text[1]);
        pkg_changes there;
        pkg_changes back;
        CHECK_OK(pkg_lockdiff(&x.tree, &y.tree, x.arena, &there));
        CHECK_OK(pkg_lockdiff(&y.tree, &x.tree, x.arena, &back));
        CHECK_U64(there.count, ==, back.count);
        CHECK_U64(there.counts[PKG_CHANGE_ADDED], ==, back.counts[PKG_CHANGE_REMOVED]);
        assert_true((int)y.tree.count - (int)x.tree.count ==
                    (int)there.counts[PKG_CHANGE_ADDED] - (int)there.counts[PKG_CHANGE_REMOVED]);
        lock_tree_free(&x);
        lock_tree_free(&y);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_random_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
