/*
 * bench_corpus.h -- files of the measurement corpus, read whole; its folder is $BRISK_BENCH_MEASURE.
 *
 * The corpus is trusted; only what these benchmarks need of its JSON is understood.
 */
#ifndef BRISK_BENCH_OBSERVE_BENCH_CORPUS_H
#define BRISK_BENCH_OBSERVE_BENCH_CORPUS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/alloc.h>

#include "base/assert.h"

enum { CORPUS_SKIPPED = 77, CORPUS_PATH = 512, CORPUS_FILE_MAX = 8 << 20 };

static inline const char *corpus_folder(void)
{
    const char *folder = getenv("BRISK_BENCH_MEASURE");
    if (folder == NULL) {
        (void)fprintf(stderr, "skipped: BRISK_BENCH_MEASURE names no corpus\n");
        exit(CORPUS_SKIPPED);
    }
    return folder;
}

static inline void *corpus_take(size_t size)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    void *block = alloc->acquire(alloc->ctx, size, 64);
    BRISK_ASSERT(block != NULL);
    return block;
}

/* The terminated text of folder/path, kept until the end; NULL when it is not there. */
static inline char *corpus_text(const char *path)
{
    char full[CORPUS_PATH];
    (void)snprintf(full, sizeof full, "%.300s/%.200s", corpus_folder(), path);
    FILE *file = fopen(full, "rb");
    if (file == NULL) {
        return NULL;
    }
    char *text = corpus_take(CORPUS_FILE_MAX);
    size_t size = fread(text, 1, CORPUS_FILE_MAX - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    return text;
}

#endif /* BRISK_BENCH_OBSERVE_BENCH_CORPUS_H */
