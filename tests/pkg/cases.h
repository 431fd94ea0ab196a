/*
 * cases.h -- JSON files of the corpus that lies outside the repository, read and parsed.
 *
 * $BRISK_CORPUS, or ../shared/corpus beside the source root.  Tests skip when a file is missing.
 */
#ifndef BRISK_TESTS_PKG_CASES_H
#define BRISK_TESTS_PKG_CASES_H

#include <limits.h>
#include <string.h>

#include <brisk/arena.h>

#include "support/check.h"
#include "workload/pkg/jsontext.h"

/* The contents of "<corpus>/pkg/<name>" in the arena; the case is skipped when it is missing. */
static inline pkg_text cases_read(brisk_arena *arena, const char *name)
{
    char path[PATH_MAX];
    const char *root = getenv("BRISK_CORPUS");
    if (root != NULL && root[0] != '\0') {
        (void)snprintf(path, sizeof path, "%.2000s/pkg/%.1000s", root, name);
    } else {
        (void)snprintf(path, sizeof path, "%.1000s/../shared/corpus/pkg/%.1000s", BRISK_SOURCE_ROOT,
                       name);
    }
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        print_message("%s is missing: skipped\n", path);
        skip();
    }
    CHECK(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    CHECK(size >= 0 && fseek(file, 0, SEEK_SET) == 0);
    char *data = brisk_arena_alloc(arena, (size_t)size + 1);
    CHECK(data != NULL);
    CHECK_U64(fread(data, 1, (size_t)size, file), ==, (size_t)size);
    data[size] = '\0';
    (void)fclose(file);
    return (pkg_text){.data = data, .size = (size_t)size};
}

/* The member "cases" of "<corpus>/pkg/node-semver/<name>.json". */
static inline const pkg_json *cases_of(brisk_arena *arena, const char *name)
{
    char path[64];
    (void)snprintf(path, sizeof path, "node-semver/%s.json", name);
    pkg_text text = cases_read(arena, path);
    const pkg_json *root = NULL;
    brisk_errinfo info = {0};
    if (pkg_json_parse(text, arena, &root, &info) != BRISK_OK) {
        fail_msg("%s: %s", path, info.text);
    }
    const pkg_json *cases = pkg_json_get(root, "cases");
    CHECK(cases != NULL && cases->count > 0);
    return cases;
}

#endif /* BRISK_TESTS_PKG_CASES_H */
