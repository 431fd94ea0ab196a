/*
 * ED-PELT against the definition: the cheapest of all segmentations by plain dynamic programming, with
 * each segment's cost counted anew from its values.
 */
#include <math.h>
#include <string.h>

#include "observe/stats/series.h"
#include "support/check.h"

enum { COUNT_MAX = 90, QUANTILES = 32, ROUNDS = 300 };

typedef struct plain {
    double values[COUNT_MAX];
    size_t count;
    double quantiles[QUANTILES];
    int quantile_count;
    double best[COUNT_MAX + 1];
} plain;

static void quantiles_make(plain *p)
{
    double sorted[COUNT_MAX];
    memcpy(sorted, p->values, sizeof sorted);
    series_sort(sorted, p->count);
    double n = (double)p->count;
    p->quantile_count = (int)ceil(4 * log(n));
    for (int k = 0; k < p->quantile_count; k++) {
        double z = -1 + (2.0 * k + 1) / p->quantile_count;
        p->quantiles[k] = sorted[(size_t)((n - 1) / (1 + exp(-log(2 * n - 1) * z)))];
    }
}

static double plain_cost(const plain *p, size_t from, size_t to)
{
    double sum = 0;
    double length = (double)(to - from);
    for (int k = 0; k < p->quantile_count; k++) {
        double below = 0;
        for (size_t i = from; i < to; i++) {
            below += p->values[i] < p->quantiles[k] ? 1 : p->values[i] > p->quantiles[k] ? 0 : 0.5;
        }
        double f = below / length;
        sum -= f > 0 && f < 1 ? length * (f * log(f) + (1 - f) * log(1 - f)) : 0;
    }
    return 2 * log(2 * (double)p->count - 1) / p->quantile_count * sum;
}

static double cheapest(plain *p, double penalty, size_t min_segment)
{
    p->best[0] = 0;
    for (size_t to = 1; to <= p->count; to++) {
        p->best[to] = HUGE_VAL;
        for (size_t from = 0; from + min_segment <= to; from++) {
            double cost = p->best[from] + plain_cost(p, from, to) + penalty;
            p->best[to] = fmin(p->best[to], cost);
        }
    }
    return p->best[p->count];
}

static double cost_of(const plain *p, const series_positions *found, double penalty, size_t least)
{
    double sum = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= found->count; i++) {
        size_t end = i < found->count ? found->items[i] : p->count;
        CHECK_U64(end, >=, begin + least);
        sum += plain_cost(p, begin, end) + penalty;
        begin = end;
    }
    return sum;
}

static void test_cheapest(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    size_t changes = 0;
    for (int round = 0; round < ROUNDS; round++) {
        plain p = {.count = 20 + check_random(&random) % (COUNT_MAX - 20)};
        double level = 0;
        for (size_t i = 0; i < p.count; i++) {
            level = check_random(&random) % 16 == 0 ? (double)(check_random(&random) % 60) : level;
            p.values[i] = level + (double)(check_random(&random) % 12); /* with ties */
        }
        quantiles_make(&p);
        double penalty = (double)(1 + check_random(&random) % 30);
        size_t least = 1 + check_random(&random) % 6;
        series_edpelt_opts opts = {
            .penalty = penalty, .min_segment = least, .alloc = brisk_alloc_libc()};
        series_positions found;
        CHECK_OK(series_edpelt(p.values, p.count, &opts, &found));
        double got = cost_of(&p, &found, penalty, least);
        double best = cheapest(&p, penalty, least);
        CHECK(fabs(got - best) <= 1e-7 * best);
        changes += found.count;
        series_positions_deinit(&found);
    }
    CHECK_U64(changes, >, ROUNDS); /* it was not all silence */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cheapest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
