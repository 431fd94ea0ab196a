/*
 * brisk/pool.h -- objects of one size, recycled through a free list.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_POOL_H
#define BRISK_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

typedef struct brisk_pool brisk_pool;

typedef struct brisk_pool_opts {
    size_t object_bytes;      /**< Required; rounded up to the alignment. */
    size_t align;             /**< Power of two up to 4096; 0 means 16. */
    size_t limit_objects;     /**< Most objects alive at once; 0 means none. */
    size_t slab_objects;      /**< Objects taken from `alloc` at a time; 0 means 64 KiB worth. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_pool_opts;

typedef struct brisk_pool_stats {
    size_t live;  /**< Acquired and not released. */
    size_t free;  /**< Held and waiting to be acquired. */
    size_t peak;  /**< Largest `live` so far. */
    size_t bytes; /**< Held from the allocator. */
} brisk_pool_stats;

/** Errors: INVALID (no size, bad alignment, overflow), NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_pool_create(const brisk_pool_opts *opts,
                                                      brisk_pool **ret);
/** Frees every slab; objects still acquired become invalid.  NULL is accepted. */
BRISK_API void brisk_pool_destroy(brisk_pool *pool);
/** Uninitialised object, or NULL when memory or the limit is exhausted. */
BRISK_API void *brisk_pool_acquire(brisk_pool *pool);
/** Give back an object of this pool; NULL is accepted. */
BRISK_API void brisk_pool_release(brisk_pool *pool, void *object);
BRISK_API void brisk_pool_read_stats(const brisk_pool *pool, brisk_pool_stats *ret);

BRISK_END_DECLS

#endif /* BRISK_POOL_H */
