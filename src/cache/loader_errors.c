/*
 * loader_errors.c -- errors that are repeated for a while instead of loading again.
 *
 * Not in the cache: an error must not take the place of an answer that may still be given when
 * loading fails, and it is this process's affair.  A table of fixed size; what does not fit is not
 * remembered, which costs a load.  Keys are compared whole: one key's error is never another's.
 *
 * Threads: any.  The lock is a leaf; nobody takes it while no error is remembered.
 */
#include <string.h>

#include "cache/loader_internal.h"

brisk_err loader_errors_init(loader_errors *errors, const brisk_alloc *alloc)
{
    memset(errors, 0, sizeof *errors);
    errors->alloc = alloc;
    return brisk_err_from_errno(pthread_mutex_init(&errors->lock, NULL));
}

static loader_error *slot_of(loader_errors *errors, const brisk_key *key)
{
    return &errors->slots[key->hash.lo & (LOADER_ERRORS_MAX - 1)];
}

static bool is_for(const loader_error *slot, const brisk_key *key)
{
    return slot->bytes != NULL && slot->key.hash.lo == key->hash.lo &&
           slot->key.hash.hi == key->hash.hi && slot->key.size == key->size &&
           memcmp(slot->bytes, key->bytes, key->size) == 0;
}

static void empty(loader_errors *errors, loader_error *slot)
{
    if (slot->bytes != NULL) {
        errors->alloc->release(errors->alloc->ctx, slot->bytes, slot->key.size, 1);
        slot->bytes = NULL;
        (void)atomic_fetch_sub_explicit(&errors->count, 1, memory_order_relaxed);
    }
}

void loader_errors_forget_all(loader_errors *errors)
{
    (void)pthread_mutex_lock(&errors->lock);
    for (uint32_t i = 0; i < LOADER_ERRORS_MAX; i++) {
        empty(errors, &errors->slots[i]);
    }
    (void)pthread_mutex_unlock(&errors->lock);
}

void loader_errors_deinit(loader_errors *errors)
{
    loader_errors_forget_all(errors);
    (void)pthread_mutex_destroy(&errors->lock);
}

void loader_errors_add(loader_errors *errors, const brisk_key *key, brisk_err err,
                       uint64_t until_ns)
{
    (void)pthread_mutex_lock(&errors->lock);
    loader_error *slot = slot_of(errors, key);
    if (!is_for(slot, key)) {
        void *bytes = errors->alloc->acquire(errors->alloc->ctx, key->size, 1);
        if (bytes == NULL) {
            (void)pthread_mutex_unlock(&errors->lock);
            return;
        }
        empty(errors, slot);
        memcpy(bytes, key->bytes, key->size);
        slot->bytes = bytes;
        slot->key = *key;
        slot->key.bytes = bytes;
        (void)atomic_fetch_add_explicit(&errors->count, 1, memory_order_relaxed);
    }
    slot->err = err;
    slot->until_ns = until_ns;
    (void)pthread_mutex_unlock(&errors->lock);
}

void loader_errors_forget(loader_errors *errors, const brisk_key *key)
{
    if (atomic_load_explicit(&errors->count, memory_order_relaxed) == 0) {
        return;
    }
    (void)pthread_mutex_lock(&errors->lock);
    loader_error *slot = slot_of(errors, key);
    if (is_for(slot, key)) {
        empty(errors, slot);
    }
    (void)pthread_mutex_unlock(&errors->lock);
}

brisk_err loader_errors_find(loader_errors *errors, const brisk_key *key, uint64_t now_ns)
{
    if (atomic_load_explicit(&errors->count, memory_order_relaxed) == 0) {
        return BRISK_OK;
    }
    brisk_err err = BRISK_OK;
    (void)pthread_mutex_lock(&errors->lock);
    loader_error *slot = slot_of(errors, key);
    if (is_for(slot, key)) {
        if (now_ns < slot->until_ns) {
            err = slot->err;
        } else {
            empty(errors, slot);
        }
    }
    (void)pthread_mutex_unlock(&errors->lock);
    return err;
}
