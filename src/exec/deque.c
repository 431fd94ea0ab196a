/*
 * deque.c -- the Chase-Lev deque.
 *
 *     ring:   . . . [top] o o o o [bottom] . . .        index i lives in slots[i & mask]
 *             thieves take here ^        ^ the owner pushes and pops here
 *
 * The published algorithm uses stand-alone fences; here the order sits on the accesses themselves
 * (seq_cst where the fence was), which costs the same on x86 (one locked instruction per pop), is
 * understood by ThreadSanitizer, and leaves one proof:
 *
 *   A task is not taken twice.  Let pop take index b without a CAS: it stored bottom = b, then read
 *   top = t < b.  A thief that takes b too must have read top = b, written after pop's read, and
 *   hence after pop's store in the single order of seq_cst operations; so it reads bottom <= b
 *   afterwards, sees an empty deque and takes nothing.  (A larger bottom it could read comes from a
 *   later push, and then slot b holds that later task.)  For the last task, t == b, both sides
 *   need the same CAS on top, which one of them loses.
 *
 * The bottom store of push is seq_cst for a second reason: exec_notify reads the idle state after it
 * and a worker that parks writes that state before it reads bottom, so that one of the two sees
 * the other (idle.c).
 *
 * A full ring is copied into one of twice the size.  Thieves may still read the old one: what it
 * holds at their index stays true, and only the CAS decides.  Old rings are kept until deinit; all
 * of them together are smaller than the present one.
 *
 * Invariant: top <= bottom + 1 always, and bottom - top <= ring size.
 */
#include <string.h>

#include "base/assert.h"
#include "exec/deque.h"

enum { FIRST_SIZE = 256 };

#define SIZE_LIMIT (INT64_C(1) << 32) /* tasks in one deque; beyond, push reports it is full */

struct exec_ring {
    exec_ring *older;
    int64_t size; /* a power of two */
    _Atomic(brisk_task *) slots[];
};

static size_t ring_bytes(int64_t size)
{
    return sizeof(exec_ring) + (size_t)size * sizeof(_Atomic(brisk_task *));
}

static exec_ring *ring_create(const brisk_alloc *alloc, int64_t size)
{
    exec_ring *ring = alloc->acquire(alloc->ctx, ring_bytes(size), _Alignof(exec_ring));
    if (ring != NULL) {
        ring->older = NULL;
        ring->size = size;
    }
    return ring;
}

static _Atomic(brisk_task *) *slot_of(exec_ring *ring, int64_t index)
{
    return &ring->slots[index & (ring->size - 1)];
}

brisk_err exec_deque_init(exec_deque *deque, const brisk_alloc *alloc)
{
    exec_ring *ring = ring_create(alloc, FIRST_SIZE);
    if (ring == NULL) {
        return BRISK_ERR_NOMEM;
    }
    deque->alloc = alloc;
    deque->top_seen = 0;
    atomic_init(&deque->top, 0);
    atomic_init(&deque->bottom, 0);
    atomic_init(&deque->ring, ring);
    return BRISK_OK;
}

void exec_deque_deinit(exec_deque *deque)
{
    exec_ring *ring = atomic_load_explicit(&deque->ring, memory_order_relaxed);
    while (ring != NULL) {
        exec_ring *older = ring->older;
        deque->alloc->release(deque->alloc->ctx, ring, ring_bytes(ring->size), _Alignof(exec_ring));
        ring = older;
    }
    atomic_store_explicit(&deque->ring, NULL, memory_order_relaxed);
}

static exec_ring *grow(exec_deque *deque, exec_ring *ring, int64_t top, int64_t bottom)
{
    if (ring->size >= SIZE_LIMIT) {
        return NULL;
    }
    exec_ring *larger = ring_create(deque->alloc, ring->size * 2);
    if (larger == NULL) {
        return NULL;
    }
    for (int64_t i = top; i < bottom; i++) {
        brisk_task *task = atomic_load_explicit(slot_of(ring, i), memory_order_relaxed);
        atomic_store_explicit(slot_of(larger, i), task, memory_order_relaxed);
    }
    larger->older = ring;
    /* Release: pairs with the acquire in steal, which then sees the copied slots. */
    atomic_store_explicit(&deque->ring, larger, memory_order_release);
    return larger;
}

bool exec_deque_push(exec_deque *deque, brisk_task *task)
{
    int64_t b = atomic_load_explicit(&deque->bottom, memory_order_relaxed); /* own */
    exec_ring *ring = atomic_load_explicit(&deque->ring, memory_order_relaxed);
    if (b - deque->top_seen >= ring->size) {
        /* Acquire: pairs with the CAS of steal; the thief has read its slot before we reuse it. */
        deque->top_seen = atomic_load_explicit(&deque->top, memory_order_acquire);
        if (b - deque->top_seen >= ring->size) {
            ring = grow(deque, ring, deque->top_seen, b);
            if (ring == NULL) {
                return false;
            }
        }
    }
    atomic_store_explicit(slot_of(ring, b), task, memory_order_relaxed);
    /* Release part: pairs with steal's load of bottom, publishes the slot and the task.
     * seq_cst part: pairs with the parking worker's read of bottom (idle.c). */
    atomic_store_explicit(&deque->bottom, b + 1, memory_order_seq_cst);
    return true;
}

brisk_task *exec_deque_pop(exec_deque *deque)
{
    int64_t b = atomic_load_explicit(&deque->bottom, memory_order_relaxed) - 1; /* own */
    int64_t t = atomic_load_explicit(&deque->top, memory_order_relaxed);
    if (t > b) {
        return NULL; /* top only grows and only we push: certainly empty, without a store */
    }
    exec_ring *ring = atomic_load_explicit(&deque->ring, memory_order_relaxed);
    /* seq_cst, both: against steal's two loads, see the proof above. */
    atomic_store_explicit(&deque->bottom, b, memory_order_seq_cst);
    t = atomic_load_explicit(&deque->top, memory_order_seq_cst);
    if (t < b) {
        return atomic_load_explicit(slot_of(ring, b), memory_order_relaxed);
    }
    brisk_task *task = NULL;
    if (t == b) { /* the last one: thieves may want it too; the partner is the CAS in steal */
        task = atomic_load_explicit(slot_of(ring, b), memory_order_relaxed);
        if (!atomic_compare_exchange_strong_explicit(&deque->top, &t, t + 1, memory_order_seq_cst,
                                                     memory_order_relaxed)) {
            task = NULL;
        }
    }
    /* Release: a thief that reads it must still see the slots published by earlier pushes. */
    atomic_store_explicit(&deque->bottom, b + 1, memory_order_release);
    return task;
}

brisk_task *exec_deque_steal(exec_deque *deque, bool *lost)
{
    /* seq_cst, both and in this order: against pop's store and load, see the proof above. */
    int64_t t = atomic_load_explicit(&deque->top, memory_order_seq_cst);
    int64_t b = atomic_load_explicit(&deque->bottom, memory_order_seq_cst);
    if (t >= b) {
        return NULL;
    }
    /* Acquire: pairs with grow's release. */
    exec_ring *ring = atomic_load_explicit(&deque->ring, memory_order_acquire);
    brisk_task *task = atomic_load_explicit(slot_of(ring, t), memory_order_relaxed);
    /* seq_cst: orders this against pop; release part: pairs with push's acquire of top. */
    if (!atomic_compare_exchange_strong_explicit(&deque->top, &t, t + 1, memory_order_seq_cst,
                                                 memory_order_relaxed)) {
        *lost = true;
        return NULL;
    }
    return task;
}

bool exec_deque_is_empty(const exec_deque *deque)
{
    /* seq_cst: pairs with push's store of bottom; see idle.c. */
    int64_t t = atomic_load_explicit(&deque->top, memory_order_seq_cst);
    int64_t b = atomic_load_explicit(&deque->bottom, memory_order_seq_cst);
    return t >= b;
}
