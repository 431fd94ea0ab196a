/*
 * series.c -- points that thin themselves out.
 */
#include "observe/heap/series.h"

void heap_series_init(heap_series *s, const brisk_alloc *alloc)
{
    *s = (heap_series){.alloc = alloc, .points = BRISK_VEC_INIT(alloc), .stride = 1};
}

static void drop(heap_series *s, heap_point *point)
{
    s->alloc->release(s->alloc->ctx, point->stacks, point->stack_count * sizeof *point->stacks,
                      _Alignof(uint64_t));
}

void heap_series_deinit(heap_series *s)
{
    for (size_t i = 0; i < s->points.count; i++) {
        drop(s, &s->points.items[i]);
    }
    if (s->alloc != NULL) {
        BRISK_VEC_DEINIT(&s->points);
    }
}

static void thin_out(heap_series *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->points.count; i++) {
        if (i % 2 == 0) {
            s->points.items[kept++] = s->points.items[i];
        } else {
            drop(s, &s->points.items[i]);
        }
    }
    s->points.count = kept;
    s->stride *= 2;
}

brisk_err heap_series_add(heap_series *s, const heap_profile *p, uint64_t time_ns, uint64_t rss)
{
    if (++s->skipped < s->stride) {
        return BRISK_OK;
    }
    s->skipped = 0;
    if (s->points.count >= HEAP_POINTS_MAX) {
        thin_out(s);
    }
    heap_point point = {.time_ns = time_ns,
                        .live = p->head.live_bytes,
                        .rss = rss,
                        .malloc_used = p->head.malloc_used,
                        .malloc_system = p->head.malloc_system,
                        .stack_count = p->head.stack_count};
    point.stacks = s->alloc->acquire(s->alloc->ctx, point.stack_count * sizeof *point.stacks,
                                     _Alignof(uint64_t));
    if (point.stacks == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < point.stack_count; i++) {
        point.stacks[i] = p->stacks[i].live_bytes;
    }
    if (!BRISK_VEC_PUSH(&s->points, point)) {
        drop(s, &point);
        return BRISK_ERR_NOMEM;
    }
    return BRISK_OK;
}
