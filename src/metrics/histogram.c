/*
 * histogram.c -- the slow half of the sharded histogram: shards, groups, merging.
 *
 * A shard is written by the thread that has its number and read by anybody; so is a group.  Both are
 * published by a store-release of their address, so that a reader who sees the address sees the
 * zeroes that were stored before; all counts are relaxed.
 *
 * The shared shard is for threads without a number: everything in it is changed by read-modify-write.
 *
 * Invariant: shards_[0] is NULL, so that brisk_histogram_record sends a thread without number here.
 */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "metrics/hist.h"
#include "metrics/histogram.h"
#include "metrics/slot.h"

enum {
    GROUP = 1 << BRISK_HISTOGRAM_BITS,
    LINE = 64,
    GROUP_BYTES = GROUP * (int)sizeof(uint64_t),
};

static_assert(sizeof(brisk_histogram_shard) % LINE == 0, "shards share no cache line");

static void *acquire_zeroed(const brisk_alloc *alloc, size_t size)
{
    void *memory = alloc->acquire(alloc->ctx, size, LINE);
    if (memory != NULL) {
        memset(memory, 0, size);
    }
    return memory;
}

static brisk_histogram_shard *create_shard(const brisk_alloc *alloc)
{
    brisk_histogram_shard *shard = acquire_zeroed(alloc, sizeof *shard);
    if (shard != NULL) {
        shard->min_ = UINT64_MAX;
    }
    return shard;
}

static void destroy_shard(const brisk_alloc *alloc, brisk_histogram_shard *shard)
{
    if (shard == NULL) {
        return;
    }
    for (uint32_t i = 0; i < BRISK_HISTOGRAM_GROUPS; i++) {
        if (shard->groups_[i] != NULL) {
            alloc->release(alloc->ctx, shard->groups_[i], GROUP_BYTES, LINE);
        }
    }
    alloc->release(alloc->ctx, shard, sizeof *shard, LINE);
}

brisk_err brisk_histogram_create(const brisk_alloc *alloc, brisk_histogram **ret)
{
    BRISK_ASSERT(ret != NULL);
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_histogram *histogram = acquire_zeroed(alloc, sizeof *histogram);
    if (histogram == NULL) {
        return BRISK_ERR_NOMEM;
    }
    histogram->alloc_ = alloc;
    histogram->shared_ = create_shard(alloc);
    if (histogram->shared_ == NULL) {
        alloc->release(alloc->ctx, histogram, sizeof *histogram, LINE);
        return BRISK_ERR_NOMEM;
    }
    *ret = histogram;
    return BRISK_OK;
}

void brisk_histogram_destroy(brisk_histogram *histogram)
{
    if (histogram == NULL) {
        return;
    }
    const brisk_alloc *alloc = histogram->alloc_;
    for (uint32_t i = 0; i < BRISK_HISTOGRAM_THREADS; i++) {
        destroy_shard(alloc, histogram->shards_[i]);
    }
    destroy_shard(alloc, histogram->shared_);
    alloc->release(alloc->ctx, histogram, sizeof *histogram, LINE);
}

/* The group, made if it is not there; of two threads that make one for the shared shard one wins. */
static uint64_t *need_group(const brisk_alloc *alloc, uint64_t **place)
{
    /* Acquire: pairs with the release below, of another thread in the shared shard. */
    uint64_t *group = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (group != NULL) {
        return group;
    }
    uint64_t *made = acquire_zeroed(alloc, GROUP_BYTES);
    if (made == NULL) {
        return NULL;
    }
    /* Release: whoever sees the group sees its zeroes. */
    if (__atomic_compare_exchange_n(place, &group, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        return made;
    }
    alloc->release(alloc->ctx, made, GROUP_BYTES, LINE);
    return group;
}

static void lose(brisk_histogram *histogram)
{
    (void)__atomic_fetch_add(&histogram->shared_->lost_, 1, __ATOMIC_RELAXED);
}

static void record_shared(brisk_histogram *histogram, uint64_t value)
{
    brisk_histogram_shard *shard = histogram->shared_;
    uint32_t index = brisk_hist_index(BRISK_HISTOGRAM_BITS, value);
    uint64_t *group = need_group(histogram->alloc_, &shard->groups_[index / GROUP]);
    if (group == NULL) {
        lose(histogram);
        return;
    }
    (void)__atomic_fetch_add(&group[index % GROUP], 1, __ATOMIC_RELAXED);
    uint64_t old = __atomic_load_n(&shard->sum_, __ATOMIC_RELAXED);
    uint64_t sum;
    do {
        sum = old + value < value ? UINT64_MAX : old + value;
    } while (!__atomic_compare_exchange_n(&shard->sum_, &old, sum, 1, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    old = __atomic_load_n(&shard->min_, __ATOMIC_RELAXED);
    while (value < old && !__atomic_compare_exchange_n(&shard->min_, &old, value, 1,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    old = __atomic_load_n(&shard->max_, __ATOMIC_RELAXED);
    while (value > old && !__atomic_compare_exchange_n(&shard->max_, &old, value, 1,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

void brisk_histogram_record_slowly(brisk_histogram *histogram, uint64_t value)
{
    uint32_t slot = metrics_slot();
    if (slot == 0) {
        record_shared(histogram, value);
        return;
    }
    brisk_histogram_shard **place = &histogram->shards_[slot];
    brisk_histogram_shard *shard = __atomic_load_n(place, __ATOMIC_RELAXED); /* ours */
    if (shard == NULL) {
        shard = create_shard(histogram->alloc_);
        if (shard == NULL) {
            lose(histogram);
            return;
        }
        /* Release: a reader who sees the shard sees it cleared. */
        __atomic_store_n(place, shard, __ATOMIC_RELEASE);
    }
    uint32_t index = brisk_hist_index(BRISK_HISTOGRAM_BITS, value);
    if (need_group(histogram->alloc_, &shard->groups_[index / GROUP]) == NULL) {
        lose(histogram);
        return;
    }
    brisk_histogram_record(histogram, value); /* now everything is there */
}

static uint64_t add_up(uint64_t sum, uint64_t value, uint64_t count)
{
    metrics_u128 total = (metrics_u128)value * count + sum;
    return total > UINT64_MAX ? UINT64_MAX : (uint64_t)total;
}

/* The first one makes what is not there and sets minimum and maximum; the others are added to it. */
void brisk_histogram_record_many(brisk_histogram *histogram, uint64_t value, uint64_t count)
{
    if (count == 0) {
        return;
    }
    brisk_histogram_record_slowly(histogram, value);
    uint64_t more = count - 1;
    uint32_t slot = metrics_slot();
    brisk_histogram_shard *shard =
        slot != 0 ? __atomic_load_n(&histogram->shards_[slot], __ATOMIC_RELAXED)
                  : histogram->shared_;
    uint32_t index = brisk_hist_index(BRISK_HISTOGRAM_BITS, value);
    uint64_t *group =
        shard != NULL ? __atomic_load_n(&shard->groups_[index / GROUP], __ATOMIC_ACQUIRE) : NULL;
    if (group == NULL) {
        (void)__atomic_fetch_add(&histogram->shared_->lost_, more, __ATOMIC_RELAXED);
        return;
    }
    /* Atomic, for the shared shard; this is no hot path. */
    (void)__atomic_fetch_add(&group[index % GROUP], more, __ATOMIC_RELAXED);
    uint64_t old = __atomic_load_n(&shard->sum_, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&shard->sum_, &old, add_up(old, value, more), 1,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

/* What merging a shard gave beyond the buckets. */
typedef struct merged {
    uint64_t count;
    metrics_u128 estimate; /* of the sum */
    uint32_t index; /* of the value that waits, and what its bucket held when it was merged */
    uint64_t seen;
} merged;

static void merge_group(const uint64_t *group, uint32_t first,
                        void (*add)(void *ctx, uint32_t index, uint64_t count), void *ctx,
                        merged *into)
{
    for (uint32_t i = 0; i < GROUP; i++) {
        uint64_t count = __atomic_load_n(&group[i], __ATOMIC_ACQUIRE);
        if (count != 0) {
            add(ctx, first + i, count);
            into->count += count;
            into->estimate += metrics_hist_estimate(BRISK_HISTOGRAM_BITS, first + i, count);
            into->seen = first + i == into->index ? count : into->seen;
        }
    }
}

/* A value that waits (brisk_histogram_record_later), and what its bucket held meanwhile. */
typedef struct waiting {
    bool is_there;
    uint64_t value;
    uint32_t index;
    uint64_t before;
} waiting;

static waiting read_waiting(const brisk_histogram_shard *shard)
{
    enum { TRIES = 1000 }; /* its thread may have lost the processor half-way: then without */
    for (int i = 0; i < TRIES; i++) {
        uint64_t rounds = __atomic_load_n(&shard->rounds_, __ATOMIC_ACQUIRE);
        if (rounds == 0) {
            break;
        }
        waiting w = {.is_there = true,
                     .value = __atomic_load_n(&shard->waiting_, __ATOMIC_ACQUIRE)};
        w.index = brisk_hist_index(BRISK_HISTOGRAM_BITS, w.value);
        const uint64_t *group = __atomic_load_n(&shard->groups_[w.index / GROUP], __ATOMIC_ACQUIRE);
        w.before = group != NULL ? __atomic_load_n(&group[w.index % GROUP], __ATOMIC_ACQUIRE) : 0;
        if (rounds % 2 == 0 && __atomic_load_n(&shard->rounds_, __ATOMIC_RELAXED) == rounds) {
            return w;
        }
    }
    return (waiting){.index = UINT32_MAX};
}

/*
 * All of a shard.  The value that waited when this began is in its bucket by now exactly when that held
 * more at its turn than before: of two equal values the one that waited goes there first.
 */
static metrics_u128 merge_shard(const brisk_histogram_shard *shard,
                                void (*add)(void *ctx, uint32_t index, uint64_t count), void *ctx,
                                brisk_histogram_sums *ret)
{
    waiting w = read_waiting(shard);
    merged part = {.index = w.index};
    for (uint32_t g = 0; g < BRISK_HISTOGRAM_GROUPS; g++) {
        const uint64_t *group = __atomic_load_n(&shard->groups_[g], __ATOMIC_ACQUIRE);
        if (group != NULL) {
            merge_group(group, g * GROUP, add, ctx, &part);
        }
    }
    uint64_t sum = __atomic_load_n(&shard->sum_, __ATOMIC_RELAXED);
    uint64_t min = __atomic_load_n(&shard->min_, __ATOMIC_RELAXED);
    uint64_t max = __atomic_load_n(&shard->max_, __ATOMIC_RELAXED);
    metrics_u128 total = sum != UINT64_MAX ? sum : part.estimate;
    if (w.is_there && part.seen == w.before) {
        add(ctx, w.index, 1);
        part.count++;
        total += w.value;
        min = w.value < min ? w.value : min;
        max = w.value > max ? w.value : max;
    }
    ret->count += part.count;
    ret->lost += __atomic_load_n(&shard->lost_, __ATOMIC_RELAXED);
    ret->min = min < ret->min ? min : ret->min;
    ret->max = max > ret->max ? max : ret->max;
    return total;
}

metrics_u128 metrics_histogram_walk(const brisk_histogram *histogram,
                                    void (*add)(void *ctx, uint32_t index, uint64_t count),
                                    void *ctx, brisk_histogram_sums *ret)
{
    *ret = (brisk_histogram_sums){.min = UINT64_MAX};
    metrics_u128 total = 0;
    for (uint32_t i = 0; i <= BRISK_HISTOGRAM_THREADS; i++) {
        /* Acquire: pairs with the release in record_slowly. */
        const brisk_histogram_shard *shard =
            i < BRISK_HISTOGRAM_THREADS ? __atomic_load_n(&histogram->shards_[i], __ATOMIC_ACQUIRE)
                                        : histogram->shared_;
        if (shard == NULL) {
            continue;
        }
        total += merge_shard(shard, add, ctx, ret);
    }
    ret->min = ret->min > ret->max ? ret->max : ret->min; /* nothing, or a first value half seen */
    ret->sum = (double)total;
    return total;
}

static void add_to_hist(void *ctx, uint32_t index, uint64_t count)
{
    if (ctx != NULL) {
        metrics_hist_add(ctx, index, count);
    }
}

brisk_err brisk_histogram_read(const brisk_histogram *histogram, brisk_hist *into,
                               brisk_histogram_sums *ret)
{
    if (into != NULL && metrics_hist_precision(into) != BRISK_HISTOGRAM_BITS) {
        return BRISK_ERR_MISMATCH;
    }
    metrics_u128 sum = metrics_histogram_walk(histogram, add_to_hist, into, ret);
    if (into != NULL) {
        metrics_hist_add_sum(into, sum);
    }
    return BRISK_OK;
}
