/*
 * series_edpelt.c -- the segmentation of least cost, where a segment costs what its empirical
 * distribution leaves unexplained.
 *
 * A segment of L values, of which c_k lie below the k-th of K quantiles of the whole series, costs
 *
 *     2 log(2n - 1) / K * sum over k of -L (F log F + (1 - F) log(1 - F)),   F = c_k / L,
 *
 * and each change a penalty.  No shape of the noise is assumed.  The quantiles stand closer together
 * towards the tails, as in the paper.  Counts are kept doubled (a value equal to the quantile counts
 * a half), so that every x log x comes from a table.
 *
 * PELT finds the best last change for every prefix and drops candidates that can never win again.  In
 * a series without changes none is ever dropped and the search is quadratic.  So that a long steady
 * series costs no more than n log n, series longer than BLOCK are searched in half-overlapping blocks
 * and on a coarse grid over the whole; one last search over the whole considers the candidates found
 * there only.  A change that the grid alone saw is too small to have a sharper place than the grid's.
 *
 * Invariant: dead_from[s] is the first prefix for which candidate s need not be considered.
 *
 * Sources: K. Haynes, P. Fearnhead, I. A. Eckley, A computationally efficient nonparametric approach
 *          for changepoint detection, Statistics and Computing 27, 2017; R. Killick, P. Fearnhead,
 *          I. A. Eckley, Optimal detection of changepoints with a linear computational cost, JASA
 *          107, 2012.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/stats.h>

#include "base/assert.h"
#include "base/vec.h"
#include "observe/stats/series.h"

enum {
    BLOCK = 512,       /* values searched exactly */
    GRID = 512,        /* positions of the coarse search */
    QUANTILES_MAX = 80 /* 4 log(2^24) and to spare */
};

typedef struct search {
    const brisk_alloc *alloc;
    const double *values;
    size_t count;
    const size_t *candidates; /* increasing; 0 first, `count` last */
    size_t candidate_count;
    size_t min_segment;
    double penalty;
    uint32_t quantile_count;
    double quantiles[QUANTILES_MAX];
    double factor;
    double *x_log_x;   /* 2 * count + 1 */
    uint32_t *counts;  /* candidate_count rows of quantile_count */
    double *best;      /* by candidate: cost of the prefix that ends there, a penalty a segment */
    size_t *previous;  /* by candidate: where its last segment begins */
    size_t *dead_from; /* by candidate: prefix */
    size_t *alive;     /* candidates still considered, increasing */
    double *trial;     /* by index in alive: cost when it begins the last segment */
    size_t alive_count;
} search;

void series_positions_deinit(series_positions *positions)
{
    if (positions->items != NULL) {
        BRISK_VEC_DEINIT(positions);
    }
}

static brisk_err quantiles_make(search *s)
{
    double *sorted = series_take(s->alloc, s->count, sizeof *sorted);
    if (sorted == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(sorted, s->values, s->count * sizeof *sorted);
    series_sort(sorted, s->count);
    double n = (double)s->count;
    double c = log(2 * n - 1);
    uint32_t wanted = (uint32_t)ceil(4 * log(n));
    s->quantile_count = wanted < QUANTILES_MAX ? wanted : QUANTILES_MAX;
    for (uint32_t k = 0; k < s->quantile_count; k++) {
        double z = -1 + (2.0 * k + 1) / s->quantile_count;
        double p = 1 / (1 + exp(-c * z));
        s->quantiles[k] = sorted[(size_t)(p * (n - 1))];
    }
    s->factor = 2 * c / s->quantile_count;
    series_give(s->alloc, sorted, s->count, sizeof *sorted);
    return BRISK_OK;
}

/* How many of the quantiles are < value (or <= value). */
static uint32_t quantile_below(const search *s, double value, bool or_equal)
{
    uint32_t low = 0;
    uint32_t high = s->quantile_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        bool below = or_equal ? s->quantiles[middle] <= value : s->quantiles[middle] < value;
        low = below ? middle + 1 : low;
        high = below ? high : middle;
    }
    return low;
}

/* Row of candidate i: of the values before it, how many lie below each quantile, doubled. */
static void counts_make(search *s)
{
    uint32_t running[QUANTILES_MAX] = {0};
    size_t at = 0;
    for (size_t i = 0; i < s->candidate_count; i++) {
        for (; at < s->candidates[i]; at++) {
            uint32_t first = quantile_below(s, s->values[at], false);
            uint32_t last = quantile_below(s, s->values[at], true);
            for (uint32_t k = first; k < last; k++) {
                running[k] += 1;
            }
            for (uint32_t k = last; k < s->quantile_count; k++) {
                running[k] += 2;
            }
        }
        memcpy(s->counts + i * s->quantile_count, running, s->quantile_count * sizeof *running);
    }
}

static double segment_cost(const search *s, size_t from, size_t to)
{
    const uint32_t *low = s->counts + from * s->quantile_count;
    const uint32_t *high = s->counts + to * s->quantile_count;
    uint32_t length = (uint32_t)(s->candidates[to] - s->candidates[from]) * 2;
    double sum = s->quantile_count * s->x_log_x[length];
    for (uint32_t k = 0; k < s->quantile_count; k++) {
        uint32_t below = high[k] - low[k];
        sum -= s->x_log_x[below] + s->x_log_x[length - below];
    }
    return s->factor * sum / 2;
}

/*
 * Best last segment of the prefix that ends at candidate `to`; then drop those that cannot win any
 * more, from the first prefix on where `to` itself may begin a segment.
 */
static void step(search *s, size_t to)
{
    size_t end = s->candidates[to];
    double least = (double)INFINITY;
    size_t from = 0;
    size_t kept = 0;
    for (size_t i = 0; i < s->alive_count; i++) {
        size_t c = s->alive[i];
        if (s->dead_from[c] <= end) {
            continue;
        }
        bool fits = end - s->candidates[c] >= s->min_segment;
        s->trial[kept] = fits ? s->best[c] + segment_cost(s, c, to) : -HUGE_VAL;
        if (fits && s->trial[kept] < least) {
            least = s->trial[kept];
            from = c;
        }
        s->alive[kept++] = c;
    }
    s->alive_count = kept;
    s->best[to] = least + s->penalty;
    s->previous[to] = from;
    s->dead_from[to] = SIZE_MAX;
    for (size_t i = 0; i < kept; i++) {
        size_t *dead = &s->dead_from[s->alive[i]];
        if (s->trial[i] > s->best[to] && *dead == SIZE_MAX) {
            *dead = end + s->min_segment;
        }
    }
    if (isfinite(least)) {
        s->alive[s->alive_count++] = to;
    }
}

static void search_free(search *s)
{
    size_t m = s->candidate_count;
    series_give(s->alloc, s->x_log_x, 2 * s->count + 1, sizeof *s->x_log_x);
    series_give(s->alloc, s->counts, m * s->quantile_count, sizeof *s->counts);
    series_give(s->alloc, s->best, m, sizeof *s->best);
    series_give(s->alloc, s->trial, m, sizeof *s->trial);
    series_give(s->alloc, s->previous, m, sizeof *s->previous);
    series_give(s->alloc, s->dead_from, m, sizeof *s->dead_from);
    series_give(s->alloc, s->alive, m, sizeof *s->alive);
}

static brisk_err search_make(search *s)
{
    size_t m = s->candidate_count;
    brisk_err err = quantiles_make(s);
    if (err != BRISK_OK) {
        return err;
    }
    s->x_log_x = series_take(s->alloc, 2 * s->count + 1, sizeof *s->x_log_x);
    s->counts = series_take(s->alloc, m * s->quantile_count, sizeof *s->counts);
    s->best = series_take(s->alloc, m, sizeof *s->best);
    s->trial = series_take(s->alloc, m, sizeof *s->trial);
    s->previous = series_take(s->alloc, m, sizeof *s->previous);
    s->dead_from = series_take(s->alloc, m, sizeof *s->dead_from);
    s->alive = series_take(s->alloc, m, sizeof *s->alive);
    if (s->x_log_x == NULL || s->counts == NULL || s->best == NULL || s->trial == NULL ||
        s->previous == NULL || s->dead_from == NULL || s->alive == NULL) {
        return BRISK_ERR_NOMEM;
    }
    s->x_log_x[0] = 0;
    for (size_t i = 1; i <= 2 * s->count; i++) {
        s->x_log_x[i] = (double)i * log((double)i);
    }
    counts_make(s);
    return BRISK_OK;
}

static bool push(series_positions *positions, size_t at)
{
    return BRISK_VEC_PUSH(positions, at);
}

/* Append the beginnings of the best segmentation's segments. */
static brisk_err take_path(const search *s, series_positions *ret)
{
    size_t first = ret->count;
    for (size_t at = s->previous[s->candidate_count - 1]; at != 0; at = s->previous[at]) {
        if (!push(ret, s->candidates[at])) {
            return BRISK_ERR_NOMEM;
        }
    }
    for (size_t i = first, j = ret->count; i + 1 < j; i++) {
        size_t kept = ret->items[i];
        ret->items[i] = ret->items[--j];
        ret->items[j] = kept;
    }
    return BRISK_OK;
}

/* The search among given candidates. */
static brisk_err search_run(search *s, series_positions *ret)
{
    brisk_err err = search_make(s);
    if (err == BRISK_OK) {
        s->best[0] = 0;
        s->dead_from[0] = SIZE_MAX;
        s->alive[0] = 0;
        s->alive_count = 1;
        for (size_t to = 1; to < s->candidate_count; to++) {
            step(s, to);
        }
        err = take_path(s, ret);
    }
    search_free(s);
    return err;
}

/* Every `stride`-th position is a candidate. */
static brisk_err search_all(const double *values, size_t count, size_t stride,
                            const series_edpelt_opts *opts, series_positions *ret)
{
    size_t m = (count + stride - 1) / stride + 1;
    size_t *candidates = series_take(opts->alloc, m, sizeof *candidates);
    if (candidates == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (size_t i = 0; i < m; i++) {
        candidates[i] = i * stride < count ? i * stride : count;
    }
    search s = {.alloc = opts->alloc,
                .values = values,
                .count = count,
                .candidates = candidates,
                .candidate_count = m,
                .min_segment = opts->min_segment,
                .penalty = opts->penalty};
    brisk_err err = search_run(&s, ret);
    series_give(opts->alloc, candidates, m, sizeof *candidates);
    return err;
}

static int compare_positions(const void *a, const void *b)
{
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* Candidates of a long series: those of its blocks, and the grid's, into *found (sorted, unique). */
static brisk_err search_blocks(const double *values, size_t count, const series_edpelt_opts *opts,
                               series_positions *found)
{
    size_t stride = (count + GRID - 1) / GRID;
    brisk_err err = search_all(values, count, stride, opts, found);
    for (size_t at = 0; at + BLOCK / 2 < count && err == BRISK_OK; at += BLOCK / 2) {
        size_t length = count - at < BLOCK ? count - at : BLOCK;
        size_t first = found->count;
        err = search_all(values + at, length, 1, opts, found);
        for (size_t i = first; i < found->count; i++) {
            found->items[i] += at;
        }
    }
    if (err != BRISK_OK || !push(found, 0) || !push(found, count)) {
        return BRISK_ERR_NOMEM;
    }
    qsort(found->items, found->count, sizeof *found->items, compare_positions);
    size_t kept = 1;
    for (size_t i = 1; i < found->count; i++) {
        if (found->items[i] != found->items[kept - 1]) {
            found->items[kept++] = found->items[i];
        }
    }
    found->count = kept;
    return BRISK_OK;
}

brisk_err series_edpelt(const double *values, size_t count, const series_edpelt_opts *opts,
                        series_positions *ret)
{
    BRISK_ASSERT(count <= BRISK_SERIES_COUNT_MAX && opts->min_segment > 0);
    series_positions out = {.alloc = opts->alloc};
    series_positions found = {.alloc = opts->alloc};
    brisk_err err = BRISK_OK;
    if (count >= 2 * opts->min_segment && count <= BLOCK) {
        err = search_all(values, count, 1, opts, &out);
    } else if (count > BLOCK) {
        err = search_blocks(values, count, opts, &found);
        search s = {.alloc = opts->alloc,
                    .values = values,
                    .count = count,
                    .candidates = found.items,
                    .candidate_count = found.count,
                    .min_segment = opts->min_segment,
                    .penalty = opts->penalty};
        err = err == BRISK_OK ? search_run(&s, &out) : err;
    }
    series_positions_deinit(&found);
    if (err != BRISK_OK) {
        series_positions_deinit(&out);
        return err;
    }
    *ret = out;
    return BRISK_OK;
}
