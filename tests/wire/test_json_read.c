/*
 * test_json_read.c -- proves brisk_json_read: what RFC 8259 allows is read, what it does not is
 * refused, decoded strings are right, bounds hold, every allocation may fail.
 */
#include "support/check.h"

#include <string.h>

#include <brisk/arena.h>
#include <brisk/json_read.h>

#include "base/cleanup.h"

BRISK_DEFINE_CLEANUP(brisk_arena, brisk_arena_destroy)

static brisk_err read_text(brisk_arena *arena, const char *text, const brisk_json_node **ret,
                           brisk_errinfo *info)
{
    return brisk_json_read(text, strlen(text), brisk_arena_as_alloc(arena), ret, info);
}

static void test_a_whole_document(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    const brisk_json_node *root;
    CHECK_OK(read_text(arena,
                       " {\"a\": [1, -2.5e+3, true, false, null], \"b\\u0041\": {\"x\":\"\"},"
                       "\"s\":\"q\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00z\"}\n",
                       &root, NULL));
    CHECK(root->kind == BRISK_JSON_OBJECT && root->count == 3);
    const brisk_json_node *a = brisk_json_get(root, "a");
    CHECK(a->kind == BRISK_JSON_ARRAY && a->count == 5);
    CHECK(a->raw_size == strlen("[1, -2.5e+3, true, false, null]") && a->raw[0] == '[');
    const brisk_json_node *second = a->child->next;
    CHECK(second->kind == BRISK_JSON_NUMBER && second->size == 7);
    CHECK(memcmp(second->text, "-2.5e+3", 7) == 0);
    CHECK(second->next->boolean && !second->next->next->boolean);
    CHECK(second->next->next->next->kind == BRISK_JSON_NULL);
    const brisk_json_node *b = brisk_json_get(root, "bA");
    CHECK(b != NULL && brisk_json_is(brisk_json_get(b, "x"), ""));
    CHECK(brisk_json_is(brisk_json_get(root, "s"), "q\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80z"));
    CHECK(brisk_json_get(root, "nothing") == NULL && brisk_json_get(a, "x") == NULL);
    CHECK(brisk_json_get(NULL, "x") == NULL);
}

static void test_what_is_refused(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "tru",
        "nul",
        "True",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "NaN",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\\ud800x\"",
        "\"\x01\"",
        "\"a\nb\"",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xe2\x82\"",
        "1 2",
        "{} x",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "//x\n1",
        "[}",
        "{]",
        "\xef\xbb\xbf{}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
        CHECK_OK(brisk_arena_create(NULL, &arena));
        const brisk_json_node *root = NULL;
        brisk_errinfo info = {.text = ""};
        if (read_text(arena, bad[i], &root, &info) != BRISK_ERR_INVALID) {
            fail_msg("was read: %s", bad[i]);
        }
        CHECK(root == NULL && strncmp(info.text, "JSON, byte ", 11) == 0);
    }
}

/* A request without a body is no bytes at no place. */
static void test_nothing_at_all(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    const brisk_json_node *root = NULL;
    CHECK(brisk_json_read(NULL, 0, brisk_arena_as_alloc(arena), &root, NULL) == BRISK_ERR_INVALID);
    CHECK(root == NULL);
}

static void test_bounds(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    const brisk_json_node *root = NULL;
    char deep[2 * BRISK_JSON_READ_DEPTH_MAX + 3];
    for (size_t depth = BRISK_JSON_READ_DEPTH_MAX; depth <= BRISK_JSON_READ_DEPTH_MAX + 1;
         depth++) {
        memset(deep, '[', depth);
        memset(deep + depth, ']', depth);
        deep[2 * depth] = '\0';
        CHECK(read_text(arena, deep, &root, NULL) ==
              (depth <= BRISK_JSON_READ_DEPTH_MAX ? BRISK_OK : BRISK_ERR_LIMIT));
    }
    size_t size = 2 * (size_t)BRISK_JSON_READ_NODES_MAX + 2;
    char *many = malloc(size);
    CHECK(many != NULL);
    memset(many, ',', size);
    many[0] = '[';
    for (size_t i = 1; i < size - 1; i += 2) {
        many[i] = '1';
    }
    many[size - 1] = ']';
    many[size - 2] = ' ';
    CHECK(brisk_json_read(many, size, brisk_arena_as_alloc(arena), &root, NULL) != BRISK_OK);
    free(many);
}

/* Many members: the same name is found wherever it stands. */
static void test_a_member_twice_among_many(void **unused)
{
    (void)unused;
    char text[4096];
    for (int twice = 0; twice < 2; twice++) {
        BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
        CHECK_OK(brisk_arena_create(NULL, &arena));
        size_t used = 0;
        for (int i = 0; i < 100; i++) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s\"m%d\":%d",
                                     i == 0 ? "{" : ",", twice != 0 && i == 99 ? 41 : i, i);
        }
        (void)snprintf(text + used, sizeof text - used, "}");
        const brisk_json_node *root = NULL;
        CHECK(read_text(arena, text, &root, NULL) == (twice != 0 ? BRISK_ERR_INVALID : BRISK_OK));
    }
}

static void test_members_of_a_request(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    const brisk_json_node *root;
    brisk_errinfo info = {.text = ""};
    static const char *const words[] = {"auto", "always", NULL};
    static const char *const some[] = {"n", "b", "w", "z", NULL};
    CHECK_OK(read_text(arena, "{\"n\":18446744073709551615,\"b\":true,\"w\":\"always\",\"z\":null}",
                       &root, &info));
    uint64_t n = 7;
    bool b = false;
    uint32_t w = 9;
    CHECK_OK(brisk_json_member_u64(root, "n", 0, UINT64_MAX, &n, &info));
    CHECK_U64(n, ==, UINT64_MAX);
    CHECK(brisk_json_member_u64(root, "n", 1, 5, &n, &info) == BRISK_ERR_INVALID);
    assert_string_equal(info.text, "\"n\" has to be a whole number from 1 to 5");
    CHECK_OK(brisk_json_member_u64(root, "z", 0, 1, &n, &info));
    CHECK_OK(brisk_json_member_u64(NULL, "n", 0, 1, &n, &info));
    CHECK_U64(n, ==, UINT64_MAX);
    CHECK_OK(brisk_json_member_bool(root, "b", &b, &info));
    CHECK(b);
    CHECK(brisk_json_member_bool(root, "w", &b, &info) == BRISK_ERR_INVALID);
    assert_string_equal(info.text, "\"w\" has to be true or false, not a string");
    CHECK_OK(brisk_json_member_word(root, "w", words, &w, &info));
    CHECK_U64(w, ==, 1);
    CHECK_OK(brisk_json_check_members(root, some, &info));
    CHECK(brisk_json_check_members(root, words, &info) == BRISK_ERR_INVALID);
    assert_string_equal(info.text, "there is no member \"n\"");
    CHECK_OK(read_text(arena, "{\"n\":1.0,\"w\":\"x\"}", &root, &info));
    CHECK(brisk_json_member_u64(root, "n", 0, 5, &n, &info) == BRISK_ERR_INVALID);
    CHECK(brisk_json_member_word(root, "w", words, &w, &info) == BRISK_ERR_INVALID);
    assert_string_equal(info.text, "\"w\" has to be one of auto, always");
}

/* An arena's memory, after which there is none. */
typedef struct failing {
    brisk_alloc base;
    const brisk_alloc *arena;
    uint64_t left;
} failing;

static void *take_or_fail(void *ctx, size_t size, size_t align)
{
    failing *self = ctx;
    return self->left-- > 0 ? self->arena->acquire(self->arena->ctx, size, align) : NULL;
}

static void test_every_allocation_may_fail(void **unused)
{
    (void)unused;
    static const char text[] =
        "{\"a\":[1,{\"b\":\"\\n\"}],\"c\":0,\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0,\"i\":0,"
        "\"j\":0,\"k\":0,\"l\":0,\"m\":0,\"n\":0,\"o\":0,\"p\":0,\"q\":0,\"r\":0,\"s\":0}";
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        brisk_arena *arena = NULL;
        CHECK_OK(brisk_arena_create(NULL, &arena));
        failing fault = {.base = {.acquire = take_or_fail, .ctx = &fault},
                         .arena = brisk_arena_as_alloc(arena),
                         .left = fail_after};
        const brisk_json_node *root = NULL;
        err = brisk_json_read(text, strlen(text), &fault.base, &root, NULL);
        CHECK((root != NULL) == (err == BRISK_OK));
        brisk_arena_destroy(arena);
    }
    CHECK(err == BRISK_OK);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_a_whole_document),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_a_member_twice_among_many),
        cmocka_unit_test(test_members_of_a_request),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
