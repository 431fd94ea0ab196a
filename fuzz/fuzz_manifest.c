/*
 * fuzz_manifest.c -- any bytes as the manifest of a module.  Oracle: a refusal names the file; what
 * is accepted has the shape that help, completion and configuration rely on without asking.
 */
#include <string.h>

#include <brisk/module.h>

#include "base/assert.h"
#include "engine/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const brisk_yaml_node *mapping, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(mapping, key);
    BRISK_ASSERT(node != NULL && node->kind == BRISK_YAML_SCALAR && node->text != NULL);
}

static void check_number(const brisk_yaml_node *mapping, const char *key, uint64_t max)
{
    uint64_t value = 0;
    check_text(mapping, key);
    brisk_err err = brisk_yaml_u64(NULL, brisk_yaml_get(mapping, key), &value, NULL);
    BRISK_ASSERT(err == BRISK_OK && value <= max);
}

static void check_options(const brisk_yaml_node *options)
{
    BRISK_ASSERT(options == NULL || options->kind == BRISK_YAML_SEQUENCE);
    const brisk_yaml_node *n = options != NULL ? options->child : NULL;
    for (; n != NULL; n = n->next) {
        check_text(n, "name");
        check_text(n, "summary");
        check_number(n, "type", BRISK_OPTION_LIST);
        const brisk_yaml_node *letter = brisk_yaml_get(n, "letter");
        BRISK_ASSERT(letter == NULL || strlen(letter->text) == 1);
    }
}

static void check_shape(const brisk_yaml_node *root)
{
    check_number(root, "abi", BRISK_ABI_VERSION);
    check_text(root, "summary");
    BRISK_ASSERT(strcmp(brisk_yaml_get(root, "name")->text, "fuzz") == 0);
    const brisk_yaml_node *list = brisk_yaml_get(root, "commands");
    for (const brisk_yaml_node *n = list != NULL ? list->child : NULL; n != NULL; n = n->next) {
        check_text(n, "name");
        check_text(n, "summary");
        check_options(brisk_yaml_get(n, "options"));
    }
    list = brisk_yaml_get(root, "knobs");
    for (const brisk_yaml_node *n = list != NULL ? list->child : NULL; n != NULL; n = n->next) {
        check_text(n, "name");
        BRISK_ASSERT(strncmp(brisk_yaml_get(n, "name")->text, "fuzz.", 5) == 0);
        check_number(n, "type", BRISK_KNOB_YAML);
        check_number(n, "min", UINT64_MAX);
        check_number(n, "max", UINT64_MAX);
        check_number(n, "def", UINT64_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    manifest_text text = {.path = "fuzz.manifest", .name = "fuzz", .data = data, .size = size};
    brisk_yaml_doc *doc = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = manifest_parse(&text, NULL, &doc, &info);
    if (err == BRISK_OK) {
        check_shape(brisk_yaml_root(doc));
    } else {
        BRISK_ASSERT(doc == NULL && strncmp(info.text, "fuzz.manifest:", 14) == 0);
    }
    brisk_yaml_destroy(doc);
    return 0;
}
