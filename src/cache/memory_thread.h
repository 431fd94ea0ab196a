/*
 * memory_thread.h -- a small number for the calling thread.
 *
 * Lets a tier keep one set of counters and rings per thread without atomic additions.  At most
 * MEMORY_THREADS_MAX threads have a number at a time; a number is used again when its thread has
 * ended, and the new owner then sees everything the old one wrote.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_THREAD_H
#define BRISK_SRC_CACHE_MEMORY_THREAD_H

#include <stdint.h>

enum { MEMORY_THREADS_MAX = 64 };

#define MEMORY_THREAD_REFUSED UINT32_MAX

/* 0: not asked yet; n + 1: number n; MEMORY_THREAD_REFUSED. */
extern _Thread_local uint32_t memory_thread_own __attribute__((tls_model("initial-exec")));

uint32_t memory_thread_claim(void);
/* All numbers that any thread ever had are below. */
uint32_t memory_thread_highest(void);

/* The same in every call of one thread; MEMORY_THREADS_MAX or more when it has none. */
static inline uint32_t memory_thread_number(void)
{
    uint32_t own = memory_thread_own;
    if (__builtin_expect(own == 0, 0)) {
        own = memory_thread_claim();
    }
    return own - 1;
}

#endif /* BRISK_SRC_CACHE_MEMORY_THREAD_H */
