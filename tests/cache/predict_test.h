/*
 * predict_test.h -- a small cache with a prefetcher beside it, fed with numbers as keys.
 */
#ifndef BRISK_TESTS_CACHE_PREDICT_TEST_H
#define BRISK_TESTS_CACHE_PREDICT_TEST_H

#include <stdatomic.h>

#include <brisk/cache.h>
#include <brisk/memory.h>
#include <brisk/predict.h>

#include "support/check.h"

typedef struct predict_fixture {
    brisk_tier *tier;
    brisk_value *value;
    brisk_predictor *predictor;
    brisk_prefetcher *prefetcher;
    _Atomic uint64_t loads;
    _Atomic bool busy;  /* no idle capacity */
    _Atomic bool fails; /* loads do */
    uint64_t misses;
    uint64_t requests;
} predict_fixture;

static inline bool predict_is_cached(void *ctx, const brisk_key *key)
{
    predict_fixture *f = ctx;
    brisk_entry_info info;
    return brisk_memory_info(f->tier, key, &info) == BRISK_OK;
}

static inline bool predict_is_idle(void *ctx)
{
    predict_fixture *f = ctx;
    return !atomic_load(&f->busy);
}

static inline brisk_err predict_load(void *ctx, const brisk_key *key)
{
    predict_fixture *f = ctx;
    atomic_fetch_add(&f->loads, 1);
    if (atomic_load(&f->fails)) {
        return BRISK_ERR_IO;
    }
    return f->tier->ops->put(f->tier, key, f->value, NULL);
}

static inline void predict_open(predict_fixture *f, uint32_t entries,
                                const brisk_predictor_opts *predictor, bool inlined)
{
    brisk_memory_tier_opts tier = {
        .bytes_max = 8 << 20, .entries_max = entries, .shards = 1, .policy = "lru"};
    CHECK_OK(brisk_memory_tier_create(&tier, &f->tier));
    CHECK_OK(brisk_value_copy("x", 1, NULL, &f->value));
    CHECK_OK(brisk_predictor_create(predictor, &f->predictor));
    brisk_prefetcher_opts opts = {.predictor = f->predictor,
                                  .ctx = f,
                                  .is_cached = predict_is_cached,
                                  .load = predict_load,
                                  .is_idle = predict_is_idle,
                                  .inline_ = inlined};
    CHECK_OK(brisk_prefetcher_create(&opts, &f->prefetcher));
}

static inline void predict_close(predict_fixture *f)
{
    brisk_prefetcher_destroy(f->prefetcher);
    brisk_predictor_destroy(f->predictor);
    brisk_value_unref(f->value);
    brisk_tier_destroy(f->tier);
}

/* One request of `stream`: a miss is stored, as a loader would. */
static inline bool predict_request(predict_fixture *f, uint64_t stream, uint64_t number)
{
    brisk_key key = brisk_key_of(&number, sizeof number);
    brisk_hit hit;
    bool found = f->tier->ops->get(f->tier, &key, &hit) == BRISK_OK;
    f->requests++;
    if (found) {
        brisk_value_unref(hit.value);
    } else {
        f->misses++;
        CHECK_OK(f->tier->ops->put(f->tier, &key, f->value, NULL));
    }
    brisk_prefetcher_note(f->prefetcher, stream, &key, found);
    return found;
}

static inline brisk_predict_stats predict_stats(predict_fixture *f)
{
    brisk_predict_stats stats;
    brisk_predictor_read_stats(f->predictor, &stats);
    return stats;
}

#endif /* BRISK_TESTS_CACHE_PREDICT_TEST_H */
