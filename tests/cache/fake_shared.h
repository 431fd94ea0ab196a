/*
 * fake_shared.h -- a shared tier with counters: one domain, a tier of it for each machine.
 *
 * What one machine bumps shows in the others' views when they are synced, as with a network that
 * takes its time.
 */
#ifndef BRISK_TESTS_CACHE_FAKE_SHARED_H
#define BRISK_TESTS_CACHE_FAKE_SHARED_H

#include <pthread.h>
#include <stdlib.h>

#include "cache/fake_tier.h"

enum { DOMAIN_LOG_MAX = 65536, DOMAIN_SLOTS_MAX = 4096 };

typedef struct fake_counter {
    uint32_t slot;
    uint64_t value;
} fake_counter;

typedef struct fake_counters {
    fake_counter items[DOMAIN_SLOTS_MAX];
    uint32_t count;
} fake_counters;

static inline uint64_t *fake_counter_at(fake_counters *counters, uint32_t slot)
{
    for (uint32_t i = 0; i < counters->count; i++) {
        if (counters->items[i].slot == slot) {
            return &counters->items[i].value;
        }
    }
    CHECK(counters->count < DOMAIN_SLOTS_MAX);
    counters->items[counters->count] = (fake_counter){.slot = slot};
    return &counters->items[counters->count++].value;
}

typedef struct fake_domain {
    fake_tier store;
    fake_counters counters;
    struct {
        brisk_bump bump;
        char key[FAKE_KEY_MAX];
        size_t key_size;
        const void *by;
    } log[DOMAIN_LOG_MAX];
    uint32_t log_count;
    pthread_mutex_t lock; /* of all above, and of the views; recursive */
} fake_domain;

typedef struct fake_shared {
    brisk_tier base;
    fake_domain *domain;
    fake_counters view;
    uint32_t synced; /* of the log */
    brisk_bump_fn fn;
    void *ctx;
    uint64_t since;
    _Atomic brisk_err fail; /* every call, when not OK */
    uint32_t bumps;
} fake_shared;

static inline fake_domain *fake_domain_make(void)
{
    fake_domain *domain = calloc(1, sizeof *domain);
    CHECK(domain != NULL);
    pthread_mutexattr_t recursive;
    CHECK(pthread_mutexattr_init(&recursive) == 0 &&
          pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE) == 0 &&
          pthread_mutex_init(&domain->lock, &recursive) == 0);
    (void)pthread_mutexattr_destroy(&recursive);
    fake_init(&domain->store, "store", 0);
    return domain;
}

static inline void fake_domain_free(fake_domain *domain)
{
    (void)fake_clear(&domain->store.base);
    (void)pthread_mutex_destroy(&domain->lock);
    free(domain);
}

static inline void fake_log(fake_shared *self, const brisk_bump *bump)
{
    fake_domain *domain = self->domain;
    (void)pthread_mutex_lock(&domain->lock);
    uint32_t at = domain->log_count++;
    CHECK(at < DOMAIN_LOG_MAX);
    domain->log[at].bump = *bump;
    domain->log[at].bump.token = at + 1;
    domain->log[at].by = self;
    if (bump->key != NULL) {
        CHECK(bump->key->size <= FAKE_KEY_MAX);
        memcpy(domain->log[at].key, bump->key->bytes, bump->key->size);
        domain->log[at].key_size = bump->key->size;
    }
    (void)pthread_mutex_unlock(&domain->lock);
}

static inline void fake_log_key(fake_shared *self, const brisk_key *key)
{
    fake_log(self, &(brisk_bump){.kind = BRISK_BUMP_KEY, .key = key});
}

static inline brisk_err fake_shared_get(brisk_tier *base, const brisk_key *key, brisk_hit *ret)
{
    fake_shared *self = (fake_shared *)base;
    (void)pthread_mutex_lock(&self->domain->lock);
    brisk_err err =
        self->fail != BRISK_OK ? self->fail : fake_get(&self->domain->store.base, key, ret);
    (void)pthread_mutex_unlock(&self->domain->lock);
    return err;
}

static inline brisk_err fake_shared_put(brisk_tier *base, const brisk_key *key, brisk_value *value,
                                        const brisk_entry_opts *opts)
{
    fake_shared *self = (fake_shared *)base;
    if (self->fail != BRISK_OK) {
        return self->fail;
    }
    (void)pthread_mutex_lock(&self->domain->lock);
    fake_log_key(self, key);
    brisk_err err = fake_put(&self->domain->store.base, key, value, opts);
    (void)pthread_mutex_unlock(&self->domain->lock);
    return err;
}

static inline brisk_err fake_shared_remove(brisk_tier *base, const brisk_key *key)
{
    fake_shared *self = (fake_shared *)base;
    if (self->fail != BRISK_OK) {
        return self->fail;
    }
    (void)pthread_mutex_lock(&self->domain->lock);
    fake_log_key(self, key);
    brisk_err err = fake_remove(&self->domain->store.base, key);
    (void)pthread_mutex_unlock(&self->domain->lock);
    return err;
}

static inline brisk_err fake_shared_clear(brisk_tier *base)
{
    fake_shared *self = (fake_shared *)base;
    (void)pthread_mutex_lock(&self->domain->lock);
    brisk_err err = self->fail != BRISK_OK ? self->fail : fake_clear(&self->domain->store.base);
    (void)pthread_mutex_unlock(&self->domain->lock);
    return err;
}

static inline brisk_err fake_shared_generations(brisk_tier *base, const uint32_t *slots,
                                                uint32_t count, uint64_t *ret)
{
    fake_shared *self = (fake_shared *)base;
    (void)pthread_mutex_lock(&self->domain->lock);
    for (uint32_t i = 0; i < count; i++) {
        ret[i] = *fake_counter_at(&self->view, slots[i]);
    }
    (void)pthread_mutex_unlock(&self->domain->lock);
    return BRISK_OK;
}

/* As a server that counts: its answer, which the view shows, has the others' bumps in it. */
static inline brisk_err fake_shared_bump(brisk_tier *base, const brisk_bump *bump)
{
    fake_shared *self = (fake_shared *)base;
    if (self->fail != BRISK_OK) {
        return self->fail;
    }
    (void)pthread_mutex_lock(&self->domain->lock);
    self->bumps++;
    brisk_bump logged = *bump;
    if (bump->kind != BRISK_BUMP_ALL) {
        uint32_t slot = bump->kind == BRISK_BUMP_SLOT ? bump->slot : BRISK_GENERATION_ERA;
        uint64_t value = ++*fake_counter_at(&self->domain->counters, slot);
        *fake_counter_at(&self->view, slot) = value;
        logged.era = (uint16_t)value;
    } else {
        (void)fake_clear(&self->domain->store.base);
    }
    fake_log(self, &logged);
    (void)pthread_mutex_unlock(&self->domain->lock);
    return BRISK_OK;
}

/*
 * What others did reaches this machine: first its listener, without the lock, then its view.  What
 * is below the count does not change any more.
 */
static inline void fake_shared_sync(fake_shared *self)
{
    fake_domain *domain = self->domain;
    (void)pthread_mutex_lock(&domain->lock);
    while (self->synced < domain->log_count) {
        uint32_t at = self->synced++;
        brisk_bump bump = domain->log[at].bump;
        brisk_key key;
        if (bump.kind == BRISK_BUMP_KEY) {
            key = brisk_key_of(domain->log[at].key, domain->log[at].key_size);
            bump.key = &key;
        }
        bool told = bump.token > self->since || bump.kind == BRISK_BUMP_PREFIX;
        if (domain->log[at].by != self && told && self->fn != NULL) {
            (void)pthread_mutex_unlock(&domain->lock);
            self->fn(self->ctx, &bump);
            (void)pthread_mutex_lock(&domain->lock);
        }
    }
    self->view = domain->counters;
    (void)pthread_mutex_unlock(&domain->lock);
}

static inline void fake_shared_listen(brisk_tier *base, brisk_bump_fn fn, void *ctx, uint64_t since)
{
    fake_shared *self = (fake_shared *)base;
    self->fn = fn;
    self->ctx = ctx;
    self->since = since;
    if (fn != NULL) {
        self->synced = 0;
        fake_shared_sync(self);
    }
}

static inline void fake_shared_read_stats(brisk_tier *base, brisk_tier_stats *ret)
{
    (void)base;
    (void)ret;
}

static inline void fake_shared_destroy(brisk_tier *base)
{
    (void)base;
}

static const brisk_tier_ops fake_shared_ops = {
    .get = fake_shared_get,
    .put = fake_shared_put,
    .remove = fake_shared_remove,
    .clear = fake_shared_clear,
    .read_stats = fake_shared_read_stats,
    .destroy = fake_shared_destroy,
    .generations = fake_shared_generations,
    .bump = fake_shared_bump,
    .listen = fake_shared_listen,
};

static inline void fake_shared_init(fake_shared *self, fake_domain *domain, const char *name)
{
    memset(self, 0, sizeof *self);
    self->base.ops = &fake_shared_ops;
    self->base.flags = BRISK_TIER_SHARED;
    (void)snprintf(self->base.name, sizeof self->base.name, "%s", name);
    self->domain = domain;
}

#endif /* BRISK_TESTS_CACHE_FAKE_SHARED_H */
