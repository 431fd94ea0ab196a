/*
 * module.c -- what libbrisk finds when it loads budget.so.
 */
#include <brisk/module.h>

#include "observe/budget/command.h"

static const brisk_command *const commands[] = {&budget_check_command, &budget_watch_command};

BRISK_API extern const brisk_module brisk_module_descriptor;

const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "budget",
    .summary = "what a program promises, checked; alerts",
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
};
