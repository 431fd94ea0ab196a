/*
 * policy_test.h -- a policy on a stage: ids, storage and the order of calls that the tier keeps.
 *
 * A stage is a cache of hashes that behaves like one shard with entries_max.  It checks what every
 * policy owes: victims are entries, each() names every entry once, is_valid holds.
 */
#ifndef BRISK_TESTS_POLICY_TEST_H
#define BRISK_TESTS_POLICY_TEST_H

#include "support/check.h"

#include <stdbool.h>
#include <string.h>

#include "cache/policy.h"

typedef struct policy_stage {
    const policy_ops *ops;
    cache_policy *policy;
    void *storage;
    uint32_t id_count;
    uint32_t capacity;
    uint32_t entries;
    bool *live;       /* by id */
    uint32_t *hashes; /* by id */
    uint32_t *seen;   /* by id; for each() */
} policy_stage;

static inline void stage_init(policy_stage *stage, const policy_ops *ops, uint32_t id_count,
                              uint32_t capacity)
{
    *stage = (policy_stage){.ops = ops, .id_count = id_count, .capacity = capacity};
    size_t bytes = (ops->bytes(id_count) + 63) & ~(size_t)63;
    stage->storage = aligned_alloc(64, bytes);
    memset(stage->storage, 0, bytes);
    stage->live = calloc(id_count, sizeof *stage->live);
    stage->hashes = calloc(id_count, sizeof *stage->hashes);
    stage->seen = calloc(id_count, sizeof *stage->seen);
    stage->policy = ops->init(stage->storage, id_count);
    ops->set_capacity(stage->policy, capacity);
    ops->add_ids(stage->policy, 0, id_count);
}

static inline void stage_deinit(policy_stage *stage)
{
    if (stage->ops->deinit != NULL) {
        stage->ops->deinit(stage->policy);
    }
    free(stage->storage);
    free(stage->live);
    free(stage->hashes);
    free(stage->seen);
}

/* The id of `hash`, or POLICY_NONE. */
static inline uint32_t stage_find(const policy_stage *stage, uint32_t hash)
{
    for (uint32_t id = 0; id < stage->id_count; id++) {
        if (stage->live[id] && stage->hashes[id] == hash) {
            return id;
        }
    }
    return POLICY_NONE;
}

/* Evicts one; what it was. */
static inline uint32_t stage_evict(policy_stage *stage)
{
    uint32_t id = stage->ops->victim(stage->policy);
    assert_true(id < stage->id_count);
    assert_true(stage->live[id]);
    assert_int_equal(stage->ops->victim(stage->policy), id); /* asking changes nothing */
    stage->ops->on_evict(stage->policy, id);
    stage->live[id] = false;
    stage->entries--;
    return stage->hashes[id];
}

static inline void stage_insert(policy_stage *stage, uint32_t hash, uint32_t expires_s)
{
    if (stage->ops->on_miss != NULL) {
        stage->ops->on_miss(stage->policy, hash);
    }
    while (stage->entries >= stage->capacity) {
        (void)stage_evict(stage);
    }
    uint32_t id = 0;
    while (stage->live[id]) {
        id++;
    }
    stage->live[id] = true;
    stage->hashes[id] = hash;
    stage->entries++;
    policy_entry entry = {.id = id, .hash = hash, .expires_s = expires_s};
    stage->ops->on_insert(stage->policy, &entry);
}

/* A get, and a put when it was a miss; true on a hit. */
static inline bool stage_ask(policy_stage *stage, uint32_t hash)
{
    uint32_t id = stage_find(stage, hash);
    if (id == POLICY_NONE) {
        stage_insert(stage, hash, 0);
        return false;
    }
    policy_hit hit = {.id = id, .hash = hash};
    stage->ops->on_hits(stage->policy, &hit, 1);
    return true;
}

static inline void stage_remove(policy_stage *stage, uint32_t id)
{
    stage->ops->on_remove(stage->policy, id);
    stage->live[id] = false;
    stage->entries--;
}

static inline void stage_move(policy_stage *stage, uint32_t from, uint32_t to)
{
    stage->ops->on_move(stage->policy, from, to);
    stage->live[to] = true;
    stage->hashes[to] = stage->hashes[from];
    stage->live[from] = false;
}

static inline void stage_saw(void *ctx, uint32_t id)
{
    policy_stage *stage = ctx;
    assert_true(id < stage->id_count);
    assert_true(stage->live[id]);
    stage->seen[id]++;
}

static inline void stage_check(policy_stage *stage)
{
    assert_true(stage->ops->is_valid(stage->policy));
    memset(stage->seen, 0, stage->id_count * sizeof *stage->seen);
    stage->ops->each(stage->policy, stage_saw, stage);
    for (uint32_t id = 0; id < stage->id_count; id++) {
        assert_int_equal(stage->seen[id], stage->live[id] ? 1 : 0);
    }
    if (stage->entries == 0) {
        assert_int_equal(stage->ops->victim(stage->policy), POLICY_NONE);
    }
}

#endif /* BRISK_TESTS_POLICY_TEST_H */
