/*
 * memory_map.c -- mappings behind memory_map.h.
 *
 * Alignment to large pages is had by mapping one page more and giving back both ends.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "cache/memory_map.h"

#ifndef MADV_COLLAPSE
#    define MADV_COLLAPSE 25 /* Linux 6.1; the C library does not know it yet */
#endif

enum { PAGE_BYTES = 4096 };

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

void *memory_map_take(const brisk_alloc *alloc, size_t bytes)
{
    bytes = whole_pages(bytes);
    if (alloc != brisk_alloc_libc()) {
        void *block = alloc->acquire(alloc->ctx, bytes, PAGE_BYTES);
        return block != NULL ? memset(block, 0, bytes) : NULL;
    }
    size_t spare = bytes >= MEMORY_HUGE_PAGE ? MEMORY_HUGE_PAGE : 0;
    if (bytes > SIZE_MAX - spare) {
        return NULL;
    }
    void *map = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return NULL;
    }
    unsigned char *begin = map;
    size_t before = spare != 0 ? (size_t)(-(uintptr_t)begin & (MEMORY_HUGE_PAGE - 1)) : 0;
    if (before != 0) {
        (void)munmap(begin, before); /* a failure leaves address space, nothing else */
    }
    if (spare != before) {
        (void)munmap(begin + before + bytes, spare - before);
    }
    return begin + before;
}

void memory_map_give(const brisk_alloc *alloc, void *block, size_t bytes)
{
    if (block == NULL) {
        return;
    }
    bytes = whole_pages(bytes);
    if (alloc != brisk_alloc_libc()) {
        alloc->release(alloc->ctx, block, bytes, PAGE_BYTES);
    } else {
        (void)munmap(block, bytes);
    }
}

bool memory_map_collapse(void *block, size_t bytes, void *page)
{
    if (madvise(page, MEMORY_HUGE_PAGE, MADV_COLLAPSE) == 0 || errno != EINVAL) {
        return true; /* done, or no page to be had just now */
    }
    (void)madvise(block, bytes, MADV_HUGEPAGE);
    return false;
}

void memory_map_drop(void *block, size_t bytes)
{
    (void)madvise(block, bytes, MADV_DONTNEED);
}
