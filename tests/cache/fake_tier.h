/*
 * fake_tier.h -- a tier that does as it is told.
 */
#ifndef BRISK_TESTS_CACHE_FAKE_TIER_H
#define BRISK_TESTS_CACHE_FAKE_TIER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <brisk/cache.h>

#include "support/check.h"
#include "support/fake_clock.h"

enum { FAKE_ENTRIES = 64, FAKE_KEY_MAX = 64 };

typedef struct fake_tier {
    brisk_tier base;
    pthread_mutex_t lock; /* of entries and counts; recursive, not held in on_get */
    struct {
        char key[FAKE_KEY_MAX];
        size_t key_size;
        brisk_value *value;
        brisk_entry_opts opts;
        unsigned char meta[BRISK_TIER_META_MAX];
    } entries[FAKE_ENTRIES];
    _Atomic brisk_err get_err, put_err, remove_err, clear_err; /* answered when not OK */
    uint32_t asked, puts, removes, destroyed;
    fake_clock *clock; /* advanced by delay_ns in get */
    _Atomic uint64_t delay_ns;
    void (*on_get)(struct fake_tier *self); /* runs before the answer leaves */
    void *ctx;
} fake_tier;

static inline int fake_find(const fake_tier *self, const brisk_key *key)
{
    for (int i = 0; i < FAKE_ENTRIES; i++) {
        if (self->entries[i].value != NULL && self->entries[i].key_size == key->size &&
            memcmp(self->entries[i].key, key->bytes, key->size) == 0) {
            return i;
        }
    }
    return -1;
}

static inline brisk_err fake_get(brisk_tier *tier, const brisk_key *key, brisk_hit *ret)
{
    fake_tier *self = (fake_tier *)tier;
    (void)pthread_mutex_lock(&self->lock);
    self->asked++;
    if (self->clock != NULL) {
        fake_clock_advance(self->clock, self->delay_ns);
    }
    int i = fake_find(self, key);
    if (self->get_err != BRISK_OK || i < 0) {
        (void)pthread_mutex_unlock(&self->lock);
        return self->get_err != BRISK_OK ? self->get_err : BRISK_ERR_NOT_FOUND;
    }
    *ret = (brisk_hit){
        .value = brisk_value_ref(self->entries[i].value),
        .flags = self->entries[i].opts.flags,
        .cost_ns = self->entries[i].opts.cost_ns,
        .store_ns = 77,
        .expires_at_ns = self->entries[i].opts.expires_at_ns,
        .era = self->entries[i].opts.era,
        .meta_size = self->entries[i].opts.meta_size,
    };
    memcpy(ret->meta, self->entries[i].meta, ret->meta_size);
    (void)pthread_mutex_unlock(&self->lock);
    if (self->on_get != NULL) {
        self->on_get(self);
    }
    return BRISK_OK;
}

static inline brisk_err fake_remove(brisk_tier *tier, const brisk_key *key)
{
    fake_tier *self = (fake_tier *)tier;
    (void)pthread_mutex_lock(&self->lock);
    self->removes++;
    int i = fake_find(self, key);
    if (self->remove_err == BRISK_OK && i >= 0) {
        brisk_value_unref(self->entries[i].value);
        self->entries[i].value = NULL;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return self->remove_err;
}

static inline brisk_err fake_put(brisk_tier *tier, const brisk_key *key, brisk_value *value,
                                 const brisk_entry_opts *opts)
{
    fake_tier *self = (fake_tier *)tier;
    (void)pthread_mutex_lock(&self->lock);
    self->puts++;
    if (self->put_err != BRISK_OK) {
        (void)pthread_mutex_unlock(&self->lock);
        return self->put_err; /* a bad tier: the old value is still there */
    }
    int i = fake_find(self, key);
    for (int j = 0; i < 0 && j < FAKE_ENTRIES; j++) {
        i = self->entries[j].value == NULL ? j : -1;
    }
    CHECK(i >= 0 && key->size <= sizeof self->entries[i].key);
    brisk_value_unref(self->entries[i].value);
    memcpy(self->entries[i].key, key->bytes, key->size);
    self->entries[i].key_size = key->size;
    self->entries[i].value = brisk_value_ref(value);
    self->entries[i].opts = opts != NULL ? *opts : (brisk_entry_opts){0};
    if (self->entries[i].opts.meta_size != 0) {
        memcpy(self->entries[i].meta, self->entries[i].opts.meta, self->entries[i].opts.meta_size);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return BRISK_OK;
}

static inline brisk_err fake_clear(brisk_tier *tier)
{
    fake_tier *self = (fake_tier *)tier;
    (void)pthread_mutex_lock(&self->lock);
    for (int i = 0; i < FAKE_ENTRIES && self->clear_err == BRISK_OK; i++) {
        brisk_value_unref(self->entries[i].value);
        self->entries[i].value = NULL;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return self->clear_err;
}

static inline void fake_read_stats(brisk_tier *tier, brisk_tier_stats *ret)
{
    *ret = (brisk_tier_stats){.puts = ((fake_tier *)tier)->puts};
}

static inline void fake_destroy(brisk_tier *tier)
{
    fake_tier *self = (fake_tier *)tier;
    self->clear_err = BRISK_OK;
    (void)fake_clear(tier);
    self->destroyed++;
}

static const brisk_tier_ops fake_ops = {
    .get = fake_get,
    .put = fake_put,
    .remove = fake_remove,
    .clear = fake_clear,
    .read_stats = fake_read_stats,
    .destroy = fake_destroy,
};

static inline void fake_init(fake_tier *self, const char *name, uint32_t flags)
{
    *self = (fake_tier){.base = {.ops = &fake_ops, .flags = flags},
                        .lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};
    (void)snprintf(self->base.name, sizeof self->base.name, "%s", name);
}

#endif /* BRISK_TESTS_CACHE_FAKE_TIER_H */
