/*
 * brisk/bench.h -- how long small functions take: nanoseconds a call, several of them side by side.
 *
 *     static void hash(void *ctx, uint64_t calls)
 *     {
 *         const struct input *in = ctx;
 *         while (calls-- > 0) {
 *             uint64_t h = brisk_hash64(in->data, in->size, 0);
 *             BRISK_BENCH_KEEP(h);
 *         }
 *     }
 *
 *     brisk_bench_case cases[] = {{.name = "hash", .run = hash, .ctx = &in}, ...};
 *     brisk_bench_result results[2];
 *     brisk_bench_run(cases, 2, NULL, results);
 *
 * A case is called with a number of calls that fills a sample (1 ms), found by doubling; then the
 * cases take turns, in random order and once more backwards, so that a drift of the machine falls on
 * all alike: sample number i of all cases stood side by side, and brisk_bench_compare uses the ratios
 * of such pairs.
 *
 * Threads: one; the cases run in it.
 */
#ifndef BRISK_BENCH_H
#define BRISK_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/stats.h>

BRISK_BEGIN_DECLS

enum { BRISK_BENCH_CASES_MAX = 256, BRISK_BENCH_SAMPLES_MAX = 10000 };

/** The optimiser must believe that `value` is looked at; a scalar or a pointer. */
#if defined(__GNUC__)
#    define BRISK_BENCH_KEEP(value) __asm__ volatile("" : : "r,m"(value) : "memory")
/** It must believe that all memory may have changed. */
#    define BRISK_BENCH_CLOBBER() __asm__ volatile("" : : : "memory")
#else
#    define BRISK_BENCH_KEEP(value) brisk_bench_keep(&(value))
#    define BRISK_BENCH_CLOBBER()   brisk_bench_keep(0)
#endif

/** What the macros are where there is no inline assembly. */
BRISK_API void brisk_bench_keep(const void *value);

typedef struct brisk_bench_case {
    const char *name;
    void (*run)(void *ctx, uint64_t calls); /**< Do it `calls` times. */
    void (*prepare)(void *ctx);             /**< Before each sample, not measured; may be NULL. */
    void *ctx;
} brisk_bench_case;

/** A zeroed struct asks for every default. */
typedef struct brisk_bench_opts {
    uint64_t sample_ns;   /**< Least time of a sample; 0 means 1 ms. */
    uint32_t samples;     /**< Of each case; 0 means 40. */
    uint64_t duration_ns; /**< Stop after this time, with two samples at least; 0: no limit. */
    uint64_t seed;        /**< Of the order. */
    bool (*stop)(void *ctx, uint32_t done,
                 uint32_t total); /**< Asked before each block; or NULL. */
    void *stop_ctx;
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_bench_opts;

typedef struct brisk_bench_result {
    const char *name;
    uint64_t calls; /**< In a sample. */
    double *ns;     /**< Nanoseconds a call, for each sample, in the order of measurement. */
    uint32_t count;
    brisk_sample_figures figures; /**< Of `ns`. */
    uint32_t capacity_;
    const brisk_alloc *alloc_;
} brisk_bench_result;

/**
 * Measure `count` cases into results[0 .. count), which the caller releases.
 * Errors: INVALID (no case, no function), LIMIT, NOMEM, CANCELLED (stopped before two samples);
 * the results are then untouched.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_bench_run(const brisk_bench_case *cases, uint32_t count,
                                                    const brisk_bench_opts *opts,
                                                    brisk_bench_result *results);
/** Free what results[0 .. count) hold.  Zeroed ones are accepted. */
BRISK_API void brisk_bench_results_deinit(brisk_bench_result *results, uint32_t count);

/**
 * How much more time `b` takes than `a`, as a share (0.01: one percent more), of the same call of
 * brisk_bench_run.  Errors: INVALID, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_bench_compare(const brisk_bench_result *a,
                                                        const brisk_bench_result *b,
                                                        double confidence, brisk_interval *ret);

BRISK_END_DECLS

#endif /* BRISK_BENCH_H */
