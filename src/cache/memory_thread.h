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

#define MEMORY_THREAD_NONE UINT32_MAX

/* 0 .. MEMORY_THREADS_MAX - 1, the same in every call of one thread, or MEMORY_THREAD_NONE. */
uint32_t memory_thread_number(void);

#endif /* BRISK_SRC_CACHE_MEMORY_THREAD_H */
