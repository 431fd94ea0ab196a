/*
 * module.c -- what libbrisk finds when it loads monitor.so.
 */
#include <brisk/module.h>

#include "observe/monitor/monitor.h"

static const brisk_command *const commands[] = {&monitor_command};

BRISK_API extern const brisk_module brisk_module_descriptor;

const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "monitor",
    .summary = "watch a server, this machine and what was measured",
    .commands = commands,
    .command_count = 1,
};
