/*
 * tally.h -- how much of a profile is each function's: itself, and with all it calls; and who
 * called it.
 *
 * A function is a name in a module; a function that is in a stack twice counts once for its total.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_TALLY_H
#define BRISK_SRC_OBSERVE_PROFILE_TALLY_H

#include "observe/profile/model.h"

typedef struct prof_row {
    uint32_t name;
    uint32_t module;
    uint32_t file; /* of the line that has most of its own time */
    uint32_t line;
    uint32_t flags;
    uint64_t self;
    uint64_t total;
    uint64_t line_self;
} prof_row;

typedef struct prof_caller {
    uint32_t row; /* PROF_NO_ID: it is the outermost */
    uint64_t self;
} prof_caller;

typedef struct prof_tally {
    const brisk_alloc *alloc;
    BRISK_VEC(prof_row) rows; /* by own time, the most first */
    uint32_t *row_of_frame;
    size_t frame_count;
    uint64_t total;
    uint32_t type;
    bool of_user;
} prof_tally;

/*
 * Of one type of value.  `of_user`: the program's own innermost function stands for what the kernel
 * does for it; every wait ends in the same function of the kernel.  Errors: NOMEM.
 */
BRISK_NODISCARD brisk_err prof_tally_make(const prof_model *model, uint32_t type, bool of_user,
                                          prof_tally *ret);
void prof_tally_deinit(prof_tally *tally);
/* Who called `row` where it was itself busy: the `max` most, the most first.  Returns how many. */
size_t prof_tally_callers(const prof_tally *tally, const prof_model *model, uint32_t row,
                          prof_caller *callers, size_t max);
/* The type that is shown when nobody asks for one. */
uint32_t prof_default_type(const prof_model *model);

#endif /* BRISK_SRC_OBSERVE_PROFILE_TALLY_H */
