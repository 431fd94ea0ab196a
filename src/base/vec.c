/*
 * vec.c -- the untyped growing behind base/vec.h.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/vec.h"

enum { CAPACITY_FIRST = 8 };

void *brisk_vec_grow_raw(const brisk_alloc *alloc, void *items, size_t *capacity, size_t wanted,
                         brisk_vec_layout layout)
{
    BRISK_ASSERT(wanted > *capacity);
    size_t more = *capacity != 0 ? *capacity : CAPACITY_FIRST;
    while (more < wanted) {
        if (more > SIZE_MAX / 2) {
            return NULL;
        }
        more *= 2;
    }
    size_t bytes;
    if (__builtin_mul_overflow(more, layout.item_bytes, &bytes)) {
        return NULL;
    }
    void *grown = alloc->acquire(alloc->ctx, bytes, layout.align);
    if (grown == NULL) {
        return NULL;
    }
    if (items != NULL) {
        memcpy(grown, items, *capacity * layout.item_bytes);
        alloc->release(alloc->ctx, items, *capacity * layout.item_bytes, layout.align);
    }
    *capacity = more;
    return grown;
}
