/*
 * fuzz_multipart.c -- any bytes as a multipart body, and as a Content-Type.  Oracle: parts lie inside
 * the body in order, do not overlap, have names that differ, and none holds a delimiter.
 */
#include <string.h>

#include "base/assert.h"
#include "daemon/api/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(const char *body, size_t size, const brisk_form_part *parts, uint32_t count)
{
    const char *at = body;
    for (uint32_t i = 0; i < count; i++) {
        const char *begin = parts[i].data;
        BRISK_ASSERT(begin >= at && begin + parts[i].size <= body + size);
        BRISK_ASSERT(memmem(begin, parts[i].size, "\r\n--B", 5) == NULL);
        BRISK_ASSERT(parts[i].name[0] != '\0');
        for (uint32_t k = 0; k < i; k++) {
            BRISK_ASSERT(strcmp(parts[i].name, parts[k].name) != 0);
        }
        at = begin + parts[i].size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_arena *arena = NULL;
    const char *body = (const char *)data;
    char boundary[MULTIPART_BOUNDARY_MAX + 1];
    if (multipart_boundary(body, size, boundary)) {
        BRISK_ASSERT(strlen(boundary) >= 1 && strlen(boundary) <= MULTIPART_BOUNDARY_MAX);
    }
    if (brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return 0;
    }
    brisk_form_part *parts = NULL;
    uint32_t count = 0;
    brisk_errinfo info = {.text = ""};
    if (multipart_read("B", body, size, arena, &parts, &count, &info) == BRISK_OK) {
        check_parts(body, size, parts, count);
    } else {
        BRISK_ASSERT(info.text[0] != '\0');
    }
    brisk_arena_destroy(arena);
    return 0;
}
