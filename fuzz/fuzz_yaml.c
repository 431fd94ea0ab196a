/*
 * fuzz_yaml.c -- any bytes as a document.  Oracle: a refusal names the document and leaves
 * nothing; a tree obeys its own limits, has unique keys and lines within the text, and the same
 * bytes give the same tree.
 */
#include <string.h>

#include <brisk/yaml.h>

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct tally {
    uint64_t nodes;
    uint64_t lines_sum;
    uint64_t text_sum;
} tally;

static void visit(const brisk_yaml_doc *doc, const brisk_yaml_node *node, uint32_t depth,
                  tally *sum)
{
    BRISK_ASSERT(depth <= BRISK_YAML_DEPTH_MAX);
    BRISK_ASSERT((node->text != NULL) == (node->kind == BRISK_YAML_SCALAR));
    BRISK_ASSERT(node->line >= 1);
    sum->nodes++;
    sum->lines_sum += node->line;
    sum->text_sum += node->text != NULL ? strlen(node->text) : 0;
    uint64_t number;
    brisk_errinfo info;
    if (brisk_yaml_u64(doc, node, &number, &info) != BRISK_OK) {
        BRISK_ASSERT(strncmp(info.text, "fuzz:", 5) == 0);
    }
    uint32_t count = 0;
    for (const brisk_yaml_node *n = node->child; n != NULL; n = n->next) {
        BRISK_ASSERT((n->key != NULL) == (node->kind == BRISK_YAML_MAPPING));
        if (count < 64 && n->key != NULL) {
            BRISK_ASSERT(brisk_yaml_get(node, n->key) == n);
        }
        visit(doc, n, depth + 1, sum);
        count++;
    }
    BRISK_ASSERT(count == node->count);
}

static brisk_err parse(const uint8_t *data, size_t size, tally *sum)
{
    static const char *const ALLOWED[] = {"name", "mode", "count", NULL};
    brisk_yaml_doc *doc = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_yaml_parse("fuzz", data, size, NULL, &doc, &info);
    if (err != BRISK_OK) {
        BRISK_ASSERT(doc == NULL);
        BRISK_ASSERT(info.code == err);
        BRISK_ASSERT(strncmp(info.text, "fuzz:", 5) == 0);
        return err;
    }
    visit(doc, brisk_yaml_root(doc), 0, sum);
    BRISK_ASSERT(sum->nodes <= BRISK_YAML_NODES_MAX);
    brisk_err ignored = brisk_yaml_check_keys(doc, brisk_yaml_root(doc), ALLOWED, &info);
    (void)ignored;
    brisk_yaml_destroy(doc);
    return BRISK_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tally first = {0};
    tally second = {0};
    brisk_err err = parse(data, size, &first);
    BRISK_ASSERT(parse(data, size, &second) == err);
    BRISK_ASSERT(memcmp(&first, &second, sizeof first) == 0);
    return 0;
}
