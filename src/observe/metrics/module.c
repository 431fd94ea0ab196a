/*
 * module.c -- what libbrisk finds when it loads metrics.so.
 */
#include <brisk/module.h>

#include "observe/metrics/cmd_metrics.h"

static const brisk_command *const commands[] = {&metrics_command};

BRISK_API extern const brisk_module brisk_module_descriptor;

const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "metrics",
    .summary = "show figures",
    .commands = commands,
    .command_count = 1,
};
