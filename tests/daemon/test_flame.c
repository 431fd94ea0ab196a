/*
 * test_flame.c -- collapsed stacks as a tree and as a picture: sums, cuts, what is no stack, differences.
 */
#include <string.h>

#include <brisk/arena.h>
#include <brisk/json_read.h>

#include "daemon/api/flame.h"
#include "support/check.h"
#include "support/fault_alloc.h"

static void add(flame *f, uint32_t which, const char *text)
{
    CHECK_OK(flame_add(f, which, text, strlen(text)));
}

/* The tree as it is written, without blanks. */
static void check_json(const flame *f, bool with_before, const char *wanted)
{
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, NULL, 64 << 20);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    flame_put(f, &json, NULL, with_before);
    CHECK_OK(brisk_json_finish(&json));
    brisk_str_cut(&text, brisk_str_size(&text) - 1);
    assert_string_equal(brisk_str_text(&text), wanted);
    brisk_str_deinit(&text);
}

static void test_sums(void **state)
{
    (void)state;
    flame *f;
    CHECK_OK(flame_create(brisk_alloc_libc(), &f));
    check_json(f, false, "{\"name\":\"all\",\"value\":0,\"children\":[]}");
    add(f, 0, "a;b 3\na;c 2\na 1\nd;\"q\" 4\n");
    check_json(
        f, false,
        "{\"name\":\"all\",\"value\":10,\"children\":[{\"name\":\"a\",\"value\":6,\"children\":["
        "{\"name\":\"b\",\"value\":3,\"children\":[]},{\"name\":\"c\",\"value\":2,\"children\":[]}]"
        "},"
        "{\"name\":\"d\",\"value\":4,\"children\":[{\"name\":\"\\\"q\\\"\",\"value\":4,"
        "\"children\":[]}]}]}");
    flame_destroy(f);
}

static void test_what_is_no_stack(void **state)
{
    (void)state;
    flame *f;
    CHECK_OK(flame_create(brisk_alloc_libc(), &f));
    add(f, 0,
        "\n 5\nabc\na;b\na b x\n99999999999999999999 1a\nx 99999999999999999999\nx "
        "18446744073709551615\n");
    check_json(f, false, "{\"name\":\"all\",\"value\":0,\"children\":[]}");
    add(f, 0, "ok 7"); /* no newline at the end */
    CHECK_U64(flame_total(f, 0), ==, 7);
    flame_destroy(f);
}

static void test_cuts(void **state)
{
    (void)state;
    flame *f;
    char deep[4096] = "";
    CHECK_OK(flame_create(brisk_alloc_libc(), &f));
    for (int i = 0; i < 500; i++) {
        memcpy(deep + 2 * i, "f;", 3);
    }
    memcpy(deep + 1000, "end 9\n", 7);
    add(f, 0, deep);
    for (int i = 0; i < FLAME_NODES_MAX + 100; i++) {
        char line[32];
        (void)snprintf(line, sizeof line, "n%d 1\n", i);
        if (i % 50 == 0 || i > FLAME_NODES_MAX - 50) { /* few enough to be quick */
            add(f, 0, line);
        }
    }
    CHECK_U64(flame_total(f, 0), >, 9);
    brisk_str text;
    brisk_json json;
    brisk_arena *arena;
    const brisk_json_node *root;
    brisk_errinfo info;
    brisk_str_init(&text, NULL, 64 << 20);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    flame_put(f, &json, NULL, false);
    CHECK_OK(brisk_json_finish(&json));
    CHECK_OK(brisk_arena_create(&(brisk_arena_opts){0}, &arena));
    CHECK_OK(brisk_json_read(brisk_str_text(&text), brisk_str_size(&text),
                             brisk_arena_as_alloc(arena), &root,
                             &info)); /* what is nested deepest can still be read */
    brisk_arena_destroy(arena);
    brisk_str_deinit(&text);
    flame_destroy(f);
}

static void test_difference_and_picture(void **state)
{
    (void)state;
    flame *f;
    brisk_str text;
    CHECK_OK(flame_create(brisk_alloc_libc(), &f));
    add(f, 0, "main;hot<T&> 8\nmain;same 2\n");
    add(f, 1, "main;gone 5\nmain;same 5\n");
    check_json(f, true,
               "{\"name\":\"all\",\"value\":10,\"before\":10,\"children\":[{\"name\":\"main\","
               "\"value\":10,"
               "\"before\":10,\"children\":[{\"name\":\"hot<T&>\",\"value\":8,\"before\":0,"
               "\"children\":[]},"
               "{\"name\":\"same\",\"value\":2,\"before\":5,\"children\":[]},"
               "{\"name\":\"gone\",\"value\":0,\"before\":5,\"children\":[]}]}]}");
    for (int before = 0; before < 2; before++) {
        brisk_str_init(&text, NULL, 1 << 20);
        flame_svg(f, &text, before != 0);
        CHECK_OK(brisk_str_err(&text));
        CHECK(strstr(brisk_str_text(&text), "<title>hot&lt;T&amp;&gt; (8, 80.00%)</title>") !=
              NULL);
        CHECK(strstr(brisk_str_text(&text), "hot<T") == NULL);
        CHECK((strstr(brisk_str_text(&text), "gone") != NULL) == (before != 0));
        brisk_str_deinit(&text);
    }
    flame_destroy(f);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t after = 0; after < 12; after++) {
        fault_alloc fault;
        flame *f;
        fault_alloc_init(&fault, after);
        if (flame_create(&fault.base, &f) == BRISK_OK) {
            brisk_str text;
            brisk_json json;
            brisk_str_init(&text, NULL, 1 << 20);
            add(f, 0, "a;b;c 1\nd;e;f 1\ng;h 1\n");
            CHECK_U64(flame_total(f, 0), ==, 3);
            brisk_json_init(&json, brisk_str_out(&text), 0);
            flame_put(f, &json, NULL, false);
            CHECK_OK(brisk_json_finish(&json));
            brisk_str_deinit(&text);
            flame_destroy(f);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_what_is_no_stack),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_difference_and_picture),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
