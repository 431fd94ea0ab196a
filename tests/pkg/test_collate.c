/*
 * test_collate.c -- the two orders of npm's files, against what node says where node is.
 */
#include <brisk/arena.h>

#include "support/check.h"
#include "workload/pkg/collate.h"

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static int collate(const char *a, const char *b)
{
    return sign(pkg_collate(pkg_text_of(a), pkg_text_of(b)));
}

/* Made by node: characters in the order of Intl.Collator("en"). */
static void test_order_of_characters(void **state)
{
    (void)state;
    const char *order = "\t\n\v\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
                        "aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUvVwWxXyYzZ";
    for (size_t i = 0; order[i + 1] != '\0'; i++) {
        pkg_text a = {order + i, 1};
        pkg_text b = {order + i + 1, 1};
        assert_int_equal(sign(pkg_collate(a, b)), -1);
        assert_int_equal(sign(pkg_collate(b, a)), 1);
    }
}

static void test_levels(void **state)
{
    (void)state;
    assert_int_equal(collate("aBc", "Abc"), -1); /* the first letter of another case counts */
    assert_int_equal(collate("Ab", "aBx"), -1);  /* but only when all else is equal */
    assert_int_equal(collate("a-b", "ab"), -1);
    assert_int_equal(collate("a/b", "a-b"), 1);
    assert_int_equal(collate("a\x01z", "az"), 0); /* controls are passed over */
    assert_int_equal(collate("", ""), 0);
    assert_int_equal(collate("zz", "\xC3\xA9"), -1); /* above ASCII: behind all letters */
}

static void test_members(void **state)
{
    (void)state;
    static const char *const order[] = {
        "0",  "7",  "10",         "4294967294", "name", "version", "resolved", "dependencies",
        "_x", "01", "4294967295", "a",          "names"};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        for (size_t j = 0; j < sizeof order / sizeof order[0]; j++) {
            int wanted = (i > j) - (i < j);
            assert_int_equal(sign(pkg_member_compare(pkg_text_of(order[i]), pkg_text_of(order[j]))),
                             wanted);
        }
    }
    assert_int_not_equal(pkg_member_compare(PKG_TEXT("a\x01"), PKG_TEXT("a\x02")), 0);
}

static void random_name(uint64_t *seed, char *name, size_t size)
{
    static const char letters[] = "abzAB019-_./@~$";
    size_t length = check_random(seed) % (size - 1);
    for (size_t i = 0; i < length; i++) {
        name[i] = letters[check_random(seed) % (sizeof letters - 1)];
    }
    name[length] = '\0';
}

/* A key never contradicts the comparison. */
static void test_keys_agree(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int i = 0; i < 20000; i++) {
        char a[16];
        char b[16];
        random_name(&seed, a, sizeof a);
        random_name(&seed, b, sizeof b);
        uint64_t x = pkg_collate_key(pkg_text_of(a), 0);
        uint64_t y = pkg_collate_key(pkg_text_of(b), 0);
        if (x != y) {
            assert_int_equal(collate(a, b), x < y ? -1 : 1);
        }
    }
}

/* node compares 5,000 pairs; skipped where there is none. */
static void test_node_agrees(void **state)
{
    (void)state;
    enum { PAIRS = 5000 };
    static char names[2 * PAIRS][20];
    uint64_t seed = check_seed();
    char path[] = "/tmp/brisk-collate-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    for (int i = 0; i < 2 * PAIRS; i++) {
        random_name(&seed, names[i], sizeof names[i]);
        (void)fprintf(file, "%s\n", names[i]);
    }
    (void)fclose(file);
    char command[400];
    (void)snprintf(command, sizeof command,
                   "node -e 'const l=require(\"fs\").readFileSync(\"%s\",\"utf8\").split(\"\\n\");"
                   "for(let i=0;i+1<l.length;i+=2)"
                   "console.log(Math.sign(l[i].localeCompare(l[i+1],\"en\")))' 2>/dev/null",
                   path);
    FILE *node = popen(command, "r");
    assert_non_null(node);
    int found = 0;
    int order;
    for (; found < PAIRS && fscanf(node, "%d", &order) == 1; found++) {
        if (collate(names[2 * found], names[2 * found + 1]) != order) {
            fail_msg("\"%s\" and \"%s\": node says %d", names[2 * found], names[2 * found + 1],
                     order);
        }
    }
    (void)pclose(node);
    (void)remove(path);
    if (found == 0) {
        print_message("skipped: there is no node here\n");
        skip();
    }
    assert_int_equal(found, PAIRS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_characters),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_keys_agree),
        cmocka_unit_test(test_node_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
