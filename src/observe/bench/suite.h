/*
 * suite.h -- the parts of `brisk bench --comprehensive`.
 */
#ifndef BRISK_SRC_OBSERVE_BENCH_SUITE_H
#define BRISK_SRC_OBSERVE_BENCH_SUITE_H

#include <brisk/bench.h>

#include "observe/bench/ask.h"

enum { SUITE_CASES_MAX = 32 };

/** Tiers, workers and files that the cases of one suite use. */
typedef struct suite_parts suite_parts;

/**
 * Make the parts, files below `folder`, and fill `cases`.
 * Errors: whatever a tier, the executor or a file says, with `info`.
 */
brisk_err suite_parts_create(brisk_arena *arena, const char *folder, suite_parts **ret,
                             brisk_errinfo *info);
/** NULL is accepted. */
void suite_parts_destroy(suite_parts *parts);
uint32_t suite_parts_cases(suite_parts *parts, brisk_bench_case cases[SUITE_CASES_MAX]);
/** Did a case fail while it ran?  Its name, or NULL. */
const char *suite_parts_failed(const suite_parts *parts);

/**
 * Measure the suite for about ask->plan.duration_ns: functions first, then a job of every workload.
 * Says what is wrong.
 */
brisk_exit suite_measure(bench_ask *ask, bench_record *ret, int *ret_stopped_by);
/** One line for each benchmark. */
void suite_print(FILE *out, const bench_report *report);

#endif /* BRISK_SRC_OBSERVE_BENCH_SUITE_H */
