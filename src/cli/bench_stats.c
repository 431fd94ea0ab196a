/*
 * bench_stats.c -- figures of a series of runs, and whether two series differ.
 *
 * Run times are not normally distributed (they have a floor and a tail), so series are compared by
 * rank: the Mann-Whitney test asks only how often a run of one series beats a run of the other.
 *
 * Source:  H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is
 *          stochastically larger than the other", 1947; normal approximation with correction for
 *          ties and continuity.
 */
#include <math.h>
#include <stdlib.h>

#include "cli/bench.h"

static const double p_limit = 0.05;

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/** `sorted` has `count` > 0 elements. */
static double median_of(const double *sorted, uint32_t count)
{
    uint32_t middle = count / 2;
    return count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2.0;
}

bench_figures bench_figures_of(double *runs_ns, uint32_t count, double *scratch)
{
    qsort(runs_ns, count, sizeof *runs_ns, compare_double);
    double sum = 0.0;
    double median = median_of(runs_ns, count);
    for (uint32_t i = 0; i < count; i++) {
        sum += runs_ns[i];
        scratch[i] = fabs(runs_ns[i] - median);
    }
    qsort(scratch, count, sizeof *scratch, compare_double);
    return (bench_figures){
        .fastest = runs_ns[0],
        .average = sum / count,
        .median = median,
        .slowest = runs_ns[count - 1],
        .spread = median_of(scratch, count),
    };
}

bench_change bench_compare(const double *before, uint32_t before_count, const double *now,
                           uint32_t now_count)
{
    double n = before_count;
    double m = now_count;
    double rank_sum = 0.0; /* of `before` in both series together */
    double ties = 0.0;     /* sum of t^3 - t over groups of t equal values */
    double rank = 0.0;
    for (uint32_t i = 0, j = 0; i < before_count || j < now_count;) {
        /* A group of equal values shares the mean of its ranks. */
        double value =
            j == now_count || (i < before_count && before[i] < now[j]) ? before[i] : now[j];
        uint32_t i_start = i;
        uint32_t j_start = j;
        while (i < before_count && !(before[i] > value)) {
            i++;
        }
        while (j < now_count && !(now[j] > value)) {
            j++;
        }
        double size = (double)(i - i_start) + (double)(j - j_start);
        rank_sum += (double)(i - i_start) * (rank + (size + 1.0) / 2.0);
        rank += size;
        ties += size * size * size - size;
    }
    double u = rank_sum - n * (n + 1.0) / 2.0;
    double total = n + m;
    double variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    double distance = fmax(0.0, fabs(u - n * m / 2.0) - 0.5);
    double p = variance > 0.0 ? erfc(distance / sqrt(variance) / sqrt(2.0)) : 1.0;
    return (bench_change){
        .ratio = median_of(before, before_count) / median_of(now, now_count),
        .p = p,
        .beyond_noise = p < p_limit,
    };
}
