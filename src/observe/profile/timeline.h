/*
 * timeline.h -- samples in the order of time: those that were taken with their times, or, when a
 * profile has none, laid one behind the other for each thread.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_TIMELINE_H
#define BRISK_SRC_OBSERVE_PROFILE_TIMELINE_H

#include "observe/profile/model.h"

typedef struct prof_timeline {
    const brisk_alloc *alloc;
    prof_event *events; /* by thread, then by time */
    size_t count;
    size_t room;
    uint64_t start_ns;
    uint64_t end_ns;
    bool made_up; /* the times are */
} prof_timeline;

/* Errors: NOMEM. */
BRISK_NODISCARD brisk_err prof_timeline_make(const prof_model *model, uint32_t type,
                                             prof_timeline *ret);
void prof_timeline_deinit(prof_timeline *timeline);

#endif /* BRISK_SRC_OBSERVE_PROFILE_TIMELINE_H */
