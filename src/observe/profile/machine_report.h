/*
 * machine_report.h -- `brisk profile --system`: what the whole machine did between two readings, and
 * which programs its processors worked for.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_MACHINE_REPORT_H
#define BRISK_SRC_OBSERVE_PROFILE_MACHINE_REPORT_H

#include <stdio.h>

#include <brisk/json.h>
#include <brisk/machine.h>

#include "observe/profile/model.h"

typedef struct prof_machine {
    brisk_machine before;
    brisk_machine after;
} prof_machine;

BRISK_NODISCARD brisk_err prof_machine_text(const prof_machine *machine, const prof_model *model,
                                            FILE *out);
void prof_machine_json(const prof_machine *machine, const prof_model *model, brisk_json *json);

#endif /* BRISK_SRC_OBSERVE_PROFILE_MACHINE_REPORT_H */
