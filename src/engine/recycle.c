/*
 * recycle.c -- arenas and trace tables that go from one job to the next.
 *
 * A job takes an arena for itself and one for each stage that runs at the same time as another;
 * when it is destroyed they come back here, reset, with their first chunk.  So a loop of jobs
 * allocates nothing, and pages that were touched once are touched again.
 *
 * Threads: any; `lock` is a leaf and held for a few instructions.
 */
#include "engine/internal.h"

#include "base/assert.h"

static void *trace_acquire(void *ctx, size_t size, size_t align)
{
    engine_recycle *recycle = ctx;
    void *block = NULL;
    (void)pthread_mutex_lock(&recycle->lock);
    if (recycle->trace_bytes == 0) {
        recycle->trace_bytes = size; /* the first request is a job's table, all are of one size */
        recycle->trace_align = align;
    }
    bool fits = size == recycle->trace_bytes && align == recycle->trace_align;
    if (fits && recycle->trace_count > 0) {
        block = recycle->traces[--recycle->trace_count];
    }
    (void)pthread_mutex_unlock(&recycle->lock);
    return block != NULL ? block : recycle->alloc->acquire(recycle->alloc->ctx, size, align);
}

static void trace_release(void *ctx, void *ptr, size_t size, size_t align)
{
    engine_recycle *recycle = ctx;
    (void)pthread_mutex_lock(&recycle->lock);
    /* Scratch memory of a trace's printing has another size and passes through. */
    bool keep = size == recycle->trace_bytes && align == recycle->trace_align &&
                recycle->trace_count < ENGINE_TRACES_KEPT;
    if (keep) {
        recycle->traces[recycle->trace_count++] = ptr;
    }
    (void)pthread_mutex_unlock(&recycle->lock);
    if (!keep) {
        recycle->alloc->release(recycle->alloc->ctx, ptr, size, align);
    }
}

void engine_recycle_init(engine_recycle *recycle, const brisk_alloc *alloc)
{
    *recycle = (engine_recycle){
        .alloc = alloc,
        .trace_alloc = {.acquire = trace_acquire, .release = trace_release, .ctx = recycle},
    };
    int failed = pthread_mutex_init(&recycle->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
}

void engine_recycle_deinit(engine_recycle *recycle)
{
    for (uint32_t i = 0; i < recycle->arena_count; i++) {
        brisk_arena_destroy(recycle->arenas[i]);
    }
    for (uint32_t i = 0; i < recycle->trace_count; i++) {
        recycle->alloc->release(recycle->alloc->ctx, recycle->traces[i], recycle->trace_bytes,
                                recycle->trace_align);
    }
    (void)pthread_mutex_destroy(&recycle->lock);
}

brisk_err engine_recycle_take(engine_recycle *recycle, brisk_arena **ret)
{
    brisk_arena *arena = NULL;
    (void)pthread_mutex_lock(&recycle->lock);
    if (recycle->arena_count > 0) {
        arena = recycle->arenas[--recycle->arena_count];
    }
    (void)pthread_mutex_unlock(&recycle->lock);
    if (arena != NULL) {
        *ret = arena;
        return BRISK_OK;
    }
    brisk_arena_opts opts = {.chunk_bytes = ENGINE_ARENA_BYTES, .alloc = recycle->alloc};
    return brisk_arena_create(&opts, ret);
}

void engine_recycle_give(engine_recycle *recycle, brisk_arena *arena)
{
    brisk_arena_reset(arena); /* frees large chunks: not under the lock */
    (void)pthread_mutex_lock(&recycle->lock);
    bool keep = recycle->arena_count < ENGINE_ARENAS_KEPT;
    if (keep) {
        recycle->arenas[recycle->arena_count++] = arena;
    }
    (void)pthread_mutex_unlock(&recycle->lock);
    if (!keep) {
        brisk_arena_destroy(arena);
    }
}
