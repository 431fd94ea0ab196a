/*
 * intake.h -- records of the sampler become stacks of plain addresses (a raw model).
 *
 * In a raw model a frame is { module, address }: `module` is a number of prof_spaces, `address` the
 * module's own.  resolve.h makes names of them when everything is recorded.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_INTAKE_H
#define BRISK_SRC_OBSERVE_PROFILE_INTAKE_H

#include "observe/profile/model.h"
#include "observe/profile/perf.h"
#include "observe/profile/space.h"
#include "observe/profile/unwind.h"

/* Address of the one frame of time whose stack is not known, in module 0. */
#define PROF_ADDRESS_UNSEEN UINT64_C(1)

/* One thread's time off the processor. */
typedef struct prof_wait {
    uint32_t tid;
    uint32_t pid;
    uint32_t thread; /* of the raw model */
    uint32_t stack;
    uint64_t since_ns; /* 0: runs */
    bool preempted;
    bool has_stack; /* `stack` is of this wait */
} prof_wait;

typedef struct prof_intake {
    const brisk_alloc *alloc;
    prof_model *raw;
    prof_spaces spaces;
    prof_unwinder *unwinder;
    BRISK_VEC(prof_wait) waits;
    prof_index wait_index;
    bool offline; /* see prof_spaces */
    uint64_t lost;
    uint64_t samples;
    uint64_t sampled_ns; /* sum of the periods */
    uint64_t walk_ns;
    uint64_t first_ns;
    uint64_t last_ns;
    uint64_t short_stacks; /* where the kernel's walk was longer than ours */
} prof_intake;

BRISK_NODISCARD brisk_err prof_intake_init(prof_intake *intake, const brisk_alloc *alloc);
void prof_intake_deinit(prof_intake *intake);
/* A prof_perf_fn; `ctx` is a prof_intake. */
void prof_intake_record(void *ctx, const prof_record *record);
/* A thread that is there already; it is blocked, perhaps, since at least `now_ns`. */
void prof_intake_thread(prof_intake *intake, uint32_t pid, uint32_t tid, uint64_t now_ns);
/* The end: whoever waits has waited until `now_ns`. */
void prof_intake_finish(prof_intake *intake, uint64_t now_ns);

#endif /* BRISK_SRC_OBSERVE_PROFILE_INTAKE_H */
