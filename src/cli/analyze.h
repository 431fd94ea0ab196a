/*
 * analyze.h -- what the files of `brisk cache analyze` share.
 *
 *     analyze_trace.c  the requests; simulations of every policy at every size
 *     analyze_plot.c   the curves as text and as SVG
 *     cmd_analyze.c    the command: table, recommendation, evictions
 */
#ifndef BRISK_SRC_CLI_ANALYZE_H
#define BRISK_SRC_CLI_ANALYZE_H

#include "cli/cli.h"

#include <brisk/alloc.h>
#include <brisk/cache_sim.h>
#include <brisk/mrc.h>
#include <brisk/trace_file.h>

enum {
    ANALYZE_POLICIES = 10,
    ANALYZE_SIZES = 8,
    ANALYZE_POINTS = 60, /* of the LRU curve */
};

typedef struct analysis {
    FILE *err;
    bool quiet;
    const char *path;
    brisk_trace_format format;
    /* What was read: keys of the sample, in order. */
    uint64_t *keys;
    uint64_t key_count;
    uint64_t key_capacity;
    uint64_t requests;   /* all of them */
    uint64_t unique;     /* keys, all of them */
    uint64_t bytes_each; /* mean size of a key's value; 0: unknown */
    uint32_t one_in;     /* of how many keys one was simulated */
    bool exact;          /* no sampling, however long */
    /* What was simulated; sizes in entries of the whole cache. */
    uint64_t sizes[ANALYZE_SIZES];
    double shares[ANALYZE_SIZES];                   /* of the keys */
    double misses[ANALYZE_POLICIES][ANALYZE_SIZES]; /* ratios */
    double least;                                   /* miss ratio with room for everything */
    brisk_mrc *curve;                               /* LRU */
} analysis;

/** What a size would do under the best policy for it. */
typedef struct analyze_choice {
    uint64_t entries;
    double miss_ratio;
    const char *policy;
} analyze_choice;

/** Zeroed memory, or NULL; given back with the same size. */
void *analyze_acquire(size_t bytes);
void analyze_release(void *memory, size_t bytes);
/** Read and simulate.  Says what is wrong. */
brisk_err analyze_run(analysis *a, const char *path, brisk_trace_format format);
void analyze_deinit(analysis *a);
/** Miss ratio of policy p at any size, between the simulated ones by a line. */
double analyze_miss_ratio(const analysis *a, uint32_t p, double entries);
/** The best policy at a size; auto is not asked. */
analyze_choice analyze_best(const analysis *a, double entries);

void analyze_plot_text(FILE *out, const analysis *a);
/** Errors: those of writing. */
brisk_err analyze_plot_svg(const char *path, const analysis *a, brisk_errinfo *info);

#endif /* BRISK_SRC_CLI_ANALYZE_H */
