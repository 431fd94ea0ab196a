/*
 * profile.h -- what the files of stage profiles share.
 */
#ifndef BRISK_SRC_OBSERVE_STAGE_PROFILE_H
#define BRISK_SRC_OBSERVE_STAGE_PROFILE_H

#include <brisk/whatif.h>

/* A copied run: one block with the stages and all texts behind it. */
typedef struct stage_kept {
    brisk_stage_run run;
    size_t bytes; /* of the block */
    brisk_stage_times stages[];
} stage_kept;

struct brisk_stage_profile {
    const brisk_alloc *alloc;
    stage_kept **runs;
    uint32_t count;
    uint32_t capacity;
};

static inline bool stage_is_after(const brisk_stage_times *stage, uint32_t earlier)
{
    return (stage->after[earlier / 64] >> (earlier % 64) & 1) != 0;
}

static inline void stage_set_after(brisk_stage_times *stage, uint32_t earlier)
{
    stage->after[earlier / 64] |= UINT64_C(1) << (earlier % 64);
}

/* Index of the stage called `name`, or UINT32_MAX. */
uint32_t stage_find(const brisk_stage_run *run, const char *name);
/* When the last stage that it waits for ended; 0 for none. */
uint64_t stage_before_end(const brisk_stage_run *run, uint32_t index);
/* When it could have begun: ready_ns, or what stage_before_end says when nobody wrote that down. */
uint64_t stage_ready(const brisk_stage_run *run, uint32_t index);
/* Was everything computed, so that its times are those of the work? */
bool stage_run_is_computed(const brisk_stage_run *run);

#endif /* BRISK_SRC_OBSERVE_STAGE_PROFILE_H */
