/*
 * fuzz_pkg_packument.c -- any bytes as the metadata of package "a".  Oracle: every processor path
 * gives the same answer and the same bytes; what the strict parser reads too, the record says
 * (tests/pkg/packument_oracle.h).
 */
#include "../tests/pkg/packument_oracle.h"

#include "base/assert.h"
#include "workload/pkg/packument.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pkg_packument_reader *readers[SCAN_PATH_COUNT];
static brisk_arena *arena;

static void start(void)
{
    BRISK_ASSERT(brisk_arena_create(NULL, &arena) == BRISK_OK);
    for (scan_path path = SCAN_SCALAR; path < SCAN_PATH_COUNT; path++) {
        pkg_packument_opts opts = {.path = path};
        BRISK_ASSERT(!scan_path_exists(path) ||
                     pkg_packument_reader_create(&opts, &readers[path]) == BRISK_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (arena == NULL) {
        start();
    }
    pkg_text json = {.data = (const char *)data, .size = size};
    const pkg_package *first = NULL;
    brisk_err first_err =
        pkg_packument_read(readers[SCAN_SCALAR], PKG_TEXT("a"), json, &first, NULL);
    for (scan_path path = SCAN_SCALAR + 1; path < SCAN_PATH_COUNT; path++) {
        const pkg_package *package = NULL;
        if (readers[path] == NULL) {
            continue;
        }
        brisk_err err = pkg_packument_read(readers[path], PKG_TEXT("a"), json, &package, NULL);
        BRISK_ASSERT(err == first_err);
        BRISK_ASSERT(err != BRISK_OK || (pkg_package_bytes(package) == pkg_package_bytes(first) &&
                                         memcmp(package, first, pkg_package_bytes(first)) == 0));
    }
    brisk_arena_reset(arena);
    BRISK_ASSERT(oracle_check(PKG_TEXT("a"), json, arena, first) == NULL);
    return 0;
}
