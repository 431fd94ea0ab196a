/* YAML: the tree, the lines, everything that is refused, limits, and failing memory. */
#include <string.h>

#include <brisk/yaml.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_yaml_doc, brisk_yaml_destroy)

static brisk_yaml_doc *parsed(const char *text)
{
    brisk_yaml_doc *doc = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_yaml_parse("mod.yaml", text, strlen(text), NULL, &doc, &info);
    if (err != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return doc;
}

static void refused(const char *text, brisk_err code, const char *wanted)
{
    brisk_yaml_doc *doc = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_yaml_parse("mod.yaml", text, strlen(text), NULL, &doc, &info);
    assert_string_equal(info.text, wanted);
    CHECK(err == code && info.code == code);
    CHECK(doc == NULL);
    CHECK(brisk_yaml_parse("mod.yaml", text, strlen(text), NULL, &doc, NULL) == code);
}

static void test_tree_and_lines(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_yaml_destroy)
    brisk_yaml_doc *doc = parsed("# comment\n"
                                 "mod: infinite\n"
                                 "list:\n"
                                 "  - 1\n"
                                 "  - \"2\"\n"
                                 "  - {a: b}\n"
                                 "text: |\n"
                                 "  two\n"
                                 "  lines\n"
                                 "empty:\n"
                                 "last: 'q'\n");
    assert_string_equal(brisk_yaml_name(doc), "mod.yaml");
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    CHECK(root->kind == BRISK_YAML_MAPPING && root->count == 5 && root->key == NULL);
    const brisk_yaml_node *mod = brisk_yaml_get(root, "mod");
    CHECK(mod == root->child && mod->line == 2 && !mod->quoted);
    assert_string_equal(mod->text, "infinite");
    const brisk_yaml_node *list = brisk_yaml_get(root, "list");
    CHECK(list->kind == BRISK_YAML_SEQUENCE && list->line == 3 && list->count == 3);
    CHECK(list->child->line == 4 && list->child->next->quoted && list->text == NULL);
    const brisk_yaml_node *map = list->child->next->next;
    CHECK(map->kind == BRISK_YAML_MAPPING && map->line == 6 && map->next == NULL);
    assert_string_equal(map->child->key, "a");
    const brisk_yaml_node *text = brisk_yaml_get(root, "text");
    assert_string_equal(text->text, "two\nlines\n");
    CHECK(text->line == 7 && text->quoted);
    CHECK(strcmp(brisk_yaml_get(root, "empty")->text, "") == 0);
    CHECK(brisk_yaml_get(root, "last")->line == 11 && brisk_yaml_get(root, "last")->next == NULL);
    CHECK(brisk_yaml_get(root, "none") == NULL && brisk_yaml_get(NULL, "x") == NULL);
    CHECK(brisk_yaml_get(mod, "x") == NULL && brisk_yaml_get(list, "x") == NULL);
}

static void test_empty_documents(void **state)
{
    (void)state;
    static const char *const EMPTY[] = {"", "\n\n", "# only words\n", "---\n", "---\n...\n"};
    for (size_t i = 0; i < sizeof EMPTY / sizeof EMPTY[0]; i++) {
        BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = parsed(EMPTY[i]);
        CHECK(brisk_yaml_root(doc)->kind == BRISK_YAML_MAPPING);
        CHECK(brisk_yaml_root(doc)->count == 0 && brisk_yaml_root(doc)->child == NULL);
    }
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = NULL;
    CHECK_OK(brisk_yaml_parse("x", NULL, 0, NULL, &doc, NULL));
    brisk_yaml_destroy(NULL);
}

static void test_refused(void **state)
{
    (void)state;
    refused("a: 1\nb: &x 2\n", BRISK_ERR_INVALID, "mod.yaml:2: anchors (&name) are not supported");
    refused("a: *x\n", BRISK_ERR_INVALID, "mod.yaml:1: aliases (*name) are not supported");
    refused("- &x [1]\n", BRISK_ERR_INVALID, "mod.yaml:1: anchors (&name) are not supported");
    refused("- &x {a: 1}\n", BRISK_ERR_INVALID, "mod.yaml:1: anchors (&name) are not supported");
    refused("a: !!int 1\n", BRISK_ERR_INVALID, "mod.yaml:1: tags (!name) are not supported");
    refused("a: !x [1]\n", BRISK_ERR_INVALID, "mod.yaml:1: tags (!name) are not supported");
    refused("%TAG !e! tag:x,2000:\n---\na: 1\n", BRISK_ERR_INVALID,
            "mod.yaml:1: tags (%TAG) are not supported");
    refused("a: 1\nb: 2\n\na: 3\n", BRISK_ERR_INVALID,
            "mod.yaml:4: 'a' is given twice, first in line 1");
    refused("a: {b: 1,\n b: 2}\n", BRISK_ERR_INVALID,
            "mod.yaml:2: 'b' is given twice, first in line 1");
    refused("? [x]\n: 1\n", BRISK_ERR_INVALID, "mod.yaml:1: a key must be a single word or text");
    refused("a: \"x\\0y\"\n", BRISK_ERR_INVALID, "mod.yaml:1: a text must not contain a NUL byte");
    refused("\"k\\0\": 1\n", BRISK_ERR_INVALID, "mod.yaml:1: a text must not contain a NUL byte");
    refused("a: 1\n---\nb: 2\n", BRISK_ERR_INVALID,
            "mod.yaml:2: a second document is not supported");
    refused("a: 1\nb: [1, 2\nc: 3\n", BRISK_ERR_INVALID,
            "mod.yaml:3: did not find expected ',' or ']' while parsing a flow sequence");
    refused("a: 1\n\tb: 2\n", BRISK_ERR_INVALID,
            "mod.yaml:2: found a tab character that violates indentation while scanning a plain "
            "scalar");
    refused("a: 1\nb: \xff\n", BRISK_ERR_INVALID,
            "mod.yaml:2: invalid leading UTF-8 octet at byte 8");
}

static void nested(char *text, size_t depth)
{
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = '\0';
}

static void test_depth_limit(void **state)
{
    (void)state;
    char text[200];
    nested(text, BRISK_YAML_DEPTH_MAX);
    brisk_yaml_destroy(parsed(text));
    nested(text, BRISK_YAML_DEPTH_MAX + 1);
    refused(text, BRISK_ERR_LIMIT, "mod.yaml:1: nested more than 32 levels deep");
}

/* Exactly the limit is fine: the root and 999999 values. */
static void test_node_limit(void **state)
{
    (void)state;
    size_t size = 0;
    char *text = malloc(2 * (size_t)BRISK_YAML_NODES_MAX + 8);
    text[size++] = '[';
    for (int i = 1; i < BRISK_YAML_NODES_MAX; i++) {
        text[size++] = 'a';
        text[size++] = ',';
    }
    text[size] = ']';
    text[size + 1] = '\0';
    brisk_yaml_doc *doc = parsed(text);
    CHECK_U64(brisk_yaml_root(doc)->count, ==, BRISK_YAML_NODES_MAX - 1);
    brisk_yaml_destroy(doc);
    memcpy(text + size, "a]", 3);
    refused(text, BRISK_ERR_LIMIT, "mod.yaml:1: more than 1000000 values");
    free(text);
}

/* Many keys are hashed instead of compared: the same answer, with the right lines. */
static void test_many_keys(void **state)
{
    (void)state;
    enum { KEYS = 2000 };
    static char text[KEYS * 16];
    size_t size = 0;
    for (int i = 0; i < KEYS; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "k%d: %d\n", i, i);
    }
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = parsed(text);
    CHECK(brisk_yaml_get(brisk_yaml_root(doc), "k1999")->line == KEYS);
    (void)snprintf(text + size, sizeof text - size, "k1234: 1\n");
    refused(text, BRISK_ERR_INVALID, "mod.yaml:2001: 'k1234' is given twice, first in line 1235");
}

static void test_check_keys(void **state)
{
    (void)state;
    static const char *const ALLOWED[] = {"title", "target", "write", NULL};
    brisk_errinfo info = {0};
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = parsed("title: x\ntarged: y\n");
    CHECK(brisk_yaml_check_keys(doc, brisk_yaml_root(doc), ALLOWED, &info) == BRISK_ERR_INVALID);
    assert_string_equal(info.text, "mod.yaml:2: unknown key 'targed' (did you mean 'target'?)");
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *far = parsed("zebra: x\n");
    CHECK(brisk_yaml_check_keys(far, brisk_yaml_root(far), ALLOWED, &info) == BRISK_ERR_INVALID);
    assert_string_equal(info.text, "mod.yaml:1: unknown key 'zebra'");
    CHECK(brisk_yaml_check_keys(far, brisk_yaml_root(far)->child, ALLOWED, &info) ==
          BRISK_ERR_INVALID);
    assert_string_equal(info.text, "mod.yaml:1: expected keys and values here");
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *fine = parsed("write: 1\ntitle: 2\n");
    CHECK_OK(brisk_yaml_check_keys(fine, brisk_yaml_root(fine), ALLOWED, &info));
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } GOOD[] = {
        {"0", 0},
        {"7", 7},
        {"0x1F", 31},
        {"1_000_000", 1000000},
        {"0xff_ff", 65535},
        {"18446744073709551615", UINT64_MAX},
        {"0xffffffffffffffff", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = parsed(GOOD[i].text);
        uint64_t value = 1;
        CHECK_OK(brisk_yaml_u64(doc, brisk_yaml_root(doc), &value, NULL));
        CHECK_U64(value, ==, GOOD[i].value);
    }
    static const char *const BAD[] = {"-1",  "1.5",   "x",   "0x",  "1_", "_1",  "1__0", "010",
                                      "0xg", "\"7\"", "[1]", "1 2", "+1", "1e3", "0x_1", "00"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = parsed(BAD[i]);
        uint64_t value = 1;
        brisk_errinfo info;
        CHECK(brisk_yaml_u64(doc, brisk_yaml_root(doc), &value, &info) == BRISK_ERR_INVALID);
        CHECK_U64(value, ==, 1);
        CHECK(strncmp(info.text, "mod.yaml:1: ", 12) == 0);
    }
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = parsed("a: 18446744073709551616\n");
    uint64_t value;
    brisk_errinfo info;
    CHECK(brisk_yaml_u64(doc, brisk_yaml_root(doc)->child, &value, &info) == BRISK_ERR_INVALID);
    assert_string_equal(info.text, "mod.yaml:1: '18446744073709551616' is too large a number");
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static char text[20000];
    size_t size = 0;
    for (int i = 0; i < 600; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "key%d: [a, {b: c}]\n", i);
    }
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_yaml_doc *doc = NULL;
        brisk_errinfo info = {0};
        err = brisk_yaml_parse("x", text, size, &fault.base, &doc, &info);
        CHECK((doc != NULL) == (err == BRISK_OK));
        CHECK(err == BRISK_OK || strncmp(info.text, "x:", 2) == 0);
        brisk_yaml_destroy(doc);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_and_lines),
        cmocka_unit_test(test_empty_documents),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_depth_limit),
        cmocka_unit_test(test_node_limit),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_check_keys),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
