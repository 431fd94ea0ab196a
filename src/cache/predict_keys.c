/*
 * predict_keys.c -- the log of keys behind predict_keys.h.
 *
 *     record: tag (4) | size (4) | bytes, padded to 8
 *
 * A record never wraps.  What is `d` units behind the head is whole while d <= log_units; positions
 * are kept in 32 bits, and one that is 2^32 units old may look young again.  So the record itself
 * is looked at: its tag has to be the one that is asked for, and its size has to fit.
 */
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "cache/predict_keys.h"

typedef struct key_head {
    uint32_t tag;
    uint32_t size;
} key_head;

enum { KEY_SIZE_MAX = 65535 };

static keys_bucket *bucket_of(const predict_keys *keys, uint32_t tag)
{
    uint64_t spread = tag * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return &keys->buckets[spread * keys->bucket_count >> 32];
}

static uint32_t units_of(size_t size)
{
    return (uint32_t)((sizeof(key_head) + size + KEYS_UNIT - 1) / KEYS_UNIT);
}

/* Units from the record's beginning to the head. */
static uint32_t distance_of(const predict_keys *keys, uint32_t at)
{
    return (uint32_t)keys->head - at;
}

static const unsigned char *record_at(const predict_keys *keys, uint32_t tag, uint32_t at,
                                      size_t *ret_size)
{
    uint32_t distance = distance_of(keys, at);
    if (distance == 0 || distance > keys->log_units || distance > keys->head) {
        return NULL;
    }
    uint32_t place = (uint32_t)((keys->head - distance) % keys->log_units);
    const unsigned char *record = keys->log + (size_t)place * KEYS_UNIT;
    key_head head;
    memcpy(&head, record, sizeof head);
    if (head.tag != tag || head.size == 0 || head.size > KEY_SIZE_MAX ||
        units_of(head.size) > distance || units_of(head.size) > keys->log_units - place) {
        return NULL;
    }
    *ret_size = head.size;
    return record + sizeof head;
}

static int find(const keys_bucket *bucket, uint32_t tag)
{
    for (int i = 0; i < KEYS_WAYS; i++) {
        if (bucket->tags[i] == tag) {
            return i;
        }
    }
    return -1;
}

/* A free way, else the one whose record is oldest. */
static int choose(const predict_keys *keys, const keys_bucket *bucket)
{
    int oldest = 0;
    for (int i = 0; i < KEYS_WAYS; i++) {
        if (bucket->tags[i] == 0) {
            return i;
        }
        if (distance_of(keys, bucket->at[i]) > distance_of(keys, bucket->at[oldest])) {
            oldest = i;
        }
    }
    return oldest;
}

static uint32_t append(predict_keys *keys, uint32_t tag, const void *bytes, size_t size)
{
    uint32_t units = units_of(size);
    uint32_t left = keys->log_units - (uint32_t)(keys->head % keys->log_units);
    if (units > left) {
        keys->head += left;
    }
    uint32_t at = (uint32_t)keys->head;
    unsigned char *record = keys->log + keys->head % keys->log_units * KEYS_UNIT;
    key_head head = {.tag = tag, .size = (uint32_t)size};
    memcpy(record, &head, sizeof head);
    memcpy(record + sizeof head, bytes, size);
    keys->head += units;
    return at;
}

void predict_keys_store(predict_keys *keys, uint32_t tag, const void *bytes, size_t size)
{
    BRISK_ASSERT(tag != 0 && size > 0 && size <= KEY_SIZE_MAX);
    if (units_of(size) > keys->log_units / 4) {
        return; /* one key would push out most others */
    }
    keys_bucket *bucket = bucket_of(keys, tag);
    int way = find(bucket, tag);
    size_t kept = 0;
    const unsigned char *old = way >= 0 ? record_at(keys, tag, bucket->at[way], &kept) : NULL;
    bool same = old != NULL && kept == size && memcmp(old, bytes, size) == 0;
    if (same && distance_of(keys, bucket->at[way]) <= keys->log_units / 4 * 3) {
        return;
    }
    way = way >= 0 ? way : choose(keys, bucket);
    bucket->tags[way] = tag;
    bucket->at[way] = append(keys, tag, bytes, size);
}

const unsigned char *predict_keys_find(const predict_keys *keys, uint32_t tag, size_t *ret_size)
{
    const keys_bucket *bucket = bucket_of(keys, tag);
    int way = find(bucket, tag);
    return way >= 0 ? record_at(keys, tag, bucket->at[way], ret_size) : NULL;
}
