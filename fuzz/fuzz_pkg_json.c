/*
 * fuzz_pkg_json.c -- any bytes as JSON, and as a package.json.
 *
 * Oracle: every value lies in the text and reads back from its own part of it as the same; keys are
 * unique; an error says where.  Of a package.json: dependencies are sorted, one of a name and class,
 * and all names are valid.
 */
#include <string.h>

#include <brisk/arena.h>

#include "base/assert.h"
#include "workload/pkg/jsontext.h"
#include "workload/pkg/project.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEYS_COMPARED = 64 };

static void check_value(const pkg_json *value, pkg_text text)
{
    BRISK_ASSERT(value->raw.data >= text.data &&
                 value->raw.data + value->raw.size <= text.data + text.size);
    BRISK_ASSERT(value->raw.size > 0 && value->line > 0);
    BRISK_ASSERT(value->count == 0 || value->items != NULL);
    BRISK_ASSERT((value->keys != NULL) == (value->type == PKG_JSON_OBJECT && value->count > 0));
    for (uint32_t i = 0; i < value->count; i++) {
        check_value(value->items[i], value->raw);
        for (uint32_t j = 0; value->keys != NULL && j < i && i < KEYS_COMPARED; j++) {
            BRISK_ASSERT(!pkg_text_equal(value->keys[i], value->keys[j]));
        }
    }
}

static bool is_same(const pkg_json *a, const pkg_json *b)
{
    if (a->type != b->type || a->count != b->count || !pkg_text_equal(a->text, b->text) ||
        memcmp(&a->number, &b->number, sizeof a->number) != 0 || a->boolean != b->boolean) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if ((a->keys != NULL && !pkg_text_equal(a->keys[i], b->keys[i])) ||
            !is_same(a->items[i], b->items[i])) {
            return false;
        }
    }
    return true;
}

static void check_manifest(pkg_text text, brisk_arena *arena)
{
    const pkg_manifest *m = NULL;
    brisk_errinfo info = {0};
    if (pkg_manifest_read(text, "file", arena, &m, &info) != BRISK_OK) {
        BRISK_ASSERT(strncmp(info.text, "file: line ", 11) == 0);
        return;
    }
    for (uint32_t i = 0; i < m->dep_count; i++) {
        BRISK_ASSERT(pkg_name_is_valid(m->deps[i].name));
        if (i > 0) {
            int order = pkg_text_compare(m->deps[i - 1].name, m->deps[i].name);
            BRISK_ASSERT(order < 0 || (order == 0 && m->deps[i - 1].kind < m->deps[i].kind));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_arena *arena;
    if (brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return 0;
    }
    pkg_text text = {.data = (const char *)data, .size = size};
    const pkg_json *root = NULL;
    brisk_errinfo info = {0};
    brisk_err err = pkg_json_parse(text, arena, &root, &info);
    BRISK_ASSERT(err == BRISK_OK || err == BRISK_ERR_CORRUPT || err == BRISK_ERR_LIMIT);
    if (err != BRISK_OK) {
        BRISK_ASSERT(strncmp(info.text, "line ", 5) == 0 && root == NULL);
    } else {
        check_value(root, text);
        const pkg_json *again = NULL;
        BRISK_ASSERT(pkg_json_parse(root->raw, arena, &again, NULL) == BRISK_OK);
        BRISK_ASSERT(is_same(root, again));
        check_manifest(text, arena);
    }
    brisk_arena_destroy(arena);
    return 0;
}
