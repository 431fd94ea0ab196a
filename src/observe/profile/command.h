/*
 * command.h -- `brisk profile`, and what its files share.
 *
 * cmd_profile.c records; cmd_saved.c looks at what was saved (`report`, `diff`); cmd_node.c has a node look at itself.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_COMMAND_H
#define BRISK_SRC_OBSERVE_PROFILE_COMMAND_H

#include <brisk/command.h>
#include <brisk/node.h>

#include "observe/profile/export.h"
#include "observe/profile/report.h"

extern const brisk_command prof_command;

enum prof_option {
    PROF_OPTION_CPU,
    PROF_OPTION_IO,
    PROF_OPTION_MEMORY,
    PROF_OPTION_LIVE,
    PROF_OPTION_GRAPH,
    PROF_OPTION_INTERVAL,
    PROF_OPTION_SNAPSHOT,
    PROF_OPTION_PID,
    PROF_OPTION_SYSTEM,
    PROF_OPTION_DURATION,
    PROF_OPTION_FREQUENCY,
    PROF_OPTION_STACKS,
    PROF_OPTION_ENGINE,
    PROF_OPTION_NO_OFF_CPU,
    PROF_OPTION_NO_LINES,
    PROF_OPTION_OUTPUT,
    PROF_OPTION_FORMAT,
    PROF_OPTION_DIFF,
    PROF_OPTION_VALUE,
    PROF_OPTION_THRESHOLD,
    PROF_OPTION_KEEP,
    PROF_OPTION_STAGES,
    PROF_OPTION_WHAT_IF,
    PROF_OPTION_RUNS,
    PROF_OPTION_RUN,
    PROF_OPTION_JSON,
    PROF_OPTION_NODE, /* the first of brisk/node.h */
    PROF_OPTION_COUNT = PROF_OPTION_NODE + BRISK_NODE_OPTIONS,
};

/* What a recording knows beside the model. */
typedef struct prof_measured {
    prof_outcome outcome;
    uint32_t frequency;
    const prof_io *io;           /* NULL: not asked for */
    const prof_machine *machine; /* likewise */
} prof_measured;

/* Failure with its reason, told as the program tells it. */
brisk_exit prof_fail(const brisk_invocation *in, brisk_err err, const brisk_errinfo *info);
/*
 * What is asked for by --output, --format, --diff, --json: files and report.  `base` is what
 * is compared with, or NULL.  `measured` is NULL for what was saved.
 */
brisk_exit prof_deliver(const brisk_invocation *in, const prof_model *model, const prof_model *base,
                        const prof_measured *measured);
/*
 * Before anything is measured: is every --output and --format one that can be written?  false: said
 * what is wrong, and *ret is how the program ends.
 */
bool prof_check_outputs(const brisk_invocation *in, brisk_exit *ret);
/* Whether standard output is the report's (--json, --format without a file): then it is not the command's. */
bool prof_owns_output(const brisk_invocation *in);
/* Read a file of any format that import.h knows; says what is wrong. */
brisk_exit prof_open(const brisk_invocation *in, const char *path, prof_model **ret);
/* `brisk profile report FILE`, `brisk profile diff BEFORE AFTER`. */
brisk_exit prof_run_report(const brisk_invocation *in);
brisk_exit prof_run_diff(const brisk_invocation *in);
/* cmd_node.c: `brisk profile --node URL`. */
brisk_exit prof_run_node(const brisk_invocation *in);
/* observe/stage/cmd_stages.c: `brisk profile --stages -- JOB`, `brisk profile stages WORKLOAD|FILE`. */
brisk_exit prof_run_stages(const brisk_invocation *in);

#endif /* BRISK_SRC_OBSERVE_PROFILE_COMMAND_H */
