/*
 * test_bench_words.c -- a command line in one string, as words.
 */
#include "support/check.h"
#include "support/fault_alloc.h"

#include <string.h>

#include "base/cleanup.h"
#include "observe/bench/bench.h"

BRISK_DEFINE_CLEANUP(brisk_arena, brisk_arena_destroy)

/** The words of `text`, each in brackets, or the error's name. */
static void expect(const char *text, const char *wanted)
{
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    char **words = NULL;
    uint32_t count = 0;
    char got[1024] = "";
    brisk_err err = bench_split(arena, text, &words, &count);
    if (err != BRISK_OK) {
        (void)snprintf(got, sizeof got, "%s", brisk_err_name(err));
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t length = strlen(got);
        (void)snprintf(got + length, sizeof got - length, "[%s]", words[i]);
    }
    CHECK(words == NULL || words[count] == NULL);
    assert_string_equal(got, wanted);
}

static void test_splitting(void **state)
{
    (void)state;
    expect("a", "[a]");
    expect("  a \t b\nc  ", "[a][b][c]");
    expect("rom apply 'my game.sfc' -o \"out file\"", "[rom][apply][my game.sfc][-o][out file]");
    expect("a'b c'd", "[ab cd]");
    expect("'' x \"\"", "[][x][]");
    expect("a\\ b", "[a b]");
    expect("'a\\b'", "[a\\b]");
    expect("\"a\\b\"", "[a\\b]");
    expect("\"a\\\"b\\\\c\"", "[a\"b\\c]");
    expect("'\"' \"'\"", "[\"][']");
    expect("$HOME * ~ `x` ; | & # >", "[$HOME][*][~][`x`][;][|][&][#][>]");
    expect("\xc3\xa4 \xff", "[\xc3\xa4][\xff]");
}

static void test_refusals(void **state)
{
    (void)state;
    expect("", "BRISK_ERR_INVALID");
    expect(" \t\n", "BRISK_ERR_INVALID");
    expect("a 'b", "BRISK_ERR_INVALID");
    expect("a \"b", "BRISK_ERR_INVALID");
    expect("a \"b\\\"", "BRISK_ERR_INVALID");
    expect("a\\", "BRISK_ERR_INVALID");
    expect("a 'b\\' c'", "BRISK_ERR_INVALID");
}

static void test_limit(void **state)
{
    (void)state;
    char text[2 * (BENCH_WORDS_MAX + 1) + 1];
    for (size_t i = 0; i < sizeof text - 1; i++) {
        text[i] = i % 2 == 0 ? 'x' : ' ';
    }
    text[sizeof text - 1] = '\0';
    expect(text, "BRISK_ERR_LIMIT");
    text[2 * BENCH_WORDS_MAX] = '\0';
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    char **words = NULL;
    uint32_t count = 0;
    CHECK_OK(bench_split(arena, text, &words, &count));
    CHECK_U64(count, ==, BENCH_WORDS_MAX);
}

/* Property: words quoted in any way come back as they were. */
static void test_quoting_round_trip(void **state)
{
    (void)state;
    static const char alphabet[] = "ab '\"\\\t$";
    uint64_t random = check_seed();
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    for (int round = 0; round < 5000; round++) {
        char words[4][9];
        char line[256];
        size_t used = 0;
        uint32_t count = (uint32_t)(check_random(&random) % 4) + 1;
        for (uint32_t w = 0; w < count; w++) {
            size_t length = check_random(&random) % 9;
            bool doubled = check_random(&random) % 2 == 0;
            line[used++] = ' ';
            line[used++] = doubled ? '"' : '\'';
            for (size_t i = 0; i < length; i++) {
                char c = alphabet[check_random(&random) % (sizeof alphabet - 1)];
                c = !doubled && c == '\'' ? 'x' : c;
                words[w][i] = c;
                if (doubled && (c == '"' || c == '\\')) {
                    line[used++] = '\\';
                }
                line[used++] = c;
            }
            words[w][length < 9 ? length : 8] = '\0';
            line[used++] = doubled ? '"' : '\'';
        }
        line[used] = '\0';
        char **got = NULL;
        uint32_t got_count = 0;
        CHECK_OK(bench_split(arena, line, &got, &got_count));
        CHECK_U64(got_count, ==, count);
        for (uint32_t w = 0; w < count; w++) {
            assert_string_equal(got[w], words[w]);
        }
        brisk_arena_reset(arena);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_arena *arena = NULL;
        err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 4096, .alloc = &fault.base},
                                 &arena);
        char **words = NULL;
        uint32_t count = 0;
        if (err == BRISK_OK) {
            err = bench_split(arena, "rom info 'a b'", &words, &count);
            CHECK(err == BRISK_OK || words == NULL);
        }
        brisk_arena_destroy(arena);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splitting),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_quoting_round_trip),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
