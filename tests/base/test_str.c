/* The string builder: always terminated, bounded, and it keeps its first error. */
#include <string.h>

#include "base/str.h"
#include "support/check.h"
#include "support/fault_alloc.h"

static void test_building(void **state)
{
    (void)state;
    brisk_str str;
    brisk_str_init(&str, NULL, 1000);
    assert_string_equal(brisk_str_text(&str), "");
    brisk_str_cut(&str, 0);
    brisk_str_add(&str, "a");
    brisk_str_append(&str, "bcd", 2);
    brisk_str_printf(&str, "-%d-%s", 7, "x");
    brisk_str_printf(&str, "%s", "");
    assert_string_equal(brisk_str_text(&str), "abc-7-x");
    CHECK_U64(brisk_str_size(&str), ==, 7);
    brisk_str_cut(&str, 3);
    brisk_str_add(&str, "!");
    assert_string_equal(brisk_str_text(&str), "abc!");
    brisk_str_deinit(&str);
    CHECK_U64(brisk_str_size(&str), ==, 0);
    brisk_str_add(&str, "again");
    assert_string_equal(brisk_str_text(&str), "again");
    CHECK_OK(brisk_str_err(&str));
    brisk_str_deinit(&str);
}

/* For every length around the limit: at it is fine, beyond it is LIMIT and nothing is added. */
static void test_limit(void **state)
{
    (void)state;
    for (size_t size = 95; size < 105; size++) {
        brisk_str str;
        brisk_str_init(&str, NULL, 100);
        for (size_t i = 0; i < size; i++) {
            brisk_str_add(&str, "x");
        }
        CHECK_U64(brisk_str_size(&str), ==, size < 100 ? size : 100);
        CHECK(brisk_str_err(&str) == (size <= 100 ? BRISK_OK : BRISK_ERR_LIMIT));
        CHECK_U64(strlen(brisk_str_text(&str)), ==, brisk_str_size(&str));
        brisk_str_printf(&str, "%200s", "");
        CHECK(brisk_str_err(&str) == BRISK_ERR_LIMIT);
        brisk_str_deinit(&str);
    }
}

static void test_as_output(void **state)
{
    (void)state;
    brisk_str str;
    brisk_str_init(&str, NULL, 3);
    brisk_out out = brisk_str_out(&str);
    CHECK_OK(out.write(out.ctx, "abc", 3));
    CHECK(out.write(out.ctx, "d", 1) == BRISK_ERR_LIMIT);
    assert_string_equal(brisk_str_text(&str), "abc");
    brisk_str_deinit(&str);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_str str;
        brisk_str_init(&str, &fault.base, 10000);
        for (int i = 0; i < 100; i++) {
            brisk_str_printf(&str, "line %d\n", i);
            brisk_str_add(&str, "more");
        }
        err = brisk_str_err(&str);
        CHECK_U64(strlen(brisk_str_text(&str)), ==, brisk_str_size(&str));
        brisk_str_deinit(&str);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_building),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_as_output),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
