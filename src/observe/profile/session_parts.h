/*
 * session_parts.h -- parts of a recording that stand alone.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_SESSION_PARTS_H
#define BRISK_SRC_OBSERVE_PROFILE_SESSION_PARTS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/vec.h"

typedef BRISK_VEC(pid_t) prof_pids;

/* Every process of the machine that can be seen; what memory does not hold is left out. */
void prof_pids_all(prof_pids *ret);

/*
 * What one sample costs the thread that is sampled, measured here and now: how much less this
 * thread gets done in 20 ms with a fast sampler on it.  0: could not be measured.
 */
uint64_t prof_sample_cost_ns(uint32_t stack_bytes);

#endif /* BRISK_SRC_OBSERVE_PROFILE_SESSION_PARTS_H */
