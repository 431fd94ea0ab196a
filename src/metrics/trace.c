/*
 * trace.c -- the span table behind <brisk/trace.h>; trace_write.c prints it.
 *
 * A begin claims the next slot with one fetch-add and owns it from then on; claims beyond the
 * capacity only count as dropped.  Minor spans claim only while enough places are left for the
 * others, and else are counted on their own.  The slots are not cleared at creation: a begun span fills its
 * own, so that a job pays for the pages it uses, not for the capacity.
 *
 * Invariant: parent < id for every span, so that following parents ends (begin enforces it).
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include <brisk/trace.h>

#include "base/assert.h"
#include "metrics/thread_id.h"
#include "metrics/trace.h"

struct brisk_trace {
    const brisk_clock *clock;
    const brisk_alloc *alloc;
    uint32_t capacity;
    _Atomic uint64_t claimed; /* 64 bits: dropped spans never wrap it back into the table */
    _Atomic uint64_t refused; /* minor spans that claimed nothing */
    brisk_span spans[];
};

static size_t size_of(uint32_t capacity)
{
    return sizeof(brisk_trace) + (size_t)capacity * sizeof(brisk_span);
}

static_assert(sizeof(brisk_span) <= 128, "a full table of 2^32 spans fits size_t");

brisk_err brisk_trace_create(uint32_t capacity, const brisk_clock *clock, const brisk_alloc *alloc,
                             brisk_trace **ret)
{
    BRISK_ASSERT(ret != NULL);
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    capacity = capacity != 0 ? capacity : BRISK_TRACE_CAPACITY_DEFAULT;
    brisk_trace *trace = alloc->acquire(alloc->ctx, size_of(capacity), _Alignof(brisk_trace));
    if (trace == NULL) {
        return BRISK_ERR_NOMEM;
    }
    trace->clock = clock != NULL ? clock : brisk_clock_system();
    trace->alloc = alloc;
    trace->capacity = capacity;
    atomic_init(&trace->claimed, 0);
    atomic_init(&trace->refused, 0);
    *ret = trace;
    return BRISK_OK;
}

void brisk_trace_destroy(brisk_trace *trace)
{
    if (trace != NULL) {
        const brisk_alloc *alloc = trace->alloc;
        alloc->release(alloc->ctx, trace, size_of(trace->capacity), _Alignof(brisk_trace));
    }
}

const brisk_alloc *metrics_trace_alloc(const brisk_trace *trace)
{
    return trace->alloc;
}

/* Copy a name, cut at a character's beginning, and clear the rest of its field. */
static void set_name(brisk_span *span, const char *name)
{
    size_t length = strnlen(name, BRISK_TRACE_NAME_MAX);
    if (length == BRISK_TRACE_NAME_MAX) {
        length--;
        while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80) {
            length--; /* do not leave half a UTF-8 character */
        }
    }
    memcpy(span->name, name, length);
    memset(span->name + length, 0, BRISK_TRACE_NAME_MAX - length);
}

/* Fill slot `index`, which the caller has claimed. */
static uint32_t start_span(brisk_trace *trace, uint64_t index, const char *name, uint32_t parent,
                           int32_t worker)
{
    brisk_span *span = &trace->spans[index];
    span->id = (uint32_t)index + 1;
    span->parent = parent < span->id ? parent : BRISK_TRACE_NONE;
    span->worker = worker;
    span->thread = metrics_thread_id();
    span->end_ns = 0;
    span->bytes = 0;
    set_name(span, name);
    span->start_ns = brisk_clock_now_ns(trace->clock); /* last: the begin itself is not counted */
    return span->id;
}

uint32_t brisk_trace_begin(brisk_trace *trace, const char *name, uint32_t parent, int32_t worker)
{
    if (trace == NULL) {
        return BRISK_TRACE_NONE;
    }
    /* Relaxed: a claim only has to be unique; readers come after the work is done. */
    uint64_t index = atomic_fetch_add_explicit(&trace->claimed, 1, memory_order_relaxed);
    return index < trace->capacity ? start_span(trace, index, name, parent, worker)
                                   : BRISK_TRACE_NONE;
}

uint32_t brisk_trace_begin_minor(brisk_trace *trace, const char *name, uint32_t parent,
                                 int32_t worker, uint32_t keep)
{
    if (trace == NULL) {
        return BRISK_TRACE_NONE;
    }
    uint64_t limit = trace->capacity > keep ? trace->capacity - keep : 0;
    uint64_t index = atomic_load_explicit(&trace->claimed, memory_order_relaxed);
    do {
        if (index >= limit) {
            atomic_fetch_add_explicit(&trace->refused, 1, memory_order_relaxed);
            return BRISK_TRACE_NONE;
        }
    } while (!atomic_compare_exchange_weak_explicit(&trace->claimed, &index, index + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    return start_span(trace, index, name, parent, worker);
}

static brisk_span *span_of(brisk_trace *trace, uint32_t id)
{
    if (trace == NULL || id == BRISK_TRACE_NONE) {
        return NULL;
    }
    BRISK_ASSERT(id <= trace->capacity);
    return &trace->spans[id - 1];
}

void brisk_trace_end(brisk_trace *trace, uint32_t span)
{
    brisk_span *s = span_of(trace, span);
    if (s == NULL) {
        return;
    }
    uint64_t now = brisk_clock_now_ns(trace->clock);
    uint64_t running = 0;
    /* Relaxed: decides between two ends of one span, publishes nothing. */
    (void)__atomic_compare_exchange_n(&s->end_ns, &running, now != 0 ? now : 1, 0, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED);
}

void brisk_trace_add_bytes(brisk_trace *trace, uint32_t span, uint64_t bytes)
{
    brisk_span *s = span_of(trace, span);
    if (s != NULL) {
        /* Relaxed: a sum; helpers of a stage may add to one span. */
        (void)__atomic_fetch_add(&s->bytes, bytes, __ATOMIC_RELAXED);
    }
}

uint32_t brisk_trace_count(const brisk_trace *trace)
{
    uint64_t claimed = atomic_load_explicit(&trace->claimed, memory_order_relaxed);
    return claimed < trace->capacity ? (uint32_t)claimed : trace->capacity;
}

uint64_t brisk_trace_dropped(const brisk_trace *trace)
{
    uint64_t claimed = atomic_load_explicit(&trace->claimed, memory_order_relaxed);
    uint64_t refused = atomic_load_explicit(&trace->refused, memory_order_relaxed);
    return refused + (claimed > trace->capacity ? claimed - trace->capacity : 0);
}

brisk_span brisk_trace_at(const brisk_trace *trace, uint32_t index)
{
    BRISK_ASSERT(index < brisk_trace_count(trace));
    return trace->spans[index];
}
