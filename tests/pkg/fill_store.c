/*
 * fill_store.c -- for tests of commands: put packuments into a store.
 *
 *     fill_store STORE REGISTRY-URL FETCHED-MS FILE...
 */
#include <stdio.h>
#include <stdlib.h>

#include <brisk/file.h>

#include "workload/pkg/jsontext.h"
#include "workload/pkg/metadata.h"
#include "workload/pkg/packument.h"

static brisk_err put_file(pkg_store *store, const char *const argv[], const char *path,
                          brisk_errinfo *info)
{
    brisk_arena *arena;
    brisk_file_view view = {0};
    const pkg_json *json = NULL;
    pkg_stored stored = {.registry = pkg_registry_key(pkg_text_of(argv[2]), false),
                         .fetched_ms = (int64_t)strtoll(argv[3], NULL, 10)};
    brisk_err err = brisk_arena_create(NULL, &arena);
    if (err == BRISK_OK) {
        err = brisk_file_view_open(path, PKG_PACKUMENT_BYTES_MAX, &view, info);
        pkg_text text = {(const char *)view.data, view.size};
        if (err == BRISK_OK) {
            err = pkg_json_parse(text, arena, &json, info);
        }
        if (err == BRISK_OK) {
            err = pkg_packument_parse(pkg_json_get_text(json, "name"), text, arena, &stored.package,
                                      info);
        }
        if (err == BRISK_OK) {
            err = pkg_store_put(store, &stored, info);
        }
        brisk_file_view_close(&view);
        brisk_arena_destroy(arena);
    }
    return err;
}

int main(int argc, const char *const argv[])
{
    pkg_store *store;
    brisk_errinfo info = {0};
    if (argc < 4 || pkg_store_open(argv[1], NULL, &store, &info) != BRISK_OK) {
        (void)fprintf(stderr, "fill_store: %s\n", info.text);
        return 1;
    }
    int failed = 0;
    for (int i = 4; i < argc && failed == 0; i++) {
        failed = put_file(store, argv, argv[i], &info) != BRISK_OK;
    }
    pkg_store_close(store);
    if (failed != 0) {
        (void)fprintf(stderr, "fill_store: %s\n", info.text);
    }
    return failed;
}
