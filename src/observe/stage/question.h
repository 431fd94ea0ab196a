/*
 * question.h -- the state of asking: whatif.c answers one question, rank.c asks many.
 */
#ifndef BRISK_SRC_OBSERVE_STAGE_QUESTION_H
#define BRISK_SRC_OBSERVE_STAGE_QUESTION_H

#include "observe/stage/simulate.h"

typedef struct asked {
    const brisk_whatif_change *change;
    uint32_t stage; /* UINT32_MAX: the job */
} asked;

typedef struct question {
    const brisk_stage_profile *profile;
    const brisk_stage_run *typical;      /* whose stages those that count have, too */
    brisk_whatif_opts opts;              /* with every default filled in */
    bool saved[BRISK_WHATIF_STAGES_MAX]; /* by a hit of the job's cache */
    asked asked[BRISK_WHATIF_CHANGES_MAX];
    uint32_t count;
    uint32_t cached_count;
    double *base; /* by run; one block with the next two */
    double *changed;
    double *scratch;
    uint32_t runs;
    double before_ns;
    double replay_error;
} question;

/* Errors: NOT_FOUND (no computed run), NOMEM.  deinit is needed after an error, too. */
BRISK_NODISCARD brisk_err question_init(question *q, const brisk_stage_profile *profile,
                                        const brisk_whatif_opts *opts, brisk_errinfo *info);
void question_deinit(question *q);
/* Once, before the first answer. */
void question_replay_base(question *q);
BRISK_NODISCARD brisk_err question_answer(question *q, const brisk_whatif_change *changes,
                                          uint32_t count, brisk_whatif_answer *ret,
                                          brisk_errinfo *info);

#endif /* BRISK_SRC_OBSERVE_STAGE_QUESTION_H */
