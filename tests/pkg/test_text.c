/* test_text.c -- texts compare by bytes and hash the same everywhere. */
#include "support/check.h"
#include "workload/pkg/text.h"

static void test_order(void **state)
{
    (void)state;
    assert_true(pkg_text_compare(PKG_TEXT("a"), PKG_TEXT("ab")) < 0);
    assert_true(pkg_text_compare(PKG_TEXT("b"), PKG_TEXT("ab")) > 0);
    assert_int_equal(pkg_text_compare(PKG_TEXT("ab"), PKG_TEXT("ab")), 0);
    assert_true(pkg_text_compare((pkg_text){0}, PKG_TEXT("a")) < 0);
    assert_true(pkg_text_is(PKG_TEXT("lodash"), "lodash"));
    assert_false(pkg_text_is(PKG_TEXT("lodash"), "lodas"));
    assert_true(pkg_text_equal(pkg_text_of(NULL), PKG_TEXT("")));
}

/* The hash is stored in files: another value would make them unreadable. */
static void test_hash_is_fixed(void **state)
{
    (void)state;
    assert_true(pkg_text_hash(PKG_TEXT("")) == pkg_text_hash((pkg_text){0}));
    assert_true(pkg_text_hash(PKG_TEXT("lodash")) == UINT64_C(0x6A9C22FB82534399));
    assert_true(pkg_text_hash(PKG_TEXT("lodash")) != pkg_text_hash(PKG_TEXT("lodash.")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_hash_is_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
