/*
 * slot.c -- thread numbers behind slot.h.
 *
 * Invariant: bit i of `taken` is set exactly while a living thread has brisk_private_thread_slot == i; bit 0 is
 * always set, for 0 means "none".  A thread's end is seen by the destructor of a thread-specific
 * value.  Where there is none to be had (keys are a limited resource) no thread gets a number, and all
 * record into shared shards: slower, never wrong.
 *
 * Locks: `lock`, a leaf.
 */
#include <assert.h>
#include <pthread.h>
#include <stdbool.h>

#include <brisk/histogram.h>

#include "base/assert.h"
#include "metrics/slot.h"

static_assert(BRISK_HISTOGRAM_THREADS == 64, "one bit each");

__thread uint32_t brisk_private_thread_slot __attribute__((tls_model("initial-exec")));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t taken = 1;
static pthread_key_t key;
static bool has_key;

static void give_back(void *slot)
{
    (void)slot;
    int failed = pthread_mutex_lock(&lock);
    BRISK_ASSERT(failed == 0);
    BRISK_ASSERT(brisk_private_thread_slot != 0);
    taken &= ~(UINT64_C(1) << brisk_private_thread_slot);
    brisk_private_thread_slot = 0;
    failed = pthread_mutex_unlock(&lock);
    BRISK_ASSERT(failed == 0);
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, give_back) == 0;
}

static uint32_t take(void)
{
    int failed = pthread_mutex_lock(&lock);
    BRISK_ASSERT(failed == 0);
    uint32_t slot = taken != UINT64_MAX ? (uint32_t)__builtin_ctzll(~taken) : 0;
    /* Any value but NULL: the destructor reads the number itself. */
    if (slot != 0 && pthread_setspecific(key, &taken) == 0) {
        taken |= UINT64_C(1) << slot;
        brisk_private_thread_slot = slot;
    }
    failed = pthread_mutex_unlock(&lock);
    BRISK_ASSERT(failed == 0);
    return brisk_private_thread_slot;
}

uint32_t metrics_slot(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (brisk_private_thread_slot != 0) {
        return brisk_private_thread_slot;
    }
    int failed = pthread_once(&once, make_key);
    BRISK_ASSERT(failed == 0);
    return has_key ? take() : 0;
}
