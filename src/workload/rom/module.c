/*
 * module.c -- what libbrisk finds when it loads rom.so.
 */
#include "workload/rom/apply.h"

static const brisk_command *const commands[] = {&rom_cmd_info, &rom_cmd_apply};

BRISK_API extern const brisk_module brisk_module_descriptor;

const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "rom",
    .summary = "modify game ROMs",
    .workload = &rom_workload,
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
};
