/*
 * resolve.h -- names for a raw model (intake.h).
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_RESOLVE_H
#define BRISK_SRC_OBSERVE_PROFILE_RESOLVE_H

#include "observe/profile/intake.h"

typedef struct prof_resolve_opts {
    bool no_lines; /* names from tables of symbols only */
    bool offline;  /* recorded elsewhere: no names for the kernel and for code made at run time */
    double scale;  /* of processor time: what the kernel counted by what was sampled */
} prof_resolve_opts;

/* A new model with names, the same samples and events.  Errors: NOMEM, LIMIT. */
BRISK_NODISCARD brisk_err prof_resolve(prof_intake *intake, const prof_resolve_opts *opts,
                                       prof_model **ret);

#endif /* BRISK_SRC_OBSERVE_PROFILE_RESOLVE_H */
