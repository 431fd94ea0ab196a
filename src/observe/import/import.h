/*
 * import.h -- what the readers of formats share: the source, and a collection of series.
 */
#ifndef BRISK_SRC_OBSERVE_IMPORT_IMPORT_H
#define BRISK_SRC_OBSERVE_IMPORT_IMPORT_H

#include <stdbool.h>

#include <brisk/arena.h>
#include <brisk/import.h>

#include "base/vec.h"

enum {
    IMPORT_SIZE_MAX = 64 << 20,
    IMPORT_VALUES_MAX = 1000000,
    IMPORT_SERIES_MAX = 100000,
    IMPORT_NAME_MAX = 1024, /* longer ones are cut */
};

/* A series under construction: values are pushed in any order of series. */
typedef struct import_series {
    const char *name;
    const char *statistic;
    const char *unit;
    BRISK_VEC(double) values;
    BRISK_VEC(double) times;
} import_series;

typedef struct import_builder {
    const brisk_alloc *alloc;
    brisk_arena *arena; /* texts, and at the end the arrays */
    const char *data;
    size_t size;
    const char *name; /* of the source */
    brisk_errinfo *info;
    BRISK_VEC(import_series) series;
    BRISK_VEC(uint32_t) slots; /* hash of name, statistic and unit -> index + 1; a power of two */
    size_t value_count;
} import_builder;

/* What a value belongs to. */
typedef struct import_key {
    const char *name;
    const char *statistic;
    const char *unit;
} import_key;

/*
 * Append a value to the series of `key` (made when new; texts are copied); `time` may be NULL, the
 * same for all values of a series.  Not finite ones are CORRUPT.  Errors: also LIMIT, NOMEM.
 */
BRISK_NODISCARD brisk_err import_add(import_builder *b, const import_key *key, double value,
                                     const double *time);
/* "NAME:LINE: ...", where `at` is an offset. */
BRISK_NODISCARD brisk_err import_fail(import_builder *b, brisk_err code, size_t at,
                                      const char *what);
/* A number at text[0..size): finite, all of it.  False otherwise. */
bool import_number(const char *text, size_t size, double *ret);

/* One a format; each reads the whole source. */
BRISK_NODISCARD brisk_err import_hyperfine(import_builder *b);
BRISK_NODISCARD brisk_err import_google_benchmark(import_builder *b);
BRISK_NODISCARD brisk_err import_k6(import_builder *b);
BRISK_NODISCARD brisk_err import_junit(import_builder *b);
BRISK_NODISCARD brisk_err import_wrk(import_builder *b);
BRISK_NODISCARD brisk_err import_hlog(import_builder *b);

/* The format of the source; BRISK_IMPORT_AUTO when none or several fit. */
brisk_import_format import_sniff(import_builder *b);

#endif /* BRISK_SRC_OBSERVE_IMPORT_IMPORT_H */
