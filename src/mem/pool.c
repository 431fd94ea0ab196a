/*
 * pool.c -- slabs of equal slots and a free list through them, behind <brisk/pool.h>.
 *
 *     slabs ─► newest ─► older ─► ...           a slab: header, padding, slab_objects slots
 *               │ used │ used │ never used │
 *                              ▲ fresh .. fresh_end
 *     free_list ─► released slot ─► released slot ─► NULL     (the link stands in the slot)
 *
 * A new slab is not chained slot by slot: its slots are cut off one at a time when the free list
 * is empty, so that memory is touched only when it is used.
 *
 * Invariant: live and the free slots are all slots, fresh ones lie in the newest slab
 * (pool_is_valid).
 */
#include <stdbool.h>

#include <brisk/pool.h>

#include "base/assert.h"
#include "mem/poison.h"

enum { ALIGN_DEFAULT = 16, ALIGN_MAX = 4096, SLAB_BYTES_DEFAULT = 65536 };

typedef struct slab {
    struct slab *next;
} slab;

typedef struct free_slot {
    struct free_slot *next;
} free_slot;

struct brisk_pool {
    free_slot *free_list;
    unsigned char *fresh;
    unsigned char *fresh_end;
    size_t live;
    size_t peak;
    size_t limit_objects;
    size_t object_bytes; /* as asked for */
    size_t slot_bytes;   /* object, redzone, rounded up to the alignment */
    size_t align;
    size_t first_offset; /* of the first slot in its slab */
    size_t slab_objects;
    size_t slab_bytes;
    size_t slab_count;
    slab *slabs;
    const brisk_alloc *alloc;
};

static size_t fresh_count(const brisk_pool *pool)
{
    return (size_t)(pool->fresh_end - pool->fresh) / pool->slot_bytes;
}

/* O(slots): only for audits. */
static bool pool_is_valid(const brisk_pool *pool)
{
    size_t slabs = 0;
    for (const slab *s = pool->slabs; s != NULL; s = s->next) {
        slabs++;
    }
    return slabs == pool->slab_count && pool->live <= pool->peak &&
           pool->live + fresh_count(pool) <= slabs * pool->slab_objects &&
           (pool->limit_objects == 0 || pool->live <= pool->limit_objects);
}

/* Whether `object` is a slot of this pool.  O(slabs). */
static bool pool_owns(const brisk_pool *pool, const void *object)
{
    uintptr_t at = (uintptr_t)object;
    for (const slab *s = pool->slabs; s != NULL; s = s->next) {
        uintptr_t first = (uintptr_t)s + pool->first_offset;
        if (at >= first && at - first < pool->slab_objects * pool->slot_bytes) {
            return (at - first) % pool->slot_bytes == 0;
        }
    }
    return false;
}

/* Round `size` up to `align`; false when it does not fit. */
static bool round_up(size_t size, size_t align, size_t *ret)
{
    if (size > SIZE_MAX - (align - 1)) {
        return false;
    }
    *ret = (size + align - 1) & ~(align - 1);
    return true;
}

/* All sizes of a pool from its options; false when they are no options or overflow. */
static bool lay_out(const brisk_pool_opts *opts, brisk_pool *pool)
{
    size_t align = opts->align != 0 ? opts->align : ALIGN_DEFAULT;
    if (opts->object_bytes == 0 || (align & (align - 1)) != 0 || align > ALIGN_MAX) {
        return false;
    }
    align = align < _Alignof(free_slot) ? _Alignof(free_slot) : align;
    size_t object = opts->object_bytes < sizeof(free_slot) ? sizeof(free_slot) : opts->object_bytes;
    size_t slot;
    if (object > SIZE_MAX / 2 || !round_up(object + MEM_REDZONE_BYTES, align, &slot)) {
        return false;
    }
    size_t count = opts->slab_objects;
    if (count == 0) {
        count = slot < SLAB_BYTES_DEFAULT ? SLAB_BYTES_DEFAULT / slot : 1;
    }
    size_t first;
    size_t slots_bytes;
    size_t slab_bytes;
    if (!round_up(sizeof(slab), align, &first) ||
        __builtin_mul_overflow(slot, count, &slots_bytes) ||
        __builtin_add_overflow(slots_bytes, first, &slab_bytes) || slab_bytes > SIZE_MAX / 2) {
        return false;
    }
    *pool = (brisk_pool){
        .limit_objects = opts->limit_objects,
        .object_bytes = opts->object_bytes,
        .slot_bytes = slot,
        .align = align,
        .first_offset = first,
        .slab_objects = count,
        .slab_bytes = slab_bytes,
        .alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc(),
    };
    return true;
}

brisk_err brisk_pool_create(const brisk_pool_opts *opts, brisk_pool **ret)
{
    BRISK_ASSERT(ret != NULL);
    brisk_pool layout;
    if (opts == NULL || !lay_out(opts, &layout)) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = layout.alloc;
    brisk_pool *pool = alloc->acquire(alloc->ctx, sizeof *pool, _Alignof(brisk_pool));
    if (pool == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *pool = layout;
    *ret = pool;
    return BRISK_OK;
}

void brisk_pool_destroy(brisk_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    BRISK_AUDIT(pool_is_valid(pool));
    const brisk_alloc *alloc = pool->alloc;
    while (pool->slabs != NULL) {
        slab *next = pool->slabs->next;
        MEM_UNPOISON(pool->slabs, pool->slab_bytes);
        alloc->release(alloc->ctx, pool->slabs, pool->slab_bytes, pool->align);
        pool->slabs = next;
    }
    alloc->release(alloc->ctx, pool, sizeof *pool, _Alignof(brisk_pool));
}

static bool add_slab(brisk_pool *pool)
{
    slab *s = pool->alloc->acquire(pool->alloc->ctx, pool->slab_bytes, pool->align);
    if (s == NULL) {
        return false;
    }
    s->next = pool->slabs;
    pool->slabs = s;
    pool->slab_count++;
    pool->fresh = (unsigned char *)s + pool->first_offset;
    pool->fresh_end = pool->fresh + pool->slab_objects * pool->slot_bytes;
    MEM_POISON(pool->fresh, (size_t)(pool->fresh_end - pool->fresh));
    BRISK_AUDIT(pool_is_valid(pool));
    return true;
}

void *brisk_pool_acquire(brisk_pool *pool)
{
    if (pool->limit_objects != 0 && pool->live >= pool->limit_objects) {
        return NULL;
    }
    void *object;
    if (pool->free_list != NULL) {
        free_slot *slot = pool->free_list;
        MEM_UNPOISON(slot, sizeof *slot);
        pool->free_list = slot->next;
        object = slot;
    } else {
        if (pool->fresh == pool->fresh_end && !add_slab(pool)) {
            return NULL;
        }
        object = pool->fresh;
        pool->fresh += pool->slot_bytes;
    }
    MEM_UNPOISON(object, pool->object_bytes);
    pool->live++;
    pool->peak = pool->live > pool->peak ? pool->live : pool->peak;
    return object;
}

void brisk_pool_release(brisk_pool *pool, void *object)
{
    if (object == NULL) {
        return;
    }
    BRISK_ASSERT(pool->live > 0);
    BRISK_AUDIT(pool_owns(pool, object));
    BRISK_ASSERT(!MEM_IS_POISONED(object)); /* released twice, seen by ASan builds */
    free_slot *slot = object;
    MEM_UNPOISON(slot, sizeof *slot); /* an object may be smaller than the link */
    slot->next = pool->free_list;
    pool->free_list = slot;
    pool->live--;
    MEM_POISON(slot, pool->slot_bytes);
}

void brisk_pool_read_stats(const brisk_pool *pool, brisk_pool_stats *ret)
{
    *ret = (brisk_pool_stats){
        .live = pool->live,
        .free = pool->slab_count * pool->slab_objects - pool->live,
        .peak = pool->peak,
        .bytes = pool->slab_count * pool->slab_bytes,
    };
}
