/*
 * corpus.h -- the offline registry of 2,032 packages that lies outside the repository.
 *
 * $BRISK_CORPUS, or ../shared/corpus beside the source root.  Tests skip when it is missing.  The
 * snapshot is read out of its archive without unpacking it to disk:
 *
 *     corpus_need("registry-snapshot.tar.zst", path);
 *     BRISK_CLEANUP(corpus_close) corpus *all = corpus_load(path);
 *     pkg_source source = corpus_source(all);          packages are parsed when asked for
 *     pkg_text json = corpus_json(all, "express");     or the document itself
 *
 * Loading takes about 0.2 s and 83 MB.  Threads: one at a time.
 */
#ifndef BRISK_TESTS_PKG_CORPUS_H
#define BRISK_TESTS_PKG_CORPUS_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include <zstd.h>

#include "base/cleanup.h"
#include "support/check.h"
#include "workload/pkg/packument.h"

/* "<corpus>/pkg/<name>", and whether it exists. */
static inline bool corpus_path(const char *name, char ret[PATH_MAX])
{
    const char *root = getenv("BRISK_CORPUS");
    if (root != NULL && root[0] != '\0') {
        (void)snprintf(ret, PATH_MAX, "%.2000s/pkg/%.2000s", root, name);
    } else {
        (void)snprintf(ret, PATH_MAX, "%.1000s/../shared/corpus/pkg/%.2000s", BRISK_SOURCE_ROOT,
                       name);
    }
    struct stat st;
    return stat(ret, &st) == 0;
}

/* Likewise; the test case is skipped with a message when it does not exist. */
static inline void corpus_need(const char *name, char ret[PATH_MAX])
{
    if (!corpus_path(name, ret)) {
        print_message("%s is missing: skipped\n", ret);
        skip();
    }
}

typedef struct corpus_item {
    char *name;
    pkg_text json;
    const pkg_package *package; /* once it was asked for */
} corpus_item;

typedef struct corpus {
    char *text; /* the whole archive */
    size_t size;
    corpus_item *items; /* sorted by name */
    size_t count;
    pkg_packument_reader *reader;
} corpus;

/* The decompressed file, freed by the caller.  Any failure fails the test. */
static inline char *corpus_unzstd(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    ZSTD_DCtx *context = ZSTD_createDCtx();
    assert_non_null(context);
    size_t capacity = (size_t)100 << 20;
    ZSTD_outBuffer out = {.dst = malloc(capacity), .size = capacity};
    size_t left = 1;
    char chunk[65536];
    for (size_t size; (size = fread(chunk, 1, sizeof chunk, file)) > 0;) {
        ZSTD_inBuffer in = {.src = chunk, .size = size};
        while (in.pos < in.size) {
            if (out.pos == out.size) {
                out.size *= 2;
                out.dst = realloc(out.dst, out.size);
            }
            assert_non_null(out.dst);
            left = ZSTD_decompressStream(context, &out, &in);
            assert_false(ZSTD_isError(left));
        }
    }
    assert_int_equal(left, 0); /* the frame is whole */
    (void)fclose(file);
    ZSTD_freeDCtx(context);
    *ret_size = out.pos;
    return out.dst;
}

/* "./@scope%2fname.json" to "@scope/name", freed by the caller. */
static inline char *corpus_name(const char *file)
{
    file += strncmp(file, "./", 2) == 0 ? 2 : 0;
    char *name = strdup(file);
    assert_non_null(name);
    char *end = strrchr(name, '.');
    if (end != NULL) {
        *end = '\0';
    }
    char *escape = strstr(name, "%2f");
    if (escape != NULL) {
        *escape = '/';
        memmove(escape + 1, escape + 3, strlen(escape + 3) + 1);
    }
    return name;
}

static inline int corpus_compare(const void *a, const void *b)
{
    return strcmp(((const corpus_item *)a)->name, ((const corpus_item *)b)->name);
}

/* Calls `each` for every regular file of the archive; `text` is inside the archive's. */
static inline void corpus_untar(char *tar, size_t size,
                                void (*each)(void *ctx, const char *file, pkg_text text), void *ctx)
{
    enum { BLOCK = 512, NAME_MAX_BYTES = 100, SIZE_AT = 124, TYPE_AT = 156 };
    for (size_t at = 0; at + BLOCK <= size && tar[at] != '\0';) {
        char name[NAME_MAX_BYTES + 1] = {0};
        memcpy(name, tar + at, NAME_MAX_BYTES);
        size_t bytes = strtoull(tar + at + SIZE_AT, NULL, 8);
        char type = tar[at + TYPE_AT];
        at += BLOCK;
        assert_true(bytes <= size - at);
        if (type == '0' || type == '\0') {
            each(ctx, name, (pkg_text){.data = tar + at, .size = bytes});
        }
        at += (bytes + BLOCK - 1) / BLOCK * BLOCK;
    }
}

static inline void corpus_add(void *ctx, const char *file, pkg_text text)
{
    corpus *all = ctx;
    if (all->count % 1024 == 0) {
        all->items = realloc(all->items, (all->count + 1024) * sizeof *all->items);
        assert_non_null(all->items);
    }
    all->items[all->count++] = (corpus_item){.name = corpus_name(file), .json = text};
}

/* The whole snapshot; the caller closes it. */
static inline corpus *corpus_load(const char *path)
{
    corpus *all = calloc(1, sizeof *all);
    assert_non_null(all);
    all->text = corpus_unzstd(path, &all->size);
    corpus_untar(all->text, all->size, corpus_add, all);
    assert_true(all->count > 0);
    qsort(all->items, all->count, sizeof *all->items, corpus_compare);
    CHECK_OK(pkg_packument_reader_create(NULL, &all->reader));
    return all;
}

static inline void corpus_close(corpus *all)
{
    if (all == NULL) {
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        free(all->items[i].name);
        free((void *)(uintptr_t)all->items[i].package);
    }
    pkg_packument_reader_destroy(all->reader);
    free(all->items);
    free(all->text);
    free(all);
}

BRISK_DEFINE_CLEANUP(corpus, corpus_close)

/* NULL: there is no such package. */
static inline corpus_item *corpus_find(const corpus *all, pkg_text name)
{
    size_t low = 0;
    size_t high = all->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = pkg_text_compare(pkg_text_of(all->items[middle].name), name);
        if (order == 0) {
            return &all->items[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* The document, or "" when there is none. */
static inline pkg_text corpus_json(const corpus *all, const char *name)
{
    const corpus_item *item = corpus_find(all, pkg_text_of(name));
    return item != NULL ? item->json : (pkg_text){.data = ""};
}

/* The package, parsed once; NULL: there is none.  It lives as long as the corpus. */
static inline const pkg_package *corpus_package(corpus *all, pkg_text name)
{
    corpus_item *item = corpus_find(all, name);
    if (item != NULL && item->package == NULL) {
        const pkg_package *parsed;
        brisk_errinfo info;
        if (pkg_packument_read(all->reader, name, item->json, &parsed, &info) != BRISK_OK) {
            fail_msg("%s", info.text);
        }
        void *copy = malloc(pkg_package_bytes(parsed));
        assert_non_null(copy);
        memcpy(copy, parsed, pkg_package_bytes(parsed));
        CHECK_OK(pkg_package_open(copy, pkg_package_bytes(parsed), &item->package));
    }
    return item != NULL ? item->package : NULL;
}

static inline brisk_err corpus_get(void *ctx, pkg_text name, const pkg_package **ret,
                                   brisk_errinfo *info)
{
    const pkg_package *package = corpus_package(ctx, name);
    if (package == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%.*s: no such package", (int)name.size,
                                 name.data);
    }
    *ret = package;
    return BRISK_OK;
}

static inline void corpus_want(void *ctx, pkg_text name, const semver_range *range, bool peers_only)
{
    (void)peers_only;
    (void)ctx;
    (void)name;
    (void)range;
}

/* Packages live as long as the corpus. */
static inline pkg_source corpus_source(corpus *all)
{
    return (pkg_source){.ctx = all, .get = corpus_get, .want = corpus_want};
}

#endif /* BRISK_TESTS_PKG_CORPUS_H */
