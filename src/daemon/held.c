/*
 * held.c -- a table of counts.
 *
 * Invariant: an entry's value is the number of those who will let go of it, at least one, and its size is in the total
 * exactly while the entry is there.  A value's address is its own as long as anybody has a reference.
 */
#include "daemon/held.h"

#include "base/assert.h"

void held_init(held_values *self, _Atomic uint64_t *total, const brisk_alloc *alloc)
{
    int failed = pthread_mutex_init(&self->lock, NULL);
    BRISK_ASSERT(failed == 0);
    dict_init(&self->values, alloc);
    self->total = total;
}

void held_deinit(held_values *self)
{
    BRISK_ASSERT(self->values.count == 0);
    dict_deinit(&self->values);
    (void)pthread_mutex_destroy(&self->lock);
}

bool held_hold(held_values *self, const brisk_value *value)
{
    (void)pthread_mutex_lock(&self->lock);
    dict_entry *entry = dict_add(&self->values, &value, sizeof value);
    if (entry != NULL) {
        uintptr_t count = (uintptr_t)entry->value;
        if (count == 0) {
            atomic_fetch_add_explicit(self->total, brisk_value_size(value), memory_order_relaxed);
        }
        entry->value = (void *)(count + 1);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return entry != NULL;
}

void held_let_go(held_values *self, const brisk_value *value)
{
    (void)pthread_mutex_lock(&self->lock);
    dict_entry *entry = dict_find(&self->values, &value, sizeof value);
    BRISK_ASSERT(entry != NULL && entry->value != NULL);
    uintptr_t count = (uintptr_t)entry->value;
    entry->value = (void *)(count - 1);
    if (count == 1) {
        atomic_fetch_sub_explicit(self->total, brisk_value_size(value), memory_order_relaxed);
        dict_remove(&self->values, entry);
    }
    (void)pthread_mutex_unlock(&self->lock);
}
