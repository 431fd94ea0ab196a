/*
 * module.c -- what libbrisk finds when it loads profile.so.
 */
#include <brisk/module.h>

#include "observe/profile/command.h"

static const brisk_command *const commands[] = {&prof_command};

BRISK_API extern const brisk_module brisk_module_descriptor;

const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "profile",
    .summary = "where a program spends its time",
    .commands = commands,
    .command_count = 1,
};
