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
void metrics_print_grade(FILE *out, const brisk_snapshot *snapshot);

#endif /* BRISK_SRC_OBSERVE_METRICS_CMD_METRICS_H */
