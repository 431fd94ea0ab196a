/*
 * bench_trace.h -- traces for benchmarks: numbers of keys in the order of their requests.
 *
 * Reads the text formats of the corpus, compressed with zstd or not: "key ...", one request a line,
 * and, in files named *.lis*, "start count ...": count requests from start on.  Keys are numbered
 * densely in the order of their first request.
 */
#ifndef BRISK_BENCH_CACHE_BENCH_TRACE_H
#define BRISK_BENCH_CACHE_BENCH_TRACE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include <brisk/alloc.h>

#include "base/assert.h"

enum { TRACES_MAX = 64, TRACE_PATH_MAX = 512, TRACE_NAME_MAX = 64 };

typedef struct bench_trace {
    char name[TRACE_NAME_MAX];
    uint32_t *keys;
    uint64_t count;
    uint32_t unique;
    uint64_t capacity_; /* of keys */
    uint64_t *seen_;    /* key + 1; open addressing */
    uint32_t *number_;
    uint64_t seen_capacity_;
} bench_trace;

static inline void *trace_take(size_t size)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    void *ptr = alloc->acquire(alloc->ctx, size, 64);
    BRISK_ASSERT(ptr != NULL);
    return ptr;
}

static inline void trace_give(void *ptr, size_t size)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    if (ptr != NULL) {
        alloc->release(alloc->ctx, ptr, size, 64);
    }
}

static inline void trace_free(bench_trace *trace)
{
    trace_give(trace->keys, trace->capacity_ * sizeof *trace->keys);
    *trace = (bench_trace){.keys = NULL};
}

static inline uint64_t trace_slot(const bench_trace *trace, uint64_t key)
{
    uint64_t at = (key + 1) * UINT64_C(0x9e3779b97f4a7c15);
    at ^= at >> 32;
    while (trace->seen_[at & (trace->seen_capacity_ - 1)] != 0 &&
           trace->seen_[at & (trace->seen_capacity_ - 1)] != key + 1) {
        at++;
    }
    return at & (trace->seen_capacity_ - 1);
}

static inline void trace_grow_seen(bench_trace *trace)
{
    uint64_t old_capacity = trace->seen_capacity_;
    uint64_t *old_seen = trace->seen_;
    uint32_t *old_number = trace->number_;
    trace->seen_capacity_ = old_capacity != 0 ? old_capacity * 4 : 4096;
    trace->seen_ = trace_take(trace->seen_capacity_ * sizeof *trace->seen_);
    trace->number_ = trace_take(trace->seen_capacity_ * sizeof *trace->number_);
    memset(trace->seen_, 0, trace->seen_capacity_ * sizeof *trace->seen_);
    for (uint64_t i = 0; i < old_capacity; i++) {
        if (old_seen[i] != 0) {
            uint64_t slot = trace_slot(trace, old_seen[i] - 1);
            trace->seen_[slot] = old_seen[i];
            trace->number_[slot] = old_number[i];
        }
    }
    trace_give(old_seen, old_capacity * sizeof *old_seen);
    trace_give(old_number, old_capacity * sizeof *old_number);
}

static inline void trace_add(bench_trace *trace, uint64_t key)
{
    if ((uint64_t)trace->unique * 2 >= trace->seen_capacity_) {
        trace_grow_seen(trace);
    }
    uint64_t slot = trace_slot(trace, key);
    if (trace->seen_[slot] == 0) {
        trace->seen_[slot] = key + 1;
        trace->number_[slot] = trace->unique++;
    }
    if (trace->count == trace->capacity_) {
        uint64_t capacity = trace->capacity_ != 0 ? trace->capacity_ * 2 : 65536;
        uint32_t *keys = trace_take(capacity * sizeof *keys);
        memcpy(keys, trace->keys != NULL ? trace->keys : keys, trace->count * sizeof *keys);
        trace_give(trace->keys, trace->capacity_ * sizeof *keys);
        trace->keys = keys;
        trace->capacity_ = capacity;
    }
    trace->keys[trace->count++] = trace->number_[slot];
}

static inline void trace_line(bench_trace *trace, const char *line, bool ranges)
{
    char *end = NULL;
    uint64_t key = strtoull(line, &end, 10);
    uint64_t count = 1;
    if (end == line) {
        return;
    }
    if (ranges) {
        count = strtoull(end, &end, 10);
    }
    for (uint64_t i = 0; i < count && i < UINT32_MAX; i++) {
        trace_add(trace, key + i);
    }
}

/* Cut `size` bytes into lines; what is left of the last one stays in `line`. */
static inline void trace_text(bench_trace *trace, const char *text, size_t size, char line[256],
                              bool ranges)
{
    size_t used = strlen(line);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n') {
            line[used] = '\0';
            trace_line(trace, line, ranges);
            used = 0;
        } else if (used < 255) {
            line[used++] = text[i];
        }
    }
    line[used] = '\0';
}

static inline bool trace_unpack(bench_trace *trace, FILE *file, bool ranges)
{
    static char in_bytes[1 << 16];
    static char out_bytes[1 << 18];
    char line[256] = "";
    ZSTD_DStream *stream = ZSTD_createDStream();
    bool good = stream != NULL;
    for (size_t got; good && (got = fread(in_bytes, 1, sizeof in_bytes, file)) > 0;) {
        ZSTD_inBuffer in = {in_bytes, got, 0};
        while (good && in.pos < in.size) {
            ZSTD_outBuffer out = {out_bytes, sizeof out_bytes, 0};
            good = !ZSTD_isError(ZSTD_decompressStream(stream, &out, &in));
            trace_text(trace, out_bytes, out.pos, line, ranges);
        }
    }
    trace_line(trace, line, ranges);
    (void)ZSTD_freeDStream(stream);
    return good;
}

/* False when the file cannot be read. */
static inline bool trace_read(const char *folder, const char *file_name, bench_trace *ret)
{
    char path[TRACE_PATH_MAX];
    bench_trace trace = {.keys = NULL};
    (void)snprintf(path, sizeof path, "%.400s/%.100s", folder, file_name);
    (void)snprintf(trace.name, sizeof trace.name, "%.*s", (int)strcspn(file_name, "."), file_name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    bool good = trace_unpack(&trace, file, strstr(file_name, ".lis") != NULL);
    (void)fclose(file);
    trace_give(trace.seen_, trace.seen_capacity_ * sizeof *trace.seen_);
    trace_give(trace.number_, trace.seen_capacity_ * sizeof *trace.number_);
    *ret = trace;
    return good && trace.count > 0;
}

static inline int trace_compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The traces in a folder, by name; returns how many. */
static inline uint32_t trace_list(const char *folder, char names[TRACES_MAX][TRACE_NAME_MAX])
{
    uint32_t count = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return 0;
    }
    for (const struct dirent *entry; count < TRACES_MAX && (entry = readdir(dir)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (size > 4 && size < TRACE_NAME_MAX && strcmp(entry->d_name + size - 4, ".zst") == 0) {
            (void)snprintf(names[count++], TRACE_NAME_MAX, "%s", entry->d_name);
        }
    }
    (void)closedir(dir);
    qsort(names, count, TRACE_NAME_MAX, trace_compare_names);
    return count;
}

#endif /* BRISK_BENCH_CACHE_BENCH_TRACE_H */
