/*
 * timer_ring.h -- the file that a profiled program and the profiler share when the kernel does not
 * sample (timer_preload.c, timer.c).
 *
 * A head and SLOTS slots.  A writer (a signal's handler, in any thread of any process) takes the next
 * number, and its slot if that is free; the profiler empties slots in any order.  state: FREE ->
 * WRITING (compare and swap by the writer) -> FULL (release) -> FREE (by the profiler).  A writer that
 * dies in between leaves a slot that is never used again.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_TIMER_RING_H
#define BRISK_SRC_OBSERVE_PROFILE_TIMER_RING_H

#include <stdint.h>

enum {
    TIMER_SLOTS = 1024,
    TIMER_STACK_BYTES = 16384,
    TIMER_MAGIC = 0x62726b31,
    TIMER_FREE = 0,
    TIMER_WRITING = 1,
    TIMER_FULL = 2,
};

#define TIMER_ENV "BRISK_PROFILE_RING"

typedef struct timer_slot {
    uint32_t state;
    uint32_t pid;
    uint32_t tid;
    uint32_t stack_size;
    uint64_t time_ns;
    uint64_t ip, sp, bp;
    char comm[16];
    unsigned char stack[TIMER_STACK_BYTES];
} timer_slot;

typedef struct timer_head {
    uint32_t magic;
    uint32_t frequency;
    uint64_t next;
    uint64_t lost;
    unsigned char spare[4072];
} timer_head;

typedef struct timer_ring {
    timer_head head;
    timer_slot slots[TIMER_SLOTS];
} timer_ring;

#endif /* BRISK_SRC_OBSERVE_PROFILE_TIMER_RING_H */
