/*
 * cmd_metrics.h -- `brisk metrics`, for module.c; and its parts for each other.
 */
#ifndef BRISK_SRC_OBSERVE_METRICS_CMD_METRICS_H
#define BRISK_SRC_OBSERVE_METRICS_CMD_METRICS_H

#include <stdio.h>

#include <brisk/command.h>
#include <brisk/metrics.h>

extern const brisk_command metrics_command;

/* A table for people. */
void metrics_print_table(FILE *out, const brisk_snapshot *snapshot);
/* One line: a score of what is known, and what it is made of. */
/* `knobs`: limits of grades; NULL: the defaults. */
void metrics_print_grade(FILE *out, const brisk_snapshot *snapshot, const brisk_knobs *knobs);

#endif /* BRISK_SRC_OBSERVE_METRICS_CMD_METRICS_H */
