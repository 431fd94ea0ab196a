/*
 * unwind.h -- from registers and a piece of the stack to return addresses.
 *
 * A step looks up how the frame is laid out (cfi.h) in a small cache by address, and reads two words
 * of the stack.  Where a module has no table (code made at run time, assembler) the frame pointer is
 * followed.  The stack pointer must grow with each step, so the walk ends whatever the bytes are.
 *
 * Measured with bench/observe/bench_profile.  Threads: one at a time for each unwinder.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_UNWIND_H
#define BRISK_SRC_OBSERVE_PROFILE_UNWIND_H

#include <stddef.h>
#include <stdint.h>

#include "observe/profile/space.h"

enum { PROF_UNWIND_CACHE = 4096, PROF_UNWIND_MAX = 512 };

typedef struct prof_regs {
    uint64_t ip;
    uint64_t sp;
    uint64_t bp;
} prof_regs;

/* A copy of the stack, or the stack itself. */
typedef struct prof_stack {
    const unsigned char *bytes; /* of address `base` */
    uint64_t base;
    size_t size;
} prof_stack;

/* Where a walk begins, and what it may see. */
typedef struct prof_walk {
    prof_spaces *spaces;
    prof_space *space;
    prof_regs regs;
    prof_stack stack;
} prof_walk;

typedef struct prof_unwind_entry {
    uint64_t pc;
    uint32_t generation;
    prof_cfi_row row;
} prof_unwind_entry;

typedef struct prof_unwinder {
    prof_unwind_entry cache[PROF_UNWIND_CACHE];
    uint64_t steps;
    uint64_t by_frame_pointer;
    uint64_t truncated; /* walks that left the copied piece */
} prof_unwinder;

/*
 * Addresses of the walk's registers and of their callers, innermost first; callers are return addresses less one, so
 * that each lies within its call.  At most `max`; returns how many.
 */
size_t prof_unwind(prof_unwinder *u, const prof_walk *walk, uint64_t *pcs, size_t max);
/* By frame pointers only. */
size_t prof_unwind_fp(const prof_regs *regs, const prof_stack *stack, uint64_t *pcs, size_t max);

#endif /* BRISK_SRC_OBSERVE_PROFILE_UNWIND_H */
