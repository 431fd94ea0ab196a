/*
 * report_words.h -- what the two files of reports share.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_REPORT_WORDS_H
#define BRISK_SRC_OBSERVE_PROFILE_REPORT_WORDS_H

#include "observe/profile/model.h"

enum { PROF_SHOWN_MAX = 512 };

/* `text` cut, and without what a terminal would obey. */
const char *prof_shown(const char *text, char shown[PROF_SHOWN_MAX]);
/* Likewise; of a name that is long the arguments of templates are left out. */
const char *prof_shown_name(const char *text, char shown[PROF_SHOWN_MAX]);
/* "1.25 s", "3.0 MiB", "17". */
const char *prof_amount(uint64_t value, const char *unit, char text[32]);
uint64_t prof_sum_of(const prof_model *model, uint32_t type);
/* Whether a profile has the types of our own recordings. */
bool prof_is_own(const prof_model *model);

#endif /* BRISK_SRC_OBSERVE_PROFILE_REPORT_WORDS_H */
