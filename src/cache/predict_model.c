/*
 * predict_model.c -- the table of contexts behind predict_model.h.
 *
 * Invariant: in a used slot count[0] >= count[1], count[0] > 0, and the sum of the three counts is
 * below MODEL_COUNT_MAX (slot_is_valid, audited on every change).
 */
#include <assert.h>

#include "base/assert.h"
#include "cache/predict_model.h"

static_assert(sizeof(model_slot) == 16, "four contexts in a cache line");
static_assert(sizeof(model_bucket) == MODEL_BUCKET_BYTES, "a bucket is a cache line");

enum {
    EPOCH_PER_BUCKET = 4, /* an epoch: as many occurrences as there are slots */
    CONFIRMED_MAX = 8,    /* more confirmations do not protect more */
    AGE_WEIGHT = 1,
};

static uint32_t total_of(const model_slot *slot)
{
    return (uint32_t)slot->count[0] + slot->count[1] + slot->other;
}

static bool slot_is_valid(const model_slot *slot)
{
    return slot->check == 0 || (slot->count[0] > 0 && slot->count[0] >= slot->count[1] &&
                                total_of(slot) < MODEL_COUNT_MAX);
}

static model_bucket *bucket_of(const predict_model *model, uint64_t context)
{
    /* The upper bits choose the bucket, the lower ones are the check. */
    return &model->buckets[(context >> 32) * model->bucket_count >> 32];
}

static uint32_t check_of(uint64_t context)
{
    return (uint32_t)context | 1;
}

static model_slot *find(model_bucket *bucket, uint32_t check)
{
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        if (bucket->slots[i].check == check) {
            return &bucket->slots[i];
        }
    }
    return NULL;
}

/* The slot that is worth least: free, else old and seldom confirmed. */
static model_slot *choose(const predict_model *model, model_bucket *bucket)
{
    model_slot *worst = NULL;
    uint32_t worst_score = 0;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        model_slot *slot = &bucket->slots[i];
        if (slot->check == 0) {
            return slot;
        }
        uint32_t age = (uint8_t)(model->epoch - slot->age);
        uint32_t confirmed = slot->count[0] < CONFIRMED_MAX ? slot->count[0] : CONFIRMED_MAX;
        uint32_t score = 1 + age * AGE_WEIGHT / confirmed + (confirmed < 2 ? 1 : 0);
        if (score > worst_score) {
            worst_score = score;
            worst = slot;
        }
    }
    return worst;
}

static void swap_named(model_slot *slot)
{
    uint32_t next = slot->next[0];
    uint8_t count = slot->count[0];
    slot->next[0] = slot->next[1];
    slot->count[0] = slot->count[1];
    slot->next[1] = next;
    slot->count[1] = count;
}

/* Not one of the named ones: the second is counted down, and replaced when nothing is left of it. */
static void count_other(model_slot *slot, uint32_t tag)
{
    if (slot->count[1] > 1) {
        slot->count[1]--;
        slot->other += 2; /* the one taken from it, and this one */
        return;
    }
    slot->other = (uint8_t)(slot->other + slot->count[1]);
    slot->next[1] = tag;
    slot->count[1] = 1;
}

static uint32_t count(model_slot *slot, uint32_t tag)
{
    uint32_t seen = 1;
    if (slot->count[0] == 0 || slot->next[0] == tag) {
        slot->next[0] = tag;
        seen = ++slot->count[0];
    } else if (slot->count[1] > 0 && slot->next[1] == tag) {
        seen = ++slot->count[1];
        if (slot->count[1] > slot->count[0]) {
            swap_named(slot);
        }
    } else {
        count_other(slot, tag);
    }
    if (total_of(slot) >= MODEL_COUNT_MAX) {
        slot->count[0] = (uint8_t)((slot->count[0] + 1) / 2);
        slot->count[1] /= 2;
        slot->other /= 2;
    }
    return seen;
}

uint32_t predict_model_learn(predict_model *model, uint64_t context, uint32_t tag)
{
    if (++model->learned > model->bucket_count * EPOCH_PER_BUCKET) {
        model->learned = 0;
        model->epoch++;
    }
    model_bucket *bucket = bucket_of(model, context);
    uint32_t check = check_of(context);
    model_slot *slot = find(bucket, check);
    if (slot == NULL) {
        slot = choose(model, bucket);
        *slot = (model_slot){.check = check};
    }
    slot->age = model->epoch;
    uint32_t seen = count(slot, tag);
    BRISK_AUDIT(slot_is_valid(slot));
    return seen;
}

bool predict_model_guess(const predict_model *model, uint64_t context, model_guess *ret)
{
    const model_slot *slot = find(bucket_of(model, context), check_of(context));
    if (slot == NULL) {
        return false;
    }
    *ret = (model_guess){.tag = slot->next[0], .count = slot->count[0], .total = total_of(slot)};
    return true;
}
