/* Configuration files: nested names, sections of modules, errors with file and line. */
#include <string.h>
#include <sys/stat.h>

#include <brisk/knob.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "support/temp_dir.h"

BRISK_DEFINE_CLEANUP(brisk_knobs, brisk_knobs_destroy)

static const brisk_knob KNOBS[] = {
    {.name = "cache.disk.bytes", .type = BRISK_KNOB_BYTES, .min = 4096, .def = 4096},
    {.name = "cache.enabled", .type = BRISK_KNOB_BOOL},
    {.name = "exec.workers", .type = BRISK_KNOB_U64, .max = 64, .def = 2},
    {.name = "title", .type = BRISK_KNOB_TEXT, .def_text = "none"},
    {.name = "serve.proxy", .type = BRISK_KNOB_YAML},
};
static const brisk_knob ROM_KNOBS[] = {{.name = "rom.verify", .type = BRISK_KNOB_BOOL}};

static int asked;

static brisk_err resolve(void *ctx, const char *section)
{
    asked++;
    if (strcmp(section, "broken") == 0) {
        return BRISK_ERR_ABI;
    }
    return strcmp(section, "rom") == 0 ? brisk_knobs_register(ctx, ROM_KNOBS, 1, NULL)
                                       : BRISK_ERR_NOT_FOUND;
}

static brisk_knobs *registry(void)
{
    brisk_knobs *knobs = NULL;
    CHECK_OK(brisk_knobs_create(NULL, &knobs));
    CHECK_OK(brisk_knobs_register(knobs, KNOBS, sizeof KNOBS / sizeof KNOBS[0], NULL));
    asked = 0;
    return knobs;
}

static void test_values_arrive(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
    const char *path = temp_dir_path(dir, "brisk.yaml");
    temp_write_text(path, "# settings\ncache:\n  disk:\n    bytes: 64MiB\n  enabled: yes\n"
                          "exec.workers: \"8\"\ntitle: a game\nrom: {verify: on}\n");
    brisk_errinfo info = {0};
    CHECK_OK(brisk_config_load(knobs, path, BRISK_KNOB_USER_FILE, resolve, knobs, &info));
    CHECK_U64(brisk_knobs_u64(knobs, "cache.disk.bytes"), ==, 64 << 20);
    CHECK_U64(brisk_knobs_u64(knobs, "cache.enabled"), ==, 1);
    CHECK_U64(brisk_knobs_u64(knobs, "exec.workers"), ==, 8);
    CHECK_U64(brisk_knobs_u64(knobs, "rom.verify"), ==, 1);
    char title[32];
    brisk_knobs_text(knobs, "title", title, sizeof title);
    assert_string_equal(title, "a game");
    CHECK(brisk_knobs_source(knobs, "title") == BRISK_KNOB_USER_FILE);
    CHECK(asked == 1);

    temp_write_text(path, "exec: {workers: 3}\n");
    CHECK_OK(brisk_config_load(knobs, path, BRISK_KNOB_SYSTEM_FILE, NULL, NULL, &info));
    CHECK_U64(brisk_knobs_u64(knobs, "exec.workers"), ==, 8); /* weaker */
    CHECK_OK(brisk_config_load(knobs, path, BRISK_KNOB_PROJECT_FILE, NULL, NULL, &info));
    CHECK_U64(brisk_knobs_u64(knobs, "exec.workers"), ==, 3);
}

static void test_empty_is_fine(void **state)
{
    (void)state;
    static const char *const EMPTY[] = {
        "", "# nothing\n", "cache:\n", "cache: {}\nexec:\n", "title:\n", "cache: {disk: }\n"};
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "brisk.yaml");
    for (size_t i = 0; i < sizeof EMPTY / sizeof EMPTY[0]; i++) {
        BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
        temp_write_text(path, EMPTY[i]);
        brisk_errinfo info = {0};
        if (brisk_config_load(knobs, path, BRISK_KNOB_USER_FILE, NULL, NULL, &info) != BRISK_OK) {
            fail_msg("%s", info.text);
        }
    }
}

/* `wanted` follows the path and a colon. */
static void refused(const char *text, brisk_err code, const char *wanted)
{
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
    const char *path = temp_dir_path(dir, "brisk.yaml");
    temp_write_text(path, text);
    brisk_errinfo info = {0};
    brisk_err err = brisk_config_load(knobs, path, BRISK_KNOB_USER_FILE, resolve, knobs, &info);
    CHECK(strncmp(info.text, path, strlen(path)) == 0);
    assert_string_equal(info.text + strlen(path) + 1, wanted);
    CHECK(err == code && info.code == code);
}

static void test_errors_name_file_and_line(void **state)
{
    (void)state;
    refused("title: x\ncahce:\n  enabled: yes\n", BRISK_ERR_INVALID,
            "3: unknown setting 'cahce.enabled' (did you mean 'cache.enabled'?)");
    refused("rom:\n  verfy: yes\n", BRISK_ERR_INVALID,
            "2: unknown setting 'rom.verfy' (did you mean 'rom.verify'?)");
    refused("nothing: {}\n", BRISK_ERR_INVALID, "1: unknown section");
    refused("nothing:\n  deep:\n    down: 1\n", BRISK_ERR_INVALID,
            "3: unknown setting 'nothing.deep.down'");
    CHECK(asked == 1);
    refused("exec:\n  workers: many\n", BRISK_ERR_INVALID,
            "2: exec.workers: 'many' is not a number");
    refused("exec:\n  workers: 65\n", BRISK_ERR_LIMIT, "2: exec.workers: '65' is outside 0 to 64");
    refused("exec:\n  workers: [1]\n", BRISK_ERR_INVALID, "2: expected a single value, not a list");
    refused("exec:\n  workers:\n    a: 1\n", BRISK_ERR_INVALID,
            "2: expected a single value, not a mapping");
    refused("- a\n", BRISK_ERR_INVALID, "1: expected settings as 'name: value'");
    refused("cache: 5\n", BRISK_ERR_INVALID, "1: unknown setting 'cache'");
    refused("a: b: c\n", BRISK_ERR_INVALID, "1: mapping values are not allowed in this context");
    refused("broken:\n  x: 1\n", BRISK_ERR_ABI,
            "1: settings of 'broken' cannot be loaded: module was built for another version");
}

/* Lists and mappings as one value: their text, and that errors about it can name file and line. */
static void test_yaml_arrives_with_its_lines(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
    const char *path = temp_dir_path(dir, "brisk.yaml");
    temp_write_text(path,
                    "title: x\nserve:\n  proxy:\n    - at: /a b\n\n      # a comment\n"
                    "      to: [http://h:1, '2', 3]\n    - {at: \"q\\\"\\n\\e\\u2028é\", on: }\n");
    brisk_errinfo info = {0};
    CHECK_OK(brisk_config_load(knobs, path, BRISK_KNOB_USER_FILE, NULL, NULL, &info));
    char text[256];
    brisk_knobs_text(knobs, "serve.proxy", text, sizeof text);
    assert_string_equal(text, "[ {at: \"/a b\", to: [\"http://h:1\", \"2\", 3]}, {at: "
                              "\"q\\\"\\n\\u001b\\u2028é\", on: }]");
    brisk_yaml_doc *doc = NULL;
    CHECK_OK(brisk_knobs_yaml(knobs, "serve.proxy", NULL, &doc, &info));
    assert_string_equal(brisk_yaml_name(doc), path);
    const brisk_yaml_node *first = brisk_yaml_root(doc)->child;
    CHECK_U64(brisk_yaml_root(doc)->line, ==, 3);
    CHECK_U64(first->line, ==, 4);
    const brisk_yaml_node *to = brisk_yaml_get(first, "to");
    CHECK_U64(to->line, ==, 7);
    CHECK_U64(to->count, ==, 3);
    CHECK(to->child->next->quoted && !to->child->next->next->quoted);
    CHECK_U64(first->next->line, ==, 8);
    assert_string_equal(brisk_yaml_get(first->next, "at")->text, "q\"\n\x1b\u2028é");
    assert_string_equal(brisk_yaml_get(first->next, "on")->text, "");
    brisk_yaml_destroy(doc);

    temp_write_text(path, "serve: {proxy: }\n");
    CHECK_OK(brisk_config_load(knobs, path, BRISK_KNOB_USER_FILE, NULL, NULL, &info));
    brisk_knobs_text(knobs, "serve.proxy", text, sizeof text);
    assert_string_equal(text, "");
    refused("title: a\nserve:\n  proxy: [a, &b c]\n", BRISK_ERR_INVALID,
            "3: anchors (&name) are not supported");
}

static void test_yaml_has_a_limit(void **state)
{
    (void)state;
    static char text[100000];
    size_t size = (size_t)snprintf(text, sizeof text, "serve:\n  proxy:\n");
    while (size < 99000) {
        size += (size_t)snprintf(text + size, sizeof text - size, "  - entry\n");
    }
    refused(text, BRISK_ERR_LIMIT, "2: serve.proxy: too large");
}

/* Keys below the parser's own limit that join to a name beyond ours. */
static void test_long_names(void **state)
{
    (void)state;
    char text[3000];
    char part[901];
    memset(part, 'k', 900);
    part[900] = '\0';
    (void)snprintf(text, sizeof text, "%s: {%s: 1}\n", part, part);
    refused(text, BRISK_ERR_LIMIT, "1: configured limit reached");
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    BRISK_CLEANUP(brisk_knobs_destroy) brisk_knobs *knobs = registry();
    brisk_errinfo info = {0};
    CHECK(brisk_config_load(knobs, temp_dir_path(dir, "missing"), BRISK_KNOB_USER_FILE, NULL, NULL,
                            &info) == BRISK_ERR_NOT_FOUND);
    CHECK(brisk_config_load(knobs, dir->path, BRISK_KNOB_USER_FILE, NULL, NULL, &info) ==
          BRISK_ERR_INVALID);
    const char *fifo = temp_dir_path(dir, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    CHECK(brisk_config_load(knobs, fifo, BRISK_KNOB_USER_FILE, NULL, NULL, &info) ==
          BRISK_ERR_INVALID);
    const char *large = temp_dir_path(dir, "large");
    temp_write_text(large, "");
    assert_int_equal(truncate(large, 1048577), 0);
    CHECK(brisk_config_load(knobs, large, BRISK_KNOB_USER_FILE, NULL, NULL, &info) ==
          BRISK_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_arrive),
        cmocka_unit_test(test_empty_is_fine),
        cmocka_unit_test(test_errors_name_file_and_line),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_yaml_arrives_with_its_lines),
        cmocka_unit_test(test_yaml_has_a_limit),
        cmocka_unit_test(test_files_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
