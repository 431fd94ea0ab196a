/*
 * brisk/histogram.h -- a histogram that many threads record into at once: a shard for each thread.
 *
 * Each thread has a number below BRISK_HISTOGRAM_THREADS and a shard of its own under that number, so
 * that recording is plain loads and stores of memory no other thread writes: nothing is locked,
 * nothing moves between caches, and two threads record as fast as one.  Threads beyond that number
 * share one shard by atomic adds.  Reading merges all shards into a brisk_hist.
 *
 * Buckets are those of brisk/hist.h with 7 bits: an error of at most 0.8 %.  A shard takes memory by
 * groups of 128 buckets (1 KiB, one power of two) when a value first falls there; values for which
 * there is no memory are counted as lost.  Count and buckets are exact; minimum, maximum and sum are
 * exact, too, as long as the sum of a shard stays below 2^64 (it is estimated from the buckets beyond).
 *
 * Threads: record and read from any; a read while others record sees each value or not, whole.
 * Create and destroy: while nobody uses it.  Not for signal handlers: a record that interrupts one
 * in the same thread may be lost.
 * Source:  brisk/hist.h; the shards are ours.
 */
#ifndef BRISK_HISTOGRAM_H
#define BRISK_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/hist.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_HISTOGRAM_BITS = 7, /**< precision_bits of the brisk_hist it is read into */
    BRISK_HISTOGRAM_THREADS = 64,
    BRISK_HISTOGRAM_GROUPS = 65 - BRISK_HISTOGRAM_BITS,
};

/** A thread's part; private. */
typedef struct brisk_histogram_shard {
    uint64_t sum_; /* UINT64_MAX: was larger */
    uint64_t min_;
    uint64_t max_;
    uint64_t lost_;
    uint64_t *groups_[BRISK_HISTOGRAM_GROUPS];
    uint64_t waiting_; /* a value not in the buckets yet; while rounds_ is not 0 */
    uint64_t rounds_;  /* odd while waiting_ moves into the buckets */
} brisk_histogram_shard;

/** Created by brisk_histogram_create or a registry; fields are private. */
typedef struct brisk_histogram {
    brisk_histogram_shard *shards_[BRISK_HISTOGRAM_THREADS]; /* [0] stays NULL */
    brisk_histogram_shard *shared_;
    const brisk_alloc *alloc_;
} brisk_histogram;

/** `alloc` must serve several threads; borrowed; NULL means libc.  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_histogram_create(const brisk_alloc *alloc,
                                                           brisk_histogram **ret);
/** NULL is accepted. */
BRISK_API void brisk_histogram_destroy(brisk_histogram *histogram);

/** Smallest and largest value and the sum, beside what the merged buckets tell. */
typedef struct brisk_histogram_sums {
    uint64_t count;
    uint64_t lost; /**< Values that found no memory; in nothing else here. */
    uint64_t min;  /**< 0 when nothing was recorded. */
    uint64_t max;
    double sum;
} brisk_histogram_sums;

/**
 * Add what all threads recorded to `into` (of BRISK_HISTOGRAM_BITS; may be NULL) and give the sums of
 * this histogram.  Errors: MISMATCH (another precision).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_histogram_read(const brisk_histogram *histogram,
                                                         brisk_hist *into,
                                                         brisk_histogram_sums *ret);

/** As `count` calls of record, for values that were counted elsewhere. */
BRISK_API void brisk_histogram_record_many(brisk_histogram *histogram, uint64_t value,
                                           uint64_t count);

/** The rest of brisk_histogram_record: a thread's first value, a group's first value. */
BRISK_API void brisk_histogram_record_slowly(brisk_histogram *histogram, uint64_t value);

#if defined(__GNUC__)
/** Number of the calling thread, 1 .. BRISK_HISTOGRAM_THREADS - 1; 0 while it has none.  Private. */
BRISK_API extern __thread uint32_t brisk_private_thread_slot
    __attribute__((tls_model("initial-exec")));

/** Count one value.  Never fails or blocks; allocates at a thread's first values only. */
static inline void brisk_histogram_record(brisk_histogram *histogram, uint64_t value)
{
    /* Relaxed: this thread is the only writer of its shard; a reader wants each word whole. */
    brisk_histogram_shard *shard =
        __atomic_load_n(&histogram->shards_[brisk_private_thread_slot], __ATOMIC_RELAXED);
    uint32_t index = brisk_hist_index(BRISK_HISTOGRAM_BITS, value);
    uint64_t *group;
    uint64_t *bucket;
    uint64_t sum;
    if (__builtin_expect(shard == NULL, 0)) {
        brisk_histogram_record_slowly(histogram, value);
        return;
    }
    group = __atomic_load_n(&shard->groups_[index >> BRISK_HISTOGRAM_BITS], __ATOMIC_RELAXED);
    if (__builtin_expect(group == NULL, 0)) {
        brisk_histogram_record_slowly(histogram, value);
        return;
    }
    bucket = &group[index & ((1u << BRISK_HISTOGRAM_BITS) - 1)];
    __atomic_store_n(bucket, __atomic_load_n(bucket, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
    sum = __atomic_load_n(&shard->sum_, __ATOMIC_RELAXED) + value;
    __atomic_store_n(&shard->sum_, sum < value ? UINT64_MAX : sum, __ATOMIC_RELAXED);
    if (__builtin_expect(value < __atomic_load_n(&shard->min_, __ATOMIC_RELAXED), 0)) {
        __atomic_store_n(&shard->min_, value, __ATOMIC_RELAXED);
    }
    if (__builtin_expect(value > __atomic_load_n(&shard->max_, __ATOMIC_RELAXED), 0)) {
        __atomic_store_n(&shard->max_, value, __ATOMIC_RELAXED);
    }
}

/**
 * As record, for values that come straight from the processor's counter.  Reading that counter waits until the
 * addresses of all stores before are known (measured: 7 ns of a tracked scope), and the address of a bucket
 * depends on the value.  So the value waits in the shard, and the one before it goes to its bucket; whoever
 * reads counts both.
 */
static inline void brisk_histogram_record_later(brisk_histogram *histogram, uint64_t value)
{
#    if defined(__x86_64__)
    brisk_histogram_shard *shard =
        __atomic_load_n(&histogram->shards_[brisk_private_thread_slot], __ATOMIC_RELAXED);
    uint64_t rounds;
    if (__builtin_expect(shard == NULL, 0)) {
        brisk_histogram_record_slowly(histogram, value);
        return;
    }
    /* Stores become visible in this order (x86): a reader sees an odd number, or both values once. */
    rounds = __atomic_load_n(&shard->rounds_, __ATOMIC_RELAXED);
    __atomic_store_n(&shard->rounds_, rounds + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the compiler keeps the order, too */
    if (__builtin_expect(rounds != 0, 1)) {
        brisk_histogram_record(histogram, __atomic_load_n(&shard->waiting_, __ATOMIC_RELAXED));
    }
    __atomic_store_n(&shard->waiting_, value, __ATOMIC_RELEASE);
    __atomic_store_n(&shard->rounds_, rounds + 2, __ATOMIC_RELEASE);
#    else
    brisk_histogram_record(histogram, value);
#    endif
}
#else
static inline void brisk_histogram_record_later(brisk_histogram *histogram, uint64_t value)
{
    brisk_histogram_record_slowly(histogram, value);
}
static inline void brisk_histogram_record(brisk_histogram *histogram, uint64_t value)
{
    brisk_histogram_record_slowly(histogram, value);
}
#endif

BRISK_END_DECLS

#endif /* BRISK_HISTOGRAM_H */
