/*
 * progress.h -- a line on the terminal while a job takes longer than a second.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_PROGRESS_H
#define BRISK_SRC_WORKLOAD_ROM_PROGRESS_H

#include <stdio.h>

#include <brisk/engine.h>

#include "workload/rom/apply.h"

/*
 * Run `job`; after a second `out`, which is a terminal, shows the stage and the time, until the
 * job is done.  Returns the job's result.
 */
brisk_err rom_run_with_progress(brisk_job *job, FILE *out);

#endif /* BRISK_SRC_WORKLOAD_ROM_PROGRESS_H */
