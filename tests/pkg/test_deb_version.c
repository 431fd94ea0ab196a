/*
 * test_deb_version.c -- the order of versions: known cases, and that it is an order.
 */
#include <brisk/brisk.h>

#include "support/check.h"
#include "workload/pkg/deb/deb.h"

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

static int compare(const char *a, const char *b)
{
    int order = sign(deb_version_compare(pkg_text_of(a), pkg_text_of(b)));
    CHECK(order == -sign(deb_version_compare(pkg_text_of(b), pkg_text_of(a))));
    return order;
}

/* Each line is in ascending order, "=" between equal ones; as dpkg --compare-versions says. */
static void test_known_order(void **state)
{
    (void)state;
    static const char *const less[][2] = {
        {"1.0~rc1", "1.0"},
        {"1.0~~", "1.0~"},
        {"1.0~", "1.0~a"},
        {"1.0", "1.0a"},
        {"1.0a", "1.0+"},
        {"1.0", "1.0-1"},
        {"1.0-1", "1.0-1+b1"},
        {"1.0-1", "1.0-1.1"},
        {"1.9", "1.10"},
        {"9", "10"},
        {"1.2", "1:0.1"},
        {"0:9", "1:0"},
        {"1:1-1", "2:0-0"},
        {"1.0a1", "1.0a2"},
        {"1.0A", "1.0a"},
        {"1.0.a", "1.0.+"},
        {"2.36-9+deb12u9", "2.36-9+deb12u10"},
        {"1.0-1~bpo12+1", "1.0-1"},
        {"1-1", "1-1-1"},
        {"99999999999999999998", "99999999999999999999"},
        {"1.0", "1.00001"},
        {"", "0a"},
    };
    static const char *const equal[][2] = {
        {"1.0", "1.0"},   {"0:1.0", "1.0"},    {"1.0", "1.0-0"}, {"1.0", "1.00"},
        {"01.1", "1.01"}, {"1.0-0", "1.0-00"}, {"0", ""},        {"00000000000001", "1"},
    };
    for (size_t i = 0; i < sizeof less / sizeof less[0]; i++) {
        if (compare(less[i][0], less[i][1]) != -1) {
            fail_msg("%s < %s", less[i][0], less[i][1]);
        }
    }
    for (size_t i = 0; i < sizeof equal / sizeof equal[0]; i++) {
        if (compare(equal[i][0], equal[i][1]) != 0) {
            fail_msg("%s = %s", equal[i][0], equal[i][1]);
        }
    }
}

static void test_valid(void **state)
{
    (void)state;
    static const char *const good[] = {"1",       "1:2",   "0.1-1", "1.0~rc1+dfsg-1.1",
                                       "1:2:3-4", "1-2-3", "2a"};
    static const char *const bad[] = {"",    ":1",  "1:",  "a",  "x:1",   "1-", "1.0-",
                                      "1 2", "1_2", "1/2", "-1", "1-1:1", "1\n"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!deb_version_is_valid(pkg_text_of(good[i]))) {
            fail_msg("'%s' is a version", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (deb_version_is_valid(pkg_text_of(bad[i]))) {
            fail_msg("'%s' is no version", bad[i]);
        }
    }
}

/* Property: of any three texts the order is antisymmetric (in compare) and transitive. */
static void test_is_an_order(void **state)
{
    (void)state;
    static const char alphabet[] = "0019ab~+.-:AZ";
    uint64_t seed = check_seed();
    for (int round = 0; round < 20000; round++) {
        char texts[3][9];
        for (int i = 0; i < 3; i++) {
            size_t size = check_random(&seed) % 8;
            for (size_t k = 0; k < size; k++) {
                texts[i][k] = alphabet[check_random(&seed) % (sizeof alphabet - 1)];
            }
            texts[i][size] = '\0';
        }
        int ab = compare(texts[0], texts[1]);
        int bc = compare(texts[1], texts[2]);
        int ac = compare(texts[0], texts[2]);
        if ((ab <= 0 && bc <= 0 && ac > 0) || (ab >= 0 && bc >= 0 && ac < 0)) {
            fail_msg("'%s' '%s' '%s': %d %d %d", texts[0], texts[1], texts[2], ab, bc, ac);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_order),
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_is_an_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
