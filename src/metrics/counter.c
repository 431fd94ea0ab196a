/*
 * counter.c -- a sharded counter behind <brisk/counter.h>, and the thread numbers it shards by.
 *
 * A thread always adds to shard (number - 1) mod SHARDS: up to BRISK_COUNTER_SHARDS threads never
 * meet on a cache line.  Adds are relaxed; the sum orders nothing, it only loses nothing.
 *
 * The public struct has plain fields (public headers are C11 and C++), therefore the compiler's
 * __atomic built-ins instead of <stdatomic.h>.
 */
#include <assert.h>
#include <stdatomic.h>

#include <brisk/counter.h>

#include "metrics/thread_id.h"

static_assert((BRISK_COUNTER_SHARDS & (BRISK_COUNTER_SHARDS - 1)) == 0, "shards: a power of two");
static_assert(sizeof(((brisk_counter *)0)->shards_[0]) == 64, "one cache line per shard");

uint32_t metrics_thread_id(void)
{
    static _Atomic uint32_t last;
    /* libbrisk is loaded with the program or takes 4 bytes of the room for late comers: no call for it. */
    static _Thread_local uint32_t mine __attribute__((tls_model("initial-exec")));
    if (mine == 0) {
        /* Relaxed: only uniqueness is asked for. */
        mine = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    }
    return mine;
}

void brisk_counter_add(brisk_counter *counter, uint64_t amount)
{
    uint32_t shard = (metrics_thread_id() - 1) % BRISK_COUNTER_SHARDS;
    /* Relaxed: brisk_counter_read needs no order; what happened before it is coherent anyway. */
    (void)__atomic_fetch_add(&counter->shards_[shard].value_, amount, __ATOMIC_RELAXED);
}

uint64_t brisk_counter_read(const brisk_counter *counter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < BRISK_COUNTER_SHARDS; i++) {
        sum += __atomic_load_n(&counter->shards_[i].value_, __ATOMIC_RELAXED);
    }
    return sum;
}
