/*
 * memory_map.h -- zeroed memory that costs nothing until it is touched.
 *
 * With libc's allocator it is mapped from the kernel; with any other it is acquired and cleared, so
 * that tests see every byte come back.
 */
#ifndef BRISK_SRC_CACHE_MEMORY_MAP_H
#define BRISK_SRC_CACHE_MEMORY_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include <brisk/alloc.h>

enum { MEMORY_HUGE_PAGE = 2097152 };

/* `bytes` zeroes, aligned to a page, or to MEMORY_HUGE_PAGE when there are that many; or NULL. */
void *memory_map_take(const brisk_alloc *alloc, size_t bytes);
void memory_map_give(const brisk_alloc *alloc, void *block, size_t bytes);
/*
 * Let the large page at `page`, which is in use by now, be one.  False: the kernel cannot do that;
 * then the whole of `block` is advised to get large pages as it is touched.
 */
bool memory_map_collapse(void *block, size_t bytes, void *page);
/* The bytes are not needed any more; they read as zeroes or as they were.  Advice. */
void memory_map_drop(void *block, size_t bytes);

#endif /* BRISK_SRC_CACHE_MEMORY_MAP_H */
