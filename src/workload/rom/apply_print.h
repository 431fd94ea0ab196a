/*
 * apply_print.h -- what `brisk rom apply` tells its user, as text and as JSON.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_APPLY_PRINT_H
#define BRISK_SRC_WORKLOAD_ROM_APPLY_PRINT_H

#include <stdio.h>

#include <brisk/engine.h>

#include "workload/rom/apply.h"

/*
 * A text that may hold names of files and of mods: what a terminal would obey becomes '?', but for
 * line ends.  (U+0080 to U+009F are control characters, too.)
 */
void rom_print_text(FILE *out, const char *text);
/* What the user should know of a job that succeeded all the same, a line each (warn.c). */
void rom_print_warnings(FILE *err, const brisk_job *job, const rom_job *state);
/* After success: one line, and the stage table when `profile`. */
BRISK_NODISCARD brisk_err rom_print_result(FILE *out, const brisk_job *job, const rom_job *state,
                                           bool profile);
/* After a dry run: the list of writes, their sum, and the time that the real run will take. */
void rom_print_dry_run(FILE *out, const brisk_job *job, const rom_job *state);
/* Any of them, or a failure with code `err`, as one JSON object; `trace` says why the trace could
 * not be written, when its code is set. */
BRISK_NODISCARD brisk_err rom_print_json(FILE *out, const brisk_job *job, const rom_job *state,
                                         brisk_err err, const brisk_errinfo *trace);

#endif /* BRISK_SRC_WORKLOAD_ROM_APPLY_PRINT_H */
