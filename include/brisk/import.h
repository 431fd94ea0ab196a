/*
 * brisk/import.h -- what others measured, as named series of numbers with a unit.
 *
 * The format is told by the content, never by the file's name; content that could be several or none
 * is refused.  A unit that the file does not state is "", never a guess.
 *
 * Threads: an import does not change once it is read.
 */
#ifndef BRISK_IMPORT_H
#define BRISK_IMPORT_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

typedef enum brisk_import_format {
    BRISK_IMPORT_AUTO = 0,
    BRISK_IMPORT_HYPERFINE,        /**< JSON of `hyperfine --export-json`. */
    BRISK_IMPORT_GOOGLE_BENCHMARK, /**< JSON of `--benchmark_out`. */
    BRISK_IMPORT_JUNIT,            /**< XML: times of test cases. */
    BRISK_IMPORT_K6,               /**< JSON of `--summary-export` or handleSummary. */
    BRISK_IMPORT_WRK,              /**< Text that wrk prints. */
    BRISK_IMPORT_HLOG,             /**< HdrHistogram logs with V2 histograms. */
} brisk_import_format;

/** "hyperfine", "google-benchmark" ...; "?" for other values. */
BRISK_API const char *brisk_import_format_name(brisk_import_format format);

typedef struct brisk_import_series {
    const char *name;      /**< Of the benchmark, metric or test case. */
    const char *statistic; /**< "sample", or what each value is: "mean", "p99", "count" ... */
    const char *unit;      /**< "s", "ms", "us", "ns", "B", "B/s", "1/s", "1"; "": not stated. */
    const double *values;  /**< Finite. */
    const double *times;   /**< Seconds, one a value, in the file's own epoch; or NULL. */
    size_t count;          /**< At least 1. */
} brisk_import_series;

typedef struct brisk_import brisk_import;

typedef struct brisk_import_opts {
    const char *name;           /**< Of the source, for errors; NULL: "input". */
    brisk_import_format format; /**< AUTO looks at the content. */
    const brisk_alloc *alloc;   /**< Borrowed; NULL means libc. */
} brisk_import_opts;

/**
 * Read `size` bytes.  *ret is the caller's and does not point into `data`.
 * Errors (`info` names source and line): UNSUPPORTED (no known format, or more than one), CORRUPT,
 * LIMIT (64 MiB, a million values, depth), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_import_bytes(const void *data, size_t size,
                                                       const brisk_import_opts *opts,
                                                       brisk_import **ret, brisk_errinfo *info);
/** Likewise a file.  Errors: also those of brisk_file_view_open. */
BRISK_API BRISK_NODISCARD brisk_err brisk_import_file(const char *path,
                                                      const brisk_import_opts *opts,
                                                      brisk_import **ret, brisk_errinfo *info);
/** Free it.  NULL is accepted. */
BRISK_API void brisk_import_destroy(brisk_import *import);
BRISK_API brisk_import_format brisk_import_format_of(const brisk_import *import);
/** The series, in the file's order; *ret_count of them. */
BRISK_API const brisk_import_series *brisk_import_series_of(const brisk_import *import,
                                                            size_t *ret_count);

BRISK_END_DECLS

#endif /* BRISK_IMPORT_H */
