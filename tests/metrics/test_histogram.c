/*
 * test_histogram.c -- proves <brisk/histogram.h>: quantiles within 0.8 % of a sorted oracle, nothing lost
 * between threads (with and beyond their own shards), thread numbers reused, exact minimum, maximum and
 * sum, estimates past 2^64, and every allocation failing.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include <brisk/histogram.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "metrics/slot.h"
#include "support/check.h"
#include "support/fault_alloc.h"

BRISK_DEFINE_CLEANUP(brisk_hist, brisk_hist_destroy)
BRISK_DEFINE_CLEANUP(brisk_histogram, brisk_histogram_destroy)

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_quantiles_against_exact_ones(void **state)
{
    (void)state;
    enum { N = 9973 };
    uint64_t random = check_seed();
    static uint64_t values[N];
    for (int round = 0; round < 20; round++) {
        BRISK_CLEANUP(brisk_histogram_destroy) brisk_histogram *histogram = NULL;
        BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
        CHECK_OK(brisk_histogram_create(NULL, &histogram));
        CHECK_OK(brisk_hist_create(NULL, &hist));
        double sum = 0;
        for (int i = 0; i < N; i++) {
            uint64_t bits = check_random(&random);
            values[i] = bits >> (check_random(&random) % 48 + 16);
            sum += (double)values[i];
            brisk_histogram_record(histogram, values[i]);
        }
        qsort(values, N, sizeof values[0], compare_u64);
        brisk_histogram_sums sums;
        CHECK_OK(brisk_histogram_read(histogram, hist, &sums));
        CHECK_U64(sums.count, ==, N);
        CHECK_U64(sums.min, ==, values[0]);
        CHECK_U64(sums.max, ==, values[N - 1]);
        CHECK_U64(sums.lost, ==, 0);
        CHECK(fabs(sums.sum - sum) <= sum * 1e-9);
        CHECK_U64(brisk_hist_count(hist), ==, N);
        CHECK(fabs(brisk_hist_mean(hist) - sum / N) <= sum / N * 1e-9);
        static const double quantiles[] = {0.5, 0.95, 0.99, 0.999, 1.0};
        for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
            size_t rank = (size_t)ceil(quantiles[i] * N);
            uint64_t exact = values[rank - 1];
            uint64_t reported = brisk_hist_quantile(hist, quantiles[i]);
            CHECK_U64(reported, >=, exact);
            CHECK_U64(reported - exact, <=, exact / 125); /* 0.8 % */
        }
    }
}

enum { THREADS = 70 /* more than shards */, RECORDS = 4000 };

typedef struct recorder {
    brisk_histogram *histogram;
    pthread_barrier_t *barrier;
    uint64_t value;
    uint32_t slot;
} recorder;

static void record_many(void *ctx)
{
    recorder *r = ctx;
    brisk_histogram_record(r->histogram, r->value);
    r->slot = metrics_slot();
    (void)pthread_barrier_wait(r->barrier); /* all alive at once: their numbers differ */
    for (int i = 1; i < RECORDS; i++) {
        brisk_histogram_record(r->histogram, r->value + (uint64_t)i);
    }
}

static void test_nothing_is_lost_between_threads(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_histogram_destroy) brisk_histogram *histogram = NULL;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
    CHECK_OK(brisk_histogram_create(NULL, &histogram));
    CHECK_OK(brisk_hist_create(NULL, &hist));
    static brisk_thread threads[THREADS];
    static recorder recorders[THREADS];
    pthread_barrier_t barrier;
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        recorders[i] = (recorder){histogram, &barrier, (uint64_t)i * 100000, 0};
        sum += recorders[i].value * RECORDS + (uint64_t)RECORDS * (RECORDS - 1) / 2;
        brisk_thread_opts opts = {.run = record_many, .ctx = &recorders[i]};
        CHECK_OK(brisk_thread_start(&threads[i], &opts));
    }
    brisk_histogram_sums sums;
    CHECK_OK(brisk_histogram_read(histogram, NULL, &sums)); /* while they record */
    CHECK_U64(sums.count, <=, (uint64_t)THREADS * RECORDS);
    for (uint32_t i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
    }
    (void)pthread_barrier_destroy(&barrier);
    CHECK_OK(brisk_histogram_read(histogram, hist, &sums));
    CHECK_U64(sums.count, ==, (uint64_t)THREADS * RECORDS);
    CHECK_U64(brisk_hist_count(hist), ==, (uint64_t)THREADS * RECORDS);
    CHECK_U64(sums.min, ==, 0);
    CHECK_U64(sums.max, ==, (uint64_t)(THREADS - 1) * 100000 + RECORDS - 1);
    CHECK_U64((uint64_t)sums.sum, ==, sum);
    uint32_t without = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        without += recorders[i].slot == 0 ? 1 : 0;
        for (uint32_t j = 0; j < i; j++) {
            CHECK(recorders[i].slot == 0 || recorders[i].slot != recorders[j].slot);
        }
    }
    CHECK_U64(without, >=,
              THREADS - (BRISK_HISTOGRAM_THREADS - 1)); /* so the shared one was used */
}

static void keep_slot(void *ctx)
{
    *(uint32_t *)ctx = metrics_slot();
}

static void test_numbers_come_back(void **state)
{
    (void)state;
    uint32_t mine = metrics_slot();
    CHECK_U64(mine, !=, 0);
    for (int i = 0; i < 200; i++) { /* more than there are */
        uint32_t slot = 0;
        brisk_thread thread;
        CHECK_OK(brisk_thread_start(&thread, &(brisk_thread_opts){.run = keep_slot, .ctx = &slot}));
        brisk_thread_join(&thread);
        CHECK_U64(slot, !=, 0);
        CHECK_U64(slot, !=, mine);
    }
    CHECK_U64(metrics_slot(), ==, mine);
}

/* A value that waits for the next one is counted as the others, wherever the writer stands. */
static void test_waiting_values_are_counted(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_histogram_destroy) brisk_histogram *histogram = NULL;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
    CHECK_OK(brisk_histogram_create(NULL, &histogram));
    CHECK_OK(brisk_hist_create(NULL, &hist));
    static const uint64_t values[] = {1000, 1000, 5, 0, 70000, 70000, 70000};
    uint64_t sum = 0;
    for (uint32_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        brisk_histogram_record_later(histogram, values[i]);
        sum += values[i];
        brisk_histogram_sums sums;
        brisk_hist_reset(hist);
        CHECK_OK(brisk_histogram_read(histogram, hist, &sums));
        CHECK_U64(sums.count, ==, i + 1);
        CHECK_U64(brisk_hist_count(hist), ==, i + 1);
        CHECK_U64((uint64_t)sums.sum, ==, sum);
        CHECK_U64(sums.max, ==, i < 4 ? 1000 : 70000);
        CHECK_U64(sums.min, ==, i < 2 ? 1000 : i == 2 ? 5 : 0);
        CHECK_U64(brisk_hist_count_to(hist, values[i]), >=, 1);
    }
    brisk_histogram_record(histogram, 3); /* both ways together */
    brisk_histogram_sums sums;
    CHECK_OK(brisk_histogram_read(histogram, NULL, &sums));
    CHECK_U64(sums.count, ==, 8);
}

typedef struct later {
    brisk_histogram *histogram;
    _Atomic uint64_t done;
} later;

enum { LATER = 200000 };

static void record_later(void *ctx)
{
    later *l = ctx;
    for (uint64_t i = 0; i < LATER; i++) {
        brisk_histogram_record_later(l->histogram, i % 3); /* often equal ones */
        atomic_store_explicit(&l->done, i + 1, memory_order_release);
    }
}

/* A reader beside the writer: never less than was recorded when it began, nor more than when it ended. */
static void test_reading_beside_a_writer(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_histogram_destroy) brisk_histogram *histogram = NULL;
    CHECK_OK(brisk_histogram_create(NULL, &histogram));
    later l = {.histogram = histogram};
    brisk_thread thread;
    CHECK_OK(brisk_thread_start(&thread, &(brisk_thread_opts){.run = record_later, .ctx = &l}));
    uint64_t before = 0;
    uint64_t missing = 0;
    uint64_t reads = 0;
    while (before < LATER) {
        brisk_histogram_sums sums;
        before = atomic_load_explicit(&l.done, memory_order_acquire);
        CHECK_OK(brisk_histogram_read(histogram, NULL, &sums));
        uint64_t after = atomic_load_explicit(&l.done, memory_order_acquire);
        CHECK_U64(sums.count, <=, after + 1); /* recorded, not yet told */
        CHECK_U64(sums.count + 1, >=, before);
        missing += sums.count < before ? 1 : 0; /* the writer lost its processor half-way */
        reads++;
    }
    brisk_thread_join(&thread);
    CHECK_U64(missing * 10, <=, reads + 10);
}

static void test_nothing_recorded(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_histogram_destroy) brisk_histogram *histogram = NULL;
    CHECK_OK(brisk_histogram_create(NULL, &histogram));
    brisk_histogram_sums sums;
    CHECK_OK(brisk_histogram_read(histogram, NULL, &sums));
    CHECK_U64(sums.count, ==, 0);
    CHECK_U64(sums.min, ==, 0);
    CHECK_U64(sums.max, ==, 0);
    CHECK(sums.sum == 0.0);
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *coarse = NULL;
    CHECK_OK(brisk_hist_create(&(brisk_hist_opts){.precision_bits = 3}, &coarse));
    CHECK(brisk_histogram_read(histogram, coarse, &sums) == BRISK_ERR_MISMATCH);
}

static void test_a_sum_past_64_bits_is_estimated(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_histogram_destroy) brisk_histogram *histogram = NULL;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *hist = NULL;
    CHECK_OK(brisk_histogram_create(NULL, &histogram));
    CHECK_OK(brisk_hist_create(NULL, &hist));
    const uint64_t big = (UINT64_C(1) << 63) + 12345;
    for (int i = 0; i < 6; i++) {
        brisk_histogram_record(histogram, big);
    }
    brisk_histogram_record(histogram, UINT64_MAX);
    double sum = 6 * (double)big + 0x1p64;
    brisk_histogram_sums sums;
    CHECK_OK(brisk_histogram_read(histogram, hist, &sums));
    CHECK(fabs(sums.sum - sum) <= sum * 0.004);
    CHECK(fabs(brisk_hist_mean(hist) - sum / 7) <= sum / 7 * 0.004);
    CHECK_U64(sums.max, ==, UINT64_MAX);
    CHECK_U64(sums.min, ==, big);
}

/* Many at once are as many one by one, sum and all; without memory all of them are lost. */
static void test_many_at_once(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 130, 99999, UINT64_C(1) << 40};
    BRISK_CLEANUP(brisk_histogram_destroy) brisk_histogram *one = NULL;
    BRISK_CLEANUP(brisk_histogram_destroy) brisk_histogram *many = NULL;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *a = NULL;
    BRISK_CLEANUP(brisk_hist_destroy) brisk_hist *b = NULL;
    brisk_histogram_sums sums[2];
    CHECK_OK(brisk_histogram_create(NULL, &one));
    CHECK_OK(brisk_histogram_create(NULL, &many));
    CHECK_OK(brisk_hist_create(NULL, &a));
    CHECK_OK(brisk_hist_create(NULL, &b));
    for (size_t v = 0; v < 5; v++) {
        for (size_t i = 0; i < 7 * v + 1; i++) {
            brisk_histogram_record(one, values[v]);
        }
        brisk_histogram_record_many(many, values[v], 7 * v + 1);
        brisk_histogram_record_many(many, values[v], 0);
    }
    CHECK_OK(brisk_histogram_read(one, a, &sums[0]));
    CHECK_OK(brisk_histogram_read(many, b, &sums[1]));
    CHECK(sums[0].count == 75 && sums[1].count == 75 && sums[1].min == 0);
    CHECK(sums[0].sum == sums[1].sum && sums[0].max == sums[1].max);
    for (int i = 0; i <= 100; i++) {
        CHECK_U64(brisk_hist_quantile(a, i / 100.0), ==, brisk_hist_quantile(b, i / 100.0));
    }
    brisk_histogram_record_many(many, UINT64_MAX, 3); /* saturates, and is estimated */
    CHECK_OK(brisk_histogram_read(many, NULL, &sums[1]));
    CHECK(sums[1].count == 78 && sums[1].sum > 5e19);
    fault_alloc fault;
    fault_alloc_init(&fault, 2); /* the histogram and its shared shard, and no more */
    brisk_histogram *poor = NULL;
    CHECK_OK(brisk_histogram_create(&fault.base, &poor));
    brisk_histogram_record_many(poor, 5, 10);
    CHECK_OK(brisk_histogram_read(poor, NULL, &sums[1]));
    CHECK(sums[1].count + sums[1].lost == 10);
    brisk_histogram_destroy(poor);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool whole = false;
    for (uint64_t fail_after = 0; !whole; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_histogram *histogram = NULL;
        brisk_err err = brisk_histogram_create(&fault.base, &histogram);
        if (err == BRISK_OK) {
            for (uint64_t value = 1; value < 100000; value *= 3) {
                brisk_histogram_record(histogram, value); /* once more when memory is back */
                brisk_histogram_record(histogram, value);
            }
            brisk_histogram_sums sums;
            CHECK_OK(brisk_histogram_read(histogram, NULL, &sums));
            CHECK_U64(sums.count + sums.lost, ==, 22);
            CHECK_U64(sums.lost, <=, 1); /* one allocation fails, one value finds no memory */
            whole = sums.lost == 0;
        } else {
            CHECK(err == BRISK_ERR_NOMEM && histogram == NULL);
        }
        brisk_histogram_destroy(histogram);
        CHECK_U64(fault.bytes_held, ==, 0);
        CHECK_U64(fail_after, <, 100);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_quantiles_against_exact_ones),
        cmocka_unit_test(test_nothing_is_lost_between_threads),
        cmocka_unit_test(test_numbers_come_back),
        cmocka_unit_test(test_waiting_values_are_counted),
        cmocka_unit_test(test_reading_beside_a_writer),
        cmocka_unit_test(test_nothing_recorded),
        cmocka_unit_test(test_a_sum_past_64_bits_is_estimated),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
