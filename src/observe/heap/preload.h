/*
 * preload.h -- what the files of libbrisk_heap.so share.
 *
 * preload.c         the functions that stand before malloc's, and the countdown
 * preload_sample.c  a sample: stack, live table, sums
 * preload_file.c    the file, mappings, dumps
 * preload_walk.c    the stack of the caller
 *
 * This code runs inside of foreign programs, below their malloc: it allocates nothing, knows no libbrisk, prints
 * one line when it can't work, and leaves errno alone.
 *
 * Locks lie on a page that is zero in a forked child (MADV_WIPEONFORK): a child finds none held, and finds out by
 * the same page that it is one.  Order: setup, stacks, walk; a shard alone.  No lock is held across a call of the
 * allocator's.  A thread that is inside (`busy`) samples nothing: neither what a signal handler allocates
 * meanwhile nor what libc allocates for us.
 */
#ifndef BRISK_SRC_OBSERVE_HEAP_PRELOAD_H
#define BRISK_SRC_OBSERVE_HEAP_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "observe/heap/format.h"

#define HEAP_LIKELY(x)   __builtin_expect(!!(x), 1)
#define HEAP_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* --- countdown (per thread) ----------------------------------------------------------------- */

enum { HEAP_PENDING_MAX = 16 };

typedef struct heap_thread {
    uint64_t left;   /* bytes until the next sample; 0 before the first */
    uint64_t period; /* mean distance that `left` was drawn with; 0: not begun */
    uint64_t random;
    uint32_t busy;
    uint32_t pending_count; /* blocks freed by signal handlers meanwhile */
    uintptr_t stack_low;    /* of the thread's own stack; 0: not looked for */
    uintptr_t stack_high;
    uint32_t samples;
    void *pending[HEAP_PENDING_MAX];
} heap_thread;

extern __thread heap_thread heap_self __attribute__((tls_model("initial-exec")));

/* --- filter --------------------------------------------------------------------------------- */

/*
 * A bit for each bucket of addresses that holds a sampled block: what free looks at first.  16 KiB of bits stay
 * in the first cache; with 1,000 live samples one free in 130 looks further for nothing.
 */
enum { HEAP_FILTER_BITS = 17 };
extern uint64_t heap_filter[(1 << HEAP_FILTER_BITS) / 64];

static inline uint32_t heap_bucket(const void *block)
{
    return (uint32_t)((((uint64_t)(uintptr_t)block >> 4) * UINT64_C(0x9e3779b97f4a7c15)) >>
                      (64 - HEAP_FILTER_BITS));
}

static inline bool heap_may_be_sampled(const void *block)
{
    uint32_t bucket = heap_bucket(block);
    uint64_t word = __atomic_load_n(&heap_filter[bucket >> 6], __ATOMIC_RELAXED);
    return ((word >> (bucket & 63)) & 1) != 0;
}

/* --- preload_sample.c ----------------------------------------------------------------------- */

/* The countdown has ended with this block (NULL: none was got); `frame` is of the function that malloc's
 * caller called. */
void heap_count(void *block, size_t size, const void *frame);
/* Take the block out of the live table; false when it is not in it.  *was is for heap_restore. */
bool heap_forget(void *block, heap_live *was);
/* A realloc failed: the block is there still. */
void heap_restore(const heap_live *was);

/* --- preload_file.c ------------------------------------------------------------------------- */

typedef struct heap_locks {
    uint32_t alive; /* 0: this is a forked child */
    uint32_t setup;
    uint32_t stacks;
    uint32_t walk;
    uint32_t shards[HEAP_SHARDS];
} heap_locks;

typedef struct heap_map {
    heap_head *head;
    heap_stack *stacks;
    uint64_t *frames;
    heap_live *live; /* HEAP_SHARDS times HEAP_SHARD_ENTRIES */
    char *maps;
} heap_map;

extern heap_locks *heap_lock; /* NULL until the first sample */
extern heap_map heap_file;

void heap_lock_take(uint32_t *lock);
static inline void heap_lock_drop(uint32_t *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

/* From the environment, once, in the constructor. */
void heap_configure(void);
/* Whether samples can be taken; makes the file at the first call, and in a forked child. */
bool heap_ready(void);
bool heap_is_off(void); /* for good */
/* The mean distance to draw with now; 0: not before the constructor, and not when it is off. */
uint64_t heap_period(void);
/* After sample number `samples`: whether distances should change; `live` samples are in the table. */
void heap_adjust(uint64_t samples, uint64_t live, uint64_t now_ns);
uint64_t heap_seed(void);
uint64_t heap_now_ns(void); /* a coarse clock: 4 ms */
/* After a sample: figures of malloc now and then, a dump when the heap has grown. */
void heap_tick(uint64_t now_ns);
/* The last figures, at the end of the program. */
void heap_finish(void);
/* Forget all private tables: of a new file. */
void heap_reset_tables(void);
/* Take note of mappings that are new.  Under the lock `walk`. */
void heap_read_maps(void);

typedef struct heap_module {
    uintptr_t start; /* executable mapping */
    uintptr_t end;
    uintptr_t base;   /* where its ELF header is; 0: none */
    uintptr_t eh_hdr; /* .eh_frame_hdr; 0: none, 1: not looked for */
} heap_module;

enum { HEAP_MODULES_MAX = 1024 };
extern heap_module heap_modules[HEAP_MODULES_MAX];
extern uint32_t heap_module_count;
const heap_module *heap_module_of(uintptr_t pc);

/* --- preload_walk.c ------------------------------------------------------------------------- */

/* Return addresses above `frame`, innermost first. */
uint32_t heap_walk(const void *frame, uint64_t pcs[HEAP_DEPTH_MAX]);
/* Copy from this process's memory without a fault when it is gone. */
bool heap_peek(uintptr_t from, void *to, size_t size);

/* malloc's own figures, when it is glibc's; false otherwise. */
bool heap_malloc_figures(uint64_t *system, uint64_t *used);

#endif /* BRISK_SRC_OBSERVE_HEAP_PRELOAD_H */
