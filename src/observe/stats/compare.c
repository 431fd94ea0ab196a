/*
 * compare.c -- Hodges-Lehmann shifts with the intervals of the rank tests that belong to them.
 *
 * Both intervals are order statistics of a large set that is never made: the n(n+1)/2 pairwise
 * means of one sample (Walsh averages), or the n*m differences of two.  The k-th smallest is found
 * by halving over the bit patterns of doubles: how many of the set are <= t is a walk with two
 * fingers over the sorted samples, so a step costs O(n + m), 64 steps are exact, and nothing is
 * allocated but the sorted copies.
 *
 * Interval of the signed-rank test: with k the largest number for which P(W < k) <= alpha / 2, the
 * k-th smallest and k-th largest Walsh average.  k = 0: too few values to say anything.
 *
 * Sources: Hollander, Wolfe, Nonparametric Statistical Methods, 3.1-3.3 and 4.1-4.3.
 */
#include <math.h>
#include <string.h>

#include <brisk/stats.h>

#include "base/assert.h"
#include "observe/stats/internal.h"

enum { EXACT_SUM_MAX = BRISK_STATS_EXACT_MAX * (BRISK_STATS_EXACT_MAX + 1) / 2 };

static const double confidence_min = 0.5;
static const double confidence_max = 0.9999;

/* --- the k-th of a set that is only counted ------------------------------------------------ */

typedef struct counted_set {
    const double *a; /* sorted; with b NULL the set is the means (a[i] + a[j]) / 2, i <= j */
    const double *b; /* sorted; otherwise the set is b[j] - a[i] */
    uint32_t a_count;
    uint32_t b_count;
} counted_set;

static uint64_t count_means(const counted_set *s, double t)
{
    uint64_t count = 0;
    uint32_t j = s->a_count;
    for (uint32_t i = 0; i < s->a_count; i++) {
        while (j > 0 && (s->a[i] + s->a[j - 1]) / 2.0 > t) {
            j--;
        }
        if (j <= i) {
            break;
        }
        count += j - i;
    }
    return count;
}

static uint64_t count_differences(const counted_set *s, double t)
{
    uint64_t count = 0;
    uint32_t j = 0;
    for (uint32_t i = 0; i < s->a_count; i++) {
        while (j < s->b_count && s->b[j] - s->a[i] <= t) {
            j++;
        }
        count += j;
    }
    return count;
}

static uint64_t count_up_to(const counted_set *s, double t)
{
    return s->b == NULL ? count_means(s, t) : count_differences(s, t);
}

/* Doubles and 64-bit numbers in the same order: negative ones are turned round. */
static double from_ordered(uint64_t key)
{
    uint64_t sign = UINT64_C(1) << 63;
    uint64_t bits = (key & sign) != 0 ? key ^ sign : ~key;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_ordered(double value)
{
    uint64_t sign = UINT64_C(1) << 63;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & sign) != 0 ? ~bits : bits ^ sign;
}

/** k from 1; the least value with at least k of the set not above it. */
static double select_kth(const counted_set *s, uint64_t k)
{
    double bottom = s->b == NULL ? s->a[0] : s->b[0] - s->a[s->a_count - 1];
    double top = s->b == NULL ? s->a[s->a_count - 1] : s->b[s->b_count - 1] - s->a[0];
    uint64_t low = to_ordered(bottom);
    uint64_t high = to_ordered(top);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (count_up_to(s, from_ordered(middle)) >= k) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return from_ordered(low) + 0.0; /* no negative zero */
}

static double median_of_set(const counted_set *s, uint64_t size)
{
    double upper = select_kth(s, size / 2 + 1);
    return size % 2 == 1 ? upper : (select_kth(s, size / 2) + upper) / 2.0;
}

static void interval_of_set(const counted_set *s, uint64_t size, uint64_t k, brisk_interval *ret)
{
    ret->estimate = median_of_set(s, size);
    ret->low = -HUGE_VAL;
    ret->high = HUGE_VAL;
    if (k > 0 && k <= size / 2 + 1) {
        ret->low = select_kth(s, k);
        ret->high = select_kth(s, size + 1 - k);
    }
}

/* --- signed ranks --------------------------------------------------------------------------- */

/** P(W = w) for n values, w = 0 .. n(n+1)/2: rank by rank, each counted or not by a coin. */
static void signed_rank_distribution(uint32_t n, double probability[EXACT_SUM_MAX + 1])
{
    memset(probability, 0, (EXACT_SUM_MAX + 1) * sizeof *probability);
    probability[0] = 1.0;
    uint32_t top = 0;
    for (uint32_t rank = 1; rank <= n; rank++) {
        top += rank;
        for (uint32_t w = top;; w--) {
            double with = w >= rank ? probability[w - rank] : 0.0;
            probability[w] = (probability[w] + with) / 2.0;
            if (w == 0) {
                break;
            }
        }
    }
}

/** The largest k with P(W < k) <= tail. */
static uint64_t exact_k(const double *probability, uint32_t n, double tail)
{
    double sum = 0.0;
    uint64_t k = 0;
    while (k < (uint64_t)n * (n + 1) / 2 && sum + probability[k] <= tail) {
        sum += probability[k];
        k++;
    }
    return k;
}

static uint64_t normal_k(double mean, double variance, double tail)
{
    double k = floor(mean + brisk_normal_quantile(tail) * sqrt(variance));
    return k > 0.0 ? (uint64_t)k : 0;
}

/** What the p value needs: the rank sum of positive differences, ties shared, zeros left out. */
typedef struct rank_sum {
    double positive;
    double ties; /* sum of t^3 - t over groups of t equal sizes */
    uint32_t count;
    bool plain; /* no ties, no zeros */
} rank_sum;

/** `sizes` are the absolute values, sorted; a positive one may be a negative difference. */
static rank_sum sum_ranks(const double *sorted, const double *sizes, uint32_t n)
{
    rank_sum r = {.plain = true};
    uint32_t zeros = 0;
    while (zeros < n && sizes[zeros] <= 0.0) {
        zeros++;
    }
    r.count = n - zeros;
    r.plain = zeros == 0;
    /* Fingers from both ends of the sorted differences meet the sizes in their order. */
    uint32_t up = 0;
    while (up < n && sorted[up] <= 0.0) {
        up++;
    }
    for (uint32_t i = zeros; i < n;) {
        uint32_t start = i;
        while (i < n && !(sizes[i] > sizes[start])) {
            i++;
        }
        double size = (double)(i - start);
        double rank = (double)(start - zeros) + (size + 1.0) / 2.0;
        while (up < n && !(sorted[up] > sizes[start])) {
            r.positive += rank;
            up++;
        }
        r.ties += size * size * size - size;
        r.plain = r.plain && i - start == 1;
    }
    return r;
}

static double signed_rank_p(const rank_sum *r, const double *probability)
{
    double n = r->count;
    double total = n * (n + 1.0) / 2.0;
    if (r->count == 0) {
        return 1.0;
    }
    if (r->plain && probability != NULL) {
        double least = fmin(r->positive, total - r->positive);
        double sum = 0.0;
        for (uint32_t w = 0; w <= (uint32_t)least; w++) {
            sum += probability[w];
        }
        return fmin(1.0, 2.0 * sum);
    }
    double variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - r->ties / 48.0;
    double distance = fmax(0.0, fabs(r->positive - total / 2.0) - 0.5);
    return variance > 0.0 ? erfc(distance / sqrt(variance) / sqrt(2.0)) : 1.0;
}

static bool is_confidence(double confidence)
{
    return confidence >= confidence_min && confidence <= confidence_max;
}

/** `sorted` and `sizes` hold the differences, and are sorted here. */
static void compare_paired(double *sorted, double *sizes, uint32_t n, double tail,
                           brisk_interval *ret)
{
    double probability[EXACT_SUM_MAX + 1];
    for (uint32_t i = 0; i < n; i++) {
        sizes[i] = fabs(sizes[i]);
    }
    brisk_sample_sort(sorted, n);
    brisk_sample_sort(sizes, n);
    bool exact = n <= BRISK_STATS_EXACT_MAX;
    uint64_t size = (uint64_t)n * (n + 1) / 2;
    double real_n = n;
    uint64_t k = 0;
    if (exact) {
        signed_rank_distribution(n, probability);
        k = exact_k(probability, n, tail);
    } else {
        double variance = real_n * (real_n + 1.0) * (2.0 * real_n + 1.0) / 24.0;
        k = normal_k((double)size / 2.0, variance, tail);
    }
    interval_of_set(&(counted_set){.a = sorted, .a_count = n}, size, k, ret);
    rank_sum r = sum_ranks(sorted, sizes, n);
    ret->p = signed_rank_p(&r, exact ? probability : NULL);
}

brisk_err brisk_compare_paired(const double *differences, uint32_t count, double confidence,
                               const brisk_alloc *alloc, brisk_interval *ret)
{
    if (count == 0 || !is_confidence(confidence) || !stats_are_finite(differences, count)) {
        return BRISK_ERR_INVALID;
    }
    if (count > BRISK_STATS_VALUES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    alloc = stats_alloc(alloc);
    double *sorted = stats_doubles(alloc, count);
    double *sizes = stats_doubles(alloc, count);
    if (sorted != NULL && sizes != NULL) {
        memcpy(sorted, differences, count * sizeof *sorted);
        memcpy(sizes, differences, count * sizeof *sizes);
        compare_paired(sorted, sizes, count, (1.0 - confidence) / 2.0, ret);
    }
    bool done = sorted != NULL && sizes != NULL;
    stats_free_doubles(alloc, sorted, count);
    stats_free_doubles(alloc, sizes, count);
    return done ? BRISK_OK : BRISK_ERR_NOMEM;
}

/* --- two samples ---------------------------------------------------------------------------- */

/** U of b over a and its variance with ties, both samples sorted. */
static double mann_whitney_p(const double *a, uint32_t n, const double *b, uint32_t m)
{
    double rank_sum_b = 0.0;
    double ties = 0.0;
    double rank = 0.0;
    for (uint32_t i = 0, j = 0; i < n || j < m;) {
        double value = j == m || (i < n && a[i] < b[j]) ? a[i] : b[j];
        uint32_t i_start = i;
        uint32_t j_start = j;
        while (i < n && !(a[i] > value)) {
            i++;
        }
        while (j < m && !(b[j] > value)) {
            j++;
        }
        double size = (double)(i - i_start) + (double)(j - j_start);
        rank_sum_b += (double)(j - j_start) * (rank + (size + 1.0) / 2.0);
        rank += size;
        ties += size * size * size - size;
    }
    double real_n = n;
    double real_m = m;
    double u = rank_sum_b - real_m * (real_m + 1.0) / 2.0;
    double total = real_n + real_m;
    double variance = real_n * real_m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    double distance = fmax(0.0, fabs(u - real_n * real_m / 2.0) - 0.5);
    return variance > 0.0 ? erfc(distance / sqrt(variance) / sqrt(2.0)) : 1.0;
}

brisk_err brisk_compare_unpaired(const brisk_two_samples *samples, double confidence,
                                 const brisk_alloc *alloc, brisk_interval *ret)
{
    uint32_t n = samples->a_count;
    uint32_t m = samples->b_count;
    if (n == 0 || m == 0 || !is_confidence(confidence) || !stats_are_finite(samples->a, n) ||
        !stats_are_finite(samples->b, m)) {
        return BRISK_ERR_INVALID;
    }
    if (n > BRISK_STATS_VALUES_MAX || m > BRISK_STATS_VALUES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    alloc = stats_alloc(alloc);
    double *a = stats_doubles(alloc, n);
    double *b = stats_doubles(alloc, m);
    bool done = a != NULL && b != NULL;
    if (done) {
        memcpy(a, samples->a, n * sizeof *a);
        memcpy(b, samples->b, m * sizeof *b);
        brisk_sample_sort(a, n);
        brisk_sample_sort(b, m);
        uint64_t size = (uint64_t)n * m;
        double variance = (double)size / 12.0 * ((double)n + (double)m + 1.0);
        uint64_t k = normal_k((double)size / 2.0, variance, (1.0 - confidence) / 2.0);
        interval_of_set(&(counted_set){.a = a, .b = b, .a_count = n, .b_count = m}, size, k, ret);
        ret->p = mann_whitney_p(a, n, b, m);
    }
    stats_free_doubles(alloc, a, n);
    stats_free_doubles(alloc, b, m);
    return done ? BRISK_OK : BRISK_ERR_NOMEM;
}
