/*
 * test_scan.c -- the bits of JSON text: every path against one written down here, and walking.
 */
#include <string.h>

#include "support/check.h"
#include "workload/pkg/scan.h"

enum { SIZE_MAX_BYTES = 1000 };

/* What the header says, said once more: runs of backslashes are counted back from each byte. */
static scan_block expected_block(const char *text, size_t size, size_t block)
{
    scan_block bits = {0};
    bool in_string = false;
    for (size_t i = 0; i < size && i < (block + 1) * SCAN_BLOCK_BYTES; i++) {
        size_t run = 0;
        while (run < i && text[i - run - 1] == '\\') {
            run++;
        }
        bool is_quote = text[i] == '"' && run % 2 == 0;
        bool mine = i >= block * SCAN_BLOCK_BYTES;
        uint64_t bit = mine ? UINT64_C(1) << i % SCAN_BLOCK_BYTES : 0;
        unsigned char c = (unsigned char)text[i];
        in_string = is_quote ? !in_string : in_string;
        bits.quotes |= is_quote ? bit : 0;
        bits.opens |= !in_string && (c == '{' || c == '[') ? bit : 0;
        bits.closes |= !in_string && (c == '}' || c == ']') ? bit : 0;
        bits.special |= c == '\\' || c < 0x20 || c > 0x7f ? bit : 0;
    }
    return bits;
}

static void check_paths(const char *text, size_t size)
{
    scan_block found[SIZE_MAX_BYTES / SCAN_BLOCK_BYTES + 1];
    for (scan_path path = SCAN_BEST; path < SCAN_PATH_COUNT; path++) {
        if (!scan_path_exists(path)) {
            continue;
        }
        memset(found, 0xee, sizeof found);
        scan_blocks(path, text, size, found);
        for (size_t block = 0; block < scan_block_count(size); block++) {
            scan_block expected = expected_block(text, size, block);
            if (memcmp(&expected, &found[block], sizeof expected) != 0) {
                fail_msg("path %d, block %zu of %zu bytes", (int)path, block, size);
            }
        }
    }
}

static void test_paths_agree_with_the_rule(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    static const char often[] = "\"\\\\\\{}[]:, a\n\x80";
    for (uint32_t round = 0; round < 3000; round++) {
        size_t size = check_random(&random) % SIZE_MAX_BYTES;
        char *text = malloc(size + 1); /* exact, so that a read behind it is seen */
        assert_non_null(text);
        bool any = round % 4 == 0;
        for (size_t i = 0; i < size; i++) {
            uint64_t r = check_random(&random);
            text[i] = any ? (char)r : often[r % (sizeof often - 1)];
        }
        check_paths(text, size);
        free(text);
    }
}

static void test_runs_of_backslashes_over_blocks(void **state)
{
    (void)state;
    char text[200];
    for (size_t begin = 50; begin < 70; begin++) {
        for (size_t run = 0; run < 130 && begin + run < sizeof text - 2; run++) {
            memset(text, 'a', sizeof text);
            text[0] = '"';
            memset(text + begin, '\\', run);
            text[begin + run] = '"';
            text[begin + run + 1] = '{';
            check_paths(text, sizeof text);
        }
    }
}

static void test_every_byte_value(void **state)
{
    (void)state;
    char text[256];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)i;
    }
    check_paths(text, sizeof text);
}

/* A scan over `text`; its blocks in static storage. */
static scan scan_of(const char *text)
{
    static scan_block blocks[64];
    size_t size = strlen(text);
    assert_true(scan_block_count(size) <= 64);
    scan_blocks(SCAN_BEST, text, size, blocks);
    return (scan){.text = text, .size = (uint32_t)size, .blocks = blocks};
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t end; /* of the value that begins the text */
        bool strict;  /* exactly one value of JSON */
    } cases[] = {
        {"1", 1, true},
        {"-0.5e+10", 8, true},
        {"01", 1, false},
        {"-", SCAN_NONE, false},
        {"1.", SCAN_NONE, false},
        {"1e", SCAN_NONE, false},
        {"true", 4, true},
        {"truex", 4, false},
        {"nul", SCAN_NONE, false},
        {"", SCAN_NONE, false},
        {"\"a\"", 3, true},
        {"\"a\\\"\"", 5, true},
        {"\"a\\x\"", 5, false},
        {"\"a\\u12\"", 7, false},
        {"\"\\u12aF\"", 8, true},
        {"\"a", SCAN_NONE, false},
        {"\"a\\\"", SCAN_NONE, false},
        {"\"\t\"", 3, false},
        {"{}", 2, true},
        {"[ ]", 3, true},
        {"[1,2]", 5, true},
        {"[1,]", 4, false},
        {"[1 2]", 5, false},
        {"[}", 2, false}, /* brackets are only counted where nobody looks */
        {"{\"a\":1}", 7, true},
        {"{\"a\" : [ {} , \"]}\" ] }", 22, true},
        {"{\"a\":}", 6, false},
        {"{1:2}", 5, false},
        {"{\"a\":1,}", 8, false},
        {"{\"a\":{\"b\":[1,{\"c\":2}]}}", 23, true},
        {"{\"a\":[}", SCAN_NONE, false},
        {"[[[[]]]", SCAN_NONE, false},
        {"]", SCAN_NONE, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scan s = scan_of(cases[i].text);
        uint32_t end = scan_value(&s, 0);
        if (end != cases[i].end || scan_is_strict(&s, 0, s.size, 8) != cases[i].strict) {
            fail_msg("%s: %u", cases[i].text, end);
        }
    }
}

static void test_depth_of_strict_values(void **state)
{
    (void)state;
    scan s = scan_of("[[{\"a\":[]}]]");
    assert_true(scan_is_strict(&s, 0, s.size, 4));
    assert_false(scan_is_strict(&s, 0, s.size, 3));
}

/* Containers that end in any bit of any block, behind strings full of brackets. */
static void test_containers_over_blocks(void **state)
{
    (void)state;
    for (uint32_t pad = 0; pad < 200; pad++) {
        for (uint32_t depth = 1; depth < 150; depth += 7) {
            char text[1024];
            uint32_t at = 0;
            memset(text, '[', depth);
            at += depth;
            text[at++] = '"';
            memset(text + at, pad % 2 == 0 ? ']' : '{', pad);
            at += pad;
            text[at++] = '"';
            memset(text + at, ']', depth);
            at += depth;
            (void)memcpy(text + at, "]x", 3);
            scan s = scan_of(text);
            CHECK_U64(scan_value(&s, 0), ==, at);
            CHECK_U64(scan_value(&s, depth - 1), ==, at - depth + 1);
        }
    }
}

static void test_members(void **state)
{
    (void)state;
    scan s = scan_of(" { \"a\" : 1 , \"b\\\"\":[2], \"a\":\"x\"} ");
    static const char *const keys[] = {"a", "b\\\"", "a"};
    uint32_t count = 0;
    scan_members m = scan_members_of(&s, 1);
    while (scan_next(&m)) {
        assert_true(count < 3);
        assert_int_equal(m.key_end - m.key_begin, strlen(keys[count]));
        assert_memory_equal(s.text + m.key_begin, keys[count], strlen(keys[count]));
        m.end = scan_value(&s, m.value);
        count++;
    }
    assert_false(m.bad);
    assert_int_equal(count, 3);
    assert_int_equal(m.end, s.size - 1);
    static const char *const bad[] = {"{",        "{\"a\"",    "{\"a\":", "{\"a\" 1}",
                                      "{\"a\":1", "{\"a\":1,", "{,}",     "{\"a\":1 \"b\":2}",
                                      "[1]",      "{\"a\":x}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        s = scan_of(bad[i]);
        m = scan_members_of(&s, 0);
        while (scan_next(&m)) {
            m.end = scan_value(&s, m.value);
        }
        assert_true(m.bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_agree_with_the_rule),
        cmocka_unit_test(test_runs_of_backslashes_over_blocks),
        cmocka_unit_test(test_every_byte_value),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_depth_of_strict_values),
        cmocka_unit_test(test_containers_over_blocks),
        cmocka_unit_test(test_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
