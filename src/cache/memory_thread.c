/*
 * memory_thread.c -- numbers for threads, claimed in one 64-bit mask.
 *
 * The claim (acquire) pairs with the release at the end of the number's last thread.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/assert.h"
#include "cache/memory_thread.h"

enum { NUMBER_FIRST = 1 };

static _Atomic uint64_t claimed; /* bit n: number n has a thread */
static _Atomic uint32_t highest; /* numbers below were claimed at least once */
static pthread_key_t end_key;
static bool end_key_made;
static pthread_once_t end_key_once = PTHREAD_ONCE_INIT;
_Thread_local uint32_t memory_thread_own __attribute__((tls_model("initial-exec")));

/* `value` is not an address: NUMBER_FIRST + n. */
static void on_thread_end(void *value)
{
    uint32_t number = (uint32_t)(uintptr_t)value - NUMBER_FIRST;
    memory_thread_own = MEMORY_THREAD_REFUSED; /* destructors that run after this one do without */
    atomic_fetch_and_explicit(&claimed, ~(UINT64_C(1) << number), memory_order_release);
}

static void make_key(void)
{
    end_key_made = pthread_key_create(&end_key, on_thread_end) == 0;
}

static uint32_t claim(void)
{
    (void)pthread_once(&end_key_once, make_key);
    if (!end_key_made) {
        return MEMORY_THREAD_REFUSED;
    }
    uint64_t mask = atomic_load_explicit(&claimed, memory_order_relaxed);
    while (mask != UINT64_MAX) {
        uint32_t number = (uint32_t)__builtin_ctzll(~mask);
        if (!atomic_compare_exchange_weak_explicit(&claimed, &mask, mask | UINT64_C(1) << number,
                                                   memory_order_acquire, memory_order_relaxed)) {
            continue;
        }
        uint32_t seen = atomic_load_explicit(&highest, memory_order_relaxed);
        while (seen <= number &&
               !atomic_compare_exchange_weak_explicit(&highest, &seen, number + 1,
                                                      memory_order_relaxed, memory_order_relaxed)) {
        }
        void *value = (void *)(uintptr_t)(NUMBER_FIRST + number);
        if (pthread_setspecific(end_key, value) != 0) {
            atomic_fetch_and_explicit(&claimed, ~(UINT64_C(1) << number), memory_order_release);
            return MEMORY_THREAD_REFUSED;
        }
        return NUMBER_FIRST + number;
    }
    return MEMORY_THREAD_REFUSED;
}

/* Relaxed: a thread too new to be seen here has noted nothing that has to be known yet. */
uint32_t memory_thread_highest(void)
{
    return atomic_load_explicit(&highest, memory_order_relaxed);
}

uint32_t memory_thread_claim(void)
{
    memory_thread_own = claim();
    return memory_thread_own;
}
