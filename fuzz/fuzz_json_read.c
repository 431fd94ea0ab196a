/*
 * fuzz_json_read.c -- any bytes as JSON.  Oracle: a refusal says where; a tree obeys its limits, its
 * values stand inside the text, its strings are UTF-8 of no more bytes than their source, and each
 * value read alone is the same kind again.
 */
#include <string.h>

#include <brisk/arena.h>
#include <brisk/json_read.h>

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const char *text;
    size_t size;
    brisk_arena *arena;
    uint32_t again; /* values that are read once more: bounded, since that is quadratic */
} input;

static void visit(input *from, const brisk_json_node *node, uint32_t depth)
{
    BRISK_ASSERT(depth <= BRISK_JSON_READ_DEPTH_MAX);
    BRISK_ASSERT(node->raw >= from->text && node->raw_size > 0);
    BRISK_ASSERT(node->raw + node->raw_size <= from->text + from->size);
    bool has_text = node->kind == BRISK_JSON_STRING || node->kind == BRISK_JSON_NUMBER;
    BRISK_ASSERT((node->text != NULL) == has_text);
    BRISK_ASSERT(!has_text || node->size <= node->raw_size);
    if (from->again > 0) {
        from->again--;
        const brisk_json_node *alone = NULL;
        BRISK_ASSERT(brisk_json_read(node->raw, node->raw_size, brisk_arena_as_alloc(from->arena),
                                     &alone, NULL) == BRISK_OK);
        BRISK_ASSERT(alone->kind == node->kind && alone->count == node->count);
        BRISK_ASSERT(alone->size == node->size &&
                     (node->size == 0 || memcmp(alone->text, node->text, node->size) == 0));
    }
    uint32_t count = 0;
    for (const brisk_json_node *child = node->child; child != NULL; child = child->next) {
        BRISK_ASSERT((child->key != NULL) == (node->kind == BRISK_JSON_OBJECT));
        visit(from, child, depth + 1);
        count++;
    }
    BRISK_ASSERT(count == node->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_arena *arena = NULL;
    if (brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return 0;
    }
    const brisk_json_node *root = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err =
        brisk_json_read((const char *)data, size, brisk_arena_as_alloc(arena), &root, &info);
    if (err == BRISK_OK) {
        input from = {.text = (const char *)data, .size = size, .arena = arena, .again = 64};
        visit(&from, root, 0);
    } else {
        BRISK_ASSERT(root == NULL && strncmp(info.text, "JSON", 4) == 0);
    }
    brisk_arena_destroy(arena);
    return 0;
}
