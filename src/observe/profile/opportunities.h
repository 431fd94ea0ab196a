/*
 * opportunities.h -- hot spots of a profile as records in the history (brisk/history.h).
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_OPPORTUNITIES_H
#define BRISK_SRC_OBSERVE_PROFILE_OPPORTUNITIES_H

#include <brisk/history.h>

#include "observe/profile/model.h"

/*
 * One record for each function above `threshold` percent of own time; renewed, when it is there
 * already.  *ret: how many.  Errors: those of the history, NOMEM.
 */
BRISK_NODISCARD brisk_err prof_opportunities_put(const prof_model *model, double threshold,
                                                 brisk_history *history, uint32_t *ret,
                                                 brisk_errinfo *info);

#endif /* BRISK_SRC_OBSERVE_PROFILE_OPPORTUNITIES_H */
