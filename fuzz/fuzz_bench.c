/*
 * fuzz_bench.c -- kept measurements, of brisk and of others, and command lines: whatever is read can
 * be described and compared with itself without a difference.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "observe/bench/bench.h"

BRISK_DEFINE_CLEANUP(brisk_arena, brisk_arena_destroy)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void split(brisk_arena *arena, const uint8_t *data, size_t size)
{
    char **words = NULL;
    char **again = NULL;
    uint32_t count = 0;
    uint32_t count_again = 0;
    char *text = brisk_arena_copy(arena, (const char *)data, size);
    if (text == NULL || bench_split(arena, text, &words, &count) != BRISK_OK) {
        return;
    }
    char *joined = bench_join(arena, words, count);
    if (joined == NULL || bench_split(arena, joined, &again, &count_again) != BRISK_OK ||
        count != count_again) {
        abort();
    }
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(words[i], again[i]) != 0) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BRISK_CLEANUP(brisk_arena_destroy) brisk_arena *arena = NULL;
    if (brisk_arena_create(&(brisk_arena_opts){.limit_bytes = 256 << 20}, &arena) != BRISK_OK) {
        return 0;
    }
    split(arena, data, size);
    (void)bench_parse_refs((const char *)data, size);
    bench_record record = {0};
    brisk_errinfo info = {0};
    if (bench_parse(arena, "input", data, size, &record, &info) != BRISK_OK) {
        if (info.text[0] == '\0') {
            abort();
        }
        return 0;
    }
    for (uint32_t i = 0; i < record.subject_count; i++) {
        const bench_subject *s = &record.subjects[i];
        bench_limits limits = {.noisy = 0.05};
        bench_comparison c;
        if (s->run_count > 100) {
            continue; /* the bootstrap takes its time */
        }
        if (bench_compare(s, s, true, &limits, &c) == BRISK_OK &&
            (c.verdict == BENCH_FASTER || c.verdict == BENCH_SLOWER)) {
            abort();
        }
    }
    return 0;
}
