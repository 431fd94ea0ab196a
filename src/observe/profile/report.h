/*
 * report.h -- a profile, and the difference of two, for people and as JSON.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_REPORT_H
#define BRISK_SRC_OBSERVE_PROFILE_REPORT_H

#include <stdio.h>

#include "observe/profile/io.h"
#include "observe/profile/machine_report.h"
#include "observe/profile/model.h"
#include "observe/profile/session.h"

typedef struct prof_report_opts {
    uint32_t type;               /* of value */
    double threshold;            /* percent of own time from which on a function is a hot spot */
    uint32_t rows;               /* at least that many are shown, if there are */
    const prof_outcome *outcome; /* NULL: the profile is from a file */
    uint32_t frequency;          /* asked for; 0: from a file */
    const prof_io *io;           /* NULL: not asked for */
    const prof_machine *machine; /* likewise */
} prof_report_opts;

/* Errors: NOMEM, those of `out`. */
BRISK_NODISCARD brisk_err prof_report_text(const prof_model *model, const prof_report_opts *opts,
                                           FILE *out);
BRISK_NODISCARD brisk_err prof_report_json(const prof_model *model, const prof_report_opts *opts,
                                           FILE *out);
/* Functions by how much their share has changed. */
BRISK_NODISCARD brisk_err prof_diff_text(const prof_model *before, const prof_model *after,
                                         const prof_report_opts *opts, FILE *out);
BRISK_NODISCARD brisk_err prof_diff_json(const prof_model *before, const prof_model *after,
                                         const prof_report_opts *opts, FILE *out);

#endif /* BRISK_SRC_OBSERVE_PROFILE_REPORT_H */
