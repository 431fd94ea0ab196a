/*
 * module.c -- what libbrisk finds when it loads history.so.
 */
#include <brisk/module.h>

#include "observe/history/command.h"

static const brisk_command *const commands[] = {
    &history_list_command,  &history_show_command,          &history_export_command,
    &history_prune_command, &history_opportunities_command, &history_dismiss_command,
    &history_apply_command, &history_reopen_command,
};

BRISK_API extern const brisk_module brisk_module_descriptor;

const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "history",
    .summary = "what was measured before: runs, benchmarks, alerts, opportunities",
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
};
