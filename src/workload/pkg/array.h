/*
 * array.h -- an array in an arena that grows by doubling.
 *
 * What it grew out of stays in the arena until that is reset, at most as much again.
 *
 * Threads: as the arena.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_ARRAY_H
#define BRISK_SRC_WORKLOAD_PKG_ARRAY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <brisk/arena.h>

typedef struct pkg_array {
    void *items;
    uint32_t count;
    uint32_t capacity;
} pkg_array;

/* Room for `more` further items of `size` bytes, not counted.  False: out of memory. */
static inline bool pkg_array_reserve(pkg_array *array, uint32_t more, size_t size,
                                     brisk_arena *arena)
{
    uint64_t need = (uint64_t)array->count + more;
    if (need <= array->capacity) {
        return true;
    }
    uint64_t capacity = array->capacity != 0 ? (uint64_t)array->capacity * 2 : 64;
    capacity = capacity < need ? need : capacity;
    void *items = capacity < UINT32_MAX ? brisk_arena_alloc(arena, capacity * size) : NULL;
    if (items == NULL) {
        return false;
    }
    if (array->count > 0) {
        memcpy(items, array->items, array->count * size);
    }
    array->items = items;
    array->capacity = (uint32_t)capacity;
    return true;
}

/* One more item of `size` bytes, not initialised; NULL: out of memory. */
static inline void *pkg_array_push(pkg_array *array, size_t size, brisk_arena *arena)
{
    return pkg_array_reserve(array, 1, size, arena) ? (char *)array->items + array->count++ * size
                                                    : NULL;
}

#endif /* BRISK_SRC_WORKLOAD_PKG_ARRAY_H */
